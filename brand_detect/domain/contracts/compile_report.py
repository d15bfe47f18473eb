"""What ``compile_report`` takes and hands on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import ConfigDict, Field, field_validator

from brand_detect.domain.contracts.verdicts import Cluster
from brand_detect.domain.params import Params, Unit
from brand_detect.domain.placements import PLACEMENTS, placement_rules
from brand_detect.domain.records import Payload, Record
from brand_detect.domain.tables import F32, F64, I32, STRING, Float32, Measure, schema, schema_of, table


class Reviewed(StrEnum):
    """What a person's correction did with a detection."""

    accepted = "accepted"
    renamed = "renamed"
    named = "named"


class ReviewState(StrEnum):
    """The outcome of a correction in a report."""

    applied = "applied"
    orphaned = "orphaned"
    undone = "undone"


DETECTIONS = schema(
    "detections",
    "A brand on one keyframe; the frames that it stands for are on the timeline",
    brand_id=(STRING, "the brand's id in the catalogue"),
    brand=(STRING, "the brand's name"),
    frame=(I32, "the keyframe's ordinal among the sampled frames"),
    t_s=(F64, "when the frame is shown, in seconds"),
    start_s=(F64, "the frame's cell on the timeline"),
    end_s=(F64, "when it ends, in seconds"),
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
    is_overlay=(pa.bool_(), "all of its tracks are"),
    placement=(STRING, "one of PLACEMENTS"),
    height_px=(F32, "of the lettering; of a logo its shorter side"),
    sharpness=(F32, "variance of the Laplacian of the grey crop"),
    contrast=(F32, "RMS contrast of the crop, 0..0.5"),
    visible_frac=(F32, "0..1, what is neither hidden nor beyond the picture's edge"),
    n_brands=(I32, "brands on the frame, this one included"),
    clarity=(F32, "0..1"),
    reviewed=(STRING, "what a person's correction did with it: " + ", ".join(Reviewed) + ", or ''"),
)
ZONES = ("top-left", "top", "top-right", "left", "centre", "right", "bottom-left", "bottom", "bottom-right")
"""The nine fields of the picture, row by row."""


class Exposure(Record):
    """A brand on screen without a break, with its best detection as evidence."""

    exposure_id: str = Field(description="id, from the video's hash, the brand and the start")
    brand_id: str = Field(description="the brand's id in the catalogue, or its name where the catalogue lacks it")
    brand: str = Field(description="the brand's name")
    start_s: float = Field(description="when it begins, in seconds from the start of the video")
    end_s: float = Field(description="when it ends, in seconds")
    seconds: float = Field(description="time on screen, in seconds, each instant counted once")
    area_frac_mean: Float32 = Field(
        description="share of the picture that all boxes of the brand cover together, mean over time, 0..1"
    )
    area_frac_max: Float32 = Field(description="the largest share of the picture at any instant, 0..1")
    cx: Float32 = Field(description="mean centre, 0..1 of the picture's width")
    cy: Float32 = Field(description="mean centre, 0..1 of the picture's height")
    zone: str = Field(description="the one of the nine ZONES with the most area times time")
    n_detections: int = Field(description="number of detections in it")
    confidence: Float32 = Field(description="of the best detection, 0..1")
    frame: int = Field(description="the sampled frame that shows the best detection")
    x_px: Float32 = Field(description="left edge of the best detection's box, in px of the stored frame")
    y_px: Float32 = Field(description="upper edge of the box")
    w_px: Float32 = Field(description="width of the box")
    h_px: Float32 = Field(description="height of the box")
    text: str = Field(description="the text that was read")
    rule: str = Field(description="how the brand was identified")
    decided_by: str = Field(description="the stage that decided")
    verdict_id: str = Field(description="of the best detection: the row of the evidence")
    placement: str = Field(description=f"what carries it, by area times time: {', '.join(PLACEMENTS)}")
    position: Measure = Field(description="worth of its fields of the picture, mean by area and time, 0..1")
    clarity: Measure = Field(description="how legible it is, mean by area and time, 0..1")
    visible_frac: Measure = Field(description="share that is neither hidden nor cut by the picture's edge, 0..1")
    exclusive_s: float = Field(description="of the seconds, those with no other brand on screen")
    quality: Measure = Field(description="composite score by the scale in summary.quality, 0..1")
    media_factor: float = Field(
        description="mean share of a full-screen spot; at any instant those of all brands sum to 1 at most"
    )
    reviewed: str = Field(description=f"a person's correction of the best detection: {', '.join(Reviewed)}, or ''")


EXPOSURES = schema_of("exposures", "A brand on screen without a break", Exposure)


class BrandTotal(Record):
    """A brand over the whole range. Each instant counts once, however many boxes the brand has on it."""

    brand_id: str = Field(description="the brand's id in the catalogue, or its name where the catalogue lacks it")
    brand: str = Field(description="the brand's name")
    seconds: float = Field(description="time on screen, in seconds, each instant counted once")
    screen_share: Float32 = Field(description="seconds over the reported range, 0..1")
    share_of_voice: Float32 = Field(description="seconds over the sum of all brands' seconds, 0..1")
    n_exposures: int = Field(description="number of exposures")
    longest_s: float = Field(description="the longest exposure, in seconds")
    first_s: float = Field(description="start of the first exposure, in seconds from the start of the video")
    last_s: float = Field(description="end of the last exposure, in seconds")
    area_frac_mean: Float32 = Field(description="share of the picture while on screen, mean over time, 0..1")
    confidence: Float32 = Field(description="of the best detection, 0..1")
    overlay_s: float = Field(description="of the seconds, those with the brand on overlays")
    low_s: float = Field(
        description="seconds that are sure: high confidence, edges as late and as early as sampling allows"
    )
    high_s: float = Field(
        description="seconds that are possible: unresolved clusters that resemble the brand, edges the other way"
    )
    mean_s: float = Field(description="mean length of an exposure, in seconds")
    area_frac_max: Float32 = Field(description="the largest share of the picture at any instant, 0..1")
    position: Measure = Field(description="worth of its fields of the picture, mean over time, 0..1")
    clarity: Measure = Field(description="how legible it is, mean over time, 0..1")
    visible_frac: Measure = Field(description="share that is neither hidden nor cut by the picture's edge, 0..1")
    exclusive_s: float = Field(description="of the seconds, those with no other brand on screen")
    quality: Measure = Field(description="composite score by the scale in summary.quality, mean over time, 0..1")
    placement: str = Field(description=f"what carries it for most of its time: {', '.join(PLACEMENTS)}")
    media_value: float | None = Field(
        description="advertising equivalent, in summary.media_value.currency: rate / 30 s × Σ seconds × media_factor "
        "over its exposures; null where no rate is set"
    )


BRANDS = schema_of("brands", "Totals of a brand, the longest on screen first", BrandTotal)


class Proof(Record):
    """What stands behind exposures: a verdict, by a rule or by a model's answer."""

    verdict_id: str = Field(description="id, from the tracks and the brand")
    brand_id: str = Field(description="the brand's id in the catalogue, or its name where the catalogue lacks it")
    brand: str = Field(description="the brand's name")
    rule: str = Field(description="how the brand was identified")
    score: Float32 = Field(description="how well the rule fits, 0..1")
    confidence: Float32 = Field(description="the rule's score times the reading's confidence, 0..1")
    text: str = Field(description="the text that was read")
    matched: str = Field(description="the alias or the exemplar it was matched to, or the model's answer")
    decided_by: str = Field(description="the stage that decided")
    n_tracks: int = Field(description="number of tracks behind the verdict")
    provider: str = Field(description="who answered, where a model decided; '' for rules, as are the next four")
    model: str = Field(description="the model that answered")
    prompt_version: str = Field(description="version of the prompt")
    reasoning: str = Field(description="the model's, in short")
    placement: str = Field(description="what carries the brand, as the model says")
    cost_usd: float = Field(description="what the answer cost, in USD; 0 for rules")


EVIDENCE = schema_of("evidence", "What stands behind the report's detections: one row per verdict", Proof)


class UnresolvedCluster(Cluster):
    """Similar logos or texts that nothing resolved, with the place of the best crop."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    frame: Annotated[int | None, I32] = Field(
        description="sampled frame of the best crop; null when that is not known, as are its time and box"
    )
    t_s: float | None = Field(description="when the frame is shown, in seconds")
    x_px: Annotated[float | None, F32] = Field(description="left edge of the box")
    y_px: Annotated[float | None, F32] = Field(description="upper edge of the box")
    w_px: Annotated[float | None, F32] = Field(description="width of the box")
    h_px: Annotated[float | None, F32] = Field(description="height of the box")
    alike: tuple[str, ...] = Field(description="ids of the other clusters without text that are similar to it")


REPORT_UNRESOLVED = schema_of(
    "report_unresolved", "UNRESOLVED as the report shows them, with the place of the best crop", UnresolvedCluster
)


@dataclass(frozen=True)
class Report(Payload):
    """The tables of the report; the documents (JSON, CSV, page) lie beside them in the attempt.

    ``summary`` is plain JSON: the range, the sampling and its error, the counts, who resolved what, the run's facts.
    """

    brands: pa.Table
    exposures: pa.Table
    detections: pa.Table
    unresolved: pa.Table
    summary: Mapping[str, Any]
    evidence: pa.Table = field(default_factory=lambda: table(EVIDENCE))
    rejected: pa.Table = field(default_factory=lambda: table(DETECTIONS))  # detections that a person rejected
    quality: str = ""  # the scale that it is measured by: name, version and digest
    losses: tuple[str, ...] = ()  # what of the video and of the corrections was lost, and why, in plain words
    schemas: ClassVar = {
        "brands": BRANDS,
        "exposures": EXPOSURES,
        "detections": DETECTIONS,
        "unresolved": REPORT_UNRESOLVED,
        "evidence": EVIDENCE,
        "rejected": DETECTIONS,
    }


class Overlays(Enum):
    include = "include"
    exclude = "exclude"


class CompileReportParams(Params):
    min_confidence: Unit = Field(0.0, description="detections under this are left out")
    bridge_s: float = Field(
        0.75,
        ge=0,
        le=30,
        description="gaps up to this inside one shot are bridged, in seconds: one lost sample of two a second",
    )
    min_exposure_s: float = Field(0.0, ge=0, description="shorter exposures are left out, in seconds")
    overlays: Overlays = Field(
        Overlays.include, description="brands on scoreboards, channel bugs and the like: counted, or left out"
    )
    sure_confidence: Unit = Field(0.9, description="detections from this on are sure: they make a brand's low seconds")
    placements: list[dict[str, Any]] = Field(
        [], description="rules for the placement, the first that fits decides: {placement: board, min_aspect: 3, …}"
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

    @field_validator("placements")
    @classmethod
    def _rules(cls, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
        placement_rules(rules)
        return rules
