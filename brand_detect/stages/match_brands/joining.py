"""Joins the texts of neighbouring regions: BNP beside PARIBAS is BNP Paribas."""

from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.protocols import BrandIndex, Hit
from brand_detect.domain.text import fold, key_of
from brand_detect.stages.match_brands.matching import Match, TextMatcher
from brand_detect.stages.neighbours import follows, follows_occluder, related_tracks
from brand_detect.stages.regions import Ints, RegionColumns

MOST_PIECES = 4  # most regions joined into one name: 100 + LASER + TV
SHORTEST_JOINED = 5  # fewest letters of a joined name; shorter ones arise by chance


@dataclass(frozen=True)
class Join:
    """A name found in the texts of neighbouring tracks, joined by spaces."""

    tracks: tuple[str, ...]
    parts: tuple[tuple[int, int], ...]  # span of each track's text in the joined text
    text: str
    confidence: float
    hit: Hit

    def spans(self) -> Iterator[tuple[str, int, int]]:
        """Yields each track with the start and end of its part of the name in its own text."""
        for track, (begin, end) in zip(self.tracks, self.parts, strict=True):
            yield track, self.hit.start - begin, min(self.hit.end, end) - begin


def join_neighbours(
    regions: RegionColumns,
    tracks: Sequence[str],
    matches: Mapping[str, Match],
    matcher: TextMatcher,
    min_confidence: float,
) -> list[Join]:
    """Finds names that neighbouring tracks spell only together; each track is part of at most one, longest and best
    read first.

    Neighbours are beside or below each other on at least half of their shared frames. A name counts if it uses letters
    of every track, is longer than the name that any of them spells alone, and takes no other brand's board
    (``_takes_a_board``).
    """
    nexts, bound = neighbours(regions, tracks, {t for t, match in matches.items() if match.text})
    begin = [t for t in nexts if matcher.may_begin(matches[t].text)]
    paths = paths_between(nexts, begin, lambda t: matcher.may_end(matches[t].text))
    joins = [_join(path, matches, matcher) for path in paths]
    found = [join for join in joins if join and join.confidence * join.hit.score >= min_confidence]
    paths_found = {join.tracks for join in found}
    found = [join for join in found if not _takes_a_board(join, matches, bound, paths_found)]
    found.sort(key=lambda j: (-len(key_of(j.hit.alias)) * j.hit.score, j.tracks))
    used: set[str] = set()
    chosen: list[Join] = []
    for join in found:
        if used.isdisjoint(join.tracks):
            used.update(join.tracks)
            chosen.append(join)
    return chosen


def join_around_occluders(
    regions: RegionColumns,
    tracks: Sequence[str],
    matches: Mapping[str, Match],
    spelled_out: Mapping[str, Collection[str]],
    index: BrandIndex,
    params: MatchBrandsParams,
) -> list[Join]:
    """Finds names that other tracks spell out in pairs of ``matches`` beside an occluder: RE, ANCE behind a player.

    The two stand so on at least half of the frames that they share, and of those of one of them. A piece beside several
    others, before and behind whom the player passes, is part of the best read pair; the others are the same brand by
    themselves.

    Args:
        matches: of tracks without a brand.
        spelled_out: keys of the names, by brand.
    """
    keys = tuple(sorted(set[str]().union(*spelled_out.values())))
    parts = {fold(key[a:b]) for key in keys for a, b in combinations(range(len(key) + 1), 2)}
    are_parts = np.array([t in matches and fold(key_of(matches[t].text)) in parts for t in tracks], bool)
    limits = {"fuzzy_score": params.fuzzy_score_second_pass, "min_fuzzy_length": params.min_fuzzy_length}
    n_regions = np.bincount(regions.track, minlength=len(tracks))
    rows = np.split(np.argsort(regions.track, kind="stable"), np.cumsum(n_regions)[:-1])  # by track
    found: list[Join] = []
    for a, b, n in related_tracks(regions, are_parts, are_parts, follows_occluder):
        pair, first, last = (tracks[a], tracks[b]), matches[tracks[a]], matches[tracks[b]]
        texts, confidence = (first.text, last.text), min(first.confidence, last.confidence)
        for hit in index.find_occluded_between(*texts, keys, **limits, cut=_cut(regions, rows[a], rows[b])):
            if 2 * n >= min(n_regions[a], n_regions[b]) and confidence * hit.score >= params.min_confidence:
                found.append(Join(pair, spans(texts), " ".join(texts), confidence, hit))
    brands: dict[str, str] = {}  # by track
    chosen: list[Join] = []
    for join in sorted(found, key=lambda j: (-j.hit.score * j.confidence, j.tracks)):
        left = [track for track in join.tracks if track not in brands]
        if left and all(brands.get(track, join.hit.brand_id) == join.hit.brand_id for track in join.tracks):
            brands |= dict.fromkeys(left, join.hit.brand_id)
            chosen.append(join if len(left) == 2 else _alone(join, left[0], matches[left[0]]))
    return chosen


def _cut(regions: RegionColumns, first: Ints, last: Ints) -> tuple[bool, bool]:
    """Whether the picture's edge cuts off the first of two tracks on its left, and the last on its right, on a frame
    that shows both. Tracks are given by their rows."""
    _, a, b = np.intersect1d(regions.frame[first], regions.frame[last], return_indices=True)
    return bool(regions.cut_left[first[a]].any()), bool(regions.cut_right[last[b]].any())


def _alone(join: Join, track: str, match: Match) -> Join:
    """One track of ``join`` with its own text."""
    begin, _ = join.parts[join.tracks.index(track)]
    start, end = max(0, join.hit.start - begin), min(len(match.text), join.hit.end - begin)
    return Join((track,), ((0, len(match.text)),), match.text, join.confidence, replace(join.hit, start=start, end=end))


def neighbours(
    regions: RegionColumns, tracks: Sequence[str], chosen: Container[str]
) -> tuple[dict[str, list[str]], set[tuple[str, str]]]:
    """What follows each of the tracks ``chosen`` among them, beside or below it; and the pairs (a, b) of which a is
    beside b on at least half of a's frames."""
    mask = np.array([t in chosen for t in tracks], bool)
    n_regions = np.bincount(regions.track, minlength=len(tracks)).tolist()
    nexts: defaultdict[str, list[str]] = defaultdict(list)
    bound: set[tuple[str, str]] = set()
    for a, b, n in related_tracks(regions, mask, mask, follows):
        nexts[tracks[a]].append(tracks[b])
        bound.update((tracks[p], tracks[q]) for p, q in ((a, b), (b, a)) if 2 * n >= n_regions[p])
    return dict(nexts), bound


def paths_between(
    nexts: Mapping[str, Sequence[str]], begin: Iterable[str], may_end: Callable[[str], bool]
) -> Iterator[tuple[str, ...]]:
    """Yields sequences of two to ``MOST_PIECES`` tracks in reading order, from any of ``begin`` to one that may end."""
    for first in begin:
        paths = [(first,)]
        for _ in range(MOST_PIECES - 1):
            paths = [(*p, n) for p in paths for n in nexts.get(p[-1], ()) if n not in p]
            yield from (path for path in paths if may_end(path[-1]))


def _join(path: tuple[str, ...], matches: Mapping[str, Match], matcher: TextMatcher) -> Join | None:
    """The name that uses letters of every track of ``path``, if longer than the name that any spells alone."""
    texts = [matches[t].text for t in path]
    text, parts = " ".join(texts), spans(texts)
    alone = max((len(key_of(h.alias)) for t in path for h in matches[t].hits), default=0)
    for hit in matcher.find(text):
        letters = len(key_of(hit.alias))
        if hit.start < parts[0][1] and hit.end > parts[-1][0] and letters > alone and letters >= SHORTEST_JOINED:
            return Join(path, parts, text, min(matches[t].confidence for t in path), hit)
    return None


def spans(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Where each of ``texts`` begins and ends when they are joined by spaces."""
    bounds = np.cumsum([0, *(len(t) + 1 for t in texts)]).tolist()
    return tuple((begin, begin + len(t)) for begin, t in zip(bounds, texts, strict=False))


def _takes_a_board(
    join: Join,
    matches: Mapping[str, Match],
    bound: Container[tuple[str, str]],
    joined: Container[tuple[str, ...]],
) -> bool:
    """Whether ``join`` takes a track that names another brand and either is alone most of its time or is not needed
    for the others to form a name.

    ROLEX beside PARIS MASTERS are two boards. RAI beside PLAY is one: PLAY alone is no name.
    """
    others = {
        track
        for track, begin, end in join.spans()
        if any(h.brand_id != join.hit.brand_id and h.start < end and begin < h.end for h in matches[track].hits)
    }
    if not others:
        return False
    rest = tuple(track for track in join.tracks if track not in others)
    alone = any(not any((track, by) in bound for by in join.tracks) for track in others)
    return alone or rest in joined or all(matches[track].hits for track in rest)
