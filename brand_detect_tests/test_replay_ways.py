"""A replay over HTTP, from the command line, from Python and in-process: one request, one plan."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from brand_detect.api import create_app
from brand_detect.cli import runs
from brand_detect.client import Client
from brand_detect.domain.history import History
from brand_detect.domain.launch import ReplayRequest, plan_replay
from brand_detect.domain.pipeline import ROOT
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import LATEST, PIN, RETRY_OF
from brand_detect.orchestration.history import read_history
from brand_detect_tests.support.pipeline import Pipeline, pipeline, two_shot_clip
from brand_detect_tests.support.webserver import JOB, NODE, URL, Answer, Webserver, json_entry

FIRST = "the first"
"""Stands for the name of the oldest attempt."""


@dataclass(frozen=True)
class Launch:
    """What a run was launched with."""

    stages: set[str]
    config: Mapping[str, Mapping[str, Any]]
    tags: Mapping[str, str]
    """Pins, and what is retried."""

    @classmethod
    def of(cls, stages: set[str], run_config: Mapping[str, Any], tags: Mapping[str, str]) -> "Launch":
        config = {stage: op["config"] for stage, op in run_config.get("ops", {}).items()}
        return cls(stages, config, {key: value for key, value in tags.items() if key.startswith((PIN, RETRY_OF))})


@dataclass
class Mirror(Webserver):
    """Dagster's webserver over a job that was run in-process; what is launched succeeds at once."""

    history: History = field(default_factory=lambda: History(JOB, {}))

    def on_Checkpoints(self, partitions: Sequence[str], limit: int, assets: Sequence[Answer]) -> Answer:  # noqa: ARG002, N802
        assert partitions == [JOB]
        nodes = [self.node(asset["path"][0]) | {"assetKey": asset} for asset in assets]
        snapshot = {"metadataEntries": [{"label": "attempt", "text": self.history.catalog_version}]}
        return {"assetNodes": nodes, "brand_catalog": {"assetMaterializations": [snapshot]}}

    def node(self, stage: str) -> dict[str, Any]:
        state = self.history.stages[stage]
        return {
            "opVersion": state.code_version,
            "repository": NODE["repository"],
            "metadataEntries": [json_entry("profiles", self.history.profiles)] if stage == ROOT else [],
            "assetObservations": [],
            "assetMaterializations": [
                {
                    "runId": a.run_id,
                    "timestamp": str(1000 * a.created_s),
                    "metadataEntries": [json_entry(name, v) for name, v in {**asdict(a), **a.figures}.items()],
                }
                for a in state.attempts
            ],
        }

    def on_Launch(self, **asked: Any) -> Answer:  # noqa: N802
        answer = super().on_Launch(**asked)
        self.runs[-1]["status"] = "SUCCESS"
        return answer

    @property
    def launched(self) -> Launch:
        [asked] = self.sent("Launch")
        tags = {tag["key"]: tag["value"] for tag in asked["tags"]}
        return Launch.of({asset["path"][0] for asset in asked["assets"]}, asked["config"], tags)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A job with two branches: one as it was submitted, one tuned."""
    folder = tmp_path_factory.mktemp("ways")
    video = str(two_shot_clip(folder / "match.mp4", seconds=1.0))
    with pipeline(folder) as built:
        built.runner.submit(video, job_id=JOB, overrides={"compile_report": {"bridge_s": 1.5}})
        built.runner.replay(JOB, "run_ocr", {"run_ocr": {"max_crops": 2}, "match_brands": {"fuzzy_score": 0.9}})
        yield built


REQUESTS = {
    "carried": ReplayRequest("run_ocr"),
    "changed": ReplayRequest("run_ocr", {"match_brands": {"min_confidence": 0.5}, "run_ocr": {"max_crops": 3}}),
    "reset": ReplayRequest("run_ocr", reset=("match_brands",)),
    "reused": ReplayRequest("run_ocr", {"match_brands": {"fuzzy_score": 0.8}}, reuse=True),
    "pinned": ReplayRequest("match_brands", pins={"run_ocr": FIRST}, reset=("match_brands",)),
    "retried": ReplayRequest("escalate_vlm", {"escalate_vlm": {"max_questions": 3}}, retry_of=LATEST),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_same_request_launches_the_same_run_every_way(
    built: Pipeline, name: str, command_line: Any, monkeypatch: pytest.MonkeyPatch
):
    history = read_history(built.instance, JOB, built.runner.code_versions)
    first = history.stages["run_ocr"].attempts[-1].attempt
    request = replace(REQUESTS[name], pins={s: a.replace(FIRST, first) for s, a in REQUESTS[name].pins.items()})
    plan = plan_replay(history, request)
    assert bool(plan.reused) == request.reuse
    planned = Launch.of(set(plan.stages), {"ops": {s: {"config": v} for s, v in plan.config.items()}}, plan.run_tags())

    for way in (over_http, on_the_command_line, from_python):
        dagster = Mirror(history=history)
        with Client(URL, transport=httpx2.MockTransport(dagster)) as client:
            monkeypatch.setattr(runs, "Client", lambda client=client, **_: client)
            way(client, request, command_line)
        assert dagster.launched == planned, way.__name__
    assert in_process(built, request) == planned, "the last, for it makes history"


def over_http(client: Client, request: ReplayRequest, _: Any) -> None:
    http = TestClient(create_app(client, Settings()), base_url="http://127.0.0.1")
    body = {"job_id": JOB, "start_stage": request.start_stage, "config_overrides": request.overrides}
    if request.retry_of:
        http.post("/detect/retry", json=body)
    else:
        more = {"pins": dict(request.pins), "reset": list(request.reset), "reuse": request.reuse}
        http.post("/detect/replay", json=body | more)  # waits for a report, which a mirror does not make


def on_the_command_line(_: Client, request: ReplayRequest, command_line: Any) -> None:
    settings = [f"{s}.{n}={json.dumps(v)}" for s, named in request.overrides.items() for n, v in named.items()]
    words = [word for setting in settings for word in ("--set", setting)]
    words += [word for stage in request.reset for word in ("--reset", stage)]
    words += [word for stage, attempt in request.pins.items() for word in ("--pin", f"{stage}={attempt}")]
    words += ["--reuse"] if request.reuse else []
    if request.retry_of:
        command_line("retry", JOB, "--from", request.start_stage, "--of", request.retry_of, *words)
    else:
        command_line("replay", JOB, request.start_stage, "--no-wait", *words)


def from_python(client: Client, request: ReplayRequest, _: Any) -> None:
    how = arguments_of(request)
    if how.pop("retry_of"):
        client.retry(JOB, request.overrides, start_stage=request.start_stage, retry_of=request.retry_of)
    else:
        client.replay(JOB, **how)


def in_process(built: Pipeline, request: ReplayRequest) -> Launch:
    run = built.instance.get_run_by_id(built.runner.replay(JOB, **arguments_of(request)).run_id)
    assert run
    assert run.asset_selection
    return Launch.of({key.path[-1] for key in run.asset_selection}, run.run_config, run.tags)


def arguments_of(request: ReplayRequest) -> dict[str, Any]:
    return {f.name: getattr(request, f.name) for f in fields(request)}


def test_a_replay_in_process_keeps_what_was_tuned(built: Pipeline):
    built.runner.replay(JOB, "run_ocr", {"run_ocr": {"max_crops": 7}})
    again = built.runner.replay(JOB, "run_ocr", {"match_brands": {"fuzzy_score": 0.95}})
    assert again.manifest("run_ocr").overrides == {"max_crops": 7}
    assert again.manifest("match_brands").params["fuzzy_score"] == 0.95
    assert again.manifest("compile_report").params["bridge_s"] == 1.5, "the job's own"
