"""The report as data: ``report.json`` for programs, and CSV tables of brands and exposures for spreadsheets."""

import csv
import io
from enum import StrEnum
from typing import Any

import pyarrow as pa
from pydantic import ConfigDict, Field

from brand_detect.domain.contracts.compile_report import REVIEWED, Report
from brand_detect.domain.contracts.verdicts import REASONS
from brand_detect.domain.job import JobRequest
from brand_detect.domain.placements import PLACEMENTS
from brand_detect.domain.records import Record

REPORT_VERSION = 1
"""Version of ``report.json``; it changes when a field changes its meaning or goes, not when one is added."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DECIMALS = 6
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
"""First characters by which a spreadsheet takes a cell for a formula (OWASP, "CSV Injection"), in some also if wide."""


IMAGES = "images"
"""The folder of the pictures that labels are for."""
LOCAL_FILES = f"/data/local-files/?d={IMAGES}/"
"""Where Label Studio serves files of its own disk."""


class Format(StrEnum):
    coco = "coco"
    yolo = "yolo"
    label_studio = "label-studio"
    vtt = "vtt"
    csv = "csv"
    json = "json"
    parquet = "parquet"
    mp4 = "mp4"


LABELLED = (Format.coco, Format.yolo, Format.label_studio)
"""Formats that speak of pictures."""


class BrandTotal(Record):
    """A brand over the whole range. Seconds count every instant once, however many boxes the brand has on it."""

    brand_id: str = Field(description="the catalogue's id, or the name where the catalogue does not have the brand")
    brand: str = Field(description="name as shown")
    seconds: float = Field(description="time on screen, s")
    screen_share: float = Field(description="seconds over the reported range, 0..1")
    share_of_voice: float = Field(description="seconds over the sum of all brands' seconds, 0..1")
    n_exposures: int
    longest_s: float = Field(description="longest exposure, s")
    first_s: float = Field(description="start of the first exposure, s from the start of the video")
    last_s: float = Field(description="end of the last exposure, s")
    area_frac_mean: float = Field(description="mean share of the picture while on screen, 0..1, by time")
    confidence: float = Field(description="of the best detection, 0..1")
    overlay_s: float = Field(description="of the seconds, those on a scoreboard, a channel's bug or the like")
    low_s: float | None = Field(description="seconds that are sure; null in reports made before it was measured")
    high_s: float | None = Field(description="seconds that are possible")
    mean_s: float | None = Field(description="mean length of an exposure, s")
    area_frac_max: float | None = Field(description="largest share of the picture, 0..1")
    position: float | None = Field(description="worth of its fields of the picture, 0..1")
    clarity: float | None = Field(description="how well it can be read, 0..1")
    visible_frac: float | None = Field(description="share that is neither hidden nor cut by the picture's edge, 0..1")
    exclusive_s: float | None = Field(description="of the seconds, those with no other brand on screen")
    quality: float | None = Field(description="composite score by the scale in summary.quality, 0..1")
    placement: str = Field(description=f"what it is on for most of its time: one of {', '.join(PLACEMENTS)}")
    media_value: float | None = Field(
        description="advertising equivalent, in summary.media_value.currency: rate / 30 s × Σ seconds × "
        "media_factor over its exposures; null where no rate is set"
    )


class Exposure(Record):
    """A brand on screen without a break, with its best detection as evidence."""

    exposure_id: str = Field(description="from the video's hash, the brand and the start")
    brand_id: str
    brand: str
    start_s: float = Field(description="s from the start of the video")
    end_s: float
    seconds: float
    area_frac_mean: float = Field(description="share of the picture of all of the brand's boxes together, mean by time")
    area_frac_max: float
    cx: float = Field(description="mean centre, 0..1 of the picture's width")
    cy: float = Field(description="mean centre, 0..1 of the picture's height")
    zone: str = Field(description="the one of nine fields with the most area times time")
    n_detections: int
    confidence: float = Field(description="of the best detection, 0..1")
    frame: int = Field(description="sampled frame of the best detection")
    x_px: float = Field(description="box of the best detection, px of the stored frame")
    y_px: float
    w_px: float
    h_px: float
    text: str = Field(description="the text that was read")
    rule: str = Field(description="exact, alias, fuzzy, joined, logo_match, vlm, cloud or review")
    decided_by: str = Field(description="the stage that decided")
    verdict_id: str = Field(description="of the best detection: the row of evidence")
    placement: str = Field(description=f"what it is on: one of {', '.join(PLACEMENTS)}")
    position: float | None = Field(description="worth of its fields of the picture, 0..1")
    clarity: float | None = Field(description="how well it can be read, 0..1")
    visible_frac: float | None = Field(description="share that is neither hidden nor cut by the picture's edge, 0..1")
    exclusive_s: float | None = Field(description="of the seconds, those with no other brand on screen")
    quality: float | None = Field(description="composite score, 0..1")
    media_factor: float | None = Field(
        description="mean share of a full-screen spot, as summary.quality.media assumes; at any instant those of all "
        "brands sum to 1 at most"
    )
    reviewed: str = Field(description=f"what a person said of it: {', '.join(REVIEWED)}, or nothing")


class Proof(Record):
    """What stands behind exposures: a verdict, by a rule or by a model's answer."""

    verdict_id: str
    brand_id: str
    brand: str
    rule: str
    score: float = Field(description="how well the rule fits, 0..1")
    confidence: float = Field(description="the rule's score times the reading's confidence, 0..1")
    text: str = Field(description="the text that was read")
    matched: str = Field(description="the alias or the exemplar it was matched to, or the model's answer")
    decided_by: str = Field(description="the stage that decided")
    n_tracks: int
    provider: str = Field(description='who answered; "" for rules, as are the next four')
    model: str
    prompt_version: str
    reasoning: str
    placement: str
    cost_usd: float


class UnresolvedCluster(Record):
    """Marks or words that look alike and that nothing settled, with the best crop's place."""

    cluster_id: str
    rank: int = Field(description="from 1, by time on screen and size")
    text: str = Field(description='most frequent reading; "" for logo regions without text')
    track_ids: tuple[str, ...]
    n_regions: int
    seconds: float = Field(description="time on screen, s, every instant once")
    area_frac: float = Field(description="mean share of the picture, 0..1")
    crop_hashes: tuple[int, ...] = Field(description="64-bit perceptual hashes of the crops")
    best_region_id: str
    reason: str = Field(description=f"one of {', '.join(REASONS)}")
    candidates: tuple[str, ...] = Field(description="brands of the catalogue that it resembles, likest first")
    frame: int | None = Field(description="sampled frame of the best crop; null when it is not known")
    t_s: float | None
    x_px: float | None
    y_px: float | None
    w_px: float | None
    h_px: float | None
    alike: tuple[str, ...] = Field(description="the other logo regions without text that look like it")


class ReportDocument(Record):
    """``report.json``. The single detections are in the table ``detections`` beside it, in Parquet."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    schema_version: int = Field(default=REPORT_VERSION, json_schema_extra={"const": REPORT_VERSION})
    job: JobRequest
    brands: tuple[BrandTotal, ...] = Field(description="longest on screen first")
    exposures: tuple[Exposure, ...] = Field(description="in order of time")
    unresolved: tuple[UnresolvedCluster, ...] = Field(description="by rank")
    evidence: tuple[Proof, ...] = Field(description="the verdicts behind the exposures")
    summary: dict[str, Any] = Field(description="range, sampling and its error, counts, who resolved what, the run")
    losses: tuple[str, ...] = Field(description="what of the video and of the corrections was lost, and why")
    notes: tuple[str, ...] = Field(description="remarks in plain words")


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``report.json``.

    It lets fields pass that it does not name: what is valid now stays so when fields are added.
    """
    return {"$schema": DIALECT, **_open(ReportDocument.model_json_schema(mode="serialization"))}


def _open(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {k: _open(v) for k, v in schema.items() if k != "additionalProperties" or v is not False}
    return schema


def document(report: Report, request: JobRequest) -> ReportDocument:
    """The report as a document. Where pictures go on after the end that the header declared, the video is that long."""
    probe = request.probe
    duration_s = max(probe.duration_s, report.summary["range_s"][1])
    return ReportDocument(
        job=request.model_copy(update={"probe": probe.model_copy(update={"duration_s": duration_s})}),
        brands=tuple(BrandTotal(**row) for row in rounded(report.brands)),
        exposures=tuple(Exposure(**row) for row in rounded(report.exposures)),
        unresolved=tuple(UnresolvedCluster(**row) for row in rounded(report.unresolved)),
        evidence=tuple(Proof(**row) for row in rounded(report.evidence)),
        summary=dict(report.summary),
        losses=report.losses,
        notes=report.notes,
    )


def in_short(report: Report) -> dict[str, Any]:
    """Brands, losses and notes alone: what clients show without reading the documents."""
    shown = ("brand_id", "brand", "seconds", "share_of_voice", "n_exposures", "first_s", "area_frac_mean", "confidence")
    return {
        "brands": rounded(report.brands.select(shown).sort_by([("seconds", "descending"), ("brand_id", "ascending")])),
        "range_s": report.summary["range_s"],
        "notes": [*report.losses, *report.notes],
    }


def to_csv(rows: pa.Table) -> bytes:
    """``rows`` as CSV in UTF-8 with a byte order mark, which spreadsheets need to read accents.

    Texts come from strangers' pictures: one that a spreadsheet would take for a formula gets a leading apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(rows.column_names)
    writer.writerows([_cell(value) for value in row.values()] for row in rounded(rows))
    return out.getvalue().encode("utf-8-sig")


def rounded(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows with floats to the sixth decimal, so that 32-bit values do not show their conversion."""
    return [
        {name: round(value, DECIMALS) if isinstance(value, float) else value for name, value in row.items()}
        for row in rows.to_pylist()
    ]


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
