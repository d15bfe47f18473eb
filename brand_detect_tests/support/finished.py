"""Jobs that run once in a test process and are copied after that, with all that they left in the store and Dagster."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import dagster as dg
from dagster._core.storage.event_log.in_memory import InMemoryEventLogStorage
from dagster._core.storage.runs.in_memory import InMemoryRunStorage

from brand_detect.orchestration.run import JobRun
from brand_detect_tests.support.pipeline import Pipeline, pipeline, shared_clip

Make = Callable[[Pipeline, str], tuple[JobRun, ...]]
"""Runs jobs in a fresh pipeline, given the video."""


def finished(built: Pipeline) -> JobRun:
    """The job ``match``: its first shot says ROLEX, its second ACME WIDGETS. ``built`` is as ``copied`` wants it."""
    [run] = copied(built, submitted)
    return run


def submitted(built: Pipeline, video: str) -> tuple[JobRun, ...]:
    return (built.runner.submit(video, job_id="match"),)


def copied(built: Pipeline, make: Make) -> tuple[JobRun, ...]:
    """The runs of ``make``, with all that they leave, in a pipeline that ``pipeline(folder)`` has just made."""
    left = _left_by(make)
    root = built.services.settings.store_root
    shutil.copytree(left.store, root)
    for kept, own in zip(left.databases, _databases(built.instance), strict=True):
        kept.backup(own)
    return tuple(replace(run, store=built.services.store) for run in left.runs)


@dataclass(frozen=True)
class _Left:
    store: Path
    databases: tuple[sqlite3.Connection, ...]
    runs: tuple[JobRun, ...]


@cache
def _left_by(make: Make) -> _Left:
    folder = Path(mkdtemp())
    with pipeline(folder) as built:
        runs = make(built, str(shared_clip()))
        copies = tuple(sqlite3.connect(":memory:") for _ in _databases(built.instance))
        for own, copy in zip(_databases(built.instance), copies, strict=True):
            own.backup(copy)
    return _Left(Path(built.services.settings.store_root), copies, runs)


def _databases(instance: dg.DagsterInstance) -> Iterator[sqlite3.Connection]:
    for storage in (instance.run_storage, instance.event_log_storage):
        assert isinstance(storage, (InMemoryRunStorage, InMemoryEventLogStorage)), "not for what is kept"
        connection = storage._held_conn.connection.dbapi_connection
        assert isinstance(connection, sqlite3.Connection)
        yield connection
