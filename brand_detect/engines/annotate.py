"""Draws on videos and cuts them through PyAV: decodes, draws, encodes as H.264 in MP4; copies the sound."""

import io
import math
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from brand_detect.domain.errors import Transient
from brand_detect.domain.media import VideoLimits
from brand_detect.domain.protocols import Draw, Interval, Progress, Rewritten
from brand_detect.engines.video import ROUNDED_S, Pictures, opened, shown_size, turn_of, upright

if TYPE_CHECKING:
    from av import AudioStream, Packet, VideoFrame
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

CODING = {"crf": "20", "preset": "veryfast"}
"""x264's quality and speed: at 1080p, encoding is about as fast as drawing on two cores."""
WAITING = 1000
"""Sound packets that wait for the first picture: those of the last 20 seconds or more."""
SOUND_BEHIND_S = 3.0
"""How far behind its pictures the sound of a part is looked for in the file."""
LIMITED = 1
"""FFmpeg's code for limited colour range, that of ordinary video."""
EXACT = 0x2 | 0x2000 | 0x40000
"""swscale's flags bilinear, full_chroma_int and accurate_rnd: the defaults darken pictures by 1.5 of 255."""


@dataclass(frozen=True)
class PyAvRewriter:
    """The ``VideoRewriter`` of the project.

    Keeps the source's times and time base, even at a variable frame rate, but starts the clock at 0. Pictures are
    upright, deinterlaced and have square pixels, as from ``PyAvDecoder``; an odd row or column at the edge is dropped,
    since 4:2:0 cannot hold it.
    """

    limits: VideoLimits = field(default_factory=VideoLimits)

    def rewrite(
        self, file: BinaryIO, target: Path, draw: Draw | None, progress: Progress, part: Interval = (0.0, math.inf)
    ) -> Rewritten:
        """See ``VideoRewriter.rewrite``."""
        import av
        from av.error import FFmpegError

        options = {"movflags": "+faststart"}
        with opened(file, self.limits) as (container, stream):
            base = stream.time_base or Fraction(1, 90_000)
            options["video_track_timescale"] = str(base.denominator)
            try:
                with av.open(str(target), "w", format="mp4", container_options=options) as written:
                    return _Rewriting(container, stream, self.limits, written, base, part).run(draw, progress)
            except FFmpegError as e:
                if not isinstance(e, OSError):
                    raise
                # a fault of the target: those of the source come from Python's file and are no errors of FFmpeg
                raise Transient(
                    f"The video could not be written: {e.strerror}.",
                    "make room where it is written: for the page and the asset, in the temporary folder (TMPDIR)",
                ) from e


def _fits(sound: "AudioStream") -> bool:
    """Whether MP4 can hold that sound unchanged. PCM is excluded: few players support it, nor does FFmpeg fully."""
    import av

    if sound.codec_context.name.startswith("pcm_"):
        return False
    try:
        with av.open(io.BytesIO(), "w", format="mp4") as trial:
            trial.add_stream_from_template(sound)
    except ValueError:
        return False
    return True


class _Rewriting:
    def __init__(
        self,
        container: "InputContainer",
        stream: "VideoStream",
        limits: VideoLimits,
        written: "OutputContainer",
        base: Fraction,
        part: Interval,
    ) -> None:
        self._container, self._stream, self._limits = container, stream, limits
        self._written, self._base = written, base
        self._begin_s = Fraction(max(container.start_time or 0, 0), 1_000_000)  # by the container's clock
        self._part = part
        self._video: VideoStream | None = None
        self._waiting: deque[Packet] = deque(maxlen=WAITING)  # sound packets from before the first picture
        self._sound = next((s for s in container.streams.audio[:1] if _fits(s)), None)
        self._copied: AudioStream | None = None
        self._heard_out = False  # whether the sound has come to the end of the part

    def run(self, draw: Draw | None, progress: Progress) -> Rewritten:
        from av.video.frame import PictureType

        pictures = Pictures(self._container, self._stream, self._limits, self._sound, self._copy)
        start_s, end_s = self._part
        total_s = min(float((self._container.duration or 0) / 1e6), end_s) - start_s
        first, first_s, frames = None, 0.0, 0
        for t_s, picture in pictures.read(start_s):
            if t_s >= end_s - ROUNDED_S:
                if self._sound is None or self._heard_out or t_s >= end_s + SOUND_BEHIND_S:
                    break
                continue
            progress(max(0.0, t_s - start_s), total_s, "seconds of video")
            if t_s < start_s - ROUNDED_S:
                continue
            if first is None:
                shown_s = Fraction(picture.pts) * Fraction(picture.time_base or 0) if picture.pts else Fraction(0)
                if start_s:
                    self._begin_s = shown_s
                first, first_s = self._ticks(shown_s), t_s
            duration = round((picture.duration or 0) * (picture.time_base or 0) / self._base)
            image = self._drawn(picture, t_s, draw)
            if self._video is None:
                self._begin(image.width, image.height, picture)
            image.pts, image.time_base = first + round((t_s - first_s) / self._base), self._base
            image.duration = duration
            image.pict_type = PictureType.NONE  # the encoder's choice, not the source's
            self._encode(image)
            frames += 1
        self._encode(None)
        notes = (
            []
            if self._sound or not self._container.streams.audio
            else ["The sound is left out: MP4 cannot hold its codec."]
        )
        if pictures.damaged:
            notes.append(f"The video cannot be decoded beyond {pictures.end_s:.1f} s.")
        sound = self._sound.codec_context.codec.canonical_name if self._sound else ""
        return Rewritten(frames, min(pictures.end_s, end_s) - first_s, sound, tuple(notes))

    def _drawn(self, picture: "VideoFrame", t_s: float, draw: Draw | None) -> "VideoFrame":
        from av import VideoFrame

        turn = turn_of(picture)
        width, height = shown_size(self._stream, picture)
        matrix = picture.colorspace  # the same in both directions; if undeclared, both guess alike
        ordinary = picture.format.name == "yuv420p" and picture.color_range in (0, LIMITED)
        if draw is None and ordinary and not turn and width % 2 == height % 2 == 0:  # takes two fifths of the time
            return picture.reformat(width, height, "yuv420p", interpolation=EXACT)
        bgr: Any = picture.to_ndarray(
            format="bgr24", width=width, height=height, dst_colorspace=matrix, interpolation=EXACT
        )
        image = upright(bgr, turn)
        image = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        drawn = VideoFrame.from_ndarray(draw(t_s, image) if draw else image, format="bgr24")
        return drawn.reformat(format="yuv420p", dst_colorspace=matrix, interpolation=EXACT)

    def _begin(self, width: int, height: int, picture: "VideoFrame") -> None:
        from av.codec.context import Flags

        rate = self._stream.average_rate or self._stream.guessed_rate or 25
        self._video = video = self._written.add_stream("libx264", rate=rate, options=CODING)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.time_base = self._base
        coder = video.codec_context
        coder.time_base = self._base
        coder.flags |= Flags.frame_duration
        coder.color_range = LIMITED
        coder.colorspace, coder.color_primaries, coder.color_trc = (
            picture.colorspace,
            picture.color_primaries,
            picture.color_trc,
        )
        if self._sound:
            self._copied = self._written.add_stream_from_template(self._sound)
        for packet in self._waiting:
            self._mux(packet)
        self._waiting.clear()

    def _encode(self, picture: "VideoFrame | None") -> None:
        if self._video is not None:
            self._written.mux(self._video.encode(picture))

    def _copy(self, packet: "Packet") -> None:
        if self._video is None:
            self._waiting.append(packet)
        else:
            self._mux(packet)

    def _mux(self, packet: "Packet") -> None:
        if packet.dts is None or packet.pts is None:
            return
        shift = round(self._begin_s / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        start_s, end_s = self._part
        self._heard_out |= packet.pts * packet.time_base >= end_s - start_s
        if self._heard_out or (start_s and packet.pts < 0):
            return
        assert self._copied is not None
        packet.stream = self._copied
        self._written.mux(packet)

    def _ticks(self, t_s: Fraction) -> int:
        return max(0, round((t_s - self._begin_s) / self._base))
