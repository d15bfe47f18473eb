"""Over one real Dagster: what the documentation says; its UI and a report in a browser; the HTTP service as a foreign
client meets it, also under a fuzzer; then what a replay and a retry read, keep, hold and never change, also when
Dagster goes away.
"""

import hashlib
import json
import re
import socket
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from playwright.sync_api import Browser, Request, expect
from schemathesis.checks import CheckFunction
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from brand_detect.api.uploads import PART_TYPE
from brand_detect.client import Client, Run, document
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.history import Attempt, History
from brand_detect.domain.media import default_job_id
from brand_detect.domain.pipeline import CATALOG, LINE, ROOT, STAGES, downstream_of, upstream_of
from brand_detect.domain.tags import HOLD, RELEASED, UNTIL
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store
from brand_detect_tests.support.browser import chromium
from brand_detect_tests.support.forked import forking
from brand_detect_tests.support.pages import PAGES, operations, script
from brand_detect_tests.support.pipeline import CATALOG as BRANDS
from brand_detect_tests.support.pipeline import two_shot_clip
from brand_detect_tests.support.service import service
from brand_detect_tests.support.stack import BIN, PATIENCE_S, Stack, until
from scripts.reference import OPERATIONS

API_JOB, JOB = "match", "replayed"
LATER_S = 3600.0
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
QUICK = ("first-replay", "submit-from-a-service", "work-in-the-browser")
"""Pages that ``make test`` carries out, one by the command line, one by Python, one over HTTP; ``make test-slow`` all.
The tests below show what the others say: pins, reuse, overrides, delays and keys."""
CHECKS: list[CheckFunction] = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "inbox").mkdir()
    inbox = {"BRAND_DETECT_INBOX": str(folder / "inbox"), "BRAND_DETECT_INBOX_SETTLE_S": "2"}
    stack = Stack(folder, environment=inbox, own_processes=False)
    two_shot_clip(stack.folder / "match.mp4")
    try:
        yield stack.start()
    finally:
        stack.stop()


# ---- the documentation


@pytest.fixture(scope="module")
def environment(stack: Stack) -> Iterator[dict[str, str]]:
    """That of the pages' shells."""
    plain = stack.environment | {"COLUMNS": "200", "NO_COLOR": "1"}
    with forking(stack.folder, plain) as command:
        yield plain | {"PATH": f"{command.parent}:{BIN}:{plain['PATH']}"}


@pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.stem, marks=() if p.stem in QUICK else pytest.mark.slow) for p in PAGES]
)
def test_the_commands_of_a_page_do_what_it_says(page: Path, stack: Stack, environment: dict[str, str]):
    stack.tell("brands.yaml", BRANDS)
    commands, expected = script(page)
    for written, real in (("http://127.0.0.1:3000", stack.url), ("http://127.0.0.1:8000", stack.service_url)):
        commands = commands.replace(written, real)
    # each page begins with a job of its own, whatever the others left
    commands = re.sub(r"\bmatch\b(?!\.mp4)", page.stem, commands)
    done = subprocess.run(
        ["bash", "-c", commands], cwd=stack.folder, env=environment, capture_output=True, text=True, timeout=300
    )
    printed = re.sub(rf"\b{page.stem}\b", "match", done.stdout + done.stderr)
    assert done.returncode == 0, printed
    for line in expected:
        pattern = ".*".join(re.escape(part.strip()) + r"\s*" for part in line.split("…"))
        assert re.search(pattern, printed), f"{line!r} was not printed, but:\n{printed}"


def test_a_video_in_the_inbox_becomes_one_job(stack: Stack):
    clip = (stack.folder / "match.mp4").read_bytes() + b"one that is not here yet"  # behind its end, unseen by players
    (stack.folder / "inbox" / "dropped.mp4").write_bytes(clip)
    job_id = default_job_id("dropped", hashlib.sha256(clip).hexdigest())
    with stack.client() as client:
        [run] = until(lambda: client.runs(job_id), "it has arrived")
        client.wait(run.run_id, PATIENCE_S)
        assert [brand["brand"] for brand in client.report(job_id).brands] == ["Rolex"]
        assert [found.run_id for found in client.runs(job_id)] == [run.run_id]


@dataclass
class Place:
    stack: Stack
    url: str
    http: httpx2.Client


@pytest.fixture(scope="module")
def place(stack: Stack) -> Iterator[Place]:
    """Dagster and the service, with one finished job."""
    stack.tell("brands.yaml", BRANDS)
    with stack.client() as client:
        client.wait(client.submit(str(stack.folder / "match.mp4"), job_id=API_JOB).run_id, PATIENCE_S)
    with (
        service(stack, BRAND_DETECT_API_RATE="100000/minute") as url,
        httpx2.Client(base_url=url, timeout=PATIENCE_S) as http,
    ):
        yield Place(stack, url, http)


# ---- the report's page and Dagster's UI in a browser


@pytest.fixture
def browser(place: Place) -> Iterator[Browser]:  # noqa: ARG001 the job runs before an event loop does
    with chromium() as started:
        yield started


def test_the_page_opens_from_disk_and_asks_nobody(browser: Browser, place: Place):
    path = next((place.stack.store / API_JOB / "compile_report").glob("*/report.html"))
    page = browser.new_page(viewport={"width": 390, "height": 800})
    asked: list[Request] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    assert [r.url for r in asked if not r.url.startswith(("file:", "data:"))] == []
    assert said == []
    assert page.get_by_text("Rolex").first.is_visible()
    assert page.get_by_text("ACME WIDGETS").first.is_visible()
    pictures = page.locator("img")
    assert pictures.count() > 0
    assert all(pictures.nth(n).evaluate("e => e.complete && e.naturalWidth > 0") for n in range(pictures.count()))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "the phone has to scroll sideways"


def test_the_ui_shows_a_stage_with_its_picture(browser: Browser, place: Place):
    page = browser.new_page(viewport={"width": 1500, "height": 1200})
    page.goto(f"{place.stack.url}/assets/detect_objects?view=partitions&partition={API_JOB}")
    page.get_by_text("regions", exact=True).first.wait_for(timeout=30_000)
    for entry in ("detector_calls", "stage_s", "params", "upstream", "picture"):
        assert page.get_by_text(entry, exact=True).first.is_visible(), entry


def test_the_ui_follows_a_run_over_a_websocket(browser: Browser, place: Place):
    with place.stack.client() as client:
        run = client.runs(API_JOB)[-1]
    page = browser.new_page(viewport={"width": 1500, "height": 1200})
    heard: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: heard.append(str(frame))))
    page.goto(f"{place.stack.url}/runs/{run.run_id}")
    page.get_by_text("RUN_SUCCESS", exact=True).first.wait_for(timeout=30_000)
    assert any("RunSuccessEvent" in frame for frame in heard)


def test_the_launchpad_replays_from_a_stage_and_explains_what_is_wrong(browser: Browser, place: Place):
    made = place.stack.store / API_JOB

    def manifests(stage: str) -> set[Path]:
        return set(made.glob(f"{stage}/*/manifest.json"))

    before = {stage: manifests(stage) for stage in ("run_ocr", "match_brands", "compile_report")}
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    page.goto(f"{place.stack.url}/asset-groups")
    page.locator(".CodeMirror").first.click()
    page.keyboard.type("key:match_brands+")
    page.keyboard.press("Enter")
    page.get_by_text("escalate_vlm", exact=True).first.wait_for(timeout=30_000)  # groups are folded until few are left
    expect(page.get_by_text("extract_frames", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Materialize").first.click(modifiers=["Shift"])
    chosen: list[Request] = []

    def note(request: Request) -> None:
        if "ConfigPartitionForAssetJobQuery" in (request.post_data or ""):
            chosen.append(request)

    page.on("request", note)

    def choose_job() -> bool:
        """The launchpad drops what was typed before it knew the jobs; it asks for the config of the one it took."""
        page.get_by_placeholder("Partition").fill(API_JOB)
        page.keyboard.press("Enter")
        page.wait_for_timeout(500)
        return bool(chosen)

    until(choose_job, "the job is chosen")

    def configure(text: str) -> None:
        page.locator(".CodeMirror").last.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(text)

    configure("ops:\n  match_brands:\n    config:\n      min_confidense: 0.99\n")
    page.get_by_text('unexpected config entry "min_confidense"').wait_for(timeout=20_000)
    configure("ops:\n  match_brands:\n    config:\n      min_confidence: 0.99\n")
    expect(page.get_by_text("unexpected config entry")).to_have_count(0, timeout=20_000)
    page.get_by_text("No errors").wait_for(timeout=20_000)
    page.get_by_role("button", name="Materialize").last.click()

    until(lambda: manifests("compile_report") - before["compile_report"], "the replay's report is there")
    [made_now] = manifests("match_brands") - before["match_brands"]
    assert json.loads(made_now.read_text())["params"]["min_confidence"] == 0.99
    assert manifests("run_ocr") == before["run_ocr"], "what lies above was not made again"


# ---- the HTTP service


def test_checkpoints_replay_and_a_retry_for_later(place: Place):
    listed = place.http.get(f"/detect/checkpoints/{API_JOB}").json()
    assert [row["stage"] for row in listed] == list(STAGES)
    asked = {
        "job_id": API_JOB,
        "start_stage": "match_brands",
        "config_overrides": {"match_brands": {"min_confidence": 0.99}},
    }
    replayed = place.http.post("/detect/replay", json=asked)
    assert replayed.status_code == 200, replayed.text
    assert replayed.json()["brands_found"] == replayed.json()["detections"] == 0
    again = place.http.post(
        "/detect/replay", json={**asked, "config_overrides": None, "reset": ["match_brands"]}
    ).json()
    assert (again["brands_found"], again["detections"]) == (1, 4)

    keyed = {"Idempotency-Key": "retry-1"}
    later = [
        place.http.post("/detect/retry", json={"job_id": API_JOB, "schedule_seconds": 3600}, headers=keyed).json()
        for _ in range(2)
    ]
    assert later[0]["task_id"] == later[1]["task_id"]
    assert later[0]["not_before_s"] > time.time() + 3000
    with place.stack.client() as client:
        assert client.run(later[0]["task_id"]).status == "held"
        assert client.cancel(later[0]["task_id"]).status == "canceled"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("replay", {"start_stage": "job_request"}),
        ("replay", {"start_stage": "nothing"}),
        ("replay", {"start_stage": "match_brands", "config_overrides": {"match_brands": {"min_confidence": 7}}}),
        ("replay", {"start_stage": "match_brands", "config_overrides": {"run_ocr": {"max_crops": 2}}}),
        ("replay", {"start_stage": "match_brands", "pins": {"run_ocr": "none-0"}}),
        ("retry", {"start_stage": "nothing"}),
        ("retry", {"config_overrides": {"escalate_vlm": {"colour": "red"}}}),
        ("retry", {"job_id": "unknown"}),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_launched(place: Place, path: str, body: dict):
    with place.stack.client() as client:
        before = len(client.runs(API_JOB, 100))
        answer = place.http.post(f"/detect/{path}", json={"job_id": API_JOB, **body})
        assert answer.status_code == 400, answer.text
        assert len(client.runs(API_JOB, 100)) == before


def test_a_replay_that_fails_says_why_and_the_next_one_works(place: Place):
    place.stack.tell("broken", "run_ocr")
    failed = place.http.post("/detect/replay", json={"job_id": API_JOB, "start_stage": "run_ocr"})
    place.stack.tell("broken", "")
    assert failed.status_code == 500
    assert failed.json() == {"detail": "Replay failed: run_ocr: run_ocr is broken today."}
    assert place.http.post("/detect/replay", json={"job_id": API_JOB, "start_stage": "run_ocr"}).status_code == 200


def test_a_correction_is_applied_by_a_run_and_taken_back(place: Place):
    meant = {"X-Requested-With": "brand_detect"}

    def say(**said: object) -> dict:
        answer = place.http.post(f"/reports/{API_JOB}/reviews", json={"user": "ana"} | said, headers=meant)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def applied() -> list[str]:
        run_id = place.http.post(f"/reports/{API_JOB}/apply", headers=meant).json()["run_id"]
        address = f"/reports/{API_JOB}/apply/{run_id}"
        until(lambda: place.http.get(address).json()["done"], "the corrections are applied")
        listed = [row["state"] for row in place.http.get(f"/reports/{API_JOB}/reviews").json()["reviews"]]
        until(lambda: place.http.get(address).json()["status"] == "success", "the run has ended, a moment later")
        ended = {"status": "success", "done": True, "error": None, "says": "done"}
        assert place.http.get(address).json() == ended
        return listed

    wrong = say(action="reject", brand_id="rolex")
    assert applied() == ["applied"]
    with place.stack.client() as client:
        assert client.report(API_JOB).brands == ()
    say(action="undo", undoes=wrong["review_id"])
    assert applied() == ["undone", "applied"]
    with place.stack.client() as client:
        assert [brand["brand"] for brand in client.report(API_JOB).brands] == ["Rolex"]
    assert "Brand report" in place.http.get(f"/reports/{API_JOB}").text
    assert f'href="/reports/{API_JOB}"' in place.http.get("/reports").text


def test_another_sites_page_launches_nothing(place: Place):
    """Dagster's own webserver lets any page in the operator's browser launch and delete runs."""
    query, variables = document("launch"), OPERATIONS["launch"][2] | {"location": "brand_detect_tests.support.served"}
    asked = {"query": query, "variables": variables}
    as_params = {"query": query, "variables": json.dumps(variables)}
    graphql = {"content": query, "headers": {"Content-Type": "application/graphql"}}
    text = {"content": json.dumps(asked), "headers": {"Content-Type": "text/plain; of=application/json"}}
    refused: list[tuple[int, str, dict[str, Any]]] = [
        (403, "POST", {"json": asked, "headers": {"Origin": "https://evil.example"}}),
        (403, "POST", {"json": asked, "headers": {"Origin": "null"}}),
        (403, "POST", {"json": asked, "headers": {"Origin": place.stack.service_url}}),
        (403, "POST", {"json": asked, "headers": {"Sec-Fetch-Site": "cross-site"}}),
        (400, "POST", {"json": asked, "headers": {"Host": "evil.example"}}),
        (415, "POST", text),
        (415, "POST", graphql),
        (415, "POST", {"params": as_params}),
        (405, "GET", {"params": as_params}),
    ]
    with place.stack.client() as client, httpx2.Client(base_url=place.stack.url, timeout=PATIENCE_S) as http:
        before = len(client.runs(API_JOB, 100))
        for status, method, request in refused:
            answer = http.request(method, "/graphql", **request)
            assert answer.status_code == status, (method, request, answer.text)
        for status, headers in ((400, {"Host": "evil.example"}), (403, {"Sec-Fetch-Site": "cross-site"})):
            answer = httpx2.post(f"{place.stack.service_url}/detect/replay", json={}, headers=headers)
            assert answer.status_code == status, (headers, answer.text)
        page = http.get("/graphql", params=as_params, headers={"Accept": "text/html"})
        assert "GraphiQL" in page.text  # it asks when a person tells it to
        assert len(client.runs(API_JOB, 100)) == before
        own = http.post("/graphql", json=asked, headers={"Origin": place.stack.url, "Sec-Fetch-Site": "same-origin"})
        client.wait(own.json()["data"]["launchRun"]["run"]["runId"], PATIENCE_S)


@pytest.mark.parametrize(("origin", "may"), [(None, True), ("own", True), ("https://evil.example", False)])
def test_another_sites_page_opens_no_websocket(place: Place, origin: str | None, may: bool):
    url = place.stack.url
    named = Origin(url if origin == "own" else origin) if origin else None
    told = nullcontext() if may else pytest.raises(InvalidStatus, match="403")
    with told, connect(f"ws{url.removeprefix('http')}/graphql", origin=named, subprotocols=[Subprotocol("graphql-ws")]):
        pass


def test_a_client_that_hangs_up_loses_nothing_but_the_answer(place: Place):
    body = json.dumps({"job_id": API_JOB, "start_stage": "match_brands"})
    host, port = "127.0.0.1", int(place.url.rpartition(":")[2])
    with place.stack.client() as client:
        before = {run.run_id for run in client.runs(API_JOB, 100)}
        with socket.create_connection((host, port)) as raw:
            head = f"POST /detect/replay HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            new = until(lambda: [r for r in client.runs(API_JOB, 100) if r.run_id not in before], "the run is launched")
        assert client.wait(new[0].run_id, PATIENCE_S).status == "success"
    assert place.http.get("/health").status_code == 200


@pytest.mark.parametrize("examples", [10, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_fuzzer_finds_no_fault(place: Place, examples: int):
    described = schemathesis.openapi.from_url(f"{place.url}/openapi.json")
    seen: Counter[tuple[str, int]] = Counter()
    made: list[str] = []

    def fuzz(case: schemathesis.Case) -> None:
        make_some_sense(case, made)
        answer = case.call(timeout=PATIENCE_S)  # a replay may wait for others
        seen[case.path, answer.status_code] += 1
        if case.path.endswith("/finish") or case.method == "DELETE":
            made.clear()
        elif answer.status_code == 201 and case.path == "/uploads":
            made[:] = [answer.json()["upload_id"]]
        documented = answer.status_code == 503 or (
            answer.status_code == 500 and answer.json()["detail"].startswith("Replay failed: ")
        )
        assert answer.status_code < 500 or documented, answer.text
        case.validate_response(answer, checks=CHECKS)

    for operation in described.get_all_operations():
        assert isinstance(operation, Ok)
        patient = settings(deadline=None, derandomize=True, max_examples=examples, suppress_health_check=SLOW)
        patient(given(case=operation.ok().as_strategy())(fuzz))()
    for path in ("/detect/checkpoints/{job_id}", "/detect/replay", "/detect/retry", "/reports/{job_id}/reviews"):
        assert seen[path, 200], f"no request to {path} got through: {seen}"
    assert seen["/reports/{job_id}/reviews", 201], f"no correction got through: {seen}"
    for path in ("/jobs", "/jobs/{job_id}", "/uploads/{upload_id}"):
        assert seen[path, 200], f"no request to {path} got through: {seen}"
    assert seen["/jobs/{job_id}/replay", 202], f"no replay was queued: {seen}"


def make_some_sense(case: schemathesis.Case, uploads: Sequence[str]) -> None:
    """Let some of the cases name a job, a stage or one of ``uploads``, or nothing would get past the first check."""
    dice = hashlib.sha256(repr((case.path, case.body, case.path_parameters)).encode()).digest()
    if case.path.startswith(("/reports/", "/jobs", "/uploads")) and dice[3] < 200:
        case.headers["X-Requested-With"] = "brand_detect"
    if isinstance(case.body, dict) and case.path.startswith("/reports/"):
        case.path_parameters["job_id"] = API_JOB
        if dice[0] < 100:
            case.body = {"action": "accept", "user": "ana", "brand_id": "rolex", "note": str(dice)}
    elif case.path.startswith("/jobs/") and dice[0] < 200:
        case.path_parameters["job_id"] = API_JOB
        if case.path.endswith("/replay"):
            case.body = {"start_stage": STAGES[-1 - dice[2] % 4]}
    elif case.path.startswith("/uploads/") and uploads and dice[0] < 200:
        case.path_parameters["upload_id"] = uploads[0]
        if case.method == "PATCH":
            case.headers.update({"Upload-Offset": str(dice[1] % 3), "Content-Type": PART_TYPE})
    elif case.path == "/uploads" and dice[0] < 100:
        case.body = {"name": f"{dice[1]}.mp4", "size_bytes": 1 + dice[2]}
    elif case.path == "/detect/replay" and dice[0] < 100:
        case.body = {"job_id": API_JOB, "start_stage": STAGES[-1 - dice[2] % 4]}
    elif isinstance(case.body, dict):
        if dice[0] < 160:
            case.body["job_id"] = API_JOB
        if dice[1] < 130:
            case.body["start_stage"] = STAGES[dice[2] % len(STAGES)]
        for name, chance in (("config_overrides", 128), ("pins", 200), ("reset", 200)):
            if dice[len(name)] < chance:
                case.body.pop(name, None)
    elif case.path_parameters and dice[0] < 100:
        case.path_parameters["job_id"] = API_JOB


def test_the_graphql_operations_are_answered_as_the_page_says(place: Place):
    """Word for word as they stand in docs/reference/graphql.md, with the variables that stand there."""
    listed = operations()
    assert [name for name, *_ in listed] == list(OPERATIONS)
    run_id = ""
    for name, answer, query, written in listed:
        variables = written.replace("brand_detect.definitions", "brand_detect_tests.support.served")
        said = _send(place.stack, query, json.loads(variables.replace("RUN_ID", run_id) or "{}"))
        kinds = re.findall(r"`(\w+)`", answer)
        assert any(f'"{kind}"' in json.dumps(said) for kind in kinds), f"{name}: {said}"
        if name == "launch":
            run_id = said["launchRun"]["run"]["runId"]
        if name == "failure":
            with place.stack.client() as client:
                client.wait(run_id, PATIENCE_S)  # the replay that was launched above
                run_id = client.retry(API_JOB, delay_s=LATER_S, key=str(time.time())).run_id
        if name == "rerun":
            with place.stack.client() as client:
                client.cancel(said["launchRunReexecution"]["run"]["runId"])


def _send(stack: Stack, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    answer = httpx2.post(f"{stack.url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
    assert not answer.get("errors"), answer
    return answer["data"]


# ---- replays and retries


def on(model: str) -> dict[str, str]:
    """Params that ask ``model``."""
    return {"provider": "transformers", "model": model}


@dataclass
class Served:
    """A stack with one finished job; tests add attempts to it and never change one."""

    stack: Stack
    client: Client
    seen: dict[Path, str] = field(default_factory=dict)
    """The hash of each file of a checkpoint, as it was when first looked at."""

    def finished(self, run: Run) -> Run:
        """``run`` once it has succeeded."""
        end = time.monotonic() + PATIENCE_S
        for look, pause_s in self.client.polls(run.run_id):
            if pause_s == 0:
                self.remember()
                return look
            assert time.monotonic() < end, look
            time.sleep(0.2)
        raise AssertionError("a run is looked at until it has ended")

    def remember(self) -> None:
        for name, sha256 in hashes(self.stack.store).items():
            self.seen.setdefault(name, sha256)

    def history(self) -> History:
        return self.client.checkpoints(JOB)

    def made(self, run: Run, stage: str) -> Attempt:
        """The attempt of ``stage`` that ``run`` wrote."""
        found = self.history().find(stage, f"{run.run_id}-0")
        assert found is not None, f"{run.run_id} wrote no {stage}"
        return found

    def brands(self, run: Run) -> set[str]:
        """Those in the report that ``run`` wrote."""
        return {brand["brand"] for brand in self.client.report(JOB, run.run_id).brands}

    def asked(self) -> list[str]:
        """Provider and text of every question so far."""
        path = self.stack.folder / "asked"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def hashes(store: Path) -> dict[Path, str]:
    """SHA-256 of each file of every finished attempt of the job."""
    files = (p for manifest in store.glob(f"{JOB}/*/*/manifest.json") for p in manifest.parent.iterdir())
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def served(stack: Stack) -> Iterator[Served]:
    stack.tell("asked", "")
    stack.tell("brands.yaml", BRANDS)
    with stack.client() as client:
        found = Served(stack, client)
        found.finished(client.submit(str(stack.folder / "match.mp4"), job_id=JOB))
        yield found
        later = client.retry(JOB, delay_s=LATER_S)
    stack.stop()
    assert kept(stack, later) == ("QUEUED", UNTIL), "an end by Ctrl-C takes a held retry away"


def kept(stack: Stack, run: Run) -> tuple[str, str]:
    """Status and hold of a run in the database."""
    with closing(sqlite3.connect(next(stack.folder.rglob("runs.db")))) as db:
        [[status]] = db.execute("select status from runs where run_id = ?", (run.run_id,))
        [[hold]] = db.execute("select value from run_tags where run_id = ? and key = ?", (run.run_id, HOLD))
    return status, hold


def test_a_submitted_job_has_a_checkpoint_of_each_stage_made_from_all_above(served: Served):
    history = served.history()
    [first] = history.stages[ROOT].attempts
    for stage in LINE:
        [attempt] = history.stages[stage].attempts
        catalog = {CATALOG: history.catalog_version} if stage in downstream_of("match_brands") else {}
        assert attempt.upstream == {**dict.fromkeys(upstream_of(stage), first.attempt), **catalog}, stage
    report = served.client.report(JOB)
    assert [brand["brand"] for brand in report.brands] == ["Rolex"]
    assert report.unresolved == 1


def test_a_replay_keeps_what_was_tuned_until_it_is_reset(served: Served):
    client = served.client
    tuned = served.finished(client.replay(JOB, "match_brands", {"match_brands": {"min_confidence": 0.99}}))
    assert tuned.stages == STAGES[STAGES.index("match_brands") :]
    assert served.brands(tuned) == set()
    plain = served.finished(client.replay(JOB, "match_brands"))
    assert served.made(plain, "match_brands").overrides == {"min_confidence": 0.99}
    assert served.brands(plain) == set()
    reset = served.finished(client.replay(JOB, "match_brands", reset=["match_brands"]))
    assert served.made(reset, "match_brands").overrides == {}
    assert served.brands(reset) == {"Rolex"}


def test_reuse_leaves_out_what_is_there_and_pins_it(served: Served):
    same = served.finished(served.client.replay(JOB, "extract_frames", reuse=True))
    assert same.stages == ("compile_report",)
    before = served.history()
    taken = before.line_of(served.made(same, "compile_report"))
    assert same.tags["brand_detect/pin.escalate_cloud"] == taken["escalate_cloud"].attempt
    assert all(taken[stage].run_id != same.run_id for stage in LINE[:-1])

    overrides = {"match_brands": {"fuzzy_score": 0.95}}
    changed = served.finished(served.client.replay(JOB, "extract_frames", overrides, reuse=True))
    assert changed.stages == STAGES[STAGES.index("match_brands") :]
    above = served.made(changed, "match_brands").upstream
    assert {stage: above[stage] for stage in upstream_of("match_brands")} == {
        stage: taken[stage].attempt for stage in upstream_of("match_brands")
    }


def test_a_pinned_replay_reads_what_was_pinned(served: Served):
    history = served.history()
    first = history.stages["run_ocr"].attempts[-1]
    other = served.finished(served.client.replay(JOB, "run_ocr", {"run_ocr": {"max_crops": 1}}))
    pinned = served.finished(served.client.replay(JOB, "match_brands", pins={"run_ocr": first.attempt}))
    manifest = Store(str(served.stack.store)).manifest(AttemptRef(JOB, "match_brands", f"{pinned.run_id}-0"))
    assert first.run_id != other.run_id
    assert manifest.upstream["run_ocr"] == first.attempt
    assert manifest.upstream["detect_objects"] == first.upstream["detect_objects"]


def test_a_retry_after_a_broken_replay_stays_in_the_lineage_before_it(served: Served):
    """The broken replay left a newer detect_objects, which nothing else was made from."""
    client = served.client
    before = served.finished(client.replay(JOB, "match_brands", {"match_brands": {"min_confidence": 0.99}}))
    served.stack.tell("broken", "run_ocr")
    broken = client.replay(JOB, "detect_objects")
    with pytest.raises(Permanent, match=r"^run_ocr: run_ocr is broken today\.$") as error:
        client.wait(broken.run_id, PATIENCE_S)
    assert error.value.hint == "mend it"
    served.stack.tell("broken", "")
    newest = served.history().latest("detect_objects")
    assert newest is not None
    assert newest.run_id == broken.run_id

    served.stack.tell("answers.json", json.dumps({"ROLEX": "Rolex"}))
    retry = served.finished(client.retry(JOB, {"escalate_vlm": on("one")}))
    history = served.history()
    report, earlier = served.made(retry, "compile_report"), served.made(before, "compile_report")
    above = upstream_of("escalate_vlm")
    assert {stage: report.upstream[stage] for stage in above} == {stage: earlier.upstream[stage] for stage in above}
    line = {**report.upstream, report.stage: report.attempt}
    for attempt in history.line_of(report).values():
        assert {**line, **attempt.upstream} == line, attempt.stage


def test_a_retry_asks_only_what_is_open_and_loses_nothing(served: Served):
    """Of two open texts the retry before this one settled ROLEX; another model knows only the other."""
    before = served.client.report(JOB)
    assert [brand["brand"] for brand in before.brands] == ["Rolex"]
    assert before.unresolved == 1
    asked = served.asked()
    assert sorted(asked) == ["one ACME WIDGETS", "one ROLEX"]
    served.stack.tell("answers.json", json.dumps({"ACME WIDGETS": "Emirates"}))
    retry = served.finished(served.client.retry(JOB, {"escalate_vlm": on("two")}))
    assert served.asked()[len(asked) :] == ["two ACME WIDGETS"]
    assert served.brands(retry) == {"Rolex", "Emirates"}
    assert served.client.report(JOB).unresolved == 0
    assert served.made(retry, "escalate_vlm").continues == before.attempt


def test_a_delayed_retry_is_held_and_let_go_when_due(served: Served):
    """Another that is due later stays; one that was cancelled while held stays so when it would be due."""
    client = served.client
    later, cancelled = (client.retry(JOB, delay_s=delay_s) for delay_s in (LATER_S, 15))
    assert client.cancel(cancelled.run_id).status == "canceled"
    held = client.retry(JOB, delay_s=15)
    assert held.status == "held"
    assert held.not_before_s is not None
    done = served.finished(held)
    assert done.run_id == held.run_id
    assert done.tags[HOLD] == RELEASED
    assert done.started_s is not None
    assert done.started_s >= held.not_before_s
    assert client.run(later.run_id).status == "held"
    assert client.run(cancelled.run_id).status == "canceled"
    assert served.history().find("escalate_vlm", f"{cancelled.run_id}-0") is None
    client.cancel(later.run_id)


@pytest.mark.slow
def test_held_retries_survive_a_kill_of_everything(served: Served, place: Place):
    """One is due hours later and held all the time, one falls due meanwhile and is done; the service says 503."""
    client, stack = served.client, served.stack
    later, due = client.retry(JOB, delay_s=LATER_S), client.retry(JOB, delay_s=5)
    stack.kill()
    for answer in (
        place.http.get(f"/detect/checkpoints/{API_JOB}"),
        place.http.post("/detect/replay", json={"job_id": API_JOB, "start_stage": "match_brands"}),
        place.http.post("/detect/retry", json={"job_id": API_JOB}),
        place.http.get("/ready"),
    ):
        assert answer.status_code == 503
        assert "out of reach" in answer.json()["detail"]
    assert place.http.get("/health").status_code == 200
    stack.start()
    assert place.http.get(f"/detect/checkpoints/{API_JOB}").status_code == 200
    assert place.http.get("/ready").status_code == 200
    assert served.finished(due).run_id == due.run_id
    assert client.run(later.run_id).status == "held"
    assert client.cancel(later.run_id).status == "canceled"


def test_the_same_request_under_one_key_is_one_run(served: Served):
    def asked(key: str) -> Run:
        with served.stack.client() as client:
            return client.retry(JOB, delay_s=LATER_S, key=key)

    for key in ("first", "second", "third"):  # which of them meet is chance
        with ThreadPoolExecutor(4) as pool:
            runs = list(pool.map(asked, [key] * 4))
        runs.append(asked(key))
        held = [run.run_id for run in served.client.runs(JOB, 50) if run.status == "held"]
        assert {run.run_id for run in runs} == set(held)
        assert len(held) == 1
        with pytest.raises(BadInput, match=f"'{key}' was used for another request"):
            served.client.retry(JOB, {"escalate_vlm": on("three")}, delay_s=LATER_S, key=key)
        served.client.cancel(held[0])


def test_edit_the_list_then_replay(served: Served):
    """No sensor has to see the new list first."""
    before = served.history()
    served.stack.tell("brands.yaml", f"{BRANDS}  - name: Acme Widgets\n")
    replayed = served.finished(served.client.replay(JOB, "match_brands", reset=["match_brands"]))
    assert served.brands(replayed) == {"Rolex", "Acme Widgets"}
    catalogs = {served.made(replayed, stage).upstream[CATALOG] for stage in downstream_of("match_brands")}
    assert catalogs == {served.history().catalog_version} != {before.catalog_version}


def test_nothing_earlier_was_changed(served: Served):
    assert len(served.seen) > 100
    now = hashes(served.stack.store)
    assert {name: now.get(name) for name in served.seen} == served.seen
