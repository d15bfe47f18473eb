"""Simple ways of proposing regions, to compare the trained network with. None of them knows what a logo is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.geometry import Boxes, boxes_of, overlaps
from brand_detect.domain.protocols import Area, Image, Region, RegionDetector

MOST = 100
SAME_IOU = 0.7  # proposals that overlap so much are one
SEEN_PX = 640  # longest side of the picture that they look at
SMALLEST_PX = 8.0
RIM = 0.25  # width of the surroundings that a box is compared with, in its own size

Propose = Callable[[NDArray[np.uint8]], Boxes]


@dataclass(frozen=True)
class Ranked:
    """Boxes of ``propose``, the best first: those with many edges inside and few around, as in EdgeBoxes (Zitnick and
    Dollár 2014)."""

    propose: Propose
    identity: str = "baseline"

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:  # noqa: ARG002
        import cv2

        scale = min(1.0, SEEN_PX / max(image.shape[:2]))
        seen = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        boxes = self.propose(seen)
        sides = boxes[:, 2:] - boxes[:, :2]
        boxes = boxes[(sides >= SMALLEST_PX).all(axis=1) & (sides.max(axis=1) < 0.95 * max(seen.shape[:2]))]
        return regions(boxes / scale, edge_contrast(seen, boxes))


def regions(boxes: Boxes, scores: NDArray[np.float64]) -> list[Region]:
    """The best ``MOST`` boxes, of those alike the best alone."""
    kept: list[int] = []
    order = np.argsort(-scores, kind="stable")[: 20 * MOST].tolist()
    for i in order:
        if len(kept) == MOST:
            break
        if not kept or overlaps(boxes[[i]], boxes[kept]).max() < SAME_IOU:
            kept.append(i)
    return [Region("logo", "", float(scores[i]), _quad(boxes[i])) for i in kept]


def _quad(box: NDArray[np.float64]) -> NDArray[np.float32]:
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)


def edge_contrast(image: Image, boxes: Boxes) -> NDArray[np.float64]:
    """Edge strength inside each box less that in its rim, a px."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    edges = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)).clip(0, 255)
    total = cv2.integral(edges)
    height, width = grey.shape

    def sums(b: Boxes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x0, y0, x1, y1 = np.round(b).astype(int).clip(0, [width, height, width, height]).T
        inside = total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]
        return inside, np.maximum((x1 - x0) * (y1 - y0), 1).astype(float)

    side = (boxes[:, 2:] - boxes[:, :2]) * RIM
    inner, area = sums(boxes)
    outer, whole = sums(np.column_stack([boxes[:, :2] - side, boxes[:, 2:] + side]))
    return inner / area - (outer - inner) / np.maximum(whole - area, 1)


def grid(image: Image) -> Boxes:
    """Boxes of six sizes and three shapes, half overlapping."""
    height, width = image.shape[:2]
    found = []
    for size in 16.0 * 2.0 ** np.arange(6):
        for aspect in (0.5, 1.0, 2.0):
            w, h = size * aspect**0.5, size / aspect**0.5
            x, y = (a.ravel() for a in np.meshgrid(np.arange(0, width - w, w / 2), np.arange(0, height - h, h / 2)))
            found.append(np.stack([x, y, x + w, y + h], axis=1))
    return np.concatenate(found)


def mser(image: Image) -> Boxes:
    """Maximally stable extremal regions."""
    import cv2

    _, boxes = cv2.MSER_create().detectRegions(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))  # pyright: ignore[reportAttributeAccessIssue]
    return _corners(np.asarray(boxes, float).reshape(-1, 4))


def contours(image: Image) -> Boxes:
    """What hangs together on a Canny map, edges joined over gaps of several widths."""
    import cv2

    edges = cv2.Canny(cv2.GaussianBlur(image, (3, 3), 0), 60, 160)
    return np.concatenate(
        [_components(cv2.dilate(edges, np.ones((k, k), np.uint8)), grown=k // 2) for k in (1, 3, 5, 9, 15)]
    )


def colours(image: Image) -> Boxes:
    """What hangs together in one of 64 colours."""
    import cv2

    smooth = cv2.cvtColor(cv2.medianBlur(image, 5), cv2.COLOR_BGR2LAB)
    spread = [(128, 255), (112, 144), (112, 144)]
    low, high = smooth.min(axis=(0, 1)), smooth.max(axis=(0, 1))
    levels = ((smooth - low.astype(float)) / np.maximum(high - low, [s[1] - s[0] for s in spread]) * 3.999).astype(int)
    index = levels @ np.array([16, 4, 1])
    return np.concatenate([_components((index == i).astype(np.uint8)) for i in np.unique(index)])


def saliency(image: Image) -> Boxes:
    """What stands out by its spectral residual (Hou and Zhang 2007), at three scales and three thresholds."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    found = []
    for side in (64, 128, 256):
        small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
        spectrum = np.fft.fft2(small)
        logs = np.log(np.abs(spectrum) + 1e-6)
        residual = logs - cv2.blur(logs, (3, 3))
        back = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
        stands_out = cv2.GaussianBlur(back, (9, 9), 2.5)
        to_image = np.tile(np.array([image.shape[1], image.shape[0]]) / side, 2)
        for times in (1.5, 2.5, 4.0):
            found.append(_components((stands_out > times * stands_out.mean()).astype(np.uint8)) * to_image)
    return np.concatenate(found)


def _components(mask: NDArray[np.uint8], grown: int = 0) -> Boxes:
    import cv2

    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = _corners(stats[1:, :4].astype(float))
    return boxes + np.array([grown, grown, -grown, -grown])


def _corners(boxes: NDArray[np.float64]) -> Boxes:
    """From x, y, w, h."""
    return np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


@dataclass(frozen=True)
class BesideText:
    """The lines of text and squares of one to three times their height beside and above them."""

    text: RegionDetector
    identity: str = "baseline"

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:
        lines = self.text.detect(image, areas)
        boxes = [box for line in boxes_of([r.quad for r in lines]) for box in _around_text(line)]
        scores = [r.score - 0.1 * k for r in lines for k in range(_N_AROUND)]
        return regions(np.array(boxes).reshape(-1, 4), np.array(scores))


_N_AROUND = 11


def _around_text(line: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    left, top, right, bottom = line
    high, x, y = bottom - top, (left + right) / 2, (top + bottom) / 2
    yield line
    for size in (1.5 * high, 2.5 * high, high):
        half = size / 2
        yield np.array([left - size, y - half, left, y + half])
        yield np.array([x - half, top - size, x + half, top])
        yield np.array([right, y - half, right + size, y + half])
    yield np.array([left, top - 2 * high, right, bottom])


def baselines(text: RegionDetector) -> dict[str, RegionDetector]:
    """Every method, by name. ``text`` finds lines of text."""
    proposers: dict[str, Propose] = {
        "grid": grid, "mser": mser, "saliency": saliency, "contours": contours, "colours": colours
    }  # fmt: skip
    return {
        **{name: Ranked(propose) for name, propose in proposers.items()},
        "text": text,
        "beside text": BesideText(text),
    }
