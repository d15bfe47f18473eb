"""Reads a brand list again only when one of its files has changed: sensors look at it twice a minute."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from brand_detect.catalog.source import LoadedCatalog, Place, load_catalog
from brand_detect.domain.protocols import Artwork

Stamps = tuple[tuple[Path, int, int, int, int], ...]
"""Files with their inode, size in bytes, and times of modification and of the last change of anything in ns.

A copy that keeps the time of modification changes the latter."""


class CatalogReader:
    """The brand list at one path, read by one process."""

    def __init__(self) -> None:
        self._logos: frozenset[Path] = frozenset()
        self._kept: tuple[Stamps, LoadedCatalog] | None = None

    def read(self, path: str, artwork: Artwork) -> LoadedCatalog:
        """As ``load_catalog``, without reading what has not changed.

        Raises:
            BadInput: the list is invalid.
        """
        if not path:
            return load_catalog(path, artwork)
        before = _stamps(path, self._logos)
        if self._kept and self._kept[0] == before:
            return self._kept[1]
        loaded = load_catalog(path, artwork)
        self._logos = loaded.logos
        after = _stamps(path, self._logos)
        # a file may have changed after it was read: what was read counts if no file differs from before
        self._kept = (after, loaded) if after == before else None
        return loaded


def _stamps(path: str, logos: Iterable[Path]) -> Stamps:
    found: list[tuple[Path, int, int, int, int]] = []
    for file in (*Place.of(Path(path)).lists, *sorted(logos)):
        with suppress(FileNotFoundError):  # load_catalog says what is missing
            s = file.stat()
            found.append((file, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns))
    return tuple(found)
