"""Recognises names that other tracks of the video spell where they cannot be read, by their looks: re-identification.

A board that is legible on some frames is blurred, turned or half covered on others. There it still looks more like
itself than like anything else that the video shows.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.verdicts import Rule, Verdict
from brand_detect.domain.geometry import side_lengths
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.tables import content_id
from brand_detect.domain.text import key_of
from brand_detect.stages.match_brands.matching import Match, may_be
from brand_detect.stages.regions import Floats, quads_of
from brand_detect.stages.similarity import embedding_matrix

BY_ITS_LETTERS = (Rule.exact, Rule.alias, Rule.fuzzy, Rule.lexicon)
WHOLE = 0.75  # least share of its line that the name takes: a sentence looks like other sentences
LEAD = 0.1  # least lead over the likeness to anything else that was read
OTHER_SHAPE = 1.65  # largest ratio of two crops' proportions, width by height
READ = 0.85  # confidence from which a text without a name is certainly something else
RIGHT = 0.97
"""Probability that what is recognised so is right: all of 435 tracks of 20 generated minutes were, and all of 48 of 22
real clips."""
ALIKE = 0.9  # likeness to a crop of the same name from which another adds nothing
MOST_OF_A_BRAND, MOST_OTHERS = 60, 1000  # crops to compare with: those least alike, and one of each frequent text
BLOCK = 1024


def reidentified(
    detected: DetectedObjects, matches: Mapping[str, Match], settled: Sequence[Verdict], params: MatchBrandsParams
) -> Iterator[Verdict]:
    """Yields verdicts by the rule ``reidentified`` for tracks without a verdict in ``settled``.

    A track shows the brand of the named track that looks most like it, if

    - that track's line is the name and hardly anything else;
    - the inner product of their embeddings is at least ``min_likeness``, and ``LEAD`` higher than with any track of
      another brand, or with a confidently read text that is none;
    - both have about the same proportions, and the picture's edge does not cut the track off: half of a board looks
      like it, but is not legible;
    - what was read on the track itself, if anything, may be that name (``may_be``).

    The verdict's score is the inner product; its confidence is ``RIGHT`` times that of the named track.
    """
    crops = detected.embeddings
    tracks = crops["track_id"].to_pylist()
    known = _Known(crops, tracks, matches, settled)
    if not known.exemplars:
        return
    regions = _regions(crops, detected.regions)
    at_edge, shapes = regions["at_edge"].to_pylist(), _shapes(regions)
    asked = [row for row, track in enumerate(tracks) if track not in known.verdicts and not at_edge[row]]
    best: dict[str, tuple[float, Verdict]] = {}
    for row, exemplar, score, lead in known.most_alike(asked):
        track, verdict = tracks[row], known.verdicts[tracks[exemplar]][0]
        match = matches.get(track)
        text = match.text if match and match.confidence >= params.min_confidence else ""
        same_shape = abs(shapes[row] - shapes[exemplar]) <= np.log(OTHER_SHAPE)
        enough = score >= max(params.min_likeness, best[track][0] if track in best else 0.0) and lead >= LEAD
        if enough and same_shape and may_be(text, verdict.matched):
            best[track] = score, verdict
    for track, (score, verdict) in best.items():
        confidence = RIGHT * verdict.confidence
        if confidence >= params.min_confidence:
            yield _verdict(track, verdict, matches[track].text if track in matches else "", score, confidence)


class _Known:
    """The crops to compare with: of tracks whose line is a name, and of whatever else was read.

    Args:
        crops: TRACK_EMBEDDINGS; rows below are indices into it.
        tracks: the track of each.
    """

    def __init__(
        self, crops: pa.Table, tracks: Sequence[str], matches: Mapping[str, Match], settled: Iterable[Verdict]
    ) -> None:
        self._crops, self._tracks, self._matches = crops, tracks, matches
        self.verdicts: defaultdict[str, list[Verdict]] = defaultdict(list)  # by track
        for verdict in settled:
            for track in verdict.track_ids:
                self.verdicts[track].append(verdict)
        brands = {track: own[0].brand_id for track, own in self.verdicts.items() if own[0].brand_id}
        named = {track for track in brands if _take_their_line(self.verdicts[track])}
        self.exemplars = self._least_alike_of_each({t: brand for t, brand in brands.items() if t in named})
        others = self._least_alike_of_each({t: brand for t, brand in brands.items() if t not in named})
        self._rows = [*self.exemplars, *others, *self._frequent_texts(without=brands)]
        self._are_rivals = cache(self._which_are_rivals)

    def most_alike(self, rows: Sequence[int]) -> Iterator[tuple[int, int, float, float]]:
        """Yields each row with the exemplar that looks most like it, their likeness, and the lead over all else."""
        known = embedding_matrix(self._crops.take(self._rows)).T
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            likeness = embedding_matrix(self._crops.take(some)) @ known
            nearest: list[int] = likeness[:, : len(self.exemplars)].argmax(axis=1).tolist()
            for row, alike, i in zip(some, likeness, nearest, strict=True):
                verdict = self.verdicts[self._tracks[self.exemplars[i]]][0]
                rivals = self._are_rivals(verdict.brand_id, verdict.matched)
                yield row, self.exemplars[i], float(alike[i]), float(alike[i] - alike[rivals].max(initial=0.0))

    def _which_are_rivals(self, brand_id: str, name: str) -> NDArray[np.bool_]:
        """Which crops to compare with show anything but the brand."""
        return np.array([not self._shows(self._tracks[row], brand_id, name) for row in self._rows], bool)

    def _shows(self, track: str, brand_id: str, name: str) -> bool:
        if own := self.verdicts.get(track):
            return any(verdict.brand_id == brand_id for verdict in own)
        return may_be(self._matches[track].text, name)

    def _least_alike_of_each(self, brands: Mapping[str, str]) -> list[int]:
        """Crops of the tracks of ``brands``: at most ``MOST_OF_A_BRAND`` of each brand, those least alike."""
        of_brand: defaultdict[str, list[int]] = defaultdict(list)
        for row, track in enumerate(self._tracks):
            if track in brands:
                of_brand[brands[track]].append(row)
        chosen = ((rows, _least_alike(embedding_matrix(self._crops.take(rows)))) for rows in of_brand.values())
        return [rows[i] for rows, least_alike in chosen for i in least_alike]

    def _frequent_texts(self, *, without: Container[str]) -> list[int]:
        """A crop of each of the most frequent texts, read with ``READ``, ``without`` tracks that show brands."""
        first: dict[str, int] = {}
        seen: Counter[str] = Counter()
        for row, track in enumerate(self._tracks):
            match = self._matches.get(track)
            if match and match.confidence >= READ and track not in without and (key := key_of(match.text)):
                first.setdefault(key, row)
                seen[key] += 1
        return [first[key] for key, _ in seen.most_common(MOST_OTHERS)]


def _take_their_line(verdicts: Sequence[Verdict]) -> bool:
    """Whether one name was read on the track of ``verdicts``, once or several times, and hardly anything else."""
    alone = all(verdict.rule in BY_ITS_LETTERS and len(verdict.track_ids) == 1 for verdict in verdicts)
    one_brand = len({verdict.brand_id for verdict in verdicts}) == 1
    return alone and one_brand and sum(verdict.span_end - verdict.span_start for verdict in verdicts) >= WHOLE


def _least_alike(vectors: NDArray[np.float32]) -> list[int]:
    """Indices of the first vector and of those that are, in turn, least like all before them, up to ``ALIKE``."""
    chosen = [0]
    nearest = vectors @ vectors[0]
    while len(chosen) < MOST_OF_A_BRAND and nearest.min() < ALIKE:
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    return chosen


def _regions(crops: pa.Table, regions: pa.Table) -> pa.Table:
    """The row of REGIONS of each crop."""
    ids = regions["region_id"].combine_chunks()
    return regions.take(pc.index_in(crops["region_id"], value_set=ids))  # pyright: ignore[reportAttributeAccessIssue]


def _shapes(regions: pa.Table) -> Floats:
    """The logarithm of each region's proportions, width by height."""
    along, across = side_lengths(quads_of(regions))
    return np.log(np.maximum(along, 1) / np.maximum(across, 1))


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
