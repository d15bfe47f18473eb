"""Models that transformers' Auto classes load, from a local folder or the Hugging Face cache. Nothing is fetched."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brand_detect.domain.errors import Permanent


@dataclass(frozen=True)
class Pretrained:
    """A model on its device, ready for inference, and the processor that makes its inputs."""

    model: Any
    processor: Any
    device: str
    identity: str  # library, version, model, and the revision or the hash of the folder
    missing: frozenset[str]  # weights that the model has and the checkpoint has not


def load_pretrained(model: str, what: str, *, processor: str, network: str, **processor_options: Any) -> Pretrained:
    """The model ``model``, a folder or the id of a model that the Hugging Face cache holds.

    Args:
        what: it has to be, for the error.
        processor, network: the names of the Auto classes.

    Raises:
        Permanent: the model is not on this machine, or the folder holds something else.
    """
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder = Path(model)
    try:
        loaded_processor = getattr(transformers, processor).from_pretrained(
            model, local_files_only=True, **processor_options
        )
        loaded, info = getattr(transformers, network).from_pretrained(
            model, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError) as e:
        if folder.is_dir():
            raise Permanent(f"The folder {model} holds no {what}.", str(e).splitlines()[0]) from e
        raise Permanent(f"The model {model} is not on this machine.", f"fetch it: hf download {model}") from e
    revision = _digest(folder) if folder.is_dir() else loaded.config._commit_hash
    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return Pretrained(
        loaded.to(device).eval(),
        loaded_processor,
        device,
        f"transformers {transformers.__version__} {model}@{revision[:12]}",
        frozenset(info["missing_keys"]),
    )


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
