"""Pictures with marks at known places, for training: vector artwork on procedurally drawn scenes, no photographs.

A scene is made of dead leaves (shapes of all sizes that hide each other, whose statistics are like those of natural
pictures: Lee, Mumford and Huang 2001), stripes, speckle like a crowd and lines of text. Marks stand on it bare, on
badges, or in rows on boards, in any colour, through perspective and cloth, lit unevenly, partly hidden; then the camera
blurs, adds noise and compresses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brand_detect.evaluation.synthetic.artwork import Artwork, Rgba, rasterise

Picture = NDArray[np.uint8]
SCENE_PX = 512
SMALLEST_PX, LARGEST = 8.0, 0.85  # longest side of a mark in px, and as a share of the picture's
LETTERS = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"))
FACES = ("sans", "italic", "uni")
ARTWORK_PX = 96  # longest side of a drawn mark, enlarged where a picture shows it larger


@dataclass(frozen=True)
class Composite:
    """A picture B, G, R with the boxes (n, 4) px of its marks and of its lines of plain text."""

    picture: Picture
    marks: NDArray[np.float64]
    texts: NDArray[np.float64]


class Composer:
    """Makes composites of ``size_px``. Scenes come from a small store of which one is drawn anew each time."""

    def __init__(self, art: Sequence[Artwork], size_px: int, seed: int, scenes: int = 200) -> None:
        drawn = zip(rasterise(art, ARTWORK_PX), (a.mono for a in art), strict=True)
        self._art: list[tuple[Rgba, bool]] = [(rgba, mono) for rgba, mono in drawn if rgba is not None]
        self._size = size_px
        self._rng = np.random.default_rng(seed)
        self._scenes: list[Picture] = []
        self._limit = scenes

    def make(self) -> Composite:
        rng, size = self._rng, self._size
        picture = self._background()
        texts = [box for _ in range(rng.integers(0, 4)) if (box := self._text(picture)) is not None]
        marks: list[NDArray[np.float64]] = []
        for _ in range(rng.choice(7, p=[0.08, 0.12, 0.2, 0.2, 0.2, 0.1, 0.1])):
            marks += self._element(picture, marks)
        if rng.random() < 0.3:
            self._hide(picture, marks)
        picture = _camera(_lit(picture, rng), rng)
        inside = [b.clip(0, size) for b in marks]
        boxes = [b for b, whole in zip(inside, marks, strict=True) if _area(b) > 0.6 * _area(whole)]
        return Composite(picture, np.array(boxes).reshape(-1, 4), np.array(texts).reshape(-1, 4))

    def again(self, made: Composite) -> Composite:
        """The same marks, mirrored, in other colours and light: cheaper than drawing."""
        rng, size = self._rng, self._size
        picture, marks, texts = made.picture, made.marks, made.texts
        for axis in (0, 1):
            if rng.random() < 0.5:
                picture = np.flip(picture, 1 - axis)
                marks, texts = (_mirrored(boxes, axis, size) for boxes in (marks, texts))
        gain, lift = rng.uniform(0.6, 1.2), rng.uniform(-30, 30)
        return Composite((picture[..., rng.permutation(3)] * gain + lift).clip(0, 255).astype(np.uint8), marks, texts)

    def _background(self) -> Picture:
        rng = self._rng
        if len(self._scenes) < self._limit:
            self._scenes.append(scene(rng))
        elif rng.random() < 0.2:
            self._scenes[rng.integers(self._limit)] = scene(rng)
        whole = self._scenes[rng.integers(len(self._scenes))]
        x, y = rng.integers(0, SCENE_PX - self._size + 1, 2)
        part = whole[y : y + self._size, x : x + self._size]
        part = part[:, :: rng.choice([-1, 1])][:: rng.choice([-1, 1, 1])]
        return np.ascontiguousarray(part[..., rng.permutation(3)])

    def _text(self, picture: Picture) -> NDArray[np.float64] | None:
        """Write a line of random letters; its box."""
        import cv2

        rng = self._rng
        size = int(np.exp(rng.uniform(np.log(9), np.log(60))))
        text = " ".join("".join(rng.choice(LETTERS, rng.integers(2, 9))) for _ in range(rng.integers(1, 4)))
        text = text.upper() if rng.random() < 0.5 else text
        x, y = int(rng.uniform(-0.1, 0.8) * self._size), int(rng.uniform(0.05, 1.0) * self._size)
        colour = tuple(rng.integers(0, 256, 3).tolist())
        face, weight = cv2.FontFace(str(rng.choice(FACES))), int(rng.choice([300, 400, 600, 800]))
        foreground = np.zeros(picture.shape[:2], np.uint8)
        cv2.putText(foreground, text, (x, y), (255, 255, 255), face, size, weight)
        cv2.putText(picture, text, (x, y), colour, face, size, weight)
        left, top, width, height = cv2.boundingRect(foreground)
        return np.array([left, top, left + width, top + height], float) if width else None

    def _element(self, picture: Picture, taken: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """Draw a mark, a badge or a board with several; the boxes of its marks. Nothing where there is no room."""
        import cv2

        rng, size = self._rng, self._size
        longest = np.exp(rng.uniform(np.log(SMALLEST_PX), np.log(LARGEST * size)))
        columns, rows = (1, 1)
        if rng.random() < 0.25 and longest < 0.3 * size:
            columns, rows = int(rng.integers(1, 5)), int(rng.integers(1, 3))
        texture, alpha, places = self._texture(columns, rows)
        height, width = alpha.shape
        scale = longest / max(max(p[2] - p[0], p[3] - p[1]) for p in places)
        half = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) * scale / 2
        half *= np.exp(rng.normal(0, 0.15, 2))
        turn = rng.normal(0, 0.12) if rng.random() < 0.85 else rng.uniform(-np.pi, np.pi)
        half = half @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        lean = rng.random() < 0.5
        half += rng.uniform(-0.16, 0.16, (4, 2)) * np.ptp(half, axis=0) * lean
        reach = np.abs(half).max(axis=0).clip(max=size / 2)
        corners = half + rng.uniform(0.7 * reach, size - 0.7 * reach)
        flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        homography = cv2.getPerspectiveTransform(flat, corners.astype(np.float32))
        boxes = []
        for left, top, right, bottom in places:
            quad = np.array([[[left, top], [right, top], [right, bottom], [left, bottom]]], float)
            seen = cv2.perspectiveTransform(quad, homography)[0]
            boxes.append(np.concatenate([seen.min(axis=0), seen.max(axis=0)]))
        around = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
        if any(_meet(around, other) for other in taken):
            return []
        x0, y0 = np.floor(around[:2]).astype(int).clip(0, size - 1)
        x1, y1 = np.ceil(around[2:]).astype(int).clip(1, size)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return []
        local = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], float) @ homography
        shrink = scale * 1.2
        if shrink < 0.5:  # or the warp would skip pixels
            texture, alpha = (cv2.blur(a, (max(1, round(1 / shrink)),) * 2) for a in (texture, alpha))
        at = (int(x1 - x0), int(y1 - y0))
        over = cv2.warpPerspective(texture, local, at, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        cover = cv2.warpPerspective(alpha, local, at, flags=cv2.INTER_LINEAR)
        if rng.random() < 0.2:
            over, cover = _cloth(np.asarray(over, np.uint8), np.asarray(cover, np.uint8), rng)
        cover = cover.astype(np.float32)[..., None] * (rng.uniform(0.75, 1.0) / 255)
        under = picture[y0:y1, x0:x1]
        under[:] = under + (over.astype(np.float32) - under) * cover
        return boxes

    def _texture(self, columns: int, rows: int) -> tuple[Picture, Picture, list[tuple[int, int, int, int]]]:
        """A flat picture of marks in a grid, its coverage, and where the marks lie in it."""
        import cv2

        rng = self._rng
        arts = [self._art[rng.integers(len(self._art))] for _ in range(1 if rng.random() < 0.3 else columns * rows)]
        gap = rng.uniform(0.05, 0.9)
        cell = np.max([rgba.shape[:2] for rgba, _ in arts], axis=0)
        step_y, step_x = (cell * (1 + gap)).astype(int)
        height, width = step_y * rows, step_x * columns
        texture = np.empty((height, width, 3), np.uint8)
        background = rng.integers(0, 256, 3)
        texture[:] = background
        panel = rng.choice(["none", "board", "badge"], p=[0.4, 0.4, 0.2]) if columns * rows == 1 else "board"
        alpha = np.zeros((height, width), np.uint8)
        if panel == "board":
            alpha[:] = 255
        foreground = _apart(background, rng)
        places = []
        for row in range(rows):
            for column in range(columns):
                rgba, mono = arts[(row * columns + column) % len(arts)]
                h, w = rgba.shape[:2]
                x, y = column * step_x + (step_x - w) // 2, row * step_y + (step_y - h) // 2
                colour, cover = rgba[..., :3], rgba[..., 3]
                if mono or rng.random() < 0.25:
                    colour = np.broadcast_to(foreground.astype(np.uint8), colour.shape)
                place = (x, y, x + w, y + h)
                if panel == "badge":
                    centre, radius = (x + w // 2, y + h // 2), round(0.5 * np.hypot(w, h) * rng.uniform(0.85, 1.05))
                    if rng.random() < 0.5:
                        cv2.circle(alpha, centre, radius, 255, -1, cv2.LINE_AA)
                        place = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
                    else:
                        m = round(min(w, h) * rng.uniform(0.05, 0.2))
                        place = (x - m, y - m, x + w + m, y + h + m)
                        cv2.rectangle(alpha, place[:2], place[2:], 255, -1)
                    left, top = np.maximum(place[:2], 0)
                    right, bottom = np.minimum(place[2:], (width, height))
                    place = (int(left), int(top), int(right), int(bottom))
                a = cover[..., None] / 255
                under = texture[y : y + h, x : x + w]
                if panel == "none":
                    texture[y : y + h, x : x + w] = np.where(cover[..., None] > 0, colour, foreground)
                    alpha[y : y + h, x : x + w] = cover
                else:
                    under[:] = under + (colour - under.astype(np.float32)) * a
                places.append(place)
        return texture, alpha, places

    def _hide(self, picture: Picture, marks: Sequence[NDArray[np.float64]]) -> None:
        """Something stands before a part of a mark."""
        import cv2

        if not marks:
            return
        rng = self._rng
        box = marks[int(rng.integers(len(marks)))]
        side = box[2:] - box[:2]
        centre = box[:2] + side * rng.choice([0.0, 1.0], 2) + rng.normal(0, 0.1, 2) * side
        axes = (side * rng.uniform(0.1, 0.4, 2)).astype(int).clip(1)
        colour = rng.integers(0, 256, 3).tolist()
        cv2.ellipse(
            picture, centre.astype(int).tolist(), axes.tolist(), rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA
        )


def scene(rng: np.random.Generator) -> Picture:
    """A picture (SCENE_PX, SCENE_PX, 3) without marks."""
    import cv2

    n = SCENE_PX
    paints = rng.integers(0, 256, (rng.integers(6, 14), 3))
    grey = paints.mean(axis=1, keepdims=True)
    paints = grey + (paints - grey) * rng.uniform(0.1, 1.0)  # most of the world is less gaudy than a mark
    (low, high), palette = paints[:2], paints[2:]
    ramp = np.linspace(0, 1, n)[:, None, None]
    picture = np.broadcast_to(low + (high - low) * ramp, (n, n, 3)).astype(np.uint8).copy()
    for _ in range(int(np.exp(rng.uniform(np.log(4), np.log(250))))):
        radius = min(n / 2, 6 * (1 - rng.random()) ** -0.9)  # sizes by a power law
        x, y = rng.uniform(-20, n + 20, 2)
        colour = (palette[rng.integers(len(palette))] + rng.normal(0, 12, 3)).clip(0, 255).tolist()
        kind = rng.random()
        if kind < 0.35:
            axes = (max(1, int(radius)), max(1, int(radius * rng.uniform(0.3, 1))))
            cv2.ellipse(picture, (int(x), int(y)), axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        elif kind < 0.85:
            corners = rng.integers(3, 7)
            angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
            reach = radius * rng.uniform(0.4, 1.2, corners)
            path = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], axis=1).astype(np.int32)
            cv2.fillPoly(picture, [path], colour, cv2.LINE_AA)
        else:
            end = (int(x + rng.normal(0, 4 * radius)), int(y + rng.normal(0, 4 * radius)))
            cv2.line(picture, (int(x), int(y)), end, colour, int(rng.integers(1, 6)), cv2.LINE_AA)
    for _ in range(rng.integers(0, 4)):
        _patch(picture, rng)
    if rng.random() < 0.6:
        octave = int(2 ** rng.integers(0, 6))
        grain = rng.normal(0, rng.uniform(4, 30), (n // octave, n // octave, 1)).astype(np.float32)
        grain = cv2.resize(grain, (n, n), interpolation=cv2.INTER_CUBIC)
        picture = (picture + grain[..., None]).clip(0, 255).astype(np.uint8)
    return picture


def _patch(picture: Picture, rng: np.random.Generator) -> None:
    """Fill a rectangle with stripes, a grid of windows, or speckle like a crowd."""
    import cv2

    n = SCENE_PX
    w, h = rng.integers(60, n, 2)
    x, y = rng.integers(0, n - w + 1), rng.integers(0, n - h + 1)
    kind = rng.integers(3)
    if kind == 0:
        period, angle = rng.uniform(4, 60), rng.uniform(0, np.pi)
        u, v = np.meshgrid(np.arange(w), np.arange(h))
        wave = np.sin((u * np.cos(angle) + v * np.sin(angle)) * 2 * np.pi / period)
        share = (wave > rng.uniform(-0.8, 0.8)).astype(np.float32) * rng.uniform(0.2, 1.0)
    elif kind == 1:
        px, py = rng.integers(8, 60, 2)
        u, v = np.meshgrid(np.arange(w) % px, np.arange(h) % py)
        share = ((u > 0.3 * px) & (v > 0.3 * py)).astype(np.float32) * rng.uniform(0.2, 1.0)
    else:
        cell = int(rng.integers(3, 14))
        colours = rng.integers(0, 256, (int(h) // cell + 1, int(w) // cell + 1, 3)).astype(np.uint8)
        crowd = cv2.resize(
            colours, (int(w), int(h)), interpolation=int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR]))
        )
        share = rng.uniform(0.3, 1.0)
        part = picture[y : y + h, x : x + w]
        part[:] = part + (crowd.astype(np.float32) - part) * share
        return
    part = picture[y : y + h, x : x + w]
    part[:] = part + (rng.integers(0, 256, 3).astype(np.float32) - part) * share[..., None]


def _apart(background: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A colour that stands out from ``background``."""
    while True:
        colour = rng.choice([0, 255], 3) if rng.random() < 0.3 else rng.integers(0, 256, 3)
        if np.abs(colour - background).max() > 70:
            return colour


def _cloth(over: Picture, cover: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    import cv2

    h, w = cover.shape
    u, v = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    period, phase = rng.uniform(0.4, 1.5) * max(h, w), rng.uniform(0, 2 * np.pi)
    wave = np.sin((u * rng.normal() + v * rng.normal()) * 2 * np.pi / period + phase).astype(np.float32)
    shift = wave * rng.uniform(0.01, 0.04) * max(h, w)
    shade = (1 + 0.3 * rng.random() * wave)[..., None]
    over = (cv2.remap(over, u + shift, v + shift, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) * shade).clip(
        0, 255
    )
    return over.astype(np.uint8), cv2.remap(cover, u + shift, v + shift, cv2.INTER_LINEAR)  # pyright: ignore[reportReturnType]


def _lit(picture: Picture, rng: np.random.Generator) -> NDArray[np.float32]:
    """Uneven light and the camera's contrast and colour; float."""
    n = len(picture)
    ramp = np.linspace(-1, 1, n, dtype=np.float32)
    light = 1 + rng.normal(0, 0.15) * ramp[:, None] + rng.normal(0, 0.15) * ramp[None]
    gain = rng.uniform(0.5, 1.15) * rng.normal(1, 0.06, 3)
    lit = picture * (light[..., None] * gain).astype(np.float32) + np.float32(rng.uniform(-20, 40))
    if rng.random() < 0.2:  # glare
        x, y = rng.uniform(-1, 1, 2)
        spot = np.exp(-((ramp[None] - x) ** 2 + (ramp[:, None] - y) ** 2) / rng.uniform(0.02, 0.4))
        lit += (rng.uniform(40, 160) * spot[..., None]).astype(np.float32)
    if rng.random() < 0.1:
        lit = np.repeat(lit.mean(axis=2, keepdims=True), 3, axis=2)
    return lit.astype(np.float32)


def _camera(lit: NDArray[np.float32], rng: np.random.Generator) -> Picture:
    """Blur of lens and motion, low resolution, noise, compression."""
    import cv2

    if rng.random() < 0.5:
        lit = cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.4, 1.6))  # pyright: ignore[reportAssignmentType]
    if rng.random() < 0.2:
        lit = cv2.blur(lit, (int(rng.integers(1, 9)), int(rng.integers(1, 3))))  # pyright: ignore[reportAssignmentType]
    if rng.random() < 0.5:
        lit = lit + rng.normal(0, rng.uniform(1, 10), (*lit.shape[:2], 1)).astype(np.float32)
    picture = lit.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.7:
        _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))])
        picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    return picture  # pyright: ignore[reportReturnType]


def _mirrored(boxes: NDArray[np.float64], axis: int, size: int) -> NDArray[np.float64]:
    mirrored = boxes.copy()
    mirrored[:, [axis, axis + 2]] = size - boxes[:, [axis + 2, axis]]
    return mirrored


def _area(box: NDArray[np.float64]) -> float:
    return float((box[2:] - box[:2]).clip(min=0).prod())


def _meet(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    return bool((a[:2] < b[2:]).all() and (b[:2] < a[2:]).all())
