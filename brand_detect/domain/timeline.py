"""Time on screen: cells, unions of intervals, and seconds counted once per instant.

The timeline's cells ``[start_s, end_s)`` tile the sampled range, one per sampled frame. A duplicate is still on
screen: its cell belongs to its ``keyframe``. Black and blank frames have no ``keyframe`` and count for nothing.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

TOUCHING_S = 1e-6
"""Ends closer than this are the same instant: cell edges are float sums of presentation times."""


def cells_of(timeline: pa.Table) -> dict[int, NDArray[np.float64]]:
    """The cells that each keyframe stands for, shape (n, 2), in seconds, in order of time."""
    start, end, keyframe = _columns(timeline)
    order = np.lexsort((start, keyframe))
    order = order[keyframe[order] >= 0]
    cells = np.column_stack((start, end))[order]
    frames, first = np.unique(keyframe[order], return_index=True)
    return dict(zip(frames.tolist(), np.split(cells, first[1:]), strict=True)) if len(frames) else {}


def shown_seconds(timeline: pa.Table) -> NDArray[np.float64]:
    """Seconds that each frame stands for, indexed by frame; 0 for all but keyframes.

    Cells do not overlap, so the seconds of several frames add up.
    """
    start, end, keyframe = _columns(timeline)
    shown = keyframe >= 0
    n_frames = int(max(keyframe.max(initial=-1), timeline["frame"].to_numpy().max(initial=-1))) + 1
    seconds = np.zeros(n_frames)
    np.add.at(seconds, keyframe[shown], (end - start)[shown])
    return seconds


def frames_shown(timeline: pa.Table) -> dict[int, int]:
    """The number of sampled frames, itself included, that each keyframe stands for."""
    keyframe = _columns(timeline)[2]
    return dict(zip(*(n.tolist() for n in np.unique(keyframe[keyframe >= 0], return_counts=True)), strict=True))


def union(intervals: ArrayLike, gap_s: float = 0.0) -> NDArray[np.float64]:
    """Merges ``intervals``, shape (n, 2) in any order, that overlap or are at most ``gap_s`` apart.

    Returns shape (m, 2), in order of time; drops empty intervals (end at or before start).
    """
    spans = np.asarray(intervals, dtype=np.float64).reshape(-1, 2)
    spans = spans[spans[:, 1] > spans[:, 0]]
    if not len(spans):
        return spans
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(spans[:, 1])
    opens = np.flatnonzero(np.r_[True, spans[1:, 0] > reach[:-1] + gap_s + TOUCHING_S])
    closes = np.r_[opens[1:] - 1, len(spans) - 1]
    return np.column_stack((spans[opens, 0], reach[closes]))


def union_seconds(intervals: ArrayLike) -> float:
    """Seconds covered by ``intervals``, shape (n, 2), every instant counted once."""
    spans = union(intervals)
    return float((spans[:, 1] - spans[:, 0]).sum())


def minus(intervals: ArrayLike, taken: ArrayLike) -> NDArray[np.float64]:
    """``intervals`` minus ``taken``, merged and sorted as by ``union``."""
    spans, holes = union(intervals), union(taken)
    edges = np.unique(np.concatenate([spans, holes]))
    begin, end = edges[:-1], edges[1:]
    middle = (begin + end) / 2
    left = _inside(spans, middle) & ~_inside(holes, middle) & (end - begin > TOUCHING_S)
    return union(np.column_stack((begin, end))[left])


def _inside(spans: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of ``times`` lie in one of ``spans``, as ``union`` returns them."""
    return np.searchsorted(spans[:, 0], times) > np.searchsorted(spans[:, 1], times)


def bridged_spans(timeline: pa.Table, frames: ArrayLike, gap_s: float = 0.0) -> list[NDArray[np.intp]]:
    """Groups the rows of ``timeline`` (in order of time) that show one of the keyframes ``frames`` into unbroken runs.

    Adjacent cells form one run, even across a cut. A gap of up to ``gap_s`` seconds is bridged if both sides are in
    the same shot with no black or blank frame between; the rows inside the gap belong to no run.
    """
    start, end, keyframe = _columns(timeline)
    shot = timeline["shot"].to_numpy()
    rows = np.flatnonzero(np.isin(keyframe, np.asarray(frames, dtype=np.int64)))
    if not len(rows):
        return []
    before, after = rows[:-1], rows[1:]
    gap = start[after] - end[before]
    dark = np.cumsum(keyframe < 0)
    bridged = (gap <= gap_s + TOUCHING_S) & (shot[before] == shot[after]) & (dark[before] == dark[after])
    return np.split(rows, np.flatnonzero((gap > TOUCHING_S) & ~bridged) + 1)


def _columns(timeline: pa.Table) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Start, end and ``keyframe`` (-1 for null) of every cell."""
    keyframe = timeline["keyframe"].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
    return timeline["start_s"].to_numpy(), timeline["end_s"].to_numpy(), keyframe.astype(np.int64)
