"""``brand-detect evaluate``: quality measured against human labels."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from brand_detect.cli.common import (
    Commands,
    JsonOpt,
    ProfileOpt,
    brand_table,
    check_writable,
    err,
    home,
    out,
    plain,
    settings_at_home,
)
from brand_detect.cli.export import prepare
from brand_detect.cli.local import Bars, local_instance, local_runner
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.errors import BadInput
from brand_detect.domain.media import VIDEO_SUFFIXES
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.settings import state_dir
from brand_detect.evaluation.scoring.labels import ClipLabels, Half, labels_of_truth, load_labels

PHOTOGRAPHS = "photographs with their labels: annotations.json and images/"

commands = Commands("Quality measured against human labels.")


@commands.command()
def clips(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="clips with their labels.json, or one generated clip with its labels"),
    ],
    catalog: Annotated[
        list[str],
        typer.Option(
            metavar="PATH",
            help="a brand list or a folder of lists; repeatable: each is scored apart, over the same readings; "
            "default: BRAND_DETECT_CATALOG",
            show_default=False,
        ),
    ] = [],  # noqa: B006 typer copies it
    half: Annotated[
        Half | None,
        typer.Option(metavar="HALF", help="only the first or second half of the clips, split by their names"),
    ] = None,
    crops: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="write pictures of the brands reported without a label into DIR"),
    ] = None,
    profile: ProfileOpt = "default",
    leave_one_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-out/--no-leave-one-out", help="also match with each labelled brand removed from the catalogue"
        ),
    ] = True,
    as_json: JsonOpt = False,
) -> None:
    """Score the reports of labelled clips.

    Reports brands found, missed, false and unlisted, the error of their
    seconds, and the stage that lost each missed one. Unlabelled clips are run
    as well, and their brands listed.

    Examples:
      brand-detect evaluate clips clips --out look
      brand-detect evaluate clips clips --catalog brands --json > after.json
    """
    from brand_detect.evaluation.scoring import summary
    from brand_detect.evaluation.scoring.clips import Evaluator

    folder = folder.resolve()
    labels, videos = _labelled(folder)
    chosen = [video for video in videos if half in (None, Half.of(video.name))]
    if not chosen:
        raise BadInput(f"{folder} holds no video{f' of the {half} half' if half else ''}.", "name a folder of clips")
    catalogs = {path: str(Path(path).expanduser().absolute()) for path in catalog}  # ``local_instance`` moves
    if crops:
        crops = crops.absolute()
        prepare(crops, force=True)
    with local_instance(*map(str, chosen)) as (instance, services):
        evaluator = Evaluator(instance, services, profile, leave_one_out, crops)
        evaluations, others = evaluator.evaluate(chosen, labels, catalogs, half)
    if as_json:
        out.print_json(data=[evaluation.to_json() for evaluation in evaluations])
        return
    for table in summary.tables(evaluations):
        out.print(table)
    for clip, run in others.items():
        report = run.load(Stage.compile_report)
        assert isinstance(report, Report)
        out.print(brand_table(report.brands.to_pylist(), f"{plain(clip)}: no labels"))
        out.print(f"{run.store.uri(run.ref(Stage.compile_report))}/report.html", soft_wrap=True, highlight=False)


def _labelled(source: Path) -> tuple[dict[str, ClipLabels], list[Path]]:
    """The labels of a folder of clips, or of one generated clip, and the videos there."""
    if not source.exists():
        raise BadInput(f"There is no {source}.", "name a folder of clips with their labels.json")
    if not source.is_dir():
        return load_labels(source.with_suffix(".truth.json")), [source]
    labels = load_labels(source / "labels.json")
    videos = sorted(path for path in source.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    if gone := sorted(labels.keys() - {video.name for video in videos}):
        err.print(f"note: labelled, but not there: {plain(', '.join(gone))}", highlight=False, soft_wrap=True)
    return labels, videos


@commands.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="BEFORE.json", help="the output of evaluate clips --json")],
    after: Annotated[Path, typer.Argument(metavar="AFTER.json", help="that of a later run over the same clips")],
    as_json: JsonOpt = False,
) -> None:
    """Compare two evaluations of the same clips.

    Shows each figure with its difference, and every brand gained or lost,
    with what named it and the stage that lost it.

    Example: brand-detect evaluate compare before.json after.json
    """
    from brand_detect.evaluation.scoring import compared
    from brand_detect.evaluation.scoring.summary import load_evaluations

    pairs = compared.compare(load_evaluations(before), load_evaluations(after))
    if as_json:
        out.print_json(data=[pair.to_json() for pair in pairs])
        return
    out.print(compared.figures_table(pairs))
    for pair in pairs:
        for note in pair.notes:
            err.print(f"note: {plain(note)}", highlight=False, soft_wrap=True)
        if pair.changes:
            out.print(compared.changes_table(pair))
        else:
            out.print(f"{plain(pair.after)}: nothing gained, nothing lost", highlight=False, soft_wrap=True)


@commands.command()
def text(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help=PHOTOGRAPHS)],
    as_json: JsonOpt = False,
) -> None:
    """Compare the text engines on words in photographs.

    annotations.json lists them, with boxes in pixels; words with
    "ignore": true need not be found:

      [{"image": "1.jpg", "words":
        [{"text": "SHOPS", "x": 143, "y": 233, "w": 64, "h": 40}]}]

    Example: brand-detect evaluate text photographs
    """
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


@commands.command()
def lines(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="SOURCE",
            help="clips with their labels.json, or a CSV of lines; default: generated clips",
            show_default=False,
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="PATH", help="write the lines, to repeat this without the clips")
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Compare how lines of text are named: by string rules, and by scoring.

    Example: brand-detect evaluate lines --csv lines.csv
    """
    from brand_detect.catalog import load_catalog
    from brand_detect.evaluation.benchmarks.common import result_of
    from brand_detect.evaluation.scoring import lines as scoring
    from brand_detect.evaluation.synthetic.footage import sample_once

    if csv:
        csv = csv.absolute()  # ``local_runner`` moves
        check_writable(csv)
    catalog = load_catalog(settings_at_home().brand_list).catalog
    if source and source.suffix.lower() == ".csv":
        found = scoring.load_lines(source)
    else:
        labels: dict[Path, ClipLabels] = {}
        if source:
            labelled, videos = _labelled(source.resolve())
            labels = {video: labelled[video.name] for video in videos if video.name in labelled}
            if not labels:
                raise BadInput(f"{source} holds no labelled video.", "name a folder of clips with their labels.json")
        else:
            folder = home() / state_dir() / "bench"
            folder.mkdir(parents=True, exist_ok=True)
            for scenario in scoring.SCENARIOS:
                video = folder / f"lines-{scenario.seed}.mp4"
                labels[video] = labels_of_truth(video.name, sample_once(video, scenario))
        with local_runner(*map(str, labels)) as runner:
            found = [
                line
                for video, entry in labels.items()
                for line in scoring.lines_of(result_of(runner.submit(str(video))).payloads, entry)
            ]
    if csv:
        scoring.write_lines(found, csv)
    scores = scoring.compare_lines(found, catalog)
    if as_json:
        out.print_json(data=[vars(s) | {"precision": s.precision} for s in scores])
    else:
        out.print(scoring.lines_table(scores))


@commands.command()
def regions(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help=f"{PHOTOGRAPHS}; default: a generated clip", show_default=False),
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Compare region detectors: logos covered, and time.

    annotations.json lists the logos, with boxes in pixels:

      [{"image": "1.jpg", "boxes":
        [{"brand": "Nike", "x": 221, "y": 20, "w": 255, "h": 242}]}]

    Example: brand-detect evaluate regions photographs
    """
    from brand_detect.engines.rapid import RapidTextDetector
    from brand_detect.evaluation.scoring import regions as scoring

    with Bars() as bars:
        report = bars.stage("proposing", logging.getLogger(__name__))
        pictures = scoring.annotated(folder) if folder else scoring.generated(home() / state_dir() / "bench")
        scores = scoring.evaluate_regions(pictures, scoring.methods(RapidTextDetector()), report)
    if as_json:
        out.print_json(data=[score.to_json() for score in scores])
    else:
        out.print(scoring.region_table(scores))


@commands.command()
def logos(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help=PHOTOGRAPHS)],
    embedder: Annotated[
        list[str],
        typer.Option(
            metavar="MODEL",
            help="logo_embedder, other weights of it, or a transformers model by id or folder; repeatable",
        ),
    ] = ["logo_embedder"],  # noqa: B006
    icons: Annotated[
        list[Path],
        typer.Option(metavar="FOLDER", help="more icons for the gallery: SVGs or Iconify packs; repeatable"),
    ] = [],  # noqa: B006
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="also histograms of oriented gradients")
    ] = True,
    false_accept_rate: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="SHARE", help="false accept rate: the share of distractors that may be matched"
        ),
    ] = MatchBrandsParams.model_fields["max_false_accept_rate"].default,
    as_json: JsonOpt = False,
) -> None:
    """Compare embedders on logos in photographs.

    Measures how often each finds the right brand in the gallery, and how
    reliably it rejects a logo of no brand in it.

    Example: brand-detect evaluate logos photographs --embedder logo_embedder
    """
    from brand_detect.engines.logo_embedder import distractors
    from brand_detect.evaluation.scoring import icons as artwork
    from brand_detect.evaluation.scoring import logos as scoring
    from brand_detect.evaluation.scoring import recognizers as known

    recognizers = [*map(known.embedder_of, embedder)]
    if baselines:
        recognizers.append(known.Embedder("gradients", known.Gradients()))
    packs = [artwork.simple_icons(), *map(artwork.icons_of, icons)]
    with Bars() as bars:
        report = bars.stage("recognising", logging.getLogger(__name__))
        sections = scoring.evaluate_logos(folder, recognizers, packs, report, distractors(), false_accept_rate)
    if as_json:
        out.print_json(data=[section.to_json() for section in sections])
        return
    for section in sections:
        out.print(section.table())
