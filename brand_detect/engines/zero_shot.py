"""Object regions by description: any zero-shot detector that transformers' Auto classes load (OWL-ViT, OWLv2,
GroundingDINO), by model id or local folder."""

import hashlib
from collections.abc import Sequence
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
        Permanent: the model is not on this machine, or wants a package more.
    """

    def __init__(self, model: str, labels: Sequence[str], min_score: float = 0.3, kind: str = "object") -> None:
        if not labels:
            raise BadInput("The object detector was given nothing to look for.", "set object_labels")
        import torch
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        folder = Path(model)
        try:
            self._processor = transformers.AutoProcessor.from_pretrained(model, local_files_only=True)
            loaded = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(model, local_files_only=True)
        except (OSError, ValueError) as e:
            if folder.is_dir():
                raise Permanent(f"The folder {model} holds no zero-shot detector.", str(e).splitlines()[0]) from e
            raise Permanent(f"The model {model} is not on this machine.", f"fetch it: hf download {model}") from e
        revision = _digest(folder) if folder.is_dir() else loaded.config._commit_hash
        self.identity = f"transformers {transformers.__version__} {model}@{revision[:12]}"
        self._device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        self._model: Any = loaded.to(self._device).eval()
        self._labels, self._min_score, self._kind = list(labels), min_score, kind

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:  # noqa: ARG002
        import torch

        rgb = np.ascontiguousarray(image[:, :, ::-1])
        try:
            inputs = self._processor(text=[self._labels], images=rgb, return_tensors="pt").to(self._device)
        except ImportError as e:  # OWLv2's processor, for one, wants scipy
            raise Permanent(
                f"The model {self._model.name_or_path} needs a package more.", " ".join(str(e).split())
            ) from e
        with torch.inference_mode():
            outputs = self._model(**inputs)
        [found] = self._processor.post_process_grounded_object_detection(
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
