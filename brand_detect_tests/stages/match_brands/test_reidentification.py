"""Names recognised by the looks of a track that spells them elsewhere in the video."""

from dataclasses import replace

import numpy as np
import pytest

from brand_detect.domain.contracts.detect_objects import TRACK_EMBEDDINGS
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.tables import table
from brand_detect.stages.match_brands.match import match_brands
from brand_detect.stages.match_brands.reidentification import MOST_OF_A_BRAND, RIGHT
from brand_detect_tests.support.matching import INDEX, SCENES, open_texts, verdicts
from brand_detect_tests.support.payloads import detected, region, text, texts

ROLEX, EMIRATES, OTHER = np.eye(3)
TO_THE_SIDE = np.ones(3) / np.sqrt(3)


def like(what, likeness, away=TO_THE_SIDE):
    """A unit vector with an inner product of ``likeness`` with ``what``, the rest in the direction ``away``."""
    rest = away - (away @ what) * what
    return likeness * what + np.sqrt(1 - likeness**2) * rest / np.linalg.norm(rest)


def match(regions, said, looks, shown=SCENES, **params):
    """``looks`` maps tracks to the embedding of their crop, ``said`` to their texts, with a confidence of 0.9."""
    where = {row["track_id"]: row for row in reversed(regions)}
    rows = [
        {"track_id": t, "region_id": where[t]["region_id"], "frame": where[t]["frame"], "embedding": vector}
        for t, vector in ((t, np.float16(v)) for t, v in looks.items())
    ]
    found = replace(detected(regions, shown), embeddings=table(TRACK_EMBEDDINGS, rows), embedder="scripted")
    lines = [text(track, words, confidence=0.9) for track, words in said.items()]
    return match_brands(shown, found, texts(lines), MatchBrandsParams(**params), index=INDEX)


def test_a_board_that_cannot_be_read_is_the_one_that_looks_like_it():
    result = match([region(0, "a"), region(9, "b")], {"a": "ROLEX"}, {"a": ROLEX, "b": like(ROLEX, 0.8)})
    assert verdicts(result)["b",] == ("resolved", "Rolex", "reidentified")
    (row,) = (v for v in result.verdicts.to_pylist() if v["rule"] == "reidentified")
    assert (row["brand_id"], row["text"], row["matched"], row["decided_by"]) == ("rolex", "", "a", "match_brands")
    assert row["score"] == pytest.approx(0.8, abs=1e-3)
    assert row["confidence"] == pytest.approx(RIGHT * 0.9, abs=1e-3)
    assert (result.stats["by_looks"], result.stats["resolved"]) == (1.0, 2.0)
    assert open_texts(result) == []


@pytest.mark.parametrize(
    ("likeness", "params", "named"),
    [
        (0.64, {}, False),
        (0.66, {}, True),
        (0.66, {"min_confidence": 0.88}, False),  # RIGHT * 0.9 is less
        (0.9, {"min_likeness": 0.95}, False),
        (1.0, {"min_likeness": 1.0}, False),  # off
    ],
)
def test_it_must_look_like_it_enough(likeness, params, named):
    looks = {"a": ROLEX, "b": like(ROLEX, likeness)}
    result = match([region(0, "a"), region(9, "b")], {"a": "ROLEX"}, looks, **params)
    assert (("b",) in verdicts(result)) == named


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ("EMIRATES", False),  # another brand
        ("EMIRATES FLY BETTER THAN EVER", False),  # though in a longer line
        ("WHEN PIGS FLY", False),  # read for certain, and no brand
        ("ROLX", True),  # the name, misread
        ("R", True),  # hardly legible
    ],
)
def test_nothing_else_may_look_nearly_as_much_like_it(other, named):
    looks = {"a": ROLEX, "other": OTHER, "b": like(ROLEX, 0.72, OTHER)}
    assert 0 < looks["b"] @ ROLEX - looks["b"] @ OTHER < 0.1
    result = match([region(0, "a"), region(3, "other"), region(9, "b")], {"a": "ROLEX", "other": other}, looks)
    assert (("b",) in verdicts(result)) == named


def test_texts_that_the_catalogue_excludes_are_something_else():
    said = {"a": "ORANGE", "other": "ORANGE COUNTY"}
    regions = [region(0, "a"), region(3, "other"), region(9, "b")]
    alike = {"a": ROLEX, "other": like(ROLEX, 0.8, OTHER), "b": like(ROLEX, 0.8, OTHER)}
    assert ("b",) not in verdicts(match(regions, said, alike))
    assert verdicts(match(regions, said, alike | {"other": EMIRATES}))["b",][1] == "Orange"


@pytest.mark.parametrize(("said", "named"), [("HSBC", False), ("40:13", False), ("OL", True)])
def test_a_text_of_its_own_that_is_unlike_the_name_rules_it_out(said, named):
    regions = [region(0, "a"), region(9, "b")]
    result = match(regions, {"a": "ROLEX", "b": said}, {"a": ROLEX, "b": ROLEX})
    assert (("b",) in verdicts(result)) == named


@pytest.mark.parametrize("box", [(100, 100, 100, 50), (0, 100, 200, 50)], ids=["half of it", "cut off by the edge"])
def test_a_part_of_a_board_does_not_count(box):
    part = region(9, "b", box=box)
    assert ("b",) not in verdicts(match([region(0, "a"), part], {"a": "ROLEX"}, {"a": ROLEX, "b": ROLEX}))


def test_a_sentence_with_a_name_stands_for_no_board():
    said = {"a": "ROLEX IS THE OFFICIAL TIMEKEEPER"}
    assert ("b",) not in verdicts(match([region(0, "a"), region(9, "b")], said, {"a": ROLEX, "b": ROLEX}))


def test_what_is_recognised_by_its_looks_stands_for_nothing_else():
    regions = [region(0, "a"), region(5, "b"), region(9, "c")]
    looks = {"a": ROLEX, "b": like(ROLEX, 0.75, OTHER), "c": like(ROLEX, 0.5, OTHER)}
    assert looks["b"] @ looks["c"] > 0.9
    assert set(verdicts(match(regions, {"a": "ROLEX"}, looks))) == {("a",), ("b",)}


def test_of_many_crops_of_a_name_those_least_alike_are_compared_with():
    angles = np.linspace(0, np.pi / 3, 4 * MOST_OF_A_BRAND)
    boards = {f"a{i}": np.array([np.cos(x), np.sin(x), 0]) for i, x in enumerate(angles)}
    regions = [region(0, t, (100, 100 + i, 200, 50)) for i, t in enumerate(boards)]
    result = match(
        [*regions, region(9, "b"), region(9, "c")],
        dict.fromkeys(boards, "ROLEX"),
        boards | {"b": boards["a0"], "c": boards[f"a{len(angles) - 1}"]},
    )
    assert result.stats["by_looks"] == 2
