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
