"""Name the brands that the texts say, and rank what no rule settles by how long and how large it was on screen."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.run_ocr import TrackTexts
from brand_detect.domain.contracts.verdicts import ANSWERS, UNRESOLVED, VERDICTS, WHOLE_TEXT, BrandVerdicts
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.protocols import BrandIndex, Hit, Likeness, LogoGallery
from brand_detect.domain.tables import Row, content_id, table
from brand_detect.domain.text import NearIndex, fold, key_of
from brand_detect.domain.timeline import shown_seconds
from brand_detect.stages.match_brands.logos import logo_verdicts, lookalikes, mean_embeddings, overlapping
from brand_detect.stages.regions import Floats, Ints, RegionColumns, on_one_frame

MOST_PIECES = 4  # regions that are tried together as one name: 100 + LASER + TV
SHORTEST_JOINED = 5  # letters of a name that may be put together from pieces; shorter ones come about by chance
BESIDE_GAP = 1.2  # widest gap between neighbours on a line, in heights of the smaller
BELOW_GAP = 0.8  # widest gap between neighbours in a stack, in heights of the smaller
TOUCH = 0.3  # how far boxes of neighbours may run into each other, in heights of the smaller
ALIGNED = 0.5  # share of the smaller one's height (width) that neighbours on a line (in a stack) have in common
LIKE_HEIGHTS = 2.5  # largest ratio of neighbours' heights
ALIKE_TEXT = 0.85  # 1 - edits / letters, after folding: readings of the same words
SAME_WORDS = 0.5  # the same, for two readings of one track; others are of what a board showed before or after
ALIKE_TEXT_SAME_CROP = 0.5  # the same where the crops look alike too: hashes alone joined two brands in 10 of 2,130
ALIKE_CROP_BITS = 8  # of 64
ALIKE_EMBEDDING = 0.9  # inner product of two marks' vectors
NEAR_BY_TEXT, NEAR_BY_LOGO = 5, 3  # brands that a cluster nearly is: hints for whoever looks at it next
UNREAD = 0.1  # worth of a crop that was not read, beside one that was read with confidence 1
_SCORE = re.compile(r"\d\s*[-:–.]\s*\d")
_LONGEST_IN_SCORE = 4  # letters of the words beside the digits of a clock or score: ARS 2-1 CHE

Find = Callable[[str], list[Hit]]


class _Reading(NamedTuple):
    text: str
    confidence: float
    char_positions: Sequence[float] = ()  # the middle of each, share of the region's length
    region_id: str | None = None  # that region


@dataclass
class _TrackText:
    """What a track was taken to say, and the brands in it."""

    reading: _Reading
    hits: list[Hit]

    @property
    def text(self) -> str:
        return self.reading.text

    @property
    def confidence(self) -> float:
        return self.reading.confidence


def match_brands(
    scenes: FilteredScenes,
    detected: DetectedObjects,
    texts: TrackTexts,
    params: MatchBrandsParams,
    *,
    index: BrandIndex,
    gallery: LogoGallery | None = None,
) -> BrandVerdicts:
    """Verdicts for the tracks that name a brand or look like one, and clusters of those that no rule settles.

    - A track's text is tried first, then the alternatives like it, best first. A verdict's confidence is the rule's
      score times the reading's confidence; under ``min_confidence`` it is none.
    - A text that names nothing so may still be like a brand that other tracks of the video spell out. There
      ``fuzzy_score_second_pass`` is asked for.
    - Tracks that lie beside or below each other on most of the frames they share are tried as one text, in reading
      order. The name so found counts when it takes letters of every one of them and is longer than what each names
      alone. It takes no track that names another brand and stands alone for most of its time, or that the others need
      not for a name: an event's title does not take its sponsor's board.
    - A text that names nothing even so may be all of a name that other tracks spell out but one run of letters:
      somebody stands before the board. The picture's edge must not cut it, for nobody knows what is beyond.
    - A text that the catalogue excludes gets the status ``ignored`` and is listed nowhere else.
    - A track that no text settles is compared with the marks in ``gallery``, as ``logo_verdicts`` says.
    - What is left over is clustered: texts alike after folding, or less alike with crops that look alike; marks
      without text by their crops. Numbers, clocks, scores and texts of less than ``min_unresolved_letters`` letters
      are left out. Clusters rank by seconds on screen times mean area, first those with a text, which people can name.
    - Most logo regions without text are people, lines and posts, so few are listed, and last: those with the highest
      scores of the detector, at most ``max_unresolved_logos``, each on screen for ``min_unresolved_logo_s`` or
      more. One in or around what has a name or a text already is not listed again.

    ``stats``: tracks, resolved, by_logo (named by their look), ignored, not_listed (tracks left out as above), lookups
    (distinct texts asked about).
    """
    tracks = detected.tracks["track_id"].to_pylist()
    find = cache(
        lambda text: index.find(text, fuzzy_score=params.fuzzy_score, min_fuzzy_length=params.min_fuzzy_length)
    )
    readings = _readings(texts)
    track_texts = {t: _recognised(readings[t], find, params.min_confidence) for t in tracks if t in readings}
    spelled_out = _spelled_out(track_texts) if params.fuzzy_score_second_pass < 1 else {}
    track_texts |= _second_pass(track_texts, readings, spelled_out, index, params)
    regions = RegionColumns(detected.regions, tracks)

    joined = _joins(regions, tracks, track_texts, find, index, params) if params.join_neighbours else []
    named = {t for join in joined for t in join.tracks}
    track_texts |= _occluded_names(track_texts, readings, spelled_out, named, detected.regions, index, params)
    ignored = {t for t, s in track_texts.items() if not s.hits and t not in named and index.is_excluded(s.text)}
    verdicts = [_ignored(t, track_texts[t]) for t in tracks if t in ignored]
    verdicts += list(_own(tracks, track_texts, joined))
    verdicts += [_joined_verdict(j) for j in joined]
    if gallery is not None:
        words = {t: (s.text, s.confidence) for t, s in track_texts.items()}
        verdicts += logo_verdicts(detected, regions, verdicts, words, params, gallery=gallery)
    resolved = {t for v in verdicts for t in v["track_ids"]}

    kinds = dict(zip(tracks, detected.tracks["kind"].to_pylist(), strict=True))
    texts_left = {t: track_texts[t].text if t in track_texts else "" for t in tracks if t not in resolved}
    listed = {t: text for t, text in texts_left.items() if _is_worth_listing(text, params.min_unresolved_letters)}
    marks = {t for t, text in texts_left.items() if not text and kinds[t] != "text"}
    marks -= overlapping(regions, tracks, marks, resolved | listed.keys())
    listed |= dict.fromkeys((t for t in tracks if t in marks), "")
    seconds_of, embeddings = shown_seconds(scenes.timeline), mean_embeddings(detected.embeddings)
    clusters = _clusters(listed, regions, tracks, seconds_of, _confidence_of_crops(texts), embeddings)
    scores = dict(zip(tracks, detected.tracks["score"].to_pylist(), strict=True))
    ranked = _worth_showing(clusters, scores, params)
    looks_like = lookalikes(detected, regions, ranked, params, gallery) if gallery else [[] for _ in ranked]
    unresolved = list(_with_candidates(ranked, looks_like, index))
    n_listed = sum(len(row["track_ids"]) for row in unresolved)
    return BrandVerdicts(
        verdicts=table(VERDICTS, verdicts),
        unresolved=table(UNRESOLVED, unresolved),
        answers=table(ANSWERS),
        stats={
            "tracks": float(len(tracks)),
            "resolved": float(len(resolved - ignored)),
            "by_logo": float(sum(v["rule"] == "logo_match" for v in verdicts)),
            "ignored": float(len(ignored)),
            "not_listed": float(len(texts_left) - n_listed),
            "lookups": float(find.cache_info().misses),
        },
    )


# --- what each track says -------------------------------------------------------------------------------------------


def _readings(texts: TrackTexts) -> dict[str, list[_Reading]]:
    """For each track its text and then the alternatives that read the same words, each as it was read best."""
    known: dict[tuple[str, str], _Reading] = {}
    columns = ("track_id", "text", "confidence", "char_positions", "region_id")
    for track, text, confidence, letters, region in _rows(texts.readings, *columns):
        if (track, text) not in known or confidence > known[track, text].confidence:
            known[track, text] = _Reading(text, confidence, letters or (), region)
    found: dict[str, list[_Reading]] = {}
    for track, text, confidence, alternatives in _rows(texts.texts, "track_id", "text", "confidence", "alternatives"):
        same = [a for a in alternatives if _likeness(a, text) >= SAME_WORDS]
        voted = _Reading(text, confidence)
        others = [known.get((track, other), voted._replace(text=other)) for other in same]
        found[track] = [known.get((track, text), voted)._replace(confidence=confidence), *others]
    return found


@lru_cache(maxsize=65_536)
def _likeness(a: str, b: str) -> float:
    return Levenshtein.normalized_similarity(fold(key_of(a)), fold(key_of(b)))


def _rows(source: pa.Table, *columns: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(source[c].to_pylist() for c in columns), strict=True)


def _recognised(readings: Sequence[_Reading], find: Find, min_confidence: float) -> _TrackText:
    """The first reading that names a brand surely enough, else the first."""
    for reading in readings:
        hits = [h for h in find(reading.text) if h.score * reading.confidence >= min_confidence]
        if hits:
            return _TrackText(reading, hits)
    return _TrackText(readings[0], [])


def _spelled_out(track_texts: Mapping[str, _TrackText]) -> dict[str, set[str]]:
    """The keys of the names that tracks spell out, by brand."""
    spelled_out: defaultdict[str, set[str]] = defaultdict(set)
    for hit in (hit for one in track_texts.values() for hit in one.hits if hit.rule != "fuzzy"):
        spelled_out[hit.brand_id].add(key_of(hit.alias))
    return spelled_out


def _second_pass(
    track_texts: Mapping[str, _TrackText],
    readings: Mapping[str, Sequence[_Reading]],
    spelled_out: Mapping[str, Collection[str]],
    index: BrandIndex,
    params: MatchBrandsParams,
) -> dict[str, _TrackText]:
    """The tracks that name no brand but say almost a name that others spell out."""
    if not spelled_out:
        return {}

    @cache
    def find(text: str) -> list[Hit]:
        hits = index.find(text, fuzzy_score=params.fuzzy_score_second_pass, min_fuzzy_length=params.min_fuzzy_length)
        return [h for h in hits if any(key in key_of(h.alias) for key in spelled_out.get(h.brand_id, ()))]

    unnamed = [t for t, one in track_texts.items() if not one.hits and not index.is_excluded(one.text)]
    return {t: _recognised(readings[t], find, params.min_confidence) for t in unnamed}


def _occluded_names(
    track_texts: Mapping[str, _TrackText],
    readings: Mapping[str, Sequence[_Reading]],
    spelled_out: Mapping[str, Collection[str]],
    named: Container[str],
    regions: pa.Table,
    index: BrandIndex,
    params: MatchBrandsParams,
) -> dict[str, _TrackText]:
    """The tracks that name no brand, not even with their neighbours (``named``: there another reading of them would be
    taken), but say a name that others spell out without one run of its letters, in a region that the picture's edge
    does not cut."""
    if not spelled_out:
        return {}
    names = tuple(sorted(set[str]().union(*spelled_out.values())))
    whole = {region for region, at_edge in _rows(regions, "region_id", "at_edge") if at_edge is False}

    @cache
    def find(text: str) -> list[Hit]:
        return index.partly(
            text, names, fuzzy_score=params.fuzzy_score_second_pass, min_fuzzy_length=params.min_fuzzy_length
        )

    found = {}
    for track, one in track_texts.items():
        inside = [reading for reading in readings[track] if reading.region_id in whole]
        if one.hits or not inside or track in named or index.is_excluded(one.text):
            continue
        partly = _recognised(inside, find, params.min_confidence)
        if partly.hits:
            found[track] = partly
    return found


def _own(tracks: Sequence[str], track_texts: dict[str, _TrackText], joined: Sequence["_Join"]) -> Iterator[Row]:
    """Verdicts of single tracks, less those that are part of a longer joined name."""
    taken: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for join in joined:
        for track, begin, end in join.taken():
            taken[track].append((begin, end))
    for track in tracks:
        if track not in track_texts:
            continue
        reading = track_texts[track].reading
        for hit in track_texts[track].hits:
            if all(hit.end <= begin or end <= hit.start for begin, end in taken[track]):
                verdict = _verdict([track], hit, hit.rule, reading.text, reading.confidence)
                yield {**verdict, **_place(reading, hit.start, hit.end)}


def _place(reading: _Reading, start: int, end: int) -> Row:
    """Where in the region that was read the characters from ``start`` to ``end`` stand: from halfway to those beside
    them, at the ends of the text half of the mean distance further. Nothing where the reader did not tell, or wrote
    from right to left.
    """
    letters = reading.char_positions
    if len(letters) < 2 or len(letters) != len(reading.text) or any(b < a for a, b in pairwise(letters)):
        return {}
    half = (letters[-1] - letters[0]) / (len(letters) - 1) / 2
    edges = [letters[0] - half, *((a + b) / 2 for a, b in pairwise(letters)), letters[-1] + half]
    first, last = (min(1.0, max(0.0, edges[at])) for at in (start, end))
    return {"line_start": first, "line_end": last, "line_region_id": reading.region_id} if first < last else {}


def _verdict(tracks: list[str], hit: Hit, rule: str, text: str, confidence: float) -> Row:
    return {
        "verdict_id": content_id(Stage.match_brands, *tracks, hit.brand_id, hit.start),
        "track_ids": tracks,
        "status": "resolved",
        "brand_id": hit.brand_id,
        "brand": hit.brand,
        "rule": rule,
        "score": hit.score,
        "confidence": hit.score * confidence,
        "text": text,
        "matched": hit.alias,
        **WHOLE_TEXT,
        "span_start": hit.start / len(text),
        "span_end": hit.end / len(text),
        "decided_by": Stage.match_brands,
        "model": "",
    }


def _ignored(track: str, recognised: _TrackText) -> Row:
    return {
        "verdict_id": content_id(Stage.match_brands, track, "excluded"),
        "track_ids": [track],
        "status": "ignored",
        "brand_id": "",
        "brand": "",
        "rule": "excluded",
        "score": 1.0,
        "confidence": recognised.confidence,
        "text": recognised.text,
        "matched": recognised.text,
        **WHOLE_TEXT,
        "decided_by": Stage.match_brands,
        "model": "",
    }


# --- neighbours -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Join:
    """A name found in the texts of neighbouring tracks, put together with spaces."""

    tracks: tuple[str, ...]
    parts: tuple[tuple[int, int], ...]  # where each track's text lies in the joined text
    text: str
    confidence: float
    hit: Hit

    def taken(self) -> Iterator[tuple[str, int, int]]:
        """Each track, and where in its text the letters begin and end that the name takes."""
        for track, (begin, end) in zip(self.tracks, self.parts, strict=True):
            yield track, self.hit.start - begin, min(self.hit.end, end) - begin


def _joins(
    regions: RegionColumns,
    tracks: Sequence[str],
    track_texts: dict[str, _TrackText],
    find: Find,
    index: BrandIndex,
    params: MatchBrandsParams,
) -> list[_Join]:
    """Names that only neighbours say together; each track is part of one at most, the longest best read name first."""
    begins, ends = cache(index.may_begin), cache(index.may_end)
    with_text = np.array([bool(t in track_texts and track_texts[t].text) for t in tracks], bool)
    nexts: defaultdict[str, list[str]] = defaultdict(list)
    n_regions = np.bincount(regions.track, minlength=len(tracks)).tolist()
    bound: set[tuple[str, str]] = set()  # a track that lies by the other on half of all its frames or more
    for a, b, n in _neighbours(regions, with_text):
        nexts[tracks[a]].append(tracks[b])
        bound.update((tracks[p], tracks[q]) for p, q in ((a, b), (b, a)) if 2 * n >= n_regions[p])
    found: list[_Join] = []
    for first in list(nexts):
        if not begins(track_texts[first].text):
            continue
        paths = [(first,)]
        for _ in range(MOST_PIECES - 1):
            paths = [(*p, n) for p in paths for n in nexts.get(p[-1], ()) if n not in p]
            for path in paths:
                if ends(track_texts[path[-1]].text):
                    join = _join(path, track_texts, find)
                    if join and join.confidence * join.hit.score >= params.min_confidence:
                        found.append(join)
    paths_found = {join.tracks for join in found}
    found = [join for join in found if not _takes_a_board(join, track_texts, bound, paths_found)]
    found.sort(key=lambda j: (-len(key_of(j.hit.alias)) * j.hit.score, j.tracks))
    used: set[str] = set()
    chosen: list[_Join] = []
    for join in found:
        if used.isdisjoint(join.tracks):
            used.update(join.tracks)
            chosen.append(join)
    return chosen


def _join(path: tuple[str, ...], track_texts: dict[str, _TrackText], find: Find) -> _Join | None:
    """The name that takes letters of every track on ``path``, if it is longer than what each of them names alone."""
    texts = [track_texts[t].text for t in path]
    text = " ".join(texts)
    bounds = np.cumsum([0, *(len(t) + 1 for t in texts)]).tolist()
    parts = tuple((begin, begin + len(t)) for begin, t in zip(bounds, texts, strict=False))
    alone = max((len(key_of(h.alias)) for t in path for h in track_texts[t].hits), default=0)
    for hit in find(text):
        letters = len(key_of(hit.alias))
        if hit.start < parts[0][1] and hit.end > parts[-1][0] and letters > alone and letters >= SHORTEST_JOINED:
            return _Join(path, parts, text, min(track_texts[t].confidence for t in path), hit)
    return None


def _takes_a_board(
    join: _Join,
    track_texts: Mapping[str, _TrackText],
    bound: Container[tuple[str, str]],
    joined: Container[tuple[str, ...]],
) -> bool:
    """Whether ``join`` takes a track that names another brand though it stands alone for most of its time, or though
    the others are a name without it.

    ROLEX beside PARIS MASTERS are two boards. RAI beside PLAY is one: without RAI, PLAY is no name.
    """
    others = {
        track
        for track, begin, end in join.taken()
        if any(h.brand_id != join.hit.brand_id and h.start < end and begin < h.end for h in track_texts[track].hits)
    }
    if not others:
        return False
    rest = tuple(track for track in join.tracks if track not in others)
    alone = any(not any((track, by) in bound for by in join.tracks) for track in others)
    return alone or rest in joined or all(track_texts[track].hits for track in rest)


def _joined_verdict(join: _Join) -> Row:
    return _verdict(list(join.tracks), join.hit, "joined", join.text, join.confidence)


def _neighbours(regions: RegionColumns, wanted: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Pairs of tracks (before, after) that lie beside or below each other on most of the frames they share, and on how
    many.
    """
    rows = np.flatnonzero(wanted[regions.track])
    rows = rows[np.lexsort((regions.track[rows], regions.frame[rows]))]
    n = len(wanted)
    ordered: list[Ints] = []
    for a, b in on_one_frame(regions, rows):
        for p, q in ((a, b), (b, a)):
            near = _follows(regions, p, q)
            ordered.append(regions.track[p[near]] * n + regions.track[q[near]])
    codes, near = np.unique(np.concatenate([np.zeros(0, np.int64), *ordered]), return_counts=True)
    first, second = np.divmod(codes, max(1, n))
    pairs, pair_of = np.unique(np.minimum(first, second) * n + np.maximum(first, second), return_inverse=True)
    together = np.zeros(len(pairs), np.int64)
    for a, b in on_one_frame(regions, rows):  # again, for all pairs at once would take gigabytes in a long video
        both = regions.track[a] * n + regions.track[b]
        np.add.at(together, np.searchsorted(pairs, both[np.isin(both, pairs)]), 1)
    mostly = near * 2 >= together[pair_of]
    yield from zip(first[mostly].tolist(), second[mostly].tolist(), near[mostly].tolist(), strict=True)


def _follows(r: RegionColumns, a: Ints, b: Ints) -> NDArray[np.bool_]:
    """Whether region b is read right after region a: beside it to the right, or below it."""
    low, high = np.minimum(r.h[a], r.h[b]), np.maximum(r.h[a], r.h[b])
    across = np.minimum(r.x[a] + r.w[a], r.x[b] + r.w[b]) - np.maximum(r.x[a], r.x[b])
    down = np.minimum(r.y[a] + r.h[a], r.y[b] + r.h[b]) - np.maximum(r.y[a], r.y[b])
    beside = (down >= ALIGNED * low) & (r.x[b] > r.x[a]) & (-across <= BESIDE_GAP * low) & (across <= TOUCH * low)
    below = (
        (across >= ALIGNED * np.minimum(r.w[a], r.w[b]))
        & (r.y[b] > r.y[a])
        & (-down <= BELOW_GAP * low)
        & (down <= TOUCH * low)
    )
    return (beside | below) & (high <= LIKE_HEIGHTS * low)


# --- what is left over ----------------------------------------------------------------------------------------------


@dataclass
class _Unnamed:
    """Tracks with one key, or one track without text."""

    key: str
    text: str
    crop: int  # hash of the best crop
    weight: float  # seconds times area
    embedding: NDArray[np.float32] | None = None  # vector of a logo region without text
    tracks: list[int] = field(default_factory=list)


def _is_worth_listing(text: str, min_letters: int) -> bool:
    """Whether ``text`` may be a name: no number, clock or score, and letters enough."""
    key = key_of(text)
    letters, digits = sum(c.isalpha() for c in key), sum(c.isdigit() for c in key)
    if letters < max(min_letters, digits):
        return False
    words = re.findall(r"[^\W\d_]+", text)  # none where signs stand for letters: № ㎏
    return not (_SCORE.search(text) and max(map(len, words), default=0) <= _LONGEST_IN_SCORE)


def _confidence_of_crops(texts: TrackTexts) -> dict[str, float]:
    return dict(sorted(_rows(texts.readings, "region_id", "confidence"), key=lambda row: row[1]))  # the surest stays


def _clusters(
    listed: dict[str, str],
    regions: RegionColumns,
    tracks: Sequence[str],
    seconds_of: Floats,
    confidence_of: dict[str, float],
    embeddings: Mapping[str, NDArray[np.float32]],
) -> list[Row]:
    """Rows of ``unresolved``, in order of rank, which is still to be given."""
    n = len(tracks)
    read = np.array([confidence_of.get(i, UNREAD) for i in regions.ids.tolist()])
    worth = np.sqrt(np.maximum(regions.area, 0)) * read * np.sqrt(regions.sharpness + 1)
    seconds, area, best = _per_group(regions, regions.track, n, seconds_of, worth)
    marks = _marks(listed, tracks, regions.hash, seconds * area, best, embeddings)
    leader_of = _leaders(marks)
    cluster_of_track = np.full(n, -1, np.int64)
    for mark, leader in zip(marks, leader_of, strict=True):
        cluster_of_track[mark.tracks] = leader
    cluster = cluster_of_track[regions.track]
    seconds, area, best = _per_group(regions, cluster, len(marks), seconds_of, worth)
    n_regions = np.bincount(cluster[cluster >= 0], minlength=len(marks))
    hashes = _distinct(cluster, regions.hash, len(marks))
    members: list[list[int]] = [[] for _ in marks]
    texts: list[defaultdict[str, int]] = [defaultdict(int) for _ in marks]
    sizes = np.bincount(regions.track, minlength=n)
    for mark, leader in zip(marks, leader_of, strict=True):
        members[leader].extend(mark.tracks)
        for t in mark.tracks:
            texts[leader][listed[tracks[t]]] += int(sizes[t])
    rows: list[Row] = [
        {
            "cluster_id": content_id("cluster", marks[c].key, *hashes[c]),
            "rank": 0,
            "text": min(texts[c], key=lambda t: (-texts[c][t], t)),
            "track_ids": [tracks[t] for t in sorted(members[c])],
            "n_regions": int(n_regions[c]),
            "seconds": float(seconds[c]),
            "area_frac": float(area[c]),
            "crop_hashes": hashes[c],
            "best_region_id": regions.ids[best[c]],
            "reason": "no_rule" if marks[c].key else "unreadable",
            "candidates": [],
        }
        for c in sorted(set(leader_of))
    ]
    rows.sort(key=lambda r: (-r["seconds"] * r["area_frac"], r["cluster_id"]))
    return rows


def _worth_showing(clusters: Sequence[Row], scores: Mapping[str, float], params: MatchBrandsParams) -> list[Row]:
    """The clusters, ranked: those with a text as they come, then the likeliest marks without one."""
    marks = [row for row in clusters if not row["text"] and row["seconds"] >= params.min_unresolved_logo_s]
    marks.sort(key=lambda row: -max(scores[t] for t in row["track_ids"]))
    kept = [*(row for row in clusters if row["text"]), *marks[: params.max_unresolved_logos]]
    return [{**row, "rank": rank} for rank, row in enumerate(kept, start=1)]


def _with_candidates(
    clusters: Sequence[Row], looks_like: Sequence[Sequence[Likeness]], index: BrandIndex
) -> Iterator[Row]:
    """The clusters with the brands that they nearly are: by what was read, then by their look."""
    for cluster, alike in zip(clusters, looks_like, strict=True):
        names = [*index.near(cluster["text"], NEAR_BY_TEXT), *(likeness.brand for likeness in alike[:NEAR_BY_LOGO])]
        yield {**cluster, "candidates": list(dict.fromkeys(names))}


def _per_group(
    regions: RegionColumns, group: Ints, n: int, seconds_of: Floats, worth: Floats
) -> tuple[Floats, Floats, Ints]:
    """Per group of regions: seconds on screen, mean area, and the position of the region of most worth.

    ``group`` is -1 for regions that count nowhere. A frame counts once per group, however many regions it has there.
    """
    rows = np.flatnonzero(group >= 0)
    g = group[rows]
    owner, frame = np.divmod(np.unique(g * len(seconds_of) + regions.frame[rows]), max(1, len(seconds_of)))
    seconds = np.zeros(n)
    np.add.at(seconds, owner, seconds_of[frame])
    area = np.zeros(n)
    np.add.at(area, g, regions.area[rows])
    area /= np.maximum(np.bincount(g, minlength=n), 1)
    best = np.full(n, -1, np.int64)
    order = np.lexsort((-regions.frame[rows], worth[rows]))  # of equals the first frame
    best[g[order]] = rows[order]
    return seconds, area, best


def _distinct(cluster: Ints, values: NDArray[Any], n: int) -> list[list[int]]:
    """The distinct values of every cluster, in order."""
    rows = np.flatnonzero(cluster >= 0)
    order = rows[np.lexsort((values[rows], cluster[rows]))]
    c, v = cluster[order], values[order]
    new = np.r_[True, (c[1:] != c[:-1]) | (v[1:] != v[:-1])][: len(c)]
    parts = np.split(v[new], np.searchsorted(c[new], np.arange(1, n)))
    return [p.tolist() for p in parts]


def _marks(
    listed: dict[str, str],
    tracks: Sequence[str],
    hashes: NDArray[Any],
    weight: Floats,
    best: Ints,
    embeddings: Mapping[str, NDArray[np.float32]],
) -> list[_Unnamed]:
    """The marks to cluster, the heaviest first. A track without regions was never on screen and is none."""
    marks: dict[tuple[str, str], _Unnamed] = {}
    for t, track in enumerate(tracks):
        if track not in listed or best[t] < 0:
            continue
        key = fold(key_of(listed[track]))
        name = (key, "" if key else track)
        embedding = None if key else embeddings.get(track)
        mark = marks.setdefault(name, _Unnamed(key, listed[track], int(hashes[best[t]]), 0.0, embedding))
        mark.weight += float(weight[t])
        mark.tracks.append(t)
    return sorted(marks.values(), key=lambda m: (-m.weight, m.key, m.crop))


def _leaders(marks: Sequence[_Unnamed]) -> list[int]:
    """For each mark the heaviest one that it is alike to and that follows no other; itself if there is none."""
    texts = NearIndex([m.key for m in marks], lambda length: int((1 - ALIKE_TEXT) * length + 1e-9))
    crops = np.array([m.crop for m in marks], np.uint64)
    size = max((len(m.embedding) for m in marks if m.embedding is not None), default=0)
    embeddings = np.zeros((len(marks), size), np.float32)
    for mark, embedding in zip(marks, embeddings, strict=True):
        embedding[:] = 0 if mark.embedding is None else mark.embedding
    leaders: list[int] = []
    own = np.zeros(len(marks), np.int64)  # those that follow no other
    n_own = 0
    for i, mark in enumerate(marks):
        others = own[:n_own]
        bits = np.bitwise_count(crops[others] ^ crops[i])
        same_crop = (bits <= ALIKE_CROP_BITS) | (embeddings[others] @ embeddings[i] >= ALIKE_EMBEDDING)
        same_crops = set(others[same_crop].tolist())
        same_text = {j for j in texts.near(mark.key) if j < i and leaders[j] == j}
        leader = next((j for j in sorted(same_text | same_crops) if _are_alike(mark, marks[j], j in same_crops)), i)
        leaders.append(leader)
        if leader == i:
            own[n_own] = i
            n_own += 1
    return leaders


def _are_alike(a: _Unnamed, b: _Unnamed, same_crop: bool) -> bool:
    if not (a.key and b.key):
        return same_crop and a.key == b.key
    needed = ALIKE_TEXT_SAME_CROP if same_crop else ALIKE_TEXT
    return Levenshtein.normalized_similarity(a.key, b.key) >= needed
