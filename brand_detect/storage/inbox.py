"""The inbox: lists videos and request files under a folder or prefix in pages, and moves invalid requests aside."""

import os
import stat
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from brand_detect.domain.media import VIDEO_SUFFIXES
from brand_detect.storage.blobs import changed_s, file_system, is_at
from brand_detect.storage.faults import check_address, explained

REQUEST_SUFFIX = ".json"
REJECTED = "_rejected"
"""The folder in the inbox for invalid request files."""
FILE_SYSTEMS_OWN = "lost+found"
"""A folder of ext4 that only root may list."""
OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
"""Stores that show an object only once it is complete."""
S3_PAGE = 1000
"""Limit of keys per S3 listing."""


@dataclass(frozen=True)
class Entry:
    """A file in the inbox."""

    name: str
    """Path within the inbox, with slashes."""
    uri: str
    size_bytes: int
    version: str
    """Changes if the content may have changed."""
    changed_s: float
    """Time of the last change, in seconds since 1970 by the store's clock."""
    whole: bool
    """Whether the store shows only complete files; otherwise the file may still be growing."""

    @property
    def is_video(self) -> bool:
        return _suffix(self.name) in VIDEO_SUFFIXES

    @property
    def request_names(self) -> tuple[str, str]:
        """Possible names of this video's request file: ``match.mp4.json``, ``match.json``."""
        return self.name + REQUEST_SUFFIX, str(PurePosixPath(self.name).with_suffix(REQUEST_SUFFIX))

    @property
    def video_names(self) -> tuple[str, ...]:
        """Possible names of this request file's video."""
        stem = self.name[: -len(REQUEST_SUFFIX)]
        return stem, *(stem + s for suffix in VIDEO_SUFFIXES for s in (suffix, suffix.upper()))


class Inbox:
    """Videos and request files under ``uri``, without hidden files and ``_rejected``."""

    def __init__(self, uri: str) -> None:
        self.uri = check_address(uri).rstrip("/")
        self._fs, base = file_system(self.uri, "inbox", "BRAND_DETECT_INBOX")
        self._base = base.rstrip("/")
        protocols = self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,)
        self._is_s3 = "s3" in protocols
        self._whole = any(protocol in OBJECT_STORES for protocol in protocols)
        self.unlisted: dict[str, str] = {}
        """Folders that the last listing could not read, each with the reason."""

    def page(self, after: str, limit: int) -> tuple[list[Entry], str | None]:
        """At most ``limit`` files after the name ``after``, and the name to continue after; None at the end."""
        with explained(f"The inbox {self.uri} could not be listed"):
            if self._is_s3:
                return self._s3_page(after, limit)
            make: Callable[[str], Entry | None]
            if isinstance(self._fs, LocalFileSystem):
                names, make = self._files(), self._local
            else:
                found: dict[str, Any] = self._fs.find(self._base, detail=True)
                infos = {path[len(self._base) + 1 :]: info for path, info in found.items()}
                names, make = iter(infos), lambda name: self._entry(name, infos[name])
            listed = sorted(filter(_counts, names))
            begin = bisect_right(listed, after)
            end = begin + limit
            entries = [entry for entry in map(make, listed[begin:end]) if entry]
            return entries, listed[end - 1] if end < len(listed) else None

    def entry(self, name: str) -> Entry | None:
        """The file's current entry; None if it does not exist."""
        with explained(f"{self.uri}/{name} could not be looked up"):
            if isinstance(self._fs, LocalFileSystem):
                return self._local(name)
            try:
                if self._is_s3:
                    bucket, _, key = f"{self._base}/{name}".partition("/")
                    head = self._fs.call_s3("head_object", Bucket=bucket, Key=key)  # pyright: ignore
                    return self._entry(name, head | {"Size": head["ContentLength"]})
                return self._entry(name, self._fs.info(f"{self._base}/{name}"))
            except FileNotFoundError:
                return None

    def move_aside(self, name: str, reason: str) -> str:
        """Move a request file into ``_rejected`` and write ``reason`` next to it; returns its new URI."""
        with explained(f"{self.uri}/{name} could not be moved aside"):
            target = self._free(f"{REJECTED}/{name}")
            path = f"{self._base}/{target}"
            if isinstance(self._fs, LocalFileSystem):  # s3fs would create a missing bucket
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(f"{path}.reason.txt", f"{reason}\n".encode())
            self._fs.mv(f"{self._base}/{name}", path)
            return f"{self.uri}/{target}"

    def _free(self, name: str) -> str:
        stem = name[: -len(REQUEST_SUFFIX)]
        names = (name if n == 1 else f"{stem}.{n}{REQUEST_SUFFIX}" for n in count(1))
        return next(n for n in names if not is_at(self._fs, f"{self._base}/{n}.reason.txt"))

    def _s3_page(self, after: str, limit: int) -> tuple[list[Entry], str | None]:
        bucket, _, prefix = f"{self._base}/".partition("/")
        entries: list[Entry] = []
        while True:
            answer = self._fs.call_s3(  # pyright: ignore
                "list_objects_v2",
                Bucket=bucket,
                Prefix=prefix,
                MaxKeys=min(limit, S3_PAGE),
                **({"StartAfter": prefix + after} if after else {}),
            )
            listed = {item["Key"][len(prefix) :]: item for item in answer.get("Contents", ())}
            entries += [self._entry(name, item) for name, item in listed.items() if _counts(name)]
            limit -= len(listed)
            if not answer.get("IsTruncated"):
                return entries, None
            after = next(reversed(listed))
            if limit <= 0:
                return entries, after

    def _entry(self, name: str, info: Mapping[str, Any]) -> Entry:
        """Entry from a file system's info; whole seconds, since S3 gives no more for a single object."""
        at_s = int(changed_s(info))
        tag = str(info.get("ETag") or info.get("etag") or info.get("md5Hash") or "").strip('"')
        size = int(info["Size"] if "Size" in info else info["size"])
        return Entry(name, f"{self.uri}/{name}", size, f"{tag} {at_s}", float(at_s), self._whole)

    def _local(self, name: str) -> Entry | None:
        path = Path(self._base, name)
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):  # removed since the listing, or a dangling link
            return None
        except OSError as e:  # a circular or unreadable link: opening it will report the error
            return Entry(name, str(path), 1, e.strerror or str(e), 0.0, False)
        if not stat.S_ISREG(found.st_mode):
            return None
        # ctime as well, which no copy preserves
        return Entry(name, str(path), found.st_size, f"{found.st_mtime_ns} {found.st_ctime_ns}", found.st_ctime, False)

    def _files(self) -> Iterator[str]:
        """The files of the folder and its subfolders; unreadable subfolders are noted and skipped."""
        self.unlisted.clear()

        def note(error: OSError) -> None:
            if error.filename == self._base:
                raise error
            if not isinstance(error, FileNotFoundError):  # otherwise it was just removed
                self.unlisted[str(error.filename)] = error.strerror or str(error)

        for folder, folders, files in os.walk(self._base, onerror=note):
            folders[:] = [name for name in folders if name != FILE_SYSTEMS_OWN]
            within = os.path.relpath(folder, self._base)
            yield from (files if within == "." else (f"{within}/{name}" for name in files))


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _counts(name: str) -> bool:
    parts = name.split("/")
    hidden = any(part.startswith(".") for part in parts) or parts[0] == REJECTED
    return not hidden and _suffix(name) in (*VIDEO_SUFFIXES, REQUEST_SUFFIX)
