"""Retention in a whole pipeline: what goes, what stays, and that whatever stays can still be read and replayed."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.pipeline import LINE, STAGES
from brand_detect.domain.retention import DAY_S, Retention
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import PARTITION, PIN, RESUMES, RETRY_OF
from brand_detect.operations.retention import pruning
from brand_detect.operations.retention.pruning import (
    JobPruning,
    check,
    nightly_prune,
    plan,
    prune,
    prune_job,
    retention_of,
)
from brand_detect.orchestration.lineage import observations
from brand_detect.orchestration.run import JobRun
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.manifest import NAME
from brand_detect.storage.store import Store
from brand_detect_tests.support.finished import copied, finished, submitted
from brand_detect_tests.support.pipeline import Pipeline, pipeline, silent

ALL_BUT_THE_NEWEST = Retention(keep=1, days=0)


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(tmp_path) as made:
        yield made


def read_again(built: Pipeline, video: str) -> tuple[JobRun, ...]:
    return (*submitted(built, video), built.runner.replay("match", "run_ocr"))


def two_jobs_read_again(built: Pipeline, video: str) -> tuple[JobRun, ...]:
    jobs = ("first", "second")
    return (
        *[built.runner.submit(video, job_id=job) for job in jobs],
        *[built.runner.replay(job, "run_ocr") for job in jobs],
    )


def pruned(built: Pipeline, retention: Retention, now_s: float | None = None) -> list[JobPruning]:
    store = built.services.store
    return list(prune(built.instance, store, store.jobs(), retention, now_s or time.time() + 1, silent))


def names(built: Pipeline, stage: str) -> list[str]:
    return [m.attempt for m in built.services.store.attempts("match", stage)]


def test_a_dry_run_says_what_goes_and_takes_nothing(built: Pipeline):
    first = finished(built)
    second = built.runner.replay("match", "match_brands")
    store = built.services.store
    [found] = plan(built.instance, store, ["match"], ALL_BUT_THE_NEWEST, time.time() + 1)
    goes = [(a.stage, a.attempt) for a in found.removal.attempts]
    assert goes == [(stage, first.attempts[stage]) for stage in STAGES[:3:-1]]
    assert found.removal.size_bytes == sum(store.size_bytes(first.ref(stage)) for stage in STAGES[4:])
    assert str(found).startswith("match: 4 attempts, ")
    assert names(built, "match_brands") == [first.attempts["match_brands"], second.attempts["match_brands"]]


def test_what_stays_can_be_read_and_replayed(built: Pipeline):
    first = finished(built)
    second = built.runner.replay("match", "match_brands")
    third = built.runner.replay("match", "run_ocr")
    store = built.services.store
    store.pin(second.ref("compile_report"), "shown to the client")
    [found] = pruned(built, ALL_BUT_THE_NEWEST)
    assert {a.attempt for a in found.removal.attempts} == {first.attempts["match_brands"]}
    for run in (second, third):
        for stage in LINE:
            run.load(stage)
    pinned = built.runner.replay("match", "match_brands", pins={"run_ocr": second.attempts["run_ocr"]})
    assert pinned.load("compile_report")
    with pytest.raises(Permanent, match="is gone"):
        built.launch("match", "escalate_vlm", tags={f"{PIN}match_brands": first.attempts["match_brands"]})


def test_dagster_is_told_what_went(built: Pipeline):
    first = finished(built)
    built.runner.replay("match", "compile_report")
    pruned(built, ALL_BUT_THE_NEWEST)
    assert told(built, "compile_report", "match") == [first.attempts["compile_report"]]


def waiting(built: Pipeline, status: dg.DagsterRunStatus, **tags: str) -> None:
    create_run_for_test(built.instance, status=status, tags={PARTITION: "match", **tags})


def test_what_a_run_in_the_queue_names_stays(built: Pipeline):
    first, _ = copied(built, read_again)
    built.runner.replay("match", "run_ocr")
    waiting(built, dg.DagsterRunStatus.NOT_STARTED, **{RETRY_OF: first.run_id})
    [found] = pruned(built, ALL_BUT_THE_NEWEST)
    assert first.attempts["compile_report"] in names(
        built, "compile_report"
    )  # the whole run is kept: it may be asked for
    assert len(found.removal.attempts) == len(STAGES[3:])


def test_a_pin_of_a_run_in_the_queue_counts(built: Pipeline):
    first, _ = copied(built, read_again)
    waiting(built, dg.DagsterRunStatus.NOT_STARTED, **{f"{PIN}run_ocr": first.attempts["run_ocr"]})
    pruned(built, ALL_BUT_THE_NEWEST)
    assert first.attempts["run_ocr"] in names(built, "run_ocr")
    assert first.attempts["match_brands"] not in names(built, "match_brands")


def failed_at_match_brands(built: Pipeline) -> dg.DagsterRun:
    """A run from ``run_ocr`` down that has made that stage, and another that has succeeded since."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("brand_detect.stages.match_brands", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            built.runner.replay("match", "run_ocr")
    built.runner.replay("match", "run_ocr")
    [failed] = built.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    return failed


@pytest.mark.parametrize("is_queued", [True, False])
def test_what_a_second_try_of_a_failed_run_goes_on_from_stays(built: Pipeline, is_queued: bool):
    finished(built)
    failed = failed_at_match_brands(built)
    if is_queued:
        create_run_for_test(
            built.instance,
            status=dg.DagsterRunStatus.NOT_STARTED,
            parent_run_id=failed.run_id,
            root_run_id=failed.run_id,
            tags={PARTITION: "match", RESUMES[0]: "true"},
        )
    else:
        built.instance.add_run_tags(failed.run_id, {"dagster/will_retry": "true"})
    pruned(built, ALL_BUT_THE_NEWEST)
    assert f"{failed.run_id}-0" in names(built, "run_ocr")


def test_what_a_run_made_and_ended_meanwhile_counts(built: Pipeline, monkeypatch: pytest.MonkeyPatch):
    first, _ = copied(built, read_again)
    look, done = built.instance.get_run_records, []

    def slow(*arguments: object, **more: object) -> object:
        if not done:
            done.append(True)
            pins = {"run_ocr": first.attempts["run_ocr"]}
            done.append(built.runner.replay("match", "match_brands", pins=pins))
        return look(*arguments, **more)  # pyright: ignore

    monkeypatch.setattr(built.instance, "get_run_records", slow)
    pruned(built, ALL_BUT_THE_NEWEST)
    assert first.attempts["run_ocr"] in names(built, "run_ocr")
    assert done[1].load("run_ocr")


def test_a_job_at_work_is_left_alone(built: Pipeline):
    copied(built, read_again)
    waiting(built, dg.DagsterRunStatus.STARTED)
    [found] = pruned(built, ALL_BUT_THE_NEWEST)
    assert (bool(found), found.left) == (False, "a run of it is in progress")
    assert len(names(built, "run_ocr")) == 2


def test_a_job_with_a_damaged_manifest_is_left_alone(built: Pipeline, tmp_path: Path):
    first, _ = copied(built, read_again)
    (tmp_path / "store" / first.ref("run_ocr").path / NAME).write_text("{", encoding="utf-8")
    [found] = pruned(built, ALL_BUT_THE_NEWEST)
    assert "is damaged" in found.left
    assert first.attempts["match_brands"] in names(built, "match_brands")


def told(built: Pipeline, stage: str, job_id: str) -> list[str]:
    """The attempts of which Dagster was told that they are removed, each time."""
    found = (record.asset_observation for record in observations(built.instance, stage, job_id))
    return [str(name) for event in found if event for name in cast("list[str]", event.metadata["pruned"].value)]


def refuse(patch: pytest.MonkeyPatch, what: str, may_be_removed: Callable[[AttemptRef], bool]) -> None:
    """Let the store refuse to remove some attempts."""
    remove = getattr(Store, what)

    def refused(self: Store, ref: AttemptRef) -> None:
        if not may_be_removed(ref):
            raise Permanent(f"{ref.path} could not be removed: Permission denied.", "check the store's permissions")
        remove(self, ref)

    patch.setattr(Store, what, refused)


def test_a_job_whose_files_may_not_be_removed_holds_up_no_other(built: Pipeline, monkeypatch: pytest.MonkeyPatch):
    copied(built, two_jobs_read_again)
    refuse(monkeypatch, "withdraw", lambda ref: ref.job_id != "first" or ref.stage == "compile_report")
    first, second = pruned(built, ALL_BUT_THE_NEWEST)
    assert [a.stage for a in first.removal.attempts] == ["compile_report"]
    assert re.fullmatch(r"first: 1 attempt, \d.\d MiB; failed, first/.* Permission denied\.", str(first))
    assert (second.job_id, second.failed, second.left) == ("second", "", "")
    assert len(second.removal.attempts) > 1
    check([second])
    with pytest.raises(Permanent, match=r"^Old files of 1 of the jobs stay: first/.* Permission denied"):
        check([first, second])


def test_what_could_not_be_removed_is_not_told_as_removed(built: Pipeline, monkeypatch: pytest.MonkeyPatch):
    first, _ = copied(built, read_again)
    goes = [first.attempts["compile_report"]]
    with monkeypatch.context() as patch:
        refuse(patch, "withdraw", lambda ref: ref.stage == "compile_report")
        for night in range(2):
            [found] = pruned(built, ALL_BUT_THE_NEWEST)
            assert str(found).startswith("match: failed, " if night else "match: 1 attempt, ")
        assert told(built, "compile_report", "match") == goes
        assert told(built, "escalate_cloud", "match") == []
        config = {"keep": 1, "days": 0, "dry_run": False}
        with pytest.raises(dg.Failure, match="Old files of 1 of the jobs stay: match/"):
            prune_job.execute_in_process(
                run_config={"ops": {"prune_checkpoints": {"config": config}}},
                resources={"services": built.services},
                instance=built.instance,
            )
    pruned(built, ALL_BUT_THE_NEWEST)
    assert told(built, "escalate_cloud", "match") == [first.attempts["escalate_cloud"]]
    assert told(built, "compile_report", "match") == goes


def test_a_folder_that_may_not_be_removed_holds_up_no_other(built: Pipeline, monkeypatch: pytest.MonkeyPatch):
    first, _ = copied(built, read_again)
    refuse(monkeypatch, "remove", lambda ref: ref.stage != "compile_report")
    [found] = pruned(built, ALL_BUT_THE_NEWEST)
    assert "; failed, match/compile_report/" in str(found)
    assert len(found.removal.attempts) > 1

    def is_there(stage: str) -> bool:
        return first.attempts[stage] in [ref.attempt for ref in built.services.store.folders("match", stage)]

    assert (is_there("compile_report"), is_there("escalate_cloud")) == (True, False)
    assert told(built, "compile_report", "match") == [first.attempts["compile_report"]]


@pytest.mark.parametrize("killed_at", ["_tell", "remove"])
def test_dagster_lists_nothing_that_a_killed_run_has_removed(
    built: Pipeline, monkeypatch: pytest.MonkeyPatch, killed_at: str
):
    first, _ = copied(built, read_again)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((pruning, killed_at) if killed_at == "_tell" else (Store, killed_at)), killed)
        with pytest.raises(KeyboardInterrupt):
            pruned(built, ALL_BUT_THE_NEWEST)
    pruned(built, ALL_BUT_THE_NEWEST, time.time() + 2 * DAY_S)
    assert set(told(built, "compile_report", "match")) == {first.attempts["compile_report"]}
    assert first.attempts["compile_report"] not in [
        ref.attempt for ref in built.services.store.folders("match", "compile_report")
    ]


def test_what_a_killed_run_has_left_goes_after_a_day(built: Pipeline, tmp_path: Path):
    finished(built)
    half = AttemptRef("match", "run_ocr", "killed-0")
    built.services.store.begin(half).write("texts.parquet", b"half")
    assert pruned(built, Retention()) == []
    file = tmp_path / "store" / half.path / "texts.parquet"
    two_days_ago = time.time() - 2 * DAY_S
    os.utime(file, (two_days_ago, two_days_ago))
    [found] = pruned(built, Retention())
    assert found.abandoned == (half,)
    assert not file.exists()


def test_pictures_go_first_and_come_back_by_materializing_that_stage(built: Pipeline):
    first = finished(built)
    [found] = pruned(built, Retention(frames_days=1), time.time() + 2 * DAY_S)
    assert [a.attempt for a in found.removal.frames] == [first.attempts["extract_frames"]]
    assert first.load("extract_frames")
    with pytest.raises(Permanent, match=r"The frames of match/extract_frames/.* are gone"):
        built.runner.replay("match", "match_brands")
    assert pruned(built, Retention(frames_days=1), time.time() + 2 * DAY_S) == []
    job = built.definitions.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(
        instance=built.instance, partition_key="match", asset_selection=[dg.AssetKey("extract_frames")]
    ).success
    replayed = built.runner.replay("match", "match_brands")
    assert replayed.attempts["extract_frames"] == first.attempts["extract_frames"]


def test_what_went_before_is_not_counted_again(built: Pipeline):
    first = finished(built)
    store = built.services.store
    left = store.stored_bytes("match")
    store.remove_frames(first.ref("extract_frames"))
    gone = left - store.stored_bytes("match")
    for start in ("extract_frames", "match_brands"):
        built.runner.replay("match", start)
    [found] = plan(built.instance, store, ["match"], ALL_BUT_THE_NEWEST, time.time() + 1)
    attempts = [AttemptRef("match", a.stage, a.attempt) for a in found.removal.attempts]
    assert first.ref("extract_frames") in attempts
    assert gone > 0
    assert found.removal.size_bytes == sum(map(store.size_bytes, attempts)) - gone


def test_the_job_is_a_dry_run_unless_told_otherwise(built: Pipeline):
    first = finished(built)
    built.runner.replay("match", "compile_report")
    for config, left in (({"keep": 1, "days": 0}, 2), ({"keep": 1, "days": 0, "dry_run": False}, 1)):
        done = prune_job.execute_in_process(
            run_config={"ops": {"prune_checkpoints": {"config": config}}},
            resources={"services": built.services},
            instance=built.instance,
        )
        [output] = [e for e in done.all_events if e.event_type == dg.DagsterEventType.STEP_OUTPUT]
        assert output.step_output_data.metadata["attempts"].value == 1
        assert len(names(built, "compile_report")) == left
    assert first.attempts["compile_report"] not in names(built, "compile_report")
    with pytest.raises(dg.Failure, match="These limits are invalid"):
        prune_job.execute_in_process(
            run_config={"ops": {"prune_checkpoints": {"config": {"keep": 0}}}},
            resources={"services": built.services},
            instance=built.instance,
        )


def test_a_run_of_the_job_says_who_executes_it(built: Pipeline, monkeypatch: pytest.MonkeyPatch):
    """So that one that was killed is found and does not keep a place in the queue for ever."""
    seen = []
    monkeypatch.setattr(pruning, "at_work", lambda _, run_id, _settings: nullcontext(seen.append(run_id)))
    done = prune_job.execute_in_process(resources={"services": built.services}, instance=built.instance)
    assert seen == [done.run_id]


def test_limits_over_those_of_the_settings():
    settings = Settings(keep_attempts=5, keep_days=10, keep_frames_days=2)
    assert retention_of(settings, {"keep": None, "days": 0.5}) == Retention(5, 0.5, 2)
    for limits in ({"keep": 0}, {"days": -1}, {"days": float("nan")}):
        with pytest.raises(BadInput, match="These limits are invalid"):
            retention_of(settings, limits)


def test_the_schedule_prunes_at_the_settings_times_when_they_say_so():
    schedule = nightly_prune(Settings(prune=True, prune_cron="5 4 * * *", offpeak_timezone="Europe/Rome"))
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("5 4 * * *", "Europe/Rome")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert nightly_prune(Settings()).default_status is dg.DefaultScheduleStatus.STOPPED
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(instance, datetime(2026, 5, 1, 4, 5, tzinfo=UTC))
        [request] = schedule.evaluate_tick(context).run_requests or []
    assert json.loads(json.dumps(request.run_config)) == {"ops": {"prune_checkpoints": {"config": {"dry_run": False}}}}
    with pytest.raises(BadInput, match="is not a cron expression"):
        nightly_prune(Settings(prune_cron="at night"))
