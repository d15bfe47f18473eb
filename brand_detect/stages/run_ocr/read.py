"""Reads the best crops of every track and votes on its text.

Crops are ranked by area times sharpness and read in that order until a reading is certain. No reading is certain in a
track whose regions change their proportions, so all of its chosen crops are read.
The vote is over whole strings, compared without case and spaces: a string's weight is the sum, over all readings, of
their confidence times their similarity to it (a weighted median string), so that "oppo" wins over "ppo" and "Voppo".
Among a string's spellings the one with the highest confidence wins.

Of several tracks that show the same (module ``reuse``), the best crop of all is read first. If that reading is certain
and has no digits, the other tracks take it over; if not, each is read itself.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.run_ocr import READINGS, STEPS, TEXTS, RunOcrParams, TrackTexts, row_of_steps
from brand_detect.domain.geometry import lengthened, side_lengths, upright_sided
from brand_detect.domain.protocols import FrameReader, Image, ImageCodec, Progress, TextReader
from brand_detect.domain.tables import Row, table
from brand_detect.stages.regions import quads_of
from brand_detect.stages.run_ocr.reuse import tracks_alike
from brand_detect.stages.similarity import MEASURED_WITH
from brand_detect.stages.views import best_views

REUSED_CONFIDENCE = 0.98  # of a reading that other tracks take over; ``reuse`` has the measurement
PER_100 = ("lines_read", "lines_reused")  # figures of ``stats``
BATCH_TRACKS = 256  # tracks whose crops wait in memory: a network prepares itself once per batch for each width of crop
SAME_SHAPE = 1.1  # largest ratio of proportions (length / height) among unoccluded views of one line
END_MARGIN = 0.2  # of the height: detectors cut into the first and last letter, especially on a busy background


@dataclass
class _Reading:
    region_id: str
    frame: int
    text: str
    confidence: float
    char_positions: list[float] | None
    read_in: str | None = None


@dataclass
class _Crop:
    rank: int  # 0 = best
    region_id: str
    frame: int
    margin: float  # at each end, as a share of the region's length
    pixels: Image


@dataclass
class _Track:
    """A track, its crops while they wait for the reader, its readings, and their steps."""

    track_id: str
    steady: bool  # whether all of its regions have about the same proportions
    crops: list[_Crop] = field(default_factory=list)
    readings: list[_Reading] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)  # rows of STEPS


def run_ocr(
    detected: DetectedObjects,
    params: RunOcrParams,
    *,
    frames: FrameReader,
    codec: ImageCodec,
    reader: TextReader,
    progress: Progress,
) -> TrackTexts:
    """Reads every text track; a track without a legible reading has no row in ``texts``.

    ``readings`` holds all readings, including those under ``min_confidence``, which have no vote. Both tables are
    ordered by track. ``stats``: ``text_tracks``, ``frames_decoded``, ``lines_read`` and ``lines_reused`` (tracks that
    took over a reading), these two also per 100 tracks.
    """
    views = _best(detected.regions, params.max_crops)
    tracks = {view["track_id"]: _Track(view["track_id"], view["steady"]) for view in views}
    read = partial(_read, tracks, params=params, frames=frames, codec=codec, reader=reader, progress=progress)
    best = {view["track_id"]: view for view in views if view["rank"] == 0}
    steady = [view for view in best.values() if view["steady"]]
    measured = detected.embedder.startswith(MEASURED_WITH)
    instead = tracks_alike(steady, detected.embeddings) if params.reuse_readings and measured else {}
    leaders = set(instead.values())
    first = [view for view in best.values() if view["track_id"] in leaders]
    n_first = read(first)
    known = {track: tracks[track].readings[0] for track in leaders if _speaks_for_others(tracks[track], params)}
    reused = {track: known[leader] for track, leader in instead.items() if leader in known}
    settled = reused.keys() | {track for track in leaders if _certain(tracks[track], params.stop_confidence)}
    rest = [v for v in views if v["track_id"] not in settled and (v["rank"] or v["track_id"] not in leaders)]
    n_rest = read(rest, decoded=n_first)
    lines_read = sum(len(track.readings) for track in tracks.values())
    for track, reading in reused.items():
        own = {"region_id": best[track]["region_id"], "frame": best[track]["seen_on"]}
        tracks[track].readings.append(replace(reading, **own, read_in=instead[track]))
        if tracks[instead[track]].steps:  # what is taken over is certain
            tracks[track].steps.append(row_of_steps(best[track]["region_id"], ()))
    ordered = [tracks[track] for track in sorted(tracks)]
    return TrackTexts(
        readings=table(READINGS, [{"track_id": t.track_id, **vars(r)} for t in ordered for r in t.readings]),
        texts=table(TEXTS, [row for track in ordered for row in _vote(track, params.min_confidence)]),
        steps=table(STEPS, [row for track in ordered for row in track.steps]),
        stats=_costs(len(tracks), lines_read=lines_read, lines_reused=len(reused), frames_decoded=n_first + n_rest),
    )


def _costs(text_tracks: int, **counts: int) -> dict[str, float]:
    """The ``stats``: the counts, and those of ``PER_100`` per 100 tracks."""
    rates = {f"{name}_per_100_tracks": round(100 * counts[name] / max(1, text_tracks), 1) for name in PER_100}
    return {"text_tracks": float(text_tracks), **{name: float(n) for name, n in counts.items()}, **rates}


def _read(
    tracks: Mapping[str, _Track],
    views: Sequence[Row],
    *,
    params: RunOcrParams,
    frames: FrameReader,
    codec: ImageCodec,
    reader: TextReader,
    progress: Progress,
    decoded: int = 0,
) -> int:
    """Reads ``views``, rows of ``_best``, into their tracks; returns how many frames that took.

    ``decoded`` frames were decoded before.
    """
    missing = Counter(view["track_id"] for view in views)
    ready: list[_Track] = []
    numbers = list(dict.fromkeys(view["seen_on"] for view in views))
    images = frames.in_order(numbers)
    for done, (frame, crops) in enumerate(groupby(views, key=lambda view: view["seen_on"])):
        progress(decoded + done, decoded + len(numbers), "frames")
        image = next(images)
        for view in crops:
            track = tracks[view["track_id"]]
            quad, margin = _cut(view["quad"], view["rank"])
            pixels = codec.rectify(image, quad.astype(np.float32))
            track.crops.append(_Crop(view["rank"], view["region_id"], frame, margin, pixels))
            missing[track.track_id] -= 1
            if not missing[track.track_id]:
                ready.append(track)
        if len(ready) >= BATCH_TRACKS or done + 1 == len(numbers):
            _read_crops(ready, params, reader)
            ready.clear()
    progress(decoded + len(numbers), decoded + len(numbers), "frames")
    return len(numbers)


def _cut(quad: Sequence[float], rank: int) -> tuple[NDArray[np.float64], float]:
    """The quad to cut out, and the margin at each end; varied from crop to crop for the sake of the vote.

    A tilted line is cut alternately with upright sides and as it is, any other with and without a margin at its ends.
    """
    corners = np.reshape(np.asarray(quad, np.float64), (4, 2))
    if rank % 2:
        return corners, 0.0
    if (upright := upright_sided(corners)) is not None:
        return upright, 0.0
    longer = lengthened(corners, END_MARGIN)
    (before,), (after,) = (side_lengths(q[None])[0] for q in (corners, longer))
    return longer, (after / max(before, 1e-9) - 1) / 2


def _best(regions: pa.Table, n: int) -> list[Row]:
    """The crops that may be read, by frame; ``steady`` is as in ``_steady``."""
    text = regions.filter(pc.field("kind") == "text")
    steady = _steady(text)
    return [view | {"steady": steady[view["track_id"]]} for view in best_views(text, n).to_pylist()]


def _steady(text: pa.Table) -> dict[str, bool]:
    """Whether the regions of each track have about the same proportions.

    If not, a person passes in front of the line, and a crop cut short or widened by a sleeve may give a wrong word
    with high confidence.
    """
    names, track = np.unique(text["track_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    quads = quads_of(text)
    length, height = (np.linalg.norm(quads[:, k] - quads[:, 0], axis=1) for k in (1, 3))
    proportion = length / np.maximum(height, 1e-6)
    narrowest, widest = np.full(len(names), np.inf), np.zeros(len(names))
    np.minimum.at(narrowest, track, proportion)
    np.maximum.at(widest, track, proportion)
    return dict(zip(names.tolist(), (widest <= SAME_SHAPE * narrowest).tolist(), strict=True))


def _read_crops(tracks: Sequence[_Track], params: RunOcrParams, reader: TextReader) -> None:
    """Reads the best crop of all tracks, then the next of those without a certain reading; drops the crops."""
    for track in tracks:
        track.crops.sort(key=lambda c: -c.rank)
    while unsure := [t for t in tracks if t.crops and not _certain(t, params.stop_confidence)]:
        crops = [track.crops.pop() for track in unsure]
        read = reader.read([crop.pixels for crop in crops])
        for track, crop, reading in zip(unsure, crops, read, strict=True):
            char_positions = [letter * (1 + 2 * crop.margin) - crop.margin for letter in reading.char_positions] or None
            track.readings.append(
                _Reading(crop.region_id, crop.frame, reading.text, reading.confidence, char_positions)
            )
            if reading.text and reading.steps is not None:
                track.steps.append(row_of_steps(crop.region_id, reading.steps))
    for track in tracks:
        track.crops.clear()


def _certain(track: _Track, confidence: float) -> bool:
    """Whether a steady track has a reading of at least ``confidence``."""
    return track.steady and any(r.text and r.confidence >= confidence for r in track.readings)


def _speaks_for_others(track: _Track, params: RunOcrParams) -> bool:
    """Whether tracks that look the same may take over the reading of this one's best crop.

    Not if it has a digit: the next second of a clock hardly changes its look.
    """
    certain = _certain(track, max(params.stop_confidence, REUSED_CONFIDENCE))
    return certain and not any(character.isdigit() for character in track.readings[0].text)


def _vote(track: _Track, min_confidence: float) -> list[Row]:
    """The track's row of TEXTS, or none."""
    legible = [r for r in track.readings if r.text and r.confidence >= min_confidence]
    if not legible:
        return []
    groups: dict[str, list[_Reading]] = {}
    for reading in sorted(legible, key=lambda r: -r.confidence):
        groups.setdefault("".join(reading.text.casefold().split()), []).append(reading)
    shares = {key: sum(r.confidence for r in group) for key, group in groups.items()}
    weights = {a: sum(share * Levenshtein.normalized_similarity(a, b) for b, share in shares.items()) for a in groups}
    ranked = sorted(groups, key=lambda key: -weights[key])
    winner = groups[ranked[0]][0]
    return [
        {
            "track_id": track.track_id,
            "text": winner.text,
            "confidence": winner.confidence,
            "agreement": shares[ranked[0]] / max(sum(shares.values()), 1e-9),
            "n_readings": len(track.readings),
            "alternatives": [groups[key][0].text for key in ranked[1:]],
        }
    ]
