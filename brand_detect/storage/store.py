"""Immutable attempts over fsspec: files first, the manifest last.

Layout: ``{root}/{job_id}/{stage}/{run_id}-{retry}/``. A folder without a manifest does not exist for readers, and
nothing is ever overwritten. What goes is removed by retention and by the deletion of a job, the manifest first.
Comparisons, ``{root}/{job_id}/_comparisons/``, exports, ``{root}/{job_id}/_exports/``, and portfolios,
``{root}/_portfolio/``, are no checkpoints: they can be made again, and are written anew then.
Corrections, ``{root}/{job_id}/_reviews/``, are a person's work: they go with the whole job alone.
"""

import errno
import hashlib
import io
import os
import re
import shutil
import tarfile
import uuid
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileOpener, LocalFileSystem

from brand_detect.domain.catalog import Exemplar
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import BrandDetectError, Permanent
from brand_detect.domain.job import JOB_ID, check_job_id
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.protocols import BlobRef, Image, ImageCodec
from brand_detect.domain.recipe import recipe_of
from brand_detect.domain.records import Payload
from brand_detect.domain.tables import SCHEMA_VERSION
from brand_detect.storage import codec as payload_codec
from brand_detect.storage.codec import Value
from brand_detect.storage.faults import check_address, explained
from brand_detect.storage.manifest import (
    NAME,
    CheckOutcome,
    FileEntry,
    Manifest,
    manifest_from_json,
    manifest_to_json,
    schema_version_of,
)

SHARD_BYTES = 64 * 2**20
SHARD_PREFIX = "frames-"
EXEMPLARS = "_catalog/exemplars"
"""The folder of all pictures of all snapshots."""
VECTORS_PREFIX = "vectors-"
AT_A_TIME = 16
"""Small files that are read or written at once: each waits for the disk or the network."""
PROPOSALS = "_proposals"
"""The folder of what is proposed for the catalogue, over all jobs."""
ANSWERS = "_answers"
"""The folder of what models said, over all jobs."""
SPENDING = "_spending"
"""The folder of what models cost, by day."""
REVIEWS = "_reviews"
"""The folder of a job with a file for each correction by a person; none is ever changed."""
EXPORTS = "_exports"
"""The folder of a job with what was made from its reports on demand."""
PORTFOLIO = "_portfolio"
"""The folder of documents about many jobs."""
PINS = "_pins"
"""The folder of a job with a file for each attempt that is to stay."""
_PROOFS = 256
"""Manifests that are kept at hand, to compare files with."""
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


class Missing(Permanent):
    """A file that should be in the store is not."""


class Store:
    """All checkpoints under one root, a folder or a URI."""

    def __init__(self, root: str) -> None:
        self.root = check_address(root).rstrip("/")
        try:
            self.fs, self._base = fsspec.url_to_fs(self.root)
        except (ImportError, ValueError) as e:
            raise Permanent(f"The store {root} cannot be opened: {e}.", "check BRAND_DETECT_STORE_ROOT") from e
        self._proofs = lru_cache(_PROOFS)(self.manifest)

    def is_there(self) -> bool:
        """Whether anything is stored where this store lies."""
        with explained(f"{self.root} could not be looked up"):
            return self.fs.isdir(self._base)

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
        with self._reading(ref, name):
            return self.fs.cat_file(self._path(ref, name), start=start, end=end)

    def prove(self, ref: AttemptRef, file: FileEntry) -> None:
        """Read a file of any size through.

        Raises:
            Permanent: it is not what was written, or it is gone.
        """
        with self._reading(ref, file.name), self.fs.open(self._path(ref, file.name), "rb") as opened:
            found = hashlib.file_digest(opened, "sha256")  # pyright: ignore[reportArgumentType]
        if found.hexdigest() != file.sha256:
            raise self.damaged(ref, file.name)

    @contextmanager
    def _reading(self, ref: AttemptRef, name: str) -> Iterator[None]:
        with explained(f"{self.uri(ref)}/{name} could not be read"):
            try:
                yield
            except FileNotFoundError as e:
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
        return [AttemptRef(job_id, stage, name) for name in self._list(f"{check_job_id(job_id)}/{stage}")]

    def jobs(self) -> list[str]:
        """Every job that has a folder, by name."""
        return [name for name in self._list("") if JOB_ID.fullmatch(name)]

    def size_bytes(self, ref: AttemptRef) -> int:
        return sum(f.size_bytes for f in self.manifest(ref).files)

    def stored_bytes(self, job_id: str) -> int:
        """What all files of a job take."""
        path = f"{self._base}/{check_job_id(job_id)}"
        with explained(f"{self.root}/{job_id} could not be looked up"):
            self.fs.invalidate_cache(path)
            return int(self.fs.du(path)) if self.fs.exists(path) else 0

    def frame_shards(self, ref: AttemptRef) -> list[str]:
        """The shards of frames that are there, by name: none where retention has let them go."""
        return [name for name in self._list(ref.path) if name.startswith(SHARD_PREFIX)]

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
        with explained(f"{self.uri(ref)} could not be looked up"):
            files = self.fs.find(self._path(ref, ""))
            return max((self.fs.modified(f).timestamp() for f in files), default=0.0)

    def remove(self, ref: AttemptRef) -> None:
        """Take an attempt away for good, its manifest first: no reader ever sees half of it.

        Another may be at the same: what has gone meanwhile has gone.
        """
        with explained(f"{self.uri(ref)} could not be removed"), suppress(FileNotFoundError):
            if self.fs.exists(self._path(ref, NAME)):
                self.fs.rm_file(self._path(ref, NAME))
            self._remove_folder(ref.path)

    def remove_frames(self, ref: AttemptRef) -> None:
        """Take the pictures of an attempt of ``extract_frames`` away; its tables stay."""
        with explained(f"the frames of {self.uri(ref)} could not be removed"):
            for name in self.frame_shards(ref):
                with suppress(FileNotFoundError):
                    self.fs.rm_file(self._path(ref, name))

    def remove_job(self, job_id: str) -> None:
        """Take away everything of a job, the reports first: what is left at any time has all that it was made from."""
        check_job_id(job_id)
        for stage in reversed(LINE):
            for ref in self.folders(job_id, stage):
                self.remove(ref)
        with explained(f"{self.root}/{job_id} could not be removed"):
            self._remove_folder(job_id)

    def pins(self, job_id: str) -> dict[AttemptRef, str]:
        """The attempts that are kept whatever their age, and why."""
        found = {}
        for stage in self._list(f"{check_job_id(job_id)}/{PINS}"):
            for attempt in self._list(f"{job_id}/{PINS}/{stage}"):
                ref = AttemptRef(job_id, stage, attempt)
                with explained(f"the pin of {ref} could not be read"):
                    found[ref] = self.fs.cat_file(self._pin_path(ref)).decode(errors="replace")
        return found

    def pin(self, ref: AttemptRef, why: str) -> None:
        """Keep an attempt, and all that it was made from, whatever its age."""
        with explained(f"the pin of {ref} could not be written"):
            self._put(self._pin_path(ref), why.encode())

    def unpin(self, ref: AttemptRef) -> None:
        with explained(f"the pin of {ref} could not be removed"):
            self.fs.rm_file(self._pin_path(ref))

    def catalogs(self) -> list[str]:
        """The versions of the snapshots, oldest first."""
        versions = [version for version in self._list("_catalog") if self.has_catalog(version)]
        with explained(f"{self.root}/_catalog could not be looked up"):
            return sorted(versions, key=lambda version: self.fs.modified(self._catalog_path(version)))

    def put_catalog(
        self,
        version: str,
        data: bytes,
        exemplars: Iterable[Exemplar] = (),
        picture: Callable[[Exemplar], bytes] = lambda _: b"",
    ) -> None:
        """Keep a snapshot of the catalogue, its pictures first. The same version is written once, as is each picture.

        Snapshots share their pictures: they are named by their content.
        """
        if self.has_catalog(version):
            return

        def put(exemplar: Exemplar) -> None:
            self._create(f"{self._base}/{EXEMPLARS}/{exemplar.file_name}", picture(exemplar), lenient=True)

        there = set(self._list(EXEMPLARS))
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(put, (e for e in exemplars if e.file_name not in there)))
        self._create(self._catalog_path(version), data, lenient=True)

    def exemplar(self, exemplar: Exemplar) -> bytes:
        """A picture of a catalogue's snapshot.

        Raises:
            Permanent: it is gone or damaged.
        """
        name = f"{EXEMPLARS}/{exemplar.file_name}"
        hint = "restore it, or give its brand another"
        with explained(f"{self.root}/{name} could not be read"):
            try:
                data = self.fs.cat_file(f"{self._base}/{name}")
            except FileNotFoundError as e:
                raise Missing(f"The picture {self.root}/{name} of the catalogue is gone.", hint) from e
        if _short(data) != exemplar.exemplar_id:
            raise Permanent(f"The picture {self.root}/{name} of the catalogue is damaged.", hint)
        return data

    def put_embeddings(self, version: str, embedder: str, vectors: pa.Table) -> None:
        """Keep the EXEMPLAR_EMBEDDINGS of a catalogue's exemplars by ``embedder``, an identity."""
        sink = io.BytesIO()
        pq.write_table(vectors, sink, compression="zstd")
        name = f"{_vectors_of(embedder)}{_short(sink.getvalue())}.parquet"
        self._create(f"{self._base}/_catalog/{version}/{name}", sink.getvalue(), lenient=True)

    def get_embeddings(self, version: str, embedder: str) -> pa.Table | None:
        """The EXEMPLAR_EMBEDDINGS that ``put_embeddings`` kept; None if there are none.

        Raises:
            Permanent: they are damaged.
        """
        name = next((name for name in self.vectors(version) if name.startswith(_vectors_of(embedder))), None)
        return pq.read_table(pa.BufferReader(self.vectors_file(version, name))) if name else None

    def vectors(self, version: str) -> list[str]:
        """The names of the files of vectors of a catalogue, by whatever embedder."""
        return [name for name in self._list(f"_catalog/{version}") if name.startswith(VECTORS_PREFIX)]

    def vectors_file(self, version: str, name: str) -> bytes:
        """A file of vectors of a catalogue, named by what made it and by its content.

        Raises:
            Permanent: it is damaged.
        """
        path = f"_catalog/{version}/{name}"
        with explained(f"{self.root}/{path} could not be read"):
            data = self.fs.cat_file(f"{self._base}/{path}")
        if not name.endswith(f"-{_short(data)}.parquet"):
            raise Permanent(
                f"The vectors of the catalogue {version} are damaged.",
                f"remove {self.root}/{path}",
            )
        return data

    def catalog_uri(self, version: str) -> str:
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
                raise Missing(f"The catalogue snapshot {version} is gone.", "re-materialize brand_catalog") from e

    def put_event(self, name: str, data: bytes) -> None:
        """Keep a proposal, or a decision about one. What is there already stays as it is."""
        self._create(f"{self._base}/{PROPOSALS}/{name}.json", data, lenient=True)

    def events(self) -> list[str]:
        """The names of all proposals and decisions."""
        return [name.removesuffix(".json") for name in self._list(PROPOSALS)]

    def event(self, name: str) -> bytes:
        with explained(f"{self.root}/{PROPOSALS}/{name}.json could not be read"):
            return self.fs.cat_file(f"{self._base}/{PROPOSALS}/{name}.json")

    def put_review(self, job_id: str, name: str, data: bytes) -> None:
        """Keep a correction of the job's report.

        Raises:
            Permanent: there is one of that name.
        """
        self._create(f"{self._base}/{check_job_id(job_id)}/{REVIEWS}/{name}.json", data)

    def reviews(self, job_id: str) -> list[str]:
        """The names of the job's corrections, in order."""
        return [name.removesuffix(".json") for name in self._list(f"{check_job_id(job_id)}/{REVIEWS}")]

    def review(self, job_id: str, name: str) -> bytes:
        with explained(f"{self.root}/{job_id}/{REVIEWS}/{name}.json could not be read"):
            return self.fs.cat_file(f"{self._base}/{job_id}/{REVIEWS}/{name}.json")

    def get_reviews(self, job_id: str) -> dict[str, bytes]:
        """The job's corrections by name, in order of their names."""
        names = self.reviews(job_id)
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            return dict(zip(names, pool.map(partial(self.review, job_id), names), strict=True))

    def put_answer(self, name: str, data: bytes) -> None:
        """Keep a model's answer to the question ``name``, in place of an earlier one."""
        with explained(f"the answer {name} in {self.root}/{ANSWERS} could not be written"):
            self._put(self._answer_path(name), data)

    def get_answers(self, names: Sequence[str]) -> dict[str, bytes]:
        """The answers that are kept to the questions ``names``."""

        def get(name: str) -> bytes | None:
            with explained(f"the answer {name} in {self.root}/{ANSWERS} could not be read"):
                try:
                    return self.fs.cat_file(self._answer_path(name))
                except FileNotFoundError:
                    return None

        with ThreadPoolExecutor(AT_A_TIME) as pool:
            found = zip(names, pool.map(get, names), strict=True)
            return {name: data for name, data in found if data is not None}

    def answers(self) -> Iterator[str]:
        """The names of all questions with an answer that is kept."""
        for folder in self._list(ANSWERS):
            yield from (name.removesuffix(".json") for name in self._list(f"{ANSWERS}/{folder}"))

    def note_spending(self, day: str, name: str) -> None:
        """Keep an entry of the day's spending, all of which is its name."""
        self._create(f"{self._base}/{SPENDING}/{day}/{name}", b"", lenient=True)

    def spending(self, day: str) -> list[str]:
        """The names of the day's entries."""
        return self._list(f"{SPENDING}/{day}")

    def put_comparison(self, job_id: str, name: str, data: bytes) -> str:
        """Keep a document about two attempts of ``job_id``, in place of an earlier one of that name; returns its URI.

        Raises:
            ValueError: ``name`` is no plain file name.
        """
        if not _FILE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no file name")
        path = f"{self._base}/{check_job_id(job_id)}/_comparisons/{name}"
        with explained(f"{self.root}/{job_id}/_comparisons/{name} could not be written"):
            self._put(path, data)
        return f"{self.root}/{job_id}/_comparisons/{name}"

    def put_export(self, job_id: str, name: str, file: Path) -> str:
        """Keep a local file made from a report of ``job_id``, in place of an earlier one; returns its URI.

        It is copied piece by piece: a video does not fit into memory.
        """
        folder = f"{check_job_id(job_id)}/{EXPORTS}"
        path = f"{self._base}/{folder}/{name}"
        with explained(f"{self.root}/{folder}/{name} could not be written"):
            if isinstance(self.fs, LocalFileSystem):
                with _beside(Path(path)) as draft:
                    shutil.copyfile(file, draft)
                    draft.replace(path)
            else:
                self.fs.put_file(str(file), path)
        return f"{self.root}/{folder}/{name}"

    def put_portfolio(self, name: str, data: bytes) -> str:
        """Keep a document about many jobs, in place of an earlier one of that name; returns its URI."""
        with explained(f"{self.root}/{PORTFOLIO}/{name} could not be written"):
            self._put(f"{self._base}/{PORTFOLIO}/{name}", data)
        return f"{self.root}/{PORTFOLIO}/{name}"

    def probe(self) -> list[str]:
        """Make a small file, read it and take it away; returns what could be better, in words.

        Raises:
            Permanent, Transient: checkpoints cannot be written or read here.
        """
        folder, data, weak = f"{self._base}/_probe-{uuid.uuid4().hex}", b"brand_detect", []
        path = f"{folder}/probe"
        self._create(path, data)
        if self._replaces(path):
            weak.append("it lets a file that is there be replaced")
        with explained(f"{path} could not be read"):
            self.fs.cat_file(path)
        try:
            with explained(f"{path} could not be taken away"):
                self.fs.rm(folder, recursive=True)
        except BrandDetectError as e:
            weak.append(str(e))
        return weak

    def _replaces(self, path: str) -> bool:
        """Whether a file that must be new may take the place of one that is there."""
        try:
            self._create(path, b"again")
        except Permanent:
            return False
        return True

    def _list(self, folder: str) -> list[str]:
        """Names of what lies in a folder of the store, sorted; hidden files are drafts of others."""
        path = f"{self._base}/{folder}".rstrip("/")
        with explained(f"{self.root}/{folder} could not be listed"):
            self.fs.invalidate_cache(path)
            if not self.fs.isdir(path):
                return []
            names = (p.rstrip("/").rsplit("/", 1)[-1] for p in self.fs.ls(path, detail=False))
            return sorted(name for name in names if not name.startswith("."))

    def _remove_folder(self, folder: str) -> None:
        path = f"{self._base}/{folder}"
        self.fs.invalidate_cache(path)
        if self.fs.exists(path):
            self.fs.rm(path, recursive=True)

    def _pin_path(self, ref: AttemptRef) -> str:
        return f"{self._base}/{check_job_id(ref.job_id)}/{PINS}/{ref.stage}/{ref.attempt}"

    def _answer_path(self, name: str) -> str:
        return f"{self._base}/{ANSWERS}/{name[:2]}/{name}.json"

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

    def _put(self, path: str, data: bytes) -> None:
        """Write a whole file, in place of an earlier one."""
        if isinstance(self.fs, LocalFileSystem):
            with _draft(Path(path), data) as draft:
                draft.replace(path)
        else:
            self.fs.pipe_file(path, data)

    def _put_new(self, path: str, data: bytes) -> None:
        try:
            self.fs.pipe_file(path, data, mode="create")
        except OSError as e:
            if not isinstance(e, FileExistsError) and self.fs.exists(path):  # s3fs: a failed condition is EINVAL
                raise FileExistsError(path) from e
            raise


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


def _short(data: bytes) -> str:
    """What content is named by."""
    return hashlib.sha256(data).hexdigest()[:16]


def _vectors_of(embedder: str) -> str:
    """How the names of files with vectors by ``embedder`` begin."""
    return f"{VECTORS_PREFIX}{_short(embedder.encode())}-"


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


@contextmanager
def _draft(target: Path, data: bytes) -> Iterator[Path]:
    """A whole file beside ``target``, to be put in its place."""
    with _beside(target) as draft:
        with draft.open("xb") as file:
            file.write(data)
            _settle(file)
        yield draft


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """The name of a file beside ``target``, hidden from readers and gone afterwards."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _settle(file: io.BufferedIOBase) -> None:
    """On a local disk, wait until the file is there for good: a manifest must not outlive a power cut alone."""
    if isinstance(file, LocalFileOpener | io.BufferedWriter):
        file.flush()
        os.fsync(file.fileno())


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
            name = f"{SHARD_PREFIX}{len(self._shards):05d}.tar"
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
        offpeak: str = "",
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
            created=datetime.now(UTC).isoformat(),
            code_version=code_version,
            params=dict(params),
            overrides=dict(overrides),
            engines=dict(engines),
            upstream=dict(upstream),
            input_versions=dict(input_versions),
            continues=continues,
            offpeak=offpeak,
            counts=value.counts() if isinstance(value, Payload) else {},
            stats=dict(value.stats) if isinstance(value, Payload) else {},
            notes=(*value.losses, *value.notes) if isinstance(value, Report) else value.notes,
            stage_s=stage_s,
            checks=checks,
            recipe=recipe_of(self.ref.stage, code_version, params, input_versions),
            data_version=payload_codec.data_version(value, blobs),
            files=tuple(self._files.values()),
        )
        self._store._create(self._store._path(self.ref, NAME), manifest_to_json(manifest))
        return manifest

    @contextmanager
    def or_nothing(self) -> Iterator[None]:
        """What goes wrong in here leaves nothing of the attempt behind; only a kill does, until retention finds it."""
        try:
            yield
        except BaseException:
            with suppress(BrandDetectError):  # the store may be what went wrong, here and below
                self.seal()  # what is open on S3 would appear when it is closed
            with suppress(BrandDetectError):
                if not self._store.exists(self.ref):  # another process may have finished it
                    self._store.remove(self.ref)
            raise

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
        ref = BlobRef(self.name, self.size_bytes, len(data), zlib.crc32(data))
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
        self._crc32 = frames["crc32"].to_numpy()

    def read(self, frame: int) -> Image:
        return self._codec.decode(self.jpeg(frame))

    def jpeg(self, frame: int) -> bytes:
        """The frame as it is stored.

        Raises:
            Permanent: it is not what was written, or it is gone.
        """
        start, shard = int(self._offset[frame]), self._shard[frame]
        data = self._store.read_part(self._ref, shard, start, start + int(self._size[frame]))
        # a shard is never read whole, so a hash of it would not do; CRC-32 finds every damage of up to 32 bits in a row
        if zlib.crc32(data) != self._crc32[frame]:
            raise self._store.damaged(self._ref, shard)
        return data
