"""Exports a stored report: as files in a format, as the video with its detections drawn in, and as one for browsers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, TypeVar

from brand_detect.domain.contracts.compile_report import CompileReportParams, Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.job import JobRequest
from brand_detect.domain.media import content_sha256
from brand_detect.domain.pipeline import ROOT, Stage
from brand_detect.domain.protocols import Canvas, Image, ImageCodec, Interval, Media, Progress, Rewritten, VideoRewriter
from brand_detect.orchestration.resources import Services
from brand_detect.report import boxes
from brand_detect.report.annotations import Annotations
from brand_detect.report.clips import cut
from brand_detect.report.documents import on_demand
from brand_detect.report.exports import IMAGES, LOCAL_FILES, Format, ReportDocument, document, to_csv
from brand_detect.report.webvtt import markers
from brand_detect.report.workbook import WORKBOOK
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.codec import Value
from brand_detect.storage.frames import StoredFrames
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.reports import Reports
from brand_detect.storage.store import Store

SECONDS = "seconds of video"
"""Unit of progress in a video that is made."""

V = TypeVar("V", bound=Value)


@dataclass(frozen=True)
class StoredReport:
    """A stored report; the payloads of its lineage are loaded on first use."""

    store: Store
    ref: AttemptRef
    manifest: Manifest

    @classmethod
    def of(cls, store: Store, job_id: str, attempt: str = "") -> "StoredReport":
        """As ``Reports.find``."""
        made = Reports(store).find(job_id, attempt)
        return cls(store, AttemptRef(job_id, made.stage, made.attempt), made)

    @cached_property
    def report(self) -> Report:
        return self._load(Stage.compile_report, Report)

    @cached_property
    def request(self) -> JobRequest:
        return self._load(ROOT, JobRequest)

    @cached_property
    def extracted(self) -> ExtractedFrames:
        return self._load(Stage.extract_frames, ExtractedFrames)

    @cached_property
    def scenes(self) -> FilteredScenes:
        return self._load(Stage.filter_scenes, FilteredScenes)

    @cached_property
    def document(self) -> ReportDocument:
        return document(self.report, self.request)

    @cached_property
    def labels(self) -> boxes.Labels:
        regions = self._load(Stage.detect_objects, DetectedObjects).regions
        return boxes.labels(self.request, self.extracted.frames, self.scenes.timeline, regions, self.report)

    @cached_property
    def annotations(self) -> Annotations:
        params = CompileReportParams.model_validate(self.manifest.params)
        return Annotations(self.report, self.extracted.frames, self.scenes.timeline, params.bridge_s)

    def frames(self, codec: ImageCodec) -> StoredFrames:
        """The stored frames of the report's lineage.

        Raises:
            Permanent: they have been deleted.
        """
        made = AttemptRef(self.ref.job_id, Stage.extract_frames, self.manifest.upstream[Stage.extract_frames])
        return StoredFrames(self.store, self.store.with_frames(made), self.extracted.frames, codec)

    def _load(self, stage: str, kind: type[V]) -> V:
        attempt = self.ref.attempt if stage == Stage.compile_report else self.manifest.upstream[stage]
        value = self.store.load(AttemptRef(self.ref.job_id, stage, attempt))
        assert isinstance(value, kind)
        return value


def files(found: StoredReport, what: Format, prefix: str = LOCAL_FILES) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a report in a format that is no video; pictures come from ``images``.

    ``prefix`` is put before the pictures' names in Label Studio's tasks.
    """
    report, request = found.report, found.request
    if what is Format.json:
        yield "report.json", found.document.model_dump_json(indent=1).encode()
    elif what is Format.vtt:
        yield "markers.vtt", markers(found.document).encode()
    elif what is Format.csv:
        for name in ("brands", "placements", "assets", "exposures"):
            yield f"{name}.csv", to_csv(getattr(report, name))
        for name in ("detections.csv", "unresolved.csv"):
            yield name, on_demand(name, report, request)
    elif what is Format.xlsx:
        yield WORKBOOK, on_demand(WORKBOOK, report, request)
    elif what is Format.parquet:
        for file in found.manifest.files:
            if file.name.endswith(".parquet"):
                yield file.name, found.store.read(found.ref, file.name)
    elif what is Format.coco:
        yield "annotations.json", _json(boxes.coco(found.labels, request))
    elif what is Format.yolo:
        yield from ((name, text.encode()) for name, text in boxes.yolo(found.labels).items())
    elif what is Format.label_studio:
        model = f"brand_detect {found.ref.attempt}"
        yield "tasks.json", _json(boxes.label_studio(found.labels, request, model, prefix))
        yield "label_config.xml", boxes.label_config(found.labels.brands).encode()


def images(found: StoredReport, codec: ImageCodec) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the labelled frames, as they are stored.

    Raises:
        Permanent: the frames have been deleted; raised before the first one is returned.
    """
    frames = found.frames(codec)
    return ((f"{IMAGES}/{picture.name}", frames.jpeg(picture.frame)) for picture in found.labels.pictures)


def annotate(
    found: StoredReport, media: Media, rewriter: VideoRewriter, canvas: Canvas, target: Path, progress: Progress
) -> tuple[Rewritten, Image | None]:
    """Write the report's video with its detections drawn in to ``target``; returns the frame with most of them, too.

    ``progress`` stays at 0 while the video's content is compared.

    Raises:
        BadInput: the video is missing or out of reach, or its content has changed.
        Transient: there is no room for the target.
    """
    most, best = 0, None

    def draw(t_s: float, image: Image) -> Image:
        nonlocal most, best
        shapes = found.annotations.shapes(t_s, image.shape[1], image.shape[0])
        drawn = canvas.draw(image, shapes) if shapes else image
        if len(shapes) > most:
            most, best = len(shapes), drawn
        return drawn

    with _video(found.request, media, progress) as (file, rewritten):
        return rewriter.rewrite(file, target, draw, rewritten), best


def copy(found: StoredReport, media: Media, rewriter: VideoRewriter, target: Path, progress: Progress) -> Rewritten:
    """Write a copy of the report's video that browsers play to ``target``; otherwise as ``annotate``.

    Raises:
        Permanent: the copy lacks pictures that the report was made from.
    """
    with _video(found.request, media, progress) as (file, copied):
        made = rewriter.copy(file, target, found.request.probe.first_picture_s, copied)
    last_s = found.extracted.frames["t_s"][-1].as_py()
    if made.seconds <= last_s:
        raise Permanent(
            f"The copy would end at {made.seconds:.1f} s, but the video has a picture at {last_s:.1f} s.",
            "submit a copy of the video in H.264 and MP4",
        )
    return made


@contextmanager
def _video(request: JobRequest, media: Media, progress: Progress) -> Iterator[tuple[BinaryIO, Progress]]:
    """The request's video, compared by its content, and ``progress`` up to its probed duration."""
    duration_s = request.probe.duration_s  # a header may declare none

    def compared(done: float, total: float, unit: str) -> None:  # noqa: ARG001
        progress(0.0, duration_s, SECONDS)

    def written(done: float, total: float, unit: str) -> None:  # noqa: ARG001
        progress(done, duration_s, SECONDS)

    with media.open(request.video_uri) as file:
        if content_sha256(file, compared)[0] != request.video_sha256:
            raise BadInput(
                f"{request.video_uri} is no longer the video that the report was made from.",
                "put it back, or submit it as a new job",
            )
        yield file, written


def clip(found: StoredReport, services: Services, part: Interval, target: Path, progress: Progress) -> Rewritten:
    """Write a part of the report's video to ``target``; as ``clips.cut``."""
    rewriter = services.engines.rewriter(services.settings.video_limits)
    return cut(found.request, part, services.media, rewriter, target, progress)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode()
