"""What is broken now: one record per job, stage and kind of trouble."""

from dataclasses import dataclass

FAILED_RUN, FAILED_CHECK, WARNED = "failed_run", "failed_check", "warned_checks"
KINDS = {FAILED_RUN: "failed", FAILED_CHECK: "failed a check", WARNED: "warned"}
"""The kinds of problems, as people read them."""


@dataclass(frozen=True)
class Problem:
    """Something of a job that is not as it should be."""

    job_id: str
    """"" for the brand list and for retention."""
    stage: str
    kind: str
    """One of ``KINDS``; a warning has stopped nothing."""
    what: str
    """What happened, in a sentence."""
    run_id: str
    """The last run that it happened to."""
    since_s: float
    """When it happened first, in seconds since 1970."""
