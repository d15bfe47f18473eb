"""The recipe: a hash of everything that decides the result of an attempt."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from brand_detect.domain.contracts import CONTRACTS


def recipe_of(stage: str, code_version: str, params: Mapping[str, Any], input_versions: Mapping[str, str]) -> str:
    """The key of reuse: attempts with equal recipes have equal results.

    Args:
        code_version: as Dagster sees it; it names the packages and the shipped files that decide the result.
        params: the effective values, as JSON. Operational ones are left out: they do not decide the result.
        input_versions: the data version of everything that was read, by name.
    """
    operational = CONTRACTS[stage].params.operational() if stage in CONTRACTS else ()
    deciding = {name: value for name, value in params.items() if name not in operational}
    text = json.dumps([stage, code_version, deciding, dict(input_versions)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
