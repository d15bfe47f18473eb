"""Frames on disk: JPEGs in uncompressed tars that any tool can open."""

import hashlib
import io
import tarfile
import zlib
from typing import Any

from brand_detect.domain.contracts.extract_frames import SHARD_S
from brand_detect.domain.protocols import BlobRef
from brand_detect.storage.blobs import fsync
from brand_detect.storage.faults import explained
from brand_detect.storage.manifest import FileEntry

SHARD_PREFIX = "frames-"
_TAR_BLOCK = 512


def shard_at(t_s: float) -> str:
    """The name of the shard that holds the frame at ``t_s``."""
    return f"{SHARD_PREFIX}{int(t_s // SHARD_S):05d}.tar"


class HashedFile(io.RawIOBase):
    """Writes a file once, front to back, and hashes it on the way."""

    def __init__(self, name: str, file: io.BufferedIOBase) -> None:
        self.size_bytes = 0
        self._name, self._file, self._hash = name, file, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._file.write(data)
        self._hash.update(data)
        self.size_bytes += len(data)
        return len(data)

    def finish(self) -> FileEntry:
        """Close the file, all of it on disk."""
        with self._file:
            fsync(self._file)
        return FileEntry(name=self._name, size_bytes=self.size_bytes, sha256=self._hash.hexdigest())


class ShardWriter:
    """Writes a tar of frames."""

    def __init__(self, name: str, file: io.BufferedIOBase) -> None:
        self.name = name
        self._file = HashedFile(name, file)
        self._members = 0

    def append(self, data: bytes) -> BlobRef:
        info = tarfile.TarInfo(f"{self.name.removesuffix('.tar')}-{self._members:06d}.jpg")
        info.size = len(data)
        self._members += 1
        self._write(info.tobuf(tarfile.USTAR_FORMAT))
        ref = BlobRef(self.name, self._file.size_bytes, len(data), zlib.crc32(data))
        self._write(data)
        self._write(b"\0" * (-len(data) % _TAR_BLOCK))
        return ref

    def close(self) -> FileEntry:
        self._write(b"\0" * (2 * _TAR_BLOCK))
        with explained(f"{self.name} could not be written"):
            return self._file.finish()

    def _write(self, data: bytes) -> None:
        with explained(f"{self.name} could not be written"):
            self._file.write(data)
