import hashlib
import tracemalloc

import pytest

from brand_detect.catalog import LexiconIndex, parse_catalog
from brand_detect.domain.contracts.filter_scenes import BLACK
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.stages.match_brands.match import match_brands
from brand_detect_tests.support.payloads import detected, frames, reading, region, scenes, text, texts

INDEX = LexiconIndex(
    parse_catalog(
        b"""
- Rolex
- Emirates
- BNP Paribas
- {name: Sky, whole_line: false}
- Sky Sports
- {name: Hisense, aliases: [100 Laser TV]}
- {name: Orange, excluded_texts: [Orange County]}
- {name: KIA, whole_line: false}
""",
        "b.yaml",
    )
)
FRAMES = frames(20)
SCENES = scenes(FRAMES)


def match(regions, said, readings=(), shown=SCENES, index=INDEX, **params):
    """``said`` maps tracks to texts, or to rows of ``texts``."""
    rows = [text(track, row) if isinstance(row, str) else row for track, row in said.items()]
    found = detected(regions, shown)
    return match_brands(shown, found, texts(rows, readings), MatchBrandsParams(**params), index=index)


def verdicts(result):
    return {tuple(v["track_ids"]): (v["status"], v["brand"], v["rule"]) for v in result.verdicts.to_pylist()}


def open_texts(result):
    return [u["text"] for u in result.unresolved.to_pylist()]


# --- single tracks --------------------------------------------------------------------------------------------------


def test_a_verdict_tells_where_the_brand_stands_in_the_text():
    result = match([region(0, "a")], {"a": text("a", "EMIRATES FLY BETTER", confidence=0.8)})
    (row,) = result.verdicts.to_pylist()
    assert (row["brand_id"], row["rule"], row["score"], row["matched"]) == ("emirates", "exact", 1.0, "Emirates")
    assert row["confidence"] == pytest.approx(0.8)
    assert (row["span_start"], row["span_end"]) == pytest.approx((0, 8 / 19))
    assert (row["line_start"], row["line_end"]) == (None, None)
    assert (row["decided_by"], row["model"]) == ("match_brands", "")
    assert result.unresolved.num_rows == 0


def test_a_verdict_tells_where_the_brand_stands_on_the_line_if_the_reader_did():
    a = region(0, "a")
    char_positions = [0.3, 0.34, 0.38, 0.42, 0.46, 0.58, 0.7, 0.74, 0.78]  # an emblem takes the first quarter
    result = match([a], {"a": "ROLEX SKY"}, [reading(a, "ROLEX SKY", char_positions=char_positions)])
    found = {v["brand"]: (v["line_start"], v["line_end"]) for v in result.verdicts.to_pylist()}
    assert found["Rolex"] == pytest.approx((0.3 - 0.03, 0.52))  # half the mean distance, halfway to the space


def test_letters_are_those_of_the_surest_reading_of_the_text_that_names_the_brand():
    a, b, c = (region(i, "a") for i in range(3))
    said = {"a": text("a", "R0IFX", alternatives=["ROLEX"])}
    spread = {0.7: [0.1, 0.2, 0.3, 0.4, 0.5], 0.9: [0.3, 0.4, 0.5, 0.6, 0.7]}
    readings = [reading(a, "R0IFX", 0.95), *(reading(r, "ROLEX", k, spread[k]) for r, k in ((b, 0.7), (c, 0.9)))]
    (row,) = match([a, b, c], said, readings).verdicts.to_pylist()
    assert (row["line_start"], row["line_end"]) == pytest.approx((0.25, 0.75))
    assert row["line_region_id"] == c["region_id"]


@pytest.mark.parametrize("char_positions", [[0.9, 0.7, 0.5, 0.3, 0.1], [0.1, 0.3, 0.5], [0.5], [1.0] * 5])
def test_letters_from_right_to_left_too_few_or_in_one_place_tell_no_place(char_positions):
    a = region(0, "a")
    (row,) = match([a], {"a": "ROLEX"}, [reading(a, "ROLEX", char_positions=char_positions)]).verdicts.to_pylist()
    assert (row["line_start"], row["line_end"], row["line_region_id"]) == (None, None, None)


def test_several_brands_in_one_line_give_a_verdict_each():
    result = match([region(0, "a")], {"a": "ROLEX EMIRATES"})
    found = {v["brand"]: (v["span_start"], v["span_end"]) for v in result.verdicts.to_pylist()}
    assert found["Rolex"] == pytest.approx((0, 5 / 14))
    assert found["Emirates"] == pytest.approx((6 / 14, 1))
    assert len(set(result.verdicts["verdict_id"].to_pylist())) == 2
    assert result.stats["resolved"] == 1


def test_alternatives_are_tried_with_their_own_confidence():
    a, b = region(0, "a"), region(1, "a")
    said = {"a": text("a", "R0IFX", alternatives=["nothing", "ROLEX"])}
    found = match([a, b], said, [reading(a, "R0IFX", 0.95), reading(b, "ROLEX", 0.7)]).verdicts.to_pylist()
    assert [(v["brand"], v["text"]) for v in found] == [("Rolex", "ROLEX")]
    assert found[0]["confidence"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("elsewhere", "params", "found"),
    [
        ("ROLEX", {}, ("resolved", "Rolex", "fuzzy")),
        ("ROLEX", {"fuzzy_score_second_pass": 1.0}, None),
        ("EMIRATES", {}, None),  # another brand
        ("R0LEX", {}, None),  # not spelled out there either
    ],
)
def test_a_text_may_be_less_like_a_name_that_is_spelled_out_elsewhere(elsewhere, params, found):
    regions = [region(0, "a"), region(12, "b")]
    made = verdicts(match(regions, {"a": "ROLEY", "b": elsewhere}, **params))
    assert made.get(("a",)) == found


@pytest.mark.parametrize(
    ("elsewhere", "at_edge", "params", "found"),
    [
        ("EMIRATES", False, {}, ("resolved", "Emirates", "fuzzy")),
        ("EMIRATES", True, {}, None),  # what is beyond the edge is anybody's guess
        ("EMIRATES", None, {}, None),  # a checkpoint of before it was measured
        ("ROLEX", False, {}, None),
        ("EMIRATES", False, {"fuzzy_score_second_pass": 0.81}, None),
    ],
)
def test_a_name_that_somebody_stands_before_is_known_from_where_it_is_spelled_out(elsewhere, at_edge, params, found):
    a, b = region(0, "a", at_edge=at_edge), region(12, "b")
    result = match([a, b], {"a": "EMITES", "b": elsewhere}, [reading(a, "EMITES")], **params)
    assert verdicts(result).get(("a",)) == found
    score = [v["score"] for v in result.verdicts.to_pylist() if v["track_ids"] == ["a"]]
    assert score == ([pytest.approx(0.8)] if found else [])


def test_what_neighbours_say_together_is_not_taken_for_a_part_of_it():
    a, b = region(0, "a", (100, 100, 200, 50)), region(0, "b", (310, 100, 60, 50))
    said = {"a": "EMIRAT", "b": "ES", "c": "EMIRATES"}
    readings = [reading(a, "EMIRAT"), reading(b, "ES")]
    made = verdicts(match([a, b, region(12, "c")], said, readings))
    assert made[("a", "b")] == ("resolved", "Emirates", "joined")
    assert ("a",) not in made


def test_another_reading_of_what_neighbours_say_together_is_no_second_verdict():
    a, again, b = (
        region(0, "a", (100, 100, 200, 50)),
        region(1, "a", (100, 100, 200, 50)),
        region(0, "b", (310, 100, 60, 50)),
    )
    said = {"a": text("a", "FLYWTH EMIRAT", alternatives=["EMIRAT"]), "b": "ES", "c": "EMIRATES"}
    readings = [reading(a, "FLYWTH EMIRAT"), reading(again, "EMIRAT"), reading(b, "ES")]
    made = verdicts(match([a, again, b, region(12, "c")], said, readings))
    assert made[("a", "b")] == ("resolved", "Emirates", "joined")
    assert ("a",) not in made


def test_a_longer_name_of_the_brand_hides_none_that_is_spelled_out():
    index = LexiconIndex(parse_catalog(b"- {name: Telekom, aliases: [Telekom S]}", "b.yaml"))
    regions = [region(0, "a"), region(12, "b")]
    said = texts([text("a", "TELEKOM"), text("b", "TELEXOM S")])
    found = match_brands(SCENES, detected(regions, SCENES), said, MatchBrandsParams.model_validate({}), index=index)
    assert verdicts(found)[("b",)] == ("resolved", "Telekom", "fuzzy")


def test_another_name_of_the_brand_is_not_spelled_out():
    regions = [region(0, "a"), region(12, "b")]
    made = verdicts(match(regions, {"a": "Hisense", "b": "100 Lazor TV"}, fuzzy_score_second_pass=0.7))
    assert ("b",) not in made
    assert ("b",) in verdicts(match(regions, {"a": "100 Laser TV", "b": "100 Lazor TV"}, fuzzy_score_second_pass=0.7))


def test_everyday_words_and_excluded_texts_are_no_name_spelled_out_elsewhere():
    regions = [region(0, t) for t in "abcd"]
    said = {"a": "ORANGE", "b": "Orange County", "c": "arrange", "d": "ranges"}
    made = verdicts(match(regions, said, fuzzy_score_second_pass=0.5))
    assert made[("b",)][0] == "ignored"
    assert ("c",) not in made
    assert ("d",) not in made


def test_what_is_not_sure_enough_stays_unresolved():
    said = {"a": text("a", "ROLEX", confidence=0.5)}
    assert open_texts(match([region(0, "a")], said)) == ["ROLEX"]
    assert verdicts(match([region(0, "a")], said, min_confidence=0.4)) == {("a",): ("resolved", "Rolex", "exact")}


def test_excluded_texts_are_ignored_and_listed_nowhere_else():
    result = match([region(0, "a")], {"a": "ORANGE COUNTY"})
    assert verdicts(result) == {("a",): ("ignored", "", "excluded")}
    assert result.unresolved.num_rows == 0
    assert (result.stats["ignored"], result.stats["resolved"]) == (1, 0)


def test_nothing_in_nothing_out():
    result = match([], {})
    assert result.counts() == {"verdicts": 0, "unresolved": 0, "answers": 0}


# --- neighbours -----------------------------------------------------------------------------------------------------

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


# --- what is left over ----------------------------------------------------------------------------------------------


def test_a_duplicate_frame_counts_and_an_instant_counts_once():
    shown = scenes(FRAMES, dropped={3: 2, 4: 2, 5: BLACK})
    boards = [region(2, "a"), region(2, "b", (100, 400, 200, 50)), region(6, "a")]
    (row,) = match(boards, {"a": "ACME", "b": "ACME"}, shown=shown).unresolved.to_pylist()
    cells = {r["frame"]: r["end_s"] - r["start_s"] for r in shown.timeline.to_pylist()}
    assert row["seconds"] == pytest.approx(cells[2] + cells[3] + cells[4] + cells[6])
    assert (row["track_ids"], row["n_regions"], row["rank"]) == (["a", "b"], 3, 1)


def test_rank_is_seconds_times_area():
    long_small = [region(f, "a", (0, 0, 100, 20)) for f in range(10)]  # about 5 s of 2,000 px
    short_large = [region(0, "b", (0, 300, 400, 100))]  # half a second of 40,000 px
    long_large = [region(f, "c", (0, 600, 200, 100), crop_hash=2**40 - 1) for f in range(9)]
    result = match(long_small + short_large + long_large, {"a": "ALPHA", "b": "BRAVO", "c": "CHARLIE"})
    assert open_texts(result) == ["CHARLIE", "BRAVO", "ALPHA"]
    assert result.unresolved["rank"].to_pylist() == [1, 2, 3]


@pytest.mark.parametrize("word", ["12:45", "6-4 3-6", "2023", "AB", "ARS 2-1 CHE", "45' 1", "+++", "12 KM", "㎏㎏ 2-1"])
def test_numbers_clocks_scores_and_scraps_are_counted_not_listed(word):
    result = match([region(0, "a")], {"a": word})
    assert (result.unresolved.num_rows, result.stats["not_listed"]) == (0, 1)


@pytest.mark.parametrize("word", ["ABC", "X5 MOTORS", "KNIGHTBRIDGE 2-1", "华为手机", "1XWIN"])
def test_what_may_be_a_name_is_listed(word):
    assert open_texts(match([region(0, "a")], {"a": word})) == [word]


def test_min_unresolved_letters():
    assert open_texts(match([region(0, "a")], {"a": "ABCD"}, min_unresolved_letters=5)) == []


FAR_HASH = 2**64 - 1 - 7  # no bit in common with the default hash, 7


@pytest.mark.parametrize(
    ("one", "other", "same_crop", "together"),
    [
        ("WESTPARK", "WE5TPARK", False, True),  # a confusion
        ("WESTPARK HOTEL", "WESTPARK HOTFL", False, True),  # 1 edit in 13 letters
        ("WESTPARK", "WASTPERK", False, False),  # 2 in 8
        ("WESTPARK", "WASTPERK", True, True),  # the same where the crops look alike
        ("WESTPARK", "BLUEMOON", True, False),  # crops alone do not join different words
    ],
)
def test_alike_marks_are_one_cluster(one, other, same_crop, together):
    regions = [region(0, "a"), region(1, "a"), region(3, "b", crop_hash=7 ^ 0b11000 if same_crop else FAR_HASH)]
    result = match(regions, {"a": one, "b": other})
    assert result.unresolved.num_rows == (1 if together else 2)
    assert open_texts(result)[0] == one  # the most frequent reading


def test_marks_without_text_cluster_by_their_crops():
    logos = [
        region(0, "a", kind="logo", crop_hash=0),
        region(1, "b", kind="logo", crop_hash=0b1111),
        region(2, "c", kind="logo", crop_hash=FAR_HASH),
        region(2, "unread"),
    ]
    rows = match(logos, {}, min_unresolved_logo_s=0).unresolved.to_pylist()
    assert sorted(tuple(r["track_ids"]) for r in rows) == [("a", "b"), ("c",)]
    assert {(r["text"], r["reason"]) for r in rows} == {("", "unreadable")}
    assert sorted(map(tuple, (r["crop_hashes"] for r in rows))) == [(0, 0b1111), (FAR_HASH,)]


def mark(track, box=(100, 500, 40, 40), frame=0, score=0.9, **changes):
    """A logo region without text that looks like no other."""
    crop = int.from_bytes(hashlib.sha256(track.encode()).digest()[:8])
    return region(frame, track, box, kind="logo", score=score, crop_hash=crop, **changes)


def open_tracks(result):
    return [r["track_ids"] for r in result.unresolved.sort_by("rank").to_pylist()]


def test_what_can_be_read_comes_first_and_then_the_few_likeliest_marks():
    marks = [mark(f"m{i}", (100 + 90 * i, 500, 80 - 10 * i, 80), score=0.2 + i / 10) for i in range(4)]
    everything = [*marks, region(0, "word", (100, 100, 30, 10))]
    shown = match(everything, {"word": "ACME"}, min_unresolved_logo_s=0)
    assert open_tracks(shown) == [["word"], ["m3"], ["m2"], ["m1"], ["m0"]]
    result = match(everything, {"word": "ACME"}, min_unresolved_logo_s=0, max_unresolved_logos=2)
    assert open_tracks(result) == [["word"], ["m3"], ["m2"]]
    assert result.unresolved["rank"].to_pylist() == [1, 2, 3]
    assert result.stats["not_listed"] == 2
    assert open_tracks(match(everything, {"word": "ACME"}, min_unresolved_logo_s=60)) == [["word"]]


@pytest.mark.parametrize(
    ("says", "listed"),
    [
        ("ROLEX", [["beside"]]),  # a board that is counted
        ("ACME", [["t"], ["beside"]]),  # one that is listed by its name
        ("6 0 15", [["round"], ["part"], ["beside"]]),  # what is no name leaves the mark
    ],
)
def test_a_mark_in_or_around_what_has_a_name_already_is_not_listed_again(says, listed):
    regions = [
        region(0, "t", (200, 200, 120, 40)),
        mark("round", (190, 150, 140, 100), score=0.9),
        mark("part", (200, 200, 40, 40), score=0.8),
        mark("beside", (340, 200, 40, 40), score=0.7),
    ]
    assert open_tracks(match(regions, {"t": says}, min_unresolved_logo_s=0)) == listed


def test_a_mark_before_which_a_name_passes_by_stays_listed():
    regions = [mark("m", (100, 500, 80, 80), f) for f in range(5)]
    regions += [region(f, "t", (100 if f == 0 else 900, 500, 80, 40)) for f in range(5)]
    assert ["m"] in open_tracks(match(regions, {"t": "ACME"}))


def test_the_best_crop_is_one_that_was_read():
    read, larger = region(0, "a"), region(1, "a", (100, 100, 220, 55))
    (row,) = match([larger, read], {"a": "ACME"}, [reading(read, "ACME")]).unresolved.to_pylist()
    assert row["best_region_id"] == read["region_id"]


def test_ids_follow_the_content_not_the_order():
    regions = [region(f, t, crop_hash=h) for f, t, h in ((0, "a", 1), (1, "b", 2), (2, "c", FAR_HASH))]
    said = {"a": "WESTPARK", "b": "WE5TPARK", "c": "BLUEMOON"}
    forward = match(regions, said)
    backward = match(regions[::-1], dict(reversed(said.items())))
    assert forward.unresolved["cluster_id"].to_pylist() == backward.unresolved["cluster_id"].to_pylist()
    assert match(regions, said).unresolved.equals(forward.unresolved)
    other = match([region(0, "a", crop_hash=5)], {"a": "WESTPARK"})
    assert not set(other.unresolved["cluster_id"].to_pylist()) & set(forward.unresolved["cluster_id"].to_pylist())


def test_a_text_is_looked_up_once():
    regions = [region(f, f"t{f}") for f in range(20)]
    assert match(regions, {f"t{f}": "ROLEX" for f in range(20)}, join_neighbours=False).stats["lookups"] == 1


def test_every_track_is_resolved_ignored_listed_or_left_out():
    said = {"a": "ROLEX", "b": "ORANGE COUNTY", "c": "ACME", "d": "12:45"}
    result = match([region(0, t, (100, 100 + 200 * i, 200, 50)) for i, t in enumerate([*said, "e"])], said)
    listed = [t for u in result.unresolved.to_pylist() for t in u["track_ids"]]
    assert result.stats["tracks"] == 5
    assert (result.stats["resolved"], result.stats["ignored"], result.stats["not_listed"]) == (1, 1, 2)
    assert listed == ["c"]
