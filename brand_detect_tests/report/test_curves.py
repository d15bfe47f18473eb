"""The page of curves: well formed, self-contained, true to its figures, whatever texts it shows."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brand_detect.report.curves import HEIGHT, LANES, WIDTH, Curve, Lane, Panel, SweepPage, render, ticks
from brand_detect_tests.report.test_page import HOSTILE, Page

PAGE = SweepPage(
    param="match_brands.fuzzy_score",
    job_id="match",
    video="/videos/match.mp4",
    attempt="run-1-0",
    clip="match.mp4",
    fixed=("compile_report.bridge_s = 2",),
    positions=(0.7, 0.8, 0.9),
    labels=("0.7", "0.8", "0.9"),
    numeric=True,
    in_force=1,
    panels=(
        Panel("Brands reported", "brands", (Curve("reported", (3.0, 2.0, 1.0)), Curve("false", (1.0, 0.0, 0.0)))),
        Panel("Recall", "%", (Curve("recall", (100.0, 50.0, None)),), top=100.0),
    ),
    lanes=(Lane("Rolex", (4.0, 3.0, 2.0), False), Lane("Henkel", (1.0, 0.0, 0.0), True)),
    columns=("value", "brands"),
    rows=(("0.7", "3"), ("0.8", "2"), ("0.9", "1")),
    notes=("Models were asked.",),
    timing="0.01 s a value",
)


def test_the_page_is_well_formed_and_asks_no_host():
    html = render(PAGE)
    page = Page(html)
    names = {name for name, _ in page.elements}
    assert not names & {"script", "img", "iframe", "object", "form"}
    assert "http://" not in html
    assert "https://" not in html
    policy = next(a["content"] for name, a in page.elements if name == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    assert "prefers-color-scheme: dark" in html


def test_dots_stand_where_their_figures_are():
    page = Page(render(PAGE))
    dots = [(float(a["cx"] or 0), float(a["cy"] or 0)) for name, a in page.elements if name == "circle"]
    assert len(dots) == 3 + 3 + 2, "no dot where there is no figure"
    reported, recall = dots[:3], dots[6:]
    assert [x for x, _ in reported] == sorted(x for x, _ in reported)
    assert [y for _, y in reported] == sorted(y for _, y in reported), "down the page with fewer brands"
    top, half = recall[0][1], recall[1][1]
    bottom = next(float(a["y1"] or 0) for name, a in page.elements if name == "line")
    assert half == pytest.approx((top + bottom) / 2, abs=0.2)
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in dots)


def test_words_have_no_line_between_them():
    words = replace(PAGE, numeric=False, positions=(0.0, 1.0, 2.0), labels=("a", "b", "c"))
    assert "polyline" not in {name for name, _ in Page(render(words)).elements}
    assert "polyline" in {name for name, _ in Page(render(PAGE)).elements}


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_strangers_stay_texts(text: str):
    lanes = (Lane(text, (1.0, 0.0, 2.0), True),)
    hostile = replace(PAGE, job_id=text, video=text, clip=text, fixed=(text,), lanes=lanes, notes=(text[:300],))
    assert {name for name, _ in Page(render(hostile)).elements} == {name for name, _ in Page(render(PAGE)).elements}


def test_one_value_no_brand_and_very_many_are_drawn():
    one = replace(
        PAGE, positions=(0.8,), labels=("0.8",), in_force=0, panels=(Panel("Brands", "brands", (Curve("b", (0.0,)),)),)
    )
    one = replace(one, lanes=(), rows=(("0.8", "0"),))
    assert "1 value over the checkpoints of" in Page(render(one)).text
    Page(render(replace(one, positions=(1e17,))))
    many = tuple(Lane(f"brand {n}", (1.0, 0.0, 0.0), False) for n in range(LANES + 7))
    assert "Not drawn: 7 more brands" in render(replace(PAGE, lanes=many))


@given(st.integers(-10_000, 10_000), st.integers(1, 10_000), st.integers(2, 10), st.booleans())
def test_ticks_are_few_rising_and_reach_the_end(begin: int, steps: int, most: int, whole: bool):
    low, high = begin / 100, (begin + steps) / 100
    found = ticks(low, high, most, whole=whole)
    assert 2 <= len(found) <= most + 2
    assert found == sorted(set(found))
    assert found[0] >= low - 1e-9
    assert found[-1] >= high - 1e-9
    if whole:
        assert found == [float(round(f)) for f in found]
