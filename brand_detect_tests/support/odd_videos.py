"""Odd media files: what no camera writes, what a broken copy leaves, and what somebody makes to do harm.

``python -m brand_detect_tests.support.odd_videos FILE…`` puts each through probe, decoding and the shots, and prints a
line of JSON: what became of it, and the peak of the process's memory so far.
"""

import json
import struct
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np

from brand_detect.domain.contracts.extract_frames import ExtractFramesParams
from brand_detect.domain.contracts.filter_scenes import FilterScenesParams
from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import BlobRef
from brand_detect.engines.image import OpenCvCodec
from brand_detect.engines.video import PyAvDecoder
from brand_detect.stages.extract_frames.extract import extract_frames
from brand_detect.stages.filter_scenes.filter import filter_scenes
from brand_detect.stages.job_request import job_request
from brand_detect.storage.media import MediaFiles
from brand_detect_tests.support.videos import Picture, scene, silent, truncate, write_clip

Write = Callable[[Path], Path]
"""Writes a file into a folder and returns its path."""


@dataclass(frozen=True)
class Outcome:
    """What became of a file: ``refused`` is the sentence, or "" where it was processed."""

    refused: str = ""
    frames: int = 0
    end_s: float = 0.0
    duration_s: float = 0.0
    notes: tuple[str, ...] = ()


class Nowhere:
    """A ``BlobSink`` that keeps nothing."""

    def append(self, t_s: float, data: bytes) -> BlobRef:  # noqa: ARG002
        return BlobRef("nowhere", 0, len(data), 0)

    def write(self, name: str, data: bytes) -> None:
        raise AssertionError(f"nobody asked for {name}, {len(data)} bytes")


def outcome(path: Path) -> Outcome:
    """Put a file through the stages that see the video itself; any other error than ``BadInput`` is raised."""
    media, decoder = MediaFiles([str(path.parent)]), PyAvDecoder()
    try:
        request = job_request(
            job_id="odd",
            video_uri=str(path),
            profile="default",
            overrides={},
            media=media,
            decoder=decoder,
            progress=silent,
        )
        frames = extract_frames(
            request,
            ExtractFramesParams.model_validate({}),
            media=media,
            decoder=decoder,
            codec=OpenCvCodec(),
            sink=Nowhere(),
            progress=silent,
        )
    except BadInput as e:
        return Outcome(refused=e.full)
    scenes = filter_scenes(frames, FilterScenesParams.model_validate({}))
    ends = scenes.timeline["end_s"].to_numpy()
    assert (np.diff(scenes.timeline["start_s"].to_numpy()) > 0).all()
    assert ends[-1] == frames.end_s > frames.signals["t_s"][-1].as_py()
    duration_s = max(request.probe.duration_s, frames.end_s)
    return Outcome("", frames.frames.num_rows, frames.end_s, duration_s, frames.notes)


def moving(n: int, width: int = 320, height: int = 180) -> list[Picture]:
    """A bar that moves over a scene that changes once a second."""
    pictures = [scene(i // 25, width, height) for i in range(n)]
    for i, picture in enumerate(pictures):
        picture[height // 2 : height // 2 + max(1, height // 9), : i * 5 % width] = 255
    return pictures


def _clip(name: str, n: int = 30, size: tuple[int, int] = (320, 180), **coding: Any) -> Write:
    return lambda folder: write_clip(folder / name, moving(n, *size), **coding)


def _bytes(name: str, data: bytes) -> Write:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


def _changed(write: Write, change: Callable[[bytearray], Any]) -> Write:
    """What ``write`` writes, with its bytes changed in place or, if ``change`` returns some, by those."""

    def changed(folder: Path) -> Path:
        path = write(folder)
        data = bytearray(path.read_bytes())
        path.write_bytes(change(data) or data)
        return path

    return changed


def _cut(write: Write, share: float) -> Write:
    return lambda folder: truncate(write(folder), share)


def _flipped(write: Write, seed: int, flips: int = 200) -> Write:
    def flip(data: bytearray) -> None:
        random = Random(seed)
        for _ in range(flips):
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)

    return _changed(write, flip)


def _joined(name: str, *parts: Write) -> Write:
    def write(folder: Path) -> Path:
        data = b"".join(part(folder).read_bytes() for part in parts)
        return _bytes(name, data)(folder)

    return write


def _renamed(write: Write, name: str) -> Write:
    return lambda folder: write(folder).rename(folder / name)


def _sparse(write: Write, size_bytes: int) -> Write:
    """Zeros follow that take no room on the disk."""

    def grown(folder: Path) -> Path:
        path = write(folder)
        with path.open("r+b") as file:
            file.truncate(size_bytes)
        return path

    return grown


def _gif(width: int, height: int, frames: int = 2) -> bytes:
    """A few bytes that declare so many pixels and hold next to none."""
    picture = b"\x21\xf9\4\0\n\0\0\0\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2\2\x4c\1\0"
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return head + frames * picture + b"\x3b"


def _larger_in_png(data: bytearray, at: int = 12) -> None:
    struct.pack_into(">II", data, at + 4, 20_000, 20_000)


def _box(data: bytearray, kind: bytes, offset: int, *numbers: int) -> None:
    """Write 32-bit numbers into the first MP4 box of that kind, so far behind its name."""
    struct.pack_into(f">{len(numbers)}I", data, data.index(kind) + 4 + offset, *numbers)


def _indexed(samples: int) -> Write:
    """An MP4 of 2 kB whose index declares so many pictures of one byte."""

    def change(data: bytearray) -> None:
        _box(data, b"stsz", 4, 1, samples)
        _box(data, b"stsc", 12, samples)
        _box(data, b"stts", 8, samples)

    return _changed(_clip(f"index_{samples}.mp4", 10), change)


def _declared_long(data: bytearray) -> None:
    for kind, offset in ((b"mvhd", 16), (b"mdhd", 16), (b"tkhd", 20)):
        _box(data, kind, offset, 0x7FFFFFF0)
    _box(data, b"stts", 12, 0x7FFFFFF0 // 30)
    at = data.index(b"edts")
    data[at : at + 4] = b"free"


def _larger_in_sof(data: bytearray) -> None:
    """JPEG pictures that say they are 65500 x 65500."""
    at = -1
    while (at := data.find(b"\xff\xc0\x00\x11", at + 1)) >= 0:
        struct.pack_into(">HH", data, at + 5, 65500, 65500)


def _aspect(name: str, numerator: int, denominator: int) -> Write:
    def write(folder: Path) -> Path:
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(numerator, denominator)
            for picture in moving(30):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
            container.mux(stream.encode(None))
        return folder / name

    return write


def _streams(name: str, *, videos: int = 0, sounds: int = 0, covers: int = 0, attached: int = 0) -> Write:
    """A file of several streams, 2 s long."""

    def write(folder: Path) -> Path:
        from av.stream import Disposition

        with av.open(str(folder / name), "w") as container:
            pictures: list[Any] = []
            for n in range(videos + covers):
                still = n >= videos
                stream = container.add_stream("mjpeg" if still else "mpeg4", rate=25)
                assert isinstance(stream, av.VideoStream)
                stream.width, stream.height = 160 * (n + 1), 96 * (n + 1)
                stream.pix_fmt = "yuvj420p" if still else "yuv420p"
                if still:
                    stream.disposition = Disposition.attached_pic
                pictures.append((stream, 1 if still else 50))
            tracks = [container.add_stream("aac", rate=48000) for _ in range(sounds)]
            for n in range(attached):
                container.add_attachment(f"font{n}.ttf", "application/x-truetype-font", bytes(1_000_000))
            for stream, count in pictures:
                for picture in moving(count, stream.width, stream.height):
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
            for track in tracks:
                for n in range(94):
                    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                    frame.sample_rate, frame.pts = 48000, 1024 * n
                    container.mux(track.encode(frame))
            for stream in [*(stream for stream, _ in pictures), *tracks]:
                container.mux(stream.encode(None))
        return folder / name

    return write


CODINGS = """
mp4: libx264 yuv420p, libx264 yuv422p, libx264 yuv444p10le, libx264 gray, libx264 nv12, libx265 yuv420p10le
mp4: libx265 yuv422p12le, libx265 gbrp, libsvtav1 yuv420p10le, mpeg4 yuv420p
webm: libvpx yuv420p, libvpx-vp9 yuva420p, libvpx-vp9 yuv440p
mkv: libvpx-vp9 gbrp, ffv1 yuv410p, ffv1 bgr0, ffv1 bgra, ffv1 yuv444p16le, ffv1 gray, libx264 yuvj420p
mov: png rgb24, png rgba64be, png gray16be, png ya8, png monob, qtrle argb, prores_ks yuv422p10le
mov: prores_ks yuva444p10le, libx265 yuv420p, jpeg2000 rgb48le
mov: cfhd gbrap12le, v210 yuv422p10le, r210 gbrp10le, cinepak rgb24, mjpeg yuvj444p, svq1 yuv410p
avi: rawvideo bgr24, rawvideo rgb565le, rawvideo yuyv422, huffyuv bgra, utvideo gbrap, zmbv bgr0, msvideo1 rgb555le
avi: snow yuv444p, magicyuv yuva444p, cljr yuv411p, msmpeg4 yuv420p, ffvhuff gbrp14le, flashsv bgr24
wmv: wmv2 yuv420p
flv: flv yuv420p, libx264 yuv420p
mpg: mpeg1video yuv420p, mpeg2video yuv420p
ts: mpeg2video yuv422p, libx264 yuv420p, libx265 yuv420p
mxf: mpeg2video yuv420p
nut: ffv1 yuv420p
apng: apng rgba64be, apng gray
gif: gif rgb8
h264: libx264 yuv420p
"""
"""Containers, and codecs and pixel formats that FFmpeg can write into them and few cameras do."""


def _codings() -> dict[str, Write]:
    found = {}
    for line in CODINGS.strip().splitlines():
        suffix, kinds = line.split(": ")
        for codec, pixels in map(str.split, kinds.split(", ")):
            found[f"{codec} {pixels} in {suffix}"] = _clip(f"a.{suffix}", codec=codec, pix_fmt=pixels)
    return found


def _damaged() -> dict[str, Write]:
    whole = {
        "mp4": _clip("a.mp4", 60, container_options={"movflags": "faststart"}),
        "fragmented mp4": _clip("f.mp4", 60, container_options={"movflags": "frag_keyframe+empty_moov"}),
        "mkv": _clip("a.mkv", 60),
        "ts": _clip("a.ts", 60),
        "avi": _clip("a.avi", 60, codec="mpeg4"),
        "gif": _clip("a.gif", 20, codec="gif", pix_fmt="rgb8"),
    }
    found: dict[str, Write] = {}
    for seed, (kind, write) in enumerate(whole.items()):
        shares = [0.01, *(round(Random(f"{seed} {n}").random(), 2) for n in range(2)), 0.99]
        found |= {f"{kind} cut at {share}": _cut(write, share) for share in shares}
        found |= {f"{kind} with flipped bits {n}": _flipped(write, 10 * seed + n) for n in range(3)}
    return found


def odd_videos() -> dict[str, Write]:
    """Well over a hundred files, by what is odd about them."""
    clip, large = _clip("a.ts", 40), _clip("large.ts", 2, (9000, 5000))
    text = b"root:x:0:0:root:/root:/bin/sh\n"
    return (
        _codings()
        | _damaged()
        | HARMFUL
        | {
            "1 x 1": _clip("a.mkv", size=(1, 1), codec="ffv1", pix_fmt="bgr0"),
            "2 x 8000": _clip("a.mkv", size=(2, 8000), codec="ffv1", pix_fmt="bgr0"),
            "16000 x 16": _clip("a.mkv", size=(16000, 16), codec="ffv1", pix_fmt="bgr0"),
            "7680 x 4320": _clip("a.mkv", 3, (7680, 4320), codec="mjpeg", pix_fmt="yuvj420p"),
            "8192 x 4320 H.264": _clip("a.mp4", 8, (8192, 4320)),
            "one picture": _clip("a.mp4", 1),
            "one picture in a transport stream": _clip("a.ts", 1),
            "variable frame rate": _clip("a.mp4", 8, times_s=[0, 0.04, 0.08, 0.5, 0.6, 3.0, 3.04, 5.0]),
            "1000 pictures a second": _clip("a.mkv", 500, fps=1000),
            "a picture in ten seconds": _clip("a.mp4", 5, times_s=[0, 10, 20, 30, 40]),
            "begins late": _clip("a.mkv", 20, times_s=[90_000 + i / 25 for i in range(20)]),
            "times below zero": _clip("a.mp4", 20, times_s=[i / 25 - 2 for i in range(20)]),
            "a pause of an hour": _clip("a.mkv", 20, times_s=[i / 25 + 3600 * (i > 9) for i in range(20)]),
            "a pause of a year": _clip("a.mkv", 20, times_s=[i / 25 + 3.2e7 * (i > 9) for i in range(20)]),
            "a recording that starts again": _joined("both.ts", clip, clip),
            "rotated": _clip("a.mp4", rotation_deg=90),
            "interlaced": _clip("a.mp4", interlaced=True, size=(320, 192)),
            "anamorphic": _aspect("a.mp4", 16, 11),
            "anamorphic beyond reason": _aspect("a.mkv", 255, 1),
            "anamorphic to nothing": _aspect("a.mkv", 1, 255),
            "another size on the way": _joined("sizes.ts", clip, _clip("b.ts", 40, (640, 360)), clip),
            "another size, interlaced, on the way": _joined(
                "i.ts", clip, _clip("b.ts", 40, (640, 384), interlaced=True)
            ),
            "too large on the way": _joined("grown.ts", clip, large, clip),
            "cut in the head": _changed(clip, lambda data: data[188 * 7 :]),
            "zeros in the middle": _changed(
                _clip("a.mp4", 60), lambda d: d[: len(d) // 3] + bytes(9999) + d[len(d) // 2 :]
            ),
            "sound alone": _streams("a.mp4", sounds=1),
            "a cover and sound": _streams("a.mp4", sounds=1, covers=1),
            "three videos": _streams("a.mkv", videos=3, sounds=2),
            "attachments": _streams("a.mkv", videos=1, attached=3),
            "a subtitle file": _bytes("a.mkv", b"1\n00:00:01,000 --> 00:00:02,000\nGoal!\n"),
            "Matroska named .mp4": _renamed(_clip("a.mkv"), "a.mp4"),
            "a transport stream named .avi": _renamed(_clip("a.ts"), "a.avi"),
            "an SVG": _bytes(
                "a.mp4", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
            ),
            "text": _bytes("a.mp4", text * 100),
            "a zip": _bytes("a.mp4", b"PK\3\4" + bytes(26) + text * 50),
            "a PDF": _bytes("a.mp4", b"%PDF-1.7\n" + text * 50),
            "a program": _bytes("a.mp4", b"\x7fELF\2\1\1" + bytes(9000)),
            "a PNG": _renamed(_clip("a.png", 1, codec="png", pix_fmt="rgb24"), "a.mp4"),
            "a playlist": _bytes("a.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
            "a list of files": _bytes("a.mp4", b"ffconcat version 1.0\nfile '/etc/passwd'\n"),
            "a session description": _bytes(
                "a.mp4", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"
            ),
            "DASH": _bytes("a.mp4", b'<?xml version="1.0"?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>'),
            "nothing": _bytes("a.mp4", b""),
            "a byte": _bytes("a.mp4", b"\0"),
            "zeros": _bytes("a.mp4", bytes(100_000)),
            "noise": _bytes("a.mp4", Random(1).randbytes(100_000)),
            "a head of Matroska and noise": _bytes("a.mkv", b"\x1aE\xdf\xa3" + Random(2).randbytes(100_000)),
            "a head of AVI and noise": _bytes("a.avi", b"RIFF\xff\xff\xff\x7fAVI LIST" + Random(3).randbytes(100_000)),
            "a head of MP4 and noise": _bytes("a.mp4", b"\0\0\0\x18ftypisom" + Random(4).randbytes(100_000)),
            "a head of FLV and noise": _bytes("a.flv", b"FLV\1\5\0\0\0\x09" + Random(5).randbytes(100_000)),
            "a box of four gigabytes": _bytes(
                "a.mp4", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2\xff\xff\xff\xffmoov" + bytes(99)
            ),
            "sparse zeros, 4 GB": _sparse(_bytes("a.mp4", b"\0"), 2**32),
            "a clip and sparse zeros, 2 GB": _sparse(_clip("a.mkv"), 2**31),
            "a transport stream and sparse zeros, 2 GB": _sparse(clip, 2**31),
            "a GIF of 60000 x 500": _bytes("a.gif", _gif(60_000, 500)),
            "PNGs of 20000 x 20000 in MOV": _changed(
                _clip("a.mov", 2, codec="png", pix_fmt="rgba64be"),
                lambda data: _larger_in_png(data, data.index(b"IHDR")),
            ),
            "an index of a million": _indexed(1_000_000),
            "an index of 150 million": _indexed(150_000_000),
            "rgba64 of 5000 x 3600": _clip("a.mov", 1, (5000, 3600), codec="png", pix_fmt="rgba64be"),
        }
    )


HARMFUL: dict[str, Write] = {
    "a GIF of 16000 x 16000": _bytes("bomb.gif", _gif(16_000, 16_000)),
    "an APNG of 20000 x 20000": _changed(_clip("bomb.apng", 2, codec="apng", pix_fmt="rgba"), _larger_in_png),
    "JPEGs of 65500 x 65500": _changed(_clip("bomb.avi", 10, codec="mjpeg", pix_fmt="yuvj420p"), _larger_in_sof),
    "an index of 20 million": _indexed(20_000_000),
    "declared to last for days": _changed(_clip("long.mp4", 30), _declared_long),
    "a clock that jumps": _joined("jump.ts", _clip("a.ts"), _clip("b.ts", times_s=[3600 + i / 25 for i in range(30)])),
    "8000 x 2": _clip("wide.mkv", size=(8000, 2), codec="ffv1", pix_fmt="bgr0"),
}
"""Those that did harm, quick to write."""


def main() -> None:
    for name in sys.argv[1:]:
        found = asdict(outcome(Path(name)))
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        peak_kb = int(status.split("VmHWM:")[1].split()[0])  # getrusage's begins with the parent's
        print(json.dumps(found | {"peak_mib": peak_kb / 1024}), flush=True)


if __name__ == "__main__":
    main()
