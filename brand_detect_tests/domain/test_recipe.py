"""What is part of a recipe and what is not."""

from typing import Any

import pytest

from brand_detect.domain.contracts import CONTRACTS, effective, uses_outside_models
from brand_detect.domain.recipe import recipe_of

INPUTS = {"extract_frames": "abc", "brand_catalog": "list 1"}
OPERATIONAL = {
    "escalate_vlm": {"batch_size", "concurrency", "timeout_s"},
    "escalate_cloud": {"concurrency", "timeout_s"},
}


def other(value: Any) -> Any:
    return {"other": 1} if isinstance(value, dict) else [value] if not isinstance(value, list) else [*value, 1]


@pytest.mark.parametrize(
    ("stage", "param"), [(stage, p) for stage, c in CONTRACTS.items() for p in c.params.model_fields]
)
def test_every_param_is_part_of_the_recipe_unless_it_is_operational(stage: str, param: str):
    params = effective(stage).model_dump(mode="json")
    changed = params | {param: other(params[param])}
    same = recipe_of(stage, "1", params, INPUTS) == recipe_of(stage, "1", changed, INPUTS)
    assert same == (param in OPERATIONAL.get(stage, ()))


def test_a_recipe_follows_stage_code_and_inputs_and_not_their_order():
    recipe = recipe_of("run_ocr", "1 rapidocr 3", {"max_crops": 3, "stop_confidence": 0.9}, INPUTS)
    assert recipe == recipe_of(
        "run_ocr", "1 rapidocr 3", {"stop_confidence": 0.9, "max_crops": 3}, dict(reversed(INPUTS.items()))
    )
    for stage, code, inputs in (
        ("match_brands", "1 rapidocr 3", INPUTS),
        ("run_ocr", "1 rapidocr 4", INPUTS),
        ("run_ocr", "1 rapidocr 3", INPUTS | {"extract_frames": "abd"}),
        ("run_ocr", "1 rapidocr 3", INPUTS | {"reviews": ""}),
    ):
        assert recipe_of(stage, code, {"max_crops": 3, "stop_confidence": 0.9}, inputs) != recipe


def test_the_defaults_use_what_comes_with_the_package_alone():
    assert not [stage for stage in CONTRACTS if uses_outside_models(effective(stage))]
    assert not uses_outside_models(effective("detect_objects", {"embedder": "off", "text": "off"}))
