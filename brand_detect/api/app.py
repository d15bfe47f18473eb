"""Assembles the service: access, limits, error answers and routers."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import anyio
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security import APIKeyHeader
from starlette.exceptions import HTTPException
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from brand_detect.api.access import Access, KeyFirst, guards
from brand_detect.api.answers import AsciiJSON, Endpoints, Problem, broken, problems
from brand_detect.api.brands import PROPOSALS, brand_router
from brand_detect.api.clips import clip_router
from brand_detect.api.detect import detect_router
from brand_detect.api.guard import BRANDS, CSP, UPLOADS, Guard, Limits, Sealed, policy, rate_of
from brand_detect.api.job_list import JobList
from brand_detect.api.jobs import JOBS, Submissions, home_router, job_router, list_router
from brand_detect.api.media import media_router
from brand_detect.api.overview import COMPARE, PORTFOLIO, overview_router
from brand_detect.api.reports import REPORTS, report_router
from brand_detect.api.shared import Shared
from brand_detect.api.stored import Conflict, NotThere, StoredReports
from brand_detect.api.stored_brands import StoredBrands
from brand_detect.api.stored_jobs import StoredJobs
from brand_detect.api.uploads import UploadArea, upload_router, uploads_of
from brand_detect.api.videos import video_router
from brand_detect.client import Client
from brand_detect.domain.errors import BadInput, BrandDetectError, Transient
from brand_detect.domain.media import VIDEO_SUFFIXES
from brand_detect.domain.reviews import sentence
from brand_detect.domain.settings import Settings
from brand_detect.engines.annotate import PyAvRewriter
from brand_detect.engines.canvas import OpenCvCanvas
from brand_detect.engines.video import PyAvDecoder
from brand_detect.report.index_page import render_problem
from brand_detect.storage.media import MediaFiles
from brand_detect.storage.reports import Reports
from brand_detect.storage.store import Store

READY_S = 5.0
"""Time for which an answer of /ready is reused."""


def create_app(client: Client, settings: Settings, *, api_key: str = "", hosts: Sequence[str] = ()) -> FastAPI:
    """The service over ``client``, which answers under the names ``hosts`` and loopback names.

    Raises:
        BadInput: ``BRAND_DETECT_API_RATE`` is malformed, or no header can carry the key.
    """
    app = FastAPI(
        title="brand_detect",
        description=(
            "Takes videos, lists jobs and their progress, cancels and replays them; lists a job's checkpoints and "
            "queues retries of unresolved clusters; shows reports and accepts corrections."
        ),
        docs_url=None,  # those pages load external scripts
        redoc_url=None,
        default_response_class=AsciiJSON,
    )
    access = Access(api_key)
    app.add_middleware(KeyFirst, access=access)
    app.add_middleware(Limits, rate=rate_of(settings.api_rate), max_body_bytes=settings.api_max_body_bytes)
    app.add_middleware(Guard, hosts=hosts)
    app.add_middleware(Sealed)
    if settings.proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.proxies))

    def check_key(given: Annotated[str | None, Depends(APIKeyHeader(name="X-API-Key", auto_error=False))]) -> None:
        if not access.has_key(given):
            raise HTTPException(401, "The API key is missing or wrong: send it as X-API-Key.")

    # a launch may wait for a new snapshot of the brand list and must not occupy the threads of other requests
    launching = anyio.CapacityLimiter(8)

    _answer_errors(app)
    store = Store(settings.store_root)
    made = Reports(store)
    endpoints = Endpoints()
    endpoints.take(detect_router(client, store, launching, [Depends(check_key)]))
    jobs = _take_jobs(endpoints, client, made, settings, access, launching)
    endpoints.take(overview_router(made, access, guards(access)[0]))
    reports, media, (may_see, may_change) = StoredReports(made), MediaFiles(settings.media_roots), guards(access)
    endpoints.take(report_router(client, reports, jobs, access, launching))
    rewriter = PyAvRewriter(settings.video_limits)
    endpoints.take(clip_router(reports, media, rewriter, may_see))
    endpoints.take(media_router(reports, store, media, may_see), health_router(client))
    app.router.routes.extend(endpoints.routes)
    # included, for it has a lifespan
    app.include_router(video_router(reports, store, media, rewriter, OpenCvCanvas(), may_see, may_change))

    return app


def _take_jobs(
    endpoints: Endpoints,
    client: Client,
    reports: Reports,
    settings: Settings,
    access: Access,
    launching: anyio.CapacityLimiter,
) -> JobList:
    """The list of jobs, submission and uploads."""
    stored = StoredJobs(reports)
    jobs = JobList(client, stored)
    media, decoder = MediaFiles(settings.media_roots), PyAvDecoder(settings.video_limits)
    uploads = uploads_of(settings, media)
    may_see, may_change = guards(access)
    submissions = Submissions(client, jobs, stored, media, decoder)
    endpoints.take(list_router(jobs, stored, may_see))
    endpoints.take(job_router(client, jobs, submissions, launching, may_change))
    endpoints.take(brand_router(StoredBrands(settings, reports.store, stored), access, may_see, may_change))
    endpoints.take(upload_router(UploadArea(uploads, media, decoder, jobs, stored), may_see, may_change))
    allowed = {"on": uploads is not None, "max_bytes": settings.upload_max_bytes, "suffixes": VIDEO_SUFFIXES}
    endpoints.take(home_router(client, jobs, access, allowed))
    return jobs


def health_router(client: Client) -> Endpoints:
    """Health of the service, and of everything it depends on."""
    router = Endpoints()
    parts_of = Shared(client.health, READY_S)

    @router.get("/health")
    async def health() -> dict[str, str]:
        """Whether this service runs."""
        return {"status": "ok"}

    @router.get("/ready", responses={**problems(), 503: {"model": Problem}})
    async def ready() -> dict[str, bool]:
        """Whether Dagster's webserver, the pipeline's code and Dagster's daemons are available.

        The answer is up to 5 seconds old.
        """
        parts = await parts_of()
        if missing := [part for part, there in parts.items() if not there]:
            raise Transient(f"Not running: {', '.join(missing)}.", "start Dagster's daemon and code server (make dev)")
        return parts

    return router


def _answer_errors(app: FastAPI) -> None:
    """Answer each kind of error with its status and one sentence."""

    @app.exception_handler(BrandDetectError)
    async def failed(request: Request, error: BrandDetectError) -> Response:
        status = 400 if isinstance(error, BadInput) else 503
        return _problem(request, status, str(error), error.hint)

    @app.exception_handler(NotThere)
    async def not_there(request: Request, error: NotThere) -> Response:
        return _problem(request, 404, str(error))

    @app.exception_handler(Conflict)
    async def conflict(request: Request, error: Conflict) -> Response:
        return _problem(request, 409, str(error))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return _problem(request, error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        path = request.url.path
        # requested by a browser
        if path.startswith((f"{REPORTS}/", JOBS, UPLOADS, BRANDS, PROPOSALS, COMPARE, PORTFOLIO)):
            what = "The correction" if path.endswith("/reviews") else "The request"
            return _problem(request, 400, sentence(error.errors(), what))
        # without the input, which may be NaN (not JSON) or nested too deeply to encode
        problems_found = [{name: wrong[name] for name in ("type", "loc", "msg")} for wrong in error.errors()]
        return AsciiJSON({"detail": problems_found}, 422)

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> JSONResponse:  # the server logs it with its traceback
        return AsciiJSON(broken(error), 500)


def _problem(
    request: Request, status: int, detail: str, hint: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer to a request that failed: a page for a browser that opens an address, else JSON."""
    headers = {**(headers or {}), **({"Retry-After": "10"} if status == 503 else {})}
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(render_problem(detail, hint or ""), status, headers={**headers, CSP: policy([])})
    said = {"detail": detail} if hint is None else {"detail": detail, "hint": hint}
    return AsciiJSON(said, status, headers=headers)
