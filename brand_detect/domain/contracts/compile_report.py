"""What ``compile_report`` takes and hands on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field, field_validator

from brand_detect.domain.contracts.verdicts import UNRESOLVED
from brand_detect.domain.params import Params, Unit
from brand_detect.domain.placements import placement_rules
from brand_detect.domain.records import Payload
from brand_detect.domain.tables import F32, F64, I32, STRING, STRINGS, schema, table

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
    height_px=(F32, "of the lettering; of a mark its shorter side"),
    sharpness=(F32, "variance of the Laplacian of the grey crop"),
    contrast=(F32, "RMS contrast of the crop, 0..0.5"),
    visible_frac=(F32, "0..1, what is neither hidden nor beyond the picture's edge"),
    n_brands=(I32, "brands on the frame, this one included"),
    clarity=(F32, "0..1"),
    reviewed=(STRING, "what a person said of it, one of REVIEWED; '' for nothing"),
)
REVIEWED = ("accepted", "renamed", "named")
EXPOSURES = schema(
    "exposures",
    "A brand on screen without a break",
    exposure_id=(STRING, "id, from the brand and the time"),
    brand_id=(STRING, "the brand's id in the catalogue"),
    brand=(STRING, "the brand's name"),
    start_s=(F64, "when it begins, in seconds"),
    end_s=(F64, "when it ends, in seconds"),
    seconds=(F64, "time on screen, each instant once"),
    area_frac_mean=(F32, "all of the brand's boxes on a frame together, mean over time"),
    area_frac_max=(F32, "the largest share of the picture at any instant, 0..1"),
    cx=(F32, "mean centre, 0..1 of the picture"),
    cy=(F32, "centre from above, 0..1 of the picture"),
    zone=(STRING, "one of ZONES"),
    n_detections=(I32, "detections in it"),
    confidence=(F32, "of the best detection"),
    frame=(I32, "the best detection: the evidence to show"),
    x_px=(F32, "left edge of the box"),
    y_px=(F32, "upper edge of the box"),
    w_px=(F32, "width of the box"),
    h_px=(F32, "height of the box"),
    text=(STRING, "the text that was read"),
    rule=(STRING, "how the brand was identified"),
    decided_by=(STRING, "the stage that decided"),
    verdict_id=(STRING, "of the best detection: the row of EVIDENCE"),
    placement=(STRING, "the one of PLACEMENTS with the most area times time"),
    position=(F32, "0..1, worth of the fields of the picture, mean by area and time; so are the next two"),
    clarity=(F32, "0..1, mean over the exposure"),
    visible_frac=(F32, "0..1, share that is neither hidden nor cut"),
    exclusive_s=(F64, "of ``seconds``, those with no other brand on screen"),
    quality=(F32, "0..1"),
    media_factor=(F64, "mean share of a full-screen spot; at any instant those of all brands sum to 1 at most"),
    reviewed=(STRING, "of the best detection"),
)
ZONES = ("top-left", "top", "top-right", "left", "centre", "right", "bottom-left", "bottom", "bottom-right")
"""The nine fields of the picture, row by row."""
BRANDS = schema(
    "brands",
    "Totals of a brand, the longest on screen first",
    brand_id=(STRING, "the brand's id in the catalogue"),
    brand=(STRING, "the brand's name"),
    seconds=(F64, "once per instant, however many boxes"),
    screen_share=(F32, "of the reported range"),
    share_of_voice=(F32, "of all brands' seconds"),
    n_exposures=(I32, "number of exposures"),
    longest_s=(F64, "the longest exposure, in seconds"),
    first_s=(F64, "when it is first seen, in seconds"),
    last_s=(F64, "when it is last seen, in seconds"),
    area_frac_mean=(F32, "share of the picture, mean over time, 0..1"),
    confidence=(F32, "0..1"),
    overlay_s=(F64, "of ``seconds``, those with the brand on overlays"),
    low_s=(F64, "seconds that are sure: high confidence, edges as late and as early as sampling allows"),
    high_s=(F64, "seconds that are possible: unresolved clusters that resemble the brand, edges the other way"),
    mean_s=(F64, "mean length of an exposure"),
    area_frac_max=(F32, "the largest share of the picture at any instant, 0..1"),
    position=(F32, "0..1, mean by time over the exposures; so are the next two and quality"),
    clarity=(F32, "0..1, mean over the exposure"),
    visible_frac=(F32, "0..1, share that is neither hidden nor cut"),
    exclusive_s=(F64, "of its seconds, those with no other brand on screen"),
    quality=(F32, "0..1, the score of the scale"),
    placement=(STRING, "the one with the most seconds"),
    media_value=(F64, "null where no rate is set"),
)
EVIDENCE = schema(
    "evidence",
    "What stands behind the report's detections: one row per verdict",
    verdict_id=(STRING, "id, from the tracks and the brand"),
    brand_id=(STRING, "the brand's id in the catalogue"),
    brand=(STRING, "the brand's name"),
    rule=(STRING, "how the brand was identified"),
    score=(F32, "0..1"),
    confidence=(F32, "0..1"),
    text=(STRING, "the text that was read"),
    matched=(STRING, "the alias or the exemplar it was matched to, or the model's answer"),
    decided_by=(STRING, "the stage that decided"),
    n_tracks=(I32, "tracks behind the verdict"),
    provider=(STRING, "who answered, where a model decided; '' for rules, as are the next four"),
    model=(STRING, "the model that answered"),
    prompt_version=(STRING, "version of the prompt"),
    reasoning=(STRING, "the model's, in short"),
    placement=(STRING, "what the model says it is on"),
    cost_usd=(F64, "0 for rules"),
)
REPORT_UNRESOLVED = schema(
    "report_unresolved",
    "What the report shows of UNRESOLVED: where to look for the best crop",
    UNRESOLVED,
    frame=(I32, "of the best region; null when that region is not known, as are its time and box"),
    t_s=(F64, "when the frame is shown, in seconds"),
    x_px=(F32, "left edge of the box"),
    y_px=(F32, "upper edge of the box"),
    w_px=(F32, "width of the box"),
    h_px=(F32, "height of the box"),
    alike=(STRINGS, "ids of the other logo regions without text that look like it"),
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
    rejected: pa.Table = field(default_factory=lambda: table(DETECTIONS))  # what a person said is not the brand
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
