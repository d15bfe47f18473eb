"""Snapshots of the brand list: jobs match against one of them, and a change of the list triggers the next."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from brand_detect.domain.pipeline import CATALOG
from brand_detect.domain.tags import SNAPSHOT
from brand_detect.orchestration.lineage import latest
from brand_detect.orchestration.resources import Services


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
    if latest(context.instance, CATALOG, None) == version and services.store.snapshots.has(version):
        return dg.SkipReason(f"The brand list is unchanged: {version}.")
    a_minute_ago = datetime.now(UTC) - timedelta(minutes=1)
    waiting = (
        dg.RunsFilter(tags={SNAPSHOT: CATALOG}, statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING]),
        # an older one belongs to a webserver or daemon that died before queueing it
        dg.RunsFilter(tags={SNAPSHOT: CATALOG}, statuses=[dg.DagsterRunStatus.NOT_STARTED], created_after=a_minute_ago),
    )
    if any(map(context.instance.get_runs_count, waiting)):
        return dg.SkipReason("A run that takes a snapshot is already queued.")
    return dg.RunRequest(tags={SNAPSHOT: CATALOG})
