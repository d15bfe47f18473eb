"""Compares two reports: directly from the store, or through a running Dagster."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from brand_detect.cli.common import AttemptOpt, JobArg, JsonOpt, err, home, out, plain, write_page
from brand_detect.client import Client
from brand_detect.domain.errors import BadInput
from brand_detect.domain.settings import Settings
from brand_detect.report.words import duration, short, signed

if TYPE_CHECKING:
    from brand_detect.report.comparison import Comparison

ROWS = 20
"""Limit of rows in a table; the JSON has all."""


def compare(
    job_id: JobArg,
    attempt: AttemptOpt = "",
    with_attempt: Annotated[
        str, typer.Option("--with", metavar="ATTEMPT", help="the report to compare it with; default: the one before")
    ] = "",
    with_job: Annotated[str, typer.Option("--with-job", metavar="JOB", help="compare with a report of this job")] = "",
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write a page with pictures", show_default=False)
    ] = None,
    served: Annotated[
        bool, typer.Option("--served", help="compare in the running Dagster, which stores the page")
    ] = False,
    as_json: JsonOpt = False,
) -> None:
    """Compare a report with an earlier one.

    Shows seconds gained and lost, verdicts, params, time and cost.

    Examples:
      brand-detect compare match-3f9a1c07 --page comparison.html
      brand-detect compare match-3f9a1c07 --attempt 6b585eff --with 792a50d4
    """
    if served:
        if page:
            raise BadInput("--page writes a file here, but --served runs elsewhere.", "leave one of them out")
        with Client() as client:
            found = client.compare(job_id, attempt, with_attempt, with_job)
        if as_json:
            out.print_json(data=found.comparison)
        else:
            from brand_detect.report.comparison import Comparison

            _show(Comparison.model_validate(found.comparison))
        err.print(f"page: {found.page}", markup=False, highlight=False, soft_wrap=True)
        return
    from brand_detect.engines.image import OpenCvCodec
    from brand_detect.operations.comparison import compared
    from brand_detect.storage.store import Store

    home()
    here = compared(Store(Settings.load().store_root), OpenCvCodec(), job_id, attempt, with_attempt, with_job)
    if page:
        write_page(page, here.page())
        err.print(f"page: {page}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        out.print_json(data=here.document.model_dump(mode="json"))
    else:
        _show(here.document)


def _show(comparison: "Comparison") -> None:
    from brand_detect.report.comparison import outcome_in_words, settings
    from brand_detect.report.pages import fact

    before, after = comparison.before, comparison.after
    out.print(comparison.headline, highlight=False)
    for note in comparison.notes:
        err.print(f"note: {plain(note)}", highlight=False, soft_wrap=True)
    _print(
        "Brands on screen",
        ("brand", ">before", ">after", ">difference", ">gained", ">lost"),
        (
            (
                b.brand,
                duration(b.before_s),
                duration(b.after_s),
                signed(b.difference_s),
                *(duration(s) if s else "" for s in (b.gained_s, b.lost_s)),
            )
            for b in comparison.brands
        ),
    )
    _print(
        "Changed verdicts",
        ("text", "before", "after", ">tracks", ">on screen"),
        (
            (v.text, outcome_in_words(v.before), outcome_in_words(v.after), str(v.tracks), duration(v.seconds))
            for v in comparison.verdicts
        ),
    )
    _print(
        "Different params and versions",
        ("", "before", "after"),
        ((name, fact(was), fact(now)) for name, was, now in settings(comparison)),
    )
    _print(
        "Time and cost",
        ("", f">{before.job_id} {before.attempt[:8]}", f">{after.job_id} {after.attempt[:8]}"),
        (
            *(
                (s.stage, duration(s.before_s), "the same" if s.shared else duration(s.after_s))
                for s in comparison.stages
            ),
            ("stages not shared", duration(before.own_s), duration(after.own_s)),
            ("questions asked in them", str(before.questions), str(after.questions)),
            ("their cost", f"{before.cost_usd:.4f} USD", f"{after.cost_usd:.4f} USD"),
            ("unresolved clusters", str(before.unresolved), str(after.unresolved)),
        ),
    )
    if comparison.left_out:
        err.print(f"note: more in the whole document: {', '.join(comparison.left_out)}", highlight=False)


def _print(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table unless it is empty; columns that begin with > are numbers."""
    listed = list(rows)
    if not listed:
        return
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(plain(column.removeprefix(">")), justify="right" if column.startswith(">") else "left")
    for row in listed[:ROWS]:
        table.add_row(*(plain(short(cell)) for cell in row))
    out.print(table)
    if len(listed) > ROWS:
        out.print(f"{len(listed) - ROWS} more", highlight=False)
