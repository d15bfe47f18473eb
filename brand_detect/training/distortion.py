"""Simulates photographs of logos from artwork: perspective, cloth, light, blur, compression.

One function per effect, each on a float picture, shape (height, width, 3), 0 to 1. Strengths were chosen by eye so that
the worst of ten pictures is just recognisable.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from brand_detect.evaluation.synthetic.artwork import Rgba

Floats = NDArray[Any]
"""Floats of 32 or 64 bits; OpenCV's types are no more precise."""
Rng = np.random.Generator

MARGIN = 0.06  # margin around a clean crop, as a share of the logo's sides


class Scenery:
    """Backgrounds without logos: gradients, noise, shapes, stripes, scribble and lines of words.

    Args:
        artworks: scattered in pieces as clutter.
    """

    def __init__(self, artworks: Sequence[Rgba], rng: Rng, count: int = 256, side_px: int = 288) -> None:
        self._rng = rng
        self._pool = [self._painted(artworks, side_px) for _ in range(count)]

    def cut(self, height: int, width: int) -> Floats:
        """A random part of one background, flipped and scaled."""
        rng = self._rng
        source = self._pool[int(rng.integers(len(self._pool)))]
        side = source.shape[0]
        take = int(side * rng.uniform(0.25, 1.0))
        top, left = rng.integers(side - take + 1), rng.integers(side - take + 1)
        part = source[top : top + take, left : left + take]
        if rng.random() < 0.5:
            part = part[:, ::-1]
        return cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_LINEAR)

    def _painted(self, artworks: Sequence[Rgba], side: int) -> Floats:
        rng = self._rng
        image = gradient(side, side, colour(rng), colour(rng), rng.uniform(0, 2 * np.pi))
        kind = rng.integers(6)
        if kind == 0:
            image += clouds(rng, side, side, octaves=5) * rng.uniform(0.2, 0.8)
        elif kind == 1:
            for _ in range(rng.integers(4, 40)):
                centre = rng.integers(0, side, 2).tolist()
                axes = rng.integers(4, side // 2, 2).tolist()
                turn = int(rng.integers(180))
                if rng.random() < 0.5:
                    cv2.ellipse(image, centre, axes, turn, 0, 360, colour(rng), -1 if rng.random() < 0.7 else 3)
                else:
                    corners = cv2.boxPoints((centre, axes, turn)).astype(np.int32)
                    cv2.fillPoly(image, [corners], colour(rng))
        elif kind == 2:
            step, wave = int(rng.integers(6, 60)), colour(rng)
            for at in range(-side, 2 * side, 2 * step):
                cv2.line(image, (at, 0), (at + int(rng.integers(-40, 40)), side), wave, step)
        elif kind == 3:
            for _ in range(rng.integers(3, 16)):
                text = "".join(chr(c) for c in rng.integers(65, 122, rng.integers(2, 12)))
                at = (int(rng.integers(-40, side)), int(rng.integers(0, side)))
                size, bold = float(rng.uniform(0.4, 3)), int(rng.integers(1, 6))
                mask = np.zeros((side, side), np.uint8)  # OpenCV 5 draws text in 8 bits only
                cv2.putText(mask, text, at, int(rng.integers(0, 8)), size, 255, bold, cv2.LINE_AA)
                image[mask > 127] = colour(rng)
        elif kind == 4:
            for _ in range(rng.integers(3, 12)):
                art = artworks[int(rng.integers(len(artworks)))]
                piece = cv2.resize(art, (int(rng.integers(60, 300)),) * 2, interpolation=cv2.INTER_AREA)
                h, w = piece.shape[:2]
                y, x = int(rng.integers(-h // 2, side - 10)), int(rng.integers(-w // 2, side - 10))
                piece = piece[max(0, -y) : side - y, max(0, -x) : side - x].astype(np.float32) / 255
                spot = image[max(0, y) : max(0, y) + piece.shape[0], max(0, x) : max(0, x) + piece.shape[1]]
                spot += piece[:, :, 3:] * (piece[:, :, :3] * rng.uniform(0.5, 1) + rng.uniform(-0.2, 0.4) - spot)
        else:
            dots = rng.random((side // 3, side // 3, 3), np.float32)
            image += (cv2.resize(dots, (side, side), interpolation=cv2.INTER_NEAREST) - 0.5) * rng.uniform(0.3, 1)
        if rng.random() < 0.6:
            image += clouds(rng, side, side, octaves=3) * rng.uniform(0.05, 0.3)
        if rng.random() < 0.4:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 5))
        return image.clip(0, 1).astype(np.float32)


def _floats(values: Any) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def colour(rng: Rng) -> tuple[float, float, float]:
    """A random colour; greys, black and white are as frequent as on boards."""
    if rng.random() < 0.35:
        grey = float(rng.choice([0.0, 1.0, rng.random()]))
        return grey, grey, grey
    hsv = np.array([[[rng.uniform(0, 360), rng.beta(3, 1.2), rng.beta(3, 1.2)]]], np.float32)
    b, g, r = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return b, g, r


def _apart(rng: Rng, other: Sequence[float], least: float = 0.35) -> tuple[float, float, float]:
    """A random colour that contrasts with ``other``."""
    for _ in range(20):
        found = colour(rng)
        if _luma(found) - _luma(other) > least or _luma(other) - _luma(found) > least:
            return found
    return (0.0, 0.0, 0.0) if _luma(other) > 0.5 else (1.0, 1.0, 1.0)


def _luma(bgr: Sequence[float]) -> float:
    return 0.114 * bgr[0] + 0.587 * bgr[1] + 0.299 * bgr[2]


def gradient(height: int, width: int, a: Sequence[float], b: Sequence[float], turn: float) -> Floats:
    """A linear gradient from one colour to another, in the direction ``turn`` (radians)."""
    y, x = np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j].astype(np.float32)
    at = (x * np.cos(turn) + y * np.sin(turn) + 0.7).clip(0, 1.4)[:, :, None] / 1.4
    return (_floats(a) * (1 - at) + _floats(b) * at).astype(np.float32)


def clouds(rng: Rng, height: int, width: int, octaves: int) -> Floats:
    """Smooth noise around 0, shape (height, width, 1), about -0.5 to 0.5."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        grid = rng.random((2 + 2**octave,) * 2, np.float32) - 0.5
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 1.6**octave
    return total[:, :, None] / 1.5


def recoloured(art: Rgba, mono: bool, rng: Rng) -> tuple[Floats, Floats, tuple[float, float, float]]:
    """Recolours a logo: its picture and opacity (both float), and the colour of a plate behind it."""
    image, opacity = art[:, :, :3].astype(np.float32) / 255, art[:, :, 3:].astype(np.float32) / 255
    foreground = colour(rng)
    if mono:
        plate = _apart(rng, foreground)
        return np.broadcast_to(_floats(foreground), image.shape), opacity, plate
    mean = (image * opacity).sum((0, 1)) / max(1.0, float(opacity.sum()))
    kind = rng.random()
    if kind < 0.5:
        return image, opacity, _apart(rng, mean.tolist(), 0.2)
    if kind < 0.7:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hsv[:, :, 0] = (hsv[:, :, 0] + rng.uniform(0, 360)) % 360
        hsv[:, :, 1] *= rng.uniform(0.3, 1)
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
        mean = (image * opacity).sum((0, 1)) / max(1.0, float(opacity.sum()))
        return image, opacity, _apart(rng, mean.tolist(), 0.2)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[:, :, None]
    inside = grey[opacity > 0.5]
    if (
        inside.size and float(inside.std()) < 0.06 and float(opacity.mean()) < 0.8
    ):  # a single colour: only the outline matters
        return np.broadcast_to(_floats(foreground), image.shape), opacity, _apart(rng, foreground)
    low, high = (float(inside.min()), float(inside.max())) if inside.size else (0.0, 1.0)
    share = ((grey - low) / max(high - low, 0.05)).clip(0, 1)  # dark parts in one colour, light parts in another
    return (
        _floats(foreground) * (1 - share) + _floats(_apart(rng, foreground)) * share,
        opacity,
        _apart(rng, foreground),
    )


def clean(art: Rgba, mono: bool, rng: Rng, side_px: int) -> NDArray[np.uint8]:
    """The logo as in an exemplar: upright on a plain plate, stretched to a square of ``side_px``."""
    if mono:
        foreground, plate = [((0.0,) * 3, (1.0,) * 3), ((1.0,) * 3, (0.0,) * 3)][int(rng.random() < 0.3)]
        image, opacity = np.full((*art.shape[:2], 3), foreground[0], np.float32), art[:, :, 3:].astype(np.float32) / 255
    else:
        image, opacity = art[:, :, :3].astype(np.float32) / 255, art[:, :, 3:].astype(np.float32) / 255
        mean = (image * opacity).sum((0, 1)) / max(1.0, float(opacity.sum()))
        plate = (1.0,) * 3 if _luma(mean.tolist()) < 0.75 else (0.0,) * 3
    margin = rng.uniform(0, 2 * MARGIN)
    inner = max(8, round(side_px / (1 + 2 * margin)))
    at = (side_px - inner) // 2
    flat = np.full((side_px, side_px, 3), plate[0], np.float32)
    image, opacity = (
        cv2.resize(np.ascontiguousarray(p), (inner, inner), interpolation=cv2.INTER_AREA) for p in (image, opacity)
    )
    spot = flat[at : at + inner, at : at + inner]
    spot += opacity[:, :, None] * (image - spot)
    return (flat * 255).round().astype(np.uint8)


def photographed(art: Rgba, mono: bool, scenery: Scenery, rng: Rng, side_px: int) -> NDArray[np.uint8]:
    """The logo as in a detector's crop of a video frame, stretched to a square of ``side_px``."""
    image, opacity, plate = recoloured(art, mono, rng)
    height, width = art.shape[:2]
    work = 96  # longer side of the drawn crop in px, before it loses resolution
    aspect = float(np.clip(width / height, 0.2, 5)) * np.exp(rng.normal(0, 0.12))
    h, w = (work, max(16, round(work * aspect))) if aspect < 1 else (max(16, round(work / aspect)), work)

    corners, box = _posed(rng, w, h)
    crop_w, crop_h = round(box[2] - box[0]), round(box[3] - box[1])
    target = _floats(corners) - _floats(box[:2])
    source = _floats([(0, 0), (width, 0), (width, height), (0, height)])
    to_crop = cv2.getPerspectiveTransform(source, target.astype(np.float32))

    background = _background(scenery, rng, crop_h, crop_w, plate, target)
    layers = np.dstack([np.ascontiguousarray(image) * opacity, opacity])
    layers = cv2.warpPerspective(layers, to_crop, (crop_w, crop_h), flags=cv2.INTER_LINEAR)
    shown = background * (1 - layers[:, :, 3:]) + layers[:, :, :3]
    if rng.random() < 0.35:
        shown = creased(shown, rng)
    shown = lit(shown, rng)
    if rng.random() < 0.25:
        shown = occluded(shown, scenery, rng)
    return seen(shown, rng, side_px)


def _posed(rng: Rng, w: int, h: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of the logo in perspective, and the crop's box around it: loose, or cutting a little off."""
    corners = np.array([(-w, -h), (w, -h), (w, h), (-w, h)], float) / 2
    turn = np.radians(rng.normal(0, 6) if rng.random() < 0.85 else rng.uniform(-45, 45))
    shear = rng.normal(0, 0.12)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array([[1, shear], [0, 1]])
    matrix = matrix @ np.diag([rng.uniform(0.6, 1.0), 1.0] if rng.random() < 0.3 else [1.0, rng.uniform(0.8, 1.0)])
    corners = corners @ matrix.T + rng.uniform(-0.09, 0.09, (4, 2)) * (w, h)
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = high - low
    loose = rng.uniform(-0.06, 0.16, 4) if rng.random() < 0.75 else rng.uniform(-0.12, 0.4, 4)
    return corners, np.concatenate([low - loose[:2] * size, high + loose[2:] * size])


def _background(
    scenery: Scenery, rng: Rng, height: int, width: int, plate: Sequence[float], mark: NDArray[np.float32]
) -> Floats:
    """Background of the logo: a plain board, a board with scenery around it, or scenery alone."""
    kind = rng.random()
    board = gradient(height, width, plate, (_floats(plate) * rng.uniform(0.7, 1)).tolist(), rng.uniform(0, 6.3))
    if kind < 0.45:
        return board
    around = scenery.cut(height, width)
    if kind < 0.85:
        centre = mark.mean(axis=0)
        corners = centre + (mark - centre) * (1 + rng.uniform(0.03, 0.4, 2))
        mask = np.zeros((height, width), np.float32)
        if rng.random() < 0.3:
            (x, y), axes = centre, np.ptp(mark, axis=0) * rng.uniform(0.6, 0.85)
            cv2.ellipse(mask, (int(x), int(y)), axes.astype(int).tolist(), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
        else:
            cv2.fillPoly(mask, [corners.astype(np.int32)], 1.0, cv2.LINE_AA)
        return around + mask[:, :, None] * (board - around)
    return board + (around - around.mean((0, 1))) * rng.uniform(0.1, 0.6)


def creased(image: Floats, rng: Rng) -> Floats:
    """Cloth: displaces the picture along smooth waves, with matching light and shade."""
    height, width = image.shape[:2]
    pulls = [clouds(rng, height, width, 3)[:, :, 0] * rng.uniform(0.02, 0.12) * max(height, width) for _ in range(2)]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    moved = cv2.remap(image, x + pulls[0], y + pulls[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved * (1 + cv2.Sobel(pulls[0], cv2.CV_32F, 1, 0)[:, :, None] * rng.uniform(0, 0.4))


def lit(image: Floats, rng: Rng) -> Floats:
    """Adds uneven light, a tint, gamma and sometimes glare."""
    height, width = image.shape[:2]
    if rng.random() < 0.6:
        image = image * (1 + clouds(rng, height, width, 2) * rng.uniform(0, 0.9))
    if rng.random() < 0.2:
        glow = np.zeros((height, width), np.float32)
        centre, radius = (
            (int(rng.integers(width)), int(rng.integers(height))),
            int(rng.uniform(0.1, 0.4) * max(height, width)),
        )
        cv2.circle(glow, centre, radius, 1.0, -1)
        image = image + cv2.GaussianBlur(glow, (0, 0), radius / 2 + 1)[:, :, None] * rng.uniform(0.2, 0.9)
    image = image.clip(0, 1) ** np.float32(np.exp(rng.normal(0, 0.25)))
    tint = 1 + rng.normal(0, 0.08, 3).astype(np.float32)
    contrast = rng.uniform(0.35, 1.1)
    return (image * tint * contrast + rng.uniform(0, 1 - min(1, contrast))).astype(np.float32)


def occluded(image: Floats, scenery: Scenery, rng: Rng) -> Floats:
    """Covers up to a third of the picture."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.float32)
    if rng.random() < 0.5:
        share = rng.uniform(0.05, 0.3)
        mask[:, : int(width * share)] = 1
        mask = np.ascontiguousarray((mask, mask[:, ::-1])[rng.integers(2)])
        if rng.random() < 0.3:
            mask = cv2.resize(np.ascontiguousarray(np.rot90(mask)), (width, height))
    else:
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (np.array([width, height]) * rng.uniform(0.08, 0.3, 2)).astype(int).tolist()
        cv2.ellipse(mask, centre, axes, int(rng.integers(180)), 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.3, 2))[:, :, None]
    return image + mask * (scenery.cut(height, width) - image)


def seen(image: Floats, rng: Rng, side_px: int) -> NDArray[np.uint8]:
    """Adds blur, low resolution (12 px and more), noise and compression; then scales to a square of ``side_px``."""
    height, width = image.shape[:2]
    kind = rng.random()
    if kind < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.5))
    elif kind < 0.45:
        length = int(rng.integers(3, 12))
        kernel = np.zeros((length, length), np.float32)
        turn = rng.uniform(0, np.pi) if rng.random() < 0.4 else 0.0
        half = np.array([np.cos(turn), np.sin(turn)]) * (length - 1) / 2
        middle = (length - 1) / 2
        ends = [tuple(np.round(middle + s * half).astype(int).tolist()) for s in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    shortest = np.exp(rng.uniform(np.log(13), np.log(90)))
    scale = min(1.0, shortest / min(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        small = small + rng.normal(0, rng.uniform(0, 0.06), small.shape).astype(np.float32)
    pixels = (small.clip(0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.8:
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))])
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        pixels = decoded
    return cv2.resize(pixels, (side_px, side_px), interpolation=cv2.INTER_LINEAR)  # pyright: ignore[reportReturnType]
