"""The recipe: a hash of everything that determines the result of an attempt."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from brand_detect.domain.contracts import CONTRACTS


def recipe_of(stage: str, code_version: str, params: Mapping[str, Any], input_versions: Mapping[str, str]) -> str:
    """Key for reuse: attempts with equal recipes have equal results on one kind of CPU with one runtime.

    Args:
        code_version: Dagster's code version; covers the packages and shipped files that determine the result.
        params: the effective values, as JSON. Operational ones are ignored: they do not affect the result.
        input_versions: data version of every input, by name.
    """
    operational = CONTRACTS[stage].params.operational() if stage in CONTRACTS else ()
    deciding = {name: value for name, value in params.items() if name not in operational}
    text = json.dumps([stage, code_version, deciding, dict(input_versions)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
