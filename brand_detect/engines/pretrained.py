"""Models that transformers' Auto classes load from a folder of this machine. Nothing is fetched, no code is run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from brand_detect.domain.errors import BrandDetectError, Permanent
from brand_detect.engines.model_files import ModelFolder, fetch, said_by

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
    model: ModelFolder, what: str, *, processor: str, network: str, precision: str = "auto", **processor_options: Any
) -> Pretrained:
    """The model in a folder, from safetensors alone.

    Args:
        what: it has to be, for the error.
        processor, network: the names of the Auto classes.
        precision: of the weights, as torch names it; ``auto``: as they are stored.

    Raises:
        Permanent: the folder may not be loaded, holds something else, or does not fit into the device's memory.
    """
    import huggingface_hub.constants
    import torch
    import transformers

    model.check()
    revision = model.revision  # of what is about to be read
    huggingface_hub.constants.HF_HUB_OFFLINE = True  # whatever a config names: the hub's client opens no connection
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with failures_of(model, what):
        loaded_processor = _load_processor(processor, str(model.path), **processor_options)
        loaded, info = getattr(transformers, network).from_pretrained(
            str(model.path), **HERE_ALONE, use_safetensors=True, output_loading_info=True, dtype=precision
        )
    device = best_device()
    try:
        loaded = loaded.to(device).eval()
    except torch.OutOfMemoryError as e:
        raise Permanent(f"The model {model.name} does not fit into the memory of the GPU.", "take a smaller one") from e
    return Pretrained(
        loaded,
        loaded_processor,
        device,
        f"transformers {transformers.__version__} {model.name}@{revision[:12]}",
        frozenset(info["missing_keys"]),
    )


@contextmanager
def failures_of(model: ModelFolder, what: str) -> Iterator[None]:
    """Whatever transformers, torch and safetensors raise on a model that is not ``what`` it should be, as one error.

    Raises:
        Permanent: something was raised, other than that the memory of the GPU does not reach.
    """
    import torch

    try:
        yield
    except (BrandDetectError, torch.OutOfMemoryError):
        raise
    except Exception as e:  # on a config or weights that make no sense they fail in any way
        if model.commit and isinstance(e, OSError):
            raise Permanent(f"Parts of the model {model.name} are not on this machine.", fetch(model.name)) from e
        raise Permanent(f"The model {model.name} is no {what}.", said_by(e)) from e


def best_device() -> str:
    """The fastest that is there: cuda, mps or cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def _load_processor(auto: str, folder: str, **options: Any) -> Any:
    """The model's processor; without the part for videos where that lacks a package (torchvision)."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    try:
        return getattr(transformers, auto).from_pretrained(folder, **HERE_ALONE, **options)
    except (ImportError, OSError):
        config = type(transformers.AutoConfig.from_pretrained(folder, **HERE_ALONE))
        if auto != "AutoProcessor" or config not in PROCESSOR_MAPPING:
            raise
        whole: Any = PROCESSOR_MAPPING[config]
        if whole is transformers.SmolVLMProcessor:  # Idefics3's, and videos, for which it wants one package more
            whole = transformers.Idefics3Processor

    class OfPictures(whole):
        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in super().get_attributes() if name != "video_processor"]

    return OfPictures.from_pretrained(folder, **HERE_ALONE, **options)
