"""Dagster's webserver in a few lines: a transport for the client, which notes what it is sent."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import httpx2

from brand_detect.client import Client
from brand_detect.domain.contracts import effective
from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import CATALOG, LINE, ROOT, STAGES, downstream_of, upstream_of
from brand_detect.domain.recipe import recipe_of
from brand_detect.domain.tags import PARTITION

URL = "http://dagster.test"
JOB = "match"
PROFILES: dict[str, Overrides] = {"default": {}, "fixed_camera": {"run_ocr": {"stop_confidence": 0.9}}}
Answer = Mapping[str, Any]
NODE = {
    "__typename": "AssetNode",
    "repository": {"name": "__repository__", "location": {"name": "brand_detect.definitions"}},
}
FAULTS = [
    httpx2.ConnectError("connection refused"),
    httpx2.ReadTimeout("timed out"),
    httpx2.RemoteProtocolError("server disconnected"),
    httpx2.Response(502, text="<html>bad gateway</html>"),
    httpx2.Response(503, text="starting"),
    httpx2.Response(429, text="slowly"),
]
"""Answers that may pass."""


@dataclass
class Webserver:
    """Dagster's webserver with one repository, as far as the client looks. Its runs are queued and stay so."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    """Oldest first."""
    made: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {stage: [] for stage in LINE})
    """Materializations, newest first."""
    pruned: list[str] = field(default_factory=list)
    """Attempts that retention has removed."""
    catalog: str = "list 1"
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[httpx2.Headers] = field(default_factory=list)
    answers: dict[str, list[Any]] = field(default_factory=dict)
    """By operation, in place of the usual ones: what it answers, raises, or does with the variables."""
    lose: int = 0
    """How many answers to launches get lost on their way."""
    meet: Callable[[], object] = lambda: None
    """Called before a run is launched, and again before the answer is sent."""
    lock: Any = field(default_factory=RLock)
    began_s: float = field(default_factory=time.time)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        assert str(request.url) == f"{URL}/graphql"
        body = json.loads(request.content)
        [operation] = re.findall(r"^(?:query|mutation) (\w+)", body["query"])
        variables = body["variables"]
        if operation == "Launch":
            self.meet()
        with self.lock:
            self.asked.append((operation, variables))
            self.headers.append(request.headers)
            scripted = (
                self.answers[operation].pop(0) if self.answers.get(operation) else getattr(self, f"on_{operation}")
            )
            if isinstance(scripted, Exception):
                raise scripted
            answer = scripted(**variables) if callable(scripted) else scripted
        if operation == "Launch":
            self.meet()
            if self.lose:
                self.lose -= 1
                raise httpx2.ReadTimeout("the answer is lost", request=request)
        return answer if isinstance(answer, httpx2.Response) else httpx2.Response(200, json={"data": answer})

    def on_Health(self) -> Answer:  # noqa: N802 as the operation is called
        daemons = [
            {"daemonType": "SENSOR", "required": True, "healthy": True},
            {"daemonType": "QUEUED_RUN_COORDINATOR", "required": True, "healthy": None},
            {"daemonType": "BACKFILL", "required": False, "healthy": False},
        ]
        return {"instance": {"daemonHealth": {"allDaemonStatuses": daemons}}, "assetNodeOrError": NODE}

    def on_CatalogChanged(self, sensor: Answer) -> Answer:  # noqa: N802
        assert sensor["sensorName"] == "brand_catalog_changed"
        return tick()

    def on_Models(self, sensor: Answer, params: str) -> Answer:  # noqa: N802
        assert sensor["sensorName"] == "model_check"
        assert json.loads(params)
        return tick()

    def on_AddJob(self, repository: Answer, job: str) -> Answer:  # noqa: N802
        assert repository["repositoryName"] == "__repository__"
        assert job
        return {"addDynamicPartition": {"__typename": "AddDynamicPartitionSuccess"}}

    def on_Launch(self, **asked: Any) -> Answer:  # noqa: N802
        tags = {tag["key"]: tag["value"] for tag in asked["tags"]}
        run = self.add(tags, [a["path"][0] for a in asked["assets"]], parent=asked["parent"])
        return {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": run["runId"]}}}

    def on_Runs(self, limit: int, filter: Answer, steps: bool = True, cursor: str = "") -> Answer:  # noqa: A002, N802
        wanted = {tag["key"]: tag["value"] for tag in filter.get("tags", ())}
        found = [
            row
            for row in reversed(self.runs)
            if row["runId"] in filter.get("runIds", [row["runId"]])
            and row["status"] in filter.get("statuses", [row["status"]])
            and wanted.items() <= {t["key"]: t["value"] for t in row["tags"]}.items()
            and row["updateTime"] > filter.get("updatedAfter", 0.0)
        ]
        if cursor:
            found = found[[row["runId"] for row in found].index(cursor) + 1 :]
        listed = [{k: v for k, v in row.items() if steps or k != "stepStats"} for row in found[:limit]]
        return {"runsOrError": {"__typename": "Runs", "count": len(found), "results": listed}}

    def on_Cancel(self, run: str) -> Answer:  # noqa: N802
        next(row for row in self.runs if row["runId"] == run)["status"] = "CANCELED"
        return {"terminateRun": {"__typename": "TerminateRunSuccess", "run": {"runId": run}}}

    def on_Rerun(self, run: str, strategy: str, tags: Sequence[Answer]) -> Answer:  # noqa: N802
        assert strategy in ("FROM_FAILURE", "ALL_STEPS")
        parent = next(row for row in self.runs if row["runId"] == run)
        inherited = {t["key"]: t["value"] for t in [*parent["tags"], *tags]} | {"dagster/root_run_id": run}
        made = self.add(inherited, [key["path"][0] for key in parent["assetSelection"]], parent=run)
        if strategy == "FROM_FAILURE":  # at least the first stage has finished
            made["stepKeysToExecute"] = [key["path"][0] for key in made["assetSelection"]][1:]
            made["tags"].append({"key": "dagster/is_resume_retry", "value": "true"})
        return {"launchRunReexecution": {"__typename": "LaunchRunSuccess", "run": {"runId": made["runId"]}}}

    def on_Checkpoints(self, partitions: Sequence[str], limit: int, assets: Sequence[Answer]) -> Answer:  # noqa: N802
        known = partitions == [JOB]
        nodes = [
            {
                "assetKey": asset,
                "opVersion": "1",
                "repository": NODE["repository"],
                "metadataEntries": [json_entry("profiles", PROFILES)] if asset["path"] == [ROOT] else [],
                "assetMaterializations": self.made[asset["path"][0]][:limit] if known else [],
                "assetObservations": [{"metadataEntries": [json_entry("pruned", self.pruned)]}] if known else [],
            }
            for asset in assets
        ]
        snapshot = {"metadataEntries": [{"label": "attempt", "text": self.catalog}, {"label": "brands"}]}
        return {"assetNodes": nodes, "brand_catalog": {"assetMaterializations": [snapshot] if self.catalog else []}}

    def add(self, tags: Mapping[str, str], stages: Sequence[str], status: str = "QUEUED", parent: str = "") -> dict:
        """A run that was made just now, a millisecond after the one before it."""
        row = {
            "runId": f"r{len(self.runs) + 1}",
            "status": status,
            "creationTime": self.began_s + 0.001 * len(self.runs),
            "updateTime": self.began_s + 0.001 * len(self.runs),
            "startTime": None,
            "endTime": None,
            "rootRunId": tags.get("dagster/root_run_id"),
            "parentRunId": parent,
            "tags": [{"key": k, "value": v} for k, v in tags.items()],
            "assetSelection": [{"path": [stage]} for stage in stages],
            "stepKeysToExecute": None,
            "stepStats": [],
        }
        self.runs.append(row)
        return row

    def finished(self, start: str, of: Mapping[str, str] | None = None, overrides: Overrides | None = None) -> str:
        """A run from ``start`` down that has made its attempts, on those of ``of`` or else on the latest; its id."""
        run = self.add({PARTITION: JOB}, downstream_of(start), "SUCCESS")["runId"]
        line = dict(of or {})
        if start != ROOT and not of:
            nearest = upstream_of(start)[-1]
            latest = entries(self.made[nearest][0])
            line = latest["upstream"] | {nearest: latest["attempt"]}
        for stage in downstream_of(start):
            tuned = (overrides or {}).get(stage, {})
            params = effective(stage, tuned).model_dump(mode="json") if stage in STAGES else {"profile": "default"}
            if stage == "match_brands":
                line[CATALOG] = self.catalog
            inputs = {s: f"{s} of {line[s]}" for s in upstream_of(stage)[-1:]}
            inputs |= {CATALOG: line[CATALOG]} if CATALOG in line else {}
            self.made[stage].insert(0, event(stage, run, line, inputs, params, tuned))
            line[stage] = f"{run}-0"
        return run

    def sent(self, operation: str) -> list[dict[str, Any]]:
        """The variables of each time that ``operation`` was sent."""
        return [variables for name, variables in self.asked if name == operation]


def connected(server: Webserver, **more: Any) -> Client:
    return Client(URL, transport=httpx2.MockTransport(server), **more)


def tags_of(variables: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a launch, by key."""
    return {tag["key"]: tag["value"] for tag in variables["tags"]}


def json_entry(label: str, value: object) -> Answer:
    return {"label": label, "jsonString": json.dumps(value)}


def event(
    stage: str, run: str, upstream: Mapping[str, str], inputs: Mapping[str, str], params: Answer, tuned: object
) -> dict[str, Any]:
    """A materialization as the checkpoints' IO manager makes it."""
    return {
        "runId": run,
        "timestamp": "1700000000500",
        "metadataEntries": [
            {"label": "attempt", "text": f"{run}-0"},
            {"label": "picture"},
            {"label": "uri", "text": f"/store/{JOB}/{stage}/{run}-0"},
            {"label": "rows", "intValue": 3},
            {"label": "stage_s", "floatValue": 0.5},
            json_entry("params", params),
            json_entry("overrides", tuned),
            json_entry("upstream", dict(upstream)),
            json_entry("input_versions", dict(inputs)),
            {"label": "code_version", "text": "1"},
            {"label": "recipe", "text": recipe_of(stage, "1", params, inputs)},
            {"label": "data_version", "text": f"{stage} of {run}-0"},
        ],
    }


def entries(made: Mapping[str, Any]) -> dict[str, Any]:
    found = {e["label"]: e.get("text") for e in made["metadataEntries"]}
    return found | {e["label"]: json.loads(e["jsonString"]) for e in made["metadataEntries"] if "jsonString" in e}


def tick(runs: int = 0, error: str = "") -> Answer:
    """A dry run of the sensor of the brand list."""
    result = {"runRequests": [{"runKey": None}] * runs, "skipReason": None, "error": None}
    if error:
        result["error"] = {"message": error}
    return {"sensorDryRun": {"__typename": "DryRunInstigationTick", "evaluationResult": result}}
