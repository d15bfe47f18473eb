"""Compares the precisions of the text networks with f32: boxes, words and CPU seconds."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from brand_detect.domain.errors import Permanent
from brand_detect.domain.geometry import box_iou, boxes_of
from brand_detect.domain.params import Precision
from brand_detect.domain.protocols import Image, ImageCodec, Region, RegionDetector, TextReader
from brand_detect.engines.image import read_photograph
from brand_detect.engines.rapid import RapidTextDetector, RapidTextReader
from brand_detect.engines.video import PyAvDecoder
from brand_detect.evaluation.benchmarks.common import Section
from brand_detect.evaluation.synthetic.footage import Scenario, draw

Engine = TypeVar("Engine")

SAME_BOX = 0.6  # IoU
DRAWN = Scenario(width_px=1920, height_px=1080, seed=7)
EXACT = "f32"


def available_detectors() -> dict[str, RegionDetector]:
    """The text detector in each precision that this machine has, f32 first."""
    return dict(_available(lambda precision: RapidTextDetector(precision=precision)))


def available_readers() -> dict[str, TextReader]:
    """The text reader in each precision that this machine has, f32 first."""
    return dict(_available(lambda precision: RapidTextReader(precision)))


def drawn_frames() -> Iterator[Image]:
    """One generated frame a second."""
    for number, (frame, _) in enumerate(draw(DRAWN)):
        if number % DRAWN.fps == DRAWN.fps // 2:
            yield frame.bgr()


def frames_of(videos: Iterable[Path]) -> Iterator[Image]:
    """One frame a second of each video."""
    for video in videos:
        with video.open("rb") as file:
            for picture in PyAvDecoder().decode(file, 1.0, 0.0, float("inf")):
                if picture.image is not None:
                    yield picture.image


def pictures_in(folder: Path) -> Iterator[Image]:
    """The photographs in ``folder/images``."""
    for file in sorted((folder / "images").iterdir()):
        yield read_photograph(file)


@dataclass
class Compared:
    """One precision beside f32 on the same pictures; seconds are of this process's CPU."""

    pictures: int = 0
    exact_boxes: int = 0
    kept: int = 0  # boxes of f32 that this precision finds as well
    more: int = 0  # boxes that f32 does not find
    lines: int = 0
    equal_words: int = 0  # lines that read as in f32
    detector_s: float = 0.0
    reader_s: float = 0.0


def compare(
    pictures: Iterable[Image],
    detectors: Mapping[str, RegionDetector],
    readers: Mapping[str, TextReader],
    codec: ImageCodec,
) -> dict[str, Compared]:
    """Boxes of each detector beside f32's, and words of each reader beside f32's on f32's boxes.

    The first picture is searched and read twice, so that its preparation does not count.
    """
    sums = {name: Compared() for name in [*detectors, *(r for r in readers if r not in detectors)]}
    for number, image in enumerate(pictures):
        found = {}
        for name, detector in detectors.items():
            if number == 0:
                detector.detect(image)
            start = time.process_time()
            found[name] = detector.detect(image)
            sums[name].detector_s += time.process_time() - start
        crops = [codec.rectify(image, region.quad) for region in found[EXACT]]
        words = {}
        for name, reader in readers.items():
            if number == 0:
                reader.read(crops)
            start = time.process_time()
            words[name] = [reading.text for reading in reader.read(crops)]
            sums[name].reader_s += time.process_time() - start
        for name, total in sums.items():
            total.pictures += 1
            if name in found:
                total.exact_boxes += len(found[EXACT])
                total.kept += _alike(found[EXACT], found[name])
                total.more += len(found[name]) - _alike(found[name], found[EXACT])
            if name in words:
                total.lines += len(crops)
                total.equal_words += sum(a == b for a, b in zip(words[EXACT], words[name], strict=True))
    return sums


def sections(compared: Mapping[str, Mapping[str, Compared]]) -> list[Section]:
    """Two tables, for the detector and the reader: a row for each material and precision."""
    boxes: list[tuple[str | float, ...]] = []
    words: list[tuple[str | float, ...]] = []
    for material, sums in compared.items():
        exact = sums[EXACT]
        for name, total in sums.items():
            row = (f"{material}, {name}", total.pictures)
            if total.detector_s:
                shares = total.kept / max(1, total.exact_boxes), total.more / max(1, total.exact_boxes)
                pace = 1000 * total.detector_s / max(1, total.pictures)
                boxes.append((*row, total.exact_boxes, *shares, pace, total.detector_s / exact.detector_s))
            if total.reader_s:
                share = total.equal_words / max(1, total.lines)
                pace = 1000 * total.reader_s / max(1, total.lines)
                words.append((*row, total.lines, share, pace, total.reader_s / exact.reader_s))
    cost = "of f32"
    of_boxes = ("pictures", "boxes of f32", f"kept at IoU {SAME_BOX}", "more", "CPU ms a picture", cost)
    of_words = ("pictures", "lines", "equal words", "CPU ms a line", cost)
    return [
        Section("Text detector by precision", ("pictures and precision", *of_boxes), boxes),
        Section("Text reader by precision", ("pictures and precision", *of_words), words),
    ]


def _available(make: Callable[[Precision], Engine]) -> Iterator[tuple[str, Engine]]:
    for precision in (Precision.f32, Precision.bf16, Precision.int8):
        with suppress(Permanent):  # not on this machine
            yield precision.value, make(precision)


def _alike(regions: list[Region], others: list[Region]) -> int:
    """How many of ``regions`` have their like among ``others``."""
    if not regions or not others:
        return 0
    overlap = box_iou(boxes_of([r.quad for r in regions]), boxes_of([r.quad for r in others]))
    return int((overlap.max(axis=1) >= SAME_BOX).sum())
