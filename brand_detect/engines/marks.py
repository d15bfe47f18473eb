"""Regions that look like logos: a small network that is told nothing of any brand.

It is a CenterNet (Zhou et al. 2019) with TTFNet's way of sizing (Liu et al. 2020): a map of how likely a mark's centre
lies in a cell, and from every cell the distances to the four sides of the mark's box.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

STRIDE_PX = 4  # of the network's maps
COARSEST_PX = 64  # both sides of the network's picture are multiples of it
WIDTHS = (32, 48, 64, 64, 64)  # channels at strides 4, 8, 16, 32, 64


def network(*, norm: bool = False) -> "torch.nn.Module":
    """Takes pictures (n, 3, h, w), B, G, R from 0 to 1, to logits of centres (n, h/4, w/4) and distances in px to the
    left, top, right and bottom side (n, 4, h/4, w/4).

    Args:
        norm: with batch normalisation, as trained; without, its scales are part of the weights.
    """
    import torch
    from torch import nn

    def conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
        layers = [nn.Conv2d(before, after, 3, stride, 1, bias=not norm)]
        return nn.Sequential(*layers, *([nn.BatchNorm2d(after)] if norm else []), nn.ReLU(inplace=True))

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            fine, middle, *_ = WIDTHS
            self.stem = nn.Sequential(nn.PixelUnshuffle(STRIDE_PX), conv(3 * STRIDE_PX**2, fine), conv(fine, fine))
            self.down = nn.ModuleList(conv(a, b, 2) for a, b in zip(WIDTHS, WIDTHS[1:], strict=False))
            self.same = nn.ModuleList(nn.Sequential(conv(w, w), conv(w, w)) for w in WIDTHS[1:])
            self.across = nn.ModuleList(nn.Conv2d(w, middle, 1) for w in WIDTHS[1:])
            self.mixed = nn.ModuleList(conv(middle, middle) for _ in WIDTHS[2:])
            self.to_fine = nn.Conv2d(middle, fine, 1)
            self.head = nn.Sequential(conv(fine, fine), nn.Conv2d(fine, 5, 1))

        def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            fine = seen = self.stem(pictures)
            levels = []
            for down, same, across in zip(self.down, self.same, self.across, strict=True):
                seen = down(seen)
                seen = seen + same(seen)
                levels.append(across(seen))
            merged = levels.pop()
            for mixed in self.mixed:
                merged = mixed(levels.pop() + nn.functional.interpolate(merged, scale_factor=2.0))
            maps = self.head(fine + nn.functional.interpolate(self.to_fine(merged), scale_factor=2.0)).float()
            return maps[:, 0], maps[:, 1:].clamp(max=6.0).exp() * STRIDE_PX

    return Network()


def decoded(
    centres: NDArray[np.float32], sides: NDArray[np.float32], min_score: float, most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes (n, 4) px and scores (n,), best first: the peaks of the map of centres (h, w), 0 to 1.

    ``sides`` (4, h, w) px are the distances to the left, top, right and bottom side of the box.
    """
    import cv2

    peaks = (centres >= cv2.dilate(centres, np.ones((3, 3), np.uint8))) & (centres >= min_score)
    y, x = np.nonzero(peaks)
    order = np.argsort(-centres[y, x], kind="stable")[:most]
    y, x = y[order], x[order]
    left, top, right, bottom = sides[:, y, x].astype(np.float64)
    cx, cy = (x + 0.5) * STRIDE_PX, (y + 0.5) * STRIDE_PX
    return np.stack([cx - left, cy - top, cx + right, cy + bottom], axis=1), centres[y, x].astype(np.float64)
