"""``brand-detect bench``: speed, memory, scale, and accuracy on generated footage with ground truth."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brand_detect.cli.common import Commands, JobArg, JsonOpt, err, home, out
from brand_detect.cli.local import local_runner
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import Overrides
from brand_detect.domain.media import VIDEO_SUFFIXES
from brand_detect.domain.settings import Settings, state_dir

if TYPE_CHECKING:
    from brand_detect.evaluation.benchmarks.common import RunResult, Section
    from brand_detect.orchestration.run import JobRun

commands = Commands("Speed, memory and scale; accuracy on generated footage.")


@commands.command()
def pipeline(
    labelled: Annotated[
        list[Path],
        typer.Option(
            metavar="FOLDER",
            help="also its clips of 7 s and more, with their labels.json; repeatable",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    before: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKOUT", help="an earlier version's checkout, for a column of its figures", show_default=False
        ),
    ] = None,
    long: Annotated[
        list[int],
        typer.Option(
            min=4,
            metavar="MINUTES",
            help="also a video this long: time and memory by length; repeatable",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    resume: Annotated[
        bool, typer.Option("--resume", help="keep what the last call measured before it broke off")
    ] = False,
    as_json: JsonOpt = False,
) -> None:
    """Speed, memory and start-up of the whole pipeline, and what it finds.

    Every clip is read by default, with the profile fast, and with every frame
    in full, in turn; the last table holds the figures against their targets.
    With --json, each line is one table.

    Example: brand-detect bench pipeline --labelled clips --long 20
    """
    from brand_detect.catalog import load_catalog
    from brand_detect.evaluation.benchmarks.pipeline import benchmark, clips_of

    given = [clip for folder in labelled for clip in clips_of(folder.resolve())]
    for section in benchmark(
        home() / state_dir() / "bench",
        given,
        before=before.resolve() if before else None,
        lengths=sorted({minutes // 2 * 2 for minutes in long}),
        catalog=load_catalog(Settings.load().brand_list).catalog,
        resume=resume,
        tell=lambda text: err.print(text, markup=False, highlight=False, soft_wrap=True),
    ):
        if as_json or section.in_console:
            _print(section, as_json)


@commands.command()
def exposure(
    minutes: Annotated[float, typer.Option(min=0.25, metavar="MINUTES", help="length of the generated clip")] = 5,
    seed: Annotated[int, typer.Option(min=0, metavar="NUMBER", help="seed of the boards and players")] = 0,
    as_json: JsonOpt = False,
) -> None:
    """Error of seconds, share of voice and area, by brand.

    Measured against the ground truth of a generated clip.

    Example: brand-detect bench exposure --minutes 5
    """
    from brand_detect.evaluation.benchmarks.exposure import bench_exposure

    _print(bench_exposure(home() / state_dir() / "bench", run_in_process, 60 * minutes, seed), as_json)


@commands.command()
def placements(
    seed: Annotated[
        list[int],
        typer.Option(min=0, metavar="NUMBER", help="seed of a generated clip; repeatable", show_default=False),
    ] = [0],  # noqa: B006
    seconds: Annotated[float, typer.Option(min=20, metavar="SECONDS", help="length of each clip")] = 28,
    as_json: JsonOpt = False,
) -> None:
    """Placements against the truth: which are taken for which.

    On generated clips with boards, LED boards, names on grass and shirts,
    overlays and full screens.

    Example: brand-detect bench placements --seed 11 --seed 12 --seed 13
    """
    from brand_detect.evaluation.benchmarks.placements import bench_placements

    for section in bench_placements(home() / state_dir() / "bench", run_in_process, seconds, seed):
        _print(section, as_json)


@commands.command()
def carrying(
    seconds: Annotated[float, typer.Option(min=8, metavar="SECONDS", help="length of the generated clip")] = 40,
    seed: Annotated[int, typer.Option(min=0, metavar="NUMBER", help="seed of the boards and players")] = 0,
    as_json: JsonOpt = False,
) -> None:
    """Regions carried between searched frames: right, wrong, seconds smeared.

    By kind of shot, with a search on every second and every fourth frame,
    against a search of every frame and the truth of a generated clip.

    Example: brand-detect bench carrying --seconds 40
    """
    from brand_detect.engines.rapid import RapidTextDetector
    from brand_detect.evaluation.benchmarks.carrying import bench_carrying
    from brand_detect.evaluation.synthetic.footage import Scenario

    folder, scenario = home() / state_dir() / "bench", Scenario(seconds=seconds, seed=seed)
    _print(bench_carrying(folder, scenario, RapidTextDetector(), (2, 4)), as_json)


@commands.command()
def logos(
    icons: Annotated[
        int,
        typer.Option(min=0, metavar="COUNT", help="logos of other brands in the catalogue, from the icons extra"),
    ] = 3000,
    as_json: JsonOpt = False,
) -> None:
    """Textless logos, end to end, among thousands of brands.

    Measured on a generated clip whose logos are known.

    Example: brand-detect bench logos --icons 3000
    """
    from brand_detect.evaluation.benchmarks.logos import bench_logos
    from brand_detect.evaluation.scoring.icons import simple_icons

    others = {icon.name: icon.svg.encode() for icon in (simple_icons()[:icons] if icons else ())}
    for section in bench_logos(home() / state_dir() / "bench", run_with_catalog, others):
        _print(section, as_json)


@commands.command()
def escalation(
    videos: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="also measure these clips, labelled or not", show_default=False),
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0, metavar="MINUTES", help="length of the generated clip; 0: none")
    ] = 20,
    as_json: JsonOpt = False,
) -> None:
    """Questions that an escalation asks per candidate and in replays.

    A script answers in place of a model.

    Example: brand-detect bench escalation --minutes 20
    """
    from brand_detect.catalog import load_catalog
    from brand_detect.evaluation.benchmarks.escalation import Script, measure, sections
    from brand_detect.evaluation.scoring.labels import load_labels
    from brand_detect.evaluation.synthetic.footage import Scenario, sample_once

    folder = home() / state_dir() / "bench"
    clips: list[tuple[Path, list[str], list[str]]] = []  # each with the names in its catalogue and those shown
    if minutes:
        video = folder / f"escalation-{minutes:g}.mp4"
        truth = sample_once(video, Scenario(seconds=60 * minutes))
        clips.append((video, [b for b in truth.brands if b not in truth.unlisted], [*truth.brands]))
    if videos:
        starter = [brand.name for brand in load_catalog(Settings.load().brand_list).catalog.brands]
        there = videos.resolve() / "labels.json"
        labelled = load_labels(there) if there.exists() else {}
        for video in sorted(p for p in videos.resolve().iterdir() if p.suffix.lower() in VIDEO_SUFFIXES):
            shown = {label.brand for label in labelled[video.name].labels} if video.name in labelled else ()
            clips.append((video, starter, sorted(shown)))
    rows = []
    for video, listed, shown in clips:
        script, catalog = Script(shown), folder / f"escalation-{video.stem}.yaml"
        with local_runner(str(video), catalog=str(catalog), answerer=script) as runner:
            rows.append(measure(video, runner, script, catalog, listed))
    for section in sections(rows):
        _print(section, as_json)


@commands.command()
def precision(
    labelled: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="also compare on one frame a second of these clips", show_default=False),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="also compare on the photographs in FOLDER/images", show_default=False),
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Text detection and reading in each precision, beside f32.

    Boxes kept, words equal and CPU seconds, on generated footage.

    Example: brand-detect bench precision --labelled clips
    """
    from brand_detect.engines.image import OpenCvCodec
    from brand_detect.evaluation.benchmarks import precision as bench

    codec = OpenCvCodec()
    materials = {"generated": bench.drawn_frames()}
    if labelled:
        videos = sorted(p for p in labelled.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
        materials["clips"] = bench.frames_of(videos)
    if pictures:
        materials["photographs"] = bench.pictures_in(pictures)
    engines = bench.available_detectors(), bench.available_readers()
    for section in bench.sections({name: bench.compare(some, *engines, codec) for name, some in materials.items()}):
        _print(section, as_json)


@commands.command()
def replay(
    job_id: JobArg,
    start_stage: Annotated[
        str, typer.Option("--from", metavar="STAGE", help="the first stage to run again")
    ] = "match_brands",
    through_dagster: Annotated[bool, typer.Option("--served", help="also through the running Dagster")] = False,
    as_json: JsonOpt = False,
) -> None:
    """Where the seconds of a replay go, and what it loads.

    The job's checkpoints must be in the store.

    Example: brand-detect bench replay match-3f9a1c07 --served
    """
    from brand_detect.client import Client
    from brand_detect.evaluation.benchmarks.replay import alone, in_fresh_process, served

    home()
    done = in_fresh_process(replay_in_process, job_id, start_stage)
    _print(alone(done, job_id, start_stage), as_json)
    if through_dagster:
        with Client() as client:
            _print(served(client, job_id, start_stage), as_json)


@commands.command()
def vlm(
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="a folder or the id of a fetched model; default: random weights")
    ] = "",
    size: Annotated[
        str, typer.Option(metavar="SIZE", help="of the random model: 256m, 500m or 2b, as SmolVLM's")
    ] = "256m",
    questions: Annotated[int, typer.Option(min=1, metavar="COUNT", help="questions per measurement")] = 8,
    max_output_tokens: Annotated[
        int, typer.Option(min=1, metavar="COUNT", help="most tokens per reply; random weights always write that many")
    ] = 16,
    at_once: Annotated[
        list[int], typer.Option(min=1, metavar="COUNT", help="questions asked at once, in one batch; repeatable")
    ] = [1, 2, 4, 8],  # noqa: B006
    as_json: JsonOpt = False,
) -> None:
    """Questions a minute of a vision-language model, by batch size.

    Also the time that loading it takes.

    Examples:
      brand-detect bench vlm
      brand-detect bench vlm --model HuggingFaceTB/SmolVLM-256M-Instruct
    """
    from brand_detect.evaluation.benchmarks.vlm import SIZES, bench_vlm, random_model

    if not model and size not in SIZES:
        raise BadInput(f"There is no size {size!r}.", f"sizes: {', '.join(SIZES)}")
    path = model or str(random_model(home() / state_dir() / "bench" / f"vlm_{size}", SIZES[size]))
    measured = bench_vlm(path, questions=questions, max_output_tokens=max_output_tokens, batches=at_once)
    _print(measured, as_json)


@commands.command()
def scale(
    jobs: Annotated[int, typer.Option(min=1, metavar="COUNT", help="jobs in the instance")] = 10_000,
    as_json: JsonOpt = False,
) -> None:
    """Listing checkpoints and off-peak retries among many jobs.

    Example: brand-detect bench scale --jobs 10000
    """
    from brand_detect.evaluation.benchmarks.scale import scale as measure

    _print(measure(home() / state_dir() / "bench", jobs), as_json)


def replay_in_process(job_id: str, start_stage: str) -> "JobRun":
    """One replay on the instance of ``DAGSTER_HOME``, for the benchmark to measure."""
    with local_runner() as runner:
        return runner.replay(job_id, start_stage)


def run_in_process(video: Path, overrides: Overrides) -> "RunResult":
    """One run of a video on the instance of ``DAGSTER_HOME``, for the benchmark to measure."""
    from brand_detect.evaluation.benchmarks.common import result_of

    with local_runner(str(video)) as runner:
        return result_of(runner.submit(str(video), overrides=overrides))


def run_with_catalog(video: Path, catalog: Path) -> "RunResult":
    """As ``run_in_process``, with another catalogue."""
    from brand_detect.evaluation.benchmarks.common import result_of

    with local_runner(str(video), catalog=str(catalog)) as runner:
        return result_of(runner.submit(str(video)))


def _print(section: "Section", as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(section.to_json(), ensure_ascii=False))
    else:
        out.print(section.table())
