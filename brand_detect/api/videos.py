"""Videos made of a report's, with its boxes or for browsers: made while somebody waits, kept in the store, given."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from threading import Event
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.params import Depends as Dependency
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from brand_detect.api.answers import broken, problems
from brand_detect.api.clips import attached
from brand_detect.api.corrections import REPORTS
from brand_detect.api.media import PartAsked
from brand_detect.api.shared import OneAtATime
from brand_detect.api.stored import MadeVideo, ReportAsked, StoredReports
from brand_detect.domain.errors import BadInput, BrandDetectError
from brand_detect.domain.protocols import Canvas, Media, Progress, VideoRewriter
from brand_detect.operations.exports import SECONDS, StoredReport, annotate, copy
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store

TOLD_S = 1.0
"""Time between two lines about what is done."""
ENDING_S = 3.0
"""Longest wait at the service's end for what is being made, so that no temporary file is left."""
PIECE_BYTES = 2**22
LINES = "application/x-ndjson"
VIDEO = f"{REPORTS}/{{job_id}}/{{kind}}.mp4"
NAMES = {MadeVideo.annotated: "boxes", MadeVideo.playable: "playable"}
"""The ends of the files' names."""


def video_router(
    stored: StoredReports,
    store: Store,
    media: Media,
    rewriter: VideoRewriter,
    canvas: Canvas,
    may_see: Sequence[Dependency],
    may_change: Sequence[Dependency],
) -> APIRouter:
    """The endpoints for the videos; one is made at a time."""
    running = _Running()
    router = APIRouter(lifespan=running.until_all_ended)
    maker, making = _Maker(stored, store, media, rewriter, canvas), OneAtATime("Other videos are being made.")

    @router.head(VIDEO, include_in_schema=False, dependencies=may_see)
    @router.get(VIDEO, response_class=Response, responses={**PartAsked.responses}, dependencies=may_see)
    def given(
        job_id: str, kind: MadeVideo, asked: Annotated[PartAsked, Depends()], report: ReportAsked = ""
    ) -> Response:
        """A video made of the report's, once a POST here made it; `Range` asks for a part of it.

        `annotated` has the report's boxes drawn in; the asset `annotated_video` makes it as well. `playable` is a copy
        for browsers that do not play the video: H.264 and AAC in MP4, at most 720 pixels high, with the same times.
        """
        path = stored.video(kind, job_id, report)

        def read(start: int, end: int) -> Iterator[bytes]:
            for begin in range(start, end, PIECE_BYTES):
                yield store.blobs.read(path, begin, min(begin + PIECE_BYTES, end))

        size_bytes = store.blobs.size_bytes(path)
        headers = attached(stored.download(job_id, report, f"{NAMES[kind]}.mp4"))
        return asked.answer(size_bytes, f"{path}-{size_bytes}", "video/mp4", read, headers)

    @router.post(
        VIDEO,
        response_class=Response,
        responses={200: {"content": {LINES: {"schema": {}}}}, **problems(403, 404, 415, 503)},
        dependencies=may_change,
    )
    async def make(
        job_id: str,
        kind: MadeVideo,
        report: ReportAsked = "",
        again: Annotated[bool, Query(description="also if there is one: it takes the place of the other")] = False,
    ) -> Response:
        """Make a video of the report's, and keep it for GET; of a long video none is made.

        The answer is one line of JSON a second: `done_s` of `total_s`, neither before its turn; at last the `address`
        and `notes` on what the video lacks, or `detail` and `hint` of what went wrong. Whoever hangs up stops it, but
        while the finished video is stored: the next one who asks has it at once.
        """
        found = await run_in_threadpool(maker.found, job_id, kind, report)
        address = f"{VIDEO.format(job_id=job_id, kind=kind)}?report={found.ref.attempt}"

        async def made(progress: Progress) -> dict[str, Any]:
            return {"address": address, "notes": await making(maker.make, found, kind, again, progress)}

        return StreamingResponse(running.lines(made), media_type=LINES)

    return router


@dataclass(frozen=True)
class _Maker:
    """Makes the videos of stored reports."""

    stored: StoredReports
    store: Store
    media: Media
    rewriter: VideoRewriter
    canvas: Canvas

    def found(self, job_id: str, kind: MadeVideo, report: str) -> StoredReport:
        made = self.stored.made(job_id, report)
        found = StoredReport(self.store, AttemptRef(job_id, made.stage, made.attempt), made)
        if found.request.probe.duration_s > 60 * kind.longest_min:
            raise BadInput(
                f"The video is longer than {kind.longest_min} minutes: this is not made of it here.",
                f"use the command line: brand-detect export {job_id} --format mp4"
                if kind is MadeVideo.annotated
                else "submit a copy of it in H.264 and MP4",
            )
        return found

    def make(self, found: StoredReport, kind: MadeVideo, again: bool, progress: Progress) -> tuple[str, ...]:
        duration_s, path = found.request.probe.duration_s, kind.path(found.manifest)
        progress(0.0, duration_s, SECONDS)
        if self.store.blobs.exists(path) and not again:  # made for somebody else while this one waited
            return ()
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / f"{kind}.mp4"
            if kind is MadeVideo.annotated:
                made, _ = annotate(found, self.media, self.rewriter, self.canvas, target, progress)
            else:
                made = copy(found, self.media, self.rewriter, target, progress)
            progress(duration_s, duration_s, SECONDS)
            self.store.blobs.put_file(path, target)
        return made.notes


class _Left(Exception):
    """Nobody waits for the result any more."""


class _Running:
    """The work under way: it ends when nobody reads its lines any more, or with the service."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[dict[str, Any]], Event] = {}  # each with the event that ends it

    @asynccontextmanager
    async def until_all_ended(self, _: FastAPI) -> AsyncIterator[None]:
        """The lifespan of what does the work."""
        yield
        for left in self._tasks.values():
            left.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ENDING_S)

    async def lines(self, work: Callable[[Progress], Awaitable[dict[str, Any]]]) -> AsyncIterator[bytes]:
        """JSON lines about what is done, and the result.

        The work reports progress as the first thing after its wait for a turn.
        """
        seen: dict[str, Any] = {}
        left = Event()

        def progress(done: float, total: float, unit: str) -> None:  # noqa: ARG001
            seen.update(done_s=round(done, 1), total_s=round(total, 1))
            if left.is_set():
                raise _Left

        async def result() -> dict[str, Any]:
            try:
                return await work(progress)
            except _Left:
                return {}
            except BrandDetectError as e:
                return {"detail": str(e), "hint": e.hint}
            except HTTPException as e:
                return {"detail": e.detail}
            except Exception as e:
                getLogger(__name__).exception("A video could not be made.")
                return broken(e)

        task = asyncio.create_task(result())
        self._tasks[task] = left
        task.add_done_callback(self._tasks.pop)
        try:
            while not (await asyncio.wait({task}, timeout=TOLD_S))[0]:
                yield _line(seen)
            yield _line(task.result())
        finally:
            left.set()  # before the look at ``seen``: work that begins meanwhile sees it
            if not seen:  # later the turn would be given back while the thread goes on
                task.cancel()


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"
