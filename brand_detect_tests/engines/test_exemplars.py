"""Views of drawings and photographs whose pixels are known."""

import numpy as np
import pytest

from brand_detect.engines.exemplars import views_of


def disc(colour):
    """A disc of one colour (R, G, B) on nothing."""
    y, x = np.mgrid[-1:1:40j, -1:1:40j]
    art = np.zeros((40, 40, 4), np.uint8)
    art[..., :3] = colour
    art[..., 3] = np.where(x**2 + y**2 < 0.8, 255, 0)
    return art


def test_a_drawing_is_shown_on_light_and_dark():
    light, dark = views_of(disc((255, 0, 0)))
    middle = light.shape[0] // 2
    assert light.shape == dark.shape == (44, 44, 3)
    assert (light[0, 0].tolist(), dark[0, 0].tolist()) == ([255] * 3, [0] * 3)
    assert light[middle, middle].tolist() == dark[middle, middle].tolist() == [0, 0, 255]  # blue first


@pytest.mark.parametrize(("colour", "on_light", "on_dark"), [(0, 0, 255), (255, 0, 255)])
def test_what_would_not_stand_out_takes_the_other_colour(colour, on_light, on_dark):
    light, dark = views_of(disc((colour,) * 3))
    middle = light.shape[0] // 2
    assert (light[middle, middle, 0], dark[middle, middle, 0]) == (on_light, on_dark)


def photograph(height, width):
    art = np.full((height, width, 4), 255, np.uint8)
    art[:, :, 0] = 7
    art[:, width // 2 :, 1] = 50
    return art


def test_a_photograph_is_shown_as_it_is_closer_wider_blurred_and_small():
    as_it_is, closer, wider, blurred, small = views_of(photograph(100, 200))
    assert as_it_is.shape == blurred.shape == (100, 200, 3)
    assert as_it_is[0, 0].tolist() == [255, 255, 7]
    assert (closer.shape, wider.shape, small.shape) == ((88, 176, 3), (132, 232, 3), (24, 48, 3))
    assert np.unique(as_it_is[:, :, 1]).tolist() == [50, 255]
    assert len(np.unique(blurred[:, :, 1])) > 4


def test_a_small_photograph_is_not_made_smaller():
    assert [min(v.shape[:2]) for v in views_of(photograph(20, 30))] == [20, 18, 24, 20]
