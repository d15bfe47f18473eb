"""Normalised text for matching: lines split into words, and characters that OCR confuses.

A *key* is a text without case, accents, punctuation and spaces: the key of ``Itaú!`` is ``itau``. ``&`` and ``+``
stay as separate words, because they distinguish names (Disney, Disney+).
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

_NO_DECOMPOSITION = {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"}
_APOSTROPHES = frozenset("'’‘ʼ`´")  # they stand inside words: Levi's
_WORDS_OF_THEIR_OWN = frozenset("&+")
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1100, 0x11FF),
    (0x2E80, 0x9FFF),
    (0xAC00, 0xD7FF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)

_PAIRS = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_SINGLES = str.maketrans("01l23456789vr", "oiizeasgtbgub")


@dataclass(frozen=True)
class Line:
    """A normalised text.

    ``cuts`` holds the start of each word in ``key``, and the key's length; ``at`` maps every character of ``key`` to
    its position in the original text, composed (NFC).
    """

    key: str
    cuts: tuple[int, ...]
    at: tuple[int, ...]

    @property
    def words(self) -> list[str]:
        return [self.key[a:b] for a, b in zip(self.cuts, self.cuts[1:], strict=False)]


@lru_cache(maxsize=65_536)  # the same boards are read over and over
def line_of(text: str) -> Line:
    """Normalises ``text``: NFKD, no case, no accents; anything but letters, digits, & and + separates words.

    Composed and decomposed texts give the same line. Scripts written without spaces (Han, kana, Hangul, Thai, Lao) have
    one word per character.
    """
    key: list[str] = []
    at: list[int] = []
    cuts: list[int] = []
    parted = True
    for i, char in enumerate(unicodedata.normalize("NFC", text)):
        plain = letters_of(char)
        for letter, alone in plain:
            if parted or alone:
                cuts.append(len(key))
            key.append(letter)
            at.append(i)
            parted = alone
        if not plain and char not in _APOSTROPHES and not unicodedata.combining(char):
            parted = True
    return Line("".join(key), (*cuts, len(key)), tuple(at))


def key_of(text: str) -> str:
    """The key of ``text``; empty if it has no letter, digit, & or +."""
    return line_of(text).key


def fold(key: str) -> str:
    """Maps characters that OCR confuses to one: 0/o, 1/i/l, 5/s, 8/b, rn/m, vv/w, cl/d, u/v, R/B …"""
    for pair, single in _PAIRS:
        key = key.replace(pair, single)
    return key.translate(_SINGLES)


@cache
def confused_with(letter: str) -> tuple[str, ...]:
    """The other letters of a key that OCR confuses with ``letter``, apart from pairs: 0 for o."""
    same = fold(letter)
    return tuple(c for c in (*map(chr, _SINGLES), same) if c != letter and fold(c) == same)


def same_text(a: str, b: str) -> bool:
    """Whether two readings may be of one text, given what OCR confuses; an empty one matches nothing."""
    return bool(key_of(a)) and fold(key_of(a)) == fold(key_of(b))


def brand_id_of(name: str) -> str:
    """A stable slug of letters, digits and dashes: Itaú gives itau, Disney+ gives disney-plus, 华为 stays 华为."""
    spelt = name.replace("&", " and ").replace("+", " plus ")
    inside = (c if c in "_'’" or unicodedata.category(c)[0] in "LNM" else " " for c in spelt)
    return "-".join(key for chunk in "".join(inside).split() if (key := key_of(chunk))) or key_of(name)


def is_word(letter: str) -> bool:
    """Whether a letter of a key is a word of its own."""
    return letters_of(letter)[0][1]


def reads_right_to_left(text: str) -> bool:
    """Whether the first letter of ``text`` is of a script written from right to left: Arabic, Hebrew."""
    directions = map(unicodedata.bidirectional, text)
    return next((direction for direction in directions if direction in {"L", "R", "AL"}), "L") != "L"


@cache
def letters_of(char: str) -> tuple[tuple[str, bool], ...]:
    """The letters of the key for a character, each with whether it is a word of its own; none for what parts words."""
    if char in _WORDS_OF_THEIR_OWN:
        return ((char, True),)
    if char in "™℠":  # NFKD would turn them into letters
        return ()
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
    bare = "".join(_NO_DECOMPOSITION.get(c, c) for c in folded if not unicodedata.combining(c))
    kept = "".join(c for c in unicodedata.normalize("NFC", bare) if c.isalnum() or _is_vowel_sign(c))
    return tuple((letter, any(low <= ord(letter) <= high for low, high in _UNSPACED)) for letter in kept)


def _is_vowel_sign(char: str) -> bool:
    """Whether ``char`` is a combining mark that acts as a letter, such as vowels in Indic scripts and Thai."""
    return (
        unicodedata.category(char) in ("Mc", "Mn")
        and not unicodedata.combining(char)
        and not "\ufe00" <= char <= "\ufe0f"  # variation selectors
    )


class NearIndex:
    """Finds the strings that may lie within a given number of edits of a query.

    A string of length m with at most k edits keeps at least one of k + 1 parts unchanged, near its place
    (Li et al., "Pass-Join", VLDB 2011): the parts are looked up in a dict, so a query costs a few lookups however many
    strings there are. Among 2,800 names a query takes 2.4 µs, among 64,000 names 6.4 µs; rapidfuzz's ``cdist`` takes 25
    and 870 µs in batches of 300 queries.
    """

    def __init__(self, strings: Sequence[str], edits: Callable[[int], int]) -> None:
        """``edits`` gives the number of edits allowed for a string of a given length."""
        self._edits = {m: min(edits(m), m - 1) for m in {len(s) for s in strings} if m}
        self._parts: dict[tuple[int, int], defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._plans: dict[int, list[_Lookup]] = {}
        for i, string in enumerate(strings):
            m = len(string)
            for part, (a, b) in enumerate(_segments(m, self._edits[m] + 1) if m else ()):
                self._parts[m, part][string[a:b]].append(i)

    def near(self, query: str) -> set[int]:
        """Positions of all strings within their edits of ``query`` (Levenshtein), plus false positives."""
        n = len(query)
        plan = self._plans.get(n)
        if plan is None:
            plan = self._plans[n] = list(self._lookups(n))
        found: set[int] = set()
        for strings, width, starts in plan:
            for start in starts:
                positions = strings.get(query[start : start + width])
                if positions:
                    found.update(positions)
        return found

    def _lookups(self, n: int) -> Iterator["_Lookup"]:
        """What to look up for a query of length ``n``."""
        for m, k in sorted(self._edits.items()):
            if abs(n - m) > k:
                continue
            # A part that is shifted needs at least |shift| edits before it and |n - m - shift| after it.
            left, right = (k - (n - m)) // 2, (k + (n - m)) // 2
            for part, (a, b) in enumerate(_segments(m, k + 1)):
                starts = range(max(0, a - left), min(n - (b - a), a + right) + 1)
                yield self._parts[m, part], b - a, starts


_Lookup = tuple[dict[str, list[int]], int, range]
"""Strings by one of their parts, the part's length, and its possible starts in the query."""


@cache
def _segments(length: int, count: int) -> tuple[tuple[int, int], ...]:
    """Bounds of ``count`` parts of a string of ``length``, as even as possible."""

    def bounds() -> Iterator[tuple[int, int]]:
        for i in range(count):
            yield i * length // count, (i + 1) * length // count

    return tuple(bounds())
