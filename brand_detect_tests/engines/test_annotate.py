"""Videos that were drawn on: their times, their sound and their pictures, read back with PyAV."""

from fractions import Fraction
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.error import ArgumentError

from brand_detect.domain.errors import BadInput, Transient
from brand_detect.domain.media import VideoLimits
from brand_detect.domain.protocols import Draw, Image, Interval, Rewritten
from brand_detect.engines.annotate import PyAvRewriter, _Copying
from brand_detect_tests.support.videos import Picture, scene, silent, truncate, write_clip

GREEN = (0, 255, 0)


def boxed(_: float, image: Image) -> Image:
    """A green square in the upper left quarter."""
    drawn = image.copy()
    drawn[20:60, 20:60] = GREEN
    return drawn


def rewrite(
    source: Path, draw: Draw | None = lambda _, image: image, part: Interval = (0.0, inf)
) -> tuple[Path, Rewritten]:
    target = source.with_name("drawn.mp4")
    with source.open("rb") as file:
        return target, PyAvRewriter().rewrite(file, target, draw, silent, part)


def copied(source: Path, first_picture_s: float = 0.0) -> tuple[Path, Rewritten]:
    target = source.with_name("copied.mp4")
    with source.open("rb") as file:
        return target, PyAvRewriter().copy(file, target, first_picture_s, silent)


def times(path: Path, kind: str = "video") -> list[tuple[Fraction, Fraction]]:
    """When each packet is shown, and for how long."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        found = [(p.pts * p.time_base, (p.duration or 0) * p.time_base) for p in container.demux(stream) if p.size]
    return sorted(found)


def pictures(path: Path) -> list[Picture]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in container.decode(video=0)]


def error(a: Picture, b: Picture) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b).mean())


def with_sound(
    path: Path, source: Path, codec: str = "aac", late_s: float = 0, *, apart: bool = False, layout: str = "mono"
) -> Path:
    """The video of ``source`` with a tone beside it, on a clock that begins ``late_s`` seconds late; ``apart`` with all
    pictures before it in the file."""
    options = {"output_ts_offset": str(late_s), **({"max_interleave_delta": "1"} if apart else {})}
    with av.open(str(source)) as read, av.open(str(path), "w", options=options) as written:
        video = written.add_stream_from_template(read.streams.video[0])
        sound = written.add_stream(codec, rate=48_000)
        assert isinstance(sound, av.AudioStream)
        sound.codec_context.layout, sound.codec_context.bit_rate = layout, 64_000 * av.AudioLayout(layout).nb_channels
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                written.mux(packet)
        tone = np.sin(np.arange(2 * 48_000) / 20).astype(np.float32) / 4
        for n in range(0, len(tone), 1024):
            piece = tone[n : n + 1024]
            samples, kind = ((piece * 32767).astype(np.int16), "s16") if codec == "pcm_s16le" else (piece, "fltp")
            every: Any = np.repeat(samples[None], av.AudioLayout(layout).nb_channels, axis=0)
            frame = av.AudioFrame.from_ndarray(every, format=kind, layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = 48_000, n, Fraction(1, 48_000)
            written.mux(sound.encode(frame))
        written.mux(sound.encode(None))
    return path


def test_times_pictures_and_codec_are_what_they_should_be(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", [scene(n // 10) for n in range(50)])
    target, made = rewrite(source, boxed)
    assert (made.frames, made.seconds, made.sound, made.notes) == (50, pytest.approx(2.0), "", ())
    assert times(target) == times(source)
    with av.open(str(target)) as container:
        [stream] = container.streams
        assert isinstance(stream, av.VideoStream)
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.time_base == Fraction(1, 12_800)
    data = target.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat"), "a player has to read the whole file before it starts"
    before, after = pictures(source)[30], pictures(target)[30]
    assert error(before[:, 100:], after[:, 100:]) < 3
    assert error(after[24:56, 24:56], np.full((32, 32, 3), GREEN, np.uint8)) < 12


def test_the_picture_is_neither_darker_nor_lighter(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", [np.full((90, 160, 3), 128, np.uint8)] * 5)
    target, _ = rewrite(source)
    assert abs(pictures(source)[2].mean() - pictures(target)[2].mean()) < 0.6


def test_a_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    at = [0.0, 0.04, 0.2, 0.21, 0.5, 1.3, 1.34, 2.0]
    source = write_clip(tmp_path / "a.mkv", [scene(n) for n in range(8)], times_s=at)
    target, made = rewrite(source)
    assert [float(t) for t, _ in times(target)] == pytest.approx(at, abs=1e-6)
    assert made.frames == 8


def test_the_last_picture_stays_as_long_as_it_did(tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "a.mp4", [scene(n) for n in range(4)], times_s=[0, 0.04, 0.08, 1.0], options={"bf": "0"}
    )
    source = tmp_path / "long.mp4"
    with av.open(str(clip)) as read, av.open(str(source), "w") as written:
        video = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None and packet.pts is not None:
                packet.duration = round(2 / packet.time_base) if packet.pts * packet.time_base == 1 else packet.duration
                packet.stream = video
                written.mux(packet)
    assert times(source)[-1] == (1, 2)
    target, made = rewrite(source)
    assert times(target)[-1] == (1, 2)
    assert made.seconds == pytest.approx(3)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_turned_pictures_come_upright(tmp_path: Path, turn: int) -> None:
    picture = np.zeros((96, 160, 3), np.uint8)
    picture[:48] = 255
    source = write_clip(tmp_path / "a.mp4", [picture] * 5, rotation_deg=turn)
    target, _ = rewrite(source)
    with av.open(str(target)) as container:
        assert next(container.decode(video=0)).rotation == 0
    assert error(pictures(target)[0], np.ascontiguousarray(np.rot90(picture, -turn // 90))) < 6


def test_interlaced_pictures_keep_their_times(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", [scene(n // 10) for n in range(30)], interlaced=True)
    target, made = rewrite(source)
    assert made.frames == 30
    assert [t for t, _ in times(target)] == [t for t, _ in times(source)]
    with av.open(str(target)) as container:
        assert not next(container.decode(video=0)).interlaced_frame


def test_an_odd_row_and_column_are_left_out(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", [scene(1, 161, 91)] * 3, codec="ffv1", pix_fmt="bgr0")
    target, _ = rewrite(source)
    assert pictures(target)[0].shape == (90, 160, 3)


def test_sound_is_copied_as_it_is(tmp_path: Path) -> None:
    silent_clip = write_clip(tmp_path / "silent.mp4", [scene(n // 10) for n in range(50)])
    source = with_sound(tmp_path / "a.mp4", silent_clip)
    target, made = rewrite(source)
    assert made.sound == "aac"
    assert times(target, "audio") == times(source, "audio")
    assert times(target) == times(source)


@pytest.mark.parametrize("codec", ["wavpack", "pcm_s16le"])
def test_sound_that_mp4_cannot_hold_is_left_out_and_said(tmp_path: Path, codec: str) -> None:
    clip = write_clip(tmp_path / "silent.mp4", [scene(n // 10) for n in range(50)])
    target, made = rewrite(with_sound(tmp_path / "a.mkv", clip, codec=codec))
    assert (made.sound, made.notes) == ("", ("The sound is left out: MP4 cannot hold its codec.",))
    with av.open(str(target)) as container:
        assert not container.streams.audio


def test_a_clock_that_begins_late_begins_at_0(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.ts", [scene(n // 10) for n in range(50)], container_options={"output_ts_offset": "5"}
    )
    assert times(source)[0][0] > 1
    target, made = rewrite(source)
    shown = times(target)
    assert shown[0][0] == 0
    assert [b - a for (a, _), (b, _) in pairwise(shown)] == [Fraction(1, 25)] * 49
    assert made.frames == 50


def test_sound_stays_with_its_pictures_when_the_clock_begins_late(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "silent.mp4", [scene(n // 10) for n in range(50)])
    source = with_sound(tmp_path / "a.ts", clip, late_s=5)
    target, made = rewrite(source)
    assert made.sound == "aac"
    apart = [float(times(path, "audio")[0][0] - times(path)[0][0]) for path in (source, target)]
    assert apart[0] == pytest.approx(apart[1], abs=1e-3)
    assert float(times(target, "audio")[0][0]) == pytest.approx(0, abs=0.1)


def test_a_damaged_tail_ends_the_video_and_is_said(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", [scene(n) for n in range(100)])
    target, made = rewrite(truncate(clip, 0.6))
    assert 20 < made.frames < 100
    assert len(pictures(target)) == made.frames


def test_progress_comes_in_seconds(tmp_path: Path) -> None:
    source, seen = write_clip(tmp_path / "a.mp4", [scene(0)] * 50), []

    def note(done: float, total: float, unit: str) -> None:
        seen.append((done, total, unit))

    with source.open("rb") as file:
        PyAvRewriter().rewrite(file, tmp_path / "b.mp4", lambda _, i: i, note)
    assert seen[-1] == (pytest.approx(1.96), pytest.approx(2.0), "seconds of video")


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(BadInput):
        rewrite(tmp_path / "a.mp4")


def numbered(n: int) -> Picture:
    """A picture with its number as 10 black or white fields."""
    bits = [255 * (n >> bit & 1) for bit in range(10)]
    row = np.repeat(np.array(bits, np.uint8), 16 * 3).reshape(1, -1, 3)
    return np.repeat(row, 90, axis=0)


def numbers(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        rows = [frame.to_ndarray(format="gray")[45] for frame in container.decode(video=0)]
    return [sum(int(row[8 + 16 * bit] > 127) << bit for bit in range(10)) for row in rows]


@pytest.fixture(scope="module", params=["mp4", "mkv", "ts", "avi"])
def numbered_clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("numbered") / f"a.{request.param}"
    return write_clip(path, [numbered(n) for n in range(600)], keyint=100)


@pytest.mark.parametrize("part", [(2.0, 3.0), (17.4, 19.0), (23.16, 99.0), (0.0, 0.4)])
def test_a_part_has_its_pictures_and_no_other(numbered_clip: Path, part: Interval) -> None:
    target, made = rewrite(numbered_clip, None, part)
    first, after = round(part[0] * 25), min(round(part[1] * 25), 600)
    assert numbers(target) == [*range(first, after)]
    shown = [float(t) for t, _ in times(target)]
    assert shown == pytest.approx([n / 25 for n in range(after - first)], abs=2e-3)
    assert (made.frames, made.seconds) == (after - first, pytest.approx((after - first) / 25, abs=0.05))


def test_a_part_keeps_a_variable_frame_rate(tmp_path: Path) -> None:
    at = [0.0, 0.04, 0.2, 0.21, 0.5, 1.3, 1.34, 2.0]
    source = write_clip(tmp_path / "a.mkv", [scene(n) for n in range(8)], times_s=at)
    target, _ = rewrite(source, None, (0.2, 1.34))
    assert [float(t) for t, _ in times(target)] == pytest.approx([0.0, 0.01, 0.3, 1.1], abs=1e-6)


@pytest.mark.parametrize(("suffix", "late_s"), [("mp4", 0), ("mkv", 0), ("ts", 5)])
def test_a_part_has_the_sound_beside_its_pictures(tmp_path: Path, suffix: str, late_s: int) -> None:
    clip = write_clip(tmp_path / "silent.mp4", [numbered(n) for n in range(50)])
    source = with_sound(tmp_path / f"a.{suffix}", clip, late_s=late_s)
    target, made = rewrite(source, None, (0.6, 1.4))
    assert made.sound == "aac"
    begin = times(source)[15][0]
    heard = [float(t - begin) for t, _ in times(source, "audio") if 0 <= t - begin < 0.8]
    shown = [float(t) for t, _ in times(target, "audio")]
    assert shown == pytest.approx(heard[: len(shown)], abs=1e-3)
    assert shown[-1] > 0.7
    assert numbers(target)[0] == 15


def test_a_part_has_all_its_sound_though_it_lies_behind_the_pictures(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "silent.mp4", [numbered(n) for n in range(50)])
    source = with_sound(tmp_path / "a.ts", clip, late_s=5, apart=True)
    with av.open(str(source)) as read:
        order = [p.stream.type for p in read.demux() if p.pts is not None]
    assert order.index("audio") > 40, "the file has most of its pictures first"
    target, _ = rewrite(source, None, (0.6, 1.4))
    assert [float(t) for t, _ in times(target, "audio")][-1] > 0.75


def test_sound_that_ends_early_is_not_looked_for_in_the_whole_file(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "silent.mp4", [scene(0)] * 225)
    source = with_sound(tmp_path / "a.mkv", clip)
    with source.open("rb") as file:  # the limit refuses what is read beyond 7 s of the 9
        made = PyAvRewriter(VideoLimits(max_duration_s=7.0)).rewrite(
            file, tmp_path / "b.mp4", None, silent, part=(1.0, 3.0)
        )
    assert (made.frames, made.sound) == (50, "aac")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("sounds", [False, True])
def test_a_full_disk_is_no_fault_of_the_source(tmp_path: Path, sounds: bool) -> None:
    source = write_clip(tmp_path / "a.mp4", [scene(n) for n in range(50)])
    if sounds:
        source = with_sound(tmp_path / "b.mp4", source)
    (tmp_path / "drawn.mp4").symlink_to("/dev/full")
    with pytest.raises(Transient, match="could not be written: No space left on device"):
        rewrite(source)


def test_a_part_beyond_the_end_has_no_pictures(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", [scene(0)] * 10)
    assert rewrite(source, part=(30.0, 31.0))[1].frames == 0


@pytest.mark.parametrize(
    ("suffix", "size", "more"),
    [
        ("mp4", (160, 90), {}),
        ("mp4", (160, 90), {"pix_fmt": "yuvj420p"}),
        ("mp4", (160, 90), {"pix_fmt": "yuv422p10le"}),
        ("mp4", (160, 90), {"pix_fmt": "yuv420p10le"}),
        ("mp4", (160, 90), {"rotation_deg": 90}),
        ("mkv", (161, 91), {"codec": "ffv1", "pix_fmt": "yuv444p"}),
    ],
)
def test_pictures_are_no_worse_without_drawing(
    tmp_path: Path, suffix: str, size: tuple[int, int], more: dict[str, Any]
) -> None:
    source = write_clip(tmp_path / f"a.{suffix}", [scene(n // 5, *size) for n in range(10)], **more)
    drawn = pictures(rewrite(source)[0])[7]
    plain = pictures(rewrite(source, None)[0])[7]
    written = scene(7 // 5, *size)
    shown = np.rot90(written, -more.get("rotation_deg", 0) // 90)[: plain.shape[0], : plain.shape[1]]
    assert error(plain, shown) < error(drawn, shown) + 0.1
    assert abs(plain.mean() - shown.mean()) < abs(drawn.mean() - shown.mean()) + 0.1


def test_the_encoder_chooses_its_key_pictures(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", [scene(0)] * 50, keyint=1)
    with av.open(str(rewrite(source, None)[0])) as container:
        assert sum(packet.is_keyframe for packet in container.demux(video=0)) == 1


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        ("avi", "mpeg4", "yuv420p"),
        ("mkv", "libx264", "yuv420p10le"),
        ("mov", "prores_ks", "yuv422p10le"),
        ("ts", "mpeg2video", "yuv420p"),
    ],
)
def test_a_copy_shows_the_same_pictures_at_the_same_times_in_what_browsers_play(
    tmp_path: Path, suffix: str, codec: str, pix_fmt: str
) -> None:
    shown = [numbered(n) for n in range(75)]
    source = write_clip(tmp_path / f"a.{suffix}", shown, codec=codec, pix_fmt=pix_fmt)
    target, made = copied(source, first_picture_s=0.48)
    assert numbers(target) == numbers(source) == [*range(75)]
    assert [float(t) for t, _ in times(target)] == pytest.approx([0.48 + n / 25 for n in range(75)], abs=1e-4)
    assert made.frames == 75
    with av.open(str(target)) as container:
        [stream] = container.streams
        assert isinstance(stream, av.VideoStream)
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        keys = [float(p.pts * p.time_base) for p in container.demux(stream) if p.is_keyframe and p.pts is not None]
    assert {0.48, 1.48, 2.48} <= {round(t, 4) for t in keys}, "a key picture each second"
    data = target.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")


def test_a_copy_has_key_pictures_by_time_at_a_variable_frame_rate(tmp_path: Path) -> None:
    at = [0.0, 0.04, 0.2, 0.9, 1.1, 1.14, 2.6, 2.64]
    source = write_clip(tmp_path / "a.mkv", [scene(0)] * 8, times_s=at)
    target, _ = copied(source)
    assert [float(t) for t, _ in times(target)] == pytest.approx(at, abs=1e-6)
    with av.open(str(target)) as container:
        keys = [float(p.pts * p.time_base) for p in container.demux(video=0) if p.is_keyframe and p.pts is not None]
    assert keys == pytest.approx([0.0, 1.1, 2.6], abs=1e-6)


@pytest.mark.parametrize(
    ("size", "turn", "expected"),
    [
        ((1920, 1080), 0, (1280, 720)),
        ((161, 91), 0, (160, 90)),
        ((1080, 1920), 0, (404, 720)),
        ((1920, 1080), 90, (404, 720)),
    ],
)
def test_a_copy_has_even_sides_and_at_most_720_rows(
    tmp_path: Path, size: tuple[int, int], turn: int, expected: tuple[int, int]
) -> None:
    picture = scene(3, *size)
    codec: dict[str, Any] = {"codec": "ffv1", "pix_fmt": "bgr0"} if size[0] % 2 else {"rotation_deg": turn}
    source = write_clip(tmp_path / ("a.mkv" if size[0] % 2 else "a.mp4"), [picture] * 3, **codec)
    [first, *_] = pictures(copied(source)[0])
    assert first.shape[1::-1] == expected
    upright = np.rot90(pictures(source)[0], -turn // 90)
    assert abs(first.mean() - upright.mean()) < 1.5
    assert abs(first[: first.shape[0] // 3].mean() - upright[: upright.shape[0] // 3].mean()) < 3


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "pcm_s16le"), ("mkv", "wavpack"), ("ts", "mp2")])
def test_sound_of_a_copy_becomes_aac_beside_the_same_pictures(tmp_path: Path, suffix: str, codec: str) -> None:
    clip = write_clip(tmp_path / "silent.mp4", [numbered(n) for n in range(50)], options={"bf": "0"})
    source = with_sound(tmp_path / f"a.{suffix}", clip, codec=codec)
    target, made = copied(source)
    assert (made.sound, made.notes) == ("aac", ())
    with av.open(str(target)) as container:
        heard = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
        sound = container.streams.audio[0]
        begin_s = float((sound.start_time or 0) * (sound.time_base or 0))
    assert len(heard) / 48_000 == pytest.approx(2.0, abs=0.025), "to its end"
    assert abs(begin_s) < 0.05
    loud = np.abs(heard[4800:-9600])
    assert loud.max() == pytest.approx(0.25, abs=0.05), "the tone of the source"


def test_aac_of_a_copy_is_copied(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "silent.mp4", [numbered(n) for n in range(50)])
    source = with_sound(tmp_path / "a.mp4", clip)
    target, _ = copied(source)
    assert times(target, "audio") == times(source, "audio")


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def begins_s(path: Path) -> list[float]:
    """When each packet of sound begins."""
    return [float(t) for t, _ in times(path, "audio")]


def test_sound_of_a_copy_stays_beside_its_pictures_where_it_changes_its_kind(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "silent.mp4", [numbered(n) for n in range(50)], options={"bf": "0"})
    kinds = [("5.1", 5), ("stereo", 7)]
    parts = [with_sound(tmp_path / f"{kind}.ts", clip, "ac3", late_s, layout=kind) for kind, late_s in kinds]
    target, made = copied(joined(tmp_path / "a.ts", *parts))
    assert (made.frames, made.notes) == (100, ())
    begins = begins_s(target)
    assert begins[-1] == pytest.approx(4.0, abs=0.1)
    assert max(b - a for a, b in pairwise(begins)) < 0.06


@pytest.mark.parametrize("codec", ["aac", "ac3", "mp2"])
@pytest.mark.parametrize("is_copy", [True, False])
@pytest.mark.parametrize(("late_s", "n"), [(5, 50), (3.5, 50), (6.987, 50), (5, 60)])
def test_all_pictures_have_their_sound_though_the_clock_steps_back(
    tmp_path: Path, codec: str, is_copy: bool, late_s: float, n: int
) -> None:
    clip = write_clip(tmp_path / "silent.mp4", [numbered(n) for n in range(n)], options={"bf": "0"})
    parts = [with_sound(tmp_path / f"{start_s}.ts", clip, codec, start_s) for start_s in (5, late_s)]
    source = joined(tmp_path / "a.ts", *parts)
    target, made = copied(source) if is_copy else rewrite(source, None)
    assert (made.frames, made.notes) == (2 * n, ())
    assert numbers(target) == [*range(n)] * 2
    begins = begins_s(target)
    assert begins[-1] == pytest.approx(n / 25 + 2, abs=0.1), "beside the pictures of the second part"
    assert all(a < b for a, b in pairwise(begins))


def test_small_steps_back_do_not_add_up_in_encoded_sound(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "silent.mp4", [scene(n) for n in range(50)], options={"bf": "0"})
    parts = [with_sound(tmp_path / f"{n}.ts", clip, "mp2", 5 + 2.003 * n) for n in range(7)]
    source = joined(tmp_path / "a.ts", *parts)
    target, _ = copied(source)
    assert begins_s(target)[-1] == pytest.approx(begins_s(rewrite(source, None)[0])[-1], abs=0.04)


def test_a_fault_of_the_sound_ends_no_pictures_and_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = _Copying._put

    def faulty(self: _Copying, packet: av.Packet) -> None:
        if self._heard_s > 1:
            raise ArgumentError(22, "Invalid argument")
        put(self, packet)

    monkeypatch.setattr(_Copying, "_put", faulty)
    clip = write_clip(tmp_path / "silent.mp4", [numbered(n) for n in range(50)])
    target, made = copied(with_sound(tmp_path / "a.mkv", clip, "mp2"))
    assert made.frames == 50
    assert made.notes == ("The sound ends at 1.0 s, where it could not be written.",)
    assert begins_s(target)[-1] == pytest.approx(1.0, abs=0.1)


def test_sound_of_a_copy_that_cannot_be_decoded_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Copying, "_can_hold", lambda *_: False)
    clip = write_clip(tmp_path / "silent.mp4", [scene(0)] * 10)
    _, made = copied(with_sound(tmp_path / "a.mp4", clip))
    assert (made.sound, made.notes) == ("", ("The sound is left out: FFmpeg here cannot decode it.",))
