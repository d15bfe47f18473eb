"""Uploads of videos in parts: begin, send, finish. Nothing is queued before a whole file was checked."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Header, Request
from fastapi import Path as InPath
from fastapi.params import Depends as Dependency
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from brand_detect.api.answers import Endpoints, media_type, problems
from brand_detect.api.guard import UPLOADS
from brand_detect.api.job_list import JobList
from brand_detect.api.stored import NotThere
from brand_detect.api.stored_jobs import StoredJobs
from brand_detect.domain.errors import BadInput, BrandDetectError
from brand_detect.domain.job import Probe
from brand_detect.domain.media import content_sha256, default_job_id
from brand_detect.domain.protocols import Decoder, Media
from brand_detect.domain.settings import Settings
from brand_detect.storage.blobs import file_system
from brand_detect.storage.faults import Missing
from brand_detect.storage.media import MediaFiles
from brand_detect.storage.uploads import PART_BYTES, Upload, Uploads, WrongOffset

PART_TYPE = "application/octet-stream"
"""Media type of a part."""
EXAMPLE_ID = "5f0c1c9c2f5e4a0f8a3b0d9f1c2e7a61"


class NewUpload(BaseModel):
    name: str = Field(max_length=1000, description="the file's name", examples=["final.mp4"])
    size_bytes: int = Field(ge=0, le=2**53, description="size of the whole file, in bytes", examples=[734003200])


class UploadState(BaseModel):
    upload_id: str = Field(examples=[EXAMPLE_ID])
    name: str = Field(description="the name under which the file is kept", examples=["final.mp4"])
    size_bytes: int = Field(examples=[734003200])
    offset: int = Field(description="number of bytes that have arrived: where the next part begins", examples=[8388608])
    part_min_bytes: int = Field(description="least size of a part that is not the last", examples=[1])
    part_max_bytes: int = Field(description="largest size of a part", examples=[PART_BYTES])


class Checked(BaseModel):
    video_uri: str = Field(description="what to submit", examples=["/videos/uploads/5f0c…/final.mp4"])
    job_id: str = Field(description="a job id for it", examples=["final-1a2b3c4d"])
    jobs: list[str] = Field(
        description="jobs of a video with this content, which is then not kept twice", examples=[[]]
    )
    duration_s: float = Field(examples=[5400.0])
    width_px: int = Field(examples=[1920])
    height_px: int = Field(examples=[1080])
    fps: float = Field(examples=[25.0])


class Offset(BaseModel):
    offset: int = Field(description="where the next part begins", examples=[16777216])


Id = Annotated[str, InPath(description="as `POST /uploads` gave it", openapi_examples={"id": {"value": EXAMPLE_ID}})]


def uploads_of(settings: Settings, media: MediaFiles) -> Uploads | None:
    """The upload area; None if it is off, or is the default one and lies outside the media roots.

    Raises:
        BadInput: it was set, and lies outside the media roots or within the inbox, whose sensor would take the files.
    """
    area = settings.uploads
    if not area:
        return None
    try:
        media.check(f"{area.rstrip('/')}/")
    except BadInput as e:
        if "uploads" not in settings.model_fields_set:
            return None
        raise BadInput(f"BRAND_DETECT_UPLOADS: {e}", e.hint) from e
    if settings.inbox and _folder(area).startswith(_folder(settings.inbox)):
        raise BadInput("BRAND_DETECT_UPLOADS lies within the inbox.", "name a folder or prefix beside it")
    return Uploads(area, settings.upload_max_bytes)


class UploadArea:
    """The upload area behind the endpoints; ``uploads`` None switches it off."""

    def __init__(
        self, uploads: Uploads | None, media: MediaFiles, decoder: Decoder, jobs: JobList, stored: StoredJobs
    ) -> None:
        self._uploads, self._media, self._decoder, self._jobs, self._stored = uploads, media, decoder, jobs, stored

    @property
    def uploads(self) -> Uploads:
        """
        Raises:
            BadInput: uploads are switched off.
        """
        if self._uploads is None:
            raise BadInput("Uploads are switched off.", "set BRAND_DETECT_UPLOADS to a folder in the media roots")
        return self._uploads

    def find(self, upload_id: str) -> Upload:
        """
        Raises:
            NotThere: there is no such upload.
        """
        try:
            return self.uploads.find(upload_id)
        except Missing as e:
            raise NotThere(str(e)) from e

    @contextmanager
    def alone(self, upload_id: str) -> Iterator[Upload]:
        """As ``Uploads.alone``.

        Raises:
            NotThere: there is no such upload.
        """
        try:
            with self.uploads.alone(upload_id) as upload:
                yield upload
        except Missing as e:
            raise NotThere(str(e)) from e

    def append(self, upload: Upload, offset: int, data: bytes) -> int:
        """Add a part; returns the offset of the next one.

        Raises:
            NotThere: the upload was cancelled in the meantime.
        """
        try:
            return self.uploads.append(upload, offset, data)
        except Missing as e:
            raise NotThere(str(e)) from e

    def state(self, upload: Upload) -> UploadState:
        least, most = self.uploads.part_bytes(upload)
        return UploadState(
            upload_id=upload.upload_id,
            name=upload.name,
            size_bytes=upload.size_bytes,
            offset=self.uploads.offset(upload),
            part_min_bytes=least,
            part_max_bytes=most,
        )

    def finish(self, upload_id: str) -> Checked:
        """Check the whole file; a repeated call, even at the same time, finds the same.

        Raises:
            BadInput: it is no video, and was removed.
            NotThere: there is no such upload, or it was a video, which has been deleted since.
            WrongOffset: parts are missing.
        """
        with self.alone(upload_id) as upload:
            if not upload.video_uri:
                upload = self._checked(upload)
        try:
            probe = probed(self._media, self._decoder, upload.video_uri)
        except BadInput as e:
            raise NotThere(f"{upload.name} is no longer there: {e}") from e
        return Checked(
            video_uri=upload.video_uri,
            job_id=default_job_id(upload.name.rpartition(".")[0], upload.sha256),
            jobs=self._jobs.of_video(upload.sha256),
            **probe.model_dump(include={"duration_s", "width_px", "height_px", "fps"}),
        )

    def _checked(self, upload: Upload) -> Upload:
        """Finish an upload; removes what is no video, and a copy of what a job has."""
        own = self.uploads.finish(upload)
        try:
            probed(self._media, self._decoder, own)
        except BadInput as e:
            self.uploads.remove(upload)
            raise BadInput(f"{upload.name} is refused: {e}", e.hint) from e
        sha256 = self.uploads.sha256(upload)
        others = filter(None, map(self._stored.request, self._jobs.of_video(sha256)))
        copies = (o.video_uri for o in others if self._is_copy(o.video_uri, own, upload.size_bytes, sha256))
        kept = next(copies, own)
        return self.uploads.settle(upload, kept, sha256)

    def _is_copy(self, uri: str, own: str, size_bytes: int, sha256: str) -> bool:
        """Whether a file, which is not ``own`` under another name, has its content today."""
        try:
            with self._media.open(uri) as file:
                there, here = self._media.check(uri), self._media.check(own)
                if there == here or ("://" not in there + here and Path(there).samefile(here)):
                    return False
                return file.seek(0, io.SEEK_END) == size_bytes and content_sha256(file)[0] == sha256
        except (BrandDetectError, OSError):  # OSError: one of the two is gone before they are compared
            return False


def upload_router(area: UploadArea, may_see: Sequence[Dependency], may_change: Sequence[Dependency]) -> Endpoints:
    """The endpoints for uploads."""
    router = Endpoints(tags=["uploads"])

    @router.post(UPLOADS, status_code=201, responses=problems(403, 415, 503), dependencies=may_change)
    def begin(asked: NewUpload) -> UploadState:
        """Begin an upload: the name must be a video's, and the size within `BRAND_DETECT_UPLOAD_MAX_BYTES`."""
        return area.state(area.uploads.begin(asked.name, asked.size_bytes))

    @router.get(f"{UPLOADS}/{{upload_id}}", responses=problems(404, 503), dependencies=may_see)
    def state(upload_id: Id) -> UploadState:
        """How much has arrived: where to go on after a break. Unfinished uploads are kept for three days."""
        return area.state(area.find(upload_id))

    @router.patch(
        f"{UPLOADS}/{{upload_id}}",
        responses=problems(403, 404, 409, 415, 503),
        dependencies=may_see,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {PART_TYPE: {"schema": {"type": "string", "format": "binary", "maxLength": PART_BYTES}}},
            }
        },
    )
    async def append(
        upload_id: Id,
        request: Request,
        upload_offset: Annotated[int, Header(ge=0, le=2**53, description="where this part begins in the file")],
    ) -> Offset:
        """Send the bytes from `Upload-Offset` on. 409 says where the next part begins."""
        if media_type(request) != PART_TYPE:
            raise HTTPException(415, f"The body must be a part of the file, with the Content-Type {PART_TYPE}.")
        upload = await run_in_threadpool(area.find, upload_id)
        try:
            data = await request.body()
        except ClientDisconnect as e:  # nobody hears the answer
            raise HTTPException(400, "The part broke off.") from e
        try:
            return Offset(offset=await run_in_threadpool(area.append, upload, upload_offset, data))
        except WrongOffset as e:
            raise _out_of_step(e) from e

    @router.post(
        f"{UPLOADS}/{{upload_id}}/finish", responses=problems(403, 404, 409, 415, 503), dependencies=may_change
    )
    def finish(upload_id: Id) -> Checked:
        """Check the whole file: it must be a video within the limits, else it is removed.

        A video whose content another job has is not kept twice: `jobs` names them, and `video_uri` is theirs.
        """
        try:
            return area.finish(upload_id)
        except WrongOffset as e:
            raise _out_of_step(e) from e

    @router.delete(
        f"{UPLOADS}/{{upload_id}}",
        status_code=204,
        responses=problems(403, 404, 409, 415, 503),
        response_class=Response,
        dependencies=may_change,
    )
    def cancel(upload_id: Id) -> Response:
        """Cancel an unfinished upload and remove what has arrived."""
        with area.alone(upload_id) as upload:
            if area.uploads.is_finished(upload):
                raise HTTPException(409, "The upload is finished: a job may read the file.")
            area.uploads.remove(upload)
        return Response(status_code=204)

    return router


def probed(media: Media, decoder: Decoder, uri: str) -> Probe:
    """What a video is.

    Raises:
        BadInput: it cannot be read here, or is no video.
    """
    with media.open(uri) as file:
        return decoder.probe(file)


def _folder(uri: str) -> str:
    """A folder's path within its file system, with a slash at its end: ``file:///a`` is ``/a/``."""
    return f"{file_system(uri, 'folder', 'BRAND_DETECT_UPLOADS and BRAND_DETECT_INBOX')[1].rstrip('/')}/"


def _out_of_step(error: WrongOffset) -> HTTPException:
    return HTTPException(409, str(error), headers={"Upload-Offset": str(error.offset)})
