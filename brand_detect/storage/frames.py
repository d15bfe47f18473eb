"""Stored frames, read by byte range."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain

import pyarrow as pa

from brand_detect.domain.ahead import ahead
from brand_detect.domain.protocols import FrameReader, Image, ImageCodec
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store

READ_BYTES = 2 * 2**20
"""Most bytes that one request reads: a dozen frames of 1080p."""
SKIPPED_BYTES = 2**19
"""Most bytes of other frames read to save a request, which takes about as long."""
HELD = 4
"""Last ranges of shards held in memory: a duplicate is often read just after its keyframe, whose range holds it."""
DECODED_AHEAD = 2
"""Frames decoded before they are asked for."""


class StoredFrames(FrameReader):
    """The ``FrameReader`` over an attempt of ``extract_frames``."""

    def __init__(self, store: Store, ref: AttemptRef, frames: pa.Table, codec: ImageCodec) -> None:
        self._store, self._ref, self._codec = store, ref, codec
        self._shard = frames["shard"].to_pylist()
        self._start = frames["offset"].to_numpy()
        self._end = self._start + frames["size_bytes"].to_numpy()
        self._crc32 = frames["crc32"].to_numpy()
        self._held: tuple[tuple[str, int, bytes], ...] = ()  # shard, start, bytes; replaced as a whole, by any thread

    def read(self, frame: int) -> Image:
        [fetched] = self._fetch([frame])
        return self._decode(fetched)

    def in_order(self, frames: Sequence[int]) -> Iterator[Image]:
        with (
            ThreadPoolExecutor(2, thread_name_prefix="frames") as pool,
            closing(ahead(pool, self._fetch, self._requests(frames), 1)) as fetched,
        ):
            yield from ahead(pool, self._decode, chain.from_iterable(fetched), DECODED_AHEAD)

    def jpeg(self, frame: int) -> bytes:
        """The stored JPEG of a frame, read from the store each time: retention may have taken it.

        Raises:
            Permanent: it is damaged or missing.
        """
        data = self._store.read_part(self._ref, self._shard[frame], int(self._start[frame]), int(self._end[frame]))
        return self._undamaged(frame, data)

    def _requests(self, frames: Iterable[int]) -> Iterator[list[int]]:
        """Splits ``frames`` into runs, each of one shard and short enough for one request."""
        run: list[int] = []
        start = end = 0
        for frame in frames:
            own = int(self._start[frame]), int(self._end[frame])
            wider = min(start, own[0]), max(end, own[1])
            more = (wider[1] - wider[0]) - (end - start)
            if run and (
                self._shard[frame] != self._shard[run[0]]
                or wider[1] - wider[0] > READ_BYTES
                or more - (own[1] - own[0]) > SKIPPED_BYTES
            ):
                yield run
                run = []
            start, end = wider if run else own
            run.append(frame)
        if run:
            yield run

    def _fetch(self, frames: Sequence[int]) -> list[tuple[int, bytes]]:
        """The bytes of frames of one shard, unverified, read in at most one request."""
        start = int(self._start[frames].min())
        data = self._range(self._shard[frames[0]], start, int(self._end[frames].max()))
        return [(frame, data[self._start[frame] - start : self._end[frame] - start]) for frame in frames]

    def _range(self, shard: str, start: int, end: int) -> bytes:
        for held_shard, held_start, held in self._held:
            if held_shard == shard and held_start <= start and end <= held_start + len(held):
                return held[start - held_start : end - held_start]
        data = self._store.read_part(self._ref, shard, start, end)
        self._held = (*self._held[1 - HELD :], (shard, start, data))
        return data

    def _decode(self, fetched: tuple[int, bytes]) -> Image:
        return self._codec.decode(self._undamaged(*fetched))

    def _undamaged(self, frame: int, data: bytes) -> bytes:
        # a shard is never read whole, so its hash is no help; CRC-32 detects every error burst of up to 32 bits
        if zlib.crc32(data) != self._crc32[frame]:
            self._held = ()  # it may be restored
            raise self._store.damaged(self._ref, self._shard[frame])
        return data
