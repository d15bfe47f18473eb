"""The client against a webserver of a few lines: what it launches, waits for and finds."""

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx2
import pytest

from brand_detect.client import TOKEN, Client, Run, calls
from brand_detect.domain.contracts import effective
from brand_detect.domain.errors import BadInput, BrandDetectError, Permanent, Transient
from brand_detect.domain.media import content_sha256
from brand_detect.domain.pipeline import CATALOG, COMPARISON, LINE, ROOT, STAGES, downstream_of, upstream_of
from brand_detect.domain.tags import (
    ASKED,
    HOLD,
    LATEST,
    NOT_BEFORE,
    ORPHAN_S,
    PARTITION,
    PIN,
    RELEASED,
    REQUEST,
    RETRIES_MARGIN,
    RETRY_OF,
    UNTIL,
)
from brand_detect_tests.support.webserver import (
    FAULTS,
    JOB,
    Answer,
    Webserver,
    connected,
    event,
    json_entry,
    tags_of,
    tick,
)

PATIENCE_S = 5.0
"""A wait that does not end is a failed test."""


MODEL: dict[str, Any] = {"escalate_vlm": {"provider": "transformers", "model": "acme/none"}}


LAUNCHES: dict[str, Callable[[Client, dict[str, Any]], Run]] = {
    "submit": lambda client, params: client.submit("s3://videos/match.mp4", job_id=JOB, overrides=params),
    "replay": lambda client, params: client.replay(JOB, "match_brands", params),
    "retry": lambda client, params: client.retry(JOB, params),
    "retry later": lambda client, params: client.retry(JOB, params, delay_s=3600),
}


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("launch", LAUNCHES)
def test_a_model_that_is_missing_where_the_run_would_work_is_refused_before(
    server: Webserver, client: Client, launch: str
):
    missing = tick()
    missing["sensorDryRun"]["evaluationResult"]["skipReason"] = "The model is not there.\nhint: fetch it"
    server.answers["Models"] = [missing]
    with pytest.raises(BadInput, match=r"^The model is not there\.$") as e:
        LAUNCHES[launch](client, MODEL)
    assert e.value.hint == "fetch it"
    operations = [name for name, _ in server.asked]
    assert not {"Launch", "AddJob"} & {*operations}
    [asked] = [variables for name, variables in server.asked if name == "Models"]
    assert json.loads(asked["params"])["escalate_vlm"].items() >= MODEL["escalate_vlm"].items()


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("launch", LAUNCHES)
def test_who_names_no_model_asks_for_none(server: Webserver, client: Client, launch: str):
    LAUNCHES[launch](client, {})
    assert "Models" not in [name for name, _ in server.asked]
    LAUNCHES[launch](client, MODEL)
    assert [name for name, _ in server.asked].count("Launch") == 2


def test_another_workspace_is_told_from_the_pipeline(server: Webserver, client: Client):
    missing = {"__typename": "AssetNotFoundError"}
    server.answers["Health"] = [{**server.on_Health(), "assetNodeOrError": missing}] * 2
    assert client.health()["pipeline"] is False
    with pytest.raises(Permanent, match="serves no brand_detect pipeline") as error:
        client.refresh_catalog()
    assert error.value.hint == "start it with brand_detect's workspace"
    whole = server.on_Checkpoints([JOB], 1, [{"path": [stage]} for stage in LINE])
    server.answers["Checkpoints"] = [{**whole, "assetNodes": whole["assetNodes"][1:]}]
    with pytest.raises(Permanent, match="serves no brand_detect pipeline"):
        client.checkpoints(JOB)


def test_health_names_the_daemons_that_are_needed(client: Client):
    assert client.health() == {"pipeline": True, "sensor": True, "queued_run_coordinator": False}


def test_checkpoints_are_no_more_than_asked_for(server: Webserver, client: Client, job: str):
    server.finished("run_ocr")
    server.finished("run_ocr")
    assert len(client.checkpoints(JOB).stages["run_ocr"].attempts) == 3
    assert [a.run_id for a in client.checkpoints(JOB, limit=1).stages["run_ocr"].attempts] == ["r3"]
    assert job == "r1"


@pytest.mark.parametrize("call", ["checkpoints", "runs", "report"])
def test_an_ill_formed_job_id_is_refused_before_anything_is_sent(server: Webserver, client: Client, call: str):
    with pytest.raises(BadInput, match="job id"):
        getattr(client, call)("../x")
    assert server.asked == []


def test_runs_are_those_of_the_job_newest_first(server: Webserver, client: Client):
    for job_id in (JOB, "other", JOB, JOB):
        server.add({PARTITION: job_id}, LINE)
    assert [run.run_id for run in client.runs(JOB)] == ["r4", "r3", "r1"]
    assert [run.run_id for run in client.runs(JOB, limit=1)] == ["r4"]


# compare


def on_comparison(server: Webserver, *entries: Answer) -> Callable[..., Answer]:
    """What the asset has made: an earlier comparison, and that of the newest run, which is done by now."""

    def answer(job: str, limit: int) -> Answer:
        assert (job, limit) == (JOB, calls.ATTEMPTS)
        older = {"runId": "r0", "timestamp": "1", "metadataEntries": [json_entry("json", {"of": "r0"})]}
        made = {"runId": server.runs[-1]["runId"], "timestamp": "2", "metadataEntries": list(entries)}
        return {"assetNodeOrError": {"__typename": "AssetNode", "assetMaterializations": [made, older]}}

    return answer


def compares(server: Webserver, *entries: Answer) -> None:
    def launched(**asked: Any) -> Answer:
        answer = server.on_Launch(**asked)
        server.runs[-1]["status"] = "SUCCESS"
        return answer

    server.answers["Launch"] = [launched]
    server.answers["Comparison"] = [on_comparison(server, *entries)]


COMPARED = [
    {"label": "text", "mdStr": "**Nothing** differs."},
    json_entry("json", {"schema_version": 1}),
    *({"label": name, "text": f"the {name}"} for name in ("page", "document", "before", "after")),
]


@pytest.mark.parametrize(
    ("asked", "config"),
    [
        ({}, {"attempt": "r3-0", "with_attempt": "r2-0"}),
        ({"attempt": "r2"}, {"attempt": "r2-0", "with_attempt": "r1-0"}),
        ({"with_attempt": "r1"}, {"attempt": "r3-0", "with_attempt": "r1-0"}),
        ({"with_job": JOB}, {"attempt": "r3-0", "with_attempt": "r3-0", "with_job": JOB}),
    ],
)
def test_a_comparison_is_launched_with_whole_names_and_read(
    server: Webserver, client: Client, job: str, asked: dict[str, str], config: dict[str, str]
):
    assert job == "r1"
    server.finished("match_brands")
    server.finished("compile_report")
    compares(server, *COMPARED)
    found = client.compare(JOB, **asked)
    [launch] = server.sent("Launch")
    assert launch["assets"] == [{"path": [COMPARISON]}]
    assert launch["config"] == {"ops": {COMPARISON: {"config": config}}}
    assert tags_of(launch)[PARTITION] == JOB
    assert (launch["parent"], launch["root"]) == (None, None)
    assert (found.run_id, found.text, found.comparison) == ("r4", "**Nothing** differs.", {"schema_version": 1})
    assert (found.page, found.document, found.before, found.after) == tuple(
        f"the {name}" for name in ("page", "document", "before", "after")
    )
    assert client.run("r4").stages == (COMPARISON,)


@pytest.mark.parametrize(
    ("job_id", "asked", "said"),
    [
        (JOB, {}, "match has only one report so far"),
        (JOB, {"attempt": "x"}, "match has no attempts 'x' of compile_report"),
        (JOB, {"with_job": "other"}, "other has no report"),
        ("other", {}, "other has no report"),
        ("../x", {}, "job id"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_not_launched(
    server: Webserver, client: Client, job: str, job_id: str, asked: dict[str, str], said: str
):
    assert job
    with pytest.raises(BadInput, match=said):
        client.compare(job_id, **asked)
    assert not server.sent("Launch")


def test_a_comparison_that_left_nothing_is_said(server: Webserver, client: Client):
    server.finished(ROOT)
    server.finished("match_brands")
    compares(server, {"label": "text", "mdStr": "Nothing to compare"})
    with pytest.raises(Permanent, match="Run r3 made no comparison"):
        client.compare(JOB)


# submit

MAX_RETRIES = "dagster/max_retries"


WRITES = ("CatalogChanged", "AddJob", "Launch", "Cancel")


def test_a_video_is_submitted_as_a_whole_job(server: Webserver, client: Client):
    run = client.submit(
        "s3://videos/match.mp4", job_id=JOB, profile="fixed_camera", overrides={"run_ocr": {"max_crops": 1}}
    )
    assert [name for name, _ in server.asked if name in WRITES] == ["CatalogChanged", "AddJob", "Launch"]
    [launch] = server.sent("Launch")
    assert [a["path"] for a in launch["assets"]] == [[stage] for stage in LINE]
    request = {
        "video_uri": "s3://videos/match.mp4",
        "profile": "fixed_camera",
        "overrides": {"run_ocr": {"max_crops": 1}},
    }
    assert launch["config"] == {"ops": {ROOT: {"config": request}}}
    assert (launch["repository"], launch["location"]) == ("__repository__", "brand_detect.definitions")
    assert (launch["parent"], launch["root"]) == (None, None)
    assert tags_of(launch).keys() == {PARTITION, REQUEST, ASKED}
    assert (run.run_id, run.job_id, run.status) == ("r1", JOB, "queued")


def test_a_local_path_is_that_of_the_caller(
    server: Webserver, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    client.submit("match.mp4", job_id=JOB)
    assert launched(server)[1][ROOT]["video_uri"] == str(tmp_path / "match.mp4")


def test_a_job_that_is_there_already_is_submitted_again(server: Webserver, client: Client):
    again = {"addDynamicPartition": {"__typename": "DuplicateDynamicPartitionError", "partitionName": JOB}}
    server.answers["AddJob"] = [again]
    assert client.submit("s3://videos/match.mp4", job_id=JOB).job_id == JOB


def test_the_job_id_comes_from_the_file_that_can_be_read_here(server: Webserver, client: Client, tmp_path: Path):
    video = tmp_path / "match day.mp4"
    video.write_bytes(b"a video")
    with video.open("rb") as file:
        sha256, _ = content_sha256(file)
    assert client.submit(str(video)).job_id == f"match_day-{sha256[:8]}"
    asked = len(server.asked)
    for unreadable in (str(tmp_path / "no.mp4"), "s3://videos/match.mp4"):
        with pytest.raises(BadInput, match="cannot be read here") as error:
            client.submit(unreadable)
        assert error.value.hint == "name a job id"
    for unreadable in ("~nobody-has-this-name/match.mp4", f"{'a' * 300}.mp4"):
        with pytest.raises(BadInput, match="cannot be read"):
            client.submit(unreadable)
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    "wrong",
    [
        {"job_id": "../x"},
        {"overrides": {"run_ocr": {"max_crops": 99}}},
        {"overrides": {"run_orc": {}}},
        {"overrides": {"run_ocr": {"max_crops": 1}, "compile_report": {"nonsense": 1}}},
        {"profile": "no such"},
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_launched(server: Webserver, client: Client, wrong: dict[str, Any]):
    asked: dict[str, Any] = {"video_uri": "s3://videos/match.mp4", "job_id": JOB} | wrong
    with pytest.raises(BadInput):
        client.submit(**asked)
    assert server.sent("Launch") == server.sent("AddJob") == []


def test_a_job_that_cannot_be_added_is_not_launched(server: Webserver, client: Client):
    server.answers["AddJob"] = [{"addDynamicPartition": {"__typename": "UnauthorizedError", "message": "read only"}}]
    with pytest.raises(BadInput, match="Dagster does not allow it: read only") as error:
        client.submit("s3://videos/match.mp4", job_id=JOB)
    assert error.value.hint == f"set {TOKEN}"
    assert server.sent("Launch") == []


def test_the_brand_list_is_read_where_dagster_runs_and_nothing_is_waited_for(server: Webserver, client: Client):
    """A run that embeds new logos may wait behind hours of jobs."""
    server.answers["CatalogChanged"] = [tick(runs=1)]
    client.submit("s3://videos/match.mp4", job_id=JOB)
    assert len(server.sent("CatalogChanged")) == 1
    assert [[a["path"][0] for a in launch["assets"]] for launch in server.sent("Launch")] == [list(LINE)]


@pytest.mark.usefixtures("job")
def test_a_replay_that_does_not_read_the_brand_list_does_not_fail_for_it(server: Webserver, client: Client):
    """It is read all the same, with the prompts and quality scales."""
    server.answers["CatalogChanged"] = [tick(error="brands.yaml, line 3: no name.")] * 4
    client.replay(JOB, "compile_report")
    client.replay(JOB, "run_ocr", pins={CATALOG: "list"})
    client.retry(JOB)
    assert len(server.sent("CatalogChanged")) == len(server.sent("Launch")) == 3
    with pytest.raises(Permanent, match="The brand list could not be read"):
        client.replay(JOB, "match_brands")


def test_a_brand_list_that_cannot_be_read_stops_it(server: Webserver, client: Client):
    server.answers["CatalogChanged"] = [tick(error="BadInput: brands.yaml, line 3: no name.\n")]
    with pytest.raises(Permanent, match=r"The brand list could not be read: brands.yaml, line 3: no name\.") as error:
        client.submit("s3://videos/match.mp4", job_id=JOB)
    assert error.value.hint == "fix the list in BRAND_DETECT_CATALOG"
    assert server.sent("Launch") == []


# replay and retry


def launched(server: Webserver) -> tuple[tuple[str, ...], dict[str, Any], dict[str, str]]:
    """Stages, config by stage and tags of the last launch; the tags without those of every launch."""
    last = server.sent("Launch")[-1]
    config = {stage: op["config"] for stage, op in last["config"]["ops"].items()}
    tags = {k: v for k, v in tags_of(last).items() if k not in (PARTITION, REQUEST, ASKED, MAX_RETRIES)}
    return tuple(a["path"][0] for a in last["assets"]), config, tags


def test_a_replay_runs_from_the_stage_down_in_the_family_of_its_parent(server: Webserver, client: Client, job: str):
    run = client.replay(JOB, "match_brands")
    family = {"dagster/root_run_id": job, "dagster/parent_run_id": job}
    assert launched(server) == (downstream_of("match_brands"), {}, family)
    assert (server.sent("Launch")[0]["parent"], server.sent("Launch")[0]["root"]) == (job, job)
    assert (run.stages, run.parent_run_id) == (downstream_of("match_brands"), job)
    first = server.add({PARTITION: JOB}, LINE, "SUCCESS")
    server.runs[0]["rootRunId"] = first["runId"]
    client.replay(JOB, "match_brands")
    assert launched(server)[2] == {"dagster/root_run_id": first["runId"], "dagster/parent_run_id": job}
    server.runs.remove(first)
    client.replay(JOB, "match_brands")
    assert launched(server)[2] == family, "the first run of the group was deleted"


def test_a_replay_goes_on_from_a_run_that_was_deleted(server: Webserver, client: Client, job: str):
    """Its checkpoints are still there."""
    server.runs.clear()
    client.replay(JOB, "match_brands")
    assert launched(server) == (downstream_of("match_brands"), {}, {})
    assert (server.sent("Launch")[0]["parent"], server.sent("Launch")[0]["root"]) == (None, None)
    assert job == "r1"


def test_a_replay_may_be_executed_again_once_however_many_there_were_before(
    server: Webserver, client: Client, job: str
):
    """Dagster does so while the runs of a group, this one and later ones among them, are no more than the tag says."""
    for size in (2, 3, 4):
        client.replay(JOB, "match_brands")
        family = [r for r in server.runs if {"key": "dagster/root_run_id", "value": job} in r["tags"]]
        assert (
            tags_of(server.sent("Launch")[-1])[MAX_RETRIES]
            == str(1 + len(family) + RETRIES_MARGIN)
            == str(size + RETRIES_MARGIN)
        )


def test_a_replay_keeps_what_was_tuned(server: Webserver, client: Client, job: str):
    server.finished("run_ocr", overrides={"run_ocr": {"max_crops": 1}, "match_brands": {"min_confidence": 0.9}})
    client.replay(JOB, "run_ocr", {"run_ocr": {"stop_confidence": 0.5}})
    tuned = {"run_ocr": {"max_crops": 1, "stop_confidence": 0.5}, "match_brands": {"min_confidence": 0.9}}
    assert launched(server)[1] == tuned
    client.replay(JOB, "run_ocr", {"run_ocr": {"stop_confidence": 0.5}}, reset=["run_ocr", "compile_report"])
    assert launched(server)[1] == tuned | {"run_ocr": {"stop_confidence": 0.5}}
    client.replay(JOB, "run_ocr", {"compile_report": {}}, reset=["run_ocr", "match_brands"])
    assert launched(server)[1] == {}
    assert job == "r1"


@pytest.mark.usefixtures("job")
def test_what_was_tuned_and_is_wrong_by_now_is_refused(server: Webserver, client: Client):
    """The profile or the request of the lineage may set it, or a limit has changed since."""
    server.made[ROOT][0] = event(ROOT, "r1", {}, {}, {"profile": "default", "overrides": {"run_ocr": {"gone": 1}}}, {})
    with pytest.raises(BadInput, match=r"run_ocr\.gone"):
        client.replay(JOB, "run_ocr")
    assert server.sent("Launch") == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"start_stage": "nonsense"}, "There is no stage 'nonsense'"),
        ({"overrides": {"run_ocr": {"max_crops": 1}}}, "run_ocr does not run in a replay from match_brands"),
        ({"overrides": {"match_brands": {"min_confidence": 2}}}, "match_brands.min_confidence"),
        ({"overrides": {"nonsense": {}}}, "There is no stage 'nonsense'"),
        ({"reset": ["run_ocr"]}, "run_ocr does not run in a replay from match_brands"),
        ({"pins": {"run_ocr": "zz"}}, "match has no attempts 'zz' of run_ocr"),
        ({"pins": {"compile_report": "r1-0"}}, "'compile_report' cannot be pinned"),
        ({"job_id": "other"}, "There is no job other: it has no checkpoint"),
        ({"job_id": "../x"}, "job id"),
    ],
)
@pytest.mark.usefixtures("job")
def test_a_replay_that_makes_no_sense_is_refused_before_anything_is_launched(
    server: Webserver, client: Client, asked: dict[str, Any], said: str
):
    whole: dict[str, Any] = {"job_id": JOB, "start_stage": "match_brands"} | asked
    with pytest.raises(BadInput, match=re.escape(said)):
        client.replay(**whole)
    assert server.sent("Launch") == []


def test_a_pin_is_sent_by_its_whole_name(server: Webserver, client: Client, job: str):
    other = server.finished("run_ocr")
    client.replay(JOB, "match_brands", pins={"run_ocr": job})
    assert launched(server)[2] == {
        f"{PIN}run_ocr": f"{job}-0",
        "dagster/root_run_id": job,
        "dagster/parent_run_id": job,
    }
    assert other != job


def test_a_pin_further_up_pins_the_attempt_that_it_leads_to(server: Webserver, client: Client, job: str):
    server.finished("detect_objects")
    client.replay(JOB, "match_brands", pins={"detect_objects": f"{job}-0"})
    assert launched(server)[2][f"{PIN}run_ocr"] == f"{job}-0"


def test_a_delay_holds_the_run(server: Webserver, client: Client, job: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    run = client.replay(JOB, "match_brands", delay_s=60.5)
    tags = launched(server)[2]
    assert (tags[HOLD], tags[NOT_BEFORE]) == (UNTIL, "1060.500")
    assert (run.status, run.not_before_s, run.parent_run_id) == ("held", 1060.5, job)


def test_reuse_leaves_out_what_is_there_and_pins_it(server: Webserver, client: Client, job: str):
    run = client.replay(JOB, "run_ocr", {"escalate_vlm": {"max_questions": 1}}, reuse=True)
    assert launched(server) == (
        downstream_of("escalate_vlm"),
        {"escalate_vlm": {"max_questions": 1}},
        {f"{PIN}match_brands": f"{job}-0", "dagster/root_run_id": job, "dagster/parent_run_id": job},
    )
    assert run.parent_run_id == job
    client.replay(JOB, "run_ocr", {"run_ocr": {"max_crops": 1}}, reuse=True)
    assert launched(server)[0] == downstream_of("run_ocr")
    default = effective("run_ocr").model_dump(mode="json")["max_crops"]
    client.replay(JOB, "run_ocr", {"run_ocr": {"max_crops": default}, "escalate_vlm": {"max_questions": 1}}, reuse=True)
    assert launched(server)[1] == {"escalate_vlm": {"max_questions": 1}}, "what does not run is not configured"
    client.replay(JOB, "extract_frames", reuse=True)
    assert launched(server)[0] == ("compile_report",), "a replay ends with a report of its own"


def test_reuse_sees_the_brand_list_as_it_is_now(server: Webserver, client: Client, job: str):
    def changed(**_: Any) -> Answer:
        server.catalog = "list 2"
        return tick()

    server.answers["CatalogChanged"] = [changed]
    client.replay(JOB, "run_ocr", reuse=True)
    assert launched(server)[0] == downstream_of("match_brands")
    assert launched(server)[2][f"{PIN}run_ocr"] == f"{job}-0"


def test_reuse_reads_the_brand_list_that_is_pinned(server: Webserver, client: Client, job: str):
    server.catalog = "list 2"
    server.finished("match_brands")
    client.replay(JOB, "match_brands", pins={CATALOG: "list 1"}, reuse=True)
    stages, _, tags = launched(server)
    pinned = tags.get(f"{PIN}{upstream_of(stages[0])[-1]}")
    assert tags.get(f"{PIN}{CATALOG}") == "list 1" or pinned == f"{job}-0"


@pytest.mark.usefixtures("job")
def test_a_new_brand_list_does_not_make_an_escalation_be_asked_again(server: Webserver, client: Client):
    server.catalog = "list 2"
    client.replay(JOB, "escalate_vlm", reuse=True)
    assert launched(server)[0] == ("compile_report",)


def test_a_retry_goes_on_from_the_latest_escalation_at_the_time_it_runs(server: Webserver, client: Client, job: str):
    other = server.finished("match_brands", overrides={"escalate_cloud": {"max_questions": 1}})
    client.retry(JOB, {"escalate_vlm": {"max_questions": 2}})
    family = {"dagster/root_run_id": other, "dagster/parent_run_id": other}
    assert launched(server) == (
        downstream_of("escalate_vlm"),
        {"escalate_vlm": {"max_questions": 2}, "escalate_cloud": {"max_questions": 1}},
        {RETRY_OF: LATEST, **family},
    )
    client.retry(JOB, start_stage="escalate_cloud", retry_of=job, delay_s=9)
    stages, config, tags = launched(server)
    assert (stages, config) == (downstream_of("escalate_cloud"), {})
    assert (tags[RETRY_OF], tags["dagster/parent_run_id"], tags[HOLD]) == (job, job, UNTIL)


@pytest.mark.usefixtures("job")
def test_a_retry_from_any_other_stage_is_a_replay(server: Webserver, client: Client):
    client.retry(JOB, {"run_ocr": {"max_crops": 1}}, start_stage="run_ocr", delay_s=9)
    stages, config, tags = launched(server)
    assert (stages, config) == (downstream_of("run_ocr"), {"run_ocr": {"max_crops": 1}})
    assert RETRY_OF not in tags
    assert tags[HOLD] == UNTIL


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"job_id": "other"}, "There is no job other"),
        ({"retry_of": "r9"}, "match has no checkpoint of escalate_cloud made by run r9 for a retry to continue"),
        ({"start_stage": "nonsense"}, "There is no stage 'nonsense'"),
        ({"overrides": {"match_brands": {"min_confidence": 0.5}}}, "match_brands does not run in a replay from"),
        ({"overrides": {"escalate_vlm": {"max_questions": -1}}}, "escalate_vlm.max_questions"),
        ({"reset": ["run_ocr"]}, "run_ocr does not run"),
        ({"retry_of": "r1", "start_stage": "run_ocr"}, "must start at an escalation, not at run_ocr"),
        ({"job_id": "../x"}, "job id"),
    ],
)
@pytest.mark.usefixtures("job")
def test_a_retry_that_makes_no_sense_is_refused_before_anything_is_queued(
    server: Webserver, client: Client, asked: dict[str, Any], said: str
):
    whole: dict[str, Any] = {"job_id": JOB} | asked
    with pytest.raises(BadInput, match=re.escape(said)):
        client.retry(**whole)
    assert server.sent("Launch") == []


@pytest.mark.usefixtures("job")
def test_a_retry_without_an_escalation_is_refused(server: Webserver, client: Client):
    server.made["escalate_cloud"].clear()
    with pytest.raises(BadInput, match="match has no checkpoint of escalate_cloud for a retry to continue") as error:
        client.retry(JOB)
    assert error.value.hint == "replay from match_brands first"


# launched once


@pytest.mark.usefixtures("job")
def test_a_launch_whose_answer_is_lost_is_found_again(server: Webserver, client: Client):
    server.lose = 1
    run = client.replay(JOB, "match_brands")
    assert len(server.sent("Launch")) == 1
    assert (run.run_id, len(server.runs)) == ("r2", 2)


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_launch_that_did_not_arrive_is_sent_again(
    server: Webserver, client: Client, fault: Exception | httpx2.Response
):
    server.answers["Launch"] = [fault, fault]
    run = client.replay(JOB, "match_brands")
    assert (run.run_id, len(server.sent("Launch")), len(server.runs)) == ("r2", 3, 2)
    requests = {tags_of(launch)[REQUEST] for launch in server.sent("Launch")}
    assert len(requests) == 1


@pytest.mark.usefixtures("job")
def test_a_launch_that_never_arrives_is_said(server: Webserver, client: Client):
    server.answers["Launch"] = [httpx2.ConnectError("refused")] * 9
    with pytest.raises(Transient, match="out of reach"):
        client.replay(JOB, "match_brands")
    assert (len(server.sent("Launch")), len(server.runs)) == (4, 1)


@pytest.mark.usefixtures("job")
def test_a_launch_that_arrives_late_and_its_repetition_are_one_run(server: Webserver, client: Client):
    """The webserver took longer than the client waits; the run is there only after the client has looked."""
    late: list[dict[str, Any]] = []

    def slow(**asked: Any) -> Answer:
        late.append(asked)
        raise httpx2.ReadTimeout("timed out")

    def second(**asked: Any) -> Answer:
        server.on_Launch(**late[0])
        return server.on_Launch(**asked)

    server.answers["Launch"] = [slow, second]
    client.replay(JOB, "match_brands")
    assert [row["status"] for row in server.runs] == ["SUCCESS", "QUEUED", "CANCELED"]


@pytest.mark.usefixtures("job")
def test_two_calls_without_a_key_are_two_runs(server: Webserver, client: Client):
    assert client.replay(JOB, "match_brands").run_id != client.replay(JOB, "match_brands").run_id
    assert len(server.runs) == 3


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("kind", ["submit", "replay", "retry"])
def test_the_same_key_is_the_same_run(server: Webserver, client: Client, kind: str):
    calls: dict[str, Callable[[], Run]] = {
        "submit": lambda: client.submit("s3://videos/match.mp4", job_id=JOB, key="k"),
        "replay": lambda: client.replay(JOB, "match_brands", {"match_brands": {"fuzzy_score": 0.9}}, key="k"),
        "retry": lambda: client.retry(JOB, delay_s=60.0, key="k"),
    }
    first = calls[kind]()
    server.runs[-1]["status"] = "SUCCESS"
    again = calls[kind]()
    assert (again.run_id, again.status) == (first.run_id, "success")
    assert len(server.sent("Launch")) == 1
    assert [client.was_asked(*of) for of in ((JOB, "k"), (JOB, "other"), ("other", "k"))] == [True, False, False]


QUESTIONS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "retry": (
        {"job_id": JOB, "retry_of": LATEST},
        [
            {"delay_s": 1.0},
            {"overrides": {"escalate_vlm": {"max_questions": 1}}},
            {"start_stage": "escalate_cloud"},
            {"start_stage": "run_ocr"},
            {"retry_of": "r1"},
            {"reset": ["escalate_vlm"]},
        ],
    ),
    "replay": (
        {"job_id": JOB, "start_stage": "match_brands"},
        [
            {"delay_s": 1.0},
            {"overrides": {"match_brands": {"fuzzy_score": 0.9}}},
            {"start_stage": "run_ocr"},
            {"pins": {"run_ocr": "r1-0"}},
            {"reset": ["match_brands"]},
            {"reuse": True},
        ],
    ),
    "submit": (
        {"job_id": JOB, "video_uri": "s3://videos/match.mp4"},
        [
            {"video_uri": "s3://videos/other.mp4"},
            {"profile": "fixed_camera"},
            {"overrides": {"run_ocr": {"max_crops": 1}}},
        ],
    ),
}


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("kind", QUESTIONS)
def test_a_key_is_not_taken_for_another_question(server: Webserver, client: Client, kind: str):
    asked, others = QUESTIONS[kind]
    getattr(client, kind)(**asked, key="k")
    for other in others:
        with pytest.raises(BadInput, match="The key 'k' was used for another request for match") as error:
            getattr(client, kind)(**(asked | other), key="k")
        assert error.value.hint == "use a new key for each request"
    with pytest.raises(BadInput, match="used for another request"):
        client.retry(JOB, start_stage="escalate_cloud", delay_s=9.0, key="k")
    assert len(server.sent("Launch")) == 1


@pytest.mark.parametrize("meanwhile", ["it was done", "another replay"])
def test_a_key_stands_for_what_was_asked_whatever_happened_since(
    server: Webserver, client: Client, job: str, meanwhile: str
):
    tuned = {"match_brands": {"fuzzy_score": 0.9}}
    reuse = meanwhile == "it was done"
    first = client.replay(JOB, "match_brands", tuned, reuse=reuse, key="k")
    done = tuned if reuse else {"compile_report": {"bridge_s": 2.0}}
    server.finished("match_brands", dict.fromkeys(upstream_of("match_brands"), f"{job}-0"), done)
    assert client.replay(JOB, "match_brands", tuned, reuse=reuse, key="k").run_id == first.run_id


def test_a_key_belongs_to_one_job(server: Webserver, client: Client):
    runs = [client.submit("s3://videos/match.mp4", job_id=job_id, key="k") for job_id in ("a", "b", "a")]
    assert [run.run_id for run in runs] == ["r1", "r2", "r1"]
    assert len(server.sent("Launch")) == 2


@pytest.mark.usefixtures("job")
def test_of_two_callers_at_once_the_first_counts_and_the_other_is_cancelled(server: Webserver):
    both = Barrier(2, timeout=10)
    server.meet = both.wait  # neither launches before both have looked, nor looks again before both have launched

    def call(_: int) -> Run:
        with connected(server) as client:
            return client.retry(JOB, key="k")

    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(call, range(2)))
    assert [run.run_id for run in runs] == ["r2", "r2"]
    assert [row["status"] for row in server.runs] == ["SUCCESS", "QUEUED", "CANCELED"]


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("delay_s", [-1.0, float("nan"), float("inf"), 366 * 86_400.0])
def test_a_delay_that_is_none_is_refused(server: Webserver, client: Client, delay_s: float):
    for call in (lambda: client.replay(JOB, "run_ocr", delay_s=delay_s), lambda: client.retry(JOB, delay_s=delay_s)):
        with pytest.raises(BadInput):
            call()
    assert server.sent("Launch") == []


@pytest.mark.usefixtures("job")
def test_of_a_job_some_runs_are_held_and_no_more(server: Webserver, client: Client):
    held = [client.retry(JOB, delay_s=60.0, key=f"k{n}").run_id for n in range(calls.HELD_OF_A_JOB)]
    for call in (lambda: client.retry(JOB, delay_s=60.0), lambda: client.replay(JOB, "run_ocr", delay_s=60.0)):
        with pytest.raises(BadInput, match=f"10 runs of {JOB} are held already; the limit is 10"):
            call()
    assert client.retry(JOB, delay_s=60.0, key="k3").run_id == held[3], "what was asked before is no new one"
    assert client.retry(JOB).status == "queued", "what is not held is not counted"
    client.cancel(held[0])
    assert client.retry(JOB, delay_s=60.0).status == "held"
    assert len(server.sent("Launch")) == 12


@pytest.mark.usefixtures("job")
def test_of_all_jobs_some_runs_are_held_and_no_more(server: Webserver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BRAND_DETECT_MAX_HELD_RUNS", "2")
    for n in range(2):
        server.add({PARTITION: f"other{n}", HOLD: UNTIL}, STAGES)
    server.add({PARTITION: "third", HOLD: RELEASED}, STAGES)
    with connected(server) as client, pytest.raises(BadInput, match="2 runs of all jobs together are held already"):
        client.retry(JOB, delay_s=60.0)
    server.runs[-2]["status"] = "CANCELED"
    with connected(server) as client:
        assert client.retry(JOB, delay_s=60.0).status == "held"


@pytest.mark.usefixtures("job")
def test_callers_at_the_same_time_get_no_more(server: Webserver, client: Client):
    def ask(_: int) -> bool:
        try:
            return client.retry(JOB, delay_s=60.0).status == "held"
        except BadInput:
            return False

    server.meet = lambda: time.sleep(0.002)
    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(ask, range(20))) == calls.HELD_OF_A_JOB


@pytest.mark.usefixtures("job")
def test_a_run_that_was_made_and_never_queued_does_not_count(server: Webserver, client: Client):
    """The code server was down when it was launched: nothing will ever come of it."""
    client.retry(JOB, key="k")
    server.runs[-1]["status"] = "NOT_STARTED"
    assert client.retry(JOB, key="k").run_id == "r2", "it may be on its way into the queue"
    server.runs[-1]["creationTime"] -= ORPHAN_S + 1
    assert client.retry(JOB, key="k").run_id == "r3"


@pytest.mark.usefixtures("job")
def test_of_two_requests_at_once_with_one_key_the_second_is_refused_and_does_not_run(server: Webserver):
    both = Barrier(2, timeout=10)
    server.meet = both.wait

    def call(stage: str) -> str:
        with connected(server) as client:
            try:
                return client.replay(JOB, stage, key="k").run_id
            except BadInput as e:
                return str(e)

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(call, ["match_brands", "compile_report"]))
    assert said == ["The key 'k' was used for another request for match.", "r2"]
    assert [row["status"] for row in server.runs] == ["SUCCESS", "QUEUED", "CANCELED"]


@pytest.mark.usefixtures("job")
def test_of_two_callers_one_of_which_is_slow_to_queue_one_counts(server: Webserver):
    """The first one's run is made before the second one's and queued after that was looked at."""
    with connected(server) as slow, connected(server) as quick:

        def overtaken(**asked: Any) -> Answer:
            answer = server.on_Launch(**asked)
            server.runs[-1]["status"] = "NOT_STARTED"
            quick.retry(JOB, key="k")
            server.runs[1]["status"] = "QUEUED"
            return answer

        server.answers["Launch"] = [overtaken]
        slow.retry(JOB, key="k")
    assert [row["status"] for row in server.runs[1:] if row["status"] != "CANCELED"] == ["QUEUED"]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            {
                "__typename": "RunConfigValidationInvalid",
                "errors": [{"message": "Invalid scalar\n  at x"}, {"message": "y"}],
            },
            BadInput,
            "Dagster refused it: Invalid scalar at x; y",
        ),
        ({"__typename": "InvalidSubsetError", "message": "no asset"}, BadInput, "Dagster refused it: no asset"),
        ({"__typename": "UnauthorizedError", "message": "read only"}, BadInput, "Dagster does not allow it: read only"),
        ({"__typename": "PipelineNotFoundError", "message": "no job"}, Permanent, "Dagster failed: no job"),
        ({"__typename": "PythonError", "message": "boom"}, Permanent, "Dagster failed: boom"),
        ({"__typename": "ConflictingExecutionParamsError"}, Permanent, "ConflictingExecutionParamsError"),
    ],
)
@pytest.mark.usefixtures("job")
def test_a_launch_that_is_refused_is_not_sent_again(
    server: Webserver, client: Client, answer: Answer, kind: type[BrandDetectError], said: str
):
    server.answers["Launch"] = [{"launchRun": answer}]
    with pytest.raises(kind, match=f"^{re.escape(said)}$" if "Error" not in said else said):
        client.replay(JOB, "match_brands")
    assert len(server.sent("Launch")) == 1


# cancel and wait


def test_a_run_that_waits_is_cancelled_and_one_that_has_ended_is_not(server: Webserver, client: Client, job: str):
    held = client.retry(JOB, delay_s=60.0)
    assert client.cancel(held.run_id).status == "canceled"
    for run_id, status in ((held.run_id, "canceled"), (job, "success")):
        with pytest.raises(BadInput, match=f"Run {run_id} has ended: {status}"):
            client.cancel(run_id)
    with pytest.raises(BadInput, match="There is no run 'r9'"):
        client.cancel("r9")
    assert len(server.sent("Cancel")) == 1


def test_a_run_that_is_just_starting_is_cancelled_as_soon_as_it_can_be(server: Webserver, client: Client):
    server.add({}, LINE, "STARTING")
    too_early = {"terminateRun": {"__typename": "TerminateRunFailure", "message": "it cannot be ended"}}
    server.answers["Cancel"] = [too_early, too_early]
    assert client.cancel("r1").status == "canceled"
    assert len(server.sent("Cancel")) == 3


def test_a_run_that_never_starts_is_not_waited_for_longer_than_that(
    server: Webserver, client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(calls, "START_S", 0.0)
    server.add({}, LINE, "STARTING")
    server.answers["Cancel"] = [{"terminateRun": {"__typename": "TerminateRunFailure", "message": "no"}}] * 99
    with pytest.raises(BadInput, match="Dagster refused it: no"):
        client.cancel("r1")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("TerminateRunFailure", BadInput), ("RunNotFoundError", BadInput), ("PythonError", Permanent)],
)
def test_a_cancel_that_fails_is_said(server: Webserver, client: Client, kind: str, expected: type[BrandDetectError]):
    server.add({}, LINE)
    server.answers["Cancel"] = [{"terminateRun": {"__typename": kind, "message": "it ended just now"}}]
    with pytest.raises(expected, match="it ended just now"):
        client.cancel("r1")


def polls(server: Webserver, run_id: str, *statuses: str) -> None:
    """Let the run ``run_id`` go through ``statuses``, one a look."""
    row = next(row for row in server.runs if row["runId"] == run_id)

    def look(status: str) -> Callable[..., Answer]:
        def answer(**asked: Any) -> Answer:
            assert asked["filter"] == {"runIds": [run_id]}
            row["status"] = status
            return server.on_Runs(**asked)

        return answer

    server.answers.setdefault("Runs", []).extend(map(look, statuses))


def test_a_run_is_waited_for(server: Webserver, client: Client):
    server.add({PARTITION: JOB}, LINE)
    polls(server, "r1", "QUEUED", "STARTING", "STARTED", "STARTED", "SUCCESS")
    seen: list[str] = []
    done = client.wait("r1", PATIENCE_S, lambda run: seen.append(run.status))
    assert (done.run_id, done.status) == ("r1", "success")
    assert seen == ["queued", "starting", "started", "started", "success"]


def test_a_run_that_is_re_executed_is_followed(server: Webserver, client: Client):
    """Dagster says first that it will, then as which run."""
    row = server.add({"dagster/will_retry": "true"}, LINE)
    polls(server, "r1", "STARTED", "FAILURE", "FAILURE")
    again = server.add({}, LINE, parent="r1")

    def re_executed(**asked: Any) -> Answer:
        row["tags"].append({"key": "dagster/auto_retry_run_id", "value": again["runId"]})
        return server.on_Runs(**asked)

    server.answers["Runs"].append(re_executed)
    polls(server, "r2", "QUEUED", "STARTED", "SUCCESS")
    seen: list[tuple[str, str]] = []
    done = client.wait("r1", PATIENCE_S, lambda run: seen.append((run.run_id, run.status)))
    assert done.run_id == "r2"
    assert seen == [
        ("r1", "started"),
        ("r1", "failure"),
        ("r1", "failure"),
        ("r1", "failure"),
        ("r2", "queued"),
        ("r2", "started"),
        ("r2", "success"),
    ]
    assert server.sent("Failure") == []


def test_a_run_that_has_just_failed_is_looked_at_again(server: Webserver, client: Client):
    """Dagster says a moment later whether it executes it again."""
    server.add({}, LINE, "FAILURE")
    server.answers["Failure"] = [logs(RUN_FAILURE)]
    with pytest.raises(Permanent, match="was found dead"):
        client.wait("r1", PATIENCE_S)
    assert len(server.sent("Runs")) == calls.POLLS_AGAIN + 1


def test_a_run_that_takes_too_long_goes_on_without_us(server: Webserver, client: Client):
    server.add({}, LINE, "STARTED")
    with pytest.raises(Transient, match="Run r1 is started after 0 s") as error:
        client.wait("r1", timeout_s=0.01)
    assert error.value.hint == "wait for it again"
    assert len(server.asked) > 1
    server.runs[0]["status"] = "SUCCESS"
    assert client.wait("r1", timeout_s=0.0).status == "success", "one look is always taken"


def test_a_run_that_was_cancelled_is_no_success(server: Webserver, client: Client):
    server.add({}, LINE, "CANCELED")
    with pytest.raises(Permanent, match="Run r1 was cancelled"):
        client.wait("r1", PATIENCE_S)


def test_a_run_that_fails_for_good_says_why(server: Webserver, client: Client):
    server.add({"dagster/will_retry": "false"}, LINE, "FAILURE")
    server.answers["Failure"] = [logs(step_failure("run_ocr", "Tesseract is not installed.\nhint: install it"))]
    with pytest.raises(Permanent, match=r"^run_ocr: Tesseract is not installed\.$") as error:
        client.wait("r1", PATIENCE_S)
    assert error.value.hint == "install it"


def steps(*done: str) -> list[dict[str, str]]:
    return [{"stepKey": stage, "status": "SUCCESS"} for stage in done]


def test_a_run_that_died_after_its_last_stage_is_done(server: Webserver, client: Client):
    row = server.add({"dagster/will_retry": "true"}, STAGES[6:], "FAILURE")
    row["stepStats"] = steps(*STAGES[:5:-1])
    assert client.wait("r1", PATIENCE_S).done == STAGES[6:]
    row["stepStats"] = steps(STAGES[6])
    with pytest.raises(Transient):
        client.wait("r1", timeout_s=0.0)


def test_a_run_of_a_whole_job_that_fails_is_not_done(server: Webserver, client: Client):
    """The schedule's runs select nothing."""
    server.add({"dagster/will_retry": "false"}, (), "FAILURE")["assetSelection"] = None
    server.answers["Failure"] = [logs(step_failure("escalate_vlm", "It broke."))]
    with pytest.raises(Permanent, match="It broke"):
        client.wait("r1", PATIENCE_S)


def test_a_fault_while_waiting_does_not_end_it(server: Webserver, client: Client):
    server.add({}, LINE)
    polls(server, "r1", "STARTED")
    server.answers["Runs"] += [httpx2.ConnectError("refused")] * 3
    polls(server, "r1", "SUCCESS")
    assert client.wait("r1", PATIENCE_S).status == "success"


# why a run failed


def logs(*events: Answer, more: bool = False, cursor: str = "") -> Answer:
    return {"logsForRun": {"__typename": "EventConnection", "events": list(events), "hasMore": more, "cursor": cursor}}


def step_failure(stage: str, description: str | None = None, *messages: str) -> Answer:
    error = {"message": messages[0], "causes": [{"message": m} for m in messages[1:]]} if messages else None
    return {
        "__typename": "ExecutionStepFailureEvent",
        "stepKey": stage,
        "failureMetadata": {"description": description} if description else None,
        "error": error,
    }


OTHER: Answer = {"__typename": "LogMessageEvent"}


RUN_FAILURE: Answer = {"__typename": "RunFailureEvent", "message": "This run was found dead: process 7 is gone."}


@pytest.mark.parametrize(
    ("events", "sentence", "hint"),
    [
        ([OTHER, step_failure("run_ocr", "It broke.\nhint: mend it"), RUN_FAILURE], "run_ocr: It broke.", "mend it"),
        ([step_failure("run_ocr", "It broke.")], "run_ocr: It broke.", ""),
        ([step_failure("run_ocr", "First."), step_failure("match_brands", "Second.")], "run_ocr: First.", ""),
        (
            [step_failure("run_ocr", None, "dagster.DagsterError: outer\n", "KeyError: 'x'\n")],
            "run_ocr: 'x'",
            "",
        ),
        ([step_failure("run_ocr", None, "brand_detect.domain.errors.Transient: Busy.\n")], "run_ocr: Busy.", ""),
        ([step_failure("run_ocr", None, "it is so: yes")], "run_ocr: it is so: yes", ""),
        ([step_failure("run_ocr")], "run_ocr: ", ""),
        ([OTHER, RUN_FAILURE], "This run was found dead: process 7 is gone.", ""),
        ([OTHER], "Run r1 failed.", ""),
        ([], "Run r1 failed.", ""),
    ],
)
def test_the_reason_is_the_sentence_of_the_step(
    server: Webserver, client: Client, events: list[Answer], sentence: str, hint: str
):
    server.answers["Failure"] = [logs(*events)]
    assert client.reason("r1") == (sentence, hint)


def test_the_reason_is_looked_for_on_all_pages(server: Webserver, client: Client):
    server.answers["Failure"] = [
        logs(OTHER, more=True, cursor="c1"),
        logs(RUN_FAILURE, more=True, cursor="c2"),
        logs(step_failure("run_ocr", "It broke.")),
    ]
    assert client.reason("r1") == ("run_ocr: It broke.", "")
    assert [asked["after"] for asked in server.sent("Failure")] == [None, "c1", "c2"]


def test_the_reason_of_no_run_is_refused(server: Webserver, client: Client):
    server.answers["Failure"] = [{"logsForRun": {"__typename": "RunNotFoundError", "message": "no run r9"}}]
    with pytest.raises(BadInput, match="no run r9"):
        client.reason("r9")


def rows(**events: list[Answer]) -> Answer:
    results = [
        {"runId": run_id, "eventConnection": {"events": of_run, "hasMore": OTHER in of_run}}
        for run_id, of_run in events.items()
    ]
    return {"runsOrError": {"__typename": "Runs", "results": results}}


def test_the_reasons_of_many_runs_are_asked_for_by_one_question(server: Webserver, client: Client):
    server.answers["Failures"] = [
        rows(r1=[step_failure("run_ocr", "It broke.\nhint: mend it")], r2=[RUN_FAILURE], r3=[])
    ]
    assert client.reasons(["r1", "r2", "r3", "gone"]) == {
        "r1": ("run_ocr: It broke.", "mend it"),
        "r2": ("This run was found dead: process 7 is gone.", ""),
        "r3": ("Run r3 failed.", ""),
    }
    assert server.sent("Failures") == [{"runs": ["r1", "r2", "r3", "gone"], "limit": 4}]


def test_a_reason_beyond_the_first_events_is_looked_for_in_its_own_run(server: Webserver, client: Client):
    server.answers["Failures"] = [rows(r1=[OTHER])]
    server.answers["Failure"] = [logs(step_failure("run_ocr", "It broke."))]
    assert client.reasons(["r1"]) == {"r1": ("run_ocr: It broke.", "")}
