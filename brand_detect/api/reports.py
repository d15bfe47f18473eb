"""Reports for people: pages, frames, corrections, and the replay that applies them."""

import re
from typing import Annotated
from urllib.parse import parse_qs, quote

import anyio
from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from brand_detect.api.access import Access
from brand_detect.api.answers import Warnings, media_type, problems, unknown_like
from brand_detect.api.guard import CSP
from brand_detect.api.stored import ReviewInfo, StoredReports
from brand_detect.client import Client
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.model import JOB_ID, check_job_id
from brand_detect.domain.pipeline import STAGES
from brand_detect.domain.reviews import Correction, Review
from brand_detect.report.index_page import render_index, render_login
from brand_detect.storage.store import Store

REPORTS = "/reports"
ASKED_BY = "brand_detect"
"""What POSTs say in ``X-Requested-With``: another site's form cannot."""
FRAME = re.compile(r"[0-9]{1,7}")
RUN_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
PLAIN = {
    CSP: "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}
"""For pages without a script."""


class ReviewList(BaseModel):
    attempt: str = Field(description="the report that is shown, to which the states belong")
    reviews: list[ReviewInfo] = Field(description="by time")
    damaged: list[str] = Field(description="a sentence about each correction that cannot be read")


class Kept(Review):
    """A correction that was just taken."""

    warnings: Warnings


class Applied(BaseModel):
    run_id: str = Field(description="the run that makes the report again")


class Progress(BaseModel):
    status: str = Field(description="Dagster's: queued, starting, started, success, failure, canceled")
    done: bool
    error: str | None = Field(description="why it failed")


def report_router(client: Client, store: Store, access: Access, launching: anyio.CapacityLimiter) -> APIRouter:
    """The endpoints over the reports of ``store``; ``client`` launches what applies corrections."""
    router, stored = APIRouter(), StoredReports(store)

    def entered(request: Request) -> None:
        if not access.may_enter(request):
            raise HTTPException(401, "The API key is missing or wrong: send it as X-API-Key, or log in.")

    def meant(request: Request, x_requested_with: Annotated[str, Header(description=f"`{ASKED_BY}`")] = "") -> None:
        """Another site can make a browser send a form here, with its cookie; none of this."""
        if x_requested_with != ASKED_BY:
            raise HTTPException(403, f"The request must carry the header X-Requested-With: {ASKED_BY}.")
        kind = media_type(request)
        if kind != "application/json" and (kind or request.headers.get("content-length", "0") != "0"):
            raise HTTPException(415, "The body must be JSON, as the header Content-Type says.")

    may_see, may_change = [Depends(entered)], [Depends(entered), Depends(meant)]

    @router.get(REPORTS, include_in_schema=False)
    def index(request: Request) -> Response:
        if not access.may_enter(request):
            return _to_login(REPORTS)
        return HTMLResponse(render_index(stored.listed()), headers=PLAIN)

    @router.get(f"{REPORTS}/{{job_id}}", include_in_schema=False)
    def page(request: Request, job_id: str) -> Response:
        if not access.may_enter(request):
            return _to_login(f"{REPORTS}/{job_id}")
        data, scripts = stored.page(job_id)
        policy = ["default-src 'none'", "style-src 'unsafe-inline'", "img-src 'self' data:", "connect-src 'self'"]
        policy += [" ".join(["script-src", *(scripts or ["'none'"])])]
        policy += ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
        return HTMLResponse(data, headers={CSP: "; ".join(policy)})

    @router.get(f"{REPORTS}/{{job_id}}/frames/{{frame}}.jpg", include_in_schema=False, dependencies=may_see)
    def frame_(job_id: str, frame: str, report: str = "") -> Response:
        if not FRAME.fullmatch(frame):
            raise HTTPException(404, "There is no such frame.")
        return Response(stored.frame(job_id, int(frame), report), media_type="image/jpeg")

    @router.get(f"{REPORTS}/{{job_id}}/reviews", responses=problems(404, 503), dependencies=may_see)
    def reviews(job_id: str) -> ReviewList:
        """What people have said about a job's reports, and what has become of it."""
        found, damaged = stored.reviews(job_id)
        return ReviewList(attempt=stored.newest(job_id).attempt, reviews=found, damaged=damaged)

    @router.post(
        f"{REPORTS}/{{job_id}}/reviews",
        status_code=201,
        responses=problems(403, 404, 409, 415, 503),
        dependencies=may_change,
    )
    def review(
        job_id: str, said: Correction, warnings: Annotated[list[str], Depends(unknown_like(Correction))]
    ) -> Kept:
        """Correct a report. The correction is kept and never changed; `undo` takes it back. It shows when applied."""
        return Kept(**stored.review(job_id, said).model_dump(), warnings=warnings)

    @router.post(f"{REPORTS}/{{job_id}}/apply", responses=problems(403, 404, 415, 503), dependencies=may_change)
    async def apply(job_id: str) -> Applied:
        """Make the job's report again with all corrections: a replay from `compile_report`, which takes seconds."""
        await run_in_threadpool(stored.newest, job_id)
        run = await anyio.to_thread.run_sync(lambda: client.replay(job_id, STAGES[-1]), limiter=launching)
        return Applied(run_id=run.run_id)

    @router.get(f"{REPORTS}/{{job_id}}/apply/{{run_id}}", responses=problems(404, 503), dependencies=may_see)
    def progress(job_id: str, run_id: str) -> Progress:
        """How far a run is that applies corrections."""
        try:
            check_job_id(job_id)
            run = client.run(run_id) if RUN_ID.fullmatch(run_id) else None
        except BadInput as e:
            raise HTTPException(404, str(e)) from e
        if run is None or run.job_id != job_id:
            raise HTTPException(404, f"{job_id} has no such run.")
        try:
            seen, pause_s = next(client.looks(run_id))
        except Permanent as e:
            return Progress(status=run.status, done=True, error=e.full)
        return Progress(status=seen.status, done=pause_s == 0, error=None)

    @router.get("/login", include_in_schema=False)
    def login_page(request: Request) -> Response:
        following = _within(request.query_params.get("next", ""))
        if access.is_open:
            return RedirectResponse(following, 303)
        return HTMLResponse(render_login(following), headers=PLAIN)

    @router.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        form = parse_qs((await request.body()).decode(errors="replace"))
        key, following = form.get("key", [""])[0], _within(form.get("next", [""])[0])
        if not access.may_try(request.client.host if request.client else ""):
            wrong = "Too many tries: wait a minute."
            return HTMLResponse(render_login(following, wrong), 429, headers={**PLAIN, "Retry-After": "60"})
        if not access.has_key(key):
            return HTMLResponse(render_login(following, "That is not the key."), 401, headers=PLAIN)
        response = RedirectResponse(following, 303)
        access.give_cookie(request, response)
        return response

    return router


def _within(path: str) -> str:
    """``path`` if it is that of a report, else that of all of them: nobody is led elsewhere."""
    job_id = path.removeprefix(f"{REPORTS}/")
    return path if job_id != path and JOB_ID.fullmatch(job_id) else REPORTS


def _to_login(path: str) -> Response:
    return RedirectResponse(f"/login?next={quote(_within(path))}", 303)
