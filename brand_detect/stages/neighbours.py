"""Spatial relations: regions of a frame beside, below or inside each other, and tracks mostly so related."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from brand_detect.stages.regions import Floats, Ints, RegionColumns

Mask = NDArray[np.bool_]
Relation = Callable[[RegionColumns, Ints, Ints], Mask]
"""Whether a relation holds for each pair of regions, given as two arrays of rows."""

ALIGNED = 0.5  # overlap of two regions beside (below) each other, as a share of the smaller height (width)
CONTAINED = 0.5  # share of a region inside another from which it is part of it

LINE_GAP = 1.2  # widest gap between neighbours on a line of text, in heights of the smaller
STACK_GAP = 0.8  # widest gap between neighbours in a stack of lines, in heights of the smaller
OCCLUDER_GAP = 3.0  # widest gap on a line of text with an occluder in it, in heights: a player in front of a board
TOUCH = 0.3  # largest overlap of the boxes of neighbours on a line, in heights of the smaller
STACK_TOUCH = 0.5  # the same of neighbours in a stack: a detector draws boxes higher than the letters
LIKE_HEIGHTS = 2.5  # largest ratio of such neighbours' heights

LABEL_GAP = 1.0  # widest gap between a logo and the name beside it, in heights of the larger


def related_tracks(
    regions: RegionColumns, ones: Mask, others: Mask, related: Relation
) -> Iterator[tuple[int, int, int]]:
    """Yields pairs of tracks, one of ``ones`` and one of ``others`` (masks by track), whose regions are ``related`` on
    at least half of the frames that they share, and the number of those frames."""
    rows = np.flatnonzero((ones | others)[regions.track])
    rows = rows[np.lexsort((regions.track[rows], regions.frame[rows]))]
    n = len(ones)
    found: list[Ints] = [np.zeros(0, np.int64)]
    for a, b in on_one_frame(regions, rows):
        for one, other in ((a, b), (b, a)):
            wanted = ones[regions.track[one]] & others[regions.track[other]]
            one, other = one[wanted], other[wanted]
            holds = related(regions, one, other)
            found.append(regions.track[one[holds]] * n + regions.track[other[holds]])
    codes, n_related = np.unique(np.concatenate(found), return_counts=True)
    first, second = np.divmod(codes, max(1, n))
    pairs, pair_of = np.unique(np.minimum(first, second) * n + np.maximum(first, second), return_inverse=True)
    n_together = np.zeros(len(pairs), np.int64)
    for a, b in on_one_frame(regions, rows):  # a second pass: all pairs at once would take gigabytes in a long video
        both = regions.track[a] * n + regions.track[b]
        np.add.at(n_together, np.searchsorted(pairs, both[np.isin(both, pairs)]), 1)
    mostly = 2 * n_related >= n_together[pair_of]
    yield from zip(first[mostly].tolist(), second[mostly].tolist(), n_related[mostly].tolist(), strict=True)


def on_one_frame(regions: RegionColumns, rows: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yields all pairs of ``rows``, sorted by frame and track, on one frame: first those one row apart, then two, …"""
    for step in range(1, len(rows)):
        a, b = rows[:-step], rows[step:]
        same = regions.frame[a] == regions.frame[b]
        if not same.any():
            return
        yield a[same], b[same]


def follows(r: RegionColumns, lines: Ints, nexts: Ints) -> Mask:
    """Whether each of ``nexts`` continues its line of text: directly to the right, or below."""
    low, high = np.minimum(r.h[lines], r.h[nexts]), np.maximum(r.h[lines], r.h[nexts])
    across, down = _overlap(r, lines, nexts)
    beside = _is_beside(r, lines, nexts, LINE_GAP * low) & (r.x[nexts] > r.x[lines]) & (across <= TOUCH * low)
    below = _is_below(r, lines, nexts, STACK_GAP * low) & (r.y[nexts] > r.y[lines]) & (down <= STACK_TOUCH * low)
    return (beside | below) & (high <= LIKE_HEIGHTS * low)


def follows_occluder(r: RegionColumns, lines: Ints, nexts: Ints) -> Mask:
    """Whether each of ``nexts`` may continue its line of text to the right of what hides a part of it."""
    low, high = np.minimum(r.h[lines], r.h[nexts]), np.maximum(r.h[lines], r.h[nexts])
    across, _ = _overlap(r, lines, nexts)
    beside = _is_beside(r, lines, nexts, OCCLUDER_GAP * low) & (r.x[nexts] > r.x[lines]) & (across < 0)
    return beside & (high <= LIKE_HEIGHTS * low)


def labels(r: RegionColumns, logos: Ints, texts: Ints) -> Mask:
    """Whether each of ``texts`` lies in the box of its logo, or directly beside, above or below it."""
    across, down = _overlap(r, logos, texts)
    inside = across.clip(min=0) * down.clip(min=0) >= CONTAINED * r.w[texts] * r.h[texts]
    gap = LABEL_GAP * np.maximum(r.h[logos], r.h[texts])
    return inside | _is_beside(r, logos, texts, gap) | _is_below(r, logos, texts, gap)


def contains(r: RegionColumns, ones: Ints, others: Ints) -> Mask:
    """Whether the smaller of two regions lies in the larger."""
    across, down = _overlap(r, ones, others)
    smaller = np.minimum(r.w[ones] * r.h[ones], r.w[others] * r.h[others])
    return across.clip(min=0) * down.clip(min=0) >= CONTAINED * smaller


def _is_beside(r: RegionColumns, a: Ints, b: Ints, gap: Floats) -> Mask:
    across, down = _overlap(r, a, b)
    return (down >= ALIGNED * np.minimum(r.h[a], r.h[b])) & (-across <= gap)


def _is_below(r: RegionColumns, a: Ints, b: Ints, gap: Floats) -> Mask:
    """Whether each of ``b`` lies below or above its ``a``."""
    across, down = _overlap(r, a, b)
    return (across >= ALIGNED * np.minimum(r.w[a], r.w[b])) & (-down <= gap)


def _overlap(r: RegionColumns, a: Ints, b: Ints) -> tuple[Floats, Floats]:
    """Width and height of the overlap of two boxes, in px; if negative, the gap between them."""
    across = np.minimum(r.x[a] + r.w[a], r.x[b] + r.w[b]) - np.maximum(r.x[a], r.x[b])
    down = np.minimum(r.y[a] + r.h[a], r.y[b] + r.h[b]) - np.maximum(r.y[a], r.y[b])
    return across, down
