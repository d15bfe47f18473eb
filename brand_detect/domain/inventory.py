"""The inventory of a property: its named assets, by zone of the picture, from a file of the user."""

import hashlib
from typing import Self

from pydantic import Field, field_validator, model_validator

from brand_detect.domain.params import Unit
from brand_detect.domain.placements import Placement
from brand_detect.domain.records import Record
from brand_detect.domain.text import key_of


class Asset(Record):
    """A named place of advertising: the brands whose centre lies in its zone are on it."""

    name: str = Field(min_length=1, max_length=64)
    zone: tuple[Unit, Unit, Unit, Unit] = Field(description="left, top, right, bottom, as shares of the picture")
    placement: Placement | None = Field(None, description="only brands on this placement")
    beside: str = Field("", description="only brands beside this text")

    @field_validator("zone")
    @classmethod
    def _zone(cls, zone: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        left, top, right, bottom = zone
        if left >= right or top >= bottom:
            raise ValueError("give left, top, right and bottom, with left < right and top < bottom")
        return zone

    @field_validator("beside")
    @classmethod
    def _beside(cls, text: str) -> str:
        if text and not key_of(text):
            raise ValueError("give a text with letters or digits")
        return text


class Inventory(Record):
    """The assets of a property; of several that fit, the first counts."""

    version: int
    description: str = ""
    assets: tuple[Asset, ...]

    @model_validator(mode="after")
    def _names(self) -> Self:
        if not self.assets:
            raise ValueError("give at least one asset")
        return self

    @property
    def digest(self) -> str:
        """Hash of everything that determines the assets of brands."""
        return hashlib.sha256(self.model_dump_json(exclude={"description"}).encode()).hexdigest()[:8]
