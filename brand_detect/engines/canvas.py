"""Draws through OpenCV 5, whose built-in font covers the scripts of most brand names."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from brand_detect.domain.protocols import Image, Label, Shape

FONT = "sans"
WEIGHT = 400
ASCENT = 0.8
"""Height of the tallest letters above the baseline, as a share of the font's size."""
PAD = 0.2
"""Margin of a plate around the letters, as a share of the font's size."""
OPACITY = 0.75
"""Of a plate: the picture shows through, and letters stay legible."""
LETTERS = 300
"""Most characters measured: more than fits on any line."""


class OpenCvCanvas:
    """The ``Canvas`` of the project."""

    def resize(self, image: Image, width_px: int, height_px: int) -> Image:
        import cv2

        shrinks = width_px < image.shape[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        return cv2.resize(image, (width_px, height_px), interpolation=how)  # pyright: ignore[reportReturnType]

    def draw(self, image: Image, shapes: Sequence[Shape | Label]) -> Image:
        import cv2

        sheet = image.copy()
        font = cv2.FontFace(FONT)
        for shape in shapes:
            color = shape.color[::-1]
            if isinstance(shape, Label):
                line = _fit(shape.text, shape.size_px, shape.max_width_px)
                baseline = round(shape.x), round(shape.y + ASCENT * shape.size_px)
                if shape.background:
                    pad = PAD * shape.size_px
                    right = shape.x + _wide(line, shape.size_px) + pad
                    low = shape.y + (1 + PAD) * shape.size_px
                    rows, columns = _within(shape.y - pad, low), _within(shape.x - pad, right)
                    plate = sheet[rows, columns]
                    plate[:] = np.round((1 - OPACITY) * plate + OPACITY * np.array(shape.background[::-1]))
                cv2.putText(sheet, line, baseline, color, font, shape.size_px, WEIGHT)
            else:
                corners = np.array(shape.corners).round().astype(np.int32)
                if shape.line_px:
                    cv2.polylines(sheet, [corners], True, color, shape.line_px, cv2.LINE_AA)
                else:
                    cv2.fillPoly(sheet, [corners], color)
        return sheet


def _within(first: float, last: float) -> slice:
    """The pixels from ``first`` to ``last``, both included, without those before the picture."""
    return slice(max(0, round(first)), max(0, round(last) + 1))


@lru_cache(4096)
def _wide(line: str, size_px: int) -> float:
    import cv2

    # The picture's size only matters for wrapping, which is off.
    return cv2.getTextSize((1, 1), line, (0, 0), cv2.FontFace(FONT), size_px, WEIGHT)[2]


def _fit(text: str, size_px: int, width_px: float) -> str:
    """``text`` on one line, truncated with an ellipsis if it is too wide."""
    line = " ".join(text.split())
    if len(line) <= LETTERS and _wide(line, size_px) <= width_px:
        return line
    fits = bisect_right(range(1, min(len(line), LETTERS)), width_px, key=lambda n: _wide(f"{line[:n]}…", size_px))
    return f"{line[:fits]}…"
