"""What each stage takes and hands on, one module per stage: params, tables, payload.

What a stage does with it is in ``stages``; what belongs to no single stage is in ``domain``.
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
    """Whether ``params`` ask for a model, a reader or a provider that does not come with the package.

    Nobody here knows whether it is still the same: a folder may hold other weights by now, a provider may have changed
    its model. So a result that was made with one is not reused. Prompts from ``BRAND_DETECT_PROMPTS`` are covered, for
    only a provider reads them.
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
    """What a stage takes and what it hands on."""

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
    """The params of ``stage`` after ``layers``, weakest first, over the defaults.

    Raises:
        BadInput: an unknown name or a value outside its limits.
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
    """What a param is, with its default, for an error's hint."""
    field = CONTRACTS[stage].params.model_fields.get(name.split(".")[0])
    if field is None:
        return ""
    default = field.default.value if isinstance(field.default, Enum) else field.default
    return f"{field.description} (default {default!r})"


def check_overrides(overrides: Overrides) -> Overrides:
    """Return ``overrides`` if every stage, name and value in it is valid.

    Raises:
        BadInput: naming the first that is not.
    """
    for stage, values in overrides.items():
        if stage not in CONTRACTS:
            raise BadInput(f"There is no stage {stage!r}.", f"the stages are {', '.join(STAGES)}")
        if not isinstance(values, dict):
            raise BadInput(f"The overrides of {stage} are no params.", f"write {{{stage}: {{param: value}}}}")
        effective(stage, values)
        try:
            json.dumps(values, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError as e:  # half of a surrogate pair: no database takes it
            raise BadInput(f"A value of {stage} holds half a character.", "send texts as UTF-8") from e
    return overrides
