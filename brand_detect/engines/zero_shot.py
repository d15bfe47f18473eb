"""Object regions by description: any zero-shot detector that transformers' Auto classes load (OWL-ViT, OWLv2,
GroundingDINO), by model id or local folder."""

from collections.abc import Sequence

import numpy as np

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.protocols import Area, Image, Region
from brand_detect.engines.pretrained import load_pretrained


class ZeroShotDetector:
    """Finds what ``labels`` describe. Nothing is fetched at run time.

    Args:
        model: a folder, or the id of a model that the Hugging Face cache holds.
        labels: what to look for, in words: ``a company logo``.
        min_score: lowest score of a region, 0 to 1.
        kind: of the regions: ``object``, or ``logo`` when the labels describe logos.

    Raises:
        BadInput: no labels.
        Permanent: the model is not on this machine, or wants a package more.
    """

    def __init__(self, model: str, labels: Sequence[str], min_score: float = 0.3, kind: str = "object") -> None:
        if not labels:
            raise BadInput("The object detector was given nothing to look for.", "set object_labels")
        self._loaded = load_pretrained(
            model, "zero-shot detector", processor="AutoProcessor", network="AutoModelForZeroShotObjectDetection"
        )
        self.identity = self._loaded.identity
        self._labels, self._min_score, self._kind = list(labels), min_score, kind

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:  # noqa: ARG002
        import torch

        model, processor = self._loaded.model, self._loaded.processor
        rgb = np.ascontiguousarray(image[:, :, ::-1])
        try:
            inputs = processor(text=[self._labels], images=rgb, return_tensors="pt").to(self._loaded.device)
        except ImportError as e:  # OWLv2's processor, for one, wants scipy
            raise Permanent(f"The model {model.name_or_path} needs a package more.", " ".join(str(e).split())) from e
        with torch.inference_mode():
            outputs = model(**inputs)
        [found] = processor.post_process_grounded_object_detection(
            outputs, threshold=self._min_score, target_sizes=[image.shape[:2]], text_labels=[self._labels]
        )
        labels = found["text_labels"] or []
        return [
            Region(self._kind, str(label), float(score), _quad(box.tolist()))
            for box, score, label in zip(found["boxes"], found["scores"], labels, strict=True)
        ]


def _quad(box: Sequence[float]) -> np.ndarray:
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
