"""Exposures and totals per brand, from the verdicts about tracks.

A brand is on screen during the cells of the keyframes on which one of its tracks has a region, and of the frames
for which those stand. Cells end at cuts, and elsewhere at the middle between two samples, so an edge that is no cut is
known to half a sampling interval.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from brand_detect.domain import timeline
from brand_detect.domain.contracts.compile_report import (
    BRANDS,
    EVIDENCE,
    EXPOSURES,
    REPORT_UNRESOLVED,
    CompileReportParams,
    Overlays,
    Report,
)
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import BLACK, BLANK, DUPLICATE, KEYFRAME, FilteredScenes
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.history import ESCALATIONS
from brand_detect.domain.job import JobRequest
from brand_detect.domain.placements import placement_rules
from brand_detect.domain.quality import QualityScale
from brand_detect.domain.reviews import Review
from brand_detect.domain.tables import Row, content_id, table
from brand_detect.stages.compile_report.corrections import Corrections, Named
from brand_detect.stages.compile_report.detections import BOX, counted, detections
from brand_detect.stages.compile_report.exposures import exposures, totals
from brand_detect.stages.compile_report.placements import placements
from brand_detect.stages.match_brands.logos import mean_embeddings
from brand_detect.stages.match_brands.match import ALIKE_EMBEDDING
from brand_detect.stages.regions import seen_best_on


def compile_report(
    request: JobRequest,
    frames: ExtractedFrames,
    scenes: FilteredScenes,
    detected: DetectedObjects,
    verdicts: BrandVerdicts,
    params: CompileReportParams,
    *,
    scale: QualityScale,
    statistics: Mapping[str, Any],
    reviews: Sequence[Review] = (),
    named: Named = lambda _: None,
) -> Report:
    """The report's tables and summary; ``docs/concepts/metrics.md`` defines every figure.

    How it counts:

    - A *detection* is a brand's box on one keyframe, cut along the text to the span that names the brand; the regions
      of a ``joined`` verdict make one detection together.
    - An *exposure* is the brand on screen without a break: gaps up to ``bridge_s`` inside one shot are bridged, black
      and blank frames never are, and a presence that goes on over a cut is one exposure.
    - ``area_frac`` of an instant is the area of all of the brand's boxes, overlap counted once; means are weighted
      by time and leave bridged gaps out.
    - ``zone`` is the field where the brand's boxes had the most area times time.
    - A brand on overlays (a scoreboard, a channel's bug) counts as any other unless ``overlays`` leaves it out;
      ``overlay_s`` tells the seconds.
    - ``share_of_voice`` is the brand's seconds over the sum of all brands' seconds.
    - ``quality`` and what it is made of are measured by ``scale``.
    - ``media_value`` is the price of the time times ``media_factor``; all brands together never come to more than the
      price of the time itself.

    A verdict without a catalogue id goes by its brand's name. ``statistics`` are JSON facts about the run that the
    payloads do not hold (seconds, engines and params per stage, cost, lineage); they become ``summary["run"]``.
    ``reviews`` are a person's corrections; ``named`` finds the catalogue's brand of a name that they give.
    """
    cells = scenes.timeline.sort_by("frame")
    answers = _decisive(verdicts)
    corrections = Corrections(reviews, verdicts, named)
    candidates = corrections.candidates()
    on = placements(
        detected, frames.frames, _tracks(candidates), _said(verdicts, answers), placement_rules(params.placements)
    )
    found = detections(frames.frames, cells, detected, candidates, params.min_confidence, on, scale)
    corrected = corrections.applied(found, frames.frames, cells)
    found, verdicts = corrected.found, corrected.verdicts
    shown = found if params.overlays is Overlays.include else found.filter(~pc.field("is_overlay"))
    n_left_out, found = found.num_rows - shown.num_rows, counted(shown)
    listed = list(exposures(found, frames.frames, cells, params, scale, request.video_sha256))
    rows = sorted((row for row, _ in listed), key=lambda e: (e["start_s"], e["brand_id"]))
    reported = np.unique(np.concatenate([rows for _, rows in listed])) if listed else np.zeros(0, np.intp)
    rests_on = found.take(reported).sort_by([("frame", "ascending"), ("brand_id", "ascending")])
    rests_on = rests_on.drop_columns("seen_on")
    notes = dict.fromkeys(n for source in (request, scenes, detected, verdicts) for n in source.notes)
    if n_left_out:
        notes[f"{n_left_out} detections on scoreboards, channel bugs and the like are left out."] = None
    notes |= dict.fromkeys(corrected.notes)
    alike = _alike(verdicts.unresolved, detected.regions)
    range_s = (frames.start_s, frames.end_s)
    return Report(
        brands=table(BRANDS, totals(rows, rests_on, cells, scenes.shots, alike, range_s, params)),
        exposures=table(EXPOSURES, rows),
        detections=rests_on,
        unresolved=locate_unresolved(verdicts.unresolved, detected, frames.frames),
        rejected=corrected.rejected,
        evidence=table(EVIDENCE, _evidence(verdicts.verdicts, answers, set(rests_on["verdict_id"].to_pylist()))),
        summary=_summary(frames, scenes, detected, verdicts, rests_on.num_rows, scale, params, statistics)
        | {"reviews": corrected.reviews},
        quality=f"{params.quality} {scale.version} {scale.digest}",
        losses=frames.notes,
        notes=tuple(notes),
        stats=_stats(rows, corrected.reviews),
    )


def _stats(exposures: Sequence[Row], reviews: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What attempts are compared by at a glance."""
    seconds = sum(e["seconds"] for e in exposures)
    return {
        "brand_seconds": round(seconds, 3),
        "any_brand_s": round(timeline.union_seconds([(e["start_s"], e["end_s"]) for e in exposures]), 3),
        "quality_mean": round(sum(e["quality"] * e["seconds"] for e in exposures) / seconds, 4) if seconds else 0.0,
        "corrections": len(reviews),
    }


def _tracks(verdicts: pa.Table) -> list[str]:
    return pc.list_flatten(verdicts["track_ids"]).to_pylist()  # pyright: ignore[reportAttributeAccessIssue]


def _decisive(verdicts: BrandVerdicts) -> dict[str, Row]:
    """The answer that decided each verdict that a model did decide."""
    wanted = set(verdicts.verdicts["verdict_id"].to_pylist())
    found = {}
    for row in verdicts.answers.to_pylist():
        for stage in ESCALATIONS:
            verdict_id = content_id(row["cluster_id"], row["brand_id"], stage)
            if verdict_id in wanted and row["status"] in ("answered", "none"):
                found[verdict_id] = row
    return found


def _said(verdicts: BrandVerdicts, answers: Mapping[str, Row]) -> dict[str, str]:
    """What models say that tracks are on."""
    rows = verdicts.verdicts.select(["verdict_id", "track_ids"]).to_pylist()
    return {
        t: answers[row["verdict_id"]]["placement"]
        for row in rows
        if row["verdict_id"] in answers
        for t in row["track_ids"]
    }


def _evidence(verdicts: pa.Table, answers: Mapping[str, Row], wanted: set[str]) -> Iterator[Row]:
    by_rule = {**dict.fromkeys(("provider", "model", "prompt_version", "reasoning", "placement"), ""), "cost_usd": 0.0}
    for verdict in verdicts.sort_by("verdict_id").to_pylist():
        if verdict["verdict_id"] in wanted:
            answer = answers.get(verdict["verdict_id"], by_rule)
            about = verdict | {name: answer[name] for name in by_rule} | {"n_tracks": len(verdict["track_ids"])}
            yield {name: about[name] for name in EVIDENCE.names} | {"brand_id": about["brand_id"] or about["brand"]}


def _alike(unresolved: pa.Table, regions: pa.Table) -> dict[str, list[int]]:
    """By brand the keyframes with an unresolved cluster that resembles it."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    resembling = [row for row in unresolved.select(["candidates", "track_ids"]).to_pylist() if row["candidates"]]
    wanted = {t for row in resembling for t in row["track_ids"]}
    frames: defaultdict[str, set[int]] = defaultdict(set)
    if wanted:
        for track, frame in zip(*(regions[c].to_pylist() for c in ("track_id", "frame")), strict=True):
            if track in wanted:
                frames[track].add(frame)
    for row in resembling:
        for brand in row["candidates"]:
            found[brand].update(*(frames[t] for t in row["track_ids"]))
    return {brand: sorted(there) for brand, there in found.items()}


def locate_unresolved(unresolved: pa.Table, detected: DetectedObjects, frames: pa.Table) -> pa.Table:
    """REPORT_UNRESOLVED of ``unresolved`` by rank, each with the place of its best crop and its lookalikes."""
    marks, regions = unresolved.sort_by("rank"), detected.regions
    marks = marks.append_column(
        REPORT_UNRESOLVED.field("alike"), pa.array(_twins(marks, detected.embeddings), pa.list_(pa.string()))
    )
    best = pa.table({"region_id": marks["best_region_id"], "row": np.arange(marks.num_rows)})
    places = best.join(regions.select(["region_id", *BOX]).append_column("frame", seen_best_on(regions)), "region_id")
    places = places.join(frames.select(["frame", "t_s"]), "frame").sort_by("row")
    columns = [marks[c] if c in marks.column_names else places[c] for c in REPORT_UNRESOLVED.names]
    return pa.table(columns, names=REPORT_UNRESOLVED.names).cast(REPORT_UNRESOLVED)


def _twins(marks: pa.Table, views: pa.Table) -> list[list[str]]:
    """For each unresolved cluster without text the ids of the others of which a track looks like one of its own."""
    owner = {t: m["cluster_id"] for m in marks.to_pylist() if not m["text"] for t in m["track_ids"]}
    looks = mean_embeddings(views.filter(pc.field("track_id").isin(pa.array(owner, pa.string()))))
    owners, vectors = [owner[t] for t in looks], np.array(list(looks.values()))
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for one, other in np.argwhere(vectors @ vectors.T >= ALIKE_EMBEDDING) if looks else ():
        alike[owners[one]].add(owners[other])
    return [sorted(alike[c] - {c}) for c in marks["cluster_id"].to_pylist()]


def _summary(
    frames: ExtractedFrames,
    scenes: FilteredScenes,
    detected: DetectedObjects,
    verdicts: BrandVerdicts,
    n_detections: int,
    scale: QualityScale,
    params: CompileReportParams,
    statistics: Mapping[str, Any],
) -> dict[str, Any]:
    times = frames.frames["t_s"].to_numpy()
    interval = float(np.median(np.diff(times))) if len(times) > 1 else frames.end_s - frames.start_s
    statuses = Counter(scenes.timeline["status"].to_pylist())
    models = _models(verdicts.answers)
    settled = {}
    for status in ("resolved", "ignored"):
        rows = verdicts.verdicts.filter(pc.field("status") == status).select(["decided_by", "track_ids"]).to_pylist()
        by = {(track, row["decided_by"]) for row in rows for track in row["track_ids"]}
        settled[status] = dict(sorted(Counter(stage for _, stage in by).items()))
    return {
        "range_s": [frames.start_s, frames.end_s],
        "sampling": {
            "interval_s": round(interval, 6),
            "edge_error_s": round(interval / 2, 6),
            "statement": (
                f"Frames were looked at every {interval:.2f} s. A start or end that is not a cut is therefore known to "
                f"±{interval / 2:.2f} s, and what was on screen for less than {interval:.2f} s may be missing."
            ),
        },
        "quality": {"name": params.quality, "digest": scale.digest, **scale.model_dump()},
        "media_value": _media(params, scale) if params.media_rate else None,
        "shots_s": [[row["start_s"], row["end_s"]] for row in scenes.shots.to_pylist()],
        "counts": {
            "frames_sampled": len(times),
            "keyframes": statuses[KEYFRAME],
            **{f"frames_{status}": statuses[status] for status in (DUPLICATE, BLACK, BLANK)},
            "shots": scenes.shots.num_rows,
            "regions": detected.regions.num_rows,
            "tracks": detected.tracks.num_rows,
            "clusters_unresolved": verdicts.unresolved.num_rows,
            "detections": n_detections,
        },
        "tracks_resolved_by": settled["resolved"],
        "tracks_ignored_by": settled["ignored"],
        "models": models,
        "run": {**statistics, "cost_usd": sum(row["cost_usd"] for row in models)},
    }


def _media(params: CompileReportParams, scale: QualityScale) -> dict[str, Any]:
    counts = ", ".join(f"{100 * area:g} % counts {scale.media_factor(area, 1.0):.2f}" for area in (0.0005, 0.01, 0.1))
    return {
        "currency": params.media_currency,
        "rate_per_30_s": params.media_rate,
        "formula": "rate / 30 s × seconds × mean factor",
        "assumption": (
            f"factor = share of the picture to the power {scale.media.size_exponent:g} × quality. At quality 1, "
            f"{counts}, the whole picture 1. Where the factors of the brands on screen together exceed 1, all are cut "
            "in proportion."
        ),
    }


def _models(answers: pa.Table) -> list[dict[str, Any]]:
    """What each model was asked and what it cost. An answer that was remembered costs nothing again.

    ``remembered_usd`` is what the remembered answers cost when they were given, equal questions counted once.
    """
    groups: defaultdict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in answers.to_pylist():
        groups[row["provider"], row["model"], row["prompt_version"]].append(row)
    found = []
    for (provider, model, prompt), rows in groups.items():
        new = [row for row in rows if not row["remembered"]]  # what was put off may have cost something, too
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
