"""``brand-detect evaluate``: quality measured against human labels."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from brand_detect.cli.common import Commands, JsonOpt, ProfileOpt, brand_table, home, out
from brand_detect.cli.local import Bars, local_runner
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.media import VIDEO_SUFFIXES
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.settings import Settings, state_dir

PHOTOGRAPHS = "photographs with their labels: annotations.json and images/"

commands = Commands("Quality measured against human labels.")


@commands.command()
def clips(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="clips with their labels.json, or one generated clip with its labels"),
    ],
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

    Reports brands found, missed and false, the error of their seconds, and
    the stage that lost each missed one. Unlabelled clips are run as well, and
    their brands listed.

    Example: brand-detect evaluate clips clips
    """
    from brand_detect.catalog import load_catalog
    from brand_detect.evaluation.benchmarks.common import result_of
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
        out.print(f"{done.store.uri(done.ref(Stage.compile_report))}/report.html", soft_wrap=True, highlight=False)


@commands.command()
def text(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help=PHOTOGRAPHS)],
    as_json: JsonOpt = False,
) -> None:
    """Compare the text engines on words in photographs.

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
def regions(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help=f"{PHOTOGRAPHS}; default: a generated clip", show_default=False),
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Compare region detectors: logos covered, and time.

    Example: brand-detect evaluate regions photographs
    """
    from brand_detect.engines.image import OpenCvCodec
    from brand_detect.engines.rapid import RapidTextDetector
    from brand_detect.evaluation.scoring import regions as scoring

    with Bars() as bars:
        report = bars.stage("proposing", logging.getLogger(__name__))
        pictures = (
            scoring.annotated(folder, OpenCvCodec()) if folder else scoring.generated(home() / state_dir() / "bench")
        )
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
    from brand_detect.engines.image import OpenCvCodec
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
        sections = scoring.evaluate_logos(
            folder, recognizers, packs, OpenCvCodec(), report, distractors(), false_accept_rate
        )
    if as_json:
        out.print_json(data=[section.to_json() for section in sections])
        return
    for section in sections:
        out.print(section.table())
