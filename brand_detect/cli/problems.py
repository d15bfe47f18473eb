"""What is broken now, over all jobs of a running Dagster."""

import time
from dataclasses import asdict
from datetime import datetime

import typer
from rich.table import Table

from brand_detect.cli.common import FOUND, JsonOpt, err, out, plain
from brand_detect.client import Client
from brand_detect.domain.problems import KINDS

SHORT = 8
"""Letters of a run's id that are shown, as in Dagster's pages; ``--json`` has all."""
OLD_S = 300.0
"""Information that is older than this is told to be old: the sensor looks every ten seconds."""


def problems(as_json: JsonOpt = False) -> None:
    """What is broken now, over all jobs, newest first.

    Runs and checks that failed, and checks that warn. Ends with 6 if
    something is broken; warnings alone end with 0.

    Example: brand-detect problems
    """
    with Client() as client:
        found = client.problems()
    if as_json:
        out.print_json(data=asdict(found))
    elif found.problems:
        table = Table(box=None, pad_edge=False)
        for name in ("since", "job", "stage", "what", "run"):  # at 80 columns, too: only ids of jobs and words fold
            table.add_column(name, no_wrap=name in ("since", "stage", "run"), overflow="fold")
        for p in found.problems:
            since, run = _at(p.since_s)[5:16], p.run_id[:SHORT]
            table.add_row(*map(plain, (since, p.job_id or p.stage, p.stage, f"{KINDS[p.kind]}: {p.what}", run)))
        out.print(table)
        if found.more:
            out.print(f"… and {found.more} more, which are older", highlight=False)
    elif not found.failing:
        out.print("nothing is broken", highlight=False)
    for tick in found.failing:
        err.print(f"{tick.name}: its last tick failed at {_at(tick.at_s)}: {plain(tick.reason)}", highlight=False)
    age_s = max(0.0, time.time() - found.polled_s)
    err.print(f"looked at {age_s:.0f} s ago", highlight=False)
    if age_s > OLD_S:
        err.print("that is old: see to it that Dagster's daemon and the sensor problems run", highlight=False)
    if found.is_broken:
        raise typer.Exit(FOUND)


def _at(at_s: float) -> str:
    return datetime.fromtimestamp(at_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")
