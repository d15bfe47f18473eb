"""Asset checks: they inspect a stage's payload before anything is built on it.

A check takes the payload, the stage's inputs and its params, and returns what is wrong in one sentence, or "" if
nothing is. The figures it inspected are stored with its result. A failed blocking check ends the run, and later runs
refuse the attempt; any other failed check is a warning.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.contracts.compile_report import CompileReportParams, Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects, DetectObjectsParams, TextDetection
from brand_detect.domain.contracts.extract_frames import ExtractedFrames, ExtractFramesParams
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.pipeline import ROOT, Stage
from brand_detect.domain.tables import Row
from brand_detect.domain.timeline import TOUCHING_S, union_seconds
from brand_detect.domain.words import counted
from brand_detect.storage.manifest import CheckOutcome

Inputs = Mapping[str, Any]
"""The stage's inputs, by the name of the upstream stage."""

LOST = 0.1
"""Share of the due samples that may be missing. A lost sample moves an edge by half a sampling interval, which the
report's error covers; losing a tenth of them moves a brand's seconds by a tenth, the error that reports may have."""
SEEN = 0.1
"""Least share of a range of constant frame rate that must have frames; with fewer, a report would be guesswork."""
ROUNDING_S = 1e-3
"""Containers round times to a millisecond."""
SAME_S = 1e-6
"""Times closer than this are equal: they are sums of the same presentation times."""


@dataclass(frozen=True)
class Check:
    """An asset check, named after its function."""

    look: Callable[[Any, Inputs, Any], str]
    figures: Callable[[Any, Inputs], Mapping[str, float]]
    blocking: bool = True

    @property
    def name(self) -> str:
        return self.look.__name__

    @property
    def description(self) -> str:
        return " ".join((self.look.__doc__ or "").split())

    def outcome(self, value: Any, inputs: Inputs, params: Any) -> CheckOutcome:
        wrong = self.look(value, inputs, params)
        figures = dict(self.figures(value, inputs))
        return CheckOutcome(name=self.name, passed=not wrong, blocking=self.blocking, detail=wrong, figures=figures)


def frames_seen(value: ExtractedFrames, _: Inputs) -> Mapping[str, float]:
    return {
        "frames": value.frames.num_rows,
        "pictures": value.signals.num_rows,
        "start_s": value.start_s,
        "end_s": value.end_s,
    }


def regions_seen(value: DetectedObjects, inputs: Inputs) -> Mapping[str, float]:
    return {"regions": value.regions.num_rows, "keyframes": _keyframes(inputs)}


def questions_seen(value: BrandVerdicts, _: Inputs) -> Mapping[str, float]:
    return {name: int(value.stats.get(name, 0)) for name in ("questions", "failed")}


def exposures_seen(value: Report, _: Inputs) -> Mapping[str, float]:
    seconds = sum(value.brands["seconds"].to_pylist())
    return {"brands": value.brands.num_rows, "exposures": value.exposures.num_rows, "seconds": round(seconds, 3)}


def frames_were_sampled(value: ExtractedFrames, inputs: Inputs, params: ExtractFramesParams) -> str:
    """The requested range was sampled at the requested rate.

    A sample is due in each interval in which the video has a frame: a variable or low frame rate leaves intervals
    empty, and no sample is missing there. A frame that is held for an interval is due, too. The limits are therefore
    taken from the decoded frames, and no two due samples in a row may be missing.
    """
    times, pictures = value.frames["t_s"].to_numpy(), value.signals["t_s"].to_numpy()
    if not len(times):
        return "no frame was sampled"
    slots = np.floor((pictures - params.start_s + ROUNDING_S) * params.sample_fps)
    is_held = np.diff(pictures, append=value.end_s) >= 1 / params.sample_fps - ROUNDING_S
    due = pictures[(np.diff(slots, prepend=-1) > 0) | is_held]
    if abs(len(times) - len(due)) > max(1.0, LOST * len(due)):
        return f"{len(times)} frames were sampled, but {len(due)} were due at {params.sample_fps:g} a second"
    absent = ~np.isin(due, times)
    in_a_row = absent[1:] & absent[:-1]
    if in_a_row.any():
        return f"no frame was sampled from {due[in_a_row.argmax()]:.1f} s on, where the video has frames"
    steady = not inputs[ROOT].probe.variable_frame_rate
    rate = min(params.sample_fps, 1 / np.median(np.diff(pictures))) if len(pictures) > 1 else 0.0
    wanted = rate * (value.end_s - value.start_s)
    if steady and len(times) < SEEN * wanted:
        return f"{len(times)} frames were sampled, but about {wanted:.0f} were due: most of the video was not analysed"
    return ""


def frames_are_in_order(value: ExtractedFrames, *_: object) -> str:
    """Sampled frames increase in time and lie within the sampled range: broken timestamps would shift exposures."""
    times = value.frames["t_s"].to_numpy()
    if not (np.diff(times) > 0).all():
        return f"frame {int(np.argmin(np.diff(times) > 0)) + 1} is not later than the one before it"
    if len(times) and (times[0] < value.start_s or times[-1] > value.end_s):
        return (
            f"frames reach from {times[0]:.3f} to {times[-1]:.3f} s, the range from {value.start_s} to {value.end_s} s"
        )
    return ""


def video_was_read_whole(value: ExtractedFrames, *_: object) -> str:
    """The video has no gap and no damaged end, and in Matroska, WebM and FLV its sound ends with its pictures.

    A report on the rest of it is still correct.
    """
    return "; ".join(value.notes)


def something_was_found(value: DetectedObjects, inputs: Inputs, params: DetectObjectsParams) -> str:
    """At least one region was detected, if there were keyframes and a detector."""
    off = params.text is TextDetection.off and params.object_model == "off"
    if value.regions.num_rows or off or not (n_keyframes := _keyframes(inputs)):
        return ""
    return f"no region was found on any of {counted(n_keyframes, 'frame')}"


def _keyframes(inputs: Inputs) -> int:
    return len(inputs[Stage.filter_scenes].timeline["keyframe"].combine_chunks().drop_null().unique())


def questions_were_answered(value: BrandVerdicts, *_: object) -> str:
    """Every question of this attempt was answered; failed ones can be asked again."""
    asked, failed = questions_seen(value, {}).values()
    return f"{failed} of {counted(int(asked), 'question')} failed" if failed else ""


def no_exposure_outside_the_video(value: Report, inputs: Inputs, *_: object) -> str:
    """The report covers the sampled range of the video, and no exposure lies outside it."""
    frames: ExtractedFrames = inputs[Stage.extract_frames]
    if not np.allclose(value.summary["range_s"], (frames.start_s, frames.end_s), rtol=0, atol=SAME_S):
        start_s, end_s = value.summary["range_s"]
        return f"the report covers {start_s:.3f} to {end_s:.3f} s, the video {_span(frames)}"
    for row in value.exposures.select(["brand", "start_s", "end_s"]).to_pylist():
        if row["start_s"] < frames.start_s - SAME_S or row["end_s"] > frames.end_s + SAME_S:
            return f"{row['brand']} is shown from {row['start_s']:.3f} to {row['end_s']:.3f} s, outside {_span(frames)}"
    return ""


def no_instant_counted_twice(value: Report, *_: object) -> str:
    """A brand's exposures do not overlap, last from their start to their end, and add up to the brand's total."""
    spans = _spans(value)
    for row in value.exposures.select(["brand", "start_s", "end_s", "seconds"]).to_pylist():
        if abs(row["seconds"] - (row["end_s"] - row["start_s"])) > SAME_S:
            return (
                f"{row['brand']} has {row['seconds']:.3f} s of exposure "
                f"from {row['start_s']:.3f} to {row['end_s']:.3f} s"
            )
    for row in value.brands.select(["brand", "brand_id", "seconds"]).to_pylist():
        own = spans.get(row["brand_id"], np.empty((0, 2)))
        once_s = union_seconds(own)
        if abs(row["seconds"] - once_s) > SAME_S * (len(own) + 1):
            return f"{row['brand']} has {row['seconds']:.3f} s, but its exposures cover {once_s:.3f} s"
    return ""


def totals_equal_the_timeline(value: Report, inputs: Inputs, params: CompileReportParams) -> str:
    """Each brand's exposures and seconds, recomputed here from its detections and the timeline, equal the report's.

    The comparison is exact and includes bridged gaps and ``min_exposure_s``: an exposure dropped as too short takes its
    detections with it, so a short one that is still present is an error.
    """
    scenes: FilteredScenes = inputs[Stage.filter_scenes]
    detected: DetectedObjects = inputs[Stage.detect_objects]
    edges = {(e["track_id"], e["frame"], e["side"]): e["t_s"] for e in detected.edges.to_pylist()}
    seen: dict[str, dict[int, set[str]]] = {}
    columns = (value.detections[c].to_pylist() for c in ("brand_id", "frame", "track_id"))
    for brand_id, frame, track_id in zip(*columns, strict=True):
        seen.setdefault(brand_id, {}).setdefault(frame, set()).add(track_id)
    cells = scenes.timeline.select(["frame", "start_s", "end_s", "shot", "keyframe"]).sort_by("start_s").to_pylist()
    due = {brand_id: _presences(cells, tracks, edges, params) for brand_id, tracks in seen.items()}
    totals = dict(zip(*(value.brands[c].to_pylist() for c in ("brand_id", "seconds")), strict=True))
    shown = _spans(value)
    for brand_id in sorted({*due, *totals, *shown}):
        want, have = due.get(brand_id, np.empty((0, 2))), shown.get(brand_id, np.empty((0, 2)))
        seconds = float((want[:, 1] - want[:, 0]).sum())
        if abs(totals.get(brand_id, 0.0) - seconds) > SAME_S * (len(want) + 1):
            return (
                f"{brand_id} has {totals.get(brand_id, 0.0):.3f} s in the report, but {seconds:.3f} s on the timeline"
            )
        if want.shape != have.shape or not np.allclose(want, have, rtol=0, atol=SAME_S):
            return f"{brand_id} has {counted(len(have), 'exposure')}, differing from the {len(want)} on the timeline"
    return ""


def _presences(
    cells: Sequence[Row],
    tracks: Mapping[int, set[str]],
    edges: Mapping[tuple[str, int, str], float],
    params: CompileReportParams,
) -> NDArray[np.float64]:
    """Start and end of the stretches with one of the keyframes of ``tracks`` on screen, shape (n, 2), in order of time.

    Deliberately independent of ``Spans``, which the report is made with.
    """
    spans: list[list[float]] = []
    last_shot, dark, grid_s = -1, False, -np.inf
    for i, cell in enumerate(cells):
        dark |= cell["keyframe"] is None
        if cell["keyframe"] not in tracks:
            continue
        came, went = (
            [edges.get((track, cell["frame"], side), cell[f"{side}_s"]) for track in tracks[cell["keyframe"]]]
            for side in ("start", "end")
        )
        goes_on = i + 1 < len(cells) and cells[i + 1]["shot"] == cell["shot"]
        end_s = max(went) if goes_on and cells[i + 1]["keyframe"] not in tracks else cell["end_s"]
        gap_s = cell["start_s"] - grid_s
        bridged = cell["shot"] == last_shot and not dark and gap_s <= params.bridge_s + TOUCHING_S
        if gap_s <= TOUCHING_S or bridged:
            spans[-1][1] = end_s
        else:
            within_shot = i and cells[i - 1]["shot"] == cell["shot"]
            spans.append([min(came) if within_shot else cell["start_s"], end_s])
        last_shot, dark, grid_s = cell["shot"], False, cell["end_s"]
    return np.array([s for s in spans if s[1] - s[0] >= params.min_exposure_s and s[1] > s[0]]).reshape(-1, 2)


def _spans(report: Report) -> dict[str, NDArray[np.float64]]:
    """Start and end of each brand's exposures, in order of time."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for row in report.exposures.select(["brand_id", "start_s", "end_s"]).to_pylist():
        rows.setdefault(row["brand_id"], []).append((row["start_s"], row["end_s"]))
    return {brand_id: np.array(sorted(own)) for brand_id, own in rows.items()}


def _span(frames: ExtractedFrames) -> str:
    return f"{frames.start_s:.3f} to {frames.end_s:.3f} s"
