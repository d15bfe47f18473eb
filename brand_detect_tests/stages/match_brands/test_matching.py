"""Which texts may be a name."""

import pytest

from brand_detect.stages.match_brands.matching import may_be


@pytest.mark.parametrize(
    ("text", "name", "may"),
    [
        ("Head", "Head", True),
        ("HEAF", "Head", True),
        ("HSBC", "Head", False),
        ("KATRADE.COM", "Checkatrade", True),
        ("TRADE", "Checkatrade", True),
        ("AIR", "Emirates", False),  # too short to be a piece
        ("TIMELESS", "TIM", False),  # the name is a piece of it
        ("R", "Rolex", True),  # hardly legible
        ("40:13", "Rolex", False),  # folded, its digits are letters
        ("360", "360", True),
    ],
)
def test_a_misread_name_or_a_long_piece_of_it_may_be_the_name(text, name, may):
    assert may_be(text, name) is may
