"""Delayed retries: those held in the queue until they are due, and off-peak batches."""

import dagster as dg

from brand_detect.operations.retries import offpeak, open_jobs, release_held
from brand_detect.orchestration.resources import Services


def definitions(services: Services) -> dg.Definitions:
    return dg.Definitions(
        sensors=[release_held.held_runs, open_jobs.open_jobs], schedules=[offpeak.offpeak_retries(services.settings)]
    )
