from typing import Any

import pytest

from brand_detect.domain.contracts import check_overrides
from brand_detect.domain.errors import BadInput


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ({"run_ocr": 5}, "run_ocr"),
        ({"run_ocr": None}, "run_ocr"),
        ({"run_ocr": [["stop_confidence", 0.5]]}, "run_ocr"),
        ({"run_ocr": {"stop_confidence": 7}}, "run_ocr.stop_confidence"),
        ({"run_ocr": {"certein": 0.5}}, "run_ocr.certein"),
        ({"run_orc": {}}, "run_orc"),
        ({"escalate_vlm": {"provider": "opanai_compatible"}}, "escalate_vlm.provider: input should be 'off'"),
        ({"escalate_vlm": {"provider": "openai"}}, "'transformers' or 'openai_compatible'"),
        ({"escalate_cloud": {"provider": "transformers"}}, "'groq' or 'openai_compatible'"),
        (
            {"escalate_cloud": {"fallbacks": ["openai"]}},
            "'openai' is not of the form provider:model; providers are openai",
        ),
        ({"escalate_cloud": {"fallbacks": ["groq:"]}}, "'groq:' is not of the form provider:model"),
        ({"escalate_cloud": {"fallbacks": ["openai_compatible:llava"]}}, "is not of the form provider:model"),
        ({"escalate_vlm": {"prompt": "../secret"}}, "escalate_vlm.prompt"),
        ({"run_ocr": {"languages": "eng -c x=y"}}, "run_ocr.languages"),
        ({"compile_report": {"exclude_kinds": ["team"]}}, "'team' is no kind of brand; use brand, league, club"),
        ({"extract_frames": {"start_s": 1e300}}, "extract_frames.start_s: input should be less"),
        ({"compile_report": {"media_rate": 1e300}}, "compile_report.media_rate: input should be less"),
        ({"detect_objects": {"object_labels": ["\ud800"]}}, "detect_objects holds half a character"),
    ],
)
def test_overrides_that_make_no_sense_are_refused_by_name(overrides: Any, names: str) -> None:
    with pytest.raises(BadInput, match=names) as refused:
        check_overrides(overrides)
    assert refused.value.hint


def test_good_overrides_come_back() -> None:
    assert check_overrides({"run_ocr": {"stop_confidence": 0.5}}) == {"run_ocr": {"stop_confidence": 0.5}}
    cloud = {"escalate_cloud": {"provider": "groq", "fallbacks": ["google:gemini-2.5-flash", "openai:ft:gpt-4o:x"]}}
    assert check_overrides(cloud) == cloud
