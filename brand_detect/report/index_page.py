"""The pages that show a job's state, ask for the key, and say what is wrong."""

from collections.abc import Mapping
from typing import Any

from brand_detect.report.pages import template


def render_state(job: Mapping[str, Any], is_active: bool) -> str:
    """The page of a job without a report, which reloads while a run is in progress.

    ``job`` is the answer of ``GET /jobs/{job_id}``.
    """
    return template("state.html").render(job, is_active=is_active)


def render_problem(detail: str, hint: str = "") -> str:
    """The page of an address that cannot be shown, and why."""
    return template("problem.html").render(detail=detail, hint=hint)


def render_login(following: str, wrong: str = "") -> str:
    """The login page; ``following`` is the path to go to afterwards, ``wrong`` why the last attempt failed."""
    return template("login.html").render(next=following, wrong=wrong)
