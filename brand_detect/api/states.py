"""The state of a job, and what a run waits for, in words."""

import time

from pydantic import BaseModel, Field

from brand_detect.client import Client, Run
from brand_detect.domain.errors import BrandDetectError
from brand_detect.domain.pipeline import Stage


class JobState(BaseModel):
    job_id: str
    status: str = Field(
        description="of the newest run: held, Dagster's queued, starting, started, success, failure, …; or unknown"
    )
    stage: str | None = Field(description="the stage that is running or failed")
    stages: list[str] = Field(description="the stages of that run")
    done: list[str] = Field(description="its finished stages")
    run_id: str | None = Field(description="the newest run that makes a report")
    says: str = Field(description="the state in words, with the reason of a failure")
    report: str | None = Field(description="address of the report's page, if there is one")
    ended: bool = Field(description="whether no run is in progress")


def stage_of(run: Run) -> str | None:
    """The first unfinished stage of a run that has started."""
    if run.started_s is None or run.status == "success":
        return None
    return next((stage for stage in run.stages if stage not in run.done), None)


def waits_for(run: Run) -> str:
    """What an unfinished run waits for or is doing."""
    stage = stage_of(run)
    if run.status == "held" and run.not_before_s is not None:
        return f"held until {time.strftime('%Y-%m-%d %H:%M', time.gmtime(run.not_before_s))} UTC"
    if run.status == "started" and stage:
        return f"{stage} is running, step {run.stages.index(stage) + 1} of {len(run.stages)}"
    return {
        "queued": "waiting in the queue",
        "not_started": "being queued",
        "starting": "its process is starting",
        "started": "its process is finishing",
        "canceling": "being cancelled",
        "failure": "failed, will be re-executed",
        "success": "done",
    }.get(run.status, run.status)


def state_of(client: Client, job_id: str, report: str | None) -> JobState | None:
    """The state of a job according to its newest run that makes a report; None if there is none.

    Raises:
        Transient: Dagster is out of reach.
    """
    run = next((r for r in client.runs(job_id) if Stage.compile_report in r.stages), None)
    if run is None:
        return None
    says = waits_for(run)
    if run.status == "success":
        says = "the report is ready" if report else "done, but the report is missing: replay it from compile_report"
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
    """The state of a job that is only in the store."""
    return JobState(
        job_id=job_id, status="unknown", stage=None, stages=[], done=[], run_id=None, says=says, report=None, ended=True
    )
