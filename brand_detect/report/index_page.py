"""The pages that show a job's state and ask for the key."""

from collections.abc import Mapping
from typing import Any

from brand_detect.report.pages import template


def render_state(job: Mapping[str, Any], is_active: bool) -> str:
    """The page of a job without a report, which reloads while a run is in progress.

    ``job`` is the answer of ``GET /jobs/{job_id}``.
    """
    return template("state.html").render(job, is_active=is_active)


def render_login(following: str, wrong: str = "") -> str:
    """The login page; ``following`` is the path to go to afterwards, ``wrong`` why the last attempt failed."""
    return template("login.html").render(next=following, wrong=wrong)
