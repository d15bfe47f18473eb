"""Rules that tell what carries a brand."""

from dataclasses import replace

import pytest

from brand_detect.domain.placements import TrackFigures, placement_of, placement_rules

BOARD = TrackFigures("text", "", "", frozenset(), aspect=6.0, area_frac=0.01, cx=0.5, cy=0.7)
RULES = placement_rules(
    [
        {"placement": "clothing", "inside": "person"},
        {"placement": "board", "kind": "text", "min_aspect": 3, "min_cy": 0.5, "max_area_frac": 0.02},
    ]
)


def test_the_first_rule_that_fits_decides() -> None:
    assert placement_of(BOARD, RULES) == "board"
    assert placement_of(replace(BOARD, inside=frozenset({"person", "car"})), RULES) == "clothing"


@pytest.mark.parametrize("change", [{"aspect": 2.9}, {"cy": 0.4}, {"area_frac": 0.03}, {"kind": "logo"}])
def test_every_condition_must_hold(change: dict) -> None:
    assert placement_of(replace(BOARD, **change), RULES) is None


def test_a_rule_is_for_tracks_of_its_motion() -> None:
    cars = placement_rules([{"placement": "vehicle", "motion": "moving"}, {"placement": "board"}])
    assert [placement_of(replace(BOARD, motion=m), cars) for m in ("moving", "fixed", "")] == ["vehicle", None, "board"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({}, "rule 1, placement: Field required"),
        ({"placement": "board", "min_cy": 2}, "rule 1, min_cy: "),
        ({"placement": "roof"}, "rule 1, placement: "),
        ({"placement": "board", "color": "red"}, "rule 1, color: "),
        ({"placement": "board", "motion": "wild"}, "rule 1, motion: "),
    ],
)
def test_what_is_no_rule_is_refused_by_name(rule: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        placement_rules([rule])
