"""Sums up the brands of many jobs."""

from logging import getLogger
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from brand_detect.cli.common import JsonOpt, err, home, out, plain
from brand_detect.cli.export import prepare, write
from brand_detect.cli.local import Bars
from brand_detect.domain.errors import BadInput
from brand_detect.domain.settings import Settings
from brand_detect.domain.words import counted
from brand_detect.report.words import duration, percent, short


def portfolio(
    jobs: Annotated[list[str], typer.Option("--job", metavar="JOB", help="a job; repeatable; default: all jobs")] = [],  # noqa: B006 typer copies it
    since: Annotated[
        str, typer.Option(metavar="DAY", help="first day of submission, UTC, for example 2026-05-31")
    ] = "",
    until: Annotated[str, typer.Option(metavar="DAY", help="last day of submission")] = "",
    without: Annotated[
        list[str], typer.Option("--without", metavar="JOB", help="a job that does not count; repeatable")
    ] = [],  # noqa: B006 typer copies it
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FOLDER", help="write page, JSON and tables into this folder", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="write into a folder that is not empty")] = False,
    as_json: JsonOpt = False,
) -> None:
    """Sum up the brands of many jobs, such as a season.

    Seconds, shares and appearances, from the newest report of each job.

    Examples:
      brand-detect portfolio --since 2026-08-01 --without friendly --out season
      brand-detect portfolio --job match-3f9a1c07 --job match-88d0e1f2
    """
    from brand_detect.operations.portfolio import NewestReports, documents, portfolio_of
    from brand_detect.storage.reports import Reports
    from brand_detect.storage.store import Store

    home()
    if folder:
        prepare(folder, force)
    with Bars() as bars:
        progress = bars.stage("portfolio", getLogger(__name__))
        reports = NewestReports(Reports(Store(Settings.load().store_root)))
        if unknown := sorted(set(without).difference(reports.store.jobs())):
            raise BadInput(
                f"There is no job {unknown[0]} to leave out.", "see the page of brand-detect serve for the jobs"
            )
        whole = portfolio_of(reports, progress, jobs, since, until, without)
    if folder:
        for name, data in documents(whole).items():
            write(folder / name, data)
        err.print(f"page: {plain(str(folder.resolve() / 'portfolio.html'))}", highlight=False, soft_wrap=True)
    for note in whole.notes:
        err.print(f"note: {plain(note)}", highlight=False, soft_wrap=True)
    if as_json:
        out.print_json(whole.model_dump_json())
        return
    table = Table(
        title=f"Brands over {counted(len(whole.jobs), 'video')}, {duration(whole.seconds)}", title_justify="left"
    )
    table.add_column("brand")
    for name in ("seconds", "low – high", "share of voice", "appearances", "videos"):
        table.add_column(name, justify="right")
    for b in whole.brands:
        table.add_row(
            plain(short(b.brand)),
            f"{b.seconds:.1f}",
            f"{b.low_s:.1f} – {b.high_s:.1f}",
            percent(b.share_of_voice),
            str(b.n_exposures),
            str(b.n_videos),
        )
    out.print(table)
