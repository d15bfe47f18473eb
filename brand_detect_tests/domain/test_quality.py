"""The quality score: formulas whose results are known, and properties that any scale has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from brand_detect.domain.contracts.compile_report import ZONES
from brand_detect.domain.quality import MEASURES, QualityScale, weighted

FORM = {
    "version": 1,
    "weights": {"size": 2, "position": 0, "clarity": 1, "visibility": 0, "exclusive": 0, "duration": 1},
    "size": {"full": 0.1},
    "position": {"centre": 1.0, "edge": 0.5, "corner": 0.25},
    "clarity": {
        "weights": {"height": 1, "sharpness": 1, "contrast": 1, "confidence": 1},
        "height": {"none": 0.01, "full": 0.05},
        "sharpness": {"half": 100},
        "contrast": {"full": 0.2},
    },
    "duration": {"full": 4},
    "media": {"size_exponent": 0.5},
}
SCALE = QualityScale.model_validate(FORM)
unit = st.floats(0, 1)


def test_each_measure_by_its_formula() -> None:
    assert SCALE.of_size([0.0, 0.05, 0.1, 0.4]).tolist() == [0.0, 0.5, 1.0, 1.0]
    assert SCALE.of_duration([1.0, 9.0]).tolist() == [0.25, 1.0]
    assert dict(zip(ZONES, SCALE.of_zone(np.arange(9)).tolist(), strict=True)) == {
        **dict.fromkeys(("top-left", "top-right", "bottom-left", "bottom-right"), 0.25),
        **dict.fromkeys(("top", "left", "right", "bottom"), 0.5),
        "centre": 1.0,
    }
    # height (0.03 - 0.01) / 0.04, sharpness 300 / 400, contrast 0.1 / 0.2, confidence as it is
    assert SCALE.of_clarity([0.03], [300.0], [0.1], [1.0]).tolist() == pytest.approx([(0.5 + 0.75 + 0.5 + 1.0) / 4])
    assert float(SCALE.quality({**dict.fromkeys(MEASURES, 0.0), "size": 1.0, "duration": 1.0})) == 0.75


def test_the_media_factor_is_a_power_of_the_size_times_quality() -> None:
    assert SCALE.media_factor([0.0, 0.01, 0.25, 1.0], [1.0, 1.0, 0.5, 0.9]).tolist() == [0.0, 0.1, 0.25, 0.9]
    assert float(SCALE.media_factor(0.5, np.nan)) == 0.0  # nothing of its quality was measured


@given(st.floats(0, 0.0005), unit, st.floats(0.395, 4))
def test_no_scale_lets_a_small_mark_count_more_than_a_twentieth(area: float, quality: float, exponent: float) -> None:
    scale = QualityScale.model_validate(FORM | {"media": {"size_exponent": exponent}})
    assert 0.0 <= float(scale.media_factor(area, quality)) <= 0.05


@given(unit, unit, unit)
def test_the_media_factor_is_a_share_that_grows_with_the_size(area: float, other: float, quality: float) -> None:
    low, high = sorted((area, other))
    assert 0.0 <= float(SCALE.media_factor(low, quality)) <= float(SCALE.media_factor(high, quality)) <= 1.0


def test_what_was_not_measured_is_left_out() -> None:
    assert SCALE.of_clarity([0.05], [100.0], [np.nan], [1.0]).tolist() == pytest.approx([(1.0 + 0.5 + 1.0) / 3])
    assert np.isnan(weighted({"a": np.array([np.nan])}, {"a": 1.0})).all()


@given(st.fixed_dictionaries(dict.fromkeys(MEASURES, unit)), st.sampled_from(MEASURES), unit)
def test_quality_is_a_share_that_grows_with_each_measure(scores: dict[str, float], name: str, other: float) -> None:
    more = {**scores, name: max(scores[name], other)}
    assert 0.0 <= float(SCALE.quality(scores)) <= float(SCALE.quality(more)) + 1e-12 <= 1.0 + 1e-9


def test_the_digest_follows_what_decides_the_score() -> None:
    assert SCALE.digest == QualityScale.model_validate(FORM | {"description": "words"}).digest
    assert SCALE.digest != QualityScale.model_validate(FORM | {"duration": {"full": 5}}).digest


@pytest.mark.parametrize(
    "wrong",
    [
        {"weights": {"size": 1}},
        {"weights": dict.fromkeys(MEASURES, 0)},
        {"weights": dict.fromkeys(MEASURES, -1)},
        {"size": {"full": 0}},
        {"clarity": FORM["clarity"] | {"height": {"none": 0.2, "full": 0.1}}},
        {"position": {"centre": 2, "edge": 0, "corner": 0}},
        {"loudness": 1},
        {"media": {"size_exponent": 0.39}},
    ],
)
def test_a_scale_that_makes_no_sense_is_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        QualityScale.model_validate(FORM | wrong)
