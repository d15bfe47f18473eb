"""Shots, duplicates and the timeline, on thumbnails with known content."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brand_detect.domain.contracts.extract_frames import FRAMES, ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import (
    BLACK,
    BLANK,
    DUPLICATE,
    KEYFRAME,
    FilteredScenes,
    FilterScenesParams,
)
from brand_detect.domain.tables import table
from brand_detect.engines.image import OpenCvCodec
from brand_detect.stages.extract_frames.extract import _Signals
from brand_detect.stages.filter_scenes.filter import filter_scenes
from brand_detect_tests.support.videos import Picture

FPS = 25


def still(seed: int) -> Picture:
    """A thumbnail with soft structure."""
    coarse = np.random.default_rng(seed).integers(40, 216, (6, 8)).astype(np.uint8)
    return np.kron(coarse, np.ones((6, 8), np.uint8))


def extracted(pictures: list[Picture], times_s: list[float] | None = None, sample_fps: float = 2.0) -> ExtractedFrames:
    """What extract_frames makes of these thumbnails."""
    times_s = times_s or [n / FPS for n in range(len(pictures))]
    signals, rows, slot = _Signals(), [], -1
    for t_s, luma in zip(times_s, pictures, strict=True):
        signals.add(t_s, luma)
        if int((t_s + 1e-3) * sample_fps) > slot:
            slot = int((t_s + 1e-3) * sample_fps)
            row: dict[str, Any] = {
                "frame": len(rows),
                "frame_id": f"{len(rows)}",
                "t_s": t_s,
                "shard": "s",
                "offset": 0,
            }
            row |= {
                "width_px": 64,
                "height_px": 36,
                "size_bytes": 1,
                "crc32": 0,
                "quality": 90,
                "repeats": None,
                "luma_mean": luma.mean(),
                "luma_std": luma.std(),
            }
            rows.append(row | {"phash": OpenCvCodec().phash(luma), "thumbnail": luma.tobytes()})
    return ExtractedFrames(table(FRAMES, rows), signals.table(), start_s=times_s[0], end_s=times_s[-1] + 1 / FPS)


def filtered(pictures: list[Picture], times_s: list[float] | None = None, **params: Any) -> FilteredScenes:
    return filter_scenes(extracted(pictures, times_s), FilterScenesParams(**params))


def statuses(found: FilteredScenes) -> list[str]:
    return found.timeline["status"].to_pylist()


def shots(found: FilteredScenes) -> list[tuple[float, float]]:
    return [(row["start_s"], row["end_s"]) for row in found.shots.to_pylist()]


def test_a_still_of_30_s_is_one_frame_that_stands_for_30_s() -> None:
    found = filtered([still(1)] * 750)
    assert statuses(found) == [KEYFRAME] + [DUPLICATE] * 59
    assert set(found.timeline["keyframe"].to_pylist()) == {0}
    seconds = sum(row["end_s"] - row["start_s"] for row in found.timeline.to_pylist())
    assert seconds == pytest.approx(30)


def test_a_hard_cut_divides_shots_and_cells_at_the_picture() -> None:
    found = filtered([still(1)] * 32 + [still(2)] * 43)
    assert shots(found) == [(0, 1.28), (1.28, 3.0)]
    cells = found.timeline.to_pylist()
    assert [c["end_s"] for c in cells if c["shot"] == 0][-1] == 1.28
    assert next(c["start_s"] for c in cells if c["shot"] == 1) == 1.28
    assert statuses(found) == [KEYFRAME, DUPLICATE, DUPLICATE, KEYFRAME, DUPLICATE, DUPLICATE]


def test_a_cut_between_alike_views_is_seen_by_what_is_around_it() -> None:
    alike = (0.7 * still(1) + 0.3 * still(2)).astype(np.uint8)
    found = filtered([still(1)] * 32 + [alike] * 43)
    assert shots(found) == [(0, 1.28), (1.28, 3.0)]


def test_slides_that_stay_for_seconds_are_shots() -> None:
    found = filtered([still(1), still(2), still(3)], times_s=[0.0, 10.0, 20.0])
    assert shots(found) == [(0, 10.0), (10.0, 20.0), (20.0, 20.0 + 1 / FPS)]
    found = filtered([still(n // 4) for n in range(12)], times_s=[n / 2 for n in range(12)])
    assert [start for start, _ in shots(found)] == [0, 2.0, 4.0]


def test_a_change_of_the_pictures_size_is_a_cut() -> None:
    frames = extracted([still(1)] * 100)
    width = pa.array([1280] * 4 + [640] * 4, pa.int32())
    at = frames.frames.schema.get_field_index("width_px")
    frames = replace(frames, frames=frames.frames.set_column(at, FRAMES.field(at), width))
    found = filter_scenes(frames, FilterScenesParams.model_validate({}))
    assert shots(found) == [(0, 2.0), (2.0, 4.0)]
    assert found.timeline["keyframe"].to_pylist() == [0] * 4 + [4] * 4


def test_a_flash_is_no_cut() -> None:
    bright = np.clip(still(1).astype(int) + 120, 0, 255).astype(np.uint8)
    assert shots(filtered([still(1)] * 30 + [bright] * 2 + [still(1)] * 30)) == [(0, 62 / FPS)]


def test_a_dissolve_is_one_boundary_in_its_middle() -> None:
    mix = [(still(1) * (1 - a) + still(2) * a).astype(np.uint8) for a in np.linspace(0, 1, 15)]
    found = shots(filtered([still(1)] * 50 + mix + [still(2)] * 50))
    assert len(found) == 2
    assert found[0][1] == pytest.approx(57 / FPS, abs=0.2)


def test_a_pan_is_one_shot_and_its_far_ends_are_kept() -> None:
    wide = np.random.default_rng(3).integers(40, 216, (6, 40)).astype(np.uint8)
    wide = np.kron(wide, np.ones((6, 16), np.uint8))
    found = filtered([np.ascontiguousarray(wide[:, n // 4 : n // 4 + 64]) for n in range(400)])
    assert len(shots(found)) == 1
    assert statuses(found).count(KEYFRAME) >= 8


def with_caption(picture: Picture) -> Picture:
    out = picture.copy()
    out[30:32, 20:30] = np.where(out[30:32, 20:30] > 128, 40, 230)
    return out


def test_a_new_caption_on_a_still_scene_is_kept() -> None:
    found = filtered([still(1)] * 75 + [with_caption(still(1))] * 75)
    assert statuses(found) == [KEYFRAME] + [DUPLICATE] * 5 + [KEYFRAME] + [DUPLICATE] * 5
    assert found.timeline["keyframe"].to_pylist() == [0] * 6 + [6] * 6


def test_without_the_guard_a_caption_is_lost() -> None:
    found = filtered([still(1)] * 75 + [with_caption(still(1))] * 75, max_local_luma_change=255.0)
    assert statuses(found) == [KEYFRAME] + [DUPLICATE] * 11


def test_somebody_who_passes_is_no_caption() -> None:
    pictures = [still(1) for _ in range(150)]
    for n, picture in enumerate(pictures[20:130]):
        picture[26:32, n // 2 : n // 2 + 3] = 20
    found = statuses(filtered(pictures))
    assert found.count(KEYFRAME) <= 3


def test_what_was_hidden_at_first_is_kept_once_it_shows() -> None:
    pictures = [with_caption(still(1)) for _ in range(150)]
    for picture in pictures[:10]:
        picture[26:34, 18:32] = 20
    found = filtered(pictures)
    assert statuses(found)[:3] == [KEYFRAME, KEYFRAME, DUPLICATE]
    assert found.timeline["keyframe"].to_pylist()[-1] == 1


def test_a_board_that_alternates_is_kept_once_each() -> None:
    pictures = ([still(1)] * 75 + [with_caption(still(1))] * 75) * 3
    found = filtered(pictures)
    assert statuses(found).count(KEYFRAME) == 2
    assert found.timeline["keyframe"].to_pylist()[-1] == 6
    assert found.timeline["keyframe"].to_pylist()[13] == 0


@pytest.mark.parametrize(("level", "status"), [(0, BLACK), (16, BLACK), (235, BLANK), (90, BLANK)])
def test_black_and_blank_frames_are_dropped_with_their_reason(level: int, status: str) -> None:
    found = filtered([np.full((36, 64), level, np.uint8)] * 25)
    assert statuses(found) == [status] * 2
    assert found.timeline["keyframe"].to_pylist() == [None] * 2
    assert found.timeline["hamming"].to_pylist() == [None] * 2


def test_a_small_word_on_black_is_not_black() -> None:
    picture = np.full((36, 64), 16, np.uint8)
    picture[18, 30:33] = 60
    assert statuses(filtered([picture] * 25)) == [KEYFRAME, DUPLICATE]


def test_a_picture_that_stays_is_on_screen_until_the_next_comes() -> None:
    found = filtered([still(1), still(1), still(2), still(2)], times_s=[0.0, 0.5, 8.0, 8.5])
    assert [row["start_s"] for row in found.timeline.to_pylist()] == [0, 0.5, 8.0, 8.5]


@settings(max_examples=60, deadline=None)
@given(
    scenes=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 40)), min_size=1, max_size=8),
    noise=st.integers(0, 30),
    hamming=st.integers(0, 64),
)
def test_cells_tile_the_range_and_duplicates_are_near_a_kept_frame(
    scenes: list[tuple[int, int]], noise: int, hamming: int
) -> None:
    rng = np.random.default_rng(noise)
    pictures = [still(seed) if seed else np.full((36, 64), 16, np.uint8) for seed, n in scenes for _ in range(n)]
    pictures = [np.clip(p + rng.integers(-noise, noise + 1, p.shape), 0, 255).astype(np.uint8) for p in pictures]
    frames = extracted(pictures)
    params: dict[str, Any] = {"hamming_threshold": hamming}
    found = filter_scenes(frames, FilterScenesParams(**params))
    rows, hashes = found.timeline.to_pylist(), frames.frames["phash"].to_pylist()
    assert [row["frame"] for row in rows] == list(range(frames.frames.num_rows))
    assert (rows[0]["start_s"], rows[-1]["end_s"]) == (frames.start_s, frames.end_s)
    for row, following in pairwise(rows):
        assert row["start_s"] < row["end_s"] == following["start_s"]
    for row in rows:
        assert row["start_s"] <= row["t_s"] < row["end_s"]
        if row["status"] in (KEYFRAME, DUPLICATE):
            keyframe = rows[row["keyframe"]]
            bits = (hashes[row["frame"]] ^ hashes[keyframe["frame"]]).bit_count()
            assert keyframe["status"] == KEYFRAME
            assert keyframe["shot"] == row["shot"]
            assert keyframe["frame"] <= row["frame"]
            assert row["hamming"] == bits <= hamming
            assert (row["status"] == KEYFRAME) == (keyframe is row)
        else:
            assert row["keyframe"] is None
    edges = shots(found)
    assert (edges[0][0], edges[-1][1]) == (frames.start_s, frames.end_s)
    assert all(a[1] == b[0] for a, b in pairwise(edges))
    assert sum(found.shots["n_frames"].to_pylist()) == len(rows)
    assert min(found.shots["n_frames"].to_pylist()) > 0
    assert sum(found.shots["n_keyframes"].to_pylist()) == statuses(found).count(KEYFRAME)
