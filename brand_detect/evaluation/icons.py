"""Vector artwork of brands, as pictures that an encoder may be shown: for galleries of thousands of brands."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import Color, Image
from brand_detect.domain.text import line_of

SIDE_PX = 128
MARGIN = 0.05
"""Of the longest side, around the mark: boxes that people draw are about as tight."""
ONE_COLOR = 24
"""Artwork is of one colour when no channel of its opaque pixels varies by more than this, of 255."""

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)


@dataclass(frozen=True)
class Icon:
    """One picture of a brand's mark."""

    name: str
    svg: str
    color: Color | None = None  # of the brand, where the artwork does not show it

    @property
    def key(self) -> str:
        """What makes two names one brand: letters and digits without case and accents."""
        return line_of(self.name).key


def simple_icons() -> list[Icon]:
    """The icons of the extra ``icons``, in the order of their short names.

    Raises:
        BadInput: the extra is not installed.
    """
    try:
        import simple_icons_pack as pack
    except ImportError as e:
        raise BadInput("The brand icons are not installed.", "pip install 'brand_detect[icons]'") from e
    icons = (value for value in vars(pack).values() if isinstance(value, pack.Icon))
    return [Icon(i.title, i.svg, _color(i.hex)) for i in sorted(icons, key=lambda i: i.slug)]


def icons_of(path: Path) -> list[Icon]:
    """The SVG files of a folder, named as the files are, or the icons of an Iconify ``icons.json``, by name.

    Raises:
        BadInput: nothing of that kind is there.
    """
    if path.is_dir():
        icons = [Icon(file.stem, file.read_text(encoding="utf-8")) for file in sorted(path.glob("*.svg"))]
    else:
        try:
            icons = list(_iconify(json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
            raise BadInput(f"{path} is no pack of icons.", "name a folder of SVGs or an Iconify icons.json") from e
    if not icons:
        raise BadInput(f"{path} holds no icons.", "name a folder of SVGs or an Iconify icons.json")
    return icons


def pictures(icon: Icon) -> list[Image]:
    """The mark as it may be met, longest side ``SIDE_PX`` and a margin.

    Artwork of one colour comes in every polarity: black on white, white on black, and, if that is neither, in the
    brand's colour on white and white on it. Other artwork comes on white and on black.

    Returns:
        No picture where the artwork cannot be drawn or is empty.
    """
    mark = _drawn(icon.svg)
    if mark is None:
        return []
    rgb, alpha = mark[:, :, :3], mark[:, :, 3:]
    opaque = rgb[alpha[:, :, 0] >= alpha.max() * 0.8]
    if np.ptp(opaque, axis=0).max() > ONE_COLOR:
        return [_on(rgb, alpha, WHITE), _on(rgb, alpha, BLACK)]
    pairs = [(BLACK, WHITE), (WHITE, BLACK)]
    red, green, blue = np.median(opaque, axis=0).astype(int).tolist()
    color = icon.color or (red, green, blue)
    if color not in (BLACK, WHITE):
        pairs += [(color, WHITE), (WHITE, color)]
    return [_on(np.broadcast_to(np.array(ink, np.uint8), rgb.shape), alpha, ground) for ink, ground in pairs]


def icon_of(brand: str, packs: Iterable[Sequence[Icon]]) -> Icon | None:
    """The icon of ``brand`` in the first pack that has one of that name, or of that name with ``logo`` or ``icon``."""
    key = line_of(brand).key
    for pack in packs:
        for wanted in (key, f"{key}logo", f"{key}icon"):
            if found := next((icon for icon in pack if icon.key == wanted), None):
                return found
    return None


def is_of(icon: Icon, brand_keys: frozenset[str]) -> bool:
    """Whether the first words of the icon's name are one of these brands: ``Yahoo Mail`` is of Yahoo, Minikube not of
    Mini."""
    line = line_of(icon.name)
    return any(line.key[:end] in brand_keys for end in line.cuts[1:])


def _iconify(pack: dict) -> Iterable[Icon]:
    for name, icon in sorted(pack["icons"].items()):
        if icon.get("hidden"):  # withdrawn
            continue
        left, top, width, height = (
            icon.get(field, pack.get(field, default))
            for field, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
        )
        head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        yield Icon(name, f'{head} viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>')


def _color(hexadecimal: str) -> Color:
    red, green, blue = (int(pair, 16) for pair in re.findall("..", hexadecimal))
    return red, green, blue


def _drawn(svg: str) -> NDArray[np.uint8] | None:
    """RGBA of the mark alone, longest side ``SIDE_PX``; None where nothing can be seen."""
    import cv2
    import resvg_py

    try:
        png = resvg_py.svg_to_bytes(svg_string=svg, width=round(SIDE_PX * 1.5), skip_system_fonts=True)
    except ValueError:
        return None
    drawn = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert drawn is not None, "resvg writes PNG"
    rows, columns = (np.flatnonzero((drawn[:, :, 3] > 0).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    mark = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = SIDE_PX / max(mark.shape[:2])
    size = [max(1, round(side * scale)) for side in mark.shape[1::-1]]
    mark = cv2.resize(mark, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(mark, cv2.COLOR_BGRA2RGBA)  # pyright: ignore[reportReturnType]


def _on(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], ground: Color) -> Image:
    """The mark over a plain ground with a margin, as B, G, R."""
    margin = round(MARGIN * SIDE_PX)
    share = alpha / np.float32(255)
    mixed = share * rgb + (1 - share) * np.array(ground, np.float32)
    padded = np.empty((rgb.shape[0] + 2 * margin, rgb.shape[1] + 2 * margin, 3), np.uint8)
    padded[:] = ground
    padded[margin:-margin, margin:-margin] = np.rint(mixed)
    return np.ascontiguousarray(padded[:, :, ::-1])
