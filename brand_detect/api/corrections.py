"""Endpoints for corrections: list them, add one, and apply them by a replay."""

import re
from collections.abc import Sequence
from typing import Annotated

import anyio
from fastapi import Depends, Query
from fastapi.params import Depends as Dependency
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from brand_detect.api.answers import Endpoints, Warnings, problems, unknown_like
from brand_detect.api.states import waits_for
from brand_detect.api.stored import StoredReports
from brand_detect.client import Client
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.job import check_job_id
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.reviews import Correction, Review
from brand_detect.operations.corrections import ReviewInfo

REPORTS = "/reports"
RUN_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


class ReviewList(BaseModel):
    attempt: str = Field(description="the report to which the states refer")
    reviews: list[ReviewInfo] = Field(description="by time")
    damaged: list[str] = Field(description="one sentence about each unreadable correction")


class BrandNames(BaseModel):
    brands: list[str] = Field(description="those that begin with `part` first", examples=[["Adidas", "Radisson"]])


class NewReview(Review):
    """A correction that was just stored."""

    warnings: Warnings


class Applied(BaseModel):
    run_id: str = Field(description="the run that compiles the report again")


class Progress(BaseModel):
    status: str = Field(description="Dagster's status: queued, starting, started, success, failure, canceled")
    done: bool = Field(description="whether the new report exists, or the run has failed")
    error: str | None = Field(description="the reason of a failure")
    says: str = Field(description="what the run waits for, or which stage is running")


def correction_router(
    client: Client,
    stored: StoredReports,
    launching: anyio.CapacityLimiter,
    may_see: Sequence[Dependency],
    may_change: Sequence[Dependency],
) -> Endpoints:
    """The endpoints for corrections; ``may_see`` and ``may_change`` are their access checks."""
    router = Endpoints()

    @router.get(f"{REPORTS}/{{job_id}}/reviews", responses=problems(404, 503), dependencies=may_see)
    def reviews(job_id: str) -> ReviewList:
        """The corrections of a job's reports, each with its outcome."""
        found, damaged = stored.reviews(job_id)
        return ReviewList(attempt=stored.newest(job_id).attempt, reviews=found, damaged=damaged)

    @router.get(f"{REPORTS}/{{job_id}}/brands", responses=problems(404, 503), dependencies=may_see)
    def brands(
        job_id: str, part: Annotated[str, Query(max_length=100, description="of the name", examples=["adi"])] = ""
    ) -> BrandNames:
        """Names for a correction, from the catalogue that the newest report was made with: at most 50."""
        return BrandNames(brands=stored.brand_names(job_id, part))

    @router.post(
        f"{REPORTS}/{{job_id}}/reviews",
        status_code=201,
        responses=problems(403, 404, 409, 415, 503),
        dependencies=may_change,
    )
    def review(
        job_id: str, correction: Correction, warnings: Annotated[list[str], Depends(unknown_like(Correction))]
    ) -> NewReview:
        """Store a correction of a report. It never changes, `undo` reverses it, and it takes effect once applied."""
        return NewReview(**stored.review(job_id, correction).model_dump(), warnings=warnings)

    @router.post(f"{REPORTS}/{{job_id}}/apply", responses=problems(403, 404, 415, 503), dependencies=may_change)
    async def apply(job_id: str) -> Applied:
        """Apply all corrections by a replay from `compile_report`, which takes seconds."""
        await run_in_threadpool(stored.newest, job_id)
        run = await anyio.to_thread.run_sync(lambda: client.replay(job_id, Stage.compile_report), limiter=launching)
        return Applied(run_id=run.run_id)

    @router.get(f"{REPORTS}/{{job_id}}/apply/{{run_id}}", responses=problems(404, 503), dependencies=may_see)
    def progress(job_id: str, run_id: str) -> Progress:
        """The progress of a run that applies corrections."""
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

    return router
