"""Reads the brand list, a file or a folder, and reports errors by file and line."""

import gzip
import hashlib
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from brand_detect.catalog.entries import SUFFIXES, YAML, Entry, entries_of, without_gc
from brand_detect.catalog.exemplars import exemplar_of, read_exemplar
from brand_detect.domain.catalog import OWN_LIST, Brand, BrandCatalog, BrandKind, Exemplar
from brand_detect.domain.disk_cache import read_cached, write_cached
from brand_detect.domain.errors import BadInput, Permanent, Transient
from brand_detect.domain.protocols import Artwork
from brand_detect.domain.settings import state_dir
from brand_detect.domain.text import brand_id_of, key_of

LEARNED, IMPORTED = "learned.yaml", "simple-icons.yaml"
ICONS = "logos/simple-icons"
"""Folder of the logos that ``IMPORTED`` names."""
LAYERS = (LEARNED, IMPORTED)
"""Lists that commands write beside the user's own, strongest first; they add to the user's brands."""
ADDED_LATER = (
    "owner", "included_texts", "colours", "logo_only", "exemplars", "kind", "country", "sports", "rare", "packaged",
    "excluded",
)  # fmt: skip
"""Fields left out of a snapshot while unset, so that versions of lists without them never changed."""
_UNSET = {column.name: column.default for column in fields(Brand) if column.name in ADDED_LATER}
_DATA = Path(__file__).parent / "data"
STARTER = _DATA / OWN_LIST
"""The list that comes with the package; most of its logos are in a layer beside it."""
LOGOS = _DATA / "logos"
"""Folder of all packaged logos."""
COMPILED = _DATA / "brands.json.gz"
"""Both as ``catalog_to_json`` has them, read in a fraction of the time; `make golden` writes it."""
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
"""Characters that YAML allows in no text, and a list in another format or in escapes may hold."""
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")
_SHORT = 3  # names of up to this many Latin letters or digits are often part of another: RAI, Rai Play
_COLOUR = re.compile(r"#?([0-9a-fA-F]{6})")
_CODES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ "
    "CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO "
    "FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE "
    "JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO "
    "MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW "
    "PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM "
    "TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
)
COUNTRIES = tuple(_CODES.split())
"""ISO 3166-1 alpha-2."""
LONG_BYTES = 200_000
"""Lists of at least this size are cached as they were read; shorter ones, of up to some 2,000 brands, are read in
0.1 s."""
MAX_CACHED = 8
"""Most files in that cache, of 8 MB each for 54,000 brands."""
_EVERYDAY = (_DATA / "everyday_words.txt").read_bytes()
_MADE_BY = "catalog/source.py", "catalog/entries.py", "domain/catalog.py", "domain/text.py"
_READERS = hashlib.sha256(
    b"".join(Path(__file__).parents[1].joinpath(file).read_bytes() for file in _MADE_BY)
    + _EVERYDAY
    + f"{YAML.__name__} {yaml.__version__} {unicodedata.unidata_version}".encode()
).digest()
"""The code, words and libraries that make brands of a list, as this process has them."""
_STORED = TypeAdapter(list[Brand])
_Read = tuple[bytes, str]
"""A list's content and its name."""


@dataclass(frozen=True)
class LoadedCatalog:
    """A brand list as read; the pictures stay in their files."""

    catalog: BrandCatalog
    files: Mapping[str, Path] = field(default_factory=dict)
    """File of each exemplar, by its id."""
    logos: frozenset[Path] = frozenset()
    """All pictures that were read."""

    def picture(self, exemplar: Exemplar) -> bytes:
        """Reads an exemplar's file.

        Raises:
            Transient: the file has changed since the list was read.
        """
        file = self.files[exemplar.exemplar_id]
        try:
            data = file.read_bytes()
        except OSError as e:
            raise Transient(f"The logo {file} disappeared while it was read.", "try again") from e
        if exemplar_of(data, exemplar.suffix) != exemplar:
            raise Transient(f"The logo {file} changed while it was read.", "try again")
        return data


@dataclass(frozen=True)
class Place:
    """Location of a catalogue: its folder, the user's own lists, and the layers beside them."""

    folder: Path
    own: tuple[Path, ...]
    layers: tuple[Path, ...]

    @property
    def lists(self) -> tuple[Path, ...]:
        return (*self.own, *self.layers)

    @classmethod
    def of(cls, path: Path, to_come: Collection[Path] = ()) -> "Place":
        """Finds the lists at ``path`` that exist or are ``to_come``.

        Raises:
            BadInput: no such file or folder exists.
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


@dataclass(frozen=True, eq=False)
class _Merged:
    """The brands of all lists of a catalogue, without exemplars, and the logos listed for them: of which brand, where,
    and the path; those of the user's own lists first."""

    brands: tuple[Brand, ...]
    logos: tuple[tuple[str, Entry, str], ...]

    def to_json(self) -> bytes:
        logos = [(brand, entry.source, entry.line, entry.cells, logo) for brand, entry, logo in self.logos]
        stored = {"brands": [_plain(brand) for brand in self.brands], "logos": logos}
        return json.dumps(stored, default=vars).encode()  # in ASCII: the name of a file need not be Unicode

    @classmethod
    def from_json(cls, data: bytes) -> "_Merged":
        stored = json.loads(data)
        logos = ((brand, Entry(source, line, cells), logo) for brand, source, line, cells, logo in stored["logos"])
        return cls(tuple(_STORED.validate_python(stored["brands"])), tuple(logos))


@dataclass(frozen=True, eq=False)
class _Listed:
    """A brand with its entry and the logos listed for it."""

    brand: Brand
    entry: Entry
    logos: tuple[tuple[Entry, str], ...]

    @classmethod
    def of(cls, entry: Entry) -> "_Listed":
        return cls(_brand(entry), entry, tuple((entry, logo) for logo in entry.listed("logos")))


def load_catalog(
    path: str = "", artwork: Artwork | None = None, drafts: Mapping[Path, bytes] | None = None
) -> LoadedCatalog:
    """Reads the brand list in a local file or folder; without ``path``, the packaged list.

    ``artwork`` checks the logos; without it they are not checked. ``drafts`` replace files of these paths.

    Raises:
        BadInput: the file does not exist, or is invalid; names file and line.
    """
    if not path:
        return _starter()
    drafts = drafts or {}
    place = Place.of(Path(path), drafts)
    if not place.lists:
        raise BadInput(f"The folder {path} holds no brand list.", "start with: brand-detect catalog add NAME")
    with without_gc():
        own, layers = (tuple(_read(file, drafts) for file in files) for files in (place.own, place.layers))
        return _with_pictures(_merged(own, layers), place.folder, artwork)


@lru_cache(maxsize=2)  # a list is read before and after each change
def _merged(own: Sequence[_Read], layers: Sequence[_Read]) -> _Merged:
    """What the lists hold. Long lists come from the cache if any process has read the same bytes, even as a draft."""
    if sum(len(data) for data, _ in (*own, *layers)) < LONG_BYTES:
        return _read_lists(own, layers)
    made_from = hashlib.sha256(_READERS)
    for data, source in (*own, (b"", ""), *layers):
        made_from.update(repr((source, len(data))).encode() + data)
    file = lists_dir() / f"{made_from.hexdigest()[:32]}.json"
    if (stored := read_cached(file)) is not None:
        return _Merged.from_json(stored)
    merged = _read_lists(own, layers)
    write_cached(file, merged.to_json(), MAX_CACHED)
    return merged


def lists_dir() -> Path:
    """Where long lists are cached as they were read; safe to delete at any time."""
    return state_dir() / "lists"


def _read_lists(own: Sequence[_Read], layers: Sequence[_Read]) -> _Merged:
    listed = _checked(entry for data, source in own for entry in entries_of(data, source))
    for data, source in layers:
        listed = _with_layer(listed, entries_of(data, source))
    logos = [(item.brand.brand_id, entry, logo) for item in listed for entry, logo in item.logos]
    return _Merged(tuple(item.brand for item in listed), tuple(sorted(logos, key=lambda n: n[1].source in LAYERS)))


@cache
def _starter() -> LoadedCatalog:
    logos = {exemplar_of(file.read_bytes(), "svg").exemplar_id: file for file in LOGOS.rglob("*.svg")}
    return LoadedCatalog(_stored(gzip.decompress(COMPILED.read_bytes())), logos)


def parse_catalog(data: bytes, source: str) -> BrandCatalog:
    """Parses the catalogue in ``data``; the suffix of ``source`` gives the format (.csv, .tsv, .yaml, .yml, .json).

    Raises:
        BadInput: the list is invalid, or lists logos, which only ``load_catalog`` can read; names ``source`` and line.
    """
    with without_gc():
        listed = _checked(entries_of(data, source))
    for entry, logo in (pair for item in listed for pair in item.logos):
        raise entry.bad(f"the logo {logo} is listed, but the list is not a file", "load it from its file")
    return _catalog(item.brand for item in listed)


def catalog_to_json(catalog: BrandCatalog) -> bytes:
    """The catalogue as canonical JSON: equal content gives equal bytes."""
    return _canonical({"version": catalog.version, "brands": [_plain(b) for b in catalog.brands]})


@lru_cache(maxsize=2)  # several stages of a run read the same snapshot
def catalog_from_json(data: bytes, version: str) -> BrandCatalog:
    """Parses the output of ``catalog_to_json`` for that version.

    Raises:
        Permanent: the bytes are damaged: their content does not match the version.
    """
    try:
        catalog = _stored(data)
        if catalog.version != version:
            raise ValueError(f"its content has version {catalog.version}")
    except (ValueError, KeyError, TypeError) as e:  # pydantic's and json's errors are ValueErrors
        raise Permanent(
            f"The snapshot {version} of the brand catalogue is damaged: its content differs from what was written.",
            f"restore _catalog/{version}/catalog.json, or remove it: that of the current list is stored again",
        ) from e
    return catalog


def _stored(data: bytes) -> BrandCatalog:
    with without_gc():
        return _catalog(_STORED.validate_python(json.loads(data)["brands"]))


@cache
def everyday_words() -> frozenset[str]:
    """Keys of words common in ordinary text: a brand of that name matches only as a whole line."""
    text = _EVERYDAY.decode()
    return frozenset(key_of(w) for line in text.splitlines() if not line.startswith("#") for w in line.split())


def is_everyday_word(key: str) -> bool:
    """Whether ``key`` is an everyday word or a form of one: channels, running, based."""
    return key in _everyday_forms()


@cache
def _everyday_forms() -> frozenset[str]:
    words = everyday_words()
    stems = words | {word.removesuffix("e") for word in words}
    return words | {stem + ending for stem in stems for ending in ("s", "es", "ed", "ing", "er", "ers", "ly")}


def _catalog(brands: Iterable[Brand]) -> BrandCatalog:
    ordered = sorted(brands, key=lambda b: b.brand_id)
    content = _canonical([_plain(b) for b in ordered])
    return BrandCatalog(hashlib.sha256(content).hexdigest()[:16], tuple(ordered))


def _plain(brand: Brand) -> dict[str, Any]:
    return {name: value for name, value in vars(brand).items() if name not in _UNSET or value != _UNSET[name]}


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=vars).encode()


def _read(file: Path, drafts: Mapping[Path, bytes]) -> _Read:
    try:
        return drafts[file] if file in drafts else file.read_bytes(), file.name
    except OSError as e:
        raise BadInput(f"The brand list {file} cannot be read: {e.strerror}.", "check the path") from e


def _checked(entries: Iterable[Entry]) -> list[_Listed]:
    """Converts the user's own entries to brands; no text may belong to two brands."""
    owners: dict[str, tuple[str, _Listed]] = {}  # text and its owner, by the text's key
    ids: dict[str, _Listed] = {}
    listed = []
    for entry in entries:
        item = _Listed.of(entry)
        brand = item.brand
        for text in brand.texts:
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
            raise entry.bad(what, "spell one of the two names differently")
        listed.append(item)
    return listed


def _with_layer(listed: Sequence[_Listed], entries: Iterable[Entry]) -> list[_Listed]:
    """Adds a layer to ``listed``: new brands, and logos and unclaimed names for known brands."""
    merged = {item.brand.brand_id: item for item in listed}
    owners = {key_of(text): i for i, item in merged.items() for text in item.brand.texts}
    for entry in entries:
        new = _Listed.of(entry)
        brand_id = owners.get(key_of(new.brand.name), new.brand.brand_id)
        known = merged.get(brand_id)
        taken = {key_of(text) for text in known.brand.excluded_texts} if known else set[str]()
        free = {text for text in new.brand.texts if (key := key_of(text)) not in owners and key not in taken}
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
        owners |= {key_of(text): brand_id for text in new.brand.texts}
    return list(merged.values())


def _added(own: Brand, layer: Brand, free: set[str]) -> Brand:
    """``own`` with the additions of ``layer``; its ``free`` texts belong to no other brand."""
    named = set(map(key_of, own.texts))
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
        kind=layer.kind if own.kind is BrandKind.brand else own.kind,
        country=own.country or layer.country,
        sports=own.sports or layer.sports,
    )


def _with_pictures(merged: _Merged, folder: Path, artwork: Artwork | None) -> LoadedCatalog:
    """Adds the exemplars to their brands."""
    folder = folder.resolve()
    return _pictured(merged, tuple(read_exemplar(folder, logo, entry, artwork) for _, entry, logo in merged.logos))


@lru_cache(maxsize=2)
def _pictured(merged: _Merged, read: tuple[tuple[Exemplar, Path], ...]) -> LoadedCatalog:
    """The list with its logos, as they were ``read``; each belongs to one brand."""
    names = {brand.brand_id: brand.name for brand in merged.brands}
    owners: dict[str, tuple[str, Entry]] = {}
    where: dict[str, Path] = {}
    logos: set[Path] = set()
    found: defaultdict[str, set[Exemplar]] = defaultdict(set)
    given: set[str] = set()
    for (brand_id, entry, logo), (exemplar, file) in zip(merged.logos, read, strict=True):
        logos.add(file)
        other, other_entry = owners.setdefault(exemplar.exemplar_id, (brand_id, entry))
        if other != brand_id:
            if entry.source in LAYERS:
                continue  # the stronger list wins
            what = f"the logo {logo} of {names[brand_id]!r} is also a picture of {names[other]!r}"
            raise entry.bad(f"{what} on {other_entry.seen_from(entry)}", "list it for one of them only")
        where.setdefault(exemplar.exemplar_id, file)
        found[brand_id].add(exemplar)
        if not _is_true(entry, "packaged"):
            given.add(brand_id)
    brands = (
        replace(
            brand,
            exemplars=tuple(sorted(found[brand.brand_id], key=lambda e: e.exemplar_id)),
            packaged=brand.brand_id not in given,
        )
        if brand.brand_id in found
        else replace(brand, packaged=False)
        if brand.packaged
        else brand
        for brand in merged.brands
    )
    return LoadedCatalog(_catalog(brands), where, frozenset(logos))


@lru_cache(maxsize=65_536)  # most of a list stays as it was
def _brand(entry: Entry) -> Brand:
    for text in (text for column in entry.cells for text in entry.listed(column)):
        if CONTROL.search(text):
            raise entry.bad(f"{text!r} has a control character", "remove it")
    name = entry.single("name")
    if not name:
        raise entry.bad("a brand has no name", "fill in 'name'")
    min_length = entry.single("min_length", "0")
    if not (min_length.isascii() and min_length.isdigit()):
        raise entry.bad(f"min_length is {min_length!r}", "use a whole number, 0 or more")
    aliases = tuple(sorted({a for a in entry.listed("aliases") if a != name}))
    included = tuple(sorted({*entry.listed("included_texts")} - {name, *aliases}))
    excluded = tuple(sorted(set(entry.listed("excluded_texts"))))
    texts = (name, *aliases, *included)
    spellings = {key_of(t): t for t in texts}
    if "" in spellings:
        raise entry.bad(f"{spellings['']!r} has no letter or digit", "remove it or spell it out")
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
        kind=_kind(entry),
        country=_country(entry),
        sports=_sports(entry),
        owner=entry.single("owner"),
        included_texts=included,
        colours=tuple(dict.fromkeys(_colour(entry, c) for c in entry.listed("colours"))),
        logo_only=_is_true(entry, "logo_only"),
        rare=_is_true(entry, "rare"),
        packaged=_is_true(entry, "packaged"),
        excluded=_is_true(entry, "excluded"),
    )


def _is_true(entry: Entry, column: str) -> bool:
    written = entry.single(column, _NO[0]).lower()
    if written not in (*_YES, *_NO):
        raise entry.bad(f"{column} is {written!r}", "use true or false")
    return written in _YES


def _kind(entry: Entry) -> BrandKind:
    written = entry.single("kind", BrandKind.brand)
    try:
        return BrandKind(written.lower())
    except ValueError:
        raise entry.bad(f"the kind {written!r} is unknown", f"use one of {', '.join(BrandKind)}") from None


def _country(entry: Entry) -> str:
    code = entry.single("country").upper()
    if code and code not in COUNTRIES:
        raise entry.bad(f"{code!r} is no country's code", "use two letters of ISO 3166-1: BR, DE, GB")
    return code


def _sports(entry: Entry) -> tuple[str, ...]:
    written = entry.listed("sports")
    for sport in written:
        if sport != sport.lower():
            raise entry.bad(f"the sport {sport!r} has a capital letter", f"write {sport.lower()}")
    return tuple(sorted(set(written)))


def _colour(entry: Entry, written: str) -> str:
    found = _COLOUR.fullmatch(written)
    if not found:
        raise entry.bad(f"{written!r} is not a colour", 'write red, green and blue in hex: "#e30613"')
    return f"#{found[1].lower()}"


def _whole_line(entry: Entry, texts: tuple[str, ...]) -> tuple[str, ...]:
    """The ``texts`` that match only as a whole line: as written (yes, no or a list), else everyday and short ones."""
    written = entry.listed("whole_line")
    if not written:
        return tuple(t for t in texts if is_everyday(key_of(t)))
    if len(written) == 1 and written[0].lower() in (*_YES, *_NO):
        return texts if written[0].lower() in _YES else ()
    for text in written:
        if text not in texts:
            hint = "use true, false, or a list of the brand's own names, aliases and included texts"
            raise entry.bad(f"whole_line lists {text!r}, which is none of the brand's texts", hint)
    return tuple(t for t in texts if t in written)


def is_everyday(key: str) -> bool:
    """Whether a name with this key matches only as a whole line unless the catalogue says otherwise."""
    return is_everyday_word(key) or not any(c.isalpha() for c in key) or (key.isascii() and len(key) <= _SHORT)
