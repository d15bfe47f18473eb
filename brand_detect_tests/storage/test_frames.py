"""Frames in shards, written and read."""

import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from brand_detect.domain.errors import Permanent
from brand_detect.domain.protocols import Image, ImageCodec
from brand_detect.engines.image import OpenCvCodec
from brand_detect.storage import frames as storage
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.frames import DECODED_AHEAD, StoredFrames
from brand_detect.storage.store import Store
from brand_detect_tests.support.checkpoints import flipped

CODEC = OpenCvCodec()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_frames_are_read_by_byte_range_from_plain_tars(store: Store, tmp_path: Path):
    codec = OpenCvCodec()
    ref = AttemptRef("match", "extract_frames", "run-0")
    writer = store.begin(ref)
    levels, times = (10, 120, 240, 10), (0.0, 30.0, 59.9, 180.0)
    pictures = [codec.encode(np.full((48, 64, 3), level, np.uint8), 95, 0) for level in levels]
    blobs = [writer.append(t_s, picture) for t_s, picture in zip(times, pictures, strict=True)]
    writer.seal()
    assert [b.shard for b in blobs] == ["frames-00000.tar"] * 3 + ["frames-00003.tar"], "one for each minute"
    with pytest.raises(ValueError, match=r"frames-00000\.tar was already written"):
        writer.append(59.0, pictures[0])

    index = pa.table({k: [getattr(b, k) for b in blobs] for k in ("shard", "offset", "size_bytes", "crc32")})
    frames = StoredFrames(store, ref, index, codec)
    for n, level in enumerate(levels):
        assert abs(int(frames.read(n).mean()) - level) <= 1
    with tarfile.open(tmp_path / "store" / ref.path / "frames-00000.tar") as tar:
        assert [m.name for m in tar] == [f"frames-00000-{n:06d}.jpg" for n in range(3)]


def stored(
    store: Store, levels: Sequence[int], shape: tuple[int, int] = (64, 96), codec: ImageCodec = CODEC
) -> StoredFrames:
    """Frames of these grey levels."""
    writer = store.begin(AttemptRef("match", "extract_frames", "run-0"))
    blobs = [writer.append(0.0, codec.encode(np.full((*shape, 3), level, np.uint8), 95, 0)) for level in levels]
    writer.seal()
    index = pa.table({k: [getattr(b, k) for b in blobs] for k in ("shard", "offset", "size_bytes", "crc32")})
    return StoredFrames(store, writer.ref, index, codec)


@pytest.mark.parametrize("order", [[*range(40)], [*range(0, 40, 7)], [3, 9, 4, 9, 30, 0], [39], []])
def test_frames_are_read_in_the_order_given(store: Store, order: list[int]):
    frames = stored(store, range(0, 200, 5))
    assert [round(image.mean() / 5) for image in frames.in_order(order)] == order


def test_on_s3_neighbouring_frames_share_a_request(s3: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: ARG001
    from s3fs import S3FileSystem

    calls: list[str] = []
    call_s3 = S3FileSystem._call_s3

    def counted(self: S3FileSystem, method: str, *args: Any, **kwargs: Any) -> Any:
        calls.append(method)
        return call_s3(self, method, *args, **kwargs)

    frames = stored(Store("s3://bucket/frames"), range(0, 200, 2), (720, 1280))
    size = len(frames.jpeg(7)) + 1024  # with the tar's header
    monkeypatch.setattr(S3FileSystem, "_call_s3", counted)
    frames.read(8)
    assert calls == ["get_object"]
    calls.clear()
    assert len([*frames.in_order(range(100))]) == 100
    assert calls == ["get_object"]
    frames._held = ()
    monkeypatch.setattr(storage, "READ_BYTES", 12 * size)
    calls.clear()
    assert len([*frames.in_order(range(100))]) == 100
    assert {*calls} == {"get_object"}
    assert 6 <= len(calls) <= 10
    frames._held = ()
    monkeypatch.setattr(storage, "SKIPPED_BYTES", 8 * size)
    calls.clear()
    assert [round(image.mean()) for image in frames.in_order([0, 1, 50, 51, 99])] == [0, 2, 100, 102, 198]
    assert calls == ["get_object"] * 3, "frames far apart are fetched alone"
    calls.clear()
    assert [round(frames.read(n).mean()) for n in (50, 1, 0, 51, 99)] == [100, 2, 0, 102, 198]
    assert calls == [], "the last ranges are held"
    frames.read(60)
    assert calls == ["get_object"]


def test_frames_are_prepared_while_the_caller_works(store: Store):
    decoded: list[int] = []
    one_more = threading.Semaphore(0)

    class Codec(OpenCvCodec):
        def decode(self, data: bytes) -> Image:
            decoded.append(threading.get_ident())
            one_more.release()
            return super().decode(data)

    frames = stored(store, range(20), codec=Codec())
    images = frames.in_order(range(20))
    next(images)
    assert all(one_more.acquire(timeout=20) for _ in range(1 + DECODED_AHEAD))
    images.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert len(decoded) == 1 + DECODED_AHEAD, "no more are held"
    assert threading.get_ident() not in decoded


def test_a_frame_that_is_not_what_was_written_is_not_read(store: Store, tmp_path: Path):
    codec = OpenCvCodec()
    writer = store.begin(AttemptRef("match", "extract_frames", "run-0"))
    blobs = [writer.append(0.0, codec.encode(np.full((64, 96, 3), level, np.uint8), 95, 0)) for level in (10, 200)]
    writer.seal()
    index = pa.table({k: [getattr(b, k) for b in blobs] for k in ("shard", "offset", "size_bytes", "crc32")})
    frames = StoredFrames(store, writer.ref, index, codec)
    shard = tmp_path / "store" / writer.ref.path / "frames-00000.tar"
    written = shard.read_bytes()
    for damaged in (flipped(written, 8 * (blobs[1].offset + 300)), written[: blobs[1].offset + 99], written[:1024]):
        shard.write_bytes(damaged)
        with pytest.raises(Permanent, match=r"match/extract_frames/run-0 is damaged: its frames-00000\.tar") as error:
            frames.read(1)
        assert "re-materialize extract_frames of match" in error.value.hint
    shard.write_bytes(written)
    assert frames.read(1).mean() == pytest.approx(200, abs=1), "restored"
    shard.write_bytes(flipped(written, 8 * (blobs[1].offset + 300)))
    frames = StoredFrames(store, writer.ref, index, codec)
    assert frames.read(0).mean() == pytest.approx(10, abs=1)
    images = frames.in_order([0, 1])
    assert next(images).mean() == pytest.approx(10, abs=1), "what was read before the damage is used"
    with pytest.raises(Permanent, match="is damaged"):
        next(images)
