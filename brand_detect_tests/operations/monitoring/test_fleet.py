"""What all machines share in Dagster's database."""

from typing import cast

import dagster as dg
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from brand_detect.domain.pipeline import GPU
from brand_detect.domain.settings import Settings
from brand_detect.operations.monitoring.fleet import assign_free_slots, set_limits


def test_a_slot_that_nobody_was_given_goes_to_the_step_that_waits_longest():
    with dg.DagsterInstance.ephemeral() as instance:
        set_limits(instance, settings := Settings(gpu_slots=1))
        storage = cast("SqlEventLogStorage", instance.event_log_storage)
        for run in ("first", "second"):  # as PostgreSQL leaves them if a slot is given back at the same moment
            storage.add_pending_step(GPU, run, "escalate_vlm", should_assign=False)
        assert not storage.claim_concurrency_slot(GPU, "first", "escalate_vlm").is_claimed
        for _ in range(2):
            assign_free_slots(instance, settings)
            assert storage.claim_concurrency_slot(GPU, "first", "escalate_vlm").is_claimed
            assert not storage.claim_concurrency_slot(GPU, "second", "escalate_vlm").is_claimed
        storage.free_concurrency_slot_for_step("first", "escalate_vlm")
        assert storage.claim_concurrency_slot(GPU, "second", "escalate_vlm").is_claimed
