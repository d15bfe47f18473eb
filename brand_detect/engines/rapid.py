"""Text regions and lines with the PP-OCR models that the rapidocr wheel carries; nothing is downloaded.

The models and their decoding are rapidocr's; they run through ``OnnxNet`` because rapidocr's own sessions
offer neither bf16 nor parallel requests, which halve the time.
"""

import logging
import math
from collections.abc import Sequence
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.params import Precision
from brand_detect.domain.protocols import Area, Image, Reading, Region
from brand_detect.engines.onnx import OnnxNet

DETECTOR = "PP-OCRv6_det_small.onnx"
READER = "PP-OCRv6_rec_small.onnx"
SHORTEST_SIDE_PX = 736  # smaller pictures are enlarged to it: rapidocr's own default
STRIDE_PX = 32  # the detector's picture is a multiple of it on both sides
WINDOW_STEP_PX = 320
MARGIN_PX = 24  # seen around a searched area, so that text at its edge is not cut
LINE_HEIGHT_PX = 48  # input height of the reader
WIDTH_STEP_PX = 64  # crops are padded to a multiple of it, so that the runtime prepares few shapes
TALL = 1.5  # a crop so much higher than wide may be a line on its side: rapidocr's own threshold


def _model(name: str) -> Path:
    """The path of a model in the wheel. Quietens rapidocr, which logs to the console when it is imported."""
    logging.getLogger("RapidOCR").disabled = True
    import rapidocr

    return Path(rapidocr.__file__).parent / "models" / name


class RapidTextDetector:
    """PP-OCR's text detector: one region of kind ``text`` per line of text.

    Args:
        longest_side_px: longest side of the picture that the network sees.
        min_score: lowest mean of the text map inside a region, 0 to 1.
    """

    def __init__(
        self,
        longest_side_px: int = 1920,
        min_score: float = 0.5,
        precision: Precision = Precision.auto,
        threads: int = 0,
    ) -> None:
        self._longest_side_px, self._min_score = longest_side_px, min_score
        self._net = OnnxNet(_model(DETECTOR), precision, mean=127.5, scale=127.5, threads=threads)
        self.identity = f"rapidocr {metadata.version('rapidocr')} {self._net.identity}"

    @cached_property
    def _decode(self) -> Any:
        from rapidocr.ch_ppocr_det.utils import DBPostProcess

        # thresh, unclip_ratio and dilation as in rapidocr's config for this model
        return DBPostProcess(thresh=0.3, box_thresh=self._min_score, unclip_ratio=1.6, use_dilation=True)

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:
        import cv2

        height, width = image.shape[:2]
        scale = max(1.0, SHORTEST_SIDE_PX / min(height, width))
        scale = min(scale, self._longest_side_px / max(height, width))
        regions = []
        for area in areas or [Area(0, 0, width, height)]:
            left, top, right, bottom = _window(area, width, height, scale)
            part = image[top:bottom, left:right]
            size = [max(STRIDE_PX, round(n * scale / STRIDE_PX) * STRIDE_PX) for n in (right - left, bottom - top)]
            seen = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            [(boxes, scores)] = self._net.map([seen[None]], partial(self._decode, ori_shape=part.shape[:2]))  # pyright: ignore[reportArgumentType]
            for box, score in zip(boxes, scores, strict=True):
                regions.append(Region("text", "", float(score), np.asarray(np.add(box, (left, top)), np.float32)))
        return regions


def _window(area: Area, width: int, height: int, scale: float) -> tuple[int, int, int, int]:
    """What the network sees of an area: some surroundings too, in few sizes, for each new size has to be prepared."""

    def span(start: int, end: int, limit: int) -> tuple[int, int]:
        step = WINDOW_STEP_PX / scale
        length = min(limit, math.ceil(math.ceil((end - start + 2 * MARGIN_PX) / step) * step))
        first = min(max(0, (start + end - length) // 2), limit - length)
        return first, first + length

    (left, right), (top, bottom) = span(area.left, area.right, width), span(area.top, area.bottom, height)
    return left, top, right, bottom


class RapidTextReader:
    """PP-OCR's line reader. Crops that stand on their side are read in every direction, the surest reading wins."""

    def __init__(self, precision: Precision = Precision.auto, threads: int = 0) -> None:
        self._net = OnnxNet(_model(READER), precision, mean=127.5, scale=127.5, parallel=True, threads=threads)
        self.identity = f"rapidocr {metadata.version('rapidocr')} {self._net.identity}"

    @cached_property
    def _decode(self) -> Any:
        from rapidocr.ch_ppocr_rec.utils import CTCLabelDecode

        return CTCLabelDecode(character=self._net.metadata("character").splitlines())

    def read(self, crops: Sequence[Image]) -> list[Reading]:
        turned = [_turns(crop) for crop in crops]
        lines = [_line(view) for views in turned for view in views]
        order = sorted(range(len(lines)), key=lambda i: lines[i].shape[2])  # few changes of shape
        read: dict[int, Reading] = {}
        for i, (text, confidence) in zip(order, self._net.map([lines[i] for i in order], self._text), strict=True):
            read[i] = Reading(text.strip(), float(confidence)) if text.strip() else Reading("", 0.0)
        readings = iter(read[i] for i in range(len(lines)))
        return [max((next(readings) for _ in views), key=lambda r: r.confidence) for views in turned]

    def _text(self, probabilities: NDArray[np.float32]) -> tuple[str, float]:
        return self._decode(probabilities)[0][0]


def _turns(crop: Image) -> list[Image]:
    """The crop in the directions in which it may be read."""
    height, width = crop.shape[:2]
    if height < TALL * width:
        return [crop]
    turns = [np.rot90(crop), np.rot90(crop, -1)]
    return [crop, *turns] if height < 2 * TALL * width else turns  # a single digit is tall and upright


def _line(crop: Image) -> NDArray[np.uint8]:
    """The crop at the reader's height, padded with grey to the next step of width, as a batch of one."""
    import cv2

    height, width = crop.shape[:2]
    scaled = max(1, math.ceil(width * LINE_HEIGHT_PX / height))
    padded = math.ceil(scaled / WIDTH_STEP_PX) * WIDTH_STEP_PX
    line = np.full((1, LINE_HEIGHT_PX, padded, 3), 127, np.uint8)
    line[0, :, :scaled] = cv2.resize(crop, (scaled, LINE_HEIGHT_PX))
    return line
