"""The composition root: assembles everything that Dagster loads."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, cast

import dagster as dg

from brand_detect.domain.settings import Settings
from brand_detect.operations import (
    annotated_video,
    comparison_asset,
    inbox,
    monitoring,
    notifications,
    portfolio_asset,
    problems,
    retention,
    retries,
)
from brand_detect.operations.monitoring.liveness import at_work
from brand_detect.orchestration.assets import ASSETS
from brand_detect.orchestration.io_manager import CheckpointIOManager, freeze_modules, keep_connections
from brand_detect.orchestration.models import model_check
from brand_detect.orchestration.resources import Services
from brand_detect.orchestration.snapshots import brand_catalog_changed

# At its end a process would trace all of Dagster's modules once more: 0.7 s of CPU, for memory that goes back anyway.
atexit.register(gc.freeze)

OPERATIONS = (annotated_video, comparison_asset, inbox, notifications, portfolio_asset, problems, retention, retries)
"""Those that every deployment has."""


def build_definitions(
    services: Services | None = None,
    executor: dg.ExecutorDefinition = dg.in_process_executor,
) -> dg.Definitions:
    """The project's definitions; tests and the command line replace parts of it.

    Runs execute in one process: nine steps then take about 1.6 s, instead of 50 s with a process per step.
    """
    used = services or Services.of(Settings.load())
    in_process = executor is dg.in_process_executor

    def checkpoints(context: dg.InitResourceContext) -> Iterator[CheckpointIOManager]:
        assert context.instance is not None
        keep_connections(context.instance)
        freeze_modules()
        # with a process per step, none of the processes lasts as long as the run
        run = context.run if in_process else None
        with at_work(context.instance, run.run_id, used.settings) if run else nullcontext():
            yield CheckpointIOManager(used, context.instance)

    pipeline = dg.Definitions(
        assets=ASSETS,
        sensors=[brand_catalog_changed, model_check],
        resources={
            "services": dg.ResourceDefinition.hardcoded_resource(used),
            "checkpoints": dg.IOManagerDefinition(cast("Any", checkpoints)),  # the type stubs omit generators
        },
        executor=executor,
    )
    # without ``at_work`` runs would not name their process, and all would count as dead
    watched = (monitoring,) if in_process else ()
    return dg.Definitions.merge(pipeline, *(operation.definitions(used) for operation in (*OPERATIONS, *watched)))


defs = build_definitions()
