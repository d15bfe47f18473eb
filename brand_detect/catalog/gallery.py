"""Recognises the catalogue's logos by embedding, and measures how often a distractor would match as well.

The likeness of a view and an exemplar is the inner product of their embeddings. The score adds the lead over the next
brand (as in Lowe's ratio test, IJCV 2004). The false accept rate of a score is the share of distractors that reach it
in this very gallery: it grows with the number of exemplars. Within the highest tenth of these scores, too sparse to
count, an exponential tail is fitted (peaks over threshold; Pickands, Annals of Statistics 1975).

The rate is also measured per brand, by likeness alone, and no brand may have more than ``ONE_BRAND`` of the false
accepts: a generic badge would have them all, and in a gallery of one brand there is no lead to measure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.protocols import Likeness

BEST = 5
BLOCK = 512  # views compared at once
LEAD = 1.0  # weight of the lead over the next brand
TAIL = 0.1  # share of the distractors' scores that the tail is fitted to
RAREST = 1e-4  # lowest false accept rate: about a thousand distractors cannot measure rarer ones
ONE_BRAND = 1 / 8  # largest share of the false accepts that one brand may have; effect: docs/reference/benchmarks.md
SLOPE, OFFSET = 2.7, -4.5  # log odds that a match is right: SLOPE * -log10(false accept rate) + OFFSET
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Entry:
    """The brand and exemplar behind one vector of a gallery."""

    brand_id: str
    brand: str
    exemplar_id: str
    is_packaged: bool = False


class Gallery:
    """A ``LogoGallery`` that compares every view with every exemplar.

    There is no approximate index: even 100,000 exemplars take less time than the embedder.

    Args:
        embedder: identity of the embedder that made the vectors.
        entries: brand and exemplar of each row of ``vectors``.
        vectors: as ``LogoEmbedder`` makes them, shape (entries, dimensions).
        distractors: vectors of distractors, shape (distractors, dimensions).
    """

    def __init__(self, embedder: str, entries: Sequence[Entry], vectors: Floats, distractors: Floats) -> None:
        self.embedder = embedder
        brands = sorted({e.brand_id for e in entries})
        place = {brand: i for i, brand in enumerate(brands)}
        order = sorted(range(len(entries)), key=lambda i: (place[entries[i].brand_id], i))
        self._entries = [entries[i] for i in order]
        self._vectors = np.ascontiguousarray(vectors[order], np.float32)
        owners = np.array([place[e.brand_id] for e in self._entries], np.int64)
        self._begins = np.searchsorted(owners, np.arange(len(brands)))  # of each brand's entries
        self._given = {e.brand_id for e in self._entries if not e.is_packaged}
        two_best, tails = np.full((len(distractors), 2), -1.0, np.float32), [np.zeros((2, 0))]
        for i in range(0, len(brands), BLOCK):
            begins = self._begins[i : i + BLOCK]
            end = self._begins[i + BLOCK] if i + BLOCK < len(brands) else len(self._entries)
            alike = np.maximum.reduceat(distractors @ self._vectors[begins[0] : end].T, begins - begins[0], axis=1)
            two_best = np.partition(np.hstack([two_best, alike]), -2, axis=1)[:, -2:]
            tails.append(_tails(alike))
        scores = _led(two_best[:, 1], two_best[:, 0])
        self._counted = np.sort(scores)
        self._tail, self._excess = _tails(scores[:, None])[:, 0].tolist()
        self._tails_alone = np.concatenate(tails, axis=1)

    def recognise(
        self, vectors: Floats, track: Ints, *, best: int = BEST, max_false_accept_rate: float = 1.0
    ) -> list[list[Likeness]]:
        order = np.argsort(track, kind="stable")
        found: list[list[Likeness]] = [[] for _ in range(int(track.max()) + 1 if len(track) else 0)]
        known, begins = np.unique(track[order], return_index=True)
        begins = np.append(begins, len(order))
        first = 0
        while first < len(known):
            last = max(first + 1, int(np.searchsorted(begins, begins[first] + BLOCK, side="right")) - 1)
            likeness = vectors[order[begins[first] : begins[last]]] @ self._vectors.T
            cuts = begins[first : last + 1] - begins[first]
            for i, one in self._alike(likeness, cuts, best, max_false_accept_rate):
                found[known[first + i]].append(one)
            first = last
        return found

    def false_accept_rate(self, scores: NDArray[Any] | float) -> NDArray[np.float64]:
        """Share of distractors whose score is at least each of ``scores``."""
        counted = 1 - np.searchsorted(self._counted, scores) / len(self._counted)
        beyond = np.maximum(RAREST, _beyond(scores, self._tail, self._excess))
        return np.where(scores > self._tail, beyond, counted)

    def _alike(
        self, likeness: Floats, cuts: Ints, most: int, max_false_accept_rate: float
    ) -> Iterator[tuple[int, Likeness]]:
        """Yields the best brands of every track, one after the other, with the track's index.

        A track's likeness to a brand is the mean over its views, ``cuts`` apart, of the view's best likeness.
        """
        views = np.diff(cuts)[:, None].astype(np.float32)
        means = np.add.reduceat(np.maximum.reduceat(likeness, self._begins, axis=1), cuts[:-1]) / views
        n = min(max(most, 2), means.shape[1])
        best = np.argpartition(-means, n - 1, axis=1)[:, :n]
        alone = np.take_along_axis(means, best, axis=1).astype(np.float64)
        order = np.argsort(-alone, axis=1, kind="stable")
        best, alone = np.take_along_axis(best, order, axis=1), np.take_along_axis(alone, order, axis=1)
        rivals = np.repeat(alone[:, :1], n, axis=1)
        rivals[:, 0] = alone[:, 1] if n > 1 else -1.0
        scores = _led(alone, rivals)
        of_its_own = _beyond(alone, *self._tails_alone[:, best])
        false_accepts = np.maximum(self.false_accept_rate(scores), np.minimum(1.0, of_its_own / ONE_BRAND))
        for i, place in np.argwhere(false_accepts[:, :most] <= max_false_accept_rate).tolist():
            seen = likeness[cuts[i] : cuts[i + 1]]
            yield i, self._likeness(best[i, place], float(scores[i, place]), float(false_accepts[i, place]), seen)

    def _likeness(self, brand: int, score: float, false_accepts: float, likeness: Floats) -> Likeness:
        end = self._begins[brand + 1] if brand + 1 < len(self._begins) else len(self._entries)
        entry = self._entries[self._begins[brand] + int(likeness[:, self._begins[brand] : end].max(axis=0).argmax())]
        odds = SLOPE * -np.log10(false_accepts) + OFFSET
        return Likeness(
            entry.brand_id,
            entry.brand,
            entry.exemplar_id,
            score,
            false_accepts,
            float(1 / (1 + np.exp(-odds))),
            entry.brand_id not in self._given,
        )


def _led(best: Any, rival: Any) -> Any:
    """The score: a likeness plus its weighted lead over ``rival``."""
    return best + LEAD * (best - rival)


def _tails(values: Floats) -> NDArray[np.float64]:
    """Start of each column's tail, and mean excess over it; shape (2, columns)."""
    n = max(1, round(TAIL * len(values)))
    highest = np.partition(values, -n, axis=0)[-n:].astype(np.float64)
    begins = highest[0]
    return np.stack([begins, np.maximum((highest - begins).mean(axis=0), 1e-6)])


def _beyond(values: Any, tail: Any, excess: Any) -> NDArray[np.float64]:
    """Share of distractors that reach ``values`` according to the fitted tail; ``TAIL`` below the tail."""
    return TAIL * np.exp(-np.maximum(0.0, values - tail) / excess)
