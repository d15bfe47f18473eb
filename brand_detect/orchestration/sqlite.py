"""Dagster's SQLite storage with connections that stay open: the ``storage`` of ``dagster.yaml``.

Dagster's own makes an engine and opens a connection for every query, some 800 in a run of nine steps. Each engine
compiles all its statements anew, and each connection that closes writes its log back to the database and waits for
the disk. It also reads all its migrations whenever a storage is made, which takes 80 ms. The files are the same, so
either storage can take over from the other.
"""

import os
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from alembic.runtime.migration import MigrationContext
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS, create_db_conn_string
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.event import listen
from sqlalchemy.exc import OperationalError

_OPEN_RUNS = 16
"""Databases of runs, one each, that a process keeps open."""
_TABLES = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
"""The statements that made a database's tables and their indices."""


def _engine(url: str) -> Engine:
    return create_engine(url, max_overflow=-1, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})


def _relaxed(connection: Any, _: object) -> None:
    """Wait for the disk once in many commits: a killed process loses none, a machine that loses power the last ones.

    The database stays whole in both cases (https://www.sqlite.org/pragma.html#pragma_synchronous, WAL mode). Only what
    one run logs is kept so: asset events, runs, and where sensors stand are also, or alone, in databases that wait.
    """
    connection.execute("PRAGMA synchronous = NORMAL")


class _OneFile:
    """Keeps the connections to one database."""

    _conn_string: str
    _database: ClassVar[str]
    _found: ClassVar[set[tuple[Path, int]]] = set()
    """Databases whose tables this process has made or found, with their inodes: another file may take their place."""

    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> Any:
        """As Dagster's own, which reads all migrations, but once in a process: each tick of a sensor asks for it."""
        path = Path(base_dir, f"{cls._database}.db").absolute()
        if path.exists() and (path, path.stat().st_ino) in cls._found:
            return cls(create_db_conn_string(base_dir, cls._database), inst_data)  # pyright: ignore[reportCallIssue]
        made = super().from_local(base_dir, inst_data)  # pyright: ignore[reportAttributeAccessIssue]
        cls._found.add((path, path.stat().st_ino))
        return made

    @cached_property
    def _engine(self) -> Engine:
        return _engine(self._conn_string)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        self._engine.dispose()


class SqliteRuns(_OneFile, SqliteRunStorage):
    """Runs, heartbeats of the daemons, and stored values."""

    _database = "runs"


class SqliteSchedules(_OneFile, SqliteScheduleStorage):
    """Schedules, sensors and their ticks."""

    _database = "schedules"


class SqliteEvents(SqliteEventLogStorage):
    """Events: a database for each run, and one that counts across runs."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        super().__init__(base_dir, inst_data)

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        """As Dagster's own, which reads all migrations to find out whether there is anything to do."""
        made = None
        with suppress(OperationalError), engine.connect() as connection:  # a locked one is tried again by Dagster's own
            made = MigrationContext.configure(connection).get_current_revision()
        if not made:
            super()._initdb(engine, for_index_shard)

    def _make_run(self, engine: Engine) -> None:
        """Give a new run's database the tables of the one across runs.

        Dagster's own reads all migrations and waits for the disk after each table, a fifth of a second for each run. It
        still makes what cannot be copied, and what a killed process left undone.
        """
        with suppress(sqlite3.DatabaseError), closing(engine.raw_connection()) as connection:
            if not connection.execute(_TABLES).fetchone():
                self._copy_tables(connection)
        self._initdb(engine)

    def _copy_tables(self, connection: Any) -> None:
        index = f"file:{quote(self.path_for_shard(INDEX_SHARD_NAME))}?mode=rw"
        with closing(sqlite3.connect(index, SQLITE_BUSY_TIMEOUT_SECONDS, uri=True)) as across:
            across.execute("BEGIN")  # the revision is that of these tables
            revision = across.execute("SELECT version_num FROM alembic_version").fetchone()
            tables = [sql for (sql,) in across.execute(_TABLES)]
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")  # another process may be at it
        if revision and not connection.execute(_TABLES).fetchone():
            for sql in tables:
                connection.execute(sql)
            connection.execute("INSERT INTO alembic_version VALUES (?)", revision)
        connection.commit()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            if shard in self._engines and not Path(self.path_for_shard(shard)).exists():  # another process wiped it
                self._engines.pop(shard).dispose()
                self._initialized_dbs.discard(shard)
            if shard not in self._engines:
                self._engines[shard] = engine = _engine(self.conn_string_for_shard(shard))
                if shard != INDEX_SHARD_NAME:
                    listen(engine, "connect", _relaxed)
            self._engines.move_to_end(shard)
            if len(self._engines) > _OPEN_RUNS:
                self._engines.popitem(last=False)[1].dispose()
            if shard not in self._initialized_dbs:
                (self._initdb if shard == INDEX_SHARD_NAME else self._make_run)(self._engines[shard])
                self._initialized_dbs.add(shard)
            with self._engines[shard].begin() as connection:
                yield connection

    def store_event(self, event: EventLogEntry) -> None:
        super().store_event(event)
        # Whoever watches a run, as Dagster's UI does, waits for a change of its database, not of the log beside it.
        os.utime(self.path_for_shard(event.run_id))

    def wipe(self) -> None:
        self._close()
        super().wipe()

    def dispose(self) -> None:
        super().dispose()
        self._close()

    def _close(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()


class SqliteStorage(DagsterSqliteStorage):
    """The three of them in one folder, ``base_dir``, laid out as Dagster's own."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.base_dir = base_dir
        self._run_storage = SqliteRuns.from_local(f"{base_dir}/history")
        self._event_log_storage = SqliteEvents(f"{base_dir}/history/runs")
        self._schedule_storage = SqliteSchedules.from_local(f"{base_dir}/schedules")
        self._inst_data = inst_data
        DagsterStorage.__init__(self)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> "SqliteStorage":
        return cls.from_local(inst_data=inst_data, **config_value)
