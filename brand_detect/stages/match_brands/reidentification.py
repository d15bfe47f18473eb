"""Recognises names that other tracks of the video spell where they cannot be read, by their looks: re-identification.

A board that is legible on some frames is blurred, turned or half covered on others. There it still looks more like
itself than like anything else that the video shows.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from brand_detect.domain.contracts.detect_objects import DetectedObjects, RegionKind
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.verdicts import Rule, Verdict
from brand_detect.domain.geometry import side_lengths
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.tables import content_id, places
from brand_detect.domain.text import fold, key_of
from brand_detect.stages.match_brands.matching import ADDRESS, Match
from brand_detect.stages.regions import quads_of
from brand_detect.stages.similarity import MEASURED_WITH, vectors_of
from brand_detect.stages.views import BLURRED

BY_ITS_LETTERS = (Rule.exact, Rule.alias, Rule.fuzzy, Rule.lexicon)
WHOLE = 0.75  # least share of its line that the name takes: a sentence looks like other sentences
LEAD = 0.1  # least lead over the likeness to anything else that was read
UNREAD = 0.8
"""Least likeness of a track without a legible text. Of 380 pairs of names in one typeface and colours, drawn more or
less blurred, at most 4 reach it; 28 reach 0.7."""
OTHER_SHAPE = 1.65  # largest ratio of two crops' proportions, width by height
READ = 0.9  # confidence from which a text is taken at its word
LEGIBLE = 3  # fewest letters and digits of a text that may support a name
MISREAD = 0.5  # 1 - edits / letters, after folding, of a name and an unsure reading of it
NEARLY, LONG = 0.7, 8  # the same of a sure reading of a name of ``LONG`` letters
ABOUT = 0.6  # the same from which a text that was read elsewhere is the name misread, and no rival of it
MORE = 2  # most letters beside the name in a sure reading of it: an emblem, an S, .de
RIGHT = 0.97  # probability that what is recognised so is right, less than measured: docs/reference/benchmarks.md
ALIKE = 0.9  # likeness to a crop of the same name or text from which another adds nothing
MOST_OF_A_BRAND, MOST_OF_A_TEXT, MOST_TEXTS = 60, 3, 1000  # crops to compare with
BLOCK = 1024


def reidentified(
    detected: DetectedObjects, matches: Mapping[str, Match], settled: Sequence[Verdict], params: MatchBrandsParams
) -> Iterator[Verdict]:
    """Yields verdicts by the rule ``reidentified`` for tracks of texts and logo regions without one in ``settled``.

    A track shows the brand of the named track that looks most like it, if

    - that track's line is the name and hardly anything else;
    - the inner product of their embeddings is at least ``min_likeness``, and ``LEAD`` higher than with any track of
      another brand, with text that the catalogue excludes, and with text that was surely read as something else;
    - both have about the same proportions, and the picture's edge does not cut the track off: half of a board looks
      like it, but is not legible;
    - what was read on the track may be the name (``supports``); if nothing was, it is sharp and ``UNREAD`` alike;
    - none of its other crops looks like another brand.

    The verdict's score is the inner product; its confidence is ``RIGHT`` times that of the named track. Yields nothing
    for another embedder than the built-in one, with which the limits were measured.
    """
    if not detected.embedder.startswith(MEASURED_WITH):
        return
    crops = _crops(detected)
    tracks, whole = crops["track_id"].to_pylist(), crops["whole"].to_pylist()
    shapes, sharp = crops["shape"].to_numpy(), crops["sharp"].to_numpy()
    known = _Known(crops, detected.embeddings, matches, settled)
    asked = [row for row, track in enumerate(tracks) if whole[row] and track not in known.verdicts]
    found: defaultdict[str, list[tuple[float, Verdict]]] = defaultdict(list)
    for row, exemplar, score, lead in known.most_alike(asked, params.min_likeness):
        track, verdict = tracks[row], known.verdicts[tracks[exemplar]][0]
        if lead < LEAD or abs(shapes[row] - shapes[exemplar]) > np.log(OTHER_SHAPE):
            continue
        text = matches.get(track)
        its_own = supports(text, verdict.matched) if text and text.confidence >= params.min_confidence else None
        if its_own or (its_own is None and score >= UNREAD and sharp[row]):
            found[track].append((score, verdict))
    for track, likenesses in found.items():
        score, verdict = max(likenesses, key=lambda one: one[0])
        confidence = RIGHT * verdict.confidence
        if confidence >= params.min_confidence and {other.brand_id for _, other in likenesses} == {verdict.brand_id}:
            yield _verdict(track, verdict, matches[track].text if track in matches else "", score, confidence)


def supports(match: Match, name: str) -> bool | None:
    """Whether what was read on a track may be ``name``; None if it is hardly legible.

    An unsure reading may be wrong in half of its letters: CROSROT, of Eurosport. A sure one is a piece of the name, or
    the name with ``MORE`` letters, or nearly a long name: HEA and HEADA of Head, KATRADE.COM of Checkatrade; but BETWAY
    is not Betfair. The digits of a number stand for no letters: 40:13 is no Rolex.
    """
    key, sure = key_of(match.text), match.confidence >= READ
    is_it = _is_surely(match.text, name) if sure or key.isdigit() else _similarity(match.text, name) >= MISREAD
    return None if len(key) < LEGIBLE and (is_it or not (sure or key.isdigit())) else is_it


def _is_surely(text: str, name: str) -> bool:
    key, whole = key_of(text), key_of(name)
    if not any(map(str.isalpha, key)):
        return key == whole
    bare, whole = _folded(text), _folded(name)
    if bare in whole or (whole in bare and len(bare) - len(whole) <= MORE):
        return True
    return len(whole) >= LONG and _similarity(text, name) >= NEARLY


def _similarity(text: str, name: str) -> float:
    return Levenshtein.normalized_similarity(_folded(text), _folded(name))


def _folded(text: str) -> str:
    """The key of ``text`` without what ends a web address."""
    key = key_of(text)
    return fold(next((key.removesuffix(ending) for ending in ADDRESS[1] if ending and key.endswith(ending)), key))


def _crops(detected: DetectedObjects) -> pa.Table:
    """Which of TRACK_EMBEDDINGS are of texts and logo regions: ``track_id``; ``row`` there; ``shape``, the logarithm of
    width by height; ``sharp``; and ``whole``, whether the picture's edge certainly does not cut the region off."""
    columns = detected.regions.select(["region_id", "kind", "quad", "sharpness", "at_edge"])
    regions = columns.filter(pc.field("kind") != RegionKind.object)
    at = places(detected.embeddings["region_id"], regions["region_id"])
    rows, regions = np.flatnonzero(at >= 0), regions.take(pa.array(at[at >= 0]))
    along, across = side_lengths(quads_of(regions))
    return pa.table(
        {
            "track_id": detected.embeddings["track_id"].take(pa.array(rows)),
            "row": rows,
            "shape": np.log(np.maximum(along, 1) / np.maximum(across, 1)),
            "sharp": regions["sharpness"].to_numpy() >= BLURRED,
            "whole": [at_edge is False for at_edge in regions["at_edge"].to_pylist()],
        }
    )


class _Known:
    """The crops to compare with: of tracks whose line is a name, and of whatever else was read.

    Args:
        crops: the table of ``_crops``; rows below are indices into it.
        embeddings: TRACK_EMBEDDINGS.
    """

    def __init__(
        self, crops: pa.Table, embeddings: pa.Table, matches: Mapping[str, Match], settled: Iterable[Verdict]
    ) -> None:
        self._row, self._embeddings, self._matches = crops["row"].to_numpy(), embeddings, matches
        self._tracks: list[str] = crops["track_id"].to_pylist()
        self.verdicts: dict[str, list[Verdict]] = {}  # by track
        for verdict in settled:
            for track in verdict.track_ids:
                self.verdicts.setdefault(track, []).append(verdict)
        named: defaultdict[str, list[int]] = defaultdict(list)  # rows by brand, as are those of ``others``
        others: defaultdict[str, list[int]] = defaultdict(list)
        for row, track in enumerate(self._tracks):
            for brand_id in {verdict.brand_id for verdict in self.verdicts.get(track, ())}:
                (named if _take_their_line(self.verdicts[track]) else others)[brand_id].append(row)
        self._exemplars = self._least_alike(named.values(), MOST_OF_A_BRAND)
        self._others = self._least_alike(others.values(), MOST_OF_A_BRAND)
        self._others += self._least_alike(self._frequent_texts(), MOST_OF_A_TEXT)
        self._are_rivals = cache(self._which_are_rivals)

    def most_alike(self, rows: Sequence[int], least: float) -> Iterator[tuple[int, int, float, float]]:
        """Yields those of ``rows`` that are at least so much like an exemplar, with the one that looks most like it,
        the likeness, and its lead over all else."""
        if not self._exemplars:
            return
        exemplars, others = self._vectors(self._exemplars), self._vectors(self._others)
        for start in range(0, len(rows), BLOCK):
            block = np.array(rows[start : start + BLOCK], np.int64)
            vectors = self._vectors(block)
            likeness = vectors @ exemplars.T
            near = np.flatnonzero(likeness.max(axis=1) >= least)
            likeness = np.hstack([likeness[near], vectors[near] @ others.T])
            nearest: list[int] = likeness[:, : len(exemplars)].argmax(axis=1).tolist()
            for row, alike, i in zip(block[near].tolist(), likeness, nearest, strict=True):
                verdict = self.verdicts[self._tracks[self._exemplars[i]]][0]
                rivals = self._are_rivals(verdict.brand_id, verdict.matched)
                yield row, self._exemplars[i], float(alike[i]), float(alike[i] - alike[rivals].max(initial=0.0))

    def _vectors(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        return vectors_of(self._embeddings, self._row[np.asarray(rows, np.int64)])

    def _which_are_rivals(self, brand_id: str, name: str) -> NDArray[np.bool_]:
        """Which crops to compare with show anything but the brand."""
        known = [self._tracks[row] for row in (*self._exemplars, *self._others)]
        return np.array([not self._shows(track, brand_id, name) for track in known], bool)

    def _shows(self, track: str, brand_id: str, name: str) -> bool:
        if own := self.verdicts.get(track):
            return any(verdict.brand_id == brand_id for verdict in own)
        text = self._matches[track].text
        return _is_surely(text, name) or _similarity(text, name) >= ABOUT

    def _least_alike(self, groups: Iterable[Sequence[int]], most: int) -> list[int]:
        """Of each group of rows the first and those that are, in turn, least like all before them, up to ``ALIKE``."""
        chosen: list[int] = []
        for rows in groups:
            vectors = self._vectors(rows)
            picked = [0]
            nearest = vectors @ vectors[0]
            while len(picked) < most and nearest.min() < ALIKE:
                picked.append(int(nearest.argmin()))
                nearest = np.maximum(nearest, vectors @ vectors[picked[-1]])
            chosen += [rows[i] for i in picked]
        return chosen

    def _frequent_texts(self) -> list[list[int]]:
        """The rows of each of the most frequent texts that were surely read and are no name."""
        rows: defaultdict[str, list[int]] = defaultdict(list)
        for row, track in enumerate(self._tracks):
            match = self._matches.get(track)
            if match and match.confidence >= READ and track not in self.verdicts and (key := key_of(match.text)):
                rows[key].append(row)
        frequent = Counter({key: len(own) for key, own in rows.items()}).most_common(MOST_TEXTS)
        return [rows[key] for key, _ in frequent]


def _take_their_line(verdicts: Sequence[Verdict]) -> bool:
    """Whether one name was read on the track of ``verdicts``, once or several times, and hardly anything else."""
    alone = all(verdict.rule in BY_ITS_LETTERS and len(verdict.track_ids) == 1 for verdict in verdicts)
    one_brand = len({verdict.brand_id for verdict in verdicts}) == 1
    return alone and one_brand and sum(verdict.span_end - verdict.span_start for verdict in verdicts) >= WHOLE


def _verdict(track: str, named: Verdict, text: str, score: float, confidence: float) -> Verdict:
    return Verdict(
        verdict_id=content_id(Stage.match_brands, track, named.brand_id, "reidentified"),
        track_ids=(track,),
        brand_id=named.brand_id,
        brand=named.brand,
        rule=Rule.reidentified,
        score=score,
        confidence=confidence,
        text=text,
        matched=named.track_ids[0],
        decided_by=Stage.match_brands,
    )
