"""Measures, with many jobs in one instance, the listing of checkpoints and the off-peak ticks."""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import httpx2
from sqlalchemy import event
from sqlalchemy.engine import Engine

from brand_detect.client import Client
from brand_detect.definitions import build_definitions
from brand_detect.domain.pipeline import LINE, upstream_of
from brand_detect.domain.settings import Settings
from brand_detect.evaluation.benchmarks.common import Section
from brand_detect.operations.retries.offpeak import offpeak_retries
from brand_detect.operations.retries.open_jobs import WATCHED, open_jobs
from brand_detect.orchestration.partitions import JOBS
from brand_detect.orchestration.resources import Services

LISTED = "listed"
"""The job whose checkpoints are listed; it has several attempts of every stage, with pictures."""
ATTEMPTS = 3
PICTURE_BYTES = 60_000


def scale(folder: Path, jobs: int, runs: int = 15) -> Section:
    """Listing one job's checkpoints over GraphQL, and the off-peak sensor and schedule, with ``jobs`` jobs present.

    The instance is created in ``folder`` once, on SQLite; every job has escalations and a report.
    """
    home = folder / f"scale-{jobs}"
    with _instance(home) as instance:
        _fill(instance, jobs)
        with _counted() as queries:
            began = time.perf_counter()
            ticks, cursor, before = 0, None, ""
            while cursor != before:
                before, cursor, ticks = cursor, _tick(instance, cursor), ticks + 1
            first_s, first_queries = time.perf_counter() - began, queries[0]
            queries[0] = 0
            began = time.perf_counter()
            _tick(instance, cursor)
            again_s, again_queries = time.perf_counter() - began, queries[0]
            queries[0] = 0
            began = time.perf_counter()
            retries = _night(instance)
            night_s, night_queries = time.perf_counter() - began, queries[0]
    with _webserver(home) as url, Client(url) as client:
        listed_s = _median_s(lambda: client.checkpoints(LISTED), runs)
    rows = [
        ("listing one job's checkpoints", 1000 * listed_s, ""),
        (f"open_jobs, {ticks} ticks over {len(WATCHED) * jobs} events", 1000 * first_s, str(first_queries)),
        ("open_jobs, nothing new", 1000 * again_s, str(again_queries)),
        (f"offpeak_retries, {retries} launched", 1000 * night_s, str(night_queries)),
    ]
    return Section(f"With {jobs} jobs present", ("what", "ms", "database queries"), rows)


@contextmanager
def _instance(home: Path) -> Iterator[dg.DagsterInstance]:
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def _fill(instance: dg.DagsterInstance, jobs: int) -> None:
    present = set(instance.get_dynamic_partitions(str(JOBS.name)))
    for n in range(jobs):
        job_id = f"job-{n:06d}"
        if job_id not in present:
            for stage in WATCHED:
                _report(instance, stage, job_id, "run-0", picture=False)
            instance.add_dynamic_partitions(str(JOBS.name), [job_id])  # last, so that existing jobs are complete
    if LISTED not in present:
        for n in range(ATTEMPTS):
            for stage in LINE:
                _report(instance, stage, LISTED, f"run-{n}", picture=True)
        instance.add_dynamic_partitions(str(JOBS.name), [LISTED])


def _report(instance: dg.DagsterInstance, stage: str, job_id: str, attempt: str, *, picture: bool) -> None:
    values = {"provider": "off", "model": "", "max_questions": 200}
    metadata = {
        "attempt": attempt,
        "uri": f"/store/{job_id}/{stage}/{attempt}",
        "never_answered": 3,
        "questions": 0,
        "stage_s": 0.1,
        "params": dg.MetadataValue.json(values),
        "overrides": dg.MetadataValue.json({}),
        "upstream": dg.MetadataValue.json(dict.fromkeys(upstream_of(stage), attempt)),
        **({"picture": dg.MetadataValue.md("x" * PICTURE_BYTES)} if picture else {}),
    }
    instance.report_runless_asset_event(dg.AssetMaterialization(stage, partition=job_id, metadata=metadata))


def _tick(instance: dg.DagsterInstance, cursor: str | None) -> str | None:
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        open_jobs(context)
        return context.cursor


def _night(instance: dg.DagsterInstance) -> int:
    settings = Settings(offpeak_overrides={"escalate_vlm": {"provider": "transformers"}})
    services = Services.of(settings)
    schedule = offpeak_retries(settings)
    repository = build_definitions(services).get_repository_def()
    context = dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime.now(UTC),
        resources={"services": services},
        repository_def=repository,
    )
    return len(schedule.evaluate_tick(context).run_requests or ())


@contextmanager
def _counted() -> Iterator[list[int]]:
    """Counts the statements sent to any database."""
    count = [0]

    def one(*_: object) -> None:
        count[0] += 1

    event.listen(Engine, "before_cursor_execute", one)
    try:
        yield count
    finally:
        event.remove(Engine, "before_cursor_execute", one)


@contextmanager
def _webserver(home: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        Path(sys.executable).with_name("dagster-webserver"),
        *("-m", "brand_detect.definitions", "-h", "127.0.0.1", "-p", str(port)),
    ]
    environment = os.environ | {"DAGSTER_HOME": str(home)}
    with (home / "webserver.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=log)
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    httpx2.get(f"http://127.0.0.1:{port}/server_info").raise_for_status()
                    break
                except httpx2.HTTPError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.3)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def _median_s(work: Callable[[], object], runs: int) -> float:
    work()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
