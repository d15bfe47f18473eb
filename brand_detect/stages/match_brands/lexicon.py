"""Names that a track's readings spell with letters that the reader thought less likely: ROLFX, E second to F.

Each name of the catalogue is scored against what the reader's network saw (``domain.lattice``, ``catalog.alignment``).
A logistic regression over a few features turns the score into the probability that the track shows the brand.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from brand_detect.domain.contracts.run_ocr import TrackTexts, steps_of
from brand_detect.domain.lattice import lattice_of
from brand_detect.domain.protocols import BrandIndex, Hit
from brand_detect.domain.tables import rows_of as rows
from brand_detect.domain.text import key_of
from brand_detect.stages.match_brands.matching import Reading, rows_of

INTERCEPT, PER_NAT_BELOW, PER_LOG_LETTERS, PER_LOG_ODDS, PER_NAT_AHEAD = -2.47, 0.94, 0.79, 1.49, 1.8
LEAST_SCORE = 0.3  # of a rival that is no rival


class Likely(NamedTuple):
    """A brand that a track may show, with its evidence."""

    hit: Hit
    reading: Reading  # the one that fits best
    support: float  # of the track's other readings: the sum of their scores, 0 where the name is not among them
    lead: float  # over the next brand at the same place: by how much the cost per letter is lower

    @property
    def probability(self) -> float:
        """Probability that the track shows the brand, 0..1."""
        confidence = min(max(self.reading.confidence, 0.01), 0.99)
        odds = (
            INTERCEPT
            + PER_NAT_BELOW * math.log(self.hit.score)
            + PER_LOG_LETTERS * math.log(len(key_of(self.hit.alias)))
            + PER_LOG_ODDS * math.log(confidence / (1 - confidence))
            + PER_NAT_AHEAD * self.lead
        )
        return 1 / (1 + math.exp(-odds))


class LexiconMatcher:
    """Finds the brands that the readings of a track may spell."""

    def __init__(self, index: BrandIndex, texts: TrackTexts) -> None:
        self._index = index
        self._steps = {row["region_id"]: steps_of(row) for row in rows(texts.steps)}
        self._readings: defaultdict[str, list[Reading]] = defaultdict(list)
        columns = ("track_id", "text", "confidence", "char_positions", "region_id")
        for track, text, confidence, positions, region in rows_of(texts.readings, *columns):
            if text:
                self._readings[track].append(Reading(text, confidence, positions or (), region))
        self._spelled = lru_cache(maxsize=65_536)(lambda text: index.find_likely(lattice_of(text)))

    def find(self, track: str) -> list[Likely]:
        """The brands that the track may show, most likely first."""
        best: dict[str, tuple[Hit, Reading]] = {}
        total: defaultdict[str, float] = defaultdict(float)
        for reading in self._readings[track]:
            for hit in self._hits(reading):
                total[hit.brand_id] += hit.score
                if hit.brand_id not in best or hit.score > best[hit.brand_id][0].score:
                    best[hit.brand_id] = hit, reading
        found = [
            Likely(hit, reading, total[brand] - hit.score, _lead(hit, reading, best.values()))
            for brand, (hit, reading) in best.items()
        ]
        return sorted(found, key=lambda likely: -likely.probability)

    def _hits(self, reading: Reading) -> list[Hit]:
        steps = self._steps.get(reading.region_id or "")
        return self._index.find_likely(lattice_of(reading.text, steps)) if steps else self._spelled(reading.text)


def _lead(hit: Hit, reading: Reading, found: Iterable[tuple[Hit, Reading]]) -> float:
    """The lead of ``hit`` over the best other brand at its place, or in another reading."""
    rivals = [
        other.score
        for other, read in found
        if other.brand_id != hit.brand_id and (read is not reading or (other.start < hit.end and hit.start < other.end))
    ]
    return math.log(hit.score / max([LEAST_SCORE, *rivals]))
