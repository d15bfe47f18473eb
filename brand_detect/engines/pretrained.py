"""Loads models by transformers' Auto classes from a local folder. Downloads nothing and runs no model code."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from brand_detect.domain.errors import BrandDetectError, Permanent
from brand_detect.engines.model_files import ModelFolder, fetch, reason_of

LOCAL_ONLY: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""No network and no code from the model; without the latter, transformers asks at the terminal whether to run it."""


@dataclass(frozen=True)
class Pretrained:
    """A model on its device, ready for inference, and the processor that makes its inputs."""

    model: Any
    processor: Any
    device: str
    identity: str  # library, version, model, and the revision or the hash of the folder
    missing: frozenset[str]  # weights of the model that the checkpoint lacks


def load_pretrained(
    model: ModelFolder, what: str, *, processor: str, network: str, precision: str = "auto", **processor_options: Any
) -> Pretrained:
    """Loads the model in a folder, from safetensors only.

    Args:
        what: the expected kind of model, for errors.
        processor, network: the names of the Auto classes.
        precision: of the weights, as torch names it; ``auto``: as stored.

    Raises:
        Permanent: the folder may not be loaded, has another kind of model, or does not fit into the device's memory.
    """
    import huggingface_hub.constants
    import torch
    import transformers

    model.check()
    revision = model.revision  # of the files about to be read
    huggingface_hub.constants.HF_HUB_OFFLINE = True  # so that the hub's client never connects, whatever a config names
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with failures_of(model, what):
        loaded_processor = _load_processor(processor, str(model.path), **processor_options)
        loaded, info = getattr(transformers, network).from_pretrained(
            str(model.path), **LOCAL_ONLY, use_safetensors=True, output_loading_info=True, dtype=precision
        )
    device = best_device()
    try:
        loaded = loaded.to(device).eval()
    except torch.OutOfMemoryError as e:
        raise Permanent(f"The model {model.name} does not fit into the memory of the GPU.", "use a smaller one") from e
    return Pretrained(
        loaded,
        loaded_processor,
        device,
        f"transformers {transformers.__version__} {model.name}@{revision[:12]}",
        frozenset(info["missing_keys"]),
    )


@contextmanager
def failures_of(model: ModelFolder, what: str) -> Iterator[None]:
    """Converts whatever transformers, torch and safetensors raise on a model of the wrong kind to one error.

    Raises:
        Permanent: anything but a lack of GPU memory was raised.
    """
    import torch

    try:
        yield
    except (BrandDetectError, torch.OutOfMemoryError):
        raise
    except Exception as e:  # they raise anything on invalid configs or weights
        if model.commit and isinstance(e, OSError):
            raise Permanent(f"Parts of the model {model.name} are not on this machine.", fetch(model.name)) from e
        raise Permanent(f"The model {model.name} is not a usable {what}.", reason_of(e)) from e


def best_device() -> str:
    """The fastest available device: cuda, mps or cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def _load_processor(auto: str, folder: str, **options: Any) -> Any:
    """The model's processor; without its video part if a package for it (torchvision) is missing."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    try:
        return getattr(transformers, auto).from_pretrained(folder, **LOCAL_ONLY, **options)
    except (ImportError, OSError):
        config = type(transformers.AutoConfig.from_pretrained(folder, **LOCAL_ONLY))
        if auto != "AutoProcessor" or config not in PROCESSOR_MAPPING:
            raise
        whole: Any = PROCESSOR_MAPPING[config]
        if whole is transformers.SmolVLMProcessor:  # Idefics3's plus videos, which need another package
            whole = transformers.Idefics3Processor

    class OfPictures(whole):
        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in super().get_attributes() if name != "video_processor"]

    return OfPictures.from_pretrained(folder, **LOCAL_ONLY, **options)
