"""Parses a brand list (YAML, JSON or CSV) into entries that know their file and line."""

import csv
import gc
import io
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache

import yaml

from brand_detect.domain.errors import BadInput

COLUMNS = (
    "name",
    "aliases",
    "categories",
    "kind",
    "country",
    "sports",
    "owner",
    "included_texts",
    "excluded_texts",
    "logos",
    "colours",
    "min_length",
    "whole_line",
    "logo_only",
    "rare",
    "packaged",
    "excluded",
)
SINGLE = {"name", "kind", "country", "owner", "min_length", "logo_only", "rare", "packaged", "excluded"}
"""Columns that hold a single value instead of a list."""
YAML_SUFFIXES = {".yaml", ".yml"}
SUFFIXES = {*YAML_SUFFIXES, ".json", ".csv", ".tsv"}
NULL = "tag:yaml.org,2002:null"
YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

PART = 256
"""Items of a long list that are read together: what is read again after a change."""
_ITEM = re.compile(r"^- ", re.MULTILINE)
_OTHER_BREAKS = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
"""What YAML takes for the end of a line as well."""
_ANCHOR = re.compile(r"[\s\[{,]&\S")
"""A name that other items may refer to."""
_ESCAPE = re.compile(r"\\u(d[89ab][\da-f]{2})\\u(d[c-f][\da-f]{2})|\\u(d[89a-f][\da-f]{2})|\\.", re.IGNORECASE)
"""An escape in JSON, or two, for the halves of a character beyond U+FFFF, which YAML does not know."""

Cell = str | list[str]


@dataclass(frozen=True)
class Entry:
    """A brand as written in the list. Absent and empty cells are left out."""

    source: str
    line: int = field(compare=False)
    cells: dict[str, Cell]

    def __hash__(self) -> int:
        return hash(str(self.cells.get("name")))

    def listed(self, column: str) -> list[str]:
        cell = self.cells.get(column, [])
        return [cell] if isinstance(cell, str) else cell

    def single(self, column: str, default: str = "") -> str:
        """The value of a column.

        Raises:
            BadInput: the value is a list.
        """
        cell = self.cells.get(column, default)
        if not isinstance(cell, str):
            raise self.bad(f"{column!r} is a list", "give one value, and other names under aliases")
        return cell

    def bad(self, what: str, hint: str) -> BadInput:
        return bad(self.source, self.line, what, hint)

    def seen_from(self, other: "Entry") -> str:
        """This entry's location, for a message about ``other``."""
        return f"line {self.line}" if self.source == other.source else f"line {self.line} of {self.source}"


@lru_cache(maxsize=3)  # a command that changes a list reads it before and after, for several reasons each
def entries_of(data: bytes, source: str) -> tuple[Entry, ...]:
    """Parses the entries of a list; the suffix of ``source`` gives the format (.csv, .tsv, .yaml, .yml, .json).

    Raises:
        BadInput: the list is malformed; names ``source`` and the line.
    """
    ending = source.rsplit(".", 1)[-1].lower()
    text = _decoded(data, source)
    if ending in ("csv", "tsv"):
        return tuple(_csv_entries(text, source))
    if ending == "json":
        return tuple(_yaml_entries(_with_whole_characters(text, source), source))
    if ending in ("yaml", "yml"):
        return tuple(_yaml_entries(text, source))
    raise BadInput(f"The brand list {source} has an unknown format.", "name it .yaml, .yml, .json, .csv or .tsv")


@contextmanager
def without_gc() -> Iterator[None]:
    """Pauses the garbage collector, which looks through all nodes of a long list again and again.

    A list of 15,000 brands takes 0.7 s instead of 1.5 s.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def bad(source: str, line: int, what: str, hint: str) -> BadInput:
    return BadInput(f"{source}, line {line}: {what}.", hint)


def _decoded(data: bytes, source: str) -> str:
    utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as e:
        line = data[: e.start].count(b"\n") + 1
        raise bad(source, line, "the text is not UTF-8", "save the file as UTF-8") from e


def _with_whole_characters(text: str, source: str) -> str:
    """JSON that YAML can read: no character is escaped in halves."""

    def whole(escape: re.Match[str]) -> str:
        high, low, alone = escape.groups()
        if alone:
            line = text.count("\n", 0, escape.start()) + 1
            raise bad(source, line, f"\\u{alone} is half a character", "write both halves, or the character itself")
        return bytes.fromhex(high + low).decode("utf-16-be") if high else escape[0]

    return _ESCAPE.sub(whole, text)


def composed(column: str, text: str) -> str:
    """``text`` in NFC, so that equal texts are equal; the path of a logo stays as its file is called."""
    return text if column == "logos" else unicodedata.normalize("NFC", text)


def _csv_entries(text: str, source: str) -> Iterator[Entry]:
    header = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    line = 1
    try:
        for row in rows:
            begun, line = line, rows.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            if not columns:
                columns = _columns(row, source, begun)
                continue
            if len(row) > len(columns):
                raise bad(
                    source,
                    begun,
                    f"{len(row)} cells under {len(columns)} columns",
                    'quote cells that contain the separator, and separate list items by "|"',
                )
            cells = {c: composed(c, v.strip()) for c, v in zip(columns, row, strict=False) if v.strip()}
            yield Entry(source, begun, {c: v if c in SINGLE else _split(v, delimiter) for c, v in cells.items()})
    except csv.Error as e:
        raise bad(source, rows.line_num, f"this is not CSV ({e})", "check the quotes") from e
    if not columns:
        raise bad(source, 1, "the file is empty", f"start with a row of column names: {', '.join(COLUMNS)}")


def _columns(row: list[str], source: str, line: int) -> list[str]:
    columns = [c.strip().lower().replace(" ", "_") for c in row]
    if "name" not in columns:
        raise bad(source, line, "there is no column 'name'", f"the first row names the columns: {', '.join(COLUMNS)}")
    for i, column in enumerate(columns):
        _check_column(column, source, line)
        if column in columns[:i]:
            raise bad(source, line, f"the column {column!r} appears twice", "keep one of them")
    return columns


def _check_column(column: str, source: str, line: int) -> None:
    if column not in COLUMNS:
        raise bad(source, line, f"{column!r} is not a known column", f"the columns are {', '.join(COLUMNS)}")


def _split(cell: str, delimiter: str) -> list[str]:
    parts = cell.replace(";", "|") if delimiter != ";" else cell
    return [p.strip() for p in parts.split("|") if p.strip()]


def parts_of(text: str, source: str) -> list[tuple[str, tuple[Entry, ...]]]:
    """The parts of a YAML list that can be read apart, with their entries, whose lines count from their part's first.

    Raises:
        BadInput: the list is malformed; names ``source`` and the line.
    """
    if len(parts := _parts(text)) > 1:
        # A part that begins inside a text in quotes fails. If none does, they are what the whole is.
        with suppress(BadInput):
            return [(part, _entries_of_part(part, source)) for part in parts]
    return [(text, tuple(_read_entries(text, source)))]


def _parts(text: str) -> list[str]:
    """Parts of ``PART`` items each, the first with what precedes them; the whole if it is no plain list of lines."""
    items = [found.start() for found in _ITEM.finditer(text)]
    begins = [0, *items[PART::PART]]
    has_documents = any(text.find(mark, items[0]) >= 0 for mark in ("\n---", "\n...")) if items else False
    if has_documents or _OTHER_BREAKS.search(text) or _ANCHOR.search(text):
        return [text]
    return [text[begin:end] for begin, end in zip(begins, [*begins[1:], len(text)], strict=True)]


@lru_cache(maxsize=256)
def _entries_of_part(text: str, source: str) -> tuple[Entry, ...]:
    return tuple(_read_entries(text, source))


def _yaml_entries(text: str, source: str) -> Iterator[Entry]:
    line = 0
    for part, entries in parts_of(text, source):
        yield from (Entry(source, line + entry.line, entry.cells) for entry in entries)
        line += part.count("\n")


def _read_entries(text: str, source: str) -> Iterator[Entry]:
    """Reads nodes rather than values: they know their lines, and a brand named On or 3 stays text."""
    for item in items_of(text, source).value:
        line = item.start_mark.line + 1
        if isinstance(item, yaml.ScalarNode):
            yield Entry(source, line, {"name": composed("name", item.value)})
        elif isinstance(item, yaml.MappingNode):
            yield Entry(source, line, dict(_yaml_cells(item, source)))
        else:
            raise bad(source, line, "this is a list instead of a brand", "write one brand per item: - name: Rolex")


def items_of(text: str, source: str) -> yaml.SequenceNode:
    """The list of brands in a YAML text: the document itself, or its key ``brands``.

    Raises:
        BadInput: the text is not YAML, or holds no list.
    """
    try:
        root = yaml.compose(text, Loader=YAML)
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise bad(
            source, line, f"this is not YAML ({e.problem})", "quote names that contain : # , [ ] or quotes"
        ) from e
    except yaml.YAMLError as e:
        raise bad(source, 1, "this is not YAML", "the file may contain a control character") from e
    if isinstance(root, yaml.MappingNode) and [k.value for k, _ in root.value] == ["brands"]:
        root = root.value[0][1]
    if not isinstance(root, yaml.SequenceNode):
        line = root.start_mark.line + 1 if root else 1
        raise bad(source, line, "this is not a list of brands", "write one brand per item: - name: Rolex")
    return root


def _yaml_cells(item: yaml.MappingNode, source: str) -> Iterator[tuple[str, Cell]]:
    seen: set[str] = set()
    for key, value in item.value:
        line = key.start_mark.line + 1
        _check_column(key.value, source, line)
        if key.value in seen:
            raise bad(source, line, f"{key.value!r} appears twice", "keep one of them")
        seen.add(key.value)
        parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if not all(isinstance(part, yaml.ScalarNode) for part in parts):
            raise bad(source, line, f"{key.value!r} is neither a text nor a list of texts", "write [one, two]")
        if key.value == "colours" and any(part.tag == NULL for part in parts):
            raise bad(source, line, "a colour is missing: # begins a comment", 'quote it: "#e30613"')
        texts = [composed(key.value, p.value.strip()) for p in parts if p.tag != NULL and p.value.strip()]
        if texts:
            yield key.value, texts if isinstance(value, yaml.SequenceNode) else texts[0]
