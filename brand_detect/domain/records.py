"""Base classes of stored values: small JSON records, and the payloads of stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of small, immutable values stored as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Payload:
    """Output of a stage: tables by field name, plus notes (warnings in plain words) and run figures.

    ``notes`` appear in the report; those of ``extract_frames`` say which parts of the video were lost. ``stats`` are
    figures that do not follow from the tables, such as detector calls.
    """

    notes: tuple[str, ...] = field(default=(), kw_only=True)
    stats: Mapping[str, float] = field(default_factory=dict, kw_only=True)
    schemas: ClassVar[Mapping[str, pa.Schema]] = {}
    added: ClassVar[Sequence[str]] = ()
    """Tables that earlier attempts lack; they are read as empty."""
    added_columns: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Columns that earlier attempts lack, by table, each with the value that is read in its place."""

    def tables(self) -> dict[str, pa.Table]:
        """The payload's tables by field name."""
        return {name: getattr(self, name) for name in self.schemas}

    def counts(self) -> dict[str, int]:
        """Rows per table."""
        return {name: t.num_rows for name, t in self.tables().items()}
