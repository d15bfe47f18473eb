"""Tracks which runs are alive and which machines execute them, ends dead runs, and reads how runs ended."""

import dagster as dg

from brand_detect.operations.monitoring import dead_runs, fleet
from brand_detect.orchestration.resources import Services


def definitions(_services: Services) -> dg.Definitions:
    return dg.Definitions(sensors=[dead_runs.dead_runs, fleet.fleet])
