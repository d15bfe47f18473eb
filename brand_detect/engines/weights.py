"""Weights of the project's own networks."""

import hashlib
from pathlib import Path
from typing import Any

from brand_detect.domain.errors import Permanent
from brand_detect.engines.model_files import said_by

MOST_BYTES = 256 << 20
"""Of a file of weights, which is read whole; the largest network of the project takes 10 MB."""


def load_weights(net: Any, file: Path, hint: str) -> str:
    """Fill a torch module from a safetensors file of half precision; the first digits of its sha256.

    Raises:
        Permanent: the file is missing, is no plain file or too large, or holds other weights.
    """
    from safetensors.torch import load

    try:
        if file.exists() and not file.is_file():  # a device never ends, a pipe never begins
            raise ValueError("it is no file")
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES >> 20} MiB")
        data = file.read_bytes()
        net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load(data).items()})
    except Exception as e:  # on a damaged file safetensors and torch fail in any way
        raise Permanent(f"The weights {file.name} cannot be used: {said_by(e)}.", hint) from e
    return hashlib.sha256(data).hexdigest()[:12]
