"""What the checks let pass and what not, and what follows from a check that fails."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from dagster import AssetCheckEvaluation
from hypothesis import given, settings
from hypothesis import strategies as st

from brand_detect.domain.contracts.compile_report import CompileReportParams, Report
from brand_detect.domain.contracts.detect_objects import TRACK_EDGES, DetectObjectsParams, Side, TextDetection
from brand_detect.domain.contracts.escalate_vlm import EscalateVlmParams
from brand_detect.domain.contracts.extract_frames import SIGNALS, ExtractedFrames, ExtractFramesParams
from brand_detect.domain.contracts.filter_scenes import BLACK
from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus
from brand_detect.domain.protocols import DecodedFrame
from brand_detect.domain.tables import table
from brand_detect.engines.video import PyAvDecoder
from brand_detect.orchestration import checks
from brand_detect.orchestration.lineage import latest_record
from brand_detect.orchestration.profiles import load_quality
from brand_detect.stages.compile_report.compile import compile_report
from brand_detect_tests.stages.compile_report.test_compile import BRANDS, cut_times, dropped_of, fates, region_rows
from brand_detect_tests.support import payloads as p
from brand_detect_tests.support.campaign import holds_for
from brand_detect_tests.support.pipeline import Pipeline, ScriptedAnswerer, ScriptedDetector, pipeline, two_shot_clip

# extract_frames


def sampled(pictures: list[float], sample_fps: float, start_s: float = 0.0, **changes: Any) -> ExtractedFrames:
    """What the decoder's rule makes of ``pictures``: of each interval the first, and all that are held for one."""
    step = pictures[-1] - pictures[-2] if len(pictures) > 1 else 0.04
    end_s, slot, times = pictures[-1] + step, -1, list[float]()
    for t_s, next_s in pairwise([*pictures, end_s]):
        last, slot = slot, math.floor((t_s - start_s + 1e-3) * sample_fps)
        if slot > last or next_s - t_s >= 1 / sample_fps - 1e-3:
            times.append(t_s)
    made = p.frames(len(times))
    frames = made.frames.set_column(2, made.frames.schema.field(2), pa.array(times))
    row = {"luma_mean": 120.0, "luma_std": 50.0, "change": 0.0, "drift": 0.0}
    signals = table(SIGNALS, [{"t_s": t, **row} for t in pictures])
    return replace(made, frames=frames, signals=signals, start_s=times[0], end_s=end_s, **changes)


def says(value: ExtractedFrames, check: Any = checks.frames_were_sampled, vfr: bool = False, **params: float) -> str:
    request = p.request(value.end_s)
    request = request.model_copy(update={"probe": request.probe.model_copy(update={"variable_frame_rate": vfr})})
    return check(value, {"job_request": request}, ExtractFramesParams.model_validate(params))


def without(value: ExtractedFrames, lost: set[int]) -> ExtractedFrames:
    return replace(value, frames=value.frames.filter(pa.array(n not in lost for n in range(value.frames.num_rows))))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0.002, 4.0), min_size=1, max_size=80),
    st.sampled_from([0.1, 0.5, 2.0, 5.0, 60.0]),
    st.floats(0, 10),
    st.integers(0, 79),
)
def test_samples_of_any_frame_rate_pass_and_a_lost_one_too(
    steps: list[float], sample_fps: float, start_s: float, lost: int
):
    """Rates that vary as they like: a pause in the pictures is none in the samples."""
    value = sampled((start_s + np.cumsum(steps)).tolist(), sample_fps, start_s)
    assert says(value, vfr=True, sample_fps=sample_fps, start_s=start_s) == ""
    assert says(value, checks.frames_are_in_order) == ""
    if value.frames.num_rows > 1:
        fewer = without(value, {lost % value.frames.num_rows})
        assert says(fewer, vfr=True, sample_fps=sample_fps, start_s=start_s) == ""


@pytest.mark.parametrize("fps", [0.5, 1.0, 25.0, 59.94])
def test_a_steady_video_passes_however_few_pictures_it_has(fps: float):
    assert says(sampled((np.arange(60 * fps) / fps).tolist(), 2.0), sample_fps=2.0) == ""


def test_samples_that_are_missing_do_not():
    value = sampled((np.arange(60 * 25) / 25).tolist(), 2.0)
    assert says(without(value, set(range(120)))) == "no frame was sampled"
    assert says(without(value, set(range(0, 120, 9)))) == "106 frames were sampled, but 120 were due at 2 a second"
    hole = "no frame was sampled from 20.0 s on, where the video has frames"
    assert says(without(value, {40, 41})) == hole
    assert says(without(value, set(range(40, 46)))) == hole
    assert "from 55.0 s on" in says(without(value, set(range(110, 120))))
    assert "240 were due at 4 a second" in says(value, sample_fps=4.0)
    assert "12 were due at 0.2 a second" in says(value, sample_fps=0.2)


def test_a_video_of_which_hardly_anything_was_seen_does_not_unless_its_rate_varies():
    hole = [*(np.arange(25) / 25).tolist(), *(100 + np.arange(25) / 25).tolist()]
    value = sampled(hole, 2.0)
    assert says(value) == "5 frames were sampled, but about 202 were due: most of the video was not analysed"
    assert says(value, vfr=True) == "", "a recording of a still screen"


def test_frames_that_go_back_or_leave_the_range_do_not():
    good = sampled((np.arange(100) / 25).tolist(), 2.0)
    order = checks.frames_are_in_order
    assert says(good, order) == ""
    back = good.frames.take([0, 2, 1, *range(3, good.frames.num_rows)])
    assert says(replace(good, frames=back), order) == "frame 2 is not later than the one before it"
    assert "the range from" in says(replace(good, end_s=good.start_s + 1.0), order)


def test_a_damaged_video_is_a_warning_with_the_stage_s_own_words():
    notes = ("the video is damaged after 3.0 s; 1.0 s were lost", "no picture could be read between 1 s and 3 s")
    assert says(sampled([0.0, 0.5], 2.0, notes=notes), checks.video_was_read_whole) == "; ".join(notes)
    assert says(sampled([0.0, 0.5], 2.0), checks.video_was_read_whole) == ""


# detect_objects, the escalations


def test_no_region_at_all_is_odd_where_somebody_looked():
    scenes = p.scenes(p.frames(20))
    none, one = p.detected([], scenes), p.detected([p.region(3, "a")], scenes)
    look, on = checks.something_was_found, DetectObjectsParams.model_validate({})
    off = DetectObjectsParams.model_validate({"text": TextDetection.off})
    dark = p.scenes(p.frames(20), dropped=dict.fromkeys(range(20), BLACK))
    assert look(none, {"filter_scenes": scenes}, on) == "no region was found on any of 20 frames"
    assert look(one, {"filter_scenes": scenes}, on) == ""
    assert look(none, {"filter_scenes": scenes}, off) == "", "nobody looked"
    assert look(none, {"filter_scenes": dark}, on) == "", "there was nothing to look at"


@pytest.mark.parametrize(
    ("stats", "wrong"),
    [
        ({}, ""),
        ({"questions": 0}, ""),
        ({"questions": 3, "failed": 0}, ""),
        ({"questions": 3.0, "failed": 1.0}, "1 of 3 questions failed"),
    ],
)
def test_failed_questions_are_counted_of_this_attempt_alone(stats: dict[str, float], wrong: str):
    """Its answers hold those taken over from before."""
    said = [p.answer("c1", AnswerStatus.failed), p.answer("c2", AnswerStatus.failed)]
    value = replace(p.verdicts([], answers=said), stats=stats)
    assert checks.questions_were_answered(value, {}, EscalateVlmParams.model_validate({})) == wrong


# compile_report

SAME_S = 1e-6
REPORT_CHECKS = (
    checks.no_exposure_outside_the_video,
    checks.no_instant_counted_twice,
    checks.totals_equal_the_timeline,
)


@dataclass(frozen=True)
class Made:
    """A report of the real stage, with what it was made from."""

    report: Report
    inputs: dict[str, Any]
    params: CompileReportParams

    def failing(self, report: Report | None = None) -> set[str]:
        """The names of the checks that fail."""
        return {c.__name__ for c in REPORT_CHECKS if c(report or self.report, self.inputs, self.params)}

    def changed(self, name: str, row: int, **values: Any) -> Report:
        rows = getattr(self.report, name).to_pylist()
        rows[row] = rows[row] | values
        return replace(self.report, **{name: table(getattr(self.report, name).schema, rows)})


def made(
    rows: list[tuple[int, ...]],
    fate: list[str],
    cuts: tuple[float, ...],
    shares: Sequence[float | None] = (),
    overlays: Sequence[str] = (),
    **params: float,
) -> Made:
    """``shares`` are, by frame, how far from it tracks appear before it and disappear after it, of half a second."""
    dropped = dropped_of(fate, cuts)
    regions = [p.region(f, f"t{t}", (x, y, w, h)) for f, t, x, y, w, h in rows if f not in dropped]
    frames = p.frames(20)
    scenes = p.scenes(frames, cuts, dropped)
    known = CompileReportParams.model_validate(params)
    verdicts = p.verdicts([p.verdict(BRANDS[t % 3], [f"t{t}"]) for t in range(6)])
    edges = [
        {"track_id": f"t{t}", "frame": n, "side": side, "t_s": n / 2 + sign * share / 2, "error_s": 0.04}
        for n, share in enumerate(shares)
        if share is not None
        for t in range(3)
        for side, sign in ((Side.start, -1), (Side.end, 1))
    ]
    detected = replace(p.detected(regions, scenes, overlays), edges=table(TRACK_EDGES, edges))
    report = compile_report(
        p.request(),
        frames,
        scenes,
        detected,
        verdicts,
        known,
        scale=load_quality("default"),
        statistics={"profile": "default"},
        brands={},
    )
    return Made(report, {"extract_frames": frames, "filter_scenes": scenes, "detect_objects": detected}, known)


@holds_for(
    60,
    300,
    region_rows,
    fates,
    cut_times,
    st.sampled_from([0.0, 0.5, 0.7, 1.0, 2.0, 30.0]),
    st.sampled_from([0.0, 0.5, 0.6, 1.0, 3.0]),
    st.lists(st.none() | st.floats(0.01, 0.99), max_size=20),
)
def test_every_report_of_the_stage_passes(
    rows: list[tuple[int, ...]],
    fate: list[str],
    cuts: tuple[float, ...],
    bridge_s: float,
    min_exposure_s: float,
    shares: list[float | None],
):
    of = made(rows, fate, cuts, shares, ("t1", "t3"), bridge_s=bridge_s, min_exposure_s=min_exposure_s)
    assert of.failing() == set()
    for brand in of.report.brands.to_pylist():
        assert brand["low_s"] <= brand["seconds"] + SAME_S
        assert brand["seconds"] <= brand["high_s"] + SAME_S
        assert 0 <= brand["overlay_s"] <= brand["seconds"] + SAME_S
        assert 0 <= brand["exclusive_s"] <= brand["seconds"] + SAME_S
    assert all(0 < part["share"] <= 1 + SAME_S for part in of.report.placements.to_pylist())


@pytest.fixture(scope="module")
def whole() -> Made:
    """Nike from 1.75 to 3.25 s and from 6.75 to 7.75 s, Puma from 1.75 to 2.25 s."""
    box = (100, 100, 200, 50)
    found = made([(f, t, *box) for f, t in ((4, 0), (5, 0), (6, 0), (14, 0), (15, 0), (4, 1))], ["keyframe"] * 20, ())
    spans = [(e["brand"], e["start_s"], e["end_s"]) for e in found.report.exposures.to_pylist()]
    assert spans == [("Nike", 1.75, 3.25), ("Puma", 1.75, 2.25), ("Nike", 6.75, 7.75)]
    return found


def test_an_edge_that_the_report_did_not_take_is_found(whole: Made):
    edges = [
        {"track_id": "t0", "frame": 4, "side": Side.start, "t_s": 1.6, "error_s": 0.04},
        {"track_id": "t0", "frame": 15, "side": Side.end, "t_s": 7.6, "error_s": 0.04},
    ]
    detected = replace(whole.inputs["detect_objects"], edges=table(TRACK_EDGES, edges))
    late = replace(whole, inputs=whole.inputs | {"detect_objects": detected})
    assert late.failing() == {TOTALS}


OUTSIDE, TWICE, TOTALS = (check.__name__ for check in REPORT_CHECKS)


@pytest.mark.parametrize(
    ("table", "row", "values", "failing"),
    [
        ("exposures", 2, {"start_s": 19.5, "end_s": 20.5}, {OUTSIDE, TOTALS}),
        ("exposures", 0, {"start_s": -0.5, "end_s": 1.0}, {OUTSIDE, TOTALS}),
        ("exposures", 2, {"start_s": 2.0, "end_s": 3.0}, {TWICE, TOTALS}),
        ("exposures", 0, {"seconds": 1.4}, {TWICE}),
        ("exposures", 0, {"start_s": 1.5, "end_s": 3.0}, {TOTALS}),
        ("exposures", 0, {"brand_id": "puma"}, {TWICE, TOTALS}),
        ("brands", 0, {"seconds": 2.6}, {TWICE, TOTALS}),
        ("brands", 0, {"brand_id": "adidas"}, {TWICE, TOTALS}),
        ("detections", 0, {"frame": 10}, {TOTALS}),
        ("detections", 0, {"brand_id": "adidas"}, {TOTALS}),
    ],
)
def test_each_kind_of_corruption_fails_the_checks_that_are_about_it(
    whole: Made, table: str, row: int, values: dict[str, Any], failing: set[str]
):
    assert whole.failing(whole.changed(table, row, **values)) == failing


def test_an_exposure_and_its_total_that_nothing_was_seen_for_are_found_on_the_timeline_alone(whole: Made):
    """They agree with each other: only what the report was made from tells."""
    longer = whole.changed("exposures", 2, end_s=8.75, seconds=2.0)
    brands = [row | ({"seconds": 3.5} if row["brand"] == "Nike" else {}) for row in longer.brands.to_pylist()]
    longer = replace(longer, brands=table(longer.brands.schema, brands))
    assert whole.failing(longer) == {TOTALS}
    said = checks.totals_equal_the_timeline(longer, whole.inputs, whole.params)
    assert said == "nike has 3.500 s in the report, but 2.500 s on the timeline"


def test_a_lost_exposure_and_a_report_on_another_range_are_found(whole: Made):
    fewer = replace(whole.report, exposures=whole.report.exposures.slice(0, 2))
    assert whole.failing(fewer) == {TWICE, TOTALS}
    other = replace(whole.report, summary={**whole.report.summary, "range_s": [0.0, 11.0]})
    assert whole.failing(other) == {OUTSIDE}
    short = replace(whole, params=CompileReportParams.model_validate({"min_exposure_s": 0.75}))
    assert short.failing() == {TOTALS}, "Puma's half second was to be left out"


@holds_for(20, 100, region_rows.filter(bool), st.data())
def test_seconds_that_are_moved_anywhere_are_found(rows: list[tuple[int, ...]], data: st.DataObject):
    found = made(rows, ["keyframe"] * 20, (), bridge_s=data.draw(st.sampled_from([0.0, 1.0])))
    row = data.draw(st.integers(0, found.report.exposures.num_rows - 1))
    by_s = data.draw(st.sampled_from([-0.3, 0.001, 0.25]))
    exposure = found.report.exposures.to_pylist()[row]
    end = {"end_s": exposure["end_s"] + by_s, "seconds": exposure["seconds"] + by_s}
    assert TOTALS in found.failing(found.changed("exposures", row, **end))


# what follows


class Blind(ScriptedDetector):
    def detect(self, image: Any, areas: Any = ()) -> list:  # noqa: ARG002
        return []


class Forgetful(PyAvDecoder):
    """Samples nothing after the first picture."""

    def decode(self, file: BinaryIO, sample_fps: float, start_s: float, end_s: float) -> Iterator[DecodedFrame]:
        for n, picture in enumerate(super().decode(file, sample_fps, start_s, end_s)):
            yield replace(picture, image=None) if n else picture


def metadata(built: Pipeline, stage: str) -> Mapping[str, Any]:
    """What Dagster shows of the stage's newest attempt."""
    record = latest_record(built.instance, stage, "match")
    assert record
    assert record.asset_materialization
    return {name: entry.value for name, entry in record.asset_materialization.metadata.items()}


def evaluations(built: Pipeline, run_id: str) -> dict[str, AssetCheckEvaluation]:
    """What Dagster was told of each check, by the check's name."""
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    events = [r.event_log_entry.dagster_event for r in built.instance.get_records_for_run(run_id, of_type=kind).records]
    found = [event.asset_check_evaluation_data for event in events if event]
    return {evaluation.check_name: evaluation for evaluation in found}


def test_a_warning_lets_the_run_go_on_and_is_kept(tmp_path: Path):
    video = two_shot_clip(tmp_path / "match.mp4", seconds=1.0)
    with pipeline(tmp_path, region_detectors=lambda *_: [Blind()]) as built:
        run = built.runner.submit(str(video), job_id="match")
        manifest = run.manifest("detect_objects")
        assert [(c.name, c.blocking) for c in manifest.warned_checks] == [("something_was_found", False)]
        assert manifest.failed_check is None
        said = metadata(built, "detect_objects")["warned_checks"]
        assert said.startswith("something_was_found: no region was found on any of ")
        told = evaluations(built, run.run_id)
        assert {name for name, evaluation in told.items() if not evaluation.passed} == {"something_was_found"}
        assert told["something_was_found"].severity == dg.AssetCheckSeverity.WARN
        figures = {name: entry.value for name, entry in told["something_was_found"].metadata.items()}
        assert figures == {"job": "match", "regions": 0, "keyframes": 2}
        assert {name for name, evaluation in told.items() if evaluation.blocking} == {
            "frames_were_sampled",
            "frames_are_in_order",
            "no_exposure_outside_the_video",
            "no_instant_counted_twice",
            "totals_equal_the_timeline",
        }


def test_failed_questions_warn(tmp_path: Path):
    answerer = ScriptedAnswerer({"ACME WIDGETS": Answer("", AnswerStatus.failed)})
    on = {"escalate_vlm": {"provider": "transformers"}}
    with pipeline(tmp_path, answerer=lambda stage, _: answerer if stage == "escalate_vlm" else None) as built:
        run = built.runner.submit(str(two_shot_clip(tmp_path / "match.mp4")), job_id="match", overrides=on)
        [warned] = run.manifest("escalate_vlm").warned_checks
        assert (warned.name, warned.detail) == ("questions_were_answered", "1 of 1 question failed")
        assert run.manifest("escalate_cloud").warned_checks == (), "it asked nothing"


def test_a_blocking_check_ends_the_run_for_good(tmp_path: Path):
    with pipeline(tmp_path, decoder=Forgetful) as built:
        with pytest.raises(dg.DagsterError, match="frames_were_sampled"):
            built.runner.submit(str(two_shot_clip(tmp_path / "match.mp4")), job_id="match")
        [run] = [r for r in built.instance.get_runs() if r.tags.get("dagster/partition")]
        assert run.is_failure
        assert run.tags["dagster/max_retries"] == "0"
        assert metadata(built, "extract_frames")["failed_check"] == (
            "frames_were_sampled: 1 frames were sampled, but 8 were due at 2 a second"
        )
