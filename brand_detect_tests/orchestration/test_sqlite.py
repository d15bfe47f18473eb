"""Dagster's SQLite storage with connections that stay open."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from queue import Queue
from threading import Barrier

import dagster as dg
import pytest
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from sqlalchemy import Engine, event

from brand_detect.orchestration.sqlite import _OPEN_RUNS, SqliteEvents
from brand_detect_tests.support.ended import ended
from brand_detect_tests.support.pipeline import home_in


@pytest.fixture
def live(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home_in(tmp_path))) as instance:
        yield instance


def messages(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [text(entry) for entry in instance.all_logs(run_id)]


def text(entry: dg.EventLogEntry) -> str:
    return (entry.dagster_event and entry.dagster_event.message) or ""


def said(instance: dg.DagsterInstance, run_id: str, message: str) -> None:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_engine_event(message, run)


def test_a_query_opens_no_connection(live: dg.DagsterInstance):
    run_id = ended(live, "match")
    opened = []
    listening = (Engine, "connect", lambda *_: opened.append(1))
    event.listen(*listening)
    try:
        said(live, run_id, "one more")
        live.get_runs()
        live.run_storage.set_cursor_values({"key": "value"})
        live.get_ticks("origin", "selector")
        assert messages(live, run_id)[-1] == "one more"
    finally:
        event.remove(*listening)
    assert opened == []


def test_migrations_are_read_for_a_new_database_alone(
    live: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A sensor makes an instance at each tick."""
    run_id = ended(live, "match")
    read: list[object] = []
    monkeypatch.setattr(ScriptDirectory, "from_config", read.append)
    with dg.DagsterInstance.from_config(str(tmp_path)) as other:
        assert messages(other, run_id) == messages(live, run_id) != []
        assert other.get_ticks("origin", "selector") == []
    assert read == []


def test_a_new_run_reads_no_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    events = SqliteEvents(str(tmp_path))
    read: list[object] = []
    monkeypatch.setattr(ScriptDirectory, "from_config", read.append)
    assert events.get_logs_for_run("run") == []
    assert read == []
    events.dispose()


def schema(database: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        made = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        return made + connection.execute("SELECT 'at', version_num FROM alembic_version").fetchall()


def test_a_runs_database_is_as_dagsters_own_makes_it(tmp_path: Path):
    """Whichever process comes first, and though the one across runs is gone."""
    own = SqliteEventLogStorage(str(tmp_path / "own"))
    with own.run_connection("run"):
        pass
    expected = schema(tmp_path / "own" / "run.db")
    storages = [SqliteEvents(str(tmp_path / "ours")) for _ in range(4)]
    together = Barrier(len(storages))

    def make(storage: SqliteEvents, run_id: str) -> None:
        together.wait()
        with storage.run_connection(run_id):
            pass

    with ThreadPoolExecutor(len(storages)) as pool:
        for run_id in ("first", "second", "third"):  # which of them meet is chance
            list(pool.map(make, storages, [run_id] * len(storages)))
            assert schema(tmp_path / "ours" / f"{run_id}.db") == expected
    for file in (tmp_path / "ours").glob("index.db*"):
        file.unlink()
    with storages[0].run_connection("fourth"):
        pass
    assert schema(tmp_path / "ours" / "fourth.db") == expected
    for storage in storages:
        storage.dispose()


def test_a_run_is_read_without_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Else whoever looks at a run would wait for the process that writes to it."""
    events = SqliteEvents(str(tmp_path))
    assert events.get_logs_for_run("run") == []
    monkeypatch.setattr(SqliteEvents, "_copy_tables", lambda *_: pytest.fail("asks for a lock"))
    with closing(sqlite3.connect(tmp_path / "run.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        again = SqliteEvents(str(tmp_path))
        assert again.get_logs_for_run("run") == []
    for storage in (events, again):
        storage.dispose()


def test_a_database_that_a_killed_process_left_half_made_is_completed(tmp_path: Path):
    events = SqliteEvents(str(tmp_path))
    [table] = (sql for name, sql in schema(tmp_path / "index.db") if name == "secondary_indexes")
    with closing(sqlite3.connect(tmp_path / "run.db")) as half:
        half.execute(table)
    assert events.get_logs_for_run("run") == []
    events.dispose()


def test_a_new_run_starts_though_the_database_across_runs_is_damaged(tmp_path: Path):
    events = SqliteEvents(str(tmp_path))
    events.dispose()
    (tmp_path / "index.db").write_bytes(b"no database" * 1000)
    assert events.get_logs_for_run("run") == []
    events.dispose()


def test_dagsters_own_storage_reads_the_same_files(live: dg.DagsterInstance, tmp_path: Path):
    """Somebody may go back to it, and an earlier home has it."""
    run_id = ended(live, "match")
    live.add_dynamic_partitions("job_id", ["match"])
    (tmp_path / "dagster.yaml").write_text(
        f"telemetry: {{enabled: false}}\nstorage: {{sqlite: {{base_dir: {tmp_path}}}}}\n", encoding="utf-8"
    )
    with dg.DagsterInstance.from_config(str(tmp_path)) as plain:
        assert type(plain.event_log_storage) is SqliteEventLogStorage
        assert messages(plain, run_id) == messages(live, run_id) != []
        assert plain.get_dynamic_partitions("job_id") == ["match"]
        said(plain, run_id, "from there")
    assert messages(live, run_id)[-1] == "from there"


def test_who_watches_a_run_is_told_of_every_event(live: dg.DagsterInstance, tmp_path: Path):
    """As the page of a run in Dagster's UI does, from another process, while the run goes on."""
    run_id = ended(live, "match")
    told: Queue[str] = Queue()
    with dg.DagsterInstance.from_config(str(tmp_path)) as watching:
        watching.watch_event_logs(run_id, None, lambda entry, _: told.put(text(entry)))
        for number in range(3):
            said(live, run_id, f"event {number}")
            while told.get(timeout=10) != f"event {number}":
                pass


def test_more_runs_than_it_keeps_open(live: dg.DagsterInstance):
    made = [ended(live, "match", reason=f"{n}") for n in range(_OPEN_RUNS + 2)]
    for number, run_id in enumerate(made):
        said(live, run_id, f"once more {number}")
    assert [messages(live, run_id)[-1] for run_id in made] == [f"once more {n}" for n in range(len(made))]


def test_a_wiped_history_begins_anew(live: dg.DagsterInstance):
    run_id = ended(live, "match")
    live.wipe()
    assert live.get_runs() == []
    assert messages(live, run_id) == []
    run_id = ended(live, "match")
    assert messages(live, run_id) != []


def test_a_history_wiped_by_another_process_begins_anew(live: dg.DagsterInstance, tmp_path: Path):
    run_id = ended(live, "match")
    with dg.DagsterInstance.from_config(str(tmp_path)) as other:
        other.wipe()
    assert messages(live, run_id) == []
    assert messages(live, ended(live, "match")) != []


KILLED = """
import os, signal, sys
import dagster as dg
from brand_detect_tests.support.ended import ended
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    print(ended(instance, "match"), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_nothing(live: dg.DagsterInstance, tmp_path: Path):
    run_id = ended(live, "before")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    killed = done.stdout.strip()
    assert messages(live, killed) == messages(live, run_id)
    assert {run.run_id for run in live.get_runs()} == {run_id, killed}


def test_the_databases_are_whole_and_write_ahead(live: dg.DagsterInstance, tmp_path: Path):
    ended(live, "match")
    found = list((tmp_path / "history").rglob("*.db"))
    assert len(found) == 3  # runs, one run's events, events across runs
    for path in found:
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_database_in_whose_place_another_file_came_gets_its_tables(live: dg.DagsterInstance, tmp_path: Path):
    ended(live, "match")
    [runs] = tmp_path.rglob("runs.db")
    live.dispose()
    for file in runs.parent.glob("runs.db*"):
        file.rename(file.with_name(f"old-{file.name}"))
    runs.touch()
    with dg.DagsterInstance.from_config(str(tmp_path)) as other:
        assert other.get_runs() == []
