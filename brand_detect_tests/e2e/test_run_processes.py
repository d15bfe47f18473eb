"""Over one real Dagster whose runs have processes of their own. In a browser: from a video to its report by upload,
progress, cancel, retry and replay. Then by Python: runs of one job wait for each other, and after SIGKILL at random
instants, of a run's process alone and of everything at once, each job finishes by itself.

``KILL_SEED`` repeats a campaign; its instants are as random as the machine is.
"""

import hashlib
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path

import httpx2
import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from brand_detect.client import Client, Run
from brand_detect.domain.errors import BrandDetectError, Transient
from brand_detect.domain.pipeline import LINE, ROOT, STAGES, downstream_of, upstream_of
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.manifest import NAME
from brand_detect.storage.store import Store
from brand_detect_tests.support.browser import faults, sound_page
from brand_detect_tests.support.pipeline import two_shot_clip
from brand_detect_tests.support.stack import PATIENCE_S, Stack, until

RECOVERY_S = 420.0
"""Longest wait for the end of a job after a kill; a run that no process has taken up is given up after two minutes."""
ASKED, WORKING = "asked", "working"
"""Signs before any stage has written: the request is sent; the run has a process."""
NUMBERS = count()
"""Of the jobs."""
PATIENCE_MS = 90_000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("processes"))
    two_shot_clip(made.folder / "match.mp4")
    try:
        yield made.start()
    finally:
        made.stop()


# ---- the page with all jobs, in a browser


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """The page with all jobs."""
    with sound_page(browser, stack.service_url) as page:
        yield page


def open_form(page: Page) -> None:
    if page.locator("#new").get_attribute("open") is None:
        page.get_by_text("New analysis").press("Enter")


def choose(page: Page, *videos: Path) -> None:
    open_form(page)
    page.locator("#file").set_input_files(list(videos))


def test_from_a_video_to_its_report(page: Page, stack: Stack, tmp_path: Path):
    expect(page.get_by_text("There are no jobs yet.")).to_be_visible()
    assert faults(page) == []
    stack.tell("slow", "1.0")
    video = two_shot_clip(tmp_path / "Final 2026, 2nd half.mp4", seconds=6.0)
    choose(page, video)
    expect(page.locator("#chosen")).to_contain_text("Final 2026, 2nd half.mp4")
    page.get_by_role("button", name="Analyse", exact=True).press("Enter")
    job = page.locator(".job").first
    expect(job).to_contain_text("Final", timeout=PATIENCE_MS)
    expect(job).to_contain_text("Finding text and logos", timeout=PATIENCE_MS)
    expect(job).to_contain_text(
        re.compile(r"\d+ of \d+ frames, \d+\.\d a second, about \d+ s left"), timeout=PATIENCE_MS
    )
    stack.tell("slow", "15")  # the next picture takes until all of this was looked at
    picture = job.locator("img")  # what is stored of a job is looked at every ten seconds
    expect(picture).to_have_js_property("complete", True, timeout=PATIENCE_MS)
    assert picture.evaluate("e => e.naturalWidth") > 0
    page.get_by_role("button", name="Cancel Final").focus()
    page.wait_for_timeout(4500)  # two polls
    assert page.evaluate("document.activeElement.id").startswith("cancel-Final"), "the focus stays where it was"
    assert faults(page) == []
    stack.tell("slow", "")
    expect(job).to_contain_text("Rolex 3.0 s", timeout=PATIENCE_MS)
    expect(page.locator("#said")).not_to_be_empty()
    job.get_by_role("link", name="Report").click()
    page.wait_for_url("**/reports/Final_2026_2nd_half-*")
    expect(page.locator("#top").get_by_text("Rolex")).to_be_visible()
    [stored] = (stack.folder / ".state" / "uploads").glob("*/*.mp4")
    assert stored.read_bytes() == video.read_bytes()


def test_the_same_video_twice_is_said(page: Page, stack: Stack, tmp_path: Path):
    choose(page, two_shot_clip(tmp_path / "again.mp4", seconds=6.0))
    page.get_by_role("button", name="Analyse", exact=True).click()
    told = page.locator("#uploads [role=alert]")
    expect(told).to_contain_text("again.mp4 is here already, as the job Final_2026_2nd_half-", timeout=PATIENCE_MS)
    assert len(list((stack.folder / ".state" / "uploads").glob("*/*.mp4"))) == 1
    page.locator("#uploads").get_by_role("button", name="Close").click()
    expect(page.locator(".job")).to_have_count(1)


def test_a_job_is_cancelled_retried_and_replayed(page: Page, stack: Stack):
    video = two_shot_clip(stack.folder / "second.mp4", seconds=5.0)
    stack.tell("slow", "2.0")
    open_form(page)
    page.locator("#uri").fill(str(video))
    page.locator("#profile").select_option("fast")
    page.locator("#job-id").fill("second")
    page.get_by_role("button", name="Analyse", exact=True).click()
    job = page.locator("#job-second")
    expect(job).to_contain_text("Finding text and logos", timeout=PATIENCE_MS)
    job.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Keep it running").click()
    job.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(job).to_contain_text("Cancelled", timeout=PATIENCE_MS)
    stack.tell("slow", "")
    stack.tell("broken", "run_ocr")
    job.get_by_role("button", name="Retry").click()
    expect(job).to_contain_text("Failed while reading text", timeout=PATIENCE_MS)
    expect(job).to_contain_text("run_ocr is broken today. Mend it")
    stack.tell("broken", "")
    job.get_by_role("button", name="Retry").click()
    expect(job).to_contain_text("Rolex", timeout=PATIENCE_MS)
    attempts = {
        s: len(list((stack.store / "second" / s).glob("*/manifest.json"))) for s in ("extract_frames", "run_ocr")
    }
    assert attempts == {"extract_frames": 1, "run_ocr": 1}, "what had finished was kept"

    job.get_by_role("link", name="Replay").click()
    page.get_by_role("radio", name="Match brands").check()
    page.locator("[data-stage=match_brands] summary").click()
    field = page.locator("[id='match_brands.min_confidence']")
    field.fill("7")
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text(
        "match_brands.min_confidence: input should be less than or equal to 1"
    )
    assert faults(page) == []
    field.fill("0.55")
    expect(page.locator("#what")).to_have_text("4 of 8 steps run, with 1 changed setting.")
    page.get_by_role("button", name="Replay", exact=True).click()
    page.wait_for_url(f"{stack.service_url}/")

    def replayed() -> bool:
        found = (stack.store / "second" / "match_brands").glob("*/manifest.json")
        return 0.55 in [json.loads(path.read_text())["params"]["min_confidence"] for path in found]

    until(replayed, "the replay has run")


def test_a_phone_needs_not_scroll_sideways(browser: Browser, stack: Stack):
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    for address in ("/", "/?q=second&state=done", "/reports/second/replay"):
        page.goto(stack.service_url + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert faults(page) == []
    page.close()


# ---- runs that wait, and runs that are killed


@dataclass(frozen=True)
class Moment:
    """An instant to kill at: so long after the first sign of something."""

    sign: str
    """``ASKED``, ``WORKING``, or the stage whose attempt has its first file."""
    after_s: float

    def __str__(self) -> str:
        return f"{self.after_s:.2f} s after {self.sign}"


@dataclass
class Kill:
    """One kill and what became of the job."""

    what: str
    request: str
    moment: Moment
    status: str = ""
    """Of the run, at the first look after the kill."""
    done: tuple[str, ...] = ()
    """The stages that it had finished."""
    torn: tuple[str, ...] = ()
    """Stages with an attempt that was never finished."""
    recovery_s: float = float("nan")
    """From the kill to the end of the job's run."""
    wrong: str = ""

    def __str__(self) -> str:
        return (
            f"{self.what:6} {self.request:22} {self.moment!s:28} {self.status:8} {len(self.done)} done, "
            f"half written: {', '.join(self.torn) or '-':16} {self.recovery_s:6.1f} s {self.wrong}"
        )


@dataclass
class Campaign:
    """Kills in one stack, one job after the other."""

    stack: Stack
    random: random.Random
    kills: list[Kill] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    """Those that have a report."""

    @property
    def store(self) -> Path:
        return self.stack.store

    def moments(self, *first: str) -> Iterator[Moment]:
        """Without end, each sign as often as any other."""
        while True:
            for sign in self.random.sample((*first, *LINE), len(first) + len(LINE)):
                yield Moment(sign, self.random.uniform(0, 4.0 if sign in first else 0.5))

    def strike(self, what: str, moment: Moment) -> Kill | None:
        """One request, one kill, and the way back; None when the run's process had ended before the moment came."""
        stages, request, ask = self._request(moment)
        kill = Kill(what, request, moment)
        before, known = hashes(self.store), folders(self.store)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask)
            self._await(moment, known, asked)
            killed_s = time.time()
            if what == "all":
                self.stack.kill()
            elif worker := worker_of(self.stack):
                worker.kill()
                worker.wait(10)
            else:
                self._end_of(asked.result())
                return None
            kill.torn = tuple(p.parent.name for p in folders(self.store) - known - finished(self.store))
            if what == "all":
                self.stack.start()
            try:
                run = asked.result()
            except Transient:  # as any caller with a key does
                run = ask()
        with self.stack.client() as client:
            first = client.run(run.run_id)
            kill.status, kill.done = first.status, first.done
            try:
                end = self._end_of(run)
                kill.recovery_s = (end.ended_s or 0.0) - killed_s
                self._check(client, first, end, stages)
                self.jobs.append(end.job_id)
                assert {name: sha for name, sha in hashes(self.store).items() if name in before} == before
            except (AssertionError, BrandDetectError) as e:
                kill.wrong = f"{type(e).__name__}: {e}".splitlines()[0]
        self.kills.append(kill)
        print(kill, flush=True)
        return kill

    def _request(self, moment: Moment) -> tuple[tuple[str, ...], str, Callable[[], Run]]:
        """A new job, or a replay of an older one: the stages that run, what it is in short, and how to ask for it."""
        key = f"{len(self.kills)} {self.random.random()}"
        if moment.sign == ROOT or not self.jobs or self.random.random() < 0.5:
            new = f"job-{next(NUMBERS)}"
            video = str(self.stack.folder / "match.mp4")
            return LINE, "submit", lambda: self._asking(lambda c: c.submit(video, job_id=new, key=key))
        job_id = self.random.choice(self.jobs)
        start = self.random.choice([stage for stage in STAGES if moment.sign not in upstream_of(stage)])
        stages = downstream_of(start)
        return stages, f"replay {start}", lambda: self._asking(lambda c: c.replay(job_id, start, key=key))

    def _asking(self, ask: Callable[[Client], Run]) -> Run:
        with self.stack.client() as client:
            return ask(client)

    def _await(self, moment: Moment, known: set[Path], asked: Future[Run]) -> None:
        """Return at the moment. Looks often: a stage takes tenths of a second."""
        end = time.monotonic() + PATIENCE_S
        while not self._seen(moment.sign, known):
            assert time.monotonic() < end, f"no sign of {moment.sign}"
            if asked.done():
                asked.result()  # which raises when the request was refused
            time.sleep(0.01)
        time.sleep(moment.after_s)

    def _seen(self, sign: str, known: set[Path]) -> bool:
        if sign == ASKED:
            return True
        if sign == WORKING:
            return worker_of(self.stack) is not None
        return any(path not in known for path in self.store.glob(f"*/{sign}/*"))

    def _end_of(self, run: Run) -> Run:
        with self.stack.client() as client:
            return client.wait(run.run_id, RECOVERY_S)

    def _check(self, client: Client, killed: Run, end: Run, stages: tuple[str, ...]) -> None:
        """The job has its report, made from what was finished before the kill; all that can be seen of it is whole."""
        report = client.report(end.job_id, end.run_id)
        assert [brand["brand"] for brand in report.brands] == ["Rolex"]
        history = client.checkpoints(end.job_id)
        last = history.find(STAGES[-1], report.attempt)
        assert last is not None
        line = {**last.upstream, last.stage: last.attempt}
        for attempt in history.line_of(last).values():
            assert {**line, **attempt.upstream} == line, f"{attempt.stage} is of another lineage"
        for stage in killed.done:
            assert line[stage] == f"{killed.run_id}-0", f"{stage} was finished and made again"
        assert {line[stage][:-2] for stage in stages} <= {killed.run_id, end.run_id}, "attempts of a third run"
        listed = {(stage, a.attempt) for stage, state in history.stages.items() for a in state.attempts}
        whole = {(p.parent.name, p.name) for p in finished(self.store) if p.parts[-3] == end.job_id}
        assert listed <= whole, f"half written and listed: {listed - whole}"
        check_whole(self.store, end.job_id)

    def verdict(self) -> None:
        """Nothing was lost, in any job."""
        check_whole(self.store)
        assert [str(kill) for kill in self.kills if kill.wrong] == []


def check_whole(store: Path, job_id: str = "") -> None:
    """Each finished attempt, of one job or of all, loads, and each of its files is the one that its manifest names."""
    reader = Store(str(store))
    for path in finished(store):
        ref = AttemptRef(*path.parts[-3:])
        if job_id not in ("", ref.job_id):
            continue
        reader.load(ref)
        manifest = reader.manifest(ref)
        named = {entry.name: entry.sha256 for entry in manifest.files}
        assert named == {p.name: _sha256(p) for p in path.iterdir() if p.name != NAME}, ref


def folders(store: Path) -> set[Path]:
    """Every attempt, finished or not."""
    return set(chain.from_iterable(store.glob(f"*/{stage}/*") for stage in LINE))


def finished(store: Path) -> set[Path]:
    return {path for path in folders(store) if (path / NAME).exists()}


def hashes(store: Path) -> dict[Path, str]:
    """Of each file of every finished attempt."""
    return {file: _sha256(file) for path in finished(store) for file in path.iterdir()}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def worker_of(stack: Stack) -> psutil.Process | None:
    """The process that executes a run, a child of the stack's code server."""
    for process in psutil.Process(stack.pid).children(recursive=True):
        with suppress(psutil.Error):
            if any("spawn_main" in argument for argument in process.cmdline()):
                return process
    return None


@pytest.fixture(scope="module")
def quiet(stack: Stack) -> Stack:
    """Nothing runs, and what is asked for now takes its time."""
    with stack.client() as client:
        client.refresh_catalog()
        # a run of the catalogue has a process too
        until(lambda: client.checkpoints("none").catalog_version and not worker_of(stack), "the catalogue is there")
    stack.tell("slow", "0.2")
    return stack


@pytest.fixture
def campaign(quiet: Stack) -> Campaign:
    seed = os.environ.get("KILL_SEED") or str(random.SystemRandom().randrange(10**6))
    print(f"KILL_SEED={seed}")
    return Campaign(quiet, random.Random(seed))


def test_a_job_goes_on_after_its_process_was_killed(campaign: Campaign):
    assert campaign.strike("worker", Moment("filter_scenes", 0.5)) is not None
    campaign.verdict()


def test_a_job_goes_on_after_everything_was_killed(campaign: Campaign):
    campaign.strike("all", Moment("filter_scenes", 0.5))
    campaign.verdict()


@pytest.fixture(scope="module")
def job(quiet: Stack) -> str:
    """A finished job."""
    with quiet.client() as client:
        client.wait(client.submit(str(quiet.folder / "match.mp4"), job_id="waiting").run_id, PATIENCE_S)
    return "waiting"


def test_two_replays_of_one_job_wait_for_each_other(stack: Stack, job: str):
    """A client asks for the first one, the HTTP service for the second."""
    body = {"job_id": job, "start_stage": "escalate_cloud"}
    with stack.client() as client, httpx2.Client(base_url=stack.service_url, timeout=PATIENCE_S) as http:
        asked = client.replay(job, "detect_objects")
        answer = http.post("/detect/replay", json=body)
        assert answer.status_code == 200, answer.text
        first, second = client.run(asked.run_id), client.run(answer.json()["run_id"])
        cloud = client.checkpoints(job).find("escalate_cloud", f"{second.run_id}-0")
    assert first.ended_s is not None
    assert second.started_s is not None
    assert first.ended_s <= second.started_s
    assert cloud is not None
    assert cloud.upstream["detect_objects"] == f"{first.run_id}-0"


@pytest.mark.slow
def test_a_replay_that_is_killed_as_it_starts_goes_on_though_another_one_waits(stack: Stack, job: str):
    """Dagster counts all runs of a job that hang together as retries of the first one."""
    with stack.client() as client:
        first, second = client.replay(job, "match_brands"), client.replay(job, "escalate_cloud")
        worker = until(lambda: worker_of(stack), "the first one starts")
        time.sleep(0.3)
        worker.kill()
        ends = [client.wait(run.run_id, RECOVERY_S) for run in (first, second)]
        assert ends[0].parent_run_id == first.run_id
        assert ends[1].run_id == second.run_id


@pytest.mark.slow
@pytest.mark.parametrize("what", ["worker", "all"])
def test_fifteen_kills_lose_nothing(campaign: Campaign, what: str):
    moments = campaign.moments(WORKING) if what == "worker" else campaign.moments(ASKED, WORKING)
    while len(campaign.kills) < 15:
        campaign.strike(what, next(moments))
    campaign.verdict()
