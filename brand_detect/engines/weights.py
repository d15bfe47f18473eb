"""Weights of the project's own networks."""

import hashlib
from pathlib import Path
from typing import Any

from brand_detect.domain.errors import Permanent


def load_weights(net: Any, file: Path, hint: str) -> str:
    """Fill a torch module from a safetensors file of half precision; the first digits of its sha256.

    Raises:
        Permanent: the file is missing or holds other weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = file.read_bytes()
        net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load(data).items()})
    except (OSError, SafetensorError, RuntimeError) as e:
        raise Permanent(f"The weights {file.name} cannot be used: {e}.", hint) from e
    return hashlib.sha256(data).hexdigest()[:12]
