"""Embeds logos by any image encoder that transformers' Auto classes load (SigLIP, CLIP, DINOv2, ConvNeXt, ViT)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.errors import Permanent
from brand_detect.domain.protocols import Image
from brand_detect.engines.model_files import ModelFolder
from brand_detect.engines.pretrained import failures_of, load_pretrained

BATCH = 32
WHAT = "image encoder"


class ImageEmbedder:
    """The ``LogoEmbedder`` of a pretrained model. Downloads nothing.

    Crops are padded to a square before the model's own processor sees them: most processors crop the centre of a
    picture, which would cut off the ends of a wide logo.

    Args:
        model: the model's folder.

    Raises:
        Permanent: the model is not an image encoder, lacks weights, or may not be loaded.
    """

    def __init__(self, model: ModelFolder) -> None:
        self._loaded = load_pretrained(model, WHAT, processor="AutoImageProcessor", network="AutoModel", backend="pil")
        self.identity = self._loaded.identity
        # a classifier's checkpoint has no pooler; its training used the first token
        self._first_token = any("pooler" in name for name in self._loaded.missing)
        if lacking := sorted(name for name in self._loaded.missing if "pooler" not in name):
            raise Permanent(f"The model {model.name} lacks {len(lacking)} of its weights.", f"{lacking[0]}, for one")
        with failures_of(model, WHAT):
            self.dimensions = self._batch([np.zeros((8, 8, 3), np.uint8)]).shape[1]

    def encode(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        batches = [self._batch(crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
        return np.concatenate(batches) if batches else np.zeros((0, self.dimensions), np.float32)

    def encode_drawings(self, drawings: Sequence[Image]) -> NDArray[np.float32]:
        return self.encode(drawings)

    def _batch(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        import torch

        inputs = self._loaded.processor(images=[_square(crop) for crop in crops], return_tensors="pt")
        with torch.inference_mode():
            rows = self._features(inputs.to(self._loaded.device)).float().flatten(1)
        return torch.nn.functional.normalize(rows).cpu().numpy()

    def _features(self, inputs: Any) -> Any:
        """One row per picture: the joint embedding of an image-text model, else the pooled output."""
        model = self._loaded.model
        if hasattr(model, "get_image_features"):
            return model.get_image_features(**inputs).pooler_output
        outputs = model(**inputs)
        return outputs.last_hidden_state[:, 0] if self._first_token else outputs.pooler_output


def _square(crop: Image) -> Image:
    """``crop``, as RGB, centred on a square of 8/7 its longest side: cropping processors keep 7/8 of a side."""
    height, width = crop.shape[:2]
    side = -(-max(height, width) * 8 // 7)
    edge = np.concatenate([crop[0], crop[-1], crop[:, 0], crop[:, -1]])
    square = np.empty((side, side, 3), np.uint8)
    square[:] = np.median(edge, axis=0)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = crop
    return np.ascontiguousarray(square[:, :, ::-1])
