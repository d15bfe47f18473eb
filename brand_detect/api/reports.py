"""Reports for people: pages, frames, corrections, and the replay that applies them."""

import re
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import parse_qs, quote

import anyio
from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from brand_detect.api.access import Access
from brand_detect.api.answers import AsciiJSON, Warnings, media_type, problems, unknown_like
from brand_detect.api.guard import CSP
from brand_detect.api.states import JobState, state_of, unknown, waits_for
from brand_detect.api.stored import NotThere, ReviewInfo, StoredReports
from brand_detect.client import Client
from brand_detect.domain.errors import BadInput, Permanent, Transient
from brand_detect.domain.job import JOB_ID, check_job_id
from brand_detect.domain.pipeline import STAGES
from brand_detect.domain.reviews import Correction, Review
from brand_detect.report.index_page import MOST_LISTED, Listed, render_index, render_login, render_state
from brand_detect.report.page import DOCUMENTS
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
    done: bool = Field(description="whether the new report is there, or the run has failed")
    error: str | None = Field(description="why it failed")
    says: str = Field(description="what it waits for, or which stage runs")


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

    @router.get(f"{REPORTS}/{{job_id}}/state", responses=problems(404, 503), dependencies=may_see)
    def state(job_id: str) -> JobState:
        """How far a job is, with a report or without one."""
        try:
            made = stored.newest(job_id)
        except NotThere:
            made = None
        says = "there is no report, and Dagster knows no run that is to make one: replay the job"
        try:
            found = state_of(client, check_job_id(job_id), f"{REPORTS}/{job_id}" if made else None)
        except BadInput as e:
            raise NotThere(str(e)) from e
        except (Permanent, Transient) as e:
            if not stored.is_known(job_id):
                raise
            found, says = None, str(e)
        if found is None and not stored.is_known(job_id):
            raise NotThere(f"There is no job {job_id}.")
        return found or unknown(job_id, says)

    @router.get("/", include_in_schema=False)
    def root() -> Response:
        return RedirectResponse(REPORTS, 303)

    @router.get(REPORTS, include_in_schema=False)
    def index(request: Request) -> Response:
        if not access.may_enter(request):
            return _to_login(REPORTS)
        jobs = {listed.job_id: listed for listed in stored.listed()}
        note = ""
        try:
            runs = client.unfinished(MOST_LISTED)
        except (Permanent, Transient) as e:
            runs, note = [], f"Jobs without a report are listed without their state: {e}"
        for run in reversed(runs):  # the newest of a job comes last
            known = jobs.get(run.job_id)
            if STAGES[-1] in run.stages and (known is None or known.state):
                created = datetime.fromtimestamp(run.created_s, UTC).isoformat()
                jobs[run.job_id] = Listed(run.job_id, created, state=run.status)
        return HTMLResponse(render_index(list(jobs.values()), note), headers=PLAIN)

    @router.get(f"{REPORTS}/{{job_id}}", include_in_schema=False)
    def page(request: Request, job_id: str) -> Response:
        if not access.may_enter(request):
            return _to_login(f"{REPORTS}/{job_id}")
        if _asks_for_json(request):
            return AsciiJSON(state(job_id).model_dump())
        try:
            data, scripts = stored.page(job_id)
        except NotThere:
            return HTMLResponse(render_state(state(job_id).model_dump()), headers=PLAIN)
        policy = ["default-src 'none'", "style-src 'unsafe-inline'", "img-src 'self' data:", "connect-src 'self'"]
        policy += [" ".join(["script-src", *(scripts or ["'none'"])])]
        policy += ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
        return HTMLResponse(data, headers={CSP: "; ".join(policy)})

    @router.get(f"{REPORTS}/{{job_id}}/frames/{{frame}}.jpg", include_in_schema=False, dependencies=may_see)
    def frame_(job_id: str, frame: str, report: str = "") -> Response:
        if not FRAME.fullmatch(frame):
            raise HTTPException(404, "There is no such frame.")
        return Response(stored.frame(job_id, int(frame), report), media_type="image/jpeg")

    kinds = {kind.partition(";")[0]: {"schema": {}} for kind in DOCUMENTS.values()}

    @router.get(
        f"{REPORTS}/{{job_id}}/documents/{{name}}",
        response_class=Response,
        responses={200: {"content": kinds}, **problems(404, 503)},
        dependencies=may_see,
    )
    def document(job_id: str, name: str, report: str = "") -> Response:
        """A document of the attempt `report`, of the newest report without it: report.json, brands.csv, exposures.csv
        or markers.vtt."""
        data = stored.document(job_id, name, report)
        attachment = {"Content-Disposition": f'attachment; filename="{job_id}-{name}"'}
        return Response(data, media_type=DOCUMENTS[name], headers=attachment)

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
        error = None
        try:
            check_job_id(job_id)
            if not RUN_ID.fullmatch(run_id):
                raise BadInput(f"{job_id} has no such run.")
            try:
                run, pause_s = next(client.polls(run_id))
            except Permanent as e:
                run, pause_s, error = client.run(run_id), 0.0, e.full
        except BadInput as e:
            raise HTTPException(404, str(e)) from e
        if run.job_id != job_id:
            raise HTTPException(404, f"{job_id} has no such run.")
        done = pause_s == 0 or stored.is_made(job_id, run.run_id)
        return Progress(status=run.status, done=done, error=error, says="failed" if error else waits_for(run))

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


def _asks_for_json(request: Request) -> bool:
    """Whether a program asks, which wants to know how far the job is."""
    accepts = request.headers.get("accept", "")
    return "application/json" in accepts and "text/html" not in accepts


def _within(path: str) -> str:
    """``path`` if it is that of a report, else that of all of them: nobody is led elsewhere."""
    job_id = path.removeprefix(f"{REPORTS}/")
    return path if job_id != path and JOB_ID.fullmatch(job_id) else REPORTS


def _to_login(path: str) -> Response:
    return RedirectResponse(f"/login?next={quote(_within(path))}", 303)
