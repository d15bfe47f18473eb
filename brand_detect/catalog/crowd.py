"""How often a text is one of many names by chance."""

import math
from collections import Counter
from collections.abc import Mapping

from brand_detect.catalog.fuzzy import Spelling
from brand_detect.catalog.source import is_everyday_word

UNCROWDED = 2300  # names and aliases of a catalogue for which the stages' limits were measured
BY_CHANCE = 0.015  # share of texts cut off to a name's length, being a name by chance, from which it counts as short
LONGEST = 8  # letters of a piece
ENOUGH = 1000  # pieces of one length: in a small catalogue a few that are names say nothing


class Crowd:
    """The names among which a text may be one by chance.

    ``short`` is the number of letters up to which names often arise by chance.
    """

    def __init__(self, spellings: Mapping[str, Spelling]) -> None:
        """``spellings`` by key."""
        self._names = Counter(key.isascii() for key, spelling in spellings.items() if not spelling.exactly)
        self._shares = _shares(spellings)
        self.short = max((length for length, share in self._shares.items() if share > BY_CHANCE), default=0)

    def crowding(self, key: str) -> float:
        """How many times more names may match approximately than in a catalogue for which limits were measured.

        A logarithm, 0 or more. Latin names are counted for a Latin key, all others for any other.
        """
        return math.log(max(1.0, self._names[key.isascii()] / UNCROWDED))

    def by_chance(self, key: str) -> float:
        """Share of texts cut off to the length of ``key`` that are one of the names; 0 if it is not Latin."""
        return self._shares.get(len(key), 0.0) if key.isascii() else 0.0


def _shares(spellings: Mapping[str, Spelling]) -> dict[int, float]:
    """By number of letters, the share of texts cut off at an end that are a name.

    The names themselves stand for all texts. Of what is left of them with three letters, 2 % are another brand's name
    among 2,000 names.
    """
    left, named = Counter[int](), Counter[int]()
    for spelling in spellings.values():
        key = spelling.key
        if not key.isascii():
            continue
        for length in range(max(2, len(key) // 2), min(len(key), LONGEST + 1)):
            for cut, piece in ((length, key[:length]), (len(key) - length, key[-length:])):
                if cut in spelling.cuts or is_everyday_word(piece):
                    continue
                other = spellings.get(piece)
                left[length] += 1
                named[length] += other is not None and other.brand is not spelling.brand
    return {length: named[length] / max(n, ENOUGH) for length, n in left.items()}
