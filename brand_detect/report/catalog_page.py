"""A catalogue's logos as the embedder sees them: on light and dark background, large and small, on one HTML page."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from brand_detect.domain.backgrounds import on_background, on_contrast
from brand_detect.domain.catalog import Brand, BrandCatalog, Exemplar
from brand_detect.domain.protocols import Canvas, Image, ImageCodec, Rgba
from brand_detect.report.pages import template
from brand_detect.report.pictures import EMBEDDED_BYTES, encoded

SIZES_PX = (112, 48, 24)
"""Sizes in px: a close-up, a board near the camera, a board at the far side."""
BACKGROUNDS = ((255, 255, 255), (24, 28, 33))
GAP_PX = 8
WIDTH_PX, HEIGHT_PX = sum(SIZES_PX) + SIZES_PX[0] + GAP_PX * (len(SIZES_PX) + 2), SIZES_PX[0] + 2 * GAP_PX
"""Size of one logo's row on one background."""
QUALITY = 92
"""JPEG quality; high, because at 24 px its blocks would hide details."""
CELL_PX, COLUMNS, MOST_CELLS = 64, 10, 50
"""Size of the picture of a whole catalogue."""

Draw = Callable[[Exemplar, int], Rgba]
"""Renders an exemplar, with a limit in px for its longest side."""


@dataclass(frozen=True)
class Row:
    """A brand, with a picture of each exemplar as a data URI."""

    brand: Brand
    pictures: tuple[str, ...]


def render(catalog: BrandCatalog, brands: Sequence[Brand], draw: Draw, canvas: Canvas, codec: ImageCodec) -> str:
    """The page about ``brands`` of ``catalog``."""
    rows = [Row(brand, tuple(_uri(strip(e, draw, canvas), codec) for e in brand.exemplars)) for brand in brands]
    return template("brands.html").render(
        catalog=catalog, rows=rows, sizes=SIZES_PX, width=WIDTH_PX, height=len(BACKGROUNDS) * HEIGHT_PX
    )


def strip(exemplar: Exemplar, draw: Draw, canvas: Canvas) -> Image:
    """An exemplar at all sizes, and the smallest enlarged to the largest, in one row per background."""
    drawn = [draw(exemplar, size_px) for size_px in SIZES_PX]
    return np.vstack([_line(drawn, background, canvas) for background in BACKGROUNDS])


def _line(drawn: Sequence[Rgba], background: tuple[int, int, int], canvas: Canvas) -> Image:
    largest_px = SIZES_PX[0]
    squares = [on_background(picture, background, size_px) for picture, size_px in zip(drawn, SIZES_PX, strict=True)]
    squares.append(canvas.resize(squares[-1], largest_px, largest_px))
    line = np.full((HEIGHT_PX, WIDTH_PX, 3), background[::-1], np.uint8)
    left = GAP_PX
    for square in squares:
        side = square.shape[0]
        top = (HEIGHT_PX - side) // 2
        line[top : top + side, left : left + side] = square
        left += side + GAP_PX
    return line


def overview(catalog: BrandCatalog, draw: Draw, codec: ImageCodec) -> bytes | None:
    """The catalogue's first logos, one per brand, in one JPEG for a metadata entry; None without logos."""
    first = [brand.exemplars[0] for brand in catalog.brands if brand.exemplars][:MOST_CELLS]
    if not first:
        return None
    columns = min(COLUMNS, len(first))
    cell = CELL_PX + GAP_PX
    sheet = np.full((-(-len(first) // columns) * cell + GAP_PX, columns * cell + GAP_PX, 3), 128, np.uint8)
    for n, exemplar in enumerate(first):
        top, left = (GAP_PX + k * cell for k in divmod(n, columns))
        sheet[top : top + CELL_PX, left : left + CELL_PX] = on_contrast(draw(exemplar, CELL_PX), CELL_PX)
    return encoded(sheet, codec, EMBEDDED_BYTES)


def _uri(picture: Image, codec: ImageCodec) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(codec.encode(picture, QUALITY, 0)).decode()}"
