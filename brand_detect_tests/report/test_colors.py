from collections.abc import Sequence

from brand_detect.report.colors import COLORS, colors_of

BRANDS = ("heineken", "lenovo", "rolex", "visa", "itau", "emirates", "fedex", "hisense")


def by_brand(brand_ids: Sequence[str]) -> dict[str, object]:
    return dict(zip(brand_ids, colors_of(brand_ids), strict=True))


def test_another_order_changes_no_colour() -> None:
    assert by_brand(BRANDS) == by_brand(BRANDS[::-1])


def test_a_brand_that_comes_or_goes_leaves_most_others_their_colours() -> None:
    every = by_brand(BRANDS)
    changed = [
        sum(every[b] != color for b, color in by_brand([b for b in BRANDS if b != gone]).items()) for gone in BRANDS
    ]
    assert max(changed) <= 3
    assert sum(changed) <= len(BRANDS)


def test_the_first_brands_have_a_colour_each_and_later_ones_change_none() -> None:
    many = [f"brand-{n}" for n in range(200)]
    first = colors_of(many)[: len(COLORS)]
    assert sorted(first) == sorted(COLORS)
    assert colors_of(many[: len(COLORS)]) == first
    assert set(colors_of(many)) == set(COLORS)
