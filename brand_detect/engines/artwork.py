"""Renders pictures of logos: SVG through resvg, PNG and JPEG through Pillow."""

import io
import xml.etree.ElementTree as ET

import numpy as np

from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import Rgba
from brand_detect.engines.drawing import Drawing

MOST_PIXELS = 50_000_000
"""50 megapixels take 200 MB when decoded."""
DEEPEST = 200
"""Deepest nesting of elements: resvg recurses into them."""
VISIBLE = 8
"""Alpha from which a pixel belongs to the picture."""
LARGEST_PX = 4096
"""Largest side of a page drawn in order to crop its logo."""
UNSAFE = {
    "text": ("uses fonts, which other machines may lack", "convert its text to paths"),
    "image": ("embeds a raster image", "save that image as PNG and use it instead"),
    "pattern": ("is filled with a pattern", "save it as PNG"),  # of any size: resvg could exhaust memory
    "foreignObject": ("contains foreign content", "save it as PNG"),
}
_DRAWING = Drawing()


class VectorAndPixelArtwork:
    """The ``Artwork`` of the project."""

    @property
    def identity(self) -> str:
        import PIL
        import resvg_py

        return f"resvg_py {resvg_py.__version__}, pillow {PIL.__version__}"

    def render(self, data: bytes, suffix: str, longest_side_px: int) -> Rgba:
        return _drawn(data, longest_side_px) if suffix == "svg" else _photographed(data, suffix, longest_side_px)


def _drawn(svg: bytes, longest_side_px: int) -> Rgba:
    text = _safe(svg)
    rough = _visible(_resvg(text, longest_side_px))
    found_px = max(rough.shape[:2])
    if found_px == longest_side_px:
        return rough
    wanted_px = 1.1 * longest_side_px**2 / found_px  # slightly more: the margin is only known to a pixel
    return _at_most(_visible(_resvg(text, min(round(wanted_px), LARGEST_PX))), longest_side_px)


def _resvg(text: str, side_px: int) -> Rgba:
    try:
        png = _DRAWING.png(text, side_px)
    except ValueError as e:
        raise BadInput(f"it cannot be drawn ({e})", "open it in a browser to see what is wrong") from e
    return _unpacked(png, "png")


def _safe(svg: bytes) -> str:
    """Decodes the SVG; rejects content that differs between machines or crashes resvg."""
    depth = 0
    try:
        for event, element in ET.iterparse(io.BytesIO(svg), events=("start", "end")):
            depth += 1 if event == "start" else -1
            name = element.tag.rpartition("}")[2]
            if name in UNSAFE:
                what, hint = UNSAFE[name]
                raise BadInput(f"it {what}", hint)
            if depth > DEEPEST:
                raise BadInput(f"its elements are nested more than {DEEPEST} deep", "save it as PNG")
        return svg.decode("utf-8-sig")
    except (ET.ParseError, UnicodeDecodeError) as e:
        raise BadInput(f"it is not SVG ({e})", "save it again as plain SVG in UTF-8") from e


def _photographed(data: bytes, suffix: str, longest_side_px: int) -> Rgba:
    return _at_most(_visible(_unpacked(data, suffix)), longest_side_px)


def _unpacked(data: bytes, suffix: str) -> Rgba:
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=[suffix]) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise BadInput(f"it has {width}x{height} pixels", f"use one of at most {MOST_PIXELS:,}")
            return np.array(ImageOps.exif_transpose(picture).convert("RGBA"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:  # all that Pillow raises on bad files
        raise BadInput(f"it is not a readable {suffix.upper()}", "open it in a viewer and save it again") from e


def _visible(picture: Rgba) -> Rgba:
    """The picture without its transparent margin."""
    rows, columns = (np.flatnonzero((picture[..., 3] >= VISIBLE).any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        raise BadInput("it is empty: every pixel is transparent", "check whether its shapes have a fill")
    cut = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if (cut == cut[0, 0]).all():
        raise BadInput("it is a single plain colour", "check whether any shapes are missing")
    return cut


def _at_most(picture: Rgba, longest_side_px: int) -> Rgba:
    from PIL import Image

    height, width = picture.shape[:2]
    scale = longest_side_px / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(
        Image.fromarray(picture).resize(size, Image.Resampling.HAMMING)
    )  # alpha-aware, and never overshoots
