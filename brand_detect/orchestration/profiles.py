"""Profiles, quality scales and inventories, by name."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TypeVar

import yaml
from pydantic import ValidationError

from brand_detect.domain.contracts import check_overrides
from brand_detect.domain.errors import BadInput
from brand_detect.domain.inventory import Inventory
from brand_detect.domain.job import Overrides
from brand_detect.domain.quality import QualityScale
from brand_detect.domain.records import Record

R = TypeVar("R", bound=Record)


def profile_names() -> list[str]:
    """Names of the packaged profiles."""
    folder = resources.files("brand_detect") / "profiles"
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


@cache
def load_profile(name: str) -> Overrides:
    """The params that a profile sets, by stage.

    Raises:
        BadInput: there is no such profile, or it sets a value that is not allowed.
    """
    if name not in profile_names():
        raise BadInput(f"There is no profile {name!r}.", f"profiles: {', '.join(profile_names())}")
    text = (resources.files("brand_detect") / "profiles" / f"{name}.yaml").read_text(encoding="utf-8")
    return check_overrides((yaml.safe_load(text) or {}).get("params") or {})


def load_quality(name: str, own: Mapping[str, str] = MappingProxyType({})) -> QualityScale:
    """The scale ``name`` from ``own``, contents by name, else from the package.

    Raises:
        BadInput: there is no such scale, or it is malformed.
    """
    package = resources.files("brand_detect") / "quality"
    there = {*own, *(f.name.removesuffix(".yaml") for f in package.iterdir() if f.name.endswith(".yaml"))}
    if name not in there:
        raise BadInput(f"There is no quality scale {name!r}.", f"scales: {', '.join(sorted(there))}")
    text = own[name] if name in own else (package / f"{name}.yaml").read_text(encoding="utf-8")
    return _parsed(QualityScale, text, f"The quality scale {name}", "docs/concepts/metrics.md")


def load_inventory(name: str, own: Mapping[str, str]) -> Inventory | None:
    """The inventory ``name`` from ``own``, contents by name; None if it is ``off``.

    Raises:
        BadInput: there is no such inventory, or it is malformed.
    """
    if name == "off":
        return None
    if name not in own:
        hint = f"inventories: {', '.join(sorted(own))}" if own else "set BRAND_DETECT_INVENTORY where the sensors run"
        raise BadInput(f"There is no inventory {name!r}.", hint)
    return _parsed(Inventory, own[name], f"The inventory {name}", "docs/concepts/placements.md")


def _parsed(kind: type[R], text: str, what: str, described_in: str) -> R:
    try:
        return kind.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as e:
        error = e.errors()[0] if isinstance(e, ValidationError) else None
        where = f"{'.'.join(map(str, error['loc']))}: {error['msg']}" if error else "it is not YAML"
        raise BadInput(f"{what} is malformed: {where}.", f"{described_in} describes the format") from e
