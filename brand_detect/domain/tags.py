"""Run tags by which clients, assets and sensors communicate. A key has at most one slash."""

from collections.abc import Mapping
from datetime import UTC, datetime

PARTITION = "dagster/partition"
RESUMES = ("dagster/is_resume_retry", "dagster/is_asset_resume_retry")
"""Tags that Dagster puts on a run that executes the rest of its parent."""
ORPHAN_S = 60.0
"""Age at which a run that was created but never queued counts as lost: the webserver died in between."""
PIN = "brand_detect/pin."
"""``brand_detect/pin.<stage>``: the attempt of that stage that the run reads."""
RETRY_OF = "brand_detect/retry_of"
"""Makes a run a retry: the run whose ``escalate_cloud`` it continues, or ``LATEST``."""
LATEST = "latest"
HOLD = "brand_detect/hold"
"""``UNTIL`` keeps a run in the queue (its concurrency limit is 0); ``RELEASED`` releases it."""
UNTIL, RELEASED = "until", "released"
NOT_BEFORE = "brand_detect/not_before"
"""When a held run is due, in seconds since 1970."""
REQUEST = "brand_detect/request"
"""Idempotency key of a request: one key, one run."""
ASKED = "brand_detect/asked"
"""Hash of the request under ``REQUEST``, so that a key cannot be reused for a different one."""
VIDEO = "brand_detect/video"
"""On runs launched by the inbox: SHA-256 of the video."""
OFFPEAK = "brand_detect/offpeak"
"""On retries of an off-peak batch: its date."""
OFFPEAK_USD = "brand_detect/offpeak_usd"
"""Estimated cost of such a retry, in USD."""
RETRIES_MARGIN = 8
"""Runs that may join a run's group without using up its retry: Dagster counts all runs of the group."""
REPORTED_AGAIN = "brand_detect/reported_again"
"""On a run whose failure Dagster missed, so that it was reported again."""
WORKER = "brand_detect/worker"
"""The process that executes the run, with the run's id, since re-executions inherit tags."""


def due_s(tags: Mapping[str, str]) -> float | None:
    """When a held run is due, in seconds since 1970; None if its tag, perhaps handwritten, is no time.

    Milliseconds are none: they would be after the year 9999.
    """
    try:
        at = float(tags.get(NOT_BEFORE, ""))
        datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return at
