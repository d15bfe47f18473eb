"""Names of three words of which lines say the first and the last: HAARE above GLATZE is Haare statt Glatze.

The short word between them is often too small to be read, or in script.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from brand_detect.catalog.alignment import Fit, NameFinder
from brand_detect.catalog.fuzzy import Spelling
from brand_detect.domain.lattice import Lattice

SHORT_WORD = 5  # most letters of a word that may be missing, and fewer than half of what is there
SHORTEST_LEFT = 10  # fewest letters of the other two words


class Abridged(NamedTuple):
    """A name without its middle word, and where its other words are."""

    spelling: Spelling
    first: Fit
    last: Fit
    letters: int  # of the words that are there


class AbridgedNames:
    """Finds the names of ``spellings`` that two lines spell but for a short word between them."""

    def __init__(self, spellings: Sequence[Spelling], per_letter: float) -> None:
        """``per_letter`` is the highest cost per letter."""
        self._spellings: defaultdict[tuple[str, str], list[Spelling]] = defaultdict(list)
        for spelling in spellings:
            if len(spelling.cuts) == 4:
                _, begin, end, _ = sorted(spelling.cuts)
                left = len(spelling.key) - (end - begin)
                if end - begin <= SHORT_WORD and 2 * (end - begin) < left and left >= SHORTEST_LEFT:
                    self._spellings[spelling.key[:begin], spelling.key[end:]].append(spelling)
        firsts, lasts = zip(*self._spellings, strict=True) if self._spellings else ((), ())
        self._firsts = NameFinder(sorted(set(firsts)), per_letter)
        self._lasts = NameFinder(sorted(set(lasts)), per_letter)

    def find(self, first: Lattice, last: Lattice) -> Iterator[Abridged]:
        """Yields the names whose first and last word two lines, one word each, may spell."""
        begins, ends = _fits(self._firsts, first), _fits(self._lasts, last)
        for begin, one in begins.items():
            for end, other in ends.items():
                for spelling in self._spellings.get((begin, end), ()):
                    yield Abridged(spelling, one, other, len(begin) + len(end))


def _fits(finder: NameFinder, lattice: Lattice) -> dict[str, Fit]:
    found = {finder.keys[at]: finder.fit(at, lattice) for at in finder.candidates(lattice)}
    return {key: fit for key, fit in found.items() if fit}
