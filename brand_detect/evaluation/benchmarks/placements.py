"""Compares the placements of a report with the truth of generated footage, and measures what thresholds rest on."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.geometry import box_iou, boxes_of
from brand_detect.domain.placements import PLACEMENTS, Placement
from brand_detect.domain.text import key_of
from brand_detect.domain.timeline import shown_seconds
from brand_detect.evaluation.benchmarks.common import RunResult, RunVideo, Section
from brand_detect.evaluation.synthetic.footage import Scenario, Shot, Truth, plan, sample_once
from brand_detect.stages.compile_report.placements import letters, plainness
from brand_detect.stages.regions import corner_boxes

SAME_PLACE = 0.2
"""Least IoU of a detection's box with its lettering: names are cut to their letters."""
UNCHANGED, STILL = "led, shown once", "board, camera still"
"""Truths that nothing tells from others: a screen that shows one brand while in view, a wall before a still camera."""
TRUTHS = ("overlay", "board", "pitch", "clothing", "led", "full_screen", UNCHANGED, STILL)
BANDS = (0.0, 0.6, 0.75, 0.85, 0.95, 1.0)


@dataclass(frozen=True)
class _Seen:
    """A detection whose true placement is known."""

    truth: str
    reported: str
    confidence: float
    seconds: float
    brand_id: str
    track_id: str
    area_frac: float
    start_s: float


def bench_placements(folder: Path, run: RunVideo, seconds: float, seeds: Sequence[int]) -> list[Section]:
    """Confusion by seconds of detections, exposures right, the calibration of the confidence, and measurements."""
    seen: list[_Seen] = []
    exposures: Counter[tuple[str, bool]] = Counter()
    measured: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for seed in seeds:
        scenario = Scenario(seconds=seconds, seed=seed, placements=True)
        video = folder / f"placements-{seconds:g}-{seed}.mp4"
        truth, done = sample_once(video, scenario), run(video, {})
        own = [*_seen(done, truth, plan(scenario))]
        seen += own
        exposures.update(_exposures(done, own))
        for what, of, value in _measured(done, own, plan(scenario), scenario.fps):
            measured[what, of].append(value)
    title = f"{seconds:g} s of generated footage, seeds {', '.join(map(str, seeds))}"
    return [_confusion(seen, title), _by_exposure(exposures), _calibration(seen), _thresholds(measured)]


def _seen(done: RunResult, truth: Truth, shots: Sequence[Shot]) -> Iterator[_Seen]:
    report, scenes = (
        cast("Report", done.payloads["compile_report"]),
        cast("FilteredScenes", done.payloads["filter_scenes"]),
    )
    shown = shown_seconds(scenes.timeline)
    shot_of = np.repeat([shot.number for shot in shots], [shot.frames for shot in shots])
    legible = truth.boxes[truth.boxes[:, 11] > 0]
    brands_at: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for row in legible[legible[:, 13] >= 0]:
        brands_at[int(shot_of[int(row[0])]), int(row[13])].add(int(row[1]))
    keys = [key_of(brand) for brand in truth.brands]
    for row, box in zip(report.detections.to_pylist(), corner_boxes(report.detections), strict=True):
        number = min(round(row["t_s"] * truth.fps), len(shot_of) - 1)
        own = truth.boxes[(truth.boxes[:, 0] == number) & (truth.boxes[:, 1] == keys.index(key_of(row["brand"])))]
        iou = box_iou(box[None], boxes_of([*own[:, 2:10].reshape(-1, 4, 2)]))[0]
        if not len(iou) or iou.max() < SAME_PLACE:
            continue
        best = own[iou.argmax()]
        placement, shot = PLACEMENTS[int(best[12])], int(shot_of[number])
        name = str(placement)
        if placement is Placement.led and len(brands_at[shot, int(best[13])]) < 2:
            name = UNCHANGED
        elif shots[shot].kind == "wall" and placement is Placement.board:
            name = STILL
        yield _Seen(
            name,
            row["placement"],
            row["placement_confidence"],
            float(shown[row["frame"]]),
            row["brand_id"],
            row["track_id"],
            row["area_frac"],
            row["start_s"],
        )


def _confusion(seen: Iterable[_Seen], title: str) -> Section:
    """Rows are the truth, columns what was reported, in seconds; the last is the share that is right."""
    seconds: Counter[tuple[str, str]] = Counter()
    for one in seen:
        seconds[one.truth, one.reported] += one.seconds  # pyright: ignore[reportArgumentType]
    columns = [*TRUTHS[:6], Placement.unknown]
    rows = []
    for truth in TRUTHS:
        of = [float(seconds[truth, c]) for c in columns]
        total = sum(s for (t, _), s in seconds.items() if t == truth)
        right = seconds[truth, truth] / total if truth in TRUTHS[:6] and total else float("nan")
        rows.append((truth, *of, right if right == right else "–"))
    return Section(f"Placements of {title}: seconds of detections", ("truth", *columns, "right"), rows)


def _exposures(done: RunResult, seen: Sequence[_Seen]) -> Iterator[tuple[str, bool]]:
    """The truth of each exposure, by area and time, and whether the report has it."""
    for row in cast("Report", done.payloads["compile_report"]).exposures.to_pylist():
        weights: Counter[str] = Counter()
        for one in seen:
            if one.brand_id == row["brand_id"] and row["start_s"] - 1e-6 <= one.start_s < row["end_s"]:
                weights[one.truth] += one.area_frac * one.seconds  # pyright: ignore[reportArgumentType]
        if weights:
            truth = weights.most_common(1)[0][0]
            yield truth, truth == row["placement"]


def _by_exposure(exposures: Counter[tuple[str, bool]]) -> Section:
    rows = []
    for truth in TRUTHS[:6]:
        right, wrong = exposures[truth, True], exposures[truth, False]
        rows.append((truth, right + wrong, right / (right + wrong) if right + wrong else "–"))
    return Section("Exposures", ("truth", "exposures", "right"), rows)


def _calibration(seen: Sequence[_Seen]) -> Section:
    """By confidence of known placements: seconds, mean confidence, and the share of seconds that is right."""
    rows = []
    known = [one for one in seen if one.truth in TRUTHS[:6] and one.reported != Placement.unknown]
    for low, high in pairwise(BANDS):
        own = [one for one in known if low <= one.confidence < high]
        seconds = sum(one.seconds for one in own)
        if seconds:
            sure = sum(one.confidence * one.seconds for one in own) / seconds
            right = sum(one.seconds for one in own if one.reported == one.truth) / seconds
            rows.append((f"{low:g} to {high:g}", seconds, sure, right))
    return Section("Confidence of placements", ("confidence", "s", "mean", "right"), rows)


def _measured(
    done: RunResult, seen: Sequence[_Seen], shots: Sequence[Shot], fps: int
) -> Iterator[tuple[str, str, float]]:
    """What is measured, of what, and a value: letters by track, plainness by frame."""
    verdicts = cast("BrandVerdicts", done.payloads["escalate_cloud"]).verdicts
    detected = cast("DetectedObjects", done.payloads["detect_objects"])
    frames = cast("ExtractedFrames", done.payloads["extract_frames"]).frames
    widths = letters(detected.regions, verdicts, frames)
    for track, truth in {(one.track_id, one.truth) for one in seen}:
        if track in widths:
            upright = "pitch" if truth == Placement.pitch else "all else"
            yield "width of a letter / height (WIDE)", upright, widths[track]
    shot_of = np.repeat([shot.number for shot in shots], [shot.frames for shot in shots])
    for t_s, thumbnail in zip(frames["t_s"].to_pylist(), frames["thumbnail"].to_pylist(), strict=True):
        kind = shots[shot_of[min(round(t_s * fps), len(shot_of) - 1)]].kind
        if kind != "black":
            of = "cards, advertisements" if kind in ("card", "spot") else "all else"
            yield "plain share of the picture (PLAIN)", of, plainness(thumbnail)


def _thresholds(measured: dict[tuple[str, str], list[float]]) -> Section:
    rows = [
        (f"{what}, {of}", len(values), *(float(np.percentile(values, q)) for q in (0, 5, 50, 95, 100)))
        for (what, of), values in sorted(measured.items())
    ]
    return Section("What the thresholds rest on", ("of", "number", "least", "5 %", "median", "95 %", "most"), rows)
