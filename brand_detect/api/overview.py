"""Pages over several reports: two compared, and the totals of many."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Request
from fastapi.params import Depends as Dependency
from fastapi.responses import Response

from brand_detect.api.access import Access
from brand_detect.api.answers import Endpoints, problems
from brand_detect.api.jobs import page_of
from brand_detect.api.stored import NotThere
from brand_detect.engines.image import OpenCvCodec
from brand_detect.operations.comparison import Compared, compared
from brand_detect.operations.portfolio import NewestReports, documents, portfolio_of
from brand_detect.report.comparison import Comparison
from brand_detect.report.portfolio import Portfolio, render
from brand_detect.storage.reports import Reports
from brand_detect.storage.store import Store

COMPARE, PORTFOLIO = "/compare", "/portfolio"
MOST_JOBS = 2000
CSV = "text/csv; charset=utf-8"
DOCUMENTS = {"portfolio.json": "application/json", "brands.csv": CSV, "videos.csv": CSV}

JobId = Annotated[str, Query(max_length=128, examples=["final-1a2b3c4d"])]
Attempt = Annotated[str, Query(max_length=128, description="a report's attempt, or how its name begins")]
Jobs = Annotated[Sequence[str], Query(max_length=MOST_JOBS, description="the jobs; default: all")]
LeftOut = Annotated[Sequence[str], Query(max_length=MOST_JOBS, description="jobs that do not count")]
Day = Annotated[str, Query(max_length=10, description="day of submission, UTC, as 2026-05-31")]


def overview_router(stored: Reports, access: Access, may_see: Sequence[Dependency]) -> Endpoints:
    """The pages, and the same for programs."""
    router = Endpoints(tags=["reports"])
    reports = NewestReports(stored)

    @router.get(COMPARE, include_in_schema=False)
    def comparison(
        request: Request, job: JobId, attempt: Attempt = "", with_attempt: Attempt = "", with_job: JobId = ""
    ) -> Response:
        if not access.may_enter(request):
            return access.to_login(request)
        return page_of(_compared(stored.store, job, attempt, with_attempt, with_job).page(served=True), [])

    @router.get(f"{COMPARE}.json", responses=problems(503), dependencies=may_see)
    def comparison_document(
        job: JobId, attempt: Attempt = "", with_attempt: Attempt = "", with_job: JobId = ""
    ) -> Comparison:
        """What differs between two reports: of one job, by default the newest and the one before; or of two jobs."""
        return _compared(stored.store, job, attempt, with_attempt, with_job).document

    @router.get(PORTFOLIO, include_in_schema=False)
    def portfolio_page(
        request: Request,
        job: Jobs = (),
        since: Day = "",
        until: Day = "",
        without: LeftOut = (),
    ) -> Response:
        if not access.may_enter(request):
            return access.to_login(request)
        whole = _portfolio(reports, job, since, until, without)
        return page_of(render(whole, query=request.url.query, chosen=job, without=without, served=True), [])

    @router.get(f"{PORTFOLIO}/{{name}}", response_class=Response, responses=problems(404, 503), dependencies=may_see)
    def document(name: str, job: Jobs = (), since: Day = "", until: Day = "", without: LeftOut = ()) -> Response:
        """The totals of many jobs' newest reports: portfolio.json, brands.csv, or videos.csv."""
        if name not in DOCUMENTS:
            raise NotThere("There is no such document.")
        data = documents(_portfolio(reports, job, since, until, without))[name]
        attachment = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(data, media_type=DOCUMENTS[name], headers=attachment)

    return router


def _compared(store: Store, job: str, attempt: str, with_attempt: str, with_job: str) -> Compared:
    return compared(store, OpenCvCodec(), job, attempt, with_attempt, with_job)


def _portfolio(
    reports: NewestReports, jobs: Sequence[str], since: str, until: str, without: Sequence[str]
) -> Portfolio:
    def unseen(done: float, total: float, unit: str) -> None:
        """The page is made in one go."""

    return portfolio_of(reports, unseen, jobs, since, until, without)
