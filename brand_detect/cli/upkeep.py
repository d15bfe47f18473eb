"""Commands that look after what is stored: verify, prune, pin, rebuild, delete. They run where the pipeline runs."""

import logging
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from brand_detect.cli.common import JobArg, JsonOpt, app, err, home, out, plain
from brand_detect.cli.local import Bars, local_instance
from brand_detect.cli.problems import BROKEN
from brand_detect.domain.errors import BadInput
from brand_detect.domain.history import named
from brand_detect.domain.job import check_job_id
from brand_detect.domain.pipeline import STAGES, Stage
from brand_detect.domain.settings import Settings
from brand_detect.storage.store import AttemptRef, Store

if TYPE_CHECKING:
    from brand_detect.operations.retention.pruning import JobPruning


@app.command()
def prune(
    jobs: Annotated[list[str] | None, typer.Argument(metavar="[JOB]...", help="default: all jobs")] = None,
    keep: Annotated[int | None, typer.Option(min=1, help="newest attempts of a stage that stay")] = None,
    days: Annotated[float | None, typer.Option(min=0, help="attempts younger than so many days stay")] = None,
    frames_days: Annotated[
        float | None, typer.Option(min=0, help="pictures younger than so many days stay; 0 = as long as their attempt")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="remove; without it only what would go is shown")] = False,
    as_json: JsonOpt = False,
) -> None:
    """Show what old attempts would go by age and count, and with --yes remove them. Limits: BRAND_DETECT_KEEP_*.

    Never goes: the latest attempt of a stage, a pinned one, one that a run in the queue names, and anything that an
    attempt that stays was made from.

    \b
    Examples:
      brand-detect prune --days 90
      brand-detect prune match-3f9a1c07 --keep 1 --days 0 --yes
    """
    from brand_detect.operations.retention import pruning

    with local_instance() as (instance, services):
        limits = {"keep": keep, "days": days, "frames_days": frames_days}
        chosen = pruning.retention_of(services.settings, limits)
        store = services.store
        names = _jobs(store, jobs)
        if yes:
            progress = services.progress("prune", logging.getLogger(__name__))
            found = list(pruning.prune(instance, store, names, chosen, time.time(), progress))
        else:
            found = list(pruning.plan(instance, store, names, chosen, time.time()))
    if as_json:
        out.print_json(data=[_pruning(job) for job in found])
        return
    for job in found:
        out.print(plain(str(job)), highlight=False, soft_wrap=True)
    size = sum(job.removal.size_bytes for job in found) / 2**20
    attempts = sum(len(job.removal.attempts) for job in found)
    out.print(f"{'removed' if yes else 'would go'}: {attempts} attempts, {size:.1f} MiB", highlight=False)
    if not yes and any(found):
        err.print("nothing was removed: brand-detect prune --yes does it", highlight=False)


def _jobs(store: Store, wanted: list[str] | None) -> list[str]:
    """``wanted``, or all there are."""
    there = store.jobs()
    for name in map(check_job_id, wanted or ()):
        if name not in there:
            raise BadInput(f"There is no job {name} in {store.root}.", "brand-detect prune shows those there are")
    return wanted or there


@app.command()
def verify(
    jobs: Annotated[list[str] | None, typer.Argument(metavar="[JOB]...", help="default: the whole store")] = None,
    as_json: JsonOpt = False,
) -> None:
    """Read through what is stored and list the files that are missing or not what was written.

    Ends with exit code 6 if there are any. Frames that retention let go are none of them.

    Example: brand-detect verify match-3f9a1c07
    """
    from brand_detect.catalog import catalog_from_json
    from brand_detect.storage.verify import verify_jobs, verify_shared

    home()  # the store lies there by default, wherever this is called
    store, log = Store(Settings.load().store_root), logging.getLogger(__name__)
    names = _jobs(store, jobs)
    with Bars() as bars:
        found = list(verify_jobs(store, names, bars.stage("verify", log)))
        if not jobs:
            found += verify_shared(store, catalog_from_json, bars.stage("shared", log))
    if as_json:
        out.print_json(data=[asdict(damage) for damage in found])
    elif found:
        table = Table(box=None, pad_edge=False)
        table.add_column("what")
        table.add_column("file", overflow="fold")
        for damage in found:
            table.add_row(damage.damage, plain(damage.file))
        out.print(table)
        err.print("restore these files, or re-materialize what they belong to; --json says how", highlight=False)
    else:
        out.print("nothing is damaged", highlight=False)
    if found:
        raise typer.Exit(BROKEN)


def _pruning(job: "JobPruning") -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "attempts": [{"stage": a.stage, "attempt": a.attempt} for a in job.removal.attempts],
        "frames": [{"stage": a.stage, "attempt": a.attempt} for a in job.removal.frames],
        "abandoned": [{"stage": ref.stage, "attempt": ref.attempt} for ref in job.abandoned],
        "size_bytes": job.removal.size_bytes,
        "left": job.left,
    }


@app.command()
def pin(
    job_id: JobArg,
    attempt: Annotated[
        str, typer.Argument(metavar="[STAGE=ATTEMPT]", help="its first letters do; default: the newest report")
    ] = "",
    why: Annotated[str, typer.Option(help="a word for whoever comes later")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="let retention have it again")] = False,
    only_list: Annotated[bool, typer.Option("--list", help="only show what is pinned")] = False,
    as_json: JsonOpt = False,
) -> None:
    """Keep an attempt, and all that it was made from, whatever retention says; then list the job's pins.

    Example: brand-detect pin match-3f9a1c07 compile_report=6b585eff --why "sent to the sponsor"
    """
    home()  # the store lies there by default, wherever this is called
    store = Store(Settings.load().store_root)
    if not only_list:
        ref = _named(store, job_id, attempt)
        if remove and ref not in store.pins(job_id):
            raise BadInput(f"{ref} is not pinned.", f"brand-detect pin {job_id} --list shows what is")
        store.unpin(ref) if remove else store.pin(ref, why)
    known = store.pins(job_id)
    if as_json:
        out.print_json(data=[{"stage": r.stage, "attempt": r.attempt, "why": why} for r, why in known.items()])
        return
    for ref, reason in known.items():
        out.print(f"{ref.stage}={ref.attempt}  {plain(reason)}".rstrip(), highlight=False, soft_wrap=True)


def _named(store: Store, job_id: str, attempt: str) -> AttemptRef:
    """The attempt that ``STAGE=ATTEMPT`` names; the newest report by default."""
    stage, _, name = attempt.partition("=") if attempt else (Stage.compile_report, "", "")
    if stage not in STAGES or (attempt and not name):
        raise BadInput(f"{attempt!r} names no attempt.", "write STAGE=ATTEMPT, as in compile_report=6b585eff")
    made = [m.attempt for m in store.attempts(job_id, stage)]
    if not made:
        raise BadInput(f"{job_id} has no checkpoint of {stage}.", "brand-detect checkpoints JOB shows what there is")
    return AttemptRef(job_id, stage, named(job_id, stage, made, name) if name else made[-1])


@app.command()
def rebuild(as_json: JsonOpt = False) -> None:
    """Make Dagster's history again from the checkpoints: partitions and materializations, after a lost database.

    What Dagster knows already is left alone. Runs and their logs do not come back; the original run, params and time
    are in each event's metadata.

    Example: brand-detect rebuild
    """
    from brand_detect.operations.rebuild import rebuild as rebuild_history
    from brand_detect.orchestration.assets import INPUTS

    with local_instance() as (instance, services):
        progress = services.progress("rebuild", logging.getLogger(__name__))
        done = rebuild_history(instance, services.store, INPUTS, progress)
    if as_json:
        out.print_json(data=asdict(done))
    else:
        out.print(f"{done.jobs} jobs, {done.events} events made, {done.known} were known", highlight=False)
    for reason in done.damaged:
        err.print(f"left out: {plain(reason)}", highlight=False, soft_wrap=True)


@app.command()
def delete(
    job_id: JobArg,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: JsonOpt = False,
) -> None:
    """Delete a job for good: its checkpoints and reports, its runs and events, its partition. The video stays.

    Example: brand-detect delete match-3f9a1c07
    """
    from brand_detect.operations.retention import deletion

    with local_instance() as (instance, services):
        found = deletion.belongings(instance, services.store, job_id)
        err.print(plain(str(found)), highlight=False, soft_wrap=True)
        if not yes:
            if not sys.stdin.isatty():
                raise BadInput("Nobody is there to confirm it.", "add --yes")
            typer.confirm(f"Delete {job_id} for good?", abort=True, err=True)
            found = deletion.belongings(instance, services.store, job_id)  # as it is now: a run may have begun
        deletion.delete(instance, services.store, found)
    if as_json:
        out.print_json(data=asdict(found))
    else:
        out.print(f"{job_id} is deleted", highlight=False)
