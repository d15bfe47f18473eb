"""Finds tracks whose best crops show the same lettering, so that one reading serves them all.

A board or an overlay that returns shot after shot makes a new track each time. Crops are alike if their hashes differ
in few bits and their embeddings have a high inner product. How often the readings of two such crops differ, if the
better crop's has no digits and a confidence of 0.98 or more:

    bits  inner product  pairs of tracks of 22 real clips
       8           0.90                           1 of 32
       8           0.92                           0 of 23
       8           0.95                           0 of 13
      10           0.92                           1 of 32
      12           0.92                           1 of 36

With the embedder before this one, at 0.95 (1 of 44), readings differed in 9 of 272 tracks from a confidence of 0.92, in
a letter or a sign; of pairs of names in one face that differ in one vowel, 4 % were alike; of 20 scoreboards that were
alike, 3 had another time on their clock, so readings with digits are never taken over.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from brand_detect.domain.hashes import ALIKE_BITS
from brand_detect.domain.tables import Row
from brand_detect.stages.similarity import vectors_of

SAME_EMBEDDING = 0.92


def tracks_alike(views: Iterable[Row], embeddings: pa.Table) -> dict[str, str]:
    """The track to read instead, by track, for each of ``views`` (rows of ``best_views``) that a better one resembles.

    Tracks without a row in TRACK_EMBEDDINGS resemble none.
    """
    row_of = {track: row for row, track in enumerate(embeddings["track_id"].to_pylist())}
    known = [view for view in views if view["track_id"] in row_of]
    known.sort(key=lambda view: (-view["quality"], view["track_id"]))
    tracks = [view["track_id"] for view in known]
    hashes = np.array([view["crop_hash"] for view in known], np.uint64)
    matrix = vectors_of(embeddings, [row_of[track] for track in tracks])
    leaders = np.zeros(len(known), np.int64)
    n_leaders = 0
    leader_of: dict[str, str] = {}
    for i, track in enumerate(tracks):
        others = leaders[:n_leaders]
        near = others[np.bitwise_count(hashes[others] ^ hashes[i]) <= ALIKE_BITS]
        same = near[matrix[near] @ matrix[i] >= SAME_EMBEDDING] if len(near) else near
        if len(same):
            leader_of[track] = tracks[same[0]]
        else:
            leaders[n_leaders] = i
            n_leaders += 1
    return leader_of
