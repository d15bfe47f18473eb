"""What the canvas draws."""

from dataclasses import replace

import numpy as np
import pytest

from brand_detect.domain.protocols import Image, Label
from brand_detect.engines.canvas import OpenCvCanvas

BLUE = (0, 0, 255)  # red, green, blue


def drawn(text: str, **changes: float) -> Image:
    label = Label(x=40, y=40, text=text, size_px=20, color=(255, 255, 255), background=BLUE, **changes)
    blank = np.zeros((120, 400, 3), np.uint8)
    sheet = OpenCvCanvas().draw(blank, [label])
    assert not blank.any(), "the picture that was given has changed"
    return sheet


def extent(sheet: Image) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(sheet.any(axis=2))
    return int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())


def test_a_label_stands_on_a_plate_that_holds_all_of_it() -> None:
    sheet = drawn("Nike")
    left, top, right, bottom = extent(sheet)
    assert (left, top, bottom) == (36, 36, 64)
    assert right < 110
    plate = sheet[top : bottom + 1, left : right + 1]
    assert (plate[[0, -1]] == (191, 0, 0)).all()  # three quarters of blue over black
    assert (plate[:, [0, -1]] == (191, 0, 0)).all()
    assert (plate == 255).all(axis=2).any(), "no letter is to be seen"


def test_a_longer_text_has_a_wider_plate() -> None:
    assert extent(drawn("Nike Nike"))[2] > extent(drawn("Nike"))[2] + 20


@pytest.mark.parametrize("text", ["x" * 10_000, "two\nlines " * 50, "\u202eevil " * 50])
def test_no_text_goes_beyond_its_width(text: str) -> None:
    left, top, right, bottom = extent(drawn(text, max_width_px=200))
    assert right - left <= 200 + 2 * 4 + 1
    assert (top, bottom) == (36, 64)


def test_the_picture_shows_through_a_plate_and_nothing_is_drawn_beyond_the_picture() -> None:
    halves = np.zeros((120, 400, 3), np.uint8)
    halves[:, 45:] = 200
    label = Label(x=-2, y=-3, text="Nike", size_px=20, color=(255, 255, 255), background=BLUE)
    sheet = OpenCvCanvas().draw(halves, [label, replace(label, x=390, y=110), replace(label, x=300, y=600)])
    assert [sheet[20, x].tolist() for x in (0, 70)] == [[191, 0, 0], [200, 200, 200]]
    assert (sheet[60:100] == halves[60:100]).all()
    wide = OpenCvCanvas().draw(halves, [replace(label, x=40, y=40)])
    assert [wide[37, x].tolist() for x in (44, 45)] == [[191, 0, 0], [241, 50, 50]]
