"""What tells marks apart: embedders, and the classical ways that an embedder has to beat."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.protocols import Image, LogoEmbedder
from brand_detect.engines.image import OpenCvCodec
from brand_detect.engines.image_embedder import ImageEmbedder
from brand_detect.engines.logo_embedder import BuiltInLogoEmbedder
from brand_detect.engines.model_files import any_folder


class Recognizer(Protocol):
    """Says how alike crops and exemplars are. Both are described once, each for itself, then compared."""

    name: str
    slow: bool  # too slow for a gallery of thousands

    def describe(self, crops: Sequence[Image]) -> Any: ...

    def compare(self, queries: Any, exemplars: Any) -> NDArray[np.float32]:
        """Scores, the higher the more alike, shape (queries, exemplars)."""
        ...


class Embedder:
    """A ``LogoEmbedder`` as recognizer: inner products."""

    slow = False

    def __init__(self, name: str, embedder: LogoEmbedder) -> None:
        self.name, self._embedder = name, embedder

    def describe(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        return self._embedder.encode(crops)

    def compare(self, queries: NDArray[np.float32], exemplars: NDArray[np.float32]) -> NDArray[np.float32]:
        return queries @ exemplars.T


def embedder_of(name: str) -> Embedder:
    """``logo_embedder``, the package's own network; a ``.safetensors`` file, another training of it; else a model of
    transformers, by id or folder.

    Raises:
        Permanent: the model is not on this machine, or is no embedder.
    """
    if name == "logo_embedder":
        return Embedder(name, BuiltInLogoEmbedder())
    if name.endswith(".safetensors"):
        return Embedder(Path(name).stem, BuiltInLogoEmbedder(Path(name)))
    return Embedder(name, ImageEmbedder(any_folder(name)))


@dataclass(frozen=True)
class Descriptor:
    """A ``LogoEmbedder`` that is one function from a crop to numbers, which are then scaled to unit length."""

    identity: str
    dimensions: int
    function: Callable[[Image], NDArray[np.floating]]

    def encode(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        rows = np.zeros((len(crops), self.dimensions), np.float32)
        for row, crop in zip(rows, crops, strict=True):
            row[:] = self.function(crop).ravel()
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def baselines() -> list[Recognizer]:
    """The classical recognizers."""
    embedders = (
        Descriptor("gradients", 7 * 7 * 4 * 9, gradients),
        Descriptor("shape correlation", 32 * 32, shape),
        Descriptor("pHash", 64, perceptual_hash),
        Descriptor("colours", 6**3, colors),
    )
    return [*(Embedder(e.identity, e) for e in embedders), Sift()]


def gradients(crop: Image) -> NDArray[np.float32]:
    """Histograms of oriented gradients (Dalal and Triggs, 2005): 64 x 64 px, cells of 8, blocks of 2 x 2, 9 directions
    without sign, so that a mark and its negative look alike."""
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


def shape(crop: Image) -> NDArray[np.float32]:
    """Normalised correlation of the mark's shape at 32 x 32 px: how far each pixel's colour is from that of the crop's
    border, which masks the background away and makes all polarities alike."""
    import cv2

    lab = cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)
    border = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    mask = np.linalg.norm(lab - np.median(border, axis=0), axis=2)
    small = letterboxed(mask.astype(np.float32), 32)
    return small - small.mean()


def perceptual_hash(crop: Image) -> NDArray[np.float32]:
    """64 bits as -1 and 1: the inner product falls by 1/32 with each bit that differs."""
    import cv2

    bits = OpenCvCodec().phash(cv2.cvtColor(letterboxed(crop, 64), cv2.COLOR_BGR2GRAY))  # pyright: ignore[reportArgumentType]
    return np.array([1.0 if bits >> n & 1 else -1.0 for n in range(64)], np.float32)


def colors(crop: Image) -> NDArray[np.float32]:
    """Histogram of colours, 6 levels per channel; the root makes the inner product the Bhattacharyya coefficient."""
    levels = (crop.reshape(-1, 3) // 43).astype(int) @ (36, 6, 1)
    return np.sqrt(np.bincount(levels, minlength=6**3) / len(levels)).astype(np.float32)


class Sift:
    """SIFT keypoints, Lowe's ratio test, and inliers of one similarity by RANSAC."""

    name, slow = "SIFT", True
    SIDE_PX, KEYPOINTS, RATIO, REACH_PX = 160, 64, 0.8, 8.0

    def describe(self, crops: Sequence[Image]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Places in px, shape (crops, KEYPOINTS, 2), and descriptors of unit length, zeros where there is no more."""
        import cv2

        sift = cv2.SIFT.create(nfeatures=self.KEYPOINTS)
        places = np.zeros((len(crops), self.KEYPOINTS, 2), np.float32)
        found = np.zeros((len(crops), self.KEYPOINTS, 128), np.float32)
        for n, crop in enumerate(crops):
            points, rows = sift.detectAndCompute(letterboxed(crop, self.SIDE_PX), None)
            points = points[: self.KEYPOINTS]  # it may give some more than asked for
            if len(points):
                places[n, : len(points)] = [p.pt for p in points]
                rows = rows[: len(points)]
                found[n, : len(points)] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        return places, found

    def compare(self, queries: Any, exemplars: Any) -> NDArray[np.float32]:
        """Inliers, and a hundredth for each match that passed the ratio test."""
        import torch

        scores = np.zeros((len(queries[0]), len(exemplars[0])), np.float32)
        gallery = torch.from_numpy(exemplars[1].reshape(-1, 128)).T
        for n, (places, rows) in enumerate(zip(*queries, strict=True)):
            is_there = rows.any(axis=1)
            alike = torch.from_numpy(rows[is_there]) @ gallery
            (best, second), at = _top_two(alike.view(-1, len(exemplars[0]), self.KEYPOINTS))
            passed = (2 - 2 * best) < self.RATIO**2 * (2 - 2 * second)  # squared distances of unit vectors
            counts = passed.sum(axis=0)
            scores[n] = counts / 100
            for e in np.flatnonzero(counts >= 3):
                ours, theirs = places[is_there][passed[:, e]], exemplars[0][e][at[passed[:, e], e]]
                scores[n, e] += self._inliers(ours, theirs)
        return scores

    def _inliers(self, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> int:
        import cv2

        transform, inliers = cv2.estimateAffinePartial2D(theirs, ours, ransacReprojThreshold=self.REACH_PX)
        return int(inliers.sum()) if transform is not None else 0


def _top_two(alike: Any) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], NDArray[np.int64]]:
    """The two largest along the last axis, and where the largest is."""
    values, at = alike.topk(2, dim=-1)
    return (values[..., 0].numpy(), values[..., 1].numpy()), at[..., 0].numpy()


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
