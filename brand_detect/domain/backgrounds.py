"""Composites pictures with transparency onto a plain background."""

import numpy as np

from brand_detect.domain.protocols import Color, Image, Rgba

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
_VISIBLE = 8  # alpha
_LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue: ITU-R BT.601


def on_background(picture: Rgba, background: Color, side_px: int) -> Image:
    """The picture, at most ``side_px`` a side, centred on a square of one colour."""
    height, width = picture.shape[:2]
    square = np.full((side_px, side_px, 3), background[::-1], np.uint8)
    top, left = (side_px - height) // 2, (side_px - width) // 2
    place = square[top : top + height, left : left + width]
    alpha = picture[..., 3:].astype(np.float32) / 255
    place[:] = (picture[..., 2::-1] * alpha + place * (1 - alpha)).round().astype(np.uint8)
    return square


def on_contrast(picture: Rgba, side_px: int) -> Image:
    """A dark picture on white, a bright one on black."""
    luma = (picture[..., :3] @ _LUMA)[picture[..., 3] >= _VISIBLE]
    return on_background(picture, WHITE if luma.mean() < 128 else BLACK, side_px)
