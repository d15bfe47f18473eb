"""Tesseract through pytesseract: the alternative text engine, for machines and languages that PP-OCR does not suit."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.errors import Permanent, Transient
from brand_detect.domain.geometry import quad_of
from brand_detect.domain.protocols import Area, Image, Reading, Region

LINE_HEIGHT_PX = 64  # capitals of about 30 px, which Tesseract reads best
BORDER_PX = 12  # Tesseract loses letters that touch the edge
SPARSE_TEXT, SINGLE_LINE = 11, 7  # page segmentation modes
MAX_GAP = 1.2  # largest gap between words of a line, in heights
TIMEOUT_S = 120


def _identity(languages: str) -> str:
    """The identity: version and languages.

    Raises:
        Permanent: Tesseract or one of the languages is not installed.
    """
    import pytesseract

    try:
        installed = set(pytesseract.get_languages())
        version = pytesseract.get_tesseract_version()
    except pytesseract.TesseractNotFoundError as e:
        raise Permanent("Tesseract is not installed.", "apt-get install tesseract-ocr, or choose rapidocr") from e
    missing = [name for name in languages.split("+") if name not in installed]
    if missing:
        packages = " ".join(f"tesseract-ocr-{name.replace('_', '-')}" for name in missing)
        raise Permanent(
            f"Tesseract's language {missing[0]!r} is not installed; installed are {', '.join(sorted(installed))}.",
            f"apt-get install {packages}",
        )
    return f"tesseract {version} {languages}"


def _data(image: Any, languages: str, mode: int) -> dict[str, list]:
    """Tesseract's output for a picture, by column.

    Raises:
        Transient: it took longer than ``TIMEOUT_S``.
    """
    import pytesseract

    layout: dict[str, Any] = {"config": f"--psm {mode}", "output_type": pytesseract.Output.DICT}
    try:
        return pytesseract.image_to_data(image, lang=languages, timeout=TIMEOUT_S, **layout)
    except RuntimeError as e:  # raised at time-out; pytesseract's other errors derive from it too
        if isinstance(e, pytesseract.TesseractError):
            raise Permanent(f"Tesseract failed: {e.message}.", "check the picture, or choose rapidocr") from e
        raise Transient(
            f"Tesseract took longer than {TIMEOUT_S} s on one picture.", "try again when the machine is free"
        ) from e


class TesseractDetector:
    """Detects words of sparse text (mode 11) and joins them into lines.

    Args:
        longest_side_px: longest side of Tesseract's input.
        min_score: lowest mean confidence of a line's words, 0 to 1.
        languages: as Tesseract names them, joined by ``+``.

    Raises:
        Permanent: Tesseract or one of the languages is not installed.
    """

    kind = RegionKind.text

    def __init__(self, longest_side_px: int = 1920, min_score: float = 0.5, languages: str = "eng") -> None:
        self.identity = _identity(languages)
        self._longest_side_px, self._min_score, self._languages = longest_side_px, min_score, languages

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:  # noqa: ARG002
        import cv2

        scale = min(1.0, self._longest_side_px / max(image.shape[:2]))
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        seen = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
        data = _data(seen, self._languages, SPARSE_TEXT)
        return [r for line in _lines(data) if (r := _region(line, scale)).score >= self._min_score]


class TesseractReader:
    """Reads crops as single lines (mode 7), in parallel; inverts light text on dark.

    Args:
        languages: as Tesseract names them, joined by ``+``.
        threads: most crops in parallel; 0 = one per core.

    Raises:
        Permanent: Tesseract or one of the languages is not installed.
    """

    def __init__(self, languages: str = "eng", threads: int = 0) -> None:
        self.identity = _identity(languages)
        self._languages, self._threads = languages, threads or os.cpu_count() or 1

    def read(self, crops: Sequence[Image]) -> list[Reading]:
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(self._read, crops))

    def _read(self, crop: Image) -> Reading:
        line = _line(crop)
        data = _data(line, self._languages, SINGLE_LINE)
        found = zip(data["text"], data["conf"], data["left"], data["width"], strict=True)
        words = [(t.strip(), float(c), left, width) for t, c, left, width in found if any(map(str.isalnum, t))]
        if not words:
            return Reading("", 0.0)
        n_letters = sum(len(text) for text, *_ in words)
        confidence = sum(len(text) * max(0.0, c) for text, c, *_ in words) / n_letters / 100
        return Reading(" ".join(text for text, *_ in words), confidence, _letters(words, line.shape[1]))


def _letters(words: Sequence[tuple[str, float, int, int]], line_px: int) -> tuple[float, ...]:
    """Centres of characters and of spaces between words, as shares of the crop; characters are spread evenly."""
    middles: list[float] = []
    right = 0
    for text, _, left, width in words:
        if middles:
            middles.append((right + left) / 2)
        middles += [left + (i + 0.5) * width / len(text) for i in range(len(text))]
        right = left + width
    crop_px = line_px - 2 * BORDER_PX
    return tuple(min(1.0, max(0.0, (x - BORDER_PX) / crop_px)) for x in middles)


def _line(crop: Image) -> NDArray[np.uint8]:
    """The crop as dark text on light, at Tesseract's height, with a border."""
    import cv2

    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    scale = LINE_HEIGHT_PX / grey.shape[0]
    size = (max(1, round(grey.shape[1] * scale)), LINE_HEIGHT_PX)
    line = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    # The rim of a tight crop is background: light text has a dark rim.
    rim = np.concatenate([line[0], line[-1], line[:, 0], line[:, -1]])
    background = float(np.median(rim))
    if background < float(np.median(line[line.shape[0] // 4 : -line.shape[0] // 4])) or background < 100:
        line, background = 255 - line, 255 - background
    return np.pad(line, BORDER_PX, constant_values=round(background)).astype(np.uint8)


Word = tuple[int, int, int, int, float]  # left, top, right, bottom in px, confidence 0..1


def _lines(data: dict[str, list]) -> list[list[Word]]:
    """Tesseract's words by line; lines are split at gaps wider than ``MAX_GAP``."""
    lines: dict[tuple[int, int, int], list[Word]] = {}
    for i, text in enumerate(data["text"]):
        confidence = float(data["conf"][i])
        if text.strip() and confidence >= 0:
            left, top, width, height = (int(data[k][i]) for k in ("left", "top", "width", "height"))
            key = (int(data["block_num"][i]), int(data["par_num"][i]), int(data["line_num"][i]))
            lines.setdefault(key, []).append((left, top, left + width, top + height, confidence / 100))
    cut: list[list[Word]] = []
    for words in lines.values():
        words.sort()
        cut.append(words[:1])
        for before, word in pairwise(words):
            if word[0] - before[2] > MAX_GAP * max(before[3] - before[1], word[3] - word[1]):
                cut.append([])
            cut[-1].append(word)
    return cut


def _region(line: list[Word], scale: float) -> Region:
    left, top = min(w[0] for w in line), min(w[1] for w in line)
    right, bottom = max(w[2] for w in line), max(w[3] for w in line)
    quad = quad_of((left, top, right, bottom)) / scale
    return Region(RegionKind.text, "", sum(w[4] for w in line) / len(line), quad)
