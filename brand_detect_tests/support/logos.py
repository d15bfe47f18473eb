"""Logos for tests: drawn here, each different from the others."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from brand_detect.domain.protocols import Rgba

PATHS = {
    "disc": "M2 12a10 10 0 1 0 20 0a10 10 0 1 0-20 0",
    "triangle": "M12 2L22 22H2z",
    "cross": "M9 2h6v7h7v6h-7v7H9v-7H2V9h7z",
    "stairs": "M2 22V2h6v6h6v6h8v8z",
}


def svg(shape: str = "disc", fill: str = "#e30613", extra: str = "") -> bytes:
    """A drawing of 24 units a side with a margin of 2."""
    path = PATHS.get(shape, shape)
    art = f'<path fill="{fill}" d="{path}"/>{extra}'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">{art}</svg>'.encode()


def pixels(width: int = 120, height: int = 60, *, margin: int = 0, bright: int = 200, suffix: str = ".png") -> bytes:
    """A picture of pixels: a bright bar on blue, in PNG with a transparent margin of ``margin``."""
    picture: Rgba = np.zeros((height, width, 4), np.uint8)
    picture[margin : height - margin, margin : width - margin] = (120, 40, 10, 255)
    picture[height // 3 : height // 2, margin + 2 : width // 2] = (bright, bright, bright, 255)
    ok, data = cv2.imencode(suffix, picture if suffix == ".png" else picture[..., :3])
    assert ok
    return data.tobytes()


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Files of a catalogue's folder, by their paths in it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
