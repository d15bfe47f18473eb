"""The video behind a report, for the player on its page: a file by ranges, and the boxes over it."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from mimetypes import guess_type
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from fastapi.params import Depends as Dependency
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from brand_detect.api.answers import Endpoints, problems
from brand_detect.api.corrections import REPORTS
from brand_detect.api.stored import NotThere, ReportAsked, StoredReports
from brand_detect.domain.contracts.compile_report import CompileReportParams, Report
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.errors import BadInput
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.protocols import Media
from brand_detect.report.annotations import Annotations
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.store import Store

CHUNK_BYTES = 2**18
RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
LONGEST_S = 120.0
"""Longest part of a video whose boxes are given at once."""


class Track(BaseModel):
    """A brand's box as it moves: between two of `t_s` linearly."""

    brand: int = Field(description="index into the report's brands", examples=[0])
    confidence: float = Field(examples=[0.97])
    spans_s: list[tuple[float, float]] = Field(description="when it is shown", examples=[[[12.0, 14.5]]])
    t_s: list[float] = Field(description="times of `boxes`", examples=[[12.0, 12.5]])
    boxes: list[tuple[float, float, float, float]] = Field(
        description="left, top, right and bottom as shares of the picture",
        examples=[[[0.1, 0.2, 0.3, 0.25], [0.12, 0.2, 0.32, 0.25]]],
    )


class Boxes(BaseModel):
    tracks: list[Track] = Field(description="those with most time on screen last, on top")


class PartAsked:
    """A request for a file: for all of it, or for what its ``Range`` says."""

    responses: Mapping[int | str, dict[str, Any]] = {
        200: {"content": {"video/*": {}}},
        206: {"description": "The requested range", "content": {"video/*": {}}},
        416: {"description": "The range lies outside the video"},
        **problems(404, 503),
    }

    def __init__(
        self,
        asking: Request,
        range_: Annotated[str, Header(alias="Range", description="`bytes=0-1048575`")] = "",
        if_range: Annotated[str, Header(description="the `ETag` of an earlier answer")] = "",
    ) -> None:
        self._is_head = asking.method == "HEAD"
        self._range, self._if_range = range_, if_range

    def answer(
        self,
        size_bytes: int,
        etag: str,
        kind: str,
        read: Callable[[int, int], Iterator[bytes]],
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer; ``read`` gives the bytes from a start to an end.

        Raises:
            HTTPException: there are no such bytes (416).
        """
        etag = f'"{etag}"'
        asked = _asked(self._range, size_bytes) if self._if_range in ("", etag) else None
        start, end = asked or (0, size_bytes)
        headers = {"Accept-Ranges": "bytes", "ETag": etag, "Content-Length": str(end - start), **(headers or {})}
        if asked:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size_bytes}"
        return StreamingResponse(() if self._is_head else read(start, end), 206 if asked else 200, headers, kind)


def media_router(stored: StoredReports, store: Store, media: Media, may_see: Sequence[Dependency]) -> Endpoints:
    """The endpoints for the video of a report."""
    router = Endpoints(dependencies=may_see)
    videos = _Videos(stored, store)

    @router.head(f"{REPORTS}/{{job_id}}/video", include_in_schema=False)
    @router.get(
        f"{REPORTS}/{{job_id}}/video",
        response_class=Response,
        responses={**PartAsked.responses},
    )
    def video(asked: Annotated[PartAsked, Depends()], job_id: str, report: ReportAsked = "") -> Response:
        """The video that a report was made from. `Range` asks for a part of it."""
        request = stored.request(job_id, report)
        try:
            with media.open(request.video_uri) as file:
                size_bytes = file.seek(0, os.SEEK_END)
        except BadInput as e:
            raise NotThere(f"The video is out of reach. {e}") from e
        if size_bytes != request.video_bytes:
            raise NotThere(f"{request.video_uri} is no longer the video that the report was made from.")
        kind = guess_type(request.video_uri)[0] or "application/octet-stream"
        return asked.answer(size_bytes, request.video_sha256, kind, partial(_read, media, request.video_uri))

    @router.get(f"{REPORTS}/{{job_id}}/boxes", responses=problems(400, 404, 503))
    def boxes(
        job_id: str,
        from_s: Annotated[float, Query(ge=0, le=1e6, allow_inf_nan=False, examples=[0.0])],
        to_s: Annotated[float, Query(ge=0, le=1e6, allow_inf_nan=False, examples=[60.0])],
        report: ReportAsked = "",
    ) -> Boxes:
        """The brands' boxes in a part of the video, as the annotated video draws them; at most two minutes at once."""
        if not 0 < to_s - from_s <= LONGEST_S:
            raise BadInput(
                f"The boxes of {from_s} s to {to_s} s cannot be given.", f"ask for at most {LONGEST_S:.0f} s, in order"
            )
        found = videos.annotations(job_id, report).between(from_s, to_s)
        return Boxes(tracks=[Track(**track._asdict()) for track in found])

    return router


class _Videos:
    """What the store knows about the videos of its reports."""

    def __init__(self, stored: StoredReports, store: Store) -> None:
        self._stored, self._store = stored, store
        self._annotations_of = lru_cache(4)(self._load_annotations)

    def annotations(self, job_id: str, report: str) -> Annotations:
        """
        Raises:
            NotThere: there is no such report.
        """
        made = self._stored.made(job_id, report)
        return self._annotations_of(job_id, made.attempt)

    def _load_annotations(self, job_id: str, attempt: str) -> Annotations:
        made = self._stored.made(job_id, attempt)
        report = self._store.load(_ref(made, Stage.compile_report), tables=("brands", "exposures", "detections"))
        extracted = self._store.load(_ref(made, Stage.extract_frames))
        scenes = self._store.load(_ref(made, Stage.filter_scenes))
        assert isinstance(report, Report)
        assert isinstance(extracted, ExtractedFrames)
        assert isinstance(scenes, FilteredScenes)
        params = CompileReportParams.model_validate(made.params)
        return Annotations(report, extracted.frames, scenes.timeline, params.bridge_s)


def _asked(header: str, size_bytes: int) -> tuple[int, int] | None:
    """Start and end of the bytes that a ``Range`` asks for; None for all of them, as for several ranges at once.

    ``bytes=-500`` are the last 500. Raises HTTPException with status 416: there are no such bytes.
    """
    found = RANGE.fullmatch(header)
    if not found or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    start = int(first) if first else max(size_bytes - int(last), 0)
    end = min(int(last) + 1, size_bytes) if first and last else size_bytes
    if first and last and int(last) < start:
        return None
    if start >= end:
        raise HTTPException(416, "There is no such range.", {"Content-Range": f"bytes */{size_bytes}"})
    return start, end


def _read(media: Media, uri: str, start: int, end: int) -> Iterator[bytes]:
    with media.open(uri) as file:
        file.seek(start)
        while start < end and (data := file.read(min(CHUNK_BYTES, end - start))):
            start += len(data)
            yield data


def _ref(made: Manifest, stage: str) -> AttemptRef:
    return AttemptRef(made.job_id, stage, made.attempt if stage == made.stage else made.upstream[stage])
