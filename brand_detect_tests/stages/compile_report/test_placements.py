"""What carries a brand: by how it moves against the screen and the scene, by its shape, and by what fills the screen.

The picture moves 100 px to the right per frame, unless said otherwise: names are 200 x 50 px.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import pyarrow as pa
import pytest

from brand_detect.domain.contracts.extract_frames import FRAMES
from brand_detect.domain.placements import Placed, Placement, placement_rules
from brand_detect.domain.tables import table
from brand_detect.domain.timeline import frames_shown
from brand_detect.stages.compile_report.placements import placements
from brand_detect_tests.support import payloads as p

BOARDS = [{"placement": "board", "kind": "text", "min_aspect": 3}]
SHIRTS = [{"placement": "clothing", "inside": "person"}]
PAN = dict.fromkeys(range(1, 20), 100.0)
Regions = Sequence[dict[str, Any]]


def at(track: str, places: Mapping[int, float], y: float = 100, size: tuple[float, float] = (200, 50)) -> Regions:
    """A track whose left edge is at ``places``, by frame."""
    return [p.region(frame, track, (x, y, *size)) for frame, x in places.items()]


def placed(
    regions: Regions,
    names: Mapping[str, str],
    *,
    others: Mapping[str, str] | None = None,
    pan_px: Mapping[int, float] | None = PAN,
    rules: list[dict[str, Any]] | None = None,
    answered: Mapping[str, Placed] | None = None,
    overlays: Sequence[str] = (),
    frames: pa.Table | None = None,
) -> dict[str, Placed]:
    """The placements of tracks with a brand, ``names`` by track; ``others`` are texts without one."""
    extracted = p.frames(20)
    scenes = p.scenes(extracted)
    verdicts = p.verdicts(
        [p.verdict(name, [track]) for track, name in names.items()],
        [p.cluster(1, text, p.region(0, track)) for track, text in (others or {}).items()],
    )
    return placements(
        p.detected(regions, scenes, overlays, pan_px),
        frames or extracted.frames,
        scenes.timeline,
        verdicts.verdicts,
        verdicts.unresolved,
        answered or {},
        placement_rules(rules or []),
    )


def test_what_may_be_cut_off_by_the_pictures_edge_tells_nothing() -> None:
    """Where a checkpoint does not say whether a region touches the edge, it may."""
    regions = at("a", {1: 200, 2: 300, 3: 400})
    for at_edge in (True, None):
        told = placed([region | {"at_edge": at_edge} for region in regions], {"a": "Nike"})
        assert told["a"].placement is Placement.unknown


def test_what_moves_with_the_scene_is_a_board() -> None:
    found = placed(at("a", {i: 100 + 100 * i for i in range(5)}), {"a": "Nike"})
    assert found == {"a": Placed(Placement.board, 5 / 6)}  # four steps of four agree


def test_what_stands_still_while_the_scene_moves_is_an_overlay() -> None:
    found = placed(at("a", dict.fromkeys(range(5), 100)), {"a": "Nike"})
    assert found == {"a": Placed(Placement.overlay, 5 / 6)}


def test_what_stands_still_before_a_still_camera_may_be_anything() -> None:
    assert placed(at("a", dict.fromkeys(range(5), 100)), {"a": "Nike"}, pan_px={}) == {"a": (Placement.unknown, 0.0)}


def test_an_overlay_mark_counts_as_three_views() -> None:
    found = placed(at("a", {0: 100}), {"a": "Nike"}, overlays=["a"], pan_px={})
    assert found == {"a": Placed(Placement.overlay, 4 / 5)}


def test_what_moves_against_the_camera_is_clothing() -> None:
    assert placed(at("a", {i: 900 - 80 * i for i in range(5)}), {"a": "Nike"})["a"].placement == "clothing"
    walking = placed(at("a", {i: 100 + 80 * i for i in range(5)}), {"a": "Nike"}, pan_px={})
    assert walking["a"].placement == "clothing"


def test_a_shirt_that_the_camera_follows_sways_so_it_is_no_overlay() -> None:
    swaying = {i: 500 + 20 * (-1) ** i for i in range(8)}
    assert placed(at("a", swaying), {"a": "Nike"})["a"].placement == "clothing"


def test_steps_too_small_to_tell_add_up() -> None:
    slow = dict.fromkeys(range(1, 20), 10.0)
    found = placed(at("a", {i: 100 + 10 * i for i in range(12)}), {"a": "Nike"}, pan_px=slow)
    assert found["a"] == Placed(Placement.board, 3 / 4)  # 50 px, the height of the lettering, twice


def test_a_region_that_is_cut_off_or_covered_tells_nothing() -> None:
    whole = at("a", {0: 100})
    assert placed([*whole, *at("a", {1: 0})], {"a": "Nike"})["a"].placement == "unknown"
    assert placed([*whole, *at("a", {1: 200}, size=(120, 50))], {"a": "Nike"})["a"].placement == "unknown"


def test_nothing_is_told_across_keyframes_that_share_no_content() -> None:
    extracted = p.frames(20)
    scenes = p.scenes(extracted)
    detected = p.detected(at("a", {0: 100, 1: 200}), scenes)  # frame 1 without a transform
    motion = detected.camera_motion.to_pylist()
    motion[1]["transform"] = None
    detected = type(detected)(
        detected.regions, detected.tracks, camera_motion=table(detected.camera_motion.schema, motion)
    )
    empty = p.verdicts([p.verdict("Nike", ["a"])])
    rest = (extracted.frames, scenes.timeline, empty.verdicts, empty.unresolved, {}, ())
    assert placements(detected, *rest)["a"].placement == "unknown"
    without = type(detected)(detected.regions, detected.tracks)  # of an earlier version
    assert placements(without, *rest)["a"].placement == "unknown"


def test_a_shirt_that_leaves_one_track_begins_another_of_the_same_brand() -> None:
    names = {"a": "Nike", "b": "Nike"}
    running = [*at("a", {0: 300}), *at("b", {1: 800})]
    assert {one.placement for one in placed(running, names).values()} == {"clothing"}
    too_fast = [*at("a", {0: 300}), *at("b", {1: 1200})]  # 16 heights
    assert {one.placement for one in placed(too_fast, names).values()} == {"unknown"}


def test_two_screens_that_swap_brands_are_no_shirts() -> None:
    first = [*at("a", {0: 300}), *at("b", {0: 800})]
    then = [*at("c", {1: 400}), *at("d", {1: 900})]
    names = {"a": "Nike", "b": "Puma", "c": "Puma", "d": "Nike"}
    assert {one.placement for one in placed([*first, *then], names).values()} == {"led"}


def test_successions_are_compared_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {f"{side}{n}": name for n in range(5) for side, name in (("a", "Nike"), ("b", "Puma"))}
    boards = [
        one
        for n in range(5)
        for one in (*at(f"a{n}", {0: 100, 1: 200}, 100 + 150 * n), *at(f"b{n}", {2: 300, 3: 400}, 100 + 150 * n))
    ]
    monkeypatch.setattr(import_module("brand_detect.stages.compile_report.motion"), "BLOCK", 3)
    assert placed(boards, names) == dict.fromkeys(names, Placed(Placement.led, 3 / 4))


def test_another_text_in_the_same_place_of_the_scene_makes_an_led_board() -> None:
    board, then = at("a", {0: 100, 1: 200}), at("b", {2: 300, 3: 400})
    found = placed([*board, *then], {"a": "Nike", "b": "Puma"})
    assert found == dict.fromkeys("ab", Placed(Placement.led, 3 / 4))
    assert placed([*board, *then], {"a": "Nike"}, others={"b": "welcome"})["a"].placement == "led"


@pytest.mark.parametrize("text", ["Nik", "NlKE air", "sonepar nlke air", "", "ad"])
def test_a_part_a_misreading_or_a_scrap_of_a_text_is_no_other_text(text: str) -> None:
    board, then = at("a", {0: 100, 1: 200}), at("b", {2: 300, 3: 400})
    names = {"a": "Nike air"}
    assert placed([*board, *then], names, others={"b": text})["a"].placement == "board"


def test_a_graphic_that_changes_is_no_led_board() -> None:
    caption, then = at("a", {0: 100, 1: 100}), at("b", {2: 100, 3: 100})
    names = {"a": "Nike", "b": "Puma"}
    assert {one.placement for one in placed([*caption, *then], names).values()} == {"overlay"}
    assert {one.placement for one in placed([*caption, *then], names, pan_px={}).values()} == {"unknown"}


def test_a_board_that_a_shirt_covered_is_no_led_board() -> None:
    shirt = at("a", {0: 520, 1: 480, 2: 440})
    board = at("b", {3: 540, 4: 640})  # at frame 3 where the shirt's place in the scene is
    assert placed([*shirt, *board], {"a": "Nike", "b": "Puma"})["a"].placement == "clothing"


def test_a_glimpse_of_an_overlay_before_a_board_makes_no_led_board() -> None:
    overlay, board = at("a", dict.fromkeys(range(3), 600)), at("b", {i: 100 * i for i in (3, 4, 5)})
    found = placed([*overlay, *board, *at("c", {6: 600})], {"a": "Nike", "b": "Puma", "c": "Nike"})
    assert {track: one.placement for track, one in found.items()} == {"a": "overlay", "b": "board", "c": "unknown"}
    alone = placed([*board, *at("c", {6: 600})], {"b": "Puma", "c": "Nike"})
    assert {one.placement for one in alone.values()} == {"led"}


def test_letters_wider_than_upright_ones_lie_on_the_pitch() -> None:
    grass = at("a", {i: 100 + 100 * i for i in range(5)}, size=(400, 50))  # 2 to 1 a letter
    assert placed(grass, {"a": "Nike"})["a"].placement == "pitch"
    small = at("a", {i: 100 + 100 * i for i in range(5)}, size=(232, 29))  # too small to measure
    assert placed(small, {"a": "Nike"})["a"].placement == "board"
    caption = at("b", dict.fromkeys(range(5), 900), y=800, size=(320, 50))  # as wide on a caption: it is the face
    assert placed([*grass, *caption], {"a": "Nike", "b": "Nike"})["a"].placement == "board"


def test_a_brand_alone_on_a_plain_picture_has_the_screen_to_itself() -> None:
    plain = [row | {"thumbnail": bytes(len(row["thumbnail"]))} for row in p.frames(20).frames.to_pylist()]
    card = table(FRAMES, plain)
    regions = at("a", dict.fromkeys(range(4), 600), size=(800, 100))
    alone = {"pan_px": {}, "frames": card}
    assert placed(regions, {"a": "Nike"}, **alone) == {"a": Placed(Placement.full_screen, 5 / 6)}
    assert placed(regions, {"a": "Nike"}, pan_px={})["a"].placement == "unknown"  # not plain
    small = at("a", dict.fromkeys(range(4), 600), size=(100, 50))
    assert placed(small, {"a": "Nike"}, **alone)["a"].placement == "unknown"
    text = [*regions, *at("b", dict.fromkeys(range(4), 600), y=600, size=(900, 200))]
    assert placed(text, {"a": "Nike"}, others={"b": "results"}, **alone)["a"].placement == "unknown"
    rival = [*regions, *at("b", dict.fromkeys(range(4), 600), y=600, size=(100, 50))]
    assert placed(rival, {"a": "Nike", "b": "Puma"}, **alone)["a"].placement == "unknown"


def test_a_duplicate_counts_as_a_frame() -> None:
    scenes = p.scenes(p.frames(4), dropped={1: 0, 2: 0})
    assert frames_shown(scenes.timeline) == {0: 3, 3: 1}


def test_rules_see_the_median_of_a_track_whose_motion_tells_nothing() -> None:
    wide = at("a", dict.fromkeys(range(3), 100))
    still = {"pan_px": {}, "rules": BOARDS}
    assert placed([*wide, *at("a", {3: 100}, size=(50, 50))], {"a": "Nike"}, **still) == {"a": (Placement.board, 0.5)}
    square = at("a", dict.fromkeys(range(3), 100), size=(50, 50))
    assert placed([*square, *at("a", {3: 100})], {"a": "Nike"}, **still)["a"].placement == "unknown"
    assert placed(at("a", dict.fromkeys(range(5), 100)), {"a": "Nike"}, rules=BOARDS)["a"].placement == "overlay"


def test_without_a_brand_rules_decide_nothing() -> None:
    people = [p.region(0, "player", (100, 100, 100, 400), kind="object", label="person")]
    assert placed([], {}, rules=SHIRTS) == placed([*at("x", {0: 100}), *people], {}, rules=[*SHIRTS, *BOARDS]) == {}


def test_a_rule_may_say_what_a_motion_means() -> None:
    passing = at("a", {i: 900 - 80 * i for i in range(5)})
    cars = [{"placement": "vehicle", "motion": "moving"}]
    assert placed(passing, {"a": "Nike"}, rules=cars) == {"a": Placed(Placement.vehicle, 5 / 6)}


def test_a_models_answer_comes_first() -> None:
    said = {"a": Placed(Placement.vehicle, 0.7)}
    assert placed(at("a", {0: 100}), {"a": "Nike"}, answered=said, rules=BOARDS, overlays=["a"]) == said


@pytest.mark.parametrize(("frames", "placement"), [((0, 1), "clothing"), ((0,), "clothing"), ((), "unknown")])
def test_a_logo_is_inside_what_holds_it_on_half_of_its_frames(frames: tuple[int, ...], placement: str) -> None:
    logos = [p.region(i, "a", (120, 150, 60, 30)) for i in (0, 1)]
    people = [p.region(i, "player", (100, 100, 100, 400), kind="object", label="person") for i in frames]
    aside = [p.region(i, "other", (160, 100, 100, 400), kind="object", label="person") for i in (0, 1)]
    found = placed([*logos, *people, *aside], {"a": "Nike"}, rules=SHIRTS, pan_px={})
    assert found["a"].placement == placement
