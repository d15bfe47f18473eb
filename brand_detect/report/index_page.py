"""The pages that list all jobs, show a job's state, and ask for the key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brand_detect.report.pages import template

MOST_LISTED = 500


@dataclass(frozen=True)
class Listed:
    """Summary of a job's newest report, or the state of a job without one."""

    job_id: str
    created: str = ""  # UTC, ISO 8601
    brands: int = 0
    exposures: int = 0
    unresolved: int = 0
    damaged: str = ""  # why it cannot be shown, else ""
    state: str = ""  # of a job without a report


def render_index(jobs: Sequence[Listed], note: str = "") -> str:
    """The list of jobs; ``note`` says why it is incomplete, if it is."""
    newest = sorted(jobs, key=lambda r: (r.created, r.job_id), reverse=True)
    return template("reports.html").render(rows=newest[:MOST_LISTED], total=len(newest), note=note)


def render_state(state: Mapping[str, Any]) -> str:
    """The page of a job without a report, which reloads until no run is in progress.

    ``state``: job_id, says (a sentence), the stages of its run, those done, whether it has ended.
    """
    return template("state.html").render(state)


def render_login(following: str, wrong: str = "") -> str:
    """The login page; ``following`` is the path to go to afterwards, ``wrong`` why the last attempt failed."""
    return template("login.html").render(next=following, wrong=wrong)
