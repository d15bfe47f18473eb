"""The report as one self-contained HTML page: no script, no outside host, pictures inside."""

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from brand_detect.domain import timeline
from brand_detect.domain.model import ZONES
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.protocols import FrameReader, Image, ImageCodec
from brand_detect.report.exports import BrandTotal, Exposure, OpenMark, ReportDocument
from brand_detect.report.words import clock, duration, percent, short

# Bounds that keep the page of a 90-minute video with 200 brands at a few megabytes and its making at a few seconds,
# most of which go into decoding frames. The page says what was left out.
PICTURES_PER_BRAND = 4
PICTURES = 160
EXPOSURES_PER_BRAND = 30
OPEN_MARKS = 36
TIMELINE_BRANDS = 40

JPEG_QUALITY = 70
CONTEXT = 0.25
"""Least width of an evidence picture, as a share of the frame: enough to see where the box lies."""
UNITS = 1000
"""Width of the timeline's drawing; exposures closer than one unit are drawn as one."""

PER_STAGE = ("seconds", "engines", "stats", "lineage", "params")
"""Facts of the run that are told per stage: ``{stage: value}``."""
REASONS = {
    "no_rule": "no rule matched",
    "unreadable": "not legible",
    "deferred": "put off",
    "failed": "the question failed",
    "unanswered": "nobody knew",
}

Place = tuple[int, float, float, float, float]
"""A frame and a box on it: x, y, width, height in px."""


@dataclass(frozen=True)
class Evidence:
    """A picture as a data URI and where its box lies on it, in percent."""

    uri: str
    width_px: int
    height_px: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Bar:
    """One stroke of the timeline, in units."""

    x: float
    width: float
    start_s: float
    end_s: float


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
    pictures = _pictures(places, frames, codec, thumbnail_px)
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
            _view(brand, own[brand.brand_id], [(e, pictures[_place(e)]) for e in shown], start, end)
            for brand, shown in zip(report.brands, chosen, strict=True)
        ],
        open_marks=[(mark, pictures.get(_place(mark))) for mark in open_marks],
        n_pictures=sum(len(group) for group in chosen),
        timeline_brands=TIMELINE_BRANDS,
        units=UNITS,
        zone_places={zone: (10 * (i % 3), 6 * (i // 3)) for i, zone in enumerate(ZONES)},
        reasons=REASONS,
        ticks=_ticks(start, end),
        shots=_bars(report.summary["shots_s"], start, end, apart=-1.0),
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
        bars=_bars([(e.start_s, e.end_s) for e in exposures], start, end, apart=1.0),
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


def _pictures(places: Iterable[Place], frames: FrameReader, codec: ImageCodec, width_px: int) -> dict[Place, Evidence]:
    """The evidence at each of ``places``; every frame is read once."""
    by_frame: defaultdict[int, set[Place]] = defaultdict(set)
    for place in places:
        by_frame[place[0]].add(place)
    pictures = {}
    for frame, here in sorted(by_frame.items()):
        image = frames.read(frame)
        for place in here:
            pictures[place] = _evidence(image, place[1:], codec, width_px)
    return pictures


def _evidence(image: Image, box: tuple[float, ...], codec: ImageCodec, width_px: int) -> Evidence:
    """A box with some of the picture around it, in 16:9 where the frame allows."""
    height, width = image.shape[:2]
    x, y, w, h = box
    view_w = min(width, max(1.5 * w, 1.8 * h * 16 / 9, CONTEXT * width))
    view_h = min(height, max(view_w * 9 / 16, 1.2 * h))
    left = min(max(x + w / 2 - view_w / 2, 0), width - view_w)
    top = min(max(y + h / 2 - view_h / 2, 0), height - view_h)
    cut = image[int(top) : max(round(top + view_h), int(top) + 1), int(left) : max(round(left + view_w), int(left) + 1)]
    data = codec.encode(cut, JPEG_QUALITY, width_px)
    return Evidence(
        uri=f"data:image/jpeg;base64,{base64.b64encode(data).decode()}",
        width_px=cut.shape[1],
        height_px=cut.shape[0],
        left=100 * (x - int(left)) / cut.shape[1],
        top=100 * (y - int(top)) / cut.shape[0],
        width=100 * w / cut.shape[1],
        height=100 * h / cut.shape[0],
    )


def _bars(spans: Iterable[Sequence[float]], start: float, end: float, apart: float) -> list[Bar]:
    """Strokes for ``spans`` in order of time, those less than ``apart`` units from each other as one."""
    scale = UNITS / (end - start)
    joined: list[list[float]] = []
    for begin, finish in spans:
        if joined and (begin - joined[-1][1]) * scale < apart:
            joined[-1][1] = finish
        else:
            joined.append([begin, finish])
    return [Bar(round((b - start) * scale, 1), round(max((f - b) * scale, 1.0), 1), b, f) for b, f in joined]


def _ticks(start: float, end: float) -> list[tuple[float, str]]:
    """Where the time axis is labelled, in percent, and with what: at most six round times."""
    steps = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000)
    step = next((s for s in steps if (end - start) / s <= 6), 86400)
    first = int(start // step) + (start % step > 0)
    times = [k * step for k in range(first, int(end // step) + 1)]
    return [(100 * (t - start) / (end - start), clock(t).removesuffix(".0")) for t in times]


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


@cache
def template(name: str) -> Template:
    """A page of this package."""
    environment = Environment(
        loader=PackageLoader("brand_detect", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clock": clock, "duration": duration, "percent": percent, "short": short, "fact": _fact}
    return environment.get_template(name)
