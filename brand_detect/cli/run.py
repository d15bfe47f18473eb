"""Reports the brands of one video in this process, on the Dagster instance of ``DAGSTER_HOME``."""

import sys
from pathlib import Path

from brand_detect.cli.common import (
    JsonOpt,
    NewJobOpt,
    ProfileOpt,
    SetOpt,
    VideoArg,
    brand_table,
    err,
    home,
    out,
    overrides_of,
)
from brand_detect.cli.local import local_runner
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.settings import state_dir


def run(
    video: VideoArg,
    job_id: NewJobOpt = None,
    profile: ProfileOpt = "default",
    settings: SetOpt = [],  # noqa: B006 typer copies it
    as_json: JsonOpt = False,
) -> None:
    """Report the brands of one video, in this process.

    A running Dagster shows the job and its checkpoints, too.

    Examples:
      brand-detect run match.mp4 --profile soccer_broadcast
      brand-detect run match.mp4 --set extract_frames.sample_fps=4
    """
    _report(video, job_id, profile, overrides_of(settings), as_json)


def demo() -> None:
    """Generate a short broadcast clip and report its brands."""
    from brand_detect.evaluation.synthetic.footage import demo_clip

    _report(str(demo_clip(home() / state_dir() / "demo")), "demo", "default", {}, False)


def _report(video: str, job_id: str | None, profile: str, overrides: Overrides, as_json: bool) -> None:
    video = video if "://" in video else str(Path(video).resolve())
    with local_runner(video) as runner:
        done = runner.submit(video, job_id=job_id, profile=profile, overrides=overrides)
    report = done.load(Stage.compile_report)
    assert isinstance(report, Report)
    if as_json:
        sys.stdout.write(done.store.read(done.ref(Stage.compile_report), "report.json").decode() + "\n")
    else:
        out.print(brand_table(report.brands.to_pylist()))
    for note in (*report.losses, *report.notes):
        err.print(f"note: {note}", markup=False, highlight=False)
    err.print(f"report: {done.store.uri(done.ref('compile_report'))}/report.html", markup=False, soft_wrap=True)
    err.print("with its video, and to correct it: make dev, then", end=" ", highlight=False)
    err.print(f"http://127.0.0.1:8000/reports/{done.job_id}", markup=False, soft_wrap=True)
