"""Where boxes are between samples, and that none is there when it should not be."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest

from brand_detect.domain.contracts.compile_report import EXPOSURES
from brand_detect.domain.contracts.detect_objects import TRACK_EDGES, Side
from brand_detect.domain.contracts.filter_scenes import BLACK
from brand_detect.domain.protocols import Label, Shape
from brand_detect.domain.tables import table
from brand_detect.domain.timeline import union
from brand_detect.engines.canvas import OpenCvCanvas
from brand_detect.report.annotations import Annotations
from brand_detect_tests.support import payloads as p
from brand_detect_tests.support.report_fakes import match, select_report

BRIDGE_S = 1.0


def overlay(regions: list[dict[str, Any]], verdicts: list[dict[str, Any]], **scenes: Any) -> Annotations:
    frames = p.frames(20, size=(1000, 500))
    filtered = p.scenes(frames, **scenes)
    made = select_report(p.request(), frames, filtered, p.detected(regions, filtered), p.verdicts(verdicts))
    return Annotations(made, frames.frames, filtered.timeline, BRIDGE_S)


def boxes(shown: Annotations, t_s: float) -> list[tuple[str, tuple[float, ...]]]:
    return [(mark.brand, tuple(round(edge, 4) for edge in mark.box)) for mark in shown.at(t_s)]


def test_between_two_samples_a_box_moves_in_a_straight_line() -> None:
    regions = [p.region(4, "a", (100, 100, 200, 50)), p.region(5, "a", (200, 100, 200, 100))]
    shown = overlay(regions, [p.verdict("Nike", ["a"])])
    assert boxes(shown, 2.0) == [("Nike", (0.1, 0.2, 0.3, 0.3))]
    assert boxes(shown, 2.25) == [("Nike", (0.15, 0.2, 0.35, 0.35))]
    assert boxes(shown, 2.5) == [("Nike", (0.2, 0.2, 0.4, 0.4))]


def test_beyond_its_samples_a_box_moves_with_the_picture() -> None:
    pans = [p.region(n, "pan", (100 * n, 100, 100, 50)) for n in range(2, 8)]
    regions = [*pans, p.region(5, "late", (600, 300, 100, 50)), p.region(5, "clock", (0, 0, 100, 50))]
    frames = p.frames(20, size=(1000, 500))
    filtered = p.scenes(frames)
    detected = p.detected(regions, filtered, overlays=["clock"])
    verdicts = p.verdicts([p.verdict("Nike", ["pan"]), p.verdict("Itaú", ["late"]), p.verdict("Omega", ["clock"])])
    made = select_report(p.request(), frames, filtered, detected, verdicts)
    shown = Annotations(made, frames.frames, filtered.timeline, BRIDGE_S)
    at = {t: dict(boxes(shown, t)) for t in (2.3, 2.5, 2.7, 3.7)}
    assert [at[t]["Itaú"][0] for t in (2.3, 2.5, 2.7)] == pytest.approx([0.56, 0.6, 0.64])
    assert [at[t]["Itaú"][2] for t in (2.3, 2.5, 2.7)] == pytest.approx([0.66, 0.7, 0.74])
    assert {at[t]["Omega"] for t in (2.3, 2.5, 2.7)} == {(0, 0, 0.1, 0.1)}
    assert at[3.7]["Nike"][0] == pytest.approx(0.74)


def test_boxes_are_there_while_the_exposure_lasts() -> None:
    shown = overlay([p.region(4, "a"), p.region(5, "a")], [p.verdict("Nike", ["a"])])
    present = [t / 100 for t in range(400) if shown.at(t / 100)]
    assert (present[0], present[-1]) == (1.75, 2.74)


def test_boxes_begin_and_end_with_the_exposure_between_two_samples() -> None:
    frames = p.frames(20, size=(1000, 500))
    filtered = p.scenes(frames)
    edges = [
        {"track_id": "a", "frame": frame, "side": side, "t_s": t_s, "error_s": 0.04}
        for frame, side, t_s in ((4, Side.start, 1.55), (5, Side.end, 2.6))
    ]
    found = replace(p.detected([p.region(4, "a"), p.region(5, "a")], filtered), edges=table(TRACK_EDGES, edges))
    made = select_report(p.request(), frames, filtered, found, p.verdicts([p.verdict("Nike", ["a"])]))
    shown = Annotations(made, frames.frames, filtered.timeline, BRIDGE_S)
    present = [t / 100 for t in range(400) if shown.at(t / 100)]
    assert (present[0], present[-1]) == (1.55, 2.59)


@pytest.mark.parametrize("seed", range(5))
def test_boxes_are_shown_in_every_exposure_that_they_meet_and_in_no_other(seed: int) -> None:
    random = np.random.default_rng(seed)
    frames = p.frames(100, size=(1000, 500))
    filtered = p.scenes(frames)
    starts, ends = (filtered.timeline[edge].to_numpy() for edge in ("start_s", "end_s"))
    on = {f"t{n}": np.flatnonzero(random.random(100) < random.uniform(0.05, 0.6)) for n in range(12)}
    regions = [p.region(frame, track) for track, seen in on.items() for frame in seen.tolist()]
    verdicts = p.verdicts([p.verdict("Nike", [track]) for track in on])
    made = select_report(p.request(), frames, filtered, p.detected(regions, filtered), verdicts)
    edges = starts[np.sort(random.choice(100, 60, replace=False))].tolist()
    exposures = [span for span in pairwise(edges) if random.random() < 0.7]  # anywhere, some of them adjacent
    rows = [made.exposures.to_pylist()[0] | {"start_s": first, "end_s": last} for first, last in exposures]
    shown = Annotations(
        replace(made, exposures=table(EXPOSURES, rows)), frames.frames, filtered.timeline, BRIDGE_S
    ).between(0, 50)
    expected = []
    for seen in on.values():
        spans = union(np.column_stack((starts[seen], ends[seen])), BRIDGE_S).tolist()
        expected.append([(max(a, c), min(b, d)) for a, b in spans for c, d in exposures if max(a, c) < min(b, d)])
    assert sorted(track.spans_s for track in shown) == sorted(filter(None, expected))


def test_nothing_is_drawn_over_a_cut() -> None:
    regions = [p.region(4, "a"), p.region(5, "b", (500, 300, 100, 50))]
    shown = overlay(regions, [p.verdict("Nike", ["a", "b"])], cuts=(2.3,))
    assert boxes(shown, 2.29) == [("Nike", (0.1, 0.2, 0.3, 0.3))]
    assert boxes(shown, 2.3) == [("Nike", (0.5, 0.6, 0.6, 0.7))]


def test_a_short_gap_is_bridged_and_a_long_one_is_not() -> None:
    near = overlay([p.region(4, "a"), p.region(6, "a")], [p.verdict("Nike", ["a"])])
    assert near.at(2.5)
    far = overlay([p.region(4, "a"), p.region(9, "a")], [p.verdict("Nike", ["a"])])
    assert not far.at(3.25)


def test_a_mark_that_was_away_for_long_is_not_drawn_because_another_of_its_brand_was_there() -> None:
    others = [p.region(n, "b", (500, 300, 100, 50)) for n in range(4, 10)]
    shown = overlay([p.region(4, "a"), p.region(9, "a"), *others], [p.verdict("Nike", ["a"]), p.verdict("Nike", ["b"])])
    assert len(shown.at(2.0)) == 2
    assert boxes(shown, 3.25) == [("Nike", (0.5, 0.6, 0.6, 0.7))]


def test_a_still_picture_keeps_its_boxes_and_a_black_one_has_none() -> None:
    shown = overlay([p.region(4, "a")], [p.verdict("Nike", ["a"])], dropped={5: 4, 6: 4, 7: BLACK})
    assert boxes(shown, 3.1) == [("Nike", (0.1, 0.2, 0.3, 0.3))]
    assert not shown.at(3.5)


def test_what_the_report_does_not_hold_is_not_drawn() -> None:
    payloads = match()
    shown = Annotations(
        payloads["compile_report"], payloads["extract_frames"].frames, payloads["filter_scenes"].timeline, BRIDGE_S
    )
    assert {mark.brand for t in range(100) for mark in shown.at(t / 10)} == {"Nike", "Itaú"}


def labels(shapes: list[Shape | Label]) -> list[Label]:
    return [shape for shape in shapes if isinstance(shape, Label)]


@pytest.mark.parametrize("size", [(320, 180), (640, 360), (1080, 1920), (1920, 1080), (7680, 4320)])
def test_labels_are_legible_and_within_the_picture_at_any_size(size: tuple[int, int]) -> None:
    width, height = size
    corners = [(0, 0, 50, 20), (950, 0, 50, 20), (0, 480, 50, 20), (950, 480, 50, 20), (400, 200, 200, 60)]
    regions = [p.region(4, f"t{n}", box) for n, box in enumerate(corners)]
    shown = overlay(regions, [p.verdict(f"Brand {n}", [f"t{n}"]) for n in range(5)])
    found = labels(shown.shapes(2.0, width, height))
    assert {label.text for label in found} == {f"Brand {n} 90%" for n in range(5)}
    for label in found:
        wide = cv2.getTextSize((1, 1), label.text, (0, 0), cv2.FontFace("sans"), label.size_px, 400)[2]
        assert max(11, min(size) / 51) <= label.size_px <= max(11, min(size) / 49)
        assert label.x >= 0
        assert label.y >= 0
        assert label.x + wide <= width
        assert label.y + label.size_px <= height


def plates(shapes: list[Shape | Label]) -> list[set[tuple[int, int]]]:
    """The pixels of each label's plate, as they are drawn."""
    found = []
    for label in labels(shapes):
        drawn = OpenCvCanvas().draw(np.zeros((500, 1000, 3), np.uint8), [label])
        found.append({*zip(*map(np.ndarray.tolist, np.nonzero(drawn.any(axis=2))), strict=True)})
    return found


@pytest.mark.parametrize(
    "places",
    [
        [(100, 100, 60, 30), (140, 100, 60, 30)],
        [(100, 100, 200, 30), (100, 132, 200, 30)],  # one above the other
        [(100, 0, 200, 30), (100, 470, 200, 30)],  # at the edges
        [(0, 0, 1000, 30), (0, 470, 1000, 30)],
        [(100, 100, 80, 30), (190, 100, 80, 30), (280, 100, 80, 30), (100, 140, 80, 30)],
        [(300, 200, 100, 100), (300, 160, 100, 30), (300, 310, 100, 30)],  # only beside it is room
        [(920, 100, 80, 40), (860, 70, 140, 20), (860, 150, 140, 20)],
    ],
)
def test_labels_hide_neither_boxes_nor_each_other(places: list[tuple[int, int, int, int]]) -> None:
    regions = [p.region(4, f"t{n}", place) for n, place in enumerate(places)]
    shown = overlay(regions, [p.verdict(f"Brand {n}", [f"t{n}"]) for n in range(len(places))])
    found = plates(shown.shapes(2.0, 1000, 500))
    boxes = [
        {(y, x) for y in range(top, top + high) for x in range(left, left + wide)} for left, top, wide, high in places
    ]
    for n, plate in enumerate(found):
        assert plate
        for other in [*found[:n], *boxes]:
            assert not plate & other


def test_a_label_without_a_free_place_is_left_out_and_its_box_stays() -> None:
    above, left, right, below = (200, 150, 600, 50), (0, 200, 450, 50), (550, 200, 450, 50), (200, 250, 600, 50)
    places = [above, left, right, below, (460, 205, 80, 40)]
    regions = [p.region(n, f"t{i}", place) for i, place in enumerate(places) for n in (4, *[5] * (i < 4))]
    shown = overlay(regions, [p.verdict(f"Brand {n}", [f"t{n}"]) for n in range(len(places))])
    shapes = shown.shapes(2.0, 1000, 500)
    assert sum(isinstance(shape, Shape) for shape in shapes) == 5
    assert {label.text.split(" 9")[0] for label in labels(shapes)} == {f"Brand {n}" for n in range(4)}


def test_a_box_as_large_as_the_picture_has_its_label_inside() -> None:
    shown = overlay([p.region(4, "a", (0, 0, 1000, 500))], [p.verdict("Nike", ["a"])])
    [plate] = plates(shown.shapes(2.0, 1000, 500))
    assert len(plate) > 500


def test_a_frame_lies_outside_of_its_box() -> None:
    shown = overlay([p.region(4, "a", (100, 100, 200, 50))], [p.verdict("Nike", ["a"])])
    frame = next(shape for shape in shown.shapes(2.0, 1000, 500) if isinstance(shape, Shape))
    drawn = OpenCvCanvas().draw(np.zeros((500, 1000, 3), np.uint8), [frame])
    assert drawn.any()
    assert not drawn[101:149, 101:299].any()


@pytest.mark.parametrize("name", ["\u202eevil\u2066", "two\nlines\x00\x1b[2J", "x" * 10_000, "<script>", "مرحبا"])
def test_hostile_names_are_one_short_line(name: str) -> None:
    shown = overlay([p.region(4, "a")], [p.verdict(name, ["a"])])
    [label] = labels(shown.shapes(2.0, 640, 360))
    assert label.text.isprintable()
    assert label.text.endswith(" 90%"), "the confidence is lost"
    assert len(label.text) < 60
    blank = np.zeros((360, 640, 3), np.uint8)
    drawn = OpenCvCanvas().draw(blank, shown.shapes(2.0, 640, 360))
    ys, xs = np.nonzero(drawn.any(axis=2))
    assert xs.max() - xs.min() < 0.4 * 640
    assert ys.max() - ys.min() < 0.3 * 360
