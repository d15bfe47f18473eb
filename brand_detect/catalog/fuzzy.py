"""Approximate matching of a stretch of a line with a catalogue's names: candidates with score and span.

Everything that decides how unlike a reading may be from a name is here. ``LexiconIndex`` chooses which stretches of a
line are tried, and which of the candidates stand.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from brand_detect.domain.catalog import Brand
from brand_detect.domain.text import Line, NearIndex, fold

CONFUSION_COST = 0.2  # of an edit that folding explains (0 for O); any other costs 1
CUT_COST = 0.9  # of the first or last letter, lost where the line was cut (TENNIST) or won from an emblem (OCOCA-COLA)
OCCLUSION_COST = 0.8  # of each character of the run that is occluded
MOST_EDITS = 1 / 3  # share of a name's letters; with more edits it is another word, whatever the score
EMBLEM = "o"  # what a round emblem beside a name is read as, folded


@dataclass(frozen=True)
class Spelling:
    """A name or alias as it is looked up."""

    text: str
    key: str
    folded: str
    cuts: frozenset[int]  # where its words begin and end in ``key``
    brand: Brand
    whole_line: bool
    exactly: bool  # it never matches approximately

    @cached_property
    def has_digit(self) -> bool:
        return any(c.isdigit() for c in self.key)


class Candidate(NamedTuple):
    """A spelling found at ``key[begin:end]`` of a line."""

    begin: int
    end: int
    spelling: Spelling
    score: float
    exact: bool

    @property
    def worth(self) -> tuple[float, float, int, str]:
        """Sort key among candidates that overlap: the longer name read better wins; the rest breaks ties."""
        return -self.score * len(self.spelling.key), -self.score, self.begin, self.spelling.text


class FuzzyMatcher:
    """Finds the spellings that are within a score of a stretch of text."""

    def __init__(self, spellings: Sequence[Spelling]) -> None:
        self._spellings = spellings
        self._near: dict[float, NearIndex] = {}

    def candidates(
        self, line: Line, begin: int, end: int, fuzzy_score: float, min_fuzzy_length: int
    ) -> Iterator[Candidate]:
        """The spellings that ``line.key[begin:end]`` matches approximately."""
        window, at_end = line.key[begin:end], end == len(line.key)
        digits = not window.isalpha() and any(c.isdigit() for c in window)
        if digits and not any(c.isalpha() for c in window):
            return
        folded = fold(window)
        near = self._near.get(fuzzy_score)
        if near is None:
            near = self._near[fuzzy_score] = NearIndex(
                [s.folded for s in self._spellings],
                lambda m: int(min((1 - fuzzy_score) / CUT_COST, MOST_EDITS) * m + 1e-9),
            )
        for position in near.near(folded):
            spelling = self._spellings[position]
            edits = Levenshtein.distance(folded, spelling.folded)
            if spelling.exactly or (edits and spelling.whole_line) or (spelling.has_digit and not digits):
                continue
            if len(window) < spelling.brand.min_length:
                continue
            if len(window) < (spelling.brand.min_length or min_fuzzy_length) and not (
                edits == 0 and _has_digits_for_letters(window, spelling.key)
            ):
                continue
            confusions = max(0, Levenshtein.distance(window, spelling.key) - edits)
            cost = CUT_COST if edits == 1 and _differs_at_edge(folded, spelling, begin == 0, at_end) else edits
            score = 1 - (cost + CONFUSION_COST * confusions) / len(spelling.key)
            if score >= fuzzy_score:
                yield Candidate(begin, end, spelling, score, exact=False)


def occluded(line: Line, spelling: Spelling, fuzzy_score: float, min_fuzzy_length: int) -> Candidate | None:
    """``spelling`` in all of ``line``, if one contiguous run of its characters is occluded, as by a player in front.

    Words that are missing whole were not occluded: NEW ZEALAND is no AIR NEW ZEALAND. ``score`` is 1 - edits / letters
    of the name: an occluded letter counts ``OCCLUSION_COST`` of an edit, a confused one a fifth.
    """
    digits = any(c.isdigit() for c in line.key)
    if digits and not any(c.isalpha() for c in line.key):
        return None
    if spelling.whole_line or spelling.exactly or (spelling.has_digit and not digits):
        return None
    if len(line.key) < spelling.brand.min_length or len(spelling.key) < min_fuzzy_length:
        return None
    occlusion = OCCLUSION_COST * (len(spelling.key) - len(line.key))
    most = (1 - fuzzy_score) * len(spelling.key) + 1e-9
    confused = _confusions_beside_occlusion(line.key, spelling) if 0 < occlusion <= most else None
    if confused is None:
        return None
    cost = occlusion + CONFUSION_COST * confused
    return Candidate(0, len(line.key), spelling, 1 - cost / len(spelling.key), exact=False) if cost <= most else None


def _has_digits_for_letters(read: str, name: str) -> bool:
    """Whether the two, equal when folded, differ only where a digit was read for a letter of the name."""
    return len(read) == len(name) and all(
        a == b or (a.isdigit() and b.isalpha()) for a, b in zip(read, name, strict=True)
    )


def _differs_at_edge(folded: str, spelling: Spelling, at_begin: bool, at_end: bool) -> bool:
    """Whether an edge of the line took a letter of the name, which is no word of its own, or lent it an emblem."""
    last = len(spelling.key) - 1
    if (at_begin and folded == EMBLEM + spelling.folded) or (at_end and folded == spelling.folded + EMBLEM):
        return True
    return (at_begin and folded == spelling.folded[1:] and 1 not in spelling.cuts) or (
        at_end and folded == spelling.folded[:-1] and last not in spelling.cuts
    )


def _confusions_beside_occlusion(read: str, spelling: Spelling) -> int | None:
    """How many characters the reader confused, if folded ``read`` is the name with one contiguous run of characters,
    but no whole words, left out; else None."""
    name, folded = spelling.key, fold(read)
    hidden = len(name) - len(read)
    seen = {at: rest for at in range(len(read) + 1) if fold(rest := name[:at] + name[at + hidden :]) == folded}
    has_words = len(spelling.cuts) <= len(name)  # in Chinese or Thai each letter stands for one
    if has_words and any({at, at + hidden} <= spelling.cuts for at in seen):
        return None
    return min((sum(a != b for a, b in zip(read, rest, strict=True)) for rest in seen.values()), default=None)
