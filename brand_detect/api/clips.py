"""The clip of an exposure, cut on demand."""

import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import pyarrow.compute as pc
from fastapi.params import Depends as Dependency
from fastapi.responses import Response, StreamingResponse

from brand_detect.api.answers import Endpoints, problems
from brand_detect.api.corrections import REPORTS
from brand_detect.api.shared import OneAtATime
from brand_detect.api.stored import NotThere, ReportAsked, StoredReports
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.job import JobRequest
from brand_detect.domain.media import file_stem
from brand_detect.domain.protocols import Media, VideoRewriter
from brand_detect.domain.tables import Row
from brand_detect.report.clips import cut, parts

LONGEST_S = 120.0
"""Longest clip: two cores need half a minute for it at 1080p."""
PATIENCE_S = 90.0
"""Longest work on a clip: a video without an index is decoded from its start."""
CHUNK_BYTES = 2**18
NOT_PLAIN = re.compile(r"[^A-Za-z0-9._() -]")
COMMAND = "use the command line: brand-detect export JOB --format clip --exposure ID"


def clip_router(
    stored: StoredReports, media: Media, rewriter: VideoRewriter, may_see: Sequence[Dependency]
) -> Endpoints:
    """The endpoint for clips, which are cut one at a time."""
    router = Endpoints(dependencies=may_see)
    cutting = OneAtATime("Other clips are being cut.")

    @router.get(
        f"{REPORTS}/{{job_id}}/exposures/{{exposure_id}}.mp4",
        response_class=Response,
        responses={200: {"content": {"video/mp4": {"schema": {}}}}, **problems(404, 503)},
    )
    async def clip(
        job_id: str,
        exposure_id: str,
        report: ReportAsked = "",
    ) -> Response:
        """The clip of an exposure, with a second before and after it: H.264 in MP4 at the video's times, with its
        sound. At most two minutes."""
        name, file = await cutting(_cut, job_id, exposure_id, report)
        size = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
        return StreamingResponse(_read(file), headers={**attached(name), **size}, media_type="video/mp4")

    def _cut(job_id: str, exposure_id: str, attempt: str) -> tuple[str, BinaryIO]:
        """The name of the exposure's clip, and the clip as a file that is gone once it is closed."""
        report, request = stored.report(job_id, attempt, ("exposures",))
        until_s = time.monotonic() + PATIENCE_S

        def patient(done: float, total: float, unit: str) -> None:  # noqa: ARG001
            if time.monotonic() > until_s:
                raise Permanent("The clip takes too long to cut.", COMMAND)

        part = parts(report).get(exposure_id)
        if part is None:
            raise NotThere(f"The report of {job_id} has no such exposure.")
        shown = report.exposures.filter(pc.field("exposure_id") == exposure_id)
        start_s, end_s = part
        if end_s - start_s > LONGEST_S:
            raise BadInput(f"The clip would last {end_s - start_s:.0f} s; the longest is {LONGEST_S:.0f} s.", COMMAND)
        try:
            with tempfile.TemporaryDirectory() as folder:
                target = Path(folder) / "clip.mp4"
                cut(request, part, media, rewriter, target, patient)
                return _named(request, shown.to_pylist()[0]), target.open("rb")
        except BadInput as e:
            raise NotThere(f"The clip cannot be cut. {e}") from e

    return router


def _named(request: JobRequest, exposure: Row) -> str:
    """The video, the brand, and when it begins to show: final-Rolex-1m05s.mp4."""
    minutes, seconds = divmod(int(exposure["start_s"]), 60)
    video = file_stem(request.video_uri) or request.job_id
    return f"{video}-{exposure['brand']}-{minutes}m{seconds:02}s.mp4".replace("/", "_")


def attached(name: str) -> dict[str, str]:
    """The header of an answer that is a file of this name."""
    quoted, plain = quote(name, safe="", errors="replace"), NOT_PLAIN.sub("_", name)
    # RFC 6266: the second form is for names such as 华为, which curl and others do not read
    further = "" if plain == name else f"; filename*=UTF-8''{quoted}"
    return {"Content-Disposition": f'attachment; filename="{plain}"{further}'}


def _read(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while data := file.read(CHUNK_BYTES):
            yield data
