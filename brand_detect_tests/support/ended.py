"""Runs that have ended, as Dagster stores them, for tests of what reads them; nothing is executed."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster import AssetCheckEvaluation
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.execution.plan.objects import StepFailureData, StepSuccessData, UserFailureData

from brand_detect.domain.pipeline import downstream_of
from brand_detect.domain.tags import PARTITION


def ended(
    instance: dg.DagsterInstance,
    job_id: str = "match",
    status: str = "SUCCESS",
    *,
    start: str = "match_brands",
    failed: str = "",
    reason: str = "",
    warned: Mapping[str, str] | None = None,
    blocked: str = "",
    tags: Mapping[str, str] | None = None,
    selection: Sequence[str] = (),
    job_name: str = "__ASSET_JOB",
) -> str:
    """The id of a run from ``start`` down that ended with ``status``, at the stage ``failed`` if it did at one.

    Args:
        reason: what the failed step said; without a failed stage, what Dagster said of the run.
        warned: what a check of a stage warned of, by stage.
        selection: the run's assets (of another job its steps), if they are others, in order.
        blocked: what a blocking check of the failed stage said.
    """
    stages = selection or downstream_of(start)
    run = dg.DagsterRun(
        job_name,
        status=dg.DagsterRunStatus.STARTED,
        tags={**({PARTITION: job_id} if job_id else {}), **(tags or {})},
        asset_selection=frozenset(map(dg.AssetKey, stages)) if job_name == "__ASSET_JOB" else None,
    )
    instance.add_run(run)

    def say(kind: str, stage: str | None, data: Any = None, message: str = "") -> None:
        event = dg.DagsterEvent(kind, run.job_name, step_key=stage, event_specific_data=data, message=message)
        instance.report_dagster_event(event, run.run_id)

    def check(stage: str, name: str, detail: str, severity: dg.AssetCheckSeverity) -> None:
        key = dg.AssetKey(stage)
        say("ASSET_CHECK_EVALUATION_PLANNED", stage, AssetCheckEvaluationPlanned(asset_key=key, check_name=name))
        outcome = AssetCheckEvaluation(
            asset_key=key,
            check_name=name,
            passed=not detail,
            metadata={},
            severity=severity,
            description=detail or None,
        )
        say("ASSET_CHECK_EVALUATION", stage, outcome)

    reached = stages[: stages.index(failed)] if failed else stages if status == "SUCCESS" else ()
    for stage in reached:
        if warned and stage in warned:
            check(stage, "nothing_is_odd", warned[stage], dg.AssetCheckSeverity.WARN)
        say("STEP_SUCCESS", stage, StepSuccessData(duration_ms=1.0))
    if failed:
        if blocked:
            check(failed, "all_is_well", blocked, dg.AssetCheckSeverity.ERROR)
        said = UserFailureData(label="failed", description=reason, metadata={}) if reason else None
        say("STEP_FAILURE", failed, StepFailureData(error=None, user_failure_data=said))
    if status == "FAILURE":
        instance.report_run_failed(run, "" if failed else reason)
    elif status == "CANCELED":
        instance.report_run_canceled(run)
    else:
        say("PIPELINE_SUCCESS", None)
    return run.run_id
