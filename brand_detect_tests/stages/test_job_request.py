"""The root: id, overrides, hash and probe."""

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brand_detect.domain.errors import BadInput
from brand_detect.domain.model import JobRequest, Overrides, check_job_id
from brand_detect.engines.video import PyAvDecoder
from brand_detect.stages.job_request import content_sha256, default_job_id, job_request
from brand_detect_tests.videos import LocalMedia, scene, silent, write_clip


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


def test_the_hash_tells_its_progress_and_rewinds() -> None:
    file = io.BytesIO(bytes(range(256)) * 10_000)
    file.seek(77)
    told: list[tuple[float, float]] = []
    digest, size = content_sha256(file, lambda done, total, unit: told.append((done, total)))  # noqa: ARG005
    assert (digest, size, file.tell()) == (hashlib.sha256(file.getvalue()).hexdigest(), 2_560_000, 0)
    assert told[-1] == (size, size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_default_ids_are_the_stem_and_the_hash() -> None:
    assert default_job_id("derby", "0123456789abcdef") == "derby-01234567"
    assert default_job_id("Fußball (1. Halbzeit)", "0123456789abcdef") == "Fu_ball_1._Halbzeit-01234567"
    assert default_job_id("⚽⚽", "0123456789abcdef") == "video-01234567"


@given(st.text(max_size=300), st.binary())
def test_default_ids_are_always_allowed(stem: str, data: bytes) -> None:
    sha256 = hashlib.sha256(data).hexdigest()
    assert check_job_id(default_job_id(stem, sha256)).endswith(sha256[:8])
