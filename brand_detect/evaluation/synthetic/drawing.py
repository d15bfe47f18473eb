"""Draws the contents of generated footage: lettering, boards, a stadium, a sponsor wall, players and a scoreboard.

A camera on a tripod turns and zooms but does not move, so every picture of a shot is a homography of one wide *set*. A
set is drawn once and stored as YUV planes; each picture then costs one warp of 1.5 bytes a pixel. Fonts are those in
OpenCV 5, so that a seed gives the same pictures on every machine.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.placements import Placement

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
Point = tuple[float, float, float]

BOARD_M = 1.1  # height of an advertising board
BOARDS_Y = 72.0  # the far row of boards stands 4 m behind the touchline
GOAL_BOARDS_X = 57.0
_ARC = np.linspace(0, 2 * np.pi, 91)
MARKINGS: tuple[Array, ...] = tuple(
    np.asarray(path, float)
    for path in (
        [(-52.5, 0), (-52.5, 68), (52.5, 68), (52.5, 0), (-52.5, 0)],
        [(0, 0), (0, 68)],
        np.stack([9.15 * np.cos(_ARC), 34 + 9.15 * np.sin(_ARC)], axis=1),
        [(52.5, 54.16), (36, 54.16), (36, 13.84), (52.5, 13.84)],
        [(52.5, 43.16), (47, 43.16), (47, 24.84), (52.5, 24.84)],
        [(-52.5, 54.16), (-36, 54.16), (-36, 13.84), (-52.5, 13.84)],
    )
)
PALETTE: tuple[tuple[Colour, Colour], ...] = (  # (background, foreground), B G R
    ((30, 30, 190), (255, 255, 255)),
    ((70, 105, 20), (255, 255, 255)),
    ((245, 245, 245), (110, 40, 10)),
    ((110, 45, 15), (255, 255, 255)),
    ((25, 25, 25), (60, 210, 250)),
    ((40, 190, 250), (30, 20, 20)),
    ((245, 245, 245), (40, 30, 200)),
    ((22, 20, 20), (250, 250, 250)),
    ((165, 115, 20), (250, 250, 250)),
    ((235, 235, 235), (50, 100, 20)),
    ((90, 30, 80), (240, 240, 240)),
    ((40, 105, 235), (255, 255, 255)),
)
LOGOS: dict[str, str] = {  # textless logos: names and paths in a square of 24, filled by the even-odd rule
    "Arvelo": "M12 1a11 11 0 1 0 0 22 11 11 0 1 0 0-22zm0 4a7 7 0 1 1 0 14 7 7 0 1 1 0-14zM0 10h24v4H0z",
    "Brisk": "M0 12C5 1 19 1 24 12 19 23 5 23 0 12zm5 0c3 6 11 6 14 0-3-6-11-6-14 0zm7-3a3 3 0 1 0 .1 0z",
    "Corvex": "M2 4h6l7 8-7 8H2l7-8zM11 4h4l7 8-7 8h-4l7-8z",
    "Delmar": "M12 0l3.5 7.6 8.3.9-6.2 5.6 1.8 8.2L12 18l-7.4 4.3 1.8-8.2L.2 8.5l8.3-.9z",
    "Estiva": "M11 11H5a5 5 0 1 1 6-6zM13 11V5a5 5 0 1 1 6 6zM13 13h6a5 5 0 1 1-6 6zM11 13v6a5 5 0 1 1-6-6z",
    "Fjorda": "M12 0l10.4 6v12L12 24 1.6 18V6zm0 5L6 16h12z",
    "Gavano": "M15 1a11 11 0 1 0 8 15A9 9 0 1 1 15 1zM19 6a3 3 0 1 0 .1 0z",
    "Helmio": "M1 20L3 5l6 7 3-9 3 9 6-7 2 15zm0 1.5h22V24H1z",
    "Isoro": "M0 6q6-8 12 0t12 0v4q-6 8-12 0T0 10zM0 15q6-8 12 0t12 0v4q-6 8-12 0T0 19z",
    "Jantar": (
        "M0 0h11v11a11 11 0 0 1-11-11zM13 11a11 11 0 0 1 11-11v11zM0 24a11 11 0 0 1 11-11v11z"
        "M13 13h11v11a11 11 0 0 1-11-11z"
    ),
    "Kolvia": "M3 0h18l3 3v18l-3 3H3l-3-3V3zm2 12l7 7 7-7h-4V5h-6v7z",
    "Lunero": "M12 0c6 8 9 11 9 15a9 9 0 1 1-18 0c0-4 3-7 9-15zm0 8c-3 4-4 5-4 7a4 4 0 1 0 8 0c0-2-1-3-4-7z",
}
_STROKES = 2  # a logo is legible at the width of this many legible letters


@dataclass(frozen=True)
class Style:
    """The style of a brand's name, the same wherever it is shown."""

    face: str  # sans | italic | uni
    weight: int  # 100..900, for the variable faces
    stretch: float  # width against the font's own
    spacing: float  # extra space between letters, in letter heights
    upper: bool
    outlined: bool
    background: Colour
    foreground: Colour
    emblem: int  # corners of the emblem beside the name; 0 = none, 1 = a disc
    logo: str = ""  # path of the logo shown instead of the name; "" = the name


@dataclass(frozen=True)
class Brand:
    name: str
    style: Style


def brand_of(name: str, index: int, rng: np.random.Generator) -> Brand:
    """The ``index``-th brand: faces and colours in turn, the rest random."""
    background, foreground = PALETTE[index % len(PALETTE)]
    if name in LOGOS:
        return Brand(name, Style("sans", 400, 1.0, 0.0, False, False, background, foreground, 0, LOGOS[name]))
    style = Style(
        face=("sans", "italic", "uni")[index % 3],
        weight=int(rng.choice([400, 600, 800])),
        stretch=float(rng.choice([0.85, 1.0, 1.0, 1.2])),
        spacing=float(rng.choice([0.0, 0.0, 0.05, 0.12])),
        upper=bool(rng.random() < 0.6),
        outlined=index % 5 == 4,
        background=background,
        foreground=foreground,
        emblem=int(rng.choice([0, 0, 1, 3, 4, 6])),
    )
    return Brand(name, style)


def lettering(text: str, style: Style, capital_px: int = 96) -> Picture:
    """``text`` as a coverage mask, uint8 (h, w), cropped to the letters; a capital is about ``capital_px`` high."""
    import cv2

    if style.logo:
        return logo_mask(style.logo, capital_px)
    shown = text.upper() if style.upper else text
    size = round(capital_px / 0.72)  # the faces' capitals are 0.72 of their size
    face = cv2.FontFace(style.face)
    mask = np.zeros((2 * size, size * (len(shown) + 2)), np.uint8)
    x = size // 2
    for letter in shown:
        (x, _), _ = cv2.putText(mask, letter, (x, round(1.4 * size)), (255, 255, 255), face, size, style.weight)
        x += round(style.spacing * capital_px)
    left, top, width, height = cv2.boundingRect(mask)
    mask = mask[top : top + height, left : left + width]
    return resize(mask, (max(1, round(width * style.stretch)), height))


def logo_svg(path: str) -> str:
    """A logo as an SVG file, black on transparent, for a catalogue."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path fill-rule="evenodd" d="{path}"/></svg>'


def logo_mask(path: str, height_px: int) -> Picture:
    """A logo as a coverage mask, uint8 (h, w), cropped to its shape; its square is ``2 * height_px`` high."""
    import cv2
    import resvg_py

    png = bytes(resvg_py.svg_to_bytes(svg_string=logo_svg(path), width=2 * height_px))
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    left, top, width, height = cv2.boundingRect(image[..., 3])
    return image[top : top + height, left : left + width, 3]  # pyright: ignore[reportReturnType]


def resize(picture: Picture, size: tuple[int, int]) -> Picture:
    import cv2

    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # pyright: ignore[reportReturnType]


def board(brand: Brand, width_px: int, height_px: int) -> tuple[Picture, Array]:
    """An advertising board (h, w, 3) and the corners of its lettering, outline included, (4, 2) px."""
    import cv2

    style = brand.style
    picture = np.full((height_px, width_px, 3), style.background, np.uint8)
    mask = lettering(brand.name, style)
    room = 0.6 * width_px if style.emblem else 0.86 * width_px
    scale = min(0.56 * height_px / mask.shape[0], room / mask.shape[1])
    mask = resize(mask, (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))))
    height, width = mask.shape
    side = round(0.6 * height_px) if style.emblem else 0
    x = (width_px - width + round(1.5 * side)) // 2
    y = (height_px - height) // 2
    if style.emblem:
        _emblem(picture, (x - side, height_px / 2), side / 2, style)
    rim = max(1, height // 20) if style.outlined else 0
    if rim:
        padded = np.pad(mask, rim)
        edge = cv2.dilate(padded, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1)))
        paint(picture, tuple(c // 3 for c in style.foreground), edge, x - rim, y - rim)  # pyright: ignore[reportArgumentType]
    paint(picture, style.foreground, mask, x, y)
    left, top, right, bottom = x - rim, y - rim, x + width + rim, y + height + rim
    return picture, np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def paint(picture: Picture, colour: Colour, mask: Picture, x: int, y: int) -> None:
    """Blends ``colour`` into ``picture`` through ``mask``, whose top left is at (x, y); clipped to the picture."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + mask.shape[1]), min(height, y + mask.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    alpha = mask[y0 - y : y1 - y, x0 - x : x1 - x, None] / 255
    under = picture[y0:y1, x0:x1]
    under[:] = (under + (np.array(colour) - under) * alpha).astype(np.uint8)


def _emblem(picture: Picture, centre: tuple[float, float], radius: float, style: Style) -> None:
    import cv2

    if style.emblem == 1:
        cv2.circle(picture, (round(centre[0]), round(centre[1])), round(radius), style.foreground, -1, cv2.LINE_AA)
        cv2.circle(picture, (round(centre[0]), round(centre[1])), round(radius / 2), style.background, -1, cv2.LINE_AA)
        return
    turn = np.arange(style.emblem) * 2 * np.pi / style.emblem - np.pi / 2
    for size, colour in ((radius, style.foreground), (0.45 * radius, style.background)):
        corners = np.stack([centre[0] + size * np.cos(turn), centre[1] + size * np.sin(turn)], axis=1)
        cv2.fillPoly(picture, [corners.round().astype(np.int32)], colour, cv2.LINE_AA)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without roll. World axes in m: x along the touchline, y away from the main stand, z up."""

    place: Point
    target: Point
    focal_px: float
    size: tuple[int, int]  # width, height

    @cached_property
    def matrix(self) -> Array:
        """K R, shape (3, 3): maps directions from the camera to homogeneous px."""
        ahead = np.subtract(self.target, self.place)
        ahead = ahead / np.linalg.norm(ahead)
        right = np.cross(ahead, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        turn = np.stack([right, np.cross(ahead, right), ahead])
        width, height = self.size
        return np.array([[self.focal_px, 0, width / 2], [0, self.focal_px, height / 2], [0, 0, 1]]) @ turn

    def project(self, points: Sequence[Point] | Array) -> Array:
        """Projects world points (n, 3) in m to px (n, 2). Points behind the camera are moved to just in front of it."""
        seen = (np.asarray(points, float) - self.place) @ self.matrix.T
        return seen[:, :2] / np.maximum(seen[:, 2:], 0.1)


@dataclass
class Planes:
    """A picture as YUV 4:2:0 planes, limited range: y (h, w), u and v (h/2, w/2), uint8. Sizes are even."""

    y: Picture
    u: Picture
    v: Picture

    @classmethod
    def of(cls, picture: Picture) -> "Planes":
        """From a B, G, R picture, an odd last row or column cut off."""
        import cv2

        height, width = (n // 2 * 2 for n in picture.shape[:2])
        even = np.ascontiguousarray(picture[:height, :width])
        flat = np.asarray(cv2.cvtColor(even, cv2.COLOR_BGR2YUV_I420), np.uint8)
        quarter = height * width // 4
        chroma = flat.reshape(-1)[height * width :]
        u, v = (chroma[k * quarter : (k + 1) * quarter].reshape(height // 2, width // 2) for k in (0, 1))
        return cls(flat[:height].copy(), u.copy(), v.copy())

    def bgr(self) -> Picture:
        """As a B, G, R picture."""
        import cv2

        flat = np.concatenate([p.reshape(-1) for p in (self.y, self.u, self.v)]).reshape(-1, self.y.shape[1])
        return cv2.cvtColor(flat, cv2.COLOR_YUV2BGR_I420)  # pyright: ignore[reportReturnType]

    def each(self) -> tuple[Picture, Picture, Picture]:
        return self.y, self.u, self.v

    def copy(self) -> "Planes":
        return Planes(self.y.copy(), self.u.copy(), self.v.copy())

    def warp(self, homography: Array, size: tuple[int, int]) -> "Planes":
        """Warped by ``homography`` (3, 3), which maps px of this picture to px of the new one."""
        import cv2

        half = np.diag([0.5, 0.5, 1.0])
        small = half @ homography @ np.linalg.inv(half)
        width, height = size
        steps = ((homography, (width, height)), (small, (width // 2, height // 2)), (small, (width // 2, height // 2)))
        return Planes(
            *(
                cv2.warpPerspective(plane, h, s, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # pyright: ignore[reportArgumentType]
                for plane, (h, s) in zip(self.each(), steps, strict=True)
            )
        )

    def blur(self, dx_px: float, dy_px: float) -> "Planes":
        """Blurred by the camera's motion of (dx, dy) px while the shutter is open."""
        import cv2

        out = []
        for plane, scale in zip(self.each(), (1, 2, 2), strict=True):
            kernel = (1 + round(abs(dx_px) / scale), 1 + round(abs(dy_px) / scale))
            out.append(cv2.blur(plane, kernel) if kernel != (1, 1) else plane)
        return Planes(*out)

    def mix(self, other: "Planes", share: float) -> "Planes":
        """``share`` of ``other``, the rest of this."""
        import cv2

        pairs = zip(self.each(), other.each(), strict=True)
        return Planes(*(cv2.addWeighted(a, 1 - share, b, share, 0) for a, b in pairs))  # pyright: ignore[reportArgumentType]

    def lay(self, sprite: "Sprite", x: float, y: float) -> None:
        """Draws a sprite with its top left at (x, y), rounded to even px; clipped to the picture."""
        left, top = 2 * round(x / 2), 2 * round(y / 2)
        for plane, over, alpha, scale in zip(self.each(), sprite.planes.each(), sprite.alphas, (1, 2, 2), strict=True):
            height, width = plane.shape
            px, py = left // scale, top // scale
            x0, y0, x1, y1 = max(0, px), max(0, py), min(width, px + over.shape[1]), min(height, py + over.shape[0])
            if x0 < x1 and y0 < y1:
                cut = (slice(y0 - py, y1 - py), slice(x0 - px, x1 - px))
                under = plane[y0:y1, x0:x1]
                a = alpha[cut].astype(np.int16)
                under[:] = under + ((over[cut].astype(np.int16) - under) * a // 255).astype(np.int16)


@dataclass(frozen=True)
class Sprite:
    """A small picture with coverage, ready to be laid over planes."""

    planes: Planes
    alphas: tuple[Picture, Picture, Picture]

    @classmethod
    def of(cls, picture: Picture, alpha: Picture) -> "Sprite":
        """From B, G, R (h, w, 3) and coverage (h, w), both cut to even sizes."""
        height, width = (n // 2 * 2 for n in alpha.shape)
        alpha = np.ascontiguousarray(alpha[:height, :width])
        small = resize(alpha, (width // 2, height // 2))
        return cls(Planes.of(picture), (alpha, small, small))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px."""
        height, width = self.alphas[0].shape
        return width, height


@dataclass(frozen=True)
class Lettering:
    """A brand's lettering on a picture: its corners (4, 2) px, clockwise from the text's top left."""

    brand: str
    quad: Array
    placement: Placement = Placement.board
    place: int = -1  # of a board in the stadium

    @property
    def letters(self) -> int:
        return _STROKES if self.brand in LOGOS else len(self.brand)


@dataclass(frozen=True)
class Set:
    """All that a camera can turn to in a shot, seen by one wide camera."""

    planes: Planes
    texts: tuple[Lettering, ...]
    camera: Camera | None  # None for a flat picture shown as it is


def _in_front(camera: Camera, points: Sequence[Point] | Array) -> Array:
    """A polygon (n, 3), cut off 1 m before the camera; may be empty."""
    kept: list[Array] = []
    corners = np.asarray(points, float)
    depths = (corners - camera.place) @ camera.matrix[2] - 1.0
    for k, (corner, depth) in enumerate(zip(corners, depths, strict=True)):
        if (depth > 0) != (depths[k - 1] > 0):
            kept.append(corner + (corners[k - 1] - corner) * depth / (depth - depths[k - 1]))
        if depth > 0:
            kept.append(corner)
    return np.array(kept).reshape(-1, 3)


def _fill(picture: Picture, camera: Camera, points: Sequence[Point] | Array, colour: Colour) -> None:
    import cv2

    corners = _in_front(camera, points)
    if len(corners):
        path = (camera.project(corners) * 16).round().clip(-(2**24), 2**24).astype(np.int32)
        cv2.fillPoly(picture, [path], colour, cv2.LINE_AA, 4)


def _stroke(picture: Picture, camera: Camera, path: Sequence[tuple[float, float]] | Array) -> None:
    """A white line on the grass along ``path`` (n, 2), 0.2 m wide."""
    points = np.asarray(path, float)
    for start, end in pairwise(points):
        along = (end - start) / np.linalg.norm(end - start) * 0.1
        across = np.array([-along[1], along[0]])
        sides = [start - along + across, end + along + across, end + along - across, start - along - across]
        _fill(picture, camera, np.pad(np.array(sides), ((0, 0), (0, 1))), (222, 232, 226))


def _face(picture: Picture, camera: Camera, corners: Sequence[Point], texture: Picture) -> Array:
    """Paint ``texture`` on the world's rectangle ``corners`` (clockwise from its top left); returns the homography."""
    import cv2

    height, width = texture.shape[:2]
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    homography = cv2.getPerspectiveTransform(flat, camera.project(corners).astype(np.float32))
    seen = camera.project(corners)
    x0, y0 = np.maximum(np.floor(seen.min(axis=0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(seen.max(axis=0)).astype(int) + 1, camera.size)
    if x0 < x1 and y0 < y1:
        local = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], float) @ homography
        size = (int(x1 - x0), int(y1 - y0))
        over = cv2.warpPerspective(texture, local, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.warpPerspective(np.ones((height, width), np.uint8), local, size, flags=cv2.INTER_NEAREST)
        np.copyto(picture[y0:y1, x0:x1], over, where=np.asarray(inside, bool)[..., None])
    return np.asarray(homography, float)


def _crowd(rng: np.random.Generator, rows: int, seats: int) -> Picture:
    """A stand full of people: a head and a shirt per seat, gangways between blocks, (rows * 8, seats * 6, 3)."""
    import cv2

    shirts = np.array([[60, 50, 45], [40, 40, 150], [190, 190, 195], [120, 70, 40], [35, 35, 35], [70, 120, 170]])
    colours = shirts[rng.choice(len(shirts), (rows, seats), p=[0.3, 0.2, 0.17, 0.13, 0.15, 0.05])]
    colours = colours * rng.uniform(0.55, 1.05, (rows, seats, 1))
    colours[rng.random((rows, seats)) < 0.08] = (50, 38, 34)  # an empty seat
    heads = rng.uniform(0.4, 0.9, (rows, seats, 1)) * np.array([125, 155, 205])
    picture = np.zeros((rows, 8, seats, 6, 3))
    picture[:, 3:8] = colours[:, None, :, None]
    picture[:, 0:3, :, 1:5] = heads[:, None, :, None]
    picture[:, :, :: max(18, seats // 9)] = (72, 66, 62)
    light = np.linspace(0.55, 1.0, rows)[:, None, None, None, None]
    flat = (picture * light).reshape(rows * 8, seats * 6, 3)
    return cv2.GaussianBlur(np.clip(flat, 0, 255).astype(np.uint8), (5, 5), 0)  # pyright: ignore[reportReturnType]


def stadium(camera: Camera, rng: np.random.Generator) -> Picture:
    """Stands, pitch and goal as ``camera`` sees them, without boards."""
    import cv2

    width, height = camera.size
    picture = np.full((height, width, 3), (38, 28, 24), np.uint8)  # the dark under the roof
    first = next(x for x in range(-95, 60) if len(_in_front(camera, [(x, 76, 2.2), (x, 106, 22)])) == 2)
    last = next(y for y in range(-30, 76) if len(_in_front(camera, [(61, y, 2.2), (92, y, 22)])) == 2)
    far = [(first, 106, 22), (100, 106, 22), (100, 76, 2.2), (first, 76, 2.2)]
    _face(picture, camera, far, _crowd(rng, 34, 3 * (100 - first)))
    if camera.target[0] > 20:  # only a camera that looks to the right sees the stand behind the goal
        end = [(92, 106, 22), (92, last, 22), (61, last, 2.2), (61, 106, 2.2)]
        _face(picture, camera, end, _crowd(rng, 34, 3 * (106 - last)))
        _fill(picture, camera, [(61, 76, 2.2), (61, -30, 2.2), (61, -30, 0), (61, 76, 0)], (70, 64, 60))
    _fill(picture, camera, [(-95, 76, 2.2), (61, 76, 2.2), (61, 76, 0), (-95, 76, 0)], (62, 56, 54))
    _fill(picture, camera, [(-95, 76, 0), (61, 76, 0), (61, -30, 0), (-95, -30, 0)], (44, 92, 52))
    for k in range(20):
        x = -52.5 + k * 5.25
        colour = (52, 128, 62) if k % 2 else (46, 112, 54)
        _fill(picture, camera, [(x, 68, 0), (x + 5.25, 68, 0), (x + 5.25, 0, 0), (x, 0, 0)], colour)
    for path in MARKINGS:
        _stroke(picture, camera, path)
    grass = rng.normal(0, 3.0, (height // 2, width // 2)).astype(np.float32)
    noise = cv2.resize(grass, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.add(picture, cv2.merge([noise] * 3), dtype=cv2.CV_8U)  # pyright: ignore[reportReturnType]


def with_boards(
    background: Picture,
    camera: Camera,
    row: Sequence[Brand],
    goal_row: Sequence[Brand],
    lit: Sequence[bool],
    painted: Sequence[tuple[Brand, float, float, float]] = (),
) -> Set:
    """A stadium with ``row`` of boards along the far touchline and ``goal_row`` behind the goal on the right.

    ``lit`` are the boards of both rows that are LEDs, those of ``row`` first. ``painted`` are names on the grass, each
    with the x of its centre, the y of its lower edge, and by how much its letters are stretched.
    """
    picture = background.copy()
    texts: list[Lettering] = []
    for name in painted:
        texts += _paint(picture, camera, *name)
    kinds = [Placement.led if is_led else Placement.board for is_led in lit]
    length = 114 / len(row)
    for k, brand in enumerate(row):
        left, y = -57 + k * length, BOARDS_Y
        texts += _board(picture, camera, brand, (left, y), (left + length, y), kinds[k], k)
    length = 74 / len(goal_row)
    for k, brand in enumerate(goal_row, len(row)):
        x, far = GOAL_BOARDS_X, BOARDS_Y - 0.5 - (k - len(row)) * length
        texts += _board(picture, camera, brand, (x, far), (x, far - length), kinds[k], k)
    _goal(picture, camera)
    return Set(Planes.of(picture), tuple(texts), camera)


PAINTED_M = 22.0  # length of a name painted on the grass


def _paint(picture: Picture, camera: Camera, brand: Brand, x: float, y: float, stretched: float) -> Iterable[Lettering]:
    """Paints a name on the grass, unless part of it is behind the camera; letters are ``stretched`` away from it."""
    import cv2

    mask = lettering(brand.name, brand.style)
    height, width = mask.shape
    half, far = PAINTED_M / 2, y + PAINTED_M * height / width * stretched
    corners = [(x - half, far, 0.0), (x + half, far, 0.0), (x + half, y, 0.0), (x - half, y, 0.0)]
    if len(_in_front(camera, corners)) < len(corners):
        return []
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    homography = cv2.getPerspectiveTransform(flat, camera.project(corners).astype(np.float32))
    seen = cv2.warpPerspective(mask, homography, camera.size, flags=cv2.INTER_AREA)
    paint(picture, (232, 238, 236), np.asarray(seen, np.uint8), 0, 0)
    return [Lettering(brand.name, camera.project(corners), Placement.pitch)]


def _board(
    picture: Picture,
    camera: Camera,
    brand: Brand,
    left: tuple[float, float],
    right: tuple[float, float],
    placement: Placement,
    place: int,
) -> Iterable[Lettering]:
    """Paints a board from ``left`` to ``right``, unless part of it is behind the camera."""
    import cv2

    corners = [(*left, BOARD_M), (*right, BOARD_M), (*right, 0.0), (*left, 0.0)]
    if len(_in_front(camera, corners)) < len(corners):
        return []
    seen = camera.project(corners)
    tall = max(abs(seen[3, 1] - seen[0, 1]), abs(seen[2, 1] - seen[1, 1]))
    height = int(np.clip(round(1.3 * tall), 24, 320))
    texture, foreground = board(
        brand, round(height * float(np.linalg.norm(np.subtract(right, left))) / BOARD_M), height
    )
    texture[:, :2] = texture[:, -2:] = (30, 30, 30)
    homography = _face(picture, camera, corners, texture)
    return [Lettering(brand.name, cv2.perspectiveTransform(foreground[None], homography)[0], placement, place)]


def _goal(picture: Picture, camera: Camera) -> None:
    import cv2

    x, left, right, top = 52.5, 37.66, 30.34, 2.44
    frame = np.array([(x, left, 0), (x, left, top), (x, right, top), (x, right, 0)])
    if len(_in_front(camera, frame)) < len(frame):
        return
    post_px = 0.14 * camera.focal_px / float(np.linalg.norm(frame[0] - camera.place))
    lines = [(frame, post_px)]
    lines += [(np.array([(x, y, top), (x + 2, y, 0)]), 0.2 * post_px) for y in np.linspace(left, right, 25)]
    lines += [(np.array([(x + 2 - z, left, z), (x + 2 - z, right, z)]), 0.2 * post_px) for z in (0.5, 1.0, 1.5)]
    for points, width in lines:
        path = (camera.project(points) * 16).round().astype(np.int32)
        cv2.polylines(picture, [path], False, (225, 230, 228), max(1, round(width)), cv2.LINE_AA, 4)


def sponsor_wall(size: tuple[int, int], brands: Sequence[Brand], rng: np.random.Generator) -> Set:
    """The press room: brands in a grid on a lit wall behind a desk. A static shot."""
    import cv2

    width, height = size
    picture = np.full((height, width, 3), (222, 218, 214), np.uint8)
    texts = []
    columns, rows = 4, 4
    cell_w, cell_h = width / columns, height * 0.7 / rows
    foregrounds = ((110, 40, 10), (40, 30, 170), (30, 30, 30), (60, 100, 20))
    for row in range(rows):
        for column in range(columns):
            brand = brands[(row * (columns + 1) + column) % len(brands)]
            x, y = (column + 0.5) * cell_w, height * 0.13 + (row + 0.5) * cell_h
            mask = lettering(brand.name, brand.style)
            scale = min(0.34 * cell_h / mask.shape[0], 0.74 * cell_w / mask.shape[1])
            mask = resize(mask, (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))))
            h, w = mask.shape
            left, top = round(x - w / 2), round(y - h / 2)
            paint(picture, foregrounds[(row + column) % len(foregrounds)], mask, left, top)
            corners = [[left, top], [left + w, top], [left + w, top + h], [left, top + h]]
            texts.append(Lettering(brand.name, np.array(corners, float)))
    top = round(height * 0.84)
    cv2.rectangle(picture, (0, top), (width, height), (52, 42, 36), -1)
    cv2.rectangle(picture, (0, top), (width, top + max(2, height // 90)), (96, 84, 76), -1)
    for share in (0.36, 0.5, 0.62):  # microphones on the desk
        foot = (round(width * share), round(height * 0.93))
        head = (round(width * (share + 0.012)), round(height * 0.86))
        cv2.line(picture, foot, head, (24, 24, 24), max(2, height // 200), cv2.LINE_AA)
        cv2.ellipse(picture, head, (height // 90, height // 60), 10, 0, 360, (28, 28, 30), -1, cv2.LINE_AA)
        cv2.ellipse(picture, foot, (height // 36, height // 140), 0, 0, 360, (22, 20, 20), -1, cv2.LINE_AA)
    light = cv2.getGaussianKernel(height, height * 0.55) @ cv2.getGaussianKernel(width, width * 0.45).T
    lit = picture * (0.62 + 0.4 * light / light.max())[..., None] + rng.normal(0, 1.0, picture.shape)
    return Set(Planes.of(np.clip(lit, 0, 255).astype(np.uint8)), tuple(texts), None)


def end_card(size: tuple[int, int], brand: Brand) -> Set:
    """The last picture: one brand, large, on its own colour."""
    width, height = size
    shade = np.linspace(1.05, 0.6, height)[:, None, None]
    picture = np.clip(np.full((height, width, 3), brand.style.background) * shade, 0, 255).astype(np.uint8)
    mask = lettering(brand.name, brand.style, 200)
    scale = min(0.16 * height / mask.shape[0], 0.6 * width / mask.shape[1])
    mask = resize(mask, (round(mask.shape[1] * scale), round(mask.shape[0] * scale)))
    h, w = mask.shape
    left, top = (width - w) // 2, round(height * 0.46 - h / 2)
    paint(picture, brand.style.foreground, mask, left, top)
    note = lettering("presented by", Style("sans", 300, 1, 0.02, False, False, (0, 0, 0), brand.style.foreground, 0))
    note = resize(note, (max(1, round(note.shape[1] * 0.035 * height / 96)), max(1, round(0.035 * height))))
    paint(picture, brand.style.foreground, note, (width - note.shape[1]) // 2, round(height * 0.3))
    corners = [[left, top], [left + w, top], [left + w, top + h], [left, top + h]]
    return Set(Planes.of(picture), (Lettering(brand.name, np.array(corners, float), Placement.full_screen),), None)


def caption(size: tuple[int, int], brand: Brand) -> tuple[Sprite, Lettering]:
    """A caption with a sponsor's name, and the name's lettering, relative to the sprite."""
    height, width = round(size[1] * 0.07) // 2 * 2, round(size[0] * 0.26) // 2 * 2
    picture = np.full((height, width, 3), brand.style.background, np.uint8)
    mask = lettering(brand.name, brand.style)
    scale = min(0.55 * height / mask.shape[0], 0.8 * width / mask.shape[1])
    mask = resize(mask, (round(mask.shape[1] * scale), round(mask.shape[0] * scale)))
    h, w = mask.shape
    left, top = (width - w) // 2, (height - h) // 2
    paint(picture, brand.style.foreground, mask, left, top)
    corners = [[left, top], [left + w, top], [left + w, top + h], [left, top + h]]
    sprite = Sprite.of(picture, np.full((height, width), 240, np.uint8))
    return sprite, Lettering(brand.name, np.array(corners, float), Placement.overlay)


@dataclass(frozen=True)
class Figure:
    """A player with the lettering on the shirt, if any, relative to the sprite."""

    sprite: Sprite
    name: Lettering | None


SHIRT_M = 0.42  # width of the lettering on a shirt, of a player of 1.82 m
CHEST = 0.33  # and its height on the figure, from the top


def player(shirt: Colour, shorts: Colour, height_px: int, stride: float, brand: Brand | None = None) -> Figure:
    """A running figure ``height_px`` high; ``stride`` -1..1 swings arms and legs. Its feet are at the bottom centre."""
    import cv2

    big = 240  # drawn large and shrunk, for smooth edges
    picture = np.zeros((big, big // 2, 3), np.uint8)
    alpha = np.zeros((big, big // 2), np.uint8)
    skin, middle = (95, 125, 175), big // 4

    def limb(points: Sequence[tuple[float, float]], colour: Colour, width: int) -> None:
        path = np.array(points, np.int32)
        for image, foreground in ((picture, colour), (alpha, (255, 255, 255))):
            cv2.polylines(image, [path], False, foreground, width, cv2.LINE_AA)

    swing = 24 * stride
    for side in (-1, 1):
        knee = (middle + side * swing, 178)
        limb([(middle + side * 4, 130), knee], shorts, 26)
        limb([knee, (middle + side * swing * 1.3 - 8 * abs(stride), 224)], shirt, 15)
        limb([(middle, 60), (middle - side * (14 + swing * 0.7), 100), (middle - side * swing, 116)], skin, 11)
    limb([(middle, 66), (middle, 120)], shirt, 60 if brand else 38)
    limb([(middle + 1, 26), (middle + 2, 34)], skin, 24)
    limb([(middle, 20), (middle, 22)], (30, 35, 45), 20)
    size = (max(2, height_px // 4 * 2), max(4, height_px // 2 * 2))
    picture, alpha = resize(picture, size), resize(alpha, size)
    name = None
    if brand:
        mask = lettering(brand.name, brand.style)
        scale = min(SHIRT_M / 1.82 * height_px / mask.shape[1], 0.075 * height_px / mask.shape[0])
        mask = resize(mask, (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))))
        h, w = mask.shape
        left, top = (size[0] - w) // 2, round(CHEST * size[1] - h / 2)
        paint(picture, (250, 250, 250) if sum(shirt) < 400 else (60, 20, 20), mask, left, top)
        corners = [[left, top], [left + w, top], [left + w, top + h], [left, top + h]]
        name = Lettering(brand.name, np.array(corners, float), Placement.clothing)
    return Figure(Sprite.of(picture, alpha), name)


def scoreboard(size: tuple[int, int], clock_s: int, channel: Brand) -> tuple[Sprite, Lettering]:
    """The score and clock with the channel's bug beside them, and the bug's lettering, relative to the sprite."""
    unit = max(12, round(size[1] * 0.045)) // 2 * 2
    plain = Style("sans", 700, 1, 0.02, True, False, (0, 0, 0), (255, 255, 255), 0)
    cells: list[tuple[str, float, Colour, Colour]] = [
        (f"{clock_s // 60:02d}:{clock_s % 60:02d}", 2.6, (40, 34, 30), (245, 245, 245)),
        ("NOR", 2.2, (235, 235, 235), (40, 30, 25)),
        ("1-0", 1.8, (40, 34, 30), (245, 245, 245)),
        ("SUD", 2.2, (235, 235, 235), (40, 30, 25)),
    ]
    bug = lettering(channel.name, channel.style)
    bug_w = min(0.6 * unit * bug.shape[1] / bug.shape[0], 9.0 * unit)
    total = round(sum(c[1] for c in cells) * unit + bug_w + 1.6 * unit) // 2 * 2
    picture = np.zeros((unit, total, 3), np.uint8)
    alpha = np.full((unit, total), 235, np.uint8)
    x = 0
    for text, width, background, foreground in cells:
        w = round(width * unit)
        picture[:, x : x + w] = background
        mask = lettering(text, plain)
        mask = resize(mask, (round(mask.shape[1] * 0.5 * unit / mask.shape[0]), round(0.5 * unit)))
        paint(picture, foreground, mask, x + (w - mask.shape[1]) // 2, (unit - mask.shape[0]) // 2)
        x += w
    alpha[:, x : x + round(0.5 * unit)] = 0
    x += round(0.5 * unit)
    picture[:, x:] = channel.style.background
    mask = resize(bug, (round(bug_w), max(1, round(bug_w * bug.shape[0] / bug.shape[1]))))
    h, w = mask.shape
    left, top = x + (total - x - w) // 2, (unit - h) // 2
    paint(picture, channel.style.foreground, mask, left, top)
    corners = [[left, top], [left + w, top], [left + w, top + h], [left, top + h]]
    return Sprite.of(picture, alpha), Lettering(channel.name, np.array(corners, float), Placement.overlay)
