"""The command that finds problems of an installation and says how to fix them."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from brand_detect.cli.common import JsonOpt, err, out, plain
from brand_detect.cli.doctor_checks import examine
from brand_detect.cli.doctor_findings import FAIL, OFF, OK, WARN, Finding, Installation
from brand_detect.domain.errors import Permanent

SYMBOLS = {OK: "[green]✓[/]", WARN: "[yellow]![/]", FAIL: "[red]✗[/]", OFF: "[dim]-[/]"}


def doctor(
    served: Annotated[
        bool, typer.Option("--served", help="also fail if Dagster's webserver or daemon is not running")
    ] = False,
    as_json: JsonOpt = False,
) -> None:
    """Find problems of this installation, and how to fix them.

    Checks engines, settings, storage and Dagster; where other machines
    execute runs, also the broker and what differs between machines. Ends
    with 0 if nothing failed, else with 4; warnings do not count.

    Example: brand-detect doctor --served
    """
    with Installation(served=served) as here, err.status("") as line:
        found = examine(here, lambda name: line.update(f"checking {name}"))
    if as_json:
        out.print_json(data=[asdict(f) for f in found])
    else:
        _show(found)
    if any(f.state == FAIL for f in found):
        raise typer.Exit(Permanent.exit_code)


def _show(found: list[Finding]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for width in (1, max(len(f.name) for f in found), None):
        table.add_column(width=width, overflow="fold")
    for f in found:
        table.add_row(SYMBOLS[f.state], f.name, plain(f.text))
    out.print(table, highlight=False)
    for f in found:
        if f.todo and f.state in (WARN, FAIL):
            out.print(f"{SYMBOLS[f.state]} {f.name}: {plain(f.todo)}", highlight=False, soft_wrap=True)
    counts = {state: sum(f.state == state for f in found) for state in (OK, WARN, FAIL)}
    out.print(f"ok: {counts[OK]}, warnings: {counts[WARN]}, failed: {counts[FAIL]}", highlight=False)
