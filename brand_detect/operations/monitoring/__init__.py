"""Which runs are alive, which are dead and have to be ended, and how runs have ended."""

import dagster as dg

from brand_detect.operations.monitoring import dead_runs
from brand_detect.orchestration.resources import Services


def definitions(_services: Services) -> dg.Definitions:
    return dg.Definitions(sensors=[dead_runs.dead_runs])
