"""Whole runs on worker machines, over real Redis, PostgreSQL and S3, in processes that share no folder."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from brand_detect.client import Client
from brand_detect.client.models import Run
from brand_detect.domain.errors import BrandDetectError, Permanent
from brand_detect.domain.pipeline import LINE, STAGES
from brand_detect_tests.support.stack import until
from brand_detect_tests.support.workers import Site, site

pytestmark = pytest.mark.skipif(
    not (shutil.which("redis-server") or os.environ.get("CI")),  # on CI they fail without it
    reason="needs Redis: apt-get install redis-server",
)
END_S = 300.0


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, s3: Path) -> Iterator[Site]:
    """Two workers with a slot each, and a queue for two."""
    with site(tmp_path_factory.mktemp("two"), s3, ("one", "two")) as made:
        yield made


@pytest.fixture
def crowded(tmp_path: Path, s3: Path) -> Callable:
    """Workers with a slot each, and more runs than slots in the broker."""
    return lambda *names, runs=4: site(
        tmp_path, s3, names, lambda config: config["concurrency"]["runs"].update(max_concurrent_runs=runs)
    )


def submit(client: Client, made: Site, *jobs: str) -> list[Run]:
    return [client.submit(made.video, job_id=job) for job in jobs]


def attempts(made: Site, job: str) -> dict[str, list[str]]:
    """Every attempt in the store, finished or not, by stage."""
    return {stage: sorted(p.name for p in (made.store / job / stage).glob("*")) for stage in LINE}


def check_once(made: Site, runs: list[Run]) -> None:
    """Each has succeeded, at the first try of each stage."""
    assert [run.status for run in runs] == ["success"] * len(runs)
    for run in runs:
        assert attempts(made, run.job_id) == {stage: [f"{run.run_id}-0"] for stage in LINE}, run.job_id


def test_a_job_runs_on_a_machine_that_sees_nothing_of_the_centre(crowded: Callable):
    with crowded("only") as made, made.fleet.client() as client:
        [submitted] = submit(client, made, "alone")
        run = client.wait(submitted.run_id, END_S)
        assert [row["brand"] for row in client.report("alone").brands] == ["Rolex"]
        check_once(made, [run])
    printed = {path.parts[-3] for path in (made.store.parent / "brand-detect-logs").rglob("*.err")}
    assert run.run_id in printed, "what it printed is not on S3"


@pytest.mark.slow
def test_two_jobs_run_side_by_side_on_two_machines(two: Site):
    with two.fleet.client() as client:
        runs = [client.wait(run.run_id, END_S) for run in submit(client, two, "left", "right")]
        brands = [[row["brand"] for row in client.report(run.job_id).brands] for run in runs]
    check_once(two, runs)
    assert brands == [["Rolex"], ["Rolex"]]
    first, second = sorted(runs, key=lambda run: run.started_s or 0)
    assert (second.started_s or 0) < (first.ended_s or 0), "one waited for the other"


@pytest.mark.slow
def test_a_cancelled_run_ends_within_ten_seconds_and_stays_cancelled(two: Site):
    two.fleet.tell("slow", "0.5")
    with two.fleet.client() as client:
        [run] = submit(client, two, "unwanted")
        until(lambda: "filter_scenes" in client.run(run.run_id).done, "it detects objects")
        began = time.monotonic()
        client.cancel(run.run_id)
        until(lambda: client.run(run.run_id).ended, "it ends")
        assert time.monotonic() - began < 10
        time.sleep(5)  # Dagster looks for failures to execute again
        end = client.run(run.run_id)
        assert (end.status, end.retried_as, end.will_retry) == ("canceled", "", None)
    two.fleet.tell("slow", "")
    assert all(name.startswith(run.run_id) for names in attempts(two, "unwanted").values() for name in names)


@pytest.mark.slow
def test_no_job_waits_behind_a_busy_worker_while_another_is_free(crowded: Callable):
    with crowded("free", "busy") as made, made.fleet.client() as client:
        made.fleet.workers["busy"].tell("slow", "5")
        runs = submit(client, made, *(f"job-{n}" for n in range(4)))

        def statuses() -> list[str]:
            return sorted(client.run(run.run_id).status for run in runs)

        until(lambda: statuses().count("success") == 3, "three have ended")
        assert statuses()[0] == "started", "the fourth is at the busy one"
        made.fleet.tell("slow", "")
        check_once(made, [client.wait(run.run_id, END_S) for run in runs])


@pytest.mark.slow
def test_a_killed_machines_job_goes_on_after_its_last_finished_stage(crowded: Callable):
    with crowded("one", "two", runs=2) as made, made.fleet.client() as client:
        made.fleet.tell("slow", "1")
        runs = submit(client, made, *(f"job-{n}" for n in range(4)))
        until(lambda: "filter_scenes" in client.run(runs[0].run_id).done, "it detects objects")
        first = client.run(runs[0].run_id)
        next(worker for worker in made.fleet.workers.values() if worker.executes(first)).kill()
        began = time.monotonic()
        made.fleet.tell("slow", "")
        ends = [client.wait(run.run_id, END_S) for run in runs]
        assert time.monotonic() - began < 200 + 60
        assert [run.status for run in ends] == ["success"] * 4
        assert ends[0].parent_run_id == first.run_id
        check_once(made, ends[1:])
        done = {stage: [f"{first.run_id}-0"] for stage in ("job_request", "extract_frames", "filter_scenes")}
        made_by = attempts(made, "job-0")
        assert {stage: made_by[stage] for stage in done} == done, "a finished stage was repeated"
        assert all(f"{ends[0].run_id}-0" in made_by[stage] for stage in STAGES[2:])
        print(f"recovered in {time.monotonic() - began:.0f} s")


@pytest.mark.slow
def test_runs_that_wait_in_the_broker_do_not_time_out(crowded: Callable):
    with crowded("only") as made, made.fleet.client() as client:
        made.fleet.tell("slow", "3")
        runs = [client.wait(run.run_id, END_S) for run in submit(client, made, *(f"job-{n}" for n in range(4)))]
        check_once(made, runs)
        waited = max((run.started_s or 0) - run.created_s for run in runs)
        assert waited > 60, "it was no test: Dagster's own limit is a minute"


@pytest.mark.slow
def test_a_stopped_worker_ends_after_its_run(crowded: Callable):
    with crowded("one", "two", runs=2) as made, made.fleet.client() as client:
        made.fleet.tell("slow", "1")
        first, second, third = submit(client, made, *(f"job-{n}" for n in range(3)))
        until(lambda: {client.run(run.run_id).status for run in (first, second)} == {"started"}, "both work")
        stopped = next(w for w in made.fleet.workers.values() if w.executes(client.run(first.run_id)))
        stopped.stop()
        assert client.run(first.run_id).status == "success"
        made.fleet.tell("slow", "")
        check_once(made, [client.wait(run.run_id, END_S) for run in (first, second, third)])


@pytest.mark.slow
def test_every_job_ends_once_though_the_broker_is_killed(crowded: Callable):
    with crowded("one", "two") as made, made.fleet.client() as client:
        made.fleet.tell("slow", "1")
        runs = submit(client, made, "early-0", "early-1", "early-2")
        until(lambda: "filter_scenes" in client.run(runs[0].run_id).done, "it detects objects")
        made.redis.kill()
        runs += submit(client, made, "meanwhile-0", "meanwhile-1")
        with pytest.raises(Permanent, match="refused"):
            client.cancel(runs[0].run_id)
        time.sleep(10)
        made.redis.start()
        made.fleet.tell("slow", "")
        runs += submit(client, made, "late")
        check_once(made, [client.wait(run.run_id, END_S) for run in runs])


@pytest.mark.slow
def test_every_job_ends_once_though_the_database_is_killed(crowded: Callable):
    with crowded("one", "two") as made, made.fleet.client() as client:
        made.fleet.tell("slow", "1")
        runs = submit(client, made, *(f"early-{n}" for n in range(4)))
        until(lambda: "filter_scenes" in client.run(runs[0].run_id).done, "it detects objects")
        made.database.kill()
        time.sleep(10)
        made.database.start()
        made.fleet.tell("slow", "")

        def late() -> list[Run]:
            with suppress(BrandDetectError):  # connections that the webserver kept are gone
                return [client.submit(made.video, job_id="late", key="late")]
            return []

        runs += until(late, "the webserver has new connections")
        ends = [client.wait(run.run_id, END_S) for run in runs]
    assert [run.status for run in ends] == ["success"] * 5
    for run in ends:
        finished = {path.parent for path in (made.store / run.job_id).glob("*/*/manifest.json")}
        assert sorted(path.parent.name for path in finished) == sorted(LINE), f"{run.job_id}: a stage was repeated"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [("one", "two"), ()], ids=["two workers", "one machine alone"])
def test_many_jobs_are_neither_lost_nor_done_twice(workers: tuple[str, ...], tmp_path: Path, s3: Path):
    def two_at_once(config: dict[str, Any]) -> None:
        config["concurrency"]["runs"]["max_concurrent_runs"] = 2
        if not workers:
            del config["run_launcher"]  # by default, runs are processes of the machine that launches them

    count = int(os.environ.get("JOBS", "200"))
    with site(tmp_path, s3, workers, two_at_once) as made, made.fleet.client() as client:
        began = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            runs = list(pool.map(lambda n: submit(client, made, f"job-{n}")[0], range(count)))
        print(f"{count} submitted in {time.monotonic() - began:.0f} s")
        ends = [client.wait(run.run_id, 10 * count) for run in runs]
        print(f"{count} done in {time.monotonic() - began:.0f} s")
        check_once(made, ends)
        for worker in made.fleet.workers.values():
            assert sum(worker.executes(run) for run in ends) > count / 4, "one of them did nearly all"
