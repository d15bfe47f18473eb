"""Removes old attempts from the store by the settings' limits, and whole jobs on request."""

import dagster as dg

from brand_detect.operations.retention.pruning import nightly_prune, prune_job
from brand_detect.orchestration.resources import Services


def definitions(services: Services) -> dg.Definitions:
    return dg.Definitions(jobs=[prune_job], schedules=[nightly_prune(services.settings)])
