"""Which brands the texts of single tracks name."""

import pytest

from brand_detect.catalog import LexiconIndex, parse_catalog
from brand_detect.domain.catalog import Brand, BrandCatalog
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.stages.match_brands.match import match_brands
from brand_detect_tests.support.matching import SCENES, crowded, match, open_texts, verdicts
from brand_detect_tests.support.payloads import detected, reading, region, text, texts

CROWDED = crowded()


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


def test_a_name_of_a_long_list_that_is_part_of_a_longer_word_elsewhere_is_a_piece_of_it():
    many = [f"{a}{b}zzzz{c}{d}" for a in "bcdfghjklm" for b in "aeiouwxy" for c in "bcdfghjklm" for d in "aeiouwxyrt"]
    rare = [Brand(name, name, rare=True) for name in ("tradecom", "pola", "abus", *many)]
    others = [Brand("ajet", "AJET", ("AnadoluJet",), rare=True), Brand("abu", "Abu Dhabi"), Brand("neo", "Neo Pola")]
    index = LexiconIndex(BrandCatalog("x", [*rare, Brand("rolex", "Rolex"), Brand("coca-cola", "Coca-Cola"), *others]))

    def is_found(name, *elsewhere, confidence=0.9, tracks=4, alternatives=()):
        names = {f"b{n}": said for n, said in enumerate(tracks * elsewhere)}
        others = {track: text(track, said, alternatives=alternatives) for track, said in names.items()}
        regions = [region(0, "a"), *(region(1, t, (300, 100 + 60 * n, 200, 50)) for n, t in enumerate(others))]
        said = {"a": text("a", name, confidence=confidence)} | others
        return ("a",) in verdicts(match(regions, said, index=index, min_probability=1.0))

    assert is_found("tradecom", "hello tradecom")
    assert not is_found("tradecom", "checkatradecom")
    assert not is_found("tradecom", "AEtradecomX")
    assert is_found("tradecom", 'It is "tradecom" and not AEtradecomX.')  # a word of its own, too
    assert not is_found("tradecom", "AEtradecomX che/tradecomY")
    assert is_found("tradecom", "AEtradecomX che/tradecom")  # no word of its own, and no piece
    assert is_found("tradecom", "AEtradecomX", "hello tradecom", "hello/tradecom")  # its own on some of them
    readings = ["AEtradecomX", "AEtradecomY", "AEtradecomZ"]
    assert is_found("tradecom", "AEtradecom", tracks=1, alternatives=readings)  # one track, however it is read
    assert not is_found("pola", "AEpolaX", "hello pola")  # readers part words: POLA NISED
    assert is_found("tradecom", "tradecomcom")  # its own address, without the dots
    assert is_found("tradecom", "httpswwwtradecomnet")
    assert is_found("ROLEX", "AEROLEXX")  # not one of the many
    assert not is_found("pola", "COCA-COLA")  # cut off by a player, through the C
    assert is_found("pola", "COCA-COLA", confidence=0.99)  # not misread
    assert is_found("pola", "stop ebola")  # the end of no name
    assert is_found("pola", "Neo Pola")  # a whole word of it
    assert is_found("ajet", "anadolujet")  # its own longer name
    assert is_found("abus", "Abu Dhabi")  # cut off between two words


@pytest.mark.parametrize(
    ("confidence", "at_edge", "elsewhere", "found"),
    [
        (0.99, False, [], True),
        (0.9, False, [], False),  # what is misread is too often one of so many names
        (0.99, True, [], False),  # so is what the picture's edge cuts off
        (0.99, None, [], True),  # a checkpoint of before it was measured
        (0.99, False, ["{}rdam"] * 3, True),
        (0.99, False, ["{}rdam"] * 4, False),  # it is a piece of that
        (0.99, False, ["o{}"] * 4, True),  # with an emblem
    ],
)
def test_a_short_name_of_a_long_list_needs_better_evidence(confidence, at_edge, elsewhere, found):
    name = next(brand.name for brand in CROWDED.brands if len(brand.name) == 3)
    a = region(0, "a", at_edge=at_edge)
    others = {f"b{n}": other.format(name) for n, other in enumerate(elsewhere)}
    regions = [a, *(region(1, track, (300, 100 + 60 * n, 200, 50)) for n, track in enumerate(others))]
    readings = [reading(a, name, confidence)]
    said = {"a": text("a", name, confidence=confidence)}
    result = match(regions, said | others, readings, index=LexiconIndex(CROWDED), min_probability=1.0)
    assert (("a",) in verdicts(result)) == found


@pytest.mark.parametrize(
    ("line", "found"),
    [("see {}.ch/jobs", True), ("{}.ch/jobs", False), ("{}.ch", False), ("see {}.ch", True), ("see www.{}", False)],
)
def test_the_pictures_edge_does_not_cut_a_name_inside_a_line(line, found):
    """An address goes on behind its host; ``at_edge`` does not tell which end of a line is cut."""
    name = next(brand.name for brand in CROWDED.brands if len(brand.name) == 3)
    said = line.format(name)
    read = [reading(region(0, "a"), said, 0.99)]
    texts = {"a": text("a", said, confidence=0.99)}
    result = match([region(0, "a", at_edge=True)], texts, read, index=LexiconIndex(CROWDED))
    assert (("a",) in verdicts(result)) == found


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
