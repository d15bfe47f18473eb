"""Time on screen: cells, unions of intervals, and seconds counted once per instant.

The timeline's cells ``[start_s, end_s)`` tile the sampled range, one per sampled frame. A frame dropped as a
duplicate is still on screen: its cell belongs to the keyframe that stands for it (``keyframe``). Black and blank
frames have no ``keyframe`` and belong to nobody.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

TOUCHING_S = 1e-6
"""Ends closer than this are the same instant: cell edges are float sums of presentation times."""


def cells_of(timeline: pa.Table) -> dict[int, NDArray[np.float64]]:
    """For each keyframe the cells that it stands for, shape (n, 2), seconds, in order of time."""
    start, end, keyframe = _columns(timeline)
    order = np.lexsort((start, keyframe))
    order = order[keyframe[order] >= 0]
    cells = np.column_stack((start, end))[order]
    frames, first = np.unique(keyframe[order], return_index=True)
    return dict(zip(frames.tolist(), np.split(cells, first[1:]), strict=True)) if len(frames) else {}


def shown_seconds(timeline: pa.Table) -> NDArray[np.float64]:
    """Seconds that each frame stands for, indexed by frame; 0 for frames that stand for nothing.

    The cells do not overlap, so the seconds of several frames are the sum of theirs.
    """
    start, end, keyframe = _columns(timeline)
    shown = keyframe >= 0
    n_frames = int(max(keyframe.max(initial=-1), timeline["frame"].to_numpy().max(initial=-1))) + 1
    seconds = np.zeros(n_frames)
    np.add.at(seconds, keyframe[shown], (end - start)[shown])
    return seconds


def union(intervals: ArrayLike, gap_s: float = 0.0) -> NDArray[np.float64]:
    """``intervals``, shape (n, 2) in any order, joined where they overlap or lie at most ``gap_s`` apart.

    Returns shape (m, 2), in order of time; empty intervals (end at or before start) are left out.
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
    """The parts of ``intervals`` that ``taken`` does not cover, joined and in order of time as by ``union``."""
    spans, holes = union(intervals), union(taken)
    edges = np.unique(np.concatenate([spans, holes]))
    begin, end = edges[:-1], edges[1:]
    middle = (begin + end) / 2
    left = _inside(spans, middle) & ~_inside(holes, middle) & (end - begin > TOUCHING_S)
    return union(np.column_stack((begin, end))[left])


def _inside(spans: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of ``times`` lie in one of ``spans``, as ``union`` returns them."""
    return np.searchsorted(spans[:, 0], times) > np.searchsorted(spans[:, 1], times)


def runs(timeline: pa.Table, frames: ArrayLike, gap_s: float = 0.0) -> list[NDArray[np.intp]]:
    """The rows of ``timeline`` (in order of time) that show one of the kept ``frames``, split where presence breaks.

    Cells that touch make one run, across a cut too. A gap of up to ``gap_s`` seconds is bridged when both its sides lie
    in the same shot and no black or blank frame lies between; the rows inside the gap belong to no run.
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
