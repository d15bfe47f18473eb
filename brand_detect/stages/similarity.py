"""Compares tracks by their embeddings."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brand_detect.domain.tables import places

ALIKE_EMBEDDING = 0.86
"""Inner product of two tracks' mean embeddings from which they show the same logo. Of 346,858 pairs of logo tracks in
22 real clips, 493 reach it; the embedder before this one, at 0.9, had 487, and 410 of them are the same."""

AT_ONCE = 4096
"""Tracks whose vectors are in memory with 32 bits a number."""

MEASURED_WITH = "logo_embedder_2 "
"""Of the identity of the built-in embedder: what inner products of another mean is unknown."""


class MeanEmbeddings:
    """The mean of each track's TRACK_EMBEDDINGS, of unit length; zeros for a track without any.

    They are computed when asked for, ``AT_ONCE`` at a time: those of a long video would take as much memory again.
    """

    def __init__(self, embeddings: pa.Table, tracks: Sequence[str]) -> None:
        owner = places(embeddings["track_id"], tracks)
        self._embeddings, self._n = embeddings, len(tracks)
        self._rows = np.argsort(owner, kind="stable")[np.count_nonzero(owner < 0) :]
        self._begins = np.searchsorted(owner[self._rows], np.arange(len(tracks) + 1))

    def vectors(self, begin: int, end: int) -> NDArray[np.float32]:
        """Those of the tracks from ``begin`` to before ``end``, shape (tracks, dimensions)."""
        begins = self._begins[begin : end + 1]
        views = vectors_of(self._embeddings, self._rows[begins[0] : begins[-1]])
        means = np.zeros((end - begin, views.shape[1]), np.float32)
        for n in range(int(np.diff(begins).max(initial=0))):  # tracks have few views: faster than reduceat
            having = np.flatnonzero(np.diff(begins) > n)
            means[having] += views[begins[having] - begins[0] + n]
        return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)

    def likeness(self, others: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inner product of every track with each of ``others``, shape (tracks, others)."""
        parts = [self.vectors(begin, min(begin + AT_ONCE, self._n)) @ others.T for begin in range(0, self._n, AT_ONCE)]
        return np.concatenate([np.zeros((0, len(others)), np.float32), *parts])


def vectors_of(embeddings: pa.Table, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
    """The vectors of some rows of TRACK_EMBEDDINGS, shape (rows, dimensions). Nothing else is copied."""
    vectors, wanted, begin = embeddings["embedding"], np.asarray(rows, np.int64), 0
    found = np.zeros((len(wanted), _dimensions(embeddings)), np.float32)
    for chunk in vectors.chunks:
        here = np.flatnonzero((wanted >= begin) & (wanted < begin + len(chunk)))
        if len(here):
            known = chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), -1)
            found[here] = known[wanted[here] - begin]
        begin += len(chunk)
    return found


def _dimensions(embeddings: pa.Table) -> int:
    return len(embeddings["embedding"][0]) if embeddings.num_rows else 0
