"""Frames, signals, ranges and what is said of damage."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brand_detect.domain.contracts.extract_frames import SHARD_S, THUMBNAIL_SHAPE, ExtractedFrames, ExtractFramesParams
from brand_detect.domain.contracts.filter_scenes import FilterScenesParams
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import JobRequest
from brand_detect.domain.protocols import DamagedTail, DecodedFrame
from brand_detect.engines.image import OpenCvCodec
from brand_detect.engines.video import PyAvDecoder
from brand_detect.stages.extract_frames.extract import extract_frames
from brand_detect.stages.filter_scenes.filter import filter_scenes
from brand_detect.stages.job_request import job_request
from brand_detect_tests.support import payloads
from brand_detect_tests.support.videos import LocalMedia, MemorySink, scene, silent, truncate, write_clip


def extract(path: Path, **params: Any) -> tuple[ExtractedFrames, MemorySink]:
    media, decoder, sink = LocalMedia(), PyAvDecoder(), MemorySink()
    request = job_request(
        job_id="x",
        video_uri=str(path),
        profile="default",
        overrides={},
        media=media,
        decoder=decoder,
        progress=silent,
    )
    found = extract_frames(
        request,
        ExtractFramesParams(**params),
        media=media,
        decoder=decoder,
        codec=OpenCvCodec(),
        sink=sink,
        progress=silent,
    )
    return found, sink


def test_frames_are_stored_as_they_were_shown(tmp_path: Path) -> None:
    found, sink = extract(write_clip(tmp_path / "a.mp4", [scene(i // 25) for i in range(60)]))
    assert found.frames["t_s"].to_pylist() == pytest.approx([0, 0.52, 1, 1.52, 2])
    assert found.frames["frame"].to_pylist() == [0, 1, 2, 3, 4]
    assert len(set(found.frames["frame_id"].to_pylist())) == 5
    assert (found.start_s, found.end_s, found.notes) == (0, pytest.approx(2.4), ())
    for row, blob in zip(found.frames.to_pylist(), sink.blobs, strict=True):
        image = OpenCvCodec().decode(blob)
        assert image.shape == (row["height_px"], row["width_px"], 3) == (180, 320, 3)
        assert np.abs(image.astype(int) - scene(int(row["t_s"]))).mean() < 8
        assert row["size_bytes"] == len(blob)


def test_every_picture_has_a_signal_and_cuts_stand_out(tmp_path: Path) -> None:
    found, _ = extract(write_clip(tmp_path / "a.mp4", [scene(i // 25) for i in range(60)]))
    change, drift = (found.signals[c].to_numpy() for c in ("change", "drift"))
    assert found.signals.num_rows == found.stats["pictures"] == 60
    assert np.flatnonzero(change > 0.3).tolist() == [25, 50]
    assert np.delete(change, [25, 50]).max() < 0.05
    assert drift[25:37].min() > 0.3  # half a second back lies the scene before
    assert drift[39:50].max() < 0.05


def test_stored_frames_can_be_smaller(tmp_path: Path) -> None:
    found, sink = extract(write_clip(tmp_path / "a.mp4", [scene(1)] * 10), longest_side_px=100)
    row = found.frames.to_pylist()[0]
    assert OpenCvCodec().decode(sink.blobs[0]).shape == (row["height_px"], row["width_px"], 3) == (56, 100, 3)


def test_a_frame_that_shows_an_earlier_one_again_is_kept_at_lower_quality(tmp_path: Path) -> None:
    pictures = [scene(1) for _ in range(150)]
    for n, picture in enumerate(pictures):
        picture[140:170, 200:300] = 250 if n < 55 else 20  # a caption changes after 2.2 s
    pictures[100][70:110, 40:50] = 0  # a person in a sampled picture
    pictures += [np.roll(scene(1), 3 * n, axis=1) for n in range(1, 26)]  # the camera moves
    found, sink = extract(write_clip(tmp_path / "a.mp4", pictures), jpeg_quality=85, repeat_quality=40)
    full = None
    assert found.frames["repeats"].to_pylist() == [full, 0, 0, 0, 0, full, 5, 5, full, full, 9, 9, full, full]
    quality = found.frames["quality"].to_pylist()
    assert quality == [85 if other is None else 40 for other in found.frames["repeats"].to_pylist()]
    coarseness = [blob[blob.index(b"\xff\xdb") + 5] for blob in sink.blobs]  # the first luma step
    assert coarseness == [{85: 3, 40: 12}[q] for q in quality]


def test_no_frame_is_kept_better_than_in_full(tmp_path: Path) -> None:
    found, _ = extract(write_clip(tmp_path / "a.mp4", [scene(1)] * 50), jpeg_quality=30)
    assert found.frames["quality"].to_pylist() == [30] * 4
    assert found.frames["repeats"].to_pylist() == [None, 0, 0, 0]


def test_a_range_is_sampled_from_its_start(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [scene(i // 25) for i in range(100)])
    found, _ = extract(path, start_s=1.0, end_s=2.5)
    assert found.frames["t_s"].to_pylist() == pytest.approx([1.0, 1.52, 2.0])
    assert (found.start_s, found.end_s) == (1.0, 2.5)
    whole, _ = extract(path)
    assert set(found.frames["frame_id"].to_pylist()) <= set(whole.frames["frame_id"].to_pylist())


def test_a_range_without_pictures_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [scene(1)] * 25)
    with pytest.raises(BadInput, match="No picture") as refused:
        extract(path, start_s=60.0)
    assert "1.0 s long" in refused.value.hint


def test_a_damaged_tail_is_told(tmp_path: Path) -> None:
    pictures = [scene(i // 5) for i in range(100)]
    path = write_clip(tmp_path / "a.mp4", pictures, container_options={"movflags": "faststart"})
    found, sink = extract(truncate(path, 0.6))
    last_s = found.signals["t_s"][-1].as_py()
    assert 1.5 < last_s < 3.5
    assert found.end_s == pytest.approx(last_s + 0.04)
    assert found.notes == (f"the video is damaged after {found.end_s:.1f} s; {4 - found.end_s:.1f} s were lost",)
    assert len(sink.blobs) == found.frames.num_rows


def test_damage_past_the_range_is_not_told(tmp_path: Path) -> None:
    pictures = [scene(i // 5) for i in range(100)]
    path = write_clip(tmp_path / "a.mp4", pictures, container_options={"movflags": "faststart"})
    assert extract(truncate(path, 0.6), end_s=1.0)[0].notes == ()


def test_pictures_lost_in_the_middle_are_told(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [scene(i) for i in range(150)], keyint=50)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) * 2 // 3] = bytes(len(data) * 2 // 3 - len(data) // 3)
    path.write_bytes(data)
    found, _ = extract(path)
    assert len(found.notes) == 1
    assert found.notes[0].startswith("no picture could be read between")


@dataclass
class Told:
    """A ``Decoder`` whose pictures begin at these times, and the last of them lasts ``last_s``."""

    times_s: list[float]
    last_s: float = 0.04
    damaged: bool = False

    def decode(self, file: BinaryIO, sample_fps: float, start_s: float, end_s: float) -> Iterator[DecodedFrame]:  # noqa: ARG002
        grey = np.zeros((90, 160, 3), np.uint8)
        for t_s, until_s in pairwise([*self.times_s, self.times_s[-1] + self.last_s]):
            if start_s <= t_s < end_s:
                yield DecodedFrame(t_s, until_s, np.zeros(THUMBNAIL_SHAPE, np.uint8), grey)
        if self.damaged:
            raise DamagedTail("That is all.", self.times_s[-1] + self.last_s)


def told(decoder: Told, request: JobRequest, **params: Any) -> ExtractedFrames:
    return extract_frames(
        request.model_copy(update={"video_uri": __file__}),
        ExtractFramesParams(**params),
        media=LocalMedia(),
        decoder=decoder,  # pyright: ignore[reportArgumentType]
        codec=OpenCvCodec(),
        sink=MemorySink(),
        progress=silent,
    )


def test_a_picture_held_for_seconds_has_its_time(tmp_path: Path) -> None:
    """It is the last of its half second: without its own sample its time went to its neighbours."""
    times_s = [*(n / 25 for n in range(37)), 1.48, 12.0, 12.04]
    pictures = [scene(0)] * 37 + [scene(1)] + [scene(2)] * 2
    found, _ = extract(write_clip(tmp_path / "a.mp4", pictures, times_s=times_s))
    assert found.frames["t_s"].to_pylist() == pytest.approx([0, 0.52, 1, 1.48, 12.0])
    shots = filter_scenes(found, FilterScenesParams.model_validate({})).shots
    assert shots["start_s"].to_pylist() == pytest.approx([0, 1.48, 12.0])
    assert shots["end_s"].to_pylist() == pytest.approx([1.48, 12.0, 12.08], abs=0.05)


def test_sound_after_the_pictures_is_told_and_not_counted() -> None:
    found = told(Told([0.0, 0.5, 1.0]), payloads.request(9.0))
    assert (found.end_s, found.notes) == (1.04, ("the pictures end at 1.0 s, the video at 9.0 s",))
    assert told(Told([0.0, 0.5, 1.0]), payloads.request(9.0), end_s=1.02).notes == ()


def test_a_range_after_the_damage_says_so() -> None:
    damaged = Told([0.0, 0.5, 1.0], damaged=True)
    with pytest.raises(BadInput, match=r"The video is damaged: no picture can be read from 6 s on\."):
        told(damaged, payloads.request(9.0), start_s=6.0)


def test_every_shard_begins_with_a_frame_in_full() -> None:
    found = told(Told([0.0, SHARD_S - 1, SHARD_S, SHARD_S + 1]), payloads.request(90.0))
    assert found.frames["repeats"].to_pylist() == [None, 0, None, 2]


@given(
    steps_s=st.lists(st.floats(0.001, 3.0), min_size=1, max_size=12),
    last_s=st.floats(0.001, 3.0),
    declared_s=st.floats(0.01, 20.0),
    asked_s=st.just(0.0) | st.floats(0.5, 30.0),
    damaged=st.booleans(),
)
def test_cells_tile_the_range_up_to_the_end_of_the_pictures(
    steps_s: list[float], last_s: float, declared_s: float, asked_s: float, damaged: bool
) -> None:
    """Whatever the header says."""
    times_s = [0.0, *np.cumsum(steps_s).tolist()]
    found = told(Told(times_s, last_s, damaged), payloads.request(declared_s), end_s=asked_s)
    assert found.end_s == min(times_s[-1] + last_s, asked_s or times_s[-1] + last_s)
    cells = filter_scenes(found, FilterScenesParams.model_validate({})).timeline
    edges = [found.start_s, *cells["end_s"].to_pylist()]
    assert edges[:-1] == cells["start_s"].to_pylist()
    assert edges[-1] == found.end_s
    assert (np.diff(edges) > 0).all()
