"""Immutable attempts over fsspec: files first, the manifest last.

Layout: ``{root}/{job_id}/{stage}/{run_id}-{retry}/``. A folder without a manifest does not exist for readers,
and nothing here overwrites or deletes. Comparisons, ``{root}/{job_id}/_comparisons/``, are no checkpoints: they can be
made again, and are written anew then.
"""

import errno
import hashlib
import io
import os
import re
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileOpener, LocalFileSystem

from brand_detect.domain.errors import Permanent
from brand_detect.domain.model import Payload, check_job_id
from brand_detect.domain.protocols import BlobRef, Image, ImageCodec
from brand_detect.storage import codec as payload_codec
from brand_detect.storage.codec import Value
from brand_detect.storage.faults import check_address, explained
from brand_detect.storage.manifest import NAME, CheckOutcome, FileEntry, Manifest, recipe_of

SHARD_BYTES = 64 * 2**20
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_TAR_BLOCK = 512
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""What file systems without hard links (exFAT, some network shares) say."""


@dataclass(frozen=True)
class AttemptRef:
    """One attempt of one stage of one job."""

    job_id: str
    stage: str
    attempt: str

    @property
    def path(self) -> str:
        return f"{self.job_id}/{self.stage}/{self.attempt}"

    def __str__(self) -> str:
        return self.path


class Store:
    """All checkpoints under one root, a folder or a URI."""

    def __init__(self, root: str) -> None:
        self.root = check_address(root).rstrip("/")
        try:
            self.fs, self._base = fsspec.url_to_fs(self.root)
        except (ImportError, ValueError) as e:
            raise Permanent(f"The store {root} cannot be opened: {e}.", "check BRAND_DETECT_STORE_ROOT") from e

    def uri(self, ref: AttemptRef) -> str:
        return f"{self.root}/{ref.path}"

    def begin(self, ref: AttemptRef) -> "AttemptWriter":
        """Start writing an attempt.

        Raises:
            Permanent: it was finished before.
        """
        check_job_id(ref.job_id)
        if self.exists(ref):
            raise Permanent(f"The checkpoint {ref} exists already.", "checkpoints are immutable; start a new run")
        return AttemptWriter(self, ref)

    def exists(self, ref: AttemptRef) -> bool:
        """Whether the attempt was finished."""
        with explained(f"{self.uri(ref)} could not be looked up"):
            return self.fs.exists(self._path(ref, NAME))

    def manifest(self, ref: AttemptRef) -> Manifest:
        """The attempt's manifest.

        Raises:
            Permanent: the attempt was never finished, its files are gone, or they are damaged.
        """
        with _undamaged(ref):
            return Manifest.model_validate_json(self.read(ref, NAME))

    def load(self, ref: AttemptRef) -> Value:
        """What the attempt's stage handed on; errors as ``manifest``."""
        with _undamaged(ref):
            return payload_codec.decode(ref.stage, lambda name: self.read(ref, name))

    def read(self, ref: AttemptRef, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """A file of the attempt, or the bytes ``[start, end)`` of it."""
        with explained(f"{self.uri(ref)}/{name} could not be read"):
            try:
                return self.fs.cat_file(self._path(ref, name), start=start, end=end)
            except FileNotFoundError as e:
                raise Permanent(
                    f"The checkpoint {ref} is gone: it has no {name}.",
                    f"re-materialize {ref.stage} of {ref.job_id}, or restore {self.uri(ref)}",
                ) from e

    def attempts(self, job_id: str, stage: str) -> list[Manifest]:
        """Every finished attempt, oldest first."""
        folder = f"{self._base}/{check_job_id(job_id)}/{stage}"
        with explained(f"{self.root}/{job_id}/{stage} could not be listed"):
            self.fs.invalidate_cache(folder)
            if not self.fs.isdir(folder):
                return []
            names = [p.rstrip("/").rsplit("/", 1)[-1] for p in self.fs.ls(folder, detail=False)]
        found = [AttemptRef(job_id, stage, name) for name in names]
        return sorted((self.manifest(r) for r in found if self.exists(r)), key=lambda m: m.created)

    def size_bytes(self, ref: AttemptRef) -> int:
        return sum(f.size_bytes for f in self.manifest(ref).files)

    def put_catalog(self, version: str, data: bytes) -> str:
        """Keep a snapshot of the catalogue; returns its URI. The same version is written once."""
        if not self.has_catalog(version):
            self._create(self._catalog_path(version), data, lenient=True)
        return f"{self.root}/_catalog/{version}/catalog.json"

    def has_catalog(self, version: str) -> bool:
        with explained(f"{self.root}/_catalog/{version} could not be looked up"):
            return self.fs.exists(self._catalog_path(version))

    def get_catalog(self, version: str) -> bytes:
        """The snapshot of that version.

        Raises:
            Permanent: there is none.
        """
        with explained(f"{self.root}/_catalog/{version} could not be read"):
            try:
                return self.fs.cat_file(self._catalog_path(version))
            except FileNotFoundError as e:
                raise Permanent(f"The catalogue snapshot {version} is gone.", "re-materialize brand_catalog") from e

    def put_comparison(self, job_id: str, name: str, data: bytes) -> str:
        """Keep a document about two attempts of ``job_id``, in place of an earlier one of that name; returns its URI.

        Raises:
            ValueError: ``name`` is no plain file name.
        """
        if not _FILE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no file name")
        path = f"{self._base}/{check_job_id(job_id)}/_comparisons/{name}"
        with explained(f"{self.root}/{job_id}/_comparisons/{name} could not be written"):
            if isinstance(self.fs, LocalFileSystem):
                _replace_local(Path(path), data)
            else:
                self.fs.pipe_file(path, data)
        return f"{self.root}/{job_id}/_comparisons/{name}"

    def _catalog_path(self, version: str) -> str:
        return f"{self._base}/_catalog/{version}/catalog.json"

    def _path(self, ref: AttemptRef, name: str) -> str:
        return f"{self._base}/{ref.path}/{name}"

    def _create(self, path: str, data: bytes, *, lenient: bool = False) -> None:
        """Write a whole file that must not exist yet, all or nothing.

        ``lenient`` accepts that another writer put the same content first.
        """
        with explained(f"{path} could not be written"):
            try:
                if isinstance(self.fs, LocalFileSystem):
                    _create_local(Path(path), data)
                else:
                    self._put_new(path, data)
            except FileExistsError as e:
                if not lenient:
                    raise Permanent(
                        f"{path} exists already.", "checkpoints are never overwritten; start a new run"
                    ) from e

    def _put_new(self, path: str, data: bytes) -> None:
        try:
            self.fs.pipe_file(path, data, mode="create")
        except OSError as e:
            if not isinstance(e, FileExistsError) and self.fs.exists(path):  # s3fs: a failed condition is EINVAL
                raise FileExistsError(path) from e
            raise


def _create_local(target: Path, data: bytes) -> None:
    with _draft(target, data) as draft:
        try:
            os.link(draft, target)  # unlike a rename, fails when the target is there
        except OSError as e:
            if e.errno not in NO_LINKS:
                raise
            if target.exists():
                raise FileExistsError(target) from e
            draft.replace(target)


def _replace_local(target: Path, data: bytes) -> None:
    with _draft(target, data) as draft:
        draft.replace(target)


@contextmanager
def _draft(target: Path, data: bytes) -> Iterator[Path]:
    """A whole file beside ``target``, to be put in its place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as file:
            file.write(data)
            _settle(file)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _settle(file: io.BufferedIOBase) -> None:
    """On a local disk, wait until the file is there for good: a manifest must not outlive a power cut alone."""
    if isinstance(file, LocalFileOpener | io.BufferedWriter):
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _undamaged(ref: AttemptRef) -> Iterator[None]:
    try:
        yield
    except ValueError as e:  # pydantic's, json's and Arrow's errors all are
        reason = str(e).splitlines()[0]
        raise Permanent(
            f"The checkpoint {ref} is damaged: {reason}.", f"re-materialize {ref.stage} of {ref.job_id}, or restore it"
        ) from e


class AttemptWriter:
    """Writes one attempt; the ``BlobSink`` of the stages. Nothing is visible before ``commit``."""

    def __init__(self, store: Store, ref: AttemptRef) -> None:
        self.ref = ref
        self._store = store
        self._files: dict[str, FileEntry] = {}
        self._shard: _Shard | None = None
        self._shards: list[str] = []

    def append(self, data: bytes) -> BlobRef:
        """Append a frame to the current shard, an uncompressed tar that any tool can open."""
        if self._shard is None or self._shard.size_bytes >= SHARD_BYTES:
            self.seal()
            name = f"frames-{len(self._shards):05d}.tar"
            self._shards.append(name)
            with explained(f"{name} of {self.ref} could not be written"):
                self._shard = _Shard(name, self._open(name))
        return self._shard.append(data)

    def write(self, name: str, data: bytes) -> None:
        """Write one whole file."""
        if name in self._files or name == NAME:
            raise ValueError(f"{name} was written already")
        with explained(f"{name} of {self.ref} could not be written"), self._open(name) as file:
            file.write(data)
            _settle(file)
        self._files[name] = FileEntry(name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    def commit(
        self,
        value: Value,
        *,
        run_id: str,
        code_version: str,
        params: Mapping[str, Any],
        overrides: Mapping[str, Any],
        engines: Mapping[str, str],
        upstream: Mapping[str, str],
        input_versions: Mapping[str, str],
        stage_s: float,
        checks: tuple[CheckOutcome, ...] = (),
        continues: str = "",
    ) -> Manifest:
        """Write the payload, then the manifest that makes the attempt exist.

        Raises:
            Permanent: this attempt was committed before.
        """
        self.seal()
        for name, data in payload_codec.encode(value):
            self.write(name, data)
        blobs = {name: self._files[name].sha256 for name in self._shards}
        manifest = Manifest(
            job_id=self.ref.job_id,
            stage=self.ref.stage,
            attempt=self.ref.attempt,
            run_id=run_id,
            created=datetime.now(timezone.utc).isoformat(),
            code_version=code_version,
            params=dict(params),
            overrides=dict(overrides),
            engines=dict(engines),
            upstream=dict(upstream),
            input_versions=dict(input_versions),
            continues=continues,
            counts=value.counts() if isinstance(value, Payload) else {},
            stats=dict(value.stats) if isinstance(value, Payload) else {},
            notes=value.notes,
            stage_s=stage_s,
            checks=checks,
            recipe=recipe_of(code_version, params, input_versions, engines),
            data_version=payload_codec.data_version(value, blobs),
            files=tuple(self._files.values()),
        )
        self._store._create(self._store._path(self.ref, NAME), manifest.model_dump_json(indent=1).encode())
        return manifest

    def _open(self, name: str) -> io.BufferedIOBase:
        path = self._store._path(self.ref, name)
        fs: Any = self._store.fs
        try:
            return fs.open(path, "wb")
        except FileNotFoundError:  # not before: s3fs would make a bucket that is not there
            fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            return fs.open(path, "wb")

    def seal(self) -> None:
        """Close the current shard; frames appended so far can be read from then on."""
        if self._shard is not None:
            entry = self._shard.close()
            self._files[entry.name] = entry
            self._shard = None


class _Shard:
    """A tar that is written once, front to back, with its hash taken on the way."""

    def __init__(self, name: str, file: io.BufferedIOBase) -> None:
        self.name = name
        self.size_bytes = 0
        self._file = file
        self._hash = hashlib.sha256()
        self._members = 0

    def append(self, data: bytes) -> BlobRef:
        info = tarfile.TarInfo(f"{self.name.removesuffix('.tar')}-{self._members:06d}.jpg")
        info.size = len(data)
        self._members += 1
        self._write(info.tobuf(tarfile.USTAR_FORMAT))
        ref = BlobRef(self.name, self.size_bytes, len(data))
        self._write(data)
        self._write(b"\0" * (-len(data) % _TAR_BLOCK))
        return ref

    def close(self) -> FileEntry:
        self._write(b"\0" * (2 * _TAR_BLOCK))
        with explained(f"{self.name} could not be written"), self._file:
            _settle(self._file)
        return FileEntry(name=self.name, size_bytes=self.size_bytes, sha256=self._hash.hexdigest())

    def _write(self, data: bytes) -> None:
        with explained(f"{self.name} could not be written"):
            self._file.write(data)
        self._hash.update(data)
        self.size_bytes += len(data)


class StoredFrames:
    """The ``FrameReader`` over an attempt of ``extract_frames``: each frame is one byte range."""

    def __init__(self, store: Store, ref: AttemptRef, frames: pa.Table, codec: ImageCodec) -> None:
        self._store, self._ref, self._codec = store, ref, codec
        self._shard = frames["shard"].to_pylist()
        self._offset = frames["offset"].to_numpy()
        self._size = frames["size_bytes"].to_numpy()

    def read(self, frame: int) -> Image:
        start = int(self._offset[frame])
        return self._codec.decode(
            self._store.read(self._ref, self._shard[frame], start, start + int(self._size[frame]))
        )
