"""Finds the catalogue's brands in texts: by name, by alias, and approximately (``fuzzy``)."""

import math
import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cache, cached_property, partial
from itertools import pairwise, product

from rapidfuzz import fuzz, process
from rapidfuzz.distance import Levenshtein

from brand_detect.catalog.abridged import AbridgedNames
from brand_detect.catalog.alignment import Fit, NameFinder, lacks_a_letter, lacks_a_word, weight
from brand_detect.catalog.alone import is_host, is_nothing_but_names
from brand_detect.catalog.crowd import Crowd
from brand_detect.catalog.entries import without_gc
from brand_detect.catalog.fuzzy import MOST_EDITS, Candidate, FuzzyMatcher, Spelling, occluded, occluded_between
from brand_detect.catalog.source import everyday_words, is_everyday_word
from brand_detect.domain.catalog import Brand, BrandCatalog
from brand_detect.domain.contracts.verdicts import Rule
from brand_detect.domain.lattice import Lattice, joined
from brand_detect.domain.protocols import Hit
from brand_detect.domain.text import Line, fold, key_of, line_of

LONGEST_WINDOW = 8  # most words of a line in one name; more if a name has more, as in Thai
SHORTEST_SPLIT = 7  # fewest letters of a name that may be split into other words inside a longer line: VODA FONE
SHORTEST_RUN_ON = 4  # fewest letters of the longest name in words that OCR ran together: EMIRATESFLYBETTER
SHORTEST_PIECE = 3  # fewest letters of the everyday words and other names beside it: ATPTENNISTV
REPEATED = re.compile(r"(.{3,}?)\1+")  # a line that is one text several times, as on LED boards
RUN_ON_SCORE = 0.95
# Lowest similarity, of 100, of a near name. Of 570 names of the packaged list with 15 to 40 % of their letters
# missing 66 % still find theirs, and 21 % of 600 everyday words find one; with 55: 85 and 100 %.
NEAR_SCORE = 80
SHORTEST_NEAR = 5  # fewest letters of such a text: shorter ones are similar to a name by chance
SHORTEST_LIKELY = 4  # fewest letters of a name that is found by its likelihood
SHORT = 4  # such names count only as a whole line
LEAST_LIKELY = 1.2  # highest cost per letter of such a name


class LexiconIndex:
    """A ``BrandIndex`` over one catalogue; built once per version."""

    @without_gc()
    def __init__(self, catalog: BrandCatalog) -> None:
        self.version = catalog.version
        self._by_key: dict[str, Spelling] = {}
        self._excluded: defaultdict[str, set[str]] = defaultdict(set)  # brand ids by folded text
        self._names: defaultdict[str, dict[str, Brand]] = defaultdict(dict)  # brands by id, by key of a name or alias
        self._window = LONGEST_WINDOW
        for brand in catalog.brands:
            for text in brand.texts:
                line, exactly = line_of(text), text in brand.included_texts
                if not exactly:
                    self._names[line.key][brand.brand_id] = brand
                if not brand.logo_only:
                    folded, cuts = fold(line.key), frozenset(line.cuts)
                    spelling = Spelling(text, line.key, folded, cuts, brand, text in brand.whole_line, exactly)
                    self._by_key.setdefault(line.key, spelling)
                    self._window = max(self._window, len(line.cuts) - 1)
            for text in brand.excluded_texts:
                line = line_of(text)
                self._excluded[fold(line.key)].add(brand.brand_id)
                self._window = max(self._window, len(line.cuts) - 1)
        self._spellings = tuple(self._by_key.values())
        self._fuzzy = FuzzyMatcher(self._spellings)
        self._likely = [s for s in self._spellings if weight(s.key) >= SHORTEST_LIKELY and not s.exactly]
        self._finder = NameFinder([s.key for s in self._likely], LEAST_LIKELY)
        self._longest = max((len(s.key) for s in self._spellings), default=0)
        self._left_out: Brand | None = None

    def without(self, brand: Brand) -> "LexiconIndex":
        """The index of the catalogue without one of its brands. What takes longest to build is shared."""
        rest = copy(self)
        rest.version, rest._left_out = f"{self.version} without {brand.brand_id}", brand
        rest._by_key = {key: s for key, s in self._by_key.items() if s.brand is not brand}
        rest._names = self._names.copy()
        for key in map(key_of, (brand.name, *brand.aliases)):
            rest._names[key] = {i: other for i, other in self._names[key].items() if other is not brand}
        rest._excluded = defaultdict(set, {text: ids - {brand.brand_id} for text, ids in self._excluded.items()})
        for name in ("_abridged", "_all", "_common", "_ends", "_several", "_folded_names", "_forwards", "_backwards"):
            vars(rest).pop(name, None)  # made anew when asked for
        return rest

    def find(
        self, text: str, *, fuzzy_score: float, min_fuzzy_length: int, certain: bool = False, expected: bool = False
    ) -> list[Hit]:
        """Every brand in ``text``, best first, no two overlapping.

        A name matches at word boundaries; its words may be run together or split. Everyday names (``whole_line``) match
        only on lines of nothing but names. Names that are not ``expected`` match approximately only as a whole line,
        and not if they are so short that chance makes them (``by_chance``); in a longer line, digits may stand for
        their letters. None matches approximately over a host that is a name or an everyday word: www.fender.com is not
        Finder.com. None ends in an address's com, net or org unless that is a word of its own: swiss.com is not
        Swisscom, but booking.com is Booking.com. In a ``certain`` text no letter is taken for another one
        (``FuzzyMatcher``). A line that repeats itself is parted where it does, unless it is a name itself: TIMTIM, but
        not BONBON.

        ``score`` is 1 for the name's own letters, else 1 - edits / letters of the name, where an edit that OCR
        confusion explains counts a fifth, and a letter cut off at an end of the line nine tenths.
        """
        text = unicodedata.normalize("NFC", text)  # in which a line has its positions
        line = self._parted(line_of(text))
        candidates = [
            c
            for c in self._candidates(line, fuzzy_score, min_fuzzy_length, certain)
            if expected or c.exact or c.complete or c.end - c.begin > self._crowd(c.spelling).short
            if not self._is_excluded_at(line, c) and not _takes_in_a_domain(text, line, c)
        ]
        hosts = _spelled_hosts(text, line, candidates)
        candidates = [c for c in candidates if c.exact or all(c.end <= a or b <= c.begin for a, b in hosts)]
        chosen = _best_apart(candidates)
        is_the_line = len(chosen) == 1 and is_nothing_but_names(text, line, chosen)
        if not (expected or is_the_line or all(c.exact or c.complete for c in chosen)):
            candidates = [c for c in candidates if c.exact or c.complete]
            chosen = _best_apart(candidates)
        if any(c.spelling.whole_line for c in chosen) and not is_nothing_but_names(text, line, chosen):
            chosen = _best_apart([c for c in candidates if not c.spelling.whole_line or _is_its_host(text, line, c)])
        return [_hit(line, c) for c in sorted(chosen, key=lambda c: c.worth)]

    def _parted(self, line: Line) -> Line:
        """``line`` with a cut wherever it repeats itself."""
        repeated = REPEATED.fullmatch(line.key)
        if not repeated or line.key in self._by_key:
            return line
        return replace(line, cuts=tuple(sorted({*line.cuts, *range(0, len(line.key), len(repeated[1]))})))

    def _crowd(self, spelling: Spelling) -> Crowd:
        """A name that is not rare stands among its like."""
        return self._all if spelling.brand.rare else self._common

    @cached_property
    def _all(self) -> Crowd:
        return Crowd(self._by_key)

    @cached_property
    def _common(self) -> Crowd:
        return Crowd({key: spelling for key, spelling in self._by_key.items() if not spelling.brand.rare})

    def by_chance(self, name: str) -> float:
        """Share of texts cut off to the length of ``name``, a name of the catalogue, that are one by chance."""
        key = key_of(name)
        return self._crowd(self._by_key[key]).by_chance(key)

    def crowding(self, name: str) -> float:
        """How many times more names may match approximately, Latin ones or others as ``name`` is, than limits were
        measured for: a logarithm, 0 or more."""
        key = key_of(name)
        return self._crowd(self._by_key[key]).crowding(key)

    def find_occluded(
        self, text: str, keys: tuple[str, ...], *, fuzzy_score: float, min_fuzzy_length: int
    ) -> list[Hit]:
        """Matches ``text`` to a name among ``keys`` with one contiguous run of characters occluded.

        Finds nothing if several brands match, or if the text is itself a name, a number or only everyday words.
        ``min_fuzzy_length`` limits the length of the name, a brand's own ``min_length`` that of ``text``.
        """
        line = line_of(text)
        return self._one_hit(line, keys, partial(occluded, line), fuzzy_score, min_fuzzy_length)

    def find_occluded_between(
        self,
        before: str,
        after: str,
        keys: tuple[str, ...],
        *,
        fuzzy_score: float,
        min_fuzzy_length: int,
        cut: tuple[bool, bool],
    ) -> list[Hit]:
        """Matches the texts beside an occluder to a name among ``keys`` (``occluded_between``): RE, ANCE.

        The hit is one in both texts, joined by a space. Finds nothing as ``find_occluded``.
        """
        match = partial(occluded_between, line_of(before), line_of(after), cut=cut)
        return self._one_hit(line_of(f"{before} {after}"), keys, match, fuzzy_score, min_fuzzy_length)

    def _one_hit(
        self,
        line: Line,
        keys: tuple[str, ...],
        match: Callable[[Spelling, float, int], Candidate | None],
        fuzzy_score: float,
        min_fuzzy_length: int,
    ) -> list[Hit]:
        """The brand of ``keys`` that alone matches ``line``, which is no name, number or everyday words itself."""
        if line.key in self._by_key or all(is_everyday_word(line.key[a:b]) for a, b in pairwise(line.cuts)):
            return []
        if any(map(str.isdigit, line.key)) and not any(map(str.isalpha, line.key)):
            return []
        found: dict[str, Candidate] = {}
        for spelling in filter(None, map(self._by_key.get, keys)):
            candidate = match(spelling, fuzzy_score, min_fuzzy_length)
            if candidate and not self._is_excluded_at(line, candidate):
                known = found.setdefault(spelling.brand.brand_id, candidate)
                if candidate.score > known.score:
                    found[spelling.brand.brand_id] = candidate
        return [_hit(line, candidate) for candidate in found.values()] if len(found) == 1 else []

    def find_likely(self, lattice: Lattice) -> list[Hit]:
        """The names that ``lattice`` may spell, each brand's best, best first; they may overlap.

        A name begins and ends at word's edges. ``score`` is how likely it is relative to the reader's best characters:
        the geometric mean over its letters. These are left out:

        - names of which the line has a whole word less (NEW ZEALAND is not Air New Zealand);
        - names with a letter inside that the reader excluded;
        - short names and everyday ones, if the line is more than the name;
        - names that end in the com, net or org of an address (trans.com is not Transcom);
        - names in place of which the line has everyday words, or letters that one of these fits better (TENNS is tennis
          and not Tönnies), and what the brand excludes.
        """
        return self._likely_among(self._finder.candidates(lattice), lattice)

    def find_joined(self, lattices: Sequence[Lattice], begins: Iterable[str], ends: Iterable[str]) -> list[Hit]:
        """The names that lines spell together, a word each or more, as ``find_likely``: TALKSENSE, SPORTS.

        ``begins`` are the names' first words that the first line may hold, ``ends`` the last words that the last line
        may (``may_hold``); only these names are scored. ``start`` and ``end`` are those of the lines joined by spaces.
        """
        named = [position for words in product(begins, ends) for position in self._several.get(words, ())]
        among = [position for position in named if len(self._likely[position].cuts) > len(lattices)]
        if not among:
            return []
        whole = joined(lattices)
        first, last = len(lattices[0].text), len(whole.text) - len(lattices[-1].text)
        return [hit for hit in self._likely_among(among, whole) if hit.start < first and hit.end > last]

    def _likely_among(self, positions: Iterable[int], lattice: Lattice) -> list[Hit]:
        line = line_of(lattice.text)
        found: dict[str, Candidate] = {}
        for position in positions:
            candidate = self._likely_at(line, lattice, position)
            if candidate is None or self._is_excluded_at(line, candidate):
                continue
            if _takes_in_a_domain(lattice.text, line, candidate):
                continue
            known = found.get(candidate.spelling.brand.brand_id)
            if known is None or candidate.worth < known.worth:
                found[candidate.spelling.brand.brand_id] = candidate
        return [_as_hit(line, c, Rule.lexicon) for c in sorted(found.values(), key=lambda c: c.worth)]

    def _likely_at(self, line: Line, lattice: Lattice, position: int) -> Candidate | None:
        """Where a name of ``_likely`` fits best, if it counts there."""
        spelling, fitted = self._likely[position], self._finder.fit(position, lattice)
        if fitted is None or spelling.brand is self._left_out:
            return None
        if lacks_a_word(spelling.key, spelling.cuts, lattice, fitted.cost):
            return None
        if lattice.is_told and lacks_a_letter(spelling.key, lattice, fitted.cost):
            return None
        begin, end = _place(line, lattice, fitted)
        if end - begin < spelling.brand.min_length or _is_everyday(line, begin, end):
            return None
        candidate = Candidate(begin, end, spelling, math.exp(-fitted.cost / weight(spelling.key)), exact=False)
        on_its_own = spelling.whole_line or weight(spelling.key) <= SHORT
        if on_its_own and not is_nothing_but_names(lattice.text, line, [candidate]):
            return None
        return None if _is_rather_a_word(line, lattice, candidate) else candidate

    def find_abridged(self, first: Lattice, last: Lattice) -> list[Hit]:
        """The names of three words of which two lines are the first and the last (``AbridgedNames``), best first.

        As in ``find_likely``, neither word may have a letter inside that the reader excluded, or rather be an everyday
        word. ``start`` and ``end`` are those of both lines joined by a space.
        """
        if any(len(line_of(lattice.text).words) != 1 for lattice in (first, last)):
            return []
        whole = joined((first, last))
        line = line_of(whole.text)
        found: dict[str, Candidate] = {}
        for spelling, words, (one, other) in self._abridged.find(first, last):
            if not all(map(_may_be_word, words, (first, last), (one, other))):
                continue
            begin, end = _place(line, whole, Fit(0.0, one.begin, len(first.slots) + 1 + other.end))
            score = math.exp(-(one.cost + other.cost) / len("".join(words)))
            candidate = Candidate(begin, end, spelling, score, exact=False)
            if self._is_excluded_at(line, candidate):
                continue
            known = found.get(spelling.brand.brand_id)
            if known is None or candidate.worth < known.worth:
                found[spelling.brand.brand_id] = candidate
        return [_as_hit(line, c, Rule.lexicon) for c in sorted(found.values(), key=lambda c: c.worth)]

    @cached_property
    def _abridged(self) -> AbridgedNames:
        return AbridgedNames([s for s in self._likely if s.brand is not self._left_out], LEAST_LIKELY)

    def may_hold(self, lattice: Lattice) -> tuple[Collection[str], Collection[str]]:
        """The first words, and the last words, of names of several words that ``lattice`` may hold."""
        firsts, lasts = self._ends
        return tuple(firsts.fits(lattice)), tuple(lasts.fits(lattice))

    @cached_property
    def _ends(self) -> tuple[NameFinder, NameFinder]:
        """Finders of the first words and of the last words of names of several words."""
        firsts, lasts = {first for first, _ in self._several}, {last for _, last in self._several}
        return NameFinder(sorted(firsts), LEAST_LIKELY), NameFinder(sorted(lasts), LEAST_LIKELY)

    @cached_property
    def _several(self) -> Mapping[tuple[str, str], Sequence[int]]:
        """The names of several words, by the first and the last: positions in ``_likely``."""
        several: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for position, spelling in enumerate(self._likely):
            if len(spelling.cuts) > 2 and spelling.brand is not self._left_out:
                cuts = sorted(spelling.cuts)
                several[spelling.key[: cuts[1]], spelling.key[cuts[-2] :]].append(position)
        return several

    def named(self, name: str) -> Hit | None:
        """Looks up a brand by name or alias, ``logo_only`` ones too; None if there is none.

        A name that two brands share matches neither.
        """
        brands = self._names.get(key_of(name), {})
        if len(brands) != 1:
            return None
        [brand] = brands.values()
        rule = Rule.exact if key_of(name) == key_of(brand.name) else Rule.alias
        return Hit(brand.brand_id, brand.name, name, rule, 1.0, 0, len(name))

    def near(self, text: str, limit: int) -> list[str]:
        """Names of brands similar to ``text`` but below the bar of ``find``; best first, at most ``limit``."""
        key = fold(key_of(text))
        if len(key) < SHORTEST_NEAR:
            return []
        keys, folded = self._folded_names
        found = process.extract(
            key, folded, scorer=fuzz.ratio, limit=4 * limit, score_cutoff=NEAR_SCORE
        )  # more than ``limit``, since a brand may have many names
        names = [brand.name for _, _, at in found for brand in self._names[keys[at]].values()]
        return list(dict.fromkeys(names))[:limit]

    @cached_property
    def _folded_names(self) -> tuple[list[str], list[str]]:
        """The keys of all names, and each as it is compared."""
        keys = [key for key, brands in self._names.items() if brands]
        return keys, [fold(key) for key in keys]

    def rivals(self, text: str, *, fuzzy_score: float, min_fuzzy_length: int) -> list[Hit]:
        """Other names that the whole of ``text`` matches approximately, best first."""
        line = line_of(text)
        candidates = self._approximate(line, 0, len(line.key), fuzzy_score, min_fuzzy_length)
        return [_hit(line, c) for c in sorted(candidates, key=lambda c: c.worth) if c.spelling.key != line.key]

    def is_excluded(self, text: str) -> bool:
        """Whether the catalogue excludes this text as no brand."""
        return bool(self._excluded.get(fold(key_of(text))))

    def may_begin(self, text: str) -> bool:
        """Whether the end of ``text`` may begin a longer name: BNP, of BNP Paribas."""
        line = line_of(text)
        return any(_begins_another(fold(line.key[cut:]), self._forwards) for cut in line.cuts[:-1])

    def may_end(self, text: str) -> bool:
        """Whether the beginning of ``text`` may end a longer name: PARIBAS, of BNP Paribas."""
        line = line_of(text)
        return any(_begins_another(fold(line.key[:cut])[::-1], self._backwards) for cut in line.cuts[1:])

    @cached_property
    def _forwards(self) -> list[str]:
        return sorted({s.folded for s in self._by_key.values()})

    @cached_property
    def _backwards(self) -> list[str]:
        return sorted({s.folded[::-1] for s in self._by_key.values()})

    def _candidates(self, line: Line, fuzzy_score: float, min_fuzzy_length: int, certain: bool) -> Iterator[Candidate]:
        """Yields all candidates, including overlapping ones."""
        yield from self._windows(line, fuzzy_score, min_fuzzy_length, certain)
        yield from self._run_on(line)

    def _windows(self, line: Line, fuzzy_score: float, min_fuzzy_length: int, certain: bool) -> Iterator[Candidate]:
        cuts, key = line.cuts, line.key
        for i, begin in enumerate(cuts[:-1]):
            plain = True  # whether all words of the window are everyday words
            for j in range(i + 1, min(len(cuts), i + 1 + self._window)):
                end = cuts[j]
                window = key[begin:end]
                if len(window) > self._longest * (1 + MOST_EDITS):
                    break
                plain = plain and is_everyday_word(key[cuts[j - 1] : end])
                if _is_cut_from_plus(line, j):
                    continue
                spelling = self._by_key.get(window)
                if spelling:
                    if self._may_be_split(line, i, j, spelling, plain):
                        yield Candidate(begin, end, spelling, 1.0, exact=True)
                elif not plain:
                    yield from self._approximate(line, begin, end, fuzzy_score, min_fuzzy_length, certain)

    def _approximate(
        self, line: Line, begin: int, end: int, fuzzy_score: float, min_fuzzy_length: int, certain: bool = False
    ) -> Iterator[Candidate]:
        found = self._fuzzy.candidates(line, begin, end, fuzzy_score, min_fuzzy_length, certain)
        return (candidate for candidate in found if candidate.spelling.brand is not self._left_out)

    @staticmethod
    def _may_be_split(line: Line, i: int, j: int, spelling: Spelling, plain: bool) -> bool:
        """Whether the words i..j of ``line``, which join to ``spelling``, are the name and not just adjacent words."""
        begin = line.cuts[i]
        if {c - begin for c in line.cuts[i : j + 1]} <= spelling.cuts:
            return True
        if plain or len(spelling.key) < SHORTEST_SPLIT:
            whole = i == 0 and j == len(line.cuts) - 1
            return whole and (not plain or len(spelling.key) >= SHORTEST_SPLIT)
        return True

    def _run_on(self, line: Line) -> Iterator[Candidate]:
        """Yields names in words that OCR ran together, made of names and everyday words only."""
        for begin, end in zip(line.cuts, line.cuts[1:], strict=False):
            word = line.key[begin:end]
            if len(word) >= 2 * SHORTEST_RUN_ON and word not in self._by_key and not is_everyday_word(word):
                pieces = self._pieces(line.key, begin, end)
                named = [(a, b, self._by_key[line.key[a:b]]) for a, b in pieces if line.key[a:b] in self._by_key]
                named = [(a, b, spelling) for a, b, spelling in named if not spelling.whole_line]
                if max((b - a for a, b, _ in named), default=0) >= SHORTEST_RUN_ON:
                    for a, b, spelling in named:
                        yield Candidate(a, b, spelling, RUN_ON_SCORE, exact=True)

    def _pieces(self, key: str, begin: int, end: int) -> list[tuple[int, int]]:
        """Splits ``key[begin:end]`` into names and everyday words, with the fewest letters in names; else empty."""
        best: dict[int, tuple[int, list[tuple[int, int]]]] = {begin: (0, [])}  # letters in names and pieces, by end
        fillers = everyday_words()
        for a in range(begin, end):
            if a not in best:
                continue
            letters, pieces = best[a]
            for b in range(a + SHORTEST_PIECE, end + 1):
                piece = key[a:b]
                spelling = self._by_key.get(piece)
                if piece in fillers:
                    cost = letters
                elif spelling and not spelling.whole_line:
                    cost = letters + b - a
                else:
                    continue
                if b not in best or cost < best[b][0]:
                    best[b] = cost, [*pieces, (a, b)]
        return best[end][1] if end in best else []

    def _is_excluded_at(self, line: Line, candidate: Candidate) -> bool:
        """Whether the candidate, as it is read or spelled right, lies within a text that its brand excludes."""
        brand = candidate.spelling.brand
        if not brand.excluded_texts:
            return False
        firsts = [c for c in line.cuts if c <= candidate.begin][-self._window :]
        lasts = [c for c in line.cuts if c >= candidate.end][: self._window]
        return any(
            brand.brand_id
            in self._excluded.get(fold(line.key[a : candidate.begin] + name + line.key[candidate.end : b]), ())
            for a in firsts
            for b in lasts
            for name in (line.key[candidate.begin : candidate.end], candidate.spelling.key)
        )


def _begins_another(part: str, ordered: list[str]) -> bool:
    """Whether ``part`` is a proper prefix of one of the ``ordered``, distinct strings."""
    at = bisect_left(ordered, part)
    return any(s != part and s.startswith(part) for s in ordered[at : at + 2])


def _is_cut_from_plus(line: Line, j: int) -> bool:
    """Whether a + directly follows the words before j: DISNEY+ is not Disney."""
    at = line.cuts[j]
    return line.key[at : at + 1] == "+" and line.at[at] == line.at[at - 1] + 1


def _best_apart(candidates: list[Candidate]) -> list[Candidate]:
    """The best non-overlapping candidates."""
    chosen: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: c.worth):
        if all(candidate.end <= c.begin or c.end <= candidate.begin for c in chosen):
            chosen.append(candidate)
    return chosen


def _spelled_hosts(text: str, line: Line, candidates: list[Candidate]) -> list[tuple[int, int]]:
    """Where a name or an everyday word is the host of an address."""
    words = [(a, b) for a, b in pairwise(line.cuts) if is_everyday_word(line.key[a:b])]
    names = [(c.begin, c.end) for c in candidates if c.exact]
    return [(begin, end) for begin, end in {*words, *names} if is_host(text, line, begin, end)]


def _takes_in_a_domain(text: str, line: Line, candidate: Candidate) -> bool:
    """Whether the name's last word goes on over the dot of .com, .net or .org."""
    cut = candidate.end - 3
    return (
        candidate.begin < cut in line.cuts
        and line.key[cut : candidate.end] in ("com", "net", "org")
        and text[line.at[cut] - 1] == "."
        and len(candidate.spelling.key) - 3 not in candidate.spelling.cuts
    )


def _is_its_host(text: str, line: Line, candidate: Candidate) -> bool:
    """Whether the name is a host and no everyday word, because OCR loses spaces: "to the end.in"."""
    may_be = candidate.exact and not is_everyday_word(candidate.spelling.key)
    return may_be and is_host(text, line, candidate.begin, candidate.end)


def _place(line: Line, lattice: Lattice, fitted: Fit) -> tuple[int, int]:
    """The first letter of a fit in the line's key, and the one past its last."""
    start = lattice.slots[fitted.begin - 1].end if fitted.begin else 0
    return bisect_left(line.at, start), bisect_left(line.at, lattice.slots[fitted.end].end)


def _is_rather_a_word(line: Line, lattice: Lattice, candidate: Candidate) -> bool:
    """Whether an everyday word fits better where the candidate is."""
    places = (_place(line, lattice, fitted) for fitted in _likelier_words(lattice, candidate.score))
    return any(begin <= candidate.begin and candidate.end <= end for begin, end in places)


def _may_be_word(word: str, lattice: Lattice, fitted: Fit) -> bool:
    """Whether a line of one word may be ``word``, which fits there: it lacks no letter, and no everyday word fits
    better."""
    if lattice.is_told and lacks_a_letter(word, lattice, fitted.cost):
        return False
    return not any(_likelier_words(lattice, math.exp(-fitted.cost / weight(word))))


def _likelier_words(lattice: Lattice, score: float) -> Iterator[Fit]:
    """Where everyday words fit with a higher score."""
    finder = _word_finder()
    for position in finder.candidates(lattice):
        fitted = finder.fit(position, lattice)
        if fitted and math.exp(-fitted.cost / weight(finder.keys[position])) > score:
            yield fitted


@cache
def _word_finder() -> NameFinder:
    return NameFinder(sorted(word for word in everyday_words() if len(word) > SHORT), LEAST_LIKELY)


def _is_everyday(line: Line, begin: int, end: int) -> bool:
    """Whether the line has nothing or only everyday words between two letters of its key."""
    words = [line.key[max(a, begin) : min(b, end)] for a, b in pairwise(line.cuts) if a < end and begin < b]
    return all(is_everyday_word(word) for word in words)


def _hit(line: Line, candidate: Candidate) -> Hit:
    """Converts a candidate to a hit, trimmed to the letters of the name: without the O of OLENOVO."""
    spelling = candidate.spelling
    begin, end = candidate.begin, candidate.end

    def edits(begin: int, end: int) -> int:
        return Levenshtein.distance(fold(line.key[begin:end]), spelling.folded)

    while edits(begin + 1, end) < edits(begin, end):
        begin += 1
    while edits(begin, end - 1) < edits(begin, end):
        end -= 1
    exact = Rule.exact if spelling.key == key_of(spelling.brand.name) else Rule.alias
    return _as_hit(line, candidate._replace(begin=begin, end=end), exact if candidate.exact else Rule.fuzzy)


def _as_hit(line: Line, candidate: Candidate, rule: Rule) -> Hit:
    return Hit(
        brand_id=candidate.spelling.brand.brand_id,
        brand=candidate.spelling.brand.name,
        alias=candidate.spelling.text,
        rule=rule,
        score=candidate.score,
        start=line.at[candidate.begin],
        end=line.at[candidate.end - 1] + 1,
    )
