"""The process behind a benchmark: what it says of a run, and the memory of each stage."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from brand_detect.domain.pipeline import LINE
from brand_detect.evaluation.benchmarks import driver
from brand_detect.evaluation.benchmarks.common import MIB
from brand_detect.evaluation.benchmarks.worker import Run, Worker
from brand_detect.evaluation.synthetic.footage import Scenario, write_sample
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip


def test_a_run_in_plain_values(tmp_path: Path) -> None:
    video = two_shot_clip(tmp_path / "match.mp4")
    with pipeline(tmp_path) as built:
        answer = driver.run(
            built.runner, driver.Peaks(), video=str(video), profile="default", overrides={"run_ocr": {"max_crops": 1}}
        )
        job = built.runner.submit(str(video), overrides={"run_ocr": {"max_crops": 1}})
    run = Run(**json.loads(json.dumps(answer)))
    assert run.duration_s == pytest.approx(4.0)
    assert run.stage_s.keys() == set(LINE)
    assert run.wall_s > sum(run.stage_s.values())
    assert run.counts["extract_frames"]["frames"] == 8
    assert run.stats["run_ocr"]["lines_read"] == job.load("run_ocr").stats["lines_read"]  # pyright: ignore
    assert [row["brand"] for row in run.exposures] == ["Rolex"]
    assert run.engines["reader"] == "scripted reader"
    assert run.state_bytes > run.frame_bytes > 0
    assert 0 < run.frame_requests <= 8 * len(LINE)


@pytest.mark.skipif(not driver.CLEAR.exists(), reason="only Linux can begin a new peak")
def test_each_stage_has_its_own_peak_of_memory() -> None:
    code = """
from brand_detect.evaluation.benchmarks import driver
peaks = driver.Peaks()
peaks.stage("extract_frames", None)
ballast = bytearray(300 * 2**20)
del ballast
peaks.stage("filter_scenes", None)
peaks.stage("end", None)
print(*(peaks.bytes[stage] for stage in ("start", "extract_frames", "filter_scenes")))
peaks.begin("start")
assert not peaks.bytes
"""
    # In a process of its own: what other tests leave running has peaks as well.
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    start, extract, filtered = map(int, told.split())
    assert extract - filtered > 250 * MIB
    assert start < extract


@pytest.mark.slow
def test_a_real_process(tmp_path: Path) -> None:
    video = tmp_path / "tiny.mp4"
    write_sample(video, Scenario(seconds=2, width_px=320, height_px=180))
    videos = Worker(tmp_path / "home", [video], video)
    run = videos.run(video, "fast", {}, 2.0)
    videos.close()
    assert {"job_request", "detect_objects", "compile_report"} <= run.peak_bytes.keys()
    assert run.exposures
    assert not (tmp_path / "home").exists()
