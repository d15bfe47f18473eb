"""Shows the attempts of a job as a tree, from a running Dagster and the store."""

from collections.abc import Mapping
from dataclasses import asdict

from rich.tree import Tree

from brand_detect.cli.common import (
    JobArg,
    JsonOpt,
    err,
    local_time,
    out,
    plain,
    settings_at_home,
)
from brand_detect.client import Client
from brand_detect.domain.errors import BadInput
from brand_detect.domain.history import Attempt, History
from brand_detect.domain.pipeline import LINE, STAGES, Stage, upstream_of
from brand_detect.domain.words import counted

SHOWN: Mapping[str, tuple[str, ...]] = {
    Stage.extract_frames: ("frames",),
    Stage.filter_scenes: ("shots",),
    Stage.detect_objects: ("regions", "tracks"),
    Stage.run_ocr: ("lines_read", "lines_reused", "texts"),
    Stage.match_brands: ("resolved", "unresolved"),
    Stage.escalate_vlm: ("questions", "unresolved"),
    Stage.escalate_cloud: ("questions", "unresolved"),
    Stage.compile_report: ("brands", "exposures"),
}
"""Figures of each stage that the tree shows; the JSON has all."""


def checkpoints(job_id: JobArg, as_json: JsonOpt = False) -> None:
    """All attempts of a job as a tree, and which are stale.

    Each run is shown below the checkpoint that it started from.

    Example: brand-detect checkpoints match-3f9a1c07
    """
    from brand_detect.storage.present import present
    from brand_detect.storage.store import Store

    with Client() as client:
        known = client.checkpoints(job_id)
    history = present(known, Store(settings_at_home().store_root))
    gone = sum(len(known.stages[s].attempts) - len(history.stages[s].attempts) for s in LINE)
    if gone:
        err.print(f"left out: {counted(gone, 'checkpoint')} whose files are missing", highlight=False)
    if not history:
        raise BadInput(f"There is no checkpoint of {job_id}.", "brand-detect submit VIDEO")
    if as_json:
        out.print_json(data=asdict(history) | {"stale": {stage: history.stale(stage) for stage in LINE}})
    else:
        out.print(tree_of(history), highlight=False)


def tree_of(history: History) -> Tree:
    """The attempts of ``history``: below each run its stages, below a stage the runs that started from it."""
    newest = {s: a.attempt for s in LINE if (a := history.latest(s))}
    made: dict[str, list[Attempt]] = {}
    for stage in LINE:
        for attempt in history.stages[stage].attempts:
            made.setdefault(attempt.run_id, []).append(attempt)
    tree = Tree(plain(history.job_id), guide_style="dim")
    places: dict[tuple[str, str], Tree] = {}
    for run_id, attempts in sorted(made.items(), key=lambda item: item[1][0].created_s):
        first = attempts[0]
        above = next(reversed(upstream_of(first.stage)), "")
        below = places.get((above, first.upstream.get(above, "")), tree)
        tuned = [
            f"{a.stage}.{name}={value}" for a in attempts for name, value in a.overrides.items() if a.stage in STAGES
        ]
        goes_on = f"continues escalate_cloud {first.continues[:8]}" if first.continues else ""
        branch = below.add(_line(f"[bold]{run_id[:8]}[/]", local_time(first.created_s), goes_on, *map(plain, tuned)))
        for attempt in attempts:
            reasons = history.stale(attempt.stage) if newest[attempt.stage] == attempt.attempt else ()
            why = f"[yellow]stale: {', '.join(reasons)}[/]" if reasons else ""
            failed = f"[red]failed its check {plain(attempt.failed_check)}[/]" if attempt.failed_check else ""
            warned = f"[yellow]{plain(attempt.warned_checks)}[/]" if attempt.warned_checks else ""
            shown = (name for name in SHOWN.get(attempt.stage, ()) if name in attempt.figures)
            counts = ", ".join(f"{name.replace('_', ' ')} {attempt.figures[name]:.0f}" for name in shown)
            line = _line(f"{attempt.stage:<15}", f"{attempt.stage_s:.1f} s", counts, why, failed, warned)
            places[attempt.stage, attempt.attempt] = branch.add(line)
    return tree


def _line(*parts: str) -> str:
    return "  ".join(part for part in parts if part)
