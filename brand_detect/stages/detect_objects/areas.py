"""Areas of the picture to search: upright boxes in whole px."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.protocols import Area


def areas_to_search(changed: Sequence[Area], boxes: Sequence[NDArray[np.float64]]) -> tuple[list[Area], list[int]]:
    """Non-overlapping areas to search, and the indices of the boxes outside all of them.

    A changed area grows by every box that it touches, so that the detector sees the whole region; overlapping areas
    are merged.
    """
    areas = list(changed)
    left = dict(enumerate(boxes))
    grown = True
    while grown:
        grown = False
        joined: list[Area] = []
        for area in areas:
            touched = [i for i, box in left.items() if _meet(area, box)]
            for i in touched:
                area = _joined(area, around(left.pop(i)))
            others = [a for a in joined if _meet(a, (area.left, area.top, area.right, area.bottom))]
            for other in others:
                joined.remove(other)
                area = _joined(area, other)
            grown = grown or bool(touched or others)
            joined.append(area)
        areas = joined
    return areas, list(left)


def around(box: NDArray[np.float64]) -> Area:
    """The smallest area in whole px that contains the box."""
    (left, top), (right, bottom) = np.floor(box[:2]).astype(int).tolist(), np.ceil(box[2:]).astype(int).tolist()
    return Area(left, top, right, bottom)


def _meet(area: Area, box: Sequence[float] | NDArray[np.float64]) -> bool:
    return area.left < box[2] and box[0] < area.right and area.top < box[3] and box[1] < area.bottom


def _joined(a: Area, b: Area) -> Area:
    return Area(min(a.left, b.left), min(a.top, b.top), max(a.right, b.right), max(a.bottom, b.bottom))


def enlarged(area: Area, scale: float) -> Area:
    """Converts an area of the small picture to px of the frame."""
    return around(np.array([area.left, area.top, area.right, area.bottom]) * scale)


def size_of(area: Area) -> int:
    """Size in square px."""
    return max(0, area.right - area.left) * max(0, area.bottom - area.top)
