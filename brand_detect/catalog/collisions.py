"""Finds brands of a catalogue that are hard to tell apart, by name or by logo."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brand_detect.catalog.index import LexiconIndex
from brand_detect.domain.catalog import Brand, BrandCatalog, Exemplar
from brand_detect.domain.protocols import Image, LogoEmbedder, Progress

LARGE_PX, SMALL_PX = 112, 24
"""Sizes of a logo in a close-up, and on a board at the far side."""
BATCH = 256
"""Pictures held in memory at a time."""
ROWS = 2048
"""Exemplars compared with all others at a time: with 100,000 exemplars this takes 0.8 GB."""


@dataclass(frozen=True)
class Collision:
    """Two brands that may be confused. ``likeness`` 1 means that they cannot be told apart."""

    kind: str  # name: similar texts; logo: similar logos at any size; small: similar logos at small size
    brand: str
    other: str
    what: str
    likeness: float


def names_alike(catalog: BrandCatalog, fuzzy_score: float, min_fuzzy_length: int) -> Iterator[Collision]:
    """Yields texts of one brand that the index would match to another brand if they were not listed."""
    index = LexiconIndex(catalog)
    seen: set[frozenset[str]] = set()
    for brand in catalog.brands:
        for text in () if brand.logo_only else (brand.name, *brand.aliases):
            for hit in index.rivals(text, fuzzy_score=fuzzy_score, min_fuzzy_length=min_fuzzy_length):
                pair = frozenset((text, hit.alias))
                if hit.brand_id != brand.brand_id and pair not in seen:
                    seen.add(pair)
                    yield Collision("name", brand.name, hit.brand, f"{text} reads like {hit.alias}", hit.score)


def logos_alike(
    brands: Sequence[Brand],
    draw: Callable[[Exemplar, int], Image],
    embedder: LogoEmbedder,
    alike: float,
    progress: Progress,
) -> Iterator[Collision]:
    """Yields logos of different brands whose likeness is at least ``alike``, at ``LARGE_PX`` or only at ``SMALL_PX``.

    ``draw`` renders an exemplar as a square picture of the given side in px.
    """
    exemplars = [exemplar for brand in brands for exemplar in brand.exemplars]
    owner = np.array([n for n, brand in enumerate(brands) for _ in brand.exemplars])
    found: dict[tuple[int, int], tuple[str, float]] = {}
    for kind, size_px in (("logo", LARGE_PX), ("small", SMALL_PX)):
        vectors = np.zeros((len(exemplars), embedder.dimensions), np.float32)
        for begin in range(0, len(exemplars), BATCH):
            batch = [draw(exemplar, size_px) for exemplar in exemplars[begin : begin + BATCH]]
            vectors[begin : begin + BATCH] = embedder.encode_drawings(batch)
            progress(begin + len(batch), len(exemplars), f"logos at {size_px} px")
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
        for pair, likeness in _pairs(vectors, owner, alike):
            known = found.get(pair)
            if known is None or (known[0] == kind and known[1] < likeness):
                found[pair] = kind, likeness
    for (a, b), (kind, likeness) in sorted(found.items(), key=lambda item: (item[1][0], -item[1][1], item[0])):
        what = "their logos are alike" if kind == "logo" else f"their logos are alike at {SMALL_PX} px"
        yield Collision(kind, brands[a].name, brands[b].name, what, likeness)


def _pairs(
    vectors: NDArray[np.float32], owner: NDArray[np.int_], alike: float
) -> Iterator[tuple[tuple[int, int], float]]:
    """Yields the owners of every two vectors whose likeness is at least ``alike``, and the likeness."""
    for begin in range(0, len(vectors), ROWS):
        likeness = vectors[begin : begin + ROWS] @ vectors.T
        near = (likeness >= alike) & (owner[begin : begin + ROWS, None] < owner[None])
        for i, j in np.argwhere(near):
            yield (int(owner[begin + i]), int(owner[j])), float(likeness[i, j])
