"""The page that lists the reports of all jobs, and the one to log in."""

from collections.abc import Sequence
from dataclasses import dataclass

from brand_detect.report.pages import template

MOST_LISTED = 500


@dataclass(frozen=True)
class Listed:
    """A job's newest report in short."""

    job_id: str
    created: str = ""  # UTC, ISO 8601
    brands: int = 0
    exposures: int = 0
    unresolved: int = 0
    damaged: str = ""  # why it cannot be shown


def render_index(reports: Sequence[Listed]) -> str:
    newest = sorted(reports, key=lambda r: (r.created, r.job_id), reverse=True)
    return template("reports.html").render(rows=newest[:MOST_LISTED], total=len(newest))


def render_login(following: str, wrong: str = "") -> str:
    """``following``: the path to go to afterwards; ``wrong``: why the last try failed."""
    return template("login.html").render(next=following, wrong=wrong)
