"""The report's summary: facts as JSON, in addition to its tables."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from brand_detect.domain import timeline
from brand_detect.domain.contracts.compile_report import CompileReportParams, Exposure
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import BLACK, BLANK, DUPLICATE, KEYFRAME, FilteredScenes
from brand_detect.domain.contracts.verdicts import BrandVerdicts, VerdictStatus
from brand_detect.domain.quality import QualityScale
from brand_detect.domain.tables import Row


def summary(
    frames: ExtractedFrames,
    scenes: FilteredScenes,
    detected: DetectedObjects,
    verdicts: BrandVerdicts,
    n_detections: int,
    scale: QualityScale,
    params: CompileReportParams,
    statistics: Mapping[str, Any],
) -> dict[str, Any]:
    """Facts about the report as JSON: range, sampling and its error, counts, what each stage resolved, models, run."""
    statuses = Counter(scenes.timeline["status"].to_pylist())
    models = model_usage(verdicts.answers)
    return {
        "range_s": [frames.start_s, frames.end_s],
        "sampling": _sampling(frames),
        "quality": {"name": params.quality, "digest": scale.digest, **scale.model_dump()},
        "media_value": _media(params, scale) if params.media_rate else None,
        "shots_s": [[row["start_s"], row["end_s"]] for row in scenes.shots.to_pylist()],
        "counts": {
            "frames_sampled": frames.frames.num_rows,
            "keyframes": statuses[KEYFRAME],
            **{f"frames_{status}": statuses[status] for status in (DUPLICATE, BLACK, BLANK)},
            "shots": scenes.shots.num_rows,
            "regions": detected.regions.num_rows,
            "tracks": detected.tracks.num_rows,
            "clusters_unresolved": verdicts.unresolved.num_rows,
            "detections": n_detections,
        },
        "tracks_resolved_by": _tracks_by_stage(verdicts.verdicts, VerdictStatus.resolved),
        "tracks_ignored_by": _tracks_by_stage(verdicts.verdicts, VerdictStatus.ignored),
        "models": models,
        "run": {**statistics, "cost_usd": sum(row["cost_usd"] for row in models)},
    }


def _sampling(frames: ExtractedFrames) -> dict[str, Any]:
    times = frames.frames["t_s"].to_numpy()
    interval = float(np.median(np.diff(times))) if len(times) > 1 else frames.end_s - frames.start_s
    return {
        "interval_s": round(interval, 6),
        "edge_error_s": round(interval / 2, 6),
        "statement": (
            f"Frames were sampled every {interval:.2f} s. A start or end that is no cut, and was not found on the "
            f"pictures between two samples, is therefore known to ±{interval / 2:.2f} s, and brands on screen for less "
            f"than {interval:.2f} s may be missing."
        ),
    }


def _tracks_by_stage(verdicts: pa.Table, status: VerdictStatus) -> dict[str, int]:
    """Number of tracks with a verdict of ``status``, by stage."""
    rows = verdicts.filter(pc.field("status") == status).select(["decided_by", "track_ids"]).to_pylist()
    pairs = {(track, row["decided_by"]) for row in rows for track in row["track_ids"]}
    return dict(sorted(Counter(stage for _, stage in pairs).items()))


def _media(params: CompileReportParams, scale: QualityScale) -> dict[str, Any]:
    counts = ", ".join(
        f"{100 * area:g} % counts as {scale.media_factor(area, 1.0):.2f}" for area in (0.0005, 0.01, 0.1)
    )
    return {
        "currency": params.media_currency,
        "rate_per_30_s": params.media_rate,
        "formula": "rate / 30 s × seconds × mean factor",
        "assumption": (
            f"factor = share of the picture to the power {scale.media.size_exponent:g} × quality. At quality 1, "
            f"{counts}, the whole picture as 1. If the factors of all brands on screen sum to more than 1, all are "
            "reduced in proportion."
        ),
    }


def model_usage(answers: pa.Table) -> list[dict[str, Any]]:
    """Questions to each model and their cost. Remembered answers cost nothing again.

    ``remembered_usd`` is the original cost of the remembered answers, equal questions counted once.
    """
    groups: defaultdict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in answers.to_pylist():
        groups[row["provider"], row["model"], row["prompt_version"]].append(row)
    found = []
    for (provider, model, prompt), rows in groups.items():
        new = [row for row in rows if not row["remembered"]]  # deferred questions may have a cost too
        put = [row for row in new if row["status"] != "deferred"]
        known = {row["question_id"]: row["cost_usd"] for row in rows if row["remembered"]}
        found.append(
            {
                "provider": provider,
                "model": model,
                "prompt_version": prompt,
                "questions": len(put),
                "remembered": sum(row["remembered"] for row in rows),
                "answers": dict(sorted(Counter(row["status"] for row in rows).items())),
                **{c: sum(row[c] for row in new) for c in ("input_tokens", "output_tokens", "cost_usd")},
                "remembered_usd": sum(usd for i, usd in known.items() if i not in {row["question_id"] for row in new}),
                "latency_mean_s": sum(row["latency_s"] for row in put) / len(put) if put else 0.0,
            }
        )
    return found


def stats(exposures: Sequence[Exposure], n_corrections: int) -> dict[str, float]:
    """Key figures for comparing attempts."""
    seconds = sum(e.seconds for e in exposures)
    return {
        "brand_seconds": round(seconds, 3),
        "any_brand_s": round(timeline.union_seconds([(e.start_s, e.end_s) for e in exposures]), 3),
        "quality_mean": round(sum(e.quality * e.seconds for e in exposures) / seconds, 4) if seconds else 0.0,
        "corrections": n_corrections,
    }
