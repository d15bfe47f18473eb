"""The command that lists what people have corrected."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from brand_detect.cli.common import JobArg, JsonOpt, app, err, home, out, plain
from brand_detect.domain.errors import BadInput
from brand_detect.domain.settings import Settings
from brand_detect.report.words import clock

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
    table = Table(title=f"{'Corrections' if listed else 'No corrections'} of {plain(job_id)}")
    for column in ("id", "when (UTC)", "by", "what", "where", "state", "detections", "seconds"):
        table.add_column(column, justify="right" if column in ("detections", "seconds") else "left")
    for review in listed:
        spans = review.start_s is not None and review.end_s is not None
        table.add_row(
            review.review_id[:8],
            review.at[:19].replace("T", " "),
            plain(review.user),
            plain(_what(review)),
            f"{clock(review.start_s or 0)} to {clock(review.end_s or 0)}" if spans else "",
            review.state,
            str(review.detections),
            f"{review.seconds:.1f}",
        )
    return table


def _what(review: "ReviewInfo") -> str:
    about = {
        "name": review.text or review.cluster_id[:8],
        "exclude": review.text,
        "undo": review.undoes[:8],
    }.get(review.action, review.brand or review.brand_id)
    return f"{review.action} {about}{f' as {review.to}' if review.to else ''}"
