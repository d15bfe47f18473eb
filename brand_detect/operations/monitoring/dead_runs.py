"""Ends runs whose process is gone, and reports failures again that Dagster missed."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from brand_detect.domain.tags import REPORTED_AGAIN
from brand_detect.domain.words import counted
from brand_detect.operations.monitoring.liveness import (
    AT_WORK,
    SILENT_S,
    is_ours,
    is_to_be_retried,
    worker_of,
)
from brand_detect.orchestration.database import database_now_s

HEARD_S, PASSED_S = 20.0, 86_400.0
"""Time after which a missing re-execution is reported again, and after which it no longer is."""


def is_done(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether every step of the run has succeeded, so that nothing is left to re-execute."""
    wanted = set(run.step_keys_to_execute or (key.path[-1] for key in run.asset_selection or ()))
    steps = instance.get_run_step_stats(run.run_id)
    return bool(wanted) and wanted <= {s.step_key for s in steps if s.status and s.status.value == "SUCCESS"}


class FirstSeen:
    """Since when runs have been seen in a state, kept in the sensor's cursor.

    Times of runs come from the clock of the machine that reported them; this is all the database's.
    """

    def __init__(self, now_s: float, cursor: str | None = None) -> None:
        self.now_s = now_s
        before: dict[str, float] = json.loads(cursor or "{}")
        self._before = {key: min(at_s, now_s) for key, at_s in before.items()}  # the clock may have been set back
        self._seen: dict[str, float] = {}

    def age_s(self, state: str, run_id: str) -> float:
        """Time since the run was first seen in ``state``, at every look up to this one."""
        key = f"{state} {run_id}"
        self._seen[key] = self._before.get(key, self.now_s)
        return self.now_s - self._seen[key]

    @property
    def cursor(self) -> str:
        return json.dumps(self._seen)


def found_dead(instance: dg.DagsterInstance, seen: FirstSeen) -> Iterator[tuple[dg.DagsterRun, str]]:
    """Runs of this pipeline that Dagster believes to be executing but whose process is gone, each with the reason."""
    records = [r for r in instance.get_run_records(dg.RunsFilter(statuses=AT_WORK)) if is_ours(r.dagster_run)]
    workers = {r.dagster_run.run_id: worker for r in records if (worker := worker_of(r.dagster_run))}
    beats = instance.daemon_cursor_storage.get_cursor_values({w.key for w in workers.values()})
    for record in records:
        run, worker = record.dagster_run, workers.get(record.dagster_run.run_id)
        if worker is None:
            if seen.age_s("unclaimed", run.run_id) > SILENT_S:
                yield run, "no process has started it"
            continue
        beat = beats.get(worker.key)
        last_s = seen.now_s - seen.age_s("silent", run.run_id) if beat is None else float(beat)
        if worker.is_dead(last_s, seen.now_s):
            yield run, f"process {worker.pid} on {worker.name} is gone"


def missed_retries(instance: dg.DagsterInstance, seen: FirstSeen) -> Iterator[dg.DagsterRun]:
    """Failed runs that Dagster marked for re-execution but has not re-executed.

    A failure event is stored before the run is marked as failed; a daemon that reads in between misses it for good.
    """
    wanted = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={"dagster/will_retry": "true"},
        updated_after=datetime.fromtimestamp(seen.now_s - PASSED_S, UTC),
    )
    for record in instance.get_run_records(wanted):
        run = record.dagster_run
        waits = is_to_be_retried(run) and REPORTED_AGAIN not in run.tags
        if is_ours(run) and run.remote_job_origin and waits and seen.age_s("failed", run.run_id) > HEARD_S:
            yield run


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails runs whose process is gone, so that their job's queue slot is free and the run is re-executed.",
)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    ended = []
    seen = FirstSeen(database_now_s(context.instance), context.cursor)
    for found, why in found_dead(context.instance, seen):
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
    for run in missed_retries(context.instance, seen):
        context.instance.add_run_tags(run.run_id, {REPORTED_AGAIN: "true"})
        context.instance.report_run_failed(run, "Dagster missed the failure of this run, so it is reported again.")
        context.log.info("%s: reported its failure again", run.run_id)
    context.update_cursor(seen.cursor)
    return dg.SkipReason(f"{counted(len(ended), 'dead run')} ended.")
