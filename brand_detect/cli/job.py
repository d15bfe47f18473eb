"""``brand-detect job``: one stored job: its corrections, its pins, its deletion."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from brand_detect.cli.common import Commands, JobArg, JsonOpt, err, home, out, plain
from brand_detect.cli.local import local_instance
from brand_detect.domain.errors import BadInput
from brand_detect.domain.history import named
from brand_detect.domain.pipeline import STAGES, Stage
from brand_detect.domain.reviews import OF_CLUSTERS
from brand_detect.domain.settings import Settings
from brand_detect.domain.words import counted
from brand_detect.report.words import clock

if TYPE_CHECKING:
    from brand_detect.operations.corrections import ReviewInfo
    from brand_detect.storage.attempts import AttemptRef
    from brand_detect.storage.store import Store

commands = Commands("One stored job: its corrections, its pins, its deletion.")


@commands.command()
def reviews(
    job_id: JobArg,
    user: Annotated[
        str, typer.Option(metavar="NAME", help="only corrections by this user, as named by their client")
    ] = "",
    as_json: JsonOpt = False,
) -> None:
    """List the corrections of a job's report and their effects.

    Corrections are made in the served page (brand-detect serve) and applied
    by a replay from compile_report.

    Example: brand-detect job reviews match-3f9a1c07
    """
    from brand_detect.operations.corrections import corrections
    from brand_detect.storage.reports import Reports
    from brand_detect.storage.store import Store

    home()  # the store lies there by default, wherever this is called
    store = Store(Settings.load().store_root)
    listed, damaged = corrections(store, Reports(store).find(job_id))
    for sentence in damaged:
        err.print(f"note: {plain(sentence)}", highlight=False)
    listed = [review for review in listed if user in ("", review.user)]
    if as_json:
        out.print_json(data=[review.model_dump(mode="json") for review in listed])
    else:
        out.print(_table(job_id, listed))


@commands.command()
def pin(
    job_id: JobArg,
    attempt: Annotated[
        str,
        typer.Argument(
            metavar="STAGE=ATTEMPT",
            help="the attempt, or a prefix of its id; default: the newest report",
            show_default=False,
        ),
    ] = "",
    why: Annotated[str, typer.Option(metavar="WORDS", help="the reason, shown in the list of pins")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="remove the pin")] = False,
    only_list: Annotated[bool, typer.Option("--list", help="only list the pins")] = False,
    as_json: JsonOpt = False,
) -> None:
    """Protect an attempt and its ancestors from retention.

    Then lists the job's pins.

    Example:
      brand-detect job pin match-3f9a1c07 --why "sent to the sponsor"
    """
    from brand_detect.storage.store import Store

    home()  # the store lies there by default, wherever this is called
    store = Store(Settings.load().store_root)
    if not only_list:
        ref = _named(store, job_id, attempt)
        if remove and ref not in store.pins(job_id):
            raise BadInput(f"{ref} is not pinned.", f"brand-detect job pin {job_id} --list lists the pins")
        store.unpin(ref) if remove else store.pin(ref, why)
    known = store.pins(job_id)
    if as_json:
        out.print_json(data=[{"stage": r.stage, "attempt": r.attempt, "why": why} for r, why in known.items()])
        return
    for ref, reason in known.items():
        out.print(f"{ref.stage}={ref.attempt}  {plain(reason)}".rstrip(), highlight=False, soft_wrap=True)


@commands.command()
def delete(
    job_id: JobArg,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: JsonOpt = False,
) -> None:
    """Delete a job for good. The video stays.

    Removes its checkpoints and reports, what they proposed for the brand list,
    its runs and events, and its partition.

    Example: brand-detect job delete match-3f9a1c07
    """
    from brand_detect.operations.retention import deletion

    with local_instance() as (instance, services):
        found = deletion.belongings(instance, services.store, job_id)
        err.print(plain(str(found)), highlight=False, soft_wrap=True)
        if yes:
            deletion.delete(instance, services.store, found)
    if not yes:  # here no progress bars erase the question
        if not sys.stdin.isatty():
            raise BadInput("There is no terminal to confirm it.", "add --yes")
        if not typer.confirm(f"Delete {job_id} for good?", err=True):
            err.print("nothing is deleted")
            return
        with local_instance() as (instance, services):
            found = deletion.belongings(instance, services.store, job_id)  # read again: a run may have begun
            deletion.delete(instance, services.store, found)
    if as_json:
        out.print_json(data=asdict(found))
    else:
        out.print(f"{job_id} is deleted", highlight=False)


def _named(store: "Store", job_id: str, attempt: str) -> "AttemptRef":
    """The attempt ``STAGE=ATTEMPT``; by default the report that ``Reports.find`` returns."""
    from brand_detect.storage.attempts import AttemptRef
    from brand_detect.storage.reports import Reports

    if not attempt:
        return AttemptRef(job_id, Stage.compile_report, Reports(store).find(job_id).attempt)
    stage, _, name = attempt.partition("=")
    if stage not in STAGES or not name:
        raise BadInput(f"{attempt!r} does not name an attempt.", "write STAGE=ATTEMPT, as in compile_report=6b585eff")
    made = [m.attempt for m in store.attempts(job_id, stage)]
    if not made:
        raise BadInput(f"{job_id} has no checkpoint of {stage}.", "brand-detect checkpoints JOB lists its checkpoints")
    return AttemptRef(job_id, stage, named(job_id, stage, made, name))


def _table(job_id: str, listed: "list[ReviewInfo]") -> Table:
    """A table with two lines per correction, to fit 80 columns."""
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
