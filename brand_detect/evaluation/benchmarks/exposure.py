"""Compares seconds, share of voice, area and edges of a report with a generated clip's ground truth, by brand."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.text import key_of
from brand_detect.domain.timeline import union_seconds
from brand_detect.evaluation.benchmarks.common import RunVideo, Section
from brand_detect.evaluation.synthetic.footage import Scenario, Truth, sample_once


def bench_exposure(folder: Path, run: RunVideo, seconds: float, seed: int) -> Section:
    """One row per listed brand: reported, true, error; areas are means over the time on screen, in percent.

    A brand is on screen for longer than its name is legible, and OCR may read less or more than a viewer. So
    both limits are given next to the reported seconds, and errors are relative to the legible time. ``edge error s`` is
    the median of starts and ends inside shots.
    """
    video = folder / f"exposure-{seconds:g}-{seed}.mp4"
    truth = sample_once(video, Scenario(seconds=seconds, seed=seed))
    report = cast("Report", run(video, {}).payloads["compile_report"])
    reported = {key_of(row["brand"]): row for row in report.brands.to_pylist()}
    exposures = report.exposures.select(["brand", "start_s", "end_s"]).to_pylist()
    listed = [b for b in truth.brands if b not in (*truth.unlisted, *truth.logos)]
    legible = {b: union_seconds(truth.legible_s(b)) for b in listed}
    rows = []
    for brand in sorted(listed, key=lambda b: -legible[b]):
        row = reported.get(key_of(brand))
        if row is None:
            rows.append((brand, 0.0, legible[brand], -1.0, *[""] * 6))
            continue
        spans = [(e["start_s"], e["end_s"]) for e in exposures if key_of(e["brand"]) == key_of(brand)]
        errors = edge_errors_s(truth, brand, spans)
        voice, area = legible[brand] / sum(legible.values()), area_frac(truth, brand)
        rows.append(
            (
                brand,
                row["seconds"],
                legible[brand],
                row["seconds"] / legible[brand] - 1,
                union_seconds(truth.seen_s(brand)),
                row["share_of_voice"] / voice - 1,
                100 * row["area_frac_mean"],
                100 * area,
                row["area_frac_mean"] / area - 1,
                float(np.median(errors)) if errors else "",
            )
        )
    measured = (
        "s",
        "legible s",
        "error",
        "seen s",
        "voice error",
        "area %",
        "true area %",
        "area error",
        "edge error s",
    )
    return Section(f"Exposure on {seconds:g} s of generated footage, seed {seed}", ("brand", *measured), rows)


def edge_errors_s(truth: Truth, brand: str, spans: Sequence[tuple[float, float]]) -> list[float]:
    """By how much each start and end of ``spans`` inside a shot differs from that of the one legible stretch it meets.

    Spans that meet several stretches, or one that others meet too, are left out: they miss or add edges.
    """
    cuts = np.array([0.0, *truth.cuts_s, truth.duration_s, *(t for span in truth.dissolves_s for t in span)])
    stretches = truth.legible_s(brand)
    meets = [[i for i, (a, b) in enumerate(stretches) if a < end and b > start] for start, end in spans]
    often = Counter(i for own in meets for i in own)
    return [
        abs(t - true)
        for span, own in zip(spans, meets, strict=True)
        if len(own) == 1 and often[own[0]] == 1
        for t, true in zip(span, stretches[own[0]], strict=True)
        if np.abs(cuts - true).min() > 1 / truth.fps
    ]


def area_frac(truth: Truth, brand: str) -> float:
    """Mean share of the picture covered by the brand's legible boxes while it is legible, parts hidden by players
    included."""
    boxes = truth.boxes[(truth.boxes[:, 1] == truth.brands.index(brand)) & (truth.boxes[:, 11] > 0)]
    x, y = boxes[:, 2:10:2].clip(0, truth.width_px), boxes[:, 3:10:2].clip(0, truth.height_px)
    areas = 0.5 * np.abs((x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1))
    per_frame = np.bincount(boxes[:, 0].astype(int), areas)
    return float(per_frame[per_frame > 0].mean() / (truth.width_px * truth.height_px))
