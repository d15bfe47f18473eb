"""Name the brands that tracks look like, where no text has settled them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from brand_detect.domain.model import DetectedObjects, Row, content_id
from brand_detect.domain.params import MatchBrandsParams
from brand_detect.domain.protocols import Likeness, MarkIndex
from brand_detect.domain.text import fold, key_of
from brand_detect.stages.region_columns import RegionColumns, on_one_frame

STAGE = "match_brands"
INSIDE = 0.5  # share of a text that lies in a mark's box and so is part of it
SAME_NAME = 0.5  # 1 - edits / letters, after folding: a word mark misread
LEGIBLE = 3  # letters of a text that says something
BESIDE_ITS_NAME = 10.0  # times as many false alarms are taken where the brand's name stands in the mark


def logo_verdicts(
    detected: DetectedObjects,
    regions: RegionColumns,
    settled: Sequence[Row],
    words: Mapping[str, tuple[str, float]],
    params: MatchBrandsParams,
    *,
    gallery: MarkIndex,
) -> list[Row]:
    """Verdicts by the rule ``logo_match`` for the tracks that no verdict in ``settled`` is about.

    - The track is what it looks most like, if at most ``logo_false_alarms`` of unknown marks look as much like one of
      the catalogue's.
    - A track that is nowhere ``min_look_px`` high and wide is not named: from afar, legs and heads look like marks.
    - Words inside a mark's box speak for it and against it: where they name the brand that it looks like, ten times as
      many false alarms are taken; where they name another, it has no verdict.
    - A text that was read and does not resemble the name is no word mark of the brand, whatever it looks like.

    Args:
        words: by track, the text that was read and its confidence.
    """
    names = detected.tracks["track_id"].to_pylist()
    kinds = dict(zip(names, detected.tracks["kind"].to_pylist(), strict=True))
    done = {t for v in settled for t in v["track_ids"]}
    large = set(
        np.array(names)[np.unique(regions.track[np.minimum(regions.w, regions.h) >= params.min_look_px])].tolist()
    )
    asked = [t for t in dict.fromkeys(detected.marks["track_id"].to_pylist()) if t not in done and t in large]
    inside = _names_inside(regions, names, kinds, settled)
    found = zip(asked, gallery.recognise(*_views(detected, asked)), strict=True)
    rows = []
    for track, likenesses in found:
        best = likenesses[0] if likenesses else None
        text, confidence = words.get(track, ("", 0.0))
        if best is None or not _is_possible(best, text if confidence >= params.min_confidence else ""):
            continue
        named = inside.get(track, set())
        limit = params.logo_false_alarms * (BESIDE_ITS_NAME if best.brand_id in named else 1.0)
        if best.false_alarms <= limit and (not named or best.brand_id in named):
            rows.append(_verdict(track, best, text, gallery.encoder))
    return rows


def mean_vectors(marks: pa.Table) -> dict[str, NDArray[np.float32]]:
    """The mean of each track's vectors, of unit length."""
    tracks, owners = np.unique(marks["track_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    vectors = _matrix(marks)
    sums = np.zeros((len(tracks), vectors.shape[1]), np.float32)
    np.add.at(sums, owners, vectors)
    return dict(zip(tracks.tolist(), sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6), strict=True))


def _matrix(marks: pa.Table) -> NDArray[np.float32]:
    """The vectors of MARKS, shape (rows, dimensions)."""
    flat = marks["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(marks.num_rows, -1 if marks.num_rows else 0).astype(np.float32)


def _views(detected: DetectedObjects, asked: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The vectors of the tracks ``asked`` about, and the position of each one's track among them."""
    place = {track: i for i, track in enumerate(asked)}
    owners = np.array([place.get(t, -1) for t in detected.marks["track_id"].to_pylist()], np.int64)
    return _matrix(detected.marks)[owners >= 0], owners[owners >= 0]


def _is_possible(best: Likeness, text: str) -> bool:
    """Whether what was read does not speak against the brand."""
    key = fold(key_of(text))
    if sum(c.isalpha() for c in key) < LEGIBLE:
        return True
    return Levenshtein.normalized_similarity(key, fold(key_of(best.brand))) >= SAME_NAME


def _names_inside(
    regions: RegionColumns, names: Sequence[str], kinds: Mapping[str, str], settled: Sequence[Row]
) -> dict[str, set[str]]:
    """By track of a mark, the brands that texts name which lie in its box on most of the frames that they share."""
    brands: defaultdict[str, set[str]] = defaultdict(set)
    for verdict in settled:
        for track in verdict["track_ids"]:
            if verdict["brand_id"]:
                brands[track].add(verdict["brand_id"])
    is_mark = np.array([kinds[t] != "text" for t in names], bool)
    is_named = np.array([t in brands for t in names], bool)
    rows = np.flatnonzero((is_mark | is_named)[regions.track]) if names else np.zeros(0, np.int64)
    rows = rows[np.lexsort((regions.track[rows], regions.frame[rows]))]
    votes: defaultdict[tuple[int, int], list[bool]] = defaultdict(list)
    for one, other in on_one_frame(regions, rows):
        for a, b in ((one, other), (other, one)):
            pairs = is_mark[regions.track[a]] & is_named[regions.track[b]]
            a, b = a[pairs], b[pairs]
            for mark, text, within in zip(regions.track[a], regions.track[b], _inside(regions, b, a), strict=True):
                votes[int(mark), int(text)].append(bool(within))
    found: defaultdict[str, set[str]] = defaultdict(set)
    for (mark, text), within in votes.items():
        if 2 * sum(within) >= len(within):
            found[names[mark]] |= brands[names[text]]
    return found


def _inside(r: RegionColumns, texts: NDArray[np.int64], marks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each text lies in the box of its mark."""
    across = np.minimum(r.x[texts] + r.w[texts], r.x[marks] + r.w[marks]) - np.maximum(r.x[texts], r.x[marks])
    down = np.minimum(r.y[texts] + r.h[texts], r.y[marks] + r.h[marks]) - np.maximum(r.y[texts], r.y[marks])
    return across.clip(min=0) * down.clip(min=0) >= INSIDE * r.w[texts] * r.h[texts]


def _verdict(track: str, best: Likeness, text: str, encoder: str) -> Row:
    return {
        "verdict_id": content_id(STAGE, track, best.brand_id, "logo"),
        "track_ids": [track],
        "status": "resolved",
        "brand_id": best.brand_id,
        "brand": best.brand,
        "rule": "logo_match",
        "score": 1 - best.false_alarms,
        "confidence": best.probability,
        "text": text,
        "matched": best.exemplar_id,
        "span_start": 0.0,
        "span_end": 1.0,
        "decided_by": STAGE,
        "model": encoder,
    }
