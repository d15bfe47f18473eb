"""Nothing secret is written down: not in run config, tags or events, not with checkpoints, not with machines."""

import json
from pathlib import Path

import dagster as dg
import pytest

from brand_detect.domain.settings import PROVIDER_KEYS
from brand_detect.operations.monitoring.machines import MACHINES
from brand_detect.orchestration.database import stored_values
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip

SECRETS = {
    name: f"h4sh-{n}-me-not"
    for n, name in enumerate(
        (
            *PROVIDER_KEYS,
            *("BRAND_DETECT_API_KEY", "BRAND_DETECT_DAGSTER_TOKEN", "BRAND_DETECT_WEBHOOK_SECRET"),
            *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        )
    )
} | {
    "BRAND_DETECT_MODEL_API_KEYS": json.dumps({"models.example.org:8000": "h4sh-them-not"}),
    "BRAND_DETECT_BROKER_URL": "rediss://:h4sh-it-not@queue.example.org:6379/0",
    "BRAND_DETECT_POSTGRES_URL": "postgresql+psycopg2://u:h4sh-that-not@db.example.org/d",
}


def test_a_job_leaves_no_secret_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    video = two_shot_clip(tmp_path / "match.mp4", seconds=1.0)
    with pipeline(tmp_path, kept=True) as built:
        job = built.runner.submit(str(video), job_id="match", overrides={"run_ocr": {"max_crops": 2}})
        [machine] = stored_values(built.instance, MACHINES).values()
        assert '"OPENAI_API_KEY": "set"' in machine
        assert built.instance.get_latest_materialization_event(dg.AssetKey("compile_report"))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(job.run_id.encode() in file.read_bytes() for file in files), "Dagster's database is among them"
    assert [file.name for file in files if b"h4sh-" in file.read_bytes()] == []
