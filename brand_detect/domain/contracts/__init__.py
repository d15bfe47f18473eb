"""Stage contracts: the params, tables and payload of each stage, one module per stage.

``stages`` holds the implementations; ``domain`` holds whatever belongs to no single stage.
"""

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

from pydantic import ValidationError

from brand_detect.domain.contracts.compile_report import CompileReportParams, Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects, DetectObjectsParams, TextDetection
from brand_detect.domain.contracts.escalate_cloud import EscalateCloudParams
from brand_detect.domain.contracts.escalate_vlm import EscalateVlmParams
from brand_detect.domain.contracts.extract_frames import ExtractedFrames, ExtractFramesParams
from brand_detect.domain.contracts.filter_scenes import FilteredScenes, FilterScenesParams
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.run_ocr import RunOcrParams, TextEngine, TrackTexts
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import Overrides
from brand_detect.domain.params import Params
from brand_detect.domain.pipeline import STAGES, Stage
from brand_detect.domain.records import Payload

Escalation: TypeAlias = EscalateVlmParams | EscalateCloudParams


def uses_outside_models(params: Params) -> bool:
    """Whether ``params`` select a model, a reader or a provider that is not part of the package.

    Such a model may change unnoticed: a folder may hold new weights, a provider may update its model. Results made
    with one are therefore not reused. This covers prompts from ``BRAND_DETECT_PROMPTS``: only providers read them.
    """
    match params:
        case DetectObjectsParams():
            outside = params.text is TextDetection.tesseract or params.object_model != "off"
            return outside or params.embedder not in ("built-in", "off")
        case RunOcrParams():
            return params.engine is TextEngine.tesseract
        case EscalateVlmParams() | EscalateCloudParams():
            return params.provider.value != "off"
        case _:
            return False


class Contract(NamedTuple):
    """A stage's input params and output payload."""

    params: type[Params]
    payload: type[Payload]


CONTRACTS: Mapping[str, Contract] = {
    Stage.extract_frames: Contract(ExtractFramesParams, ExtractedFrames),
    Stage.filter_scenes: Contract(FilterScenesParams, FilteredScenes),
    Stage.detect_objects: Contract(DetectObjectsParams, DetectedObjects),
    Stage.run_ocr: Contract(RunOcrParams, TrackTexts),
    Stage.match_brands: Contract(MatchBrandsParams, BrandVerdicts),
    Stage.escalate_vlm: Contract(EscalateVlmParams, BrandVerdicts),
    Stage.escalate_cloud: Contract(EscalateCloudParams, BrandVerdicts),
    Stage.compile_report: Contract(CompileReportParams, Report),
}


def effective(stage: str, *layers: dict[str, Any]) -> Params:
    """Merges ``layers``, weakest first, over the defaults of ``stage`` and validates the result.

    Raises:
        BadInput: a name is unknown or a value is out of range.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged |= layer
    try:
        return CONTRACTS[stage].params.model_validate(merged)
    except ValidationError as e:
        first = e.errors()[0]
        name = ".".join(str(p) for p in first["loc"]) or "params"
        known = ", ".join(CONTRACTS[stage].params.model_fields)
        message = first["msg"].removeprefix("Value error, ")
        hint = f"known names: {known}" if first["type"] == "extra_forbidden" else field_hint(stage, name)
        raise BadInput(f"{stage}.{name}: {message[:1].lower()}{message[1:]}.", hint) from e


def field_hint(stage: str, name: str) -> str:
    """A param's description and default, for an error's hint."""
    field = CONTRACTS[stage].params.model_fields.get(name.split(".")[0])
    if field is None:
        return ""
    default = field.default.value if isinstance(field.default, Enum) else field.default
    return f"{field.description} (default {default!r})"


def check_overrides(overrides: Overrides) -> Overrides:
    """Returns ``overrides`` if every stage, name and value in it is valid.

    Raises:
        BadInput: names the first invalid one.
    """
    for stage, values in overrides.items():
        if stage not in CONTRACTS:
            raise BadInput(f"There is no stage {stage!r}.", f"the stages are {', '.join(STAGES)}")
        if not isinstance(values, dict):
            raise BadInput(f"The overrides of {stage} are not params by name.", f"write {{{stage}: {{param: value}}}}")
        effective(stage, values)
        try:
            json.dumps(values, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError as e:  # half of a surrogate pair: no database accepts it
            raise BadInput(f"A value of {stage} holds half a character.", "send texts as UTF-8") from e
    return overrides
