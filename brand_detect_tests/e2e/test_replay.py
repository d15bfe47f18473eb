"""One job through a real Dagster: what a replay and a retry read, keep, hold and never change."""

import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from brand_detect.client import Client, Run
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.history import Attempt, History
from brand_detect.domain.pipeline import CATALOG, LINE, ROOT, STAGES, downstream_of, upstream_of
from brand_detect.domain.tags import HOLD, RELEASED
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store
from brand_detect_tests.support.pipeline import CATALOG as BRANDS
from brand_detect_tests.support.pipeline import two_shot_clip
from brand_detect_tests.support.stack import PATIENCE_S, Stack

JOB = "match"
LATER_S = 3600.0


def on(model: str) -> dict[str, str]:
    """Params that ask ``model``."""
    return {"provider": "transformers", "model": model}


@dataclass
class Served:
    """A stack with one finished job; tests add attempts to it and never change one."""

    stack: Stack
    client: Client
    seen: dict[Path, str] = field(default_factory=dict)
    """The hash of each file of a checkpoint, as it was when first looked at."""

    def finished(self, run: Run) -> Run:
        """``run`` once it has succeeded."""
        end = time.monotonic() + PATIENCE_S
        for look, pause_s in self.client.polls(run.run_id):
            if pause_s == 0:
                self.remember()
                return look
            assert time.monotonic() < end, look
            time.sleep(0.2)
        raise AssertionError("a run is looked at until it has ended")

    def remember(self) -> None:
        for name, sha256 in hashes(self.stack.store).items():
            self.seen.setdefault(name, sha256)

    def history(self) -> History:
        return self.client.checkpoints(JOB)

    def made(self, run: Run, stage: str) -> Attempt:
        """The attempt of ``stage`` that ``run`` wrote."""
        found = self.history().find(stage, f"{run.run_id}-0")
        assert found is not None, f"{run.run_id} wrote no {stage}"
        return found

    def brands(self, run: Run) -> set[str]:
        """Those in the report that ``run`` wrote."""
        return {brand["brand"] for brand in self.client.report(JOB, run.run_id).brands}

    def asked(self) -> list[str]:
        """Provider and text of every question so far."""
        path = self.stack.folder / "asked"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def hashes(store: Path) -> dict[Path, str]:
    """SHA-256 of each file of every finished attempt."""
    files = (p for manifest in store.glob("*/*/*/manifest.json") for p in manifest.parent.iterdir())
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    stack = Stack(tmp_path_factory.mktemp("replay"), own_processes=False)
    video = two_shot_clip(stack.folder / "match.mp4")
    try:
        with stack.start().client() as client:
            found = Served(stack, client)
            found.finished(client.submit(str(video), job_id=JOB))
            yield found
    finally:
        stack.stop()


def test_a_submitted_job_has_a_checkpoint_of_each_stage_made_from_all_above(served: Served):
    history = served.history()
    [first] = history.stages[ROOT].attempts
    for stage in LINE:
        [attempt] = history.stages[stage].attempts
        catalog = {CATALOG: history.catalog_version} if stage in downstream_of("match_brands") else {}
        assert attempt.upstream == {**dict.fromkeys(upstream_of(stage), first.attempt), **catalog}, stage
    report = served.client.report(JOB)
    assert [brand["brand"] for brand in report.brands] == ["Rolex"]
    assert report.unresolved == 1


def test_a_replay_keeps_what_was_tuned_until_it_is_reset(served: Served):
    client = served.client
    tuned = served.finished(client.replay(JOB, "match_brands", {"match_brands": {"min_confidence": 0.99}}))
    assert tuned.stages == STAGES[STAGES.index("match_brands") :]
    assert served.brands(tuned) == set()
    plain = served.finished(client.replay(JOB, "match_brands"))
    assert served.made(plain, "match_brands").overrides == {"min_confidence": 0.99}
    assert served.brands(plain) == set()
    reset = served.finished(client.replay(JOB, "match_brands", reset=["match_brands"]))
    assert served.made(reset, "match_brands").overrides == {}
    assert served.brands(reset) == {"Rolex"}


def test_reuse_leaves_out_what_is_there_and_pins_it(served: Served):
    same = served.finished(served.client.replay(JOB, "extract_frames", reuse=True))
    assert same.stages == ("compile_report",)
    before = served.history()
    taken = before.line_of(served.made(same, "compile_report"))
    assert same.tags["brand_detect/pin.escalate_cloud"] == taken["escalate_cloud"].attempt
    assert all(taken[stage].run_id != same.run_id for stage in LINE[:-1])

    overrides = {"match_brands": {"fuzzy_score": 0.95}}
    changed = served.finished(served.client.replay(JOB, "extract_frames", overrides, reuse=True))
    assert changed.stages == STAGES[STAGES.index("match_brands") :]
    above = served.made(changed, "match_brands").upstream
    assert {stage: above[stage] for stage in upstream_of("match_brands")} == {
        stage: taken[stage].attempt for stage in upstream_of("match_brands")
    }


def test_a_pinned_replay_reads_what_was_pinned(served: Served):
    history = served.history()
    first = history.stages["run_ocr"].attempts[-1]
    other = served.finished(served.client.replay(JOB, "run_ocr", {"run_ocr": {"max_crops": 1}}))
    pinned = served.finished(served.client.replay(JOB, "match_brands", pins={"run_ocr": first.attempt}))
    manifest = Store(str(served.stack.store)).manifest(AttemptRef(JOB, "match_brands", f"{pinned.run_id}-0"))
    assert first.run_id != other.run_id
    assert manifest.upstream["run_ocr"] == first.attempt
    assert manifest.upstream["detect_objects"] == first.upstream["detect_objects"]


def test_a_retry_after_a_broken_replay_stays_in_the_lineage_before_it(served: Served):
    """The broken replay left a newer detect_objects, which nothing else was made from."""
    client = served.client
    before = served.finished(client.replay(JOB, "match_brands", {"match_brands": {"min_confidence": 0.99}}))
    served.stack.tell("broken", "run_ocr")
    broken = client.replay(JOB, "detect_objects")
    with pytest.raises(Permanent, match=r"^run_ocr: run_ocr is broken today\.$") as error:
        client.wait(broken.run_id, PATIENCE_S)
    assert error.value.hint == "mend it"
    served.stack.tell("broken", "")
    newest = served.history().latest("detect_objects")
    assert newest is not None
    assert newest.run_id == broken.run_id

    served.stack.tell("answers.json", json.dumps({"ROLEX": "Rolex"}))
    retry = served.finished(client.retry(JOB, {"escalate_vlm": on("one")}))
    history = served.history()
    report, earlier = served.made(retry, "compile_report"), served.made(before, "compile_report")
    above = upstream_of("escalate_vlm")
    assert {stage: report.upstream[stage] for stage in above} == {stage: earlier.upstream[stage] for stage in above}
    line = {**report.upstream, report.stage: report.attempt}
    for attempt in history.line_of(report).values():
        assert {**line, **attempt.upstream} == line, attempt.stage


def test_a_retry_asks_only_what_is_open_and_loses_nothing(served: Served):
    """Of two open texts the retry before this one settled ROLEX; another model knows only the other."""
    before = served.client.report(JOB)
    assert [brand["brand"] for brand in before.brands] == ["Rolex"]
    assert before.unresolved == 1
    asked = served.asked()
    assert sorted(asked) == ["one ACME WIDGETS", "one ROLEX"]
    served.stack.tell("answers.json", json.dumps({"ACME WIDGETS": "Emirates"}))
    retry = served.finished(served.client.retry(JOB, {"escalate_vlm": on("two")}))
    assert served.asked()[len(asked) :] == ["two ACME WIDGETS"]
    assert served.brands(retry) == {"Rolex", "Emirates"}
    assert served.client.report(JOB).unresolved == 0
    assert served.made(retry, "escalate_vlm").continues == before.attempt


def test_a_delayed_retry_is_held_and_let_go_when_due(served: Served):
    """Another that is due later stays; one that was cancelled while held stays so when it would be due."""
    client = served.client
    later, cancelled = (client.retry(JOB, delay_s=delay_s) for delay_s in (LATER_S, 15))
    assert client.cancel(cancelled.run_id).status == "canceled"
    held = client.retry(JOB, delay_s=15)
    assert held.status == "held"
    assert held.not_before_s is not None
    done = served.finished(held)
    assert done.run_id == held.run_id
    assert done.tags[HOLD] == RELEASED
    assert done.started_s is not None
    assert done.started_s >= held.not_before_s
    assert client.run(later.run_id).status == "held"
    assert client.run(cancelled.run_id).status == "canceled"
    assert served.history().find("escalate_vlm", f"{cancelled.run_id}-0") is None
    client.cancel(later.run_id)


def test_held_retries_survive_an_end_and_a_kill_of_everything(served: Served):
    """One is due hours later and held all the time, one falls due meanwhile and is done."""
    client, stack = served.client, served.stack
    later = client.retry(JOB, delay_s=LATER_S)
    stack.stop()
    stack.start()
    assert client.run(later.run_id).status == "held"
    due = client.retry(JOB, delay_s=5)
    stack.kill()
    stack.start()
    assert served.finished(due).run_id == due.run_id
    assert client.run(later.run_id).status == "held"
    assert client.cancel(later.run_id).status == "canceled"


def test_the_same_request_under_one_key_is_one_run(served: Served):
    def asked(key: str) -> Run:
        with served.stack.client() as client:
            return client.retry(JOB, delay_s=LATER_S, key=key)

    for key in ("first", "second", "third"):  # which of them meet is chance
        with ThreadPoolExecutor(4) as pool:
            runs = list(pool.map(asked, [key] * 4))
        runs.append(asked(key))
        held = [run.run_id for run in served.client.runs(JOB, 50) if run.status == "held"]
        assert {run.run_id for run in runs} == set(held)
        assert len(held) == 1
        with pytest.raises(BadInput, match=f"'{key}' was used for another request"):
            served.client.retry(JOB, {"escalate_vlm": on("three")}, delay_s=LATER_S, key=key)
        served.client.cancel(held[0])


def test_edit_the_list_then_replay(served: Served):
    """No sensor has to see the new list first."""
    before = served.history()
    served.stack.tell("brands.yaml", f"{BRANDS}  - name: Acme Widgets\n")
    replayed = served.finished(served.client.replay(JOB, "match_brands", reset=["match_brands"]))
    assert served.brands(replayed) == {"Rolex", "Acme Widgets"}
    catalogs = {served.made(replayed, stage).upstream[CATALOG] for stage in downstream_of("match_brands")}
    assert catalogs == {served.history().catalog_version} != {before.catalog_version}


def test_nothing_earlier_was_changed(served: Served):
    assert len(served.seen) > 100
    now = hashes(served.stack.store)
    assert {name: now.get(name) for name in served.seen} == served.seen
