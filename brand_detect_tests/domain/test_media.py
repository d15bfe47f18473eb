"""What identifies a video."""

import hashlib
import io

from hypothesis import given
from hypothesis import strategies as st

from brand_detect.domain.job import check_job_id
from brand_detect.domain.media import content_sha256, default_job_id, file_name, own_job_id


def test_the_hash_tells_its_progress_and_rewinds() -> None:
    file = io.BytesIO(bytes(range(256)) * 10_000)
    file.seek(77)
    told: list[tuple[float, float]] = []
    digest, size = content_sha256(file, lambda done, total, unit: told.append((done, total)))  # noqa: ARG005
    assert (digest, size, file.tell()) == (hashlib.sha256(file.getvalue()).hexdigest(), 2_560_000, 0)
    assert told[-1] == (size, size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_path_may_hold_what_a_uri_may_not() -> None:
    assert file_name("/videos/final #2, who won?.mp4") == "final #2, who won?.mp4"
    assert file_name("//[nas/derby.mp4") == "derby.mp4"
    assert file_name("s3://bucket/derby.mp4?versionId=1") == "derby.mp4"


def test_default_ids_are_the_stem_and_the_hash() -> None:
    assert default_job_id("derby", "0123456789abcdef") == "derby-01234567"
    assert default_job_id("Fußball (1. Halbzeit)", "0123456789abcdef") == "Fu_ball_1._Halbzeit-01234567"
    assert default_job_id("⚽⚽", "0123456789abcdef") == "video-01234567"


@given(st.text(max_size=300), st.binary())
def test_default_ids_are_always_allowed(stem: str, data: bytes) -> None:
    sha256 = hashlib.sha256(data).hexdigest()
    assert check_job_id(default_job_id(stem, sha256)).endswith(sha256[:8])


def test_a_job_id_is_ones_own_unless_it_repeats_the_videos_name() -> None:
    video = "s3://season/Cup final (1).mp4"
    assert own_job_id(default_job_id("Cup final (1)", "0123456789abcdef"), video) == ""
    for chosen in ("cup", "Cup_final_1", "Cup_final_2-01234567", "01234567"):
        assert own_job_id(chosen, video) == chosen
