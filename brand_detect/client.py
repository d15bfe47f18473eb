"""A typed client of the pipeline over Dagster's GraphQL API: submit, look, replay, retry, cancel, wait, report.

It needs the address of Dagster's webserver and nothing else: no checkpoint store, no video library, no Dagster. The
operations that it sends are the files in ``brand_detect/graphql``.
"""

import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx2

from brand_detect.domain.contracts import check_overrides, names_models
from brand_detect.domain.errors import BadInput, Permanent, Transient
from brand_detect.domain.history import (
    ESCALATIONS,
    History,
    StageState,
    reports_to_compare,
)
from brand_detect.domain.job import Overrides, check_job_id
from brand_detect.domain.launch import LaunchPlan, ReplayRequest, plan_replay, plan_submit
from brand_detect.domain.media import content_sha256, default_job_id
from brand_detect.domain.params import Params
from brand_detect.domain.pipeline import ASSETS, CATALOG, COMPARISON, LINE, ROOT, STAGES
from brand_detect.domain.problems import WARNED, Problem
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import (
    ASKED,
    HOLD,
    LATEST,
    NOT_BEFORE,
    PARTITION,
    REQUEST,
    SNAPSHOT,
    SPARE,
    UNTIL,
    due_s,
)

TOKEN = "BRAND_DETECT_DAGSTER_TOKEN"
"""Environment variable with the token that a proxy before Dagster's webserver asks for."""
PAUSES_S = (0.2, 1.0, 3.0)
"""Before each further try of a request that may be repeated."""
POLL_S = (0.3, 2.0)
"""First and longest pause between two looks at a run."""
START_S = 60.0
"""Longest wait for a run to start, so that it can be cancelled."""
ORPHAN_S = 60.0
"""Time after which a run that was made and never queued is taken for lost: its webserver died in between."""
POLLS_AGAIN = 3
"""Looks at a run that failed, until it counts as one that Dagster does not execute again: it decides a moment later."""
LONGEST_DELAY_S = 365 * 86_400.0
HELD_OF_A_JOB = 10
"""Most runs of a job that are held at a time; of all jobs as many as ``BRAND_DETECT_MAX_HELD_RUNS`` says."""
WAITING = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED"]
SNAPSHOT_S = 600.0
"""Longest wait for a new snapshot of the brand list: some thousand new logos take minutes; or the daemon is down."""
TELL_S = 10.0
"""Between two words about a wait."""
ATTEMPTS = 200
"""Most attempts of a stage that are listed, the newest ones."""


@dataclass(frozen=True)
class Run:
    """One run of a job, as Dagster knows it."""

    run_id: str
    job_id: str
    status: str
    """``held`` or Dagster's: queued, starting, started, success, failure, canceled, …"""
    stages: tuple[str, ...]
    """Those that were selected, in pipeline order."""
    created_s: float
    started_s: float | None
    ended_s: float | None
    parent_run_id: str
    not_before_s: float | None
    """When a held run is due, in seconds since 1970."""
    done: tuple[str, ...] = ()
    """The stages that it has finished."""
    root_run_id: str = ""
    """The first run of its group, which may be itself."""
    retried_as: str = ""
    """The run that goes on with this one's work after a failure, once there is one."""
    will_retry: bool | None = None
    """Whether Dagster executes it again after a failure; None as long as it has not said so."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.status in ("success", "failure", "canceled")


@dataclass(frozen=True)
class ReportSummary:
    """What the newest report of a job says, and where its documents lie."""

    job_id: str
    attempt: str
    run_id: str
    created_s: float
    uri: str
    """The folder with report.html, report.json and the tables."""
    brands: tuple[Mapping[str, Any], ...]
    """Those on screen, longest first."""
    detections: int
    unresolved: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ComparisonSummary:
    """What differs between two reports, and where the documents lie."""

    job_id: str
    run_id: str
    before: str
    """Job, stage and attempt of the report that was compared with."""
    after: str
    text: str
    """In Markdown."""
    page: str
    """Address of the page in the store."""
    document: str
    """Address of the whole document in the store, as JSON."""
    comparison: Mapping[str, Any]
    """The document, as far as it is short; ``left_out`` names what holds more in the whole one."""


@dataclass(frozen=True)
class FailedTick:
    """A sensor or a schedule that runs and whose last tick failed."""

    name: str
    at_s: float
    """Seconds since 1970."""
    reason: str


@dataclass(frozen=True)
class Problems:
    """What is broken now, over all jobs."""

    problems: tuple[Problem, ...]
    """Newest first."""
    more: int
    """How many older ones there are besides."""
    more_failed: int
    """How many of those may be more than warnings."""
    polled_s: float
    """When the runs were last looked at, in seconds since 1970."""
    failing: tuple[FailedTick, ...]

    @property
    def is_broken(self) -> bool:
        """Whether there is more than warnings."""
        return bool(self.failing or self.more_failed or any(p.kind != WARNED for p in self.problems))


@dataclass(frozen=True)
class _Asked:
    """What a caller asked for, and the key by which a repetition is known."""

    job_id: str
    key: str
    keyed: bool
    """Whether the caller gave the key."""
    digest: str

    @classmethod
    def of(cls, job_id: str, key: str, *what: Any) -> "_Asked":
        digest = hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:16]
        return cls(job_id, key or uuid.uuid4().hex, bool(key), digest)


class Client:
    """Talks to one Dagster webserver. Safe to share between threads."""

    def __init__(
        self,
        url: str = "",
        *,
        token: str = "",
        timeout_s: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        """
        Args:
            url: of Dagster's webserver; default: ``BRAND_DETECT_DAGSTER_URL``, else http://127.0.0.1:3000.
            token: sent as a bearer token; default: ``BRAND_DETECT_DAGSTER_TOKEN``.
            tell: is told what a call waits for before it launches anything, at once and every ten seconds.
        """
        self._tell = tell
        settings = Settings.load()
        url = url or settings.dagster_url
        if not url.startswith(("http://", "https://")):
            raise BadInput(f"{url!r} is no address of a Dagster webserver.", "write it as http://127.0.0.1:3000")
        if "@" in urlsplit(url).netloc:
            raise BadInput("The address of Dagster's webserver holds a password.", f"set {TOKEN} instead")
        token = token or os.environ.get(TOKEN, "")
        self._url = f"{url.rstrip('/')}/graphql"
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=timeout_s, transport=transport
        )
        self._repository: dict[str, str] = {}
        self._max_held, self._holding = settings.max_held_runs, threading.Lock()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def submit(
        self,
        video_uri: str,
        *,
        job_id: str | None = None,
        profile: str = "default",
        overrides: Overrides | None = None,
        key: str = "",
    ) -> Run:
        """Launch a whole job over a video that the pipeline's machines can read.

        ``job_id`` None takes the file's name and its content's hash, for which the file must be readable here.
        ``key`` makes a repeated call the same run.

        Raises:
            BadInput: what was asked for is wrong.
            Transient: Dagster is out of reach.
        """
        check_overrides(overrides or {})
        if "://" not in video_uri:
            video_uri = str(Path(video_uri).expanduser().absolute())
        job_id = check_job_id(job_id or _content_id(video_uri))
        asked = _Asked.of(job_id, key, video_uri, profile, overrides or {})
        if known := self._known(asked):
            return known
        profiles = self.checkpoints(job_id, limit=1).profiles
        if profile not in profiles:
            raise BadInput(f"There is no profile {profile!r}.", f"profiles: {', '.join(profiles)}")
        plan = plan_submit(video_uri, profile, profiles[profile], overrides or {})
        self._check_models(plan.params)
        self.refresh_catalog()
        answer = self._ask("add_job", repository=self._found(), job=job_id)["addDynamicPartition"]
        if answer["__typename"] not in ("AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError"):
            _refuse(answer)
        return self._launch(asked, plan)

    def checkpoints(self, job_id: str, *, limit: int = ATTEMPTS) -> History:
        """All attempts of a job, at most ``limit`` of a stage.

        Raises:
            BadInput: ``job_id`` is ill formed.
        """
        check_job_id(job_id)
        assets = [{"path": [stage]} for stage in LINE]
        data = self._ask("checkpoints", partitions=[job_id], limit=limit, assets=assets)
        nodes = {node["assetKey"]["path"][-1]: node for node in data["assetNodes"]}
        if nodes.keys() != set(LINE):
            raise Permanent(f"{self._url} serves no brand_detect pipeline.", "start it with brand_detect's workspace")
        self._remember(nodes[ROOT])
        stages = {stage: _stage_state(stage, nodes[stage]) for stage in LINE}
        snapshot = [_entries(m) for m in data["brand_catalog"].get("assetMaterializations", ())]
        profiles = _entries(nodes[ROOT]).get("profiles", {})
        return History(job_id, stages, snapshot[0].get("attempt", "") if snapshot else "", profiles)

    def runs(self, job_id: str, limit: int = 20) -> list[Run]:
        """The job's runs, newest first."""
        return self._runs({"tags": [{"key": PARTITION, "value": check_job_id(job_id)}]}, limit)

    def unfinished(self, limit: int) -> list[Run]:
        """The newest runs of all jobs that wait, work or did not succeed, without the stages that they have done.

        Raises:
            Transient: Dagster is out of reach; it is asked once.
        """
        wanted = {"statuses": [*WAITING, "CANCELING", "CANCELED", "FAILURE"]}
        return [run for run in self._runs(wanted, limit, steps=False, repeat=False) if run.job_id]

    def run(self, run_id: str) -> Run:
        """
        Raises:
            BadInput: there is no such run.
        """
        found = self._runs({"runIds": [run_id]}, 1)
        if not found:
            raise BadInput(f"There is no run {run_id!r}.", "brand-detect status JOB lists a job's runs")
        return found[0]

    def replay(
        self,
        job_id: str,
        start_stage: str,
        overrides: Overrides | None = None,
        *,
        pins: Mapping[str, str] | None = None,
        reset: Iterable[str] = (),
        reuse: bool = False,
        delay_s: float = 0.0,
        key: str = "",
    ) -> Run:
        """Run ``start_stage`` and all below it again, on the checkpoints above.

        Args:
            overrides: params of the stages that run, over those that were tuned before.
            pins: the attempt to read, by stage, its first letters do; the latest otherwise.
            reset: stages whose tuned params are dropped.
            reuse: leave out the first stages whose result is there already, made by the same recipe.
            delay_s: hold the run in the queue for so long.
            key: makes a repeated call the same run.

        Raises:
            BadInput: what was asked for is wrong, there is nothing to start from, or too many runs are held; none was
                launched.
            Transient: Dagster is out of reach.
        """
        request = ReplayRequest(start_stage, overrides or {}, pins or {}, tuple(reset), reuse)
        return self._replay(job_id, request, delay_s, key)

    def retry(
        self,
        job_id: str,
        overrides: Overrides | None = None,
        *,
        start_stage: str = ESCALATIONS[0],
        retry_of: str = LATEST,
        reset: Iterable[str] = (),
        delay_s: float = 0.0,
        key: str = "",
    ) -> Run:
        """Ask again about what is still unresolved; what was settled stays.

        From ``escalate_vlm`` or ``escalate_cloud`` it goes on from the latest escalation at the time it runs, or from
        the one that the run ``retry_of`` made. From any other stage it is a plain replay. With ``delay_s`` the run is
        held in Dagster's queue; its id is that of the task.

        Raises:
            BadInput: what was asked for is wrong, there is nothing to retry, too many runs are held; none was queued.
            Transient: Dagster is out of reach.
        """
        request = ReplayRequest(start_stage, overrides or {}, reset=tuple(reset), retry_of=retry_of)
        return self._replay(job_id, request, delay_s, key)

    def _replay(self, job_id: str, request: ReplayRequest, delay_s: float, key: str) -> Run:
        check_job_id(job_id)
        if not 0 <= delay_s <= LONGEST_DELAY_S:  # which nan is not
            raise BadInput(f"A run cannot be held for {delay_s} s.", "give a time from 0 to a year")
        asked = _Asked.of(job_id, key, asdict(request), delay_s)
        if known := self._known(asked):
            return known
        plan = plan_replay(self.checkpoints(job_id), request)
        self._check_models(plan.params)
        if plan.reads_latest_catalog:
            self.refresh_catalog()
            if request.reuse:
                plan = plan_replay(self.checkpoints(job_id), request)  # with the brand list as it is now
        return self._launch(asked, plan, delay_s)

    def cancel(self, run_id: str) -> Run:
        """End a run that waits, is held or works.

        Raises:
            BadInput: there is no such run, or it ended before.
        """
        run = self.run(run_id)
        if run.ended:
            raise BadInput(f"Run {run_id} has ended: {run.status}.")
        until = time.monotonic() + START_S
        while True:
            answer = self._ask("cancel", repeat=False, run=run_id)["terminateRun"]
            run = self.run(run_id)
            if answer["__typename"] == "TerminateRunSuccess":
                return run
            if run.status != "starting" or time.monotonic() > until:
                _refuse(answer)
            time.sleep(POLL_S[0])  # Dagster cannot end a run whose process is just being made

    def wait(self, run_id: str, timeout_s: float = float("inf"), seen: Callable[[Run], object] = lambda _: None) -> Run:
        """Return the run when it has succeeded; ``seen`` is told each look at it.

        A run that was found dead is followed by the one that goes on with its work.

        Raises:
            BadInput, Permanent: it failed, with the reason; or it was cancelled.
            Transient: it has not ended after ``timeout_s``; it goes on all the same.
        """
        until = time.monotonic() + timeout_s
        for run, pause_s in self.polls(run_id):
            seen(run)
            if pause_s == 0:
                return run
            if time.monotonic() > until:
                raise Transient(f"Run {run.run_id} is {run.status} after {timeout_s:.0f} s.", "wait for it again")
            time.sleep(pause_s)
        raise AssertionError("a run is looked at until it has ended")

    def polls(self, run_id: str) -> Iterator[tuple[Run, float]]:
        """Looks at a run until its stages are done, each with the seconds to pause before the next, 0 with the last.

        For callers that pause in their own way; errors as in ``wait``.
        """
        pause_s, unsure = POLL_S[0], 0
        while True:
            run = self.run(run_id)
            unsure += run.status == "failure" and run.will_retry is None
            if run.status == "success" or (run.status == "failure" and run.done and run.stages == run.done):
                yield run, 0.0  # a process that died after its last stage has left nothing undone
                return
            if run.retried_as:
                run_id = run.retried_as
            elif run.status == "canceled":
                raise Permanent(f"Run {run_id} was cancelled.")
            elif run.status == "failure" and (run.will_retry is False or unsure > POLLS_AGAIN):
                raise Permanent(*self.reason(run_id))
            yield run, pause_s
            pause_s = min(pause_s * 1.3, POLL_S[1])

    def reason(self, run_id: str) -> tuple[str, str]:
        """Why a run failed: a sentence, and a hint that may be empty."""
        after, last = None, ""
        while True:
            page = self._ask("failure", run=run_id, after=after)["logsForRun"]
            if page["__typename"] != "EventConnection":
                _refuse(page)
            for event in page["events"]:
                if event["__typename"] == "ExecutionStepFailureEvent":
                    said = (event.get("failureMetadata") or {}).get("description") or _cause(event.get("error") or {})
                    sentence, _, hint = said.partition("\nhint: ")
                    return f"{event['stepKey']}: {sentence}", hint
                if event["__typename"] == "RunFailureEvent":
                    last = event["message"]
            if not page["hasMore"]:
                return last or f"Run {run_id} failed.", ""
            after = page["cursor"]

    def report(self, job_id: str, run_id: str = "") -> ReportSummary:
        """What the job's newest report says, or the one that a run made.

        Raises:
            BadInput: there is none.
        """
        made = self.checkpoints(job_id).stages[STAGES[-1]].attempts
        found = next((a for a in made if run_id in ("", a.run_id)), None)
        if found is None:
            raise BadInput(f"{job_id} has no report{f' of run {run_id}' if run_id else ''}.", "submit or replay it")
        return ReportSummary(
            job_id=job_id,
            attempt=found.attempt,
            run_id=found.run_id,
            created_s=found.created_s,
            uri=found.uri,
            brands=tuple(found.report.get("brands", ())),
            detections=int(found.figures.get("detections", 0)),
            unresolved=int(found.figures.get("unresolved", 0)),
            notes=tuple(found.report.get("notes", ())),
        )

    def compare(self, job_id: str, attempt: str = "", with_attempt: str = "", with_job: str = "") -> ComparisonSummary:
        """What the report ``attempt`` of a job (default: the newest) gained and lost against ``with_attempt``.

        ``with_attempt`` is by default the report before it, or with another job ``with_job`` the newest of that. First
        letters do. Dagster materializes the asset ``comparison``, which keeps a page and a document in the store.

        Raises:
            BadInput: there is no such report, or none to compare with; nothing was launched.
            Permanent: a checkpoint that the reports were made from is gone.
            Transient: Dagster is out of reach.
        """
        others = self._reports(with_job) if with_job else []
        before, after = reports_to_compare(job_id, self._reports(job_id), attempt, with_attempt, with_job, others)
        config = {"attempt": after, "with_attempt": before} | ({"with_job": with_job} if with_job else {})
        asked = _Asked.of(job_id, "", COMPARISON, config)
        run = self.wait(self._launch(asked, LaunchPlan((COMPARISON,), {COMPARISON: config})).run_id)
        node = self._ask("comparison", job=job_id, limit=ATTEMPTS)["assetNodeOrError"]
        made = (m for m in node.get("assetMaterializations", ()) if m["runId"] == run.run_id)
        found = next(map(_entries, made), None)
        if found is None or "json" not in found:
            raise Permanent(f"Run {run.run_id} has left no comparison.", "compare again")
        return ComparisonSummary(
            job_id=job_id,
            run_id=run.run_id,
            comparison=found["json"],
            **{name: found[name] for name in ("before", "after", "text", "page", "document")},
        )

    def _reports(self, job_id: str) -> list[str]:
        """Attempts of a job's report, oldest first."""
        return [a.attempt for a in reversed(self.checkpoints(job_id).stages[STAGES[-1]].attempts)]

    def problems(self) -> Problems:
        """What is broken now, over all jobs, as the sensor ``problems`` has it, and sensors and schedules that fail.

        Raises:
            Transient: that sensor has never looked.
        """
        data = self._ask("problems", repository=self._found())
        node, *listed = (data[name] for name in ("assetNodeOrError", "sensorsOrError", "schedulesOrError"))
        for answer, kind in zip((node, *listed), ("AssetNode", "Sensors", "Schedules"), strict=True):
            if answer["__typename"] != kind:
                _refuse(answer)
        states = {r["name"]: r.get("sensorState") or r["scheduleState"] for kind in listed for r in kind["results"]}
        ticks = {name: state["ticks"][0] for name, state in states.items() if state["ticks"]}
        if not node["assetMaterializations"]:
            raise Transient(
                "Nobody has looked yet at what is broken.",
                "see to it that Dagster's daemon and the sensor problems run",
            )
        made = node["assetMaterializations"][0]
        said = _entries(made)["problems"]
        polled_s = float(made["timestamp"]) / 1000
        if "problems" in ticks and ticks["problems"]["status"] != "FAILURE":
            polled_s = max(polled_s, ticks["problems"]["timestamp"])
        return Problems(
            problems=tuple(Problem(**row) for row in said["problems"]),
            more=said["more"],
            more_failed=said["more_failed"],
            polled_s=polled_s,
            failing=tuple(
                FailedTick(name, tick["timestamp"], _cause(tick["error"] or {}))
                for name, tick in sorted(ticks.items())
                if tick["status"] == "FAILURE" and states[name]["status"] == "RUNNING"
            ),
        )

    def refresh_catalog(self) -> None:
        """See to it that the latest snapshot is the brand list as it is now: "edit the list, replay"."""
        sensor = self._found() | {"sensorName": "brand_catalog_changed"}
        until = time.monotonic() + SNAPSHOT_S
        while time.monotonic() < until:
            answer = self._ask("catalog_changed", sensor=sensor)["sensorDryRun"]
            if answer["__typename"] != "DryRunInstigationTick":
                _refuse(answer)
            tick = answer["evaluationResult"]
            if tick["error"]:
                raise Permanent(
                    f"The brand list could not be read: {_cause(tick['error'])}", "mend BRAND_DETECT_CATALOG"
                )
            if tick["runRequests"]:
                run = self._launch(_Asked.of("", "", CATALOG), LaunchPlan((CATALOG,), tags={SNAPSHOT: CATALOG}))
            else:
                taken = _alive(self._runs({"tags": [{"key": SNAPSHOT, "value": CATALOG}], "statuses": WAITING}, 10))
                if not taken:
                    return
                run = taken[0]  # a snapshot is on its way, the sensor's or another caller's
            self._wait_for_snapshot(run.run_id)
        raise Transient("The brand list changes faster than it is read.", "try again")

    def _wait_for_snapshot(self, run_id: str) -> None:
        began = told = time.monotonic()
        self._tell(f"waiting for the snapshot of the brand list, which has changed: run {run_id}")

        def seen(run: Run) -> None:
            nonlocal told
            if time.monotonic() - told >= TELL_S:
                told = time.monotonic()
                self._tell(f"waiting for the snapshot of the brand list: {run.status}, {told - began:.0f} s")

        self.wait(run_id, SNAPSHOT_S, seen)

    def health(self) -> dict[str, bool]:
        """Whether each part that a job needs is there: the pipeline's code and Dagster's daemons."""
        data = self._ask("health", repeat=False)
        daemons = data["instance"]["daemonHealth"]["allDaemonStatuses"]
        found = {d["daemonType"].lower(): bool(d["healthy"]) for d in daemons if d["required"]}
        return {"pipeline": data["assetNodeOrError"]["__typename"] == "AssetNode", **found}

    def _check_models(self, params: Mapping[str, Params]) -> None:
        """Ask the pipeline's machine whether the models are there that ``params``, by stage, name.

        Raises:
            BadInput: one is not, or may not be asked.
        """
        named = {stage: own.model_dump(mode="json") for stage, own in params.items() if names_models(own)}
        if not named:
            return
        sensor = self._found() | {"sensorName": "models_there"}
        answer = self._ask("models", sensor=sensor, params=json.dumps(named))["sensorDryRun"]
        if answer["__typename"] != "DryRunInstigationTick":
            _refuse(answer)
        tick = answer["evaluationResult"]
        if tick["error"]:
            raise Permanent(f"The models could not be looked for: {_cause(tick['error'])}")
        if tick["skipReason"]:
            sentence, _, hint = tick["skipReason"].partition("\nhint: ")
            raise BadInput(sentence, hint)

    def _launch(self, asked: "_Asked", plan: LaunchPlan, delay_s: float = 0.0) -> Run:
        if delay_s > 0:
            with self._holding:  # between the count and the launch no other thread shall launch
                self._check_held(asked.job_id)
                hold = {HOLD: UNTIL, NOT_BEFORE: f"{time.time() + delay_s:.3f}"}
                return self._launch(asked, replace(plan, tags={**plan.tags, **hold}))
        tags = {**plan.run_tags, REQUEST: asked.key, ASKED: asked.digest}
        parent = plan.parent_run_id
        if asked.job_id:
            tags[PARTITION] = asked.job_id
        known = {run.run_id: run for run in self._runs({"runIds": [parent]}, 1)} if parent else {}
        root = known[parent].root_run_id if parent in known else ""  # a run may have been deleted, its group with it
        if root and root != parent and not self._runs({"runIds": [root]}, 1):
            root = parent
        if root:
            tags |= {"dagster/root_run_id": root, "dagster/parent_run_id": parent}
            # Dagster counts all runs of a group as retries of each; this one may be executed again once, too
            tags["dagster/max_retries"] = str(self._count({"dagster/root_run_id": root}) + 2 + SPARE)
        repository = self._found()
        variables = {
            "location": repository["repositoryLocationName"],
            "repository": repository["repositoryName"],
            "assets": [{"path": [stage]} for stage in plan.stages],
            "config": {"ops": {stage: {"config": values} for stage, values in plan.config.items()}},
            "tags": [{"key": k, "value": v} for k, v in tags.items()],
            "parent": parent if root else None,
            "root": root or None,
        }
        for pause_s in (*PAUSES_S, None):
            try:
                answer = self._ask("launch", repeat=False, **variables)["launchRun"]
            except Transient:  # it may have been launched all the same: only the answer is lost
                if pause_s is None:
                    raise
                time.sleep(pause_s)
                if known := self._launched(asked):
                    return known
                continue
            if answer["__typename"] != "LaunchRunSuccess":
                _refuse(answer)
            launched = answer["run"]["runId"]
            first = self._launched(asked)
            if first and first.run_id != launched:  # another caller with the key, or an earlier try: the first counts
                with suppress(BadInput, Transient):  # it may have ended by now
                    self.cancel(launched)
                return first
            return first or self.run(launched)
        raise AssertionError("the last try returns or raises")

    def _known(self, asked: "_Asked") -> Run | None:
        """The run that was launched for the same question before, if the caller gave it a key."""
        return self._launched(asked) if asked.keyed else None

    def _launched(self, asked: "_Asked") -> Run | None:
        tags = {REQUEST: asked.key} | ({PARTITION: asked.job_id} if asked.job_id else {})
        runs = self._runs({"tags": [{"key": k, "value": v} for k, v in tags.items()]}, 10)
        found = _alive(runs)
        if not found:
            return None
        first = min(found, key=lambda r: (r.created_s, r.run_id))
        if first.tags.get(ASKED) != asked.digest:
            raise BadInput(
                f"The key {asked.key!r} was used for another request for {asked.job_id}.",
                "take a new key for each request",
            )
        return first

    def _check_held(self, job_id: str) -> None:
        """
        Raises:
            BadInput: no further run of the job may be held.
        """
        for what, tags, most in (
            (job_id, {PARTITION: job_id}, HELD_OF_A_JOB),
            ("all jobs together", {}, self._max_held),
        ):
            held = self._count({HOLD: UNTIL, **tags}, statuses=["QUEUED"])
            if held >= most:
                raise BadInput(
                    f"{held} runs of {what} are held already, and no more than {most} are.",
                    "cancel some (brand-detect cancel RUN), or wait until they are due",
                )

    def _count(self, tags: Mapping[str, str], **wanted: Any) -> int:
        wanted["tags"] = [{"key": k, "value": v} for k, v in tags.items()]
        answer = self._ask("runs", filter=wanted, limit=1)["runsOrError"]
        if answer["__typename"] != "Runs":
            _refuse(answer)
        return answer["count"]

    def _runs(self, wanted: Mapping[str, Any], limit: int, **how: bool) -> list[Run]:
        answer = self._ask("runs", filter=wanted, limit=limit, **how)["runsOrError"]
        if answer["__typename"] != "Runs":
            _refuse(answer)
        return [_run(row) for row in answer["results"]]

    def _found(self) -> dict[str, str]:
        """Where the pipeline's code is loaded in this webserver's workspace."""
        if not self._repository:
            node = self._ask("health")["assetNodeOrError"]
            if node["__typename"] != "AssetNode":
                raise Permanent(
                    f"{self._url} serves no brand_detect pipeline.", "start it with brand_detect's workspace"
                )
            self._remember(node)
        return self._repository

    def _remember(self, node: Mapping[str, Any]) -> None:
        repository = node["repository"]
        self._repository = {
            "repositoryName": repository["name"],
            "repositoryLocationName": repository["location"]["name"],
        }

    def _ask(self, operation: str, *, repeat: bool = True, **variables: Any) -> dict[str, Any]:
        """What the webserver answers to an operation. ``repeat`` False: it must not be sent twice."""
        body = {"query": document(operation), "variables": variables}
        for pause_s in (*PAUSES_S, None) if repeat else (None,):
            try:
                response = self._http.post(self._url, json=body)
            except httpx2.TransportError as e:
                problem = Transient(
                    f"Dagster's webserver at {self._url} is out of reach: {str(e) or type(e).__name__}.",
                    "start it (make dev), or name another with BRAND_DETECT_DAGSTER_URL",
                )
            else:
                data = _data(response, self._url)
                if data is not None:
                    return data
                problem = Transient(f"Dagster's webserver at {self._url} answered {response.status_code}.", "try again")
            if pause_s is None:
                raise problem
            time.sleep(pause_s)
        raise AssertionError("the last try returns or raises")


@cache
def document(operation: str) -> str:
    """The text of a GraphQL operation."""
    return (resources.files("brand_detect") / "graphql" / f"{operation}.graphql").read_text(encoding="utf-8")


def _data(response: httpx2.Response, url: str) -> dict[str, Any] | None:
    """What GraphQL answered, whatever the status (its own errors have 500); None for a fault that may pass."""
    if response.status_code in (401, 403):
        raise Permanent(f"{url} refused the token.", f"set {TOKEN}")
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not answer.keys() & {"data", "errors"}:
        if response.status_code >= 500 or response.status_code == 429:
            return None
        if isinstance(answer, dict) and response.status_code == 400 and "detail" in answer:
            raise Permanent(f"{url} refused the request: {str(answer['detail'])[:200]}")
        raise Permanent(f"{url} is no Dagster webserver: it answers {response.status_code} without GraphQL.")
    if answer.get("errors") or not answer.get("data"):
        said = "; ".join(str(error.get("message", "")) for error in answer.get("errors") or ()) or "no data"
        raise Permanent(f"Dagster's webserver refused the request: {said}.", "run the same version on both sides")
    return answer["data"]


def _alive(runs: Iterable[Run]) -> list[Run]:
    """Without those that are lost."""
    return [run for run in runs if run.status != "not_started" or time.time() - run.created_s < ORPHAN_S]


def _refuse(answer: Mapping[str, Any]) -> NoReturn:
    kind = answer["__typename"]
    said = answer.get("message") or "; ".join(error["message"] for error in answer.get("errors", ())) or kind
    said = " ".join(said.split())
    if kind in ("RunConfigValidationInvalid", "RunNotFoundError", "TerminateRunFailure", "InvalidSubsetError"):
        raise BadInput(f"Dagster refused it: {said}")
    if kind == "UnauthorizedError":
        raise BadInput(f"Dagster does not allow it: {said}", f"set {TOKEN}")
    raise Permanent(f"Dagster failed: {said}")


def _cause(error: Mapping[str, Any]) -> str:
    """The innermost message of an error, without the name of its class."""
    causes = error.get("causes") or ()
    message = (causes[-1] if causes else error).get("message", "")
    name, colon, rest = message.partition(": ")
    return (rest if colon and " " not in name else message).strip()


def _content_id(video_uri: str) -> str:
    path = Path(video_uri)
    if "://" in video_uri or not path.is_file():
        raise BadInput(f"{video_uri} cannot be read here, so no job id can be made from it.", "name a job id")
    with path.open("rb") as file:
        sha256, _ = content_sha256(file)
    return default_job_id(path.stem, sha256)


def _entries(node: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata entries by label; kinds that were not asked for are left out."""
    found: dict[str, Any] = {}
    for entry in node["metadataEntries"]:
        for name in ("text", "mdStr", "intValue", "floatValue"):
            if name in entry:
                found[entry["label"]] = entry[name]
        if "jsonString" in entry:
            found[entry["label"]] = json.loads(entry["jsonString"])
    return found


def _stage_state(stage: str, node: Mapping[str, Any]) -> StageState:
    made = ((m["runId"], float(m["timestamp"]) / 1000, _entries(m)) for m in node["assetMaterializations"])
    pruned = {name for o in node["assetObservations"] for name in _entries(o).get("pruned", ())}
    return StageState.of(stage, node["opVersion"] or "", made, pruned)


def _run(row: Mapping[str, Any]) -> Run:
    tags = {tag["key"]: tag["value"] for tag in row["tags"]}
    selected = set(row["stepKeysToExecute"] or ()) or {key["path"][-1] for key in row["assetSelection"] or ()}
    succeeded = {step["stepKey"] for step in row.get("stepStats") or () if step["status"] == "SUCCESS"}
    held = row["status"] == "QUEUED" and tags.get(HOLD) == UNTIL
    return Run(
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
        done=tuple(s for s in ASSETS if s in succeeded),
        retried_as=tags.get("dagster/auto_retry_run_id", ""),
        will_retry=tags["dagster/will_retry"] == "true" if "dagster/will_retry" in tags else None,
        tags=tags,
    )
