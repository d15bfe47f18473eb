"""The benchmark's tables and verdicts, on runs made by hand."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from brand_detect.domain.contracts import check_overrides
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import LINE
from brand_detect.evaluation.benchmarks import pipeline as bench
from brand_detect.evaluation.benchmarks.common import MIB, Section
from brand_detect.evaluation.benchmarks.worker import Run, Videos
from brand_detect.evaluation.scoring.labels import ClipLabels, Kind, Label
from brand_detect.evaluation.synthetic.footage import Scenario
from brand_detect.orchestration.profiles import load_profile
from brand_detect_tests.support.videos import scene, write_clip

KIA, ROLEX = Label("Kia", Kind.clear, ((2.0, 4.0),)), Label("Rolex", Kind.clear, ((0.0, 10.0),))
CLIP = bench.Clip(Path("given/clip.mp4"), 10.0, ClipLabels("clip.mp4", 10.0, (KIA, ROLEX)))


def exposure(brand: str, start_s: float, end_s: float) -> dict[str, Any]:
    span = {"start_s": start_s, "end_s": end_s, "seconds": end_s - start_s}
    return span | {"brand": brand, "brand_id": brand, "text": brand, "rule": "exact", "confidence": 1.0, "frame": 0}


def run(wall_s: float, *exposures: dict[str, Any], duration_s: float = 10.0, peak_mib: int = 1000) -> Run:
    """20 frames, 4 tracks, 2 s in the detector; as if JSON had brought it."""
    made = Run(
        duration_s,
        wall_s,
        cpu_s=1.5 * wall_s,
        stage_s=dict.fromkeys(LINE, 0.0) | {"detect_objects": 2.0},
        peak_bytes={"start": 500 * MIB, "detect_objects": peak_mib * MIB},
        state_bytes=5_000_000,
        frame_bytes=4_000_000,
        frame_repeats=5,
        frame_requests=2,
        counts={
            "extract_frames": {"frames": 20},
            "filter_scenes": {"timeline": 20},
            "detect_objects": {"tracks": 4},
        },
        stats={"detect_objects": {"pictures_searched": 10.0}, "run_ocr": {"lines_read": 6.0}},
        exposures=exposures,
        startup_s=3.0,
    )
    return Run(**json.loads(json.dumps(made.__dict__)))


FULL_RUN = run(12.0, exposure("Kia", 2, 4), exposure("Rolex", 0, 8))
RUNS = {
    bench.FLOOR: Run(10.0, 0.5, 0.9),
    bench.BEFORE: run(10.0, exposure("Kia", 2, 4), exposure("Rolex", 0, 8)),
    bench.DEFAULT: run(3.0, exposure("Kia", 2, 5), exposure("Rolex", 0, 7.9)),
    bench.FAST: run(4.0, exposure("Kia", 2, 3), exposure("Fiat", 6, 7)),
    bench.FULL: FULL_RUN,
}


def results(runs: Mapping[bench.Reading, Run] = RUNS, clip: bench.Clip = CLIP) -> bench.Results:
    made = bench.Results([clip], list(bench.READINGS))
    made.runs = {(clip.name, reading.name): run for reading, run in runs.items()}
    return made


def rows(section: Section) -> list[dict]:
    json.dumps(section.to_json())
    if section.in_console:
        Console(file=io.StringIO()).print(section.table())
    return section.to_json()["rows"]


def verdicts(made: bench.Results, lengths: Mapping[int, Run] | None = None) -> dict[str, tuple[Any, str, str]]:
    found = rows(bench.verdicts(made, lengths or {}))
    return {row["bar"]: (row["measured"], row["verdict"], row["which"]) for row in found}


@pytest.mark.parametrize("reading", bench.READINGS)
def test_readings_are_made_of_valid_params(reading: bench.Reading) -> None:
    assert check_overrides(reading.overrides) == reading.overrides
    load_profile(reading.profile)


def test_readings_stand_side_by_side() -> None:
    (row,) = rows(bench.side_by_side("Wall / duration", results(), lambda _, run: run.wall_share, ()))
    assert row == {
        "clip": "clip.mp4",
        "duration s": 10.0,
        "FFmpeg to nothing": 0.05,
        "before": 1.0,
        "default": 0.3,
        "fast": 0.4,
        "every frame in full": 1.2,
        "int8 without VNNI": "–",
        "f32 without bf16": "–",
    }


def test_given_clips_have_a_median() -> None:
    clips = [bench.Clip(Path(f"given/{n}.mp4"), 10.0) for n in range(3)] + [bench.Clip(Path("a.mp4"), 9, None, True)]
    made = bench.Results(clips, [bench.DEFAULT])
    made.runs = {(clip.name, "default"): run(wall_s) for clip, wall_s in zip(clips, (1.0, 2.0, 9.0, 50.0), strict=True)}
    *_, last = rows(bench.side_by_side("Wall / duration", made, lambda _, run: run.wall_share, ()))
    assert last == {"clip": "median of given clips", "duration s": 10.0, "default": 0.2}


def test_what_is_found() -> None:
    before, default, fast, full = rows(bench.brand_table(results()))
    assert default == {
        "clips": "given, default",
        "clear brands found": "2 of 2",
        "recall %": 100,
        "unlabelled brands": 0,
        "mean |error| of seconds %": pytest.approx(100 * (0.5 + 0.21) / 2),
        "brand-seconds kept": pytest.approx(0.99),
        "pictures searched / sampled frame": 0.5,
        "lines read / track": 1.5,
    }
    assert (before["brand-seconds kept"], full["brand-seconds kept"]) == (1, 1)
    assert (fast["clear brands found"], fast["unlabelled brands"], fast["brand-seconds kept"]) == ("1 of 2", 1, 0.1)


def test_seconds_outside_of_the_full_reading_are_not_kept() -> None:
    made = results({bench.FULL: FULL_RUN, bench.DEFAULT: run(3.0, exposure("Kia", 3, 9), exposure("Rolex", 9, 10))})
    assert made.kept(made.of(bench.DEFAULT)) == pytest.approx(0.1)
    assert results({bench.DEFAULT: run(3.0)}).kept([(CLIP, run(3.0))]) is None


def test_stages_and_state() -> None:
    row = rows(bench.stage_table(results()))[1]
    assert row["clips"] == "given, default"
    assert (row["detect_objects"], row["rest"], row["wall"]) == pytest.approx((0.2, 0.1, 0.3))
    assert rows(bench.state_table(results()))[1] == {
        "clips": "given, default",
        "frames MB / video minute": 24.0,
        "frames stored as repeats %": 25.0,
        "all checkpoints MB / video minute": 30.0,
        "frame requests / sampled frame": 0.1,
    }


def test_verdicts_follow_from_the_figures() -> None:
    found = verdicts(results())
    assert found["default: wall / duration, median of given clips"] == (0.3, "met", "")
    assert found["default: wall / duration, slowest given clip"] == (0.3, "met", "clip.mp4")
    assert found["default: brand-seconds kept, given"][1] == "met"
    assert found["fast: wall / duration, median of given clips"][1] == "not met"
    assert found["fast: brand-seconds kept, given"][1] == "not met"
    assert found["default: clear brands lost, against before"] == (0, "met", "")
    assert found["fast: clear brands lost, against every frame in full"] == (1, "not met", "Rolex (given/clip.mp4)")
    assert found["fast: unlabelled brands won, against every frame in full"] == (1, "not met", "Fiat (given/clip.mp4)")
    assert found["default: wall / duration, generated"] == ("–", "not measured", "")


def test_start_up_by_process() -> None:
    runs = RUNS | {bench.BEFORE: replace(RUNS[bench.BEFORE], startup_s=8.0)}
    found = [(row["process of"], row["s"]) for row in rows(bench.process_table(results(runs)))]
    assert found == [("before", 8.0), ("default", 3.0)]


def test_length() -> None:
    lengths = {2: run(30.0, duration_s=120.0), 20: run(360.0, duration_s=1200.0, peak_mib=1300)}
    ratios = {row["figure"]: row["longest / shortest"] for row in rows(bench.length_table(lengths))}
    assert ratios["wall / duration"] == pytest.approx(1.2)
    assert ratios["peak memory, MiB"] == pytest.approx(1.3)
    assert ratios["detect_objects, s / video minute"] == pytest.approx(0.1)
    assert ratios["extract_frames, s / video minute"] == "–"
    found = verdicts(results(), lengths)
    assert found["wall per minute, longest / shortest video"][1] == "not met"
    assert found["peak memory, longest / shortest video"][1] == "not met"
    assert found["peak memory, MiB"] == (1300, "met", "")


@dataclass
class Scripted:
    """Runs at once; the clip ``broken.mp4`` fails."""

    asked: list[tuple[str, str, bool]] = field(default_factory=list)
    closed: int = 0

    def run(self, video: Path, profile: str, overrides: Overrides, duration_s: float) -> Run:
        self.asked.append((video.stem, profile, bool(overrides)))
        if video.stem == "broken":
            raise Permanent("The video is broken.")
        return run(0.2 * duration_s, duration_s=duration_s)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generated footage of a second or two."""
    scenario = Scenario(seconds=2.5, width_px=64, height_px=64, fps=12)
    monkeypatch.setattr(bench, "TWO_MINUTES", scenario)
    monkeypatch.setattr(bench, "FIVE_SECONDS", replace(scenario, seed=1))
    monkeypatch.setattr(bench, "measure_sampling", lambda _: {"wall_ratio": 1.1})
    monkeypatch.setattr(bench, "first_reports", lambda *_: {"first time, wall s": 9.0, "second time, wall s": 4.0})


def whole(work: Path, scripted: Scripted, given: Sequence[bench.Clip], **options: Any) -> dict[str, Section]:
    known: dict[str, Videos] = dict.fromkeys(("ffmpeg", "before", "now", "plain"), scripted)
    found = list(bench.benchmark(work, given, tell=lambda _: None, make=lambda *_: known, **options))
    for section in found:
        rows(section)
    return {section.title: section for section in found}


@pytest.mark.usefixtures("tiny")
def test_a_failing_clip_is_a_row_and_every_clip_is_read_in_turn(tmp_path: Path) -> None:
    scripted = Scripted()
    broken = bench.Clip(Path("given/broken.mp4"), 10.0)
    sections = whole(tmp_path, scripted, [CLIP, broken], before=tmp_path, lengths=[4])
    per_clip = [("default", False), ("default", False), ("default", False), ("fast", False), ("default", True)]
    assert scripted.asked == [
        *(("two_minutes", *reading) for reading in [*per_clip, ("default", True), ("default", True)]),
        *(("clip", *reading) for reading in per_clip),
        *(("broken", *reading) for reading in per_clip),
        ("two_minutes", "default", False),
        ("4_minutes", "default", False),
    ]
    row = rows(sections["Wall / duration"])[2]
    assert (row["clip"], row["before"], row["default"]) == ("broken.mp4", "failed", "failed")
    assert row["f32 without bf16"] == "–"
    (command,) = [title for title in sections if "brand-detect run" in title]
    assert [row["now"] for row in rows(sections[command])] == [9.0, 4.0]
    verdict = rows(sections["Verdicts"])[-1]
    assert (verdict["measured"], verdict["verdict"]) == (5, "not met")
    assert "given/broken.mp4, fast: The video is broken." in verdict["which"]
    assert len(rows(sections["Runs"])) == 7 + 5


@pytest.mark.usefixtures("tiny")
def test_a_call_can_resume_another(tmp_path: Path) -> None:
    broken = bench.Clip(Path("given/broken.mp4"), 10.0)
    whole(tmp_path, Scripted(), [CLIP, broken])
    again = Scripted()
    sections = whole(tmp_path, again, [CLIP, broken], resume=True)
    assert {stem for stem, *_ in again.asked} == {"broken"}, "only what failed"
    assert rows(sections["Wall / duration"])[1]["default"] == pytest.approx(0.2)
    fresh = Scripted()
    whole(tmp_path, fresh, [CLIP])
    assert "clip" in {stem for stem, *_ in fresh.asked}


def test_given_clips_are_those_of_seven_seconds_and_more(tmp_path: Path) -> None:
    for name, seconds in (("a.mp4", 8), ("short.mp4", 6), ("unlabelled.mp4", 7)):
        write_clip(tmp_path / name, [scene(1)] * seconds, fps=1)
    labels = {name: {"duration_s": 8, "clear": {"Kia": {}}, "hard": {}} for name in ("a.mp4", "short.mp4")}
    (tmp_path / "labels.json").write_text(json.dumps(labels | {"_about": "by hand"}))
    a, unlabelled = bench.clips_of(tmp_path)
    assert (a.video.name, a.duration_s, unlabelled.labels) == ("a.mp4", pytest.approx(8), None)
    assert a.labels
    assert a.labels.labels[0].brand == "Kia"
    with pytest.raises(BadInput, match="labels"):
        bench.clips_of(tmp_path / "nowhere")
