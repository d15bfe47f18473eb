"""Finds tracks whose best crops show the same lettering, so that one reading serves them all.

A board or an overlay that returns shot after shot makes a new track each time. Crops are alike if their hashes differ
in few bits and their embeddings have a high inner product. How often the readings of two such crops differ, if the
better crop's has no digits and a confidence of 0.98 or more:

    bits  inner product  tracks of 18 real clips  tracks of 2 generated minutes  pairs of 1202 generated crops
       8           0.93                  1 of 26                       2 of 232                      2 of 3186
       8           0.95                  0 of 24                       0 of 224                      2 of 2932
      10           0.95                  1 of 31                       0 of 242                      2 of 4383
      12           0.95                  1 of 38                       1 of 251                      3 of 5859

In the 2 of 2932 the worse crop's own reading was wrong; none was of another name. From a confidence of 0.92, readings
differ in 9 of 272 tracks, in a letter or a sign. What this cannot tell apart: of pairs of names in one face that differ
in one vowel, 4 % are alike. Of 20 scoreboards that were alike, 3 had another time on their clock, so readings with
digits are never taken over.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from brand_detect.domain.tables import Row
from brand_detect.stages.similarity import embedding_matrix

SAME_CROP_BITS = 8
SAME_EMBEDDING = 0.95
MEASURED_WITH = "logo_embedder "
"""Of the identity of the built-in embedder: what inner products of another mean is unknown."""


def tracks_alike(views: Iterable[Row], embeddings: pa.Table) -> dict[str, str]:
    """The track to read instead, by track, for each of ``views`` (rows of ``best_views``) that a better one resembles.

    Tracks without a row in TRACK_EMBEDDINGS resemble none.
    """
    vectors = dict(zip(embeddings["track_id"].to_pylist(), embedding_matrix(embeddings), strict=True))
    known = [view for view in views if view["track_id"] in vectors]
    known.sort(key=lambda view: (-view["quality"], view["track_id"]))
    tracks = [view["track_id"] for view in known]
    hashes = np.array([view["crop_hash"] for view in known], np.uint64)
    matrix = np.array([vectors[track] for track in tracks])
    leaders = np.zeros(len(known), np.int64)
    n_leaders = 0
    leader_of: dict[str, str] = {}
    for i, track in enumerate(tracks):
        others = leaders[:n_leaders]
        near = others[np.bitwise_count(hashes[others] ^ hashes[i]) <= SAME_CROP_BITS]
        same = near[matrix[near] @ matrix[i] >= SAME_EMBEDDING] if len(near) else near
        if len(same):
            leader_of[track] = tracks[same[0]]
        else:
            leaders[n_leaders] = i
            n_leaders += 1
    return leader_of
