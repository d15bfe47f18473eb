"""Brands named by letters that the reader thought less likely."""

import math

import pytest

from brand_detect.catalog import LexiconIndex, parse_catalog
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts.run_ocr import row_of_steps
from brand_detect.domain.lattice import BLANK, Step
from brand_detect.stages.match_brands.lexicon import LexiconMatcher
from brand_detect.stages.match_brands.match import NO_STEPS
from brand_detect.stages.match_brands.matching import Chance
from brand_detect.stages.regions import RegionColumns
from brand_detect_tests.support.matching import SCENES, crowded, match, open_texts, verdicts
from brand_detect_tests.support.payloads import detected, reading, region, text, texts

INDEX = LexiconIndex(
    parse_catalog(
        b"- Rolex\n- Rotax\n- Emirates\n- Talksense Sports\n- Santander\n- Tinder\n- Stag\n- Haare statt Glatze\n",
        "b.yaml",
    )
)


def steps(at, said, **others):
    """The row of STEPS of a region; ``others`` are second choices by position: ``at3="E"``, e times less likely."""
    found = []
    for n, character in enumerate(said):
        other = others.get(f"at{n}")
        found.append(Step((character, other), (0.0, 1.0)) if other else Step((character,), (0.0,)))
        found.append(Step((BLANK,), (0.0,)))
    return row_of_steps(at["region_id"], found)


def test_a_name_is_read_through_a_letter_that_was_second_likeliest():
    a = region(0, "a")
    positions = [0.1, 0.3, 0.5, 0.7, 0.9]
    result = match(
        [a], {"a": "ROLFX"}, [reading(a, "ROLFX", 0.9, positions)], [steps(a, "ROLFX", at3="E")], index=INDEX
    )
    (row,) = result.verdicts.to_pylist()
    assert (row["brand"], row["rule"], row["text"], row["matched"]) == ("Rolex", "lexicon", "ROLFX", "Rolex")
    assert row["score"] == pytest.approx(0.82, abs=0.01)  # exp(-1 / 5)
    assert row["confidence"] > 0.9
    assert (row["line_start"], row["line_end"]) == pytest.approx((0.0, 1.0), abs=1e-6)
    assert (result.stats["by_lexicon"], result.notes) == (1.0, ())
    assert open_texts(result) == []


@pytest.mark.parametrize(
    ("said", "confidence", "others", "params"),
    [
        ("ROLFX", 0.9, {"at0": "B"}, {}),  # F is certain
        ("ROLFX", 0.3, {"at3": "E"}, {}),  # nothing is
        ("ROLFX", 0.9, {"at3": "E"}, {"min_probability": 1.0}),  # off
        ("ROLFX", 0.9, {"at3": "E"}, {"min_probability": 0.999}),
    ],
)
def test_what_is_not_probable_stays_unresolved(said, confidence, others, params):
    a = region(0, "a")
    result = match([a], {"a": said}, [reading(a, said, confidence)], [steps(a, said, **others)], index=INDEX, **params)
    assert result.verdicts.num_rows == 0
    assert open_texts(result) == [said]


@pytest.mark.parametrize(("said", "found"), [("41:00", None), ("4H:00", "A-100")])
def test_a_clock_spells_no_name(said, found):
    a, index = region(0, "a"), LexiconIndex(parse_catalog(b"- A-100\n", "b.yaml"))
    named = likely([reading(a, said, 0.95)], [steps(a, said, at0="A", at1="1")], index=index)
    assert (named and named.hit.brand) == found


def test_without_steps_names_are_scored_by_the_texts_and_a_note_says_so():
    a, b = region(0, "a"), region(0, "b", (400, 100, 200, 50))
    result = match([a, b], {"a": "SIAG", "b": "8TA6"}, [reading(a, "SIAG"), reading(b, "8TA6")], index=INDEX)
    assert result.notes == (NO_STEPS.format(2, 2),)
    assert verdicts(result) == {}
    result = match([a], {"a": "TALKSENSE SPQRTS"}, [reading(a, "TALKSENSE SPQRTS")], index=INDEX, fuzzy_score=1.0)
    assert verdicts(result)[("a",)] == ("resolved", "Talksense Sports", "lexicon")


def likely(readings, rows=(), cut=(), spelled_out=None, index=INDEX, chance=None):
    said = texts([text("a", readings[0]["text"])], readings, rows)
    return LexiconMatcher(index, said, ["a"], cut, spelled_out or {}, chance or Chance(index, {})).find("a")


def test_an_unreadable_reading_or_another_text_vetoes_nothing_and_the_same_name_again_supports():
    a, b, c = (region(n, "a") for n in range(3))
    rows = [steps(a, "ROLFX", at3="E"), steps(b, "BOLEX", at0="R")]
    alone = likely([reading(a, "ROLFX", 0.8)], rows)
    with_others = likely([reading(a, "ROLFX", 0.8), reading(b, "##", 0.1), reading(c, "HEINEKEN", 0.99)], rows)
    supported = likely([reading(a, "ROLFX", 0.8), reading(b, "BOLEX", 0.7)], rows)
    assert alone is not None
    assert with_others is not None
    assert supported is not None
    assert with_others.probability == pytest.approx(alone.probability)
    assert supported.probability > alone.probability


def test_a_second_brand_at_the_same_place_makes_the_first_less_probable():
    a = region(0, "a")
    alone = likely([reading(a, "ROLFX", 0.8)], [steps(a, "ROLFX", at3="E")])
    rivalled = likely([reading(a, "ROLAX", 0.8)], [steps(a, "ROLAX", at2="T", at3="E")])
    assert alone is not None
    assert rivalled is not None
    assert {alone.hit.brand, rivalled.hit.brand} <= {"Rolex", "Rotax"}
    assert rivalled.probability < alone.probability
    assert rivalled.lead < alone.lead


def test_a_short_name_is_not_taken_for_what_the_pictures_edge_cuts_off():
    a = region(0, "a")
    said, rows = [reading(a, "ROLFX", 0.9)], [steps(a, "ROLFX", at3="E")]
    assert likely(said, rows, cut={a["region_id"]}) is None
    longer = [reading(a, "EMIRATFS", 0.9)], [steps(a, "EMIRATFS", at6="E")]
    found = likely(*longer, cut={a["region_id"]})
    assert found is not None
    assert found.hit.brand == "Emirates"


def test_part_of_a_name_that_is_spelled_out_is_not_another_name():
    a = region(0, "a")
    said, rows = [reading(a, "TANDER", 0.9)], [steps(a, "TANDER", at1="I")]
    found = likely(said, rows)
    assert found is not None
    assert found.hit.brand == "Tinder"
    assert likely(said, rows, spelled_out={"santander": {"santander"}}) is None
    assert likely(said, rows, spelled_out={"rolex": {"rolex"}}) is not None
    longer = [reading(a, "EMIRATFS", 0.9)], [steps(a, "EMIRATFS", at6="E")]
    assert likely(*longer, spelled_out={"mirat": {"mirat"}}) is not None, "it is no part of a shorter name"


def test_what_is_as_likely_something_else_by_chance_is_no_name():
    class Always(Chance):
        def explains(self, hit, reading):
            return (hit.brand, reading.text) == ("Rolex", "ROLFX")

    a = region(0, "a")
    said, rows = [reading(a, "ROLFX", 0.9)], [steps(a, "ROLFX", at3="E")]
    assert likely(said, rows) is not None
    assert likely(said, rows, chance=Always(INDEX, {})) is None


def test_the_same_evidence_counts_for_less_among_many_names():
    a = region(0, "a")
    many = crowded()
    name = next(brand.name for brand in many.brands if len(brand.name) == 6).upper()
    said, rows = [reading(a, f"{name[:5]}Y", 0.9)], [steps(a, f"{name[:5]}Y", at5=name[5])]
    few, most = (likely(said, rows, index=LexiconIndex(BrandCatalog(str(n), many.brands[:n]))) for n in (5, 4000))
    assert few is not None
    assert most is not None
    assert few.features == most.features
    assert (few.crowding, most.crowding) == pytest.approx((0.0, math.log(4000 / 2300)))
    odds = [math.log(one.probability / (1 - one.probability)) for one in (few, most)]
    assert odds[0] - odds[1] == pytest.approx(0.75 * math.log(4000 / 2300))


@pytest.mark.parametrize(
    ("first", "second", "made"),
    [
        ("TALKSENSF", "SPORTS", {("a", "b"): ("resolved", "Talksense Sports", "lexicon")}),
        ("TALKSENSF", "HOTELS", {}),
        ("SANTANDFR", "SPORTS", {}),
        ("EMIRATFS", "KS", {}),
    ],
)
def test_neighbours_spell_a_name_of_several_words_together(first, second, made):
    a, b = region(0, "a", (100, 100, 200, 50)), region(0, "b", (310, 100, 150, 50))
    readings = [reading(a, first, 0.9), reading(b, second, 0.99)]
    result = match([a, b], {"a": first, "b": second}, readings, [steps(a, first, at8="E")], index=INDEX)
    assert {tracks: verdict for tracks, verdict in verdicts(result).items() if len(tracks) > 1} == made


LEFT, RIGHT, BELOW = (100, 100, 200, 50), (310, 100, 150, 50), (100, 160, 200, 50)


def joined(*placed):
    """What neighbours spell together; each is a text, its confidence and its box."""
    regions = [region(0, name, box) for name, (_, _, box) in zip("abc", placed, strict=False)]
    readings = [reading(a, said, confidence) for a, (said, confidence, _) in zip(regions, placed, strict=True)]
    tracks = [a["track_id"] for a in regions]
    told = texts([text(a, read["text"]) for a, read in zip(tracks, readings, strict=True)], readings)
    columns = RegionColumns(detected(regions, SCENES).regions, tracks)
    return list(
        LexiconMatcher(INDEX, told, tracks, (), {}, Chance(INDEX, {})).find_joined(columns, tracks, set(tracks))
    )


def test_joined_neighbours_are_as_sure_as_the_least_sure_of_them():
    (likely,) = joined(("TALKSENSE", 0.9, LEFT), ("SPORTS", 0.6, RIGHT))
    assert (likely.tracks, likely.hit.brand) == (("a", "b"), "Talksense Sports")
    assert likely.reading.confidence == pytest.approx(0.6)


def test_neighbours_may_lack_a_short_word_of_a_name():
    (likely,) = joined(("HAARE", 0.9, LEFT), ("GLATZE", 0.9, BELOW))
    assert (likely.tracks, likely.hit.alias) == (("a", "b"), "Haare statt Glatze")


@pytest.mark.parametrize(
    "placed",
    [
        [("TALKSENSE", 0.9, LEFT), ("TALKSENSE SPORTS", 0.9, RIGHT)],  # the second says it alone
        [("TALKSENSE SPORTS", 0.9, LEFT), ("SPORTS", 0.9, RIGHT)],  # or the first
        [("TALKSENSE", 0.9, LEFT), ("-", 0.9, RIGHT), ("SPORTS", 0.9, (470, 100, 150, 50))],  # one that says nothing
    ],
)
def test_each_of_joined_neighbours_spells_a_word_of_the_name(placed):
    assert [likely.tracks for likely in joined(*placed) if len(likely.tracks) == len(placed)] == []


def test_a_track_is_part_of_one_name():
    (likely,) = joined(("TALKSENSE", 0.9, LEFT), ("SPORTS", 0.9, RIGHT), ("SPORTS", 0.5, BELOW))
    assert likely.tracks == ("a", "b")
