"""Runs of a running Dagster: submit, status, replay, retry, cancel, report."""

import re
import time
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from brand_detect.cli.common import (
    JobArg,
    JsonOpt,
    NewJobOpt,
    ProfileOpt,
    SetOpt,
    VideoArg,
    brand_table,
    err,
    local_time,
    out,
    overrides_of,
    plain,
)
from brand_detect.client import Client, ReportSummary, Run
from brand_detect.domain.errors import BadInput
from brand_detect.domain.media import content_sha256, default_job_id
from brand_detect.domain.pipeline import STAGES
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import LATEST

UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}

StageArg = Annotated[str, typer.Argument(metavar="STAGE", help=f"one of {', '.join(STAGES)}")]
ResetOpt = Annotated[
    list[str],
    typer.Option("--reset", metavar="STAGE", help="drop earlier overrides of this stage; repeatable"),
]
WaitOpt = Annotated[bool, typer.Option("--wait/--no-wait", help="wait for the report")]
KeyOpt = Annotated[
    str,
    typer.Option("--key", metavar="KEY", help="idempotency key: repeating the command returns the same run"),
]


def submit(
    video: VideoArg,
    job_id: NewJobOpt = None,
    profile: ProfileOpt = "default",
    settings: SetOpt = [],  # noqa: B006 typer copies it
    wait: WaitOpt = False,
    key: KeyOpt = "",
    as_json: JsonOpt = False,
) -> None:
    """Queue a video in a running Dagster (brand-detect dev).

    Prints the run's id at once; with --wait, its report when it is finished.

    Example:
      brand-detect submit match.mp4 --profile soccer_broadcast --wait
    """
    with Client() as client:
        run = client.submit(
            video,
            job_id=job_id or (_remote_id(video) if "://" in video else None),
            profile=profile,
            overrides=overrides_of(settings),
            key=key,
        )
        _launched(client, run, wait, as_json)


def status(job_id: JobArg, as_json: JsonOpt = False) -> None:
    """List the runs of a job, newest first.

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
        table.add_row(run.run_id, _status(run), next(iter(run.stages), ""), local_time(run.created_s), _seconds(run))
    out.print(table)


def replay(
    job_id: JobArg,
    start_stage: StageArg,
    settings: SetOpt = [],  # noqa: B006
    pins: Annotated[
        list[str],
        typer.Option(
            "--pin",
            metavar="STAGE=ATTEMPT",
            help="start from this attempt, or a prefix of its id, instead of the latest; repeatable",
        ),
    ] = [],  # noqa: B006
    reset: ResetOpt = [],  # noqa: B006
    reuse: Annotated[bool, typer.Option("--reuse", help="skip leading stages whose result exists already")] = False,
    wait: WaitOpt = True,
    key: KeyOpt = "",
    as_json: JsonOpt = False,
) -> None:
    """Run a job again from a stage down.

    Earlier overrides stay in force; the stages above are not run, their
    checkpoints are read.

    Examples:
      brand-detect replay match match_brands --set match_brands.min_confidence=0.5
      brand-detect replay match run_ocr --pin detect_objects=6b585eff
    """
    with Client() as client:
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


def retry(
    job_id: JobArg,
    settings: SetOpt = [],  # noqa: B006
    start_stage: Annotated[
        str, typer.Option("--from", metavar="STAGE", help="escalate_vlm or escalate_cloud")
    ] = "escalate_vlm",
    retry_of: Annotated[str, typer.Option("--of", metavar="RUN", help="continue the escalation of this run")] = LATEST,
    reset: ResetOpt = [],  # noqa: B006
    delay: Annotated[str, typer.Option("--in", metavar="TIME", help="hold it for this long: 90s, 30m, 8h, 2d")] = "0",
    wait: WaitOpt = False,
    key: KeyOpt = "",
    as_json: JsonOpt = False,
) -> None:
    """Ask models again about unresolved clusters, now or later.

    Verdicts stay and are not asked about again.

    Example:
      brand-detect retry match --set escalate_cloud.provider=openai --in 8h
    """
    with Client() as client:
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


def cancel(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="the run's id, as brand-detect status shows it")],
    as_json: JsonOpt = False,
) -> None:
    """Cancel a queued, held or running run; its checkpoints stay.

    Example: brand-detect cancel 792a50d4-a9e8-4ad9-a4bc-5d5a325f3c0f
    """
    with Client() as client:
        _show_run(client.cancel(run_id), as_json)


def report(
    job_id: JobArg,
    run_id: Annotated[
        str, typer.Option("--run", metavar="RUN", help="the report of this run; default: the newest")
    ] = "",
    as_json: JsonOpt = False,
) -> None:
    """Show the brands of a job's report, and its documents.

    Example: brand-detect report match-3f9a1c07
    """
    with Client() as client:
        _show_report(client.report(job_id, run_id), as_json)


def _launched(client: Client, run: Run, wait: bool, as_json: bool) -> None:
    """Print the launched run; with ``wait``, follow it and show its report."""
    err.print(f"run: {run.run_id} of {run.job_id}, {_status(run)}", markup=False, highlight=False, soft_wrap=True)
    if not wait:
        _show_run(run, as_json)
        return
    ended = client.wait(run.run_id, seen=_Follow(run)) if not err.is_terminal else _followed(client, run)
    _show_report(client.report(run.job_id, ended.run_id), as_json)


class _Follow:
    """Prints changes of a run to stderr."""

    def __init__(self, run: Run) -> None:
        self._last = run

    def __call__(self, run: Run) -> None:
        if run.run_id != self._last.run_id:
            err.print(f"run: {run.run_id} continues {self._last.run_id}", highlight=False)
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
    from brand_detect.storage.media import MediaFiles

    with MediaFiles(Settings.load().media_roots).open(video) as file:
        sha256, _ = content_sha256(file)
    return default_job_id(PurePosixPath(urlsplit(video).path).stem, sha256)


def _pin(pin: str) -> tuple[str, str]:
    stage, equals, attempt = pin.partition("=")
    if not (equals and attempt):
        raise BadInput(f"{pin!r} is not a pin.", "write STAGE=ATTEMPT, as brand-detect checkpoints lists them")
    return stage, attempt


def _delay_s(delay: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", delay.strip())
    if not found:
        raise BadInput(f"{delay!r} is not a duration.", "write 90s, 30m, 8h or 2d")
    return float(found[1]) * UNITS_S[found[2]]


def _status(run: Run) -> str:
    return f"held until {local_time(run.not_before_s)}" if run.status == "held" and run.not_before_s else run.status


def _seconds(run: Run) -> str:
    if run.started_s is None:
        return ""
    return f"{(run.ended_s or time.time()) - run.started_s:.1f} s"
