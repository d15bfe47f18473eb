"""Stage 1: sampled frames as JPEGs, and a signal for every decoded picture."""

import math
from array import array
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brand_detect.domain.errors import BadInput
from brand_detect.domain.model import FRAMES, SIGNALS, ExtractedFrames, JobRequest, content_id, table
from brand_detect.domain.params import ExtractFramesParams
from brand_detect.domain.protocols import BlobSink, DamagedTail, Decoder, ImageCodec, Media, Progress


def extract_frames(
    request: JobRequest,
    params: ExtractFramesParams,
    *,
    media: Media,
    decoder: Decoder,
    codec: ImageCodec,
    sink: BlobSink,
    progress: Progress,
) -> ExtractedFrames:
    """Sample the video in one pass; frames go to ``sink`` as they come, so memory does not grow with the video.

    Raises:
        BadInput: no picture lies in the asked range.
    """
    start_s, duration_s = params.start_s, request.probe.duration_s
    asked_end_s = params.end_s or math.inf
    end_s = min(asked_end_s, duration_s)
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    signals = _Signals()
    with media.open(request.video_uri) as file:
        try:
            for picture in decoder.decode(file, params.sample_fps, start_s, asked_end_s):
                mean, std = signals.add(picture.t_s, picture.luma)
                if picture.image is None:
                    continue
                blob = sink.append(codec.encode(picture.image, params.jpeg_quality, params.longest_side_px))
                height, width = _stored_size(*picture.image.shape[:2], params.longest_side_px)
                rows.append(
                    {
                        "frame": len(rows),
                        "frame_id": content_id(request.video_sha256, picture.t_s),
                        "t_s": picture.t_s,
                        "width_px": width,
                        "height_px": height,
                        "shard": blob.shard,
                        "offset": blob.offset,
                        "size_bytes": blob.size_bytes,
                        "luma_mean": mean,
                        "luma_std": std,
                        "phash": codec.phash(picture.luma),
                    }
                )
                progress(picture.t_s - start_s, end_s - start_s, "seconds of video")
        except DamagedTail as damage:
            lost_s = end_s - damage.at_s
            if lost_s > 0:
                notes.append(f"the video is damaged after {damage.at_s:.1f} s; {lost_s:.1f} s were lost")
                end_s = damage.at_s
    if not rows:
        raise BadInput(
            f"No picture lies between {start_s:g} s and {end_s:g} s of the video.",
            f"the video is {duration_s:.1f} s long; set start_s and end_s of extract_frames within it",
        )
    return ExtractedFrames(
        frames=table(FRAMES, rows),
        signals=signals.table(),
        start_s=rows[0]["t_s"],
        end_s=max(end_s, rows[-1]["t_s"]),
        notes=tuple(notes),
        stats={"pictures": len(signals), "bytes": sum(row["size_bytes"] for row in rows)},
    )


def _stored_size(height: int, width: int, longest_side_px: int) -> tuple[int, int]:
    scale = min(1.0, longest_side_px / max(height, width)) if longest_side_px else 1.0
    return max(1, round(height * scale)), max(1, round(width * scale))


class _Signals:
    """The SIGNALS table in the making, 20 bytes a picture."""

    def __init__(self) -> None:
        self._t_s = array("d")
        self._measures = [array("f") for _ in range(3)]  # luma_mean, luma_std, change
        self._last: NDArray[np.int16] | None = None

    def __len__(self) -> int:
        return len(self._t_s)

    def add(self, t_s: float, luma: NDArray[np.uint8]) -> tuple[float, float]:
        """Note a picture; returns the mean and the deviation of its luma."""
        now = luma.astype(np.int16)
        change = 0.0 if self._last is None else float(np.abs(now - self._last).mean()) / 255
        self._last = now
        values = float(luma.mean()), float(luma.std()), change
        self._t_s.append(t_s)
        for column, value in zip(self._measures, values, strict=True):
            column.append(value)
        return values[:2]

    def table(self) -> pa.Table:
        columns = [np.asarray(self._t_s), *(np.asarray(column) for column in self._measures)]
        return pa.Table.from_arrays([pa.array(c) for c in columns], schema=SIGNALS)
