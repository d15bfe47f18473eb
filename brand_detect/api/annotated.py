"""The video with a report's boxes: drawn while somebody waits for it, kept in the store, and given."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from logging import getLogger
from pathlib import Path
from threading import Event
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.params import Depends as Dependency
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from brand_detect.api.answers import broken, problems
from brand_detect.api.clips import attached
from brand_detect.api.corrections import REPORTS
from brand_detect.api.shared import OneAtATime
from brand_detect.api.stored import LONGEST_DRAWN_MIN, ReportAsked, StoredReports
from brand_detect.domain.errors import BadInput, BrandDetectError
from brand_detect.domain.protocols import Canvas, Media, Progress, VideoRewriter
from brand_detect.operations.exports import SECONDS, StoredReport, annotate
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store

TOLD_S = 1.0
"""Time between two lines about what is done."""
ENDING_S = 3.0
"""Longest wait at the service's end for what is being drawn, so that no temporary file is left."""
LINES = "application/x-ndjson"
VIDEO = f"{REPORTS}/{{job_id}}/annotated.mp4"


def annotated_router(
    stored: StoredReports,
    store: Store,
    media: Media,
    rewriter: VideoRewriter,
    canvas: Canvas,
    may_see: Sequence[Dependency],
    may_change: Sequence[Dependency],
) -> APIRouter:
    """The endpoints for the video with boxes; one is drawn at a time."""
    running = _Running()
    router = APIRouter(lifespan=running.until_all_ended)
    drawing = OneAtATime("Other videos are being drawn.")

    @router.get(
        VIDEO,
        response_class=Response,
        responses={200: {"content": {"video/mp4": {"schema": {}}}}, **problems(404, 503)},
        dependencies=may_see,
    )
    def given(job_id: str, report: ReportAsked = "") -> Response:
        """The whole video with the report's boxes drawn in, once it was drawn: by a POST here, or by the asset
        `annotated_video`."""
        size_bytes, pieces = stored.annotated(job_id, report)
        return attached(f"{job_id}-boxes.mp4", size_bytes, pieces)

    @router.post(
        VIDEO,
        response_class=Response,
        responses={200: {"content": {LINES: {"schema": {}}}}, **problems(403, 404, 503)},
        dependencies=may_change,
    )
    async def draw(job_id: str, report: ReportAsked = "") -> Response:
        """Draw the report's boxes into its video, and keep it for GET; a long video is refused.

        The answer is one line of JSON a second: `done_s` of `total_s`, neither before its turn; at last the `address`,
        or `detail` and `hint` of what went wrong. Whoever hangs up stops it, but while the finished video is stored:
        the next one who asks has it at once.
        """
        found = await run_in_threadpool(_found, job_id, report)
        address = f"{VIDEO.format(job_id=job_id)}?report={found.ref.attempt}"

        async def drawn(progress: Progress) -> dict[str, str]:
            await drawing(_draw, found, progress)
            return {"address": address}

        return StreamingResponse(running.lines(drawn), media_type=LINES)

    def _found(job_id: str, report: str) -> StoredReport:
        made = stored.made(job_id, report)
        found = StoredReport(store, AttemptRef(job_id, made.stage, made.attempt), made)
        if found.request.probe.duration_s > 60 * LONGEST_DRAWN_MIN:
            raise BadInput(
                f"The video is longer than {LONGEST_DRAWN_MIN} minutes: it is not drawn here.",
                f"use the command line: brand-detect export {job_id} --format mp4",
            )
        return found

    def _draw(found: StoredReport, progress: Progress) -> None:
        duration_s = found.request.probe.duration_s
        progress(0.0, duration_s, SECONDS)
        if store.blobs.exists(found.ref.annotated):  # drawn for somebody else while this one waited
            return
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "annotated.mp4"
            annotate(found, media, rewriter, canvas, target, progress)
            progress(duration_s, duration_s, SECONDS)
            store.blobs.put_file(found.ref.annotated, target)

    return router


class _Left(Exception):
    """Nobody waits for the result any more."""


class _Running:
    """The work under way: it ends when nobody reads its lines any more, or with the service."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[dict[str, str]], Event] = {}  # each with the event that ends it

    @asynccontextmanager
    async def until_all_ended(self, _: FastAPI) -> AsyncIterator[None]:
        """The lifespan of what does the work."""
        yield
        for left in self._tasks.values():
            left.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ENDING_S)

    async def lines(self, work: Callable[[Progress], Awaitable[dict[str, str]]]) -> AsyncIterator[bytes]:
        """JSON lines about what is done, and the result.

        The work reports progress as the first thing after its wait for a turn.
        """
        seen: dict[str, Any] = {}
        left = Event()

        def progress(done: float, total: float, unit: str) -> None:  # noqa: ARG001
            seen.update(done_s=round(done, 1), total_s=round(total, 1))
            if left.is_set():
                raise _Left

        async def result() -> dict[str, str]:
            try:
                return await work(progress)
            except _Left:
                return {}
            except BrandDetectError as e:
                return {"detail": str(e), "hint": e.hint}
            except HTTPException as e:
                return {"detail": e.detail}
            except Exception as e:
                getLogger(__name__).exception("A video could not be drawn.")
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
