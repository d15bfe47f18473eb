"""Loads the weights of the project's own networks."""

import hashlib
from pathlib import Path
from typing import Any

from brand_detect.domain.errors import Permanent
from brand_detect.engines.model_files import reason_of

MOST_BYTES = 256 << 20
"""Largest file of weights, which is read whole; the project's largest network takes 10 MB."""


def load_weights(net: Any, file: Path, hint: str) -> str:
    """Loads a half-precision safetensors file into a torch module; returns the first digits of its sha256.

    Raises:
        Permanent: the file is missing, special or too large, or has other weights.
    """
    from safetensors.torch import load

    try:
        if file.exists() and not file.is_file():  # a device or a pipe could block for ever
            raise ValueError("it is not a regular file")
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES >> 20} MiB")
        data = file.read_bytes()
        net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load(data).items()})
    except Exception as e:  # safetensors and torch raise anything on a damaged file
        raise Permanent(f"The weights {file.name} cannot be used: {reason_of(e)}.", hint) from e
    return hashlib.sha256(data).hexdigest()[:12]
