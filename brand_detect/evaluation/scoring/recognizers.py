"""Recognisers of logos: embedders, and a classical baseline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.protocols import Image, LogoEmbedder
from brand_detect.engines.image_embedder import ImageEmbedder
from brand_detect.engines.logo_embedder import BuiltInLogoEmbedder
from brand_detect.engines.model_files import any_folder


class Embedder:
    """A named ``LogoEmbedder``; similarity is the inner product."""

    def __init__(self, name: str, embedder: LogoEmbedder) -> None:
        self.name, self._embedder = name, embedder

    def describe(self, crops: Sequence[Image], *, drawn: bool = False) -> NDArray[np.float32]:
        return self._embedder.encode_drawings(crops) if drawn else self._embedder.encode(crops)

    def compare(self, queries: NDArray[np.float32], exemplars: NDArray[np.float32]) -> NDArray[np.float32]:
        return queries @ exemplars.T


def embedder_of(name: str) -> Embedder:
    """The embedder ``name``: ``logo_embedder`` is the packaged network, a ``.safetensors`` file other weights for it,
    anything else a transformers model by id or folder.

    Raises:
        Permanent: the model is not on this machine, or is not an embedder.
    """
    if name == "logo_embedder":
        return Embedder(name, BuiltInLogoEmbedder())
    if name.endswith(".safetensors"):
        return Embedder(Path(name).stem, BuiltInLogoEmbedder(Path(name)))
    return Embedder(name, ImageEmbedder(any_folder(name)))


class Gradients:
    """The classical baseline: histograms of oriented gradients."""

    identity, dimensions = "gradients", 7 * 7 * 4 * 9

    def encode(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        rows = np.array([gradients(crop).ravel() for crop in crops], np.float32).reshape(-1, self.dimensions)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

    def encode_drawings(self, drawings: Sequence[Image]) -> NDArray[np.float32]:
        return self.encode(drawings)


def gradients(crop: Image) -> NDArray[np.float32]:
    """Histograms of oriented gradients (Dalal and Triggs, 2005): 64 x 64 px, cells of 8, blocks of 2 x 2, 9 unsigned
    directions, so that a logo and its negative are alike."""
    import cv2

    grey = cv2.cvtColor(letterboxed(crop, 64), cv2.COLOR_BGR2GRAY).astype(np.float32)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1), cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1)
    size, angle = np.hypot(dx, dy), np.arctan2(dy, dx) * (9 / np.pi)
    lower = np.floor(angle)
    bins = np.zeros((64, 64, 9), np.float32)
    for bin_, share in ((lower, 1 - (angle - lower)), (lower + 1, angle - lower)):
        np.put_along_axis(bins, (bin_.astype(int) % 9)[..., None], (size * share)[..., None], axis=2)
    cells = bins.reshape(8, 8, 8, 8, 9).sum(axis=(1, 3))
    blocks = np.concatenate([cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]], axis=2)
    return blocks / np.sqrt((blocks**2).sum(axis=2, keepdims=True) + 1)


def letterboxed(picture: NDArray[Any], side_px: int) -> NDArray[Any]:
    """``picture`` scaled into the middle of a square, filled with the median of its border."""
    import cv2

    height, width = picture.shape[:2]
    scale = side_px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    square = np.empty((side_px, side_px, *picture.shape[2:]), picture.dtype)
    square[:] = np.median(edge, axis=0)
    top, left = (side_px - size[1]) // 2, (side_px - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square
