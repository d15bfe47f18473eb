"""Pictures of a drawing whose outline is known."""

import numpy as np
import pytest

from brand_detect.training.distortion import Scenery, clean, photographed


@pytest.fixture
def art():
    """A black L, half of its box, on nothing."""
    picture = np.zeros((60, 60, 4), np.uint8)
    picture[:, :15, 3] = picture[45:, :, 3] = 255
    return picture


def test_a_clean_exemplar_shows_ink_and_plate(art):
    shown = clean(art, True, np.random.default_rng(1), 64)
    assert shown.shape == (64, 64, 3)
    assert set(np.unique(shown[10:20, 40:50])) != set(np.unique(shown[30:40, 8:14]))


def test_pictures_differ_by_chance_and_not_by_the_seed(art):
    def taken(seed):
        rng = np.random.default_rng(seed)
        return photographed(art, True, Scenery([art], rng, count=2), rng, 64)

    assert taken(1).shape == (64, 64, 3)
    assert (taken(1) == taken(1)).all()
    assert (taken(1) != taken(2)).any()
