"""Join the texts of neighbouring regions: BNP beside PARIBAS is BNP Paribas."""

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from brand_detect.domain.protocols import Hit
from brand_detect.domain.text import key_of
from brand_detect.stages.match_brands.matching import Match, TextMatcher
from brand_detect.stages.neighbours import follows, related_tracks
from brand_detect.stages.regions import RegionColumns

MOST_PIECES = 4  # regions that are tried together as one name: 100 + LASER + TV
SHORTEST_JOINED = 5  # letters of a name that may be put together from pieces; shorter ones come about by chance


@dataclass(frozen=True)
class Join:
    """A name found in the texts of neighbouring tracks, joined by spaces."""

    tracks: tuple[str, ...]
    parts: tuple[tuple[int, int], ...]  # where each track's text lies in the joined text
    text: str
    confidence: float
    hit: Hit

    def spans(self) -> Iterator[tuple[str, int, int]]:
        """Each track, and where in its own text the part of the name begins and ends."""
        for track, (begin, end) in zip(self.tracks, self.parts, strict=True):
            yield track, self.hit.start - begin, min(self.hit.end, end) - begin


def join_neighbours(
    regions: RegionColumns,
    tracks: Sequence[str],
    matches: Mapping[str, Match],
    matcher: TextMatcher,
    min_confidence: float,
) -> list[Join]:
    """Names that only neighbouring tracks spell together; each track is part of one at most, the longest best read name
    first.

    Tracks are neighbours that stand beside or below each other on most of the frames they share. A name counts when it
    takes letters of every one of them and is longer than what each names alone, and unless it takes another brand's
    board (``_takes_a_board``).
    """
    with_text = np.array([bool(t in matches and matches[t].text) for t in tracks], bool)
    n_regions = np.bincount(regions.track, minlength=len(tracks)).tolist()
    nexts: defaultdict[str, list[str]] = defaultdict(list)
    bound: set[tuple[str, str]] = set()  # a track that stands by the other on half of all its frames or more
    for a, b, n in related_tracks(regions, with_text, with_text, follows):
        nexts[tracks[a]].append(tracks[b])
        bound.update((tracks[p], tracks[q]) for p, q in ((a, b), (b, a)) if 2 * n >= n_regions[p])
    joins = [_join(path, matches, matcher) for path in _paths(nexts, matches, matcher)]
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


def _paths(
    nexts: Mapping[str, Sequence[str]], matches: Mapping[str, Match], matcher: TextMatcher
) -> Iterator[tuple[str, ...]]:
    """Tracks in reading order whose first and last may begin and end a name."""
    for first in nexts:
        if not matcher.may_begin(matches[first].text):
            continue
        paths = [(first,)]
        for _ in range(MOST_PIECES - 1):
            paths = [(*p, n) for p in paths for n in nexts.get(p[-1], ()) if n not in p]
            yield from (path for path in paths if matcher.may_end(matches[path[-1]].text))


def _join(path: tuple[str, ...], matches: Mapping[str, Match], matcher: TextMatcher) -> Join | None:
    """The name that takes letters of every track on ``path``, if it is longer than what each of them names alone."""
    texts = [matches[t].text for t in path]
    text = " ".join(texts)
    bounds = np.cumsum([0, *(len(t) + 1 for t in texts)]).tolist()
    parts = tuple((begin, begin + len(t)) for begin, t in zip(bounds, texts, strict=False))
    alone = max((len(key_of(h.alias)) for t in path for h in matches[t].hits), default=0)
    for hit in matcher.find(text):
        letters = len(key_of(hit.alias))
        if hit.start < parts[0][1] and hit.end > parts[-1][0] and letters > alone and letters >= SHORTEST_JOINED:
            return Join(path, parts, text, min(matches[t].confidence for t in path), hit)
    return None


def _takes_a_board(
    join: Join,
    matches: Mapping[str, Match],
    bound: Container[tuple[str, str]],
    joined: Container[tuple[str, ...]],
) -> bool:
    """Whether ``join`` takes a track that names another brand though it stands alone for most of its time, or though
    the others are a name without it.

    ROLEX beside PARIS MASTERS are two boards. RAI beside PLAY is one: without RAI, PLAY is no name.
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
