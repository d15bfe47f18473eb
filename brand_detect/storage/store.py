"""The store: every attempt of every job, over fsspec.

Retention and the deletion of a job remove attempts, the manifest first. Comparisons, exports and portfolios are not
checkpoints: they can be made again, and are then overwritten. Corrections are people's work and are removed only with
the whole job.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache

from brand_detect.domain.errors import Permanent
from brand_detect.domain.job import JOB_ID, check_job_id
from brand_detect.domain.pipeline import LINE, ROOT, Stage
from brand_detect.domain.tables import SCHEMA_VERSION
from brand_detect.storage import codec as payload_codec
from brand_detect.storage.attempts import AttemptRef, AttemptWriter
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.codec import Value
from brand_detect.storage.faults import Missing, OtherVersion
from brand_detect.storage.manifest import NAME, FileEntry, Manifest, manifest_from_json, schema_version_of
from brand_detect.storage.shards import SHARD_PREFIX
from brand_detect.storage.snapshots import Snapshots

PINS = "_pins"
"""A job's folder with a file for each pinned attempt."""
_PROOFS = 256
"""Limit of cached manifests, used to verify files."""


class Store:
    """All checkpoints under one root, a folder or a URI; ``blobs`` and ``snapshots`` give access to the rest."""

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
            Permanent: it is already finished.
        """
        check_job_id(ref.job_id)
        if self.exists(ref):
            raise Permanent(f"The checkpoint {ref} exists already.", "checkpoints are immutable; start a new run")
        return AttemptWriter(self.blobs, ref)

    def exists(self, ref: AttemptRef) -> bool:
        """Whether the attempt is finished."""
        return self.blobs.exists(ref.file(NAME))

    def manifest(self, ref: AttemptRef) -> Manifest:
        """The attempt's manifest.

        Raises:
            Permanent: the attempt is unfinished, damaged or deleted.
            OtherVersion: it has another schema version.
        """
        data = self.read_part(ref, NAME)
        try:
            version = schema_version_of(data)
            found = manifest_from_json(data) if version == SCHEMA_VERSION else None
        except ValueError as e:
            raise self.damaged(ref, NAME) from e
        if found is None:
            raise OtherVersion(
                f"The checkpoint {ref} was written with schema version {version}; this program reads {SCHEMA_VERSION}.",
                f"re-materialize {ref.stage} of {ref.job_id}, or read it with the program that wrote it",
            )
        if AttemptRef(found.job_id, found.stage, found.attempt) != ref:
            raise self.damaged(ref, NAME)
        return found

    def load(self, ref: AttemptRef, tables: Collection[str] | None = None) -> Value:
        """The attempt's payload; with ``tables``, all other tables are empty.

        Errors as ``manifest``; KeyError for an unknown table.
        """
        files = {entry.name for entry in self._proofs(ref).files}
        return payload_codec.decode(ref.stage, lambda name: self.read(ref, name), tables, files)

    def read(self, ref: AttemptRef, name: str) -> bytes:
        """Read and verify a file of the attempt.

        Raises:
            Permanent: it is damaged or missing.
        """
        entry, data = self._proofs(ref).file(name), self.read_part(ref, name)
        if entry is None or (len(data), hashlib.sha256(data).hexdigest()) != (entry.size_bytes, entry.sha256):
            raise self.damaged(ref, name)
        return data

    def read_part(self, ref: AttemptRef, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """The bytes ``[start, end)`` of a file of the attempt, unverified: that is up to the caller."""
        with self._gone(ref, name):
            return self.blobs.read(ref.file(name), start, end)

    def prove(self, ref: AttemptRef, file: FileEntry) -> None:
        """Verify a file of any size.

        Raises:
            Permanent: it is damaged or missing.
        """
        with self._gone(ref, file.name):
            found = self.blobs.sha256(ref.file(file.name))
        if found != file.sha256:
            raise self.damaged(ref, file.name)

    @contextmanager
    def _gone(self, ref: AttemptRef, name: str) -> Iterator[None]:
        """Name the checkpoint in the error for a missing file."""
        try:
            yield
        except Missing as e:
            raise Missing(
                f"The checkpoint {ref} is gone: it has no {name}.",
                f"re-materialize {ref.stage} of {ref.job_id}, or restore {self.uri(ref)}",
            ) from e

    def damaged(self, ref: AttemptRef, name: str) -> Permanent:
        """The error for a damaged file."""
        return Permanent(
            f"The checkpoint {ref} is damaged: its {name} has changed.",
            f"re-materialize {ref.stage} of {ref.job_id}, or restore {self.uri(ref)}/{name}",
        )

    def attempts(self, job_id: str, stage: str) -> list[Manifest]:
        """All readable finished attempts, oldest first; errors as ``readable``."""
        return readable(lambda ref: self.manifest(ref) if self.exists(ref) else None, self.folders(job_id, stage))

    def folders(self, job_id: str, stage: str) -> list[AttemptRef]:
        """All attempts, finished or not, by name."""
        return [AttemptRef(job_id, stage, name) for name in self.blobs.names(f"{check_job_id(job_id)}/{stage}")]

    def jobs(self) -> list[str]:
        """Every job that has a folder, by name."""
        return [name for name in self.blobs.names("") if JOB_ID.fullmatch(name)]

    def size_bytes(self, ref: AttemptRef) -> int:
        return sum(f.size_bytes for f in self.manifest(ref).files)

    def stored_bytes(self, job_id: str) -> int:
        """Total size of a job's files."""
        return self.blobs.size_bytes(check_job_id(job_id))

    def frame_shards(self, ref: AttemptRef) -> list[str]:
        """Names of the existing frame shards; empty if retention has removed them."""
        return [name for name in self.blobs.names(ref.path) if name.startswith(SHARD_PREFIX)]

    def with_frames(self, ref: AttemptRef) -> AttemptRef:
        """``ref`` or, if its frames were removed, another attempt of ``extract_frames`` with the same frames.

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
            f"The frames of {ref} are gone: retention has removed them, or files were lost.",
            f"materialize only {ref.stage} of {ref.job_id}, with the same params, then try again",
        )

    def _has_frames(self, manifest: Manifest) -> bool:
        there = self.frame_shards(AttemptRef(manifest.job_id, manifest.stage, manifest.attempt))
        return all(f.name in there for f in manifest.files if f.name.startswith(SHARD_PREFIX))

    def last_written_s(self, ref: AttemptRef) -> float:
        """When a file of the attempt was last written, in seconds since 1970; 0 if it has none."""
        return self.blobs.last_written_s(ref.path)

    def remove(self, ref: AttemptRef) -> None:
        """Remove an attempt for good, manifest first, so that no reader sees half of it; its video with it."""
        self.withdraw(ref)
        videos = {Stage.compile_report: [ref.annotated], ROOT: [ref.playable]}
        for path in videos.get(ref.stage, []):
            with suppress(Missing):
                self.blobs.remove(path)
        self.blobs.remove_folder(ref.path)

    def withdraw(self, ref: AttemptRef) -> None:
        """Remove the manifest of an attempt: for every reader, it is unfinished from then on."""
        with suppress(Missing):  # unfinished, or being removed by another process
            self.blobs.remove(ref.file(NAME))

    def remove_frames(self, ref: AttemptRef) -> None:
        """Remove the frames of an attempt of ``extract_frames``; its tables stay."""
        for name in self.frame_shards(ref):
            with suppress(Missing):
                self.blobs.remove(ref.file(name))

    def remove_job(self, job_id: str) -> None:
        """Remove a whole job, reports first, so that at any time the remaining attempts have their inputs."""
        check_job_id(job_id)
        for stage in reversed(LINE):
            for ref in self.folders(job_id, stage):
                self.remove(ref)
        self.blobs.remove_folder(job_id)

    def pins(self, job_id: str) -> dict[AttemptRef, str]:
        """The pinned attempts, with the reasons."""
        stages = self.blobs.names(f"{check_job_id(job_id)}/{PINS}")
        refs = [AttemptRef(job_id, s, a) for s in stages for a in self.blobs.names(f"{job_id}/{PINS}/{s}")]
        return {ref: self.blobs.read(_pin(ref)).decode(errors="replace") for ref in refs}

    def pin(self, ref: AttemptRef, why: str) -> None:
        """Protect an attempt and its ancestors from retention."""
        self.blobs.put(_pin(ref), why.encode())

    def unpin(self, ref: AttemptRef) -> None:
        self.blobs.remove(_pin(ref))


def readable(finished: Callable[[AttemptRef], Manifest | None], refs: Iterable[AttemptRef]) -> list[Manifest]:
    """The manifests of attempts, oldest first; None of one that is not ``finished``.

    Damaged ones and those of an older version are skipped; ``store verify`` reports them.

    Raises:
        Permanent: there are some, but none is readable.
    """
    found, unread = [], None
    for ref in refs:
        try:
            found.append(finished(ref))
        except Permanent as e:
            unread = unread or e
    found = [manifest for manifest in found if manifest]
    if unread and not found:
        raise unread
    return sorted(found, key=lambda m: m.created)


def _pin(ref: AttemptRef) -> str:
    return f"{check_job_id(ref.job_id)}/{PINS}/{ref.stage}/{ref.attempt}"
