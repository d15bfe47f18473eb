"""The command that lists what people have corrected."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from brand_detect.cli.common import JobArg, JsonOpt, app, err, home, out, plain
from brand_detect.domain.errors import BadInput
from brand_detect.domain.reviews import OF_CLUSTERS
from brand_detect.domain.settings import Settings
from brand_detect.report.words import clock, counted

if TYPE_CHECKING:
    from brand_detect.api.stored import ReviewInfo


@app.command()
def reviews(
    job_id: JobArg,
    user: Annotated[str, typer.Option(help="only those of this user, as their client named them")] = "",
    as_json: JsonOpt = False,
) -> None:
    """The corrections of a job's report, and what has become of each in the newest one.

    Corrections are made in the served page (brand-detect serve) and applied by a replay from compile_report.

    \b
    Example:
      brand-detect reviews match-3f9a1c07
    """
    from brand_detect.api.stored import NotThere, StoredReports
    from brand_detect.storage.store import Store

    home()  # the store lies there by default, wherever this is called
    try:
        listed, damaged = StoredReports(Store(Settings.load().store_root)).reviews(job_id)
    except NotThere as e:
        raise BadInput(str(e), "brand-detect checkpoints JOB shows what there is") from e
    for sentence in damaged:
        err.print(f"note: {plain(sentence)}", highlight=False)
    listed = [review for review in listed if user in ("", review.user)]
    if as_json:
        out.print_json(data=[review.model_dump(mode="json") for review in listed])
    else:
        out.print(_table(job_id, listed))


def _table(job_id: str, listed: "list[ReviewInfo]") -> Table:
    """Two lines each, so that 80 columns are enough."""
    title = f"{'Corrections' if listed else 'No corrections'} of {plain(job_id)}"
    table = Table(title=title, box=None, pad_edge=False)
    for column in ("id", "when (UTC), by", "what", "state, effect"):
        table.add_column(column, no_wrap=column == "id", min_width=16 if "," in column else None, overflow="fold")
    for review in listed:
        ranged = review.start_s is not None and review.end_s is not None
        where = f"\n{clock(review.start_s or 0)} to {clock(review.end_s or 0)}" if ranged else ""
        effect = f"\n{counted(review.detections, 'detection')}, {review.seconds:.1f} s" if review.detections else ""
        table.add_row(
            review.review_id[:8],
            f"{review.at[:16].replace('T', ' ')}\n{plain(review.user)}",
            plain(_what(review)) + where,
            review.state + effect,
        )
    return table


def _what(review: "ReviewInfo") -> str:
    about = {
        **dict.fromkeys(OF_CLUSTERS, review.text or review.cluster_id[:8]),
        "exclude": review.text,
        "undo": review.undoes[:8],
    }.get(review.action, review.brand or review.brand_id)
    return f"{review.action} {about}{f' as {review.to}' if review.to else ''}"
