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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from pydantic import Field, ValidationError

from brand_detect.domain.errors import BadInput, Transient
from brand_detect.domain.media import VIDEO_SUFFIXES
from brand_detect.domain.records import Record
from brand_detect.storage.blobs import Blobs, concurrently, file_system
from brand_detect.storage.faults import Missing, check_address, explained

PARTS = ".parts"
PART_BYTES = 8 * 2**20
"""Largest part."""
S3_PART_BYTES, S3_PARTS = 5 * 2**20, 10_000
"""S3's smallest part, the last one aside, and its limit of parts."""
EXPIRES_S = 3 * 24 * 3600.0
"""Age at which an unfinished upload is removed, and the record of a finished one: until then, a repeated request to
finish it is answered."""
MOST_OPEN = 100
"""Limit of unfinished uploads."""
MARGIN_BYTES = 2**30
"""Room that uploads leave on the disk, which Dagster and the store may share."""
MOST_HASHES = 64
LOCKS = 1024
"""Locks that uploads to S3 share: two wait for each other if the last bits of their ids are equal."""
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
    sha256: str = Field(default="", description="hash of the file, once it was checked")
    video_uri: str = Field(default="", description="where the checked file is: another one may have the same content")


class Uploads:
    """Uploads under ``uri``. Safe to share between threads and processes."""

    def __init__(self, uri: str, max_bytes: int) -> None:
        """
        Raises:
            BadInput: files cannot be uploaded there, or not files of ``max_bytes``.
        """
        self._fs, path = file_system(check_address(uri), "upload area", "BRAND_DETECT_UPLOADS")
        is_local = isinstance(self._fs, LocalFileSystem)
        protocols = self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,)
        self._is_s3 = "s3" in protocols
        if not (self._is_s3 or is_local):
            raise BadInput(f"Files cannot be uploaded to {uri}.", "set BRAND_DETECT_UPLOADS to a folder or s3://…")
        if self._is_s3 and max_bytes > S3_PARTS * PART_BYTES:
            raise BadInput(
                f"Files of {max_bytes} bytes cannot be uploaded to S3.",
                f"set BRAND_DETECT_UPLOAD_MAX_BYTES to at most {S3_PARTS * PART_BYTES}",
            )
        self._blobs, self._max_bytes = Blobs(path if is_local else uri), max_bytes
        self._hashes: OrderedDict[str, tuple[int, Any]] = OrderedDict()
        self._locks = tuple(Lock() for _ in range(LOCKS))

    def part_bytes(self, upload: Upload) -> tuple[int, int]:
        """Least bytes of a part that is not the last, and most.

        On S3 all parts of an upload have one size, so that a part that arrives twice, even late, replaces itself.
        """
        if not self._is_s3:
            return 1, PART_BYTES
        size = S3_PART_BYTES if upload.size_bytes <= S3_PARTS * S3_PART_BYTES else PART_BYTES
        return size, size

    def uri(self, upload: Upload) -> str:
        """Where the file is once it is finished."""
        return self._blobs.uri(f"{upload.upload_id}/{upload.name}")

    def begin(self, name: str, size_bytes: int) -> Upload:
        """Begin an upload; removes those that were not finished within three days.

        Raises:
            BadInput: the name is not a video's, the file is too large for the limit or the disk, or too many uploads
                are open.
        """
        name = safe_name(name)
        if size_bytes > self._max_bytes:
            raise BadInput(
                f"{name} is too large: {size_bytes} bytes; the limit is {self._max_bytes}.",
                "name the video by its address, or raise BRAND_DETECT_UPLOAD_MAX_BYTES",
            )
        if size_bytes <= 0:
            raise BadInput(f"{name} is empty.", "choose a video")
        unfinished = self._swept()
        if len(unfinished) >= MOST_OPEN:
            raise BadInput(f"{MOST_OPEN} uploads are unfinished, which is the limit.", "finish or cancel some")
        if not self._is_s3:
            self._check_space(size_bytes, unfinished)
        upload = Upload(upload_id=uuid.uuid4().hex, name=name, size_bytes=size_bytes, begun_s=time.time())
        if self._is_s3:
            with explained(f"{name} could not be uploaded"):
                answer = self._call("create_multipart_upload", upload)
            upload = upload.model_copy(update={"multipart_id": answer["UploadId"]})
        self._blobs.create(_record(upload.upload_id), upload.model_dump_json().encode())
        if not self._is_s3:
            with explained(f"{name} could not be uploaded"):
                self._part_file(upload).touch()
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
            raise Missing("There is no such upload: it was cancelled, refused, or unfinished for three days.") from e

    @contextmanager
    def alone(self, upload_id: str) -> Iterator[Upload]:
        """The upload as it is now, while no other thread is here with it, and in a folder no other process.

        Raises:
            Missing: there is no such upload.
        """
        self.find(upload_id)
        if self._is_s3:
            with self._locks[int(upload_id, 16) % LOCKS]:
                yield self.find(upload_id)
            return
        with explained(f"The upload {upload_id} could not be locked"):
            record = os.open(self._blobs.uri(_record(upload_id)), os.O_RDWR)
        try:
            fcntl.flock(record, fcntl.LOCK_EX)
            yield self.find(upload_id)  # who had the lock may have replaced or removed the record
        finally:
            os.close(record)

    def offset(self, upload: Upload) -> int:
        """How many of its bytes are there."""
        if upload.video_uri or self.is_finished(upload):
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
            Missing: the upload was removed in the meantime.
        """
        least, most = self.part_bytes(upload)
        if not data or len(data) > most or offset + len(data) > upload.size_bytes:
            raise BadInput("The part is empty, or longer than allowed.", f"send at most {most} bytes at a time")
        is_last = offset + len(data) == upload.size_bytes
        if len(data) < least and not is_last:
            raise BadInput("The part is too short.", f"send at least {least} bytes at a time")
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

    def settle(self, upload: Upload, video_uri: str, sha256: str) -> Upload:
        """Note where the checked file is; removes the uploaded one if that is another with the same content."""
        upload = upload.model_copy(update={"video_uri": video_uri, "sha256": sha256})
        self._blobs.put(_record(upload.upload_id), upload.model_dump_json().encode())
        if video_uri != self.uri(upload):
            self._blobs.remove_folder(upload.upload_id)
        return upload

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
        self._blobs.remove_folder(upload.upload_id)  # first: no file is left that no record knows
        self._forget(upload)

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
        """The unfinished uploads, after those that took too long were removed, also files that were never checked."""
        left = []
        upload_ids = sorted({name.partition(".")[0] for name in self._blobs.names(PARTS)})
        for upload_id, upload in zip(upload_ids, concurrently(self._found, upload_ids), strict=True):
            if upload is None and not self._is_s3:  # a part that was received while the upload was cancelled
                Path(self._blobs.root, PARTS, f"{upload_id}.part").unlink(missing_ok=True)
            elif upload and time.time() - upload.begun_s > EXPIRES_S:
                self._expire(upload)
            elif upload and not (upload.video_uri or self.is_finished(upload)):
                left.append(upload)
        return left

    def _expire(self, upload: Upload) -> None:
        # whatever the area was called when it was finished
        if upload.video_uri.endswith(f"/{upload.upload_id}/{upload.name}"):
            self._forget(upload)
            return
        with suppress(Missing), self.alone(upload.upload_id) as now:
            # a copy that a kill left behind, or what was never checked, unless another machine checks it now
            if now == upload and (now.video_uri or time.time() - self._blobs.last_written_s(now.upload_id) > EXPIRES_S):
                self.remove(now)

    def _found(self, upload_id: str) -> Upload | None:
        with suppress(Missing):
            return self.find(upload_id)
        return None

    def _check_space(self, size_bytes: int, unfinished: Sequence[Upload]) -> None:
        """
        Raises:
            BadInput: the disk has no room for the file beside what unfinished uploads still need.
        """
        with explained(f"{self._blobs.root} could not be looked up"):
            Path(self._blobs.root).mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._blobs.root).free
        promised = sum(upload.size_bytes - self.offset(upload) for upload in unfinished)
        room = max(0, free - promised - MARGIN_BYTES)
        if size_bytes > room:
            raise BadInput(f"The disk has room for {room} bytes only.", "make room, or name the video by its address")

    def _append_local(self, upload: Upload, offset: int, data: bytes) -> None:
        try:
            descriptor = os.open(self._part_file(upload), os.O_WRONLY)
        except FileNotFoundError:
            if self.is_finished(upload):
                raise WrongOffset(upload.size_bytes) from None
            raise
        # unbuffered: closing a buffer writes what is left in it, even after the part was given up
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as e:
                raise Transient(f"Another part of {upload.name} is being written.", "wait for it") from e
            there = file.seek(0, os.SEEK_END)
            if there != offset:
                raise WrongOffset(there)
            try:
                left = memoryview(data)
                while left:
                    left = left[file.write(left) :]
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, offset)  # the disk is full: half a part is none
                raise

    def _append_s3(self, upload: Upload, offset: int, data: bytes) -> None:
        size, _ = self.part_bytes(upload)
        number = offset // size + 1
        last = max((part["PartNumber"] for part in self._parts(upload, after=max(0, number - 2))), default=0)
        if offset % size or last != number - 1:
            raise WrongOffset(self.offset(upload))
        self._call("upload_part", upload, PartNumber=number, Body=data)

    def _parts(self, upload: Upload, after: int = 0) -> Iterator[dict[str, Any]]:
        """S3's parts of an unfinished upload behind the part with the number ``after``, in order."""
        while True:
            with explained(f"The parts of {upload.name} could not be listed"):
                answer = self._call("list_parts", upload, PartNumberMarker=after)
            yield from (
                part for part in answer.get("Parts", ()) if part["PartNumber"] > after
            )  # some servers send it, too
            if not answer.get("IsTruncated"):
                return
            after = answer["NextPartNumberMarker"]

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
