"""How far a job is that has no report yet, and what a run waits for, in words."""

import time

from pydantic import BaseModel, Field

from brand_detect.client import Client, Run
from brand_detect.domain.errors import BrandDetectError
from brand_detect.domain.pipeline import Stage


class JobState(BaseModel):
    job_id: str
    status: str = Field(
        description="of the newest run: held or Dagster's queued, starting, started, success, failure, …; or unknown"
    )
    stage: str | None = Field(description="the stage that runs now, or that failed")
    stages: list[str] = Field(description="the stages of that run")
    done: list[str] = Field(description="those that it has finished")
    run_id: str | None = Field(description="the newest run that is to make a report")
    says: str = Field(description="the same in words, with the reason if it failed")
    report: str | None = Field(description="address of the report's page, once there is one")
    ended: bool = Field(description="whether nothing is under way")


def stage_of(run: Run) -> str | None:
    """The first stage that a run has not finished, once it has started."""
    if run.started_s is None or run.status == "success":
        return None
    return next((stage for stage in run.stages if stage not in run.done), None)


def waits_for(run: Run) -> str:
    """What a run that has not ended waits for, or is at."""
    stage = stage_of(run)
    if run.status == "held" and run.not_before_s is not None:
        return f"held until {time.strftime('%Y-%m-%d %H:%M', time.gmtime(run.not_before_s))} UTC"
    if run.status == "started" and stage:
        return f"{stage} is running, step {run.stages.index(stage) + 1} of {len(run.stages)}"
    return {
        "queued": "waiting in the queue for a free place",
        "not_started": "being queued",
        "starting": "its process is starting",
        "started": "its process is finishing",
        "canceling": "being cancelled",
        "failure": "failed, and tried once more",
        "success": "done",
    }.get(run.status, run.status)


def state_of(client: Client, job_id: str, report: str | None) -> JobState | None:
    """The state of a job by its newest run that is to make a report; None if there was none.

    Raises:
        Transient: Dagster is out of reach.
    """
    run = next((r for r in client.runs(job_id) if Stage.compile_report in r.stages), None)
    if run is None:
        return None
    says = waits_for(run)
    if run.status == "success":
        says = "the report is there" if report else "done, but the report is gone: replay it from compile_report"
    elif run.status == "canceled":
        says = "cancelled"
    elif run.status == "failure" and not run.retried_as and run.will_retry is not True:
        try:
            sentence, hint = client.reason(run.run_id)
        except BrandDetectError as e:
            sentence, hint = str(e), e.hint
        says = f"failed: {sentence}{f' Hint: {hint}' if hint else ''}"
    return JobState(
        job_id=job_id,
        status=run.status,
        stage=stage_of(run),
        done=list(run.done),
        run_id=run.run_id,
        says=says,
        report=report,
        stages=list(run.stages),
        ended=run.ended and not (run.status == "failure" and (run.retried_as or run.will_retry)),
    )


def unknown(job_id: str, says: str) -> JobState:
    """The state of a job that is in the store alone."""
    return JobState(
        job_id=job_id, status="unknown", stage=None, stages=[], done=[], run_id=None, says=says, report=None, ended=True
    )
