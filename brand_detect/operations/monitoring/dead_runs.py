"""Ends runs whose process is gone, and reports failures again that Dagster missed."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from brand_detect.domain.tags import REPORTED_AGAIN
from brand_detect.operations.monitoring.liveness import AT_WORK, SILENT_S, is_ours, is_to_be_retried, worker_of

HEARD_S, PASSED_S = 20.0, 86_400.0
"""Time after which a missing re-execution is reported again, and after which it no longer is."""


def is_done(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether every step of the run has succeeded, so that nothing is left to re-execute."""
    wanted = set(run.step_keys_to_execute or (key.path[-1] for key in run.asset_selection or ()))
    steps = instance.get_run_step_stats(run.run_id)
    return bool(wanted) and wanted <= {s.step_key for s in steps if s.status and s.status.value == "SUCCESS"}


def found_dead(instance: dg.DagsterInstance, now_s: float) -> Iterator[tuple[dg.DagsterRun, str]]:
    """Runs of this pipeline that Dagster believes to be executing but whose process is gone, each with the reason."""
    records = [r for r in instance.get_run_records(dg.RunsFilter(statuses=AT_WORK)) if is_ours(r.dagster_run)]
    workers = {r.dagster_run.run_id: worker for r in records if (worker := worker_of(r.dagster_run))}
    beats = instance.daemon_cursor_storage.get_cursor_values({w.key for w in workers.values()})
    for record in records:
        run, began = record.dagster_run, record.start_time or record.create_timestamp.timestamp()
        worker = workers.get(run.run_id)
        if worker is None:
            if now_s - began > SILENT_S:
                yield run, "no process has started it"
        elif worker.is_dead(float(beats.get(worker.key, began)), now_s):
            yield run, f"process {worker.pid} on {worker.host.split('/')[0]} is gone"


def missed_retries(instance: dg.DagsterInstance, now_s: float) -> Iterator[dg.DagsterRun]:
    """Failed runs that Dagster marked for re-execution but has not re-executed.

    A failure event is stored before the run is marked as failed; a daemon that reads in between misses it for good.
    """
    wanted = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={"dagster/will_retry": "true"},
        updated_after=datetime.fromtimestamp(now_s - PASSED_S, UTC),
    )
    for record in instance.get_run_records(wanted):
        run = record.dagster_run
        waits = is_to_be_retried(run) and REPORTED_AGAIN not in run.tags
        if is_ours(run) and run.remote_job_origin and waits and now_s - (record.end_time or now_s) > HEARD_S:
            yield run


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails runs whose process is gone, so that their job's queue slot is free and the run is re-executed.",
)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    ended = []
    for found, why in found_dead(context.instance, time.time()):
        run = context.instance.get_run_by_id(found.run_id)  # read again: reports overwrite any status
        if run is None or run.status not in AT_WORK:
            continue
        if is_done(context.instance, run):
            context.instance.report_dagster_event(
                dg.DagsterEvent(
                    event_type_value=dg.DagsterEventType.RUN_SUCCESS.value,
                    job_name=run.job_name,
                    message=f"All stages were done: {why}.",
                ),
                run.run_id,
            )
        elif run.status == dg.DagsterRunStatus.CANCELING:
            context.instance.report_run_canceled(run, f"This run was being cancelled, and {why}.")
        else:
            context.instance.report_run_failed(run, f"This run was found dead: {why}.")
        ended.append(run.run_id)
        context.log.info("%s: %s", run.run_id, why)
    for run in missed_retries(context.instance, time.time()):
        context.instance.add_run_tags(run.run_id, {REPORTED_AGAIN: "true"})
        context.instance.report_run_failed(run, "Dagster missed the failure of this run, so it is reported again.")
        context.log.info("%s: reported its failure again", run.run_id)
    return dg.SkipReason(f"{len(ended)} dead runs were ended.")
