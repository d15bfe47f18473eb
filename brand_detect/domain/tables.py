"""Tables: schemas with units and descriptions, and ids of rows.

Per-frame data is held in Arrow tables with units in the column names (``t_s``, ``x_px``, ``area_frac``). Times are
seconds from the first picture of the video. Pixels are those of the stored frame, upright, origin at the top left.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import EnumType
from math import nan
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BeforeValidator, WithJsonSchema

from brand_detect.domain.records import Record

SCHEMA_VERSION = 3


def content_id(*parts: object) -> str:
    """A 16-digit hex id of ``parts``; floats are rounded to three decimals."""
    text = "\x1f".join(f"{p:.3f}" if isinstance(p, float) else str(p) for p in parts)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def schema(name: str, about: str, like: pa.Schema | None = None, /, **columns: tuple[pa.DataType, str]) -> pa.Schema:
    """The schema of a table; its metadata describes the table and each column.

    ``columns`` are type and description by name; they follow those of ``like``.
    """
    meta = {"brand_detect.table": name, "brand_detect.schema_version": str(SCHEMA_VERSION), "comment": about}
    own = [pa.field(key, kind, metadata={"comment": meaning}) for key, (kind, meaning) in columns.items()]
    return pa.schema([*(like or ()), *own], metadata=meta)


def meaning(of: pa.Schema | pa.Field) -> str:
    """The description of a table or a column."""
    return (of.metadata or {}).get(b"comment", b"").decode()


STRING, I32, I64, F32, F64 = pa.string(), pa.int32(), pa.int64(), pa.float32(), pa.float64()
STRINGS = pa.list_(pa.string())
EMBEDDING = pa.list_(pa.float16())
EDGES = pa.list_(pa.float32(), 4)
BOX = ("x_px", "y_px", "w_px", "h_px")
"""Columns of an upright box: its left and upper edge, its width and height."""
Row = Mapping[str, Any]

Float32 = Annotated[float, F32]
"""A float whose column has 32 bits."""
Measure = Annotated[
    Float32,
    BeforeValidator(lambda value: nan if value is None else value),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]}),
]
"""A 32-bit figure that is NaN if it could not be measured; null in JSON."""
_TYPES: Mapping[Any, pa.DataType] = {
    str: STRING,
    str | None: STRING,
    tuple[str, ...]: STRINGS,
    int: I32,
    float: F64,
    float | None: F64,
}


def schema_of(name: str, about: str, row: type[Record]) -> pa.Schema:
    """The schema of a table with rows of type ``row``: names, types and descriptions of its fields."""
    columns = {}
    for key, declared in row.model_fields.items():
        given = next((note for note in declared.metadata if isinstance(note, pa.DataType)), None)
        kind = str if isinstance(declared.annotation, EnumType) else declared.annotation
        columns[key] = (given or _TYPES[kind], declared.description or "")
    return schema(name, about, **columns)


def table(schema: pa.Schema, rows: Iterable[Row | Record] = ()) -> pa.Table:
    """Builds a table of ``schema`` from rows.

    Raises:
        ValueError: a column is missing or unknown.
    """
    listed = [vars(row) if isinstance(row, Record) else row for row in rows]
    names = set(schema.names)
    for row in listed:
        if row.keys() != names:
            raise ValueError(f"columns differ from the schema: {sorted(names ^ row.keys())}")
    return pa.Table.from_pylist(listed, schema=schema)


CHUNK_ROWS = 1000
"""Rows handled as Python objects at a time: in Arrow they take a tenth of the memory."""


@dataclass
class TableBuilder:
    """Builds a table row by row."""

    schema: pa.Schema
    rows: list[Row] = field(default_factory=list)
    done: list[pa.Table] = field(default_factory=list)

    def add(self, rows: Iterable[Row]) -> None:
        self.rows.extend(rows)
        if len(self.rows) >= CHUNK_ROWS:
            self.done.append(table(self.schema, self.rows))
            self.rows = []

    def table(self) -> pa.Table:
        return pa.concat_tables([*self.done, table(self.schema, self.rows)])


def places(values: pa.ChunkedArray, among: pa.Array | pa.ChunkedArray | Sequence[str]) -> NDArray[np.int64]:
    """The index of each of ``values`` in ``among``; -1 if it is not there."""
    known = among if isinstance(among, pa.Array | pa.ChunkedArray) else pa.array(among, pa.string())
    at = pc.index_in(values, value_set=known)  # pyright: ignore[reportAttributeAccessIssue]
    return at.fill_null(-1).to_numpy().astype(np.int64)


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows of a long table, one after the other."""
    return (row for batch in table.to_batches(CHUNK_ROWS) for row in batch.to_pylist())
