"""The network that tells where marks may be. Importing this imports torch.

A CenterNet (Zhou et al. 2019) sized as in TTFNet (Liu et al. 2020): a map of how likely the middle of a mark lies in
a cell, and from every cell the distances to the four sides of the mark's box.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import interpolate

STRIDE_PX = 4  # of the maps
COARSEST_PX = 64  # both sides of the picture are multiples of it
WIDTHS = (32, 48, 64, 64, 64)  # channels at strides 4, 8, 16, 32, 64


def _conv(inside: int, outside: int, stride: int, norm: bool) -> nn.Sequential:
    middle = [nn.BatchNorm2d(outside)] if norm else []
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1, bias=not norm), *middle, nn.ReLU(inplace=True))


class LogoDetectorNet(nn.Module):
    """Pictures (n, 3, h, w), B, G, R from 0 to 1, to logits of middles (n, h/4, w/4) and distances in px from each cell
    to the left, top, right and bottom of the box, (n, 4, h/4, w/4).

    Args:
        norm: with batch normalisation, as in training; without, it is part of the convolutions' weights.
    """

    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        fine, middle, *_ = WIDTHS
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(STRIDE_PX), _conv(3 * STRIDE_PX**2, fine, 1, norm), _conv(fine, fine, 1, norm)
        )
        self.down = nn.ModuleList(_conv(a, b, 2, norm) for a, b in pairwise(WIDTHS))
        self.same = nn.ModuleList(nn.Sequential(_conv(w, w, 1, norm), _conv(w, w, 1, norm)) for w in WIDTHS[1:])
        self.across = nn.ModuleList(nn.Conv2d(w, middle, 1) for w in WIDTHS[1:])
        self.mixed = nn.ModuleList(_conv(middle, middle, 1, norm) for _ in WIDTHS[2:])
        self.to_fine = nn.Conv2d(middle, fine, 1)
        self.head = nn.Sequential(_conv(fine, fine, 1, norm), nn.Conv2d(fine, 5, 1))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        fine = seen = self.stem(pictures)
        levels = []
        for down, same, across in zip(self.down, self.same, self.across, strict=True):
            seen = down(seen)
            seen = seen + same(seen)
            levels.append(across(seen))
        merged = levels.pop()
        for mixed in self.mixed:
            merged = mixed(levels.pop() + interpolate(merged, scale_factor=2.0))
        maps = self.head(fine + interpolate(self.to_fine(merged), scale_factor=2.0)).float()
        return maps[:, 0], maps[:, 1:].clamp(max=6.0).exp() * STRIDE_PX
