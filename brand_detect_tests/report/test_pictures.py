import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from brand_detect.domain.contracts.detect_objects import REGIONS
from brand_detect.domain.pipeline import LINE, STAGES
from brand_detect.domain.protocols import Image, Label, Shape
from brand_detect.domain.tables import table
from brand_detect.engines.canvas import OpenCvCanvas
from brand_detect.engines.image import OpenCvCodec
from brand_detect.report.pictures import EMBEDDED_BYTES, picture
from brand_detect_tests.support.report_fakes import Pictures, match, nothing


def drawn(stage: str, payloads: dict, frames: Pictures | None = None) -> Image | None:
    made = picture(stage, payloads, frames or Pictures(), OpenCvCanvas(), OpenCvCodec())
    return None if made is None else OpenCvCodec().decode(made.small)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_a_small_picture(stage: str) -> None:
    made = picture(stage, match(), Pictures(), OpenCvCanvas(), OpenCvCodec())
    assert made is not None
    assert len(made.small) <= EMBEDDED_BYTES
    small, full = (OpenCvCodec().decode(data) for data in (made.small, made.full))
    assert small.std() > 1
    assert full.shape >= small.shape


def test_the_root_has_none() -> None:
    assert drawn(LINE[0], match()) is None


@pytest.mark.parametrize("stage", STAGES[2:])
def test_nothing_found_is_no_picture(stage: str) -> None:
    assert drawn(stage, nothing()) is None


def test_noise_is_squeezed_under_the_limit() -> None:
    class Noise(Pictures):
        def read(self, frame: int) -> Image:
            return np.random.default_rng(frame).integers(0, 255, (720, 1280, 3)).astype(np.uint8)

    data = picture("extract_frames", match(), Noise(), OpenCvCanvas(), OpenCvCodec(), limit_bytes=30_000)
    assert data is not None
    assert len(data.small) <= 30_000 < len(data.full)


def test_few_frames_are_read() -> None:
    frames = Pictures()
    drawn("detect_objects", match(), frames)
    assert sorted(frames.reads) == [1, 2, 10, 14, 15]  # all that have regions, each once
    drawn("match_brands", match(), frames := Pictures())
    assert len(frames.reads) == 3


@pytest.mark.parametrize("stage", ["extract_frames", "filter_scenes", "detect_objects"])
def test_large_frames_are_held_one_at_a_time(stage: str) -> None:
    class Large(Pictures):
        def read(self, frame: int) -> Image:
            return np.full((2160, 3840, 3), frame, np.uint8)  # 25 MB

    tracemalloc.start()
    drawn(stage, match(), Large())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 90e6


def test_a_crop_is_cut_from_a_frame_that_shows_it() -> None:
    payloads = match()
    regions = [row | {"seen_on": [row["frame"] + 100]} for row in payloads["detect_objects"].regions.to_pylist()]
    payloads["detect_objects"] = replace(payloads["detect_objects"], regions=table(REGIONS, regions))
    drawn("match_brands", payloads, frames := Pictures())
    assert min(frames.reads) >= 100


def test_a_hostile_name_draws() -> None:
    payloads = match(nike="Itaú\u202e\x00\n" * 2000, unknown="日本\ud7ff<b>")
    for stage in STAGES:
        assert drawn(stage, payloads) is not None


@pytest.mark.parametrize("text", ["Itaú", "Škoda", "Газпром"])
def test_the_canvas_has_the_letters(text: str) -> None:
    canvas, blank = OpenCvCanvas(), np.full((40, 200, 3), 255, np.uint8)
    as_drawn = canvas.draw(blank, [Label(2, 2, text, 24, (0, 0, 0))])
    unknown = canvas.draw(blank, [Label(2, 2, "?" * len(text), 24, (0, 0, 0))])
    plain = canvas.draw(blank, [Label(2, 2, text.replace("ú", "u").replace("Š", "S"), 24, (0, 0, 0))])
    assert (as_drawn != unknown).any()
    assert text == "Газпром" or (as_drawn != plain).any()
    assert (blank == 255).all()


def test_labels_keep_to_their_width() -> None:
    canvas, blank = OpenCvCanvas(), np.full((40, 400, 3), 255, np.uint8)
    sheet = canvas.draw(blank, [Label(10, 5, "A very long brand name indeed", 20, (0, 0, 0), 100)])
    inked = np.flatnonzero((sheet < 128).any(axis=(0, 2)))
    assert 60 < inked.max() <= 112


def test_shapes_lie_where_they_should() -> None:
    canvas, blank = OpenCvCanvas(), np.zeros((50, 50, 3), np.uint8)
    square = [(10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0)]
    filled = canvas.draw(blank, [Shape(square, (255, 0, 0))])
    assert filled[15, 15].tolist() == [0, 0, 255]  # red, in B G R
    assert filled[25, 25].tolist() == [0, 0, 0]
    outline = canvas.draw(blank, [Shape(square, (255, 0, 0), line_px=1)])
    assert outline[15, 15].tolist() == [0, 0, 0]
    assert outline[10, 15, 2] > 200
