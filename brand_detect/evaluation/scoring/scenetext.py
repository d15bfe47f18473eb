"""Scores text engines on words in photographs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from brand_detect.domain.geometry import box_iou, boxes_of, lengthened
from brand_detect.domain.protocols import ImageCodec, Progress, RegionDetector, TextReader
from brand_detect.engines.image import read_photograph
from brand_detect.engines.rapid import RapidTextDetector, RapidTextReader
from brand_detect.engines.tesseract import TesseractDetector, TesseractReader
from brand_detect.evaluation.scoring.photographs import WithWords, Word, not_labelled, read_annotations
from brand_detect.stages.run_ocr.read import END_MARGIN

MIN_LETTERS = 3

Engine = tuple[RegionDetector, TextReader]


@dataclass(frozen=True)
class TextScore:
    """The result of one engine. ``seconds`` covers detection and recognition, not decoding."""

    engine: str
    pictures: int
    words: int
    found: int
    lines: int
    seconds: float
    missed: tuple[str, ...]  # "picture: word"

    @property
    def recall(self) -> float:
        """Share of words found, 0 to 1."""
        return self.found / self.words if self.words else 0.0


def text_engines() -> dict[str, Engine]:
    """The two text engines with their default settings.

    Raises:
        Permanent: Tesseract is not installed.
    """
    return {
        "rapidocr": (RapidTextDetector(), RapidTextReader()),
        "tesseract": (TesseractDetector(), TesseractReader()),
    }


def evaluate_text(
    folder: Path, engines: Mapping[str, Engine], codec: ImageCodec, progress: Progress
) -> list[TextScore]:
    """Score each engine on the pictures of ``folder``.

    ``folder/annotations.json`` lists the words of each (``WithWords``); the pictures are in ``folder/images``. Ignored
    words and those of fewer than 3 letters and digits do not count. A word is found if a recognised text contains it,
    ignoring case, and the boxes overlap.

    Raises:
        BadInput: the folder has no such photographs, or no word that counts.
    """
    pictures = read_annotations(folder, WithWords)
    counted = [[w for w in p.words if not w.ignore and _letters(w.text) >= MIN_LETTERS] for p in pictures]
    if not any(counted):
        raise not_labelled(folder, f"has no word of {MIN_LETTERS} letters and more", WithWords)
    scores = []
    for n, (name, (detector, reader)) in enumerate(engines.items()):
        words = found = lines = 0
        seconds = 0.0
        missed: list[str] = []
        for done, (picture, wanted) in enumerate(zip(pictures, counted, strict=True)):
            progress(n * len(pictures) + done, len(engines) * len(pictures), "pictures")
            image = read_photograph(folder / "images" / picture.image)
            start = time.perf_counter()
            regions = detector.detect(image)
            quads = [lengthened(r.quad, END_MARGIN).astype(np.float32) for r in regions]
            readings = reader.read([codec.rectify(image, quad) for quad in quads])
            seconds += time.perf_counter() - start
            boxes = boxes_of([r.quad for r in regions])
            lost = [w.text for w in wanted if not _is_found(w, boxes, [r.text for r in readings])]
            words, found, lines = words + len(wanted), found + len(wanted) - len(lost), lines + len(regions)
            missed += [f"{picture.image}: {text}" for text in lost]
        scores.append(TextScore(name, len(pictures), words, found, lines, seconds, tuple(missed)))
    return scores


def text_table(scores: Sequence[TextScore]) -> Table:
    """The scores as a table for the terminal."""
    table = Table(title=f"Words of at least {MIN_LETTERS} letters in photographs")
    for heading in ("engine", "words", "found", "recall", "lines read", "ms a picture"):
        table.add_column(heading, justify="left" if heading == "engine" else "right")
    for s in scores:
        pace = f"{1000 * s.seconds / max(1, s.pictures):.0f}"
        table.add_row(s.engine, str(s.words), str(s.found), f"{s.recall:.2f}", str(s.lines), pace)
    return table


def _letters(text: str) -> int:
    return sum(c.isalnum() for c in text)


def _is_found(word: Word, boxes: np.ndarray, texts: Sequence[str]) -> bool:
    box = np.array([[word.x, word.y, word.x + word.w, word.y + word.h]], float)
    return any(
        word.text.casefold() in text.casefold()
        for text, overlap in zip(texts, box_iou(box, boxes)[0], strict=True)
        if overlap > 0
    )
