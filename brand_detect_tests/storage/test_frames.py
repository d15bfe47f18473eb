"""Frames in shards, written and read."""

import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from brand_detect.domain.errors import Permanent
from brand_detect.engines.image import OpenCvCodec
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.frames import StoredFrames
from brand_detect.storage.shards import SHARD_BYTES
from brand_detect.storage.store import Store
from brand_detect_tests.support.checkpoints import flipped


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_frames_are_read_by_byte_range_from_plain_tars(store: Store, tmp_path: Path):
    codec = OpenCvCodec()
    ref = AttemptRef("match", "extract_frames", "run-0")
    writer = store.begin(ref)
    pictures = [np.full((48, 64, 3), level, np.uint8) for level in (10, 120, 240)]
    blobs = [writer.append(codec.encode(picture, 95, 0)) for picture in pictures]
    writer.seal()
    blobs.append(writer.append(codec.encode(pictures[0], 95, 0)))
    writer.seal()
    assert [b.shard for b in blobs] == ["frames-00000.tar"] * 3 + ["frames-00001.tar"]

    index = pa.table({k: [getattr(b, k) for b in blobs] for k in ("shard", "offset", "size_bytes", "crc32")})
    frames = StoredFrames(store, ref, index, codec)
    for n, level in enumerate((10, 120, 240, 10)):
        assert abs(int(frames.read(n).mean()) - level) <= 1
    with tarfile.open(tmp_path / "store" / ref.path / "frames-00000.tar") as tar:
        assert [m.name for m in tar] == [f"frames-00000-{n:06d}.jpg" for n in range(3)]
    assert SHARD_BYTES < 2**30


def test_a_frame_that_is_not_what_was_written_is_not_read(store: Store, tmp_path: Path):
    codec = OpenCvCodec()
    writer = store.begin(AttemptRef("match", "extract_frames", "run-0"))
    blobs = [writer.append(codec.encode(np.full((64, 96, 3), level, np.uint8), 95, 0)) for level in (10, 200)]
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
    shard.write_bytes(flipped(written, 8 * (blobs[1].offset + 300)))
    assert frames.read(0).mean() == pytest.approx(10, abs=1)
