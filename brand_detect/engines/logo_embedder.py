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
DISTRACTORS = WEIGHTS.with_name("distractors.jpg")
SIDE_PX = 80  # as at the end of training
DIMENSIONS = 256
BATCH = 64
REINSTALL = "install the package again"


class BuiltInLogoEmbedder:
    """A ``LogoEmbedder`` with the project's own network; docs/reference/model-cards.md describes its training.

    Runs on OpenVINO if it is installed: in bf16 a crop takes 1 ms of CPU time, in torch 2.4 ms on one thread and up to
    8 on two. The embeddings are the same within 0.003, so the identity names the weights alone.

    Args:
        weights: the weights file.

    Raises:
        Permanent: the file is missing or holds other weights.
    """

    dimensions = DIMENSIONS

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self.identity = f"logo_embedder {hashlib.sha256(read_weights(weights, REINSTALL)).hexdigest()[:12]}"
        self._vectors = _on_openvino(weights) if installed_openvino() else _on_torch(weights)

    def encode(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        import cv2

        vectors = np.zeros((len(crops), DIMENSIONS), np.float32)
        for begin in range(0, len(crops), BATCH):
            part = crops[begin : begin + BATCH]
            squares = np.stack([_square(cv2.cvtColor(c, cv2.COLOR_BGR2RGB)) for c in part])  # pyright: ignore[reportArgumentType]
            vectors[begin : begin + len(part)] = self._vectors(squares)
        return vectors


Vectors = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From crops, shape (n, SIDE_PX, SIDE_PX, 3), RGB, to embeddings, shape (n, DIMENSIONS)."""


def _on_openvino(weights: Path) -> Vectors:
    # One crop a request: the shape is always the same, and no thread waits for another.
    net = OnnxNet(weights, Precision.auto, mean=0.0, scale=255.0, parallel=True, read=_converted)
    net.load()
    return lambda squares: np.stack(net.map([square[None] for square in squares], lambda out: out[0].copy()))


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


def _square(crop: Image) -> Image:
    """Stretches a crop to the network's square, which also removes most of the effect of oblique views."""
    import cv2

    shrinks = min(crop.shape[:2]) > SIDE_PX
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(crop, (SIDE_PX, SIDE_PX), interpolation=way)  # pyright: ignore[reportReturnType]


def distractors() -> list[Image]:
    """Distractors, squares of ``SIDE_PX``: distorted pictograms, and scenery without logos."""
    import cv2

    sheet = cv2.imread(str(DISTRACTORS))
    if sheet is None:
        raise Permanent(f"The picture {DISTRACTORS.name} is missing.", REINSTALL)
    rows, columns = sheet.shape[0] // SIDE_PX, sheet.shape[1] // SIDE_PX
    tiles = np.asarray(sheet, np.uint8).reshape(rows, SIDE_PX, columns, SIDE_PX, 3).swapaxes(1, 2)
    return list(tiles.reshape(-1, SIDE_PX, SIDE_PX, 3))
