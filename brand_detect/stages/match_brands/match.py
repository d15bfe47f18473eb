"""Matches tracks to brands by text and by logo, and clusters the unresolved ones."""

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import pairwise

import pyarrow as pa

from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.run_ocr import TrackTexts
from brand_detect.domain.contracts.verdicts import (
    ANSWERS,
    UNRESOLVED,
    VERDICTS,
    BrandVerdicts,
    Cluster,
    Rule,
    Verdict,
    VerdictStatus,
)
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.protocols import BrandIndex, Hit, LogoGallery
from brand_detect.domain.tables import Row, content_id, table
from brand_detect.domain.timeline import shown_seconds
from brand_detect.stages.match_brands.clustering import Clustering, tracks_to_list
from brand_detect.stages.match_brands.joining import Join, join_around_occluders, join_neighbours
from brand_detect.stages.match_brands.lexicon import LexiconMatcher
from brand_detect.stages.match_brands.logos import cluster_likenesses, logo_verdicts
from brand_detect.stages.match_brands.matching import (
    Chance,
    Match,
    Reading,
    TextMatcher,
    names_spelled_out,
    readings_of,
    rows_of,
)
from brand_detect.stages.match_brands.ranking import ranked, with_candidates
from brand_detect.stages.match_brands.reidentification import reidentified
from brand_detect.stages.regions import RegionColumns
from brand_detect.stages.similarity import MEASURED_WITH

NO_LOOKS = "No name is recognised by its looks: what is alike enough is known of the built-in embedder alone."
NO_STEPS = "The reader told no steps of {} of {} lines: names are scored by their texts alone."


def match_brands(
    scenes: FilteredScenes,
    detected: DetectedObjects,
    texts: TrackTexts,
    params: MatchBrandsParams,
    *,
    index: BrandIndex,
    gallery: LogoGallery | None = None,
) -> BrandVerdicts:
    """Gives verdicts for tracks that match a brand, and clusters the others.

    - A track's text is matched first, then similar alternatives, best first. A verdict's confidence is the rule's score
      times the reading's confidence; matches under ``min_confidence`` are dropped.
    - Tracks without a match may match names that other tracks of the video spell out: at ``fuzzy_score_second_pass``,
      or with one run of characters occluded.
    - Neighbouring tracks are matched as one text, in reading order (``join_neighbours``), and those beside an occluder
      as what is left of a name that is spelled out (``join_around_occluders``).
    - Tracks without a verdict, and neighbours among them, are scored against all names by what the reader's network saw
      (``lexicon``); verdicts under ``min_probability`` are dropped.
    - Texts that the catalogue excludes get the status ``ignored`` and are not listed.
    - Tracks without a verdict by text are compared with the logos in ``gallery`` (``logo_verdicts``).
    - Tracks without a verdict that look like one whose name was read are that name (``reidentified``).
    - The remaining tracks are clustered (``Clustering``) and ranked (``ranked``).

    ``stats``: tracks, resolved, by_lexicon, by_looks and by_logo (verdicts by these rules), ignored, not_listed (tracks
    with neither a verdict nor a cluster), lookups (distinct texts looked up).
    """
    tracks = detected.tracks["track_id"].to_pylist()
    regions = RegionColumns(detected.regions, tracks)
    may_be_cut = _at_edge(detected.regions, or_unknown=True)
    read = readings_of(texts)
    readings = {t: read[t] for t in tracks if t in read}
    chance = Chance(index, readings, _at_edge(detected.regions, or_unknown=False))
    matcher = TextMatcher(index, params)
    matches, joins = _matches(tracks, readings, chance, may_be_cut, regions, matcher, params, index)
    verdicts = list(_text_verdicts(tracks, matches, joins, index))
    if params.min_probability < 1:
        verdicts += _lexicon_verdicts(tracks, texts, may_be_cut, chance, regions, matches, verdicts, params, index)
    if gallery is not None:
        verdicts += logo_verdicts(detected, regions, verdicts, matches, params, gallery=gallery)
    if params.min_likeness < 1:
        verdicts += reidentified(detected, matches, verdicts, params)
    settled = {t for v in verdicts for t in v.track_ids}
    unresolved = {t: matches[t].text if t in matches else "" for t in tracks if t not in settled}
    clusters = _clusters(unresolved, scenes, detected, texts, regions, params)
    likenesses = cluster_likenesses(detected, regions, clusters, params, gallery) if gallery else [[]] * len(clusters)
    clusters = list(with_candidates(clusters, likenesses, index))
    ignored = sum(v.status == VerdictStatus.ignored for v in verdicts)  # each covers one track
    return BrandVerdicts(
        verdicts=table(VERDICTS, verdicts),
        unresolved=table(UNRESOLVED, clusters),
        answers=table(ANSWERS),
        notes=_notes(detected, texts, params),
        stats={
            "tracks": float(len(tracks)),
            "resolved": float(len(settled) - ignored),
            "by_lexicon": float(sum(v.rule == Rule.lexicon for v in verdicts)),
            "by_looks": float(sum(v.rule == Rule.reidentified for v in verdicts)),
            "by_logo": float(sum(v.rule == Rule.logo_match for v in verdicts)),
            "ignored": float(ignored),
            "not_listed": float(len(unresolved) - sum(len(c.track_ids) for c in clusters)),
            "lookups": float(matcher.lookups),
        },
    )


def _at_edge(regions: pa.Table, *, or_unknown: bool) -> set[str]:
    """The ids of REGIONS that the picture's edge may cut off; with ``or_unknown`` also where that was not measured."""
    return set(regions["region_id"].filter(regions["at_edge"].fill_null(or_unknown)).to_pylist())


def _notes(detected: DetectedObjects, texts: TrackTexts, params: MatchBrandsParams) -> tuple[str, ...]:
    """A note if names are scored by texts alone, as for Tesseract and for attempts from before steps were stored; and
    one if none is recognised by its looks, because the embedder is not the built-in one."""
    read = {region for region, text in rows_of(texts.readings, "region_id", "text") if text}
    unknown = read.difference(texts.steps["region_id"].to_pylist())
    scored = params.min_probability < 1 and unknown
    others = params.min_likeness < 1 and detected.embedder and not detected.embedder.startswith(MEASURED_WITH)
    return (*((NO_STEPS.format(len(unknown), len(read)),) if scored else ()), *((NO_LOOKS,) if others else ()))


def _matches(
    tracks: Sequence[str],
    readings: Mapping[str, Sequence[Reading]],
    chance: Chance,
    cut: Container[str | None],
    regions: RegionColumns,
    matcher: TextMatcher,
    params: MatchBrandsParams,
    index: BrandIndex,
) -> tuple[dict[str, Match], list[Join]]:
    """The match of each track with a text, and the names that neighbours spell together."""
    matches = matcher.first_pass(readings, chance)
    spelled_out = names_spelled_out(matches) if params.fuzzy_score_second_pass < 1 else {}
    matches |= matcher.second_pass(matches, readings, spelled_out)
    joins = join_neighbours(regions, tracks, matches, matcher, params.min_confidence) if params.join_neighbours else []
    joined = {t for join in joins for t in join.tracks}
    alone = {t: match for t, match in matches.items() if t not in joined}  # joined tracks are already matched
    matches |= matcher.match_occluded(alone, readings, spelled_out, cut)
    if params.join_neighbours:
        left = {
            t: match
            for t, match in matches.items()
            if t in alone and not match.hits and not index.is_excluded(match.text)
        }
        joins += join_around_occluders(regions, tracks, left, spelled_out, index, params)
    return matches, joins


def _clusters(
    unresolved: Mapping[str, str],
    scenes: FilteredScenes,
    detected: DetectedObjects,
    texts: TrackTexts,
    regions: RegionColumns,
    params: MatchBrandsParams,
) -> list[Cluster]:
    """The clusters to list of the ``unresolved`` tracks, by rank."""
    tracks, kinds = (detected.tracks[c].to_pylist() for c in ("track_id", "kind"))
    text_lines = {t for t, kind in zip(tracks, kinds, strict=True) if kind == "text"}
    listed = tracks_to_list(unresolved, text_lines, regions, tracks, params.min_unresolved_letters)
    clustering = Clustering(regions, tracks, shown_seconds(scenes.timeline), texts.readings)
    logos = clustering.logos(
        {track for track, text in listed.items() if not text},
        detected.tracks["score"].to_numpy(),
        detected.embeddings,
        least_s=params.min_unresolved_logo_s,
        most=params.max_unresolved_logos,
    )
    return ranked(clustering.texts({track: text for track, text in listed.items() if text}), logos)


def _text_verdicts(
    tracks: Sequence[str], matches: Mapping[str, Match], joins: Sequence[Join], index: BrandIndex
) -> Iterator[Verdict]:
    """Yields verdicts for excluded texts, for names of single tracks outside joined names, and for joined names."""
    parts: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for join in joins:
        for track, begin, end in join.spans():
            parts[track].append((begin, end))
    with_text = [(track, matches[track]) for track in tracks if track in matches]
    for track, match in with_text:
        if not match.hits and track not in parts and index.is_excluded(match.text):
            yield _excluded(track, match)
    for track, match in with_text:
        for hit in match.hits:
            if all(hit.end <= begin or end <= hit.start for begin, end in parts[track]):
                position = _position(match.reading, hit.start, hit.end)
                yield _verdict((track,), hit, hit.rule, match.text, hit.score * match.confidence, position)
    for join in joins:
        yield _verdict(join.tracks, join.hit, Rule.joined, join.text, join.hit.score * join.confidence, {})


def _lexicon_verdicts(
    tracks: Sequence[str],
    texts: TrackTexts,
    cut: Container[str | None],
    chance: Chance,
    regions: RegionColumns,
    matches: Mapping[str, Match],
    settled: Sequence[Verdict],
    params: MatchBrandsParams,
    index: BrandIndex,
) -> Iterator[Verdict]:
    """Yields verdicts for brands that tracks without one, or neighbours among them, show with ``min_probability``."""
    least = max(params.min_probability, params.min_confidence)
    settled_tracks = {track for verdict in settled for track in verdict.track_ids}
    left = [track for track in tracks if track not in settled_tracks]
    matcher = LexiconMatcher(index, texts, left, cut, names_spelled_out(matches), chance)
    alone = [likely for track in left if (likely := matcher.find(track))]
    found = [likely for likely in alone if likely.probability >= least]
    if params.join_neighbours:
        named = {track for likely in found for track in likely.tracks}
        joins = matcher.find_joined(regions, tracks, set(left) - named)
        found += [likely for likely in joins if likely.probability >= least]
    for likely in found:
        hit, reading = likely.hit, likely.reading
        position = _position(reading, hit.start, hit.end) if len(likely.tracks) == 1 else {}
        yield _verdict(likely.tracks, hit, Rule.lexicon, reading.text, likely.probability, position)


def _position(reading: Reading, start: int, end: int) -> Row:
    """The position of the characters from ``start`` to ``end`` in the region that was read.

    Edges lie halfway between characters, at the ends of the text half the mean distance outside. Empty if the reader
    gave no positions, or read from right to left.
    """
    middles = reading.char_positions
    if len(middles) < 2 or len(middles) != len(reading.text) or any(b < a for a, b in pairwise(middles)):
        return {}
    half = (middles[-1] - middles[0]) / (len(middles) - 1) / 2
    edges = [middles[0] - half, *((a + b) / 2 for a, b in pairwise(middles)), middles[-1] + half]
    first, last = (min(1.0, max(0.0, edges[at])) for at in (start, end))
    return {"line_start": first, "line_end": last, "line_region_id": reading.region_id} if first < last else {}


def _verdict(tracks: tuple[str, ...], hit: Hit, rule: Rule, text: str, confidence: float, position: Row) -> Verdict:
    return Verdict(
        verdict_id=content_id(Stage.match_brands, *tracks, hit.brand_id, hit.start),
        track_ids=tracks,
        brand_id=hit.brand_id,
        brand=hit.brand,
        rule=rule,
        score=hit.score,
        confidence=confidence,
        text=text,
        matched=hit.alias,
        span_start=hit.start / len(text),
        span_end=hit.end / len(text),
        decided_by=Stage.match_brands,
        **position,
    )


def _excluded(track: str, match: Match) -> Verdict:
    return Verdict(
        verdict_id=content_id(Stage.match_brands, track, "excluded"),
        track_ids=(track,),
        status=VerdictStatus.ignored,
        rule=Rule.excluded,
        confidence=match.confidence,
        text=match.text,
        matched=match.text,
        decided_by=Stage.match_brands,
    )
