"""The pod of a run, from the stages that it selects."""

import json

import pytest

from brand_detect.domain.errors import BadInput
from brand_detect.domain.kubernetes import K8S, StageResources, pod_tags
from brand_detect.domain.pipeline import LINE, downstream_of
from brand_detect.domain.settings import Settings

NEEDS = dict.fromkeys(LINE, StageResources(cpu=0.5, memory_gib=1)) | {
    "detect_objects": StageResources(cpu=4, memory_gib=1.5, gpu=1),
    "run_ocr": StageResources(cpu=2, memory_gib=3),
    "compile_report": StageResources(cpu=0.5),
}
REPLAYED = {stage: NEEDS[stage] for stage in downstream_of("run_ocr")}
FULL = {stage: need.model_copy(update={"memory_gib": need.memory_gib or 1}) for stage, need in NEEDS.items()}


def resources(tags: dict[str, str]) -> dict[str, dict[str, str]]:
    return json.loads(tags[K8S])["container_config"]["resources"]


def test_a_run_asks_for_the_most_of_each_that_one_of_its_stages_needs():
    assert resources(pod_tags(LINE, FULL)) == {
        "requests": {"cpu": "4000m", "memory": "3072Mi", "nvidia.com/gpu": "1"},
        "limits": {"memory": "3072Mi", "nvidia.com/gpu": "1"},
    }


def test_a_replay_asks_for_less():
    assert resources(pod_tags(downstream_of("run_ocr"), FULL)) == {
        "requests": {"cpu": "2000m", "memory": "3072Mi"},
        "limits": {"memory": "3072Mi"},
    }
    assert resources(pod_tags(["compile_report"], NEEDS)) == {"requests": {"cpu": "500m"}, "limits": {}}


def test_stages_of_which_nothing_is_said_ask_for_what_the_launcher_gives():
    assert pod_tags(["filter_scenes"], REPLAYED) == {}
    assert pod_tags(["catalog"], NEEDS) == pod_tags([], NEEDS) == {}


def test_what_is_said_of_some_stages_takes_nothing_from_a_run_of_more():
    """The others need what the launcher gives, however little these do."""
    assert pod_tags(LINE, REPLAYED) == {}
    needs = {"escalate_vlm": StageResources(cpu=1, memory_gib=1, gpu=1)}
    gpu = {"nvidia.com/gpu": "1"}
    assert resources(pod_tags(LINE, needs)) == {"requests": gpu, "limits": gpu}
    assert resources(pod_tags(LINE, NEEDS)) == {"requests": {"cpu": "4000m", **gpu}, "limits": gpu}, (
        "of the report's memory nothing is said"
    )


def test_what_is_next_to_nothing_is_not_nothing():
    """Kubernetes kills a pod with a limit of 0 bytes."""
    asked = resources(pod_tags(["run_ocr"], {"run_ocr": StageResources(cpu=0.0001, memory_gib=0.0001)}))
    assert asked == {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}}


def test_they_are_a_setting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BRAND_DETECT_RUN_RESOURCES", '{"run_ocr": {"cpu": 2, "memory_gib": 3}}')
    assert Settings.load().run_resources == {"run_ocr": NEEDS["run_ocr"]}
    monkeypatch.setenv("BRAND_DETECT_RUN_RESOURCES", '{"ocr": {"cpu": 2}}')
    with pytest.raises(BadInput, match="'ocr' is not a stage"):
        Settings.load()
