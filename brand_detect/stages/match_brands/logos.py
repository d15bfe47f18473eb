"""Matches tracks without a verdict by text to the exemplars of the catalogue's logos."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import TypeVar

import numpy as np
import pyarrow as pa
from rapidfuzz.distance import Levenshtein

from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.verdicts import Cluster, Rule, Verdict
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.protocols import Likeness, LogoGallery
from brand_detect.domain.tables import content_id
from brand_detect.domain.text import fold, key_of
from brand_detect.stages.match_brands.matching import Match
from brand_detect.stages.neighbours import Relation, contains, labels, related_tracks
from brand_detect.stages.regions import RegionColumns
from brand_detect.stages.similarity import vectors_of
from brand_detect.stages.views import BLURRED

SAME_NAME = 0.5  # 1 - edits / letters, after folding, of a misread wordmark
LEGIBLE = 3  # fewest letters of a text that rules brands out
LIKELY = 0.5  # probability from which a cluster resembles a brand
MOST_BRANDS = 5  # brands that a cluster is compared with, the most similar ones
SMALL = 0.1  # factor on the false accept rate of a region of half to the whole of ``min_logo_match_px``
PACKAGED = 0.2  # the same for a brand that has the package's own logos alone; of the two, the stricter holds
AT_ONCE = 1024  # tracks or clusters whose views are in memory as floats
LABELLED = 10.0  # factor on the false accept rate if a text in or beside the logo names the brand

Owner = TypeVar("Owner", str, int)


def logo_verdicts(
    detected: DetectedObjects,
    regions: RegionColumns,
    settled: Sequence[Verdict],
    matches: Mapping[str, Match],
    params: MatchBrandsParams,
    *,
    gallery: LogoGallery,
) -> list[Verdict]:
    """Verdicts by the rule ``logo_match`` for tracks without a verdict in ``settled``.

    - A track is matched to the most similar brand if at most ``max_false_accept_rate`` of distractors reach its score.
    - A track that is never both sharp and at least ``min_logo_match_px`` a side may have a tenth of that share; below
      half that size it is not matched: at a distance, legs and heads look like logos.
    - For a brand of which the list has the package's own logos alone the share is a fifth, unless the video also names
      it: nobody said that it will be seen, and a plain logo that is not listed resembles some icon of a few hundred.
    - If one matched track lies in another, the one with fewer false accepts counts.
    - If a text in or directly beside the region names the same brand, the limit is ten times higher; if it names
      another, the region is that brand's logo and the track gets no verdict. A name that covers the region, or lies in
      it, outweighs one beside it: the badge in EMIRATES is no other brand's, whatever stands next to it.
    - A text of the track itself that is unlike the brand's name rules the brand out.
    """
    names = detected.tracks["track_id"].to_pylist()
    done = {t for v in settled for t in v.track_ids}
    named = {v.brand_id for v in settled}
    clear, asking = (_clear(regions, names, side) for side in (params.min_logo_match_px, params.min_logo_match_px / 2))
    asked = {t: t for t in detected.embeddings["track_id"].to_pylist() if t not in done and t in asking}
    labelled = _named_near(regions, names, set(asked), settled, labels)
    covered = _named_near(regions, names, set(asked), settled, contains)
    matched: dict[str, Likeness] = {}
    most = params.max_false_accept_rate * LABELLED
    for track, likenesses in _recognised(detected.embeddings, asked, gallery, best=1, max_false_accept_rate=most):
        match, best = matches.get(track), likenesses[0]
        text = match.text if match and match.confidence >= params.min_confidence else ""
        if not _is_possible(best, text):
            continue
        brands = covered.get(track) or labelled.get(track, set())
        limit = params.max_false_accept_rate * (LABELLED if best.brand_id in brands else 1.0)
        is_unexpected = best.by_packaged and best.brand_id not in named
        limit *= SMALL if track not in clear else PACKAGED if is_unexpected else 1.0
        if best.false_accept_rate <= limit and (not brands or best.brand_id in brands):
            matched[track] = best
    parts = _parts(regions, names, matched)
    return [
        _verdict(track, best, matches[track].text if track in matches else "", gallery.embedder)
        for track, best in matched.items()
        if track not in parts
    ]


def cluster_likenesses(
    detected: DetectedObjects,
    regions: RegionColumns,
    clusters: Sequence[Cluster],
    params: MatchBrandsParams,
    gallery: LogoGallery,
) -> list[list[Likeness]]:
    """Brands that each of ``clusters`` shows with a probability of at least ``LIKELY``, best first.

    As in ``logo_verdicts``, only sharp and large enough tracks count, and the text rules out brands with unlike names.
    """
    clear = _clear(regions, detected.tracks["track_id"].to_pylist(), params.min_logo_match_px)
    owners = {track: i for i, cluster in enumerate(clusters) for track in cluster.track_ids if track in clear}
    found: list[list[Likeness]] = [[] for _ in clusters]
    for i, likenesses in _recognised(detected.embeddings, owners, gallery, best=MOST_BRANDS):
        found[i] = [one for one in likenesses if one.probability >= LIKELY and _is_possible(one, clusters[i].text)]
    return found


def _recognised(
    embeddings: pa.Table,
    owners: Mapping[str, Owner],
    gallery: LogoGallery,
    *,
    best: int,
    max_false_accept_rate: float = 1.0,
) -> Iterator[tuple[Owner, list[Likeness]]]:
    """The ``best`` brands that each of ``owners``, of one track or several, resembles by the views of its tracks."""
    rows: defaultdict[Owner, list[int]] = defaultdict(list)
    for row, track in enumerate(embeddings["track_id"].to_pylist()):
        if track in owners:
            rows[owners[track]].append(row)
    of_owner = list(rows.items())
    for start in range(0, len(of_owner), AT_ONCE):
        some = of_owner[start : start + AT_ONCE]
        vectors = vectors_of(embeddings, [row for _, own in some for row in own])
        number = np.repeat(np.arange(len(some)), [len(own) for _, own in some])
        found = gallery.recognise(vectors, number, best=best, max_false_accept_rate=max_false_accept_rate)
        yield from ((owner, likenesses) for (owner, _), likenesses in zip(some, found, strict=True) if likenesses)


def _clear(regions: RegionColumns, names: Sequence[str], side_px: float) -> set[str]:
    """The tracks with a region sharp and large enough to be matched by embedding."""
    clear = (np.minimum(regions.w, regions.h) >= side_px) & (regions.sharpness >= BLURRED)
    tracks: list[int] = np.unique(regions.track[clear]).tolist()
    return {names[track] for track in tracks}


def _is_possible(best: Likeness, text: str) -> bool:
    """Whether ``text``, read on the logo itself, is compatible with the brand."""
    key = fold(key_of(text))
    if sum(c.isalpha() for c in key) < LEGIBLE:
        return True
    return Levenshtein.normalized_similarity(key, fold(key_of(best.brand))) >= SAME_NAME


def _named_near(
    regions: RegionColumns, names: Sequence[str], logos: Set[str], settled: Sequence[Verdict], near: Relation
) -> dict[str, set[str]]:
    """For each track of ``logos``, the brands named by texts ``near`` it on at least half of the shared frames."""
    brands: defaultdict[str, set[str]] = defaultdict(set)
    for verdict in settled:
        for track in verdict.track_ids:
            if verdict.brand_id:
                brands[track].add(verdict.brand_id)
    are_logos = np.array([t in logos for t in names], bool)
    are_named = np.array([t in brands for t in names], bool)
    found: defaultdict[str, set[str]] = defaultdict(set)
    for logo, text, _ in related_tracks(regions, are_logos, are_named, near):
        found[names[logo]] |= brands[names[text]]
    return found


def _parts(regions: RegionColumns, names: Sequence[str], matched: Mapping[str, Likeness]) -> set[str]:
    """The tracks inside or around one that matches another brand with fewer false accepts."""
    are_matched = np.array([t in matched for t in names], bool)
    found = set()
    for one, other, _ in related_tracks(regions, are_matched, are_matched, contains):
        a, b = matched[names[one]], matched[names[other]]
        if a.brand_id != b.brand_id and a.false_accept_rate > b.false_accept_rate:
            found.add(names[one])
    return found


def _verdict(track: str, best: Likeness, text: str, embedder: str) -> Verdict:
    return Verdict(
        verdict_id=content_id(Stage.match_brands, track, best.brand_id, "logo"),
        track_ids=(track,),
        brand_id=best.brand_id,
        brand=best.brand,
        rule=Rule.logo_match,
        score=1 - best.false_accept_rate,
        confidence=best.probability,
        text=text,
        matched=best.exemplar_id,
        decided_by=Stage.match_brands,
        model=embedder,
    )
