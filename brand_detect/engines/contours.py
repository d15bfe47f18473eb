"""Proposes logo regions by edges alone, without training."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.geometry import Boxes, best_apart, quad_of
from brand_detect.domain.protocols import Area, Image, Region

LONGEST_SIDE_PX = 960
SMALLEST_PX, LARGEST = 8, 0.95  # shortest side, and longest side as a share of the picture's
GAPS_PX = (1, 3, 5, 9, 15)  # gaps over which edges are joined, in turn
CANNY = (60, 160)
RIM = 0.25  # width of a box's surroundings, as a share of its sides
STRONG = 255.0  # difference of edge strength with a score of 0.5
SAME_IOU = 0.7  # boxes with a higher IoU are duplicates


class ContourLogoDetector:
    """A ``RegionDetector`` of kind ``logo``: connected components of an edge map, ranked as in EdgeBoxes (Zitnick and
    Dollár 2014) by edges inside versus edges around.

    Args:
        min_score: lowest score of a region, 0 to 1.
        most: most regions per picture, best first.
    """

    kind = RegionKind.logo

    def __init__(self, min_score: float = 0.0, most: int = 100, longest_side_px: int = LONGEST_SIDE_PX) -> None:
        self._min_score, self._most, self._longest_side_px = min_score, most, longest_side_px

    @property
    def identity(self) -> str:
        import cv2

        return f"opencv {cv2.__version__} contours"

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:  # noqa: ARG002
        import cv2

        scale = min(1.0, self._longest_side_px / max(image.shape[:2]))
        seen = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        boxes = contours(seen)
        sides = boxes[:, 2:] - boxes[:, :2]
        boxes = boxes[(sides.min(axis=1) >= SMALLEST_PX) & (sides.max(axis=1) <= LARGEST * max(seen.shape[:2]))]
        contrast = edge_contrast(seen, boxes).clip(min=0)
        scores = contrast / (contrast + STRONG)
        kept = [i for i in best_apart(boxes, scores, self._most, SAME_IOU) if scores[i] >= self._min_score]
        return [Region(RegionKind.logo, "", float(scores[i]), quad_of(boxes[i] / scale)) for i in kept]


def contours(image: Image) -> Boxes:
    """Boxes of connected components of a Canny map, with edges joined over gaps of several widths."""
    import cv2

    edges = cv2.Canny(cv2.GaussianBlur(image, (3, 3), 0), *CANNY)
    joined = (components(cv2.dilate(edges, np.ones((gap, gap), np.uint8))) for gap in GAPS_PX)  # pyright: ignore[reportArgumentType]
    return np.concatenate(
        [boxes + np.array([1, 1, -1, -1]) * (gap // 2) for boxes, gap in zip(joined, GAPS_PX, strict=True)]
    )


def components(mask: NDArray[np.uint8]) -> Boxes:
    """Boxes of the connected components of ``mask``."""
    import cv2

    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    x, y, w, h = stats[1:, :4].astype(float).T
    return np.stack([x, y, x + w, y + h], axis=1)


def edge_contrast(image: Image, boxes: Boxes) -> NDArray[np.float64]:
    """Mean edge strength per px inside each box, minus that in its surroundings."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    along, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    # OpenCV's magnitude rounds differently depending on where the pictures lie in memory
    total = cv2.integral(np.sqrt(along * along + down * down).clip(0, 255))
    height, width = grey.shape

    def sums(b: Boxes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x0, y0, x1, y1 = np.round(b).astype(int).clip(0, [width, height, width, height]).T
        inside = total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]
        return np.asarray(inside, float), np.maximum((x1 - x0) * (y1 - y0), 1).astype(float)

    side = (boxes[:, 2:] - boxes[:, :2]) * RIM
    inner, area = sums(boxes)
    outer, whole = sums(np.column_stack([boxes[:, :2] - side, boxes[:, 2:] + side]))
    return inner / area - (outer - inner) / np.maximum(whole - area, 1)
