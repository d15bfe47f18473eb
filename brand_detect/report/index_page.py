"""The page that lists the reports of all jobs, and the one to log in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brand_detect.report.pages import template

MOST_LISTED = 500


@dataclass(frozen=True)
class Listed:
    """A job's newest report in short, or the state of a job that has none."""

    job_id: str
    created: str = ""  # UTC, ISO 8601
    brands: int = 0
    exposures: int = 0
    unresolved: int = 0
    damaged: str = ""  # why it cannot be shown
    state: str = ""  # of a job without a report


def render_index(jobs: Sequence[Listed], note: str = "") -> str:
    """``note``: what keeps the list from being whole, if anything."""
    newest = sorted(jobs, key=lambda r: (r.created, r.job_id), reverse=True)
    return template("reports.html").render(rows=newest[:MOST_LISTED], total=len(newest), note=note)


def render_state(state: Mapping[str, Any]) -> str:
    """The page of a job without a report, which is loaded again until nothing is under way.

    ``state``: job_id, says (a sentence), the stages of its run, those done, whether it has ended.
    """
    return template("state.html").render(state)


def render_login(following: str, wrong: str = "") -> str:
    """``following``: the path to go to afterwards; ``wrong``: why the last try failed."""
    return template("login.html").render(next=following, wrong=wrong)
