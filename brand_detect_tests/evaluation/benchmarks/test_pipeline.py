"""The benchmark's tables, on runs made by hand."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from brand_detect.domain.contracts import check_overrides
from brand_detect.domain.job import Overrides
from brand_detect.evaluation.benchmarks import pipeline as bench
from brand_detect.evaluation.scoring.score import ClipLabels, Label
from brand_detect.evaluation.synthetic.footage import Scenario
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store
from brand_detect_tests.evaluation.scoring.test_score import exposure, job
from brand_detect_tests.support import payloads as p

LABELS = ClipLabels("clip.mp4", 10.0, (Label("Kia", True, ((2.0, 4.0),)), Label("Rolex", True, ((0.0, 10.0),))))


def run(video: Path, overrides: Overrides) -> bench.RunResult:
    """10 s, 20 frames, 2 tracks. Reading in full costs more and finds Rolex as well."""
    full = overrides == bench.IN_FULL
    shown = [exposure("Kia", 2.0, 5.0)] + [exposure("Rolex", 0.0, 10.0)] * full
    made = job([p.region(0, "a"), p.region(0, "b")], exposures=shown)
    calls = 20.0 if full else 5.0
    made["detect_objects"] = replace(
        made["detect_objects"], stats={"detector_calls": calls, "pictures_searched": calls / 2}
    )
    made["run_ocr"] = replace(made["run_ocr"], stats={"lines_read": 8.0 if full else 3.0})
    seconds = 1.0 if video.name == "short.mp4" else 4.0
    return bench.RunResult(made, {"extract_frames": seconds, "run_ocr": 0.0}, 5 * bench.MIB)


def hungry(video: Path, overrides: Overrides) -> bench.RunResult:
    data = b"x" * ((10 if video.name == "short.mp4" else 200) * bench.MIB)
    result = run(video, overrides)
    del data
    return result


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh process finds this module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))


def rows(section: bench.Section) -> list[dict]:
    json.dumps(section.to_json())
    Console(file=io.StringIO()).print(section.table())
    return section.to_json()["rows"]


def test_speed() -> None:
    result = run(Path("clip.mp4"), {})
    (row,) = rows(bench.speed([bench.Measured(Path("clip.mp4"), result, 4.0)]))
    assert row == {
        "clip": "clip.mp4",
        "duration s": 10.0,
        "wall s": 4.0,
        "wall / duration": 0.4,
        "detector calls / sampled frame": 0.25,
        "pictures searched / sampled frame": 0.125,
        "lines read / track": 1.5,
        "state MiB / video minute": 30.0,
    }


def test_state() -> None:
    store = Store("memory://state")
    store.blobs.put("match/extract_frames/run-0/frames-00000.tar", b"jpeg" * 8)

    def reads(video: Path, overrides: Overrides) -> bench.RunResult:
        ref = AttemptRef("match", "extract_frames", "run-0")
        for n in range(5):
            store.read_part(ref, "frames-00000.tar", 4 * n, 4 * n + 4)
        store.read_part(ref, "frames-00000.tar")
        return run(video, overrides)

    (row,) = rows(bench.state([bench.measured(reads, Path("clip.mp4"), {})]))
    assert row == {
        "clip": "clip.mp4",
        "frames MB / video minute": pytest.approx(0.12),  # 20 frames of 1,000 bytes in 10 s
        "frames stored as repeats %": 0.0,
        "all checkpoints MB / video minute": pytest.approx(30 * bench.MIB / 1e6),
        "frame requests / sampled frame": 0.25,
    }


def test_reading_in_full_stands_beside_the_default() -> None:
    default, full = (bench.measured(run, Path("clip.mp4"), o) for o in ({}, bench.IN_FULL))
    a, b = rows(bench.against_full([(LABELS, default, full)]))
    assert (a["reading"], a["clear brands found"], a["recall %"]) == ("default", "1 of 2", 50)
    assert (b["reading"], b["clear brands found"], b["recall %"]) == ("every frame in full", "2 of 2", 100)
    assert (a["lines read"], b["lines read"]) == (3, 8)
    assert a["mean |error| of seconds %"] == pytest.approx(50)


def test_reading_in_full_is_made_of_valid_settings() -> None:
    assert check_overrides(bench.IN_FULL) == bench.IN_FULL


@pytest.mark.usefixtures("importable")
def test_memory_is_that_of_a_process_of_its_own() -> None:
    ballast = b"x" * (400 * bench.MIB)
    short, long = (bench.footprint(hungry, Path(name)) for name in ("short.mp4", "long.mp4"))
    del ballast
    grown = (long.peak_bytes - short.peak_bytes) / bench.MIB
    assert 150 < grown < 250, "190 MiB more, whatever the parent holds"


def test_memory_table() -> None:
    prints = {
        "short.mp4": bench.Footprint(20.0, 500 * bench.MIB, {"extract_frames": 2.0, "run_ocr": 0.0}, 120),
        "long.mp4": bench.Footprint(200.0, 550 * bench.MIB, {"extract_frames": 20.0, "run_ocr": 1.0}, 1200),
    }
    section = bench.memory(lambda path: prints[path.name], Path("short.mp4"), Path("long.mp4"))
    ratios = {row["figure"]: row["long / short"] for row in rows(section)}
    assert ratios == pytest.approx(
        {"video, s": 10, "peak memory, MiB": 1.1, "wall, s": 10, "extract_frames, s": 10, "run_ocr, s": 0}
    )


@pytest.mark.usefixtures("importable")
def test_the_whole_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Scenario(seconds=2.5, width_px=64, height_px=64, fps=12)
    monkeypatch.setattr(bench, "TWO_MINUTES", tiny)
    monkeypatch.setattr(bench, "measure_sampling", lambda _video, runs: {"wall_ratio": 1.1, "runs": runs})
    monkeypatch.setattr(bench, "TWENTY_MINUTES", replace(tiny, repeats=2))
    sections = list(
        bench.benchmark(
            tmp_path,
            run,
            [(Path("clip.mp4"), LABELS)],
            long=True,
        )
    )
    assert [len(rows(section)) for section in sections] == [2, 2, 2, 4, 5]
    assert {"two_minutes.mp4", "twenty_minutes.mp4"} <= {path.name for path in tmp_path.iterdir()}
