"""A report of a 90-minute match with 200 brands, made of payloads."""

from typing import Any

import numpy as np

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.protocols import FrameReader, Image
from brand_detect.engines.image import OpenCvCodec
from brand_detect_tests.support import payloads as p
from brand_detect_tests.support.report_fakes import select_report

DURATION_S, FPS = 5400.0, 2.0
BRANDS, EACH = 200, 40
SHOT_S = 6.0


class StoredPictures(FrameReader):
    """Frames that cost what stored ones cost: a 1080p JPEG of grass, crowd and boards is decoded."""

    def __init__(self) -> None:
        self._codec = OpenCvCodec()
        random = np.random.default_rng(0)
        coarse = random.integers(40, 200, (27, 48, 3)).astype(np.uint8).repeat(40, axis=0).repeat(40, axis=1)
        fine = random.integers(-12, 12, (540, 960, 1)).repeat(2, axis=0).repeat(2, axis=1)
        self._jpeg = self._codec.encode(np.clip(coarse + fine, 0, 255).astype(np.uint8), 90, 0)
        self.reads = 0

    def read(self, frame: int) -> Image:  # noqa: ARG002 all frames cost the same
        self.reads += 1
        return self._codec.decode(self._jpeg)


def large() -> dict[str, Any]:
    """Payloads by stage: each brand about ``EACH`` times on screen, at its own place, and 300 unresolved clusters."""
    n = int(DURATION_S * FPS)
    frames = p.frames(n, FPS)
    scenes = p.scenes(frames, cuts=np.arange(SHOT_S, DURATION_S, SHOT_S).tolist())
    random = np.random.default_rng(7)
    regions, verdicts, clusters = [], [], []
    rules = [("exact", "match_brands"), ("logo_match", "match_brands"), ("vlm", "escalate_vlm")]
    for b in range(BRANDS):
        starts = np.sort(random.choice(n // 24, EACH, replace=False)) * 24 + b % 16
        rule, stage = rules[b % 3]
        for k, start in enumerate(starts.tolist()):
            track = f"b{b}k{k}"
            box = (20 + 9 * (b % 200), 30 + 4 * (k % 200), 140, 40)
            regions += [p.region(start + i, track, box) for i in range(2 + (b + k) % 8)]
            confidence = 0.55 + 0.45 * ((7 * b + k) % 10) / 10
            about = {"rule": rule, "decided_by": stage, "confidence": confidence, "verdict_id": track}
            verdicts.append(p.verdict(f"Brand {b:03d}", [track], **about))
    for c in range(300):
        best = p.region((37 * c) % n, f"open{c}", (300, 600, 200, 60))
        regions.append(best)
        clusters.append(p.cluster(c + 1, f"WORD {c}", best, candidates=["Brand 001"]))
    detected = p.detected(regions, scenes)
    settled = p.verdicts(verdicts, clusters)
    request = p.request(DURATION_S)
    made: Report = select_report(request, frames, scenes, detected, settled)
    return {"job_request": request, "compile_report": made}
