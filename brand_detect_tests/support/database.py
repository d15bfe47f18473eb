"""Cheaper queries on SQLite, for the hundreds of runs of the tests; the project leaves Dagster as it is."""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy import Engine, Pool, create_engine, event


def keep_engines() -> None:
    """Let Dagster's SQLite storages use SQLAlchemy's engines and Alembic's migration scripts again.

    They create an engine for every query, and each new one compiles all its statements anew: a quarter of the CPU time
    of a run of nine steps (2.4 instead of 1.8 s). The engines hold no connections. For every new database, and each run
    has one, they load 89 scripts.

    Nor do they wait for the disk at every event, which takes most of the time of a run in the daemon: only a machine
    that loses power needs it, and no test takes that away.
    """
    for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        module.__dict__["create_engine"] = _engine
    ScriptDirectory.from_config = _scripts


_scripts = cache(ScriptDirectory.from_config)  # Dagster keeps a config for each kind of database


def _engine(url: str, poolclass: type[Pool], connect_args: Mapping[str, Any] | None = None) -> Engine:
    return _kept(url, poolclass, tuple((connect_args or {}).items()))


@lru_cache(maxsize=64)  # each run has a database of its own
def _kept(url: str, poolclass: type[Pool], connect_args: tuple[tuple[str, Any], ...]) -> Engine:
    engine = create_engine(url, poolclass=poolclass, connect_args=dict(connect_args))
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    return engine
