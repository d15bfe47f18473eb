"""The regions of a video as arrays."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from brand_detect.domain.geometry import EDGE, inner_quads
from brand_detect.domain.tables import BOX, places

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

INSIDE = 1 / 3
"""Least share of a glyph box between the name's ends: a wide first letter meets it, an emblem beside it does not."""
OUTWARD, INWARD = 0.2, 0.1
"""Largest shift of a cut from the reader's first or last letter, as a share of the name; 0.2 is a letter of five."""
ROOM = 0.25
"""Largest margin that a detector leaves before or after a line's letters, as a share of the box: a single letter."""


class RegionColumns:
    """Columns of REGIONS as arrays. ``track`` is the index into the tracks.

    ``cut_left`` and ``cut_right`` say whether the picture's left or right edge cuts the region off. Boxes end at the
    edge, so the rightmost one tells how wide the picture is.
    """

    def __init__(self, regions: pa.Table, tracks: Sequence[str]) -> None:
        self.track: Ints = places(regions["track_id"], tracks)
        self.frame: Ints = regions["frame"].to_numpy().astype(np.int64)
        self.x, self.y, self.w, self.h, self.area = (
            regions[c].to_numpy().astype(np.float64) for c in (*BOX, "area_frac")
        )
        self.sharpness: Floats = regions["sharpness"].to_numpy().astype(np.float64)
        self.hash = regions["crop_hash"].to_numpy()
        at_edge = regions["at_edge"].fill_null(False).to_numpy()
        right, width = self.x + self.w, (self.x + self.w).max(initial=0.0)
        self.cut_left = at_edge & (self.x <= EDGE * width)
        self.cut_right = at_edge & (right >= (1 - EDGE) * width)
        self.ids = regions["region_id"]


def corner_boxes(rows: pa.Table) -> Floats:
    """Boxes of REGIONS or DETECTIONS, shape (n, 4): left, top, right, bottom, in px."""
    left, top, width, height = (rows[c].to_numpy().astype(np.float64) for c in BOX)
    return np.column_stack((left, top, left + width, top + height))


def centres_of(rows: pa.Table, frames: pa.Table) -> Floats:
    """Centres of the boxes of REGIONS or DETECTIONS as shares of their picture, shape (n, 2)."""
    boxes = corner_boxes(rows)
    return (boxes[:, :2] + boxes[:, 2:]) / 2 / sizes_of(frames, rows["frame"].to_numpy())


def quads_of(regions: pa.Table) -> Floats:
    """The quads of REGIONS as an array of shape (n, 4, 2)."""
    return regions["quad"].combine_chunks().flatten().to_numpy().reshape(-1, 4, 2).astype(np.float64)


def cut_to_glyphs(regions: pa.Table, begin: Floats, end: Floats) -> Floats:
    """The quads of REGIONS cut to their lettering, shape (n, 4, 2).

    ``begin`` and ``end``, shape (n,), are the shares of the line between which the reader found the name, NaN if
    unknown. A glyph box counts if at least ``INSIDE`` of it lies between them; other parts are cut off. Since letters
    may be occluded, each end of the cut stays near ``begin`` and ``end``, or, if unknown, near those of the quad. Text
    without any glyph box is cut at the median top and bottom of the others.
    """
    glyph_boxes = regions["glyph_boxes"].combine_chunks()
    stretches = glyph_boxes.flatten().flatten().to_numpy().reshape(-1, 4).astype(np.float64)
    owner = np.repeat(np.arange(len(glyph_boxes)), glyph_boxes.value_lengths().fill_null(0).to_numpy())
    known = np.isfinite(begin)
    begin, end = np.where(known, begin, 0.0), np.where(known, end, 1.0)
    left, right = stretches[:, 0], stretches[:, 2]
    counts = np.minimum(right, end[owner]) - np.maximum(left, begin[owner]) >= INSIDE * (right - left)
    owner, stretches = owner[counts], stretches[counts]
    extent = np.column_stack((begin, np.zeros(len(glyph_boxes)), end, np.ones(len(glyph_boxes))))
    extent[owner] = np.inf, np.inf, -np.inf, -np.inf
    np.minimum.at(extent[:, :2], owner, stretches[:, :2])
    np.maximum.at(extent[:, 2:], owner, stretches[:, 2:])
    text, has_glyphs = regions["kind"].to_numpy(zero_copy_only=False) == "text", np.zeros(len(glyph_boxes), bool)
    has_glyphs[owner] = True
    if (text & has_glyphs).any():
        top, bottom = np.median(extent[text & has_glyphs][:, (1, 3)], axis=0)
        extent[text & ~has_glyphs, 1], extent[text & ~has_glyphs, 3] = top, bottom
    span = end - begin
    outward, inward = OUTWARD * span, np.where(known, INWARD, ROOM) * span
    extent[:, 0] = extent[:, 0].clip(begin - outward, begin + inward)
    extent[:, 2] = extent[:, 2].clip(end - inward, end + outward)
    return inner_quads(quads_of(regions), extent)


def sizes_of(frames: pa.Table, frame: NDArray[np.integer]) -> Floats:
    """Width and height in px of each of ``frame``, shape (n, 2); ``frames`` are FRAMES in order."""
    at = np.searchsorted(frames["frame"].to_numpy(), frame)
    return np.column_stack([frames[c].to_numpy()[at] for c in ("width_px", "height_px")]).astype(np.float64)


def seen_best_on(regions: pa.Table) -> pa.ChunkedArray:
    """The frame that shows each of REGIONS best: on the keyframe it may be occluded."""
    return pc.list_element(regions["seen_on"], 0)  # pyright: ignore[reportAttributeAccessIssue]
