"""Lists the current problems of all jobs in a running Dagster."""

import time
from dataclasses import asdict
from datetime import datetime

import typer
from rich.table import Table

from brand_detect.cli.common import FOUND, JsonOpt, err, out, plain
from brand_detect.client import Client
from brand_detect.domain.problems import KINDS

SHORT = 8
"""Shown characters of a run's id, as in Dagster's pages; ``--json`` has all."""
OLD_S = 300.0
"""Age in seconds from which the information is reported as old: the sensor runs every ten seconds."""


def problems(as_json: JsonOpt = False) -> None:
    """List current problems of all jobs, newest first.

    Failed runs, failed checks and warnings of checks. Ends with 6 if
    something failed; warnings alone end with 0.

    Example: brand-detect problems
    """
    with Client() as client:
        found = client.problems()
    if as_json:
        out.print_json(data=asdict(found))
    elif found.problems:
        table = Table(box=None, pad_edge=False)
        for name in ("since", "job", "stage", "what", "run"):  # only job ids and words may wrap at 80 columns
            table.add_column(name, no_wrap=name in ("since", "stage", "run"), overflow="fold")
        for p in found.problems:
            since, run = _at(p.since_s)[5:16], p.run_id[:SHORT]
            table.add_row(*map(plain, (since, p.job_id or p.stage, p.stage, f"{KINDS[p.kind]}: {p.what}", run)))
        out.print(table)
        if found.more:
            out.print(f"… and {found.more} older ones", highlight=False)
    elif not found.failing:
        out.print("no problems", highlight=False)
    for tick in found.failing:
        err.print(f"{tick.name}: its last tick failed at {_at(tick.at_s)}: {plain(tick.reason)}", highlight=False)
    age_s = max(0.0, time.time() - found.polled_s)
    err.print(f"checked {age_s:.0f} s ago", highlight=False)
    if age_s > OLD_S:
        err.print("this is old: check that Dagster's daemon and the sensor problems are running", highlight=False)
    if found.is_broken:
        raise typer.Exit(FOUND)


def _at(at_s: float) -> str:
    return datetime.fromtimestamp(at_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")
