"""The ends of runs are read once, in order, and only those that are final."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice

import dagster as dg
import pytest

from brand_detect.operations.monitoring import ended_runs
from brand_detect.operations.monitoring.ended_runs import LONGEST, SETTLED_S, UNHEARD_S, EndedRuns, Outcome
from brand_detect_tests.support.ended import ended
from brand_detect_tests.support.pipeline import home_in

RETRY = {"dagster/max_retries": "2"}
"""Dagster says of a run with it that it executes it again."""


@pytest.fixture(params=["in memory", "on disk"])
def instance(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """SQLite in memory has one log; on disk it has one per run and an index."""
    overrides = {"run_retries": {"enabled": True, "max_retries": 0}}
    if request.param == "in memory":
        with dg.DagsterInstance.ephemeral(settings=overrides) as live:
            yield live
    else:
        with dg.DagsterInstance.local_temp(str(home_in(tmp_path_factory.mktemp("home"))), overrides=overrides) as live:
            yield live


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ended_runs, "SETTLED_S", 0.0)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes it so many seconds later than it is."""
    real = time.time
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: real() + seconds)


def read(runs: EndedRuns, instance: dg.DagsterInstance, limit: int = 100) -> list[str]:
    return [end.run.run_id for end in runs.read(instance, limit)]


def test_every_end_is_read_once_and_in_order(instance: dg.DagsterInstance):
    runs = EndedRuns()
    assert read(runs, instance) == []
    made = [ended(instance, f"job-{n}", status) for n, status in enumerate(["SUCCESS", "FAILURE", "CANCELED"] * 3)]
    assert read(runs, instance) == made
    assert read(runs, instance) == []
    made = [ended(instance, "match"), ended(instance, "match", "FAILURE")]
    runs = EndedRuns(**asdict(runs))
    assert read(runs, instance) == made


def test_no_end_is_passed_over_however_few_are_read_at_once(instance: dg.DagsterInstance):
    """Each kind of end is a query of its own: what is beyond the last of one kind waits for the others."""
    statuses = ["FAILURE"] * 5 + ["SUCCESS"] * 4 + ["FAILURE", "CANCELED"] * 2 + ["SUCCESS"]
    made = [ended(instance, "match", status) for status in statuses]
    for limit in (1, 2, 3, 50):
        runs, found = EndedRuns(), []
        for _ in range(100):
            found += read(runs, instance, limit)
        assert found == made, limit


def test_a_caller_that_stops_gets_the_same_run_again(instance: dg.DagsterInstance):
    made = [ended(instance, "match") for _ in range(3)]
    runs = EndedRuns()
    assert [end.run.run_id for end in islice(runs.read(instance, 10), 2)] == made[:2]
    assert read(runs, instance) == made[1:]


def test_who_begins_now_reads_nothing_of_the_past(instance: dg.DagsterInstance):
    assert EndedRuns.from_now_on(instance) == EndedRuns()
    for status in ("FAILURE", "SUCCESS", "CANCELED"):
        ended(instance, "match", status)
        runs = EndedRuns.from_now_on(instance)
        assert read(runs, instance) == []
    made = ended(instance, "match")
    assert read(runs, instance) == [made]


def test_an_end_is_read_when_it_has_settled(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, later: Callable[[float], None]
):
    monkeypatch.setattr(ended_runs, "SETTLED_S", SETTLED_S)
    made, runs = ended(instance, "match"), EndedRuns()
    later(SETTLED_S - 5)
    assert read(runs, instance) == []
    later(SETTLED_S + 1)
    assert read(runs, instance) == [made]


def test_a_machine_whose_clock_is_ahead_holds_nobody_up(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, later: Callable[[float], None]
):
    """All of the events are stamped a day ahead."""
    monkeypatch.setattr(ended_runs, "SETTLED_S", SETTLED_S)
    made = [ended(instance, "match", "FAILURE", tags=RETRY), ended(instance, "match")]
    day_s, runs = 86_400, EndedRuns()
    later(-day_s)
    assert read(runs, instance) == []
    later(-day_s + SETTLED_S - 1)
    assert read(runs, instance) == []
    made.append(ended(instance, "other"))
    runs = EndedRuns(**asdict(runs))
    later(-day_s + SETTLED_S + 1)
    [end] = runs.read(instance, 100)
    assert end.run.run_id == made[1]
    assert end.at_s <= time.time()
    assert list(runs.waiting) == made[:1]
    later(-day_s + 2 * SETTLED_S + UNHEARD_S)
    assert read(runs, instance) == [made[0], made[2]]


def test_a_clock_that_is_set_back_holds_nobody_up(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, later: Callable[[float], None]
):
    """As of a machine that starts with a wrong clock and hears the right time after some minutes: the test's own time
    is that of the wrong clock."""
    monkeypatch.setattr(ended_runs, "SETTLED_S", SETTLED_S)
    day_s, runs = 86_400, EndedRuns()
    failed = ended(instance, "match", "FAILURE", tags=RETRY)
    later(SETTLED_S + 1)
    assert read(runs, instance) == []
    assert list(runs.waiting) == [failed]
    made = ended(instance, "other")
    assert read(runs, instance) == []
    later(-day_s)
    assert read(runs, instance) == [], "the wait begins anew"
    later(-day_s + SETTLED_S + 1)
    assert read(runs, instance) == [made]
    later(-day_s + UNHEARD_S + 1)
    assert read(runs, instance) == [failed]


def test_a_run_that_is_executed_again_has_not_failed(instance: dg.DagsterInstance):
    runs, failed = EndedRuns(), ended(instance, "match", "FAILURE", failed="match_brands", tags=RETRY)
    assert read(runs, instance) == []
    assert list(runs.waiting) == [failed]
    again = ended(instance, "match", tags={"dagster/parent_run_id": failed})
    instance.add_run_tags(failed, {"dagster/auto_retry_run_id": again})
    assert read(runs, instance) == [again]
    assert runs.waiting == {}
    late = EndedRuns()
    assert read(late, instance) == [again], "who reads later knows at once"
    assert late.waiting == {}


def test_a_failure_that_is_said_again_is_told_once(instance: dg.DagsterInstance):
    """See ``liveness.missed_retries``."""
    runs, failed = EndedRuns(), ended(instance, "match", "FAILURE", tags=RETRY)
    run = instance.get_run_by_id(failed)
    assert run is not None
    instance.report_run_failed(run, "It is said again.")
    assert read(runs, instance) == []
    instance.add_run_tags(failed, {"dagster/will_retry": "false"})
    assert read(runs, instance) == [failed]
    assert read(runs, instance) == []


def test_a_run_that_was_to_be_executed_again_and_never_was_has_failed_in_the_end(
    instance: dg.DagsterInstance, later: Callable[[float], None]
):
    runs, failed = EndedRuns(), ended(instance, "match", "FAILURE", tags=RETRY)
    assert read(runs, instance) == []
    later(UNHEARD_S - 5)
    assert read(EndedRuns(**asdict(runs)), instance) == []
    later(UNHEARD_S + 5)
    assert read(runs, instance) == [failed]
    assert read(runs, instance) == []


def test_reading_stops_while_too_many_wait(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, later: Callable[[float], None]
):
    monkeypatch.setattr(ended_runs, "MOST_WAITING", 2)
    failed = [ended(instance, "match", "FAILURE", tags=RETRY) for _ in range(3)]
    made, runs = ended(instance, "match"), EndedRuns()
    assert read(runs, instance) == []
    assert list(runs.waiting) == failed[:2]
    later(UNHEARD_S + 5)
    assert read(runs, instance) + read(runs, instance) == [*failed, made]


def test_runs_of_others_deleted_ones_and_ends_that_were_taken_back_are_passed_over(instance: dg.DagsterInstance):
    ended(instance, "match", selection=["invoices"])
    instance.delete_run(ended(instance, "match"))
    mended = ended(instance, "match", "FAILURE")
    event = dg.DagsterEvent("PIPELINE_SUCCESS", "__ASSET_JOB", message="All stages were done.")
    instance.report_dagster_event(event, mended)
    runs = EndedRuns()
    assert read(runs, instance) == [mended]
    assert read(runs, instance) == []


# what a run has done


def outcome(instance: dg.DagsterInstance, run_id: str) -> Outcome:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return Outcome.of(instance, run)


def test_a_failed_step_says_where_and_why(instance: dg.DagsterInstance):
    said = "There is no model.\nhint: set one"
    found = outcome(instance, ended(instance, status="FAILURE", failed="escalate_cloud", reason=said))
    assert found.done == ("match_brands", "escalate_vlm")
    assert (found.stage, found.reason) == ("escalate_cloud", "There is no model.")


def test_a_run_that_was_found_dead_failed_at_the_first_stage_that_is_not_done(instance: dg.DagsterInstance):
    found = outcome(instance, ended(instance, status="FAILURE", reason="This run was found dead: it is gone."))
    assert found == Outcome((), (), "match_brands", "This run was found dead: it is gone.")


def test_a_blocking_check_is_the_reason(instance: dg.DagsterInstance):
    found = outcome(
        instance, ended(instance, status="FAILURE", failed="compile_report", blocked="it is not", reason="-")
    )
    assert found.reason == "failed its check all_is_well: it is not"
    assert [(c.stage, c.name, c.passed, c.blocking) for c in found.checks] == [
        ("compile_report", "all_is_well", False, True)
    ]


def test_warnings_are_told_of_a_run_that_succeeded(instance: dg.DagsterInstance):
    found = outcome(instance, ended(instance, warned={"escalate_vlm": "1 of 2 questions failed"}))
    assert (found.stage, found.reason) == ("", "")
    assert [(c.stage, c.blocking, c.detail) for c in found.checks] == [
        ("escalate_vlm", False, "1 of 2 questions failed")
    ]


def test_a_long_reason_is_one_line_of_some_length(instance: dg.DagsterInstance):
    found = outcome(instance, ended(instance, status="FAILURE", failed="match_brands", reason="no\n" * 9999))
    assert len(found.reason) == LONGEST
    assert found.reason.startswith("no no no")
    assert found.reason.endswith("…")
    silent = outcome(instance, ended(instance, status="FAILURE", failed="match_brands"))
    assert silent.reason == "It failed without a message."
