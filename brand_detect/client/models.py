"""The client's results, and how they are built from nodes of Dagster's GraphQL API."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from brand_detect.client.transport import expect
from brand_detect.domain.errors import Transient
from brand_detect.domain.history import Attempt, History, StageState
from brand_detect.domain.pipeline import ASSETS, LINE, ROOT
from brand_detect.domain.problems import WARNED, Problem
from brand_detect.domain.progress import StageProgress
from brand_detect.domain.tags import HOLD, ORPHAN_S, PARTITION, UNTIL, due_s


@dataclass(frozen=True)
class Run:
    """One run of a job, as Dagster knows it."""

    run_id: str
    job_id: str
    status: str
    """``held`` or Dagster's: queued, starting, started, success, failure, canceled, …"""
    stages: tuple[str, ...]
    """The selected stages, in pipeline order."""
    created_s: float
    started_s: float | None
    ended_s: float | None
    parent_run_id: str
    not_before_s: float | None
    """When a held run is due, in seconds since 1970."""
    done: tuple[str, ...] = ()
    """The finished stages."""
    root_run_id: str = ""
    """The first run of its run group, possibly itself."""
    retried_as: str = ""
    """The run that continues this one after a failure, if there is one yet."""
    will_retry: bool | None = None
    """Whether Dagster re-executes it after a failure; None until Dagster has decided."""
    tags: Mapping[str, str] = field(default_factory=dict)
    updated_s: float = 0.0
    """When it last changed, by the clock of Dagster's database."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Run":
        """From a ``Run`` of GraphQL."""
        tags = {tag["key"]: tag["value"] for tag in row["tags"]}
        selected = set(row["stepKeysToExecute"] or ()) or {key["path"][-1] for key in row["assetSelection"] or ()}
        succeeded = {step["stepKey"] for step in row.get("stepStats") or () if step["status"] == "SUCCESS"}
        held = row["status"] == "QUEUED" and tags.get(HOLD) == UNTIL
        return cls(
            run_id=row["runId"],
            job_id=tags.get(PARTITION, ""),
            status="held" if held else row["status"].lower(),
            stages=tuple(stage for stage in ASSETS if stage in selected),
            created_s=row["creationTime"],
            started_s=row["startTime"],
            ended_s=row["endTime"],
            parent_run_id=row["parentRunId"] or "",
            root_run_id=row["rootRunId"] or row["runId"],
            not_before_s=due_s(tags),
            done=tuple(stage for stage in ASSETS if stage in succeeded),
            retried_as=tags.get("dagster/auto_retry_run_id", ""),
            will_retry=tags["dagster/will_retry"] == "true" if "dagster/will_retry" in tags else None,
            tags=tags,
            updated_s=row.get("updateTime") or 0.0,
        )

    @property
    def ended(self) -> bool:
        return self.status in ("success", "failure", "canceled")

    @property
    def is_lost(self) -> bool:
        """Whether it was created but will never be queued."""
        return self.status == "not_started" and time.time() - self.created_s >= ORPHAN_S


@dataclass(frozen=True)
class RunLog:
    """What a run's log says about its progress, up to ``cursor``."""

    cursor: str | None = None
    stage: str = ""
    """The running stage; empty before the first and between two."""
    done: tuple[str, ...] = ()
    """The finished stages, in the order in which they finished."""
    progress: StageProgress | None = None
    """The last line of progress of the running stage."""

    def then(self, event: Mapping[str, Any]) -> "RunLog":
        """The state after one more ``DagsterRunEvent`` of GraphQL."""
        match event["__typename"]:
            case "ExecutionStepStartEvent":
                return replace(self, stage=event["stepKey"], progress=None)
            case "ExecutionStepSuccessEvent":
                return replace(self, stage="", done=(*self.done, event["stepKey"]), progress=None)
            case "LogMessageEvent":
                return replace(self, progress=StageProgress.read(event["message"]) or self.progress)
        return self


@dataclass(frozen=True)
class ReportSummary:
    """Summary of a report, and where its documents are stored."""

    job_id: str
    attempt: str
    run_id: str
    created_s: float
    uri: str
    """The folder with report.html, report.json and the tables."""
    brands: tuple[Mapping[str, Any], ...]
    """Brands on screen, longest first."""
    detections: int
    unresolved: int
    notes: tuple[str, ...]

    @classmethod
    def of(cls, job_id: str, attempt: Attempt) -> "ReportSummary":
        """From an attempt of ``compile_report``."""
        return cls(
            job_id=job_id,
            attempt=attempt.attempt,
            run_id=attempt.run_id,
            created_s=attempt.created_s,
            uri=attempt.uri,
            brands=tuple(attempt.report.get("brands", ())),
            detections=int(attempt.figures.get("detections", 0)),
            unresolved=int(attempt.figures.get("unresolved", 0)),
            notes=tuple(attempt.report.get("notes", ())),
        )


@dataclass(frozen=True)
class ComparisonSummary:
    """Summary of the differences between two reports, and where the documents are stored."""

    job_id: str
    run_id: str
    before: str
    """Job, stage and attempt of the earlier report."""
    after: str
    text: str
    """In Markdown."""
    page: str
    """Address of the page in the store."""
    document: str
    """Address of the whole document in the store, as JSON."""
    comparison: Mapping[str, Any]
    """The shortened document; ``left_out`` names the lists that are longer in the full one."""


@dataclass(frozen=True)
class FailedTick:
    """A running sensor or schedule whose last tick failed."""

    name: str
    at_s: float
    """Seconds since 1970."""
    reason: str


@dataclass(frozen=True)
class Problems:
    """Current problems of all jobs."""

    problems: tuple[Problem, ...]
    """Newest first."""
    more: int
    """Number of older problems that are not listed."""
    more_failed: int
    """How many of those may be failures."""
    polled_s: float
    """When the runs were last checked, in seconds since 1970."""
    failing: tuple[FailedTick, ...]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Problems":
        """From the answer to the operation ``problems``.

        Raises:
            Transient: the sensor ``problems`` has never run.
        """
        node = expect(data["assetNodeOrError"], "AssetNode")
        listed = expect(data["sensorsOrError"], "Sensors"), expect(data["schedulesOrError"], "Schedules")
        states = {r["name"]: r.get("sensorState") or r["scheduleState"] for kind in listed for r in kind["results"]}
        ticks = {name: state["ticks"][0] for name, state in states.items() if state["ticks"]}
        if not node["assetMaterializations"]:
            raise Transient(
                "Problems have not been collected yet.",
                "check that Dagster's daemon and the sensor problems are running",
            )
        made = node["assetMaterializations"][0]
        found = entries(made)["problems"]
        polled_s = float(made["timestamp"]) / 1000
        if "problems" in ticks and ticks["problems"]["status"] != "FAILURE":
            polled_s = max(polled_s, ticks["problems"]["timestamp"])
        return cls(
            problems=tuple(Problem(**row) for row in found["problems"]),
            more=found["more"],
            more_failed=found["more_failed"],
            polled_s=polled_s,
            failing=tuple(
                FailedTick(name, tick["timestamp"], cause(tick["error"] or {}))
                for name, tick in sorted(ticks.items())
                if tick["status"] == "FAILURE" and states[name]["status"] == "RUNNING"
            ),
        )

    @property
    def is_broken(self) -> bool:
        """Whether there are failures, not only warnings."""
        return bool(self.failing or self.more_failed or any(p.kind != WARNED for p in self.problems))


def history(job_id: str, nodes: Mapping[str, Mapping[str, Any]], catalog: Mapping[str, Any]) -> History:
    """A job's history from the ``AssetNode`` of each stage and that of the brand list."""
    snapshot = [entries(m) for m in catalog.get("assetMaterializations", ())]
    return History(
        job_id,
        {stage: _stage_state(stage, nodes[stage]) for stage in LINE},
        snapshot[0].get("attempt", "") if snapshot else "",
        entries(nodes[ROOT]).get("profiles", {}),
    )


def _stage_state(stage: str, node: Mapping[str, Any]) -> StageState:
    made = ((m["runId"], float(m["timestamp"]) / 1000, entries(m)) for m in node["assetMaterializations"])
    pruned = {name for o in node["assetObservations"] for name in entries(o).get("pruned", ())}
    return StageState.of(stage, node["opVersion"] or "", made, pruned)


def entries(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node's metadata entries by label; kinds that the query does not select are left out."""
    found: dict[str, Any] = {}
    for entry in node["metadataEntries"]:
        for name in ("text", "mdStr", "intValue", "floatValue"):
            if name in entry:
                found[entry["label"]] = entry[name]
        if "jsonString" in entry:
            found[entry["label"]] = json.loads(entry["jsonString"])
    return found


def cause(error: Mapping[str, Any]) -> str:
    """The innermost message of a ``PythonError``, without the name of its class."""
    causes = error.get("causes") or ()
    message = (causes[-1] if causes else error).get("message", "")
    name, colon, rest = message.partition(": ")
    return (rest if colon and " " not in name else message).strip()
