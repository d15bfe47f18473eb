"""What the client makes of the nodes of Dagster's GraphQL API."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pytest

from brand_detect.client import Client, FailedTick, Problems
from brand_detect.domain.errors import BadInput, Permanent, Transient
from brand_detect.domain.pipeline import CATALOG, LINE, STAGES, upstream_of
from brand_detect.domain.problems import FAILED_RUN, WARNED, Problem
from brand_detect.domain.tags import (
    HOLD,
    NOT_BEFORE,
    PARTITION,
    RELEASED,
    UNTIL,
)
from brand_detect_tests.support.webserver import (
    JOB,
    PROFILES,
    Answer,
    Webserver,
    json_entry,
)

# what is there


def test_checkpoints_are_read_from_the_metadata(server: Webserver, client: Client, job: str):
    server.made["run_ocr"].insert(0, {"runId": "by hand", "timestamp": "1", "metadataEntries": []})
    tuned = server.finished("run_ocr", dict.fromkeys(upstream_of("run_ocr"), f"{job}-0"), {"run_ocr": {"max_crops": 1}})
    history = client.checkpoints(JOB)
    assert [a.attempt for a in history.stages["run_ocr"].attempts] == [f"{tuned}-0", f"{job}-0"]
    newest = history.latest("run_ocr")
    assert newest is not None
    assert (newest.created_s, newest.uri, newest.stage_s) == (1_700_000_000.5, f"/store/{JOB}/run_ocr/{tuned}-0", 0.5)
    assert (newest.overrides, newest.params["max_crops"]) == ({"max_crops": 1}, 1)
    assert newest.upstream == dict.fromkeys(upstream_of("run_ocr"), f"{job}-0")
    assert newest.figures == {"rows": 3, "stage_s": 0.5}
    assert (history.catalog_version, history.profiles) == ("list 1", PROFILES)
    assert (history.stages["run_ocr"].code_version, newest.continues, newest.failed_check) == ("1", "", "")
    assert not client.checkpoints("other")


def test_what_only_some_attempts_have_is_read_as_well(server: Webserver, client: Client, job: str):
    said = {
        "failed_check": "sound: it is not",
        "warned_checks": "odd: it is",
        "continues": "r0-0",
        "offpeak": "2030-01-02",
    }
    server.made["escalate_vlm"][0]["metadataEntries"] += [{"label": k, "text": v} for k, v in said.items()]
    found = client.checkpoints(JOB).find("escalate_vlm", f"{job}-0")
    assert found is not None
    assert {name: getattr(found, name) for name in said} == said


def test_a_store_without_a_brand_list_has_no_version(server: Webserver, client: Client):
    server.catalog = ""
    assert client.checkpoints(JOB).catalog_version == ""


def test_a_run_is_what_its_row_says(server: Webserver, client: Client):
    tags = {PARTITION: JOB, HOLD: UNTIL, NOT_BEFORE: "12.5", "dagster/auto_retry_run_id": "r9"}
    row = server.add(tags, ["compile_report", CATALOG, "run_ocr"], parent="r0")
    row["stepStats"] = [{"stepKey": "run_ocr", "status": "SUCCESS"}, {"stepKey": "match_brands", "status": "FAILURE"}]
    run = client.run("r1")
    assert (run.job_id, run.status, run.not_before_s, run.parent_run_id) == (JOB, "held", 12.5, "r0")
    assert (run.stages, run.done) == ((CATALOG, "run_ocr", "compile_report"), ("run_ocr",))
    assert (run.retried_as, run.will_retry, run.ended) == ("r9", None, False)
    assert run.root_run_id == "r1"
    row["stepKeysToExecute"] = ["run_ocr"]  # a run that goes on with the work of another selects all of it
    assert client.run("r1").stages == ("run_ocr",)
    row["tags"] = [{"key": HOLD, "value": RELEASED}]
    assert (client.run("r1").status, client.run("r1").job_id) == ("queued", "")
    with pytest.raises(BadInput, match="There is no run 'r7'"):
        client.run("r7")


@pytest.mark.parametrize("time_", ["tomorrow", "", "nan", "inf", "-inf", "1796003332000", "1e20"])
def test_a_time_that_is_none_is_no_time(server: Webserver, client: Client, time_: str):
    """The launchpad takes any text for a tag."""
    server.add({PARTITION: JOB, HOLD: UNTIL, NOT_BEFORE: time_}, LINE)
    assert client.runs(JOB)[0].not_before_s is None


def test_a_report_is_the_newest_or_that_of_a_run(server: Webserver, client: Client, job: str):
    second = server.finished("match_brands")
    found = [{"label": "detections", "intValue": 7}, {"label": "unresolved", "intValue": 2}]
    short = {"brands": [{"brand": "Rolex"}], "notes": ["a note"]}
    server.made[STAGES[-1]][0]["metadataEntries"] += [*found, json_entry("report", short)]
    newest = client.report(JOB)
    assert (newest.run_id, newest.detections, newest.unresolved) == (second, 7, 2)
    assert (newest.brands, newest.notes) == (({"brand": "Rolex"},), ("a note",))
    assert newest.uri == f"/store/{JOB}/compile_report/{second}-0"
    assert client.report(JOB, job).attempt == f"{job}-0"
    with pytest.raises(BadInput, match="match has no report of run r9"):
        client.report(JOB, "r9")
    with pytest.raises(BadInput, match="other has no report"):
        client.report("other")


def test_what_retention_has_removed_is_not_listed_and_nothing_starts_from_it(
    server: Webserver, client: Client, job: str
):
    again = server.finished("match_brands")
    server.pruned = [f"{job}-0"]
    history = client.checkpoints(JOB)
    assert [a.attempt for a in history.stages["match_brands"].attempts] == [f"{again}-0"]
    with pytest.raises(BadInput, match="has no attempts"):
        client.replay(JOB, "escalate_vlm", pins={"match_brands": f"{job}-0"})


def test_an_attempt_that_was_reported_again_is_listed_once_and_the_newest_first(
    server: Webserver, client: Client, job: str
):
    made = server.made["match_brands"]
    again = server.finished("match_brands")
    made[0]["timestamp"], made[1]["timestamp"] = "1777636802000", "1777636801000"
    made[:0] = [dict(made[0]), dict(made[1])][::-1]
    history = client.checkpoints(JOB)
    assert [a.attempt for a in history.stages["match_brands"].attempts] == [f"{again}-0", f"{job}-0"]


def test_a_rebuilt_event_is_as_old_as_its_checkpoint_and_of_its_run(server: Webserver, client: Client, job: str):
    rebuilt = server.made["match_brands"][0]
    rebuilt["runId"] = ""
    rebuilt["metadataEntries"] += [
        {"label": "run_id", "text": job},
        {"label": "created", "text": "2026-05-01T12:00:00+00:00"},
    ]
    made = client.checkpoints(JOB).latest("match_brands")
    assert made
    assert (made.run_id, made.created_s) == (job, 1777636800.0)


# what is broken


def instigator(name: str, kind: str, *ticks: dict[str, Any], status: str = "RUNNING") -> Answer:
    return {"name": name, f"{kind}State": {"status": status, "ticks": list(ticks)}}


def looked(at_s: float, error: str = "") -> dict[str, Any]:
    """A tick that has ended."""
    causes = [{"message": f"brand_detect.domain.errors.BadInput: {error}\n"}]
    said = {"message": "SensorExecutionError: it failed", "causes": causes} if error else None
    return {"status": "FAILURE" if error else "SKIPPED", "timestamp": at_s, "error": said}


def broken(*problems: Problem, more: int = 0, polls: Sequence[dict[str, Any]] = (looked(2000.5),)) -> dict[str, Any]:
    """An answer about what is broken, as it was found 1000 s after 1970."""
    said = {"problems": [asdict(p) for p in problems], "more": more, "more_failed": more}
    made = {"timestamp": "1000000", "metadataEntries": [{"label": "table"}, json_entry("problems", said)]}
    sensors = [
        instigator("problems", "sensor", *polls),
        instigator("open_jobs", "sensor", looked(1.0, "It is gone.")),
        instigator("held_runs", "sensor", looked(1.0, "It was."), status="STOPPED"),
        instigator("new", "sensor"),
    ]
    schedules = [instigator("offpeak_retries", "schedule", looked(3.0, "It is late."))]
    return {
        "assetNodeOrError": {"__typename": "AssetNode", "assetMaterializations": [made]},
        "sensorsOrError": {"__typename": "Sensors", "results": sensors},
        "schedulesOrError": {"__typename": "Schedules", "results": schedules},
    }


def test_problems_are_what_the_asset_says_with_what_fails_to_tick(server: Webserver, client: Client):
    one = Problem("match", "run_ocr", FAILED_RUN, "No reader.", "r1", 900.0)
    server.answers["Problems"] = [broken(one, more=3)]
    found = client.problems()
    assert (found.problems, found.more, found.polled_s) == ((one,), 3, 2000.5)
    assert found.failing == (
        FailedTick("offpeak_retries", 3.0, "It is late."),
        FailedTick("open_jobs", 1.0, "It is gone."),
    ), "those that are stopped do not count"
    assert found.is_broken
    [variables] = server.sent("Problems")
    assert variables["repository"]["repositoryName"] == "__repository__"


@pytest.mark.parametrize("polls", [(), (looked(3000.0, "No database."),)])
def test_information_is_as_old_as_its_last_change_if_the_last_look_failed(
    server: Webserver, client: Client, polls: Sequence[dict[str, Any]]
):
    server.answers["Problems"] = [broken(polls=polls)]
    assert client.problems().polled_s == 1000.0


@pytest.mark.parametrize(
    ("kind", "failed", "is_broken"), [(WARNED, 0, False), (FAILED_RUN, 0, True), (WARNED, 1, True)]
)
def test_warnings_are_nothing_broken(kind: str, failed: int, is_broken: bool):
    one = Problem("match", "run_ocr", kind, "It is odd.", "r1", 900.0)
    assert Problems((one,), 1, failed, 0.0, ()).is_broken is is_broken
    assert not Problems((), 0, 0, 0.0, ()).is_broken


def test_where_nobody_has_looked_nobody_says_that_nothing_is_broken(server: Webserver, client: Client):
    answer = broken()
    answer["assetNodeOrError"]["assetMaterializations"] = []
    server.answers["Problems"] = [answer]
    with pytest.raises(Transient, match="Problems have not been collected yet"):
        client.problems()
    server.answers["Problems"] = [
        broken() | {"assetNodeOrError": {"__typename": "AssetNotFoundError", "message": "no"}}
    ]
    with pytest.raises(Permanent, match="no"):
        client.problems()
