"""The command line: data on stdout, progress and errors on stderr, a distinct exit code per kind of error.

It reads options and prints; what a command does is in ``client`` and the packages below it.
"""

import os
import signal
import sys

from brand_detect.cli import (
    brands,
    compare,
    doctor,
    export,
    jobs,
    local,
    plan,
    portfolio,
    problems,
    review,
    reviews,
    servers,
    sweep,
    upkeep,
)
from brand_detect.cli.common import TRACEBACK, app, err, plain
from brand_detect.domain.errors import BrandDetectError

__all__ = [
    "app",
    "brands",
    "compare",
    "doctor",
    "export",
    "jobs",
    "local",
    "main",
    "plan",
    "portfolio",
    "problems",
    "review",
    "reviews",
    "servers",
    "sweep",
    "upkeep",
]


def main() -> None:
    """Entry point: domain errors become one sentence, a hint and an exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: Dagster is told that the run failed
    try:
        app()
    except BrandDetectError as e:
        if os.environ.get(TRACEBACK):
            raise
        err.print(f"error: {plain(str(e))}", style="red", highlight=False, soft_wrap=True)
        if e.hint:
            err.print(f"hint: {plain(e.hint)}", highlight=False, soft_wrap=True)
        sys.exit(e.exit_code)


@app.callback()
def _describe() -> None:
    """Which brands were on screen in a video: when, how long, how large, and on what evidence.

    Exit codes: 0 done, 1 a fault in the program, 2 wrong usage, 3 bad input, 4 failed for good, 5 may pass: try again,
    6 something was found (problems, verify, brands check), 130 stopped by Ctrl-C or SIGTERM.
    BRAND_DETECT_TRACEBACK=1 shows where an error came from.
    """
