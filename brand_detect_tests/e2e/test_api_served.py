"""The HTTP service as a foreign client meets it: over a real Dagster, under a fuzzer, and when Dagster goes away."""

import hashlib
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
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

from brand_detect.client import document
from brand_detect.domain.pipeline import STAGES
from brand_detect_tests.support.pipeline import two_shot_clip
from brand_detect_tests.support.service import service
from brand_detect_tests.support.stack import PATIENCE_S, Stack, until
from scripts.reference import OPERATIONS

JOB = "match"
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
CHECKS: list[CheckFunction] = [status_code_conformance, content_type_conformance, response_schema_conformance]


@dataclass
class Place:
    stack: Stack
    url: str
    http: httpx2.Client


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Dagster and the service, with one finished job."""
    stack = Stack(tmp_path_factory.mktemp("api"), own_processes=False)
    clip = two_shot_clip(stack.folder / "match.mp4")
    try:
        stack.start()
        with stack.client() as client:
            client.wait(client.submit(str(clip), job_id=JOB).run_id, PATIENCE_S)
        with (
            service(stack, BRAND_DETECT_API_RATE="100000/minute") as url,
            httpx2.Client(base_url=url, timeout=PATIENCE_S) as http,
        ):
            yield Place(stack, url, http)
    finally:
        stack.stop()


def test_checkpoints_replay_and_a_retry_for_later(place: Place):
    listed = place.http.get(f"/detect/checkpoints/{JOB}").json()
    assert [row["stage"] for row in listed] == list(STAGES)
    asked = {
        "job_id": JOB,
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
        place.http.post("/detect/retry", json={"job_id": JOB, "schedule_seconds": 3600}, headers=keyed).json()
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
        before = len(client.runs(JOB, 100))
        answer = place.http.post(f"/detect/{path}", json={"job_id": JOB, **body})
        assert answer.status_code == 400, answer.text
        assert len(client.runs(JOB, 100)) == before


def test_a_replay_that_fails_says_why_and_the_next_one_works(place: Place):
    place.stack.tell("broken", "run_ocr")
    failed = place.http.post("/detect/replay", json={"job_id": JOB, "start_stage": "run_ocr"})
    place.stack.tell("broken", "")
    assert failed.status_code == 500
    assert failed.json() == {"detail": "Replay failed: run_ocr: run_ocr is broken today."}
    assert place.http.post("/detect/replay", json={"job_id": JOB, "start_stage": "run_ocr"}).status_code == 200


def test_a_correction_is_applied_by_a_run_and_taken_back(place: Place):
    meant = {"X-Requested-With": "brand_detect"}

    def say(**said: object) -> dict:
        answer = place.http.post(f"/reports/{JOB}/reviews", json={"user": "ana"} | said, headers=meant)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def applied() -> list[str]:
        run_id = place.http.post(f"/reports/{JOB}/apply", headers=meant).json()["run_id"]
        address = f"/reports/{JOB}/apply/{run_id}"
        until(lambda: place.http.get(address).json()["done"], "the corrections are applied")
        listed = [row["state"] for row in place.http.get(f"/reports/{JOB}/reviews").json()["reviews"]]
        until(lambda: place.http.get(address).json()["status"] == "success", "the run has ended, a moment later")
        ended = {"status": "success", "done": True, "error": None, "says": "done"}
        assert place.http.get(address).json() == ended
        return listed

    wrong = say(action="reject", brand_id="rolex")
    assert applied() == ["applied"]
    with place.stack.client() as client:
        assert client.report(JOB).brands == ()
    say(action="undo", undoes=wrong["review_id"])
    assert applied() == ["undone", "applied"]
    with place.stack.client() as client:
        assert [brand["brand"] for brand in client.report(JOB).brands] == ["Rolex"]
    assert "Brand report" in place.http.get(f"/reports/{JOB}").text
    assert f'href="/reports/{JOB}"' in place.http.get("/reports").text


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
        before = len(client.runs(JOB, 100))
        for status, method, request in refused:
            answer = http.request(method, "/graphql", **request)
            assert answer.status_code == status, (method, request, answer.text)
        for status, headers in ((400, {"Host": "evil.example"}), (403, {"Sec-Fetch-Site": "cross-site"})):
            answer = httpx2.post(f"{place.stack.service_url}/detect/replay", json={}, headers=headers)
            assert answer.status_code == status, (headers, answer.text)
        page = http.get("/graphql", params=as_params, headers={"Accept": "text/html"})
        assert "GraphiQL" in page.text  # it asks when a person tells it to
        assert len(client.runs(JOB, 100)) == before
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
    body = json.dumps({"job_id": JOB, "start_stage": "match_brands"})
    host, port = "127.0.0.1", int(place.url.rpartition(":")[2])
    with place.stack.client() as client:
        before = {run.run_id for run in client.runs(JOB, 100)}
        with socket.create_connection((host, port)) as raw:
            head = f"POST /detect/replay HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            new = until(lambda: [r for r in client.runs(JOB, 100) if r.run_id not in before], "the run is launched")
        assert client.wait(new[0].run_id, PATIENCE_S).status == "success"
    assert place.http.get("/health").status_code == 200


@pytest.mark.parametrize("examples", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_fuzzer_finds_no_fault(place: Place, examples: int):
    described = schemathesis.openapi.from_url(f"{place.url}/openapi.json")
    seen: Counter[tuple[str, int]] = Counter()

    def fuzz(case: schemathesis.Case) -> None:
        make_some_sense(case)
        answer = case.call(timeout=PATIENCE_S)  # a replay may wait for others
        seen[case.path, answer.status_code] += 1
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


def make_some_sense(case: schemathesis.Case) -> None:
    """Let some of the cases name a job and a stage that are there, or nothing would get past the first check."""
    dice = hashlib.sha256(repr((case.path, case.body, case.path_parameters)).encode()).digest()
    if case.path.startswith("/reports/") and dice[3] < 200:
        case.headers["X-Requested-With"] = "brand_detect"
    if isinstance(case.body, dict) and case.path.startswith("/reports/"):
        case.path_parameters["job_id"] = JOB
        if dice[0] < 100:
            case.body = {"action": "accept", "user": "ana", "brand_id": "rolex", "note": str(dice)}
    elif isinstance(case.body, dict):
        if dice[0] < 160:
            case.body["job_id"] = JOB
        if dice[1] < 130:
            case.body["start_stage"] = STAGES[dice[2] % len(STAGES)]
        for name, chance in (("config_overrides", 128), ("pins", 200), ("reset", 200)):
            if dice[len(name)] < chance:
                case.body.pop(name, None)
    elif case.path_parameters and dice[0] < 100:
        case.path_parameters["job_id"] = JOB


def test_dagster_that_goes_away_is_503_and_comes_back(place: Place):
    place.stack.kill()
    for answer in (
        place.http.get(f"/detect/checkpoints/{JOB}"),
        place.http.post("/detect/replay", json={"job_id": JOB, "start_stage": "match_brands"}),
        place.http.post("/detect/retry", json={"job_id": JOB}),
        place.http.get("/ready"),
    ):
        assert answer.status_code == 503
        assert "out of reach" in answer.json()["detail"]
    assert place.http.get("/health").status_code == 200
    place.stack.start()
    assert place.http.get(f"/detect/checkpoints/{JOB}").status_code == 200
    assert place.http.get("/ready").status_code == 200
