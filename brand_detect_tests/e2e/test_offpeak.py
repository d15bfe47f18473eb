"""The night's retries through the daemon: minutes, for a schedule ticks once a minute."""

from pathlib import Path

import pytest

from brand_detect.domain.tags import RETRY_OF
from brand_detect_tests.support.pipeline import two_shot_clip
from brand_detect_tests.support.stack import PATIENCE_S, Stack, until


@pytest.mark.slow
def test_a_job_with_open_questions_is_retried_at_the_set_time(tmp_path: Path):
    night = {
        "BRAND_DETECT_OFFPEAK": "on",
        "BRAND_DETECT_OFFPEAK_CRON": "* * * * *",
        "BRAND_DETECT_OFFPEAK_OVERRIDES": '{"escalate_vlm": {"provider": "transformers", "model": "scripted"}}',
    }
    stack = Stack(tmp_path, environment=night)
    stack.tell("answers.json", '{"ACME WIDGETS": "Emirates"}')
    try:
        stack.start()
        with stack.client() as client:
            clip = two_shot_clip(tmp_path / "match.mp4")
            client.wait(client.submit(str(clip), job_id="match").run_id, PATIENCE_S)
            retried = until(
                lambda: [r for r in client.runs("match") if RETRY_OF in r.tags and r.status == "success"],
                "the job is retried",
                300,
            )
            assert {b["brand"] for b in client.report("match", retried[0].run_id).brands} == {"Rolex", "Emirates"}
            assert len(retried) == 1
    finally:
        stack.stop()
    assert (tmp_path / "asked").read_text().splitlines() == ["scripted ACME WIDGETS"]
