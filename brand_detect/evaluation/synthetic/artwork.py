"""Vector artwork for training and evaluation: icons in Iconify's JSON format."""

import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.errors import BadInput

Rgba = NDArray[np.uint8]
"""A picture with transparency, shape (height, width, 4), channels B, G, R, A, not premultiplied."""

_VARIANTS = ("icon", "wordmark", "plain", "original", "line", "horizontal", "vertical", "dark", "light", "logo", "alt")
_LARGEST_BODY = 200_000  # characters; larger ones are drawings, not logos


@dataclass(frozen=True)
class Artwork:
    """One logo. Artworks of the same ``brand`` may look alike, so they are never used as each other's negatives."""

    brand: str  # letters and digits of its name, without the name of the variant
    name: str
    svg: str
    mono: bool  # one colour, which may be replaced


def load_packs(folder: Path) -> list[Artwork]:
    """The artwork of every ``*/package/icons.json`` or ``*.json`` under ``folder``, in order of pack and name.

    Raises:
        BadInput: there is none.
    """
    files = sorted(f for f in folder.rglob("*.json") if f.name == "icons.json" or f.parent == folder)
    found = [a for f in files for a in _pack(json.loads(f.read_text(encoding="utf-8")))]
    if not found:
        raise BadInput(f"There is no pack of icons in {folder}.", "npm pack @iconify-json/logos, and unpack it there")
    return found


def _pack(data: dict) -> Iterable[Artwork]:
    for name, icon in sorted(data["icons"].items()):
        body = icon["body"]
        if len(body) > _LARGEST_BODY or icon.get("hidden"):
            continue
        width, height = (icon.get(side, data.get(side, 16)) for side in ("width", "height"))
        left, top = icon.get("left", 0), icon.get("top", 0)
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left} {top} {width} {height}">{body}</svg>'
        yield Artwork(brand_key(name), f"{data['prefix']}:{name}", svg, "currentColor" in body)


def brand_key(name: str) -> str:
    """The brand in the name of an icon: ``coca-cola-wordmark`` gives ``cocacola``."""
    words = [w for w in re.split(r"[-_ ]", name.lower()) if w not in _VARIANTS]
    return "".join(words) or name


def rasterise(artworks: Sequence[Artwork], longest_side_px: int) -> list[Rgba | None]:
    """Each artwork cropped to its opaque part and scaled to the longest side; None if it cannot be drawn."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda a: _drawn(a, longest_side_px), artworks))


def _drawn(artwork: Artwork, longest_side_px: int) -> Rgba | None:
    import cv2
    import resvg_py

    font = re.search(r'data-font="([^"]+)"', artwork.svg)
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=artwork.svg,
            width=2 * longest_side_px,
            skip_system_fonts=True,
            font_files=[font[1]] if font else None,
        )
    except ValueError:
        return None
    image = cv2.imdecode(np.frombuffer(bytes(png), np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        return None
    rows, columns = np.flatnonzero(image[:, :, 3].max(axis=1) > 8), np.flatnonzero(image[:, :, 3].max(axis=0) > 8)
    if len(rows) < 8 or len(columns) < 8:
        return None
    image = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = longest_side_px / max(image.shape[:2])
    size = (max(8, round(image.shape[1] * scale)), max(8, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # pyright: ignore[reportReturnType]
