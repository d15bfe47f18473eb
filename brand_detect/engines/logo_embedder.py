"""The package's own logo embedder."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.errors import Permanent
from brand_detect.domain.params import Precision
from brand_detect.domain.protocols import Image
from brand_detect.engines.onnx import OnnxNet, installed_openvino
from brand_detect.engines.weights import read_weights

WEIGHTS = Path(__file__).parents[1] / "weights" / "logo_embedder.safetensors"
PRETRAINED = WEIGHTS.with_name("pretrained_tower.onnx")
DISTRACTORS = WEIGHTS.with_name("distractors.jpg")
SIDE_PX = 80  # as at the end of training
PRETRAINED_SIDE_PX = 112
DIMENSIONS = 256  # of each tower
PRETRAINED_WEIGHT = 0.6  # of the pretrained tower's inner product, relative to the other's
DRAWING_WEIGHT = 0.65  # by which the highest of distractors' inner products with drawings are those of both towers
NAME = "logo_embedder_2"  # raise the number when embeddings of the same weights change
BATCH = 64
TOGETHER = 4  # crops per input of a network: a seventh less time than one by one
REINSTALL = "install the package again"


class BuiltInLogoEmbedder:
    """A ``LogoEmbedder`` of two towers: the project's own network, trained on drawings of logos, and one pretrained on
    photographs, which tells more of what is no drawing. An embedding is one vector of each, weighted; that of a
    drawing has no part of the second. Of textless logos in generated footage, the drawings' tower alone finds 0.84 by a
    drawing each, the pretrained one 0.03, and both 0.74.

    Runs on OpenVINO if it is installed, else on torch and onnxruntime. The embeddings are the same within 0.01, so the
    identity names the weights alone. docs/reference/model-cards.md describes both.

    Args:
        weights: the weights file of the project's own network.

    Raises:
        Permanent: a file is missing or holds other weights.
    """

    dimensions = 2 * DIMENSIONS

    def __init__(self, weights: Path = WEIGHTS) -> None:
        held = hashlib.sha256(read_weights(weights, REINSTALL) + read_weights(PRETRAINED, REINSTALL))
        self.identity = f"{NAME} {held.hexdigest()[:12]}"
        self._drawn = _on_openvino(weights) if installed_openvino() else _on_torch(weights)
        pretrained = OnnxNet(PRETRAINED, Precision.f32, mean=0.0, scale=1.0, parallel=True)
        self._pretrained = _mapped(pretrained, PRETRAINED_SIDE_PX)

    def encode(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        drawn, pretrained = _vectors(self._drawn, crops, SIDE_PX), _vectors(self._pretrained, crops, PRETRAINED_SIDE_PX)
        vectors = np.hstack([drawn, np.sqrt(PRETRAINED_WEIGHT) * pretrained])
        return vectors / np.sqrt(np.float32(1 + PRETRAINED_WEIGHT))

    def encode_drawings(self, drawings: Sequence[Image]) -> NDArray[np.float32]:
        """By the project's own network alone, of length ``DRAWING_WEIGHT * sqrt(1 + PRETRAINED_WEIGHT)``.

        To the pretrained tower, a drawing and a crop of the same logo are not alike.
        """
        scale = np.float32(DRAWING_WEIGHT * np.sqrt(1 + PRETRAINED_WEIGHT))
        return np.pad(scale * _vectors(self._drawn, drawings, SIDE_PX), ((0, 0), (0, DIMENSIONS)))


Vectors = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From crops, shape (n, side, side, 3), RGB, to embeddings of unit length, shape (n, DIMENSIONS)."""


def _on_openvino(weights: Path) -> Vectors:
    net = OnnxNet(weights, Precision.auto, mean=0.0, scale=255.0, parallel=True, read=_converted)
    return _mapped(net, SIDE_PX)


def _mapped(net: OnnxNet, side_px: int) -> Vectors:
    """``net``, loaded, for ``TOGETHER`` crops at a time, filled up with black ones; each input runs on one core."""
    net = net.fixed((TOGETHER, side_px, side_px, 3))
    net.load()

    def vectors(squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        filled = np.pad(squares, [(0, -len(squares) % TOGETHER), (0, 0), (0, 0), (0, 0)])
        inputs = np.split(filled, len(filled) // TOGETHER)
        return np.concatenate(net.map(inputs, np.ndarray.copy))[: len(squares)]

    return vectors


def _converted(weights: Path) -> Any:
    from brand_detect.engines.logo_embedder_net import to_openvino

    return to_openvino(weights)


def _on_torch(weights: Path) -> Vectors:
    import torch

    from brand_detect.engines.logo_embedder_net import load

    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = load(weights).to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def vectors(squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return net(torch.from_numpy(squares).to(device).permute(0, 3, 1, 2).float() / 255).cpu().numpy()

    return vectors


def _vectors(tower: Vectors, pictures: Sequence[Image], side_px: int) -> NDArray[np.float32]:
    batches = [pictures[begin : begin + BATCH] for begin in range(0, len(pictures), BATCH)]
    made = [tower(np.stack([square(picture, side_px) for picture in part])) for part in batches]
    return np.concatenate([np.zeros((0, DIMENSIONS), np.float32), *made])


def square(crop: Image, side_px: int) -> NDArray[np.uint8]:
    """Stretches a crop to a network's square, in RGB; this also removes most of the effect of oblique views."""
    import cv2

    way = cv2.INTER_AREA if min(crop.shape[:2]) > side_px else cv2.INTER_LINEAR
    return cv2.cvtColor(cv2.resize(crop, (side_px, side_px), interpolation=way), cv2.COLOR_BGR2RGB)  # pyright: ignore[reportReturnType]


def distractors() -> list[Image]:
    """Distractors, squares of ``SIDE_PX``: distorted pictograms, and scenery without logos."""
    import cv2

    sheet = cv2.imread(str(DISTRACTORS))
    if sheet is None:
        raise Permanent(f"The picture {DISTRACTORS.name} is missing.", REINSTALL)
    rows, columns = sheet.shape[0] // SIDE_PX, sheet.shape[1] // SIDE_PX
    tiles = np.asarray(sheet, np.uint8).reshape(rows, SIDE_PX, columns, SIDE_PX, 3).swapaxes(1, 2)
    return list(tiles.reshape(-1, SIDE_PX, SIDE_PX, 3))
