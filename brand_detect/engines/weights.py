"""Loads the weights of the project's own networks."""

from pathlib import Path
from typing import Any

from brand_detect.domain.errors import Permanent
from brand_detect.engines.model_files import reason_of

MOST_BYTES = 256 << 20
"""Largest file of weights, which is read whole; the project's largest network takes 10 MB."""


def read_weights(file: Path, hint: str) -> bytes:
    """The content of a file of weights.

    Raises:
        Permanent: the file is missing, special or too large.
    """
    try:
        if file.exists() and not file.is_file():  # a device or a pipe could block for ever
            raise ValueError("it is not a regular file")
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES >> 20} MiB")
        return file.read_bytes()
    except (OSError, ValueError) as e:
        raise _unusable(file, e, hint) from e


def load_weights(net: Any, file: Path, hint: str) -> None:
    """Loads a half-precision safetensors file into a torch module.

    Raises:
        Permanent: as ``read_weights``, or the file has other weights.
    """
    from safetensors.torch import load

    data = read_weights(file, hint)
    try:
        net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load(data).items()})
    except Exception as e:  # safetensors and torch raise anything on a damaged file
        raise _unusable(file, e, hint) from e


def _unusable(file: Path, why: Exception, hint: str) -> Permanent:
    return Permanent(f"The weights {file.name} cannot be used: {reason_of(why)}.", hint)
