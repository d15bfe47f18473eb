"""Lines fitted to answers whose odds are known."""

import numpy as np
import pytest


@pytest.fixture
def fitted():
    from brand_detect.training.calibration import fitted  # with torch

    return fitted


def test_the_odds_that_answers_were_drawn_with_are_found_again(fitted):
    rng = np.random.default_rng(1)
    rarity = rng.uniform(0, 4, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-(1.5 * rarity - 2.5)))
    assert fitted(rarity, right) == (pytest.approx(1.5, abs=0.1), pytest.approx(-2.5, abs=0.15))


def test_probability_never_falls_with_rarity(fitted):
    rarity = np.linspace(0, 4, 200)
    slope, _ = fitted(rarity, rarity < 2)
    assert 0 <= slope < 0.1
