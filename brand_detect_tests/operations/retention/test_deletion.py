"""A job goes whole, with what a rebuild and retention left in Dagster, and no other job loses anything."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from brand_detect.domain.errors import BadInput
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.proposals import Proposal
from brand_detect.domain.tags import PARTITION
from brand_detect.operations.monitoring import ended_runs
from brand_detect.operations.monitoring.ended_runs import EndedRuns
from brand_detect.operations.rebuild import rebuild
from brand_detect.operations.retention.deletion import belongings, delete
from brand_detect.orchestration.assets import INPUTS
from brand_detect.orchestration.lineage import attempt_of, latest_record, materializations
from brand_detect.orchestration.run import JobRun
from brand_detect.storage.proposals import Proposals
from brand_detect_tests.support.ended import ended
from brand_detect_tests.support.finished import copied
from brand_detect_tests.support.pipeline import Pipeline, pipeline, shared_clip, silent


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(tmp_path) as made:
        copied(made, two_jobs)
        yield made


def two_jobs(built: Pipeline, video: str) -> tuple[JobRun, ...]:
    return tuple(built.runner.submit(video, job_id=job_id) for job_id in ("match", "match-2"))


def proposals(built: Pipeline) -> list[Proposal]:
    return Proposals(built.services.store.blobs).read()[0]


def events(built: Pipeline, job_id: str) -> int:
    return sum(len(list(materializations(built.instance, stage, job_id))) for stage in LINE)


def test_all_of_a_job_goes_and_nothing_of_another(built: Pipeline):
    found = belongings(built.instance, built.services.store, "match")
    assert (found.attempts, len(found.runs), found.pins) == (9, 1, 0)
    assert found.size_bytes > 10_000
    delete(built.instance, built.services.store, found)
    assert built.instance.get_dynamic_partitions("job_id") == ["match-2"]
    assert built.services.store.jobs() == ["match-2"]
    assert (events(built, "match"), events(built, "match-2")) == (0, 9)
    assert built.instance.get_runs_count(dg.RunsFilter(tags={PARTITION: "match"})) == 0
    assert shared_clip().exists()
    assert {p.job_id for p in proposals(built)} == {"match-2"}
    with pytest.raises(BadInput, match="There is no job match"):
        belongings(built.instance, built.services.store, "match")
    built.runner.replay("match-2", "run_ocr")
    again = built.runner.submit(str(shared_clip()), job_id="match")
    assert {again.attempts[stage] for stage in LINE} == {f"{again.run_id}-0"}


def test_events_without_a_run_go_too(built: Pipeline):
    store = built.services.store
    for run in built.instance.get_runs():
        built.instance.delete_run(run.run_id)
    assert rebuild(built.instance, store, INPUTS, silent).events == 2 * 9  # the catalogue's needs no run
    observed = dg.AssetObservation("run_ocr", partition="match", metadata={"pruned": []})
    built.instance.report_runless_asset_event(observed)
    delete(built.instance, store, belongings(built.instance, store, "match"))
    assert (events(built, "match"), events(built, "match-2")) == (0, 9)
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey("run_ocr"), asset_partitions=["match"])
    assert built.instance.fetch_observations(wanted, limit=10).records == []
    assert built.instance.event_log_storage.get_logs_for_run("") != []


def test_readers_of_events_miss_nothing_that_comes_after(built: Pipeline, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ended_runs, "SETTLED_S", 0.0)
    reader = EndedRuns.from_now_on(built.instance)
    seen = max(r.storage_id for stage in LINE for r in materializations(built.instance, stage, "match-2"))
    delete(built.instance, built.services.store, belongings(built.instance, built.services.store, "match-2"))
    failed = ended(built.instance, "match", "FAILURE", failed="match_brands", reason="No list.")
    assert [found.run.run_id for found in reader.read(built.instance, 100)] == [failed]
    replayed = built.runner.replay("match", "escalate_vlm")
    record = latest_record(built.instance, "escalate_vlm", "match")
    assert record
    assert (attempt_of(record), record.storage_id > seen) == (replayed.attempts["escalate_vlm"], True)


def test_a_deletion_that_was_killed_is_finished_by_the_next(built: Pipeline, monkeypatch: pytest.MonkeyPatch):
    store = built.services.store

    def killed(_: str) -> None:
        raise KeyboardInterrupt

    for where, what in ((built.instance, "delete_run"), (store, "remove_job")):
        found = belongings(built.instance, store, "match")
        with monkeypatch.context() as patch:
            patch.setattr(where, what, killed)
            with pytest.raises(KeyboardInterrupt):
                delete(built.instance, store, found)
    delete(built.instance, store, belongings(built.instance, store, "match"))
    assert store.jobs() == ["match-2"]
    assert {p.job_id for p in proposals(built)} == {"match-2"}
    assert built.instance.get_runs_count(dg.RunsFilter(tags={PARTITION: "match"})) == 0


def test_a_job_with_a_run_that_has_not_ended_is_refused(built: Pipeline):
    create_run_for_test(built.instance, status=dg.DagsterRunStatus.NOT_STARTED, tags={PARTITION: "match"})
    with pytest.raises(BadInput, match="match has 1 run queued or running") as refused:
        belongings(built.instance, built.services.store, "match")
    assert refused.value.hint.startswith("brand-detect cancel ")
