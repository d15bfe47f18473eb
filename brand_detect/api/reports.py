"""Reports for people: pages, frames, documents, and the login."""

import re
from collections.abc import Sequence
from urllib.parse import parse_qs

import anyio
from fastapi import Request
from fastapi.params import Depends as Dependency
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from brand_detect.api.access import LOGIN, Access, guards, within
from brand_detect.api.answers import AsciiJSON, Endpoints, problems
from brand_detect.api.clips import attached
from brand_detect.api.corrections import REPORTS, correction_router
from brand_detect.api.guard import CSP, policy
from brand_detect.api.job_list import ACTIVE, JobList
from brand_detect.api.shared import OneAtATime
from brand_detect.api.stored import NotThere, StoredReports
from brand_detect.client import Client
from brand_detect.report.home import render_state
from brand_detect.report.index_page import render_login
from brand_detect.report.page import MADE, SERVED

FRAME = re.compile(r"[0-9]{1,7}")
PLAIN = {
    CSP: "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}
"""Headers of pages without a script."""


def report_router(
    client: Client, stored: StoredReports, jobs: JobList, access: Access, launching: anyio.CapacityLimiter
) -> Endpoints:
    """The endpoints for reports; ``client`` launches replays."""
    router = Endpoints()
    may_see, may_change = guards(access)

    router.take(page_router(jobs, stored, access), file_router(stored, may_see))
    router.take(correction_router(client, stored, launching, may_see, may_change), login_router(access))
    return router


def page_router(jobs: JobList, stored: StoredReports, access: Access) -> Endpoints:
    """The page of each report; redirects to the login if needed."""
    router = Endpoints(include_in_schema=False)

    @router.get(f"{REPORTS}/{{job_id}}")
    def page(request: Request, job_id: str) -> Response:
        if not access.may_enter(request):
            return access.to_login(request)
        if _asks_for_json(request):
            return AsciiJSON(jobs.job(job_id).model_dump(mode="json"))
        try:
            data, scripts = stored.page(job_id)
        except NotThere:
            job = jobs.job(job_id)
            return HTMLResponse(render_state(job.model_dump(mode="json"), job.state in ACTIVE), headers=PLAIN)
        return HTMLResponse(data, headers={CSP: policy(scripts)})

    return router


def file_router(stored: StoredReports, may_see: Sequence[Dependency]) -> Endpoints:
    """Frames and documents that a report's page loads or links to."""
    router = Endpoints(dependencies=may_see)

    @router.get(f"{REPORTS}/{{job_id}}/frames/{{frame}}.jpg", include_in_schema=False)
    def frame_(job_id: str, frame: str, report: str = "") -> Response:
        if not FRAME.fullmatch(frame):
            raise HTTPException(404, "There is no such frame.")
        return Response(stored.frame(job_id, int(frame), report), media_type="image/jpeg")

    making = OneAtATime("Other documents are being made.")
    kinds = {kind.partition(";")[0]: {"schema": {}} for kind in SERVED.values()}

    @router.get(
        f"{REPORTS}/{{job_id}}/documents/{{name}}",
        response_class=Response,
        responses={200: {"content": kinds}, **problems(404, 503)},
    )
    async def document(job_id: str, name: str, report: str = "") -> Response:
        """A document of the attempt `report`, by default the newest: report.json, brands.csv, placements.csv,
        assets.csv, exposures.csv, markers.vtt, report.html, report.xlsx, detections.csv or unresolved.csv."""
        turn = making if name in MADE else run_in_threadpool
        data = await turn(stored.document, job_id, name, report)
        file_name = await run_in_threadpool(stored.download, job_id, report, name)
        return Response(data, media_type=SERVED[name], headers=attached(file_name))

    return router


def login_router(access: Access) -> Endpoints:
    """The login page and its form."""
    router = Endpoints()

    @router.get(LOGIN, include_in_schema=False)
    def login_page(request: Request) -> Response:
        following = within(request.query_params.get("next", ""))
        if access.is_open:
            return RedirectResponse(following, 303)
        return HTMLResponse(render_login(following), headers=PLAIN)

    @router.post(LOGIN, include_in_schema=False)
    async def login(request: Request) -> Response:
        form = parse_qs((await request.body()).decode(errors="replace"))
        key, following = form.get("key", [""])[0], within(form.get("next", [""])[0])
        if not access.may_try(request.client.host if request.client else ""):
            wrong = "Too many attempts: wait a minute."
            return HTMLResponse(render_login(following, wrong), 429, headers={**PLAIN, "Retry-After": "60"})
        if not access.has_key(key):
            return HTMLResponse(render_login(following, "Wrong key."), 401, headers=PLAIN)
        response = RedirectResponse(following, 303)
        access.give_cookie(request, response)
        return response

    return router


def _asks_for_json(request: Request) -> bool:
    """Whether the client is a program, which wants the job's state as JSON."""
    accepts = request.headers.get("accept", "")
    return "application/json" in accepts and "text/html" not in accepts
