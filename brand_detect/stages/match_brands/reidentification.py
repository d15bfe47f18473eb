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
    verdicts = _by_track(settled)
    named = {track: own[0] for track, own in verdicts.items() if len(own) == 1 and _takes_its_line(own[0])}
    exemplars = _least_alike_of_each(crops, tracks, named)
    if not exemplars:
        return
    regions = _regions(crops, detected.regions)
    at_edge, shapes = regions["at_edge"].to_pylist(), _shapes(regions)
    asked = [row for row, track in enumerate(tracks) if track not in verdicts and not at_edge[row]]
    among_others = {track: own[0] for track, own in verdicts.items() if track not in named and own[0].brand_id}
    compared = [
        *exemplars,
        *_least_alike_of_each(crops, tracks, among_others),
        *_texts(tracks, matches, {*named, *among_others}),
    ]
    known = [named[tracks[row]] for row in exemplars]

    def shows(track: str, brand_id: str, name: str) -> bool:
        own = verdicts.get(track)
        return any(v.brand_id == brand_id for v in own) if own else may_be(matches[track].text, name)

    @cache
    def are_rivals(brand_id: str, name: str) -> NDArray[np.bool_]:
        """Which of the crops to compare with show anything else."""
        return np.array([not shows(tracks[row], brand_id, name) for row in compared], bool)

    with_what = embedding_matrix(crops.take(compared)).T
    best: dict[str, tuple[float, Verdict]] = {}
    for start in range(0, len(asked), BLOCK):
        rows = asked[start : start + BLOCK]
        likeness = embedding_matrix(crops.take(rows)) @ with_what
        nearest = likeness[:, : len(exemplars)].argmax(axis=1).tolist()
        for row, alike, one in zip(rows, likeness, nearest, strict=True):
            score, verdict, match = float(alike[one]), known[one], matches.get(tracks[row])
            if score < max(params.min_likeness, best.get(tracks[row], (0.0,))[0]):
                continue
            text = match.text if match and match.confidence >= params.min_confidence else ""
            lead = score - float(alike[are_rivals(verdict.brand_id, verdict.matched)].max(initial=0.0))
            same_shape = abs(shapes[row] - shapes[exemplars[one]]) <= np.log(OTHER_SHAPE)
            if lead >= LEAD and same_shape and may_be(text, verdict.matched):
                best[tracks[row]] = score, verdict
    for track, (score, verdict) in best.items():
        confidence = RIGHT * verdict.confidence
        if confidence >= params.min_confidence:
            yield _verdict(track, verdict, matches[track].text if track in matches else "", score, confidence)


def _regions(crops: pa.Table, regions: pa.Table) -> pa.Table:
    """The row of REGIONS of each crop."""
    ids = regions["region_id"].combine_chunks()
    return regions.take(pc.index_in(crops["region_id"], value_set=ids))  # pyright: ignore[reportAttributeAccessIssue]


def _shapes(regions: pa.Table) -> Floats:
    """The logarithm of each region's proportions, width by height."""
    along, across = side_lengths(quads_of(regions))
    return np.log(np.maximum(along, 1) / np.maximum(across, 1))


def _by_track(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    of_track: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        for track in verdict.track_ids:
            of_track[track].append(verdict)
    return dict(of_track)


def _takes_its_line(verdict: Verdict) -> bool:
    """Whether the name was read on one track, and hardly anything beside it."""
    alone = len(verdict.track_ids) == 1 and verdict.span_end - verdict.span_start >= WHOLE
    return alone and verdict.rule in BY_ITS_LETTERS


def _least_alike_of_each(crops: pa.Table, tracks: Sequence[str], verdicts: Mapping[str, Verdict]) -> list[int]:
    """The crops of tracks with ``verdicts`` to compare with: at most ``MOST_OF_A_BRAND`` of each, those least alike."""
    of_brand: defaultdict[str, list[int]] = defaultdict(list)
    for row, track in enumerate(tracks):
        if track in verdicts:
            of_brand[verdicts[track].brand_id].append(row)
    return [rows[i] for rows in of_brand.values() for i in _least_alike(embedding_matrix(crops.take(rows)))]


def _least_alike(vectors: NDArray[np.float32]) -> list[int]:
    """Indices of the first vector and of those that are, in turn, least like all before them, up to ``ALIKE``."""
    chosen = [0]
    nearest = vectors @ vectors[0]
    while len(chosen) < MOST_OF_A_BRAND and nearest.min() < ALIKE:
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    return chosen


def _texts(tracks: Sequence[str], matches: Mapping[str, Match], named: Container[str]) -> list[int]:
    """A crop of each of the most frequent texts that were read with ``READ`` and are none of ``named``."""
    first: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for row, track in enumerate(tracks):
        match = matches.get(track)
        if match and match.confidence >= READ and track not in named and (key := key_of(match.text)):
            first.setdefault(key, row)
            seen[key] += 1
    return [first[key] for key, _ in seen.most_common(MOST_OTHERS)]


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
