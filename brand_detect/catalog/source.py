"""Reads the brand list, a file or a folder, and says by file and line what is wrong with it."""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from brand_detect.catalog.entries import SUFFIXES, Entry, entries_of
from brand_detect.catalog.exemplars import exemplar_of, read_exemplar
from brand_detect.domain.catalog import Brand, BrandCatalog, Exemplar
from brand_detect.domain.errors import BadInput, Permanent, Transient
from brand_detect.domain.protocols import Artwork
from brand_detect.domain.text import brand_id_of, key_of

OWN = "brands.yaml"
"""The file of a catalogue's folder that commands write a user's brands to."""
LEARNED, IMPORTED = "learned.yaml", "simple-icons.yaml"
LAYERS = (LEARNED, IMPORTED)
"""Lists that commands write beside the user's own, strongest first: what they say of a brand of his is added to it."""
SINCE_LOGOS = ("owner", "included_texts", "colours", "logo_only", "exemplars")
"""Fields that are left out of a snapshot while empty: lists without logos keep the versions they always had."""
_DATA = files("brand_detect.catalog").joinpath("data")
STARTER = _DATA.joinpath("brands.yaml")
"""The list that comes with the package."""
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")
_SHORT = 3  # a name of so many Latin letters or digits is often part of another: RAI, Rai Play
_COLOUR = re.compile(r"#?([0-9a-fA-F]{6})")
_STORED = TypeAdapter(list[Brand])


@dataclass(frozen=True)
class LoadedCatalog:
    """A brand list as it was read; its pictures stay in their files."""

    catalog: BrandCatalog
    files: Mapping[str, Path] = field(default_factory=dict)
    """Where the picture of each exemplar lies, by its id."""

    def picture(self, exemplar: Exemplar) -> bytes:
        """
        Raises:
            Transient: the file has changed since the list was read.
        """
        file = self.files[exemplar.exemplar_id]
        try:
            data = file.read_bytes()
        except OSError as e:
            raise Transient(f"The logo {file} went while it was read.", "try again") from e
        if exemplar_of(data, exemplar.suffix) != exemplar:
            raise Transient(f"The logo {file} changed while it was read.", "try again")
        return data


@dataclass(frozen=True)
class Place:
    """Where a catalogue lies: the user's own lists, the layers beside them, and the folder that logos lie in."""

    folder: Path
    own: tuple[Path, ...]
    layers: tuple[Path, ...]

    @property
    def lists(self) -> tuple[Path, ...]:
        return (*self.own, *self.layers)

    @classmethod
    def of(cls, path: Path, to_come: Collection[Path] = ()) -> "Place":
        """The lists at ``path`` that are there or ``to_come``.

        Raises:
            BadInput: there is no such file or folder.
        """
        if path.is_dir():
            there = {f for f in path.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file() and f.name[0] != "."}
            folder, own = path, tuple(sorted(f for f in {*there, *to_come} if f.name not in LAYERS))
        elif path.exists() or path in to_come:
            folder, own = path.parent, (path,)
        else:
            raise BadInput(f"The brand list {path} cannot be read: there is no such file.", "check the path")
        layers = (folder / name for name in LAYERS)
        return cls(folder, own, tuple(f for f in layers if (f.is_file() or f in to_come) and f not in own))


@dataclass(frozen=True)
class _Listed:
    """A brand, where it was found, and the pictures that were named for it."""

    brand: Brand
    entry: Entry
    logos: tuple[tuple[Entry, str], ...]

    @classmethod
    def of(cls, entry: Entry) -> "_Listed":
        return cls(_brand(entry), entry, tuple((entry, logo) for logo in entry.listed("logos")))


def load_catalog(
    path: str = "", artwork: Artwork | None = None, drafts: Mapping[Path, bytes] | None = None
) -> LoadedCatalog:
    """Read the brand list in a local file or folder; without ``path``, the one that comes with the package.

    ``artwork`` looks at the logos; without it they are taken as they are. ``drafts`` stand in for files of these paths.

    Raises:
        BadInput: no such file, or naming a file and a line of it.
    """
    if not path:
        return LoadedCatalog(parse_catalog(STARTER.read_bytes(), STARTER.name))
    drafts = drafts or {}
    place = Place.of(Path(path), drafts)
    if not place.lists:
        raise BadInput(f"The folder {path} holds no brand list.", "begin with: brand-detect catalog add NAME")
    listed = _checked(entry for file in place.own for entry in _entries(file, drafts))
    for file in place.layers:
        listed = _with_layer(listed, _entries(file, drafts))
    return _with_pictures(listed, place.folder, artwork)


def parse_catalog(data: bytes, source: str) -> BrandCatalog:
    """The catalogue in ``data``; the ending of ``source`` says how to read it (.csv, .tsv, .yaml, .yml, .json).

    Raises:
        BadInput: naming ``source`` and the line; or logos are named, which only ``load_catalog`` finds.
    """
    listed = _checked(entries_of(data, source))
    for entry, logo in (pair for item in listed for pair in item.logos):
        raise entry.bad(f"the logo {logo} is named in a list that is no file", "load it from its file")
    return _catalog(item.brand for item in listed)


def catalog_to_json(catalog: BrandCatalog) -> bytes:
    """The catalogue as canonical JSON: the same content gives the same bytes."""
    return _canonical({"version": catalog.version, "brands": [_plain(b) for b in catalog.brands]})


def catalog_from_json(data: bytes, version: str) -> BrandCatalog:
    """The catalogue of that version, as ``catalog_to_json`` wrote it.

    Raises:
        Permanent: the bytes are damaged: their content is not that of the version.
    """
    try:
        catalog = _catalog(_STORED.validate_python(json.loads(data)["brands"]))
        if catalog.version != version:
            raise ValueError(f"its content is that of {catalog.version}")
    except (ValueError, KeyError, TypeError) as e:  # pydantic's and json's errors are ValueErrors
        raise Permanent(
            f"The snapshot {version} of the brand catalogue is damaged: it is not what was written.",
            f"restore _catalog/{version}/catalog.json, or remove it and re-materialize brand_catalog",
        ) from e
    return catalog


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
    content = _canonical([_plain(b) for b in ordered])
    return BrandCatalog(hashlib.sha256(content).hexdigest()[:16], tuple(ordered))


def _plain(brand: Brand) -> dict[str, Any]:
    return {name: value for name, value in vars(brand).items() if value or name not in SINCE_LOGOS}


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=vars).encode()


def _entries(file: Path, drafts: Mapping[Path, bytes]) -> Iterable[Entry]:
    try:
        data = drafts[file] if file in drafts else file.read_bytes()
    except OSError as e:
        raise BadInput(f"The brand list {file} cannot be read: {e.strerror}.", "check the path") from e
    return entries_of(data, file.name)


def _checked(entries: Iterable[Entry]) -> list[_Listed]:
    """The user's own entries as brands; no text may be two brands'."""
    owners: dict[str, tuple[str, _Listed]] = {}  # key of a text: the text, and whose it is
    ids: dict[str, _Listed] = {}
    listed = []
    for entry in entries:
        item = _Listed.of(entry)
        brand = item.brand
        for text in _texts(brand):
            other_text, other = owners.setdefault(key_of(text), (text, item))
            if other is item:
                continue
            where = other.entry.seen_from(entry)
            both_names = text == brand.name and other_text == other.brand.name
            what = (
                f"the brand {text!r} is already on {where}"
                if both_names
                else f"{text!r} of {brand.name!r} is also {other_text!r} of {other.brand.name!r} on {where}"
            )
            raise entry.bad(what, "each name and alias belongs to one brand; accents and case do not count")
        other = ids.setdefault(brand.brand_id, item)
        if other is not item:
            where = other.entry.seen_from(entry)
            what = f"the id {brand.brand_id!r} of {brand.name!r} is also that of {other.brand.name!r} on {where}"
            raise entry.bad(what, "spell one of the two names in another way")
        listed.append(item)
    return listed


def _with_layer(listed: Sequence[_Listed], entries: Iterable[Entry]) -> list[_Listed]:
    """``listed`` and what a layer adds: new brands, and logos and free names for those that are there."""
    merged = {item.brand.brand_id: item for item in listed}
    owners = {key_of(text): i for i, item in merged.items() for text in _texts(item.brand)}
    for entry in entries:
        new = _Listed.of(entry)
        brand_id = owners.get(key_of(new.brand.name), new.brand.brand_id)
        known = merged.get(brand_id)
        taken = {key_of(text) for text in known.brand.excluded_texts} if known else set[str]()
        free = {text for text in _texts(new.brand) if (key := key_of(text)) not in owners and key not in taken}
        if known:
            new = replace(known, brand=_added(known.brand, new.brand, free), logos=(*known.logos, *new.logos))
        else:
            aliases, included = (
                tuple(filter(free.__contains__, t)) for t in (new.brand.aliases, new.brand.included_texts)
            )
            whole_line = tuple(filter(free.__contains__, new.brand.whole_line))
            new = replace(
                new, brand=replace(new.brand, aliases=aliases, included_texts=included, whole_line=whole_line)
            )
        merged[brand_id] = new
        owners |= {key_of(text): brand_id for text in _texts(new.brand)}
    return list(merged.values())


def _added(own: Brand, layer: Brand, free: set[str]) -> Brand:
    """``own`` with what ``layer`` says beyond it; its ``free`` texts are no other brand's."""
    named = set(map(key_of, _texts(own)))
    return replace(
        own,
        aliases=tuple(sorted({*own.aliases, *(free & {*layer.aliases, layer.name})})),
        included_texts=tuple(sorted({*own.included_texts, *(free & {*layer.included_texts})})),
        excluded_texts=tuple(
            sorted({*own.excluded_texts, *(t for t in layer.excluded_texts if key_of(t) not in named)})
        ),
        whole_line=(*own.whole_line, *(t for t in layer.whole_line if t in free)),
        categories=own.categories or layer.categories,
        owner=own.owner or layer.owner,
        colours=own.colours or layer.colours,
    )


def _with_pictures(listed: Sequence[_Listed], folder: Path, artwork: Artwork | None) -> LoadedCatalog:
    """The brands with their exemplars, each of them one brand's."""
    folder = folder.resolve()
    owners: dict[str, tuple[_Listed, Entry]] = {}
    where: dict[str, Path] = {}
    found: dict[str, set[Exemplar]] = {item.brand.brand_id: set() for item in listed}
    named = [(item, entry, logo) for item in listed for entry, logo in item.logos]
    for item, entry, logo in sorted(named, key=lambda n: n[1].source in LAYERS):
        exemplar, file = read_exemplar(folder, logo, entry, artwork)
        other, other_entry = owners.setdefault(exemplar.exemplar_id, (item, entry))
        if other is not item:
            if entry.source in LAYERS:
                continue  # the stronger list wins
            what = f"the logo {logo} of {item.brand.name!r} is also a picture of {other.brand.name!r}"
            raise entry.bad(f"{what} on {other_entry.seen_from(entry)}", "leave it with one of them")
        where.setdefault(exemplar.exemplar_id, file)
        found[item.brand.brand_id].add(exemplar)
    brands = (
        replace(item.brand, exemplars=tuple(sorted(found[item.brand.brand_id], key=lambda e: e.exemplar_id)))
        for item in listed
    )
    return LoadedCatalog(_catalog(brands), where)


def _brand(entry: Entry) -> Brand:
    name = entry.single("name")
    if not name:
        raise entry.bad("a brand has no name", "fill in 'name'")
    min_length = entry.single("min_length", "0")
    if not (min_length.isascii() and min_length.isdigit()):
        raise entry.bad(f"min_length is {min_length!r}", "give a whole number, 0 or more")
    logo_only = entry.single("logo_only", _NO[0]).lower()
    if logo_only not in (*_YES, *_NO):
        raise entry.bad(f"logo_only is {logo_only!r}", "give true or false")
    aliases = tuple(sorted({a for a in entry.listed("aliases") if a != name}))
    included = tuple(sorted({*entry.listed("included_texts")} - {name, *aliases}))
    excluded = tuple(sorted(set(entry.listed("excluded_texts"))))
    texts = (name, *aliases, *included)
    spellings = {key_of(t): t for t in texts}
    if "" in spellings:
        raise entry.bad(f"{spellings['']!r} has no letter or digit", "leave it out or spell it out")
    for text in excluded:
        if key_of(text) in spellings:
            raise entry.bad(f"{text!r} is both a name and an excluded text of {name!r}", "keep one of them")
    return Brand(
        brand_id=brand_id_of(name),
        name=name,
        aliases=aliases,
        categories=tuple(sorted(set(entry.listed("categories")))),
        excluded_texts=excluded,
        min_length=int(min_length),
        whole_line=_whole_line(entry, texts),
        owner=entry.single("owner"),
        included_texts=included,
        colours=tuple(dict.fromkeys(_colour(entry, c) for c in entry.listed("colours"))),
        logo_only=logo_only in _YES,
    )


def _texts(brand: Brand) -> tuple[str, ...]:
    return (brand.name, *brand.aliases, *brand.included_texts)


def _colour(entry: Entry, written: str) -> str:
    found = _COLOUR.fullmatch(written)
    if not found:
        raise entry.bad(f"{written!r} is no colour", 'write red, green and blue in hex: "#e30613"')
    return f"#{found[1].lower()}"


def _whole_line(entry: Entry, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Which of ``texts`` need a line of their own: as written (yes, no or a list), else the everyday and the short."""
    written = entry.listed("whole_line")
    if not written:
        return tuple(t for t in texts if is_everyday(key_of(t)))
    if len(written) == 1 and written[0].lower() in (*_YES, *_NO):
        return texts if written[0].lower() in _YES else ()
    for text in written:
        if text not in texts:
            hint = "give true, false, or a list of the brand's own names, aliases and included texts"
            raise entry.bad(f"whole_line names {text!r}, which is none of the brand's texts", hint)
    return tuple(t for t in texts if t in written)


def is_everyday(key: str) -> bool:
    """Whether a name with this key needs a line of its own unless the catalogue says otherwise."""
    return is_everyday_word(key) or not any(c.isalpha() for c in key) or (key.isascii() and len(key) <= _SHORT)
