"""Keeps what all machines share in Dagster's database: the pools' limits, and records of machines and processes."""

from typing import cast

import dagster as dg
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from brand_detect.domain.pipeline import CLOUD, GPU
from brand_detect.domain.settings import Settings
from brand_detect.operations.monitoring.machines import BEATS, MACHINES, SEEN_S, record
from brand_detect.orchestration.database import CLAIMS, database_now_s, remove_values
from brand_detect.orchestration.resources import Services


def wanted_limits(settings: Settings) -> dict[str, int]:
    """How many steps of each pool may run at a time, over all machines."""
    return {GPU: settings.gpu_slots, CLOUD: settings.cloud_slots}


def pool_limits(instance: dg.DagsterInstance) -> dict[str, int]:
    """The limits that Dagster has; it takes up a pool with its first step, or when a limit is set."""
    return {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}


def set_limits(instance: dg.DagsterInstance, settings: Settings) -> dict[str, int]:
    """Give Dagster's pools the limits of the settings: its own configuration has one for all pools alike.

    Returns:
        The limits that have changed.
    """
    there = pool_limits(instance)
    changed = {pool: slots for pool, slots in wanted_limits(settings).items() if there.get(pool) != slots}
    for pool, slots in changed.items():
        instance.event_log_storage.set_concurrency_slots(pool, slots)
    return changed


def assign_free_slots(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Give each pool's free slot to the step that waits for it longest.

    Dagster does so when a step asks for a slot or gives one back. In PostgreSQL two that do so at the same moment may
    miss each other: then the slot stays free, and the step waits until the pool is used again, or for ever.
    """
    storage = cast("SqlEventLogStorage", instance.event_log_storage)
    for pool in wanted_limits(settings):
        if storage.has_unassigned_slots(pool):
            storage.assign_pending_steps([pool])


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys={"services"},
    description="Gives the pools the limits of the settings and waiting steps their free slots, records what this "
    "machine has installed and set, and forgets machines, processes and claims that are long gone.",
)
def fleet(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    services: Services = context.resources.services
    changed = set_limits(context.instance, services.settings)
    assign_free_slots(context.instance, services.settings)
    record(context.instance, services.settings)
    for prefix in (BEATS, CLAIMS, MACHINES):
        remove_values(context.instance, prefix, database_now_s(context.instance) - SEEN_S)
    said = ", ".join(f"{pool} {slots}" for pool, slots in changed.items())
    return dg.SkipReason(f"Limits of pools were set: {said}." if said else "The limits of pools are as set.")
