"""Text as matching sees it: lines cut into words, and the characters that readers of pictures confuse.

A *key* is a text without case, accents, punctuation and spaces: the key of ``Itaú!`` is ``itau``. ``&`` and ``+``
stay, each as a word of its own, because names are told apart by them (Disney, Disney+).
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
    """A text in normal form.

    ``cuts`` holds where each word begins in ``key``, and the key's length; ``at`` holds, for every character of
    ``key``, its position in the text as given.
    """

    key: str
    cuts: tuple[int, ...]
    at: tuple[int, ...]

    @property
    def words(self) -> list[str]:
        return [self.key[a:b] for a, b in zip(self.cuts, self.cuts[1:], strict=False)]


@lru_cache(maxsize=65_536)  # the same boards are read again and again
def line_of(text: str) -> Line:
    """Normalise ``text``: NFKD, no case, no accents; anything but letters, digits, & and + parts words.

    Scripts written without spaces (Han, kana, Hangul, Thai, Lao) have one word per character.
    """
    key: list[str] = []
    at: list[int] = []
    cuts: list[int] = []
    parted = True
    for i, char in enumerate(text):
        plain = _plain(char)
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
    """``key`` with what readers of pictures confuse made equal: 0/o, 1/i/l, 5/s, 8/b, rn/m, vv/w, cl/d, u/v, R/B …"""
    for pair, single in _PAIRS:
        key = key.replace(pair, single)
    return key.translate(_SINGLES)


def same_text(a: str, b: str) -> bool:
    """Whether readers of pictures may mean one text; an empty one is like no other."""
    return bool(key_of(a)) and fold(key_of(a)) == fold(key_of(b))


def brand_id_of(name: str) -> str:
    """A stable slug of letters, digits and dashes: Itaú gives itau, Disney+ gives disney-plus, 华为 stays 华为."""
    spelt = name.replace("&", " and ").replace("+", " plus ")
    inside = (c if c in "_'’" or unicodedata.category(c)[0] in "LNM" else " " for c in spelt)
    return "-".join(key for chunk in "".join(inside).split() if (key := key_of(chunk))) or key_of(name)


@cache
def _plain(char: str) -> tuple[tuple[str, bool], ...]:
    """The characters of the key that ``char`` stands for, each with whether it is a word of its own."""
    if char in _WORDS_OF_THEIR_OWN:
        return ((char, True),)
    if char in "™℠":  # NFKD would make letters of them
        return ()
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
    bare = "".join(_NO_DECOMPOSITION.get(c, c) for c in folded if not unicodedata.combining(c))
    kept = "".join(c for c in unicodedata.normalize("NFC", bare) if c.isalnum() or _is_vowel_sign(c))
    return tuple((letter, any(low <= ord(letter) <= high for low, high in _UNSPACED)) for letter in kept)


def _is_vowel_sign(char: str) -> bool:
    """Whether ``char`` is a mark that is a letter and no accent, as vowels are in Indic scripts and Thai."""
    return (
        unicodedata.category(char) in ("Mc", "Mn")
        and not unicodedata.combining(char)
        and not "\ufe00" <= char <= "\ufe0f"  # these choose between pictures of one sign
    )


class NearIndex:
    """Finds the strings that may lie within a given number of edits of a query.

    A string of length m with at most k edits keeps at least one of k + 1 parts unchanged, near its place
    (Li et al., "Pass-Join", VLDB 2011): the parts are looked up in a dict, so a query costs a few lookups however many
    strings there are.
    """

    def __init__(self, strings: Sequence[str], edits: Callable[[int], int]) -> None:
        """``edits`` gives the edits allowed for a string of a length."""
        self._edits = {m: min(edits(m), m - 1) for m in {len(s) for s in strings} if m}
        self._parts: dict[tuple[int, int], defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._plans: dict[int, list[_Lookup]] = {}
        for i, string in enumerate(strings):
            m = len(string)
            for part, (a, b) in enumerate(_segments(m, self._edits[m] + 1) if m else ()):
                self._parts[m, part][string[a:b]].append(i)

    def near(self, query: str) -> set[int]:
        """Positions of all strings within their edits of ``query`` (Levenshtein), and some that are not."""
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
            # What lies before a part takes |shift| edits at least, what lies after it |n - m - shift|.
            left, right = (k - (n - m)) // 2, (k + (n - m)) // 2
            for part, (a, b) in enumerate(_segments(m, k + 1)):
                starts = range(max(0, a - left), min(n - (b - a), a + right) + 1)
                yield self._parts[m, part], b - a, starts


_Lookup = tuple[dict[str, list[int]], int, range]
"""Strings by one of their parts, the part's length, and where it may begin in the query."""


@cache
def _segments(length: int, count: int) -> tuple[tuple[int, int], ...]:
    """``length`` cut into ``count`` parts as even as can be."""

    def bounds() -> Iterator[tuple[int, int]]:
        for i in range(count):
            yield i * length // count, (i + 1) * length // count

    return tuple(bounds())
