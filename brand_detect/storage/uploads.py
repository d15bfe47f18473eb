"""Uploads in parts into a folder or an ``s3://`` prefix. A file appears under its name once all of it is there.

Records and the parts of files in folders lie under ``.parts``; the parts of objects in a multipart upload of S3. Each
file gets a folder of its own, so that names never collide: ``{area}/{upload_id}/{name}``.
"""

import fcntl
import hashlib
import os
import re
import shutil
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from pydantic import Field, ValidationError

from brand_detect.domain.errors import BadInput, Transient
from brand_detect.domain.media import VIDEO_SUFFIXES
from brand_detect.domain.records import Record
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.faults import Missing, explained

PARTS = ".parts"
PART_BYTES = 8 * 2**20
"""Largest part."""
S3_PART_BYTES = 5 * 2**20
"""Smallest part on S3, the last one aside."""
EXPIRES_S = 3 * 24 * 3600.0
"""Age at which an unfinished upload is removed."""
FINISHED_S = 3600.0
"""Age at which the record of a finished one is removed: until then, a repeated request to finish it is answered."""
MOST_OPEN = 100
"""Limit of unfinished uploads."""
MOST_HASHES = 64
UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
LONGEST_NAME = 200
"""In bytes of UTF-8, so that any file system takes it."""


class WrongOffset(BadInput):
    """A part does not begin where the upload ends; ``offset`` is there."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"The next part begins at byte {offset}.", "ask for the upload's offset, and go on from there")
        self.offset = offset


class Upload(Record):
    """The record of an upload."""

    upload_id: str
    name: str = Field(description="the file's name")
    size_bytes: int = Field(description="of the whole file")
    begun_s: float = Field(description="when it began, in seconds since 1970")
    multipart_id: str = Field(default="", description="S3's id of the multipart upload")


class Uploads:
    """Uploads under ``uri``. Safe to share between threads and processes."""

    def __init__(self, uri: str, max_bytes: int) -> None:
        self._blobs, self._max_bytes = Blobs(uri), max_bytes
        self._fs = self._blobs.fs
        protocols = self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,)
        self._is_s3 = "s3" in protocols
        if not (self._is_s3 or isinstance(self._fs, LocalFileSystem)):
            raise BadInput(f"Files cannot be uploaded to {uri}.", "set BRAND_DETECT_UPLOADS to a folder or s3://…")
        self._hashes: OrderedDict[str, tuple[int, Any]] = OrderedDict()

    @property
    def smallest_part(self) -> int:
        """Least bytes of a part that is not the last."""
        return S3_PART_BYTES if self._is_s3 else 1

    def uri(self, upload: Upload) -> str:
        """Where the file is once it is finished."""
        return self._blobs.uri(f"{upload.upload_id}/{upload.name}")

    def begin(self, name: str, size_bytes: int) -> Upload:
        """Begin an upload; removes those that were not finished within three days.

        Raises:
            BadInput: the name is not a video's, the file is too large, or too many uploads are open.
        """
        name = safe_name(name)
        if size_bytes > self._max_bytes:
            raise BadInput(
                f"{name} is too large: {size_bytes} bytes; the limit is {self._max_bytes}.",
                "name the video by its address, or raise BRAND_DETECT_UPLOAD_MAX_BYTES",
            )
        if size_bytes <= 0:
            raise BadInput(f"{name} is empty.", "choose a video")
        if len(self._swept()) >= MOST_OPEN:
            raise BadInput(f"{MOST_OPEN} uploads are unfinished, which is the limit.", "finish or cancel some")
        self._check_space(size_bytes)
        upload = Upload(upload_id=uuid.uuid4().hex, name=name, size_bytes=size_bytes, begun_s=time.time())
        if self._is_s3:
            with explained(f"{name} could not be uploaded"):
                answer = self._call("create_multipart_upload", upload)
            upload = upload.model_copy(update={"multipart_id": answer["UploadId"]})
        self._blobs.create(_record(upload.upload_id), upload.model_dump_json().encode())
        return upload

    def find(self, upload_id: str) -> Upload:
        """
        Raises:
            Missing: there is no such upload.
        """
        if not UPLOAD_ID.fullmatch(upload_id):
            raise Missing("There is no such upload.")
        try:
            return Upload.model_validate_json(self._blobs.read(_record(upload_id)))
        except (Missing, ValidationError) as e:
            raise Missing("There is no such upload: it was cancelled, or broke off more than three days ago.") from e

    def offset(self, upload: Upload) -> int:
        """How many of its bytes are there."""
        if self.is_finished(upload):
            return upload.size_bytes
        if self._is_s3:
            return sum(part["Size"] for part in self._parts(upload))
        path = self._part_file(upload)
        return path.stat().st_size if path.exists() else 0

    def append(self, upload: Upload, offset: int, data: bytes) -> int:
        """Add the bytes from ``offset`` on; returns the offset of the next part.

        Raises:
            WrongOffset: another part belongs there.
            BadInput: it is empty, too short or too long.
        """
        if not data or len(data) > PART_BYTES or offset + len(data) > upload.size_bytes:
            raise BadInput("The part is empty, or longer than allowed.", f"send at most {PART_BYTES} bytes at a time")
        is_last = offset + len(data) == upload.size_bytes
        if len(data) < self.smallest_part and not is_last:
            raise BadInput("The part is too short.", f"send at least {self.smallest_part} bytes at a time")
        with explained(f"A part of {upload.name} could not be written"):
            if self._is_s3:
                self._append_s3(upload, offset, data)
            else:
                self._append_local(upload, offset, data)
        self._hash(upload.upload_id, offset, data)
        return offset + len(data)

    def finish(self, upload: Upload) -> str:
        """Make the whole file appear; returns its URI. Finishing twice is harmless.

        Raises:
            WrongOffset: parts are missing.
        """
        if not self.is_finished(upload):
            there = self.offset(upload)
            if there != upload.size_bytes:
                raise WrongOffset(there)
            with explained(f"{upload.name} could not be finished"):
                if self._is_s3:
                    parts = [{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for p in self._parts(upload)]
                    self._call("complete_multipart_upload", upload, MultipartUpload={"Parts": parts})
                else:
                    target = Path(self.uri(upload))
                    target.parent.mkdir(exist_ok=True)
                    self._part_file(upload).replace(target)
        return self.uri(upload)

    def sha256(self, upload: Upload) -> str:
        """Hash of the finished file; read back unless this process has received all of it."""
        done, digest = self._hashes.get(upload.upload_id, (0, None))
        if digest is not None and done == upload.size_bytes:
            return digest.hexdigest()
        return self._blobs.sha256(f"{upload.upload_id}/{upload.name}")

    def is_finished(self, upload: Upload) -> bool:
        """Whether the whole file is there under its name."""
        return self._blobs.exists(f"{upload.upload_id}/{upload.name}")

    def remove(self, upload: Upload) -> None:
        """Remove an upload with all that was received, also a finished file."""
        self._hashes.pop(upload.upload_id, None)
        self._forget(upload)
        self._blobs.remove_folder(upload.upload_id)

    def _forget(self, upload: Upload) -> None:
        """Remove the record, and parts that were not finished."""
        with explained(f"{upload.name} could not be removed"):
            if not self._is_s3:
                self._part_file(upload).unlink(missing_ok=True)
            elif not self.is_finished(upload):
                with suppress(FileNotFoundError):  # S3 has removed it by a rule of the bucket
                    self._call("abort_multipart_upload", upload)
        with suppress(Missing):  # another process has removed it
            self._blobs.remove(_record(upload.upload_id))

    def _swept(self) -> list[Upload]:
        """The unfinished uploads, after those that took too long were removed."""
        left = []
        for name in self._blobs.names(PARTS):
            try:
                upload = self.find(name.removesuffix(".json"))
            except Missing:  # a part file, or removed by another process
                continue
            finished = self.is_finished(upload)
            if time.time() - upload.begun_s > (FINISHED_S if finished else EXPIRES_S):
                self._forget(upload)
            elif not finished:
                left.append(upload)
        return left

    def _check_space(self, size_bytes: int) -> None:
        if self._is_s3:
            return
        with explained(f"{self._blobs.root} could not be looked up"):
            Path(self._blobs.root).mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._blobs.root).free
        if size_bytes > free:
            raise BadInput(f"The disk has room for {free} bytes only.", "make room, or name the video by its address")

    def _append_local(self, upload: Upload, offset: int, data: bytes) -> None:
        descriptor = os.open(self._part_file(upload), os.O_WRONLY | os.O_CREAT, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as e:
                raise Transient(f"Another part of {upload.name} is being written.", "wait for it") from e
            there = file.seek(0, os.SEEK_END)
            if there != offset:
                raise WrongOffset(there)
            try:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, offset)  # the disk is full: half a part is none
                raise

    def _append_s3(self, upload: Upload, offset: int, data: bytes) -> None:
        parts = list(self._parts(upload))
        there = sum(part["Size"] for part in parts)
        if there != offset:
            raise WrongOffset(there)
        self._call("upload_part", upload, PartNumber=len(parts) + 1, Body=data)

    def _parts(self, upload: Upload) -> Iterator[dict[str, Any]]:
        """S3's parts of an unfinished upload, in order."""
        marker: dict[str, Any] = {}
        while True:
            with explained(f"The parts of {upload.name} could not be listed"):
                answer = self._call("list_parts", upload, **marker)
            yield from answer.get("Parts", ())
            if not answer.get("IsTruncated"):
                return
            marker = {"PartNumberMarker": answer["NextPartNumberMarker"]}

    def _call(self, operation: str, upload: Upload, **more: Any) -> dict[str, Any]:
        bucket, _, key = self.uri(upload).partition("://")[2].partition("/")
        if upload.multipart_id:
            more["UploadId"] = upload.multipart_id
        return self._fs.call_s3(operation, Bucket=bucket, Key=key, **more)

    def _part_file(self, upload: Upload) -> Path:
        return Path(self._blobs.root, PARTS, f"{upload.upload_id}.part")

    def _hash(self, upload_id: str, offset: int, data: bytes) -> None:
        done, digest = self._hashes.pop(upload_id, (0, hashlib.sha256()))
        if done == offset:
            digest.update(data)
            self._hashes[upload_id] = offset + len(data), digest
        while len(self._hashes) > MOST_HASHES:
            self._hashes.popitem(last=False)


def safe_name(name: str) -> str:
    """The last part of a file's name as a browser or a program gives it, without what paths or terminals interpret.

    Raises:
        BadInput: nothing is left, or it is not a video's.
    """
    last = re.split(r"[/\\]", name)[-1]
    printable = "".join(letter if letter.isprintable() else "_" for letter in last).strip(" .")
    suffix = PurePosixPath(printable).suffix
    stem = re.sub(r'[<>:"|?*%#]', "_", printable.removesuffix(suffix)).strip(" .")
    if suffix.lower() not in VIDEO_SUFFIXES or not stem:
        raise BadInput(
            f"{printable[:80] or 'The file'!r} is not a video.", f"choose one of {', '.join(VIDEO_SUFFIXES)}"
        )
    stem = stem.encode("utf-8", "replace")[: LONGEST_NAME - len(suffix)].decode("utf-8", "ignore")
    return f"{stem}{suffix}"


def _record(upload_id: str) -> str:
    return f"{PARTS}/{upload_id}.json"
