"""Lines as their readers saw them."""

import pytest

from brand_detect.domain.lattice import BLANK, CONFUSED, UNLISTED, Step, joined, lattice_of, spelled


def steps(*shown):
    """Steps from mappings of characters to costs."""
    return [Step(tuple(step), tuple(step.values())) for step in shown]


def test_a_step_has_letters_of_the_key_whatever_their_case_and_accents():
    [slot] = lattice_of("É", steps({"É": 0.0, "e": 1.0, "B": 2.0, BLANK: 3.0})).slots
    assert (slot.letters, slot.silent, slot.end) == ({"e": 0.0, "b": 2.0}, 3.0, 1)


def test_signs_part_words_and_are_no_letters():
    [slot] = lattice_of("-", steps({"-": 0.0, "i": 2.0})).slots
    assert (slot.letters, slot.silent, slot.parting) == ({"i": 2.0}, 0.0, 0.0)


def test_a_character_of_several_letters_has_a_step_for_each():
    assert [slot.letters for slot in lattice_of("œ", steps({"œ": 0.0})).slots] == [{"o": 0.0}, {"e": 0.0}]


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_character_of_several_letters_that_goes_on_has_each_letter_once(times):
    line = lattice_of("œ", steps(*[{"œ": 0.0}] * times))
    assert [slot.letters for slot in line.slots] == [{"o": 0.0}] * times + [{"e": 0.0}]


def test_equal_letters_of_one_character_have_a_step_without_a_letter_between_them():
    assert [(slot.letters, slot.silent) for slot in lattice_of("ß", steps({"ß": 0.0})).slots] == [
        ({"s": 0.0}, UNLISTED),
        ({}, 0.0),
        ({"s": 0.0}, UNLISTED),
    ]


def test_a_repeated_character_counts_once_and_spaces_before_the_text_not_at_all():
    line = lattice_of("oo", steps({" ": 0.0}, {"o": 0.0}, {"o": 0.0}, {BLANK: 0.0}, {"o": 0.0}))
    assert [slot.end for slot in line.slots] == [0, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("certain", "letters"),
    [
        (False, {"r": 0.0, "8": CONFUSED, "b": CONFUSED}),
        (True, {"r": 0.0, "8": CONFUSED}),  # a network that is certain does not take R for B
    ],
)
def test_a_text_alone_may_be_what_ocr_confuses_with_it(certain, letters):
    assert spelled("R", certain).slots[0].letters == letters


def test_edges_are_at_the_ends_and_at_spaces_that_are_likely_enough():
    a, b = {"a": 0.0}, {"b": 0.0}
    assert lattice_of("ab", steps(a, {BLANK: 0.0, " ": 2.0}, b)).before == [0.0, UNLISTED, 2.0, UNLISTED + 2.0]
    assert lattice_of("ab", steps(a, {BLANK: 0.0, " ": 4.0}, b)).before[2] == UNLISTED
    assert lattice_of("a b", steps(a, {" ": 0.0}, b)).after == [UNLISTED, 0.0, UNLISTED, 0.0]


def test_trigrams_hold_second_choices_and_leave_out_what_costs_too_much():
    line = lattice_of("rolf", steps({"r": 0.0}, {"o": 0.0}, {"l": 0.0}, {"f": 0.0, "e": 2.0, "t": 7.0}))
    assert line.trigrams() == {" ro", "rol", "olf", "ole", "lf ", "le "}


def test_neighbours_make_one_line():
    line = joined([spelled("BNP", True), spelled("PARIBAS", True)])
    assert line.text == "BNP PARIBAS"
    assert line.slots[-1].end == len(line.text)
    assert {"np ", " pa"} <= line.trigrams()


@pytest.mark.parametrize("told", [(True, True), (True, False), (False, True)])
def test_of_neighbours_as_one_line_all_is_told_if_it_is_of_each(told):
    assert joined([spelled("BNP", told[0]), spelled("PARIBAS", told[1])]).is_told == all(told)
