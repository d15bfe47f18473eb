"""Problems and notifications through Dagster's daemon and code server: half minutes, for sensors tick so often."""

import hashlib
import hmac
from pathlib import Path

import httpx2
import pytest

from brand_detect.domain.errors import Permanent
from brand_detect_tests.support.pipeline import two_shot_clip
from brand_detect_tests.support.receiver import PATH, receiving
from brand_detect_tests.support.stack import PATIENCE_S, Stack, until

TICKS = """
query Ticks($sensor: SensorSelector!) {
  sensorOrError(sensorSelector: $sensor) { ... on Sensor { sensorState { ticks(limit: 100) { skipReason } } } }
}
"""


@pytest.mark.slow
def test_a_report_a_failure_and_its_mending_are_told_and_shown(tmp_path: Path):
    with receiving() as receiver:
        webhook = {
            "BRAND_DETECT_WEBHOOK_URL": receiver.url,
            "BRAND_DETECT_WEBHOOK_HOSTS": f"127.0.0.1:{receiver.port}",
            "BRAND_DETECT_WEBHOOK_SECRET": "s3cr3t",
        }
        stack = Stack(tmp_path / "home", environment=webhook)
        receiver.answers = [500]
        try:
            stack.start()
            with stack.client() as client:
                until(lambda: "runs that end from now on" in _said(stack), "it has begun")
                clip = two_shot_clip(stack.folder / "match.mp4")
                client.wait(client.submit(str(clip), job_id="match").run_id, PATIENCE_S)
                stack.tell("broken", "run_ocr")
                with pytest.raises(Permanent):
                    client.wait(client.replay("match", "run_ocr").run_id, PATIENCE_S)
                until(lambda: len(receiver.got) >= 3, "all is told", 240)
                found = until(lambda: client.problems().problems, "the problem is shown")
                assert [(p.job_id, p.stage, p.what) for p in found] == [
                    ("match", "run_ocr", "run_ocr is broken today.")
                ]
                stack.tell("broken", "")
                client.wait(client.replay("match", "run_ocr").run_id, PATIENCE_S)
                until(lambda: not client.problems().problems, "it is mended")
                assert client.problems().failing == ()
        finally:
            stack.stop()
        told = ["report_finished", "report_finished", "run_failed"]
        assert [event for event, _ in receiver.told][:3] == told, "the first was answered with 500 and came again"
        assert receiver.got[0][0]["id"] == receiver.got[1][0]["id"]
        for body, (_, headers) in zip(receiver.raw, receiver.got, strict=True):
            signature = hmac.new(b"s3cr3t", body, hashlib.sha256).hexdigest()
            assert headers["X-Brand-Detect-Signature"] == f"sha256={signature}"
        written = b"".join(f.read_bytes() for f in stack.folder.rglob("*") if f.is_file())
        assert b"s3cr3t" not in written
        assert PATH.encode() not in written, "neither logs nor databases hold the address"


def _said(stack: Stack) -> str:
    """What the sensor said at its ticks."""
    sensor = {
        "repositoryName": "__repository__",
        "repositoryLocationName": stack.module,
        "sensorName": "notifications",
    }
    body = {"query": TICKS, "variables": {"sensor": sensor}}
    return httpx2.post(f"{stack.url}/graphql", json=body, timeout=60).text
