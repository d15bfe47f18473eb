"""The on-disk form of each payload: one Parquet file per table, JSON for the rest, no pickles."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from brand_detect.domain.contracts import CONTRACTS
from brand_detect.domain.errors import Permanent
from brand_detect.domain.job import JobRequest
from brand_detect.domain.pipeline import ROOT
from brand_detect.domain.records import Payload
from brand_detect.domain.tables import EMBEDDING

Value: TypeAlias = JobRequest | Payload
File: TypeAlias = io.RawIOBase | io.BufferedIOBase

UNVERSIONED = ("notes", "losses", "stats", "summary")
"""Facts about the run rather than the result, excluded from the data version."""
TIMINGS = ("latency_s", "asked_at", "remembered")
"""Columns that differ between equal runs, excluded from the data version."""

FACTS = "value.json"
ROWS = 4096  # of a table that are encoded or decoded at once: 4 MB of embeddings


def encode(value: Value) -> Iterator[tuple[str, Callable[[File], object]]]:
    """Names of a payload's files, with what writes each into a file, ``ROWS`` at a time."""
    if isinstance(value, JobRequest):
        yield FACTS, partial(_write_text, value.model_dump_json(indent=1))
        return
    for name, table in value.tables().items():
        rows = table.cast(value.schemas[name])
        yield f"{name}.parquet", partial(_write_table, rows)
    yield FACTS, partial(_write_text, json.dumps(_facts(value), indent=1))


def decode(
    stage: str,
    read: Callable[[str], bytes],
    tables: Collection[str] | None = None,
    files: Collection[str] | None = None,
) -> Value:
    """The payload of ``stage`` from its files; with ``tables``, all other tables are empty.

    So are tables ``added`` to the payload later than it was written: those without a file among ``files``. Columns that
    were added later have one value.

    Raises:
        Permanent: a table was written with other columns.
        KeyError: the payload has no such table.
    """
    facts = read(FACTS)
    if stage == ROOT:
        return JobRequest.model_validate_json(facts)
    kind = CONTRACTS[stage].payload
    if unknown := {*(tables or ())} - kind.schemas.keys():
        raise KeyError(f"{stage} has no table {min(unknown)}")
    values = json.loads(facts)
    for name, schema in kind.schemas.items():
        wanted = tables is None or name in tables
        if name in kind.added and files is not None and f"{name}.parquet" not in files:
            wanted = False
        added = kind.added_columns.get(name, {})
        values[name] = (
            _read_table(stage, name, read(f"{name}.parquet"), schema, added) if wanted else schema.empty_table()
        )
    values |= {name: tuple(values[name]) for name in ("notes", "losses") if name in values}
    return kind(**values)


def data_version(value: Value, blobs: Mapping[str, str]) -> str:
    """Hash of a payload without its timings. ``blobs`` maps the names of frame shards to their sha256."""
    digest = hashlib.sha256()
    if isinstance(value, JobRequest):
        digest.update(value.model_dump_json().encode())
    else:
        for name, table in value.tables().items():
            digest.update(name.encode())
            rows = table.drop_columns([c for c in TIMINGS if c in table.column_names])
            bare = pa.schema([(c.name, c.type) for c in rows.schema])  # without the columns' descriptions
            with pa.ipc.new_stream(_Hashed(digest), bare) as writer:
                for start in range(0, rows.num_rows, ROWS):
                    # Two parts make a copy: the bytes of a slice also tell where it was cut.
                    some = pa.concat_tables([rows.slice(start, ROWS), rows.slice(0, 0)]).combine_chunks()
                    writer.write_table(some.cast(bare))
        facts = {name: fact for name, fact in _facts(value).items() if name not in UNVERSIONED}
        digest.update(json.dumps(facts, sort_keys=True).encode())
    digest.update(json.dumps(sorted(blobs.items())).encode())
    return digest.hexdigest()[:32]


class _Hashed(io.RawIOBase):
    """A file that holds nothing: what is written to it goes into a digest."""

    def __init__(self, digest: "hashlib._Hash") -> None:
        self._digest = digest

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._digest.update(data)
        return len(data)


def _write_table(table: pa.Table, file: File) -> None:
    """Embeddings take no dictionary: their numbers hardly repeat, and it makes them four times as slow to read."""
    paths = [
        f"{f.name}.list.element" if pa.types.is_list(f.type) else f.name for f in table.schema if f.type != EMBEDDING
    ]
    pq.write_table(table, file, compression="zstd", row_group_size=ROWS, use_dictionary=paths)  # pyright: ignore[reportArgumentType]


def _write_text(text: str, file: File) -> None:
    file.write(text.encode())


def _facts(value: Payload) -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.name not in value.schemas}


def read_parquet(data: bytes) -> pa.Table:
    """The table of a Parquet file, ``ROWS`` at a time: all at once takes five times as much memory as the table.

    Read in this thread alone: if a thread of Arrow's still holds ``data`` when the interpreter ends, the process aborts
    (apache/arrow#34314), all done but with a wrong exit code; seen in 4 of 180 processes.
    """
    file = pq.ParquetFile(pa.BufferReader(data))
    return pa.Table.from_batches(file.iter_batches(ROWS, use_threads=False), file.schema_arrow)


def _read_table(stage: str, name: str, data: bytes, schema: pa.Schema, added: Mapping[str, Any]) -> pa.Table:
    table = read_parquet(data)
    if missing := [column for column in added if column not in table.column_names]:
        for column in missing:
            field = schema.field(column)
            table = table.append_column(field, pa.array([added[column]] * table.num_rows, field.type))
        table = table.select([c for c in schema.names if c in table.column_names])
    if not table.schema.equals(schema):
        columns = ", ".join(sorted({f.name for f in {*table.schema} ^ {*schema}}))
        raise Permanent(
            f"The table {name} of {stage} was written with other columns than this program reads: {columns}.",
            f"re-materialize {stage}",
        )
    return table
