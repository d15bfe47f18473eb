"""Totals of a brand's exposures over the reported range."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from brand_detect.domain import timeline
from brand_detect.domain.catalog import Brand
from brand_detect.domain.contracts.compile_report import (
    AssetTotal,
    BrandTotal,
    CompileReportParams,
    Exposure,
    PlacementTotal,
)
from brand_detect.domain.placements import Placement
from brand_detect.stages.compile_report.detections import Floats
from brand_detect.stages.compile_report.edges import Spans

Carried = Mapping[str, Sequence[tuple[float, int, str]]]
"""Seconds, stretches and name of what carries a brand, by brand, longest first."""


def totals(
    exposures: Sequence[Exposure],
    detections: pa.Table,
    rejected: pa.Table,
    edges: pa.Table,
    cells: pa.Table,
    resembling: Mapping[str, Sequence[int]],
    placed: Carried,
    range_s: tuple[float, float],
    params: CompileReportParams,
    brands: Mapping[str, Brand],
) -> list[BrandTotal]:
    """The totals of the brands in ``exposures``, longest on screen first.

    ``rejected`` are the detections that a person has rejected: what they lie between is not certain, though bridged.
    ``resembling`` are the keyframes with unresolved clusters that resemble a brand, by brand; ``placed`` are the
    placements that carry each; ``brands`` are the catalogue's by id.
    """
    by_brand: defaultdict[str, list[Exposure]] = defaultdict(list)
    for exposure in exposures:
        by_brand[exposure.brand_id].append(exposure)
    everything = sum(e.seconds for e in exposures)
    overlays = detections.filter(pc.field("is_overlay"))
    on_overlays = Spans(overlays["brand_id"].to_pylist(), overlays, edges, cells)
    bounds = _Bounds(detections, rejected, cells, params)

    def total(own: Sequence[Exposure]) -> BrandTotal:
        brand_id, brand = own[0].brand_id, own[0].brand
        listed = brands.get(brand_id) or Brand(brand_id, brand)
        seconds = sum(e.seconds for e in own)
        spot_s = sum(e.media_factor * e.seconds for e in own)
        counted = [(e.start_s, e.end_s) for e in own]
        low_s, high_s = bounds.of(brand_id, resembling.get(brand, ()), counted)
        overlaid = [(span.start_s, span.end_s) for span in on_overlays.of(brand_id, bridge_s=0)]
        return BrandTotal(
            brand_id=brand_id,
            brand=brand,
            kind=listed.kind,
            country=listed.country,
            categories=listed.categories,
            seconds=seconds,
            screen_share=seconds / (range_s[1] - range_s[0]),
            share_of_voice=seconds / everything,
            n_exposures=len(own),
            longest_s=max(e.seconds for e in own),
            first_s=own[0].start_s,
            last_s=own[-1].end_s,
            area_frac_mean=_mean(own, "area_frac_mean"),
            confidence=max(e.confidence for e in own),
            overlay_s=timeline.union_seconds(overlaid) - timeline.union_seconds(timeline.minus(overlaid, counted)),
            low_s=min(low_s, seconds),
            high_s=high_s,
            mean_s=seconds / len(own),
            area_frac_max=max(e.area_frac_max for e in own),
            position=_mean(own, "position"),
            clarity=_mean(own, "clarity"),
            visible_frac=_mean(own, "visible_frac"),
            exclusive_s=sum(e.exclusive_s for e in own),
            quality=_mean(own, "quality"),
            placement=placed[brand_id][0][2] if brand_id in placed else Placement.unknown,
            media_value=params.media_rate / 30 * spot_s if params.media_rate else None,
        )

    return sorted(map(total, by_brand.values()), key=lambda brand: (-brand.seconds, brand.brand_id))


def placement_totals(detections: pa.Table, placed: Carried, brands: Sequence[BrandTotal]) -> list[PlacementTotal]:
    """Totals by brand, in the order of ``brands``, and placement, longest first."""
    sure = detections.group_by(["brand_id", "placement"]).aggregate([("placement_confidence", "mean")])
    confidence = {(row["brand_id"], row["placement"]): row["placement_confidence_mean"] for row in sure.to_pylist()}
    return [
        PlacementTotal(**part, placement=name, confidence=confidence[part["brand_id"], name])
        for part, name in _parts(placed, brands)
    ]


def asset_totals(
    detections: pa.Table, edges: pa.Table, cells: pa.Table, brands: Sequence[BrandTotal], params: CompileReportParams
) -> list[AssetTotal]:
    """Totals by brand, in the order of ``brands``, and asset, longest first."""
    on_assets = detections.filter(pc.field("asset") != "")
    assets = carried("asset", on_assets, edges, cells, params)
    return [AssetTotal(**part, asset=name) for part, name in _parts(assets, brands)]


def carried(
    column: str, detections: pa.Table, edges: pa.Table, cells: pa.Table, params: CompileReportParams
) -> Carried:
    """What carries each brand, by the values of ``column``, counted like exposures."""
    found: defaultdict[str, list[tuple[float, int, str]]] = defaultdict(list)
    parts = [*zip(*(detections[c].to_pylist() for c in ("brand_id", column)), strict=True)]
    spans = Spans(parts, detections, edges, cells)
    for part in sorted(set(parts)):
        lengths = [span.end_s - span.start_s for span in spans.of(part, params.bridge_s)]
        lengths = [s for s in lengths if s > 0 and s >= params.min_exposure_s]
        if lengths:
            found[part[0]].append((sum(lengths), len(lengths), part[1]))
    return {
        brand_id: sorted(on, key=lambda one: (-one[0], one[2] == Placement.unknown)) for brand_id, on in found.items()
    }


def _parts(carriers: Carried, brands: Sequence[BrandTotal]) -> Iterator[tuple[dict[str, Any], str]]:
    """The fields of ``Part`` and its name, by brand."""
    for brand in brands:
        for seconds, n_exposures, name in carriers.get(brand.brand_id, ()):
            part = {"brand_id": brand.brand_id, "brand": brand.brand, "seconds": seconds}
            yield part | {"share": seconds / brand.seconds, "n_exposures": n_exposures}, name


def _mean(exposures: Sequence[Exposure], name: str) -> float:
    """Mean of a figure of ``exposures``, weighted by time."""
    return sum(getattr(e, name) * e.seconds for e in exposures) / sum(e.seconds for e in exposures)


def _frames_of(detections: pa.Table, which: pc.Expression) -> defaultdict[str, list[int]]:
    """The distinct keyframes with a detection that matches ``which``, by brand."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    pairs = detections.filter(which).group_by(["brand_id", "frame"]).aggregate([])
    for brand_id, frame in zip(*(pairs[c].to_pylist() for c in ("brand_id", "frame")), strict=True):
        found[brand_id].append(frame)
    return found


class _Bounds:
    """Lower and upper bounds of seconds by the sampled frames: an edge that is no cut lies between the two frames of
    which one shows the brand, on whatever picture it was found.

    What a person has confirmed is certain, but not where it is bridged over a frame that a person has rejected.
    """

    def __init__(self, detections: pa.Table, rejected: pa.Table, cells: pa.Table, params: CompileReportParams) -> None:
        self._cells, self._bridge_s = cells, params.bridge_s
        self._keyframe = cells["keyframe"].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
        start, end, t_s, shot = (cells[c].to_numpy() for c in ("start_s", "end_s", "t_s", "shot"))
        cut = np.r_[True, np.diff(shot) != 0, True][: len(shot) + 1]
        self._at_least = np.where(cut[:-1], start, t_s), np.where(cut[1:], end, t_s)
        self._at_most = np.where(cut[:-1], start, np.roll(t_s, 1)), np.where(cut[1:], end, np.roll(t_s, -1))
        self._every = _frames_of(detections, pc.scalar(True))
        self._sure = _frames_of(detections, pc.field("confidence") >= pa.scalar(params.sure_confidence, pa.float32()))
        self._confirmed = _frames_of(detections, pc.field("reviewed") != "")
        self._rejected = _frames_of(rejected, pc.scalar(True))

    def of(self, brand_id: str, resembling: Sequence[int], found: Sequence[tuple[float, float]]) -> tuple[float, float]:
        """Seconds certainly covered, and most seconds that may be, with the keyframes that resemble the brand and the
        exposures that were ``found``."""
        confirmed, every = self._confirmed[brand_id], self._every[brand_id]
        breaks = sorted({*self._rejected[brand_id]} - {*confirmed})
        certain = self._shown(self._sure[brand_id])
        for _, frames in groupby(sorted(confirmed), key=lambda frame: bisect_left(breaks, frame)):
            certain |= self._exposed(list(frames))
        possible = self._exposed(every)
        if {*confirmed} != {*every}:  # all by a person: only edges are unsure
            possible |= self._shown(resembling)
        low = np.diff(_runs(certain, self._at_least), axis=1).clip(min=0).sum()
        return float(low), timeline.union_seconds(np.concatenate([_runs(possible, self._at_most), found]))

    def _shown(self, frames: Sequence[int]) -> NDArray[np.bool_]:
        """Mask of the cells of these keyframes."""
        return np.isin(self._keyframe, frames)

    def _exposed(self, frames: Sequence[int]) -> NDArray[np.bool_]:
        """Mask of the cells of the exposures on these keyframes, with those of bridged gaps."""
        mask = np.zeros(len(self._keyframe), np.bool_)
        for rows in timeline.bridged_spans(self._cells, frames, self._bridge_s):
            mask[rows[0] : rows[-1] + 1] = True
        return mask


def _runs(mask: NDArray[np.bool_], edges: tuple[Floats, Floats]) -> Floats:
    """The unbroken runs of cells in ``mask`` by the start and end that ``edges`` give each cell, shape (n, 2)."""
    first, beyond = np.flatnonzero(np.diff(mask, prepend=False, append=False)).reshape(-1, 2).T
    return np.column_stack((edges[0][first], edges[1][beyond - 1]))
