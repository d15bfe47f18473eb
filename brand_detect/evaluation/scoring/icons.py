"""Brand icons as pictures for an embedder, for galleries of thousands of brands."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import Color, Image
from brand_detect.domain.text import line_of
from brand_detect.evaluation.synthetic.artwork import Artwork, Rgba, brand_key, load_packs, rasterise

SIDE_PX = 128
MARGIN = 0.05
"""Margin around the logo as a share of the longest side; boxes drawn by people are about as tight."""
ONE_COLOR = 24
"""Artwork counts as one colour if no channel of its opaque pixels varies by more than this, of 255."""

STANDS_OUT = 32
"""Least distance of a colour from black and from white, of 255."""

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)


@dataclass(frozen=True)
class Icon:
    """One picture of a brand's logo."""

    name: str
    svg: str
    color: Color | None = None  # the brand's colour, if the artwork does not show it

    @property
    def key(self) -> str:
        """Key of the brand: letters and digits without case, accents and the name of the variant."""
        return key_of(self.name)


def key_of(name: str) -> str:
    return brand_key(" ".join(line_of(name).words))


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


def icons_of(folder: Path) -> list[Icon]:
    """The SVG files in a folder, named after the files, or the Iconify packs in it if there are none.

    Raises:
        BadInput: there is neither.
    """
    files = sorted(folder.glob("*.svg"))
    if files:
        return [Icon(file.stem, file.read_text(encoding="utf-8")) for file in files]
    return [Icon(artwork.name.partition(":")[2], artwork.svg) for artwork in load_packs(folder)]


def pictures_of(icons: Sequence[Icon]) -> list[list[Image]]:
    """The usual appearances of each logo, with a longest side of ``SIDE_PX`` and a margin.

    Artwork of one colour is rendered in every polarity: black on white, white on black and, if its colour is neither,
    in the brand's colour on white and white on it. Other artwork comes on white and on black.

    Returns:
        The pictures of each icon; none if the artwork cannot be drawn or is empty.
    """
    drawn = rasterise([Artwork(icon.key, icon.name, icon.svg, mono=False) for icon in icons], SIDE_PX)
    return [_pictures(one, icon.color) if one is not None else [] for icon, one in zip(icons, drawn, strict=True)]


def _pictures(mark: Rgba, brand: Color | None) -> list[Image]:
    bgr, alpha = mark[:, :, :3], mark[:, :, 3:]
    opaque = bgr[alpha[:, :, 0] >= alpha.max() * 0.8]
    if np.ptp(opaque, axis=0).max() > ONE_COLOR:
        return [_on(bgr, alpha, WHITE), _on(bgr, alpha, BLACK)]
    blue, green, red = np.median(opaque, axis=0).astype(int).tolist()
    color = brand or (red, green, blue)
    pairs = [(BLACK, WHITE), (WHITE, BLACK)]
    if STANDS_OUT <= sum(color) / 3 <= 255 - STANDS_OUT:  # otherwise the picture would be blank
        pairs += [(color, WHITE), (WHITE, color)]
    return [
        _on(np.broadcast_to(np.array(foreground[::-1], np.uint8), bgr.shape), alpha, background)
        for foreground, background in pairs
    ]


def icon_of(brand: str, packs: Iterable[Sequence[Icon]]) -> Icon | None:
    """The first icon of the brand."""
    key = key_of(brand)
    return next((icon for pack in packs for icon in pack if icon.key == key), None)


def is_of(icon: Icon, brand_keys: frozenset[str]) -> bool:
    """Whether the icon's name starts with the words of one of these brands: ``Yahoo Mail`` belongs to Yahoo, but
    Minikube not to Mini."""
    line = line_of(icon.name)
    return any(line.key[:end] in brand_keys for end in line.cuts[1:])


def _color(hexadecimal: str) -> Color:
    red, green, blue = (int(pair, 16) for pair in re.findall("..", hexadecimal))
    return red, green, blue


def _on(bgr: NDArray[np.uint8], alpha: NDArray[np.uint8], background: Color) -> Image:
    """The logo on a plain background with a margin."""
    margin = round(MARGIN * SIDE_PX)
    share = alpha / np.float32(255)
    padded = np.empty((bgr.shape[0] + 2 * margin, bgr.shape[1] + 2 * margin, 3), np.uint8)
    padded[:] = background[::-1]
    padded[margin:-margin, margin:-margin] = np.rint(share * bgr + (1 - share) * np.array(background[::-1], np.float32))
    return padded
