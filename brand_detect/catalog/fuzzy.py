"""Approximate matching of part of a line with a catalogue's names: candidates with score and span.

This module alone decides how far a reading may differ from a name. ``LexiconIndex`` chooses which parts of a line to
try, and which candidates win.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from brand_detect.domain.catalog import Brand
from brand_detect.domain.text import Line, NearIndex, fold

CONFUSION_COST = 0.2  # of an edit that OCR confusion explains (0 for O); any other costs 1
CUT_COST = 0.9  # of a first or last letter cut off with the line (TENNIST) or added by an emblem (OCOCA-COLA)
OCCLUSION_COST = 0.8  # of each occluded character
SHORTEST_BESIDE, SHORTEST_AROUND = 2, 5  # fewest letters on either side of an occluder, and on both together
MOST_EDITS = 1 / 3  # share of a name's letters; with more edits it is another word, whatever its score
LIKE_LETTERS = set("0158")  # digits that letters are often read as: O, I, S, B
EMBLEM = "o"  # how OCR reads a round emblem beside a name, folded


@dataclass(frozen=True)
class Spelling:
    """A name, alias or included text, prepared for lookup."""

    text: str
    key: str
    folded: str
    cuts: frozenset[int]  # starts and ends of words in ``key``
    brand: Brand
    whole_line: bool
    exactly: bool  # never matches approximately

    @cached_property
    def has_digit(self) -> bool:
        return not self.key.isalpha() and any(map(str.isdigit, self.key))


class Candidate(NamedTuple):
    """A spelling found at ``key[begin:end]`` of a line."""

    begin: int
    end: int
    spelling: Spelling
    score: float
    exact: bool
    complete: bool = (
        False  # not exact, but no letter of the name is missing: digits stand for some, or an emblem is read
    )

    @property
    def worth(self) -> tuple[float, float, int, str]:
        """Sort key among overlapping candidates: score times length wins; the rest breaks ties."""
        return -self.score * len(self.spelling.key), -self.score, self.begin, self.spelling.text


class FuzzyMatcher:
    """Finds the spellings that part of a line matches approximately."""

    def __init__(self, spellings: Sequence[Spelling]) -> None:
        self._spellings = spellings
        self._near: dict[float, NearIndex] = {}

    def candidates(
        self, line: Line, begin: int, end: int, fuzzy_score: float, min_fuzzy_length: int, certain: bool = False
    ) -> Iterator[Candidate]:
        """Yields the spellings that ``line.key[begin:end]`` matches approximately.

        In a ``certain`` text no letter is another one: a letter may be cut off, an emblem added, and digits stand for
        letters. Those of a number stand for none: of a clock beside a team, 37:13 NOR is not Lenor.
        """
        window, at_end = line.key[begin:end], end == len(line.key)
        digits = not window.isalpha() and any(c.isdigit() for c in window)
        if digits and not any(c.isalpha() for c in window):
            return
        number = digits and _has_number(line, begin, end)
        folded = fold(window)
        near = self._near.get(fuzzy_score)
        if near is None:
            near = self._near[fuzzy_score] = NearIndex(
                [s.folded for s in self._spellings],
                lambda m: int(min((1 - fuzzy_score) / CUT_COST, MOST_EDITS) * m + 1e-9),
            )
        for position in near.near(folded):
            spelling = self._spellings[position]
            if spelling.exactly or (spelling.has_digit and not digits) or (number and not spelling.has_digit):
                continue
            edits = Levenshtein.distance(folded, spelling.folded)
            if edits and spelling.whole_line:
                continue
            if edits > 1 and 1 - edits / len(spelling.key) < fuzzy_score:  # only one letter at an edge costs less
                continue
            if spelling.has_digit and _is_another_number(window, spelling.key):
                continue
            if len(window) < spelling.brand.min_length:
                continue
            digits_for_letters = edits == 0 and _has_digits_for_letters(window, spelling.key)
            if len(window) < (spelling.brand.min_length or min_fuzzy_length) and not digits_for_letters:
                continue
            confusions = max(0, Levenshtein.distance(window, spelling.key) - edits)
            at_edge = edits == 1 and _differs_at_edge(folded, spelling, begin == 0, at_end)
            if certain and not digits_for_letters and (confusions or not at_edge):
                continue
            complete = digits_for_letters or (at_edge and not confusions and len(folded) > len(spelling.folded))
            cost = CUT_COST if at_edge else edits
            score = 1 - (cost + CONFUSION_COST * confusions) / len(spelling.key)
            if score >= fuzzy_score:
                yield Candidate(begin, end, spelling, score, exact=False, complete=complete)


def occluded(line: Line, spelling: Spelling, fuzzy_score: float, min_fuzzy_length: int) -> Candidate | None:
    """Matches the whole ``line`` to ``spelling`` with one contiguous run of characters occluded, e.g. by a player.

    Missing whole words do not count as occluded: NEW ZEALAND is not AIR NEW ZEALAND. ``score`` is 1 - edits / letters
    of the name: an occluded letter counts ``OCCLUSION_COST`` of an edit, a confused one ``CONFUSION_COST``.
    """
    if not _may_be_occluded(spelling, line.key, min_fuzzy_length):
        return None
    occlusion = OCCLUSION_COST * (len(spelling.key) - len(line.key))
    most = (1 - fuzzy_score) * len(spelling.key) + 1e-9
    confused = _confusions_beside_occlusion(line.key, spelling) if 0 < occlusion <= most else None
    if confused is None:
        return None
    cost = occlusion + CONFUSION_COST * confused
    return Candidate(0, len(line.key), spelling, 1 - cost / len(spelling.key), exact=False) if cost <= most else None


def occluded_between(
    before: Line,
    after: Line,
    spelling: Spelling,
    fuzzy_score: float,
    min_fuzzy_length: int,
    cut: tuple[bool, bool],
) -> Candidate | None:
    """Matches two texts beside an occluder to ``spelling``: RE and ANCE to RELIANCE, behind a player.

    They begin and end the name; ``cut`` says at which end the picture's edge may hide more of it, if they hold at least
    half of its letters. What is hidden between them is not made of whole words. ``score`` as for ``occluded``; what the
    edge cuts off costs nothing.
    """
    name, n, a, b = spelling.key, len(spelling.key), len(before.key), len(after.key)
    if not _may_be_occluded(spelling, before.key + after.key, min_fuzzy_length):
        return None
    if min(a, b) < SHORTEST_BESIDE or a + b < max(SHORTEST_AROUND, n / 2):
        return None
    begins = [at for at in (range(n - a - b) if cut[0] else (0,)) if fold(name[at : at + a]) == fold(before.key)]
    ends = [
        at for at in (range(a + 1, n - b + 1) if cut[1] else (n - b,)) if fold(name[at : at + b]) == fold(after.key)
    ]
    has_words = len(spelling.cuts) <= n  # in Chinese or Thai each letter is a word
    hidden = [
        end - begin - a
        for begin, end in product(begins, ends)
        if begin + a < end and not (has_words and {begin + a, end} <= spelling.cuts)
    ]
    score = 1 - OCCLUSION_COST * min(hidden, default=n) / n
    return Candidate(0, a + b, spelling, score, exact=False) if score >= fuzzy_score - 1e-9 else None


def _may_be_occluded(spelling: Spelling, read: str, min_fuzzy_length: int) -> bool:
    """Whether ``read`` may be what is left of the name: it may match approximately, is long enough, and has digits if
    the name has any."""
    if spelling.whole_line or spelling.exactly or (spelling.has_digit and not any(map(str.isdigit, read))):
        return False
    return len(read) >= spelling.brand.min_length and len(spelling.key) >= min_fuzzy_length


def _has_number(line: Line, begin: int, end: int) -> bool:
    """Whether part of a line has a word that is, begins or ends with a number, as 13 NOR and 13NOR, or goes on with
    digits before it, as 37:13NOR.

    In V 0 L V 0, where each letter stands alone, a single digit is none; nor is SHE11 or 10TTO one.
    """
    if begin and line.key[begin - 1 : begin + 1].isdigit():
        return True
    words = [line.key[a:b] for a, b in pairwise(line.cuts) if begin <= a < end]
    return max(map(len, words)) > 1 and any(w.isdigit() or _is_number(w[:2]) or _is_number(w[-2:]) for w in words)


def _is_number(pair: str) -> bool:
    """Whether two characters are different digits, of which one hardly ever stands for a letter."""
    return pair.isdigit() and len(set(pair)) == 2 and not set(pair) <= LIKE_LETTERS


def _is_another_number(read: str, name: str) -> bool:
    """Whether a digit stands where the name has another one: LONDON 2017 is not London 2012."""
    edits = Levenshtein.editops(read, name)
    return any(e.tag == "replace" and read[e.src_pos].isdigit() and name[e.dest_pos].isdigit() for e in edits)


def _has_digits_for_letters(read: str, name: str) -> bool:
    """Whether the two, equal when folded, differ only in digits read for letters of the name."""
    return len(read) == len(name) and all(
        a == b or (a.isdigit() and b.isalpha()) for a, b in zip(read, name, strict=True)
    )


def _differs_at_edge(folded: str, spelling: Spelling, at_begin: bool, at_end: bool) -> bool:
    """Whether the edge of the line cut off one letter of the name that is no word by itself, or added an emblem."""
    last = len(spelling.key) - 1
    if (at_begin and folded == EMBLEM + spelling.folded) or (at_end and folded == spelling.folded + EMBLEM):
        return True
    return (at_begin and folded == spelling.folded[1:] and 1 not in spelling.cuts) or (
        at_end and folded == spelling.folded[:-1] and last not in spelling.cuts
    )


def _confusions_beside_occlusion(read: str, spelling: Spelling) -> int | None:
    """Number of confused characters if ``read`` is the name without one contiguous run of characters that is not
    made of whole words; else None."""
    name, folded = spelling.key, fold(read)
    hidden = len(name) - len(read)
    seen = {at: rest for at in range(len(read) + 1) if fold(rest := name[:at] + name[at + hidden :]) == folded}
    has_words = len(spelling.cuts) <= len(name)  # in Chinese or Thai each letter is a word
    if has_words and any({at, at + hidden} <= spelling.cuts for at in seen):
        return None
    return min((sum(a != b for a, b in zip(read, rest, strict=True)) for rest in seen.values()), default=None)
