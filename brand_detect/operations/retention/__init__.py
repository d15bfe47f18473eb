"""What goes from the store: old attempts by the limits of the settings, and whole jobs by hand."""

import dagster as dg

from brand_detect.operations.retention.pruning import nightly_prune, prune_job
from brand_detect.orchestration.resources import Services


def definitions(services: Services) -> dg.Definitions:
    return dg.Definitions(jobs=[prune_job], schedules=[nightly_prune(services.settings)])
