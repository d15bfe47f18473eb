"""Run tags that carry meaning between clients, the assets and the sensors. A key holds one slash at most."""

import math
from collections.abc import Mapping

PARTITION = "dagster/partition"
PIN = "brand_detect/pin."
"""``brand_detect/pin.<stage>`` = the attempt of that stage which the run reads."""
RETRY_OF = "brand_detect/retry_of"
"""Makes a run a retry: the run whose ``escalate_cloud`` it continues, or ``LATEST``."""
LATEST = "latest"
HOLD = "brand_detect/hold"
"""``UNTIL`` keeps a run in the queue (its concurrency limit is 0), ``RELEASED`` lets it go."""
UNTIL, RELEASED = "until", "released"
NOT_BEFORE = "brand_detect/not_before"
"""When a held run is due, in seconds since 1970."""
REQUEST = "brand_detect/request"
"""The idempotency key of what was asked for: one key, one run."""
ASKED = "brand_detect/asked"
"""Hash of what was asked under ``REQUEST``, so that a key is not taken for another question."""
SNAPSHOT = "brand_detect/snapshot"
"""On runs that take a snapshot of the brand list, whoever launches them: ``brand_catalog``."""
VIDEO = "brand_detect/video"
"""On runs that the inbox launched: the SHA-256 of the video."""
OFFPEAK = "brand_detect/offpeak"
"""On a night's retries: its date."""
OFFPEAK_USD = "brand_detect/offpeak_usd"
"""What such a retry was expected to cost."""
SPARE = 8
"""Runs that may join a run's group before its death without costing it its second try: Dagster counts them all."""
SAID_AGAIN = "brand_detect/said_again"
"""On a run whose failure Dagster had passed over and was told of once more."""
WORKER = "brand_detect/worker"
"""The process that executes the run, and the run's id: re-executions inherit tags."""


def due_s(tags: Mapping[str, str]) -> float | None:
    """When a held run is due, in seconds since 1970; None if its tag says no time: people write tags by hand."""
    try:
        at = float(tags.get(NOT_BEFORE, ""))
    except ValueError:
        return None
    return at if math.isfinite(at) else None
