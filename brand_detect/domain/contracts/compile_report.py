"""Contract of ``compile_report``: params, tables and payload."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import ConfigDict, Field, field_validator

from brand_detect.domain.catalog import BrandKind
from brand_detect.domain.contracts.verdicts import Cluster
from brand_detect.domain.params import Params, Unit
from brand_detect.domain.placements import PLACEMENTS, placement_rules
from brand_detect.domain.records import Payload, Record
from brand_detect.domain.tables import F32, F64, I32, STRING, Float32, Measure, Row, schema, schema_of, table


class Reviewed(StrEnum):
    """The effect of a person's correction on a detection."""

    accepted = "accepted"
    renamed = "renamed"
    named = "named"


class ReviewState(StrEnum):
    """The outcome of a correction in a report."""

    applied = "applied"
    orphaned = "orphaned"
    undone = "undone"


def corrections(reviews: Iterable[Row], state: ReviewState) -> list[Row]:
    """The corrections with this outcome, of a report's summary; an undo only takes one back."""
    return [review for review in reviews if review["state"] == state and review["action"] != "undo"]


DETECTIONS = schema(
    "detections",
    "A brand on one keyframe; the timeline lists the frames that the keyframe stands for",
    brand_id=(STRING, "the brand's id in the catalogue"),
    brand=(STRING, "the brand's name"),
    frame=(I32, "the keyframe's ordinal among the sampled frames"),
    t_s=(F64, "when the frame is shown, in seconds"),
    start_s=(F64, "start of the frame's cell on the timeline, in seconds"),
    end_s=(F64, "end of that cell, in seconds"),
    track_id=(STRING, "id, from the track's first region"),
    verdict_id=(STRING, "id, from the tracks and the brand"),
    x_px=(F32, "left edge of the box"),
    y_px=(F32, "upper edge of the box"),
    w_px=(F32, "width of the box"),
    h_px=(F32, "height of the box"),
    area_frac=(F32, "share of the picture's area, 0..1"),
    confidence=(F32, "0..1"),
    text=(STRING, "the text that was read"),
    rule=(STRING, "how the brand was identified"),
    decided_by=(STRING, "the stage that decided"),
    is_overlay=(pa.bool_(), "whether all of its tracks are overlays"),
    placement=(STRING, "what carries it: one of PLACEMENTS"),
    placement_confidence=(F32, "of the placement, 0..1; 0 = unknown"),
    asset=(STRING, "the first asset of the inventory in whose zone its centre lies; '' = none"),
    height_px=(F32, "height of the lettering; for a logo, its shorter side"),
    sharpness=(F32, "variance of the Laplacian of the grey crop"),
    contrast=(F32, "RMS contrast of the crop, 0..0.5"),
    visible_frac=(F32, "share that is neither occluded nor cut off by the picture's edge, 0..1"),
    n_brands=(I32, "number of brands on the frame, this one included"),
    clarity=(F32, "0..1"),
    reviewed=(STRING, "effect of a person's correction: " + ", ".join(Reviewed) + ", or ''"),
)
ZONES = ("top-left", "top", "top-right", "left", "centre", "right", "bottom-left", "bottom", "bottom-right")
"""The nine zones of the picture, row by row."""


class Exposure(Record):
    """A brand on screen without a break; its best detection is the evidence."""

    exposure_id: str = Field(description="id, from the video's hash, the brand and the start")
    brand_id: str = Field(description="the brand's id in the catalogue, or its name where the catalogue lacks it")
    brand: str = Field(description="the brand's name")
    start_s: float = Field(description="when it begins, in seconds from the start of the video")
    end_s: float = Field(description="when it ends, in seconds")
    seconds: float = Field(description="time on screen, in seconds, each instant counted once")
    area_frac_mean: Float32 = Field(
        description="share of the picture that the union of the brand's boxes covers, mean over time, 0..1"
    )
    area_frac_max: Float32 = Field(description="the largest share of the picture at any instant, 0..1")
    cx: Float32 = Field(description="mean centre, as a share of the picture's width, 0..1")
    cy: Float32 = Field(description="mean centre, as a share of the picture's height, 0..1")
    zone: str = Field(description="field of the picture, of nine, with the largest area × time")
    n_detections: int = Field(description="number of detections")
    confidence: Float32 = Field(description="confidence of the best detection, 0..1")
    frame: int = Field(description="the sampled frame that shows the best detection")
    x_px: Float32 = Field(description="left edge of the best detection's box, in px of the stored frame")
    y_px: Float32 = Field(description="upper edge of the box")
    w_px: Float32 = Field(description="width of the box")
    h_px: Float32 = Field(description="height of the box")
    text: str = Field(description="the text that was read")
    rule: str = Field(description="how the brand was identified")
    decided_by: str = Field(description="the stage that decided")
    verdict_id: str = Field(description="verdict of the best detection: its row in the evidence")
    placement: str = Field(description=f"what carries the brand, by area × time: {', '.join(PLACEMENTS)}")
    placement_confidence: Float32 = Field(
        description="confidence of the placement, mean by area and time, 0..1; what is on others counts as 0"
    )
    asset: str = Field(description="the inventory's asset with the largest area × time; '' = none")
    position: Measure = Field(description="value of its zones of the picture, mean by area and time, 0..1")
    clarity: Measure = Field(description="legibility, mean by area and time, 0..1")
    visible_frac: Measure = Field(description="share that is neither occluded nor cut off by the picture's edge, 0..1")
    exclusive_s: float = Field(description="time with no other brand on screen, in seconds")
    quality: Measure = Field(description="composite score by the scale in summary.quality, 0..1")
    media_factor: float = Field(
        description="mean equivalent in full-screen spots; at any instant the sum over all brands is at most 1"
    )
    reviewed: str = Field(description=f"effect of a correction on the best detection: {', '.join(Reviewed)}, or ''")


EXPOSURES = schema_of("exposures", "A brand on screen without a break", Exposure)


class BrandTotal(Record):
    """A brand's totals over the reported range. Each instant counts once, however many boxes the brand has then."""

    brand_id: str = Field(description="the brand's id in the catalogue, or its name where the catalogue lacks it")
    brand: str = Field(description="the brand's name")
    kind: BrandKind = Field(description=f"{', '.join(BrandKind)}; brand where the catalogue lacks it")
    country: str = Field(description="the brand's home in the catalogue, ISO 3166-1 alpha-2; '' if unknown")
    categories: tuple[str, ...] = Field(description="the brand's categories in the catalogue")
    seconds: float = Field(description="time on screen, in seconds, each instant counted once")
    screen_share: Float32 = Field(description="seconds divided by the reported range, 0..1")
    share_of_voice: Float32 = Field(description="seconds divided by the sum of all brands' seconds, 0..1")
    n_exposures: int = Field(description="number of exposures")
    longest_s: float = Field(description="the longest exposure, in seconds")
    first_s: float = Field(description="start of the first exposure, in seconds from the start of the video")
    last_s: float = Field(description="end of the last exposure, in seconds")
    area_frac_mean: Float32 = Field(description="share of the picture while on screen, mean over time, 0..1")
    confidence: Float32 = Field(description="confidence of the best detection, 0..1")
    overlay_s: float = Field(description="seconds with the brand on overlays")
    low_s: float = Field(
        description="lower bound of seconds: high confidence or a person's word, exposures as short as sampling allows"
    )
    high_s: float = Field(
        description="upper bound of seconds: exposures at longest, with unresolved clusters that resemble the brand, "
        "unless a person has confirmed all of it"
    )
    mean_s: float = Field(description="mean length of an exposure, in seconds")
    area_frac_max: Float32 = Field(description="the largest share of the picture at any instant, 0..1")
    position: Measure = Field(description="value of its zones of the picture, mean over time, 0..1")
    clarity: Measure = Field(description="legibility, mean over time, 0..1")
    visible_frac: Measure = Field(description="share that is neither occluded nor cut off by the picture's edge, 0..1")
    exclusive_s: float = Field(description="time with no other brand on screen, in seconds")
    quality: Measure = Field(description="composite score by the scale in summary.quality, mean over time, 0..1")
    placement: str = Field(description=f"the placement with most of its seconds: {', '.join(PLACEMENTS)}")
    media_value: float | None = Field(
        description="advertising equivalent, in summary.media_value.currency: rate / 30 s × Σ seconds × media_factor "
        "over its exposures; null if no rate is set"
    )


BRANDS = schema_of("brands", "A brand's totals, longest on screen first", BrandTotal)


class Part(Record):
    """A brand's exposures on one placement or asset, as if nothing else carried it."""

    brand_id: str = Field(description="the brand's id in the catalogue, or its name where the catalogue lacks it")
    brand: str = Field(description="the brand's name")
    seconds: float = Field(description="time on screen there, in seconds, each instant counted once")
    share: Float32 = Field(
        description="seconds divided by the brand's; they sum to more than 1 where it is on several at a time, "
        "and to less where it changes between them: what lies between counts to none"
    )
    n_exposures: int = Field(description="number of times without a break")


class PlacementTotal(Part):
    """A brand's totals on one placement."""

    placement: str = Field(description=f"what carries the brand: {', '.join(PLACEMENTS)}")
    confidence: Float32 = Field(description="confidence of the placement, mean over detections, 0..1")


class AssetTotal(Part):
    """A brand's totals on one asset of the inventory."""

    asset: str = Field(description="the asset's name")


PLACEMENT_TOTALS = schema_of("placements", "A brand's totals by placement, longest first", PlacementTotal)
ASSET_TOTALS = schema_of("assets", "A brand's totals by asset of the inventory, longest first", AssetTotal)


class Evidence(Record):
    """The evidence behind exposures: a verdict by a rule or by a model's answer."""

    verdict_id: str = Field(description="id, from the tracks and the brand")
    brand_id: str = Field(description="the brand's id in the catalogue, or its name where the catalogue lacks it")
    brand: str = Field(description="the brand's name")
    rule: str = Field(description="how the brand was identified")
    score: Float32 = Field(description="how well the rule matches, 0..1")
    confidence: Float32 = Field(
        description="the rule's score times the reading's confidence, 0..1; lexicon, logo_match, reidentified: a "
        "probability"
    )
    text: str = Field(description="the text that was read")
    matched: str = Field(
        description="the alias or exemplar that it matched, the model's answer, or the track that it looks like"
    )
    decided_by: str = Field(description="the stage that decided")
    n_tracks: int = Field(description="number of tracks behind the verdict")
    provider: str = Field(description="who answered, if a model decided; '' for rules, as are the next four")
    model: str = Field(description="the model that answered")
    prompt_version: str = Field(description="version of the prompt")
    reasoning: str = Field(description="the model's reasoning, in short")
    placement: str = Field(description="what carries the brand, according to the model")
    cost_usd: float = Field(description="cost of the answer, in USD; 0 for rules")


EVIDENCE = schema_of("evidence", "The evidence behind the report's detections: one row per verdict", Evidence)


class UnresolvedCluster(Cluster):
    """An unresolved cluster with the location of its best crop."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    frame: Annotated[int | None, I32] = Field(
        description="sampled frame of the best crop; null if unknown, as are its time and box"
    )
    t_s: float | None = Field(description="when the frame is shown, in seconds")
    x_px: Annotated[float | None, F32] = Field(description="left edge of the box")
    y_px: Annotated[float | None, F32] = Field(description="upper edge of the box")
    w_px: Annotated[float | None, F32] = Field(description="width of the box")
    h_px: Annotated[float | None, F32] = Field(description="height of the box")
    alike: tuple[str, ...] = Field(
        description="ids of the other clusters that may show the same: by their texts, or without text by their looks"
    )


REPORT_UNRESOLVED = schema_of(
    "report_unresolved", "UNRESOLVED as the report shows it, with the location of the best crop", UnresolvedCluster
)


@dataclass(frozen=True)
class Report(Payload):
    """The report's tables; its documents (JSON, CSV, page) are stored beside them in the attempt.

    ``summary`` is plain JSON: range, sampling and its error, counts, what each stage resolved, facts of the run.
    """

    brands: pa.Table
    exposures: pa.Table
    detections: pa.Table
    unresolved: pa.Table
    summary: Mapping[str, Any]
    evidence: pa.Table = field(default_factory=lambda: table(EVIDENCE))
    rejected: pa.Table = field(default_factory=lambda: table(DETECTIONS))  # detections that a person rejected
    placements: pa.Table = field(default_factory=lambda: table(PLACEMENT_TOTALS))
    assets: pa.Table = field(default_factory=lambda: table(ASSET_TOTALS))
    quality: str = ""  # the quality scale: name, version and digest
    losses: tuple[str, ...] = ()  # which parts of the video and which corrections were lost, and why, in plain words
    schemas: ClassVar = {
        "brands": BRANDS,
        "exposures": EXPOSURES,
        "detections": DETECTIONS,
        "unresolved": REPORT_UNRESOLVED,
        "evidence": EVIDENCE,
        "rejected": DETECTIONS,
        "placements": PLACEMENT_TOTALS,
        "assets": ASSET_TOTALS,
    }
    added: ClassVar = ("placements", "assets")
    added_columns: ClassVar = {
        "brands": {"kind": BrandKind.brand.value, "country": "", "categories": []},
        **{name: {"placement_confidence": 0.0, "asset": ""} for name in ("exposures", "detections", "rejected")},
    }


class Overlays(Enum):
    include = "include"
    exclude = "exclude"


class CompileReportParams(Params):
    min_confidence: Unit = Field(0.0, description="detections below this confidence are left out")
    bridge_s: float = Field(
        0.75,
        ge=0,
        le=30,
        description="longest gap of the sampling grid inside a shot that is bridged, in seconds; "
        "default: one lost sample at 2 fps",
    )
    min_exposure_s: float = Field(0.0, ge=0, description="exposures shorter than this are left out, in seconds")
    overlays: Overlays = Field(
        Overlays.include, description="whether brands on overlays (scoreboards, channel bugs and the like) count"
    )
    exclude_kinds: list[str] = Field(
        [], description=f"kinds whose names are left out of exposures, totals and shares: {', '.join(BrandKind)}"
    )
    sure_confidence: Unit = Field(0.9, description="lowest confidence of detections that count towards a brand's low_s")
    placements: list[dict[str, Any]] = Field(
        [], description="rules for the placement; the first match decides: {placement: vehicle, motion: moving, …}"
    )
    inventory: str = Field(
        "off",
        pattern=r"^[a-z0-9_-]{1,64}$",
        description="name of the inventory: the property's assets, by zone of the picture; off = none",
    )
    quality: str = Field(
        "default",
        pattern=r"^[a-z0-9_-]{1,64}$",
        description="name of the quality scale: weights and anchors of the score",
    )
    media_rate: float = Field(
        0.0,
        ge=0,
        le=1e12,
        description="price of 30 seconds of advertising, in media_currency; 0 = no advertising equivalent",
    )
    media_currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217 code of the currency of media_rate")
    thumbnail_px: int = Field(320, ge=64, le=1280, description="width of the page's close-ups")
    page_mb: float = Field(
        8.0,
        ge=1,
        le=200,
        description="size up to which the page is filled with pictures, best first; the rest are left out, in MB",
    )

    @field_validator("exclude_kinds")
    @classmethod
    def _kinds(cls, kinds: list[str]) -> list[str]:
        for kind in kinds:
            if kind not in {*BrandKind}:
                raise ValueError(f"{kind!r} is no kind of brand; use {', '.join(BrandKind)}")
        return kinds

    @field_validator("placements")
    @classmethod
    def _rules(cls, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
        placement_rules(rules)
        return rules
