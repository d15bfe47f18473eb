"""A line of text as its reader saw it: at each step several letters, each with a cost.

A cost is the natural logarithm of how much likelier the best character of the step is, which itself costs 0. What a
step does not list costs ``UNLISTED``. A text alone makes a lattice too (``spelled``).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, zip_longest
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.text import confused_with, is_word, letters_of

BLANK = ""
"""In place of a character: none, or the previous one goes on (CTC's blank)."""
UNLISTED = 10.0
CONFUSED = 2.0  # of a letter that OCR confuses with the one in a text
RUN = 6.0  # highest cost of three letters in a row
PARTED = 3.0  # highest cost of a space at a word's edge


@dataclass(frozen=True)
class Step:
    """A step along a line, as the reader's network sees it: the likeliest characters, ``BLANK`` among them, best
    first, each with its cost."""

    characters: tuple[str, ...]
    costs: tuple[float, ...]


class Slot(NamedTuple):
    """A step in letters of the key."""

    letters: Mapping[str, float]  # costs by letter of the key
    silent: float  # cost of no letter
    parting: float  # cost of a space, a sign, or a letter that is a word of its own; inf if unlisted
    end: int  # characters of the text up to and with this step


@dataclass(frozen=True, eq=False)
class Lattice:
    """``text`` is what the best characters of all slots make."""

    text: str
    slots: tuple[Slot, ...]
    is_told: bool = True  # whether the reader excluded what is not listed

    @cached_property
    def places(self) -> Mapping[str, Sequence[int]]:
        """The steps that list each letter."""
        places: defaultdict[str, list[int]] = defaultdict(list)
        for at, slot in enumerate(self.slots):
            for letter in slot.letters:
                places[letter].append(at)
        return dict(places)

    @cached_property
    def least(self) -> Mapping[str, float]:
        """The lowest cost on any step of each letter that some step lists."""
        return {
            letter: min(UNLISTED, *(self.slots[at].letters[letter] for at in steps))
            for letter, steps in self.places.items()
        }

    @cached_property
    def before(self) -> list[float]:
        """For each step and the line's end, the cost of a word's edge before it, with no letter between."""
        return _edges(self.slots)

    @cached_property
    def after(self) -> list[float]:
        """For each step and the line's end, the cost of a word's edge at or after it, with no letter between."""
        return _edges(self.slots[::-1])[::-1]

    @cached_property
    def runs(self) -> NDArray[np.int64]:
        """``trigrams`` as numbers (``packed``)."""
        return packed(*code_points("".join(self.trigrams())).reshape(-1, 3).T)

    def trigrams(self) -> set[str]:
        """Every three letters that may follow each other for at most ``RUN``; a space stands for a word's edge."""
        found: set[str] = set()
        going: dict[str, float] = {}  # lowest cost of the last one or two letters
        for at, slot in enumerate(self.slots):
            ended: dict[str, float] = {}
            for letter, cost in slot.letters.items():
                _keep(ended, letter, cost)
                _keep(ended, " " + letter, cost + (0.0 if is_word(letter) else self.before[at]))
                for run, so_far in going.items():
                    if len(run) == 1:
                        _keep(ended, run + letter, so_far + cost)
                    elif so_far + cost <= RUN:
                        found.add(run + letter)
            for run, cost in ended.items():
                if len(run) == 2 and cost + (0.0 if is_word(run[1]) else self.after[at + 1]) <= RUN:
                    found.add(run + " ")
            for run, cost in going.items():
                _keep(ended, run, cost + slot.silent)
            going = ended
        return found


def code_points(text: str) -> NDArray[np.int64]:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.int64)


def packed(first: NDArray[np.int64], second: NDArray[np.int64], third: NDArray[np.int64]) -> NDArray[np.int64]:
    """Runs of three letters as numbers: a code point has 21 bits."""
    return first << 42 | second << 21 | third


def _keep(costs: dict[str, float], run: str, cost: float) -> None:
    if cost <= RUN and cost < costs.get(run, inf):
        costs[run] = cost


def joined(lattices: Sequence[Lattice]) -> Lattice:
    """Lines beside or below each other as one line."""
    slots: list[Slot] = []
    texts: list[str] = []
    for lattice in lattices:
        offset = sum(len(text) + 1 for text in texts)
        if texts:
            slots.append(Slot({}, 0.0, 0.0, offset))
        slots += [slot._replace(end=slot.end + offset) for slot in lattice.slots]
        texts.append(lattice.text)
    return Lattice(" ".join(texts), tuple(slots), all(lattice.is_told for lattice in lattices))


def _edges(slots: Sequence[Slot]) -> list[float]:
    costs = [0.0]
    for slot in slots:
        parting = slot.parting if slot.parting <= PARTED else inf
        costs.append(min(parting, costs[-1] + slot.silent))
    return costs


def lattice_of(text: str, steps: Iterable[Step]) -> Lattice:
    """The lattice of a reading."""
    return Lattice(text, tuple(_slots(text, steps)))


def spelled(text: str, certain: bool) -> Lattice:
    """The lattice of a text alone: each of its characters, and what OCR confuses with it.

    A ``certain`` reading is one of a network that thought no other character likely: only digits and letters of one
    shape are confused then, 0 and O. Any other text may confuse letters, too.
    """
    return Lattice(text, tuple(_slots(text, _spelled(text, certain))), is_told=certain)


def _spelled(text: str, certain: bool) -> Iterator[Step]:
    for character in text:
        others = [
            other
            for letter, _ in letters_of(character)
            for other in confused_with(letter)
            if not certain or letter.isdigit() != other.isdigit()
        ]
        yield Step((character, *others), (0.0, *(CONFUSED for _ in others)))
        yield Step((BLANK,), (0.0,))


def _slots(text: str, steps: Iterable[Step]) -> Iterator[Slot]:
    end, last = 0, BLANK
    told = list(steps)
    for step, following in zip_longest(told, told[1:]):
        best = step.characters[0]
        if best not in (BLANK, last) and (end or not best.isspace()):  # a reading begins with no space
            end += 1
        last = best
        letters: dict[str, float] = {}
        silent, parting = UNLISTED, inf
        for character, cost in zip(step.characters, step.costs, strict=True):
            spelt = letters_of(character) if character else ()
            if not spelt:
                silent = min(silent, cost)
                parting = min(parting, cost if character else inf)
            for letter, alone in spelt[:1]:
                letters[letter] = min(cost, letters.get(letter, inf))
                parting = min(parting, cost if alone else inf)
        yield Slot(letters, silent, parting, min(end, len(text)))
        if best and not (following and following.characters[0] == best):  # œ, which may go on for several steps
            for (before, _), (letter, _) in pairwise(letters_of(best)):
                if letter == before:  # ß
                    yield Slot({}, 0.0, inf, min(end, len(text)))
                yield Slot({letter: 0.0}, UNLISTED, inf, min(end, len(text)))
