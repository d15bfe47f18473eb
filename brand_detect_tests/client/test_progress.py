"""What the client says of runs on their way: which have changed, how far they are, and how the rest is run again."""

import threading
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from brand_detect.client import Client, RunLog, calls
from brand_detect.domain.errors import BadInput, Transient
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.progress import StageProgress
from brand_detect.domain.tags import HOLD, NOT_BEFORE, PARTITION, UNTIL
from brand_detect_tests.support.webserver import Webserver, tags_of


def event(kind: str, stage: str = "", message: str = "", at_ms: int = 1_700_000_000_500) -> dict[str, Any]:
    return {"__typename": kind, "stepKey": stage, "message": message, "timestamp": str(at_ms)}


def page(*events: dict[str, Any], cursor: str = "c1", more: bool = False) -> dict[str, Any]:
    return {"logsForRun": {"__typename": "EventConnection", "events": [*events], "cursor": cursor, "hasMore": more}}


STARTED, DONE, LOGGED = "ExecutionStepStartEvent", "ExecutionStepSuccessEvent", "LogMessageEvent"


def test_the_log_tells_the_stage_and_what_it_has_done(server: Webserver, client: Client):
    line = str(StageProgress("run_ocr", 120, 500, "frames", 2.5))
    server.answers["Progress"] = [
        page(event(STARTED, "detect_objects"), event(DONE, "detect_objects"), more=True),
        page(event(STARTED, "run_ocr"), event(LOGGED, message=line), event(LOGGED, message="hello"), cursor="c2"),
        page(event(DONE, "run_ocr"), cursor="c3"),
    ]
    log = client.progress("r1")
    assert (log.stage, log.done) == ("run_ocr", ("detect_objects",))
    assert log.progress == StageProgress("run_ocr", 120.0, 500.0, "frames", 2.5)
    assert log.progress is not None
    assert log.progress.left_s == 152.0
    later = client.progress("r1", log)
    assert (later.stage, later.progress, later.done) == ("", None, ("detect_objects", "run_ocr"))
    assert [asked["after"] for asked in server.sent("Progress")] == [None, "c1", "c2"]


def test_a_page_does_not_wait_for_further_tries(server: Webserver, client: Client):
    for operation in ("Progress", "Runs"):
        server.answers[operation] = [httpx2.ConnectError("refused")]
    with pytest.raises(Transient):
        client.progress("r1", RunLog())
    with pytest.raises(Transient):
        client.changed(0.0)
    assert len(server.asked) == 2


def test_changed_runs_come_in_pages_without_their_steps(
    server: Webserver, client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(calls, "PAGE_OF_RUNS", 2)
    for job in "abc":
        server.add({PARTITION: job}, LINE)
    first = client.changed(0.0)
    assert [run.job_id for run in first] == ["c", "b"]
    assert [run.job_id for run in client.changed(0.0, first[-1].run_id)] == ["a"]
    assert client.changed(0.0, "r1") == []
    assert [run.job_id for run in client.changed(first[-1].updated_s)] == ["c"]
    assert [asked["steps"] for asked in server.sent("Runs")] == [False] * 4


@pytest.mark.parametrize(("started_s", "strategy"), [(None, "ALL_STEPS"), (5.0, "FROM_FAILURE")])
def test_the_rest_of_a_failed_run_is_run_again(
    server: Webserver, client: Client, started_s: float | None, strategy: str
):
    server.add({PARTITION: "match", "dagster/max_retries": "0"}, LINE, "FAILURE")["startTime"] = started_s
    run = client.rerun("r1")
    assert (run.run_id, run.job_id, run.parent_run_id) == ("r2", "match", "r1")
    [sent] = server.sent("Rerun")
    assert sent["strategy"] == strategy
    assert int(tags_of(sent)["dagster/max_retries"]) > 2, "the daemon may execute it again if its process dies"
    assert HOLD not in tags_of(sent)
    with pytest.raises(BadInput, match="already"):
        client.rerun("r1")
    server.runs[-1]["status"] = "FAILURE"
    assert client.rerun("r1").run_id == "r3", "the second one has ended"


def test_a_run_that_dagster_executes_again_is_left_to_it(server: Webserver, client: Client):
    server.add({PARTITION: "match", "dagster/auto_retry_run_id": "r2"}, LINE, "FAILURE")
    with pytest.raises(BadInput, match="already"):
        client.rerun("r1")


def test_a_replay_is_no_second_execution_of_a_run(server: Webserver, client: Client):
    server.add({PARTITION: "match"}, LINE, "FAILURE")
    server.add({PARTITION: "match", "dagster/root_run_id": "r1"}, LINE[5:], parent="r1")
    assert client.rerun("r1").run_id == "r3"


@pytest.mark.parametrize(
    ("stages", "marks"),
    [
        (LINE, {}),
        (LINE[3:], {"dagster/is_resume_retry": "true"}),
        (LINE[3:], {"dagster/is_asset_resume_retry": "true"}),
    ],
)
def test_a_run_that_was_executed_again_in_the_ui_is_left_to_it(
    server: Webserver, client: Client, stages: tuple[str, ...], marks: dict[str, str]
):
    server.add({PARTITION: "match"}, LINE, "FAILURE")
    server.add({PARTITION: "match", "dagster/root_run_id": "r1"} | marks, stages, "STARTED", parent="r1")
    with pytest.raises(BadInput, match="already"):
        client.rerun("r1")


def test_of_two_who_retry_one_is_refused(server: Webserver, client: Client, monkeypatch: pytest.MonkeyPatch):
    server.add({PARTITION: "match"}, LINE, "FAILURE")
    checked, counted, others = threading.Barrier(2), client._count, []

    def together(*tags: Any, **wanted: Any) -> int:
        with suppress(threading.BrokenBarrierError):
            checked.wait(0.2)
        return counted(*tags, **wanted)

    def retry() -> None:
        try:
            others.append(client.rerun("r1").run_id)
        except BadInput as e:
            others.append(str(e))

    monkeypatch.setattr(client, "_count", together)
    threads = [threading.Thread(target=retry) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(others) == ["Run r1 was executed again already.", "r2"]
    assert len(server.sent("Rerun")) == 1


def test_a_run_that_was_held_is_not_held_again(server: Webserver, client: Client):
    server.add({PARTITION: "match", HOLD: UNTIL, NOT_BEFORE: "9e9"}, LINE, "CANCELED")
    assert client.rerun("r1").status == "queued"


@pytest.mark.parametrize("status", ["QUEUED", "STARTED", "SUCCESS", "CANCELING"])
def test_nothing_else_is_run_again(server: Webserver, client: Client, status: str):
    server.add({PARTITION: "match"}, LINE, status)
    with pytest.raises(BadInput, match="not one to retry"):
        client.rerun("r1")
    assert not server.sent("Rerun")
