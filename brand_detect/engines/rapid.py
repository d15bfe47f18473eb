"""Text detection and recognition with the PP-OCR models in the rapidocr wheel; downloads nothing.

The models are those of rapidocr; they run through ``OnnxNet``, because rapidocr's own sessions support
neither bf16 nor parallel requests, which halve the time.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.geometry import boxes_of, coverage
from brand_detect.domain.lattice import BLANK, Step
from brand_detect.domain.params import Precision
from brand_detect.domain.protocols import Area, Image, Reading, Region
from brand_detect.engines.onnx import OnnxNet

DETECTOR = "PP-OCRv6_det_small.onnx"
READER = "PP-OCRv6_rec_small.onnx"
SHORTEST_SIDE_PX = 1080  # smaller pictures are enlarged to this: sponsor text is small
BORDER_PX = 32  # border around the network's input: it misses text that touches the edge
STRIDE_PX = 32  # both sides of the detector's input are multiples of this
COARSE = 3  # the picture is reduced by it for large letters; by 2 takes half as long again and finds no more brands
SQUEEZED = (0.4, 0.8)  # width and height at which blurred pictures are searched too
SOFT = 0.75  # a picture with less change along rows, as a share of that along columns, may be blurred by a pan
MEASURED_PX = 640  # greatest width at which the two are compared
WINDOW_STEP_PX = 320
SMALL_PX = 640  # longest side of a part of the picture that is not searched for large letters
MOST_AREAS = 64  # more of them cost about as much as the picture, and joining them takes seconds
MOST_IN_PARTS = 0.7  # of the picture's pixels, borders included: more take as long as the whole, whose shape is known
MARGIN_PX = 24  # margin around a searched area, so that text at its edge is not cut off
MAP_THRESHOLD = 0.3
MIN_BLOB_PX = 3
MOST_BLOB = 0.7  # of the map's shorter side: letters as high as the picture mark half of it, a blob of everything 0.8
UNCLIP = 1.6
SLOPES = np.tan(np.deg2rad([a for a in range(-65, 66, 5) if abs(a) >= 15]))  # of tilted baselines
TILTED_GAIN = 0.9  # largest area of an upright-sided parallelogram, as a share of the rectangle's
SAME_LINE = 0.7  # least overlap in height of pieces of one line, as a share of the higher
PIECE_OVERLAP = 0.45  # the same in length: lines end beyond their letters, so that words overlap too, but less
COVERED = 0.5
LINE_HEIGHT_PX = 48  # height of the reader's input
WIDTH_STEP_PX = 64  # crops are padded to multiples of this, so that the runtime prepares few shapes
BLANK_CLASS = 0  # CTC's blank; a character starts where the class differs from the previous step's
LEAST_LIKELY = 0.01  # probability relative to the likeliest character of a step, from which another one is kept
MOST_LIKELY = (
    4  # most characters of a step; with twice as many, a third more names fit by chance and hardly a right one
)
TALL = 1.5  # crops with a larger height / width may be vertical lines: rapidocr's own threshold


def model_file(name: str) -> Path:
    """The path of a model in the wheel. Silences rapidocr, which logs to the console on import."""
    logging.getLogger("RapidOCR").disabled = True
    import rapidocr

    return Path(rapidocr.__file__).parent / "models" / name


class RapidTextDetector:
    """PP-OCR's text detector: one region of kind ``text`` per line of text.

    The picture is searched twice: at full size for small print, and at a third of it for letters so large that the
    network misses them as shapes, which costs a fifth more. A whole picture that a panning camera may have blurred
    is searched once more, squeezed to less than half its width: the network finds narrow letters, not wide soft ones.
    Parts of a picture up to ``SMALL_PX`` are searched once: letters as large as they are may be missed there.

    Args:
        longest_side_px: longest side of the network's input.
        min_score: lowest mean of the text map inside a region, 0 to 1.
        one_size: all pictures have one size: a network for it alone searches whole pictures at full size.
    """

    kind = RegionKind.text

    def __init__(
        self,
        longest_side_px: int = 1920,
        min_score: float = 0.5,
        precision: Precision = Precision.auto,
        threads: int = 0,
        one_size: bool = False,
    ) -> None:
        self._longest_side_px, self._min_score, self._one_size = longest_side_px, min_score, one_size
        self._net = OnnxNet(model_file(DETECTOR), precision, mean=127.5, scale=127.5, threads=threads)
        self.identity = f"rapidocr {metadata.version('rapidocr')} {self._net.identity}"

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:
        height, width = image.shape[:2]
        scale = max(1.0, SHORTEST_SIDE_PX / min(height, width))
        scale = min(scale, self._longest_side_px / max(height, width))
        found: list[Region] = []
        for window in windows(areas or [Area(0, 0, width, height)], width, height, scale):
            is_whole = window == Area(0, 0, width, height)
            fine = self._search(image, window, (scale, scale), one_size=self._one_size and is_whole)
            is_small = max(window.right - window.left, window.bottom - window.top) * scale <= SMALL_PX
            if max(height, width) * scale > SHORTEST_SIDE_PX and not is_small:
                fine += _not_covered(self._search(image, window, (scale / COARSE, scale / COARSE)), fine)
                if is_whole and _is_soft_along_rows(image):
                    squeezed = (scale * SQUEEZED[0], scale * SQUEEZED[1])
                    fine += _not_covered(self._search(image, window, squeezed), fine)
            found += _not_covered(fine, found)
        return found

    def _search(
        self, image: Image, window: Area, scale: tuple[float, float], *, one_size: bool = False
    ) -> list[Region]:
        """Text regions inside ``window``, searched at ``scale`` of its width and height, if ``one_size`` by a network
        for its size."""
        import cv2

        part = image[window.top : window.bottom, window.left : window.right]
        height, width = part.shape[:2]
        sides = zip((width, height), scale, strict=True)
        size = [max(STRIDE_PX, round(n * by / STRIDE_PX) * STRIDE_PX) for n, by in sides]
        seen = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale[1] < 1 else cv2.INTER_LINEAR)
        seen = cv2.copyMakeBorder(seen, BORDER_PX, BORDER_PX, BORDER_PX, BORDER_PX, cv2.BORDER_REPLICATE)
        batch, min_score = np.asarray(seen, np.uint8)[None], self._min_score
        net = self._net.fixed(batch.shape) if one_size else self._net
        [found] = net.map([batch], lambda out: text_quads(out[0, 0], min_score))
        to_frame = np.array([width / size[0], height / size[1]])
        corner = np.array([window.left, window.top])
        return [
            Region(RegionKind.text, "", score, ((quad - BORDER_PX) * to_frame + corner).astype(np.float32))
            for quad, score in found
        ]


def _is_soft_along_rows(image: Image) -> bool:
    """Whether the picture changes so little along its rows that a camera's pan may have blurred it."""
    import cv2

    height, width = image.shape[:2]
    by = min(1.0, MEASURED_PX / width)
    size = (round(width * by), max(1, round(height * by)))
    grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    along, down = (np.abs(cv2.Sobel(grey, cv2.CV_32F, *axis)).mean() for axis in ((1, 0), (0, 1)))
    return bool(along < SOFT * down)


def text_quads(text_map: NDArray[np.float32], min_score: float) -> list[tuple[NDArray[np.float64], float]]:
    """Lines of text in the detector's map, each with the map's mean over the line: decodes Differentiable Binarization
    (Liao et al. 2020), with the thresholds of rapidocr's config for this model.

    A line is the smallest rectangle around its blob or, if that fits tighter, a parallelogram with upright sides: in
    perspective a board's letters stay upright while its baseline rises. Blobs with a gap of a letter's width are one
    line.
    """
    import cv2

    mask = cv2.dilate((text_map > MAP_THRESHOLD).astype(np.uint8), np.ones((2, 2), np.uint8))
    blobs, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for blob in blobs:
        rectangle = cv2.minAreaRect(blob)
        if not MIN_BLOB_PX <= min(rectangle[1]) <= MOST_BLOB * min(text_map.shape):
            continue
        tilted, area = _tilted(blob.reshape(-1, 2).astype(np.float64))
        tighter = area < TILTED_GAIN * rectangle[1][0] * rectangle[1][1]
        quad = tilted if tighter else _clockwise(cv2.boxPoints(rectangle).astype(np.float64))
        score = _mean_inside(text_map, quad)
        if score >= min_score:
            found.append((_unclipped(quad), score))
    return _whole_lines(found)


def _whole_lines(found: Sequence[tuple[NDArray[np.float64], float]]) -> list[tuple[NDArray[np.float64], float]]:
    """Joins the quads that are pieces of one line; a line has the score of its longest piece.

    A gap in the map may cut a name in two: McLaren was found as NCLA and LAREN.
    """
    quads = np.array([quad for quad, _ in found]).reshape(-1, 4, 2)
    left_top, right_bottom = quads.min(axis=1), quads.max(axis=1)
    meets = (left_top[:, None] < right_bottom).all(axis=2)
    line_of = np.arange(len(found))
    for a, b in np.argwhere(np.triu(meets & meets.T, 1)):
        if _are_one_line(quads[a], quads[b]):
            line_of[line_of == line_of[b]] = line_of[a]
    lines = []
    for line in np.unique(line_of):
        pieces = np.flatnonzero(line_of == line)
        longest = int(pieces[np.linalg.norm(quads[pieces, 1] - quads[pieces, 0], axis=1).argmax()])
        quad = _around(quads[longest], quads[pieces]) if len(pieces) > 1 else quads[longest]
        lines.append((quad, found[longest][1]))
    return lines


def _are_one_line(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether two quads overlap in length by at least ``PIECE_OVERLAP`` and at most half, in height nearly wholly."""
    origin, along, down = _axes(one)
    places = np.linalg.solve(np.column_stack([along, down]), (other - origin).T)
    begin, end = np.array([0.0, 0.0]), np.array([np.linalg.norm(one[1] - one[0]), np.linalg.norm(one[3] - one[0])])
    first, last = places.min(axis=1), places.max(axis=1)
    length, height = np.minimum(end, last) - np.maximum(begin, first)
    lengths, heights = np.stack([end - begin, last - first], axis=1)
    return height >= SAME_LINE * heights.max() and PIECE_OVERLAP * heights.max() <= length <= lengths.min() / 2


def _around(line: NDArray[np.float64], pieces: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest quad around ``pieces`` with sides parallel to those of ``line``."""
    origin, along, down = _axes(line)
    places = np.linalg.solve(np.column_stack([along, down]), (pieces.reshape(-1, 2) - origin).T)
    (left, top), (right, bottom) = places.min(axis=1), places.max(axis=1)
    return np.array(
        [origin + x * along + y * down for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]
    )


def _axes(quad: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The first corner of a parallelogram, and the directions of its length and height."""
    along, down = quad[1] - quad[0], quad[3] - quad[0]
    return quad[0], along / np.linalg.norm(along), down / np.linalg.norm(down)


def _tilted(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The smallest parallelogram with upright sides and a tilted baseline around ``points``, and its area."""
    x, y = points.T
    left, right = x.min(), x.max()
    offsets = y - SLOPES[:, None] * x
    top, bottom = offsets.min(axis=1), offsets.max(axis=1)
    best = int((bottom - top).argmin())
    slope = SLOPES[best]
    corners = [(left, top[best]), (right, top[best]), (right, bottom[best]), (left, bottom[best])]
    return np.array([(u, v + slope * u) for u, v in corners]), float((bottom - top)[best] * (right - left))


def _clockwise(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners of a rectangle, clockwise from the top left."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    (top_left, bottom_left), (top_right, bottom_right) = (side[np.argsort(side[:, 1])] for side in (by_x[:2], by_x[2:]))
    return np.array([top_left, top_right, bottom_right, bottom_left])


def _mean_inside(text_map: NDArray[np.float32], quad: NDArray[np.float64]) -> float:
    import cv2

    height, width = text_map.shape
    left, top = np.floor(quad.min(axis=0)).astype(int).clip(0, [width - 1, height - 1])
    right, bottom = np.ceil(quad.max(axis=0)).astype(int).clip(0, [width - 1, height - 1]) + 1
    inside = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(inside, [(quad - (left, top)).astype(np.int32)], 1)  # pyright: ignore[reportArgumentType,reportCallIssue]
    return float(cv2.mean(text_map[top:bottom, left:right], inside)[0])


def _unclipped(quad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expands a quad on every side by ``area * UNCLIP / perimeter``, by which the map shrinks text."""
    along, down = quad[1] - quad[0], quad[3] - quad[0]
    length, height = np.linalg.norm(along), np.linalg.norm(down)
    area = abs(along[0] * down[1] - along[1] * down[0])
    distance = area * UNCLIP / (2 * (length + height))
    grow = distance * length * height / max(area, 1e-6)  # a tilted side moves further for the same distance
    u, v = along / length * grow, down / height * grow
    return quad + np.array([-u - v, u - v, u + v, v - u])


def _not_covered(regions: Sequence[Region], by: Sequence[Region]) -> list[Region]:
    """The regions of which less than ``COVERED`` is covered by ``by``."""
    share = coverage(boxes_of([r.quad for r in regions]), boxes_of([r.quad for r in by]))
    return [r for r, under in zip(regions, share, strict=True) if under < COVERED]


def windows(areas: Sequence[Area], width: int, height: int, scale: float) -> list[Area]:
    """Few windows over all ``areas`` of a picture, in few distinct sizes, since the runtime prepares each new one.

    Windows are joined, the most rewarding first, as long as searching the joint one takes no longer. The whole picture
    takes their place if they have more than ``MOST_IN_PARTS`` of its pixels: it also shows what nobody asked for.
    """

    def cost(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        return (np.array(boxes[..., 2:] - boxes[..., :2]) * scale + 2 * BORDER_PX).prod(axis=-1)

    def sized(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """The boxes in the next larger of the sizes, inside the picture."""
        limit, step = np.array([width, height]), WINDOW_STEP_PX / scale
        size = np.minimum(limit, np.ceil(np.ceil((boxes[..., 2:] - boxes[..., :2]) / step - 1e-6) * step))
        first = np.clip((boxes[..., :2] + boxes[..., 2:] - size) // 2, 0, limit - size)
        return np.concatenate([first, first + size], axis=-1)

    if len(areas) > MOST_AREAS:
        return [Area(0, 0, width, height)]
    margin = np.array([-MARGIN_PX, -MARGIN_PX, MARGIN_PX, MARGIN_PX])
    asked = np.array([(a.left, a.top, a.right, a.bottom) for a in areas], float) + margin
    asked = asked.clip(0, [width, height, width, height])
    while len(asked) > 1:
        joint = np.concatenate(
            [np.minimum(asked[:, None, :2], asked[None, :, :2]), np.maximum(asked[:, None, 2:], asked[None, :, 2:])], -1
        )
        each = cost(sized(asked))
        saved = np.triu(each[:, None] + each[None, :] - cost(sized(joint)) + 1, 1)
        i, j = np.unravel_index(saved.argmax(), saved.shape)
        if saved[i, j] <= 0:
            break
        asked = np.concatenate([np.delete(asked, [i, j], axis=0), joint[None, i, j]])
    whole = np.array([[0, 0, width, height]])
    parts = sized(asked)
    searched = parts if cost(parts).sum() <= MOST_IN_PARTS * cost(whole).sum() else whole
    return [Area(*window) for window in searched.astype(int).tolist()]


class RapidTextReader:
    """PP-OCR's line reader. Reads vertical crops in every direction; the reading with the highest confidence wins."""

    def __init__(self, precision: Precision = Precision.auto, threads: int = 0) -> None:
        self._net = OnnxNet(model_file(READER), precision, mean=127.5, scale=127.5, parallel=True, threads=threads)
        self.identity = f"rapidocr {metadata.version('rapidocr')} {self._net.identity}"

    @cached_property
    def _characters(self) -> list[str]:
        """The text of each class: nothing for CTC's blank, and a space last."""
        return ["", *self._net.metadata("character").splitlines(), " "]

    def read(self, crops: Sequence[Image]) -> list[Reading]:
        turned = [_turns(crop) for crop in crops]
        lines = [_line(view) for views in turned for view in views]
        order = sorted(range(len(lines)), key=lambda i: lines[i].shape[2])  # for few changes of shape
        read = dict(zip(order, self._net.map([lines[i] for i in order], self._reading), strict=True))
        readings = iter(read[i] for i in range(len(lines)))
        best = [max((next(readings) for _ in views), key=lambda r: r.confidence) for views in turned]
        return [_placed(reading, crop) for reading, crop in zip(best, crops, strict=True)]

    def _reading(self, out: NDArray[np.float32]) -> Reading:
        """Decodes the network's output (1, steps, characters); positions are shares of the padded line.

        As rapidocr does, whose decoder takes 0.4 s to import.
        """
        character = out[0].argmax(axis=1)
        first = np.flatnonzero((character != BLANK_CLASS) & (np.diff(character, prepend=BLANK_CLASS) != 0))
        text = "".join(self._characters[c] for c in character[first])
        if not text.strip():
            return Reading("", 0.0)
        confidence = out[0, first, character[first]].mean()
        start = len(text) - len(text.lstrip())
        middles = ((first + 0.5) / out.shape[1])[start:][: len(text.strip())]
        return Reading(text.strip(), float(confidence), tuple(middles.tolist()), self._steps(out[0], character))

    def _steps(self, out: NDArray[np.float32], likeliest: NDArray[np.int64]) -> tuple[Step, ...]:
        """The steps of a line, runs of certain blanks as one; none if no step may be another character."""
        best = out[np.arange(len(out)), likeliest]
        uncertain = best < 1 / (1 + LEAST_LIKELY)
        if not uncertain.any():
            return ()
        steps: list[Step] = []
        for at, character in enumerate(likeliest.tolist()):
            classes = [character]
            if uncertain[at]:
                others = np.flatnonzero(out[at] >= LEAST_LIKELY * best[at])
                classes = others[np.argsort(-out[at, others], kind="stable")][:MOST_LIKELY].tolist()
            costs = np.log(best[at] / out[at, classes]).tolist()
            step = Step(tuple(self._characters[c] for c in classes), tuple(costs))
            if step.characters != (BLANK,) or not steps or steps[-1].characters != (BLANK,):
                steps.append(step)
        return tuple(steps) if any(len(step.characters) > 1 for step in steps) else ()


def _turns(crop: Image) -> list[Image]:
    """The crop in all directions in which it may be read."""
    height, width = crop.shape[:2]
    if height < TALL * width:
        return [crop]
    turns = [np.rot90(crop), np.rot90(crop, -1)]
    return [crop, *turns] if height < 2 * TALL * width else turns  # a single digit is tall and upright


def _placed(reading: Reading, crop: Image) -> Reading:
    """Converts positions to shares of the crop; drops them for crops that may be vertical."""
    height, width = crop.shape[:2]
    if height >= TALL * width:
        return replace(reading, char_positions=())
    scaled, padded = _widths(crop)
    return replace(
        reading, char_positions=tuple(min(1.0, letter * padded / scaled) for letter in reading.char_positions)
    )


def _widths(crop: Image) -> tuple[int, int]:
    """Width in px of the crop at the reader's height, without and with padding."""
    scaled = max(1, math.ceil(crop.shape[1] * LINE_HEIGHT_PX / crop.shape[0]))
    return scaled, math.ceil(scaled / WIDTH_STEP_PX) * WIDTH_STEP_PX


def _line(crop: Image) -> NDArray[np.uint8]:
    """The crop at the reader's height, padded with grey to a multiple of ``WIDTH_STEP_PX``, as a batch of one."""
    import cv2

    scaled, padded = _widths(crop)
    line = np.full((1, LINE_HEIGHT_PX, padded, 3), 127, np.uint8)
    line[0, :, :scaled] = cv2.resize(crop, (scaled, LINE_HEIGHT_PX))
    return line
