"""Silence by the clock of a real PostgreSQL server, whatever the clocks of workers say."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest

from brand_detect.operations.monitoring import dead_runs, liveness
from brand_detect.operations.monitoring.dead_runs import FirstSeen
from brand_detect.orchestration.database import database_now_s
from brand_detect_tests.operations.monitoring.test_liveness import begun

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
QUIET_S = 4.0
"""Silence after which a worker is dead here, instead of two minutes."""
WORKER = """
import sys, threading, time
time.sleep = lambda s: threading.Event().wait(s)  # libfaketime breaks the other
import dagster as dg
from brand_detect.domain.settings import Settings
from brand_detect.operations.monitoring import liveness
liveness.BEAT_S = 0.3
liveness.this_machine = lambda: "another-boot/4026531836"
with dg.DagsterInstance.get() as instance:
    run = instance.get_run_by_id(sys.argv[1])
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", run.job_name), run.run_id)
    with liveness.at_work(instance, run.run_id, Settings()):
        print(time.time(), flush=True)
        time.sleep(600)
"""


@pytest.fixture
def shared(
    postgres: str, tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance on PostgreSQL."""
    assert postgres
    shutil.copy(checkout / "deploy" / "postgres" / "dagster.yaml", tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.get() as instance:
        yield instance


def test_the_time_is_the_server_s(shared: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 600)
    assert database_now_s(shared) == pytest.approx(now_s, abs=60)
    first = database_now_s(shared)
    assert database_now_s(shared) > first, "not that of a transaction that stays open"


class Watch:
    """Looks as the sensor does, tick by tick."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance, self._cursor = instance, ""

    def look(self, run_id: str) -> str:
        """Why the run is found dead; empty if it is not."""
        seen = FirstSeen(database_now_s(self._instance), self._cursor)
        found = {run.run_id: why for run, why in dead_runs.found_dead(self._instance, seen)}
        self._cursor = seen.cursor
        return found.get(run_id, "")


@pytest.mark.slow
@pytest.mark.skipif(FAKETIME is None, reason="needs libfaketime: apt-get install libfaketime")
@pytest.mark.parametrize("off_s", [-600, 600])
def test_a_worker_of_the_same_name_with_another_clock_is_dead_when_it_is_silent(
    shared: dg.DagsterInstance, clean_environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, off_s: int
):
    monkeypatch.setattr(liveness, "SILENT_S", QUIET_S)
    monkeypatch.setattr(dead_runs, "SILENT_S", QUIET_S)
    run_id, watch = begun(shared, status="STARTING"), Watch(shared)
    other = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{off_s:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    own = {k: v for k, v in os.environ.items() if k in ("DAGSTER_HOME", "BRAND_DETECT_POSTGRES_URL")}
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, run_id], env={**clean_environment, **own, **other}, stdout=subprocess.PIPE
    ) as worker:
        try:
            assert worker.stdout is not None
            assert float(worker.stdout.readline()) == pytest.approx(time.time() + off_s, abs=60)
            until = time.monotonic() + 2 * QUIET_S
            while time.monotonic() < until:
                assert watch.look(run_id) == "", "it beats"
                time.sleep(0.3)
        finally:
            worker.kill()
    assert watch.look(run_id) == "", "it may have been about to beat"
    until = time.monotonic() + 3 * QUIET_S
    while not (why := watch.look(run_id)) and time.monotonic() < until:
        time.sleep(0.3)
    assert "is gone" in why
