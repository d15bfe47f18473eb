"""Pictures of logos: SVG through resvg, PNG and JPEG through Image."""

import io
import xml.etree.ElementTree as ET

import numpy as np

from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import Rgba

MOST_PIXELS = 50_000_000
"""A picture of 50 megapixels takes 200 MB when it is unpacked."""
DEEPEST = 200
"""Elements inside each other; resvg recurses into them."""
VISIBLE = 8
"""Alpha from which a pixel belongs to the picture."""
LARGEST_PX = 4096
"""Side of the largest page that is drawn to get at the mark on it."""
UNSAFE = {
    "text": ("writes with a font, which other machines may not have", "convert its texts to paths"),
    "image": ("holds a picture of pixels", "save that picture as PNG and give it instead"),
    "pattern": ("is filled with a pattern", "save it as PNG"),  # of any size: resvg would take all memory
    "foreignObject": ("holds what is no drawing", "save it as PNG"),
}


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
    wanted_px = 1.1 * longest_side_px**2 / found_px  # a little more: the margin is known to a pixel only
    return _at_most(_visible(_resvg(text, min(round(wanted_px), LARGEST_PX))), longest_side_px)


def _resvg(text: str, side_px: int) -> Rgba:
    """The drawing, fitted into a square: its own size, which may be anything, is not asked."""
    import resvg_py

    try:
        png = resvg_py.svg_to_bytes(svg_string=text, width=side_px, height=side_px, skip_system_fonts=True)
    except ValueError as e:
        raise BadInput(f"it cannot be drawn ({e})", "open it in a browser to see what is wrong") from e
    return _unpacked(png, "png")


def _safe(svg: bytes) -> str:
    """The drawing's text, if it holds nothing that would differ between machines or bring resvg down."""
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
        raise BadInput(f"it is no SVG ({e})", "save it again as plain SVG in UTF-8") from e


def _photographed(data: bytes, suffix: str, longest_side_px: int) -> Rgba:
    return _at_most(_visible(_unpacked(data, suffix)), longest_side_px)


def _unpacked(data: bytes, suffix: str) -> Rgba:
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=[suffix]) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise BadInput(f"it has {width}x{height} pixels", f"give one of at most {MOST_PIXELS:,}")
            return np.array(ImageOps.exif_transpose(picture).convert("RGBA"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:  # Pillow's ways to say so
        raise BadInput(f"it is no {suffix.upper()} that can be read", "open it in a viewer, and save it again") from e


def _visible(picture: Rgba) -> Rgba:
    """The picture without its transparent margin."""
    rows, columns = (np.flatnonzero((picture[..., 3] >= VISIBLE).any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        raise BadInput("it is empty: every pixel is transparent", "see whether its shapes have a fill")
    cut = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if (cut == cut[0, 0]).all():
        raise BadInput("it shows nothing but one plain colour", "see whether its shapes are all there")
    return cut


def _at_most(picture: Rgba, longest_side_px: int) -> Rgba:
    from PIL import Image

    height, width = picture.shape[:2]
    scale = longest_side_px / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.HAMMING))  # by alpha, and never overshoots
