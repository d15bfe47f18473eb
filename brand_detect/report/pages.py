"""Shared by the pages: templates, evidence cut from frames, and bars on a time axis."""

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from brand_detect.domain.media import file_name, own_job_id
from brand_detect.domain.protocols import FrameReader, Image, ImageCodec
from brand_detect.domain.words import counted
from brand_detect.report.words import clock, duration, percent, short, signed

JPEG_QUALITY = 70
CONTEXT = 0.25
"""Least width of an evidence picture as a share of the frame: enough to recognise the box's position."""
UNITS = 1000
"""Width of a timeline in units; exposures closer than one unit are merged."""

Place = tuple[int, float, float, float, float]
"""A frame and a box on it: x, y, width, height in px."""


@dataclass(frozen=True)
class EvidencePicture:
    """A picture as a data URI, with the position of its box in percent."""

    uri: str
    width_px: int
    height_px: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Bar:
    """One bar of the timeline, in units."""

    x: float
    width: float
    start_s: float
    end_s: float


def pictures(
    places: Iterable[Place], frames: FrameReader, codec: ImageCodec, width_px: int
) -> dict[Place, EvidencePicture]:
    """The evidence at each of ``places``; each frame is read once."""
    by_frame: defaultdict[int, set[Place]] = defaultdict(set)
    for place in places:
        by_frame[place[0]].add(place)
    cut = {}
    read = sorted(by_frame)
    for frame, image in zip(read, frames.in_order(read), strict=True):
        for place in by_frame[frame]:
            cut[place] = evidence(image, place[1:], codec, width_px)
    return cut


def evidence(
    image: Image, box: tuple[float, ...], codec: ImageCodec, width_px: int, context: float = CONTEXT
) -> EvidencePicture:
    """A box with its surroundings, at least ``context`` of the frame's width, in 16:9 if the frame allows."""
    height, width = image.shape[:2]
    x, y, w, h = box
    view_w = min(width, max(1.5 * w, 1.8 * h * 16 / 9, context * width))
    view_h = min(height, max(view_w * 9 / 16, 1.2 * h))
    left = min(max(x + w / 2 - view_w / 2, 0), width - view_w)
    top = min(max(y + h / 2 - view_h / 2, 0), height - view_h)
    cut = image[int(top) : max(round(top + view_h), int(top) + 1), int(left) : max(round(left + view_w), int(left) + 1)]
    data = codec.encode(cut, JPEG_QUALITY, width_px)
    return EvidencePicture(
        uri=f"data:image/jpeg;base64,{base64.b64encode(data).decode()}",
        width_px=cut.shape[1],
        height_px=cut.shape[0],
        left=100 * (x - int(left)) / cut.shape[1],
        top=100 * (y - int(top)) / cut.shape[0],
        width=100 * w / cut.shape[1],
        height=100 * h / cut.shape[0],
    )


def bars(spans: Iterable[Sequence[float]], start: float, end: float, apart: float) -> list[Bar]:
    """Bars for ``spans`` in order of time; those less than ``apart`` units apart are merged."""
    scale = UNITS / (end - start)
    joined: list[list[float]] = []
    for begin, finish in spans:
        if joined and (begin - joined[-1][1]) * scale < apart:
            joined[-1][1] = finish
        else:
            joined.append([begin, finish])
    return [Bar(round((b - start) * scale, 1), round(max((f - b) * scale, 1.0), 1), b, f) for b, f in joined]


def ticks(start: float, end: float) -> list[tuple[float, str]]:
    """Labels of the time axis with positions in percent: at most six round times."""
    steps = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000)
    step = next((s for s in steps if (end - start) / s <= 6), 86400)
    first = int(start // step) + (start % step > 0)
    times = [k * step for k in range(first, int(end // step) + 1)]
    return [(100 * (t - start) / (end - start), clock(t).removesuffix(".0")) for t in times]


def shown_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's params for people who read a report: of the video's address its file's name, not where it lies."""
    return {name: file_name(value) if name == "video_uri" and value else value for name, value in params.items()}


def fact(value: Any) -> str:
    """A param or figure as text."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


@cache
def template(name: str) -> Template:
    """A template of this package."""
    environment = Environment(
        loader=PackageLoader("brand_detect", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (clock, counted, duration, fact, file_name, own_job_id, percent, short, signed)
    environment.filters |= {f.__name__: f for f in filters}
    return environment.get_template(name)
