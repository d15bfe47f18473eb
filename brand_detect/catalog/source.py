"""Reads a brand list from YAML or CSV, and says by file and line what is wrong with it."""

import csv
import hashlib
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.model import Brand, BrandCatalog
from brand_detect.domain.text import key_of

COLUMNS = ("name", "aliases", "categories", "excluded_texts", "min_length", "whole_line")
_DATA = files("brand_detect.catalog").joinpath("data")
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")
_SHORT = 3  # a name of so many Latin letters or digits is often part of another: RAI, Rai Play
_STORED = TypeAdapter(list[Brand])
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Cell = str | list[str]


@dataclass(frozen=True)
class _Entry:
    """A brand as written. Absent and empty cells are left out."""

    line: int
    cells: dict[str, Cell]


def load_catalog(path: str = "") -> BrandCatalog:
    """Read the brand list in a local file; without ``path``, the one that comes with the package.

    Raises:
        BadInput: no such file, or as ``parse_catalog``.
    """
    if not path:
        return parse_catalog(_DATA.joinpath("brands.yaml").read_bytes(), "brands.yaml")
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        raise BadInput(f"The brand list {path} cannot be read: {e.strerror}.", "check the path") from e
    return parse_catalog(data, Path(path).name)


def parse_catalog(data: bytes, source: str) -> BrandCatalog:
    """The catalogue in ``data``; the ending of ``source`` says how to read it (.csv, .tsv, .yaml, .yml, .json).

    Raises:
        BadInput: naming ``source`` and the line.
    """
    ending = source.rsplit(".", 1)[-1].lower()
    text = _decoded(data, source)
    if ending in ("csv", "tsv"):
        entries = _csv_entries(text, source)
    elif ending in ("yaml", "yml", "json"):  # JSON is YAML
        entries = _yaml_entries(text, source)
    else:
        raise BadInput(f"The brand list {source} is of no known kind.", "name it .yaml, .yml, .json, .csv or .tsv")
    return _catalog(_checked(entries, source))


def catalog_to_json(catalog: BrandCatalog) -> bytes:
    """The catalogue as canonical JSON: the same content gives the same bytes."""
    return _canonical({"version": catalog.version, "brands": [vars(b) for b in catalog.brands]})


def catalog_from_json(data: bytes) -> BrandCatalog:
    """The catalogue that ``catalog_to_json`` wrote.

    Raises:
        Permanent: the bytes are damaged, or their content is not that of the version they name.
    """
    hint = "take a new snapshot of the brand list"
    try:
        stored = json.loads(data)
        brands = _STORED.validate_python(stored["brands"])
        catalog = _catalog(brands)
    except (ValueError, KeyError, TypeError) as e:  # pydantic's and json's errors are ValueErrors
        raise Permanent("The snapshot of the brand catalogue cannot be read.", hint) from e
    if catalog.version != stored.get("version"):
        raise Permanent("The snapshot of the brand catalogue was altered after it was written.", hint)
    return catalog


def brand_id_of(name: str) -> str:
    """A stable slug of letters, digits and dashes: Itaú gives itau, Disney+ gives disney-plus, 华为 stays 华为."""
    spelt = name.replace("&", " and ").replace("+", " plus ")
    inside = (c if c in "_'’" or unicodedata.category(c)[0] in "LNM" else " " for c in spelt)
    return "-".join(key for chunk in "".join(inside).split() if (key := key_of(chunk))) or key_of(name)


@cache
def everyday_words() -> frozenset[str]:
    """Keys of words that turn up in ordinary text, so that a brand of that name needs a line of its own."""
    text = _DATA.joinpath("everyday_words.txt").read_text(encoding="utf-8")
    return frozenset(key_of(w) for line in text.splitlines() if not line.startswith("#") for w in line.split())


@lru_cache(maxsize=65_536)
def is_everyday_word(key: str) -> bool:
    """Whether ``key``, or what it is a form of, is an everyday word: channels, running, based."""
    words = everyday_words()
    return key in words or any(
        key.endswith(ending) and (key[: -len(ending)] in words or key[: -len(ending)] + "e" in words)
        for ending in ("s", "es", "ed", "ing", "er", "ers", "ly")
    )


def _catalog(brands: Iterable[Brand]) -> BrandCatalog:
    ordered = sorted(brands, key=lambda b: b.brand_id)
    content = _canonical([vars(b) for b in ordered])
    return BrandCatalog(hashlib.sha256(content).hexdigest()[:16], tuple(ordered))


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _decoded(data: bytes, source: str) -> str:
    utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as e:
        line = data[: e.start].count(b"\n") + 1
        raise _bad(source, line, "the text is not UTF-8", "save the file as UTF-8") from e


def _bad(source: str, line: int, what: str, hint: str) -> BadInput:
    return BadInput(f"{source}, line {line}: {what}.", hint)


def _csv_entries(text: str, source: str) -> Iterator[_Entry]:
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
                raise _bad(
                    source,
                    begun,
                    f"{len(row)} cells under {len(columns)} columns",
                    'put a cell that holds the separator in quotes, and part lists by "|"',
                )
            cells = {c: v.strip() for c, v in zip(columns, row, strict=False) if v.strip()}
            yield _Entry(
                begun, {c: v if c in ("name", "min_length") else _split(v, delimiter) for c, v in cells.items()}
            )
    except csv.Error as e:
        raise _bad(source, rows.line_num, f"this is not CSV ({e})", "check the quotes") from e
    if not columns:
        raise _bad(source, 1, "the file is empty", f"begin with a row of column names: {', '.join(COLUMNS)}")


def _columns(row: list[str], source: str, line: int) -> list[str]:
    columns = [c.strip().lower().replace(" ", "_") for c in row]
    if "name" not in columns:
        raise _bad(source, line, "there is no column 'name'", f"the first row names the columns: {', '.join(COLUMNS)}")
    for i, column in enumerate(columns):
        _check_column(column, source, line)
        if column in columns[:i]:
            raise _bad(source, line, f"the column {column!r} is there twice", "keep one of them")
    return columns


def _check_column(column: str, source: str, line: int) -> None:
    if column not in COLUMNS:
        raise _bad(source, line, f"{column!r} is no known column", f"the columns are {', '.join(COLUMNS)}")


def _split(cell: str, delimiter: str) -> list[str]:
    parts = cell.replace(";", "|") if delimiter != ";" else cell
    return [p.strip() for p in parts.split("|") if p.strip()]


def _yaml_entries(text: str, source: str) -> Iterator[_Entry]:
    """Nodes are read by hand: they know their lines, and a brand named On or 3 stays the text that was written."""
    try:
        root = yaml.compose(text, Loader=_YAML)
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise _bad(
            source, line, f"this is not YAML ({e.problem})", "put names with : # , [ ] or quotes in quotes"
        ) from e
    except yaml.YAMLError as e:
        raise _bad(source, 1, "this is not YAML", "a control character may be in the file") from e
    if isinstance(root, yaml.MappingNode) and [k.value for k, _ in root.value] == ["brands"]:
        root = root.value[0][1]
    if not isinstance(root, yaml.SequenceNode):
        line = root.start_mark.line + 1 if root else 1
        raise _bad(source, line, "this is no list of brands", "write one brand per item: - name: Rolex")
    for item in root.value:
        line = item.start_mark.line + 1
        if isinstance(item, yaml.ScalarNode):
            yield _Entry(line, {"name": item.value})
        elif isinstance(item, yaml.MappingNode):
            yield _Entry(line, dict(_yaml_cells(item, source)))
        else:
            raise _bad(source, line, "a list stands where a brand should", "write one brand per item: - name: Rolex")


def _yaml_cells(item: yaml.MappingNode, source: str) -> Iterator[tuple[str, Cell]]:
    seen: set[str] = set()
    for key, value in item.value:
        line = key.start_mark.line + 1
        _check_column(key.value, source, line)
        if key.value in seen:
            raise _bad(source, line, f"{key.value!r} is there twice", "keep one of them")
        seen.add(key.value)
        parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if not all(isinstance(part, yaml.ScalarNode) for part in parts):
            raise _bad(source, line, f"{key.value!r} is neither a text nor a list of texts", "write [one, two]")
        texts = [p.value.strip() for p in parts if p.tag != "tag:yaml.org,2002:null" and p.value.strip()]
        if texts:
            yield key.value, texts if isinstance(value, yaml.SequenceNode) else texts[0]


def _checked(entries: Iterable[_Entry], source: str) -> Iterator[Brand]:
    """The entries as brands; no name or alias may be two brands'."""
    owners: dict[str, tuple[str, str, int]] = {}  # key of a text: the text, its brand's name, the line
    names: dict[str, tuple[str, int]] = {}  # brand id: name and line
    for entry in entries:
        brand = _brand(entry, source)
        for text in (brand.name, *brand.aliases):
            key = key_of(text)
            if not key:
                raise _bad(source, entry.line, f"{text!r} has no letter or digit", "leave it out or spell it out")
            other_text, other, other_line = owners.setdefault(key, (text, brand.name, entry.line))
            if (other, other_line) == (brand.name, entry.line):
                continue
            both_names = text == brand.name and other_text == other
            what = (
                f"the brand {text!r} is already on line {other_line}"
                if both_names
                else f"{text!r} of {brand.name!r} is also {other_text!r} of {other!r} on line {other_line}"
            )
            raise _bad(
                source, entry.line, what, "each name and alias belongs to one brand; accents and case do not count"
            )
        other, other_line = names.setdefault(brand.brand_id, (brand.name, entry.line))
        if other_line != entry.line:
            what = f"the id {brand.brand_id!r} of {brand.name!r} is also that of {other!r} on line {other_line}"
            raise _bad(source, entry.line, what, "spell one of the two names in another way")
        yield brand


def _brand(entry: _Entry, source: str) -> Brand:
    cells, line = entry.cells, entry.line
    name = cells.get("name", "")
    if not isinstance(name, str):
        raise _bad(source, line, "'name' is a list", "give one name, and the others under aliases")
    if not name:
        raise _bad(source, line, "a brand has no name", "fill in 'name'")
    written = cells.get("min_length", "0")
    if not isinstance(written, str) or not (written.isascii() and written.isdigit()):
        raise _bad(source, line, f"min_length is {written!r}", "give a whole number, 0 or more")
    aliases = tuple(sorted({a for a in _listed(cells, "aliases") if a != name}))
    excluded = tuple(sorted(set(_listed(cells, "excluded_texts"))))
    surfaces = {key_of(t) for t in (name, *aliases)}
    for text in excluded:
        if key_of(text) in surfaces:
            raise _bad(source, line, f"{text!r} is both a name and an excluded text of {name!r}", "keep one of them")
    return Brand(
        brand_id=brand_id_of(name),
        name=name,
        aliases=aliases,
        categories=tuple(sorted(set(_listed(cells, "categories")))),
        excluded_texts=excluded,
        min_length=int(written),
        whole_line=_whole_line(cells, (name, *aliases), source, line),
    )


def _listed(cells: dict[str, Cell], column: str) -> list[str]:
    cell = cells.get(column, [])
    return [cell] if isinstance(cell, str) else cell


def _whole_line(cells: dict[str, Cell], texts: tuple[str, ...], source: str, line: int) -> tuple[str, ...]:
    """Which of ``texts`` need a line of their own: as written (yes, no or a list), else the everyday and the short."""
    written = _listed(cells, "whole_line")
    if not written:
        return tuple(t for t in texts if is_everyday(key_of(t)))
    if len(written) == 1 and written[0].lower() in (*_YES, *_NO):
        return texts if written[0].lower() in _YES else ()
    for text in written:
        if text not in texts:
            hint = "give true, false, or a list of the brand's own names and aliases"
            raise _bad(source, line, f"whole_line names {text!r}, which is no name or alias of the brand", hint)
    return tuple(t for t in texts if t in written)


def is_everyday(key: str) -> bool:
    """Whether a name with this key needs a line of its own unless the catalogue says otherwise."""
    return is_everyday_word(key) or not any(c.isalpha() for c in key) or (key.isascii() and len(key) <= _SHORT)
