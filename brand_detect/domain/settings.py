"""Deployment settings: the ``BRAND_DETECT_*`` environment variables."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from brand_detect.domain.errors import BadInput


def state_dir() -> Path:
    """The one folder for everything that is written: ``$DAGSTER_HOME/.state``, else ``./.state``."""
    return Path(os.environ.get("DAGSTER_HOME") or ".").resolve() / ".state"


class Settings(BaseSettings):
    """Read once, at the composition root. Secrets are no settings: they stay in the providers' own variables."""

    model_config = SettingsConfigDict(env_prefix="BRAND_DETECT_", frozen=True, extra="forbid", env_ignore_empty=True)

    store_root: str = Field(
        default_factory=lambda: str(state_dir() / "checkpoints"),
        description="where checkpoints lie: a folder, or a URI such as s3://bucket/prefix",
    )
    media_roots: Annotated[tuple[str, ...], NoDecode] = Field(
        default_factory=lambda: (str(Path.home()), str(state_dir().parent)),
        description="comma-separated folders and URI prefixes (s3://bucket/prefix) that videos may come from",
    )
    catalog: str = Field(default="", description="the brand list, a YAML or CSV file; empty = the one in the package")

    @field_validator("media_roots", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("store_root", "catalog")
    @classmethod
    def _absolute(cls, value: str) -> str:
        """A local path as seen from here: processes that use it work in other folders."""
        return value if not value or "://" in value else str(Path(value).expanduser().absolute())

    @field_validator("media_roots")
    @classmethod
    def _all_absolute(cls, roots: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(cls._absolute, roots))

    @classmethod
    def load(cls) -> "Settings":
        """The settings of the environment.

        Raises:
            BadInput: a variable has a value that is not allowed.
        """
        try:
            return cls()
        except ValidationError as e:
            first = e.errors()[0]
            name = "BRAND_DETECT_" + "_".join(str(p) for p in first["loc"]).upper()
            raise BadInput(f"{name}: {first['msg']}.", "see docs/reference/settings.md") from e
