"""Cancelling, starting and health of runs on worker machines, without any machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import LaunchRunContext, WorkerStatus
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from kombu.exceptions import OperationalError

from brand_detect.orchestration.launcher import WorkerRunLauncher
from brand_detect_tests.support.pipeline import home_in

STATUS = dg.DagsterRunStatus
NOWHERE = "redis://127.0.0.1:1/0"
CODE = JobPythonOrigin("pipeline", RepositoryPythonOrigin("python", ModuleCodePointer("pipeline", "defs", None)))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(home_in(tmp_path))) as instance:
        yield instance


def launcher_of(
    kind: type[CeleryRunLauncher], instance: dg.DagsterInstance, broker: str = "memory://", backend: str = "disabled://"
) -> CeleryRunLauncher:
    settings = {"task_publish_retry": False}
    launcher = kind(default_queue="dagster", broker=broker, backend=backend, config_source=settings)
    launcher.register_instance(instance)
    return launcher


def run_in(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    run = dg.DagsterRun("pipeline", status=status, tags={DAGSTER_CELERY_TASK_ID_TAG: "task"}, job_code_origin=CODE)
    return instance.add_run(run)


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_cancelled_run_is_cancelling_before_its_process_is_told(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    launcher, run = launcher_of(WorkerRunLauncher, instance), run_in(instance, STATUS.STARTED)
    told: list[tuple[Any, ...]] = []

    def revoke(task: str, terminate: bool = False, **_: object) -> None:
        told.append((task, terminate, status_of(instance, run)))

    monkeypatch.setattr(launcher.celery.control, "revoke", revoke)
    assert launcher.terminate(run.run_id)
    assert told == [("task", True, STATUS.CANCELING)]


def test_a_run_that_no_worker_has_yet_is_cancelled(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    """It is on its way to the broker: the tag of its task is still to come."""
    launcher = launcher_of(WorkerRunLauncher, instance)
    run = instance.add_run(dg.DagsterRun("pipeline", status=STATUS.STARTING, job_code_origin=CODE))
    monkeypatch.setattr(launcher.celery.control, "revoke", None)
    assert launcher.terminate(run.run_id)
    assert status_of(instance, run) is STATUS.CANCELING


def test_a_run_that_has_ended_is_not_cancelled(instance: dg.DagsterInstance):
    launcher, run = launcher_of(WorkerRunLauncher, instance), run_in(instance, STATUS.SUCCESS)
    assert not launcher.terminate(run.run_id)
    assert not launcher.terminate("unknown")
    assert status_of(instance, run) is STATUS.SUCCESS


def test_without_a_broker_nothing_changes_and_a_run_goes_back_into_the_queue(instance: dg.DagsterInstance):
    launcher = launcher_of(WorkerRunLauncher, instance, broker=NOWHERE)
    run = run_in(instance, STATUS.STARTED)
    with pytest.raises(OperationalError):
        launcher.terminate(run.run_id)
    assert status_of(instance, run) is STATUS.STARTED
    with pytest.raises(DagsterUserCodeUnreachableError, match="out of reach"):
        launcher.launch_run(LaunchRunContext(run, None))


def test_heartbeats_tell_which_runs_are_alive(instance: dg.DagsterInstance):
    launcher = launcher_of(WorkerRunLauncher, instance)
    assert not launcher.supports_check_run_worker_health
    assert launcher.get_run_worker_debug_info(run_in(instance, STATUS.STARTED)) is None


class TestWhatDagsterLacks:
    """When one of these fails, Dagster's launcher has what ours adds: remove it from ours."""

    def test_it_does_not_say_that_a_run_is_being_cancelled(self, instance: dg.DagsterInstance):
        run = run_in(instance, STATUS.STARTED)
        assert launcher_of(CeleryRunLauncher, instance).terminate(run.run_id)
        assert status_of(instance, run) is STATUS.STARTED

    def test_it_takes_a_run_for_ill_whose_task_the_broker_has_forgotten(self, instance: dg.DagsterInstance):
        launcher = launcher_of(CeleryRunLauncher, instance, backend="cache+memory://")
        assert launcher.supports_check_run_worker_health
        health = launcher.check_run_worker_health(run_in(instance, STATUS.STARTED))
        assert health.status not in (WorkerStatus.RUNNING, WorkerStatus.SUCCESS)

    def test_it_fails_a_run_when_the_broker_is_out_of_reach(self, instance: dg.DagsterInstance):
        launcher = launcher_of(CeleryRunLauncher, instance, broker=NOWHERE)
        with pytest.raises(OperationalError):
            launcher.launch_run(LaunchRunContext(run_in(instance, STATUS.STARTING), None))
