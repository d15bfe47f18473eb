"""The three endpoints for programs without access to Dagster: checkpoints, replay and retry."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import anyio
from fastapi import Depends, Header, Request
from fastapi.params import Depends as Dependency
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from brand_detect.api.answers import Endpoints, Warnings, problems, unknown_like
from brand_detect.client import LONGEST_DELAY_S, Client, Run
from brand_detect.domain.errors import BadInput, BrandDetectError, Permanent, Transient
from brand_detect.domain.history import Attempt
from brand_detect.domain.job import check_job_id
from brand_detect.domain.pipeline import STAGES
from brand_detect.storage.present import present
from brand_detect.storage.store import Store

ConfigOverrides = Annotated[
    dict[str, dict[str, Any]] | None, Field(description="{stage: {param: value}}, for the stages that run")
]
Key = Annotated[
    str,
    Header(alias="Idempotency-Key", max_length=255, description="idempotency key: repeating it returns the same run"),
]


class AttemptInfo(BaseModel):
    attempt: str = Field(description="its name, as used by pins")
    run_id: str = Field(description="the run that made it")
    created_s: float = Field(description="seconds since 1970")
    uri: str = Field(description="the folder of its files")
    params: dict[str, Any] = Field(description="all params in force")
    overrides: dict[str, Any] = Field(description="params set explicitly for it")
    upstream: dict[str, str] = Field(description="the attempt of every ancestor")
    figures: dict[str, float] = Field(description="counts of rows, seconds, cost")


class Checkpoint(BaseModel):
    stage: str = Field(description="one of the eight")
    stale: list[str] = Field(description="why running the stage now would give another result; empty = up to date")
    attempts: list[AttemptInfo] = Field(description="newest first")


class ReplayOptions(BaseModel):
    """What a replay of any job may be told."""

    start_stage: str = Field(description="the first stage to run again, one of the eight", examples=["match_brands"])
    config_overrides: ConfigOverrides = Field(None, examples=[{"match_brands": {"min_confidence": 0.5}}])
    reset: list[str] = Field([], description="stages whose earlier overrides are dropped")
    pins: dict[str, str] = Field({}, description="the attempt to read, by stage; default: the latest")
    reuse: bool = Field(False, description="skip leading stages whose result exists, made by the same recipe")

    def launch(self, client: Client, job_id: str, key: str, delay_s: float = 0.0) -> Run:
        """As ``Client.replay``."""
        return client.replay(
            job_id,
            self.start_stage,
            self.config_overrides,
            pins=self.pins,
            reset=self.reset,
            reuse=self.reuse,
            delay_s=delay_s,
            key=key,
        )


class ReplayRequest(ReplayOptions):
    job_id: str


class ReplayResponse(BaseModel):
    status: Literal["completed"] = "completed"
    job_id: str
    start_stage: str = Field(description="as asked")
    detections: int = Field(description="number of detections in the new report")
    brands_found: int = Field(description="number of distinct brands in it")
    run_id: str = Field(description="the run that wrote the report")
    uri: str = Field(description="the folder of the report")
    warnings: Warnings


class RetryRequest(BaseModel):
    job_id: str
    config_overrides: ConfigOverrides = None
    start_stage: str = Field(
        "escalate_vlm", description="escalate_cloud asks no local model; any other stage is a plain replay"
    )
    schedule_seconds: float | None = Field(
        None,
        ge=0,
        le=LONGEST_DELAY_S,
        allow_inf_nan=False,
        description="time to hold it, at most a year; null or 0 = now",
    )


class RetryResponse(BaseModel):
    status: Literal["queued"] = "queued"
    task_id: str = Field(description="the id of Dagster's run")
    job_id: str
    not_before_s: float | None = Field(description="when it is due, in seconds since 1970; null = now")
    warnings: Warnings


def detect_router(
    client: Client, store: Store, launching: anyio.CapacityLimiter, may_ask: Sequence[Dependency]
) -> Endpoints:
    """The endpoints over ``client``; ``launching`` limits the number of concurrent launches."""
    router = Endpoints(dependencies=may_ask)

    @router.get("/detect/checkpoints/{job_id}", responses=problems(404, 503))
    async def checkpoints(job_id: str) -> list[Checkpoint]:
        """The stages of a job that have a checkpoint, in pipeline order; those with deleted files are left out."""
        found = await run_in_threadpool(_checkpoints, client, store, job_id)
        if not found:
            raise HTTPException(404, f"There is no checkpoint of {job_id}.")
        return found

    @router.post("/detect/replay", responses=problems(400, 500, 503))
    async def replay(
        asked: ReplayRequest,
        request: Request,
        warnings: Annotated[list[str], Depends(unknown_like(ReplayRequest))],
        idempotency_key: Key = "",
    ) -> ReplayResponse:
        """Run a job again from a stage, and answer when its report is written.

        The run continues if the caller disconnects. A second replay of the job waits for the first.
        """
        try:
            run = await anyio.to_thread.run_sync(asked.launch, client, asked.job_id, idempotency_key, limiter=launching)
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
            warnings=warnings,
        )

    @router.post("/detect/retry", responses=problems(400, 503))
    async def retry(
        asked: RetryRequest,
        warnings: Annotated[list[str], Depends(unknown_like(RetryRequest))],
        idempotency_key: Key = "",
    ) -> RetryResponse:
        """Queue a retry of the unresolved clusters, now or later. It is a Dagster run and can be cancelled there."""
        run = await run_in_threadpool(
            client.retry,
            asked.job_id,
            asked.config_overrides,
            start_stage=asked.start_stage,
            delay_s=asked.schedule_seconds or 0.0,
            key=idempotency_key,
        )
        return RetryResponse(task_id=run.run_id, job_id=asked.job_id, not_before_s=run.not_before_s, warnings=warnings)

    return router


def _checkpoints(client: Client, store: Store, job_id: str) -> list[Checkpoint]:
    try:
        check_job_id(job_id)
    except BadInput as e:
        raise HTTPException(404, str(e)) from e
    history = present(client.checkpoints(job_id), store)
    return [
        Checkpoint(stage=s, stale=list(history.stale(s)), attempts=[_info(a) for a in state.attempts])
        for s in STAGES
        if (state := history.stages[s]).attempts
    ]


async def _finished(client: Client, run: Run, request: Request) -> Run:
    """Wait until ``run`` has succeeded, without occupying a thread between polls."""
    polls = client.polls(run.run_id)
    while True:
        seen, pause_s = await run_in_threadpool(next, polls)
        if pause_s == 0:
            return seen
        if await request.is_disconnected():
            raise Transient("The caller has disconnected; the run continues.")
        await anyio.sleep(pause_s)


def _replay_failed(error: BrandDetectError) -> HTTPException:
    return HTTPException(500, f"Replay failed: {error}")


def _info(attempt: Attempt) -> AttemptInfo:
    return AttemptInfo.model_validate(attempt, from_attributes=True)
