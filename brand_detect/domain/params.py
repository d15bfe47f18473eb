"""One validated ``Params`` class per stage: defaults, units and limits, in one place.

Fields are bool, int, float, str, list, dict or enums whose names equal their values, because the Dagster config
classes are derived from these. No field gives null a meaning: ``off``, 0 or an empty list do.
"""

import json
import re
from enum import Enum
from typing import Annotated, Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from brand_detect.domain.errors import BadInput
from brand_detect.domain.model import Overrides
from brand_detect.domain.pipeline import STAGES
from brand_detect.domain.placements import surface_rules


class Params(BaseModel):
    """Base of every stage's params."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
"""A host's name or address, with a port where it is not the usual one."""
SERVER = re.compile(rf"https?://{HOST.pattern}(?:/[A-Za-z0-9._~:%+,=/-]*)?")
"""A web address without a user, a query or anything that two programs may read differently."""
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
ModelName = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f]*$")]
"""Below a model root, or a model's id in the Hugging Face cache."""


class TextEngine(Enum):
    rapidocr = "rapidocr"
    tesseract = "tesseract"


class TextDetection(Enum):
    rapidocr = "rapidocr"
    tesseract = "tesseract"
    off = "off"


class Furniture(Enum):
    include = "include"
    exclude = "exclude"


class VlmProvider(Enum):
    off = "off"
    transformers = "transformers"
    openai_compatible = "openai_compatible"


class CloudProvider(Enum):
    off = "off"
    openai = "openai"
    anthropic = "anthropic"
    google = "google"
    groq = "groq"
    openai_compatible = "openai_compatible"


class Precision(Enum):
    auto = "auto"  # bf16 where the CPU computes in it, else f32
    f32 = "f32"
    bf16 = "bf16"


class ExtractFramesParams(Params):
    sample_fps: float = Field(2.0, gt=0, le=60, description="frames sampled per second of video")
    start_s: float = Field(0.0, ge=0, description="where sampling begins, in seconds")
    end_s: float = Field(0.0, ge=0, description="where sampling ends, in seconds; 0 = at the end of the video")
    jpeg_quality: int = Field(90, ge=1, le=100, description="quality of the stored frames")
    longest_side_px: int = Field(
        0, ge=0, le=16384, description="longest side of the stored frames; 0 = as in the video"
    )

    @model_validator(mode="after")
    def _range(self) -> "ExtractFramesParams":
        if self.end_s and self.end_s <= self.start_s:
            raise ValueError("end_s must be 0 or greater than start_s")
        return self


class FilterScenesParams(Params):
    hamming_threshold: int = Field(
        8, ge=0, le=64, description="a duplicate's hash is within so many bits of the frame that stands for it"
    )
    moved_luma: float = Field(
        3.0, ge=0, le=255, description="mean change of luma over which the camera has moved: no duplicate; 255 = off"
    )
    caption_luma: float = Field(
        24.0,
        ge=0,
        le=255,
        description="change of luma in one spot that, lasting a second, shows something new: no duplicate; 255 = off",
    )
    shot_threshold: float = Field(0.3, gt=0, le=1, description="change between two pictures that makes a cut")
    min_shot_s: float = Field(0.3, ge=0, description="shortest shot, in seconds")
    black_luma: float = Field(20.0, ge=0, le=255, description="mean luma at or under which an empty frame is black")
    blank_luma: float = Field(
        20.0, ge=0, le=255, description="spread of luma, darkest to brightest spot, up to which a frame is empty"
    )


class DetectObjectsParams(Params):
    text: TextDetection = Field(TextDetection.rapidocr, description="detector of text regions")
    longest_side_px: int = Field(
        1920, ge=320, le=8192, description="longest side of the picture the text detector sees"
    )
    min_score: Unit = Field(0.5, description="lowest detector score of a region")
    min_height_px: int = Field(6, ge=1, description="lowest text height that is kept, in px of the stored frame")
    track_iou: Unit = Field(0.3, description="overlap, after motion is taken out, that joins two regions into a track")
    propagate: bool = Field(True, description="follow regions over near-still frames instead of detecting again")
    precision: Precision = Field(Precision.auto, description="arithmetic of the text detector")
    logos: ModelName = Field(
        "contours",
        min_length=1,
        description="detector of regions that look like logos: contours, off, or the weights of a finder of one's own",
    )
    logo_score: Unit = Field(0.1, description="lowest score of a logo region")
    max_logos: int = Field(
        30, ge=1, le=200, description="most logo regions of a picture beside its lines of text, the best first"
    )
    min_logo_px: int = Field(16, ge=4, description="shortest side of a logo region, in px of the stored frame")
    object_model: ModelName = Field(
        "off", min_length=1, description="zero-shot object detector: a model's id or folder; off = none"
    )
    object_labels: list[str] = Field([], description="what the object detector looks for")
    object_score: Unit = Field(0.3, description="lowest score of an object region")
    encoder: ModelName = Field(
        "built-in",
        min_length=1,
        description="what turns marks into vectors: built-in, off, or an image model's id or folder",
    )


class RunOcrParams(Params):
    engine: TextEngine = Field(TextEngine.rapidocr, description="reader of text crops")
    languages: str = Field(
        "eng", pattern=r"^[a-zA-Z_]+(\+[a-zA-Z_]+)*$", description="Tesseract languages, joined by +"
    )
    max_crops: int = Field(3, ge=1, le=20, description="most crops read per track")
    certain: Unit = Field(0.92, description="confidence at which no further crop of a track is read")
    min_confidence: Unit = Field(0.5, description="readings under this are dropped")
    precision: Precision = Field(Precision.auto, description="arithmetic of the reader")


class MatchBrandsParams(Params):
    fuzzy_score: Unit = Field(0.88, description="lowest similarity of a fuzzy match")
    fuzzy_score_again: Unit = Field(
        0.8, description="lowest similarity to a name that is spelled out elsewhere in the video; 1 = off"
    )
    min_fuzzy_length: int = Field(
        5,
        ge=3,
        le=50,
        description="shortest text that may match fuzzily, in letters; where a part is hidden, the shortest name",
    )
    min_confidence: Unit = Field(0.6, description="verdicts under this stay unresolved")
    join_neighbours: bool = Field(True, description="try neighbouring regions together: BNP + PARIBAS")
    min_look_px: int = Field(
        32, ge=1, description="shortest side of a mark that is recognised by its look, in px of the stored frame"
    )
    logo_false_alarms: Unit = Field(
        0.0075,
        description="share of unknown marks that may be taken for one of the catalogue's; 0 = marks are not matched",
    )
    min_unresolved_letters: int = Field(3, ge=1, description="shorter texts are not listed as unresolved")
    min_unresolved_mark_s: float = Field(
        1.0, ge=0, description="marks without text that are on screen for less are not listed as unresolved, in seconds"
    )
    max_unresolved_marks: int = Field(
        10,
        ge=0,
        description="most clusters of marks without text that are listed as unresolved, those most like a mark first",
    )


class EscalateParams(Params):
    """What both escalation stages have in common."""

    model: ModelName = Field("", description="model's id or folder, as the provider names it")
    base_url: str = Field(
        "", description="address of the server, for openai_compatible; BRAND_DETECT_MODEL_HOSTS must name it"
    )
    prompt: str = Field("default", pattern=r"^[a-z0-9_-]{1,64}$", description="what models are told, by name")
    max_questions: int = Field(200, ge=0, description="most clusters asked about, by time on screen")
    min_confidence: Unit = Field(0.5, description="answers under this leave the cluster unresolved")
    ask_again: bool = Field(False, description="ask also what the same model has answered before")
    max_crops: int = Field(3, ge=1, le=5, description="most crops shown per question, the more alike the fewer")
    scene_px: int = Field(
        512, ge=0, le=2048, description="longest side of the whole frame, shown with the mark outlined; 0 = not shown"
    )
    max_output_tokens: int = Field(300, ge=50, le=4096, description="longest answer, in tokens")
    concurrency: int = Field(4, ge=1, le=64, description="questions under way at a time, to a server or provider")
    timeout_s: float = Field(60.0, gt=0, le=3600, description="longest wait for one answer, in seconds")

    @field_validator("base_url")
    @classmethod
    def _plain(cls, url: str) -> str:
        try:
            plain = urlsplit(url).port != 0 and SERVER.fullmatch(url)
        except ValueError:  # no such port
            plain = False
        if url and not plain:
            raise ValueError("this is no plain address such as http://host:port/v1")
        return url


class EscalateVlmParams(EscalateParams):
    provider: VlmProvider = Field(VlmProvider.off, description="who answers; off = nobody is asked")
    batch_size: int = Field(4, ge=1, le=256, description="questions that a model of transformers answers at a time")


class EscalateCloudParams(EscalateParams):
    provider: CloudProvider = Field(CloudProvider.off, description="who answers; off = nobody is asked")
    fallbacks: list[str] = Field(
        [], description="who is asked where the provider cannot: provider:model, in order of preference"
    )
    max_usd: float = Field(1.0, ge=0, description="most that one run may spend, in USD")
    input_usd_per_mtok: float = Field(
        0.0, ge=0, description="USD for a million tokens given, where the price list lacks the model"
    )
    output_usd_per_mtok: float = Field(
        0.0, ge=0, description="USD for a million tokens answered, where the price list lacks the model"
    )

    @field_validator("fallbacks")
    @classmethod
    def _known(cls, fallbacks: list[str]) -> list[str]:
        known = [p.value for p in CloudProvider if p not in (CloudProvider.off, CloudProvider.openai_compatible)]
        for fallback in fallbacks:
            provider, _, model = fallback.partition(":")
            if provider not in known or not model:
                raise ValueError(f"{fallback!r} is no provider:model; providers are {', '.join(known)}")
        return fallbacks


Escalation: TypeAlias = EscalateVlmParams | EscalateCloudParams


class CompileReportParams(Params):
    min_confidence: Unit = Field(0.0, description="detections under this are left out")
    bridge_s: float = Field(
        0.75,
        ge=0,
        le=30,
        description="gaps up to this inside one shot are bridged, in seconds: one lost sample of two a second",
    )
    min_exposure_s: float = Field(0.0, ge=0, description="shorter exposures are left out, in seconds")
    furniture: Furniture = Field(
        Furniture.include, description="brands on scoreboards, channel bugs and the like: counted, or left out"
    )
    sure_confidence: Unit = Field(0.9, description="detections from this on are sure: they make a brand's low seconds")
    surfaces: list[dict[str, Any]] = Field(
        [], description="rules that tell what a mark is on, the first that fits: {surface: board, min_aspect: 3, …}"
    )
    quality: str = Field(
        "default", pattern=r"^[a-z0-9_-]{1,64}$", description="weights and anchors of the quality score, by name"
    )
    media_rate: float = Field(
        0.0, ge=0, description="price of 30 seconds of advertising, in media_currency; 0 = no advertising equivalent"
    )
    media_currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217 code of that price's currency")
    thumbnail_px: int = Field(320, ge=64, le=1280, description="width of the page's close-ups")
    page_mb: float = Field(
        8.0,
        ge=1,
        le=200,
        description="size that the page fills up to with pictures, best first; the rest it leaves out",
    )

    @field_validator("surfaces")
    @classmethod
    def _rules(cls, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
        surface_rules(rules)
        return rules


def names_models(params: Params) -> bool:
    """Whether ``params`` ask for models other than those that come with the package."""
    match params:
        case DetectObjectsParams():
            return not {params.logos, params.object_model, params.encoder} <= {"contours", "built-in", "off"}
        case EscalateVlmParams() | EscalateCloudParams():
            return params.provider.value != "off"
        case _:
            return False


PARAMS: dict[str, type[Params]] = {
    "extract_frames": ExtractFramesParams,
    "filter_scenes": FilterScenesParams,
    "detect_objects": DetectObjectsParams,
    "run_ocr": RunOcrParams,
    "match_brands": MatchBrandsParams,
    "escalate_vlm": EscalateVlmParams,
    "escalate_cloud": EscalateCloudParams,
    "compile_report": CompileReportParams,
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
        return PARAMS[stage].model_validate(merged)
    except ValidationError as e:
        first = e.errors()[0]
        name = ".".join(str(p) for p in first["loc"]) or "params"
        known = ", ".join(PARAMS[stage].model_fields)
        message = first["msg"].removeprefix("Value error, ")
        hint = f"known names: {known}" if first["type"] == "extra_forbidden" else field_hint(stage, name)
        raise BadInput(f"{stage}.{name}: {message[:1].lower()}{message[1:]}.", hint) from e


def field_hint(stage: str, name: str) -> str:
    """What a param is, with its default, for an error's hint."""
    field = PARAMS[stage].model_fields.get(name.split(".")[0])
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
        if stage not in PARAMS:
            raise BadInput(f"There is no stage {stage!r}.", f"the stages are {', '.join(STAGES)}")
        if not isinstance(values, dict):
            raise BadInput(f"The overrides of {stage} are no params.", f"write {{{stage}: {{param: value}}}}")
        effective(stage, values)
        try:
            json.dumps(values, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError as e:  # half of a surrogate pair: no database takes it
            raise BadInput(f"A value of {stage} holds half a character.", "send texts as UTF-8") from e
    return overrides
