"""Dagster config classes derived from the stages' params."""

from enum import Enum
from typing import Any, Optional, get_origin

import dagster as dg
from pydantic import Field, create_model

from brand_detect.domain.contracts import CONTRACTS
from brand_detect.domain.params import Params

_PLAIN = (bool, int, float, str, list, dict)


def config_class(stage: str, params: type[Params]) -> type[dg.Config]:
    """The launchpad's view of ``params``: the same fields, all optional, unset meaning "inherit".

    Raises:
        TypeError: a field has a type that cannot be told apart from null or that Dagster would rename.
    """
    fields: dict[str, Any] = {}
    for name, field in params.model_fields.items():
        kind = get_origin(field.annotation) or field.annotation
        if isinstance(kind, type) and issubclass(kind, Enum):
            if any(member.name != member.value for member in kind):
                raise TypeError(f"{stage}.{name}: the names of {kind.__name__} must equal its values")
        elif kind not in _PLAIN:
            raise TypeError(
                f"{stage}.{name}: {field.annotation} is not allowed; use bool, int, float, str, list or dict"
            )
        default = field.default.value if isinstance(field.default, Enum) else field.default
        description = (
            f"{field.description}. Unset: inherited from the job and its profile (package default {default!r})."
        )
        fields[name] = (Optional[field.annotation], Field(None, description=description))  # noqa: UP045
    title = "".join(part.title() for part in stage.split("_"))
    return create_model(f"{title}Config", __base__=dg.Config, __doc__=params.__doc__, **fields)


CONFIGS: dict[str, type[dg.Config]] = {
    stage: config_class(stage, contract.params) for stage, contract in CONTRACTS.items()
}


def explicit(config: dict[str, Any]) -> dict[str, Any]:
    """The entries of a step's config that are set; null counts as unset."""
    return {name: value for name, value in config.items() if value is not None}
