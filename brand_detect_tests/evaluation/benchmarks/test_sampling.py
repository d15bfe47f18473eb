"""The comparison with FFmpeg measures both on the same file."""

from pathlib import Path

import pytest

from brand_detect.domain.errors import BadInput
from brand_detect.evaluation.benchmarks.sampling import measure_sampling
from brand_detect_tests.support.videos import scene, write_clip


def test_both_are_timed_on_the_same_file(tmp_path: Path) -> None:
    figures = measure_sampling(write_clip(tmp_path / "a.mp4", [scene(1)] * 50), runs=1)
    assert (figures["pictures"], figures["samples"], figures["runs"]) == (50, 4, 1)
    assert figures["wall_ratio"] == pytest.approx(figures["wall_s"] / figures["ffmpeg_wall_s"])
    assert figures["cpu_ratio"] == pytest.approx(figures["cpu_s"] / figures["ffmpeg_cpu_s"])
    assert min(figures.values()) > 0


def test_what_cannot_be_decoded_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("a letter")
    with pytest.raises(BadInput, match=r"a\.mp4 cannot be processed"):
        measure_sampling(path, runs=1)
