"""Bases of what is stored: small JSON records, and the payloads that stages hand on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of the small, immutable, JSON-stored values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Payload:
    """What a stage hands on: tables by field name, plus notes (warnings in plain words) and run figures.

    ``notes`` reach the report, those of ``extract_frames`` as what of the video was lost; ``stats`` are figures such as
    detector calls that do not follow from the tables.
    """

    notes: tuple[str, ...] = field(default=(), kw_only=True)
    stats: Mapping[str, float] = field(default_factory=dict, kw_only=True)
    schemas: ClassVar[Mapping[str, pa.Schema]] = {}

    def tables(self) -> dict[str, pa.Table]:
        """The payload's tables by field name."""
        return {name: getattr(self, name) for name in self.schemas}

    def counts(self) -> dict[str, int]:
        """Rows per table."""
        return {name: t.num_rows for name, t in self.tables().items()}
