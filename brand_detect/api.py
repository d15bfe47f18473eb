"""The HTTP service: checkpoints, replay and retry for clients that never see Dagster.

It holds no state: everything it says comes from Dagster's webserver, and what it starts are Dagster's runs.
"""

import hmac
import ipaddress
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import anyio
from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brand_detect.client import LONGEST_DELAY_S, Client, Run
from brand_detect.domain.errors import BadInput, BrandDetectError, Permanent, Transient
from brand_detect.domain.history import Attempt
from brand_detect.domain.model import check_job_id
from brand_detect.domain.pipeline import STAGES
from brand_detect.domain.settings import Settings

API_KEY = "BRAND_DETECT_API_KEY"
"""Environment variable with the key that clients must send, if any."""
OPEN_PATHS = ("/health", "/ready")
"""What monitors may ask without a key and without limit."""
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")

ConfigOverrides = Annotated[
    dict[str, dict[str, Any]] | None, Field(description="{stage: {param: value}}, for the stages that run")
]
Key = Annotated[str, Header(alias="Idempotency-Key", max_length=255, description="the same key is the same run")]


class AttemptInfo(BaseModel):
    attempt: str = Field(description="its name: what a pin names")
    run_id: str = Field(description="the run that made it")
    created_s: float = Field(description="seconds since 1970")
    uri: str = Field(description="where its files lie")
    params: dict[str, Any] = Field(description="all params that took effect")
    overrides: dict[str, Any] = Field(description="those that were set explicitly for it")
    upstream: dict[str, str] = Field(description="the attempt of every ancestor")
    figures: dict[str, float] = Field(description="counts of rows, seconds, cost")


class Checkpoint(BaseModel):
    stage: str = Field(description="one of the eight")
    stale: list[str] = Field(description="why the newest attempt would be another now; nothing = it is fresh")
    attempts: list[AttemptInfo] = Field(description="newest first")


class ReplayRequest(BaseModel):
    job_id: str
    start_stage: str = Field(description="the first stage that runs again, one of the eight")
    config_overrides: ConfigOverrides = None
    reset: list[str] = Field([], description="stages whose tuned params are dropped")
    pins: dict[str, str] = Field({}, description="the attempt to read, by stage; else the latest")
    reuse: bool = Field(False, description="leave out first stages whose result is there, made by the same recipe")


class ReplayResponse(BaseModel):
    status: Literal["completed"] = "completed"
    job_id: str
    start_stage: str = Field(description="as asked")
    detections: int = Field(description="detections in the report that was just written")
    brands_found: int = Field(description="distinct brands in it")
    run_id: str = Field(description="the run that wrote the report")
    uri: str = Field(description="the folder of the report")


class RetryRequest(BaseModel):
    job_id: str
    config_overrides: ConfigOverrides = None
    start_stage: str = Field("escalate_vlm", description="escalate_cloud asks no local model; any other is a replay")
    schedule_seconds: float | None = Field(
        None, ge=0, le=LONGEST_DELAY_S, allow_inf_nan=False, description="hold it for so long; null or 0 = now"
    )


class RetryResponse(BaseModel):
    status: Literal["queued"] = "queued"
    task_id: str = Field(description="the id of Dagster's run")
    job_id: str
    not_before_s: float | None = Field(description="when it is due, in seconds since 1970; null = now")


class Problem(BaseModel):
    detail: str
    hint: str = ""


class AsciiJSON(JSONResponse):
    """JSON that holds any text, halves of surrogate pairs included: it may echo what a client sent."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def create_app(client: Client, settings: Settings, *, api_key: str = "", hosts: Sequence[str] = ()) -> FastAPI:
    """The service over ``client``. ``hosts``: the only names by which it may be addressed; none = any.

    Raises:
        BadInput: ``BRAND_DETECT_API_RATE`` is no rate.
    """
    app = FastAPI(
        title="brand_detect",
        description="Lists a job's checkpoints, replays it from a stage, and queues retries of what is unresolved.",
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        default_response_class=AsciiJSON,
    )
    app.add_middleware(Guard, rate=_rate(settings.api_rate), max_body_bytes=settings.api_max_body_bytes, hosts=hosts)

    def check_key(given: Annotated[str | None, Depends(APIKeyHeader(name="X-API-Key", auto_error=False))]) -> None:
        if api_key and not hmac.compare_digest((given or "").encode(), api_key.encode()):
            raise HTTPException(401, "The API key is missing or wrong: send it as X-API-Key.")

    # a launch may wait for a new snapshot of the brand list: it must not take the threads of everybody else
    launching = anyio.CapacityLimiter(8)
    guarded: dict[str, Any] = {"dependencies": [Depends(check_key)]}

    @app.exception_handler(BrandDetectError)
    async def failed(_: Request, error: BrandDetectError) -> JSONResponse:
        if isinstance(error, BadInput):
            return _problem(400, error)
        return _problem(503, error)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return AsciiJSON({"detail": error.detail}, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        # without the input: it may be NaN, which is no JSON, or nested too deep to be encoded
        said = [{name: problem[name] for name in ("type", "loc", "msg")} for problem in error.errors()]
        return AsciiJSON({"detail": said}, 422)

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> JSONResponse:  # logged by the server, with its traceback
        return AsciiJSON({"detail": f"A fault in the service: {type(error).__name__}."}, 500)

    @app.get("/detect/checkpoints/{job_id}", responses=_problems(404, 503), **guarded)
    async def checkpoints(job_id: str) -> list[Checkpoint]:
        """The stages of a job that have a checkpoint, in the order of the pipeline."""
        try:
            check_job_id(job_id)
        except BadInput as e:
            raise HTTPException(404, str(e)) from e
        history = await run_in_threadpool(client.checkpoints, job_id)
        found = [
            Checkpoint(stage=s, stale=list(history.stale(s)), attempts=[_info(a) for a in state.attempts])
            for s in STAGES
            if (state := history.stages[s]).attempts
        ]
        if not found:
            raise HTTPException(404, f"There is no checkpoint of {job_id}.")
        return found

    @app.post("/detect/replay", responses=_problems(400, 500, 503), **guarded)
    async def replay(asked: ReplayRequest, request: Request, idempotency_key: Key = "") -> ReplayResponse:
        """Run a job again from a stage and answer when its report is written.

        The run goes on if the caller hangs up. A second replay of the job waits for the first.
        """
        try:
            run = await anyio.to_thread.run_sync(
                lambda: client.replay(
                    asked.job_id,
                    asked.start_stage,
                    asked.config_overrides,
                    pins=asked.pins,
                    reset=asked.reset,
                    reuse=asked.reuse,
                    key=idempotency_key,
                ),
                limiter=launching,
            )
        except Permanent as e:
            raise _replay_failed(e) from e
        try:
            run = await _finished(client, run, request)
            report = await run_in_threadpool(client.report, asked.job_id, run.run_id)
        except (BadInput, Permanent) as e:
            raise _replay_failed(e) from e
        return ReplayResponse(
            job_id=asked.job_id,
            start_stage=asked.start_stage,
            detections=report.detections,
            brands_found=len(report.brands),
            run_id=run.run_id,
            uri=report.uri,
        )

    @app.post("/detect/retry", responses=_problems(400, 503), **guarded)
    async def retry(asked: RetryRequest, idempotency_key: Key = "") -> RetryResponse:
        """Queue a retry of what is unresolved, now or later. It is a run of Dagster's and can be cancelled there."""
        run = await run_in_threadpool(
            client.retry,
            asked.job_id,
            asked.config_overrides,
            start_stage=asked.start_stage,
            delay_s=asked.schedule_seconds or 0.0,
            key=idempotency_key,
        )
        return RetryResponse(task_id=run.run_id, job_id=asked.job_id, not_before_s=run.not_before_s)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether this service runs."""
        return {"status": "ok"}

    @app.get("/ready", responses=_problems(503))
    async def ready() -> dict[str, bool]:
        """Whether Dagster's webserver, the pipeline's code and Dagster's daemons are there to do the work."""
        parts = await run_in_threadpool(client.health)
        if missing := [part for part, there in parts.items() if not there]:
            raise Transient(f"Not running: {', '.join(missing)}.", "start Dagster's daemon and code server (make dev)")
        return parts

    return app


def is_loopback(host: str) -> bool:
    """Whether an address to bind to can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Turns away what the service should not work on: foreign host names, too many requests, too large bodies.

    Host names are checked against DNS rebinding: a page in the user's browser could otherwise talk to a service on
    the loopback interface under its own name.
    """

    def __init__(self, app: ASGIApp, *, rate: RateLimitItem, max_body_bytes: int, hosts: Sequence[str]) -> None:
        self._app, self._rate, self._max_body_bytes, self._hosts = app, rate, max_body_bytes, frozenset(hosts)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if self._hosts and request.url.hostname not in self._hosts:
            answer = AsciiJSON({"detail": "The service is not known under this host name."}, 400)
            await answer(scope, receive, send)
            return
        caller = scope["client"][0] if scope.get("client") else ""
        if scope["path"] not in OPEN_PATHS and not self._limiter.hit(self._rate, caller):
            answer = AsciiJSON({"detail": f"Too many requests: {self._rate}."}, 429, headers={"Retry-After": "10"})
            await answer(scope, receive, send)
            return
        too_large = HTTPException(413, f"The body is larger than {self._max_body_bytes} bytes.")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_body_bytes:
            await AsciiJSON({"detail": too_large.detail}, 413)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise too_large
            return message

        await self._app(scope, counted, send)


def _rate(text: str) -> RateLimitItem:
    try:
        return parse(text)
    except ValueError as e:
        raise BadInput(f"BRAND_DETECT_API_RATE: {text!r} is no rate.", "write it as 600/minute") from e


async def _finished(client: Client, run: Run, request: Request) -> Run:
    """``run`` when it has succeeded; between two looks at it no thread is held."""
    looks = client.looks(run.run_id)
    while True:
        seen, pause_s = await run_in_threadpool(next, looks)
        if pause_s == 0:
            return seen
        if await request.is_disconnected():
            raise Transient("The caller has hung up; the run goes on.")
        await anyio.sleep(pause_s)


def _problem(status: int, error: BrandDetectError) -> JSONResponse:
    headers = {"Retry-After": "10"} if status == 503 else None
    return AsciiJSON({"detail": str(error), "hint": error.hint}, status, headers=headers)


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What can go wrong, for the OpenAPI description; limits and the key apply everywhere."""
    return {status: {"model": Problem} for status in sorted({*statuses, 400, 401, 413, 429})}


def _replay_failed(error: BrandDetectError) -> HTTPException:
    return HTTPException(500, f"Replay failed: {error}")


def _info(attempt: Attempt) -> AttemptInfo:
    return AttemptInfo.model_validate(attempt, from_attributes=True)
