"""Excerpts: the most informative rows of each stage's tables, for Dagster's metadata."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.run_ocr import TrackTexts
from brand_detect.domain.contracts.verdicts import REASONS, BrandVerdicts, VerdictStatus
from brand_detect.domain.tables import Row
from brand_detect.report.words import short

ROWS = 15
"""Limit of rows per table, because metadata is stored in the event's row."""

Tables = Mapping[str, list[dict[str, Any]]]


def excerpts(value: object) -> Tables:
    """Non-empty tables of at most ``ROWS`` rows, by name; {} for payloads without excerpts."""
    made = EXCERPTS[type(value)](value) if type(value) in EXCERPTS else {}
    return {name: rows[:ROWS] for name, rows in made.items() if rows}


def _scenes(value: FilteredScenes) -> Tables:
    seconds: defaultdict[str, float] = defaultdict(float)
    frames: Counter[str] = Counter()
    for row in value.timeline.select(["status", "start_s", "end_s"]).to_pylist():
        seconds[row["status"]] += row["end_s"] - row["start_s"]
        frames[row["status"]] += 1
    return {
        "frames_by_status": [
            {"status": s, "frames": n, "seconds": round(seconds[s], 2)} for s, n in frames.most_common()
        ]
    }


def _objects(value: DetectedObjects) -> Tables:
    regions = Counter(value.regions["kind"].to_pylist())
    tracks = Counter(value.tracks["kind"].to_pylist())
    overlays = Counter(
        row["kind"] for row in value.tracks.select(["kind", "is_overlay"]).to_pylist() if row["is_overlay"]
    )
    return {
        "regions_by_kind": [
            {"kind": kind, "regions": n, "tracks": tracks[kind], "overlay_tracks": overlays[kind]}
            for kind, n in regions.most_common()
        ]
    }


def _texts(value: TrackTexts) -> Tables:
    rows = value.texts.select(["text", "confidence"]).to_pylist()
    often = Counter(row["text"] for row in rows)
    best = {row["text"]: row["confidence"] for row in sorted(rows, key=lambda r: r["confidence"])}
    return {
        "texts_by_tracks": [
            {"text": short(text), "tracks": n, "confidence": round(best[text], 3)}
            for text, n in often.most_common()
            if text
        ]
    }


def _verdicts(value: BrandVerdicts) -> Tables:
    tracks: Counter[tuple[str, str, str]] = Counter()
    for row in value.verdicts.to_pylist():
        name = row["brand"] if row["status"] == VerdictStatus.resolved else "(no brand)"
        tracks[name, row["rule"], row["decided_by"]] += len(row["track_ids"])
    left = value.unresolved.sort_by("rank").to_pylist()
    answers = Counter((a["provider"], a["model"], a["status"]) for a in value.answers.to_pylist())
    cost: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for a in value.answers.to_pylist():
        cost[a["provider"], a["model"], a["status"]] += 0.0 if a["remembered"] else a["cost_usd"]
    return {
        "verdicts_by_brand": [
            {"brand": short(brand), "rule": rule, "decided_by": by, "tracks": n}
            for (brand, rule, by), n in tracks.most_common()
        ],
        "unresolved_clusters": [
            {
                "rank": row["rank"],
                "text": short(row["text"]),
                "seconds": round(row["seconds"], 2),
                "why": REASONS.get(row["reason"], row["reason"]),
                "resembles": ", ".join(row["candidates"][:3]),
            }
            for row in left
        ],
        "answers_by_model": [
            {"model": f"{key[0]}/{key[1]}", "status": key[2], "answers": n, "cost_usd": round(cost[key], 6)}
            for key, n in answers.most_common()
        ],
    }


def _report(value: Report) -> Tables:
    def row(brand: Row) -> dict[str, Any]:
        figures = (
            "seconds",
            "low_s",
            "high_s",
            "share_of_voice",
            "area_frac_mean",
            "clarity",
            "exclusive_s",
            "quality",
        )
        return {
            "brand": short(brand["brand"]),
            "exposures": brand["n_exposures"],
            **{name: None if brand[name] is None else round(brand[name], 4) for name in figures},
        }

    return {"brands_by_seconds": [row(brand) for brand in value.brands.to_pylist()]}


EXCERPTS: Mapping[type, Callable[[Any], Tables]] = {
    FilteredScenes: _scenes,
    DetectedObjects: _objects,
    TrackTexts: _texts,
    BrandVerdicts: _verdicts,
    Report: _report,
}
