"""Reads the best crops of every track and votes on its text.

Crops are ranked by area times sharpness and read in that order until a reading is certain. No reading is certain in a
track whose regions change their proportions, so all of its chosen crops are read.
The vote is over whole strings, compared without case and spaces: a string's weight is the sum, over all readings, of
their confidence times their similarity to it (a weighted median string), so that "oppo" wins over "ppo" and "Voppo".
Among a string's spellings the one with the highest confidence wins.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.run_ocr import READINGS, TEXTS, RunOcrParams, TrackTexts
from brand_detect.domain.geometry import lengthened, side_lengths, upright_sided
from brand_detect.domain.protocols import FrameReader, Image, ImageCodec, Progress, TextReader
from brand_detect.domain.tables import Row, table
from brand_detect.stages.views import best_views

BATCH_TRACKS = 64  # tracks whose crops wait in memory for the reader
SAME_SHAPE = 1.1  # largest ratio of proportions (length / height) among unoccluded views of one line
END_MARGIN = 0.2  # of the height: detectors cut into the first and last letter, especially on a busy background


@dataclass
class _Reading:
    region_id: str
    frame: int
    text: str
    confidence: float
    char_positions: list[float] | None


@dataclass
class _Crop:
    rank: int  # 0 = best
    region_id: str
    frame: int
    steady: bool  # whether all of the track's regions have about the same proportions
    margin: float  # at each end, as a share of the region's length
    pixels: Image


@dataclass
class _Track:
    """A track whose crops are being collected."""

    track_id: str
    missing: int
    crops: list[_Crop] = field(default_factory=list)
    readings: list[_Reading] = field(default_factory=list)


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

    ``readings`` holds all readings, including those under ``min_confidence``, which have no vote. Each frame with a
    chosen crop is decoded once, in order. ``stats``: ``lines_read`` and ``frames_decoded``.
    """
    chosen = _best(detected.regions, params.max_crops)
    tracks = {track_id: _Track(track_id, n) for track_id, n in Counter(c["track_id"] for c in chosen).items()}
    readings: list[Row] = []
    texts: list[Row] = []
    ready: list[_Track] = []

    def flush() -> None:
        _read(ready, params, reader)
        for track in ready:
            readings.extend({"track_id": track.track_id, **vars(r)} for r in track.readings)
            texts.extend(_vote(track, params.min_confidence))
        ready.clear()

    to_decode = len({c["seen_on"] for c in chosen})
    for done, (frame, crops) in enumerate(groupby(chosen, key=lambda c: c["seen_on"])):
        progress(done, to_decode, "frames")
        image = frames.read(frame)
        for crop in crops:
            track = tracks[crop["track_id"]]
            quad, margin = _cut(crop["quad"], crop["rank"])
            pixels = codec.rectify(image, quad.astype(np.float32))
            track.crops.append(_Crop(crop["rank"], crop["region_id"], frame, crop["steady"], margin, pixels))
            track.missing -= 1
            if not track.missing:
                ready.append(tracks.pop(crop["track_id"]))
        if len(ready) >= BATCH_TRACKS:
            flush()
    flush()
    progress(to_decode, to_decode, "frames")
    return TrackTexts(
        readings=table(READINGS, readings),
        texts=table(TEXTS, texts),
        stats={"lines_read": float(len(readings)), "frames_decoded": float(to_decode)},
    )


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
    quads = text["quad"].combine_chunks().flatten().to_numpy().reshape(-1, 4, 2)
    length, height = (np.linalg.norm(quads[:, k] - quads[:, 0], axis=1) for k in (1, 3))
    proportion = length / np.maximum(height, 1e-6)
    narrowest, widest = np.full(len(names), np.inf), np.zeros(len(names))
    np.minimum.at(narrowest, track, proportion)
    np.maximum.at(widest, track, proportion)
    return dict(zip(names.tolist(), (widest <= SAME_SHAPE * narrowest).tolist(), strict=True))


def _read(tracks: Sequence[_Track], params: RunOcrParams, reader: TextReader) -> None:
    """Reads crop by crop, all tracks together; stops at the first certain reading of a track."""
    for track in tracks:
        track.crops.sort(key=lambda c: c.rank)
    for rank in range(params.max_crops):
        open_tracks = [t for t in tracks if rank < len(t.crops) and not _certain(t, params.stop_confidence)]
        if not open_tracks:
            return
        for track, reading in zip(open_tracks, reader.read([t.crops[rank].pixels for t in open_tracks]), strict=True):
            crop = track.crops[rank]
            char_positions = [letter * (1 + 2 * crop.margin) - crop.margin for letter in reading.char_positions] or None
            track.readings.append(
                _Reading(crop.region_id, crop.frame, reading.text, reading.confidence, char_positions)
            )


def _certain(track: _Track, confidence: float) -> bool:
    """Whether a steady track has a reading of at least ``confidence``."""
    return track.crops[0].steady and any(r.text and r.confidence >= confidence for r in track.readings)


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
