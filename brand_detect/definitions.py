"""The composition root: everything Dagster loads is put together here."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, cast

import dagster as dg

from brand_detect.domain.settings import Settings
from brand_detect.operations.comparison import comparison
from brand_detect.operations.exports import annotated_video
from brand_detect.operations.inbox import inbox_sensor
from brand_detect.operations.liveness import at_work
from brand_detect.operations.notifications import notifications
from brand_detect.operations.portfolio import portfolio
from brand_detect.operations.problems import PROBLEMS_ASSET
from brand_detect.operations.retention import nightly_prune, prune_job
from brand_detect.operations.schedules import offpeak_retries
from brand_detect.operations.sensors import SENSORS, dead_runs, models_there
from brand_detect.orchestration.assets import ASSETS
from brand_detect.orchestration.io_manager import CheckpointIOManager, keep_connections
from brand_detect.orchestration.resources import Services


def build_definitions(
    services: Services | None = None,
    executor: dg.ExecutorDefinition = dg.in_process_executor,
) -> dg.Definitions:
    """The project's definitions; tests and the command line replace parts of it.

    Runs execute in one process: nine steps take about 1.6 s so, and 50 s with a process per step.
    """
    used = services or Services.of(Settings.load())

    def checkpoints(context: dg.InitResourceContext) -> Iterator[CheckpointIOManager]:
        assert context.instance is not None
        keep_connections(context.instance)
        # one process a step: each comes and goes, and none of them is the run's
        run = context.run if executor is dg.in_process_executor else None
        with at_work(context.instance, run.run_id) if run else nullcontext():
            yield CheckpointIOManager(used, context.instance)

    return dg.Definitions(
        assets=[*ASSETS, comparison, annotated_video, portfolio, PROBLEMS_ASSET],
        sensors=[
            *(s for s in SENSORS if s is not dead_runs or executor is dg.in_process_executor),
            models_there,
            inbox_sensor(used.settings),
            notifications(used.settings),
        ],
        jobs=[prune_job],
        schedules=[offpeak_retries(used.settings), nightly_prune(used.settings)],
        resources={
            "services": dg.ResourceDefinition.hardcoded_resource(used),
            "checkpoints": dg.IOManagerDefinition(cast("Any", checkpoints)),  # the types leave generators out
        },
        executor=executor,
    )


defs = build_definitions()
