"""Imports brands with their logos from the package simple-icons-pack, an optional extra."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rapidfuzz import fuzz, process

from brand_detect.catalog.entries import Cell, entries_of
from brand_detect.catalog.source import ICONS, IMPORTED, is_everyday, load_catalog
from brand_detect.catalog.writing import alone, begun, entry_text, replace_file
from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import Artwork
from brand_detect.domain.text import key_of

if TYPE_CHECKING:
    from simple_icons_pack import Icon

HEADER = """\
# Written by `brand-detect catalog import simple-icons`, which keeps your changes to entries and adds new ones.
# A brand that is also in your own list gets the logos here in addition to its own; otherwise your entry wins.
"""


@dataclass(frozen=True)
class Imported:
    """The result of an import."""

    file: Path
    new: int
    listed: int


def import_icons(path: Path, names: Sequence[str], artwork: Artwork) -> Imported:
    """Writes the icons of these names or slugs beside the catalogue at ``path``; without ``names``, all icons.

    Brands imported by name are matched in texts like any other, and their logos are no longer ``packaged``. Of brands
    imported in bulk, everyday and short names are never matched in texts, and all others only as a whole line.

    Raises:
        BadInput: the extra is not installed, a name has no icon, or the folder cannot be written to.
    """
    icons = packaged_icons()
    chosen = [_named(icons, name) for name in names] if names else icons
    folder = begun(path)
    with alone(folder):
        try:
            return _imported(path, folder, chosen, artwork, is_bulk=not names)
        except OSError as e:
            what = f"{e.filename or folder} cannot be written: {e.strerror}."
            raise BadInput(what, "check its space and permissions") from e


def _imported(path: Path, folder: Path, chosen: "Sequence[Icon]", artwork: Artwork, *, is_bulk: bool) -> Imported:
    titles = Counter(key_of(icon.title) for icon in packaged_icons())
    file = folder / IMPORTED
    entries: dict[str, dict[str, Cell]] = {}
    if file.exists():
        entries = {key_of(e.single("name")): e.cells for e in entries_of(file.read_bytes(), file.name)}
    before = len(entries)
    (folder / ICONS).mkdir(parents=True, exist_ok=True)
    for icon in chosen:
        name = icon.title
        if titles[key_of(name)] > 1 and icon.slug != key_of(name):
            name = f"{name} ({icon.slug})"  # two brands share the name
        (folder / ICONS / f"{icon.slug}.svg").write_text(icon.svg, encoding="utf-8")
        fresh: dict[str, Cell] = {
            "name": name,
            "logos": [f"{ICONS}/{icon.slug}.svg"],
            "colours": [f"#{icon.hex.lower()}"],
            **(_caution(name) if is_bulk else {}),
        }
        known = entries.get(key_of(name), {})
        entries[key_of(name)] = {**fresh, **{c: v for c, v in known.items() if is_bulk or c != "packaged"}}
    text = HEADER + "".join(entry_text(cells) for _, cells in sorted(entries.items()))
    load_catalog(str(path), artwork, {file: text.encode()})
    replace_file(file, text.encode())
    return Imported(file, len(entries) - before, len(entries))


def _caution(name: str) -> dict[str, Cell]:
    everyday = is_everyday(key_of(name)) or name.endswith(")")
    return {"logo_only": "true"} if everyday else {"whole_line": "true"}


def packaged_icons() -> "list[Icon]":
    """Every icon, sorted by slug."""
    try:
        import simple_icons_pack
    except ImportError as e:
        raise BadInput(
            "The icons are not installed.", "pip install 'brand_detect[icons]', or pip install simple-icons-pack"
        ) from e
    found = (icon for icon in vars(simple_icons_pack).values() if isinstance(icon, simple_icons_pack.Icon))
    return sorted(found, key=lambda icon: icon.slug)


def _named(icons: "Sequence[Icon]", name: str) -> "Icon":
    """The icon with that slug, else with that title."""
    by_key = {key_of(icon.title): icon for icon in icons} | {key_of(icon.slug): icon for icon in icons}
    found = by_key.get(key_of(name))
    if found is None:
        near = process.extract(key_of(name), list(by_key), scorer=fuzz.ratio, limit=3)
        alike = dict.fromkeys(by_key[key].title for key, *_ in near)
        raise BadInput(f"There is no icon called {name}.", f"similar: {', '.join(alike)}")
    return found
