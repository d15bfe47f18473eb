"""Names that tracks spell with letters that the reader thought less likely: ROLFX is Rolex if E was second to F.

Each name of the catalogue is scored against what the reader's network saw (``BrandIndex.find_likely``). A logistic
regression over a few features turns the score into the probability that the track shows the brand:

    python -m brand_detect.training.lexicon LINES.csv

fits it on lines whose names are known, of ``brand-detect evaluate lines --csv``.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from rapidfuzz import fuzz

from brand_detect.domain.contracts.run_ocr import StoredSteps, TrackTexts
from brand_detect.domain.lattice import Lattice, lattice_of, spelled
from brand_detect.domain.protocols import BrandIndex, Hit
from brand_detect.domain.tables import places
from brand_detect.domain.text import fold, key_of
from brand_detect.stages.match_brands.joining import neighbours, paths_between
from brand_detect.stages.match_brands.matching import Chance, Reading, rows_of
from brand_detect.stages.regions import RegionColumns

INTERCEPT = -2.30
WEIGHTS = {"score": 0.93, "letters": 0.33, "confidence": 1.12, "lead": 1.44, "support": 0.10}
CROWDED = 0.75
LEAST_SCORE = 0.3  # of a rival that is no rival
MOST_SUPPORT = 2.0
REMEMBERED_TEXTS = 65_536  # most texts whose names are remembered
KEPT_LINES = 1024  # most lines that are kept while they are joined with their neighbours
SHORT_AT_EDGE = 5  # names of so many letters are not taken for what the picture's edge cuts off


@dataclass(frozen=True)
class Likely:
    """A brand that tracks may show, with its evidence."""

    tracks: tuple[str, ...]
    hit: Hit
    reading: Reading  # the one that fits best; of joined tracks, their texts and the lowest confidence
    lead: float  # by how much the cost per letter is lower than that of the next brand at the same place
    support: float  # sum of the scores in the other readings, 0 for another text; at most ``MOST_SUPPORT``
    crowding: float  # of the names among which it stands: the more there are, the more fit by chance

    @property
    def features(self) -> dict[str, float]:
        confidence = min(max(self.reading.confidence, 0.01), 0.99)
        return {
            "score": math.log(self.hit.score),
            "letters": float(len(key_of(self.hit.alias))),
            "confidence": math.log(confidence / (1 - confidence)),
            "lead": self.lead,
            "support": self.support,
        }

    @property
    def probability(self) -> float:
        """Probability that the tracks show the brand, 0..1."""
        odds = INTERCEPT - CROWDED * self.crowding + sum(WEIGHTS[name] * value for name, value in self.features.items())
        return 1 / (1 + math.exp(-odds))


class LexiconMatcher:
    """Finds the brands that tracks may spell."""

    def __init__(
        self,
        index: BrandIndex,
        texts: TrackTexts,
        tracks: Sequence[str],
        cut: Container[str | None],
        spelled_out: Mapping[str, Collection[str]],
        chance: Chance,
    ) -> None:
        """
        Args:
            tracks: the tracks to match.
            cut: regions that the picture's edge may cut off.
            spelled_out: keys of the names that other tracks spell out, by brand.
        """
        self._index, self._cut, self._chance = index, cut, chance
        self._spelled_out = [(brand, fold(key)) for brand, keys in spelled_out.items() for key in keys]
        self._steps = StoredSteps(texts)
        self._readings: defaultdict[str, list[tuple[Reading, int]]] = defaultdict(list)  # with their rows
        of_tracks = places(texts.readings["track_id"], tracks) >= 0
        rows, readings = np.flatnonzero(of_tracks).tolist(), texts.readings.filter(pa.array(of_tracks))
        read = rows_of(readings, "track_id", "text", "confidence", "char_positions", "region_id")
        for row, (track, text, confidence, positions, region) in zip(rows, read, strict=True):
            if any(map(str.isalpha, text)):  # a clock's 41:00 is no A-100
                self._readings[track].append((Reading(text, confidence, positions or (), region), row))
        self._find_spelled = lru_cache(REMEMBERED_TEXTS)(
            lambda text, certain: index.find_likely(spelled(text, certain))
        )

    def _found(self, text: str, row: int) -> list[Hit]:
        """The names that a reading may spell. Texts whose steps are certain or unknown are looked up once each."""
        steps = self._steps[row]
        if steps:
            return self._index.find_likely(lattice_of(text, steps))
        return self._find_spelled(text, steps is not None)

    def _lattice(self, text: str, row: int) -> Lattice:
        steps = self._steps[row]
        return lattice_of(text, steps) if steps else spelled(text, certain=steps is not None)

    def find(self, track: str) -> Likely | None:
        """The brand that the track most likely shows, by whichever of its readings fits best."""
        found = [
            (reading, hit)
            for reading, row in self._readings.get(track, ())
            for hit in self._found(reading.text, row)
            if not (reading.region_id in self._cut and len(key_of(hit.alias)) <= SHORT_AT_EDGE)
            and not self._is_part(reading.text, hit)
            and not self._chance.explains(hit, reading)
        ]
        return self._likeliest((track,), found)

    def _is_part(self, text: str, hit: Hit) -> bool:
        """Whether ``text`` is as much like part of another brand's name that is spelled out as like ``hit``: TANDER is
        Santander behind a player and not Tinder."""
        part = fold(key_of(text))
        others = [n for brand, n in self._spelled_out if brand != hit.brand_id and len(n) >= len(part)]
        own = fuzz.ratio(part, fold(key_of(hit.alias))) if others else 0.0
        return any(fuzz.partial_ratio(part, name) >= own for name in others)

    def find_joined(self, regions: RegionColumns, tracks: Sequence[str], among: Set[str]) -> Iterator[Likely]:
        """Yields the brands that neighbours ``among`` the tracks spell together, a word each or more, best first; each
        track is part of at most one."""
        nexts, _ = neighbours(regions, tracks, among)
        best = {t: max(self._readings[t], key=lambda read: read[0].confidence) for t in among if t in self._readings}
        near = dict.fromkeys(t for first, others in nexts.items() for t in (first, *others) if t in best)
        lattice = lru_cache(KEPT_LINES)(lambda track: self._lattice(best[track][0].text, best[track][1]))
        ends = {t: self._index.may_hold(lattice(t)) for t in near}
        begin = [t for t in nexts if t in ends and ends[t][0]]
        found: list[Likely] = []
        for path in paths_between(nexts, begin, lambda t: t in ends and bool(ends[t][1])):
            if ends.keys() >= set(path):
                lattices, readings = [lattice(t) for t in path], [best[t][0] for t in path]
                if likely := self._join(path, readings, lattices, ends[path[0]][0], ends[path[-1]][1]):
                    found.append(likely)
        used: set[str] = set()
        for likely in sorted(found, key=lambda one: (-one.probability, one.tracks)):
            if used.isdisjoint(likely.tracks):
                used.update(likely.tracks)
                yield likely

    def _join(
        self,
        path: tuple[str, ...],
        readings: Sequence[Reading],
        lattices: Sequence[Lattice],
        begins: Collection[str],
        ends: Collection[str],
    ) -> Likely | None:
        hits = self._index.find_joined(lattices, begins, ends)
        if len(path) == 2:
            hits += self._index.find_abridged(*lattices)
        reading = Reading(" ".join(r.text for r in readings), min(r.confidence for r in readings))
        return self._likeliest(path, [(reading, hit) for hit in hits])

    def _likeliest(self, tracks: tuple[str, ...], found: Iterable[tuple[Reading, Hit]]) -> Likely | None:
        """The brand with the highest probability among what is ``found`` in readings of ``tracks``."""
        best: dict[str, tuple[Reading, Hit]] = {}
        total: defaultdict[str, float] = defaultdict(float)
        for reading, hit in found:
            total[hit.brand_id] += hit.score
            if hit.brand_id not in best or hit.score > best[hit.brand_id][1].score:
                best[hit.brand_id] = reading, hit
        brands = [
            Likely(
                tracks,
                hit,
                reading,
                _lead(hit, reading, best.values()),
                min(MOST_SUPPORT, total[brand] - hit.score),
                self._index.crowding(hit.alias),
            )
            for brand, (reading, hit) in best.items()
        ]
        return max(brands, key=lambda one: one.probability, default=None)


def _lead(hit: Hit, reading: Reading, found: Iterable[tuple[Reading, Hit]]) -> float:
    """The lead of ``hit`` over the best other brand at its place, or in another reading."""
    rivals = [
        other.score
        for read, other in found
        if other.brand_id != hit.brand_id and (read is not reading or (other.start < hit.end and hit.start < other.end))
    ]
    return math.log(hit.score / max([LEAST_SCORE, *rivals]))
