import json
from typing import Any

import pytest

from brand_detect.domain.answers import (
    LONGEST_NAME,
    LONGEST_REASON,
    BrandAnswer,
    may_be_a_name,
    plain,
    read_reply,
    without_generic,
)

NIKE = '{"verdict": "brand", "brand": "Nike", "confidence": 0.9, "mark": "symbol", "surface": "clothing"}'
NONE = '{"verdict": "none", "confidence": 0.8}'


@pytest.mark.parametrize(
    "reply",
    [
        NIKE,
        f"```json\n{NIKE}\n```",
        f"Sure! Here is the answer:\n\n{NIKE}\n\nLet me know if I can help you further.",
        f"A brace {{ that opens nothing, and {{another}}. {NIKE}",
        f"The form was {NONE}. My answer: {NIKE}",
        f'{NIKE} {{"note": "this is not the form"}}',
        NIKE.replace('"brand",', '" BRAND ",'),
        NIKE.replace(', "mark"', ',\n "unasked": {"deep": [1, {}]}, "mark"'),
    ],
    ids=["bare", "fenced", "prose", "braces", "two, the last counts", "one is none", "letters", "more fields"],
)
def test_the_answer_is_found_in_the_reply(reply: str):
    answer = read_reply(reply)
    assert (answer.status, answer.name, answer.confidence) == ("answered", "Nike", 0.9)
    assert (answer.logo_type, answer.placement, answer.reasoning) == ("symbol", "clothing", "")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("", "no JSON object, in ''"),
        ("It is Nike.", "no JSON object, in 'It is Nike.'"),
        (NIKE[:-5], "no JSON object"),
        (f"[{NIKE[:40]}", "no JSON object"),
        ('{"confidence": 0.9}', "verdict: field required"),
        ('{"verdict": "brand", "brand": "Nike"}', "confidence: field required"),
        (f'{{"answer": {NIKE}}}', "verdict: field required"),
        (NIKE.replace("0.9", '"90%"'), "confidence: input should be a valid number"),
        (NIKE.replace("0.9", "90"), "confidence: input should be less than or equal to 1"),
        (NIKE.replace("0.9", "-0.1"), "confidence: input should be greater than or equal to 0"),
        (NIKE.replace("0.9", "NaN"), "confidence: input should be"),
        (NIKE.replace("0.9", "null"), "confidence: input should be a valid number"),
        (NIKE.replace('"Nike"', "5"), "brand: input should be a valid string"),
        (NIKE.replace('"Nike"', '["Nike", "Puma"]'), "brand: input should be a valid string"),
        (NIKE.replace('"brand",', '["brand"],'), "verdict: input should be 'brand', 'none' or 'unreadable'"),
        (NIKE.replace('"brand",', '"certainly",'), "verdict: input should be 'brand', 'none' or 'unreadable'"),
        ("{" * 5000, "no JSON object"),
        ('{"a":' * 5000, "no JSON object"),
        ('{"verdict": "none", "confidence": 1' + "1" * 5000 + "}", "no JSON object"),
    ],
)
def test_what_is_not_in_the_form_is_refused_and_quoted_in_short(reply: str, said: str):
    with pytest.raises(ValueError, match=r"in ['\"]") as refused:
        read_reply(reply)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 250


def answer(**changes: Any) -> BrandAnswer:
    return read_reply(json.dumps({"verdict": "brand", "brand": "Nike", "confidence": 0.9} | changes))


@pytest.mark.parametrize(
    ("changes", "status", "name"),
    [
        ({"brand": ' "Nike". '}, "answered", "Nike"),
        ({"brand": "Ni\u202eke\n\tSB\x00"}, "answered", "Nike SB"),
        ({"brand": "N" * 200}, "answered", "N" * (LONGEST_NAME - 1) + "…"),
        ({"brand": ""}, "unreadable", ""),
        ({"brand": None}, "unreadable", ""),
        ({"brand": " ?! "}, "unreadable", "?!"),
        ({"verdict": "none"}, "none", ""),
        ({"verdict": "unreadable"}, "unreadable", ""),
    ],
)
def test_a_name_is_one_line_cut_to_size_and_only_where_the_verdict_is_a_brand(
    changes: dict[str, Any], status: str, name: str
):
    said = answer(**changes)
    assert (said.status, said.name) == (status, name)


def test_kinds_that_are_none_are_other_and_reasons_are_short():
    said = answer(mark="hologram", surface=["board"], reason="It is so.\n" * 100)
    assert (said.logo_type, said.placement) == ("other", "other")
    assert len(said.reasoning) == LONGEST_REASON
    assert "\n" not in said.reasoning
    assert answer(reason=None).reasoning == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Nike", "Nike"),
        ("  a \n\t b\r\n", "a b"),
        ("a\u00a0b\u2028c", "a b c"),
        ("\u202egnirts\u202c \u200bx\ufeff", "gnirts x"),
        ("bell\x07 esc\x1b[31m", "bell esc[31m"),
        ("Itaú 华为 Ⓡ", "Itaú 华为 Ⓡ"),
        ("0123456789", "0123456789"),
        ("0123456789x", "012345678…"),
    ],
)
def test_plain_is_one_line_without_what_cannot_be_seen(text: str, shown: str):
    assert plain(text, 10 if text.startswith("0") else 99) == shown


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Nike logo", "Nike"),
        ("the Nike brand logo.", "Nike"),
        ("The North Face", "North Face"),
        ("The", "The"),
        ("Logo", "Logo"),
        ("logo company", "logo"),
        ("Ford Motor Company", "Ford Motor"),
        ("Brand New", "Brand New"),
        ("", ""),
    ],
)
def test_what_models_put_around_a_name_is_taken_off(name: str, kept: str):
    assert without_generic(name) == kept


@pytest.mark.parametrize("name", ["Zymvora", "Zymvora Iced Tea", "华为", "7-Eleven", "A.P. Møller – Mærsk", "H&M"])
def test_names_that_the_catalogue_lacks_may_be_names(name: str):
    assert may_be_a_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "appears to be a contemporary brand",
        "Unknown",
        "possibly Nike",
        "N/A: cannot tell",
        "generic sports logo",
        "a red board with white letters on it",
        "None",
        "?!",
        "",
    ],
)
def test_a_sentence_about_a_mark_is_no_name(name: str):
    assert not may_be_a_name(name)
