import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from brand_detect.domain.text import NearIndex, fold, key_of, line_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Itaú!", ["itau"]),
        ("  BNP-Paribas ", ["bnp", "paribas"]),
        ("McDonald’s", ["mcdonalds"]),
        ("H&M", ["h", "&", "m"]),
        ("Disney+", ["disney", "+"]),
        ("ØRSTED Straße ﬁne", ["orsted", "strasse", "fine"]),
        ("Rolex™", ["rolex"]),
        ("e\u0301te\u0301", ["ete"]),
        ("华为手机", ["华", "为", "手", "机"]),
        ("삼성 Galaxy", ["삼", "성", "galaxy"]),
        ("अमूल मक्खन", ["अमूल", "मकखन"]),  # vowel signs are letters, the sign that takes a vowel away is an accent
        ("กสิกร", ["ก", "ส", "ิ", "ก", "ร"]),
        ("❤\ufe0f Rolex", ["rolex"]),
        ("...", []),
    ],
)
def test_words(text, words):
    assert line_of(text).words == words


def test_positions_lead_back_to_the_text():
    line = line_of("«Straße» Itaú")
    assert [("«Straße» Itaú")[line.at[a]] for a in line.cuts[:-1]] == ["S", "I"]
    assert len(line.at) == len(line.key) == line.cuts[-1]


@given(st.text(max_size=40))
@example("ǅ İ ﬃ ½ ㎏ ͅ ẞ")
@example("㋀㍻")
def test_normalising_twice_changes_nothing(text):
    line = line_of(text)
    assert key_of(line.key) == line.key
    assert line_of(" ".join(line.words)).words == line.words
    assert list(line.at) == sorted(line.at)


@given(st.text(max_size=40))
@example("삼성 \ub300\ud55c각")
@example("কো ಕೋ ක\u0ddd")  # vowel signs of two and three parts
def test_decomposed_text_has_the_same_key(text):
    assert line_of(unicodedata.normalize("NFD", text)) == line_of(unicodedata.normalize("NFC", text))


@given(st.text("abcdeilmnorsuvwz0158 ", max_size=20))
def test_case_and_spaces_do_not_count(text):
    assert key_of(text.upper()) == key_of(text.replace(" ", ""))


@pytest.mark.parametrize(
    ("read", "meant"),
    [("r0lex", "rolex"), ("lntel", "intel"), ("5ony", "sony"), ("8osch", "bosch"), ("ernirates", "emirates"),
     ("vvilson", "wilson"), ("aucli", "audi"), ("bvlgari", "bulgari")],
)  # fmt: skip
def test_confusions_fold_to_the_same(read, meant):
    assert fold(read) == fold(meant)
    assert fold(meant) != fold(meant + "x")


words = st.lists(st.text("abc", min_size=1, max_size=14), min_size=1, max_size=20)


@given(words, st.text("abc", max_size=16), st.integers(0, 4))
def test_near_finds_all_that_a_plain_loop_finds(strings, query, k):
    def edits(length):
        return min(k, length // 3)

    near = NearIndex(strings, edits).near(query)
    for i, string in enumerate(strings):
        if Levenshtein.distance(query, string) <= edits(len(string)):
            assert i in near
