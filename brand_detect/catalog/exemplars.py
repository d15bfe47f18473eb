"""Reads and checks the logo files that a brand list names."""

import hashlib
from pathlib import Path

from brand_detect.catalog.entries import Entry
from brand_detect.domain.catalog import Exemplar
from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import Artwork

SUFFIXES = {".svg": "svg", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}
MOST_BYTES = 5 * 2**20
SMALLEST_PX = 16
"""Shortest longer side of a picture in which a logo can be recognised."""
_CHECKED: set[str] = set()
"""Exemplars that this process has already checked: the list is reread at every check for changes."""


def exemplar_of(data: bytes, suffix: str) -> Exemplar:
    return Exemplar(hashlib.sha256(data).hexdigest()[:16], suffix)


def read_exemplar(folder: Path, written: str, entry: Entry, artwork: Artwork | None) -> tuple[Exemplar, Path]:
    """Reads the picture that ``entry`` names as ``written``; returns it and its file. ``artwork`` checks its content.

    ``folder`` is the catalogue's folder, with links resolved.

    Raises:
        BadInput: the picture is unusable; names the list's file and line.
    """
    file = folder / written
    if Path(written).is_absolute() or "://" in written or not file.resolve().is_relative_to(folder):
        raise entry.bad(f"the logo {written} is outside the catalogue's folder", "put it beside the list, in logos/")
    try:
        data, suffix = picture_of(file)
        exemplar = exemplar_of(data, suffix)
        if artwork is not None and exemplar.exemplar_id not in _CHECKED:
            look_at(data, suffix, artwork)
            _CHECKED.add(exemplar.exemplar_id)
    except BadInput as e:
        raise entry.bad(f"the logo {written}: {e}", e.hint) from e
    return exemplar, file


def picture_of(file: Path) -> tuple[bytes, str]:
    """Reads a picture; returns its bytes and kind: svg, png or jpeg.

    Raises:
        BadInput: the file does not exist, is too large or has another format.
    """
    suffix = SUFFIXES.get(file.suffix.lower())
    if suffix is None:
        raise BadInput("its format is unknown", f"use one of {', '.join(SUFFIXES)}")
    if not file.is_file():
        raise BadInput("there is no such file", "paths are relative to the list")
    try:
        _check_size(file.stat().st_size)
        return file.read_bytes(), suffix
    except OSError as e:
        raise BadInput(f"it cannot be read: {e.strerror}", "check its permissions") from e


def look_at(data: bytes, suffix: str, artwork: Artwork) -> None:
    """Checks that a picture has at most ``MOST_BYTES``, can be rendered and is large enough.

    Raises:
        BadInput: the picture is unusable.
    """
    _check_size(len(data))
    longest_px = max(artwork.render(data, suffix, 2 * SMALLEST_PX).shape[:2])
    if longest_px < SMALLEST_PX:
        raise BadInput(f"it is {longest_px} px long", f"use one of at least {SMALLEST_PX} px, better 100 or more")


def _check_size(n_bytes: int) -> None:
    if n_bytes > MOST_BYTES:
        raise BadInput(f"it has {n_bytes / 2**20:.1f} MiB", f"use a file of at most {MOST_BYTES // 2**20} MiB")
