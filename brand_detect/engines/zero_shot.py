"""Detects objects by description, with any zero-shot detector that transformers' Auto classes load (OWL-ViT, OWLv2,
GroundingDINO)."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.geometry import quad_of
from brand_detect.domain.protocols import Area, Image, Region
from brand_detect.engines.model_files import ModelFolder
from brand_detect.engines.pretrained import failures_of, load_pretrained

WHAT = "zero-shot detector"


class ZeroShotDetector:
    """Detects objects that ``labels`` describe. Downloads nothing.

    Args:
        model: the model's folder.
        labels: descriptions such as ``a company logo``.
        min_score: lowest score of a region, 0 to 1.

    Raises:
        BadInput: no labels.
        Permanent: the model is not a zero-shot detector, may not be loaded, or needs another package.
    """

    kind = RegionKind.object

    def __init__(self, model: ModelFolder, labels: Sequence[str], min_score: float = 0.3) -> None:
        if not labels:
            raise BadInput("The object detector has no labels to look for.", "set object_labels")
        self._loaded = load_pretrained(
            model, WHAT, processor="AutoProcessor", network="AutoModelForZeroShotObjectDetection"
        )
        self.identity = self._loaded.identity
        self._folder, self._labels, self._min_score = model, list(labels), min_score
        self._one_at_a_time = threading.Lock()  # two pictures at once need twice the memory

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:  # noqa: ARG002
        with self._one_at_a_time, failures_of(self._folder, WHAT):
            found = self._found(np.ascontiguousarray(image[:, :, ::-1]))
        labels = found["text_labels"] or []
        return [
            Region(RegionKind.object, str(label), float(score), quad_of(box.tolist()))
            for box, score, label in zip(found["boxes"], found["scores"], labels, strict=True)
        ]

    def _found(self, rgb: Image) -> dict[str, Any]:
        import torch

        model, processor = self._loaded.model, self._loaded.processor
        try:
            inputs = processor(text=[self._labels], images=rgb, return_tensors="pt").to(self._loaded.device)
        except ImportError as e:  # OWLv2's processor, for example, needs scipy
            raise Permanent(f"The model {self._folder.name} needs another package.", " ".join(str(e).split())) from e
        with torch.inference_mode():
            outputs = model(**inputs)
        [found] = processor.post_process_grounded_object_detection(
            outputs, threshold=self._min_score, target_sizes=[rgb.shape[:2]], text_labels=[self._labels]
        )
        return found
