"""Files by path under one root, a folder or any fsspec URI: the lowest layer of the store."""

import errno
import hashlib
import io
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileOpener, LocalFileSystem

from brand_detect.domain.errors import BrandDetectError, Permanent
from brand_detect.storage.faults import check_address, explained

AT_A_TIME = 16
"""Small files read or written concurrently, since each waits for the disk or the network."""
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""Errors of file systems without hard links, such as exFAT and some network shares."""
CHANGED = ("LastModified", "mtime", "last_modified", "updated", "modified", "created")
"""Keys under which file systems report the time of the last change."""

T = TypeVar("T")
R = TypeVar("R")


class Blobs:
    """Files by path under ``root``. A missing file raises ``Missing``; for other faults see ``explained``."""

    def __init__(self, root: str) -> None:
        self.root = check_address(root).rstrip("/")
        self.fs, self._base = file_system(self.root, "store", "BRAND_DETECT_STORE_ROOT")

    def uri(self, path: str) -> str:
        return f"{self.root}/{path}"

    def is_there(self) -> bool:
        """Whether anything is stored under the root."""
        with explained(f"{self.root} could not be looked up"):
            return self.fs.isdir(self._base)

    def exists(self, path: str) -> bool:
        with explained(f"{self.uri(path)} could not be looked up"):
            return is_at(self.fs, self._at(path))

    def names(self, folder: str) -> list[str]:
        """Sorted names of a folder's entries, without hidden files, which are other writers' drafts."""
        path = self._at(folder).rstrip("/")
        with explained(f"{self.uri(folder)} could not be listed"):
            try:
                entries = [entry.rstrip("/") for entry in self.fs.ls(path, detail=False)]
            except (FileNotFoundError, NotADirectoryError):
                return []
            names = (entry.rsplit("/", 1)[-1] for entry in entries if entry != path)  # a file is listed as itself
            return sorted(name for name in names if not name.startswith("."))

    def paths(self, folder: str) -> list[str]:
        """As ``names``, with the folder in front."""
        return [f"{folder}/{name}" for name in self.names(folder)]

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """The bytes ``[start, end)`` of a file."""
        at = self._at(path)
        with explained(f"{self.uri(path)} could not be read"):
            try:
                return self.fs.cat_file(at, start=start or 0, end=end)  # without a start, s3fs asks for the size first
            except OSError as e:
                if start or e.errno != errno.EINVAL or self.fs.size(at):
                    raise
                return b""  # S3 has no range of an empty file

    def sha256(self, path: str) -> str:
        """Hash of a file of any size, read in pieces."""
        with explained(f"{self.uri(path)} could not be read"), self.fs.open(self._at(path), "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()

    def create(self, path: str, data: bytes, *, lenient: bool = False) -> None:
        """Write a whole new file atomically.

        ``lenient`` accepts an existing file with the same content. So does a remote store without it: its driver
        repeats a request whose answer was lost, and then meets the file that the first one made.

        Raises:
            Permanent: it exists.
        """
        with explained(f"{self.uri(path)} could not be written"):
            try:
                if isinstance(self.fs, LocalFileSystem):
                    _create_local(Path(self._at(path)), data)
                else:
                    self._create_remote(self._at(path), data)
            except FileExistsError as e:
                is_remote = not isinstance(self.fs, LocalFileSystem)
                if not lenient and not (is_remote and self.fs.cat_file(self._at(path)) == data):
                    raise Permanent(
                        f"{self.uri(path)} exists already.", "checkpoints are never overwritten; start a new run"
                    ) from e

    def put(self, path: str, data: bytes) -> str:
        """Write a whole file, replacing an earlier one; returns its URI."""
        with explained(f"{self.uri(path)} could not be written"):
            if isinstance(self.fs, LocalFileSystem):
                with _draft(Path(self._at(path)), data) as draft:
                    draft.replace(self._at(path))
            else:
                self.fs.pipe_file(self._at(path), data)
        return self.uri(path)

    def put_file(self, path: str, file: Path) -> str:
        """As ``put``, from a local file in pieces: a video may not fit into memory."""
        with explained(f"{self.uri(path)} could not be written"):
            if isinstance(self.fs, LocalFileSystem):
                with _beside(Path(self._at(path))) as draft:
                    shutil.copyfile(file, draft)
                    draft.replace(self._at(path))
            else:
                self.fs.put_file(str(file), self._at(path))
        return self.uri(path)

    def open(self, path: str) -> io.BufferedIOBase:
        """Open a file for writing in pieces. The caller handles its faults and calls ``fsync`` before closing it."""
        try:
            return self.fs.open(self._at(path), "wb")
        except FileNotFoundError:  # only now, since s3fs would create a missing bucket
            self.fs.makedirs(self._at(path).rsplit("/", 1)[0], exist_ok=True)
            return self.fs.open(self._at(path), "wb")

    def remove(self, path: str) -> None:
        with explained(f"{self.uri(path)} could not be removed"):
            self.fs.rm_file(self._at(path))

    def remove_folder(self, folder: str) -> None:
        """Remove a folder and its contents; tolerates concurrent removal by another process."""
        path = self._at(folder)
        with explained(f"{self.uri(folder)} could not be removed"), suppress(FileNotFoundError):
            if is_at(self.fs, path):
                self.fs.rm(path, recursive=True)
            # S3 says which files it refused to remove in an answer that s3fs takes for success
            if not isinstance(self.fs, LocalFileSystem) and (left := self.fs.find(path)):
                raise PermissionError(errno.EACCES, f"{len(left)} files are left, refused or written meanwhile")

    def size_bytes(self, folder: str) -> int:
        """Total size of the files in a folder."""
        with explained(f"{self.uri(folder)} could not be looked up"):
            return sum(int(info["size"]) for info in self._infos(folder))

    def written_s(self, path: str) -> float:
        """When a file was written, in seconds since 1970."""
        with explained(f"{self.uri(path)} could not be looked up"):
            return self.fs.modified(self._at(path)).timestamp()

    def last_written_s(self, folder: str) -> float:
        """When a file in the folder was last written, in seconds since 1970; 0 if there is none."""
        with explained(f"{self.uri(folder)} could not be looked up"):
            return max(map(changed_s, self._infos(folder)), default=0.0)

    def probe(self) -> list[str]:
        """Create, read and remove a small file; returns weaknesses of the store, in words.

        Raises:
            Permanent, Transient: checkpoints cannot be written or read here.
        """
        folder, weak = f"_probe-{uuid.uuid4().hex}", []
        path = f"{folder}/probe"
        self.create(path, b"brand_detect")
        try:
            self.create(path, b"again")
            weak.append("it allows existing files to be replaced")
        except Permanent:
            pass
        self.read(path)
        try:
            self.remove_folder(folder)
        except BrandDetectError as e:
            weak.append(str(e))
        return weak

    def _at(self, path: str) -> str:
        return f"{self._base}/{path}"

    def _infos(self, folder: str) -> Collection[Mapping[str, Any]]:
        """What the file system knows of each file in a folder and its subfolders."""

        def passed_over(e: Exception) -> None:
            if not isinstance(e, FileNotFoundError | NotADirectoryError):
                raise e

        # by default a folder that cannot be listed counts as empty; below the first level it still does
        strict: dict[str, Any] = {"on_error": passed_over} if isinstance(self.fs, LocalFileSystem) else {}
        files: Any = self.fs.find(self._at(folder), detail=True, **strict)
        return files.values()

    def _create_remote(self, path: str, data: bytes) -> None:
        try:
            self.fs.pipe_file(path, data, mode="create")
        except OSError as e:
            if not isinstance(e, FileExistsError) and is_at(self.fs, path):  # s3fs reports a failed condition as EINVAL
                raise FileExistsError(path) from e
            raise


def file_system(uri: str, what: str, setting: str) -> tuple[Any, str]:
    """The file system of ``uri`` and the path in it; ``what`` and ``setting`` are for the error message.

    Each question is answered by the store: other processes write to it, and drivers would keep listings for ever.

    Raises:
        Permanent: no driver can open it.
    """
    try:
        fs, path = fsspec.url_to_fs(uri)
    except (ImportError, ValueError) as e:
        raise Permanent(f"The {what} {uri} cannot be opened: {e}.", f"check {setting}") from e
    fs.dircache.use_listings_cache = False  # not every driver takes it as an option
    return fs, path


def is_at(fs: Any, path: str) -> bool:
    """Whether a file or folder is there. fsspec's own ``exists`` takes every fault of a disk for an absence."""
    try:
        fs.info(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as e:
        if e.errno == errno.ENAMETOOLONG:
            return False
        raise
    return True


def changed_s(info: Mapping[str, Any]) -> float:
    """When a file was last changed, in seconds since 1970, from what its file system knows; 0 if it does not say."""
    changed = next((info[key] for key in CHANGED if info.get(key)), 0.0)
    return changed.timestamp() if isinstance(changed, datetime) else float(changed)


def concurrently(do: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Apply ``do`` to the items, ``AT_A_TIME`` concurrently; results are in order."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield from pool.map(do, items)


def short_hash(data: bytes) -> str:
    """The hash used in names of content."""
    return hashlib.sha256(data).hexdigest()[:16]


def fsync(file: io.BufferedIOBase) -> None:
    """Flush a local file to disk: after a power cut no manifest may exist without its files."""
    if isinstance(file, LocalFileOpener | io.BufferedWriter):
        file.flush()
        os.fsync(file.fileno())


def _create_local(target: Path, data: bytes) -> None:
    with _draft(target, data) as draft:
        try:
            os.link(draft, target)  # unlike a rename, this fails if the target exists
        except OSError as e:
            if e.errno not in NO_LINKS:
                raise
            if target.exists():
                raise FileExistsError(target) from e
            draft.replace(target)


@contextmanager
def _draft(target: Path, data: bytes) -> Iterator[Path]:
    """A complete file next to ``target``, to replace it."""
    with _beside(target) as draft:
        with draft.open("xb") as file:
            file.write(data)
            fsync(file)
        yield draft


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A hidden temporary path next to ``target``, removed afterwards."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)
