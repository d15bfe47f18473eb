"""What a job leaves in Dagster's log, where everything is kept for as long as the run is."""

from pathlib import Path

import dagster as dg
from dagster._serdes import serialize_value

from brand_detect.domain.pipeline import ESCALATIONS, LINE
from brand_detect_tests.support.logos import svg, write
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip

PICTURE_BYTES = 7_168
JOB_BYTES = 250_000
"""More than half of it is what Dagster itself writes of 9 steps."""


def test_pictures_and_events_of_a_job_are_small(tmp_path: Path):
    write(tmp_path, {"brands.yaml": "- {name: Acme, logos: [acme.svg]}", "acme.svg": svg()})
    video = two_shot_clip(tmp_path / "match.mp4")
    with pipeline(tmp_path) as built:
        job = built.runner.submit(str(video), job_id="match")
        logged = [serialize_value(entry) for entry in built.instance.all_logs(job.run_id)]
        pictures = {}
        for asset in ("brand_catalog", *LINE):
            event = built.instance.get_latest_materialization_event(dg.AssetKey(asset))
            assert event
            assert event.asset_materialization
            if shown := event.asset_materialization.metadata.get("picture"):
                pictures[asset] = len(str(shown.value))
    assert pictures.keys() == {"brand_catalog", *LINE[1:]} - {*ESCALATIONS}, "they would show what match_brands shows"
    assert max(pictures.values()) <= PICTURE_BYTES
    assert sum(map(len, logged)) <= JOB_BYTES
