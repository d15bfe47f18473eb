"""Edits a user's catalogue with minimal changes to the text."""

import fcntl
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from brand_detect.catalog.entries import (
    SINGLE,
    SUFFIXES,
    YAML_SUFFIXES,
    Cell,
    Entry,
    composed,
    entries_of,
    items_of,
    parts_of,
    without_gc,
)
from brand_detect.catalog.exemplars import exemplar_of, look_at, picture_of
from brand_detect.catalog.source import CONTROL, IMPORTED, LOGOS, STARTER, LoadedCatalog, Place, load_catalog
from brand_detect.domain.catalog import OWN_LIST, Brand, Exemplar
from brand_detect.domain.errors import BadInput, BrandDetectError
from brand_detect.domain.protocols import Artwork
from brand_detect.domain.text import brand_id_of, key_of

_PLAIN = re.compile(r"\w(?:[\w &'’./-]*[\w/.])?")  # needs no quotes anywhere in YAML
_BREAKS = str.maketrans({"\x85": r"\N", "\u2028": r"\L", "\u2029": r"\P"})
"""Line breaks to YAML, but not to JSON."""
_CONDITIONS = ("logo_only", "min_length", "excluded")
"""Columns that hold for all texts of a brand."""

Cells = Mapping[str, Cell]


@dataclass(frozen=True)
class Picture:
    """A logo to add. ``source`` names its origin."""

    source: str
    data: bytes
    suffix: str  # svg | png | jpeg

    @classmethod
    def of(cls, file: Path) -> "Picture":
        """Reads a picture file.

        Raises:
            BadInput: the file does not exist, is too large or has another format.
        """
        try:
            return cls(str(file), *picture_of(file))
        except BadInput as e:
            raise BadInput(f"{file}: {e}.", e.hint) from e

    @property
    def exemplar(self) -> Exemplar:
        return exemplar_of(self.data, self.suffix)

    def look_at(self, artwork: Artwork) -> None:
        """Checks that the picture can be rendered and is large enough.

        Raises:
            BadInput: the picture is unusable.
        """
        try:
            look_at(self.data, self.suffix, artwork)
        except BadInput as e:
            raise BadInput(f"{self.source}: {e}.", e.hint) from e


@dataclass(frozen=True)
class Added:
    """The result of adding a brand."""

    brand: Brand
    file: Path
    logos: tuple[Path, ...]
    known: tuple[Picture, ...]
    """Pictures that the brand already had; they were not added again."""


def create_catalog(folder: Path, *, empty: bool = False) -> Path:
    """Creates a brand list as a copy of the packaged list, with its logos, or an ``empty`` one; gives its file.

    Raises:
        BadInput: the folder has a list already, or cannot be written to.
    """
    file = folder / OWN_LIST
    if file.exists():
        raise BadInput(f"{file} exists already.", "brand-detect catalog add NAME adds to it")
    try:
        if not empty:
            for logo in LOGOS.rglob("*.svg"):
                copy = folder / logo.relative_to(STARTER.parent)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(logo, copy)
            replace_file(folder / IMPORTED, (STARTER.parent / IMPORTED).read_bytes())
        # last: who finds the list reads all of it
        replace_file(file, b"# Brands: name, logos, aliases, categories\n[]\n" if empty else STARTER.read_bytes())
    except OSError as e:
        what = f"The folder {folder} cannot be written to: {e.strerror}."
        raise BadInput(what, "check its space and permissions") from e
    return file


def add_brand(path: Path, cells: Cells, pictures: Sequence[Picture], artwork: Artwork, layer: str = "") -> Added:
    """Adds a brand to the catalogue at ``path``, or new details to an existing one, and copies its logos beside it.

    The brand goes into the user's own list, or into the ``layer`` beside it.

    Raises:
        BadInput: a logo is unusable, the list is not YAML, or the catalogue would become invalid; nothing is written.
    """
    for picture in pictures:
        picture.look_at(artwork)
    with alone(begun(path)), without_gc():
        return _added(path, cells, pictures, artwork, layer)


def _added(path: Path, cells: Cells, pictures: Sequence[Picture], artwork: Artwork, layer: str) -> Added:
    before = load_catalog(str(path), artwork) if path.is_file() or (path.is_dir() and Place.of(path).lists) else None
    folder, file = _target(path, str(cells["name"]), layer)
    had = _exemplars_of(before, str(cells["name"]))
    known = tuple(picture for picture in pictures if picture.exemplar in had)
    new = {picture.exemplar: picture for picture in pictures if picture not in known}
    written: list[Path] = []
    try:
        for picture in new.values():
            logo = _free(folder / "logos", brand_id_of(str(cells["name"])) or "logo", picture.suffix)
            logo.parent.mkdir(parents=True, exist_ok=True)
            logo.write_bytes(picture.data)
            written.append(logo)
        named = {"logos": [logo.relative_to(folder).as_posix() for logo in written]} if written else {}
        text = _read(file)
        changed = with_brand(text, file.name, {**cells, **named})
        after = load_catalog(str(path), artwork, {file: changed.encode()})
        if changed != text:
            replace_file(file, changed.encode())
    except OSError as e:
        _remove(written)
        raise BadInput(f"{e.filename or folder} cannot be written: {e.strerror}.", "check its permissions") from e
    except BrandDetectError:
        _remove(written)
        raise
    return Added(_brand_of(after, str(cells["name"])), file, tuple(written), known)


@dataclass(frozen=True)
class Merged:
    """The result of a merge."""

    brand: Brand
    notes: tuple[str, ...]
    """What was said of one of the two and no longer holds, in sentences."""


def merge_brands(path: Path, name: str, into: str, artwork: Artwork) -> Merged:
    """Gives the names, excluded texts and logos of one brand to another, and takes it off the catalogue at ``path``.

    What a layer says about it counts for the other from then on, because that has its name. Each text
    still counts only as a line of its own, or anywhere, as before. What one excludes and the other is called is a
    name. The brand is rare, and its logos are packaged, only if both were.

    Raises:
        BadInput: one of them is not on the list, they are one or match texts differently, or a list cannot be edited;
            nothing is written.
    """
    with alone(begun(path)), without_gc():
        before = load_catalog(str(path), artwork)
        one, other = (_brand_of(before, text) for text in (name, into))
        if one.brand_id == other.brand_id:
            raise BadInput(f"{name} and {into} are one brand.", "name another")
        _check_alike(one, other)
        drafts: dict[Path, str] = {}
        cells: dict[str, Cell] = {"name": other.name, "aliases": [one.name]}
        for file in Place.of(path).own:
            for entry in entries_of(file.read_bytes(), file.name):
                if entry.single("name") == one.name:
                    _editable(file, one.name)
                    drafts[file] = without_brand(_read(file), file.name, one.name)
                    cells |= dict(_moved(entry, one, other))
        target = _target(path, other.name, "")[1]
        drafts[target] = with_brand(drafts.get(target, _read(target)), target.name, cells)
        excluded = _entry_of(drafts[target], target.name, other.name).listed("excluded_texts")
        if texts := [text for text in excluded if key_of(text) in _keys(one)]:
            left = [text for text in excluded if text not in texts]
            drafts[target] = with_values(drafts[target], target.name, {"name": other.name, "excluded_texts": left})
        merged = _brand_of(_loaded(path, artwork, drafts), other.name)
        if lost := dict(_lost(merged, one, other)):  # a layer excludes them
            drafts[target] = with_brand(drafts[target], target.name, {"name": other.name, **lost})
            merged = _brand_of(_loaded(path, artwork, drafts), other.name)
        if kept := _kept(_entry_of(drafts[target], target.name, other.name), merged, one, other):
            drafts[target] = with_values(drafts[target], target.name, {"name": other.name, **kept})
            merged = _brand_of(_loaded(path, artwork, drafts), other.name)
        # The removal last: a kill in between leaves a name twice, which every command says, and loses none.
        _replace(sorted(drafts.items(), key=lambda draft: draft[0] != target))
        return Merged(merged, tuple(_no_longer(merged, one, other)))


def exclude_brand(path: Path, name: str, artwork: Artwork, *, excluded: bool) -> Brand:
    """Notes in the catalogue at ``path`` whether reports leave a brand out.

    It says so where the brand is listed: in the user's own list, or in the layer that has it.

    Raises:
        BadInput: there is no such brand, or its list cannot be edited; nothing is written.
    """
    with alone(begun(path)), without_gc():
        brand = _brand_of(load_catalog(str(path), artwork), name)
        if brand.excluded == excluded:
            return brand
        named = ((file, entries_of(file.read_bytes(), file.name)) for file in Place.of(path).lists)
        file = next(f for f, entries in named if any(e.single("name") == brand.name for e in entries))
        cells = {"name": brand.name, "excluded": json.dumps(excluded)}
        draft = with_values(_read(_editable(file, brand.name)), file.name, cells)
        after = _brand_of(_loaded(path, artwork, {file: draft}), brand.name)
        _replace([(file, draft)])
        return after


def _replace(drafts: Iterable[tuple[Path, str]]) -> None:
    """Writes ``drafts`` to their files.

    Raises:
        BadInput: one cannot be written.
    """
    for file, text in drafts:
        try:
            replace_file(file, text.encode())
        except OSError as e:
            raise BadInput(f"{e.filename or file} cannot be written: {e.strerror}.", "check its permissions") from e


def _loaded(path: Path, artwork: Artwork, drafts: Mapping[Path, str]) -> LoadedCatalog:
    return load_catalog(str(path), artwork, {file: text.encode() for file, text in drafts.items()})


def _moved(entry: Entry, one: Brand, other: Brand) -> Iterator[tuple[str, Cell]]:
    """The cells of ``entry`` of the brand ``one`` that ``other`` gets."""
    yield "aliases", [one.name, *(a for a in entry.listed("aliases") if a != one.name)]
    yield "included_texts", entry.listed("included_texts")
    yield "excluded_texts", [text for text in entry.listed("excluded_texts") if key_of(text) not in _keys(other)]
    yield "logos", entry.listed("logos")


def _lost(merged: Brand, one: Brand, other: Brand) -> Iterator[tuple[str, Cell]]:
    """The names and texts of the two that the ``merged`` brand lacks."""
    for column in ("aliases", "included_texts"):
        texts = [t for b in (one, other) for t in getattr(b, column) if key_of(t) not in _keys(merged)]
        if texts:
            yield column, texts


def _no_longer(merged: Brand, one: Brand, other: Brand) -> Iterator[str]:
    """What was said of one of the two and does not hold of the ``merged`` brand."""
    texts = [t for b in (one, other) for t in b.excluded_texts if key_of(t) in _keys(merged)]
    if texts:
        yield f"No longer excluded, for it is a name now: {', '.join(texts)}."
    for brand in (one, other):
        if brand.rare and not merged.rare:
            yield f"{brand.name} was marked as rare; the one brand is not."
        if brand.packaged and not merged.packaged:
            yield f"The packaged logos of {brand.name} count like chosen ones now."


def _keys(brand: Brand) -> set[str]:
    """The keys of all texts that stand for the brand."""
    return {key_of(text) for text in brand.texts}


def _check_alike(one: Brand, other: Brand) -> None:
    """
    Raises:
        BadInput: the texts of one match under other conditions than those of the other.
    """
    for column in _CONDITIONS:
        was, becomes = (json.dumps(getattr(brand, column)) for brand in (one, other))
        if was != becomes:
            what = f"They differ in {column}: {one.name} has {was}, {other.name} {becomes}."
            raise BadInput(what, "make them equal first")


def _kept(entry: Entry, merged: Brand, one: Brand, other: Brand) -> dict[str, Cell]:
    """What ``entry`` of the ``merged`` brand must say so that each text is matched as it was for its brand.

    What is rare or packaged needs better evidence: it must not come to be so by the merge.
    """
    wanted = {column: getattr(other, column) for column in _CONDITIONS}
    wanted["rare"] = one.rare and other.rare
    wanted["packaged"] = bool(merged.exemplars) and all(b.packaged for b in (one, other) if b.exemplars)
    kept: dict[str, Cell] = {c: json.dumps(value) for c, value in wanted.items() if value != getattr(merged, c)}
    whole_line = {*one.whole_line, *other.whole_line}
    if {*merged.whole_line} != whole_line:
        texts = (text for column in ("name", "aliases", "included_texts") for text in entry.listed(column))
        kept["whole_line"] = [text for text in texts if text in whole_line] or "no"
    return kept


def with_brand(text: str, source: str, cells: Cells) -> str:
    """Adds ``cells`` to the YAML list ``text``: to the entry of that name or alias, else as a new one at the end.

    Raises:
        BadInput: the list cannot be parsed, the entry has a conflicting value, or the list's layout cannot be edited.
    """
    blank = not any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())
    before = () if blank else entries_of(text.encode(), source)
    at = next((n for n, entry in enumerate(before) if _is_named(entry, str(cells["name"]))), None)
    if at is None:
        expected = [*(e.cells for e in before), _without_empty(cells)]
        last = None if blank else items_of(parts_of(text, source)[-1][0], source)
        changed = _appended(text, last, cells)
    else:
        news = dict(_news(before[at], cells))
        joined = {c: v if c in SINGLE else [*before[at].listed(c), *v] for c, v in news.items()}
        expected = [e.cells if n != at else {**e.cells, **joined} for n, e in enumerate(before)]
        changed = _edited(text, source, at, lambda part, item: _splices(part, item, news))
    return _checked(changed, source, expected)


def with_values(text: str, source: str, cells: Cells) -> str:
    """Gives the entry of that name in the YAML list ``text`` the values of ``cells`` in place of what it has there.

    Raises:
        BadInput: the list's layout cannot be edited.
    """
    before = entries_of(text.encode(), source)
    at = next(n for n, entry in enumerate(before) if _is_named(entry, str(cells["name"])))
    values = {c: v for c, v in cells.items() if c != "name"}

    def edits(part: str, item: yaml.Node) -> Iterator[_Splice]:
        pairs = item.value if isinstance(item, yaml.MappingNode) else ()  # a name alone
        there = {key.value: (key.end_mark.index, _end_of(value)) for key, value in pairs}
        yield from ((*there[c], f": {_value(v)}") for c, v in values.items() if c in there)
        yield from _splices(part, item, {c: v for c, v in values.items() if c not in there})

    expected = [e.cells if n != at else _without_empty({**e.cells, **values}) for n, e in enumerate(before)]
    return _checked(_edited(text, source, at, edits), source, expected)


def without_brand(text: str, source: str, name: str) -> str:
    """Removes the entry called ``name`` from the YAML list ``text``.

    Raises:
        BadInput: the list's layout cannot be edited.
    """
    before, items = entries_of(text.encode(), source), items_of(text, source)
    at = next(n for n, entry in enumerate(before) if entry.single("name") == name)
    begin, end = items.value[at].start_mark.index, _end_of(items.value[at])
    if not items.flow_style:
        begin, end = text.rfind("\n", 0, begin) + 1, min(_line_end(text, end) + len(_newline(text, end)), len(text))
    elif at + 1 < len(items.value):
        end = items.value[at + 1].start_mark.index
    elif at:
        begin = items.value[at - 1].end_mark.index
    left = text[:begin] + text[end:]
    if len(before) == 1 and not items.flow_style:
        left += " []\n"
    return _checked(left, source, [e.cells for n, e in enumerate(before) if n != at])


def entry_text(cells: Cells, pad: str = "") -> str:
    """A brand as an item of a YAML list, one line per column."""
    lines = [f"{column}: {_value(value)}" for column, value in _without_empty(cells).items()]
    return "".join(f"{pad}{'  ' if n else '- '}{line}\n" for n, line in enumerate(lines))


def replace_file(file: Path, data: bytes) -> None:
    """Replaces a file atomically."""
    target = file.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        draft.write_bytes(data)
        if target.exists():
            draft.chmod(target.stat().st_mode)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def begun(path: Path) -> Path:
    """The folder of the catalogue at ``path``, a list or a folder; created if missing."""
    folder = path.parent if path.is_file() or _may_be_list(path) else path
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise BadInput(f"The folder {folder} cannot be created: {e.strerror}.", "choose another") from e
    return folder


def _may_be_list(path: Path) -> bool:
    """Whether a path is a list by its name, and no folder: season.2026 is one."""
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other process or thread changes the catalogue in this folder meanwhile."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _checked(changed: str, source: str, expected: Sequence[Mapping[str, Cell]]) -> str:
    """The changed text of a list.

    Raises:
        BadInput: it does not read as ``expected``.
    """
    try:
        found = [entry.cells for entry in entries_of(changed.encode(), source)]
    except BadInput:
        found = None
    if found != expected:
        raise BadInput(f"{source} is laid out in a way that this command cannot edit.", "change the entry by hand")
    return changed


def _target(path: Path, name: str, layer: str) -> tuple[Path, Path]:
    """The catalogue's folder, and the list in it that has the brand or should get it."""
    place = Place.of(path, [path] if _may_be_list(path) and not path.exists() else [])
    file = place.folder / OWN_LIST if path.is_dir() else path
    if layer:
        file = place.folder / layer
    elif path.exists():
        for listed in place.own:
            if any(_is_named(entry, name) for entry in entries_of(listed.read_bytes(), listed.name)):
                file = listed
    return place.folder, _editable(file, name)


def _editable(file: Path, name: str) -> Path:
    """
    Raises:
        BadInput: commands cannot write to the list.
    """
    if file.suffix.lower() not in YAML_SUFFIXES:
        raise BadInput(f"{file} is not YAML, so this command cannot write to it.", f"edit {name} by hand, or use YAML")
    return file


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig") if file.exists() else ""
    except UnicodeDecodeError as e:
        raise BadInput(f"{file} is not UTF-8.", "save the file as UTF-8") from e


def _free(folder: Path, stem: str, suffix: str) -> Path:
    """A path that does not exist yet."""
    file, n = folder / f"{stem}.{suffix}", 1
    while file.exists():
        n += 1
        file = folder / f"{stem}-{n}.{suffix}"
    return file


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _brand_of(loaded: LoadedCatalog, name: str) -> Brand:
    """
    Raises:
        BadInput: there is none.
    """
    key = key_of(name)
    for brand in loaded.catalog.brands:
        if key in map(key_of, (brand.name, *brand.aliases)):
            return brand
    raise BadInput(f"There is no brand {name} in the catalogue.", "use a name or an alias; accents are ignored")


def _exemplars_of(loaded: LoadedCatalog | None, name: str) -> set[Exemplar]:
    brands = loaded.catalog.brands if loaded else ()
    return {e for b in brands if key_of(name) in map(key_of, (b.name, *b.aliases)) for e in b.exemplars}


def _entry_of(text: str, source: str, name: str) -> Entry:
    """The entry of that name or alias in a list that has it."""
    return next(entry for entry in entries_of(text.encode(), source) if _is_named(entry, name))


def _is_named(entry: Entry, name: str) -> bool:
    return key_of(name) in {key_of(text) for text in (*entry.listed("name"), *entry.listed("aliases"))}


def _without_empty(cells: Cells) -> dict[str, Cell]:
    """``cells`` as they are read again."""
    kept = {
        column: composed(column, value)
        if isinstance(value, str)
        else [composed(column, text) for text in value if text.strip()]
        for column, value in cells.items()
    }
    return {column: value for column, value in kept.items() if value}


def _news(entry: Entry, cells: Cells) -> Iterator[tuple[str, Cell]]:
    """Yields the values of ``cells`` that ``entry`` lacks."""
    for column, value in _without_empty(cells).items():
        if isinstance(value, str):
            if column == "name" or value == entry.cells.get(column):
                continue
            if column in entry.cells:
                raise entry.bad(f"its {column} is {entry.single(column)}", "change it there by hand")
            yield column, value
        elif new := [v for v in value if v.casefold() not in map(str.casefold, entry.listed(column))]:
            yield column, new


def _scalar(text: str) -> str:
    """``text`` as a YAML scalar, quoted if necessary.

    Raises:
        BadInput: YAML cannot hold it.
    """
    if CONTROL.search(text):
        raise BadInput(f"{text!r} has a control character.", "remove it")
    if _PLAIN.fullmatch(text) and text.lower() != "null":
        return text
    return json.dumps(text, ensure_ascii=False).translate(_BREAKS)


def _value(value: Cell) -> str:
    return _scalar(value) if isinstance(value, str) else f"[{', '.join(map(_scalar, value))}]"


def _flow(cells: Cells) -> str:
    return f"{{{', '.join(f'{column}: {_value(value)}' for column, value in _without_empty(cells).items())}}}"


def _appended(text: str, items: yaml.SequenceNode | None, cells: Cells) -> str:
    if items is not None and items.flow_style:
        at = items.value[-1].end_mark.index if items.value else items.start_mark.index + 1
        return _spliced(text, [(at, at, f"{', ' if items.value else ''}{_flow(cells)}")])
    newline = "\r\n" if "\r\n" in text else "\n"
    pad = " " * (items.start_mark.column if items is not None else 0)
    begun = text if not text or text.endswith("\n") else text + newline
    return begun + entry_text(cells, pad).replace("\n", newline)


_Splice = tuple[int, int, str]
"""Start, end and replacement of a stretch of text."""


def _edited(text: str, source: str, at: int, edits: Callable[[str, yaml.Node], Iterable[_Splice]]) -> str:
    """``text`` with its item number ``at`` edited; ``edits`` is told that item, and the part of the text it lies in."""
    begin = 0
    for part, entries in parts_of(text, source):
        if at < len(entries):
            changed = _spliced(part, edits(part, items_of(part, source).value[at]))
            return text[:begin] + changed + text[begin + len(part) :]
        begin, at = begin + len(part), at - len(entries)
    raise IndexError(at)


def _spliced(text: str, splices: Iterable[_Splice]) -> str:
    for begin, end, new in sorted(splices, reverse=True):
        text = text[:begin] + new + text[end:]
    return text


def _splices(text: str, item: yaml.Node, news: Cells) -> Iterator[_Splice]:
    """Yields the edits of ``text`` that add ``news`` to ``item``."""
    if isinstance(item, yaml.ScalarNode):  # a name alone
        begin, end = item.start_mark.index, item.end_mark.index
        yield begin, end, f"{{name: {text[begin:end]}, {_flow(news)[1:]}" if news else text[begin:end]
        return
    assert isinstance(item, yaml.MappingNode)
    columns = {key.value: (key, value) for key, value in item.value}
    key, name = columns["name"]
    for column, value in news.items():
        if column in columns:
            yield _extension(text, columns[column][1], value)
        elif item.flow_style:
            at = name.end_mark.index
            yield at, at, f", {column}: {_value(value)}"
        else:
            at = _line_end(text, name.end_mark.index)
            yield at, at, f"{_newline(text, at)}{' ' * key.start_mark.column}{column}: {_value(value)}"


def _extension(text: str, node: yaml.Node, value: Cell) -> _Splice:
    begin, end = node.start_mark.index, node.end_mark.index
    values = ", ".join(map(_scalar, value))
    if isinstance(node, yaml.ScalarNode):
        was = f"{text[begin:end]}, " if begin < end else ""
        return begin, end, f"{'' if was else ' '}[{was}{values}]"
    assert isinstance(node, yaml.SequenceNode)
    if node.flow_style:
        at = node.value[-1].end_mark.index if node.value else begin + 1
        return at, at, f"{', ' if node.value else ''}{values}"
    at = _line_end(text, node.value[-1].end_mark.index)
    line = f"{_newline(text, at)}{' ' * node.start_mark.column}- "
    return at, at, "".join(f"{line}{_scalar(v)}" for v in value)


def _end_of(node: yaml.Node) -> int:
    """Where the text of an item ends; the mark of a block lies behind the comments that follow it."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    return node.end_mark.index


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end - (text[end - 1] == "\r")


def _newline(text: str, at: int) -> str:
    return "\r\n" if text[at : at + 2] == "\r\n" else "\n"
