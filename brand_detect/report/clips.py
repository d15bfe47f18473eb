"""Clips of exposures, cut from the job's video."""

import io
from pathlib import Path

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import JobRequest
from brand_detect.domain.protocols import Interval, Media, Progress, Rewritten, VideoRewriter

MARGIN_S = 1.0
"""Time before and after the exposure."""


def parts(report: Report) -> dict[str, Interval]:
    """The part of the video with each exposure, by its id, with ``MARGIN_S`` on each side."""
    times = zip(*(report.exposures[name].to_pylist() for name in ("exposure_id", "start_s", "end_s")), strict=True)
    return {exposure_id: (max(0.0, start_s - MARGIN_S), end_s + MARGIN_S) for exposure_id, start_s, end_s in times}


def cut(
    request: JobRequest, part: Interval, media: Media, rewriter: VideoRewriter, target: Path, progress: Progress
) -> Rewritten:
    """Write a part of the job's video to ``target`` as MP4: its pictures, times and sound, from 0 on.

    The video is known again by its size: to hash it, all of it would have to be read.

    Raises:
        BadInput: the video is missing or out of reach, or another one, or cannot be decoded there.
    """
    with media.open(request.video_uri) as file:
        if file.seek(0, io.SEEK_END) != request.video_bytes:
            raise BadInput(
                f"{request.video_uri} is no longer the video that the report was made from.",
                "put it back, or submit it as a new job",
            )
        made = rewriter.rewrite(file, target, None, progress, part)
    if not made.frames:
        raise BadInput(f"{request.video_uri} cannot be decoded at {part[0]:.1f} s.", "repair the file")
    return made
