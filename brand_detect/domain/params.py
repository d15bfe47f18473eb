"""Base of every stage's params.

Fields are bool, int, float, str, list, dict or enums whose names equal their values, because the Dagster config classes
are derived from them. Null never has a meaning; ``off``, 0 or an empty list do."""

import re
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

OPERATIONAL = "operational"


def operational(default: Any, **field: Any) -> Any:
    """A field that does not affect a stage's result, such as a time-out; the recipe leaves it out."""
    return Field(default, json_schema_extra={OPERATIONAL: True}, **field)


class Params(BaseModel):
    """Base of every stage's params."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def operational(cls) -> frozenset[str]:
        """Names of the operational fields."""
        extras = ((name, field.json_schema_extra) for name, field in cls.model_fields.items())
        return frozenset(name for name, extra in extras if isinstance(extra, dict) and OPERATIONAL in extra)


HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
"""A host name or address, with an optional port."""
SERVER = re.compile(rf"https?://{HOST.pattern}(?:/[A-Za-z0-9._~:%+,=/-]*)?")
"""A web address without credentials, a query, or anything that two parsers may read differently."""
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
ModelName = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f]*$")]
"""A path below a model root, or a model's id in the Hugging Face cache."""


class Precision(Enum):
    """How a network computes. ``auto`` is resolved once per attempt; the engine's identity in the manifest names it."""

    auto = "auto"  # the fastest on this CPU; int8 only if the package has the model in it
    f32 = "f32"
    bf16 = "bf16"
    int8 = "int8"
