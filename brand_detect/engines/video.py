"""Reads videos through PyAV (FFmpeg): probes files, and decodes pictures in one sequential pass."""

import ctypes
import math
import threading
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.contracts.extract_frames import THUMBNAIL_SHAPE
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import Probe
from brand_detect.domain.media import VideoLimits
from brand_detect.domain.protocols import MOST_PICTURES, DamagedTail, DecodedFrame, Image, Interval, Picture

if TYPE_CHECKING:
    from av import AudioStream, Packet, VideoFrame
    from av.container import InputContainer
    from av.filter import Graph
    from av.video.format import VideoFormat
    from av.video.stream import VideoStream

PROBED_PACKETS = 250
PROBED_PICTURES = 4
SEEK_FROM_S = 5.0
"""Ranges that begin later than this are reached by seeking to the previous key picture, if there is an index."""
_MATROSKA = "matroska,webm"
_INDEXED = {"mov,mp4,m4a,3gp,3g2,mj2", _MATROSKA}
SEEK_AHEAD_S = 0.2
"""A key picture at least this far ahead is sought; a nearer one is reached by decoding on."""
ROUNDED_S = 2e-3
"""Containers round times to a millisecond."""
LOST_S = 0.5
"""A video that ends this long before its declared end has lost its tail."""
LAST_S = 1.0
"""Longest duration of a last picture beyond the declared end."""
_TIMELESS = {"mpegts", "mpeg"}
"""Streaming formats: no header declares the duration; FFmpeg guesses it from the clock at both ends."""
PAUSE_S = 10.0
"""A larger step of their clock is a jump, a smaller one may be a pause. FFmpeg's own limit."""
SMALLEST_PX, LONGEST = 8, 100
"""Least shorter side, and largest ratio of sides: beyond these nothing can be recognised."""
LARGE_PX = 4096 * 2304
"""Larger pictures are decoded with few threads, since each holds one."""
ALLOCATED = 2**27
"""Bytes that FFmpeg may always allocate at once: enough for the index of a day of video at 60 fps."""
UNBOUNDED = 2**31 - 1
"""FFmpeg's default limit of one allocation, in bytes."""
_BOUNDS: list[int] = []
_BOUNDS_LOCK = threading.Lock()
_TEXT_AS_PICTURES = {"tty", "bin", "xbin", "adf", "idf"}  # FFmpeg renders plain text as video
_MOVING_IMAGES = {"gif", "apng"}
_VIDEO_HINT = "give a video file such as MP4, MOV, MKV, WebM, AVI or MPEG-TS"


@dataclass(frozen=True)
class PyAvDecoder:
    """The ``Decoder`` of the project."""

    limits: VideoLimits = field(default_factory=VideoLimits)

    @property
    def identity(self) -> str:
        import av

        return f"pyav {av.__version__}, ffmpeg {av.ffmpeg_version_info}"

    def probe(self, file: BinaryIO) -> Probe:
        """Probes the container and the first pictures.

        Raises:
            BadInput: the file is not a video (it is empty, of another kind, without an index, sound only, or a still
                image), or exceeds the limits.
        """
        with opened(file, self.limits) as (container, stream):
            packets, pictures = _first(container, stream)
            if not pictures:
                most = f", with pictures of at most {self.limits.max_pixels} pixels of 24 bits"
                raise BadInput("The file has no picture that can be decoded.", _VIDEO_HINT + most)
            times = sorted(p.pts * stream.time_base for p in packets if p.pts is not None)
            steps = np.diff(np.array(times, float))
            rate = float(stream.average_rate or stream.guessed_rate or 0)
            duration_s = _declared_s(container, stream)
            if len(packets) == 1 and (not duration_s or container.format.name in _MOVING_IMAGES):
                raise BadInput("The file is a still image, not a video.", _VIDEO_HINT)
            first = pictures[0]
            _check_picture(stream, first, self.limits)
            if not duration_s:
                duration_s = _scanned_s(container, stream, packets, first, rate or 25.0)
            if duration_s <= 0:
                raise BadInput("The video has a duration of zero.", _VIDEO_HINT)
            _check_length(duration_s, self.limits)
            turn = turn_of(first)
            width, height = shown_size(stream, first)
            return Probe(
                duration_s=duration_s,
                width_px=height if turn % 180 else width,
                height_px=width if turn % 180 else height,
                fps=rate or len(packets) / duration_s,
                rotation_deg=turn,
                codec=stream.codec_context.name,
                pix_fmt=first.format.name,
                container=container.format.name,
                interlaced=any(p.interlaced_frame for p in pictures),
                variable_frame_rate=bool(len(steps) and np.ptp(steps) > 0.5 * np.median(steps)),
                first_picture_s=_shown_s(container, first),
            )

    def decode(self, file: BinaryIO, sample_fps: float, start_s: float, end_s: float) -> Iterator[DecodedFrame]:
        """Yields every picture of ``[start_s, end_s)`` in presentation order; see ``Decoder.decode``.

        Sample ``k`` is the first picture at or after ``start_s + k / sample_fps``; a picture that is held for
        ``1 / sample_fps`` or longer is sampled, too. Sampled pictures are upright, deinterlaced (bwdif) and stretched
        to square pixels.
        """
        with opened(file, self.limits) as (container, stream):
            video = Pictures(container, stream, self.limits)
            declared_s = _declared_s(container, stream)
            pictures = video.read(start_s)
            following, last_slot = next(pictures, None), -1
            while following and following[0] < end_s:
                (t_s, picture), following = following, next(pictures, None)
                if t_s < start_s:
                    continue
                until_s = following[0] if following else video.last_end_s(t_s, declared_s)
                slot = math.floor((t_s - start_s + 1e-3) * sample_fps)  # containers round times to a millisecond
                is_held = min(until_s, end_s) - t_s >= 1 / sample_fps - 1e-3
                image = _image(stream, picture) if slot > last_slot or is_held else None
                last_slot = slot
                yield DecodedFrame(t_s, until_s, _thumbnail(picture, turn_of(picture)), image)
            if following:
                return
            lost_s = declared_s - max(video.end_s, video.sound_end_s)
            if video.damaged or lost_s > LOST_S:
                raise DamagedTail("The video cannot be decoded to its end.", video.end_s)

    def stretches(
        self, file: BinaryIO, choose: Callable[[Sequence[float]], Sequence[Interval]]
    ) -> Iterator[tuple[Interval, list[Picture]]]:
        """Decodes in one pass, from the key picture before a stretch where one lies between; see ``Decoder``.

        The loop filter is left out, which saves a fifth to a third of the time: all pictures of a stretch lack it.
        """
        with opened(file, self.limits) as (container, stream):
            stream.codec_context.options = {**stream.codec_context.options, "skip_loop_filter": "all"}
            keys = _key_times(container, stream)
            video = Pictures(container, stream, self.limits)
            decoded: Iterator[tuple[float, VideoFrame]] = video.read(0.0)
            last: list[tuple[float, VideoFrame]] = []  # that of the stretch before, with which the next may begin
            for start_s, end_s in choose(keys):
                key_s = keys[bisect(keys, start_s + ROUNDED_S) - 1]
                if key_s > max([SEEK_FROM_S, *(t_s + SEEK_AHEAD_S for t_s, _ in last)]):
                    decoded, last = video.read(key_s), []
                kept: list[tuple[float, VideoFrame]] = []
                next_s: list[float] = []
                step_s = (end_s - start_s) / (MOST_PICTURES - 2)
                for t_s, picture in chain(last, decoded):
                    if len(next_s) < len(kept):
                        next_s.append(t_s)
                    is_last = t_s >= end_s - ROUNDED_S
                    if t_s >= start_s - ROUNDED_S and (is_last or not kept or t_s - kept[-1][0] >= step_s):
                        kept.append((t_s, picture))
                    if is_last:
                        break
                last = kept[-1:]
                times = zip(kept, [*next_s, end_s], strict=False)
                yield (start_s, end_s), [_picture(stream, *shown, next_s) for shown, next_s in times]


def _picture(stream: "VideoStream", t_s: float, picture: "VideoFrame", next_s: float) -> Picture:
    return Picture(t_s, next_s, partial(_upright_luma, stream, picture), lambda: _thumbnail(picture, turn_of(picture)))


def _image(stream: "VideoStream", picture: "VideoFrame") -> Image:
    """The picture upright, with square pixels."""
    width, height = shown_size(stream, picture)
    bgr: Any = picture.to_ndarray(format="bgr24", width=width, height=height)
    return upright(bgr, turn_of(picture))


def _key_times(container: "InputContainer", stream: "VideoStream") -> list[float]:
    """Times of the key pictures in seconds from the first picture, in order; 0 alone where no seek finds them.

    MP4's index has times of decoding: all key pictures are shown equally much later. FFmpeg reads Matroska's at the
    first seek.
    """
    from av.error import FFmpegError

    if container.format.name == _MATROSKA and stream.time_base:
        with suppress(FFmpegError):  # no index
            container.seek(round(SEEK_FROM_S / stream.time_base), stream=stream)
        container.seek(0)
    keys = [entry.timestamp for entry in stream.index_entries if entry.is_keyframe]
    if container.format.name not in _INDEXED or not stream.time_base or not keys:
        return [0.0]
    return [float((key - keys[0]) * stream.time_base) for key in sorted(keys)]


@contextmanager
def opened(file: BinaryIO, limits: VideoLimits) -> Iterator[tuple["InputContainer", "VideoStream"]]:
    """Opens a container; yields it and its largest video stream.

    FFmpeg reads only through ``file`` (no slower than by path), so it opens nothing that a playlist names. It decodes
    pictures on opening, so the file is first opened without decoders, to check the declared sizes.

    Raises:
        BadInput: the file is not a video, or its pictures are too large.
    """
    with _bounded_allocations(limits):
        with _opened(file, {"codec_whitelist": "none"}) as container:
            for stream in _streams(container):
                _check_size(stream, stream.width, stream.height, None, limits)
        with _opened(file, {"max_pixels": str(limits.max_pixels)}) as container:
            best = max(_streams(container), key=lambda s: (s.width or 0) * (s.height or 0))
            best.codec_context.options = {"max_pixels": str(limits.max_pixels)}
            yield container, best


@contextmanager
def _bounded_allocations(limits: VideoLimits) -> Iterator[None]:
    """Limits single allocations of FFmpeg to what a picture needs: a file of 2 kB can declare an index of gigabytes.

    The limit applies to the process: the largest of all open files' limits, until the last is closed. PyAV does not
    expose this function of libavutil, but its modules are linked with it.
    """
    from av.container import core

    av_max_alloc = ctypes.CDLL(core.__file__).av_max_alloc
    bound = max(4 * limits.max_pixels, ALLOCATED)
    with _BOUNDS_LOCK:
        _BOUNDS.append(bound)
        av_max_alloc(ctypes.c_size_t(max(_BOUNDS)))
    try:
        yield
    finally:
        with _BOUNDS_LOCK:
            _BOUNDS.remove(bound)
            av_max_alloc(ctypes.c_size_t(max(_BOUNDS, default=UNBOUNDED)))


def _opened(file: BinaryIO, options: dict[str, str]) -> "InputContainer":
    import av
    from av.error import FFmpegError

    file.seek(0)
    head = file.read(12)
    file.seek(0)
    if not head:
        raise BadInput("The file is empty.", _VIDEO_HINT)
    try:
        return av.open(file, "r", options=options | {"protocol_whitelist": "none"}, metadata_errors="replace")
    except FFmpegError as e:
        if head[4:8] == b"ftyp":
            raise BadInput(
                "The file has no readable index (moov); its recording or copying was probably interrupted.",
                "record or copy it again, or repair it with a tool such as untrunc",
            ) from e
        raise BadInput("The file is not a video that FFmpeg can read.", _VIDEO_HINT) from e


def _streams(container: "InputContainer") -> list["VideoStream"]:
    """The streams of moving pictures; at least one."""
    from av.stream import Disposition

    kinds = container.format.name
    if kinds in _TEXT_AS_PICTURES:
        raise BadInput("The file is text, not a video.", _VIDEO_HINT)
    if kinds == "image2" or kinds.endswith("_pipe"):
        raise BadInput("The file is a still image, not a video.", _VIDEO_HINT)
    cover = Disposition.attached_pic
    streams = [s for s in container.streams.video if s.codec_context and not s.disposition & cover]
    if not streams:
        has_sound = bool(container.streams.audio)
        raise BadInput(f"The file has {'sound but ' if has_sound else ''}no video stream.", _VIDEO_HINT)
    return streams


def _check_picture(stream: "VideoStream", picture: "VideoFrame", limits: VideoLimits) -> None:
    """Rejects pictures that are too large, too small or too narrow."""
    _check_size(stream, picture.width, picture.height, picture.format, limits)
    short, long = sorted(shown_size(stream, picture))
    if short < SMALLEST_PX or long > LONGEST * short:
        raise BadInput(
            f"The video has pictures of {picture.width} × {picture.height} pixels, which show nothing.", _VIDEO_HINT
        )


def _check_size(
    stream: "VideoStream", width: int, height: int, pixels: "VideoFormat | None", limits: VideoLimits
) -> None:
    """Rejects pictures with too many pixels, as stored or as displayed.

    Pixels of more than 24 bits count as proportionally more.
    """
    shown_width, _ = _square(stream, width, height)
    depth = max(1.0, pixels.padded_bits_per_pixel / 24) if pixels else 1.0
    if max(width * depth, shown_width) * height > limits.max_pixels:
        kind = f" of {pixels.name}" if depth > 1 and pixels else ""
        raise BadInput(
            f"The video has pictures of {max(width, shown_width)} × {height} pixels{kind}, which is too large.",
            f"make it smaller; BRAND_DETECT_MAX_PIXELS allows {limits.max_pixels} pixels of up to 24 bits",
        )


def _check_length(seconds: float, limits: VideoLimits) -> None:
    if seconds > limits.max_duration_s:
        raise BadInput(
            f"The video is, or claims to be, {seconds:.0f} s long, which is too long.",
            f"cut it; BRAND_DETECT_MAX_DURATION_S allows {limits.max_duration_s:g} s",
        )


def _first(container: "InputContainer", stream: "VideoStream") -> tuple[list[Any], list["VideoFrame"]]:
    """The first packets, and the first pictures in them."""
    from av.error import FFmpegError

    packets, pictures = [], []
    try:
        for packet in islice(container.demux(stream), PROBED_PACKETS):
            if packet.size:
                packets.append(packet)
            if len(pictures) < PROBED_PICTURES:
                pictures += decoded(packet)
    except FFmpegError:
        pass  # judge a damaged file by the pictures decoded so far
    return packets, pictures


def decoded(packet: Any) -> list[Any]:
    """The good pictures, or the sound, of a packet."""
    from av.error import FFmpegError

    try:
        return [picture for picture in packet.decode() if not picture.is_corrupt]
    except FFmpegError:
        return []


def _shown_s(container: "InputContainer", first: "VideoFrame") -> float:
    """When players show the first picture: MP4's and Matroska's clocks begin at 0, others with the first packet."""
    begin = 0 if container.format.name in _INDEXED else container.start_time or 0
    return max(0.0, (first.time or 0.0) - begin / 1e6)


def _declared_s(container: "InputContainer", stream: "VideoStream") -> float:
    """The declared duration in seconds, from the first picture; 0 if there is none.

    An edit list may make the file shorter than the stream.
    """
    if container.format.name in _TIMELESS:
        return 0.0
    of_stream = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else math.inf
    of_file = math.inf
    if container.duration:
        begin = (
            0 if container.format.name == _MATROSKA else container.start_time or 0
        )  # Matroska's duration is its last timestamp
        of_file = (container.duration + begin) / 1e6 - _first_s(stream)
    shortest = min(of_stream, of_file)
    return shortest if 0 < shortest < math.inf else 0.0


def _first_s(stream: "VideoStream") -> float:
    """Presentation time of the first picture by the file's clock, in seconds."""
    return float(stream.start_time * stream.time_base) if stream.start_time and stream.time_base else 0.0


def _scanned_s(
    container: "InputContainer", stream: "VideoStream", packets: list[Any], first: "VideoFrame", rate: float
) -> float:
    """The duration from the packets, from the ``first`` picture on; reads to the end without decoding."""
    from av.error import FFmpegError

    clock = _Clock(container, stream)
    n, begin_s, end_s = 0, 0.0, 0.0
    try:
        for packet in chain(packets, container.demux(stream)):
            n += bool(packet.size)
            if packet.pts is not None and packet.time_base:
                t_s = clock.at(float(packet.pts * packet.time_base))
                begin_s = t_s if packet.pts == first.pts else begin_s
                end_s = max(end_s, t_s + float((packet.duration or 0) * packet.time_base))
    except FFmpegError:
        pass  # use what was readable
    return end_s - begin_s if end_s > begin_s else n / rate


def turn_of(picture: "VideoFrame") -> int:
    """The clockwise rotation in degrees that makes the picture upright; FFmpeg's is counter-clockwise."""
    return round(-picture.rotation / 90) % 4 * 90


def shown_size(stream: "VideoStream", picture: "VideoFrame") -> tuple[int, int]:
    """Width and height with square pixels, before rotation."""
    return _square(stream, picture.width, picture.height)


def _square(stream: "VideoStream", width: int, height: int) -> tuple[int, int]:
    aspect = float(stream.sample_aspect_ratio or 1)
    return (round(width * aspect) if 0.25 < aspect < 4 else width), height


def upright(image: Image, turn: int) -> Image:
    import cv2

    codes = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
    return cv2.rotate(image, codes[turn]) if turn else image  # pyright: ignore[reportReturnType]


def _luma(picture: "VideoFrame") -> tuple[NDArray[Any], int]:
    """The picture's luma as it is stored, and its bits: nothing is converted for the usual formats."""
    name, bits = picture.format.name, picture.format.components[0].bits
    if not name.startswith(("yuv", "gray", "nv")) or picture.format.is_big_endian or not 8 <= bits <= 16:
        return picture.to_ndarray(format="gray"), 8
    plane = picture.planes[0]
    depth = np.uint8 if bits == 8 else np.uint16
    rows = np.frombuffer(plane, depth).reshape(-1, plane.line_size // depth().itemsize)  # pyright: ignore
    return rows[: picture.height, : picture.width], bits


def _upright_luma(stream: "VideoStream", picture: "VideoFrame") -> NDArray[np.uint8]:
    """Upright luma with square pixels."""
    import cv2

    luma, bits = _luma(picture)
    luma = luma if bits == 8 else np.right_shift(luma, bits - 8).astype(np.uint8)
    size = shown_size(stream, picture)
    luma = luma if size == luma.shape[::-1] else cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    return upright(luma, turn_of(picture))  # pyright: ignore[reportArgumentType]


def _thumbnail(picture: "VideoFrame", turn: int) -> NDArray[np.uint8]:
    """Upright luma of ``THUMBNAIL_SHAPE``, from 4 x 4 samples per pixel: takes 0.1 ms, as nothing is converted."""
    import cv2

    luma, bits = _luma(picture)
    height, width = THUMBNAIL_SHAPE[:: -1 if turn % 180 else 1]
    if luma.shape[0] > 4 * height and luma.shape[1] > 4 * width:
        luma = cv2.resize(luma, (4 * width, 4 * height), interpolation=cv2.INTER_LINEAR)
    small = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)
    return upright(np.right_shift(small, bits - 8).astype(np.uint8), turn)


class _Clock:
    """Converts timestamps to seconds from the first; bridges missing and jumping ones."""

    def __init__(self, container: "InputContainer", stream: "VideoStream") -> None:
        self.step_s = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        self._pause_s = PAUSE_S if container.format.name in _TIMELESS else math.inf
        self._origin_s: float | None = None
        self.last_s: float | None = None
        self.jumped_s = 0.0
        """All jumps so far, together."""

    def jumps(self, last_s: float, next_s: float) -> bool:
        return not last_s - 1 <= next_s <= last_s + self._pause_s

    def at(self, raw_s: float | None) -> float:
        last_s = self.last_s
        if raw_s is None:
            t_s = 0.0 if last_s is None else last_s + self.step_s
        else:
            if self._origin_s is None:
                self._origin_s = raw_s
            t_s = raw_s - self._origin_s
            if last_s is not None and self.jumps(last_s, t_s):
                self._origin_s += t_s - (last_s + self.step_s)
                self.jumped_s += t_s - (last_s + self.step_s)
                t_s = last_s + self.step_s
        self.last_s = t_s if last_s is None else max(t_s, last_s)
        return t_s


class Pictures:
    """A pass over the good pictures of a stream, with times in seconds from the first.

    Afterwards ``damaged`` says whether the end could not be decoded, and ``end_s`` where the last good picture ends. If
    the header declares only the file's duration (Matroska, FLV), ``sound_end_s`` is the end of the sound: pictures may
    end earlier without loss. Packets of the stream ``sound`` are passed to ``heard``, whose errors are no damage.
    Pictures beyond ``limits`` raise ``BadInput``: sizes may change within a stream, and headers may be wrong.
    """

    def __init__(
        self,
        container: "InputContainer",
        stream: "VideoStream",
        limits: VideoLimits,
        sound: "AudioStream | None" = None,
        heard: "Callable[[Packet], None]" = lambda _: None,
    ) -> None:
        self._container = container
        self._stream = stream
        self._limits = limits
        stream.thread_type = "AUTO"
        if stream.width * stream.height > LARGE_PX:
            stream.thread_count = 2
        self.clock = _Clock(container, stream)
        self._sound, self._heard = sound, heard
        every = container.streams.audio if stream.duration is None else [sound] if sound else []
        self._streams = [stream, *every]
        self._first_pts: int | None = None
        self.damaged = False
        self.end_s = self.sound_end_s = 0.0

    def last_end_s(self, t_s: float, declared_s: float) -> float:
        """When the last picture, that of ``t_s``, ends: as the header declares, unless the sound is what lasts."""
        if t_s < declared_s <= self.end_s + LOST_S and self.sound_end_s <= self.end_s:
            return declared_s
        return min(self.end_s, max(t_s + LAST_S, declared_s))

    def read(self, start_s: float) -> Iterator[tuple[float, "VideoFrame"]]:
        """Yields pictures from ``start_s`` on, or from slightly earlier."""
        far = start_s > SEEK_FROM_S and self._container.format.name in _INDEXED
        graph, made_for = None, None  # from the first interlaced picture on, all pass the filter
        for picture in self._sought(start_s) if far else self._good():
            kind = picture.width, picture.height, picture.format.name
            if graph and made_for != kind:
                yield from self._pull(graph, None)
                graph = None
            if not graph and picture.interlaced_frame:
                graph, made_for = self._deinterlacer(picture), kind
            if graph:
                yield from self._pull(graph, picture)
            else:
                yield self._time(picture), picture
        if graph:
            yield from self._pull(graph, None)

    def _sought(self, start_s: float) -> Iterator["VideoFrame"]:
        """The pictures from the key picture before ``start_s`` on, or all if the index is unusable."""
        from av.error import FFmpegError

        container, stream = self._container, self._stream
        if self.clock.last_s is None and (first := next(self._good(), None)):
            self._time(first)
        self.clock.last_s = None
        if self._first_pts is not None and stream.time_base:
            at = self._first_pts + round(start_s / stream.time_base)  # a tick less would be the key picture before
            with suppress(FFmpegError):  # no usable index
                container.seek(at, stream=stream)
                pictures = self._good()
                landed = next(pictures, None)
                if landed and landed.pts is not None and landed.pts <= at:
                    return chain([landed], pictures)
        try:
            container.seek(0)
        except FFmpegError:  # not one picture
            self.damaged = True
            return iter(())
        return self._good()

    def _good(self) -> Iterator["VideoFrame"]:
        for packet in self._packets():
            if packet.stream.index != self._stream.index:
                if packet.pts is not None:
                    end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self.sound_end_s = max(self.sound_end_s, end_s - _first_s(self._stream))
                    if self._sound and packet.stream.index == self._sound.index:
                        self._heard(packet)
                continue
            for picture in decoded(packet):
                _check_picture(self._stream, picture, self._limits)
                self.damaged = False
                # AVI has no presentation times; FFmpeg's are in decoding order
                if self._container.format.name == "avi":
                    picture.pts = picture.dts
                if self._first_pts is None:
                    self._first_pts = picture.pts
                yield picture

    def _packets(self) -> Iterator["Packet"]:
        from av.error import FFmpegError

        try:
            yield from self._container.demux(self._streams)
        except FFmpegError:
            self.damaged = True

    def _deinterlacer(self, picture: "VideoFrame") -> "Graph":
        from av.filter import Graph

        graph = Graph()
        source = graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
        )
        nodes = source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
        graph.link_nodes(*nodes).configure()
        return graph

    def _pull(self, graph: "Graph", picture: "VideoFrame | None") -> Iterator[tuple[float, "VideoFrame"]]:
        """Pushes ``picture`` into the filter and yields its output; None flushes it."""
        from av.error import BlockingIOError, EOFError  # noqa: A004

        graph.vpush(picture)
        while True:
            try:
                done = graph.vpull()
            except (BlockingIOError, EOFError):
                return
            yield self._time(done), done

    def _time(self, picture: "VideoFrame") -> float:
        """Seconds from the first picture, strictly increasing."""
        clock = self.clock
        last_s, t_s = clock.last_s, clock.at(picture.time)
        if last_s is not None and t_s <= last_s:
            t_s = clock.last_s = last_s + min(1e-3, clock.step_s)
        _check_length(t_s, self._limits)
        own_s = float(picture.duration * picture.time_base) if picture.duration and picture.time_base else 0.0
        self.end_s = t_s + (own_s or clock.step_s)
        return t_s
