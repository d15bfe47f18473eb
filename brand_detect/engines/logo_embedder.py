"""The package's own logo embedder, on the CPU or a GPU."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.errors import Permanent
from brand_detect.domain.protocols import Image
from brand_detect.engines.weights import load_weights

WEIGHTS = Path(__file__).parents[1] / "weights" / "logo_embedder.safetensors"
DISTRACTORS = WEIGHTS.with_name("distractors.jpg")
SIDE_PX = 80  # as at the end of training
BATCH = 64
REINSTALL = "install the package again"


class BuiltInLogoEmbedder:
    """A ``LogoEmbedder`` with the project's own network; docs/reference/model-cards.md describes its training.

    Args:
        weights: the weights file.

    Raises:
        Permanent: the file is missing or holds other weights.
    """

    def __init__(self, weights: Path = WEIGHTS) -> None:
        import torch

        from brand_detect.engines.logo_embedder_net import DIMENSIONS, LogoEmbedderNet

        self.dimensions = DIMENSIONS
        self._net = LogoEmbedderNet()
        self.identity = f"logo_embedder {load_weights(self._net, weights, REINSTALL)}"
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._net = self._net.to(self._device, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]

    def encode(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        import cv2
        import torch

        vectors = np.zeros((len(crops), self.dimensions), np.float32)
        for begin in range(0, len(crops), BATCH):
            part = crops[begin : begin + BATCH]
            squares = np.stack([_square(cv2.cvtColor(c, cv2.COLOR_BGR2RGB)) for c in part])  # pyright: ignore[reportArgumentType]
            pixels = torch.from_numpy(squares).to(self._device).permute(0, 3, 1, 2).float() / 255
            with torch.inference_mode():
                vectors[begin : begin + len(part)] = self._net(pixels).cpu().numpy()
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
