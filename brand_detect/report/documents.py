"""Writes the documents of a report into its attempt."""

from brand_detect.domain.contracts.compile_report import CompileReportParams, Report
from brand_detect.domain.job import JobRequest
from brand_detect.domain.protocols import BlobSink, FrameReader, ImageCodec
from brand_detect.report.exports import document, to_csv
from brand_detect.report.page import render
from brand_detect.report.webvtt import markers


def write_documents(
    report: Report,
    request: JobRequest,
    params: CompileReportParams,
    *,
    frames: FrameReader,
    codec: ImageCodec,
    sink: BlobSink,
) -> None:
    """Write ``report.json``, ``brands.csv``, ``exposures.csv``, ``markers.vtt`` and ``report.html``."""
    whole = document(report, request)
    sink.write("report.json", whole.model_dump_json(indent=1).encode())
    sink.write("brands.csv", to_csv(report.brands))
    sink.write("exposures.csv", to_csv(report.exposures))
    sink.write("markers.vtt", markers(whole).encode())
    sink.write("report.html", render(whole, report.detections, frames, codec, params).encode())
