"""The pictures that a brand list names: files beside it, read with care."""

import hashlib
from pathlib import Path

from brand_detect.catalog.entries import Entry
from brand_detect.domain.catalog import Exemplar
from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import Artwork

SUFFIXES = {".svg": "svg", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}
MOST_BYTES = 5 * 2**20
SMALLEST_PX = 16
"""The longer side of a picture in which a mark can be recognised at all."""
_LOOKED_AT: set[str] = set()
"""Pictures found good in this process: the list is read again whenever somebody asks whether it has changed."""


def exemplar_of(data: bytes, suffix: str) -> Exemplar:
    return Exemplar(hashlib.sha256(data).hexdigest()[:16], suffix)


def read_exemplar(folder: Path, written: str, entry: Entry, artwork: Artwork | None) -> tuple[Exemplar, Path]:
    """The picture that ``entry`` names as ``written``, and its file; without ``artwork`` it is not looked at.

    ``folder`` is the catalogue's, links followed.

    Raises:
        BadInput: naming the list's file and line.
    """
    file = folder / written
    if Path(written).is_absolute() or "://" in written or not file.resolve().is_relative_to(folder):
        raise entry.bad(f"the logo {written} lies outside the catalogue's folder", "put it beside the list, in logos/")
    try:
        data, suffix = picture_of(file)
        exemplar = exemplar_of(data, suffix)
        if artwork is not None and exemplar.exemplar_id not in _LOOKED_AT:
            look_at(data, suffix, artwork)
            _LOOKED_AT.add(exemplar.exemplar_id)
    except BadInput as e:
        raise entry.bad(f"the logo {written}: {e}", e.hint) from e
    return exemplar, file


def picture_of(file: Path) -> tuple[bytes, str]:
    """A picture's bytes and its kind: svg, png or jpeg.

    Raises:
        BadInput: there is no such file, or it is too large or of another kind.
    """
    suffix = SUFFIXES.get(file.suffix.lower())
    if suffix is None:
        raise BadInput("it is of no known kind", f"give one of {', '.join(SUFFIXES)}")
    if not file.is_file():
        raise BadInput("there is no such file", "paths are relative to the list")
    try:
        size = file.stat().st_size
        if size > MOST_BYTES:
            raise BadInput(f"it has {size / 2**20:.1f} MiB", f"give one of at most {MOST_BYTES // 2**20} MiB")
        return file.read_bytes(), suffix
    except OSError as e:
        raise BadInput(f"it cannot be read: {e.strerror}", "check its permissions") from e


def look_at(data: bytes, suffix: str, artwork: Artwork) -> None:
    """
    Raises:
        BadInput: nothing can be recognised on the picture.
    """
    longest_px = max(artwork.render(data, suffix, 2 * SMALLEST_PX).shape[:2])
    if longest_px < SMALLEST_PX:
        raise BadInput(f"it is {longest_px} px long", f"give one of {SMALLEST_PX} px at the least, better 100 or more")
