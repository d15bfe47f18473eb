"""Frames and a sink in memory, and a small report made by the real stage."""

from typing import Any

import numpy as np

from brand_detect.domain.contracts.compile_report import CompileReportParams, Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import BLACK, FilteredScenes
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.job import JobRequest
from brand_detect.domain.protocols import BlobRef, FrameReader, Image
from brand_detect.orchestration.profiles import load_quality
from brand_detect.stages.compile_report.compile import compile_report
from brand_detect_tests.support import payloads as p


class Pictures(FrameReader):
    """Frames of coarse coloured fields; remembers what was read."""

    def __init__(self, width_px: int = 640, height_px: int = 360) -> None:
        self.shape = (height_px, width_px)
        self.reads: list[int] = []

    def read(self, frame: int) -> Image:
        self.reads.append(frame)
        fields = np.random.default_rng(frame).integers(0, 255, (9, 16, 3)).astype(np.uint8)
        row, column = (np.arange(side) * n // side for side, n in zip(self.shape, (9, 16), strict=True))
        return np.ascontiguousarray(fields[row][:, column])


class Files:
    """A ``BlobSink`` that keeps whole files in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def append(self, t_s: float, data: bytes) -> BlobRef:
        raise AssertionError(f"a report stores no frames, {len(data)} bytes at {t_s} s were appended")

    def write(self, name: str, data: bytes) -> None:
        self.files[name] = data


def match(nike: str = "Nike", unknown: str = "KAPRUN", note: str = "") -> dict[str, Any]:
    """Payloads by stage: a brand for 1.5 s in the first shot, Itaú for 1 s in the second, and an unknown word."""
    frames = p.frames(20, size=(640, 360))
    scenes = p.scenes(frames, cuts=(4.1,), dropped={3: 2, 12: BLACK})
    regions = [p.region(i, "a", (40, 60, 120, 30)) for i in (1, 2)]
    regions += [p.region(i, "b", (300, 200, 90, 40)) for i in (14, 15)]
    regions += [p.region(10, "x", (500, 300, 100, 40))]
    detected = p.detected(regions, scenes)
    rows = [p.verdict(nike, ["a"]), p.verdict("Itaú", ["b"], rule="fuzzy")]
    verdicts = p.verdicts(rows, [p.cluster(1, unknown, regions[-1])])
    texts = p.texts([p.text("a", nike), p.text("b", "ITAÚ"), p.text("x", unknown)])
    request = p.request(notes=(note,) if note else ())
    return {
        "job_request": request,
        "extract_frames": frames,
        "filter_scenes": scenes,
        "detect_objects": detected,
        "run_ocr": texts,
        "match_brands": verdicts,
        "escalate_vlm": verdicts,
        "escalate_cloud": verdicts,
        "compile_report": select_report(request, frames, scenes, detected, verdicts),
    }


def select_report(
    request: JobRequest,
    frames: ExtractedFrames,
    scenes: FilteredScenes,
    detected: DetectedObjects,
    verdicts: BrandVerdicts,
    **params: Any,
) -> Report:
    statistics = {
        "profile": "default",
        "seconds": {"run_ocr": 7.25},
        "engines": {"run_ocr": {"reader": "rapidocr <3>"}},
        "params": {"run_ocr": {"languages": "eng"}},
        "lineage": {"run_ocr": "run-1-0"},
        "cost_usd": 0.0,
    }
    return compile_report(
        request,
        frames,
        scenes,
        detected,
        verdicts,
        CompileReportParams(**params),
        scale=load_quality("default"),
        statistics=statistics,
        brands={},
    )


def nothing() -> dict[str, Any]:
    """Payloads of a job in which nothing was found."""
    frames = p.frames(20, size=(640, 360))
    scenes = p.scenes(frames)
    detected, verdicts = p.detected([], scenes), p.verdicts([])
    return {
        "job_request": p.request(),
        "extract_frames": frames,
        "filter_scenes": scenes,
        "detect_objects": detected,
        "run_ocr": p.texts([]),
        "match_brands": verdicts,
        "escalate_vlm": verdicts,
        "escalate_cloud": verdicts,
        "compile_report": select_report(p.request(), frames, scenes, detected, verdicts),
    }
