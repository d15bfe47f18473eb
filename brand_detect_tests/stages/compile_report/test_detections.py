"""Detections and what is measured on them, on regions whose truth is known by construction."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from brand_detect.domain.contracts.compile_report import DETECTIONS
from brand_detect.domain.contracts.detect_objects import REGIONS
from brand_detect.domain.contracts.verdicts import VERDICTS
from brand_detect.domain.placements import Placed, Placement
from brand_detect.domain.tables import table
from brand_detect.orchestration.profiles import load_quality
from brand_detect.stages.compile_report.detections import counted, detections, in_view
from brand_detect.stages.regions import quads_of
from brand_detect_tests.support import payloads as p


def seen(
    regions: list[dict[str, Any]], verdicts: list[dict[str, Any]], placement: str = "other"
) -> list[dict[str, Any]]:
    frames = p.frames(20)
    scenes = p.scenes(frames)
    detected = p.detected(regions, scenes)
    on = {row["track_id"]: Placed(Placement(placement), 0.8) for row in detected.tracks.to_pylist()}
    found = detections(
        frames.frames, scenes.timeline, detected, table(VERDICTS, verdicts), 0.0, on, load_quality("default")
    )
    return counted(found).to_pylist()


def views(*boxes: tuple[float, float, float, float], track: str = "a") -> np.ndarray:
    rows = [p.region(i, track, box) for i, box in enumerate(boxes)]
    regions = table(REGIONS, rows)
    return in_view(regions, quads_of(regions), np.full((len(rows), 2), (1920.0, 1080.0)))


def test_the_box_is_that_of_the_lettering() -> None:
    glyph_boxes = [[0.1, 0.2, 0.4, 0.8], [0.5, 0.4, 0.9, 0.7]]
    [row] = seen([p.region(0, "a", (100, 100, 200, 50), glyph_boxes=glyph_boxes)], [p.verdict("Nike", ["a"])])
    assert [row[c] for c in ("x_px", "y_px", "w_px", "h_px")] == pytest.approx([120, 110, 160, 30])
    assert row["area_frac"] == pytest.approx(160 * 30 / (1920 * 1080))
    assert row["height_px"] == pytest.approx(30)


def read(region_id: str, start: float, end: float) -> dict[str, Any]:
    return {"line_region_id": region_id, "line_start": start, "line_end": end}


def test_brands_on_one_stretch_of_ink_are_told_apart() -> None:
    region = p.region(0, "a", (100, 100, 200, 50), glyph_boxes=[[0.02, 0.2, 0.99, 0.8]])  # the line is underlined
    verdicts = [
        p.verdict("Nike", ["a"], **read("a@0", 0.05, 0.45)),
        p.verdict("Puma", ["a"], **read("a@0", 0.55, 0.95)),
    ]
    rows = {row["brand"]: [row[c] for c in ("x_px", "w_px", "h_px")] for row in seen([region], verdicts)}
    assert rows["Nike"] == pytest.approx([104, (0.53 - 0.02) * 200, 30])
    assert rows["Puma"] == pytest.approx([100 + 0.47 * 200, (0.99 - 0.47) * 200, 30])


def test_a_region_that_shows_less_of_the_line_than_was_read_is_all_of_the_name() -> None:
    emblem, name = [0.05, 0.1, 0.3, 0.9], [0.4, 0.2, 0.95, 0.8]
    whole = p.region(0, "a", (100, 100, 200, 50), glyph_boxes=[emblem, name])
    part = p.region(1, "a", (180, 100, 120, 50), glyph_boxes=[[0.05, 0.2, 0.95, 0.8]])
    rows = seen([whole, part], [p.verdict("Nike", ["a"], **read("a@0", 0.38, 0.97))])
    assert [row["x_px"] for row in rows] == pytest.approx([180, 186])
    assert [row["w_px"] for row in rows] == pytest.approx([110, 108])


def test_a_box_that_is_a_little_higher_shows_no_less_of_the_line() -> None:
    glyph_boxes = [[0.05, 0.1, 0.3, 0.9], [0.4, 0.2, 0.95, 0.8]]  # an emblem and the name
    boxes = [
        p.region(i, "a", (100, 100, 200, height), glyph_boxes=glyph_boxes) for i, height in enumerate((50, 56, 45))
    ]
    rows = seen(boxes, [p.verdict("Nike", ["a"], **read("a@0", 0.38, 0.97))])
    assert [row["x_px"] for row in rows] == pytest.approx([180, 180, 180])


def test_a_sliver_of_ink_is_not_all_of_a_line() -> None:
    [row] = seen(
        [p.region(0, "a", (100, 100, 200, 50), glyph_boxes=[[0.1, 0.2, 0.2, 0.8]])], [p.verdict("Nike", ["a"])]
    )
    assert [row[c] for c in ("x_px", "w_px")] == pytest.approx([120, (0.75 - 0.1) * 200])


def test_an_emblem_and_the_brand_beside_are_left_out_where_the_reader_tells_the_place() -> None:
    emblem, nike, puma = [0.05, 0.1, 0.2, 0.95], [0.3, 0.3, 0.52, 0.7], [0.7, 0.3, 0.9, 0.75]
    region = p.region(0, "a", (100, 100, 200, 50), glyph_boxes=[emblem, nike, puma])
    verdicts = [
        p.verdict("Nike", ["a"], text="NIKE PUMA", span_end=0.44, **read("a@0", 0.28, 0.54)),
        p.verdict("Puma", ["a"], text="NIKE PUMA", span_start=0.56, **read("a@0", 0.68, 0.92)),
    ]
    rows = {row["brand"]: [row[c] for c in ("x_px", "y_px", "w_px", "h_px")] for row in seen([region], verdicts)}
    assert rows["Nike"] == pytest.approx([160, 115, 44, 20])
    assert rows["Puma"] == pytest.approx([240, 115, 40, 22.5])


def test_letters_whose_ink_is_lost_in_that_of_a_player_count_too() -> None:
    first_letter = [0.3, 0.3, 0.36, 0.7]
    where = read("a@0", 0.28, 0.78)
    [row] = seen(
        [p.region(0, "a", (100, 100, 200, 50), glyph_boxes=[first_letter])], [p.verdict("Nike", ["a"], **where)]
    )
    assert [row[c] for c in ("x_px", "y_px", "w_px", "h_px")] == pytest.approx([160, 115, (0.73 - 0.3) * 200, 20])


def test_where_no_ink_is_known_a_line_is_as_high_as_others() -> None:
    boxes = [[[0.1, 0.2, 0.9, 0.8]], [[0.1, 0.2, 0.9, 0.8]], [], [[0.1, 0.3, 0.9, 0.5]]]
    regions = [p.region(i, "a", (100, 100, 200, 50), glyph_boxes=glyph_boxes) for i, glyph_boxes in enumerate(boxes)]
    mark = p.region(4, "b", (100, 100, 200, 50), kind="logo")
    verdicts = [p.verdict("Nike", ["a"]), p.verdict("Nike", ["b"], rule="logo_match")]
    assert [row["h_px"] for row in seen([*regions, mark], verdicts)] == pytest.approx([30, 30, 30, 10, 50])


def test_without_ink_the_box_is_cut_where_the_reader_saw_the_brand() -> None:
    where = read("a@0", 0.25, 0.75)
    [row] = seen([p.region(0, "a", (100, 100, 200, 50))], [p.verdict("Nike", ["a"], **where)])
    assert [row[c] for c in ("x_px", "y_px", "w_px", "h_px")] == pytest.approx([150, 100, 100, 50])


@pytest.mark.parametrize(
    ("text", "x_px"),
    [("نايكي محل", 200), ("נייקי כאן", 200), ("NIKE SHOP", 100), ("2026 نايكي", 200)],
)
def test_a_name_stands_where_its_script_begins(text: str, x_px: float) -> None:
    region = p.region(0, "a", (100, 100, 200, 50))
    [row] = seen([region], [p.verdict("Nike", ["a"], text=text, span_end=0.5)])
    assert (row["x_px"], row["w_px"]) == pytest.approx((x_px, 100))


def test_two_regions_of_one_name_from_right_to_left_are_cut_on_the_same_side() -> None:
    regions = [p.region(0, "a", (300, 100, 200, 50)), p.region(0, "b", (100, 100, 200, 50))]
    [row] = seen(regions, [p.verdict("Nike", ["a", "b"], rule="joined", text="نايكي محل", span_end=0.75)])
    assert (row["x_px"], row["w_px"]) == pytest.approx((200, 300))


def test_a_region_of_an_earlier_version_is_ink_all_over() -> None:
    [row] = seen([p.region(0, "a", glyph_boxes=None, contrast=None)], [p.verdict("Nike", ["a"])])
    assert (row["w_px"], row["h_px"], row["contrast"]) == (200, 50, None)
    assert 0 < row["clarity"] < 1


def test_a_mark_is_as_high_as_its_shorter_side() -> None:
    [row] = seen([p.region(0, "a", (0, 0, 40, 90), kind="logo")], [p.verdict("Nike", ["a"], rule="logo_match")])
    assert row["height_px"] == pytest.approx(40)


def test_brands_on_a_frame_are_counted_once_each() -> None:
    regions = [
        p.region(i, t, (x, 100, 200, 50))
        for t, x, on in (("a", 0, (0, 1)), ("b", 300, (0,)), ("c", 600, (0,)))
        for i in on
    ]
    rows = seen(regions, [p.verdict("Nike", ["a"]), p.verdict("Nike", ["b"]), p.verdict("Puma", ["c"])])
    assert {(row["brand"], row["frame"]): row["n_brands"] for row in rows} == {
        ("Nike", 0): 2,
        ("Puma", 0): 2,
        ("Nike", 1): 1,
    }


def test_clear_lettering_is_worth_more_than_small_pale_or_blurred() -> None:
    looks: dict[str, dict[str, Any]] = {
        "clear": {},
        "small": {"box": (100, 100, 40, 12)},
        "pale": {"contrast": 0.02},
        "blurred": {"sharpness": 5.0},
    }
    clarity = {
        name: seen([p.region(0, "a", look.pop("box", (100, 100, 200, 50)), **look)], [p.verdict("Nike", ["a"])])[0][
            "clarity"
        ]
        for name, look in looks.items()
    }
    assert all(clarity["clear"] > clarity[name] + 0.05 for name in ("small", "pale", "blurred"))


def test_what_is_hidden_shortens_a_line() -> None:
    whole, half = (500, 500, 200, 50), (500, 500, 100, 50)
    assert views(whole, whole, half, whole).tolist() == [1.0, 1.0, 0.5, 1.0]


def test_zoom_and_noise_hide_nothing() -> None:
    assert views((500, 500, 200, 50), (400, 400, 400, 100), (500, 500, 188, 50)).tolist() == [1.0, 1.0, 1.0]


def test_the_edges_cut_length_or_height() -> None:
    inside, at_left, at_bottom = (500, 500, 200, 50), (0, 500, 120, 50), (500, 1055, 200, 25)
    assert views(inside, at_left, inside, at_bottom).tolist() == pytest.approx([1.0, 0.6, 1.0, 0.5])


def test_where_every_view_is_cut_the_longest_counts_as_whole() -> None:
    assert views((0, 500, 200, 50), (0, 500, 100, 50)).tolist() == [1.0, 0.5]


def test_without_verdicts_nothing_is_detected() -> None:
    assert seen([p.region(0, "a")], []) == []
    assert isinstance(counted(table(DETECTIONS)), pa.Table)


def badge(frame: int, track: str, box: p.Box) -> dict[str, Any]:
    return p.region(frame, track, box, kind="logo")


def test_of_marks_in_each_other_the_surest_is_measured() -> None:
    """Two badges side by side hang together: found are the own one, a part of it, and both."""
    own, part, both = (100, 100, 60, 60), (110, 110, 30, 40), (100, 100, 180, 60)
    regions = [badge(f, t, box) for f in range(2) for t, box in (("own", own), ("part", part), ("both", both))]
    regions += [badge(0, "far", (600, 100, 60, 60)), badge(2, "both", both)]
    sure = {"own": 0.99, "part": 0.9, "both": 0.8, "far": 0.7}
    verdicts = [p.verdict("Nike", [t], rule="logo_match", confidence=c) for t, c in sure.items()]
    rows = seen(regions, verdicts)
    assert [(row["frame"], row["track_id"]) for row in rows] == [(0, "own"), (0, "far"), (1, "own"), (2, "both")]
    assert rows[0]["area_frac"] == pytest.approx(60 * 60 / (1920 * 1080))


def test_of_equally_sure_marks_in_each_other_the_smallest_is_measured() -> None:
    regions = [badge(0, "both", (100, 100, 180, 60)), badge(0, "own", (100, 100, 60, 60))]
    [row] = seen(regions, [p.verdict("Nike", [t], rule="logo_match", confidence=0.9) for t in ("both", "own")])
    assert row["track_id"] == "own"


def test_marks_of_two_brands_and_lines_of_text_in_each_other_are_all_measured() -> None:
    regions = [badge(0, "a", (100, 100, 180, 60)), badge(0, "b", (100, 100, 60, 60))]
    assert len(seen(regions, [p.verdict("Nike", ["a"]), p.verdict("Puma", ["b"])])) == 2
    lines = [p.region(0, "a", (100, 100, 180, 60)), p.region(0, "b", (100, 100, 60, 60))]
    assert len(seen(lines, [p.verdict("Nike", ["a"]), p.verdict("Nike", ["b"])])) == 2
