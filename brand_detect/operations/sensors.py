"""What happens by itself: snapshots of the brand list, releases of held runs, the end of dead ones."""

import json
import time
from datetime import UTC, datetime, timedelta

import dagster as dg

from brand_detect.domain.contracts import effective
from brand_detect.domain.errors import BadInput
from brand_detect.domain.pipeline import CATALOG
from brand_detect.domain.tags import HOLD, NOT_BEFORE, RELEASED, SAID_AGAIN, SNAPSHOT, UNTIL, due_s
from brand_detect.operations import liveness, offpeak
from brand_detect.operations.problems import problems
from brand_detect.orchestration.lineage import latest
from brand_detect.orchestration.models import check_models
from brand_detect.orchestration.resources import Services

EVENTS_A_TICK = 5000
"""Most events of one stage that one tick takes in: the first tick over an old store is bounded too."""


@dg.sensor(
    target=dg.AssetSelection.assets(CATALOG),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys={"services"},
    description="Takes a new snapshot of the brand list when its content has changed.",
)
def brand_catalog_changed(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    services: Services = context.resources.services
    version = services.read_catalog().catalog.version
    if latest(context.instance, CATALOG, None) == version and services.store.has_catalog(version):
        return dg.SkipReason(f"The brand list is unchanged: {version}.")
    a_minute_ago = datetime.now(UTC) - timedelta(minutes=1)
    waiting = (
        dg.RunsFilter(tags={SNAPSHOT: CATALOG}, statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING]),
        # one that is older belongs to a webserver or daemon that died before it was queued
        dg.RunsFilter(tags={SNAPSHOT: CATALOG}, statuses=[dg.DagsterRunStatus.NOT_STARTED], created_after=a_minute_ago),
    )
    if any(map(context.instance.get_runs_count, waiting)):
        return dg.SkipReason("A snapshot is on its way: its run waits in the queue.")
    return dg.RunRequest(tags={SNAPSHOT: CATALOG})


@dg.sensor(
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Lets runs go that were held in the queue and are due now.",
)
def held_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    held = context.instance.get_runs(
        dg.RunsFilter(tags={HOLD: UNTIL}, statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED])
    )
    times = {run.run_id: due_s(run.tags) for run in held}
    for run_id in (run_id for run_id, at_s in times.items() if at_s is None):
        context.log.warning("%s is held until no time that can be read: see its tag %s", run_id, NOT_BEFORE)
    due = [run for run in held if (at_s := times[run.run_id]) is not None and at_s <= time.time()]
    for run in due:
        context.instance.add_run_tags(run.run_id, {HOLD: RELEASED})
        context.log.info("%s is due", run.run_id)
    return dg.SkipReason(f"{len(held)} runs were held, {len(due)} released.")


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails runs whose process is gone, so that their job's place is free and the run is re-executed.",
)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    ended = []
    for found, why in liveness.dead_runs(context.instance, time.time()):
        run = context.instance.get_run_by_id(found.run_id)  # as it is now: reports overwrite any status
        if run is None or run.status not in liveness.AT_WORK:
            continue
        if liveness.is_done(context.instance, run):
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
    for run in liveness.passed_over(context.instance, time.time()):
        context.instance.add_run_tags(run.run_id, {SAID_AGAIN: "true"})
        context.instance.report_run_failed(run, "Dagster had passed over the failure of this run: it is said again.")
        context.log.info("%s: its failure is said again", run.run_id)
    return dg.SkipReason(f"{len(ended)} dead runs were ended.")


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps the set of jobs with open questions, which the off-peak schedule reads, from new escalations.",
)
def open_jobs(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
    seen: dict[str, int] = json.loads(context.cursor) if context.cursor else {}
    known = offpeak.OpenJobs.load(context.instance)
    new = [
        (record.storage_id, stage, offpeak.made_s(record), event.partition, offpeak.needed(event.metadata))
        for stage in offpeak.WATCHED
        for record in offpeak.new_events(context.instance, stage, seen.get(stage, 0), EVENTS_A_TICK)
        if (event := record.asset_materialization)
    ]
    if not new:
        return dg.SkipReason("No stage was escalated since the last look.")
    for storage_id, stage, made_s, job_id, metadata in sorted(new, key=lambda item: item[0]):
        seen[stage] = storage_id
        if job_id:
            known.learn(stage, job_id, made_s, metadata)
    known.save(context.instance)  # before the cursor: what is learnt twice is the same
    context.update_cursor(json.dumps(seen))
    return dg.SkipReason(f"{len(new)} attempts looked at; {len(known.open)} jobs have open questions.")


@dg.sensor(
    default_status=dg.DefaultSensorStatus.STOPPED,
    required_resource_keys={"services"},
    description="Leave it off: clients run it dry, with a run's params as cursor, to learn whether models are there.",
)
def models_there(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """The reason is what is wrong, with its hint on a line of its own; nothing = they are, or it cannot be known."""
    asked: dict[str, dict] = json.loads(context.cursor or "{}")
    if isinstance(context.instance.run_launcher, dg.DefaultRunLauncher):  # else runs work on other machines
        try:
            check_models(
                {stage: effective(stage, params) for stage, params in asked.items()}, context.resources.services
            )
        except BadInput as e:
            return dg.SkipReason(e.full)
    return dg.SkipReason("")


SENSORS = [brand_catalog_changed, held_runs, dead_runs, open_jobs, problems]
