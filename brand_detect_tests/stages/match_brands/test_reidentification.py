"""Names recognised by the looks of a track that spells them elsewhere in the video."""

from dataclasses import replace

import numpy as np
import pytest

from brand_detect.domain.contracts.detect_objects import TRACK_EMBEDDINGS
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.tables import table
from brand_detect.stages.match_brands.match import NO_LOOKS, match_brands
from brand_detect.stages.match_brands.matching import Match, Reading
from brand_detect.stages.match_brands.reidentification import MOST_OF_A_BRAND, RIGHT, supports
from brand_detect.stages.similarity import MEASURED_WITH
from brand_detect_tests.support.matching import INDEX, SCENES, open_texts, verdicts
from brand_detect_tests.support.payloads import detected, region, text, texts

ROLEX, EMIRATES, OTHER = np.eye(3)
TO_THE_SIDE = np.ones(3) / np.sqrt(3)


def like(what, likeness, away=TO_THE_SIDE):
    """A unit vector with an inner product of ``likeness`` with ``what``, the rest in the direction ``away``."""
    rest = away - (away @ what) * what
    return likeness * what + np.sqrt(1 - likeness**2) * rest / np.linalg.norm(rest)


def match(regions, said, looks, embedder=MEASURED_WITH, **params):
    """``looks`` maps tracks to the embeddings of their crops, ``said`` to their texts, with a confidence of 0.95 or the
    one given."""
    where = {row["track_id"]: row for row in reversed(regions)}
    crops = [
        {"track_id": t, "region_id": where[t]["region_id"], "frame": where[t]["frame"], "embedding": np.float16(vector)}
        for t, vectors in looks.items()
        for vector in np.atleast_2d(vectors)
    ]
    found = replace(detected(regions, SCENES), embeddings=table(TRACK_EMBEDDINGS, crops), embedder=embedder)
    read = {t: words if isinstance(words, tuple) else (words, 0.95) for t, words in said.items()}
    lines = [text(track, words, confidence=sure) for track, (words, sure) in read.items()]
    return match_brands(SCENES, found, texts(lines), MatchBrandsParams(**params), index=INDEX)


def test_a_board_that_cannot_be_read_is_the_one_that_looks_like_it():
    result = match([region(0, "a"), region(9, "b")], {"a": "ROLEX"}, {"a": ROLEX, "b": like(ROLEX, 0.85)})
    assert verdicts(result)["b",] == ("resolved", "Rolex", "reidentified")
    (row,) = (v for v in result.verdicts.to_pylist() if v["rule"] == "reidentified")
    assert (row["brand_id"], row["text"], row["matched"], row["decided_by"]) == ("rolex", "", "a", "match_brands")
    assert row["score"] == pytest.approx(0.85, abs=1e-3)
    assert row["confidence"] == pytest.approx(RIGHT * 0.95, abs=1e-3)
    assert (result.stats["by_looks"], result.stats["resolved"]) == (1.0, 2.0)
    assert open_texts(result) == []


def test_crops_of_objects_beside_it_do_not_matter():
    regions = [region(0, "car", kind="object", label="car"), region(0, "a"), region(9, "b")]
    result = match(regions, {"a": "ROLEX"}, {"car": EMIRATES, "a": ROLEX, "b": like(ROLEX, 0.85)})
    assert verdicts(result)["b",] == ("resolved", "Rolex", "reidentified")


@pytest.mark.parametrize(
    ("likeness", "said", "changes", "params", "named"),
    [
        (0.79, "", {}, {}, False),
        (0.81, "", {}, {}, True),
        (0.9, "", {"sharpness": 50.0}, {}, False),  # nothing blurred, if nothing of it was read
        (0.66, "OLE", {"sharpness": 50.0}, {}, True),
        (0.64, "OLE", {}, {}, False),
        (0.64, "OLE", {}, {"min_likeness": 0.6}, True),
        (0.9, "", {}, {"min_likeness": 0.95}, False),
        (1.0, "", {}, {"min_likeness": 1.0}, False),  # off
        (1.0, "", {}, {"min_confidence": 0.93}, False),  # RIGHT * 0.95 is less
        (1.0, "", {"box": (100, 100, 100, 50)}, {}, False),  # half of it
        (1.0, "", {"box": (0, 100, 200, 50)}, {}, False),  # cut off by the picture's edge
        (1.0, "", {"at_edge": None}, {}, False),  # perhaps
        (1.0, "", {"kind": "object", "label": "car"}, {}, False),
    ],
)
def test_it_must_look_like_it_enough(likeness, said, changes, params, named):
    regions = [region(0, "a"), region(9, "b", **changes)]
    looks = {"a": ROLEX, "b": like(ROLEX, likeness)}
    result = match(regions, {"a": "ROLEX", "b": said} if said else {"a": "ROLEX"}, looks, **params)
    assert (("b",) in verdicts(result)) == named


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ("EMIRATES", False),  # another brand
        ("EMIRATES FLY BETTER THAN EVER", False),  # though in a longer line
        (("WHEN PIGS FLY", 0.91), False),  # read for certain, and no brand
        (("WHEN PIGS FLY", 0.89), True),  # perhaps not that
        ("ROL", True),  # a piece of the name
    ],
)
def test_nothing_else_may_look_nearly_as_much_like_it(other, named):
    looks = {"a": ROLEX, "other": like(OTHER, 0.9, ROLEX), "b": like(ROLEX, 0.85, OTHER)}
    assert 0 < looks["b"] @ ROLEX - looks["b"] @ looks["other"] < 0.1
    result = match([region(0, "a"), region(3, "other"), region(9, "b")], {"a": "ROLEX", "other": other}, looks)
    assert (("b",) in verdicts(result)) == named


def test_texts_that_the_catalogue_excludes_are_something_else():
    said = {"a": "ORANGE", "other": ("ORANGE COUNTY", 0.7)}
    regions = [region(0, "a"), region(3, "other"), region(9, "b")]
    alike = {"a": ROLEX, "other": like(ROLEX, 0.85, OTHER), "b": like(ROLEX, 0.85, OTHER)}
    assert ("b",) not in verdicts(match(regions, said, alike))
    assert verdicts(match(regions, said, alike | {"other": EMIRATES}))["b",][1] == "Orange"


@pytest.mark.parametrize(
    ("said", "sure", "name", "may_be"),
    [
        ("HEA", 0.95, "Head", True),
        ("HEADA", 0.95, "Head", True),
        ("HEAT", 0.95, "Head", False),
        ("HEAT", 0.85, "Head", True),
        ("HSBC", 0.85, "Head", False),
        ("KATRADE.COM", 0.95, "Checkatrade", True),
        ("CHEDTRADE.COM", 0.95, "Checkatrade", True),  # one of so many letters may be wrong
        ("BETWAY", 0.95, "Betfair", False),
        ("TIMELESS", 0.95, "TIM", False),
        ("40:13", 0.95, "Rolex", False),  # folded, its digits are letters
        ("40:13", 0.7, "Rolex", False),
        ("2-1", 0.7, "Rolex", False),
        ("OL", 0.95, "Rolex", None),  # hardly legible
        ("LG", 0.7, "Rolex", None),
        ("LG", 0.95, "Rolex", False),
    ],
)
def test_what_a_reading_says_for_a_name(said, sure, name, may_be):
    assert supports(Match(Reading(said, sure), []), name) is may_be


def test_a_text_of_its_own_that_is_unlike_the_name_rules_it_out():
    regions, looks = [region(0, "a"), region(9, "b")], {"a": ROLEX, "b": ROLEX}
    assert ("b",) not in verdicts(match(regions, {"a": "ROLEX", "b": "BETTER"}, looks))
    assert ("b",) in verdicts(match(regions, {"a": "ROLEX", "b": ("BETTER", 0.5)}, looks)), "too unsure to count"


def test_a_track_whose_crops_look_like_two_brands_is_neither():
    regions = [region(0, "a"), region(3, "e"), region(9, "b")]
    looks = {"a": ROLEX, "e": EMIRATES, "b": [like(ROLEX, 0.9), like(EMIRATES, 0.85)]}
    assert ("b",) not in verdicts(match(regions, {"a": "ROLEX", "e": "EMIRATES"}, looks))
    looks["b"] = [like(ROLEX, 0.9), OTHER]
    assert verdicts(match(regions, {"a": "ROLEX", "e": "EMIRATES"}, looks))["b",][1] == "Rolex"


def test_a_sentence_with_a_name_stands_for_no_board():
    said = {"a": "ROLEX IS THE OFFICIAL TIMEKEEPER"}
    assert ("b",) not in verdicts(match([region(0, "a"), region(9, "b")], said, {"a": ROLEX, "b": ROLEX}))


def test_what_is_recognised_by_its_looks_stands_for_nothing_else():
    regions = [region(0, "a"), region(5, "b"), region(9, "c")]
    looks = {"a": ROLEX, "b": like(ROLEX, 0.85, OTHER), "c": like(ROLEX, 0.6, OTHER)}
    assert looks["b"] @ looks["c"] > 0.9
    assert set(verdicts(match(regions, {"a": "ROLEX"}, looks))) == {("a",), ("b",)}


def test_likeness_is_known_of_the_built_in_embedder_alone():
    regions, looks = [region(0, "a"), region(9, "b")], {"a": ROLEX, "b": ROLEX}
    result = match(regions, {"a": "ROLEX"}, looks, embedder="google/siglip-base")
    assert ("b",) not in verdicts(result)
    assert NO_LOOKS in result.notes
    off = match(regions, {"a": "ROLEX"}, looks, embedder="google/siglip-base", min_likeness=1.0)
    assert NO_LOOKS not in (*off.notes, *match(regions, {"a": "ROLEX"}, looks).notes)


def test_of_a_brand_some_crops_are_compared_with_those_least_alike():
    many = np.eye(2 * MOST_OF_A_BRAND)
    boards = {f"a{i}": vector for i, vector in enumerate(many)}
    regions = [region(0, t, (100, 100 + i, 200, 50)) for i, t in enumerate(boards)]
    looks = boards | {"first": many[0], "last": many[-1]}
    named = verdicts(match([*regions, region(9, "first"), region(9, "last")], dict.fromkeys(boards, "ROLEX"), looks))
    assert ("first",) in named
    assert ("last",) not in named
    twice = {t: many[i // MOST_OF_A_BRAND] for i, t in enumerate(boards)}  # all alike but for one half
    looks = twice | {"first": many[0], "last": many[1]}
    named = verdicts(match([*regions, region(9, "first"), region(9, "last")], dict.fromkeys(boards, "ROLEX"), looks))
    assert {("first",), ("last",)} <= set(named)
