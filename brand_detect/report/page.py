"""The report as one self-contained HTML page: no script, no outside host, pictures inside."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest

from brand_detect.domain import timeline
from brand_detect.domain.model import REASONS, ZONES
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.protocols import FrameReader, ImageCodec
from brand_detect.report.exports import BrandTotal, Exposure, OpenMark, ReportDocument
from brand_detect.report.pages import UNITS, Bar, Evidence, Place, bars, pictures, template, ticks

# Bounds that keep the page of a 90-minute video with 200 brands at a few megabytes and its making at a few seconds,
# most of which go into decoding frames. The page says what was left out.
PICTURES_PER_BRAND = 4
PICTURES = 160
EXPOSURES_PER_BRAND = 30
OPEN_MARKS = 36
TIMELINE_BRANDS = 40

PER_STAGE = ("seconds", "engines", "stats", "lineage", "params")
"""Facts of the run that are told per stage: ``{stage: value}``."""


@dataclass(frozen=True)
class BrandView:
    """What the page shows of one brand."""

    total: BrandTotal
    bars: list[Bar]
    zones: list[tuple[str, float]]  # the nine fields, row by row, and their share of the brand's seconds
    exposures: list[Exposure]  # in order of time
    n_hidden: int  # shorter exposures that are not listed
    hidden_s: float
    figures: list[tuple[Exposure, Evidence]]  # the best evidence first


def render(report: ReportDocument, frames: FrameReader, codec: ImageCodec, thumbnail_px: int) -> str:
    """The page. Reads only the frames whose evidence it shows."""
    start, end = report.summary["range_s"]
    own: defaultdict[str, list[Exposure]] = defaultdict(list)
    for exposure in report.exposures:
        own[exposure.brand_id].append(exposure)
    chosen = _best([own[brand.brand_id] for brand in report.brands])
    open_marks = report.unresolved[:OPEN_MARKS]
    places = [_place(e) for group in chosen for e in group] + [_place(m) for m in open_marks if m.frame is not None]
    shown = pictures(places, frames, codec, thumbnail_px)
    run = report.summary["run"]
    per_stage = {name: run.get(name, {}) for name in PER_STAGE}
    return template("page.html").render(
        report=report,
        job=report.job,
        summary=report.summary,
        start=start,
        end=end,
        any_brand_s=timeline.union_seconds([(e.start_s, e.end_s) for e in report.exposures]),
        views=[
            _view(brand, own[brand.brand_id], [(e, shown[_place(e)]) for e in best], start, end)
            for brand, best in zip(report.brands, chosen, strict=True)
        ],
        open_marks=[(mark, shown.get(_place(mark))) for mark in open_marks],
        n_pictures=sum(len(group) for group in chosen),
        timeline_brands=TIMELINE_BRANDS,
        units=UNITS,
        zone_places={zone: (10 * (i % 3), 6 * (i // 3)) for i, zone in enumerate(ZONES)},
        reasons=REASONS,
        ticks=ticks(start, end),
        shots=bars(report.summary["shots_s"], start, end, apart=-1.0),
        stages=[
            (stage, facts) for stage in LINE if (facts := {k: v[stage] for k, v in per_stage.items() if stage in v})
        ],
        facts={name: value for name, value in run.items() if name not in (*PER_STAGE, "job_id", "profile")},
    )


def _view(
    brand: BrandTotal, exposures: list[Exposure], figures: list[tuple[Exposure, Evidence]], start: float, end: float
) -> BrandView:
    longest = sorted(exposures, key=lambda e: -e.seconds)
    hidden = longest[EXPOSURES_PER_BRAND:]
    seconds: dict[str, float] = dict.fromkeys(ZONES, 0.0)
    for exposure in exposures:
        seconds[exposure.zone] += exposure.seconds
    return BrandView(
        total=brand,
        bars=bars([(e.start_s, e.end_s) for e in exposures], start, end, apart=1.0),
        zones=[(zone, s / brand.seconds) for zone, s in seconds.items()],
        exposures=sorted(longest[:EXPOSURES_PER_BRAND], key=lambda e: e.start_s),
        n_hidden=len(hidden),
        hidden_s=sum(e.seconds for e in hidden),
        figures=figures,
    )


def _best(brands: list[list[Exposure]]) -> list[list[Exposure]]:
    """Per brand the exposure with the best evidence, then the longest: dealt in turn until the pictures are spent."""
    ranked = []
    for own in brands:
        best = max(own, key=lambda e: (round(e.confidence, 2), e.area_frac_max))
        ranked.append(sorted(own, key=lambda e: (e is not best, -e.seconds))[:PICTURES_PER_BRAND])
    in_turn = [e for turn in zip_longest(*ranked) for e in turn if e is not None]
    dealt = {e.exposure_id for e in in_turn[:PICTURES]}
    return [[e for e in own if e.exposure_id in dealt] for own in ranked]


def _place(shown: Exposure | OpenMark) -> Place:
    return (shown.frame, shown.x_px, shown.y_px, shown.w_px, shown.h_px)  # pyright: ignore[reportReturnType]
