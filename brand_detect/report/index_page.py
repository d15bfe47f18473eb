"""The pages that ask for the key, and say what is wrong."""

from brand_detect.report.pages import template


def render_problem(detail: str, hint: str = "") -> str:
    """The page of an address that cannot be shown, and why."""
    return template("problem.html").render(detail=detail, hint=hint)


def render_login(following: str, wrong: str = "") -> str:
    """The login page; ``following`` is the path to go to afterwards, ``wrong`` why the last attempt failed."""
    return template("login.html").render(next=following, wrong=wrong)
