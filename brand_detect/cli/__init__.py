"""The command line: data on stdout, progress and errors on stderr, a distinct exit code per kind of error.

It parses options and prints; the work is done in ``client`` and the packages below it. This module lists the
commands in the order of the help: single ones by panel, then the groups, each a module of its own.
"""

import os
import signal
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from brand_detect.cli import (
    bench,
    catalog,
    catalog_proposals,
    checkpoints,
    compare,
    doctor,
    evaluate,
    export,
    job,
    plan,
    portfolio,
    problems,
    run,
    runs,
    servers,
    store,
    sweep,
)
from brand_detect.cli.common import TRACEBACK, Commands, err, out, plain
from brand_detect.domain.errors import BrandDetectError

__all__ = ["app", "main"]

PANELS = {
    "Every day": (
        *(run.run, runs.submit, runs.status, checkpoints.checkpoints, runs.replay, runs.retry, runs.cancel),
        *(runs.report, compare.compare, sweep.sweep, export.export, servers.serve, doctor.doctor),
    ),
    "Occasional": (*(run.demo, plan.plan, problems.problems, portfolio.portfolio, servers.dev, servers.webserver),),
}
GROUPS = {
    "catalog": catalog.commands,
    "job": job.commands,
    "store": store.commands,
    "bench": bench.commands,
    "evaluate": evaluate.commands,
}

app = Commands(
    """Which brands were on screen in a video: when, how long, how large.

    Exit codes: 0 done, 1 a fault in the program, 2 wrong usage, 3 bad input,
    4 failed for good, 5 failed but may pass, 6 something was found (problems,
    catalog check, store verify, store rebuild), 130 stopped by Ctrl-C or SIGTERM.
    BRAND_DETECT_TRACEBACK=1 shows where an error came from."""
)
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
catalog.commands.command()(catalog_proposals.review)
catalog.commands.command()(catalog_proposals.name)
for name, group in GROUPS.items():
    app.add_typer(group, name=name, rich_help_panel="Groups of commands")


def _print_version(asked: bool) -> None:
    if asked:
        out.print(f"brand-detect {version('brand_detect')}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point: domain errors become one sentence, a hint and an exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, so that Dagster records the failure
    try:
        app()
    except BrandDetectError as e:
        if os.environ.get(TRACEBACK):
            raise
        err.print(f"error: {plain(str(e))}", style="red", highlight=False, soft_wrap=True)
        if e.hint:
            err.print(f"hint: {plain(e.hint)}", highlight=False, soft_wrap=True)
        sys.exit(e.exit_code)
