"""Boxes, quads and areas in picture coordinates: px, origin at the top left."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]
"""Boxes, shape (n, 4): left, top, right, bottom."""


def box_of(quad: ArrayLike) -> NDArray[np.float64]:
    """The upright box around a quad of shape (4, 2): left, top, right, bottom."""
    corners = np.asarray(quad, np.float64)
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def quad_area(quad: ArrayLike) -> float:
    """Area of a quad of shape (4, 2), by the shoelace formula."""
    x, y = np.asarray(quad, np.float64).T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def transformed(points: ArrayLike, transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of shape (n, 2) taken through a homogeneous transform of shape (3, 3)."""
    flat = np.asarray(points, np.float64)
    out = np.column_stack([flat, np.ones(len(flat))]) @ transform.T
    return out[:, :2] / out[:, 2:]


def overlaps(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Intersection over union of every box of ``a`` with every box of ``b``, shape (len(a), len(b))."""
    shared = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inter = shared.clip(min=0).prod(axis=2)
    size_a, size_b = (a[:, 2:] - a[:, :2]).prod(axis=1), (b[:, 2:] - b[:, :2]).prod(axis=1)
    return inter / np.maximum(size_a[:, None] + size_b[None, :] - inter, 1e-9)
