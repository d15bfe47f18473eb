"""Drawing through Pillow, whose built-in font has the accents of brand names."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from brand_detect.domain.protocols import Image, Label, Shape

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont


class PillowCanvas:
    """The ``Canvas`` of the project."""

    def resize(self, image: Image, width_px: int, height_px: int) -> Image:
        from PIL import Image as Pil

        small = Pil.fromarray(image).resize((width_px, height_px), Pil.Resampling.LANCZOS, reducing_gap=2.0)
        return np.asarray(small)

    def draw(self, image: Image, shapes: Sequence[Shape | Label]) -> Image:
        from PIL import Image as Pil
        from PIL import ImageDraw, ImageFont

        sheet = Pil.fromarray(np.ascontiguousarray(image[..., ::-1]))
        pen = ImageDraw.Draw(sheet)
        for shape in shapes:
            if isinstance(shape, Label):
                font = ImageFont.load_default(shape.size_px)
                pen.text((shape.x, shape.y), _fit(shape.text, font, shape.max_width_px), shape.color, font)
            elif shape.line_px:
                corners = list(shape.corners)
                pen.line([*corners, corners[0]], shape.color, shape.line_px, joint="curve")
            else:
                pen.polygon(list(shape.corners), shape.color)
        return np.asarray(sheet)[..., ::-1].copy()


def _fit(text: str, font: "FreeTypeFont | ImageFont", width_px: float) -> str:
    """``text`` on one line, cut short with an ellipsis where it is too wide."""
    line = " ".join(text.split())
    if font.getlength(line[:1000]) <= width_px:
        return line[:1000]
    fits = next(n for n in range(min(len(line), 1000), -1, -1) if font.getlength(f"{line[:n]}…") <= width_px or n == 0)
    return f"{line[:fits]}…"
