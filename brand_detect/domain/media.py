"""Identification of videos by content, and limits on their size."""

import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit

from brand_detect.domain.protocols import Progress

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".ts", ".avi", ".webm")


@dataclass(frozen=True)
class VideoLimits:
    """Limits on a video's resources; videos beyond them are refused."""

    max_pixels: int = 8192 * 4320
    """Pixels per picture, as stored and as displayed; the limit shrinks in proportion above 24 bits per pixel."""
    max_duration_s: float = 24 * 3600.0


_CHUNK = 1 << 20
_LONGEST_ID = 128


def content_sha256(file: BinaryIO, progress: Progress | None = None) -> tuple[str, int]:
    """The hex SHA-256 of a seekable file and its size in bytes; rewinds the file."""
    total = file.seek(0, io.SEEK_END)
    file.seek(0)
    digest, done = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        done += len(chunk)
        if progress is not None:
            progress(done, total, "bytes")
    file.seek(0)
    return digest.hexdigest(), done


def file_name(uri: str) -> str:
    """The last part of a local path, which may contain ``#`` and ``?``, or of a URI's path."""
    return PurePosixPath(urlsplit(uri).path if "://" in uri else uri).name


def file_stem(uri: str) -> str:
    """``file_name`` without its ending."""
    return PurePosixPath(file_name(uri)).stem


def default_job_id(file_stem: str, sha256: str) -> str:
    """The file's stem, a dash and 8 digits of its content hash, reduced to a valid job id."""
    tail = f"-{sha256[:8]}"
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", file_stem).strip("._-")[: _LONGEST_ID - len(tail)]
    return f"{stem or 'video'}{tail}"


def own_job_id(job_id: str, video_uri: str) -> str:
    """The job id if somebody chose it; "" if it is the default one, which repeats the video's name."""
    return "" if job_id == default_job_id(file_stem(video_uri), job_id[-8:]) else job_id
