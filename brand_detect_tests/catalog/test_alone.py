"""Short and everyday names beside clocks and in web addresses."""

import pytest

from brand_detect.catalog import LexiconIndex, parse_catalog

BRANDS = "[UFC, KIA, ewz, Orange, {name: Hewlett-Packard, aliases: [HP]}, Emirates]"


@pytest.fixture(scope="module")
def index():
    return LexiconIndex(parse_catalog(BRANDS.encode(), "b.yaml"))


@pytest.mark.parametrize(
    ("text", "brands"),
    [
        ("UFC 4:49", ["UFC"]),
        ("102:07 KIA", ["KIA"]),
        ("UFC 4:49 ROUND", []),
        ("KIA 4", []),  # a team's score
        ("KIA 4:7", []),
        ("UFC 4:77", []),
        ("UFC 1:04:49", []),  # a timing board's name stands beside other names
    ],
)
def test_a_clock_beside_a_name_leaves_it_alone(index: LexiconIndex, text: str, brands: list[str]):
    assert [h.brand for h in index.find(text, fuzzy_score=0.88, min_fuzzy_length=5)] == brands


@pytest.mark.parametrize(
    ("text", "brands"),
    [
        ("ewz.ch", ["ewz"]),
        ("EWZ.CH", ["ewz"]),
        ("jobs: ewz.ch/jobs", ["ewz"]),
        ("more at www.ewz.ch", ["ewz"]),
        ("more at https://ewz.ch.", ["ewz"]),
        ("write to jobs@ewz.ch", ["ewz"]),
        ("more at ewz.co.uk/jobs", ["ewz"]),
        ("MORE AT EWZ.COM.BR", ["ewz"]),
        ("see hp.com/ink today", ["Hewlett-Packard"]),
        ("made by ewz.Ch", []),  # the next sentence, without its space
        ("see ewz-blog.ch", []),
        ("see blog-ewz.ch", []),
        ("see ewz.blog.ch", []),
        ("see ewz.ch@mail.ch", []),
        ("see ewz.c", []),
        ("see ewz ch", []),
        ("peel an orange.it is sweet", []),  # an everyday word
    ],
)
def test_a_short_name_counts_as_the_host_of_an_address(index: LexiconIndex, text: str, brands: list[str]):
    assert [h.brand for h in index.find(text, fuzzy_score=0.88, min_fuzzy_length=5)] == brands
