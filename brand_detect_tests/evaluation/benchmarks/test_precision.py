"""The comparison of precisions, on engines made by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.protocols import Area, Image, Reading, Region
from brand_detect.engines.image import OpenCvCodec
from brand_detect.evaluation.benchmarks import precision as bench


class Detector:
    identity = "scripted"
    kind = RegionKind.text

    def __init__(self, *left_px: int) -> None:
        self.left_px = left_px

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:
        assert image.ndim == 3
        assert not areas
        sum(range(100_000))  # so that it takes CPU time
        return [
            Region(RegionKind.text, "", 0.9, np.array([[x, 10], [x + 40, 10], [x + 40, 30], [x, 30]], np.float32))
            for x in self.left_px
        ]


class Reader:
    identity = "scripted"

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def read(self, crops: Sequence[Image]) -> list[Reading]:
        sum(range(100_000))  # so that it takes CPU time
        return [Reading(text, 0.9) for text in self.texts[: len(crops)]]


def test_boxes_and_words_are_compared_with_those_of_f32():
    detectors = {"f32": Detector(0, 100, 200), "int8": Detector(5, 100, 300, 400)}
    readers = {"f32": Reader("Kia", "Rolex", "Visa"), "bf16": Reader("Kia", "Ro1ex", "Visa")}
    pictures = [np.zeros((60, 500, 3), np.uint8)] * 2
    sums = bench.compare(pictures, detectors, readers, OpenCvCodec())
    int8, bf16 = sums["int8"], sums["bf16"]
    assert (int8.pictures, int8.exact_boxes, int8.kept, int8.more) == (2, 6, 4, 4)
    assert (bf16.lines, bf16.equal_words) == (6, 4)
    boxes, words = (section.to_json()["rows"] for section in bench.sections({"drawn": sums}))
    assert words[1]["equal words"] == pytest.approx(4 / 6)
    assert [row["pictures and precision"] for row in boxes] == ["drawn, f32", "drawn, int8"]
    assert boxes[1]["kept at IoU 0.6"] == pytest.approx(4 / 6)


def test_pictures_without_text():
    engines = {"f32": Detector()}, {"f32": Reader()}
    sums = bench.compare([np.zeros((60, 500, 3), np.uint8)], *engines, OpenCvCodec())
    assert (sums["f32"].exact_boxes, sums["f32"].lines, sums["f32"].more) == (0, 0, 0)
    assert [len(section.rows) for section in bench.sections({"blank": sums})] == [1, 1]
