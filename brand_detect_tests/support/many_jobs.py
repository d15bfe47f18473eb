"""What the service costs with many jobs, and whether its readers wait for jobs that run.

``python -m brand_detect_tests.support.many_jobs FOLDER [JOBS]``. One job is run by a real Dagster with scripted
engines; the others are copies of it under other names, each with a run that Dagster takes for ended. Then
``brand-detect dev`` runs over them: the list is opened in Chromium, and twenty readers ask for pages and answers, alone
and beside five jobs and a replay whose client waits. All videos last some seconds: it is the waiting that is measured,
not long reports.
"""

import os
import random
import shutil
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import dagster as dg
import httpx2
import psutil
import yaml

from brand_detect.domain.pipeline import ROOT, STAGES
from brand_detect.orchestration.partitions import JOBS
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.manifest import NAME, FileEntry, manifest_to_json
from brand_detect.storage.store import Store
from brand_detect_tests.support.browser import chromium
from brand_detect_tests.support.ended import ended
from brand_detect_tests.support.pipeline import two_shot_clip
from brand_detect_tests.support.stack import Stack, until

MEANT = {"X-Requested-With": "brand_detect"}
FIRST, LAST = "first", STAGES[-1]
READERS, RUNNING, PHASE_S, PAUSE_S = 20, 5, 60.0, (1.0, 3.0)
PAGES = {
    "jobs": "/",
    "jobs, what has changed": "/?part=jobs",
    "jobs, searched": "/?part=jobs&q=final+{n}",
    "jobs, by name": "/?part=jobs&sort=name&page={page}",
    "jobs, failed ones": "/?part=jobs&state=failed",
    "a report": "/reports/{job}",
    "a comparison": "/compare?job={job}&with_job={other}",
    "the sums of five reports": "/portfolio?{five}",
    "the brand list": "/brand-list",
    "GET /jobs": "/jobs?page={page}",
    "GET /jobs/{job_id}": "/jobs/{job}",
    "GET …/documents/report.json": "/reports/{job}/documents/report.json",
    "GET …/boxes": "/reports/{job}/boxes?from_s=0&to_s=2",
    "GET …/thumbnail.jpg": "{thumbnail}",
    "GET /brands": "/brands?q=rolex",
    "GET /detect/checkpoints/{job_id}": f"/detect/checkpoints/{FIRST}",
}


def copied(store: Store, job_id: str, name: str) -> None:
    """The job ``FIRST`` once more, of a video called ``name``; files with the same content are linked."""
    made = Path(store.root)
    for file in (made / FIRST).rglob("*"):
        target = made / job_id / file.relative_to(made / FIRST)
        if file.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif file.name != NAME and ROOT not in file.parts:
            os.link(file, target)
    for stage in (made / FIRST).iterdir():
        for attempt in stage.iterdir() if not stage.name.startswith("_") else ():
            manifest = store.manifest(AttemptRef(FIRST, stage.name, attempt.name))
            files = manifest.files
            if stage.name == ROOT:
                [entry] = files
                value = (attempt / entry.name).read_bytes().replace(f"{FIRST}.mp4".encode(), f"{name}.mp4".encode())
                (made / job_id / ROOT / attempt.name / entry.name).write_bytes(value)
                files = (FileEntry(name=entry.name, size_bytes=len(value), sha256=sha256(value).hexdigest()),)
            changed = manifest.model_copy(update={"job_id": job_id, "files": files})
            (made / job_id / stage.name / attempt.name / NAME).write_bytes(manifest_to_json(changed))


def fill(stack: Stack, jobs: int) -> None:
    """Copies, and their runs: of twenty, one has failed and one was cancelled."""
    store, names = Store(str(stack.store)), []
    with dg.DagsterInstance.from_config(str(stack.folder)) as instance:
        for n in range(jobs):
            job_id = f"final-{n:05d}"
            copied(store, job_id, f"Final {n}, {'home' if n % 3 else 'away'}")
            status = {0: "FAILURE", 1: "CANCELED"}.get(n % 20, "SUCCESS")
            failed: dict[str, Any] = {"failed": LAST, "reason": "It is damaged."} if status == "FAILURE" else {}
            ended(instance, job_id, status, start=LAST, tags={"dagster/max_retries": "0"}, **failed)
            names.append(job_id)
        instance.add_dynamic_partitions(str(JOBS.name), names)


def service_of(stack: Stack) -> psutil.Process:
    """The process that serves HTTP."""
    children = psutil.Process(stack.pid).children(recursive=True)
    return next(child for child in children if "serve" in child.cmdline())


def opened(stack: Stack, jobs: int) -> Iterator[tuple[str, float]]:
    """Seconds in Chromium of what an analyst does with the list."""
    with chromium() as browser:
        for turn in ("first", "second"):
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"{stack.service_url}/", wait_until="load")
            yield (
                f"first paint, {turn} time",
                page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"),
            )
            page.close()
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{stack.service_url}/")
        page.wait_for_timeout(500)

        def took(what: str, selector: str, text: str) -> float:
            """Until the list shows what was asked for by the JavaScript ``what``."""
            return page.evaluate(
                """async ([what, selector, text]) => {
                    const began = performance.now();
                    (0, eval)(what);
                    const there = () => document.querySelector(selector)?.textContent.includes(text);
                    while (!there()) await new Promise(requestAnimationFrame);
                    return (performance.now() - began) / 1000;
                }""",
                [what, selector, text],
            )

        typed = "q.value = 'final-00000'; q.dispatchEvent(new Event('input', { bubbles: true }))"
        yield (
            "search, with the 0.25 s that it waits for more",
            took(typed, ".job h2", "Final 0,"),
        )
        page.evaluate("q.value = ''; q.dispatchEvent(new Event('input', { bubbles: true }))")
        page.wait_for_timeout(1500)
        order = "sort.value = '{by}'; sort.dispatchEvent(new Event('change', {{ bubbles: true }}))"
        yield "order by name", took(order.format(by="name"), ".job h2", "Final 0, away")
        took(order.format(by="newest"), ".job h2", f"Final {jobs - 1},")
        yield "order by name, again", took(order.format(by="name"), ".job h2", "Final 0, away")
        began = time.perf_counter()
        page.locator("#state-failed").click()
        page.locator("#state-failed[aria-current]").wait_for()
        yield "filter by state", time.perf_counter() - began


@dataclass
class Readers:
    """Twenty people and programs, each of whom asks for something every two seconds."""

    address: str
    jobs: int
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: list[str] = field(default_factory=list)

    def read(self, until_s: float, seed: int) -> None:
        chance = random.Random(seed)
        with httpx2.Client(base_url=self.address, timeout=120) as http:
            while time.monotonic() < until_s:
                time.sleep(chance.uniform(*PAUSE_S))
                what = chance.choice(list(PAGES))
                n = chance.randrange(self.jobs) // 20 * 20 + 2  # a job that is done
                job = f"final-{n:05d}"
                thumbnail = http.get(f"/jobs/{job}").json()["thumbnail"] if "thumbnail" in PAGES[what] else ""
                page = 1 + chance.randrange(max(1, self.jobs // 50))
                five = "&".join(f"job=final-{20 * i + 2:05d}" for i in chance.choices(range(self.jobs // 20), k=5))
                path = PAGES[what].format(n=n, job=job, other=FIRST, page=page, thumbnail=thumbnail, five=five)
                began = time.perf_counter()
                answer = http.get(path)
                self.seconds[what].append(time.perf_counter() - began)
                if answer.status_code != 200:
                    self.failed.append(f"{path}: {answer.status_code}")

    def all(self, seconds: float) -> "Readers":
        until_s = time.monotonic() + seconds
        threads = [threading.Thread(target=self.read, args=(until_s, seed)) for seed in range(READERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self


@contextmanager
def running(stack: Stack) -> Iterator[list[float]]:
    """Five jobs that run, and a client that waits for one replay after the other: how long it waited each time."""
    waited: list[float] = []
    over = threading.Event()
    stack.tell("slow", "20")  # seconds a picture: they start, and then run without work

    def replay() -> None:
        with httpx2.Client(base_url=stack.service_url, timeout=600, headers=MEANT) as http:
            while not over.is_set():
                began = time.perf_counter()
                http.post("/detect/replay", json={"job_id": FIRST, "start_stage": "compile_report"}).raise_for_status()
                waited.append(time.perf_counter() - began)

    with httpx2.Client(base_url=stack.service_url, timeout=120, headers=MEANT) as http:
        for n in range(RUNNING):
            video = two_shot_clip(stack.folder / f"running-{n}.mp4", seconds=60.0 + n)
            http.post("/jobs", json={"video_uri": str(video), "job_id": f"running-{n}"}).raise_for_status()
        until(lambda: http.get("/jobs?state=running").json()["total"] == RUNNING, "five jobs run")
        thread = threading.Thread(target=replay)
        thread.start()
        yield waited
        still = http.get("/jobs?state=running&q=running").json()["total"]
        over.set()
        thread.join()
        for n in range(RUNNING):
            http.post(f"/jobs/running-{n}/cancel")
        until(lambda: not http.get("/jobs?state=running").json()["total"], "the jobs are cancelled")
        print(f"{still} of {RUNNING} jobs ran to the end of the measurement")


def told(alone: Mapping[str, list[float]], beside: Mapping[str, list[float]]) -> Iterator[str]:
    """Rows: median and 95 % of what each answer took, alone and beside the jobs, in ms, and their ratios."""
    groups = [(what, alone[what], beside[what]) for what in PAGES if alone[what] and beside[what]]
    groups.append(("all", [s for _, a, _ in groups for s in a], [s for _, _, b in groups for s in b]))
    for what, *both in groups:
        (m0, p0), (m1, p1) = ((1000 * statistics.median(s), 1000 * _share(s, 0.95)) for s in both)
        yield f"| {what} | {m0:.0f} | {m1:.0f} | {m1 / m0:.1f} | {p0:.0f} | {p1:.0f} | {p1 / p0:.1f} |"


def _share(seconds: list[float], share: float) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))]


def main(folder: Path, jobs: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    stack = Stack(folder)
    config = yaml.safe_load((folder / "dagster.yaml").read_text())
    config["concurrency"]["runs"]["max_concurrent_runs"] = RUNNING + 1
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config))
    os.chdir(folder)
    video = two_shot_clip(folder / f"{FIRST}.mp4", seconds=4.0)
    stack.start()
    try:
        with stack.client() as client:
            run = client.submit(str(video), job_id=FIRST)
            until(lambda: client.run(run.run_id).status == "success", "the first job is done")
    finally:
        stack.stop()
    fill(stack, jobs)
    stack.start()
    try:
        process = service_of(stack)
        print(f"\n{jobs} jobs, service at the start: {process.memory_info().rss / 2**20:.0f} MiB")
        with httpx2.Client(base_url=stack.service_url, timeout=120) as http:
            for turn in range(4):
                cpu, began = sum(process.cpu_times()[:2]), time.perf_counter()
                size = len(http.get("/").content)
                cost = sum(process.cpu_times()[:2]) - cpu
                print(
                    f"GET / no. {turn + 1}: {time.perf_counter() - began:.3f} s, CPU {cost:.2f} s, {size / 1000:.0f} kB"
                )
        for what, seconds in opened(stack, jobs):
            print(f"{what}: {seconds:.3f} s")
        print(f"service after that: {process.memory_info().rss / 2**20:.0f} MiB")
        Readers(stack.service_url, jobs).all(PHASE_S / 3)  # what is read once is not measured
        alone = Readers(stack.service_url, jobs).all(PHASE_S)
        print(f"service after the readers: {process.memory_info().rss / 2**20:.0f} MiB")
        with running(stack) as waited:
            beside = Readers(stack.service_url, jobs).all(PHASE_S)
        alone.all(PHASE_S)  # as much before as after: others may use the machine
        print(f"service at the end: {process.memory_info().rss / 2**20:.0f} MiB")
        print(f"refused: {alone.failed + beside.failed}")
        print(f"a replay's client waited {', '.join(f'{s:.0f}' for s in waited)} s")
        print("", *told(alone.seconds, beside.seconds), "", sep="\n")
        with httpx2.Client(base_url=stack.service_url, timeout=120) as http:
            for path in ("/portfolio", "/portfolio", "/brands/reports", "/brands/reports"):
                began = time.perf_counter()
                http.get(path).raise_for_status()
                print(f"GET {path}, of all jobs: {time.perf_counter() - began:.2f} s")
        print(f"service after that: {process.memory_info().rss / 2**20:.0f} MiB")
    finally:
        stack.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
