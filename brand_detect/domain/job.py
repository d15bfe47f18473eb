"""A job's id and its request, the root of every lineage."""

import re
from typing import Any

from pydantic import Field

from brand_detect.domain.errors import BadInput
from brand_detect.domain.records import Record

JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_job_id(job_id: str) -> str:
    """Returns ``job_id`` if it is well formed.

    Raises:
        BadInput: it is not 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit.
    """
    if not JOB_ID.fullmatch(job_id):
        shown = job_id if len(job_id) <= 40 else f"{job_id[:40]}…"
        raise BadInput(
            f"The job id {shown!r} is not allowed.",
            "use 1 to 128 of A-Z a-z 0-9 . _ - and begin with a letter or digit",
        )
    return job_id


class Probe(Record):
    """Facts about a video, from its container and first pictures. Sizes are upright, as displayed."""

    duration_s: float = Field(description="from the header, else from the packets; in a report at least its range")
    width_px: int
    height_px: int
    fps: float = Field(description="average frames per second")
    rotation_deg: int = Field(description="clockwise rotation that makes the stored picture upright: 0, 90, 180 or 270")
    codec: str
    pix_fmt: str
    container: str
    interlaced: bool = False
    variable_frame_rate: bool = False
    first_picture_s: float = Field(
        default=0.0,
        description="when a player shows the first picture, in seconds: all times of the job count from that picture, "
        "and sound may begin before it",
    )


Overrides = dict[str, dict[str, Any]]
"""``{stage: {param: value}}``."""


class JobRequest(Record):
    """A request to process a video: the root of every lineage."""

    job_id: str
    video_uri: str
    video_sha256: str
    video_bytes: int
    profile: str
    overrides: Overrides
    probe: Probe
    notes: tuple[str, ...] = ()
