"""The composition root: everything Dagster loads is put together here."""

import dagster as dg

from brand_detect.domain.settings import Settings
from brand_detect.orchestration.assets import ASSETS
from brand_detect.orchestration.io_manager import CheckpointIOManager, keep_connections
from brand_detect.orchestration.resources import Services
from brand_detect.orchestration.sensors import SENSORS


def build_definitions(
    services: Services | None = None,
    executor: dg.ExecutorDefinition = dg.in_process_executor,
) -> dg.Definitions:
    """The project's definitions; tests and the command line replace parts of it.

    Runs execute in one process: nine steps take about 1.6 s so, and 50 s with a process per step.
    """
    used = services or Services.of(Settings.load())

    @dg.io_manager
    def checkpoints(context: dg.InitResourceContext) -> CheckpointIOManager:
        assert context.instance is not None
        keep_connections(context.instance)
        return CheckpointIOManager(used, context.instance)

    return dg.Definitions(
        assets=ASSETS,
        sensors=SENSORS,
        resources={"services": dg.ResourceDefinition.hardcoded_resource(used), "checkpoints": checkpoints},
        executor=executor,
    )


defs = build_definitions()
