"""Unresolved clusters as in the report: locations of their best crops, and brands that they resemble."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pyarrow as pa
from rapidfuzz.fuzz import partial_ratio

from brand_detect.domain.contracts.compile_report import REPORT_UNRESOLVED
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.tables import BOX
from brand_detect.domain.text import fold, key_of
from brand_detect.stages.regions import seen_best_on
from brand_detect.stages.similarity import ALIKE_EMBEDDING, MeanEmbeddings

SHORTEST_PIECE = 4
"""Fewest letters of a piece of a text: fewer are in many names."""
SHORT_PIECE = 6
"""Pieces with fewer letters have at least two thirds of the other's, longer ones half: SPORT is none of SPORTSBET."""
MOST_COMPARED = 200
"""Most clusters, by rank, whose texts are compared with each other: as many as the page lists."""
AT_ONCE = 1024
"""Tracks without text that are compared with all others at once."""
LONGEST_COMPARED = 100
"""Most letters of a text that are compared."""
SHARED = 90.0
"""Least likeness of the shorter text to a part of the longer one, in percent. Of all pairs of 2,000 names of the
packaged list, 6 in 100,000 are as alike."""


def locate_unresolved(unresolved: pa.Table, detected: DetectedObjects, frames: pa.Table) -> pa.Table:
    """Adds the location of the best crop and the lookalikes to ``unresolved``; returns REPORT_UNRESOLVED by rank.

    Ranks are given anew from 1 on: a person may have named some clusters.
    """
    clusters, regions = unresolved.sort_by("rank"), detected.regions
    ranks = pa.array(np.arange(1, clusters.num_rows + 1))
    clusters = clusters.set_column(clusters.column_names.index("rank"), "rank", ranks)
    clusters = clusters.append_column(
        REPORT_UNRESOLVED.field("alike"), pa.array(_lookalikes(clusters, detected.embeddings), pa.list_(pa.string()))
    )
    best = pa.table({"region_id": clusters["best_region_id"], "row": np.arange(clusters.num_rows)})
    places = best.join(regions.select(["region_id", *BOX]).append_column("frame", seen_best_on(regions)), "region_id")
    places = places.join(frames.select(["frame", "t_s"]), "frame").sort_by("row")
    columns = [clusters[c] if c in clusters.column_names else places[c] for c in REPORT_UNRESOLVED.names]
    return pa.table(columns, names=REPORT_UNRESOLVED.names).cast(REPORT_UNRESOLVED)


def _lookalikes(clusters: pa.Table, embeddings: pa.Table) -> list[list[str]]:
    """For each cluster, the ids of the others that read alike or, without text, have a track like one of its own."""
    ids, texts = clusters["cluster_id"].to_pylist(), clusters["text"].to_pylist()
    textless = [(n, t) for n, c in enumerate(clusters.to_pylist()) if not c["text"] for t in c["track_ids"]]
    owners = np.array([n for n, _ in textless], int)
    vectors = MeanEmbeddings(embeddings, [track for _, track in textless]).vectors(0, len(textless))
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for begin in range(0, len(owners), AT_ONCE):
        some = slice(begin, begin + AT_ONCE)
        near = vectors[some] @ vectors.T >= ALIKE_EMBEDDING
        for one in np.unique(owners[some]):
            for other in np.unique(owners[near[owners[some] == one].any(axis=0)]):
                alike[ids[one]].add(ids[other])
                alike[ids[other]].add(ids[one])
    for one, other in _fragments([fold(key_of(text))[:LONGEST_COMPARED] for text in texts[:MOST_COMPARED]]):
        alike[ids[one]].add(ids[other])
        alike[ids[other]].add(ids[one])
    return [sorted(alike[c] - {c}) for c in ids]


def _fragments(keys: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of keys that may be pieces of one text: nearly all of the shorter one is in the other, as of KRONE TY and
    RONE TYRE.
    """
    for (one, a), (other, b) in combinations(enumerate(keys), 2):
        short, long = sorted((a, b), key=len)
        least = len(long) / 2 if len(short) >= SHORT_PIECE else len(long) * 2 / 3
        if len(short) >= max(SHORTEST_PIECE, least) and partial_ratio(short, long, score_cutoff=SHARED):
            yield one, other


def keyframes_resembling(unresolved: pa.Table, regions: pa.Table) -> dict[str, list[int]]:
    """Keyframes with an unresolved cluster that resembles a brand, by brand."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    resembling = [row for row in unresolved.select(["candidates", "track_ids"]).to_pylist() if row["candidates"]]
    wanted = {t for row in resembling for t in row["track_ids"]}
    frames: defaultdict[str, set[int]] = defaultdict(set)
    if wanted:
        for track, frame in zip(*(regions[c].to_pylist() for c in ("track_id", "frame")), strict=True):
            if track in wanted:
                frames[track].add(frame)
    for row in resembling:
        for brand in row["candidates"]:
            found[brand].update(*(frames[t] for t in row["track_ids"]))
    return {brand: sorted(there) for brand, there in found.items()}
