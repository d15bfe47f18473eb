"""Object regions by description: any zero-shot detector that transformers' Auto classes load (OWL-ViT, OWLv2,
GroundingDINO), by model id or local folder."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.protocols import Area, Image, Region


class ZeroShotDetector:
    """Finds what ``labels`` describe. Nothing is fetched at run time.

    Args:
        model: a folder, or the id of a model that the Hugging Face cache holds.
        labels: what to look for, in words: ``a company logo``.
        min_score: lowest score of a region, 0 to 1.
        kind: of the regions: ``object``, or ``logo`` when the labels describe logos.

    Raises:
        BadInput: no labels.
        Permanent: at the first picture, when the model is not on this machine.
    """

    def __init__(self, model: str, labels: Sequence[str], min_score: float = 0.3, kind: str = "object") -> None:
        if not labels:
            raise BadInput("The object detector was given nothing to look for.", "set object_labels")
        self._model_id, self._labels, self._min_score, self._kind = model, list(labels), min_score, kind

    @cached_property
    def identity(self) -> str:
        """transformers' version and the model, with its revision in the cache or the hash of its folder."""
        import transformers

        folder = Path(self._model_id)
        revision = _digest(folder) if folder.is_dir() else self._parts[1].config._commit_hash
        return f"transformers {transformers.__version__} {self._model_id}@{revision[:12]}"

    @cached_property
    def _parts(self) -> tuple[Any, Any, str]:
        """Processor, model and device."""
        import torch
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        try:
            processor = AutoProcessor.from_pretrained(self._model_id, local_files_only=True)
            model = AutoModelForZeroShotObjectDetection.from_pretrained(self._model_id, local_files_only=True)
        except (OSError, ValueError) as e:
            if Path(self._model_id).is_dir():
                raise Permanent(
                    f"The folder {self._model_id} holds no zero-shot object detector.", str(e).splitlines()[0]
                ) from e
            raise Permanent(
                f"The model {self._model_id} is not on this machine.",
                f"fetch it once with: hf download {self._model_id}",
            ) from e
        return processor, model.to(device).eval(), device

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:  # noqa: ARG002
        import torch

        processor, model, device = self._parts
        rgb = np.ascontiguousarray(image[:, :, ::-1])
        try:
            inputs = processor(text=[self._labels], images=rgb, return_tensors="pt").to(device)
        except ImportError as e:  # OWLv2's processor, for one, wants scipy
            raise Permanent(f"The model {self._model_id} needs a package more.", " ".join(str(e).split())) from e
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


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _quad(box: Sequence[float]) -> np.ndarray:
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
