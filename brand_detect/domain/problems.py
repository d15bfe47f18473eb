"""Open problems: one record per job, stage and kind."""

from dataclasses import dataclass

FAILED_RUN, FAILED_CHECK, WARNED = "failed_run", "failed_check", "warned_checks"
KINDS = {FAILED_RUN: "failed", FAILED_CHECK: "failed a check", WARNED: "warned"}
"""Wording of each kind of problem."""


@dataclass(frozen=True)
class Problem:
    """An open problem of a job's stage."""

    job_id: str
    """"" for the brand list and for retention."""
    stage: str
    kind: str
    """One of ``KINDS``; a warning blocks nothing."""
    what: str
    """What happened, in a sentence."""
    run_id: str
    """The latest affected run."""
    since_s: float
    """When it first happened, in seconds since 1970."""
