"""Finds the regions of a picture by detection, or propagates them from an earlier one where nothing changed."""

from collections.abc import Sequence

import numpy as np

from brand_detect.domain.contracts.detect_objects import DetectObjectsParams, Origin, RegionKind
from brand_detect.domain.geometry import box_of, boxes_of, coverage, rescaled, transformed
from brand_detect.domain.protocols import Area, CameraMotion, Image, Luma, Quad, Region, RegionDetector, Transform
from brand_detect.stages.detect_objects.areas import areas_to_search, around, enlarged, size_of

NEAR_STILL = 0.05  # of the width; after a larger motion or zoom other text may have become legible
REFRESH_FRAMES = 8  # full search after this many propagated frames
SEARCH_RIM = 0.1  # of the width: margin that a detector adds around an area, both sides together
MAX_CHANGED = 0.4  # of the picture, rims included; above it, searching in parts takes as long as the whole
WHOLE = 0.98  # share of a region that must be in the picture for it to be propagated
IS_TEXT = 0.7  # share of a logo region on lines of text from which it counts as text
SAME_REGION = 0.5  # share of a new region on others from which it is one of them

Found = tuple[Region, Origin]


class RegionSearch:
    """Runs the detectors; on near-still frames only where the picture changed since the last full search."""

    def __init__(self, params: DetectObjectsParams, detectors: Sequence[RegionDetector], motion: CameraMotion) -> None:
        self._params, self._detectors, self._motion = params, detectors, motion
        self.stats = {"detector_calls": 0.0, "pictures_searched": 0.0}
        self.begin_shot()

    def begin_shot(self) -> None:
        """Drops the reference: nothing is propagated across a cut."""
        self._reference: Luma | None = None
        self._regions: list[Region] = []
        self._propagated = 0

    def regions(self, image: Image, luma: Luma) -> list[Found]:
        """Regions of the picture, each with its origin."""
        if self._propagated < REFRESH_FRAMES:
            propagated = self._propagate(image, luma)
            if propagated is not None:
                self._propagated += 1
                return propagated
        self._reference, self._propagated = luma, 0
        found = self._detected(image)
        self._regions = [region for region, _ in found]
        return found

    def again(self, image: Image, luma: Luma) -> list[Found]:
        """Regions of a duplicate of the last picture."""
        propagated = self._propagate(image, luma)
        return self._detected(image) if propagated is None else propagated

    def _propagate(self, image: Image, luma: Luma) -> list[Found] | None:
        """The reference's regions where nothing changed and new ones elsewhere; None if too much changed."""
        reference = self._reference
        if reference is None or not self._params.propagate:
            return None
        motion = self._motion.between(reference, luma)
        if motion is None or _farthest(motion, luma.shape[1], luma.shape[0]) > NEAR_STILL * luma.shape[1]:
            return None
        height, width = image.shape[:2]
        scale = width / luma.shape[1]
        in_px = rescaled(motion, scale)
        moved = [Region(r.kind, r.label, r.score, _transformed(r.quad, in_px)) for r in self._regions]
        inside = coverage(boxes_of([r.quad for r in moved]), np.array([[0.0, 0.0, width, height]]))
        leaving = [around(box_of(r.quad)) for r, share in zip(moved, inside, strict=True) if 0 < share < WHOLE]
        moved = [r for r, share in zip(moved, inside, strict=True) if share >= WHOLE]
        changed = [enlarged(a, scale) for a in self._motion.changed(reference, luma, motion)]
        areas, untouched = areas_to_search([*changed, *leaving], [box_of(r.quad) for r in moved])
        areas = [Area(max(0, a.left), max(0, a.top), min(width, a.right), min(height, a.bottom)) for a in areas]
        rim = width * SEARCH_RIM
        if sum((a.right - a.left + rim) * (a.bottom - a.top + rim) for a in areas) > MAX_CHANGED * width * height:
            return None
        found = [(moved[i], Origin.propagated) for i in untouched]
        for region in self._detect(image, areas) if areas else []:
            # Detectors see parts of propagated regions around an area, and find text twice between close areas.
            of_its_kind = [r.quad for r, _ in found if r.kind == region.kind]
            if coverage(boxes_of([region.quad]), boxes_of(of_its_kind))[0] < SAME_REGION:
                found.append((region, Origin.detected))
        return without_lines(found, self._params.max_logos)

    def _detected(self, image: Image) -> list[Found]:
        """Regions of the whole picture, each with its origin."""
        return without_lines([(region, Origin.detected) for region in self._detect(image, [])], self._params.max_logos)

    def _detect(self, image: Image, areas: Sequence[Area]) -> list[Region]:
        whole = image.shape[0] * image.shape[1]
        self.stats["detector_calls"] += len(self._detectors)
        self.stats["pictures_searched"] += sum(size_of(a) for a in areas) / whole if areas else 1.0
        return [region for detector in self._detectors for region in detector.detect(image, areas)]


def without_lines(found: Sequence[Found], max_logos: int) -> list[Found]:
    """Drops logo regions that are lines of text, and all but the ``max_logos`` best of the others."""
    lines = boxes_of([r.quad for r, _ in found if r.kind == RegionKind.text])
    on_lines = coverage(boxes_of([r.quad for r, _ in found]), lines)
    logos = [i for i, (r, _) in enumerate(found) if r.kind == RegionKind.logo and on_lines[i] < IS_TEXT]
    kept = set(sorted(logos, key=lambda i: -found[i][0].score)[:max_logos])
    return [one for i, one in enumerate(found) if one[0].kind != RegionKind.logo or i in kept]


def _farthest(motion: Transform, width: int, height: int) -> float:
    """Largest displacement of a corner of the picture, in px."""
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    return float(np.abs(transformed(corners, motion) - corners).max())


def _transformed(quad: Quad, motion: Transform) -> Quad:
    return transformed(quad, motion).astype(np.float32)
