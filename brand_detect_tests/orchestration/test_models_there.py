import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brand_detect.domain.settings import Settings
from brand_detect.orchestration.models import model_check
from brand_detect.orchestration.resources import Services


def answered(services: Services, params: dict[str, Any], **launcher: Any) -> str:
    with (
        dg.instance_for_test(overrides=launcher) as instance,
        dg.build_sensor_context(
            instance=instance, resources={"services": services}, cursor=json.dumps(params)
        ) as context,
    ):
        return model_check.evaluate_tick(context).skip_message or ""


TRANSFORMERS: dict[str, Any] = {"escalate_vlm": {"provider": "transformers", "model": "acme/none"}}
SERVER: dict[str, Any] = {"provider": "openai_compatible", "base_url": "http://127.0.0.1:9/v1", "model": "m"}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (TRANSFORMERS, "The model acme/none is not on this machine.\nhint: download it: hf download acme/none"),
        ({"escalate_vlm": {**TRANSFORMERS["escalate_vlm"], "model": "/etc"}}, "/etc is outside all model roots."),
        ({"escalate_vlm": SERVER}, "escalate_vlm: sending crops to 127.0.0.1:9 is not allowed."),
        ({"escalate_cloud": {"provider": "openai", "model": "gpt-4o-mini"}}, "but remote use is off."),
        ({"detect_objects": {"embedder": "/"}}, "/ is outside all model roots."),
        ({"detect_objects": {"object_model": "acme/none"}}, "The model acme/none is not on this machine."),
    ],
)
def test_a_client_is_told_which_model_is_missing(tmp_path: Path, params: dict[str, Any], said: str):
    services = Services.of(Settings(store_root=str(tmp_path)))
    assert said in answered(services, params)
    assert said in answered(services, {"run_ocr": {}, **params})


def test_a_client_is_told_nothing_where_all_is_there_or_nobody_can_know(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    roots = (str(tmp_path),)
    services = Services.of(Settings(store_root=str(tmp_path / "store"), model_roots=roots))
    there = {"embedder": "mine", "object_model": str(tmp_path / "mine")}
    own = {"provider": "transformers", "model": "mine"}
    assert answered(services, {"detect_objects": there, "escalate_vlm": own}) == ""
    elsewhere = {"run_launcher": {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"}}
    assert answered(services, TRANSFORMERS)
    assert answered(services, TRANSFORMERS, **elsewhere) == ""
    assert answered(services, {}) == ""
