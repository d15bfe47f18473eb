"""Draws on videos, cuts and copies them through PyAV: decodes, draws, encodes as H.264 in MP4, with the sound."""

import io
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from brand_detect.domain.errors import Transient
from brand_detect.domain.media import VideoLimits
from brand_detect.domain.protocols import Draw, Interval, Progress, Rewritten
from brand_detect.engines.video import ROUNDED_S, Pictures, decoded, opened, shown_size, turn_of, upright

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler, AudioStream, Packet, VideoFrame
    from av.container import InputContainer, OutputContainer
    from av.video.frame import PictureType
    from av.video.stream import VideoStream

CODING = {"crf": "20", "preset": "veryfast"}
"""x264's quality and speed: at 1080p, encoding is about as fast as drawing on two cores."""
WAITING = 1000
"""Sound packets that wait for the first picture: those of the last 20 seconds or more."""
SOUND_BEHIND_S = 3.0
"""How far behind its pictures the sound of a part is looked for in the file."""
ORDINARY = ("yuv420p", "yuv420p10le", "yuv422p", "yuv422p10le")
"""Pixels that become yuv420p directly with no worse colours, in two fifths of the time."""
LIMITED = 1
"""FFmpeg's code for limited colour range, that of ordinary video."""
COPIED_PX = 720
"""Greatest height of a copy."""
KEY_S = 1.0
"""Time between the key pictures of a copy: a player seeks to one and decodes from there."""
SOUND_RATE = 48_000
OVERLAP = 512
"""Samples by which encoded sound may come late; with more of an overlap a piece is dropped."""
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
        with self._opened(file, target) as media:
            return _Rewriting(*media, self.limits, part).run(draw, progress)

    def copy(self, file: BinaryIO, target: Path, first_picture_s: float, progress: Progress) -> Rewritten:
        """See ``VideoRewriter.copy``."""
        with self._opened(file, target) as media:
            return _Copying(*media, self.limits, first_picture_s).run(None, progress)

    @contextmanager
    def _opened(self, file: BinaryIO, target: Path) -> "Iterator[tuple[InputContainer, VideoStream, OutputContainer]]":
        import av
        from av.error import FFmpegError

        options = {"movflags": "+faststart"}
        with opened(file, self.limits) as (container, stream):
            options["video_track_timescale"] = str(_base(stream).denominator)
            try:
                with av.open(str(target), "w", format="mp4", container_options=options) as written:
                    yield container, stream, written
            except FFmpegError as e:
                if not isinstance(e, OSError):
                    raise
                # a fault of the target: those of the source come from Python's file and are no errors of FFmpeg
                raise Transient(
                    f"The video could not be written: {e.strerror}.",
                    "make room where it is written: for the page and the asset, in the temporary folder (TMPDIR)",
                ) from e


def _base(stream: "VideoStream") -> Fraction:
    return stream.time_base or Fraction(1, 90_000)


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


def _begins_s(sound: "Packet") -> float:
    return float((sound.pts or 0) * sound.time_base)


def _shift(sound: "Packet", by_s: Fraction) -> None:
    ticks = round(by_s / sound.time_base)
    sound.pts, sound.dts = (sound.pts or 0) - ticks, (sound.dts or 0) - ticks


class _Rewriting:
    _refusal = "MP4 cannot hold its codec"

    def __init__(
        self,
        container: "InputContainer",
        stream: "VideoStream",
        written: "OutputContainer",
        limits: VideoLimits,
        part: Interval = (0.0, math.inf),
    ) -> None:
        self._container, self._stream, self._limits = container, stream, limits
        self._written, self._base = written, _base(stream)
        self._begin_s = Fraction(max(container.start_time or 0, 0), 1_000_000)  # by the container's clock
        self._part = part
        self._video: VideoStream | None = None
        self._held: deque[Packet] = deque()  # sound packets from after a jump of their clock
        self._raw_s: float | None = None  # when the last packet of sound begins by the file's clock
        self._jumped_s = 0.0  # as far as the sound has followed the jumps of the pictures' clock
        self._waiting: deque[Packet] = deque(maxlen=WAITING)  # sound packets from before the first picture
        self._sound = next((s for s in container.streams.audio[:1] if self._can_hold(s)), None)
        self._heard: AudioStream | None = None
        self._heard_out = False  # whether the sound has come to the end of the part
        self._heard_s = -math.inf  # when it begins by the new clock
        self._fault = ""  # what ended the sound
        self._pictures = Pictures(container, stream, limits, self._sound, self._hear)

    def run(self, draw: Draw | None, progress: Progress) -> Rewritten:
        pictures = self._pictures
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
                shown_s -= Fraction(pictures.clock.jumped_s)
                self._begin_s = self._begun_s(shown_s)
                first, first_s = self._ticks(shown_s), t_s
            duration = round((picture.duration or 0) * (picture.time_base or 0) / self._base)
            image = self._drawn(picture, t_s, draw)
            if self._video is None:
                self._begin(image.width, image.height, picture)
            image.pts, image.time_base = first + round((t_s - first_s) / self._base), self._base
            image.duration = duration
            image.pict_type = self._kind(t_s)
            self._encode(image)
            frames += 1
        self._encode(None)
        self._follow(ends=True)
        with self._sound_faults():
            self._end_sound()
        notes = [self._fault] if self._fault else []
        if self._container.streams.audio and not self._sound:
            notes.append(f"The sound is left out: {self._refusal}.")
        if pictures.damaged:
            notes.append(f"The video cannot be decoded beyond {pictures.end_s:.1f} s.")
        sound = self._heard.codec_context.codec.canonical_name if self._heard else ""
        return Rewritten(frames, min(pictures.end_s, end_s) - first_s, sound, tuple(notes))

    def _can_hold(self, sound: "AudioStream") -> bool:
        return _fits(sound)

    def _begun_s(self, shown_s: Fraction) -> Fraction:
        """What the container's clock says where the new one says 0, by that of the first picture."""
        return shown_s if self._part[0] else self._begin_s

    def _size(self, picture: "VideoFrame") -> tuple[int, int]:
        """Width and height before rotation."""
        return shown_size(self._stream, picture)

    def _kind(self, _t_s: float) -> "PictureType":
        from av.video.frame import PictureType

        return PictureType.NONE  # the encoder's choice, not the source's

    def _drawn(self, picture: "VideoFrame", t_s: float, draw: Draw | None) -> "VideoFrame":
        from av import VideoFrame

        turn = turn_of(picture)
        width, height = self._size(picture)
        matrix = picture.colorspace  # the same in both directions; if undeclared, both guess alike
        ordinary = picture.format.name in ORDINARY and picture.color_range in (0, LIMITED)
        if draw is None and ordinary and not turn and width % 2 == height % 2 == 0:
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
            self._heard = self._begin_sound(self._sound)
        for packet in self._waiting:
            self._mux(packet)
        self._waiting.clear()

    def _encode(self, picture: "VideoFrame | None") -> None:
        if self._video is not None:
            self._written.mux(self._video.encode(picture))

    def _hear(self, packet: "Packet") -> None:
        if packet.dts is not None and packet.pts is not None:
            self._held.append(packet)
            self._follow()

    def _follow(self, *, ends: bool = False) -> None:
        """Passes sound on by the pictures' clock: where its own jumps, once theirs has jumped or clearly does not."""
        clock = self._pictures.clock
        while self._held:
            packet, at_s = self._held[0], _begins_s(self._held[0])
            if self._raw_s is not None and clock.jumps(self._raw_s, at_s):
                waits = not ends and _begins_s(self._held[-1]) - at_s < SOUND_BEHIND_S
                if clock.jumped_s == self._jumped_s and waits:
                    return
                self._jumped_s = clock.jumped_s
            self._raw_s = at_s
            self._held.popleft()
            _shift(packet, Fraction(self._jumped_s))
            if self._video is None:
                self._waiting.append(packet)
            else:
                self._mux(packet)

    def _mux(self, packet: "Packet") -> None:
        _shift(packet, self._begin_s)
        at_s, (start_s, end_s) = _begins_s(packet), self._part
        self._heard_out |= at_s >= end_s - start_s
        if self._heard_out or (start_s and at_s < 0) or at_s <= self._heard_s:
            return
        self._heard_s = at_s
        with self._sound_faults():
            self._put(packet)

    @contextmanager
    def _sound_faults(self) -> "Iterator[None]":
        """A fault of the sound ends the sound alone; that of a full disk is none."""
        from av.error import FFmpegError

        try:
            yield
        except FFmpegError as e:
            if isinstance(e, OSError):
                raise
            self._heard_out = True
            self._fault = f"The sound ends at {self._heard_s:.1f} s, where it could not be written."

    def _begin_sound(self, sound: "AudioStream") -> "AudioStream":
        return self._written.add_stream_from_template(sound)

    def _put(self, packet: "Packet") -> None:
        """Write a packet of sound, which has its new times."""
        assert self._heard is not None
        packet.stream = self._heard
        self._written.mux(packet)

    def _end_sound(self) -> None: ...

    def _ticks(self, t_s: Fraction) -> int:
        return max(0, round((t_s - self._begin_s) / self._base))


class _Copying(_Rewriting):
    """Makes a copy; sound that is not AAC is encoded, since few browsers play other sound in MP4."""

    _refusal = "FFmpeg here cannot decode it"

    def __init__(
        self,
        container: "InputContainer",
        stream: "VideoStream",
        written: "OutputContainer",
        limits: VideoLimits,
        first_picture_s: float,
    ) -> None:
        super().__init__(container, stream, written, limits)
        self._first_picture_s = first_picture_s
        self._key_s = 0.0  # when the next key picture is due
        self._encodes = False  # whether the sound is encoded, not copied
        self._resampler: AudioResampler | None = None
        self._resampled: tuple[str, str, int] | None = None  # the kind of sound that it takes
        self._end: int | None = None  # of the encoded sound, in samples

    def _can_hold(self, sound: "AudioStream") -> bool:
        return sound.codec_context is not None  # it can be decoded

    def _begun_s(self, shown_s: Fraction) -> Fraction:
        return shown_s - Fraction(self._first_picture_s)

    def _size(self, picture: "VideoFrame") -> tuple[int, int]:
        width, height = super()._size(picture)
        high = max(COPIED_PX, width if turn_of(picture) % 180 else height)
        return max(2, width * COPIED_PX // high // 2 * 2), max(2, height * COPIED_PX // high // 2 * 2)

    def _kind(self, t_s: float) -> "PictureType":
        from av.video.frame import PictureType

        if t_s < self._key_s:
            return PictureType.NONE
        self._key_s = t_s + KEY_S
        return PictureType.I

    def _begin_sound(self, sound: "AudioStream") -> "AudioStream":
        if sound.codec_context.name == "aac":
            return super()._begin_sound(sound)
        self._encodes = True
        coded = self._written.add_stream("aac", rate=SOUND_RATE)
        coded.codec_context.layout = "mono" if sound.codec_context.layout.nb_channels == 1 else "stereo"
        return coded

    def _put(self, packet: "Packet") -> None:
        if not self._encodes:
            super()._put(packet)
            return
        for sound in decoded(packet):
            self._encode_sound(sound)

    def _end_sound(self) -> None:
        if self._encodes:
            self._encode_sound(None)

    def _encode_sound(self, sound: "AudioFrame | None") -> None:
        from av import AudioResampler

        assert self._heard is not None
        if sound:
            kind = sound.format.name, sound.layout.name, sound.sample_rate
            if kind != self._resampled:  # also from one programme of a broadcast to the next
                self._resampler = AudioResampler("fltp", self._heard.codec_context.layout.name, SOUND_RATE)
                self._resampled = kind
        for piece in self._resampler.resample(sound) if self._resampler else []:
            if piece and self._follows(piece):
                self._written.mux(self._heard.encode(piece))
        if sound is None:
            self._written.mux(self._heard.encode(None))

    def _follows(self, piece: "AudioFrame") -> bool:
        """Whether the piece comes after the sound before it; its time becomes one in samples."""
        begin = self._end or 0  # the later ones of a packet may have no time
        if piece.pts is not None and piece.time_base:  # sound in the right form comes with the source's time base
            begin = round(piece.pts * piece.time_base * SOUND_RATE)
        end = begin if self._end is None else self._end
        if begin < end - OVERLAP:
            return False
        piece.pts, piece.time_base = max(begin, end), Fraction(1, SOUND_RATE)
        self._end = piece.pts + piece.samples
        return True
