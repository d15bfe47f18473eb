"""A report's detections as boxes that move with the video."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brand_detect.domain import timeline
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.protocols import Color, Label, Shape
from brand_detect.domain.tables import Row
from brand_detect.report.colors import colors_of
from brand_detect.report.words import one_line

LETTER = 0.02
"""Text height of a label, as a share of the picture's shorter side."""
LEAST_LETTER_PX = 11
WIDEST_LABEL = 0.3
"""As a share of the picture's width."""
LETTER_WIDTH = 0.56
"""Assumed width of a letter as a share of its height."""
PAD = 0.2
"""Margin of a label's plate around its letters, as a share of their height: the canvas's."""
HIDDEN = 0.1
"""Largest share that a label may hide of a box around it: one as large as the picture has its label inside."""

Rectangle = tuple[float, float, float, float]
"""Left, top, right and bottom, in px."""


@dataclass(frozen=True)
class Marked:
    """A brand's box at an instant: left, top, right and bottom as shares of the picture."""

    brand: str
    confidence: float
    colors: tuple[Color, Color]
    box: tuple[float, float, float, float]


class Track(NamedTuple):
    """A brand's box in a part of the video: its sides as in ``Marked`` at times ``t_s``, shown during ``spans_s``."""

    brand: int
    """The brand's place in the report."""
    confidence: float
    spans_s: list[tuple[float, float]]
    t_s: list[float]
    boxes: list[list[float]]


@dataclass(frozen=True, eq=False)
class _Path:
    """A track on screen: its box at each sample, and when it is shown."""

    place: int
    brand: str
    confidence: float
    colors: tuple[Color, Color]
    times: NDArray[np.float64]
    boxes: NDArray[np.float64]  # (n, 4)
    spans: list[tuple[float, float]]


class Annotations:
    """The boxes of a report's brands at any time.

    Between two samples of a track its box moves linearly; before the first and after the last it moves like the other
    tracks of the shot, unless it is an overlay. A box is shown from the start of its first cell to the end of its
    last, including gaps of up to ``bridge_s``, and only during an exposure of its brand; if that begins or ends beyond
    the cell, before the sample beside it, so does the box. No box crosses a cut, because a track lies within one shot
    and its cells end at cuts, where exposures end as well.
    """

    def __init__(self, report: Report, frames: pa.Table, cells: pa.Table, bridge_s: float) -> None:
        self._by_second: defaultdict[int, list[_Path]] = defaultdict(list)
        for path in _paths(report, frames, cells, bridge_s):
            for second in {n for begin, end in path.spans for n in range(int(begin), int(end) + 1)}:
                self._by_second[second].append(path)

    def at(self, t_s: float) -> list[Marked]:
        """The boxes at a time in seconds; brands with the most screen time come last, on top."""
        t_s += timeline.TOUCHING_S
        return [
            Marked(path.brand, path.confidence, path.colors, _moved(path, t_s))
            for path in self._by_second.get(int(t_s), ())
            if any(begin <= t_s < end for begin, end in path.spans)
        ]

    def between(self, start_s: float, end_s: float) -> list[Track]:
        """The tracks that are shown in a part of the video, each with its samples from before to after the part."""
        paths = (path for second in range(int(start_s), int(end_s) + 1) for path in self._by_second.get(second, ()))
        return [
            track
            for path in sorted(dict.fromkeys(paths), key=lambda path: -path.place)
            if (track := _part(path, start_s, end_s)).spans_s
        ]

    def shapes(self, t_s: float, width_px: int, height_px: int) -> list[Shape | Label]:
        """The boxes at ``t_s`` with name and confidence, for a picture of this size.

        A label that finds no place beside the other labels and boxes is left out.
        """
        marked = self.at(t_s)
        frames = [_frame(box, width_px, height_px) for box in marked]
        boxes: list[Rectangle] = [(*frame.corners[0], *frame.corners[2]) for frame in frames]
        plates, labels = list[Rectangle](), list[Label]()
        for n in reversed(range(len(marked))):  # those longest on screen choose first
            places = _labels(marked[n], frames[n], width_px, height_px)
            choices = [label for label in places if _is_free(_plate(label), boxes[n], plates, boxes)]
            if choices:
                label = min(choices, key=lambda choice: sum(_shared(_plate(choice), other) for other in boxes))
                labels.append(label)
                plates.append(_plate(label))
        return [*frames, *labels]


def _paths(report: Report, frames: pa.Table, cells: pa.Table, bridge_s: float) -> Iterator[_Path]:
    brand_ids = report.brands["brand_id"].to_pylist()
    place = {brand_id: n for n, brand_id in enumerate(brand_ids)}
    colors = colors_of(brand_ids)
    exposures: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in report.exposures.select(["brand_id", "start_s", "end_s"]).to_pylist():
        exposures[row["brand_id"]].append((row["start_s"], row["end_s"]))
    tracks: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in report.detections.to_pylist():
        tracks[row["brand_id"], row["track_id"], row["verdict_id"]].append(row)
    samples = dict(zip(tracks, _samples(list(tracks.values()), frames, cells), strict=True))
    moving = [samples[track] for track, rows in tracks.items() if not rows[0]["is_overlay"]]
    drifts = _Drifts(moving, cells)
    reach_s = float(np.median(np.diff(cells["t_s"].to_numpy()))) / 2 if cells.num_rows > 1 else 0.0
    for track in sorted(tracks, key=lambda track: -place[track[0]]):
        rows, keys = tracks[track], samples[track]
        times, boxes = keys[:, 0], keys[:, 3:]
        if not rows[0]["is_overlay"]:
            times, boxes = drifts.beyond(times, boxes)
        yield _Path(
            place[track[0]],
            one_line(rows[0]["brand"]),
            max(row["confidence"] for row in rows),
            colors[place[track[0]]],
            times,
            boxes,
            [
                (first if begin - reach_s < first else begin, last if last < end + reach_s else end)
                for begin, end in timeline.union(keys[:, 1:3], bridge_s).tolist()
                for first, last in _meeting(exposures[track[0]], begin, end)
            ],
        )


def _meeting(spans: list[tuple[float, float]], begin: float, end: float) -> list[tuple[float, float]]:
    """Those of ``spans``, disjoint and in order of time, that share some time with ``begin`` to ``end``."""
    return spans[bisect_right(spans, begin, key=itemgetter(1)) : bisect_left(spans, end, key=itemgetter(0))]


def _samples(tracks: Sequence[Sequence[Row]], frames: pa.Table, cells: pa.Table) -> Iterator[NDArray[np.float64]]:
    """The samples of each track in order: time, start and end of the cell, and the box as in ``Marked``."""
    sizes = zip(*(frames[c].to_pylist() for c in ("frame", "width_px", "height_px")), strict=True)
    size = {frame: (width, height) for frame, width, height in sizes}
    shown = defaultdict(list)
    for cell in cells.select(["t_s", "start_s", "end_s", "keyframe"]).to_pylist():
        shown[cell["keyframe"]].append((cell["t_s"], cell["start_s"], cell["end_s"]))
    for rows in tracks:
        keys = []
        for row in rows:
            width, height = size[row["frame"]]
            left, top = row["x_px"] / width, row["y_px"] / height
            box = (left, top, left + row["w_px"] / width, top + row["h_px"] / height)
            keys += [(*cell, *box) for cell in shown[row["frame"]]]
        yield np.array(sorted(keys))


class _Drifts:
    """Motion of the picture between samples: the median over the tracks of a shot that are on both."""

    def __init__(self, tracks: Sequence[NDArray[np.float64]], cells: pa.Table) -> None:
        times = sorted(cells["t_s"].to_pylist())
        after = dict(pairwise(times))
        moves: defaultdict[tuple[float, float], list[NDArray[np.float64]]] = defaultdict(list)
        for keys in tracks:
            middle = (keys[:, 3:5] + keys[:, 5:7]) / 2
            for n in range(len(keys) - 1):
                if after.get(keys[n, 0]) == keys[n + 1, 0]:
                    moves[keys[n, 0], keys[n + 1, 0]].append(middle[n + 1] - middle[n])
        speeds = {(a, b): np.median(found, axis=0) / (b - a) for (a, b), found in moves.items()}
        self._from = {a: speed for (a, _), speed in speeds.items()}
        self._to = {b: speed for (_, b), speed in speeds.items()}

    def beyond(
        self, times: NDArray[np.float64], boxes: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A track's samples, extrapolated by one second on each side along the motion of the other tracks."""
        still = np.zeros(2)
        before = self._to.get(times[0], self._from.get(times[0], still))
        after = self._from.get(times[-1], self._to.get(times[-1], still))
        return (
            np.concatenate([[times[0] - 1], times, [times[-1] + 1]]),
            np.concatenate([[boxes[0] - np.tile(before, 2)], boxes, [boxes[-1] + np.tile(after, 2)]]),
        )


def _moved(path: _Path, t_s: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(np.interp(t_s, path.times, path.boxes[:, n])) for n in range(4))
    return left, top, right, bottom


def _part(path: _Path, start_s: float, end_s: float) -> Track:
    first, last = np.searchsorted(path.times, [start_s, end_s], side="right")
    kept = slice(max(0, first - 1), last + 1)
    spans = [(begin, end) for begin, end in path.spans if begin < end_s and end > start_s]
    times, boxes = path.times[kept].round(3).tolist(), path.boxes[kept].round(4).tolist()
    return Track(path.place, round(path.confidence, 3), spans, times, boxes)


def _frame(marked: Marked, width_px: int, height_px: int) -> Shape:
    """The box's outline, a line's width outside of it: it hides no lettering."""
    line_px = max(1, round(min(width_px, height_px) / 360))
    left, right = (marked.box[0] * width_px - line_px, marked.box[2] * width_px + line_px)
    top, bottom = (marked.box[1] * height_px - line_px, marked.box[3] * height_px + line_px)
    return Shape(((left, top), (right, top), (right, bottom), (left, bottom)), marked.colors[0], line_px)


def _labels(marked: Marked, frame: Shape, width_px: int, height_px: int) -> Iterator[Label]:
    """Possible positions of the label, best first: above, below and beside the frame, within the picture."""
    size_px = max(LEAST_LETTER_PX, round(LETTER * min(width_px, height_px)))
    widest = WIDEST_LABEL * width_px
    text = _said(marked, size_px, widest)
    wide, pad, (left, top), (right, bottom) = _wide(text, size_px, widest), PAD * size_px, *frame.corners[::2]
    above, below = top - frame.line_px - pad - size_px, bottom + frame.line_px + pad
    middle = (top + bottom - size_px) / 2
    for x, y in (
        (left + pad, above),
        (left + pad, below),
        (right - pad - wide, above),
        (right - pad - wide, below),
        (right + frame.line_px + pad, middle),
        (left - frame.line_px - pad - wide, middle),
    ):
        x_px = max(pad, min(x, width_px - wide - pad - 1))
        y_px = max(pad, min(y, height_px - size_px - pad - 1))
        yield Label(x_px, y_px, text, size_px, marked.colors[1], widest, marked.colors[0])


def _plate(label: Label) -> Rectangle:
    pad = PAD * label.size_px
    wide = _wide(label.text, label.size_px, label.max_width_px)
    return label.x - pad, label.y - pad, label.x + wide + pad, label.y + label.size_px + pad


def _is_free(plate: Rectangle, own: Rectangle, plates: Sequence[Rectangle], boxes: Sequence[Rectangle]) -> bool:
    """Whether the plate of the box ``own`` covers no other plate, no other box, and little of one around ``own``."""
    if any(_shared(plate, other) for other in plates):
        return False
    return all(_shared(plate, box) <= HIDDEN * _area(box) * (_shared(own, box) == _area(own)) for box in boxes)


def _area(box: Rectangle) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared(one: Rectangle, other: Rectangle) -> float:
    """The area that two rectangles share."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0.0) * max(high, 0.0)


def _wide(text: str, size_px: int, widest: float) -> float:
    return min(widest, LETTER_WIDTH * size_px * len(text))


def _said(marked: Marked, size_px: int, widest: float) -> str:
    """Name and confidence; a long name is cut so that the confidence fits."""
    tail = f" {marked.confidence:.0%}"
    letters = max(4, int(widest / (LETTER_WIDTH * size_px)) - len(tail))
    name = marked.brand if len(marked.brand) <= letters else f"{marked.brand[: letters - 1]}…"
    return name + tail
