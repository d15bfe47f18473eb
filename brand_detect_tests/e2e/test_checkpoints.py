"""A kill in the middle of a write on each kind of storage; under ``make test-slow`` several processes on one store."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import Permanent
from brand_detect.domain.pipeline import LINE, STAGES
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store
from brand_detect_tests.e2e.conftest import Place
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip

SUBMIT = "brand_detect_tests.support.submit"


def test_a_kill_in_the_middle_of_a_write_loses_nothing(place: Place):
    asked = {
        "folder": str(place.folder),
        "store_root": place.store_root,
        "media_roots": place.media_roots,
        "video": place.video,
        "job_id": place.job_id,
        "stage": "detect_objects",
        "file": "regions.parquet",
    }
    died = subprocess.run([sys.executable, "-m", SUBMIT, json.dumps(asked)], capture_output=True, check=False)
    assert died.returncode == -9, died.stderr.decode()[-2000:]

    before = place.hashes()
    with pipeline(place.folder, store_root=place.store_root, media_roots=place.media_roots, kept=True) as built:
        store = built.services.store
        listed = {stage: store.attempts(place.job_id, stage) for stage in LINE}
        assert [stage for stage in LINE if listed[stage]] == ["job_request", "extract_frames", "filter_scenes"]
        for stage in ("job_request", "extract_frames", "filter_scenes"):
            store.load(AttemptRef(place.job_id, stage, listed[stage][0].attempt))

        resumed = built.runner.replay(place.job_id, "detect_objects")
        assert resumed.attempts["extract_frames"] == listed["extract_frames"][0].attempt
        assert {resumed.attempts[stage] for stage in STAGES[2:]} == {f"{resumed.run_id}-0"}
        for stage in STAGES:
            resumed.load(stage)
    after = place.hashes()
    assert {name: after[name] for name in before} == before


@pytest.mark.slow
def test_one_process_per_step_gives_the_same(tmp_path: Path, clean_environment: dict[str, str]):
    clip = two_shot_clip(tmp_path / "match.mp4")
    with pipeline(tmp_path, kept=True) as built:
        one = built.runner.submit(str(clip), job_id="one")
    environment = clean_environment | {"FOLDER": str(tmp_path), "VIDEO": str(clip), "DAGSTER_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "brand_detect_tests.support.multiprocess"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    store = one.store
    for stage in ("filter_scenes", "match_brands", "compile_report"):
        [many] = store.attempts("many", stage)
        assert many.data_version == one.manifest(stage).data_version, stage
    [report] = store.attempts("many", "compile_report")
    assert set(report.upstream.values()) - {report.upstream["brand_catalog"]} == {report.attempt}


@pytest.mark.slow
def test_two_jobs_at_once_do_not_meet(tmp_path: Path):
    clips = [two_shot_clip(tmp_path / f"{name}.mp4", seconds) for name, seconds in (("a", 4.0), ("b", 6.0))]
    asked = [
        {"folder": str(tmp_path), "store_root": "", "media_roots": [], "video": str(clip), "job_id": clip.stem}
        for clip in clips
    ]
    with pipeline(tmp_path, kept=True) as built:
        built.runner.refresh_catalog()
        both = [
            subprocess.Popen([sys.executable, "-m", SUBMIT, json.dumps(a)], stderr=subprocess.DEVNULL) for a in asked
        ]
        assert [process.wait(120) for process in both] == [0, 0]
        for job_id, seconds in (("a", 2.0), ("b", 3.0)):
            [manifest] = built.services.store.attempts(job_id, "compile_report")
            report = built.services.store.load(AttemptRef(job_id, "compile_report", manifest.attempt))
            assert isinstance(report, Report)
            assert [round(b["seconds"], 1) for b in report.brands.to_pylist()] == [seconds]


def test_a_real_s3_server_is_probed_and_left_as_it_was(s3: Path):
    assert Store("s3://bucket/probed").blobs.probe() in ([], ["it allows existing files to be replaced"])
    assert not [p for p in (s3 / "bucket").rglob("*probe*") if p.is_file()]
    with pytest.raises(Permanent, match="could not be written"):
        Store("s3://no-such-bucket/probed").blobs.probe()
