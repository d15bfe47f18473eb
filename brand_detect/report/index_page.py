"""The pages that show a job's state and ask for the key."""

from collections.abc import Mapping
from typing import Any

from brand_detect.report.pages import template


def render_state(state: Mapping[str, Any]) -> str:
    """The page of a job without a report, which reloads until no run is in progress.

    ``state``: job_id, says (a sentence), the stages of its run, those done, whether it has ended.
    """
    return template("state.html").render(state)


def render_login(following: str, wrong: str = "") -> str:
    """The login page; ``following`` is the path to go to afterwards, ``wrong`` why the last attempt failed."""
    return template("login.html").render(next=following, wrong=wrong)
