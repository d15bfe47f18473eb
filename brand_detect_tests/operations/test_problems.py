"""The set of problems: what is taken up, what clears it, and what the asset shows."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brand_detect.domain.errors import Permanent
from brand_detect.domain.pipeline import PRUNE, PRUNE_STEP
from brand_detect.domain.problems import FAILED_CHECK, FAILED_RUN, KINDS, WARNED, Problem
from brand_detect.domain.tags import WORKER
from brand_detect.operations import problems as module
from brand_detect.operations.monitoring import ended_runs
from brand_detect.operations.problems import LISTED, Problems, problems, problems_metadata
from brand_detect_tests.support.ended import ended
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip


@dataclass
class Watched:
    """The sensor on an instance, ticked as Dagster's daemon does."""

    instance: dg.DagsterInstance
    cursor: str | None = None
    said: list[dict[str, Any]] = field(default_factory=list)
    """The metadata of each materialization."""

    def tick(self) -> list[Problem]:
        """The problems after one tick, newest first."""
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            result = problems.evaluate_tick(context)
        assert not result.run_requests
        self.cursor = result.cursor
        for event in result.asset_events:
            assert isinstance(event, dg.AssetMaterialization)
            self.instance.report_runless_asset_event(event)
            self.said.append({name: entry.value for name, entry in event.metadata.items()})
        return Problems.load(self.instance).newest


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(ended_runs, "SETTLED_S", 0.0)
    with dg.DagsterInstance.ephemeral() as live:
        live.add_dynamic_partitions("job_id", ["match", "final"])
        yield Watched(live)


def short(found: list[Problem]) -> list[tuple[str, str, str]]:
    return [(p.job_id, p.stage, p.kind) for p in found]


def test_nothing_is_broken_at_first_and_that_is_said(watched: Watched):
    assert watched.tick() == watched.tick() == []
    assert [(said["table"], said["problems"]) for said in watched.said] == [
        ("There are no problems.", {"problems": [], "more": 0, "more_failed": 0})
    ]


def test_retention_that_fails_is_a_problem_until_it_succeeds(watched: Watched):
    one: Any = {"job_name": PRUNE, "selection": (PRUNE_STEP,), "tags": {WORKER: "this one"}}
    ended(watched.instance, "", "FAILURE", failed=PRUNE_STEP, reason="The store is closed.", **one)
    [found] = watched.tick()
    assert (found.job_id, found.stage, found.what) == ("", PRUNE_STEP, "The store is closed.")
    assert "failed | The store is closed. |" in watched.said[-1]["table"]
    ended(watched.instance, "", **one)
    assert watched.tick() == []
    ended(watched.instance, "", "FAILURE", failed="another", job_name=PRUNE, selection=("another",))
    assert watched.tick() == []


def test_a_failed_run_is_a_problem_until_its_stage_succeeds(watched: Watched):
    run_id = ended(watched.instance, "match", "FAILURE", failed="escalate_vlm", reason="There is no model.\nhint: no")
    [found] = watched.tick()
    assert (found.job_id, found.stage, found.kind) == ("match", "escalate_vlm", FAILED_RUN)
    assert (found.what, found.run_id) == ("There is no model.", run_id)
    assert found.since_s == pytest.approx(time.time(), abs=60)
    ended(watched.instance, "match", start="escalate_cloud")
    assert watched.tick() == [found], "that run made nothing of the stage"
    ended(watched.instance, "final")
    assert watched.tick() == [found], "it is another job"
    ended(watched.instance, "match", start="match_brands")
    assert watched.tick() == []


def test_a_comparison_that_failed_is_a_problem_until_one_succeeds(watched: Watched):
    ended(watched.instance, "match", "FAILURE", selection=["comparison"], failed="comparison", reason="It is gone.")
    assert short(watched.tick()) == [("match", "comparison", FAILED_RUN)]
    ended(watched.instance, "match", selection=["comparison"])
    assert watched.tick() == []


def test_a_stage_that_is_done_is_mended_even_if_a_later_one_fails(watched: Watched):
    ended(watched.instance, "match", "FAILURE", failed="match_brands", reason="No list.")
    ended(watched.instance, "match", "FAILURE", failed="compile_report", reason="No space.")
    assert short(watched.tick()) == [("match", "compile_report", FAILED_RUN)]


def test_a_failure_that_comes_again_is_as_old_as_the_first_and_names_the_last_run(watched: Watched):
    ended(watched.instance, "match", "FAILURE", failed="match_brands", reason="No list.")
    [first] = watched.tick()
    time.sleep(0.01)
    again = ended(watched.instance, "match", "FAILURE", failed="match_brands", reason="No index.")
    [found] = watched.tick()
    assert (found.since_s, found.what, found.run_id) == (first.since_s, "No index.", again)


def test_a_check_that_failed_and_one_that_warns_are_told_apart(watched: Watched):
    warned = {"match_brands": "it is odd"}
    ended(watched.instance, "match", "FAILURE", failed="compile_report", blocked="it is not", warned=warned)
    found = watched.tick()
    assert sorted(short(found)) == [("match", "compile_report", FAILED_CHECK), ("match", "match_brands", WARNED)]
    assert {p.what for p in found} == {"failed its check all_is_well: it is not", "nothing_is_odd: it is odd"}
    ended(watched.instance, "match", start="compile_report")
    assert short(watched.tick()) == [("match", "match_brands", WARNED)]
    ended(watched.instance, "match")
    assert watched.tick() == []


def test_a_warning_outlives_a_failure_to_make_the_stage_anew(watched: Watched):
    ended(watched.instance, "match", warned={"escalate_vlm": "1 of 2 questions failed"})
    ended(watched.instance, "match", "FAILURE", failed="escalate_vlm", reason="No model.")
    assert sorted(short(watched.tick())) == [("match", "escalate_vlm", FAILED_RUN), ("match", "escalate_vlm", WARNED)]


def test_a_cancelled_run_is_no_problem(watched: Watched):
    ended(watched.instance, "match", "CANCELED")
    assert watched.tick() == []


def test_a_deleted_job_disappears_and_the_brand_list_does_not(watched: Watched):
    ended(watched.instance, "match", "FAILURE", failed="match_brands", reason="No list.")
    ended(watched.instance, "", "FAILURE", selection=["brand_catalog"], reason="The list cannot be read.")
    assert sorted(short(watched.tick())) == [("", "brand_catalog", FAILED_RUN), ("match", "match_brands", FAILED_RUN)]
    watched.instance.delete_dynamic_partition("job_id", "match")
    assert short(watched.tick()) == [("", "brand_catalog", FAILED_RUN)]
    assert watched.said[-1]["jobs"] == 1


def test_the_asset_is_materialized_when_the_set_changes_and_only_then(watched: Watched):
    run_id = ended(watched.instance, "match", "FAILURE", failed="match_brands", reason="No <list> | in *view*.")
    for _ in range(3):
        watched.tick()
    ended(watched.instance, "final")
    watched.tick()
    [said] = watched.said
    assert {kind: said[kind] for kind in KINDS} == {FAILED_RUN: 1, FAILED_CHECK: 0, WARNED: 0}
    assert [(p["what"], p["run_id"]) for p in said["problems"]["problems"]] == [("No <list> | in *view*.", run_id)]
    assert "| match | match\\_brands | failed | No \\<list\\> \\| in \\*view\\*. |" in said["table"]
    event = watched.instance.get_latest_materialization_event(dg.AssetKey("problems"))
    assert event is not None
    ended(watched.instance, "match")
    watched.tick()
    assert watched.said[-1]["table"] == "There are no problems."


def test_a_tick_that_is_lost_after_it_has_learnt_says_it_the_next_time(watched: Watched):
    """The set is stored by the tick, its cursor by the daemon afterwards."""
    ended(watched.instance, "match", "FAILURE", failed="match_brands", reason="No list.")
    with dg.build_sensor_context(instance=watched.instance) as context:
        problems.evaluate_tick(context)
    assert short(watched.tick()) == [("match", "match_brands", FAILED_RUN)]
    assert len(watched.said) == 1


def test_what_is_shown_is_bounded_and_says_how_many_more():
    known = Problems()
    for n in range(LISTED + 7):
        kind = WARNED if n < 3 else FAILED_RUN
        p = Problem(f"job-{n:04}", "run_ocr", kind, "No reader.", f"run-{n}", float(n))
        known.known[p.job_id, p.stage, n < 3] = p
    said: dict[str, Any] = {name: entry.value for name, entry in problems_metadata(known).items()}
    assert (said["jobs"], said[FAILED_RUN]) == (LISTED + 7, LISTED + 4)
    assert len(said["problems"]["problems"]) == LISTED
    assert said["problems"]["problems"][0]["job_id"] == f"job-{LISTED + 6:04}"
    assert (said["problems"]["more"], said["problems"]["more_failed"]) == (7, 4)
    assert said["table"].count("\n| 1970") == module.IN_TABLE
    assert said["table"].endswith(f"… and {LISTED + 7 - module.IN_TABLE} older ones.")


def test_what_is_kept_is_bounded_the_oldest_go(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST", 3)
    jobs = [f"job-{n}" for n in range(5)]
    watched.instance.add_dynamic_partitions("job_id", jobs)
    for job in jobs:
        ended(watched.instance, job, "FAILURE", failed="match_brands", reason="No list.")
    assert [p.job_id for p in watched.tick()] == ["job-4", "job-3", "job-2"]
    assert watched.said[-1]["problems"]["more"] == 2
    for job in jobs:
        ended(watched.instance, job)
    assert watched.tick() == []
    assert watched.said[-1]["problems"]["more"] == 0


def test_a_tick_leaves_to_the_next_one_what_it_has_no_time_for(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    for job in ("match", "final"):
        ended(watched.instance, job, "FAILURE", failed="match_brands", reason="No list.")
    monkeypatch.setattr(module, "SECONDS_A_TICK", -1.0)
    assert watched.tick() == []
    monkeypatch.setattr(module, "SECONDS_A_TICK", 20.0)
    monkeypatch.setattr(module, "RUNS_A_TICK", 1)
    assert [len(watched.tick()) for _ in range(3)] == [1, 2, 2]


def test_a_real_run_that_fails_and_its_mended_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The reason is the stage's own sentence, and what the checks of a real run say is read."""
    monkeypatch.setattr(ended_runs, "SETTLED_S", 0.0)

    def no_reader(_: object) -> None:
        raise Permanent("There is no reader today.", "come back tomorrow")

    video = two_shot_clip(tmp_path / "match.mp4", seconds=1.0)
    with pipeline(tmp_path, text_reader=no_reader) as built:
        watched = Watched(built.instance)
        with pytest.raises(Permanent):
            built.runner.submit(str(video), job_id="match")
        [found] = watched.tick()
        assert (found.stage, found.kind, found.what) == ("run_ocr", FAILED_RUN, "There is no reader today.")
        built.services.engines.__dict__["text_reader"] = lambda _: built.reader
        built.runner.replay("match", "run_ocr")
        assert watched.tick() == []
