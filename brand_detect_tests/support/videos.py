"""Short clips for tests, written from numpy pictures with PyAV, and plain things to read and write them with."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.protocols import BlobRef

Picture = NDArray[np.uint8]


def write_clip(
    path: Path,
    pictures: Iterable[Picture],
    *,
    fps: int | Fraction = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation_deg: int = 0,
    interlaced: bool = False,
    times_s: Sequence[float] | None = None,
    keyint: int = 12,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write BGR (h, w, 3) or grey (h, w) pictures; the container follows the suffix.

    ``rotation_deg`` is the clockwise turn a player makes to show the pictures upright; ``times_s`` gives each picture's
    own time (variable frame rate); ``interlaced`` pictures hold two fields, the bottom one (odd rows) first.
    """
    coding = {"crf": "16", "preset": "ultrafast"} if codec == "libx264" else {}
    if interlaced:
        coding["x264-params"] = "interlaced=1:bff=1"
    base = Fraction(1, 1000) if times_s is not None else 1 / Fraction(fps)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = None
        for n, picture in enumerate(pictures):
            if stream is None:
                height, width = picture.shape[:2]
                stream = container.add_stream(codec, rate=fps, options=coding | (options or {}))
                assert isinstance(stream, av.VideoStream), codec
                stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
                stream.codec_context.time_base = base
                stream.codec_context.gop_size = keyint
                if rotation_deg:
                    stream.set_display_rotation(-rotation_deg)
            frame = av.VideoFrame.from_ndarray(picture, format="gray" if picture.ndim == 2 else "bgr24")
            frame = frame.reformat(format=pix_fmt)
            frame.pts = n if times_s is None else round(times_s[n] * 1000)
            frame.time_base = base
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
    return path


def scene(seed: int, width: int = 320, height: int = 180) -> Picture:
    """A textured picture, different for each seed: soft colour patches and some hard edges."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 226, (6, 10, 3), dtype=np.uint8)
    rows = np.arange(height) * 6 // height
    columns = np.arange(width) * 10 // width
    return coarse[:, columns][rows]  # in this order: rows are copied whole


def truncate(path: Path, share: float) -> Path:
    """Cut the file in place to its first ``share`` of bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


class LocalMedia:
    """Opens any local path."""

    @contextmanager
    def open(self, uri: str) -> Iterator[BinaryIO]:
        with Path(uri).open("rb") as file:
            yield file


class MemorySink:
    """Keeps the blobs in a list; ``offset`` is the place in it."""

    def __init__(self) -> None:
        self.blobs: list[bytes] = []

    def append(self, t_s: float, data: bytes) -> BlobRef:  # noqa: ARG002
        self.blobs.append(data)
        return BlobRef("memory", len(self.blobs) - 1, len(data), zlib.crc32(data))

    def write(self, name: str, data: bytes) -> None:
        raise AssertionError(f"nobody asked for {name}, {len(data)} bytes")


def silent(done: float, total: float, unit: str) -> None:
    """A ``Progress`` that tells nobody."""
