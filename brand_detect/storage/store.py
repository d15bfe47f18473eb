"""The store: every attempt of every job, over fsspec.

What goes is removed by retention and by the deletion of a job, the manifest first. Comparisons, exports and portfolios
are no checkpoints: they can be made again, and are written anew then. Corrections are a person's work: they go with the
whole job alone.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache

from brand_detect.domain.errors import Permanent
from brand_detect.domain.job import JOB_ID, check_job_id
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.tables import SCHEMA_VERSION
from brand_detect.storage import codec as payload_codec
from brand_detect.storage.attempts import AttemptRef, AttemptWriter
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.codec import Value
from brand_detect.storage.faults import Missing
from brand_detect.storage.manifest import NAME, FileEntry, Manifest, manifest_from_json, schema_version_of
from brand_detect.storage.shards import SHARD_PREFIX
from brand_detect.storage.snapshots import Snapshots

PINS = "_pins"
"""The folder of a job with a file for each attempt that is to stay."""
_PROOFS = 256
"""Manifests that are kept at hand, to compare files with."""


class Store:
    """All checkpoints under one root, a folder or a URI; ``blobs`` and ``snapshots`` hold what else lies there."""

    def __init__(self, root: str) -> None:
        self.blobs = Blobs(root)
        self.snapshots = Snapshots(self.blobs)
        self._proofs = lru_cache(_PROOFS)(self.manifest)

    @property
    def root(self) -> str:
        return self.blobs.root

    def uri(self, ref: AttemptRef) -> str:
        return self.blobs.uri(ref.path)

    def begin(self, ref: AttemptRef) -> AttemptWriter:
        """Start writing an attempt.

        Raises:
            Permanent: it was finished before.
        """
        check_job_id(ref.job_id)
        if self.exists(ref):
            raise Permanent(f"The checkpoint {ref} exists already.", "checkpoints are immutable; start a new run")
        return AttemptWriter(self.blobs, ref)

    def exists(self, ref: AttemptRef) -> bool:
        """Whether the attempt was finished."""
        return self.blobs.exists(ref.file(NAME))

    def manifest(self, ref: AttemptRef) -> Manifest:
        """The attempt's manifest.

        Raises:
            Permanent: the attempt was never finished, its files are gone or damaged, or of another schema version.
        """
        data = self.read_part(ref, NAME)
        try:
            version = schema_version_of(data)
            found = manifest_from_json(data) if version == SCHEMA_VERSION else None
        except ValueError as e:
            raise self.damaged(ref, NAME) from e
        if found is None:
            raise Permanent(
                f"The checkpoint {ref} was written with schema version {version}; this program reads {SCHEMA_VERSION}.",
                f"re-materialize {ref.stage} of {ref.job_id}, or read it with the program that wrote it",
            )
        if AttemptRef(found.job_id, found.stage, found.attempt) != ref:
            raise self.damaged(ref, NAME)
        return found

    def load(self, ref: AttemptRef, tables: Collection[str] | None = None) -> Value:
        """What the attempt's stage handed on, with all its tables or only ``tables``, the others empty.

        Errors as ``manifest``; KeyError for a table that the stage does not hand on.
        """
        return payload_codec.decode(ref.stage, lambda name: self.read(ref, name), tables)

    def read(self, ref: AttemptRef, name: str) -> bytes:
        """A file of the attempt, just as it was written.

        Raises:
            Permanent: it is not, or it is gone.
        """
        entry, data = self._proofs(ref).file(name), self.read_part(ref, name)
        if entry is None or (len(data), hashlib.sha256(data).hexdigest()) != (entry.size_bytes, entry.sha256):
            raise self.damaged(ref, name)
        return data

    def read_part(self, ref: AttemptRef, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """The bytes ``[start, end)`` of a file of the attempt, whatever they are: the caller has to prove them."""
        with self._gone(ref, name):
            return self.blobs.read(ref.file(name), start, end)

    def prove(self, ref: AttemptRef, file: FileEntry) -> None:
        """Read a file of any size through.

        Raises:
            Permanent: it is not what was written, or it is gone.
        """
        with self._gone(ref, file.name):
            found = self.blobs.sha256(ref.file(file.name))
        if found != file.sha256:
            raise self.damaged(ref, file.name)

    @contextmanager
    def _gone(self, ref: AttemptRef, name: str) -> Iterator[None]:
        """Say of a missing file what is gone with it."""
        try:
            yield
        except Missing as e:
            raise Missing(
                f"The checkpoint {ref} is gone: it has no {name}.",
                f"re-materialize {ref.stage} of {ref.job_id}, or restore {self.uri(ref)}",
            ) from e

    def damaged(self, ref: AttemptRef, name: str) -> Permanent:
        """What to say of a file that is not what was written."""
        return Permanent(
            f"The checkpoint {ref} is damaged: its {name} is not what was written.",
            f"re-materialize {ref.stage} of {ref.job_id}, or restore {self.uri(ref)}/{name}",
        )

    def attempts(self, job_id: str, stage: str) -> list[Manifest]:
        """Every finished attempt that can be read, oldest first; errors as ``readable``."""
        return readable(self.manifest, (r for r in self.folders(job_id, stage) if self.exists(r)))

    def folders(self, job_id: str, stage: str) -> list[AttemptRef]:
        """Every attempt that was begun, finished or not, by name."""
        return [AttemptRef(job_id, stage, name) for name in self.blobs.names(f"{check_job_id(job_id)}/{stage}")]

    def jobs(self) -> list[str]:
        """Every job that has a folder, by name."""
        return [name for name in self.blobs.names("") if JOB_ID.fullmatch(name)]

    def size_bytes(self, ref: AttemptRef) -> int:
        return sum(f.size_bytes for f in self.manifest(ref).files)

    def stored_bytes(self, job_id: str) -> int:
        """What all files of a job take."""
        return self.blobs.size_bytes(check_job_id(job_id))

    def frame_shards(self, ref: AttemptRef) -> list[str]:
        """The shards of frames that are there, by name: none where retention has let them go."""
        return [name for name in self.blobs.names(ref.path) if name.startswith(SHARD_PREFIX)]

    def with_frames(self, ref: AttemptRef) -> AttemptRef:
        """``ref``, or where its frames have gone an attempt of ``extract_frames`` that made the very same ones.

        Raises:
            Permanent: there is none.
        """
        manifest = self.manifest(ref)
        if self._has_frames(manifest):
            return ref
        for other in reversed(self.attempts(ref.job_id, ref.stage)):
            if other.data_version == manifest.data_version and self._has_frames(other):
                return AttemptRef(ref.job_id, ref.stage, other.attempt)
        raise Permanent(
            f"The frames of {ref} are gone: retention has let them go, or files are missing.",
            f"materialize {ref.stage} of {ref.job_id} alone, with the same params, then try again",
        )

    def _has_frames(self, manifest: Manifest) -> bool:
        there = self.frame_shards(AttemptRef(manifest.job_id, manifest.stage, manifest.attempt))
        return all(f.name in there for f in manifest.files if f.name.startswith(SHARD_PREFIX))

    def last_written_s(self, ref: AttemptRef) -> float:
        """When a file of the attempt was last written, in seconds since 1970; 0 if it has none."""
        return self.blobs.last_written_s(ref.path)

    def remove(self, ref: AttemptRef) -> None:
        """Remove an attempt for good, its manifest first: no reader ever sees half of it."""
        with suppress(Missing):  # never finished, or somebody else removes it too
            self.blobs.remove(ref.file(NAME))
        self.blobs.remove_folder(ref.path)

    def remove_frames(self, ref: AttemptRef) -> None:
        """Remove the pictures of an attempt of ``extract_frames``; its tables stay."""
        for name in self.frame_shards(ref):
            with suppress(Missing):
                self.blobs.remove(ref.file(name))

    def remove_job(self, job_id: str) -> None:
        """Remove everything of a job, the reports first: what is left at any time has all that it was made from."""
        check_job_id(job_id)
        for stage in reversed(LINE):
            for ref in self.folders(job_id, stage):
                self.remove(ref)
        self.blobs.remove_folder(job_id)

    def pins(self, job_id: str) -> dict[AttemptRef, str]:
        """The attempts that are kept whatever their age, and why."""
        stages = self.blobs.names(f"{check_job_id(job_id)}/{PINS}")
        refs = [AttemptRef(job_id, s, a) for s in stages for a in self.blobs.names(f"{job_id}/{PINS}/{s}")]
        return {ref: self.blobs.read(_pin(ref)).decode(errors="replace") for ref in refs}

    def pin(self, ref: AttemptRef, why: str) -> None:
        """Keep an attempt, and all that it was made from, whatever its age."""
        self.blobs.put(_pin(ref), why.encode())

    def unpin(self, ref: AttemptRef) -> None:
        self.blobs.remove(_pin(ref))


def readable(manifest: Callable[[AttemptRef], Manifest], refs: Iterable[AttemptRef]) -> list[Manifest]:
    """The manifests of finished attempts, oldest first.

    One that is damaged, or of an older version, hides no other: ``store verify`` tells of it.

    Raises:
        Permanent: there are some, and none can be read.
    """
    found, unread = [], None
    for ref in refs:
        try:
            found.append(manifest(ref))
        except Permanent as e:
            unread = unread or e
    if unread and not found:
        raise unread
    return sorted(found, key=lambda m: m.created)


def _pin(ref: AttemptRef) -> str:
    return f"{check_job_id(ref.job_id)}/{PINS}/{ref.stage}/{ref.attempt}"
