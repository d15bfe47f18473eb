import time
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from brand_detect.domain.tags import HOLD, NOT_BEFORE, RELEASED, UNTIL
from brand_detect.operations.retries.release_held import held_runs


@dg.job
def nothing() -> None:
    """A job for runs that wait."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as live:
        yield live


def held(instance: dg.DagsterInstance, due_s: float | None, *, status: str = "QUEUED", **tags: str) -> str:
    """The id of a run that is held until ``due_s`` seconds from now."""
    not_before = {} if due_s is None else {NOT_BEFORE: f"{time.time() + due_s:.3f}"}
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__")
    return instance.create_run_for_job(
        nothing,
        status=dg.DagsterRunStatus(status),
        tags={HOLD: UNTIL, **not_before, **tags},
        remote_job_origin=origin.get_job_origin("nothing"),
    ).run_id


def released(instance: dg.DagsterInstance) -> str | None:
    """One tick; what it says."""
    with dg.build_sensor_context(instance=instance) as context:
        done = held_runs.evaluate_tick(context)
    assert not done.run_requests
    return done.skip_message


def tags_of(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return dict(run.tags)


def test_a_run_that_is_due_is_let_go_and_the_others_are_not(instance: dg.DagsterInstance):
    due, later = held(instance, -1.0, mine="kept"), held(instance, 60.0)
    before = tags_of(instance, due)
    assert released(instance) == "2 held runs, 1 released."
    assert tags_of(instance, due) == before | {HOLD: RELEASED}
    assert tags_of(instance, later)[HOLD] == UNTIL
    assert released(instance) == "1 held run, 0 released."


def test_a_run_falls_due_as_time_goes_by(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    run_id, now_s = held(instance, 3600.0), time.time()
    for passed_s, tag in ((3590.0, UNTIL), (3610.0, RELEASED)):
        monkeypatch.setattr(time, "time", lambda at_s=now_s + passed_s: at_s)
        released(instance)
        assert tags_of(instance, run_id)[HOLD] == tag


def test_a_run_that_was_cancelled_while_it_was_held_is_left_alone(instance: dg.DagsterInstance):
    run_id = held(instance, -1.0, status="CANCELED")
    assert released(instance) == "0 held runs, 0 released."
    assert tags_of(instance, run_id)[HOLD] == UNTIL


def test_a_run_that_is_created_and_not_queued_yet_is_let_go_too(instance: dg.DagsterInstance):
    run_id = held(instance, -1.0, status="NOT_STARTED")
    released(instance)
    assert tags_of(instance, run_id)[HOLD] == RELEASED


@pytest.mark.parametrize("time_", ["tomorrow", "", "nan", "inf", None])
def test_a_time_that_is_none_holds_that_run_and_nobody_else(instance: dg.DagsterInstance, time_: str | None):
    """The launchpad takes any text for a tag."""
    odd = held(instance, None, **({} if time_ is None else {NOT_BEFORE: time_}))
    due = held(instance, -1.0)
    assert released(instance) == "2 held runs, 1 released."
    assert [tags_of(instance, run_id)[HOLD] for run_id in (odd, due)] == [UNTIL, RELEASED]
