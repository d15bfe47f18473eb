"""Root: what was asked for, checked, hashed and probed."""

import hashlib
import io
import re
from typing import BinaryIO

from brand_detect.domain.model import JobRequest, Overrides, check_job_id
from brand_detect.domain.params import check_overrides
from brand_detect.domain.protocols import Decoder, Media, Progress

_CHUNK = 1 << 20
_LONGEST_ID = 128


def job_request(
    *,
    job_id: str,
    video_uri: str,
    profile: str,
    overrides: Overrides,
    media: Media,
    decoder: Decoder,
    progress: Progress,
) -> JobRequest:
    """Check the id and the overrides, hash the video's bytes and probe it.

    Raises:
        BadInput: a bad id or override, a URI that may not be opened, or a file that is no video.
    """
    check_job_id(job_id)
    check_overrides(overrides)
    with media.open(video_uri) as file:
        sha256, size = content_sha256(file, progress)
        probe = decoder.probe(file)
    return JobRequest(
        job_id=job_id,
        video_uri=video_uri,
        video_sha256=sha256,
        video_bytes=size,
        profile=profile,
        overrides=overrides,
        probe=probe,
    )


def content_sha256(file: BinaryIO, progress: Progress) -> tuple[str, int]:
    """The hex SHA-256 of a seekable file and its size in bytes; the file stands at its beginning afterwards."""
    total = file.seek(0, io.SEEK_END)
    file.seek(0)
    digest, done = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        done += len(chunk)
        progress(done, total, "bytes")
    file.seek(0)
    return digest.hexdigest(), done


def default_job_id(file_stem: str, sha256: str) -> str:
    """The file's stem, a dash and 8 digits of its content hash, in the letters and length that a job id may have."""
    tail = f"-{sha256[:8]}"
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", file_stem).strip("._-")[: _LONGEST_ID - len(tail)]
    return f"{stem or 'video'}{tail}"
