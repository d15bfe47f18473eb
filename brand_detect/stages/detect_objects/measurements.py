"""Measures the pixels of regions: sharpness, contrast, hash, glyph boxes, background."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.contracts.detect_objects import DetectObjectsParams, Origin, RegionKind
from brand_detect.domain.geometry import at_edge, box_of, quad_areas
from brand_detect.domain.protocols import Image, ImageCodec, Region
from brand_detect.domain.tables import Row


@dataclass
class MeasuredRegion:
    """A region on one frame, with measurements of its pixels."""

    region: Region
    origin: Origin
    seen_on: list[int]  # the frames whose pixels show it
    box: NDArray[np.float64]
    area_frac: float
    sharpness: float
    contrast: float
    glyph_boxes: list[tuple[float, float, float, float]]
    crop_hash: int
    at_edge: bool
    background: NDArray[np.float64]

    def row(self, region_id: str, track_id: str, frame: int) -> Row:
        """The region's row of REGIONS, on the keyframe ``frame``."""
        left, top, right, bottom = self.box.tolist()
        return {
            "region_id": region_id,
            "track_id": track_id,
            "frame": frame,
            "seen_on": self.seen_on,
            "kind": self.region.kind,
            "label": self.region.label,
            "score": self.region.score,
            "quad": self.region.quad.ravel().tolist(),
            "x_px": left,
            "y_px": top,
            "w_px": right - left,
            "h_px": bottom - top,
            "area_frac": self.area_frac,
            "sharpness": self.sharpness,
            "contrast": self.contrast,
            "crop_hash": self.crop_hash,
            "at_edge": self.at_edge,
            "origin": self.origin,
            "glyph_boxes": self.glyph_boxes,
        }


def measured_regions(
    found: Iterable[tuple[Region, Origin]], frame: int, image: Image, codec: ImageCodec, params: DetectObjectsParams
) -> list[MeasuredRegion]:
    """Measures the regions of ``image`` that are large enough; drops repeated boxes, which zero-shot detectors emit."""
    listed = {}
    for region, origin in found:
        one = _measured(region, origin, frame, image, codec)
        width, height = one.box[2:] - one.box[:2]
        is_logo = region.kind == RegionKind.logo
        if min(width, height) >= params.min_logo_px if is_logo else height >= params.min_height_px:
            listed.setdefault((region.kind, *rounded_box(one.box)), one)
    return list(listed.values())


def rounded_box(box: NDArray[np.float64]) -> list[int]:
    """The box in whole px."""
    return np.round(box).astype(int).tolist()


def _measured(region: Region, origin: Origin, frame: int, image: Image, codec: ImageCodec) -> MeasuredRegion:
    height, width = image.shape[:2]
    size, box, crop = np.array([width, height], float), box_of(region.quad), codec.rectify(image, region.quad)
    return MeasuredRegion(
        region,
        origin,
        [frame],
        box.clip(0, [*size, *size]),
        float(quad_areas([region.quad])[0]) / (width * height),
        codec.sharpness(crop),
        codec.contrast(crop),
        codec.glyph_boxes(crop) if region.kind == RegionKind.text else [],
        codec.phash(np.ascontiguousarray(crop[:, :, 1])),  # green is most of the luma
        bool(at_edge(box[:2], box[2:], size).any()),
        codec.background(crop),
    )
