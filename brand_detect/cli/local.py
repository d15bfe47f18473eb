"""Commands that work in this process, on the instance of ``DAGSTER_HOME``."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from brand_detect.cli.common import (
    TRACEBACK,
    JobArg,
    JsonOpt,
    ProfileOpt,
    SetOpt,
    VideoArg,
    app,
    brand_table,
    err,
    home,
    out,
    overrides_of,
)
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import Overrides
from brand_detect.domain.media import VIDEO_SUFFIXES
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.protocols import Answerer
from brand_detect.domain.protocols import Progress as ProgressReport
from brand_detect.domain.settings import Settings, state_dir

if TYPE_CHECKING:
    import dagster as dg

    from brand_detect.evaluation.benchmarks.pipeline import RunResult, Section
    from brand_detect.orchestration.resources import Services
    from brand_detect.orchestration.run import JobRun, Runner


@app.command()
def run(
    video: VideoArg,
    job_id: Annotated[str | None, typer.Option(help="default: the file's name and its content's hash")] = None,
    profile: ProfileOpt = "default",
    settings: SetOpt = [],  # noqa: B006 typer copies it
    as_json: JsonOpt = False,
) -> None:
    """Report the brands of one video, in this process.

    Example: brand-detect run match.mp4 --profile soccer_broadcast --set extract_frames.sample_fps=4
    """
    _report(video, job_id, profile, overrides_of(settings), as_json)


@app.command()
def demo() -> None:
    """Draw a short broadcast clip and report the brands on it."""
    from brand_detect.evaluation.synthetic.footage import demo_clip

    _report(str(demo_clip(home() / state_dir() / "demo")), "demo", "default", {}, False)


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="videos and a labels.json, or one video of brand-detect sample")],
    profile: ProfileOpt = "default",
    leave_one_out: Annotated[bool, typer.Option(help="also take each labelled brand out of the catalogue")] = True,
    as_json: JsonOpt = False,
) -> None:
    """Score the reports of labelled clips: found, missed, false, error of seconds, and where each miss was lost.

    Clips in the folder that have no labels are run too, and their brands listed.
    """
    from brand_detect.catalog import load_catalog
    from brand_detect.evaluation.benchmarks.pipeline import result_of
    from brand_detect.evaluation.scoring import score as scoring

    folder = folder.resolve()
    labels = scoring.load_labels(folder / "labels.json" if folder.is_dir() else folder)
    videos = sorted(p for p in folder.iterdir() if p.suffix in VIDEO_SUFFIXES) if folder.is_dir() else [folder]
    scores, left_out, unlabelled = [], [], []
    catalog = load_catalog(Settings.load().catalog).catalog
    with local_runner(*map(str, videos)) as runner:
        for video in videos:
            done = runner.submit(str(video), profile=profile)
            clip = labels.get(video.name)
            if clip is None:
                unlabelled.append((video.name, done))
                continue
            payloads = result_of(done).payloads
            scores.append(scoring.score(payloads, clip, catalog))
            if leave_one_out:
                names = [label.brand for label in clip.labels if label.clear]
                left_out += scoring.leave_one_out(catalog, names, scoring.matching(payloads))
    if as_json:
        out.print_json(data=scoring.scores_json(scores) | {"left_out": [vars(result) for result in left_out]})
        return
    for clip_score in scores:
        out.print(scoring.score_table(clip_score))
    out.print(scoring.totals_table(scores))
    if left_out:
        out.print(scoring.left_out_table(left_out))
    for name, done in unlabelled:
        report = done.load(Stage.compile_report)
        assert isinstance(report, Report)
        out.print(brand_table(report.brands.to_pylist(), f"{name}: no labels"))
        out.print(f"{done.store.uri(done.ref('compile_report'))}/report.html", soft_wrap=True, highlight=False)


@app.command()
def evaluate_text(
    folder: Annotated[Path, typer.Argument(help="annotations.json and images/")], as_json: JsonOpt = False
) -> None:
    """Share of the words in photographs that each text engine reads."""
    from brand_detect.engines.image import OpenCvCodec
    from brand_detect.evaluation.scoring import scenetext

    with Bars() as bars:
        scores = scenetext.evaluate_text(
            folder, scenetext.text_engines(), OpenCvCodec(), bars.stage("reading", logging.getLogger(__name__))
        )
    if as_json:
        out.print_json(data=[{**vars(s), "recall": s.recall} for s in scores])
    else:
        out.print(scenetext.text_table(scores))


@app.command()
def evaluate_regions(
    folder: Annotated[
        Path | None, typer.Argument(help="annotations.json and images/; default: a generated clip")
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Share of the logos in pictures that each way of proposing regions holds, and its time.

    Example: brand-detect evaluate-regions photographs
    """
    from brand_detect.engines.image import OpenCvCodec
    from brand_detect.engines.rapid import RapidTextDetector
    from brand_detect.evaluation.scoring import regions
    from brand_detect.evaluation.scoring.proposals import baselines

    with Bars() as bars:
        report = bars.stage("proposing", logging.getLogger(__name__))
        pictures = (
            regions.annotated(folder, OpenCvCodec()) if folder else regions.generated(home() / state_dir() / "bench")
        )
        scores = regions.evaluate_regions(pictures, baselines(RapidTextDetector()), report)
    if as_json:
        out.print_json(data=[score.to_json() for score in scores])
    else:
        out.print(regions.region_table(scores))


@app.command()
def evaluate_logos(
    folder: Annotated[Path, typer.Argument(help="annotations.json and images/")],
    embedder: Annotated[
        list[str],
        typer.Option(
            help="logo_embedder, the weights of another training of it, or a model of transformers by id or folder"
        ),
    ] = ["logo_embedder"],  # noqa: B006
    icons: Annotated[
        list[Path], typer.Option(help="more icons for the gallery: a folder of SVGs or of Iconify packs")
    ] = [],  # noqa: B006
    baselines: Annotated[bool, typer.Option(help="also the classical ways")] = True,
    false_accept_rate: Annotated[
        float, typer.Option(min=0, max=1, help="share of distractors that the matcher may claim")
    ] = MatchBrandsParams.model_fields["max_false_accept_rate"].default,
    as_json: JsonOpt = False,
) -> None:
    """How well marks in photographs are recognised, and how well what is no mark of the gallery is rejected.

    Example: brand-detect evaluate-logos photographs --embedder logo_embedder --embedder google/siglip-base-patch16-224
    """
    from brand_detect.engines.image import OpenCvCodec
    from brand_detect.engines.logo_embedder import distractors
    from brand_detect.evaluation.scoring import icons as artwork
    from brand_detect.evaluation.scoring import logos
    from brand_detect.evaluation.scoring import recognizers as known

    recognizers = [*map(known.embedder_of, embedder), *(known.baselines() if baselines else ())]
    packs = [artwork.simple_icons(), *map(artwork.icons_of, icons)]
    with Bars() as bars:
        report = bars.stage("recognising", logging.getLogger(__name__))
        sections = logos.evaluate_logos(
            folder, recognizers, packs, OpenCvCodec(), report, distractors(), false_accept_rate
        )
    if as_json:
        out.print_json(data=[section.to_json() for section in sections])
        return
    for section in sections:
        out.print(section.table())


@app.command()
def bench(
    labelled: Annotated[Path | None, typer.Option(help="a folder of labelled clips, measured too")] = None,
    long: Annotated[bool, typer.Option("--long", help="also a 20-minute video: memory and stages over length")] = False,
    as_json: JsonOpt = False,
) -> None:
    """Speed, the price of looking at less, sampling against FFmpeg, bytes of state, and memory."""
    from brand_detect.catalog import load_catalog
    from brand_detect.evaluation.benchmarks.pipeline import benchmark
    from brand_detect.evaluation.scoring.score import load_labels

    folder = labelled.resolve() if labelled else None
    labels = load_labels(folder / "labels.json") if folder else {}
    clips = [(folder / name, clip) for name, clip in labels.items()] if folder else []
    catalog = load_catalog(Settings.load().catalog).catalog
    for section in benchmark(home() / state_dir() / "bench", run_in_process, clips, catalog=catalog, long=long):
        _print(section, as_json)


@app.command()
def bench_exposure(
    minutes: Annotated[float, typer.Option(min=0.25, help="length of the generated clip")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="another number draws other boards and other players")] = 0,
    as_json: JsonOpt = False,
) -> None:
    """Seconds, share of voice and area per brand against the truth of a generated clip."""
    from brand_detect.evaluation.benchmarks.exposure import bench_exposure as measure

    _print(measure(home() / state_dir() / "bench", run_in_process, 60 * minutes, seed), as_json)


@app.command()
def bench_logos(
    icons: Annotated[
        int, typer.Option(min=0, help="marks of other brands in the catalogue, from the icons extra")
    ] = 3000,
    as_json: JsonOpt = False,
) -> None:
    """Logos without words from end to end: a generated clip whose marks are known, in a catalogue full of others."""
    from brand_detect.evaluation.benchmarks.logos import bench_logos as measure
    from brand_detect.evaluation.scoring.icons import simple_icons

    others = {icon.name: icon.svg.encode() for icon in (simple_icons()[:icons] if icons else ())}
    for section in measure(home() / state_dir() / "bench", run_with_catalog, others):
        _print(section, as_json)


@app.command()
def bench_escalation(
    videos: Annotated[Path | None, typer.Option(help="a folder of clips, labelled or not, measured too")] = None,
    minutes: Annotated[float, typer.Option(min=0, help="length of the generated clip; 0 = none")] = 20,
    as_json: JsonOpt = False,
) -> None:
    """Questions an escalation asks per candidate, and what replays ask again, with a script for a model."""
    from brand_detect.catalog import load_catalog
    from brand_detect.evaluation.benchmarks import escalation
    from brand_detect.evaluation.scoring.score import load_labels
    from brand_detect.evaluation.synthetic.footage import Scenario, sample_once

    folder = home() / state_dir() / "bench"
    clips: list[tuple[Path, list[str], list[str]]] = []  # each with the names in its catalogue and those it shows
    if minutes:
        video = folder / f"escalation-{minutes:g}.mp4"
        truth = sample_once(video, Scenario(seconds=60 * minutes))
        clips.append((video, [b for b in truth.brands if b not in truth.unlisted], [*truth.brands]))
    if videos:
        starter = [brand.name for brand in load_catalog(Settings.load().catalog).catalog.brands]
        there = videos.resolve() / "labels.json"
        labelled = load_labels(there) if there.exists() else {}
        for video in sorted(p for p in videos.resolve().iterdir() if p.suffix.lower() in VIDEO_SUFFIXES):
            shown = {label.brand for label in labelled[video.name].labels} if video.name in labelled else ()
            clips.append((video, starter, sorted(shown)))
    rows = []
    for video, listed, shown in clips:
        script, catalog = escalation.Script(shown), folder / f"escalation-{video.stem}.yaml"
        with local_runner(str(video), catalog=str(catalog), answerer=script) as runner:
            rows.append(escalation.measure(video, runner, script, catalog, listed))
    for section in escalation.sections(rows):
        _print(section, as_json)


@app.command()
def bench_replay(
    job_id: JobArg,
    start_stage: Annotated[str, typer.Option("--from", help="the first stage that runs again")] = "match_brands",
    through_dagster: Annotated[bool, typer.Option("--served", help="also through the Dagster that runs now")] = False,
    as_json: JsonOpt = False,
) -> None:
    """Where the seconds of a replay go, and which decoders and readers it loads. The job must be in DAGSTER_HOME.

    Example: brand-detect bench-replay match-3f9a1c07 --served
    """
    from brand_detect.client import Client
    from brand_detect.evaluation.benchmarks import replay

    home()
    done = replay.in_fresh_process(replay_in_process, job_id, start_stage)
    _print(replay.alone(done, job_id, start_stage), as_json)
    if through_dagster:
        with Client() as client:
            _print(replay.served(client, job_id, start_stage), as_json)


def replay_in_process(job_id: str, start_stage: str) -> "JobRun":
    """One replay on the instance of ``DAGSTER_HOME``: what the benchmark measures."""
    with local_runner() as runner:
        return runner.replay(job_id, start_stage)


@app.command()
def bench_vlm(
    model: Annotated[str, typer.Option(help="a folder or the id of a fetched model; default: random weights")] = "",
    size: Annotated[str, typer.Option(help="of the random model: 256m, 500m or 2b, as SmolVLM's")] = "256m",
    questions: Annotated[int, typer.Option(min=1, help="how many are asked each time")] = 8,
    max_output_tokens: Annotated[int, typer.Option(min=1, help="of each reply; random weights write them all")] = 16,
    at_once: Annotated[list[int], typer.Option(min=1, help="questions in a batch")] = [1, 2, 4, 8],  # noqa: B006
    as_json: JsonOpt = False,
) -> None:
    """Questions that a vision-language model answers in a minute, one by one and in batches, and its loading.

    Example: brand-detect bench-vlm --model HuggingFaceTB/SmolVLM-256M-Instruct --max-output-tokens 128
    """
    from brand_detect.evaluation.benchmarks import vlm

    if not model and size not in vlm.SIZES:
        raise BadInput(f"There is no size {size!r}.", f"sizes: {', '.join(vlm.SIZES)}")
    path = model or str(vlm.random_model(home() / state_dir() / "bench" / f"vlm_{size}", vlm.SIZES[size]))
    measured = vlm.bench_vlm(path, questions=questions, max_output_tokens=max_output_tokens, batches=at_once)
    _print(measured, as_json)


@app.command()
def bench_scale(
    jobs: Annotated[int, typer.Option(min=1, help="how many jobs are there")] = 10_000, as_json: JsonOpt = False
) -> None:
    """Listing one job's checkpoints, and a night's retries, with many jobs in the instance."""
    from brand_detect.evaluation.benchmarks.scale import scale

    _print(scale(home() / state_dir() / "bench", jobs), as_json)


def _print(section: "Section", as_json: bool) -> None:
    if as_json:
        out.print_json(data=section.to_json())
    else:
        out.print(section.table())


def run_in_process(video: Path, overrides: Overrides) -> "RunResult":
    """One video from start to end on the instance of ``DAGSTER_HOME``: what the benchmark measures."""
    from brand_detect.evaluation.benchmarks.pipeline import result_of

    with local_runner(str(video)) as runner:
        return result_of(runner.submit(str(video), overrides=overrides))


def run_with_catalog(video: Path, catalog: Path) -> "RunResult":
    """As ``run_in_process``, with the catalogue in a folder."""
    from brand_detect.evaluation.benchmarks.pipeline import result_of

    with local_runner(str(video), catalog=str(catalog)) as runner:
        return result_of(runner.submit(str(video)))


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
    err.print(f"stages: make dev, then http://127.0.0.1:3000/assets, partition {done.job_id}", markup=False)


@contextmanager
def local_runner(*videos: str, answerer: Answerer | None = None, **settings: Any) -> Iterator["Runner"]:
    """A ``Runner`` on the instance of ``DAGSTER_HOME``, with progress bars on stderr.

    ``videos``, named by the user who runs this, are readable for this process even outside the allowed media roots.
    ``answerer`` takes the place of the model of every escalation that is on.
    """
    with local_instance(*videos, **settings) as (instance, services):
        if answerer is not None:
            engines = replace(
                services.engines, answerer=lambda _, params: answerer if params.provider.value != "off" else None
            )
            services = replace(services, engines=engines)
        from brand_detect.definitions import build_definitions
        from brand_detect.orchestration.run import Runner

        yield Runner(build_definitions(services=services), services, instance)


@contextmanager
def local_instance(*videos: str, **settings: Any) -> Iterator[tuple["dg.DagsterInstance", "Services"]]:
    """The instance of ``DAGSTER_HOME`` and the services of the settings, with progress bars on stderr.

    ``settings`` replaces some of those of the environment.
    """
    at_home, here = home(), Path.cwd()
    read = Settings.load()
    folders = {str(Path(video).parent) for video in videos if "://" not in video}
    used = read.model_copy(update={"media_roots": (*read.media_roots, *sorted(folders)), **settings})
    import dagster as dg

    from brand_detect.orchestration.database import database_explained
    from brand_detect.orchestration.resources import Services

    os.chdir(at_home)  # dagster.yaml's folders are relative to it
    try:
        with database_explained(), Bars() as bars, _unsaid(), dg.DagsterInstance.get() as instance:
            yield instance, Services.of(used, progress=bars.stage)
    finally:
        os.chdir(here)


class _Unsaid:
    """A stream without what Dagster writes to it about a database that fails: an error says it in a sentence."""

    DATABASE = ("Exception while writing logger call to event log", "WARNING:root:Retrying failed database connection")

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith(self.DATABASE) else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _unsaid() -> AbstractContextManager[object]:
    return nullcontext() if os.environ.get(TRACEBACK) else redirect_stderr(cast("TextIO", _Unsaid(sys.stderr)))


class Bars:
    """One progress bar per stage, on stderr. A stage ends when the next one begins."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<15}"),
            BarColumn(),
            TextColumn("{task.fields[text]:<28}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=err,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        self._end(failed is None)
        self._progress.stop()

    def stage(self, stage: str, _log: logging.Logger) -> ProgressReport:
        """Begin the bar of ``stage``; what is returned moves it."""
        self._end(True)
        task = self._task = self._progress.add_task(stage, total=None, text="")

        def report(done: float, total: float, unit: str) -> None:
            of = f" of {total:.0f}" if total else ""
            self._progress.update(task, completed=done, total=total or None, text=f"{done:.0f}{of} {unit}")

        return report

    def _end(self, done: bool) -> None:
        if self._task is not None and done:
            self._progress.update(self._task, total=1, completed=1)
