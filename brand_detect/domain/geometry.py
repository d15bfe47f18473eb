"""Boxes, quads and areas in picture coordinates: px, origin at the top left."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]
"""Boxes, shape (n, 4): left, top, right, bottom."""

EDGE = 0.004
"""A region this close to the picture's edge, as a share of width or height, touches it: detectors stop short."""
UPRIGHT_HEIGHT = 0.7  # read best of 1, 0.85 and 0.7 on side boards at 45 to 50 degrees


def box_of(quad: ArrayLike) -> NDArray[np.float64]:
    """The upright box around a quad of shape (4, 2): left, top, right, bottom."""
    corners = np.asarray(quad, np.float64)
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def boxes_of(quads: Sequence[ArrayLike]) -> Boxes:
    """The upright boxes around quads, shape (n, 4); n may be 0."""
    return np.array([box_of(q) for q in quads]).reshape(-1, 4)


def quad_areas(quads: ArrayLike) -> NDArray[np.float64]:
    """Areas of quads of shape (n, 4, 2), by the shoelace formula."""
    x, y = np.moveaxis(np.asarray(quads, np.float64), 2, 0)
    return np.abs((x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1)) / 2


def side_lengths(quads: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths of ``quads``, shape (n, 4, 2), along and across the reading direction: means of opposite sides, in px."""
    top, bottom = quads[:, 1] - quads[:, 0], quads[:, 2] - quads[:, 3]
    left, right = quads[:, 3] - quads[:, 0], quads[:, 2] - quads[:, 1]
    along, across = (
        (np.linalg.norm(a, axis=1) + np.linalg.norm(b, axis=1)) / 2 for a, b in ((top, bottom), (left, right))
    )
    return along, across


def proportions(quads: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of each of ``quads``, shape (n, 4, 2), over its height."""
    along, across = side_lengths(quads)
    return np.maximum(along, 1e-6) / np.maximum(across, 1e-6)


def sections(quads: NDArray[np.float64], begin: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """The parts of ``quads``, (n, 4, 2), between two shares of their length, each (n,)."""
    upper, lower = quads[:, 1] - quads[:, 0], quads[:, 2] - quads[:, 3]
    b, e = begin[:, None], end[:, None]
    corners = (quads[:, 0] + b * upper, quads[:, 0] + e * upper, quads[:, 3] + e * lower, quads[:, 3] + b * lower)
    return np.stack(corners, axis=1)


def inner_quads(quads: NDArray[np.float64], inside: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sub-quads of ``quads``, (n, 4, 2); ``inside``, (n, 4), is left, top, right, bottom as shares of the sides."""
    left, top, right, bottom = inside.T
    part = sections(quads, left, right)
    upper, lower = part[:, (0, 1, 1, 0)], part[:, (3, 2, 2, 3)]
    down = np.stack((top, top, bottom, bottom), axis=1)[:, :, None]
    return upper + down * (lower - upper)


def at_edge(low: NDArray[np.float64], high: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether boxes from ``low`` to ``high`` touch an edge of a picture of ``size``, per axis; all shapes (..., 2)."""
    return (low <= EDGE * size) | (high >= (1 - EDGE) * size)


def lengthened(quad: ArrayLike, share: float) -> NDArray[np.float64]:
    """Extends both ends of a quad of shape (4, 2) by ``share`` of its height; quads taller than long stay unchanged."""
    corners = np.asarray(quad, np.float64)
    along = corners[1] - corners[0]
    length, height = float(np.hypot(*along)), float(np.hypot(*(corners[3] - corners[0])))
    if height > length:
        return corners
    step = along / max(length, 1e-9) * height * share
    return corners + np.array([-step, step, step, -step])


def transformed(points: ArrayLike, transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Applies a homogeneous transform of shape (3, 3) to points of shape (n, 2)."""
    flat = np.asarray(points, np.float64)
    out = np.column_stack([flat, np.ones(len(flat))]) @ transform.T
    return out[:, :2] / out[:, 2:]


def rescaled(transform: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Converts a transform between small pictures to one between pictures ``scale`` times as large."""
    enlarge = np.diag([scale, scale, 1.0])
    return enlarge @ transform @ np.linalg.inv(enlarge)


def shared(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Area of the intersection of every box of ``a`` with every box of ``b``, shape (len(a), len(b))."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    return sides.clip(min=0).prod(axis=2)


def box_areas(boxes: Boxes) -> NDArray[np.float64]:
    """Area of each box."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)


def box_iou(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Intersection over union of every box of ``a`` with every box of ``b``, shape (len(a), len(b))."""
    inter = shared(a, b)
    return inter / np.maximum(box_areas(a)[:, None] + box_areas(b)[None, :] - inter, 1e-9)


def best_apart(boxes: Boxes, scores: NDArray[np.float64], most: int, iou: float) -> list[int]:
    """Non-maximum suppression: indices of at most ``most`` boxes, best first, no two with an IoU of ``iou`` or more."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if len(kept) == most:
            break
        if not kept or box_iou(boxes[[i]], boxes[kept]).max() < iou:
            kept.append(i)
    return kept


def quad_of(box: ArrayLike) -> NDArray[np.float32]:
    """The corners (4, 2) of an upright box, clockwise from the top left."""
    left, top, right, bottom = np.asarray(box, np.float32)
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)


def moved_box(box: ArrayLike, transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """The upright box around an upright box after a transform of shape (3, 3)."""
    left, top, right, bottom = np.asarray(box, np.float64)
    return box_of(transformed([(left, top), (right, top), (right, bottom), (left, bottom)], transform))


def coverage(boxes: Boxes, by: Boxes) -> NDArray[np.float64]:
    """Share of each box that the boxes of ``by`` cover, 0 to 1; an overestimate where those overlap."""
    return np.minimum(1.0, shared(boxes, by).sum(axis=1) / np.maximum(box_areas(boxes), 1e-9))


def upright_sided(quad: ArrayLike) -> NDArray[np.float64] | None:
    """Turns a tilted rectangle into a parallelogram with upright sides along its centre line; None if it is not tilted.

    In perspective a board's letters stay upright while its baseline rises, but a detector's rectangle tilts with the
    baseline and shears them. Tilted means 20 to 70 degrees: flatter lines are read as they are, steeper ones are
    vertical text. The rectangle's margin grows along the upright sides, so ``UPRIGHT_HEIGHT`` of the height suffices.
    """
    corners = np.asarray(quad, np.float64)
    start, end = (corners[0] + corners[3]) / 2, (corners[1] + corners[2]) / 2
    along, side = end - start, corners[3] - corners[0]
    lean = abs(np.degrees(np.arctan2(along[1], abs(along[0]))))
    if not 20 <= lean <= 70 or abs(side[0]) < 0.2 * abs(side[1]):
        return None
    half = np.array([0.0, UPRIGHT_HEIGHT * np.hypot(*side) / np.cos(np.radians(lean)) / 2])
    return np.array([start - half, end - half, end + half, start + half])
