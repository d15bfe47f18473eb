"""The network of the logo embedder. Importing this module imports torch."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from brand_detect.engines.logo_embedder import DIMENSIONS, REINSTALL, SIDE_PX
from brand_detect.engines.onnx import installed_openvino
from brand_detect.engines.weights import load_weights

STEM = (32, 48)
WIDTHS = (64, 160, 320)
DEPTH = 2  # blocks per width
CELLS = 2  # cells per side of the pooled last map, so that embeddings encode coarse positions


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al., 2016). Dense, because depthwise ones are slower on CPUs."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outside)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outside)
        self.shortcut = (
            nn.Identity()
            if inside == outside and stride == 1
            else nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(inside, outside, 1, bias=False), nn.BatchNorm2d(outside)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(y)) + self.shortcut(x))


class LogoEmbedderNet(nn.Module):
    """Maps crops, shape (n, 3, side, side), RGB 0 to 1, to unit vectors, shape (n, DIMENSIONS). 4.6 million weights."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3
        for width, side in zip(STEM, (5, 3), strict=True):
            layers += [nn.Conv2d(inside, width, side, 2, side // 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            inside = width
        for i, width in enumerate(WIDTHS):
            for block in range(DEPTH):
                layers.append(Block(inside, width, 2 if i and block == 0 else 1))
                inside = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(inside * CELLS * CELLS, DIMENSIONS)

    def forward(self, x: Tensor) -> Tensor:
        cells = functional.adaptive_avg_pool2d(self.features((x - 0.5) / 0.25), CELLS)
        return functional.normalize(self.head(cells.flatten(1)).float(), dim=1)


def load(weights: Path) -> LogoEmbedderNet:
    """The network with ``weights``, ready to embed.

    Raises:
        Permanent: the file is missing or holds other weights.
    """
    net = LogoEmbedderNet()
    load_weights(net, weights, REINSTALL)
    return net.eval()


def to_openvino(weights: Path) -> Any:
    """The network as a model of OpenVINO, which must be installed; errors as ``load``."""
    openvino = installed_openvino()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch warns of a change inside itself
        return openvino.convert_model(torch.export.export(load(weights), (torch.zeros(1, 3, SIDE_PX, SIDE_PX),)))
