"""What happens by itself."""

import dagster as dg

from brand_detect.catalog import load_catalog
from brand_detect.domain.pipeline import CATALOG
from brand_detect.orchestration.lineage import latest
from brand_detect.orchestration.resources import Services

WAITING = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
]


@dg.sensor(
    target=dg.AssetSelection.assets(CATALOG),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys={"services"},
)
def brand_catalog_changed(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Takes a new snapshot of the brand list when its content has changed."""
    services: Services = context.resources.services
    version = load_catalog(services.settings.catalog).version
    if latest(context.instance, CATALOG, None) == version and services.store.has_catalog(version):
        return dg.SkipReason(f"The brand list is unchanged: {version}.")
    mine = dg.RunsFilter(tags={"dagster/sensor_name": context.sensor_name}, statuses=WAITING)
    if context.instance.get_runs_count(mine):
        return dg.SkipReason("A snapshot is on its way: its run waits in the queue.")
    return dg.RunRequest()


SENSORS = [brand_catalog_changed]
