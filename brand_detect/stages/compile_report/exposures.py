"""Exposures: a brand on screen without a break; and what they come to per brand."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from brand_detect.domain import timeline
from brand_detect.domain.contracts.compile_report import ZONES, CompileReportParams
from brand_detect.domain.placements import PLACEMENTS
from brand_detect.domain.quality import QualityScale
from brand_detect.domain.tables import Row, content_id
from brand_detect.stages.compile_report.detections import BOX, Floats, Ints
from brand_detect.stages.regions import sizes_of

EVIDENCE = ("brand_id", "brand", "confidence", *BOX, "text", "rule", "decided_by", "verdict_id", "reviewed")


@dataclass(frozen=True)
class _Exposure:
    row: Row
    mine: Ints  # the rows of ``found`` that it rests on
    cells: Ints  # those that show the brand; bridged gaps are none
    factor: Floats  # per cell, what the brand counts for beside a full-screen spot, were it alone


@dataclass(frozen=True)
class _Presence:
    """A brand on the frames that show it: per frame, what all its boxes come to. Arrays in order of ``frame``."""

    frame: Ints
    first: Ints  # where the frame's boxes begin among the brand's rows
    group: Ints  # for each of the brand's rows its place in ``frame``
    middle: Floats  # (n, 2), 0..1 of the picture
    coverage: Floats  # share of the picture, overlap counted once
    zones: Floats  # (n, len(ZONES)), area in each field
    placements: Floats  # (n, len(PLACEMENTS)), area on each
    scores: Mapping[str, Floats]  # measures of quality, but for duration


def exposures(
    found: pa.Table,
    frames: pa.Table,
    cells: pa.Table,
    params: CompileReportParams,
    scale: QualityScale,
    video: str,
) -> Iterator[tuple[Row, Ints]]:
    """Each exposure with the rows of ``found``, as ``detections`` returns them, that it rests on.

    ``media_factor`` is the integral of the brand's factor over ``seconds``: what it counts for beside a full-screen
    spot, cut in proportion on the cells where all brands together come to more than one. It is cut to the six decimals
    that exports show, so that they add up to the brand's value.
    """
    listed = list(_listed(found, frames, cells, params, scale, video))
    length = cells["end_s"].to_numpy() - cells["start_s"].to_numpy()
    together = np.zeros(cells.num_rows)
    for e in listed:
        together[e.cells] += e.factor  # no cell twice: exposures of one brand do not meet
    for e in listed:
        held = e.factor / np.maximum(together[e.cells], 1.0)
        factor = float(length[e.cells] @ held) / e.row["seconds"]
        yield {**e.row, "media_factor": floor(1e6 * factor) / 1e6}, e.mine


def _listed(
    found: pa.Table,
    frames: pa.Table,
    cells: pa.Table,
    params: CompileReportParams,
    scale: QualityScale,
    video: str,
) -> Iterator[_Exposure]:
    if not found.num_rows:
        return
    frame = found["frame"].to_numpy()
    box = np.column_stack([found[c].to_numpy() for c in BOX]).astype(np.float64)
    centre = (box[:, :2] + box[:, 2:] / 2) / sizes_of(frames, frame)
    area, confidence = found["area_frac"].to_numpy().astype(np.float64), found["confidence"].to_numpy()
    start, end = cells["start_s"].to_numpy(), cells["end_s"].to_numpy()
    length, keyframe = end - start, cells["keyframe"].fill_null(-1).to_numpy()
    alone = found["n_brands"].to_numpy() == 1

    _, brands = np.unique(found["brand_id"].to_numpy(zero_copy_only=False), return_index=True)
    for own in np.split(np.arange(found.num_rows), brands[1:]):
        on = _presence(found.take(own), frame[own], box[own], centre[own], area[own], scale)
        for rows in timeline.runs(cells, on.frame, params.bridge_s):
            begin, finish = float(start[rows[0]]), float(end[rows[-1]])
            if finish - begin <= 0 or finish - begin < params.min_exposure_s:
                continue
            at = np.searchsorted(on.frame, keyframe[rows])
            share = length[rows] / length[rows].sum()
            near = slice(on.first[at.min()], np.searchsorted(on.group, at.max(), "right"))
            mine = own[near][np.isin(on.group[near], at)]
            best = mine[np.lexsort((-frame[mine], area[mine], confidence[mine].round(2)))[-1]]
            evidence = found.slice(best, 1).to_pylist()[0]
            cx, cy = share @ on.middle[at]
            scores = {name: float(share @ score[at]) for name, score in on.scores.items()}
            scores["duration"] = float(scale.of_duration(finish - begin))
            quality = float(scale.quality(scores))
            yield _Exposure(
                {
                    **{c: evidence[c] for c in EVIDENCE},
                    "frame": evidence["seen_on"],
                    "exposure_id": content_id(video, evidence["brand_id"], begin),
                    "start_s": begin,
                    "end_s": finish,
                    "seconds": finish - begin,
                    "area_frac_mean": float(share @ on.coverage[at]),
                    "area_frac_max": float(on.coverage[at].max()),
                    "cx": float(cx),
                    "cy": float(cy),
                    "zone": ZONES[int((share @ on.zones[at]).argmax())],
                    "n_detections": len(mine),
                    "placement": PLACEMENTS[int((share @ on.placements[at]).argmax())],
                    "position": scores["position"],
                    "clarity": scores["clarity"],
                    "visible_frac": scores["visibility"],
                    "exclusive_s": float(length[rows] @ alone[own][on.first[at]]),
                    "quality": quality,
                },
                mine,
                rows,
                scale.media_factor(on.coverage[at], quality),
            )


def _presence(
    found: pa.Table, frame: Ints, box: Floats, centre: Floats, area: Floats, scale: QualityScale
) -> _Presence:
    on, first, group = np.unique(frame, return_index=True, return_inverse=True)
    weight = np.maximum(area, 1e-12)
    total = np.add.reduceat(weight, first)

    def mean(values: Floats) -> Floats:
        """Over a frame's boxes, by area."""
        return np.add.reduceat((weight * values.T).T, first) / (total if values.ndim == 1 else total[:, None])

    def fields(place: Ints, n: int) -> Floats:
        areas = np.zeros((len(on), n))
        np.add.at(areas, (group, place), weight)
        return areas

    zone = np.minimum(centre * 3, 2).astype(np.intp) @ (1, 3)
    placement = np.array([PLACEMENTS.index(s) for s in found["placement"].to_pylist()], np.intp)
    coverage = total * _overlap_once(box, group)
    return _Presence(
        on,
        first,
        group,
        mean(centre),
        coverage,
        fields(zone, len(ZONES)),
        fields(placement, len(PLACEMENTS)),
        {
            "size": scale.of_size(coverage),
            "position": mean(scale.of_zone(zone)),
            "clarity": mean(found["clarity"].to_numpy().astype(np.float64)),
            "visibility": mean(found["visible_frac"].to_numpy().astype(np.float64)),
            "exclusive": 1.0 / found["n_brands"].to_numpy()[first],
        },
    )


def _overlap_once(boxes: Floats, group: Ints) -> Floats:
    """Per group, the area that its boxes cover over the sum of their areas: 1 when none overlap.

    ``boxes`` are x, y, width, height, those of one group next to each other.
    """
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    sizes = np.bincount(group)
    crowded: set[int] = set()
    for k in range(1, int(sizes.max())):
        meet = (np.minimum(high[k:], high[:-k]) > np.maximum(low[k:], low[:-k])).all(axis=1)
        crowded.update(group[k:][meet & (group[k:] == group[:-k])].tolist())
    ratio = np.ones(len(sizes))
    ends = np.cumsum(sizes)
    for g in crowded:
        rows = slice(ends[g] - sizes[g], ends[g])
        ratio[g] = _union_area(low[rows], high[rows]) / boxes[rows, 2:].prod(axis=1).sum()
    return ratio


def _union_area(low: Floats, high: Floats) -> float:
    """The area that upright boxes cover together."""
    x, y = (np.unique(np.r_[low[:, axis], high[:, axis]]) for axis in (0, 1))
    in_x = (low[:, :1] <= x[:-1]) & (high[:, :1] >= x[1:])
    in_y = (low[:, 1:] <= y[:-1]) & (high[:, 1:] >= y[1:])
    return float(np.diff(x) @ (in_x.T.astype(int) @ in_y.astype(int) > 0) @ np.diff(y))


def totals(
    exposures: list[Row],
    detections: pa.Table,
    cells: pa.Table,
    shots: pa.Table,
    alike: Mapping[str, Sequence[int]],
    range_s: tuple[float, float],
    params: CompileReportParams,
) -> list[Row]:
    """BRANDS, longest on screen first. ``alike``: by brand, keyframes with unresolved clusters that resemble it."""
    by_brand: defaultdict[str, list[Row]] = defaultdict(list)
    for exposure in exposures:
        by_brand[exposure["brand_id"]].append(exposure)
    everything = sum(e["seconds"] for e in exposures)
    sure = _frames_of(
        detections,
        (pc.field("confidence") >= pa.scalar(params.sure_confidence, pa.float32())) | (pc.field("reviewed") != ""),
    )
    overlays = _frames_of(detections, pc.field("is_overlay"))
    shown = timeline.shown_seconds(cells)
    bounds = _Bounds(cells, shots, range_s)
    rows = []
    for brand_id, own in by_brand.items():
        seconds = sum(e["seconds"] for e in own)

        def mean(name: str, own: list[Row] = own, seconds: float = seconds) -> float:
            return sum(e[name] * e["seconds"] for e in own) / seconds

        on: Counter[str] = Counter()
        for exposure in own:
            on[exposure["placement"]] += exposure["seconds"]
        spans = [(e["start_s"], e["end_s"]) for e in own]
        spot_s = sum(e["media_factor"] * e["seconds"] for e in own)
        rows.append(
            {
                "brand_id": brand_id,
                "brand": own[0]["brand"],
                "seconds": seconds,
                "screen_share": seconds / (range_s[1] - range_s[0]),
                "share_of_voice": seconds / everything,
                "n_exposures": len(own),
                "longest_s": max(e["seconds"] for e in own),
                "first_s": own[0]["start_s"],
                "last_s": own[-1]["end_s"],
                "area_frac_mean": mean("area_frac_mean"),
                "confidence": max(e["confidence"] for e in own),
                "overlay_s": float(shown[overlays[brand_id]].sum()),
                "low_s": min(bounds.low(sure[brand_id]), seconds),
                "high_s": bounds.high(spans, alike.get(own[0]["brand"], ())),
                "mean_s": seconds / len(own),
                "area_frac_max": max(e["area_frac_max"] for e in own),
                **{name: mean(name) for name in ("position", "clarity", "visible_frac", "quality")},
                "exclusive_s": sum(e["exclusive_s"] for e in own),
                "placement": on.most_common(1)[0][0],
                "media_value": params.media_rate / 30 * spot_s if params.media_rate else None,
            }
        )
    return sorted(rows, key=lambda row: (-row["seconds"], row["brand_id"]))


def _frames_of(detections: pa.Table, which: pc.Expression) -> defaultdict[str, list[int]]:
    """Per brand the keyframes with a detection for which ``which`` holds, each once."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    pairs = detections.filter(which).group_by(["brand_id", "frame"]).aggregate([])
    for brand_id, frame in zip(*(pairs[c].to_pylist() for c in ("brand_id", "frame")), strict=True):
        found[brand_id].append(frame)
    return found


class _Bounds:
    """How few and how many seconds it may have been: an edge that is no cut is known to half a sampling interval."""

    def __init__(self, cells: pa.Table, shots: pa.Table, range_s: tuple[float, float]) -> None:
        self._range = range_s
        self._cells = timeline.cells_of(cells)
        times = cells["t_s"].to_numpy()
        self._error = float(np.median(np.diff(times))) / 2 if len(times) > 1 else 0.0
        self._cuts = np.unique(np.r_[shots["start_s"].to_numpy(), shots["end_s"].to_numpy(), range_s])

    def low(self, frames: Sequence[int]) -> float:
        """Seconds that ``frames`` show whatever happened between the samples."""
        spans = timeline.union(self._shown(frames))
        blurred = np.where(self._at_cut(spans), 0.0, self._error).sum(axis=1)
        return float(np.maximum(spans[:, 1] - spans[:, 0] - blurred, 0.0).sum())

    def high(self, spans: Sequence[tuple[float, float]], frames: Sequence[int]) -> float:
        """Seconds of ``spans`` and of what ``frames`` show, as far as their edges may reach."""
        joined = timeline.union([*spans, *self._shown(frames)])
        reach = np.where(self._at_cut(joined), 0.0, self._error) * (-1, 1)
        return timeline.union_seconds(np.clip(joined + reach, *self._range))

    def _shown(self, frames: Sequence[int]) -> list[tuple[float, float]]:
        return [cell for frame in frames for cell in self._cells.get(frame, np.zeros((0, 2))).tolist()]

    def _at_cut(self, spans: Floats) -> NDArray[np.bool_]:
        near = self._cuts[np.searchsorted(self._cuts, spans - timeline.TOUCHING_S).clip(max=len(self._cuts) - 1)]
        return np.abs(near - spans) <= timeline.TOUCHING_S
