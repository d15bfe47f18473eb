"""The command that tries values of one param on stored checkpoints."""

import re
from decimal import Decimal, InvalidOperation
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from brand_detect.cli.common import (
    AttemptOpt,
    JobArg,
    JsonOpt,
    SetOpt,
    check_writable,
    err,
    home,
    out,
    overrides_of,
    plain,
    read_value,
    write_page,
)
from brand_detect.cli.local import Bars
from brand_detect.domain.errors import BadInput
from brand_detect.domain.media import file_name
from brand_detect.domain.settings import Settings

if TYPE_CHECKING:
    from brand_detect.evaluation.scoring.labels import ClipLabels
    from brand_detect.operations.sweep import Sweep
    from brand_detect.operations.sweep.values import Value

RANGE = re.compile(r"([^:,]+):([^:,]+):([^:,]+)")
MOST = 10_000  # largest range that is expanded


def sweep(
    job_id: JobArg,
    swept: Annotated[str, typer.Argument(metavar="STAGE.PARAM=VALUES", help="values as from:to:step or v1,v2,v3")],
    settings: SetOpt = [],  # noqa: B006 typer copies it
    attempt: AttemptOpt = "",
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="labels of the clip, for recall and precision", show_default=False),
    ] = None,
    clip: Annotated[
        str, typer.Option(metavar="NAME", help="the clip in the labels; default: the video's file name")
    ] = "",
    catalog: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="match with this brand list instead", show_default=False),
    ] = None,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write the curves as an HTML page", show_default=False)
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Try many values of one param on stored checkpoints.

    No stage above is run, no model is asked and nothing is stored.

    Examples:
      brand-detect sweep match match_brands.fuzzy_score=0.7:1.0:0.02
      brand-detect sweep match compile_report.bridge_s=0,1,2 --page page.html
    """
    from brand_detect.catalog import load_catalog
    from brand_detect.evaluation.scoring.score import scorer
    from brand_detect.operations import sweep as sweeping
    from brand_detect.operations.sweep.lineage import Lineage
    from brand_detect.operations.sweep.page import page_of, timing
    from brand_detect.operations.sweep.values import check_swept
    from brand_detect.report.curves import render
    from brand_detect.storage.store import Store

    stage, param, values = swept_of(swept)
    fixed = overrides_of(settings)
    check_swept(stage, param, fixed)
    if page:
        check_writable(page)
    home()
    lineage = Lineage.of(Store(Settings.load().store_root), job_id, attempt)
    labelled = _labels(labels, clip or file_name(lineage.request.video_uri))
    with Bars() as bars:
        found = sweeping.sweep(
            lineage,
            stage,
            param,
            values,
            fixed,
            catalog=load_catalog(str(catalog)).catalog if catalog else None,
            clip=labelled.clip if labelled else "",
            score=scorer(labelled) if labelled else None,
            progress=bars.stage("sweep", getLogger(__name__)),
        )
    if page:
        write_page(page, render(page_of(found)))
        err.print(f"page: {page.resolve()}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        out.print_json(data=found.to_json())
    else:
        out.print(_table(found))
    for note in found.notes:
        err.print(f"note: {plain(note)}", highlight=False, soft_wrap=True)
    err.print(f"time: {timing(found)}", highlight=False, soft_wrap=True)


def swept_of(text: str) -> tuple[str, str, list["Value"]]:
    """Stage, param and values of ``stage.param=a:b:step`` or ``stage.param=v1,v2``.

    Raises:
        BadInput: malformed.
    """
    name, equals, values = text.partition("=")
    stage, dot, param = name.partition(".")
    if not (equals and dot and param and values):
        raise BadInput(
            f"{text!r} has no values.", "write stage.param=from:to:step or stage.param=v1,v2, as in the examples"
        )
    if found := RANGE.fullmatch(values):
        return stage, param, numbers(*found.groups())
    return stage, param, [read_value(name, value) for value in values.split(",")]


def numbers(begin: str, end: str, step: str) -> list["Value"]:
    """All numbers from ``begin`` to ``end``, inclusive, in decimal steps; integers if all three are.

    Raises:
        BadInput: they are not numbers, form an empty range, or yield too many values.
    """
    try:
        low, high, by = map(Decimal, (begin, end, step))
    except InvalidOperation:
        low = high = by = Decimal("NaN")
    if not (low.is_finite() and high.is_finite() and by.is_finite() and by > 0 and low <= high):
        raise BadInput(f"{begin}:{end}:{step} is not a range.", "write from:to:step, as in 0.7:1.0:0.02")
    count = int((high - low) / by) + 1
    if count > MOST:
        raise BadInput(f"{begin}:{end}:{step} has {count} values.", "use a wider step")
    whole = all(n == n.to_integral_value() for n in (low, by))
    return [int(n) if whole else float(n) for n in (low + k * by for k in range(count))]


def _labels(path: Path | None, clip: str) -> "ClipLabels | None":
    if path is None:
        return None
    from brand_detect.evaluation.scoring.labels import load_labels

    known = load_labels(path)
    if clip not in known:
        raise BadInput(f"{path} has no labels of {clip!r}.", f"--clip names one of {', '.join(known)}")
    return known[clip]


def _table(found: "Sweep") -> Table:
    """One row per value; the value in force is marked."""
    from brand_detect.operations.sweep.page import cells, columns

    against = f", against {found.clip}" if found.clip else ""
    table = Table(title=f"{found.name} over {found.job_id}{against}", caption="* in force", box=None)
    for name in columns(found):
        table.add_column(name, justify="right", no_wrap=True)
    for point in found.points:
        here = point.value == found.in_force
        first, *rest = cells(found, point)
        table.add_row(f"{'* ' if here else ''}{first}", *rest, style="bold" if here else None)
    return table
