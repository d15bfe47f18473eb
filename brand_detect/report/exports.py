"""The report as data: ``report.json`` for programs, and CSV tables of brands and exposures for spreadsheets."""

import csv
import io
from enum import StrEnum
from typing import Any

import pyarrow as pa
from pydantic import ConfigDict, Field

from brand_detect.domain.contracts.compile_report import (
    AssetTotal,
    BrandTotal,
    Evidence,
    Exposure,
    PlacementTotal,
    Report,
    UnresolvedCluster,
)
from brand_detect.domain.job import JobRequest
from brand_detect.domain.records import Record

REPORT_VERSION = 1
"""Version of ``report.json``; raised when a field changes its meaning or is removed, not when one is added."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DECIMALS = 6
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
"""First characters that make a cell a formula in a spreadsheet (OWASP, "CSV Injection"), with full-width forms."""


IMAGES = "images"
"""The folder of the labelled pictures."""
LOCAL_FILES = f"/data/local-files/?d={IMAGES}/"
"""Label Studio's path for local files."""


class Format(StrEnum):
    coco = "coco"
    yolo = "yolo"
    label_studio = "label-studio"
    vtt = "vtt"
    csv = "csv"
    xlsx = "xlsx"
    json = "json"
    parquet = "parquet"
    mp4 = "mp4"
    clip = "clip"


LABELLED = (Format.coco, Format.yolo, Format.label_studio)
"""Formats with pictures."""


class ReportDocument(Record):
    """``report.json``. Individual detections are in the Parquet table ``detections`` next to it."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    schema_version: int = Field(default=REPORT_VERSION, json_schema_extra={"const": REPORT_VERSION})
    job: JobRequest
    brands: tuple[BrandTotal, ...] = Field(description="longest on screen first")
    placements: tuple[PlacementTotal, ...] = Field(description="brands by placement")
    assets: tuple[AssetTotal, ...] = Field(description="brands by asset of the inventory")
    exposures: tuple[Exposure, ...] = Field(description="in order of time")
    unresolved: tuple[UnresolvedCluster, ...] = Field(description="by rank")
    evidence: tuple[Evidence, ...] = Field(description="the verdicts behind the exposures")
    summary: dict[str, Any] = Field(description="range, sampling and its error, counts, who resolved what, the run")
    losses: tuple[str, ...] = Field(description="lost parts of the video and of the corrections, with the reasons")
    notes: tuple[str, ...] = Field(description="remarks in plain words")


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``report.json``.

    It allows unknown fields, so that documents stay valid when fields are added.
    """
    return {"$schema": DIALECT, **_open(ReportDocument.model_json_schema(mode="serialization"))}


def _open(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {k: _open(v) for k, v in schema.items() if k != "additionalProperties" or v is not False}
    return schema


def document(report: Report, request: JobRequest) -> ReportDocument:
    """The report as a document. If frames continue beyond the declared duration, the longer duration counts."""
    probe = request.probe
    duration_s = max(probe.duration_s, report.summary["range_s"][1])
    return ReportDocument(
        job=request.model_copy(update={"probe": probe.model_copy(update={"duration_s": duration_s})}),
        brands=tuple(BrandTotal(**row) for row in rounded(report.brands)),
        placements=tuple(PlacementTotal(**row) for row in rounded(report.placements)),
        assets=tuple(AssetTotal(**row) for row in rounded(report.assets)),
        exposures=tuple(Exposure(**row) for row in rounded(report.exposures)),
        unresolved=tuple(UnresolvedCluster(**row) for row in rounded(report.unresolved)),
        evidence=tuple(Evidence(**row) for row in rounded(report.evidence)),
        summary=dict(report.summary),
        losses=report.losses,
        notes=report.notes,
    )


def in_short(report: Report) -> dict[str, Any]:
    """Only brands, losses and notes, which clients show without reading the documents."""
    shown = ("brand_id", "brand", "seconds", "share_of_voice", "n_exposures", "first_s", "area_frac_mean", "confidence")
    return {
        "brands": rounded(report.brands.select(shown).sort_by([("seconds", "descending"), ("brand_id", "ascending")])),
        "range_s": report.summary["range_s"],
        "notes": [*report.losses, *report.notes],
    }


def to_csv(rows: pa.Table) -> bytes:
    """``rows`` as CSV in UTF-8 with a byte order mark, which spreadsheets need to read accents.

    Texts come from untrusted pictures: those that a spreadsheet would take for a formula get a leading apostrophe.
    ``|`` separates the texts of a list. What was not measured is an empty cell.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(rows.column_names)
    writer.writerows([_cell(value) for value in row.values()] for row in rounded(rows))
    return out.getvalue().encode("utf-8-sig")


def rounded(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows with floats rounded to six decimals, to hide the conversion of 32-bit values."""
    return [
        {name: round(value, DECIMALS) if isinstance(value, float) else value for name, value in row.items()}
        for row in rows.to_pylist()
    ]


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = "|".join(value)
    if value != value:  # NaN
        return None
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
