"""The Celery app of a worker machine: ``celery -A brand_detect.orchestration.worker worker``.

It has the settings of the launcher in ``dagster.yaml``, so that both ends agree.
"""

from typing import Any, cast

import dagster as dg
from celery import Celery, Task
from dagster._grpc.types import ExecuteRunArgs
from dagster_celery.tasks import create_execute_job_task
from dagster_shared.serdes import unpack_value

from brand_detect.domain.errors import Transient
from brand_detect.orchestration.database import claim
from brand_detect.orchestration.launcher import WorkerRunLauncher

AGAIN: dict[str, Any] = {"autoretry_for": (Exception,), "retry_kwargs": {"countdown": 15}, "max_retries": 240}
"""Repeats a task for an hour if it cannot read its run because the database is out of reach. Errors of runs themselves
are not raised, and a run that has begun is not begun again."""


class Claiming(Task):
    """A task that executes its run only if no other task is about to.

    A run has two when the broker took a task and its answer was lost, so that Dagster launched the run again. Dagster
    ignores the one that begins after the other; of two that begin together, the second tries again later, and then is
    that one. If the first has died, its claim has lapsed by then.
    """

    def before_start(self, task_id: str, args: Any, kwargs: dict[str, Any]) -> None:  # noqa: ARG002
        try:
            run_id = unpack_value(kwargs["execute_job_args_packed"], ExecuteRunArgs).run_id
            with dg.DagsterInstance.get() as instance:
                if not claim(instance, run_id):
                    raise Transient(f"Another task is about to execute the run {run_id}.")
        except Exception as e:  # as for what comes later
            raise self.retry(exc=e, **AGAIN["retry_kwargs"]) from e


def _app() -> Celery:
    with dg.DagsterInstance.get() as instance:
        launcher = instance.run_launcher
        assert isinstance(launcher, WorkerRunLauncher), "DAGSTER_HOME needs the dagster.yaml of deploy/workers"
        create_execute_job_task(launcher.celery, base=cast("Any", Claiming), **AGAIN)  # it is typed as a dict
        return launcher.celery


app = _app()
