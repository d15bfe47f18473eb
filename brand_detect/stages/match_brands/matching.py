"""Matches the readings of each track with the catalogue: hits with rule, score and span.

Only this module knows how texts are matched; joins, verdicts and clusters are independent of it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import pyarrow as pa
from rapidfuzz.distance import Levenshtein

from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.run_ocr import StoredSteps, TrackTexts
from brand_detect.domain.contracts.verdicts import Rule
from brand_detect.domain.protocols import BrandIndex, Hit
from brand_detect.domain.text import Line, fold, key_of, line_of

SAME_WORDS = 0.5
"""1 - edits / letters, after folding, of two readings of the same words. Less similar readings of a track are of what a
board showed before or after."""
BY_CHANCE = 0.015
"""Highest probability that a short name is some other text, misread or cut off. Among 2,000 names it refuses what the
picture's edge cuts off, among 54,000 any name of four letters read with less than 0.93."""
CROWDED = 1.0
"""Crowding, that of 6,000 names, from which names of any length may be part of a longer word."""
MOST_LONGER = 3
"""Most tracks with a name as part of a longer word for each where it stands alone: with more, it is a piece."""
LONGEST_PIECE = 4
"""Most letters that readers part off a word: EMI RATES. Such a name between spaces may be a piece."""
SHORTEST_CUT_OFF = 4
"""Fewest letters of a name that may be cut off another and misread where it is cut: of three, two are too common."""
MISREAD = 0.1
"""Probability of a misread letter from which a name may be cut off another."""
ADDRESS = ("", "www", "http", "https", "httpwww", "httpswww"), ("", "com", "net", "org")
"""Letters before and after the name in its own address, if the dots are not read."""


class Reading(NamedTuple):
    text: str
    confidence: float
    char_positions: Sequence[float] = ()  # centre of each character, as a share of the region's length
    region_id: str | None = None  # the region that was read
    has_steps: bool = False  # whether the reader told what else its letters may be


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
        self.find = cache(self._find)
        self.may_begin, self.may_end = cache(index.may_begin), cache(index.may_end)

    @property
    def lookups(self) -> int:
        """Number of distinct texts looked up so far, without second passes."""
        return self.find.cache_info().misses

    def first_pass(self, readings: Mapping[str, Sequence[Reading]], chance: "Chance") -> dict[str, Match]:
        """The match of every track by its own text."""

        def find(reading: Reading) -> list[Hit]:
            hits = self.find(reading.text, reading.has_steps)
            return [hit for hit in hits if not chance.explains(hit, reading)]

        return {track: self._match(own, find) for track, own in readings.items()}

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
            limits = self._params.fuzzy_score_second_pass, self._params.min_fuzzy_length
            hits = self._index.find(text, fuzzy_score=limits[0], min_fuzzy_length=limits[1], expected=True)
            return [h for h in hits if any(key in key_of(h.alias) for key in spelled_out.get(h.brand_id, ()))]

        return {track: self._match(readings[track], lambda r: find(r.text)) for track in self._unmatched(matches)}

    def match_occluded(
        self,
        matches: Mapping[str, Match],
        readings: Mapping[str, Sequence[Reading]],
        spelled_out: Mapping[str, Collection[str]],
        cut: Container[str | None],
    ) -> dict[str, Match]:
        """Matches tracks without a brand to names that other tracks spell out, with one run of characters occluded.

        Readings of regions that the picture's edge may cut off, ``cut``, do not count: there no letter is occluded.
        """
        if not spelled_out:
            return {}
        names = tuple(sorted(set[str]().union(*spelled_out.values())))

        @cache
        def find(text: str) -> list[Hit]:
            limits = self._params.fuzzy_score_second_pass, self._params.min_fuzzy_length
            return self._index.find_occluded(text, names, fuzzy_score=limits[0], min_fuzzy_length=limits[1])

        whole = {
            t: [r for r in readings[t] if r.region_id and r.region_id not in cut] for t in self._unmatched(matches)
        }
        found = {track: self._match(own, lambda r: find(r.text)) for track, own in whole.items() if own}
        return {track: match for track, match in found.items() if match.hits}

    def _find(self, text: str, certain: bool = False) -> list[Hit]:
        score, length = self._params.fuzzy_score, self._params.min_fuzzy_length
        return self._index.find(text, fuzzy_score=score, min_fuzzy_length=length, certain=certain)

    def _match(self, readings: Sequence[Reading], find: Callable[[Reading], list[Hit]]) -> Match:
        """The first reading that names a brand with ``min_confidence``; else the first reading, without a brand."""
        for reading in readings:
            hits = [h for h in find(reading) if h.score * reading.confidence >= self._params.min_confidence]
            if hits:
                return Match(reading, hits)
        return Match(readings[0], [])

    def _unmatched(self, matches: Mapping[str, Match]) -> list[str]:
        return [t for t, match in matches.items() if not match.hits and not self._index.is_excluded(match.text)]


class Chance:
    """Tells names from what is left of other texts: EMI, of EMIRATES.

    The more names a catalogue has, the more texts are one of them when letters are cut off or misread, and the more
    certain the reading of a short name must be (``BrandIndex.by_chance``).
    """

    def __init__(
        self, index: BrandIndex, readings: Mapping[str, Sequence[Reading]], cut: Container[str | None] = ()
    ) -> None:
        """
        Args:
            readings: of all tracks.
            cut: regions at the picture's edge.
        """
        self._index, self._cut = index, cut
        # by line the tracks that read it, each with the texts in which it does
        self._tracks = defaultdict[Line, list[tuple[str, set[str]]]](list)
        for track, own in readings.items():
            texts = defaultdict[Line, set[str]](set)
            for reading in own:
                texts[line_of(reading.text)].add(reading.text)
            for line, alike in texts.items():
                self._tracks[line].append((track, alike))
        self._is_part, self._is_rest = cache(self._is_part_of_words), cache(self._is_rest_of_names)

    def explains(self, hit: Hit, reading: Reading) -> bool:
        """Whether ``hit`` is as likely something else, misread or cut off."""
        key, by_chance = key_of(hit.alias), self._index.by_chance(hit.alias)
        at_end = not line_of(reading.text[: hit.start]).key or not line_of(reading.text[hit.end :]).key
        misread = 1.0 if at_end and reading.region_id in self._cut else 1 - reading.confidence ** len(key)
        is_crowded = by_chance > BY_CHANCE or self._index.crowding(hit.alias) > CROWDED
        if is_crowded and (self._is_part(key) or (misread > MISREAD and self._is_rest(key, hit.brand_id))):
            return True
        return by_chance * misread > BY_CHANCE

    def _is_part_of_words(self, key: str) -> bool:
        """Whether ``key`` is inside a longer word on many more tracks than it stands alone: as the whole line, or with
        more than ``LONGEST_PIECE`` letters between spaces.

        A round emblem beside the name, read as an o, makes no longer word: OFEDEX. Nor does its address: FEDEXCOM.
        """
        before, after = ADDRESS
        whole = {"o" + key, key + "o", *(a + key + b for a in before for b in after)}
        part, own = set[str](), set[str]()
        for line, tracks in self._tracks.items():
            if key not in line.key:
                continue
            is_whole, is_inside = line.key in whole, _is_inside_a_word(key, line)
            for track, texts in tracks:
                if is_whole or (len(key) > LONGEST_PIECE and all(_stands_in(key, text) for text in texts)):
                    own.add(track)
                elif is_inside:
                    part.add(track)
        return len(part - own) > MOST_LONGER * len(own)

    def _is_rest_of_names(self, key: str, brand_id: str) -> bool:
        """Whether ``key`` is what is left of other brands' names on many more tracks than it is a line: POLA, of
        COCA-COLA behind a player."""
        if len(key) < SHORTEST_CUT_OFF:
            return False
        others, own = set[str](), set[str]()
        for line, tracks in self._tracks.items():
            if line.key == key:
                own.update(track for track, _ in tracks)
            elif _is_cut_off(key, line) and (hit := self._index.named(line.key)) and hit.brand_id != brand_id:
                others.update(track for track, _ in tracks)
        return len(others - own) > MOST_LONGER * len(own)


def _is_cut_off(key: str, line: Line) -> bool:
    """Whether ``key`` is the end or beginning of a longer ``line``, but for the letter where it is cut off.

    That letter is easily misread; it belongs to the same word: POLA of COCA-COLA, but not ABUS of ABU DHABI.
    """
    n, longer = len(key), len(line.key)
    if n >= longer:
        return False
    end = line.key.endswith(key[1:]) and line.key[-n] != key[0] and longer - n + 1 not in line.cuts
    beginning = line.key.startswith(key[:-1]) and line.key[n - 1] != key[-1] and n - 1 not in line.cuts
    return end or beginning


def _is_inside_a_word(key: str, line: Line) -> bool:
    """Whether ``key`` begins or ends within a word, wherever it is in ``line``."""
    return not any(line.key.startswith(key, cut) and cut + len(key) in line.cuts for cut in line.cuts)


def _stands_in(key: str, text: str) -> bool:
    """Whether ``key`` is one or more of the parts between spaces of ``text``: TRADE.COM, but not CHE/TRADE.COM."""
    parts = [key_of(part) for part in text.split()]
    return any(key in accumulate(parts[begin:]) for begin in range(len(parts)))


def readings_of(texts: TrackTexts) -> dict[str, list[Reading]]:
    """Each track's text, then its alternatives of the same words, each in its most confident reading."""
    known: dict[tuple[str, str], Reading] = {}
    steps = StoredSteps(texts)
    columns = ("track_id", "text", "confidence", "char_positions", "region_id")
    for row, (track, text, confidence, positions, region) in enumerate(rows_of(texts.readings, *columns)):
        if (track, text) not in known or confidence > known[track, text].confidence:
            known[track, text] = Reading(text, confidence, positions or (), region, row in steps)
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
