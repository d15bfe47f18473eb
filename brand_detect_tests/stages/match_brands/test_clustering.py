"""What is left over: which tracks are listed, how they cluster, and how clusters are ranked."""

import hashlib

import pytest

from brand_detect.domain.contracts.filter_scenes import BLACK
from brand_detect.stages.match_brands.clustering import LEADERS
from brand_detect_tests.support.matching import FRAMES, match, open_texts
from brand_detect_tests.support.payloads import reading, region, scenes


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


@pytest.mark.parametrize(
    "word", ["12:45", "6-4 3-6", "2023", "AB", "ARS 2-1 CHE", "45' 1", "+++", "12 KM", "㎏㎏ 2-1", "口", "3月5日"]
)
def test_numbers_clocks_scores_and_scraps_are_counted_not_listed(word):
    result = match([region(0, "a")], {"a": word})
    assert (result.unresolved.num_rows, result.stats["not_listed"]) == (0, 1)


@pytest.mark.parametrize("word", ["ABC", "X5 MOTORS", "KNIGHTBRIDGE 2-1", "华为手机", "华为", "현대", "1XWIN"])
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
        ("KONTORISTEKAS", "KONTXRISTEQKAS", False, True),  # 2 in the 14 of the longer
        ("KONTXRISTEQKAS", "KONTORISTEKAS", False, True),
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


def test_a_mark_leads_those_that_look_like_it_and_what_is_shorter_makes_room():
    lone, short = mark("lone", (500, 500, 40, 40), score=0.5), mark("short", (800, 500, 40, 40), frame=9, score=0.95)
    likeliest = mark("likeliest", score=0.9)
    alike = [{**mark("alike", frame=f, score=0.3), "crop_hash": likeliest["crop_hash"] ^ 1} for f in range(1, 9)]
    everything = [likeliest, *alike, short, *({**lone, **mark("lone", (500, 500, 40, 40), f, 0.5)} for f in range(9))]
    assert open_tracks(match(everything, {}, min_unresolved_logo_s=1.0, max_unresolved_logos=1)) == [
        ["likeliest", "alike"]
    ]
    both = match(everything, {}, min_unresolved_logo_s=1.0, max_unresolved_logos=2)
    assert open_tracks(both) == [["likeliest", "alike"], ["lone"]]
    assert both.stats["not_listed"] == 1


def test_a_mark_between_two_that_are_unlike_is_of_the_likelier():
    one, between, other = (
        mark(name, (100 + 200 * i, 500, 40, 40)) for i, name in enumerate(("one", "between", "other"))
    )
    one["crop_hash"], between["crop_hash"], other["crop_hash"] = 0, 0xFF, 0xFFFF
    one["score"], between["score"], other["score"] = 0.9, 0.3, 0.8
    assert open_tracks(match([one, between, other], {}, min_unresolved_logo_s=0)) == [["one", "between"], ["other"]]


def test_many_marks_are_compared_a_few_at_a_time():
    marks = [mark(f"m{i:02}", score=0.9 - i / 100) for i in range(3 * LEADERS)]
    again = [{**mark(f"n{i:02}", frame=1, score=0.1), "crop_hash": m["crop_hash"]} for i, m in enumerate(marks)]
    result = match([*marks, *again], {}, min_unresolved_logo_s=0, max_unresolved_logos=2 * LEADERS + 1)
    assert open_tracks(result) == [[f"m{i:02}", f"n{i:02}"] for i in range(2 * LEADERS + 1)]


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
