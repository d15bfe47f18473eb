"""SIGKILL in the middle of an escalation that is paid for: what was answered is not paid again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.protocols import Area, Image, Reading, Region
from brand_detect.storage.spending import MICRO, Spending
from brand_detect.storage.store import Store
from brand_detect_tests.support.model_server import INPUT_TOKENS, OUTPUT_TOKENS, ModelServer, key_of, serving
from brand_detect_tests.support.pipeline import ScriptedDetector, ScriptedReader, pipeline
from brand_detect_tests.support.videos import write_clip

WORDS = (
    *("VELORA", "STADFELG", "TRASKEN", "OPALUX", "FENWICK", "KNOPPEY", "HALCYN", "MORDIX"),
    *("PETRAGO", "SYLVANE", "KORUNDA", "BAXTERY", "ECLIPZA", "JUNIPEX", "NIMBOLT", "WYVERNO"),
)
AT_A_TIME = 2
USD = (0.15 * INPUT_TOKENS + 0.6 * OUTPUT_TOKENS) / 1e6
"""What the server bills for a question."""
ESCALATE = f"""
from brand_detect.cli.local import local_runner
with local_runner() as runner:
    runner.replay("match", "escalate_cloud", {{"escalate_cloud": {{
        "provider": "openai", "model": "gpt-4o-mini", "concurrency": {AT_A_TIME}, "max_usd": 5.0}}}})
"""


class Boards(ScriptedDetector):
    """Sees sixteen boards, four in a row."""

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:  # noqa: ARG002
        height, width = image.shape[0] / 4, image.shape[1] / 4
        corners = np.array([[0.2, 0.3], [0.8, 0.3], [0.8, 0.7], [0.2, 0.7]])
        places = [(x, y) for y in range(4) for x in range(4)]
        quads = [((corners + place) * [width, height]).astype(np.float32) for place in places]
        return [Region(RegionKind.text, "", 0.9, quad) for quad in quads]


class ByBrightness(ScriptedReader):
    """Reads another word on each board."""

    def read(self, crops: Sequence[Image]) -> list[Reading]:
        return [Reading(WORDS[round((float(crop.mean()) - 20) / 14)], 0.95) for crop in crops]


def pictures() -> Iterator[Image]:
    levels = 20 + 14 * np.arange(16, dtype=np.uint8).reshape(4, 4)
    grey = np.kron(levels, np.ones((90, 120), np.uint8))
    for _ in range(20):
        yield np.repeat(grey[:, :, None], 3, axis=2)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving() as state:
        state.then, state.slow_s = "slow", 0.2
        yield state


def start(folder: Path, server: ModelServer) -> subprocess.Popen[str]:
    env = os.environ | {
        "DAGSTER_HOME": str(folder),
        "BRAND_DETECT_STORE_ROOT": str(folder / "store"),
        "BRAND_DETECT_CATALOG": str(folder / "brands.yaml"),
        "BRAND_DETECT_REMOTE": "1",
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "OPENAI_API_KEY": key_of("openai"),
    }
    return subprocess.Popen([sys.executable, "-c", ESCALATE], env=env, stderr=subprocess.PIPE, text=True)


def kept(folder: Path) -> int:
    return len([*(folder / "store" / "_answers").rglob("*.json")])


def test_what_was_answered_before_a_kill_is_not_paid_again(tmp_path: Path, server: ModelServer):
    with pipeline(
        tmp_path, region_detectors=lambda *_: [Boards()], text_reader=lambda _: ByBrightness(), kept=True
    ) as built:
        clip = write_clip(tmp_path / "match.mp4", pictures(), fps=10)
        matched = built.runner.submit(str(clip), job_id="match").manifest("match_brands")
    assert matched.counts["unresolved"] == len(WORDS), matched.counts

    first = start(tmp_path, server)
    limit_s = time.monotonic() + 60
    while kept(tmp_path) < 5:
        assert first.poll() is None, first.stderr and first.stderr.read()
        assert time.monotonic() < limit_s, "nothing was answered in a minute"
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before_kill, asked = kept(tmp_path), len(server.questions)
    assert before_kill < len(WORDS), "the kill came too late to show anything"
    assert asked - before_kill <= AT_A_TIME, "only what was under way is lost"

    second = start(tmp_path, server)
    said = second.communicate(timeout=120)[1]
    assert second.returncode == 0, said
    assert len(server.questions) - asked == len(WORDS) - before_kill, "what was kept is not asked again"
    assert kept(tmp_path) == len(WORDS)
    store = Store(str(tmp_path / "store"))
    [attempt] = store.attempts("match", "escalate_cloud")[1:]
    assert (attempt.stats["remembered"], attempt.stats["questions"]) == (before_kill, len(WORDS) - before_kill)
    spent_usd = Spending(store.blobs, 0.0, 0.0).spent_micro(time.strftime("%Y-%m-%d", time.gmtime())) / MICRO
    assert spent_usd >= len(server.questions) * USD, "what broke off is counted, at what was set aside for it"
