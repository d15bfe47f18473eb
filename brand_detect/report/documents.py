"""Writes the documents of a report into its attempt, and makes others on demand."""

from brand_detect.domain.contracts.compile_report import CompileReportParams, Report
from brand_detect.domain.job import JobRequest
from brand_detect.domain.protocols import BlobSink, FrameReader, ImageCodec
from brand_detect.report.exports import document, to_csv
from brand_detect.report.page import render
from brand_detect.report.webvtt import markers
from brand_detect.report.workbook import WORKBOOK, workbook


def write_documents(
    report: Report,
    request: JobRequest,
    params: CompileReportParams,
    *,
    frames: FrameReader,
    codec: ImageCodec,
    sink: BlobSink,
) -> None:
    """Write ``report.json``, ``report.html``, ``markers.vtt``, and the tables as CSV."""
    whole = document(report, request)
    sink.write("report.json", whole.model_dump_json(indent=1).encode())
    for name in ("brands", "placements", "assets", "exposures"):
        sink.write(f"{name}.csv", to_csv(getattr(report, name)))
    sink.write("markers.vtt", markers(whole).encode())
    sink.write("report.html", render(whole, report.detections, frames, codec, params).encode())


def on_demand(name: str, report: Report, request: JobRequest) -> bytes:
    """One of ``page.MADE``.

    Ids that only the pipeline uses are left out of the unresolved clusters.
    """
    if name == WORKBOOK:
        return workbook(document(report, request))
    tables = {
        "detections.csv": report.detections,
        "unresolved.csv": report.unresolved.drop_columns(["track_ids", "best_region_id", "crop_hashes"]),
    }
    return to_csv(tables[name])
