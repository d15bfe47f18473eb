"""What tracks are on: a model's word before overlays, overlays before rules."""

from typing import Any

import pytest

from brand_detect.domain.placements import Placement, placement_rules
from brand_detect.stages.compile_report.placements import placements
from brand_detect_tests.support import payloads as p

BOARDS = [{"placement": "board", "kind": "text", "min_aspect": 3}]
SHIRTS = [{"placement": "clothing", "inside": "person"}]


def on(regions: list[dict[str, Any]], rules: list[dict[str, Any]], **said: str) -> dict[str, Placement]:
    frames = p.frames(20)
    detected = p.detected(regions, p.scenes(frames), overlays=("bug",))
    return placements(detected, frames.frames, ["a", "bug"], said, placement_rules(rules))


def test_rules_see_the_median_of_a_track() -> None:
    wide = [p.region(i, "a", (100, 100, 200, 50)) for i in range(3)]
    assert on([*wide, p.region(3, "a", (100, 100, 50, 50))], BOARDS) == {"a": "board"}
    square = [p.region(i, "a", (100, 100, 50, 50)) for i in range(3)]
    assert on([*square, p.region(3, "a", (100, 100, 200, 50))], BOARDS) == {"a": "other"}


def test_broadcast_graphics_are_overlays_whatever_the_rules_say() -> None:
    assert on([p.region(0, "bug", (100, 100, 200, 50))], BOARDS) == {"bug": "overlay"}


def test_a_model_is_believed_first_if_it_says_something_known() -> None:
    regions = [p.region(0, "bug"), p.region(0, "a")]
    assert on(regions, BOARDS, a="vehicle", bug="screen") == {"a": "vehicle", "bug": "screen"}
    assert on(regions, BOARDS, a="", bug="a roof") == {"a": "board", "bug": "overlay"}


@pytest.mark.parametrize(("frames", "placement"), [((0, 1), "clothing"), ((0,), "clothing"), ((), "other")])
def test_a_mark_is_inside_what_holds_it_on_half_of_its_frames(frames: tuple[int, ...], placement: str) -> None:
    marks = [p.region(i, "a", (120, 150, 60, 30)) for i in (0, 1)]
    people = [p.region(i, "player", (100, 100, 100, 400), kind="object", label="person") for i in frames]
    aside = [p.region(i, "other", (160, 100, 100, 400), kind="object", label="person") for i in (0, 1)]
    assert on([*marks, *people, *aside], SHIRTS)["a"] == placement
