"""The root: id, overrides, hash and probe."""

import hashlib
from pathlib import Path

import pytest

from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import JobRequest, Overrides
from brand_detect.engines.video import PyAvDecoder
from brand_detect.stages.job_request import job_request
from brand_detect_tests.support.videos import LocalMedia, scene, silent, write_clip


def ask(path: Path, job_id: str = "match-1", overrides: Overrides | None = None) -> JobRequest:
    return job_request(
        job_id=job_id,
        video_uri=str(path),
        profile="default",
        overrides=overrides or {},
        media=LocalMedia(),
        decoder=PyAvDecoder(),
        progress=silent,
    )


def test_a_request_holds_what_was_asked_and_what_the_file_is(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [scene(1)] * 25)
    request = ask(path, overrides={"extract_frames": {"sample_fps": 1.0}})
    data = path.read_bytes()
    assert (request.video_sha256, request.video_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert request.overrides == {"extract_frames": {"sample_fps": 1.0}}
    assert (request.probe.width_px, request.probe.duration_s) == (320, pytest.approx(1.0))


@pytest.mark.parametrize("job_id", ["", "../x", "a/b", "x" * 300, "⚽", ".hidden", "a b", "a\n"])
def test_bad_ids_are_refused_before_the_video_is_opened(tmp_path: Path, job_id: str) -> None:
    with pytest.raises(BadInput, match="job id"):
        ask(tmp_path / "missing.mp4", job_id)


def test_bad_overrides_are_refused_before_the_video_is_opened(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="sample_fps"):
        ask(tmp_path / "missing.mp4", overrides={"extract_frames": {"sample_fps": 0}})
