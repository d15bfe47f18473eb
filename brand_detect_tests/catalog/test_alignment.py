"""Names aligned to lines."""

from math import exp, inf
from random import Random

import pytest

from brand_detect.catalog import LexiconIndex, parse_catalog
from brand_detect.catalog.alignment import NameFinder, fit, lacks_a_letter, lacks_a_word
from brand_detect.domain.lattice import BLANK, UNLISTED, Step, lattice_of, spelled
from brand_detect.domain.text import is_word

CATALOG = """
- Rolex
- Emirates
- {name: Formula 1, aliases: [F1]}
- {name: TikTok, aliases: [抖音]}
- {name: Orange, excluded_texts: [Orange County], whole_line: true}
- {name: Lacoste, excluded_texts: [Lacoste Street]}
- {name: Stag, whole_line: false}
- {name: Castrol, min_length: 7}
- {name: Danone, included_texts: [One planet one health]}
"""
INDEX = LexiconIndex(parse_catalog(CATALOG.encode(), "b.yaml"))


def line(text, **seconds):
    """The line ``text``; ``seconds`` are the second choices at letters, by position: ``at4="E"``, at a cost of 2."""
    steps = []
    for at, character in enumerate(text):
        other = seconds.get(f"at{at}")
        steps.append(Step((character, other), (0.0, 2.0)) if other else Step((character,), (0.0,)))
        steps.append(Step((BLANK,), (0.0,)))
    return lattice_of(text, steps)


@pytest.mark.parametrize(
    ("text", "name", "cost"),
    [
        ("ROLEX", "rolex", 0.0),
        ("Rólex", "rolex", 0.0),
        ("FLY EMIRATES", "emirates", 0.0),
        ("Master Card", "mastercard", 0.0),  # a space within a name costs nothing
        ("ROLFX", "rolex", UNLISTED),
        ("ROLLEX", "rolex", UNLISTED),  # a letter too many
        ("ROEX", "rolex", UNLISTED),  # or too few
        ("OROLEX", "rolex", UNLISTED),  # an emblem at the edge
        ("EMMI", "emmi", 0.0),
        ("EMI", "emmi", 2 * UNLISTED),  # equal letters in a row need a step between them, which has a letter here
        ("PROLEXI", "rolex", 2 * UNLISTED),  # a name begins and ends at a word's edge
        ("WEIßBIER", "weissbier", 0.0),
        ("看抖音吧", "抖音", 0.0),  # of which every Han character has two
    ],
)
def test_the_cost_of_a_name_is_that_of_its_letters_and_of_the_steps_without_one(text, name, cost):
    found = fit(name, line(text), budget=30)
    assert found is not None
    assert found.cost == cost


def test_a_letter_may_go_on_for_several_steps():
    held = [Step((c,), (0.0,)) for c in "RROLLEX"]
    found = fit("rolex", lattice_of("ROLEX", held), budget=30)
    assert found is not None
    assert (found.cost, found.begin, found.end) == (0.0, 0, 6)


def test_a_letter_that_is_a_word_bears_twice_the_cost():
    finder = NameFinder(["抖音", "emmi"], per_letter=1.2)
    assert finder.fit(0, lattice_of("抖普", [Step((c, "音"), (0.0, 4.5)) for c in "抖普"])) is not None
    assert finder.fit(1, lattice_of("EMMI", [Step((c,), (0.0,)) for c in "EM"])) is None


def least_cost(name, lattice):
    """Of every alignment of ``name``, by plain dynamic programming."""
    slots, costs = lattice.slots, []
    for first in range(len(slots)):
        began = (0.0 if is_word(name[0]) else lattice.before[first]) + slots[first].letters.get(name[0], UNLISTED)
        now = {(0, True): began}  # by letter, and whether the step gives it
        for at in range(first, len(slots)):
            if at > first:
                before, now = now, {}
                for (i, on), cost in before.items():
                    letters, after = slots[at].letters, []
                    after.append(((i, False), cost + slots[at].silent))
                    if on:
                        after.append(((i, True), cost + letters.get(name[i], UNLISTED)))
                    if i + 1 < len(name) and not (on and name[i] == name[i + 1]):
                        after.append(((i + 1, True), cost + letters.get(name[i + 1], UNLISTED)))
                    for state, sum_ in after:
                        now[state] = min(sum_, now.get(state, inf))
            if (len(name) - 1, True) in now:
                costs.append(now[len(name) - 1, True] + (0.0 if is_word(name[-1]) else lattice.after[at + 1]))
    return min(costs, default=inf)


def test_no_alignment_within_the_budget_is_given_up():
    rng = Random(1)
    found = 0
    for _ in range(400):
        characters = ["abbc", "abß ", "aœ抖b"][rng.randrange(3)]
        steps = []
        for _ in range(rng.randrange(1, 9)):
            some = rng.sample([*dict.fromkeys(characters), BLANK], rng.randrange(1, 4))
            steps.append(Step(tuple(some), (0.0, *sorted(rng.randrange(1, 255) / 20 for _ in some[1:]))))
        read, name = lattice_of("", steps), "".join(rng.choices("abbcsoe抖", k=rng.randrange(1, 6)))
        least = least_cost(name, read)
        for budget in (1.2 * len(name), 11.0, 25.0, least):  # the last is kept exactly
            fitted = fit(name, read, budget)
            assert (fitted is None) == (least > budget or least == inf), (name, steps, budget)
            if fitted:
                assert fitted.cost == pytest.approx(least)
                found += 1
    assert found > 100


def test_a_second_choice_costs_less_than_an_unlisted_letter():
    found = fit("rolex", line("MY ROLFX", at6="E"), budget=3)
    assert found is not None
    assert (found.cost, found.begin // 2, found.end // 2) == (2.0, 3, 7)
    assert fit("rolex", line("MY ROLFX", at6="E"), budget=1) is None


def test_a_space_that_is_the_second_choice_is_an_edge_at_its_cost():
    found = fit("rolex", line("MY-ROLEX", at2=" "), budget=3)
    assert found is not None
    assert found.cost == 0.0  # a sign parts words as well
    steps = (
        [Step((c,), (0.0,)) for c in "MY"] + [Step((BLANK, " "), (0.0, 1.5))] + [Step((c,), (0.0,)) for c in "ROLEX"]
    )
    found = fit("rolex", lattice_of("MYROLEX", steps), budget=3)
    assert found is not None
    assert found.cost == 1.5


def test_a_missing_word_is_not_a_misread_one():
    assert lacks_a_word("formula1", {0, 7, 8}, line("FORMULA"), cost=UNLISTED)
    assert not lacks_a_word("formula1", {0, 7, 8}, line("FORMULAI", at7="1"), cost=2.0)
    assert not lacks_a_word("rolex", {0, 5}, line("ROLE"), cost=UNLISTED)


def test_a_letter_inside_that_the_reader_excluded_is_missing_and_one_at_an_end_may_be_cut_off():
    assert lacks_a_letter("mastercard", line("MASTERCORD"), cost=UNLISTED)
    assert not lacks_a_letter("mastercard", line("ASTERCARD"), cost=UNLISTED)
    assert not lacks_a_letter("mastercard", line("MASTERCAR"), cost=UNLISTED)
    assert not lacks_a_letter("mastercard", line("MASTERCORD", at7="A"), cost=2.0)


def test_only_names_whose_runs_of_letters_may_be_there_are_candidates():
    finder = NameFinder(["rolex", "role", "emirates", "mastercard"], per_letter=1.2)
    assert finder.candidates(line("ROLFX")) == []
    assert finder.candidates(line("ROLFX", at3="E")) == [0]
    assert finder.candidates(line("MASTERCORD")) == [3]  # ten letters bear an unlisted one
    assert finder.candidates(line("")) == []


def likely(lattice):
    return {hit.brand: hit for hit in INDEX.find_likely(lattice)}


def test_a_name_is_found_where_it_stands_in_the_text():
    hit = likely(line("MY ROLFX now", at6="E"))["Rolex"]
    assert (hit.rule, hit.start, hit.end) == ("lexicon", 3, 8)
    assert hit.score == pytest.approx(0.67, abs=0.01)  # exp(-2 / 5)


@pytest.mark.parametrize(
    ("text", "seconds", "found"),
    [
        ("STAC", {"at3": "G"}, {"Stag"}),
        ("STAC bar", {"at3": "G"}, set()),  # a short name only as a whole line
        ("ORANCE", {"at4": "G"}, {"Orange"}),
        ("ORANCE juice", {"at4": "G"}, set()),  # so an everyday one
        ("ORANCE COUNTY", {"at4": "G"}, set()),
        ("LACQSTE SHOP", {"at3": "O"}, {"Lacoste"}),
        ("LACQSTE STREET", {"at3": "O"}, set()),
        ("CASTRQL", {"at5": "O"}, {"Castrol"}),
        ("CASTRO L", {}, {"Castrol"}),
        ("FORMULA", {}, set()),  # without the word 1
        ("FORMULAI", {"at7": "1"}, {"Formula 1"}),
        ("ONE PLANFT ONE HEALTH", {"at8": "E"}, set()),  # a slogan counts as it is
        ("role", {"at3": "x"}, set()),
    ],
)
def test_rules_hold_for_likely_names_too(text, seconds, found):
    assert likely(line(text, **seconds)).keys() == found


def test_everyday_words_are_not_a_name_that_is_less_likely():
    index = LexiconIndex(parse_catalog(b"- Mercado\n- Hause\n", "b.yaml"))
    assert index.find_likely(line("HOUSE", at1="A")) == []
    assert [hit.brand for hit in index.find_likely(line("HQUSE", at1="A"))] == ["Hause"]


def test_an_everyday_word_that_is_likelier_at_the_same_place_is_no_name():
    index = LexiconIndex(parse_catalog(b"- Wimter\n- Wimter Garden Hotels\n", "b.yaml"))
    assert index.find_likely(line("WINTEF", at2="M", at5="R")) == []
    assert [hit.brand for hit in index.find_likely(line("WIMTEF", at5="R"))] == ["Wimter"]
    whole = line("WINTEF GARDEN HOTELS", at2="M", at5="R")  # the word is only part of what the name covers
    assert [hit.brand for hit in index.find_likely(whole)] == ["Wimter Garden Hotels"]


def test_what_may_be_part_of_a_name_of_several_words():
    index = LexiconIndex(parse_catalog(b"- Talksense Sports\n- Rolex\n", "b.yaml"))
    assert index.may_hold(line("TALKSENSF", at8="E")) == (("talksense",), ())
    assert index.may_hold(line("SPORTS")) == ((), ("sports",))
    assert index.may_hold(line("ROLEX")) == ((), ())


def test_lines_spell_a_name_together_of_which_each_has_a_word():
    index = LexiconIndex(parse_catalog(b"- Talksense Sports\n- Talksense\n- Nordwelt Waldau Sports\n", "b.yaml"))
    first, last, other = line("at TALKSENSF", at11="E"), line("SPORTS bar"), line("NORDWELT WALDAU")
    (begins, _), (_, ends) = index.may_hold(first), index.may_hold(last)
    [hit] = index.find_joined([first, last], begins, ends)
    assert (hit.brand, hit.start, hit.end) == ("Talksense Sports", 3, 19)
    assert index.find_joined([first, last], begins, ["waldau"]) == []
    assert index.find_joined([first, line("&"), last], begins, ends) == [], "of two words for three lines"
    [hit] = index.find_joined([other, last], index.may_hold(other)[0], ends)
    assert hit.brand == "Nordwelt Waldau Sports"
    whole = line("NORDWELT WALDAU SPORTS")
    assert index.find_joined([whole, last], ["nordwelt"], ends) == [], "the first line has all of it"


ABRIDGED = LexiconIndex(
    parse_catalog(
        b"""
- Haare statt Glatze
- Acmebank of Zedland
- {name: Acmebank Old Zedland, excluded_texts: [Acmebank Zedland]}
- Bank of America
- Aktion Deutschland Hilft
- Zed de Kolumbien
- Zedland Acmebank
- Tonnis de Zedland
- Kolumbien Zedland
- Kolumbien FC Zedland
- {name: Zedbank de Kolumbien, min_length: 30}
- {name: Kolbank de Kolumbien, whole_line: true}
- Kolumbien de Canal
""",
        "b.yaml",
    )
)


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        ("HAARE", "GLATZE", ["Haare statt Glatze"]),
        ("HAARE", "GLAUZE", []),  # a letter that the reader excluded
        ("HAARE", "GLATZESTAUB", []),
        ("ACMEBANK", "ZEDLAND", ["Acmebank of Zedland"]),  # the other name excludes what is read
        ("NEW HAARE", "GLATZE", []),  # lines of one word each
        ("HAARE", "GLATZE 24", []),
        ("BANK", "AMERICA", []),  # everyday words
        ("AKTION", "HILFT", []),  # the word between them is long
        ("ZED", "KOLUMBIEN", []),  # one of the others is short
        ("KOLUMBIEN", "CANAL", []),  # or everyday
        ("KOLUMBIEN", "ZEDLAND", []),  # both are a name of their own
        ("ZEDBANK", "KOLUMBIEN", []),  # a name that needs more letters
        ("KOLBANK", "KOLUMBIEN", []),  # or a line of its own
        ("ZEDLAND", "ACMEBANK", []),  # a name of two words is spelled whole
    ],
)
def test_two_lines_may_lack_a_short_word_of_a_name_between_them(first, last, found):
    assert [hit.brand for hit in ABRIDGED.find_abridged(line(first), line(last))] == found


def test_a_word_that_is_rather_an_everyday_one_is_no_word_of_a_name():
    assert ABRIDGED.find_abridged(line("TENNIS", at1="O"), line("ZEDLAND")) == []
    assert [hit.brand for hit in ABRIDGED.find_abridged(line("TXNNIS", at1="O"), line("ZEDLAND"))] == [
        "Tonnis de Zedland"
    ]


def test_what_lacks_a_word_is_as_likely_as_the_words_that_are_there():
    (whole,) = ABRIDGED.find_abridged(line("HAARE"), line("GLATZE"))
    assert (whole.alias, whole.score, whole.start, whole.end) == ("Haare statt Glatze", 1.0, 0, 12)
    (less,) = ABRIDGED.find_abridged(line("HAARF", at4="E"), line("GLATZE"))
    assert less.score == pytest.approx(exp(-2 / 11))


def test_a_text_alone_is_matched_as_the_string_rules_do():
    assert [h.brand for h in INDEX.find_likely(spelled("EM1RATES", True))] == ["Emirates"]
    assert INDEX.find_likely(spelled("MAROLES", False)) == []
