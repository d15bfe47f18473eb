"""Inputs are resolved together: each rule of the order, and what is refused."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.tags import PIN, RESUMES
from brand_detect.orchestration.lineage import ATTEMPT, begun, first_run, latest, latest_record
from brand_detect.orchestration.run import JobRun
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.manifest import CheckOutcome
from brand_detect_tests.support.finished import finished
from brand_detect_tests.support.pipeline import Pipeline, pipeline


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pipeline, JobRun]]:
    """A job that ran once; tests add attempts to it and never change one."""
    folder = tmp_path_factory.mktemp("lineage")
    with pipeline(folder) as built:
        yield built, finished(built)


def test_one_run_reads_its_own_attempts(first: tuple[Pipeline, JobRun]):
    _, run = first
    assert {run.attempts[stage] for stage in LINE} == {f"{run.run_id}-0"}
    assert run.manifest("compile_report").upstream.keys() == {*LINE[:-1], "brand_catalog"}


def test_a_replay_reads_the_latest_of_the_nearest_stage_and_its_ancestors(first: tuple[Pipeline, JobRun]):
    built, run = first
    replayed = built.runner.replay("match", "match_brands")
    assert {s for s in LINE if replayed.attempts[s] == f"{run.run_id}-0"} == set(LINE[: LINE.index("match_brands")])
    assert {s for s in LINE if replayed.attempts[s] == f"{replayed.run_id}-0"} == set(
        LINE[LINE.index("match_brands") :]
    )


def test_a_replay_that_died_half_way_does_not_mix_two_lineages(first: tuple[Pipeline, JobRun]):
    """detect_objects is newer than the latest run_ocr: match_brands must stay with what run_ocr was made from."""
    built, _ = first
    before = built.runner.replay("match", "run_ocr")
    built.reader.dark = "BROKEN"
    built.services.engines.__dict__["text_reader"] = _failing
    with pytest.raises(Permanent, match="no reader today"):
        built.runner.replay("match", "detect_objects")
    built.services.engines.__dict__["text_reader"] = lambda _: built.reader
    assert latest(built.instance, "detect_objects", "match") != before.attempts["detect_objects"]
    after = built.runner.replay("match", "match_brands")
    assert after.attempts["detect_objects"] == before.attempts["detect_objects"]
    assert after.attempts["run_ocr"] == before.attempts["run_ocr"]


def _failing(_: object) -> None:
    raise Permanent("There is no reader today.", "come back tomorrow")


def test_a_pin_names_the_attempt_to_start_from(first: tuple[Pipeline, JobRun]):
    built, run = first
    built.runner.replay("match", "run_ocr")
    pinned = built.runner.replay("match", "match_brands", pins={"run_ocr": f"{run.run_id}-0"})
    assert pinned.attempts["run_ocr"] == f"{run.run_id}-0"


def test_pins_of_two_lineages_are_refused(first: tuple[Pipeline, JobRun]):
    built, run = first
    other = built.runner.replay("match", "detect_objects")
    tags = {f"{PIN}run_ocr": f"{other.run_id}-0", f"{PIN}detect_objects": f"{run.run_id}-0"}
    with pytest.raises(Permanent, match="two lineages would be mixed"):
        built.launch("match", "match_brands", tags=tags)


def test_a_branch_from_an_older_attempt_shows_what_it_was_made_from(first: tuple[Pipeline, JobRun]):
    built, run = first
    built.runner.replay("match", "filter_scenes", {"filter_scenes": {"hamming_threshold": 0}})
    pinned = built.runner.replay("match", "detect_objects", pins={"filter_scenes": f"{run.run_id}-0"})
    record = latest_record(built.instance, "detect_objects", "match")
    assert record is not None
    event = record.asset_materialization
    assert event is not None
    assert event.tags is not None
    assert record.run_id == pinned.run_id
    pointer = int(event.tags["dagster/input_event_pointer/filter_scenes"])
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey("filter_scenes"), storage_ids=[pointer])
    [pointed] = built.instance.fetch_materializations(wanted, limit=1).records
    assert pointed.run_id == run.run_id


def test_a_job_that_was_never_submitted_is_refused_and_not_made(first: tuple[Pipeline, JobRun]):
    built, _ = first
    with pytest.raises(BadInput, match="There is no job unknown"):
        built.runner.replay("unknown", "match_brands")
    assert not built.instance.has_dynamic_partition("job_id", "unknown")


def test_nothing_to_start_from_is_said(first: tuple[Pipeline, JobRun]):
    built, _ = first
    built.instance.add_dynamic_partitions("job_id", ["unknown"])
    with pytest.raises(Permanent) as error:
        built.launch("unknown", "match_brands")
    assert "unknown has no checkpoint of run_ocr, which match_brands reads" in str(error.value)
    assert error.value.hint == "materialize run_ocr of unknown first"


def test_a_checkpoint_whose_files_are_gone_is_named(first: tuple[Pipeline, JobRun]):
    built, _ = first
    gone = built.runner.replay("match", "run_ocr")
    shutil.rmtree(Path(built.services.store.root) / AttemptRef("match", "run_ocr", gone.attempts["run_ocr"]).path)
    with pytest.raises(Permanent, match=rf"match/run_ocr/{gone.run_id}-0 is gone"):
        built.runner.replay("match", "match_brands")
    built.runner.replay("match", "run_ocr")


def test_an_attempt_that_failed_its_blocking_check_is_refused_unless_pinned(first: tuple[Pipeline, JobRun]):
    built, _ = first
    good = built.runner.replay("match", "run_ocr")
    manifest = good.manifest("run_ocr")
    writer = built.services.store.begin(AttemptRef("match", "run_ocr", "checked-0"))
    writer.commit(
        good.load("run_ocr"),
        **manifest.model_dump(
            include={
                "run_id",
                "code_version",
                "params",
                "overrides",
                "engines",
                "upstream",
                "input_versions",
                "stage_s",
            }
        ),
        checks=(CheckOutcome(name="texts_are_legible", passed=False, blocking=True, detail="no text is legible"),),
    )
    event = dg.AssetMaterialization("run_ocr", partition="match", metadata={ATTEMPT: "checked-0"})
    built.instance.report_runless_asset_event(event)
    with pytest.raises(Permanent, match="failed its check texts_are_legible: no text is legible"):
        built.runner.replay("match", "match_brands")
    pinned = built.runner.replay("match", "match_brands", pins={"run_ocr": "checked-0"})
    assert pinned.attempts["run_ocr"] == "checked-0"
    built.runner.replay("match", "run_ocr")


def test_a_materialization_that_was_reported_by_hand_is_no_checkpoint(first: tuple[Pipeline, JobRun]):
    """The UI has a button for it. It must not block the stage for ever."""
    built, _ = first
    built.instance.report_runless_asset_event(dg.AssetMaterialization("run_ocr", partition="match"))
    with pytest.raises(Permanent, match="latest materialization of run_ocr was reported by hand"):
        built.runner.replay("match", "match_brands")
    mended = built.runner.replay("match", "run_ocr")
    assert latest(built.instance, "run_ocr", "match") == mended.attempts["run_ocr"]


@pytest.mark.parametrize(("pin", "attempt"), [("run_orc", "x-0"), ("run_ocr", "../../other/run_ocr/x-0")])
def test_a_pin_that_names_nothing_is_refused(first: tuple[Pipeline, JobRun], pin: str, attempt: str):
    built, _ = first
    with pytest.raises(BadInput, match=f"run tag brand_detect/pin.{pin} does not name a"):
        built.launch("match", "match_brands", tags={f"{PIN}{pin}": attempt})


def test_the_first_run_is_that_of_the_failed_ones_and_no_replay_s():
    with dg.DagsterInstance.ephemeral() as instance:
        submitted = create_run_for_test(instance)

        def after(parent: dg.DagsterRun, **tags: str) -> dg.DagsterRun:
            return create_run_for_test(instance, parent_run_id=parent.run_id, root_run_id=submitted.run_id, tags=tags)

        replay = after(submitted)
        again = after(replay, **{RESUMES[0]: "true"})
        third = after(again, **{RESUMES[1]: "true"})
        assert [first_run(instance, run) for run in (submitted, replay, again, third)] == [
            submitted.run_id,
            *[replay.run_id] * 3,
        ]
        instance.delete_run(replay.run_id)
        assert first_run(instance, third) == again.run_id


def test_a_held_run_begins_when_it_starts():
    with dg.DagsterInstance.ephemeral() as instance:
        run = create_run_for_test(instance)
        assert datetime.now(UTC) - datetime.fromisoformat(begun(instance, run)) < timedelta(minutes=1)
        start = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name)
        instance.report_dagster_event(start, run.run_id, timestamp=datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp())
        assert begun(instance, run) == "2026-05-01T12:00:00+00:00"
