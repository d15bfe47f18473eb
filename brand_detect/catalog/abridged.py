"""Names of three words of which lines say the first and the last: HAARE above GLATZE is Haare statt Glatze.

The short word between them is often too small to be read, or in script.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from brand_detect.catalog.alignment import Fit, NameFinder
from brand_detect.catalog.fuzzy import Spelling
from brand_detect.catalog.source import is_everyday_word
from brand_detect.domain.lattice import Lattice

SHORT_WORD = 5  # most letters of a word that may be missing
SHORTEST_END = 5  # fewest letters of each of the other two words: AIR, ZEALAND may be anything


class Abridged(NamedTuple):
    """A name without its middle word, its other words, and where they are."""

    spelling: Spelling
    words: tuple[str, str]
    fits: tuple[Fit, Fit]


class AbridgedNames:
    """Finds the names of ``spellings`` that two lines spell but for a short word between them.

    Not names of which another word is everyday, or of which the other words are a name of their own.
    """

    def __init__(self, spellings: Sequence[Spelling], per_letter: float) -> None:
        """``per_letter`` is the highest cost per letter."""
        names = {spelling.key for spelling in spellings}
        self._spellings: defaultdict[tuple[str, str], list[Spelling]] = defaultdict(list)
        for spelling in spellings:
            if len(spelling.cuts) == 4 and not spelling.whole_line:
                _, begin, end, _ = sorted(spelling.cuts)
                first, last = words = spelling.key[:begin], spelling.key[end:]
                is_said = min(map(len, words)) >= SHORTEST_END and not any(map(is_everyday_word, words))
                is_long = len(first + last) >= spelling.brand.min_length
                if end - begin <= SHORT_WORD and is_said and is_long and first + last not in names:
                    self._spellings[words].append(spelling)
        firsts, lasts = zip(*self._spellings, strict=True) if self._spellings else ((), ())
        self._firsts = NameFinder(sorted(set(firsts)), per_letter)
        self._lasts = NameFinder(sorted(set(lasts)), per_letter)

    def find(self, first: Lattice, last: Lattice) -> Iterator[Abridged]:
        """Yields the names whose first and last word two lines, one word each, may spell."""
        begins, ends = self._firsts.fits(first), self._lasts.fits(last)
        for begin, one in begins.items():
            for end, other in ends.items():
                for spelling in self._spellings.get((begin, end), ()):
                    yield Abridged(spelling, (begin, end), (one, other))
