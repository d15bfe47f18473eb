"""A stage's line of progress is read back as it was written."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brand_detect.domain.progress import StageProgress
from brand_detect.orchestration.resources import LoggedProgress

UNITS = ("frames", "seconds of video", "frames with crops", "pictures of the catalogue", "questions", "bytes")
numbers = st.integers(0, 10**9).map(float)


@given(numbers, numbers, st.sampled_from(UNITS), st.integers(0, 10**6).map(lambda n: n / 10))
def test_what_is_written_is_read(done: float, total: float, unit: str, rate: float):
    written = StageProgress("run_ocr", done, total, unit, rate)
    assert StageProgress.read(str(written)) == written


@pytest.mark.parametrize("line", ["", "run_ocr: done", "run_ocr: 1 of frames", "x: 3 of 4 frames, 1 a second", "a\nb"])
def test_other_lines_are_none(line: str):
    assert StageProgress.read(line) is None


def test_a_rate_that_is_rounded_to_nothing_is_known_by_the_time_left():
    found = StageProgress.read("escalate_vlm: 1 of 11 questions, 0.0 a second, 1000 s left")
    assert found is not None
    assert (found.rate, found.left_s) == (0.01, 1000.0)


def test_progress_is_logged_at_intervals(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    clock = iter([100.0, 101.0, 103.0, 104.0, 112.9, 113.1])
    monkeypatch.setattr("brand_detect.orchestration.resources.time.monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO):
        report = LoggedProgress("run_ocr", logging.getLogger("progress"))
        for done in (1, 6, 7, 8, 9):
            report(done, 12, "frames")
    assert caplog.messages == [
        "run_ocr: 6 of 12 frames, 2.0 a second, 3 s left",
        "run_ocr: 9 of 12 frames, 0.7 a second, 4 s left",
    ]
