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


def mean_embeddings(embeddings: pa.Table, tracks: Sequence[str]) -> NDArray[np.float16]:
    """Mean of each track's TRACK_EMBEDDINGS, of unit length; zeros if it has none. Shape (tracks, dimensions)."""
    owner = places(embeddings["track_id"], tracks)
    rows = np.argsort(owner, kind="stable")[np.count_nonzero(owner < 0) :]
    known, begins = np.unique(owner[rows], return_index=True)
    ends = np.append(begins[1:], len(rows))
    means = np.zeros((len(tracks), _dimensions(embeddings)), np.float16)
    for i in range(0, len(known), AT_ONCE):
        some = slice(i, i + AT_ONCE)
        vectors = vectors_of(embeddings, rows[begins[i] : ends[some][-1]])
        sums = np.add.reduceat(vectors, begins[some] - begins[i])
        means[known[some]] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6)
    return means


def likeness(vectors: NDArray[np.float16], others: NDArray[np.float16]) -> NDArray[np.float32]:
    """Inner product of each of ``vectors`` with each of a few ``others``, shape (vectors, others)."""
    found = np.zeros((len(vectors), len(others)), np.float32)
    columns = others.T.astype(np.float32)
    for i in range(0, len(vectors), AT_ONCE):
        found[i : i + AT_ONCE] = vectors[i : i + AT_ONCE].astype(np.float32) @ columns
    return found


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
