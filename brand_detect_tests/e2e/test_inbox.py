"""Files that arrive at once in the inbox of a real Dagster, killed in between: each becomes one job, once.

Under ``make test``, ``test_served.py`` has a file arrive at a real Dagster, and the tests of ``operations/inbox.py``
lose what a kill loses: a tick's cursor, its launches, the run that was made and not queued.
"""

import random
import sqlite3
import statistics
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from brand_detect.domain.media import default_job_id
from brand_detect.domain.tags import PARTITION
from brand_detect.operations.inbox import MOST_RUNS, STATE
from brand_detect_tests.support.pipeline import two_shot_clip
from brand_detect_tests.support.stack import Stack, until

QUERY = """
query Inbox($sensor: SensorSelector!) {
  runsOrError(filter: {tags: [{key: "dagster/sensor_name", value: "inbox"}]}) {
    ... on Runs { results { runId status tags { key value } } }
  }
  sensorOrError(sensorSelector: $sensor) {
    ... on Sensor {
      sensorState { ticks(limit: 1000) { status timestamp endTimestamp cursor runIds skipReason error { message } } }
    }
  }
  assetNodeOrError(assetKey: {path: ["job_request"]}) { ... on AssetNode { partitionKeys } }
}
"""
SENSOR = {
    "repositoryName": "__repository__",
    "repositoryLocationName": "brand_detect_tests.support.served",
    "sensorName": "inbox",
}


@dataclass
class Arrival:
    """Videos that arrive in the inbox of one stack."""

    stack: Stack
    inbox: Path
    random: random.Random
    expected: set[str] = field(default_factory=set)
    began_s: float = 0.0

    def hold(self, held: bool) -> None:
        """Let the runs of the inbox wait in the queue: a thousand of them are not carried out here."""
        path = self.stack.folder / "dagster.yaml"
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        # else Dagster fails one that a kill kept from the queue for longer, and makes it again: a job with two runs
        config["run_monitoring"]["start_timeout_seconds"] = 600
        limits = config["concurrency"]["runs"]["tag_concurrency_limits"]
        limit = {"key": "dagster/sensor_name", "value": "inbox", "limit": 0}
        limits.append(limit) if held else limits.remove(limit)
        path.write_text(yaml.safe_dump(config), encoding="utf-8")

    def drop(self, count: int) -> None:
        """Distinct videos: a clip with some bytes behind its end, which players ignore."""
        clip = two_shot_clip(self.stack.folder / "clip.mp4").read_bytes()
        self.began_s = time.time()
        for n in range(count):
            data = clip + f"{n:08}".encode()
            (self.inbox / f"match {n}.mp4").write_bytes(data)
            self.expected.add(default_job_id(f"match {n}", sha256(data).hexdigest()))

    def look(self) -> dict[str, Any]:
        body = {"query": QUERY, "variables": {"sensor": SENSOR}}
        answer = httpx2.post(f"{self.stack.url}/graphql", json=body, timeout=60).json()
        assert not answer.get("errors"), answer
        return answer["data"]

    def runs(self) -> list[dict[str, Any]]:
        return self.look()["runsOrError"]["results"]

    def ticks(self) -> list[dict[str, Any]]:
        return self.look()["sensorOrError"]["sensorState"]["ticks"]

    def arrive(self, kills: int, patience_s: float) -> None:
        """Wait until all are there, with kills spread over the time that it takes."""
        for n in range(kills):
            until(lambda n=n: len(self.runs()) > n * len(self.expected) // max(kills, 1), "runs come", patience_s)
            time.sleep(self.random.uniform(0, 3))
            self.stack.kill()
            self.stack.start()
        until(self._all_there, "all have arrived", patience_s)

    def _all_there(self) -> bool:
        time.sleep(1)  # a look at a thousand runs is work too
        return len(self.runs()) >= len(self.expected)

    def settle(self) -> None:
        """A whole tick more, which finds nothing."""
        seen = len(self.ticks())
        until(lambda: len(self.ticks()) >= seen + 2, "more ticks")

    def check(self) -> None:
        found = self.look()
        runs = found["runsOrError"]["results"]
        jobs = Counter(tag["value"] for run in runs for tag in run["tags"] if tag["key"] == PARTITION)
        assert set(jobs) == self.expected
        assert set(jobs.values()) == {1}
        assert {run["status"] for run in runs} == {"QUEUED"}
        assert set(found["assetNodeOrError"]["partitionKeys"]) == self.expected
        assert all(len(tick["runIds"]) <= MOST_RUNS for tick in self.ticks())

    def figures(self) -> str:
        ticks = [tick for tick in self.ticks() if tick["runIds"]]
        seconds = [tick["endTimestamp"] - tick["timestamp"] for tick in ticks if tick["endTimestamp"]]
        with sqlite3.connect(next(self.stack.folder.rglob("runs.db"))) as db:
            [[state]] = db.execute("select value from kvs where key = ?", (STATE,)).fetchall()
        return (
            f"{len(self.expected)} files, {len(ticks)} ticks with runs, {statistics.median(seconds):.1f} s a tick "
            f"(longest {max(seconds):.1f}), {max(t['endTimestamp'] or 0 for t in ticks) - self.began_s:.0f} s in all, "
            f"largest cursor {max(len(tick['cursor'] or '') for tick in ticks)} bytes, state {len(state)} bytes"
        )

    def some_run(self, count: int) -> None:
        """Let go what is held, until some have their reports."""
        self.stack.kill()
        self.hold(False)
        self.stack.start()

        def done() -> list[str]:
            ended = [run for run in self.runs() if run["status"] == "SUCCESS"]
            return [t["value"] for run in ended for t in run["tags"] if t["key"] == PARTITION][:count]

        until(lambda: len(done()) == count, "some have run", 300)
        with self.stack.client() as client:
            for job_id in done():
                assert [brand["brand"] for brand in client.report(job_id).brands] == ["Rolex"]


def arrival(folder: Path, count: int, kills: int, patience_s: float = 120.0, *, to_run: int = 0) -> None:
    """One arrival from start to end; prints its figures."""
    inbox = folder / "inbox"
    inbox.mkdir(parents=True)
    settings = {"BRAND_DETECT_INBOX": str(inbox), "BRAND_DETECT_INBOX_SETTLE_S": "1"}
    made = Arrival(Stack(folder, environment=settings), inbox, random.Random(7))
    made.hold(True)
    try:
        made.stack.start()
        made.drop(count)
        made.arrive(kills, patience_s)
        made.settle()
        made.check()
        print(f"\n{kills} kills: {made.figures()}")
        if to_run:
            made.some_run(to_run)
    finally:
        with suppress(ProcessLookupError):
            made.stack.kill()


@pytest.mark.slow
def test_ten_files_and_a_kill_make_ten_jobs(tmp_path: Path):
    arrival(tmp_path, 10, 1)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [0, 5])
def test_a_thousand_files_make_a_thousand_jobs(tmp_path: Path, kills: int):
    arrival(tmp_path, 1000, kills, patience_s=3600, to_run=2)
