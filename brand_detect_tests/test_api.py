"""The HTTP contract: field names, defaults and status codes that existing clients rely on; and what is turned away."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from brand_detect.api import create_app, is_loopback, shared
from brand_detect.client import Client, ReportSummary, Run
from brand_detect.domain.errors import BadInput, BrandDetectError, Permanent, Transient
from brand_detect.domain.history import Attempt, History, StageState
from brand_detect.domain.job import Overrides, check_job_id
from brand_detect.domain.pipeline import LINE, STAGES
from brand_detect.domain.settings import Settings


def attempt(stage: str, name: str = "r1-0") -> Attempt:
    return Attempt(
        stage=stage,
        attempt=name,
        run_id=name[:2],
        created_s=1_700_000_000.0,
        uri=f"/store/match/{stage}/{name}",
        params={"a": 1},
        overrides={},
        upstream={},
        input_versions={},
        code_version="1",
        data_version="d",
        stage_s=0.5,
        figures={"rows": 2},
    )


def run(status: str = "queued", **more: Any) -> Run:
    fields = {"run_id": "r2", "job_id": "match", "status": status, "stages": STAGES, "created_s": 1.0}
    rest = {"started_s": None, "ended_s": None, "parent_run_id": "r1", "not_before_s": None}
    return Run(**{**fields, **rest, **more})


class ScriptedClient(Client):
    """Knows one job, ``match``; notes what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, Any]] = []
        self.fails: BrandDetectError | None = None
        self.run_fails: BrandDetectError | None = None

    def checkpoints(self, job_id: str, *, limit: int = 0) -> History:  # noqa: ARG002
        self._fail()
        done = LINE[:5] if check_job_id(job_id) == "match" else ()
        made = {s: (attempt(s, "r2-0"), attempt(s)) if s in done else () for s in LINE}
        return History(job_id, {s: StageState(s, made[s], "1") for s in LINE})

    def replay(self, job_id: str, start_stage: str, overrides: Overrides | None = None, **more: Any) -> Run:
        self._check("replay", (job_id, start_stage, overrides, more))
        return run()

    def retry(self, job_id: str, overrides: Overrides | None = None, **more: Any) -> Run:
        self._check("retry", (job_id, overrides, more))
        return run()

    def polls(self, run_id: str) -> Iterator[tuple[Run, float]]:  # noqa: ARG002
        yield run("started"), 0.01
        if self.run_fails:
            raise self.run_fails
        yield run("success"), 0.0

    def report(self, job_id: str, run_id: str = "") -> ReportSummary:
        brands: list[Mapping[str, Any]] = [{"brand": "Rolex"}, {"brand": "Emirates"}]
        return ReportSummary(job_id, "r2-0", run_id, 1.0, "/store/report", tuple(brands), 7, 0, ())

    def health(self) -> dict[str, bool]:
        self._fail()
        return {"pipeline": True, "sensor": True}

    def _check(self, what: str, asked: Any) -> None:
        self._fail()
        if check_job_id(asked[0]) != "match":
            raise BadInput(f"There is no job {asked[0]}.", "submit its video first")
        self.asked.append((what, asked))

    def _fail(self) -> None:
        if self.fails:
            raise self.fails


@pytest.fixture
def dagster() -> ScriptedClient:
    return ScriptedClient()


def service(dagster: Client, **more: Any) -> TestClient:
    settings = Settings(**more.pop("settings", {}))
    app = create_app(dagster, settings, **more)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture
def http(dagster: ScriptedClient) -> TestClient:
    return service(dagster)


def test_checkpoints_are_the_stages_in_order_each_once(http: TestClient):
    answer = http.get("/detect/checkpoints/match")
    assert answer.status_code == 200
    assert [row["stage"] for row in answer.json()] == list(STAGES[:4]), "job_request is not listed"
    assert [a["attempt"] for a in answer.json()[0]["attempts"]] == ["r2-0", "r1-0"]


def test_checkpoints_whose_files_are_gone_are_not_listed(dagster: ScriptedClient, tmp_path: Path):
    here, there = attempt("run_ocr", "r1-0"), attempt("run_ocr", "r2-0")
    made = [replace(a, uri=f"{tmp_path}/match/run_ocr/{a.attempt}") for a in (there, here)]
    states = {s: StageState(s, tuple(made) if s == "run_ocr" else (), "1") for s in LINE}
    dagster.checkpoints = lambda job_id, **_: History(job_id, states)
    http = service(dagster, settings={"store_root": str(tmp_path)})
    (tmp_path / "match" / "run_ocr" / "r1-0").mkdir(parents=True)
    assert http.get("/detect/checkpoints/match").status_code == 404
    (tmp_path / "match" / "run_ocr" / "r1-0" / "manifest.json").touch()
    [listed] = http.get("/detect/checkpoints/match").json()
    assert [a["attempt"] for a in listed["attempts"]] == ["r1-0"]


@pytest.mark.parametrize("job_id", ["unknown", ".hidden", "a b", "x" * 300, "%00", "⚽"])
def test_checkpoints_of_no_job_are_404(http: TestClient, job_id: str):
    answer = http.get(f"/detect/checkpoints/{job_id}")
    assert (answer.status_code, list(answer.json())) == (404, ["detail"])


def test_a_replay_answers_with_what_its_report_says(http: TestClient, dagster: ScriptedClient):
    asked = {"job_id": "match", "start_stage": "run_ocr", "config_overrides": {"run_ocr": {"max_crops": 5}}, "x": 1}
    answer = http.post("/detect/replay", json=asked)
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "completed",
        "job_id": "match",
        "start_stage": "run_ocr",
        "detections": 7,
        "brands_found": 2,
        "run_id": "r2",
        "uri": "/store/report",
        "warnings": [],
    }
    [(what, (job_id, stage, overrides, more))] = dagster.asked
    assert (what, job_id, stage, overrides) == ("replay", "match", "run_ocr", {"run_ocr": {"max_crops": 5}})
    assert more == {"pins": {}, "reset": [], "reuse": False, "delay_s": 0.0, "key": ""}


def test_a_retry_is_queued_with_the_defaults_that_are_documented(http: TestClient, dagster: ScriptedClient):
    answer = http.post("/detect/retry", json={"job_id": "match"}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 200
    said = {"status": "queued", "task_id": "r2", "job_id": "match", "not_before_s": None, "warnings": []}
    assert answer.json() == said
    [(_, (_, overrides, more))] = dagster.asked
    assert (overrides, more) == (None, {"start_stage": "escalate_vlm", "delay_s": 0.0, "key": "k"})


@pytest.mark.parametrize(("seconds", "delay_s"), [(None, 0.0), (0, 0.0), (1, 1.0), (0.5, 0.5), (86_400, 86_400.0)])
def test_schedule_seconds_hold_a_retry(
    http: TestClient, dagster: ScriptedClient, seconds: float | None, delay_s: float
):
    answer = http.post("/detect/retry", json={"job_id": "match", "schedule_seconds": seconds})
    assert answer.status_code == 200
    assert dagster.asked[0][1][2]["delay_s"] == delay_s


def test_a_field_that_looks_like_a_known_one_is_ignored_and_named(http: TestClient, dagster: ScriptedClient):
    body = {"job_id": "match", "start_stage": "run_ocr", "schedule_second": 60, "config_override": {}, "priority": 1}
    answer = http.post("/detect/retry", json=body).json()
    assert answer["warnings"] == [
        "The unknown field 'schedule_second' was ignored; did you mean 'schedule_seconds'?",
        "The unknown field 'config_override' was ignored; did you mean 'config_overrides'?",
    ]
    assert dagster.asked[0][1][1:] == (None, {"start_stage": "run_ocr", "delay_s": 0.0, "key": ""})
    replayed = http.post("/detect/replay", json={"job_id": "match", "startStage": "run_ocr", "start_stage": "run_ocr"})
    assert replayed.json()["warnings"] == ["The unknown field 'startStage' was ignored; did you mean 'start_stage'?"]


def test_a_hundred_thousand_unknown_fields_are_not_all_looked_at(http: TestClient):
    body = {"job_id": "match", **{f"schedule_secs{n}": n for n in range(30_000)}}
    assert len(http.post("/detect/retry", json=body).json()["warnings"]) == 20


@pytest.mark.parametrize(
    "seconds", ["-1", "NaN", "Infinity", "-Infinity", "-1e-9", "1e300", "31536001", '"soon"', "[]"]
)
def test_times_that_are_none_are_422(http: TestClient, dagster: ScriptedClient, seconds: str):
    body = f'{{"job_id": "match", "schedule_seconds": {seconds}}}'
    answer = http.post("/detect/retry", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    [problem] = answer.json()["detail"]
    assert problem["loc"] == ["body", "schedule_seconds"]
    assert dagster.asked == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"job_id": 7, "start_stage": "run_ocr"}',
        '{"job_id": "match"}',
        '{"job_id": "match", "start_stage": "run_ocr", "config_overrides": []}',
        '{"job_id": "match", "start_stage": "run_ocr", "config_overrides": {"run_ocr": 1}}',
        '{"job_id": "\\ud800", "start_stage": NaN}',
    ],
)
def test_malformed_bodies_are_422(http: TestClient, dagster: ScriptedClient, body: str):
    answer = http.post("/detect/replay", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert dagster.asked == []


@pytest.mark.parametrize("path", ["/detect/replay", "/detect/retry"])
@pytest.mark.parametrize("job_id", ["unknown", "../x", "", "\ud800", "a\0b"])
def test_what_the_caller_got_wrong_is_400(http: TestClient, dagster: ScriptedClient, path: str, job_id: str):
    body = json.dumps({"job_id": job_id, "start_stage": "escalate_vlm"})
    answer = http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert isinstance(answer.json()["detail"], str)
    assert dagster.asked == []


def test_a_replay_that_fails_is_500_with_its_reason(http: TestClient, dagster: ScriptedClient):
    dagster.run_fails = Permanent("run_ocr: Tesseract is not installed.")
    answer = http.post("/detect/replay", json={"job_id": "match", "start_stage": "run_ocr"})
    assert (answer.status_code, answer.json()) == (
        500,
        {"detail": "Replay failed: run_ocr: Tesseract is not installed."},
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/detect/checkpoints/match"), ("POST", "/detect/replay"), ("POST", "/detect/retry"), ("GET", "/ready")],
)
def test_dagster_out_of_reach_is_503(http: TestClient, dagster: ScriptedClient, method: str, path: str):
    dagster.fails = Transient("Dagster's webserver is out of reach.", "start it")
    answer = http.request(method, path, json={"job_id": "match", "start_stage": "run_ocr"})
    assert answer.status_code == 503
    assert answer.json() == {"detail": "Dagster's webserver is out of reach.", "hint": "start it"}
    assert answer.headers["Retry-After"]


def test_health_does_not_need_dagster(http: TestClient, dagster: ScriptedClient):
    dagster.fails = Transient("gone")
    assert http.get("/health").json() == {"status": "ok"}


def test_ready_names_what_is_missing(dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch):
    assert service(dagster).get("/ready").json() == {"pipeline": True, "sensor": True}
    monkeypatch.setattr(dagster, "health", lambda: {"pipeline": True, "sensor": False})
    answer = service(dagster).get("/ready")
    assert (answer.status_code, answer.json()["detail"]) == (503, "Not running: sensor.")


@pytest.mark.parametrize("fails", [None, Transient("gone")])
def test_dagster_is_looked_at_once_for_all_who_ask_at_a_time(monkeypatch: pytest.MonkeyPatch, fails: Exception | None):
    now, polls = 100.0, 0
    monkeypatch.setattr(shared.time, "monotonic", lambda: now)

    def look() -> int:
        nonlocal polls
        time.sleep(0.01)
        polls += 1
        if fails:
            raise fails
        return polls

    async def asked() -> None:
        nonlocal now
        found = shared.Shared(look, 5.0)
        impatient = asyncio.create_task(found())
        await asyncio.sleep(0)
        impatient.cancel()
        answers = await asyncio.gather(*(found() for _ in range(20)), return_exceptions=True)
        assert answers == [fails or 1] * 20
        now += 4.9
        assert await asyncio.gather(found(), return_exceptions=True) == [fails or 1]
        assert polls == 1
        now += 0.2
        assert await asyncio.gather(found(), found(), return_exceptions=True) == [fails or 2] * 2
        assert polls == 2

    asyncio.run(asked())


def test_with_a_key_nothing_but_the_monitors_answers_without_it(dagster: ScriptedClient):
    http = service(dagster, api_key="geheim")
    for given in ({}, {"X-API-Key": "wrong"}, {b"X-API-Key": b"gehe\xefm"}):
        for method, path in (
            ("GET", "/detect/checkpoints/match"),
            ("POST", "/detect/replay"),
            ("POST", "/detect/retry"),
        ):
            answer = http.request(method, path, headers=given, json={"job_id": "match", "start_stage": "run_ocr"})
            assert answer.status_code == 401
    assert dagster.asked == []
    assert http.get("/health").status_code == http.get("/ready").status_code == 200
    assert http.get("/detect/checkpoints/match", headers={"X-API-Key": "geheim"}).status_code == 200


def test_without_the_key_no_body_is_waited_for(dagster: ScriptedClient):
    app: Any = service(dagster, api_key="geheim").app
    changing = [
        (method.upper(), path.format_map(defaultdict(lambda: "annotated")))
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if method not in ("get", "head")
    ]
    assert len(changing) >= 20

    async def status(method: str, path: str) -> int:
        answers: list[Message] = []

        async def never() -> Message:
            return await asyncio.Future()

        async def send(message: Message) -> None:
            answers.append(message)

        headers = [
            (b"host", b"127.0.0.1"),
            (b"content-type", b"application/json"),
            (b"content-length", b"9"),
            (b"x-api-key", b"wrong"),
            (b"x-requested-with", b"brand_detect"),
        ]
        request = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b""}
        await asyncio.wait_for(app(request, never, send), 5.0)
        return answers[0]["status"]

    async def statuses() -> set[int]:
        return {await status(method, path) for method, path in changing}

    assert asyncio.run(statuses()) == {401}
    assert dagster.asked == []


@pytest.mark.parametrize("declared", [True, False])
def test_large_bodies_are_turned_away(dagster: ScriptedClient, declared: bool):
    http = service(dagster, settings={"api_max_body_bytes": 200})
    body = json.dumps(
        {"job_id": "match", "start_stage": "run_ocr", "config_overrides": {"x": {"y": "z" * 300}}}
    ).encode()

    def pieces() -> Iterator[bytes]:
        yield body[:150]
        yield body[150:]

    answer = http.post(
        "/detect/replay", content=body if declared else pieces(), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, list(answer.json())) == (413, ["detail"])
    assert dagster.asked == []


def test_too_many_requests_are_turned_away_and_monitors_are_not(dagster: ScriptedClient):
    http = service(dagster, settings={"api_rate": "3/minute"})
    codes = [http.get("/detect/checkpoints/match").status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    assert [http.get("/ready").status_code for _ in range(5)] == [200, 200, 200, 429, 429], "a count of its own"
    assert [http.get("/health").status_code for _ in range(5)] == [200] * 5


def test_a_rate_that_is_none_is_explained(dagster: ScriptedClient):
    with pytest.raises(BadInput, match="BRAND_DETECT_API_RATE: 'often' is not a rate"):
        service(dagster, settings={"api_rate": "often"})


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback(host: str, expected: bool):
    assert is_loopback(host) is expected


def test_the_description_names_what_a_request_that_changes_something_is_turned_away_with(http: TestClient):
    paths = http.get("/openapi.json").json()["paths"]
    turned_away = {
        (method, path): {"401", "403", "415"} - operation["responses"].keys()
        for path, methods in paths.items()
        for method, operation in methods.items()
        if method != "get" and not path.startswith("/detect/")
    }
    assert {operation: missing for operation, missing in turned_away.items() if missing} == {}


def test_the_description_names_all_endpoints_and_loads_nothing(http: TestClient):
    paths = http.get("/openapi.json").json()["paths"]
    assert {p: set(m) for p, m in paths.items()} == {
        "/detect/checkpoints/{job_id}": {"get"},
        "/detect/replay": {"post"},
        "/detect/retry": {"post"},
        "/profiles": {"get"},
        "/jobs": {"get", "post"},
        "/jobs/{job_id}": {"get"},
        "/jobs/{job_id}/cancel": {"post"},
        "/jobs/{job_id}/retry": {"post"},
        "/jobs/{job_id}/replay": {"post"},
        "/jobs/replay": {"post"},
        "/uploads": {"post"},
        "/uploads/{upload_id}": {"get", "patch", "delete"},
        "/uploads/{upload_id}/finish": {"post"},
        "/reports/{job_id}/documents/{name}": {"get"},
        "/reports/{job_id}/reviews": {"get", "post"},
        "/reports/{job_id}/apply": {"post"},
        "/reports/{job_id}/apply/{run_id}": {"get"},
        "/health": {"get"},
        "/ready": {"get"},
        "/brands": {"get", "post"},
        "/brands/reports": {"get"},
        "/brands/own": {"post"},
        "/brands/{brand_id}/exclude": {"post"},
        "/brands/{brand_id}/include": {"post"},
        "/brands/{brand_id}/merge": {"post"},
        "/proposals": {"get"},
        "/proposals/{proposal_id}": {"post"},
        "/compare.json": {"get"},
        "/portfolio/{name}": {"get"},
        "/reports/{job_id}/brands": {"get"},
        "/reports/{job_id}/exposures/{exposure_id}.mp4": {"get"},
        "/reports/{job_id}/{kind}.mp4": {"get", "post"},
        "/reports/{job_id}/video": {"get"},
        "/reports/{job_id}/boxes": {"get"},
    }
    assert http.get("/docs").status_code == 404
