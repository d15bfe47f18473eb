"""Models that transformers' Auto classes load, from a local folder or the Hugging Face cache. Nothing is fetched."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brand_detect.domain.errors import Permanent

HERE_ALONE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""No network, and no code of the model's own; unless told so, transformers asks the terminal whether to run it."""


@dataclass(frozen=True)
class Pretrained:
    """A model on its device, ready for inference, and the processor that makes its inputs."""

    model: Any
    processor: Any
    device: str
    identity: str  # library, version, model, and the revision or the hash of the folder
    missing: frozenset[str]  # weights that the model has and the checkpoint has not


def load_pretrained(
    model: str, what: str, *, processor: str, network: str, precision: str = "auto", **processor_options: Any
) -> Pretrained:
    """The model ``model``, a folder or the id of a model that the Hugging Face cache holds.

    Args:
        what: it has to be, for the error.
        processor, network: the names of the Auto classes.
        precision: of the weights, as torch names it; ``auto``: as they are stored.

    Raises:
        Permanent: the model is not on this machine, is something else, or does not fit into the device's memory.
    """
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    revision = revision_of(model)
    try:
        loaded_processor = _load_processor(processor, model, **processor_options)
        loaded, info = getattr(transformers, network).from_pretrained(
            model, **HERE_ALONE, output_loading_info=True, dtype=precision
        )
    except (OSError, ValueError) as e:
        if Path(model).is_dir():
            raise Permanent(f"The folder {model} holds no {what}.", str(e).splitlines()[0]) from e
        if isinstance(e, OSError):
            raise Permanent(f"Parts of the model {model} are not on this machine.", _fetch(model)) from e
        raise Permanent(f"The model {model} is no {what}.", str(e).splitlines()[0]) from e
    device = best_device()
    try:
        loaded = loaded.to(device).eval()
    except torch.OutOfMemoryError as e:
        raise Permanent(f"The model {model} does not fit into the memory of the GPU.", "take a smaller one") from e
    return Pretrained(
        loaded,
        loaded_processor,
        device,
        f"transformers {transformers.__version__} {model}@{revision[:12]}",
        frozenset(info["missing_keys"]),
    )


def revision_of(model: str) -> str:
    """The commit of a model in the Hugging Face cache, or the hash of a folder's files. Nothing is loaded.

    A folder is read from end to end, about a second for each GB.

    Raises:
        Permanent: the model is not on this machine.
    """
    from huggingface_hub import snapshot_download

    folder = Path(model)
    if folder.is_dir():
        return _digest(folder)
    try:
        return Path(snapshot_download(model, local_files_only=True)).name
    except (OSError, ValueError) as e:
        raise Permanent(f"The model {model} is not on this machine.", _fetch(model)) from e


def best_device() -> str:
    """The fastest that is there: cuda, mps or cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def _fetch(model: str) -> str:
    return f"fetch it: hf download {model}"


def _load_processor(auto: str, model: str, **options: Any) -> Any:
    """The model's processor; without the part for videos where that lacks a package (torchvision)."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    try:
        return getattr(transformers, auto).from_pretrained(model, **HERE_ALONE, **options)
    except (ImportError, OSError):
        config = type(transformers.AutoConfig.from_pretrained(model, **HERE_ALONE))
        if auto != "AutoProcessor" or config not in PROCESSOR_MAPPING:
            raise
        whole: Any = PROCESSOR_MAPPING[config]
        if whole is transformers.SmolVLMProcessor:  # Idefics3's, and videos, for which it wants one package more
            whole = transformers.Idefics3Processor

    class OfPictures(whole):
        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in super().get_attributes() if name != "video_processor"]

    return OfPictures.from_pretrained(model, **HERE_ALONE, **options)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
