"""Commands that speak to a running Dagster: submit, look, replay, retry, cancel, report."""

import re
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.tree import Tree

from brand_detect.cli.common import (
    JobArg,
    JsonOpt,
    ProfileOpt,
    SetOpt,
    VideoArg,
    app,
    brand_table,
    err,
    out,
    overrides_of,
    plain,
)
from brand_detect.client import Client, ReportSummary, Run
from brand_detect.domain.errors import BadInput
from brand_detect.domain.history import Attempt, History
from brand_detect.domain.media import content_sha256, default_job_id
from brand_detect.domain.pipeline import LINE, STAGES, Stage, upstream_of
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import LATEST
from brand_detect.storage.media import MediaFiles
from brand_detect.storage.present import present
from brand_detect.storage.store import Store

UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
SHOWN: Mapping[str, tuple[str, ...]] = {
    Stage.extract_frames: ("frames",),
    Stage.filter_scenes: ("shots",),
    Stage.detect_objects: ("regions", "tracks"),
    Stage.run_ocr: ("lines_read", "texts"),
    Stage.match_brands: ("resolved", "unresolved"),
    Stage.escalate_vlm: ("questions", "unresolved"),
    Stage.escalate_cloud: ("questions", "unresolved"),
    Stage.compile_report: ("brands", "exposures"),
}
"""The figures that the tree shows of each stage; all of them are in the JSON."""

StageArg = Annotated[str, typer.Argument(metavar="STAGE", help=f"one of {', '.join(STAGES)}")]
ResetOpt = Annotated[list[str], typer.Option("--reset", help="drop what was tuned in this stage, as often as needed")]
WaitOpt = Annotated[bool, typer.Option("--wait/--no-wait", help="stay until the report is there")]
KeyOpt = Annotated[str, typer.Option("--key", help="idempotency key: the same command again is the same run")]


@app.command()
def submit(
    video: VideoArg,
    job_id: Annotated[str | None, typer.Option(help="default: the file's name and its content's hash")] = None,
    profile: ProfileOpt = "default",
    settings: SetOpt = [],  # noqa: B006 typer copies it
    wait: WaitOpt = False,
    key: KeyOpt = "",
    as_json: JsonOpt = False,
) -> None:
    """Queue a video in a running Dagster (make dev).

    Example: brand-detect submit match.mp4 --profile soccer_broadcast --wait
    """
    with Client(tell=_say) as client:
        run = client.submit(
            video,
            job_id=job_id or (_remote_id(video) if "://" in video else None),
            profile=profile,
            overrides=overrides_of(settings),
            key=key,
        )
        _launched(client, run, wait, as_json)


@app.command()
def status(job_id: JobArg, as_json: JsonOpt = False) -> None:
    """The runs of a job, newest first.

    Example: brand-detect status match-3f9a1c07
    """
    with Client() as client:
        found = client.runs(job_id)
    if not found:
        raise BadInput(f"There is no run of {job_id}.", "brand-detect submit VIDEO")
    if as_json:
        out.print_json(data=[asdict(run) for run in found])
        return
    table = Table(box=None, pad_edge=False)
    for name in ("run", "status", "from", "queued", "ran"):
        table.add_column(name, no_wrap=name == "run")
    for run in found:
        table.add_row(run.run_id, _status(run), next(iter(run.stages), ""), _clock(run.created_s), _seconds(run))
    out.print(table)


@app.command()
def checkpoints(job_id: JobArg, as_json: JsonOpt = False) -> None:
    """All attempts of a job as a tree: each run hangs below the checkpoint that it went on from.

    Example: brand-detect checkpoints match-3f9a1c07
    """
    with Client() as client:
        known = client.checkpoints(job_id)
    history = present(known, Store(Settings.load().store_root))
    gone = sum(len(known.stages[s].attempts) - len(history.stages[s].attempts) for s in LINE)
    if gone:
        err.print(f"left out: {gone} checkpoints whose files are gone", highlight=False)
    if not history:
        raise BadInput(f"There is no checkpoint of {job_id}.", "brand-detect submit VIDEO")
    if as_json:
        out.print_json(data=asdict(history) | {"stale": {stage: history.stale(stage) for stage in LINE}})
    else:
        out.print(tree_of(history), highlight=False)


@app.command()
def replay(
    job_id: JobArg,
    start_stage: StageArg,
    settings: SetOpt = [],  # noqa: B006
    pins: Annotated[
        list[str],
        typer.Option("--pin", help="STAGE=ATTEMPT to go on from, in place of the latest; its first letters do"),
    ] = [],  # noqa: B006
    reset: ResetOpt = [],  # noqa: B006
    reuse: Annotated[
        bool, typer.Option("--reuse", help="leave out first stages whose result is there already")
    ] = False,
    wait: WaitOpt = True,
    key: KeyOpt = "",
    as_json: JsonOpt = False,
) -> None:
    """Run a job again from a stage down. What was tuned there before stays, what lies above is read, not made again.

    \b
    Examples:
      brand-detect replay match-3f9a1c07 match_brands --set match_brands.min_confidence=0.5
      brand-detect replay match-3f9a1c07 run_ocr --pin detect_objects=6b585eff --reset run_ocr
    """
    with Client(tell=_say) as client:
        run = client.replay(
            job_id,
            start_stage,
            overrides_of(settings),
            pins=dict(_pin(pin) for pin in pins),
            reset=reset,
            reuse=reuse,
            key=key,
        )
        _launched(client, run, wait, as_json)


@app.command()
def retry(
    job_id: JobArg,
    settings: SetOpt = [],  # noqa: B006
    start_stage: Annotated[str, typer.Option("--from", help="escalate_vlm or escalate_cloud")] = "escalate_vlm",
    retry_of: Annotated[
        str, typer.Option("--of", metavar="RUN", help="the run whose escalation is continued")
    ] = LATEST,
    reset: ResetOpt = [],  # noqa: B006
    delay: Annotated[str, typer.Option("--in", metavar="TIME", help="hold it for so long: 90s, 30m, 8h, 2d")] = "0",
    wait: WaitOpt = False,
    key: KeyOpt = "",
    as_json: JsonOpt = False,
) -> None:
    """Ask again about what is unresolved, now or later. What was settled stays and is not asked again.

    Example: brand-detect retry match-3f9a1c07 --set escalate_cloud.provider=openai --in 8h
    """
    with Client(tell=_say) as client:
        run = client.retry(
            job_id,
            overrides_of(settings),
            start_stage=start_stage,
            retry_of=retry_of,
            reset=reset,
            delay_s=_delay_s(delay),
            key=key,
        )
        _launched(client, run, wait, as_json)


@app.command()
def cancel(run_id: Annotated[str, typer.Argument(metavar="RUN")], as_json: JsonOpt = False) -> None:
    """End a run that waits, is held or works. Checkpoints that it has finished stay.

    Example: brand-detect cancel 792a50d4-a9e8-4ad9-a4bc-5d5a325f3c0f
    """
    with Client() as client:
        _show_run(client.cancel(run_id), as_json)


@app.command()
def report(
    job_id: JobArg,
    run_id: Annotated[str, typer.Option("--run", help="the report that this run made; default: the newest")] = "",
    as_json: JsonOpt = False,
) -> None:
    """The brands of a job's report, and where its documents lie.

    Example: brand-detect report match-3f9a1c07
    """
    with Client() as client:
        _show_report(client.report(job_id, run_id), as_json)


def tree_of(history: History) -> Tree:
    """The attempts of ``history``: below each run its stages, below a stage the runs that went on from it."""
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
        goes_on = f"goes on from escalate_cloud {first.continues[:8]}" if first.continues else ""
        branch = below.add(_line(f"[bold]{run_id[:8]}[/]", _clock(first.created_s), goes_on, *map(plain, tuned)))
        for attempt in attempts:
            reasons = history.stale(attempt.stage) if newest[attempt.stage] == attempt.attempt else ()
            why = f"[yellow]stale: {', '.join(reasons)}[/]" if reasons else ""
            failed = f"[red]failed its check {plain(attempt.failed_check)}[/]" if attempt.failed_check else ""
            warned = f"[yellow]{plain(attempt.warned_checks)}[/]" if attempt.warned_checks else ""
            shown = (name for name in SHOWN.get(attempt.stage, ()) if name in attempt.figures)
            counts = ", ".join(f"{attempt.figures[name]:.0f} {name.replace('_', ' ')}" for name in shown)
            line = _line(f"{attempt.stage:<15}", f"{attempt.stage_s:.1f} s", counts, why, failed, warned)
            places[attempt.stage, attempt.attempt] = branch.add(line)
    return tree


def _line(*parts: str) -> str:
    return "  ".join(part for part in parts if part)


def _say(what: str) -> None:
    err.print(what, markup=False, highlight=False, soft_wrap=True)


def _launched(client: Client, run: Run, wait: bool, as_json: bool) -> None:
    """Say what was launched; with ``wait`` follow it and show its report."""
    err.print(f"run: {run.run_id} of {run.job_id}, {_status(run)}", markup=False, highlight=False, soft_wrap=True)
    if not wait:
        _show_run(run, as_json)
        return
    ended = client.wait(run.run_id, seen=_Follow(run)) if not err.is_terminal else _followed(client, run)
    _show_report(client.report(run.job_id, ended.run_id), as_json)


class _Follow:
    """Says on stderr what has changed since the last look at a run."""

    def __init__(self, run: Run) -> None:
        self._last = run

    def __call__(self, run: Run) -> None:
        if run.run_id != self._last.run_id:
            err.print(f"run: {run.run_id} goes on with the work of {self._last.run_id}", highlight=False)
        elif run.status != self._last.status:
            err.print(f"{run.status}", highlight=False)
        for stage in run.done:
            if stage not in self._last.done:
                err.print(f"{stage}: done", highlight=False)
        self._last = run


def _followed(client: Client, run: Run) -> Run:
    columns = (
        TextColumn("{task.description:<15}"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err) as bar:
        task = bar.add_task("", total=len(run.stages), text="")

        def show(seen: Run) -> None:
            doing = next((stage for stage in seen.stages if stage not in seen.done), "")
            bar.update(task, completed=len(seen.done), description=doing, text=_status(seen))

        return client.wait(run.run_id, seen=show)


def _show_run(run: Run, as_json: bool) -> None:
    if as_json:
        out.print_json(data=asdict(run))
    else:
        out.print(run.run_id, highlight=False)


def _show_report(found: ReportSummary, as_json: bool) -> None:
    if as_json:
        out.print_json(data=asdict(found))
        return
    out.print(brand_table(found.brands))
    for note in found.notes:
        err.print(f"note: {plain(note)}", highlight=False)
    err.print(f"report: {found.uri}/report.html", markup=False, highlight=False, soft_wrap=True)


def _remote_id(video: str) -> str:
    with MediaFiles(Settings.load().media_roots).open(video) as file:
        sha256, _ = content_sha256(file)
    return default_job_id(PurePosixPath(urlsplit(video).path).stem, sha256)


def _pin(pin: str) -> tuple[str, str]:
    stage, equals, attempt = pin.partition("=")
    if not (equals and attempt):
        raise BadInput(f"{pin!r} is no pin.", "write STAGE=ATTEMPT, as brand-detect checkpoints lists them")
    return stage, attempt


def _delay_s(delay: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", delay.strip())
    if not found:
        raise BadInput(f"{delay!r} is no length of time.", "write 90s, 30m, 8h or 2d")
    return float(found[1]) * UNITS_S[found[2]]


def _status(run: Run) -> str:
    return f"held until {_clock(run.not_before_s)}" if run.status == "held" and run.not_before_s else run.status


def _clock(at_s: float) -> str:
    at = datetime.fromtimestamp(at_s).astimezone()
    return at.strftime("%H:%M:%S" if at.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M")


def _seconds(run: Run) -> str:
    if run.started_s is None:
        return ""
    return f"{(run.ended_s or time.time()) - run.started_s:.1f} s"
