"""Ways of proposing regions that are compared with one another. None of them knows what a logo is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.contracts.detect_objects import Origin, RegionKind
from brand_detect.domain.geometry import Boxes, best_apart, boxes_of, quad_of
from brand_detect.domain.protocols import Area, Image, Region, RegionDetector
from brand_detect.engines.contours import ContourLogoDetector, components, edge_contrast
from brand_detect.stages.detect_objects.propagation import without_lines

MOST = 100
SAME_IOU = 0.7  # proposals that overlap so much are one
SEEN_PX = 640  # longest side of the picture that they look at
SMALLEST_PX = 8.0
N_AROUND = 11  # boxes that ``BesideText`` makes of one line

Propose = Callable[[NDArray[np.uint8]], Boxes]


@dataclass(frozen=True)
class Ranked:
    """Boxes of ``propose``, the best first: those with many edges inside and few around."""

    propose: Propose
    identity: str = "baseline"

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:  # noqa: ARG002
        import cv2

        scale = min(1.0, SEEN_PX / max(image.shape[:2]))
        seen = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        boxes = self.propose(seen)
        sides = boxes[:, 2:] - boxes[:, :2]
        boxes = boxes[(sides >= SMALLEST_PX).all(axis=1) & (sides.max(axis=1) < 0.95 * max(seen.shape[:2]))]
        return _regions(boxes / scale, edge_contrast(seen, boxes))


def _regions(boxes: Boxes, scores: NDArray[np.float64]) -> list[Region]:
    return [
        Region(RegionKind.logo, "", float(scores[i]), quad_of(boxes[i]))
        for i in best_apart(boxes, scores, MOST, SAME_IOU)
    ]


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
    x, y, w, h = np.asarray(boxes, float).reshape(-1, 4).T
    return np.stack([x, y, x + w, y + h], axis=1)


def colours(image: Image) -> Boxes:
    """What hangs together in one of 64 colours."""
    import cv2

    smooth = cv2.cvtColor(cv2.medianBlur(image, 5), cv2.COLOR_BGR2LAB)
    spread = [(128, 255), (112, 144), (112, 144)]
    low, high = smooth.min(axis=(0, 1)), smooth.max(axis=(0, 1))
    levels = ((smooth - low.astype(float)) / np.maximum(high - low, [s[1] - s[0] for s in spread]) * 3.999).astype(int)
    index = levels @ np.array([16, 4, 1])
    return np.concatenate([components((index == i).astype(np.uint8)) for i in np.unique(index)])


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
            found.append(components((stands_out > times * stands_out.mean()).astype(np.uint8)) * to_image)
    return np.concatenate(found)


@dataclass(frozen=True)
class BesideText:
    """The lines of text and squares of one to three times their height beside and above them."""

    text: RegionDetector
    identity: str = "baseline"

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:
        lines = self.text.detect(image, areas)
        boxes = [box for line in boxes_of([r.quad for r in lines]) for box in _around_text(line)]
        scores = [line.score - 0.1 * k for line in lines for k in range(N_AROUND)]
        return _regions(np.array(boxes).reshape(-1, 4), np.array(scores))


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


@dataclass(frozen=True)
class TextThenLogos:
    """What the pipeline proposes: the lines of text, and then the marks that are no lines of text."""

    text: RegionDetector
    marks: RegionDetector
    identity: str = "pipeline"

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:
        lines = [replace(line, score=1 + line.score) for line in self.text.detect(image, areas)]
        found = [(region, Origin.detected) for region in (*lines, *self.marks.detect(image, areas))]
        return [region for region, _ in without_lines(found, MOST)]


def baselines(text: RegionDetector) -> dict[str, RegionDetector]:
    """Every method, by name. ``text`` finds lines of text."""
    proposers: dict[str, Propose] = {
        "grid": grid,
        "mser": mser,
        "saliency": saliency,
        "colours": colours,
    }
    contours = ContourLogoDetector(min_score=0.0, most=MOST)
    return {
        **{name: Ranked(propose) for name, propose in proposers.items()},
        "contours": contours,
        "text": text,
        "beside text": BesideText(text),
        "text, then contours": TextThenLogos(text, contours),
    }
