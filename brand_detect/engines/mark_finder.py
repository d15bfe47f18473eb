"""Regions that look like logos, by a small network of the project's own that is told nothing of any brand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.geometry import Boxes, best_apart, quad_of
from brand_detect.domain.protocols import Area, Image, Region
from brand_detect.engines.weights import load_weights

LONGEST_SIDE_PX = 960
MARGIN = 0.05  # of the picture's longest side, seen around a searched area
SAME_IOU = 0.5  # proposals that overlap so much are of one mark


class NetworkLogoDetector:
    """A ``RegionDetector`` of kind ``logo``, by a network that ``evaluation.train_regions`` trained.

    Args:
        weights: the file that the training wrote.
        min_score: lowest score of a region, 0 to 1.
        most: most regions of a picture, the best first.
        longest_side_px: longest side of the picture that the network sees.

    Raises:
        Permanent: the weights are missing or are of another network.
    """

    def __init__(
        self, weights: Path, min_score: float = 0.1, most: int = 100, longest_side_px: int = LONGEST_SIDE_PX
    ) -> None:
        import torch

        from brand_detect.engines.mark_finder_net import LogoDetectorNet

        self._min_score, self._most, self._longest_side_px = min_score, most, longest_side_px
        self._net = LogoDetectorNet()
        self.identity = f"mark_finder {load_weights(self._net, weights, 'train_regions writes such a file')}"
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._net = self._net.to(self._device, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:
        height, width = image.shape[:2]
        margin = round(MARGIN * max(height, width))
        boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
        for area in areas or [Area(0, 0, width, height)]:
            left, top = max(0, area.left - margin), max(0, area.top - margin)
            right, bottom = min(width, area.right + margin), min(height, area.bottom + margin)
            found, score = self._search(image[top:bottom, left:right], self._longest_side_px / max(height, width))
            boxes.append(found + np.array([left, top, left, top]))
            scores.append(score)
        all_boxes, all_scores = np.concatenate(boxes).clip(0, [width, height, width, height]), np.concatenate(scores)
        kept = best_apart(all_boxes, all_scores, self._most, SAME_IOU)
        return [Region("logo", "", float(all_scores[i]), quad_of(all_boxes[i])) for i in kept]

    def _search(self, part: Image, scale: float) -> tuple[Boxes, NDArray[np.float64]]:
        import cv2
        import torch

        from brand_detect.engines.mark_finder_net import COARSEST_PX, STRIDE_PX

        height, width = part.shape[:2]
        size = [max(COARSEST_PX, round(n * scale / COARSEST_PX) * COARSEST_PX) for n in (width, height)]
        seen = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        pixels = torch.from_numpy(seen)[None].to(self._device).permute(0, 3, 1, 2)
        with torch.inference_mode():
            middles, sides = self._net(pixels.float().div(255).contiguous(memory_format=torch.channels_last))
        boxes, scores = peaks(middles[0].sigmoid().cpu().numpy(), sides[0].cpu().numpy(), STRIDE_PX, self._min_score)
        return boxes * np.tile([width / size[0], height / size[1]], 2), scores


def peaks(
    middles: NDArray[np.float32], sides: NDArray[np.float32], stride_px: int, min_score: float
) -> tuple[Boxes, NDArray[np.float64]]:
    """Boxes and scores at the cells of the map of middles (h, w), 0 to 1, that no neighbour exceeds.

    ``sides`` (4, h, w) are the distances in px to the left, top, right and bottom of the box.
    """
    import cv2

    y, x = np.nonzero((middles >= cv2.dilate(middles, np.ones((3, 3), np.uint8))) & (middles >= min_score))
    left, top, right, bottom = sides[:, y, x].astype(np.float64)
    cx, cy = (x + 0.5) * stride_px, (y + 0.5) * stride_px
    return np.stack([cx - left, cy - top, cx + right, cy + bottom], axis=1), middles[y, x].astype(np.float64)
