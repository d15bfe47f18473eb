"""Contract of ``extract_frames``: params, tables and payload."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
from pydantic import Field, model_validator

from brand_detect.domain.params import Params
from brand_detect.domain.records import Payload
from brand_detect.domain.tables import F32, F64, I32, I64, STRING, schema

THUMBNAIL_SHAPE = (36, 64)
"""Rows and columns of a luma thumbnail, whatever the picture's aspect ratio."""
SHARD_S = 60.0
"""Seconds of video in a shard. Shards begin at its multiples: a stretch of whole minutes has the video's own shards."""
FRAMES = schema(
    "frames",
    "One row per sampled frame",
    frame=(I32, "ordinal among the sampled frames, from 0"),
    frame_id=(STRING, "id, from the video's content and the time"),
    t_s=(F64, "presentation time, in seconds"),
    width_px=(I32, "width of the stored frame"),
    height_px=(I32, "height of the stored frame"),
    shard=(STRING, "the shard's file name inside the attempt"),
    offset=(I64, "offset of the JPEG inside the shard, in bytes"),
    size_bytes=(I64, "size of the JPEG, in bytes"),
    crc32=(pa.uint32(), "CRC-32 of the JPEG"),
    quality=(I32, "quality of the JPEG, 1..100"),
    repeats=(I32, "the earlier frame that it shows again; null if kept in full"),
    luma_mean=(F32, "mean luma, 0..255"),
    luma_std=(F32, "standard deviation of the luma, 0..127.5"),
    phash=(pa.uint64(), "64-bit DCT perceptual hash of the luma"),
    thumbnail=(pa.binary(THUMBNAIL_SHAPE[0] * THUMBNAIL_SHAPE[1]), "luma thumbnail, row by row, one byte per pixel"),
)
SIGNALS = schema(
    "signals",
    "One row per decoded picture, sampled or not",
    t_s=(F64, "when the frame is shown, in seconds"),
    luma_mean=(F32, "mean luma, 0..255"),
    luma_std=(F32, "standard deviation of the luma, 0..127.5"),
    change=(F32, "difference from the previous picture, 0..1"),
    drift=(F32, "difference from the picture half a second earlier, 0..1"),
)


@dataclass(frozen=True)
class ExtractedFrames(Payload):
    frames: pa.Table
    signals: pa.Table
    start_s: float  # the sampled range of the video
    end_s: float
    schemas: ClassVar = {"frames": FRAMES, "signals": SIGNALS}


class ExtractFramesParams(Params):
    sample_fps: float = Field(2.0, gt=0, le=60, description="frames sampled per second of video")
    start_s: float = Field(0.0, ge=0, le=1e9, description="where sampling begins, in seconds")
    end_s: float = Field(0.0, ge=0, description="where sampling ends, in seconds; 0 = at the end of the video")
    jpeg_quality: int = Field(75, ge=1, le=100, description="JPEG quality of a frame that shows something new")
    repeat_quality: int = Field(
        50,
        ge=1,
        le=100,
        description="JPEG quality of a frame that shows an earlier one again, if lower than jpeg_quality",
    )
    longest_side_px: int = Field(
        0, ge=0, le=16384, description="longest side of the stored frames; 0 = as in the video"
    )

    @model_validator(mode="after")
    def _range(self) -> "ExtractFramesParams":
        if self.end_s and self.end_s <= self.start_s:
            raise ValueError("end_s must be 0 or greater than start_s")
        return self
