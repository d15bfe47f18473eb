"""The fit of probabilities."""

import numpy as np
import pytest

from brand_detect.training.lexicon import fitted, predicted


def test_a_fit_finds_the_weights_that_made_the_data():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20_000, 2))
    right = rng.random(20_000) < predicted(features, np.array([-1.0, 2.0, -0.5]))
    assert fitted(features, right.astype(float)) == pytest.approx([-1.0, 2.0, -0.5], abs=0.1)


def test_a_feature_that_parts_all_gets_no_endless_weight():
    features = np.array([[-1.0], [1.0]] * 5)
    assert 0 < fitted(features, np.array([0.0, 1.0] * 5))[1] < 5
