"""Matches the readings of each track with the catalogue: hits with rule, score and span.

Only this module knows how texts are matched; joins, verdicts and clusters are independent of it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import pyarrow as pa
from rapidfuzz.distance import Levenshtein

from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.run_ocr import TrackTexts
from brand_detect.domain.contracts.verdicts import Rule
from brand_detect.domain.protocols import BrandIndex, Hit
from brand_detect.domain.text import fold, key_of

SAME_WORDS = 0.5
"""1 - edits / letters, after folding, of two readings of the same words. Less similar readings of a track are of what a
board showed before or after."""


class Reading(NamedTuple):
    text: str
    confidence: float
    char_positions: Sequence[float] = ()  # centre of each character, as a share of the region's length
    region_id: str | None = None  # the region that was read


@dataclass(frozen=True)
class Match:
    """The reading chosen for a track, and the brands in it, best first."""

    reading: Reading
    hits: list[Hit]

    @property
    def text(self) -> str:
        return self.reading.text

    @property
    def confidence(self) -> float:
        return self.reading.confidence


class TextMatcher:
    """Matches readings with the catalogue; each distinct text is looked up once."""

    def __init__(self, index: BrandIndex, params: MatchBrandsParams) -> None:
        self._index, self._params = index, params
        self.find = cache(lambda text: self._find(text, params.fuzzy_score))
        self.may_begin, self.may_end = cache(index.may_begin), cache(index.may_end)

    @property
    def lookups(self) -> int:
        """Number of distinct texts looked up so far, without second passes."""
        return self.find.cache_info().misses

    def first_pass(self, readings: Mapping[str, Sequence[Reading]]) -> dict[str, Match]:
        """The match of every track by its own text."""
        return {track: self._match(own, self.find) for track, own in readings.items()}

    def second_pass(
        self,
        matches: Mapping[str, Match],
        readings: Mapping[str, Sequence[Reading]],
        spelled_out: Mapping[str, Collection[str]],
    ) -> dict[str, Match]:
        """Matches tracks without a brand at ``fuzzy_score_second_pass`` with names that other tracks spell out."""
        if not spelled_out:
            return {}

        @cache
        def find(text: str) -> list[Hit]:
            hits = self._find(text, self._params.fuzzy_score_second_pass)
            return [h for h in hits if any(key in key_of(h.alias) for key in spelled_out.get(h.brand_id, ()))]

        return {track: self._match(readings[track], find) for track in self._unmatched(matches)}

    def match_occluded(
        self,
        matches: Mapping[str, Match],
        readings: Mapping[str, Sequence[Reading]],
        spelled_out: Mapping[str, Collection[str]],
        regions: pa.Table,
    ) -> dict[str, Match]:
        """Matches tracks without a brand to names that other tracks spell out, with one run of characters occluded.

        Only readings of ``regions`` away from the picture's edge count: text that the edge cuts off is not occluded.
        """
        if not spelled_out:
            return {}
        uncut = {region for region, at_edge in rows_of(regions, "region_id", "at_edge") if at_edge is False}
        names = tuple(sorted(set[str]().union(*spelled_out.values())))

        @cache
        def find(text: str) -> list[Hit]:
            limits = self._params.fuzzy_score_second_pass, self._params.min_fuzzy_length
            return self._index.find_occluded(text, names, fuzzy_score=limits[0], min_fuzzy_length=limits[1])

        whole = {t: [r for r in readings[t] if r.region_id in uncut] for t in self._unmatched(matches)}
        found = {track: self._match(own, find) for track, own in whole.items() if own}
        return {track: match for track, match in found.items() if match.hits}

    def _find(self, text: str, fuzzy_score: float) -> list[Hit]:
        return self._index.find(text, fuzzy_score=fuzzy_score, min_fuzzy_length=self._params.min_fuzzy_length)

    def _match(self, readings: Sequence[Reading], find: Callable[[str], list[Hit]]) -> Match:
        """The first reading that names a brand with ``min_confidence``; else the first reading, without a brand."""
        for reading in readings:
            hits = [h for h in find(reading.text) if h.score * reading.confidence >= self._params.min_confidence]
            if hits:
                return Match(reading, hits)
        return Match(readings[0], [])

    def _unmatched(self, matches: Mapping[str, Match]) -> list[str]:
        return [t for t, match in matches.items() if not match.hits and not self._index.is_excluded(match.text)]


def readings_of(texts: TrackTexts) -> dict[str, list[Reading]]:
    """Each track's text, then its alternatives of the same words, each in its most confident reading."""
    known: dict[tuple[str, str], Reading] = {}
    columns = ("track_id", "text", "confidence", "char_positions", "region_id")
    for track, text, confidence, positions, region in rows_of(texts.readings, *columns):
        if (track, text) not in known or confidence > known[track, text].confidence:
            known[track, text] = Reading(text, confidence, positions or (), region)
    found: dict[str, list[Reading]] = {}
    columns = ("track_id", "text", "confidence", "alternatives")
    for track, text, confidence, alternatives in rows_of(texts.texts, *columns):
        same = [a for a in alternatives if _similarity(a, text) >= SAME_WORDS]
        voted = Reading(text, confidence)
        others = [known.get((track, other), voted._replace(text=other)) for other in same]
        found[track] = [known.get((track, text), voted)._replace(confidence=confidence), *others]
    return found


def names_spelled_out(matches: Mapping[str, Match]) -> dict[str, set[str]]:
    """Keys of the names that tracks spell out, by brand."""
    spelled_out: defaultdict[str, set[str]] = defaultdict(set)
    for hit in (hit for match in matches.values() for hit in match.hits if hit.rule != Rule.fuzzy):
        spelled_out[hit.brand_id].add(key_of(hit.alias))
    return spelled_out


@lru_cache(maxsize=65_536)
def _similarity(a: str, b: str) -> float:
    return Levenshtein.normalized_similarity(fold(key_of(a)), fold(key_of(b)))


def rows_of(source: pa.Table, *columns: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(source[c].to_pylist() for c in columns), strict=True)
