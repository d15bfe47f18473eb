"""Holds runs in the queue until they are due: retries with a delay."""

import time

import dagster as dg

from brand_detect.domain.tags import HOLD, NOT_BEFORE, RELEASED, UNTIL, due_s
from brand_detect.domain.words import counted


@dg.sensor(
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Releases runs that were held in the queue and are due now.",
)
def held_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    held = context.instance.get_runs(
        dg.RunsFilter(tags={HOLD: UNTIL}, statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED])
    )
    times = {run.run_id: due_s(run.tags) for run in held}
    for run_id in (run_id for run_id, at_s in times.items() if at_s is None):
        context.log.warning("%s is held, but its due time cannot be parsed: see its tag %s", run_id, NOT_BEFORE)
    due = [run for run in held if (at_s := times[run.run_id]) is not None and at_s <= time.time()]
    for run in due:
        context.instance.add_run_tags(run.run_id, {HOLD: RELEASED})
        context.log.info("%s is due", run.run_id)
    return dg.SkipReason(f"{counted(len(held), 'held run')}, {len(due)} released.")
