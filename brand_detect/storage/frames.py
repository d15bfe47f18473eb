"""Stored frames, each read as one byte range of its shard."""

import zlib

import pyarrow as pa

from brand_detect.domain.protocols import Image, ImageCodec
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store


class StoredFrames:
    """The ``FrameReader`` over an attempt of ``extract_frames``."""

    def __init__(self, store: Store, ref: AttemptRef, frames: pa.Table, codec: ImageCodec) -> None:
        self._store, self._ref, self._codec = store, ref, codec
        self._shard = frames["shard"].to_pylist()
        self._offset = frames["offset"].to_numpy()
        self._size = frames["size_bytes"].to_numpy()
        self._crc32 = frames["crc32"].to_numpy()

    def read(self, frame: int) -> Image:
        return self._codec.decode(self.jpeg(frame))

    def jpeg(self, frame: int) -> bytes:
        """The stored JPEG of a frame.

        Raises:
            Permanent: it is damaged or missing.
        """
        start, shard = int(self._offset[frame]), self._shard[frame]
        data = self._store.read_part(self._ref, shard, start, start + int(self._size[frame]))
        # a shard is never read whole, so its hash is no help; CRC-32 detects every error burst of up to 32 bits
        if zlib.crc32(data) != self._crc32[frame]:
            raise self._store.damaged(self._ref, shard)
        return data
