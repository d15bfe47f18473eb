"""What a worker machine does with the task of a run, without any broker."""

import importlib
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest
from celery import _state
from celery.exceptions import Retry
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_shared.serdes import pack_value

from brand_detect.orchestration import database
from brand_detect.orchestration.database import CLAIM_S, claim

CODE = JobPythonOrigin("pipeline", RepositoryPythonOrigin("python", ModuleCodePointer("pipeline", "defs", None)))
WORKER = "brand_detect.orchestration.worker"
INSTANCE = """
telemetry: {enabled: false}
run_launcher:
  module: brand_detect.orchestration.launcher
  class: WorkerRunLauncher
  config: {broker: "memory://", backend: "disabled://"}
"""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The task of this worker."""
    home = tmp_path_factory.mktemp("worker")
    (home / "dagster.yaml").write_text(INSTANCE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        patch.delitem(sys.modules, WORKER, raising=False)
        # Celery shares tasks with all apps that come later, those of the launcher's tests too
        own = {add for add in _state._on_app_finalizers if add.__module__ == "celery.app.builtins"}
        patch.setattr(_state, "_on_app_finalizers", own)
        yield importlib.import_module(WORKER).app.tasks[TASK_EXECUTE_JOB_NAME]
        del sys.modules[WORKER]


@contextmanager
def a_run(task: Any) -> Iterator[dict[str, Any]]:
    """The arguments with which the task of a run is delivered."""
    with dg.DagsterInstance.get() as instance:
        args = ExecuteRunArgs(CODE, str(uuid.uuid4()), instance.get_ref())
    arguments = {"execute_job_args_packed": pack_value(args)}
    task.push_request(
        id=args.run_id, called_directly=False, args=(), kwargs=arguments, delivery_info={"routing_key": "dagster"}
    )
    yield arguments
    task.pop_request()


def test_of_two_tasks_of_a_run_the_second_waits_until_the_first_has_begun_or_is_dead(
    task: Any, monkeypatch: pytest.MonkeyPatch
):
    with a_run(task) as another:
        task.before_start("another", (), another)
    with a_run(task) as run:
        task.before_start("first", (), run)
        for _ in range(2):
            with pytest.raises(Retry, match="Another task is about to execute the run") as told:
                task.before_start("second", (), run)
            assert told.value.when == 15
        now_s = database.database_now_s
        monkeypatch.setattr(database, "database_now_s", lambda instance: now_s(instance) + CLAIM_S + 1)
        task.before_start("second", (), run)
        with pytest.raises(Retry):
            task.before_start("third", (), run)


def test_of_many_claims_at_once_one_succeeds(task: Any):
    """In files, as in PostgreSQL, since SQLite in memory has one connection."""
    del task
    with dg.DagsterInstance.get() as instance, ThreadPoolExecutor(8) as pool:
        for run_id in ("a", "b", "c"):
            assert sorted(pool.map(lambda _, run_id=run_id: claim(instance, run_id), range(8))) == [False] * 7 + [True]


def test_a_task_waits_for_a_database_that_is_out_of_reach(task: Any, monkeypatch: pytest.MonkeyPatch):
    """For an hour, before it claims its run and after."""

    def away(*_: object) -> dg.DagsterInstance:
        raise OSError("the database is starting up")

    with a_run(task) as run:
        monkeypatch.setattr(dg.DagsterInstance, "get", away)
        for begin in (lambda: task.before_start("first", (), run), lambda: task.run(**run)):
            with pytest.raises(Retry, match="starting up"):
                begin()
    assert task.max_retries * task.retry_kwargs["countdown"] == 3600
