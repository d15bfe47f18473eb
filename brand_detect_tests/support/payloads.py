"""Small builders of valid payloads with known truth, for tests of single stages.

The video of these payloads is sampled at ``fps`` from 0 on; sample ``i`` stands at ``i / fps`` and its cell reaches
half a sample to both sides, but no further than the cuts and the range.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from brand_detect.domain.contracts.detect_objects import CAMERA_MOTION, REGIONS, TRACKS, DetectedObjects
from brand_detect.domain.contracts.extract_frames import FRAMES, SIGNALS, THUMBNAIL_SHAPE, ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import DUPLICATE, KEYFRAME, SHOTS, TIMELINE, FilteredScenes
from brand_detect.domain.contracts.run_ocr import READINGS, STEPS, TEXTS, TrackTexts
from brand_detect.domain.contracts.verdicts import (
    ANSWERS,
    UNRESOLVED,
    VERDICTS,
    Answer,
    AnswerStatus,
    BrandVerdicts,
    Cluster,
    Reason,
    Rule,
    Verdict,
)
from brand_detect.domain.job import JobRequest, Probe
from brand_detect.domain.tables import table

Box = tuple[float, float, float, float]  # x, y, width, height in px


BUSY = bytes(97 * i % 251 for i in range(THUMBNAIL_SHAPE[0] * THUMBNAIL_SHAPE[1]))  # no plain picture


def row(schema: pa.Schema, **values: Any) -> dict[str, Any]:
    """A row of ``schema``: ``values``, and nothing else: "", 0, false or empty."""
    nothing = ((pa.types.is_string, ""), (pa.types.is_boolean, False), (pa.types.is_list, []))
    blank = {field.name: next((v for is_it, v in nothing if is_it(field.type)), 0) for field in schema}
    return blank | values


def request(duration_s: float = 10.0, **changes: Any) -> JobRequest:
    probe = Probe(
        duration_s=duration_s,
        width_px=1920,
        height_px=1080,
        fps=25.0,
        rotation_deg=0,
        codec="h264",
        pix_fmt="yuv420p",
        container="mov,mp4",
    )
    values: dict[str, Any] = {
        "job_id": "match-0a1b2c3d",
        "video_uri": "/videos/match.mp4",
        "video_sha256": "0a1b2c3d" * 8,
        "video_bytes": 123_456_789,
        "profile": "default",
        "overrides": {},
        "probe": probe,
    }
    return JobRequest(**(values | changes))


def frames(n: int = 20, fps: float = 2.0, size: tuple[int, int] = (1920, 1080)) -> ExtractedFrames:
    """``n`` frames; the sampled range ends one sample after the last of them."""
    rows = [
        {
            "frame": i,
            "frame_id": f"frame-{i}",
            "t_s": i / fps,
            "width_px": size[0],
            "height_px": size[1],
            "shard": "frames-00000.bin",
            "offset": i * 1000,
            "size_bytes": 1000,
            "crc32": 0,
            "quality": 90,
            "repeats": None,
            "luma_mean": 120.0,
            "luma_std": 50.0,
            "phash": i,
            "thumbnail": BUSY,
        }
        for i in range(n)
    ]
    return ExtractedFrames(table(FRAMES, rows), table(SIGNALS), start_s=0.0, end_s=n / fps)


def scenes(
    extracted: ExtractedFrames, cuts: Sequence[float] = (), dropped: Mapping[int, int | str] | None = None
) -> FilteredScenes:
    """Shots that begin at 0 and at each of ``cuts``; ``dropped`` maps a frame to the one that stands for it,
    or to ``model.BLACK`` or ``model.BLANK``."""
    dropped = dropped or {}
    times = extracted.frames["t_s"].to_numpy()
    starts = [extracted.start_s, *cuts]
    ends = [*cuts, extracted.end_s]
    shot_of = np.searchsorted(np.array(cuts), times, side="right")
    rows = []
    for i, t in enumerate(times):
        fate = dropped.get(i, i)
        dark = isinstance(fate, str)
        lower = starts[shot_of[i]] if i == 0 or shot_of[i - 1] != shot_of[i] else (times[i - 1] + t) / 2
        upper = ends[shot_of[i]] if i == len(times) - 1 or shot_of[i + 1] != shot_of[i] else (t + times[i + 1]) / 2
        rows.append(
            {
                "frame": i,
                "frame_id": f"frame-{i}",
                "t_s": t,
                "start_s": lower,
                "end_s": upper,
                "shot": int(shot_of[i]),
                "status": fate if dark else KEYFRAME if fate == i else DUPLICATE,
                "keyframe": None if dark else fate,
                "hamming": None if dark else 0 if fate == i else 3,
            }
        )
    n_frames = Counter(r["shot"] for r in rows)
    n_keyframes = Counter(r["shot"] for r in rows if r["status"] == KEYFRAME)
    shots = [
        {
            "shot": k,
            "start_s": start,
            "end_s": end,
            "n_frames": n_frames[k],
            "n_keyframes": n_keyframes[k],
        }
        for k, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
    return FilteredScenes(table(SHOTS, shots), table(TIMELINE, rows))


def region(frame: int, track: str, box: Box = (100, 100, 200, 50), **changes: Any) -> dict[str, Any]:
    """A region on a frame of 1920 x 1080 px, upright unless ``quad`` says otherwise."""
    x, y, w, h = box
    row: dict[str, Any] = {
        "region_id": f"{track}@{frame}",
        "track_id": track,
        "frame": frame,
        "seen_on": [frame],
        "kind": "text",
        "label": "",
        "score": 0.9,
        "quad": [x, y, x + w, y, x + w, y + h, x, y + h],
        "x_px": x,
        "y_px": y,
        "w_px": w,
        "h_px": h,
        "area_frac": w * h / (1920 * 1080),
        "sharpness": 100.0,
        "contrast": 0.2,
        "crop_hash": 7,
        "at_edge": x <= 0 or y <= 0 or x + w >= 1920 or y + h >= 1080,
        "origin": "detected",
        "glyph_boxes": [],
    }
    return row | changes


def detected(
    regions: Iterable[Mapping[str, Any]],
    scenes: FilteredScenes,
    overlays: Iterable[str] = (),
    pan_px: Mapping[int, float] | None = None,
) -> DetectedObjects:
    """``regions`` and the tracks that follow from them, those of ``overlays`` marked so.

    ``pan_px`` is by how much the picture moved to the right since the keyframe before, by frame; without it, the
    camera stands still.
    """
    rows, overlays = list(regions), set(overlays)
    cells = {r["frame"]: r for r in scenes.timeline.to_pylist()}
    tracks = []
    by_track: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_track[row["track_id"]].append(row)
    for track_id, own in by_track.items():
        seen = [cells[r["frame"]] for r in own]
        tracks.append(
            {
                "track_id": track_id,
                "shot": seen[0]["shot"],
                "kind": own[0]["kind"],
                "label": own[0]["label"],
                "start_s": min(c["start_s"] for c in seen),
                "end_s": max(c["end_s"] for c in seen),
                "n_regions": len(own),
                "score": sum(r["score"] for r in own) / len(own),
                "area_frac": sum(r["area_frac"] for r in own) / len(own),
                "is_overlay": track_id in overlays,
            }
        )
    motion, shot = [], -1
    for cell in scenes.timeline.to_pylist():
        if cell["status"] == KEYFRAME:
            pan = [1, 0, (pan_px or {}).get(cell["frame"], 0), 0, 1, 0, 0, 0, 1]
            known = cell["shot"] == shot
            motion.append(
                {"frame": cell["frame"], "transform": pan if known else None, "agreement": 0.95 if known else None}
            )
            shot = cell["shot"]
    return DetectedObjects(table(REGIONS, rows), table(TRACKS, tracks), camera_motion=table(CAMERA_MOTION, motion))


def text(track: str, text: str, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "track_id": track,
        "text": text,
        "confidence": 0.95,
        "agreement": 1.0,
        "n_readings": 1,
        "alternatives": [],
    }
    return row | changes


def reading(
    region: Mapping[str, Any], text: str, confidence: float = 0.95, char_positions: Sequence[float] | None = None
) -> dict[str, Any]:
    return {
        "track_id": region["track_id"],
        "region_id": region["region_id"],
        "frame": region["frame"],
        "text": text,
        "confidence": confidence,
        "char_positions": char_positions,
        "read_in": None,
    }


def texts(
    rows: Iterable[Mapping[str, Any]],
    readings: Iterable[Mapping[str, Any]] = (),
    steps: Iterable[Mapping[str, Any]] = (),
) -> TrackTexts:
    return TrackTexts(table(READINGS, readings), table(TEXTS, rows), table(STEPS, steps))


def verdict(brand: str, tracks: Sequence[str], **changes: Any) -> dict[str, Any]:
    """A resolved verdict whose text is exactly the brand's name."""
    made = Verdict(
        verdict_id=f"{brand}:{'+'.join(tracks)}",
        track_ids=tuple(tracks),
        brand_id=brand.lower(),
        brand=brand,
        rule=Rule.exact,
        confidence=0.9,
        text=brand,
        matched=brand,
        decided_by="match_brands",
    )
    return vars(made) | changes


def cluster(rank: int, text: str, best: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """An unresolved cluster of one track whose best crop is the region ``best``."""
    made = Cluster(
        cluster_id=f"cluster-{rank}",
        rank=rank,
        text=text,
        track_ids=(best["track_id"],),
        n_regions=1,
        seconds=1.0,
        area_frac=best["area_frac"],
        crop_hashes=(best["crop_hash"],),
        best_region_id=best["region_id"],
        reason=Reason.no_rule,
    )
    return vars(made) | changes


def answer(cluster_id: str, status: AnswerStatus = AnswerStatus.answered, **changes: Any) -> dict[str, Any]:
    """What a model answered about a cluster, to a question of its own."""
    made = Answer(
        cluster_id,
        status,
        confidence=0.9,
        input_tokens=100,
        output_tokens=20,
        latency_s=0.1,
        logo_type="wordmark",
        placement="board",
        provider="openai_compatible",
        model="llava",
        prompt_version="1",
        question_id=f"question about {cluster_id}",
        asked_at="2026-05-01T12:00:00+00:00",
    )
    return {**made.row, **changes}


def verdicts(
    rows: Iterable[Mapping[str, Any]],
    unresolved: Iterable[Mapping[str, Any]] = (),
    answers: Iterable[Mapping[str, Any]] = (),
) -> BrandVerdicts:
    return BrandVerdicts(table(VERDICTS, rows), table(UNRESOLVED, unresolved), table(ANSWERS, answers))
