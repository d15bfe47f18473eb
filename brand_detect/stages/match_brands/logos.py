"""Name the brands that tracks look like, where no text has settled them."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.verdicts import WHOLE_TEXT
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.protocols import Likeness, LogoGallery
from brand_detect.domain.tables import Row, content_id
from brand_detect.domain.text import fold, key_of
from brand_detect.stages.regions import Floats, Ints, RegionColumns, on_one_frame

INSIDE = 0.5  # share of a text, or of a smaller mark, that lies in a mark's box and so is part of it
BESIDE_GAP = 1.0  # widest gap between a mark and the name that it stands for, in heights of the larger
ALIGNED = 0.5  # share of the smaller one's height (width) that a mark and a name beside (below) it have in common
BLURRED = 100.0  # variance of the Laplacian; in crowds that a camera sweeps over, anything can be seen
SAME_NAME = 0.5  # 1 - edits / letters, after folding: a word mark misread
LEGIBLE = 3  # letters of a text that says something
LIKELY = 0.5  # that a cluster is what it looks like: one that is rather not resembles nothing
BESIDE_ITS_NAME = 10.0  # times as many false accepts are taken where the brand's name stands in the mark

Related = Callable[[RegionColumns, Ints, Ints], NDArray[np.bool_]]


def logo_verdicts(
    detected: DetectedObjects,
    regions: RegionColumns,
    settled: Sequence[Row],
    words: Mapping[str, tuple[str, float]],
    params: MatchBrandsParams,
    *,
    gallery: LogoGallery,
) -> list[Row]:
    """Verdicts by the rule ``logo_match`` for the tracks that no verdict in ``settled`` is about.

    - The track is what it looks most like, if at most ``max_false_accept_rate`` of distractors look as much like one
      of the catalogue's.
    - A track that is nowhere sharp and ``min_logo_match_px`` high and wide is not named: from afar, legs and heads
      look like logos.
    - Of marks that lie in each other the one with fewer false accepts counts.
    - Words in a mark's box or right beside it speak for it or against it: where they name the brand that it looks like
      ten times as many false accepts are taken; where they name another, the mark is that one's, and has no verdict.
    - A text that was read and does not resemble the name is no word mark of the brand, whatever it looks like.

    Args:
        words: by track, the text that was read and its confidence.
    """
    names = detected.tracks["track_id"].to_pylist()
    done = {t for v in settled for t in v["track_ids"]}
    clear = _clear(regions, names, params)
    asked = [t for t in dict.fromkeys(detected.embeddings["track_id"].to_pylist()) if t not in done and t in clear]
    near = _names_near(regions, names, set(asked), settled)
    found = zip(asked, gallery.recognise(*_views(detected, asked)), strict=True)
    taken: dict[str, Likeness] = {}
    for track, likenesses in found:
        best = likenesses[0] if likenesses else None
        text, confidence = words.get(track, ("", 0.0))
        if best is None or not _is_possible(best, text if confidence >= params.min_confidence else ""):
            continue
        named = near.get(track, set())
        limit = params.max_false_accept_rate * (BESIDE_ITS_NAME if best.brand_id in named else 1.0)
        if best.false_accept_rate <= limit and (not named or best.brand_id in named):
            taken[track] = best
    parts = _parts(regions, names, taken)
    return [
        _verdict(track, best, words.get(track, ("", 0.0))[0], gallery.embedder)
        for track, best in taken.items()
        if track not in parts
    ]


def lookalikes(
    detected: DetectedObjects,
    regions: RegionColumns,
    clusters: Sequence[Row],
    params: MatchBrandsParams,
    gallery: LogoGallery,
) -> list[list[Likeness]]:
    """The brands that each of ``clusters``, rows of UNRESOLVED, looks like rather than not; best first.

    Only tracks that may be named by their look count, and a text that was read speaks against all brands that it does
    not resemble, as in ``logo_verdicts``.
    """
    clear = _clear(regions, detected.tracks["track_id"].to_pylist(), params)
    owners = {track: i for i, cluster in enumerate(clusters) for track in cluster["track_ids"] if track in clear}
    rows = [t for t in dict.fromkeys(detected.embeddings["track_id"].to_pylist()) if t in owners]
    vectors, of_track = _views(detected, rows)
    owner = np.array([owners[t] for t in rows], np.int64)[of_track]
    known, cluster = np.unique(owner, return_inverse=True)
    found: list[list[Likeness]] = [[] for _ in clusters]
    for i, likenesses in zip(known.tolist(), gallery.recognise(vectors, cluster) if len(known) else (), strict=True):
        found[i] = [
            likeness
            for likeness in likenesses
            if likeness.probability >= LIKELY and _is_possible(likeness, clusters[i]["text"])
        ]
    return found


def overlapping(regions: RegionColumns, names: Sequence[str], marks: Set[str], others: Set[str]) -> set[str]:
    """Those of the tracks ``marks`` that lie in or around one of ``others`` on most of the frames that they share."""
    pairs = _mostly(regions, np.array([t in marks for t in names]), np.array([t in others for t in names]), _overlap)
    return {names[mark] for mark, _ in pairs}


def mean_embeddings(marks: pa.Table) -> dict[str, NDArray[np.float32]]:
    """The mean of each track's vectors, of unit length."""
    tracks, owners = np.unique(marks["track_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    vectors = _matrix(marks)
    sums = np.zeros((len(tracks), vectors.shape[1]), np.float32)
    np.add.at(sums, owners, vectors)
    return dict(zip(tracks.tolist(), sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6), strict=True))


def _matrix(marks: pa.Table) -> NDArray[np.float32]:
    """The vectors of TRACK_EMBEDDINGS, shape (rows, dimensions)."""
    flat = marks["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(marks.num_rows, -1 if marks.num_rows else 0).astype(np.float32)


def _views(detected: DetectedObjects, asked: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The vectors of the tracks ``asked`` about, and the position of each one's track among them."""
    place = {track: i for i, track in enumerate(asked)}
    owners = np.array([place.get(t, -1) for t in detected.embeddings["track_id"].to_pylist()], np.int64)
    return _matrix(detected.embeddings)[owners >= 0], owners[owners >= 0]


def _clear(regions: RegionColumns, names: Sequence[str], params: MatchBrandsParams) -> set[str]:
    """The tracks that are sharp and large enough somewhere to be named by their look."""
    clear = (np.minimum(regions.w, regions.h) >= params.min_logo_match_px) & (regions.sharpness >= BLURRED)
    tracks: list[int] = np.unique(regions.track[clear]).tolist()
    return {names[track] for track in tracks}


def _is_possible(best: Likeness, text: str) -> bool:
    """Whether what was read does not speak against the brand."""
    key = fold(key_of(text))
    if sum(c.isalpha() for c in key) < LEGIBLE:
        return True
    return Levenshtein.normalized_similarity(key, fold(key_of(best.brand))) >= SAME_NAME


def _names_near(
    regions: RegionColumns, names: Sequence[str], marks: Set[str], settled: Sequence[Row]
) -> dict[str, set[str]]:
    """By track among ``marks``, the brands that texts in or beside it name on most of the frames that they share."""
    brands: defaultdict[str, set[str]] = defaultdict(set)
    for verdict in settled:
        for track in verdict["track_ids"]:
            if verdict["brand_id"]:
                brands[track].add(verdict["brand_id"])
    is_mark = np.array([t in marks for t in names], bool)
    is_named = np.array([t in brands for t in names], bool)
    found: defaultdict[str, set[str]] = defaultdict(set)
    for mark, text in _mostly(regions, is_mark, is_named, _belongs):
        found[names[mark]] |= brands[names[text]]
    return found


def _parts(regions: RegionColumns, names: Sequence[str], taken: Mapping[str, Likeness]) -> set[str]:
    """The tracks that lie in, or around, one that is taken for another brand with fewer false accepts."""
    are_taken = np.array([t in taken for t in names], bool)
    found = set()
    for one, other in _mostly(regions, are_taken, are_taken, _overlap):
        a, b = taken[names[one]], taken[names[other]]
        if a.brand_id != b.brand_id and a.false_accept_rate > b.false_accept_rate:
            found.add(names[one])
    return found


def _mostly(
    regions: RegionColumns, ones: NDArray[np.bool_], others: NDArray[np.bool_], related: Related
) -> Iterator[tuple[int, int]]:
    """Pairs of tracks, one among ``ones``, one among ``others``, related on most frames that they share."""
    rows = np.flatnonzero((ones | others)[regions.track]) if len(ones) else np.zeros(0, np.int64)
    rows = rows[np.lexsort((regions.track[rows], regions.frame[rows]))]
    n = len(ones)
    codes: list[Ints] = [np.zeros(0, np.int64)]
    votes = [np.zeros(0, bool)]
    for first, second in on_one_frame(regions, rows):
        for a, b in ((first, second), (second, first)):
            pairs = ones[regions.track[a]] & others[regions.track[b]]
            a, b = a[pairs], b[pairs]
            codes.append(regions.track[a] * n + regions.track[b])
            votes.append(related(regions, a, b))
    pair, vote_of = np.unique(np.concatenate(codes), return_inverse=True)
    mostly = pair[2 * np.bincount(vote_of, np.concatenate(votes)) >= np.bincount(vote_of)]
    return zip(*(part.tolist() for part in np.divmod(mostly, max(1, n))), strict=True)


def _belongs(r: RegionColumns, marks: Ints, texts: Ints) -> NDArray[np.bool_]:
    """Whether each text lies in the box of its mark, or right beside or below it."""
    across, down = _shared(r, marks, texts)
    inside = across.clip(min=0) * down.clip(min=0) >= INSIDE * r.w[texts] * r.h[texts]
    gap = BESIDE_GAP * np.maximum(r.h[marks], r.h[texts])
    beside = (down >= ALIGNED * np.minimum(r.h[marks], r.h[texts])) & (-across <= gap)
    below = (across >= ALIGNED * np.minimum(r.w[marks], r.w[texts])) & (-down <= gap)
    return inside | beside | below


def _overlap(r: RegionColumns, ones: Ints, others: Ints) -> NDArray[np.bool_]:
    """Whether the smaller of two boxes lies in the larger."""
    across, down = _shared(r, ones, others)
    smaller = np.minimum(r.w[ones] * r.h[ones], r.w[others] * r.h[others])
    return across.clip(min=0) * down.clip(min=0) >= INSIDE * smaller


def _shared(r: RegionColumns, a: Ints, b: Ints) -> tuple[Floats, Floats]:
    """Width and height that two boxes have in common; negative: the gap between them."""
    across = np.minimum(r.x[a] + r.w[a], r.x[b] + r.w[b]) - np.maximum(r.x[a], r.x[b])
    down = np.minimum(r.y[a] + r.h[a], r.y[b] + r.h[b]) - np.maximum(r.y[a], r.y[b])
    return across, down


def _verdict(track: str, best: Likeness, text: str, embedder: str) -> Row:
    return {
        "verdict_id": content_id(Stage.match_brands, track, best.brand_id, "logo"),
        "track_ids": [track],
        "status": "resolved",
        "brand_id": best.brand_id,
        "brand": best.brand,
        "rule": "logo_match",
        "score": 1 - best.false_accept_rate,
        "confidence": best.probability,
        "text": text,
        "matched": best.exemplar_id,
        **WHOLE_TEXT,
        "decided_by": Stage.match_brands,
        "model": embedder,
    }
