"""Recognises the catalogue's marks by their look, and says how often an unknown mark would look as much like one.

The likeness of a view and an exemplar is the inner product of their vectors, measured against what is usual for both:
for the exemplar among pictures that show none of the catalogue's marks (z-norm), for the view among the same pictures
(t-norm), the mean of both (s-norm; Shum et al., Odyssey 2010). So an exemplar that everything is a little like, such as
a plain square, does not win everywhere. The best likeness of an unknown mark among many exemplars is a maximum, so it
follows a Gumbel distribution; that is fitted to the same pictures, and gives the share of false alarms at any score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.protocols import Image, Likeness, Rgba

BEST = 5
BLOCK = 512  # views that are compared at once
NEAREST = 200  # pictures of no known mark that are most like a view: what is usual for it
LEAST_SPREAD = 0.02  # of a likeness
SLOPE, OFFSET = 2.0, -3.0  # log odds that a mark is what it looks like: SLOPE * -log10(false alarms) + OFFSET

OPAQUE = 0.5
MARGIN = 0.06  # of the longer side, around a drawing
STANDS_OUT = 64.0  # of 255
LUMA = np.array([0.114, 0.587, 0.299], np.float32)  # of B, G, R (ITU-R BT.601)

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Entry:
    """What one vector of a gallery shows."""

    brand_id: str
    brand: str
    exemplar_id: str


class Gallery:
    """A ``MarkIndex`` that compares every view with every exemplar.

    Args:
        encoder: identity of what made the vectors.
        entries: what each row of ``vectors`` shows.
        vectors: shape (entries, dimensions), of unit length.
        unknown: vectors of pictures that show none of the marks, shape (pictures, dimensions).
    """

    def __init__(self, encoder: str, entries: Sequence[Entry], vectors: Floats, unknown: Floats) -> None:
        self.encoder = encoder
        brands = sorted({e.brand_id for e in entries})
        place = {brand: i for i, brand in enumerate(brands)}
        order = sorted(range(len(entries)), key=lambda i: (place[entries[i].brand_id], i))
        self._entries = [entries[i] for i in order]
        self._vectors = np.ascontiguousarray(vectors[order], np.float32)
        owners = np.array([place[e.brand_id] for e in self._entries], np.int64)
        self._begins = np.searchsorted(owners, np.arange(len(brands)))  # of each brand's entries
        self._unknown = unknown
        likeness = unknown @ self._vectors.T
        self._usual, self._spread = likeness.mean(axis=0), np.maximum(likeness.std(axis=0), LEAST_SPREAD)
        best = np.concatenate([self._scores(unknown[i : i + BLOCK]).max(axis=1) for i in range(0, len(unknown), BLOCK)])
        self._scale = max(float(best.std()) * np.sqrt(6) / np.pi, 1e-6)
        self._mode = float(best.mean()) - np.euler_gamma * self._scale

    def recognise(self, vectors: Floats, track: Ints) -> list[list[Likeness]]:
        order = np.argsort(track, kind="stable")
        tracks = int(track.max()) + 1 if len(track) else 0
        begins = np.searchsorted(track[order], np.arange(tracks + 1))
        found: list[list[Likeness]] = []
        while (first := len(found)) < tracks:
            last = max(first + 1, int(np.searchsorted(begins, begins[first] + BLOCK, side="right")) - 1)
            scores = self._scores(vectors[order[begins[first] : begins[last]]])
            for begin, end in zip(
                begins[first:last] - begins[first], begins[first + 1 : last + 1] - begins[first], strict=True
            ):
                found.append(self._best(scores[begin:end]))
        return found

    def _best(self, scores: Floats) -> list[Likeness]:
        """The best brands of one track: each view gives its best likeness per brand, the track the mean over views."""
        if not len(scores):
            return []
        means = np.maximum.reduceat(scores, self._begins, axis=1).mean(axis=0)
        n = min(BEST, len(means))
        best = np.argpartition(-means, n - 1)[:n]
        return [self._likeness(int(b), float(means[b]), scores) for b in best[np.argsort(-means[best], kind="stable")]]

    def _likeness(self, brand: int, score: float, scores: Floats) -> Likeness:
        begin = self._begins[brand]
        end = self._begins[brand + 1] if brand + 1 < len(self._begins) else len(self._entries)
        entry = self._entries[begin + int(scores[:, begin:end].max(axis=0).argmax())]
        alarms = self.false_alarms(score)
        odds = SLOPE * -np.log10(max(alarms, 1e-12)) + OFFSET
        return Likeness(entry.brand_id, entry.brand, entry.exemplar_id, score, alarms, float(1 / (1 + np.exp(-odds))))

    def false_alarms(self, score: float) -> float:
        """Share of unknown marks whose best score is at least ``score``."""
        return float(-np.expm1(-np.exp(-(score - self._mode) / self._scale)))

    def _scores(self, views: Floats) -> Floats:
        """Normalised likeness of views and exemplars, shape (views, entries)."""
        usual = np.sort(views @ self._unknown.T, axis=1)[:, -NEAREST:]
        likeness = views @ self._vectors.T
        by_view = likeness - usual.mean(axis=1, keepdims=True)
        by_view /= np.maximum(usual.std(axis=1, keepdims=True), LEAST_SPREAD)
        likeness -= self._usual
        likeness /= self._spread
        likeness += by_view
        likeness /= 2
        return likeness


def views_of(art: Rgba) -> list[Image]:
    """How an exemplar may be met: a photograph as it is, a drawing on a light and on a dark plate.

    Where the drawing would not stand out from the plate, it is drawn in the colour of the other plate.
    """
    opacity = art[:, :, 3:].astype(np.float32) / 255
    image = art[:, :, 2::-1].astype(np.float32)
    if opacity.min() > OPAQUE:
        return [image.astype(np.uint8)]
    luma = image @ LUMA
    ink = float((luma * opacity[:, :, 0]).sum() / opacity.sum())
    views = []
    for plate in (255.0, 0.0):
        shown = image if abs(ink - plate) >= STANDS_OUT else np.full_like(image, 255.0 - plate)
        flat = plate + opacity * (shown - plate)
        margin = round(MARGIN * max(flat.shape[:2]))
        views.append(
            np.pad(flat.round().astype(np.uint8), ((margin,) * 2, (margin,) * 2, (0, 0)), constant_values=int(plate))
        )
    return views
