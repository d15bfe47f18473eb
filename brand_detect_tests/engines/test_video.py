"""What the decoder says and yields, on small clips with known pictures."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from brand_detect.domain.contracts.extract_frames import THUMBNAIL_SHAPE
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import Probe
from brand_detect.domain.media import VideoLimits
from brand_detect.domain.protocols import MOST_PICTURES, DamagedTail, DecodedFrame, Interval
from brand_detect.domain.protocols import Picture as Found
from brand_detect.engines import video
from brand_detect.engines.video import PyAvDecoder, opened
from brand_detect_tests.support.videos import Picture, scene, truncate, write_clip

FOREVER = float("inf")


def probe(path: Path) -> Probe:
    with path.open("rb") as file:
        return PyAvDecoder().probe(file)


def decode(path: Path, sample_fps: float = 2.0, start_s: float = 0.0, end_s: float = FOREVER) -> list[DecodedFrame]:
    with path.open("rb") as file:
        return list(PyAvDecoder().decode(file, sample_fps, start_s, end_s))


def first_image(path: Path) -> Picture:
    image = decode(path)[0].image
    assert image is not None
    return image


def moving(n: int) -> list[Picture]:
    """A bar that grows by a pixel a picture, over a scene that changes every 25 pictures."""
    pictures = [scene(i // 25) for i in range(n)]
    for i, picture in enumerate(pictures):
        picture[80:100] = 0
        picture[80:100, : i % 320] = 255
    return pictures


def error(a: Picture, b: Picture) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b).mean())


def test_probe_tells_what_the_file_is(tmp_path: Path) -> None:
    found = probe(write_clip(tmp_path / "a.mp4", moving(60)))
    assert found.duration_s == pytest.approx(2.4)
    assert (found.width_px, found.height_px, found.fps, found.rotation_deg) == (320, 180, 25, 0)
    assert (found.codec, found.pix_fmt) == ("h264", "yuv420p")
    assert not found.interlaced
    assert not found.variable_frame_rate


def write_silence(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 44100
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def write_image(path: Path) -> Path:
    assert cv2.imwrite(str(path), scene(1))
    return path


def write_header_only(path: Path, **options: str) -> Path:
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        container.start_encoding()
    return path


@pytest.mark.parametrize(
    ("name", "write", "reason"),
    [
        ("empty.mp4", lambda p: write_bytes(p, b""), "empty"),
        ("text.mp4", lambda p: write_bytes(p, b"This is a letter.\n" * 200), "not a video"),
        ("letter.txt", lambda p: write_bytes(p, b"This is a letter.\n" * 200), "text, not a video"),
        ("page.mp4", lambda p: write_bytes(p, b"<html><body>404</body></html>" * 50), "not a video"),
        ("list.m3u8", lambda p: write_bytes(p, b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"), "not a video"),
        ("cut.mp4", lambda p: truncate(write_clip(p, moving(50)), 0.6), "no readable index"),
        ("sound.mp4", write_silence, "sound but no video"),
        ("nothing.mov", write_header_only, "no "),
        ("still.png", write_image, "still image"),
        ("still.jpg", write_image, "still image"),
        ("still.mp4", lambda p: write_bytes(p, write_image(p.with_suffix(".png")).read_bytes()), "still image"),
        ("still.gif", lambda p: write_clip(p, [scene(1)], codec="gif", pix_fmt="rgb8"), "still image"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, name: str, write, reason: str) -> None:
    path = write(tmp_path / name)
    with pytest.raises(BadInput, match=reason) as refused:
        probe(path)
    assert refused.value.hint


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    write_clip(tmp_path / "secret.mp4", moving(10))
    path = write_bytes(tmp_path / "list.ffconcat", b"ffconcat version 1.0\nfile 'secret.mp4'\n")
    with pytest.raises(BadInput):
        probe(path)


def test_pictures_that_grow_beyond_the_limit_on_the_way_are_refused(tmp_path: Path) -> None:
    """Of 16 bits a channel they weigh twice as much; the container says nothing of it."""
    plain, deep = (
        write_clip(tmp_path / f"{pix_fmt}.mov", moving(3), codec="png", pix_fmt=pix_fmt)
        for pix_fmt in ("rgb24", "rgb48be")
    )
    path = tmp_path / "both.mov"
    with av.open(str(path), "w") as written:
        stream = None
        for n, part in enumerate((plain, deep)):
            with av.open(str(part)) as source:
                stream = stream or written.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.pts is not None and packet.dts is not None:
                        later = round(3 / 25 / packet.time_base) * n
                        packet.pts, packet.dts = packet.pts + later, packet.dts + later
                        packet.stream = stream
                        written.mux(packet)
    assert len(decode(path)) == 6
    narrow = PyAvDecoder(VideoLimits(max_pixels=320 * 180))
    with path.open("rb") as file:
        assert narrow.probe(file).pix_fmt == "rgb24"
        with pytest.raises(BadInput, match="320 × 180 pixels of rgb48be"):
            list(narrow.decode(file, 2, 0, FOREVER))


def test_pictures_beyond_the_longest_video_are_refused_whatever_the_header_says(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", moving(4), times_s=[0, 0.04, 100.0, 100.04])
    short = PyAvDecoder(VideoLimits(max_duration_s=50))
    with path.open("rb") as file:
        with pytest.raises(BadInput, match="claims to be, 100 s long"):
            short.probe(file)
        with pytest.raises(BadInput, match="claims to be, 100 s long"):
            list(short.decode(file, 2, 0, FOREVER))


def test_a_matroska_file_that_begins_late_has_lost_nothing(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", moving(50), times_s=[100 + i / 25 for i in range(50)])
    assert probe(path).duration_s == pytest.approx(2.0, abs=0.05)
    assert len(decode(path)) == 50


def test_samples_are_the_first_pictures_at_or_after_each_instant(tmp_path: Path) -> None:
    pictures = moving(60)
    frames = decode(write_clip(tmp_path / "a.mp4", pictures), sample_fps=2)
    assert [f.t_s for f in frames] == pytest.approx([i / 25 for i in range(60)])
    sampled = {i: f.image for i, f in enumerate(frames) if f.image is not None}
    assert list(sampled) == [0, 13, 25, 38, 50]
    for i, image in sampled.items():
        assert error(image, pictures[i]) < 8
        assert error(image, pictures[i]) < error(image, pictures[(i + 25) % 60]) / 3
    assert all(f.luma.shape == THUMBNAIL_SHAPE and f.luma.dtype == np.uint8 for f in frames)


def test_the_thumbnail_is_the_picture_made_small(tmp_path: Path) -> None:
    picture = scene(3, 640, 360)
    frame = decode(write_clip(tmp_path / "a.mp4", [picture] * 3))[0]
    assert frame.image is not None
    grey = cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (64, 36), interpolation=cv2.INTER_AREA) * (219 / 255) + 16  # luma has less range
    assert np.abs(small - frame.luma).mean() < 4


@pytest.fixture(scope="module", params=[".mp4", ".mkv", ".ts", ".avi"])
def ten_seconds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ten_seconds") / f"a{request.param}"
    return write_clip(path, moving(250), options={"preset": "medium", "bf": "2"})


@pytest.mark.parametrize(("start_s", "end_s"), [(1.0, 2.0), (7.3, 9.1)])
def test_a_range_gives_the_same_pictures_as_the_whole(ten_seconds: Path, start_s: float, end_s: float) -> None:
    whole = {round(f.t_s, 2): f.luma for f in decode(ten_seconds)}
    part = decode(ten_seconds, 2, start_s, end_s)
    assert [round(f.t_s, 2) for f in part] == [t for t in whole if start_s <= t < end_s]
    assert part[0].image is not None
    assert all(np.array_equal(f.luma, whole[round(f.t_s, 2)]) for f in part)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotated_pictures_come_upright(tmp_path: Path, turn: int) -> None:
    upright = scene(5, 320, 180)
    stored = np.ascontiguousarray(np.rot90(upright, turn // 90))  # counter-clockwise, so the player turns it back
    path = write_clip(tmp_path / "a.mp4", [stored] * 5, rotation_deg=turn)
    found = probe(path)
    assert (found.rotation_deg, found.width_px, found.height_px) == (turn, 320, 180)
    frame = decode(path)[0]
    assert frame.image is not None
    assert error(frame.image, upright) < 8
    straight = decode(write_clip(tmp_path / "b.mp4", [upright] * 5))[0]
    assert frame.luma.shape == THUMBNAIL_SHAPE
    assert np.abs(frame.luma.astype(int) - straight.luma).mean() < 4


def test_interlaced_pictures_come_without_combs(tmp_path: Path) -> None:
    wide: Any = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (180, 640, 3), np.uint8), (0, 0), 4)
    wide = cv2.normalize(wide, wide, 0, 255, cv2.NORM_MINMAX)
    wide[:, :, 1:] = wide[:, :, :1]  # grey: colours are stored at half the lines, where the fields mix
    fields: list[Picture] = [np.ascontiguousarray(wide[:, 4 * i : 4 * i + 320]) for i in range(60)]
    woven = []
    for early, late in zip(fields[::2], fields[1::2], strict=True):
        picture = late.copy()
        picture[1::2] = early[1::2]
        woven.append(picture)
    path = write_clip(tmp_path / "a.mp4", woven, interlaced=True)
    assert probe(path).interlaced
    frames = decode(path, sample_fps=25)
    assert [f.t_s for f in frames] == pytest.approx([i / 25 for i in range(30)])
    image = frames[7].image
    assert image is not None
    assert error(image, fields[14]) < error(woven[7], fields[14]) / 2


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv444p", "yuv422p"])
def test_other_pixel_formats_keep_their_colours(tmp_path: Path, pix_fmt: str) -> None:
    path = write_clip(tmp_path / "a.mp4", [scene(2)] * 5, pix_fmt=pix_fmt)
    assert probe(path).pix_fmt == pix_fmt
    assert error(first_image(path), scene(2)) < 8
    plain = decode(write_clip(tmp_path / "b.mp4", [scene(2)] * 5))[0]
    assert np.abs(decode(path)[0].luma.astype(int) - plain.luma).mean() < 3


def test_grey_pictures_come_as_three_equal_channels(tmp_path: Path) -> None:
    grey = scene(4)[:, :, 1].copy()
    image = first_image(write_clip(tmp_path / "a.mkv", [grey] * 5, codec="ffv1", pix_fmt="gray"))
    assert error(image[:, :, 0], grey) < 3
    assert np.array_equal(image[:, :, 0], image[:, :, 2])


@pytest.mark.parametrize(("width", "height", "codec"), [(321, 181, "ffv1"), (16, 16, "libx264"), (7680, 4320, "mjpeg")])
def test_odd_tiny_and_huge_pictures(tmp_path: Path, width: int, height: int, codec: str) -> None:
    picture = scene(6, width, height)
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_clip(tmp_path / "a.mkv", [picture] * 2, codec=codec, pix_fmt=pix_fmt)
    found = probe(path)
    assert (found.width_px, found.height_px) == (width, height)
    step = -(-width // 1000)
    assert error(first_image(path)[::step, ::step], picture[::step, ::step]) < 20  # colours run over at 16 px


def test_variable_frame_rate_is_sampled_by_time(tmp_path: Path) -> None:
    times_s = [0, 0.04, 0.08, 0.5, 0.6, 3.0, 3.04, 5.0]
    path = write_clip(tmp_path / "a.mp4", moving(8), times_s=times_s)
    assert probe(path).variable_frame_rate
    frames = decode(path)
    assert [f.t_s for f in frames] == pytest.approx(times_s)
    assert [f.end_s for f in frames] == pytest.approx([*times_s[1:], 5.04])
    assert [f.t_s for f in frames if f.image is not None] == pytest.approx([0, 0.5, 0.6, 3.0, 3.04, 5.0])
    assert [f.t_s for f in decode(path, end_s=3.4) if f.image is not None] == pytest.approx([0, 0.5, 0.6, 3.0])


def test_a_stream_without_timestamps_has_the_times_of_its_rate(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.h264", moving(50))
    assert probe(path).duration_s == pytest.approx(2.0, abs=0.1)
    assert [f.t_s for f in decode(path)] == pytest.approx([i / 25 for i in range(50)], abs=0.01)


def test_times_go_on_where_a_recording_starts_again(tmp_path: Path) -> None:
    first, second = (write_clip(tmp_path / name, moving(50)) for name in ("a.ts", "b.ts"))
    path = write_bytes(tmp_path / "both.ts", first.read_bytes() + second.read_bytes())
    times_s = [f.t_s for f in decode(path)]
    assert len(times_s) == 100
    assert np.diff(times_s) == pytest.approx(np.full(99, 0.04), abs=0.005)


@pytest.mark.parametrize("jump_s", [3600.0, -40.0, 95_000.0])
def test_a_clock_that_jumps_is_bridged(tmp_path: Path, jump_s: float) -> None:
    times_s = [100 + i / 25 + (jump_s if i >= 44 else 0) for i in range(88)]
    first, second = (
        write_clip(tmp_path / f"{n}.ts", moving(44), times_s=part)
        for n, part in enumerate((times_s[:44], times_s[44:]))
    )
    path = write_bytes(tmp_path / "both.ts", first.read_bytes() + second.read_bytes())
    assert probe(path).duration_s == pytest.approx(3.52, abs=0.05)
    shown_s = [f.t_s for f in decode(path)]  # and no damage is said
    assert np.diff(shown_s) == pytest.approx(np.full(len(shown_s) - 1, 0.04), abs=0.005)
    assert len(shown_s) == 88


@pytest.mark.parametrize("fps", [10, 30])
def test_a_program_stream_is_as_long_as_its_pictures(tmp_path: Path, fps: int) -> None:
    """FFmpeg's guess from the clock at both ends is short by half a second."""
    path = write_clip(tmp_path / "a.mpg", moving(2 * fps), fps=fps, codec="mpeg2video")
    assert probe(path).duration_s == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_damaged_tail_costs_the_tail_alone(tmp_path: Path, suffix: str) -> None:
    options = {"movflags": "faststart"} if suffix == ".mp4" else None
    path = truncate(write_clip(tmp_path / f"a{suffix}", moving(100), container_options=options), 0.6)
    assert probe(path).duration_s == pytest.approx(4.0)
    times_s: list[float] = []

    def decode_all() -> None:
        with path.open("rb") as file:
            for frame in PyAvDecoder().decode(file, 2, 0, FOREVER):
                times_s.append(frame.t_s)

    with pytest.raises(DamagedTail) as damage:
        decode_all()
    assert 40 < len(times_s) < 80
    assert damage.value.at_s == pytest.approx(times_s[-1] + 0.04)


def write_with_sound(
    path: Path, pictures: list[Picture], sound_s: float, late_s: float = 0.0, held_s: float = 0.0
) -> Path:
    """The pictures, the first at ``late_s``, under ``sound_s`` seconds of silence from 0 on.

    The last picture is held for ``held_s`` more.
    """
    clip = write_clip(path.with_suffix(".h264.mp4"), pictures)
    with av.open(str(clip)) as source, av.open(str(path), "w") as container:
        video = container.add_stream_from_template(source.streams.video[0])
        audio = container.add_stream("aac", rate=48000)
        packets: list[Any] = []
        for packet in source.demux(source.streams.video[0]):
            if packet.size and packet.pts is not None and packet.dts is not None:
                packet.pts += round(late_s / packet.time_base)
                packet.dts += round(late_s / packet.time_base)
                packet.stream = video
                packets.append(packet)
        packets[-1].duration += round(held_s / packets[-1].time_base)
        for n in range(0, round(sound_s * 48000), 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, n
            packets += audio.encode(frame)
        packets += audio.encode(None)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".flv", ".mp4"])
def test_sound_that_goes_on_or_comes_first_is_no_damage(tmp_path: Path, suffix: str) -> None:
    longer = write_with_sound(tmp_path / f"longer{suffix}", moving(50), sound_s=4.0)
    frames = decode(longer)
    assert len(frames) == 50
    assert frames[-1].end_s == pytest.approx(2.0, abs=2e-3)
    assert [f.t_s for f in frames if f.image is not None] == pytest.approx([0, 0.52, 1, 1.52], abs=2e-3)
    late = write_with_sound(tmp_path / f"late{suffix}", moving(50), sound_s=4.0, late_s=2.0)
    assert len(decode(late)) == 50
    assert probe(late).duration_s == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("sound_s", [0.1, 7.0, 20.0])
def test_a_last_picture_that_is_held_is_sampled_and_ends_when_it_does(
    tmp_path: Path, suffix: str, sound_s: float
) -> None:
    frames = decode(write_with_sound(tmp_path / f"a{suffix}", moving(50), sound_s=sound_s, held_s=5.0))
    assert frames[-1].end_s == pytest.approx(7.0, abs=0.03)
    assert [f.t_s for f in frames if f.image is not None] == pytest.approx([0, 0.52, 1, 1.52, 1.96], abs=2e-3)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
@pytest.mark.parametrize("late_s", [0.0, 2.0])
def test_probe_tells_when_a_player_shows_the_first_picture(tmp_path: Path, suffix: str, late_s: float) -> None:
    """Chromium shows MP4 and Matroska so; MPEG-TS has a clock that begins anywhere, here at 1.4 s."""
    path = write_with_sound(tmp_path / f"late{suffix}", moving(50), sound_s=4.0, late_s=late_s)
    assert probe(path).first_picture_s == pytest.approx(late_s, abs=0.03)


def test_pictures_out_of_order_or_before_an_edit_list_do_not_make_the_first_late(tmp_path: Path) -> None:
    reordered = write_clip(tmp_path / "reordered.mp4", moving(50), options={"preset": "medium", "bf": "2"})
    assert probe(reordered).first_picture_s == 0
    cut = write_with_sound(tmp_path / "cut.mp4", moving(50), sound_s=1.0, late_s=-0.4)
    assert probe(cut).first_picture_s == 0
    alone = write_clip(tmp_path / "alone.mp4", moving(50), times_s=[2 + n / 25 for n in range(50)])
    assert probe(alone).first_picture_s == 2


def test_a_damaged_tail_under_sound_is_told(tmp_path: Path) -> None:
    path = truncate(write_with_sound(tmp_path / "a.mkv", moving(100), sound_s=4.0), 0.6)
    with pytest.raises(DamagedTail):
        decode(path)


def test_a_file_without_pictures_has_none_further_on(tmp_path: Path) -> None:
    path = write_header_only(tmp_path / "a.mp4", movflags="frag_keyframe+empty_moov")
    with pytest.raises(DamagedTail):
        decode(path, start_s=100.0)


def test_damage_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving(100), keyint=10)
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : third + 3000] = bytes(3000)
    path.write_bytes(data)
    times_s = [f.t_s for f in decode(path)]
    assert 70 < len(times_s) < 100
    assert times_s[-1] == pytest.approx(3.96)


def test_the_bound_on_allocations_holds_until_the_last_file_is_closed(tmp_path: Path):
    def is_bounded() -> bool:
        try:
            av.VideoFrame(12_000, 10_000, "rgb24")  # 360 MB, of which none is touched
        except MemoryError:
            return True
        return False

    path = write_clip(tmp_path / "clip.mp4", (np.zeros((64, 64, 3), np.uint8) for _ in range(3)), fps=10)
    with path.open("rb") as a, path.open("rb") as b:
        with opened(a, VideoLimits(2**26, 60.0)):
            with opened(b, VideoLimits(2**27, 60.0)):  # 2**29 bytes
                assert not is_bounded()
            assert is_bounded()
        assert not is_bounded()


def stretches(path: Path, *spans_s: tuple[float, float]) -> list[list[Found]]:
    """The stretches, with the luma of each picture, which is good only until the next stretch."""
    with path.open("rb") as file:
        found = []
        for _, pictures in PyAvDecoder().stretches(file, lambda _: spans_s):
            lumas = [picture.luma() for picture in pictures]
            kept = zip(pictures, lumas, strict=True)
            found.append([Found(one.t_s, one.next_s, lambda luma=luma: luma, one.thumbnail) for one, luma in kept])
        return found


def times(pictures: list[Found]) -> list[float]:
    return [picture.t_s for picture in pictures]


@pytest.mark.parametrize("options", [{}, {"bf": "2"}])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_stretches_are_the_pictures_from_end_to_end(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    """Of 25 pictures a second; the second stretch begins where the first ends, the last beyond 5 s is sought."""
    pictures = [scene(i) for i in range(250)]
    path = write_clip(tmp_path / f"a{suffix}", pictures, options=options if suffix != ".avi" else {}, keyint=25)
    found = stretches(path, (1.0, 1.4), (1.4, 1.8), (8.2, 8.6))
    for own, start_s in zip(found, (1.0, 1.4, 8.2), strict=True):
        assert times(own) == pytest.approx(np.arange(11) / 25 + start_s, abs=2e-3)
        assert [picture.next_s for picture in own[:-1]] == times(own)[1:]
        for picture in own:
            expected = np.asarray(cv2.cvtColor(pictures[round(picture.t_s * 25)], cv2.COLOR_BGR2GRAY), np.uint8)
            assert error(picture.luma(), expected) < 25, "scenes differ by 60, and luma of video has 16 to 235"


def test_a_long_stretch_is_thinned_and_one_without_pictures_is_empty(tmp_path: Path) -> None:
    long, none = stretches(write_clip(tmp_path / "a.mp4", moving(60)), (0.0, 2.0), (3.0, 3.5))
    assert (long[0].t_s, long[-1].t_s) == (0.0, 2.0)
    assert len(long) <= MOST_PICTURES
    assert all(picture.next_s == pytest.approx(picture.t_s + 0.04) for picture in long[:-1])
    assert none == []


def test_luma_of_turned_pictures_is_upright(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", moving(25), rotation_deg=90)
    assert stretches(path, (0.0, 0.4))[0][0].luma().shape == (320, 180)


@pytest.mark.parametrize("rate", [25, Fraction(30000, 1001), Fraction(24000, 1001)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_stretch_at_a_key_picture_is_reached_without_the_pictures_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, rate: Fraction
) -> None:
    options = {"sc_threshold": "0", "threads": "1"}
    path = write_clip(tmp_path / f"a{suffix}", moving(600), fps=rate, keyint=15, options=options)
    decoded, check = [], video._check_picture
    monkeypatch.setattr(video, "_check_picture", lambda *args: (decoded.append(args), check(*args)))

    def choose(keys: Sequence[float]) -> Sequence[Interval]:
        decoded.clear()
        return [(key_s, key_s + 10 / float(rate)) for key_s in keys if key_s > 5][::2]

    with path.open("rb") as file:
        found = [pictures for _, pictures in PyAvDecoder().stretches(file, choose)]
    assert [len(pictures) for pictures in found] == [11] * len(found)
    assert len(found) >= 15
    assert len(decoded) <= 12 * len(found), "a key picture early would be 15 more"


def key_times(path: Path) -> list[float]:
    told: list[float] = []
    with path.open("rb") as file:
        assert list(PyAvDecoder().stretches(file, lambda keys: told.extend(keys) or ())) == []
    return told


@pytest.mark.parametrize(("name", "options"), [("a.mp4", {}), ("b.mp4", {"bf": "2"}), ("c.mkv", {}), ("d.ts", {})])
def test_key_times_count_from_the_first_picture(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    """Also with pictures that are shown later than they are decoded; a transport stream has no index."""
    path = write_clip(tmp_path / name, moving(50), keyint=20, options={"sc_threshold": "0", **options})
    assert key_times(path) == pytest.approx([0.0] if path.suffix == ".ts" else [0.0, 0.8, 1.6], abs=1e-3)
