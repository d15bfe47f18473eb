"""The Celery app of a worker machine: ``celery -A brand_detect.orchestration.worker worker``.

It has the settings of the launcher in ``dagster.yaml``, so that both ends agree.
"""

from typing import Any

import dagster as dg
from celery import Celery
from dagster_celery.tasks import create_execute_job_task

from brand_detect.orchestration.launcher import WorkerRunLauncher

AGAIN: dict[str, Any] = {"autoretry_for": (Exception,), "retry_kwargs": {"countdown": 15}, "max_retries": 240}
"""Repeats a task for an hour if it cannot read its run because the database is out of reach. Errors of runs themselves
are not raised, and a run that has begun is not begun again."""


def _app() -> Celery:
    with dg.DagsterInstance.get() as instance:
        launcher = instance.run_launcher
        assert isinstance(launcher, WorkerRunLauncher), "DAGSTER_HOME needs the dagster.yaml of deploy/workers"
        create_execute_job_task(launcher.celery, **AGAIN)
        return launcher.celery


app = _app()
