"""Renders docs/reference from the code, so that the two cannot differ. ``make docs`` writes the pages."""

import inspect
import os
import re
import types
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, get_args
from unittest.mock import patch

import pyarrow as pa
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from brand_detect.domain import model
from brand_detect.domain.params import PARAMS
from brand_detect.domain.settings import Settings

GENERATED = "<!-- Written by `make docs`; edit the code instead. -->\n"
SIGNS = {Ge: ("ge", "≥"), Gt: ("gt", ">"), Le: ("le", "≤"), Lt: ("lt", "<")}


def params() -> str:
    """The params of every stage: type, default, limits, meaning."""
    parts = [
        GENERATED,
        "# Params of the stages\n",
        "Set them per job (`overrides`), in a profile, or in the launchpad of the Dagster UI. What is left unset is",
        "inherited: defaults < profile < the job's overrides < this run's config.\n",
    ]
    for stage, cls in PARAMS.items():
        rows = ((f"`{n}`", _type(f), _code(f.get_default()), _limits(f), f.description) for n, f in _fields(cls))
        parts += [f"## {stage}\n", *_table(("param", "type", "default", "limits", "meaning"), rows), ""]
    return "\n".join(parts)


def settings() -> str:
    """The ``BRAND_DETECT_*`` environment variables with their defaults."""
    with patch.dict(os.environ, {"DAGSTER_HOME": "/checkout", "HOME": "/home/you"}):
        rows = [
            (f"`BRAND_DETECT_{n.upper()}`", _code(f.get_default(call_default_factory=True)), f.description)
            for n, f in _fields(Settings)
        ]
    page = [
        GENERATED,
        "# Deployment settings\n",
        "Environment variables, read when a process starts. `$DAGSTER_HOME` is the checkout unless you set it.\n",
        *_table(("variable", "default", "meaning"), rows),
        "",
    ]
    return "\n".join(page).replace("/checkout", "$DAGSTER_HOME").replace("/home/you", "~")


def data_model() -> str:
    """The schema of every table, with the comments that stand beside the columns in the code."""
    parts = [
        GENERATED,
        "# Data model\n",
        "Every table is a Parquet file inside a checkpoint. Units are in the column names: `t_s` is in seconds,",
        "`x_px` in pixels of the stored frame, `area_frac` a share of the picture's area.\n",
    ]
    source = inspect.getsource(model)
    for schema in (v for v in vars(model).values() if isinstance(v, pa.Schema)):
        assert schema.metadata is not None
        name = schema.metadata[b"brand_detect.table"].decode()
        found = re.search(rf"_schema\((?:  # (.*))?\s*\"{name}\",(?:  # (.*))?([\s\S]*?)_schema\(", source + "_schema(")
        assert found, f"the schema {name!r} is not in the source"
        about, comments = found[1] or found[2], dict(re.findall(r"^    (\w+)=.*?,  # (.*)$", found[3], re.M))
        parts += [f"## {name}\n", *([f"{about[:1].upper()}{about[1:]}.\n"] if about else [])]
        rows = ((f"`{c.name}`", str(c.type).replace("item: ", ""), comments.get(c.name)) for c in schema)
        parts += [*_table(("column", "type", "meaning"), rows), ""]
    return "\n".join(parts)


PAGES = {"params.md": params, "settings.md": settings, "data-model.md": data_model}


def _fields(cls: Any) -> Iterable[tuple[str, FieldInfo]]:
    return cls.model_fields.items()


def _type(field: FieldInfo) -> str:
    kind = field.annotation
    if isinstance(kind, types.GenericAlias):
        return f"{kind.__name__} of {', '.join(a.__name__ for a in get_args(kind))}"
    return "choice" if isinstance(kind, type) and issubclass(kind, Enum) else getattr(kind, "__name__", str(kind))


def _limits(field: FieldInfo) -> str:
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{m.value}`" for m in kind)
    signs = [
        f"{sign} {getattr(m, attr):g}" for m in field.metadata for t, (attr, sign) in SIGNS.items() if type(m) is t
    ]
    return ", ".join(signs)


def _code(value: object) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, tuple):
        value = ",".join(value)
    return f"`{value}`" if value != "" else "empty"


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    columns = list(head)
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(str(cell or '').replace('|', chr(92) + '|') for cell in row)} |"
