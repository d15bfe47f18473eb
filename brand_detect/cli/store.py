"""``brand-detect store``: the whole store: damage, Dagster's history, retention."""

import difflib
import logging
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from brand_detect.cli.common import FOUND, Commands, JobsArg, JsonOpt, err, home, out, plain
from brand_detect.cli.local import Bars, local_instance
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import check_job_id
from brand_detect.domain.settings import Settings
from brand_detect.domain.words import counted

if TYPE_CHECKING:
    from brand_detect.operations.retention.pruning import JobPruning
    from brand_detect.storage.store import Store

commands = Commands("The whole store: damage, history, retention.")


@commands.command()
def verify(
    jobs: Annotated[
        list[str] | None, typer.Argument(metavar="JOB", help="default: the whole store", show_default=False)
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """List stored files that are missing or damaged.

    Compares every file with its manifest. Ends with exit code 6 if there are
    any. Frames removed by retention do not count, nor do checkpoints of
    another schema version, which are listed.

    Examples:
      brand-detect store verify
      brand-detect store verify match-3f9a1c07
    """
    from brand_detect.catalog import catalog_from_json
    from brand_detect.storage.store import Store
    from brand_detect.storage.verify import OTHER_VERSION, verify_jobs, verify_shared

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
        err.print("restore these files, or re-materialize their attempts; --json has the details", highlight=False)
    else:
        out.print("no damage", highlight=False)
    if any(damage.damage != OTHER_VERSION for damage in found):
        raise typer.Exit(FOUND)


@commands.command()
def rebuild(as_json: JsonOpt = False) -> None:
    """Rebuild Dagster's history from the checkpoints.

    After the loss of the database: partitions and materializations. Existing
    ones are left alone. Runs and their logs do not come back; the original
    run, params and time are in each event's metadata. Ends with exit code 6
    if damaged checkpoints had to be left out.

    Example: brand-detect store rebuild
    """
    from brand_detect.operations.rebuild import rebuild as rebuild_history
    from brand_detect.orchestration.assets import INPUTS

    with local_instance() as (instance, services):
        progress = services.progress("rebuild", logging.getLogger(__name__))
        done = rebuild_history(instance, services.store, INPUTS, progress, services.settings.service_url)
    if as_json:
        out.print_json(data=asdict(done))
    else:
        out.print(
            f"{counted(done.jobs, 'job')}, {counted(done.events, 'event')} rebuilt, {done.known} already known",
            highlight=False,
        )
    for reason in done.damaged:
        err.print(f"left out: {plain(reason)}", highlight=False, soft_wrap=True)
    if done.damaged:
        raise typer.Exit(FOUND)


@commands.command()
def prune(
    jobs: JobsArg = None,
    keep: Annotated[
        int | None,
        typer.Option(min=1, metavar="COUNT", help="keep this many newest attempts of each stage", show_default=False),
    ] = None,
    days: Annotated[
        float | None,
        typer.Option(min=0, metavar="DAYS", help="keep attempts younger than this", show_default=False),
    ] = None,
    frames_days: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="DAYS", help="keep frames younger than this; 0: as long as their attempt", show_default=False
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="remove them; without it they are only listed")] = False,
    as_json: JsonOpt = False,
) -> None:
    """List old attempts, and remove them with --yes.

    Options that are not given are read from BRAND_DETECT_KEEP_*. Never
    removed: the latest attempt of a stage, a pinned one, one that a queued
    run names, and every ancestor of a remaining attempt.

    Examples:
      brand-detect store prune --days 90
      brand-detect store prune match-3f9a1c07 --keep 1 --days 0 --yes
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
    else:
        for job in found:
            out.print(plain(str(job)), highlight=False, soft_wrap=True)
        size = sum(job.removal.size_bytes for job in found) / 2**20
        attempts = sum(len(job.removal.attempts) for job in found)
        out.print(
            f"{'removed' if yes else 'to remove'}: {counted(attempts, 'attempt')}, {size:.1f} MiB", highlight=False
        )
        if not yes and any(found):
            err.print("nothing was removed: add --yes to remove them", highlight=False)
    pruning.check(found)


def _jobs(store: "Store", wanted: list[str] | None) -> list[str]:
    """``wanted``, or all jobs."""
    there = store.jobs()
    for name in map(check_job_id, wanted or ()):
        if name not in there:
            near = ", ".join(difflib.get_close_matches(name, there))
            hint = f"did you mean {near}?" if near else "see the page of brand-detect serve for the jobs"
            raise BadInput(f"There is no job {name} in {store.root}.", hint)
    return wanted or there


def _pruning(job: "JobPruning") -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "attempts": [{"stage": a.stage, "attempt": a.attempt} for a in job.removal.attempts],
        "frames": [{"stage": a.stage, "attempt": a.attempt} for a in job.removal.frames],
        "abandoned": [{"stage": ref.stage, "attempt": ref.attempt} for ref in job.abandoned],
        "size_bytes": job.removal.size_bytes,
        "left": job.left,
        "failed": job.failed,
    }
