"""Which texts of neighbouring regions are joined into one name."""

import tracemalloc

import pytest

from brand_detect.catalog import LexiconIndex, parse_catalog
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.stages.match_brands.match import match_brands
from brand_detect_tests.support.matching import INDEX, SCENES, match, open_texts, verdicts
from brand_detect_tests.support.payloads import detected, frames, region, scenes, text, texts

LEFT, RIGHT, BELOW = (100, 100, 100, 50), (220, 105, 200, 50), (110, 160, 180, 50)
FAR, LOWER = (500, 100, 200, 50), (100, 300, 200, 50)


@pytest.mark.parametrize("place", [RIGHT, BELOW])
def test_neighbours_are_joined(place):
    regions = [region(f, t, box) for f in (0, 1) for t, box in (("b", place), ("a", LEFT))]
    result = match(regions, {"a": "BNP", "b": "PAR1BAS"})
    assert verdicts(result) == {("a", "b"): ("resolved", "BNP Paribas", "joined")}
    (row,) = result.verdicts.to_pylist()
    assert (row["text"], row["span_start"], row["span_end"]) == ("BNP PAR1BAS", 0, 1)
    assert result.unresolved.num_rows == 0


@pytest.mark.parametrize("place", [FAR, LOWER, (220, 105, 800, 400)])
def test_what_lies_apart_or_is_of_another_size_is_not_joined(place):
    result = match([region(0, "a", LEFT), region(0, "b", place)], {"a": "BNP", "b": "PARIBAS"})
    assert verdicts(result) == {}
    assert sorted(open_texts(result)) == ["BNP", "PARIBAS"]


def test_the_order_of_reading_counts():
    assert verdicts(match([region(0, "a", RIGHT), region(0, "b", LEFT)], {"a": "BNP", "b": "PARIBAS"})) == {}


def test_tracks_that_share_no_frame_or_few_lie_side_by_side_by_chance():
    said = {"a": "BNP", "b": "PARIBAS"}
    assert verdicts(match([region(0, "a", LEFT), region(1, "b", RIGHT)], said)) == {}
    passing = [region(f, "a", LEFT) for f in range(5)]
    passing += [region(f, "b", RIGHT if f == 2 else LOWER) for f in range(5)]
    assert verdicts(match(passing, said)) == {}


def test_three_pieces():
    boxes = {"a": (100, 100, 100, 50), "b": (100, 160, 150, 50), "c": (100, 220, 80, 50)}
    result = match([region(0, t, box) for t, box in boxes.items()], {"a": "100", "b": "LASER", "c": "TV"})
    assert verdicts(result) == {("a", "b", "c"): ("resolved", "Hisense", "joined")}


def test_a_longer_joined_name_takes_the_place_of_the_shorter_one():
    result = match([region(0, "a", LEFT), region(0, "b", RIGHT)], {"a": "SKY", "b": "SPORTS"})
    assert verdicts(result) == {("a", "b"): ("resolved", "Sky Sports", "joined")}


def test_brands_side_by_side_stay_apart():
    result = match([region(0, "a", LEFT), region(0, "b", RIGHT)], {"a": "ROLEX", "b": "EMIRATES"})
    assert verdicts(result) == {("a",): ("resolved", "Rolex", "exact"), ("b",): ("resolved", "Emirates", "exact")}


def test_another_brand_on_a_piece_keeps_its_verdict():
    result = match([region(0, "a", LEFT), region(0, "b", RIGHT)], {"a": "ROLEX BNP", "b": "PARIBAS"})
    assert verdicts(result) == {
        ("a",): ("resolved", "Rolex", "exact"),
        ("a", "b"): ("resolved", "BNP Paribas", "joined"),
    }
    joined = result.verdicts.to_pylist()[1]
    assert (joined["span_start"], joined["span_end"]) == pytest.approx((6 / 17, 1))


EVENTS = LexiconIndex(
    parse_catalog(
        b"""
- Rolex
- {name: Rolex Paris Masters, aliases: [Paris Masters]}
- Erste Bank
- Erste Bank Open
""",
        "b.yaml",
    )
)


def brands(result):
    return {tracks: brand for tracks, (_, brand, _) in verdicts(result).items()}


@pytest.mark.parametrize("place", [RIGHT, BELOW])
def test_an_events_title_does_not_take_its_sponsors_own_board(place):
    result = match([region(0, "a", LEFT), region(0, "b", place)], {"a": "ROLEX", "b": "PARIS MASTERS"}, index=EVENTS)
    assert brands(result) == {("a",): "Rolex", ("b",): "Rolex Paris Masters"}
    pieces = {"a": (100, 100, 100, 50), "b": (220, 100, 100, 50), "c": (340, 100, 150, 50)}
    result = match(
        [region(0, t, box) for t, box in pieces.items()], {"a": "ROLEX", "b": "PARIS", "c": "MASTERS"}, index=EVENTS
    )
    assert brands(result) == {("a",): "Rolex", ("b", "c"): "Rolex Paris Masters"}
    beside = match(
        [region(0, "a", LEFT), region(0, "b", place)], {"a": "ERSTE BANK", "b": "ERSTE BANK OPEN"}, index=EVENTS
    )
    assert brands(beside) == {("a",): "Erste Bank", ("b",): "Erste Bank Open"}


def test_a_sponsors_board_that_once_stood_by_half_a_title_is_not_taken():
    regions = [*(region(f, "a", LEFT) for f in range(5)), *(region(f, "b", BELOW) for f in range(2))]
    assert brands(match(regions, {"a": "ERSTE BANK", "b": "OPEN"}, index=EVENTS)) == {("a",): "Erste Bank"}
    half = match(regions[1:4] + regions[-2:], {"a": "ERSTE BANK", "b": "OPEN"}, index=EVENTS)
    assert brands(half) == {("a",): "Erste Bank"}
    both = match([*regions, region(2, "b", BELOW)], {"a": "ERSTE BANK", "b": "OPEN"}, index=EVENTS)
    assert brands(both) == {("a", "b"): "Erste Bank Open"}


def test_one_board_in_two_lines_is_one_brand_by_its_whole_name():
    regions = [region(0, "a", LEFT), region(0, "b", BELOW)]
    assert verdicts(match(regions, {"a": "ERSTE BANK", "b": "OPEN"}, index=EVENTS)) == {
        ("a", "b"): ("resolved", "Erste Bank Open", "joined")
    }
    [whole] = match([region(0, "a")], {"a": "ROLEX PARIS MASTERS"}, index=EVENTS).verdicts.to_pylist()
    assert whole["brand"] == "Rolex Paris Masters"


# beside an occluder

EARLIER = (700, 100, 320, 50)
FIRST, LAST = (200, 600, 80, 50), (360, 605, 160, 50)  # of the same board, behind a player


def behind_a_player(regions, said, **changes):
    """What is found on a board of Emirates, and in the ``regions`` of a later frame."""
    found = verdicts(match([region(0, "whole", EARLIER), *regions], {"whole": "EMIRATES", **said}, **changes))
    assert found.pop(("whole",)) == ("resolved", "Emirates", "exact")
    return found


EMIRATES = ("resolved", "Emirates", "joined")


def test_a_name_behind_a_player_is_the_one_that_another_track_spells_out():
    pieces, said = [region(1, "b", LAST), region(1, "a", FIRST)], {"a": "EM", "b": "ATES"}
    assert behind_a_player(pieces, said) == {("a", "b"): EMIRATES}
    assert behind_a_player(pieces, said, join_neighbours=False) == {}
    assert behind_a_player(pieces, said, fuzzy_score_second_pass=0.9) == {}
    assert verdicts(match(pieces, said)) == {}  # no track spells it out


@pytest.mark.parametrize(
    "place", [(600, 605, 160, 50), (360, 680, 160, 50), (360, 560, 320, 200), (60, 600, 100, 50), (280, 605, 160, 50)]
)
def test_pieces_apart_beside_each_other_or_of_another_size_are_no_name_behind_a_player(place):
    assert behind_a_player([region(1, "a", FIRST), region(1, "b", place)], {"a": "EM", "b": "ATES"}) == {}


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        ((1600, 600, 80, 50), (1760, 605, 160, 50), True),
        ((1600, 600, 80, 50), (1740, 605, 160, 50), False),  # 20 px off the edge
        ((200, 1030, 80, 50), (360, 1030, 160, 50), False),  # at the lower edge
    ],
)
def test_a_piece_that_the_pictures_edge_cuts_off_may_lack_the_end(first, last, found):
    pieces = [region(1, "a", first), region(1, "b", last), region(0, "edge", (1800, 300, 120, 50))]
    assert bool(behind_a_player(pieces, {"a": "EM", "b": "RAT"})) == found


def test_what_is_cut_off_counts_where_the_pieces_are_together():
    together = [region(1, "a", (1500, 600, 80, 50)), region(1, "b", (1660, 605, 160, 50))]
    moved = [region(2, "b", (1760, 605, 160, 50)), region(0, "edge", (1800, 300, 120, 50))]
    assert behind_a_player(together + moved, {"a": "EM", "b": "RAT"}) == {}


def test_a_piece_that_was_once_beside_a_passing_text_is_no_name():
    passing = [*(region(f, "a", FIRST) for f in range(1, 6)), *(region(f, "b", LOWER) for f in range(2, 6))]
    assert behind_a_player([*passing, region(1, "b", LAST)], {"a": "EM", "b": "ATES"}) == {}


def test_a_player_who_walks_past_a_board_leaves_one_verdict_for_each_piece():
    walking = [region(f, "a", FIRST) for f in (1, 2)] + [region(1, "b", LAST), region(2, "c", (400, 605, 120, 50))]
    said = {"whole": "EMIRATES", "a": "EM", "b": "RATES", "c": "ATES .."}
    result = match([region(0, "whole", EARLIER), *walking], said)
    assert verdicts(result) == {("whole",): ("resolved", "Emirates", "exact"), ("a", "b"): EMIRATES, ("c",): EMIRATES}
    alone = result.verdicts.to_pylist()[-1]
    assert (alone["text"], alone["span_start"], alone["span_end"]) == ("ATES ..", 0, pytest.approx(4 / 7))


def test_a_piece_is_part_of_one_brand():
    said = {"other": "EMIRATO", "a": "EMI", "b": "TES", "c": "ATO"}
    index = LexiconIndex(parse_catalog(b"[Emirates, Emirato]", "b.yaml"))
    walking = [region(f, "a", FIRST) for f in (1, 2)] + [region(1, "b", LAST), region(2, "c", LAST)]
    found = behind_a_player([region(0, "other", (700, 300, 320, 50)), *walking], said, index=index)
    assert found == {("other",): ("resolved", "Emirato", "exact"), ("a", "c"): ("resolved", "Emirato", "joined")}


def test_short_names_are_not_made_of_pieces_and_joining_can_be_off():
    assert verdicts(match([region(0, "a", LEFT), region(0, "b", RIGHT)], {"a": "K", "b": "IA"})) == {}
    pieces = [region(0, "a", LEFT), region(0, "b", RIGHT)]
    assert verdicts(match(pieces, {"a": "BNP", "b": "PARIBAS"}, join_neighbours=False)) == {}


def test_an_excluded_text_in_a_longer_name_is_not_ignored_too():
    index = LexiconIndex(parse_catalog(b"- BNP Paribas\n- {name: Orange, excluded_texts: [Paribas]}", "b.yaml"))
    regions = detected([region(0, "a", LEFT), region(0, "b", RIGHT)], SCENES)
    said = texts([text("a", "BNP"), text("b", "PARIBAS")])
    result = match_brands(SCENES, regions, said, MatchBrandsParams.model_validate({}), index=index)
    assert verdicts(result) == {("a", "b"): ("resolved", "BNP Paribas", "joined")}
    assert (result.stats["resolved"], result.stats["ignored"]) == (2, 0)


def test_neighbours_in_a_long_crowded_video_take_little_memory():
    shown = scenes(frames(400))
    boxes = [(20 + 300 * (i % 5), 20 + 100 * (i // 5), 100, 20) for i in range(50)]
    regions = detected([region(f, f"t{f // 20}-{i}", box) for f in range(400) for i, box in enumerate(boxes)], shown)
    said = texts([text(track, "WESTPARK") for track in regions.tracks["track_id"].to_pylist()])
    tracemalloc.start()
    match_brands(shown, regions, said, MatchBrandsParams.model_validate({}), index=INDEX)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6  # with all 490,000 pairs of regions at once it is 16 MB
