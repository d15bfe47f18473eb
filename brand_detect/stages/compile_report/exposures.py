"""Makes exposures: a brand on screen without a break."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np
import pyarrow as pa

from brand_detect.domain.contracts.compile_report import ZONES, CompileReportParams, Exposure
from brand_detect.domain.placements import PLACEMENTS, Placement
from brand_detect.domain.quality import QualityScale
from brand_detect.domain.tables import BOX, content_id
from brand_detect.stages.compile_report.detections import Floats, Ints
from brand_detect.stages.compile_report.edges import Span, Spans
from brand_detect.stages.regions import centres_of

FROM_BEST = ("brand_id", "brand", "confidence", *BOX, "text", "rule", "decided_by", "verdict_id", "reviewed")
"""Columns that an exposure takes from its best detection."""
IS_KNOWN = np.array([placement is not Placement.unknown for placement in PLACEMENTS])
"""Of each of PLACEMENTS; one known part tells what carries an exposure."""


@dataclass(frozen=True)
class _Presence:
    """A brand on the frames that show it. Arrays by ``frame``, aggregated over each frame's boxes."""

    found: pa.Table  # the brand's detections
    rank: Ints  # of each as the one to show, the highest is the best
    frame: Ints
    first: Ints  # index of the frame's first box in ``found``
    group: Ints  # for each row of ``found``, its index in ``frame``
    centre: Floats  # (n, 2), 0..1 of the picture
    coverage: Floats  # share of the picture, of the union of the boxes
    zones: Floats  # (n, len(ZONES)), area in each zone
    placements: Floats  # (n, len(PLACEMENTS)), area on each
    sure: Floats  # (n, len(PLACEMENTS)), that area times the placement's confidence
    assets: Mapping[str, Floats]  # area on each asset
    scores: Mapping[str, Floats]  # components of quality except for duration


@dataclass(frozen=True)
class _Run:
    """The cells of one exposure and their scores."""

    presence: _Presence
    at: Ints  # for each cell, its index in the presence; without bridged gaps
    start: Floats  # of each cell, s
    end: Floats
    scores: Mapping[str, float]
    quality: float
    factor: Floats  # per cell, the brand's equivalent in full-screen spots if it were alone on screen

    @property
    def start_s(self) -> float:
        return float(self.start[0])

    @property
    def end_s(self) -> float:
        return float(self.end[-1])

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s

    @property
    def seconds_of(self) -> Floats:
        """Length of each cell."""
        return self.end - self.start

    def mean(self, values: Floats) -> Floats:
        """Mean of a presence's ``values``, weighted by time."""
        return self.seconds_of / self.seconds_of.sum() @ values[self.at]

    def rows(self) -> Ints:
        """The rows of the presence's ``found`` in this exposure."""
        group, first = self.presence.group, self.presence.first
        near = np.arange(int(first[self.at.min()]), int(np.searchsorted(group, self.at.max(), "right")))
        return near[np.isin(group[near], self.at)]


def exposed(found: pa.Table, cells: pa.Table, spans: Spans, params: CompileReportParams) -> pa.Table:
    """The detections in ``found``, the result of ``detections``, that form exposures: those too short are left out.

    ``cells`` are the timeline by frame, ``spans`` those of the brands in ``found``.
    """
    keyframe = cells["keyframe"].to_pylist()
    brands = found["brand_id"].to_pylist()
    shown = {(b, keyframe[row]) for b in {*brands} for span in _counted(spans, b, params) for row in span.rows.tolist()}
    pairs = zip(brands, found["frame"].to_pylist(), strict=True)
    return found.filter(pa.array([pair in shown for pair in pairs], pa.bool_()))


def _counted(spans: Spans, brand_id: str, params: CompileReportParams) -> Iterator[Span]:
    for span in spans.of(brand_id, params.bridge_s):
        if span.end_s - span.start_s >= params.min_exposure_s and span.end_s > span.start_s:
            yield span


def exposures(
    found: pa.Table,
    frames: pa.Table,
    cells: pa.Table,
    spans: Spans,
    params: CompileReportParams,
    scale: QualityScale,
    video: str,
) -> list[Exposure]:
    """The exposures in order of time.

    ``found`` is the result of ``exposed``, ``cells`` the timeline by frame, ``video`` the video's hash.
    """
    if not found.num_rows:
        return []
    presences = _presences(found, frames, scale)
    runs = [run for presence in presences for run in _runs(presence, cells, spans, params, scale)]
    made = [_exposure(run, video, *shared) for run, shared in zip(runs, _shared(runs), strict=True)]
    return sorted(made, key=lambda e: (e.start_s, e.brand_id))


def _presences(found: pa.Table, frames: pa.Table, scale: QualityScale) -> Iterator[_Presence]:
    frame = found["frame"].to_numpy()
    box = np.column_stack([found[c].to_numpy() for c in BOX]).astype(np.float64)
    centre = centres_of(found, frames)
    area = found["area_frac"].to_numpy().astype(np.float64)
    _, brands = np.unique(found["brand_id"].to_numpy(zero_copy_only=False), return_index=True)
    for rows in np.split(np.arange(found.num_rows), brands[1:]):
        yield _presence(found.take(rows), frame[rows], box[rows], centre[rows], area[rows], scale)


def _presence(
    found: pa.Table, frame: Ints, box: Floats, centre: Floats, area: Floats, scale: QualityScale
) -> _Presence:
    on, first, group = np.unique(frame, return_index=True, return_inverse=True)
    weight = np.maximum(area, 1e-12)
    total = np.add.reduceat(weight, first)

    def mean(values: Floats) -> Floats:
        """Mean over a frame's boxes, weighted by area."""
        return np.add.reduceat((weight * values.T).T, first) / (total if values.ndim == 1 else total[:, None])

    def fields(place: Ints, n: int, area: Floats = weight) -> Floats:
        areas = np.zeros((len(on), n))
        np.add.at(areas, (group, place), area)
        return areas

    zone = np.minimum(centre * 3, 2).astype(np.intp) @ (1, 3)
    placement = np.array([PLACEMENTS.index(s) for s in found["placement"].to_pylist()], np.intp)
    assets = np.array(found["asset"].to_pylist(), object)
    coverage = total * _overlap_once(box, group)
    return _Presence(
        found,
        _ranks(found),
        on,
        first,
        group,
        mean(centre),
        coverage,
        fields(zone, len(ZONES)),
        fields(placement, len(PLACEMENTS)),
        fields(placement, len(PLACEMENTS), weight * found["placement_confidence"].to_numpy()),
        {name: np.add.reduceat(weight * (assets == name), first) for name in sorted({*assets} - {""})},
        {
            "size": scale.of_size(coverage),
            "position": mean(scale.of_zone(zone)),
            "clarity": mean(found["clarity"].to_numpy().astype(np.float64)),
            "visibility": mean(found["visible_frac"].to_numpy().astype(np.float64)),
            "exclusive": 1.0 / found["n_brands"].to_numpy()[first],
        },
    )


def _runs(
    presence: _Presence, cells: pa.Table, spans: Spans, params: CompileReportParams, scale: QualityScale
) -> Iterator[_Run]:
    starts, ends = cells["start_s"].to_numpy(), cells["end_s"].to_numpy()
    keyframe = cells["keyframe"].fill_null(-1).to_numpy()
    for span in _counted(spans, presence.found["brand_id"][0].as_py(), params):
        start, end = starts[span.rows], ends[span.rows]
        start[0], end[-1] = span.start_s, span.end_s
        at = np.searchsorted(presence.frame, keyframe[span.rows])
        weight = (end - start) / (end - start).sum()
        scores = {name: float(weight @ score[at]) for name, score in presence.scores.items()}
        scores["duration"] = float(scale.of_duration(span.end_s - span.start_s))
        quality = float(scale.quality(scores))
        factor = scale.media_factor(presence.coverage[at], quality)
        yield _Run(presence, at, start, end, scores, quality, factor)


def _shared(runs: Sequence[_Run]) -> Iterator[tuple[float, float]]:
    """Each run's ``media_factor``, the mean factor over its seconds, 0 in bridged gaps, and its ``exclusive_s``.

    If the factors of all brands on screen sum to more than 1, all are reduced in proportion. The mean is truncated to
    the six decimals of exports, so that exported values add up to the brand's value.
    """
    edges = np.unique(np.concatenate([np.zeros(0), *(times for run in runs for times in (run.start, run.end))]))
    lengths, n_pieces = np.diff(edges), max(0, len(edges) - 1)
    together, n_brands = np.zeros(n_pieces), np.zeros(n_pieces, np.intp)
    pieces = [_pieces(run, edges) for run in runs]
    for run, (cell, piece) in zip(runs, pieces, strict=True):
        together[piece] += run.factor[cell]  # no piece twice: exposures of one brand are disjoint
        n_brands[piece] += 1
    for run, (cell, piece) in zip(runs, pieces, strict=True):
        mean = float(lengths[piece] @ (run.factor[cell] / np.maximum(together[piece], 1.0))) / run.seconds
        yield floor(1e6 * mean) / 1e6, float(lengths[piece] @ (n_brands[piece] == 1))


def _pieces(run: _Run, edges: Floats) -> tuple[Ints, Ints]:
    """The intervals between successive ``edges`` that make up the run's cells: the cell of each, and the interval."""
    first, end = np.searchsorted(edges, run.start), np.searchsorted(edges, run.end)
    cell = np.repeat(np.arange(len(first)), end - first)
    return cell, np.arange(len(cell)) + np.repeat(end - np.cumsum(end - first), end - first)


def _exposure(run: _Run, video: str, media_factor: float, exclusive_s: float) -> Exposure:
    on, rows = run.presence, run.rows()
    best = on.found.slice(rows[on.rank[rows].argmax()], 1).to_pylist()[0]
    cx, cy = run.mean(on.centre)
    carried, assets = run.mean(on.placements), {name: float(run.mean(area)) for name, area in on.assets.items()}
    placement = int((carried * IS_KNOWN if (carried * IS_KNOWN).any() else carried).argmax())
    return Exposure(
        **{c: best[c] for c in FROM_BEST},
        frame=best["seen_on"],
        exposure_id=content_id(video, best["brand_id"], run.start_s),
        start_s=run.start_s,
        end_s=run.end_s,
        seconds=run.seconds,
        area_frac_mean=float(run.mean(on.coverage)),
        area_frac_max=float(on.coverage[run.at].max()),
        cx=float(cx),
        cy=float(cy),
        zone=ZONES[int(run.mean(on.zones).argmax())],
        n_detections=len(rows),
        placement=PLACEMENTS[placement],
        placement_confidence=float(run.mean(on.sure)[placement] / carried.sum()),
        asset=max(assets, key=lambda name: assets[name]) if any(assets.values()) else "",
        position=run.scores["position"],
        clarity=run.scores["clarity"],
        visible_frac=run.scores["visibility"],
        exclusive_s=exclusive_s,
        quality=run.quality,
        media_factor=media_factor,
    )


def _ranks(found: pa.Table) -> Ints:
    """The rank of each detection as the one to show: by confidence, then area, then the first."""
    frame, area, confidence = (found[c].to_numpy() for c in ("frame", "area_frac", "confidence"))
    ranks = np.empty(len(frame), np.intp)
    ranks[np.lexsort((-frame, area, confidence.round(2)))] = np.arange(len(frame))
    return ranks


def _overlap_once(boxes: Floats, group: Ints) -> Floats:
    """Per group, the area of the union of its boxes over the sum of their areas: 1 if none overlap.

    ``boxes`` are x, y, width, height, those of one group adjacent.
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
    """Area of the union of upright boxes."""
    x, y = (np.unique(np.r_[low[:, axis], high[:, axis]]) for axis in (0, 1))
    in_x = (low[:, :1] <= x[:-1]) & (high[:, :1] >= x[1:])
    in_y = (low[:, 1:] <= y[:-1]) & (high[:, 1:] >= y[1:])
    return float(np.diff(x) @ (in_x.T.astype(int) @ in_y.astype(int) > 0) @ np.diff(y))
