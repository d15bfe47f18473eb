"""The client: all calls to the pipeline through Dagster's webserver."""

import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2

from brand_detect.client import transport
from brand_detect.client.models import ComparisonSummary, Problems, ReportSummary, Run, RunLog, cause, entries, history
from brand_detect.client.transport import TOKEN, GraphQL, expect
from brand_detect.domain.contracts import check_overrides, uses_outside_models
from brand_detect.domain.errors import BadInput, Permanent, Transient
from brand_detect.domain.history import History, reports_to_compare, select_report
from brand_detect.domain.job import Overrides, check_job_id
from brand_detect.domain.kubernetes import pod_tags
from brand_detect.domain.launch import LaunchPlan, ReplayRequest, plan_replay, plan_submit
from brand_detect.domain.media import content_sha256, default_job_id
from brand_detect.domain.params import Params
from brand_detect.domain.pipeline import COMPARISON, LINE, ROOT, Stage
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import (
    ASKED,
    HOLD,
    LATEST,
    NOT_BEFORE,
    PARTITION,
    RELEASED,
    REQUEST,
    RESUMES,
    RETRIES_MARGIN,
    UNTIL,
)
from brand_detect.domain.tries import tries

POLL_S = (0.3, 2.0)
"""First and longest pause between two polls of a run."""
START_S = 60.0
"""Longest wait for a run to start, so that it can be cancelled."""
POLLS_AGAIN = 3
"""Polls of a failed run before it counts as final: Dagster decides a moment later whether to re-execute it."""
LONGEST_DELAY_S = 365 * 86_400.0
HELD_OF_A_JOB = 10
"""Limit of held runs per job; ``BRAND_DETECT_MAX_HELD_RUNS`` limits those of all jobs together."""
WAITING = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED"]
PAGE_OF_RUNS = 500
"""Runs on a page of ``Client.changed``."""
ATTEMPTS = 200
"""Limit of listed attempts per stage, the newest ones."""


@dataclass(frozen=True)
class _Asked:
    """A request, and the key that identifies repetitions."""

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
    ) -> None:
        """
        Args:
            url: address of Dagster's webserver; default: ``BRAND_DETECT_DAGSTER_URL``, else http://127.0.0.1:3000.
            token: sent as a bearer token; default: ``BRAND_DETECT_DAGSTER_TOKEN``.
        """
        settings = Settings.load()
        token = token or os.environ.get(TOKEN, "")
        self._graphql = GraphQL(url or settings.dagster_url, token, timeout_s, transport)
        self._repository: dict[str, str] = {}
        self._max_held, self._holding = settings.max_held_runs, threading.Lock()
        self._rerunning = threading.Lock()
        self._resources = settings.run_resources

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._graphql.close()

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
        try:
            if "://" not in video_uri:
                video_uri = str(Path(video_uri).expanduser().absolute())
            job_id = check_job_id(job_id or _content_id(video_uri))
        except (OSError, RuntimeError) as e:  # RuntimeError: ~ of nobody
            raise BadInput(f"{video_uri} cannot be read: {e}.", "check its path and permissions") from e
        asked = _Asked.of(job_id, key, video_uri, profile, overrides or {})
        if known := self._known(asked):
            return known
        profiles = self.checkpoints(job_id, limit=1).profiles
        if profile not in profiles:
            raise BadInput(f"There is no profile {profile!r}.", f"profiles: {', '.join(profiles)}")
        plan = plan_submit(video_uri, profile, profiles[profile], overrides or {})
        self._check_models(plan.params)
        self.refresh_catalog()
        answer = self._graphql.ask("add_job", repository=self._selector(), job=job_id)["addDynamicPartition"]
        expect(answer, "AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError")
        return self._launch(asked, plan)

    def checkpoints(self, job_id: str, *, limit: int = ATTEMPTS) -> History:
        """All attempts of a job, at most ``limit`` of a stage.

        Raises:
            BadInput: ``job_id`` is ill formed.
        """
        check_job_id(job_id)
        assets = [{"path": [stage]} for stage in LINE]
        data = self._graphql.ask("checkpoints", partitions=[job_id], limit=limit, assets=assets)
        nodes = {node["assetKey"]["path"][-1]: node for node in data["assetNodes"]}
        if nodes.keys() != set(LINE):
            raise self._no_pipeline()
        self._remember(nodes[ROOT])
        return history(job_id, nodes, data["brand_catalog"])

    def runs(self, job_id: str, limit: int = 20) -> list[Run]:
        """The job's runs, newest first."""
        return self._runs({"tags": _pairs({PARTITION: check_job_id(job_id)})}, limit)

    def was_asked(self, job_id: str, key: str) -> bool:
        """Whether a request with the idempotency key ``key`` has launched a run of the job."""
        return self._first(check_job_id(job_id), key) is not None

    def changed(self, since_s: float, after: str = "") -> list[Run]:
        """A page of the runs of all jobs that changed since ``since_s`` (seconds since 1970; 0 = all), newest first.

        Their finished stages are left out. ``after`` is the run id at which the page before ended; the last page has
        fewer than ``PAGE_OF_RUNS``.

        Raises:
            Transient: Dagster is out of reach; there is no second try.
        """
        wanted = {"updatedAfter": since_s} if since_s else {}
        return self._runs(wanted, PAGE_OF_RUNS, steps=False, repeat=False, cursor=after or None)

    def progress(self, run_id: str, seen: RunLog | None = None) -> RunLog:
        """What the run's log says about its progress; ``seen`` is an earlier answer, to read on from.

        Raises:
            Transient: Dagster is out of reach; there is no second try.
        """
        log = seen or RunLog()
        while True:
            answer = self._graphql.ask("progress", repeat=False, run=run_id, after=log.cursor)["logsForRun"]
            page = expect(answer, "EventConnection")
            for event in page["events"]:
                log = log.then(event)
            log = replace(log, cursor=page["cursor"])
            if not page["hasMore"]:
                return log

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
        """Run ``start_stage`` and all stages below it again, on the checkpoints above.

        Args:
            overrides: params of the stages that run, on top of earlier overrides.
            pins: the attempt to read, or a prefix of its name, by stage; by default the latest.
            reset: stages whose earlier overrides are dropped.
            reuse: skip leading stages whose result exists, made by the same recipe.
            delay_s: time to hold the run in the queue, in seconds.
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
        start_stage: str = Stage.escalate_vlm,
        retry_of: str = LATEST,
        reset: Iterable[str] = (),
        delay_s: float = 0.0,
        key: str = "",
    ) -> Run:
        """Ask models again about unresolved clusters; verdicts stay.

        From ``escalate_vlm`` or ``escalate_cloud`` it continues the latest escalation at the time it runs, or
        that of the run ``retry_of``. From any other stage it is a plain replay. With ``delay_s`` the run is
        held in Dagster's queue and already has its id.

        Raises:
            BadInput: what was asked for is wrong, there is nothing to retry, too many runs are held; none was queued.
            Transient: Dagster is out of reach.
        """
        request = ReplayRequest(start_stage, overrides or {}, reset=tuple(reset), retry_of=retry_of)
        return self._replay(job_id, request, delay_s, key)

    def _replay(self, job_id: str, request: ReplayRequest, delay_s: float, key: str) -> Run:
        check_job_id(job_id)
        if not 0 <= delay_s <= LONGEST_DELAY_S:  # false for nan as well
            raise BadInput(f"A run cannot be held for {delay_s} s.", "give a time from 0 to a year")
        asked = _Asked.of(job_id, key, asdict(request), delay_s)
        if known := self._known(asked):
            return known
        plan = plan_replay(self.checkpoints(job_id), request)
        self._check_models(plan.params)
        self.refresh_catalog(needed=plan.reads_latest_catalog)
        if plan.reads_latest_catalog and request.reuse:
            plan = plan_replay(self.checkpoints(job_id), request)  # with the current brand list
        return self._launch(asked, plan, delay_s)

    def rerun(self, run_id: str) -> Run:
        """Execute the rest of a failed or cancelled run again, with its config and on its checkpoints.

        Raises:
            BadInput: there is no such run, it is in progress or has succeeded, or it was executed again already.
            Transient: Dagster is out of reach; there is no second try.
        """
        with self._rerunning:  # no other thread may launch between check and launch
            return self._rerun(self.run(run_id))

    def _rerun(self, run: Run) -> Run:
        if run.status not in ("failure", "canceled"):
            raise BadInput(f"Run {run.run_id} is not one to retry: {run.status}.", "only failed and cancelled runs are")
        group = {"dagster/root_run_id": run.root_run_id}
        later = [other for other in self._runs({"tags": _pairs(group)}, 20) if other.parent_run_id == run.run_id]
        again = (other for other in later if other.stages == run.stages or other.tags.keys() & RESUMES)  # no replays
        if run.retried_as or any(not other.ended for other in again):
            raise BadInput(f"Run {run.run_id} was executed again already.")
        tags = {"dagster/max_retries": str(self._count(group) + 2 + RETRIES_MARGIN)}
        if HOLD in run.tags:
            tags[HOLD] = RELEASED  # now, whenever it was due
        answer = self._graphql.ask(
            "rerun",
            repeat=False,
            run=run.run_id,
            strategy="FROM_FAILURE" if run.started_s else "ALL_STEPS",  # no log to resume from
            tags=_pairs(tags),
        )
        return self.run(expect(answer["launchRunReexecution"], "LaunchRunSuccess")["run"]["runId"])

    def cancel(self, run_id: str) -> Run:
        """Cancel a queued, held or running run.

        Raises:
            BadInput: there is no such run, or it ended before.
        """
        run = self.run(run_id)
        if run.ended:
            raise BadInput(f"Run {run_id} has ended: {run.status}.")
        until = time.monotonic() + START_S
        while True:
            answer = self._graphql.ask("cancel", repeat=False, run=run_id)["terminateRun"]
            run = self.run(run_id)
            if run.status != "starting" or time.monotonic() > until:
                expect(answer, "TerminateRunSuccess")
            if answer["__typename"] == "TerminateRunSuccess":
                return run
            time.sleep(POLL_S[0])  # Dagster cannot end a run while its process is being started

    def wait(self, run_id: str, timeout_s: float = float("inf"), seen: Callable[[Run], object] = lambda _: None) -> Run:
        """Return the run when it has succeeded; ``seen`` is called after each poll.

        If the run's process died, the call follows the run that continues its work.

        Raises:
            BadInput, Permanent: it failed, with the reason; or it was cancelled.
            Transient: it has not ended after ``timeout_s``; it keeps running.
        """
        until = time.monotonic() + timeout_s
        for run, pause_s in self.polls(run_id):
            seen(run)
            if pause_s == 0:
                return run
            if time.monotonic() > until:
                raise Transient(f"Run {run.run_id} is {run.status} after {timeout_s:.0f} s.", "wait for it again")
            time.sleep(pause_s)
        raise AssertionError("a run is polled until it has ended")

    def polls(self, run_id: str) -> Iterator[tuple[Run, float]]:
        """Poll a run until its stages are done; yields each state and the pause before the next poll (s), last 0.

        For callers that do their own waiting; errors as in ``wait``.
        """
        pause_s, unsure = POLL_S[0], 0
        while True:
            run = self.run(run_id)
            unsure += run.status == "failure" and run.will_retry is None
            if run.status == "success" or (run.status == "failure" and run.done and run.stages == run.done):
                yield run, 0.0  # the process died after its last stage: nothing is left to do
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
            page = expect(self._graphql.ask("failure", run=run_id, after=after)["logsForRun"], "EventConnection")
            failure, of_run = _failure_in(page["events"])
            last = of_run or last
            if failure or not page["hasMore"]:
                return failure or (last or f"Run {run_id} failed.", "")
            after = page["cursor"]

    def reasons(self, run_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """As ``reason``, of many runs by one question; those that Dagster no longer has are left out."""
        answer = self._graphql.ask("failures", runs=[*run_ids], limit=len(run_ids))["runsOrError"]
        found: dict[str, tuple[str, str]] = {}
        for run in expect(answer, "Runs")["results"]:
            run_id, page = run["runId"], run["eventConnection"]
            failure, of_run = _failure_in(page["events"])
            if not failure and page["hasMore"]:
                failure = self.reason(run_id)
            found[run_id] = failure or (of_run or f"Run {run_id} failed.", "")
        return found

    def report(self, job_id: str, run_id: str = "") -> ReportSummary:
        """What the job's newest report whose checks passed says, or the one that a run made.

        Raises:
            BadInput: there is none.
        """
        made = self.checkpoints(job_id).reports
        found = next((a for a in reversed(made) if a.run_id == run_id), None) if run_id else select_report(job_id, made)
        if found is None:
            raise BadInput(f"{job_id} has no report of run {run_id}.", "submit or replay it")
        return ReportSummary.of(job_id, found)

    def compare(self, job_id: str, attempt: str = "", with_attempt: str = "", with_job: str = "") -> ComparisonSummary:
        """Compare the report ``attempt`` of a job (default: the newest) with ``with_attempt``.

        ``with_attempt`` is by default the report before it or, with another job ``with_job``, its newest. Prefixes of
        names are enough. Dagster materializes the asset ``comparison``, which stores a page and a document.

        Raises:
            BadInput: there is no such report, or no report to compare it with; nothing was launched.
            Permanent: a checkpoint in the reports' lineage has been deleted.
            Transient: Dagster is out of reach.
        """
        reports, others = (self.checkpoints(job).reports if job else () for job in (job_id, with_job))
        before, after = reports_to_compare(job_id, reports, attempt, with_attempt, with_job, others)
        config = {"attempt": after, "with_attempt": before} | ({"with_job": with_job} if with_job else {})
        asked = _Asked.of(job_id, "", COMPARISON, config)
        run = self.wait(self._launch(asked, LaunchPlan((COMPARISON,), {COMPARISON: config})).run_id)
        node = self._graphql.ask("comparison", job=job_id, limit=ATTEMPTS)["assetNodeOrError"]
        made = (m for m in node.get("assetMaterializations", ()) if m["runId"] == run.run_id)
        found = next(map(entries, made), None)
        if found is None or "json" not in found:
            raise Permanent(f"Run {run.run_id} made no comparison.", "compare again")
        return ComparisonSummary(
            job_id=job_id,
            run_id=run.run_id,
            comparison=found["json"],
            **{name: found[name] for name in ("before", "after", "text", "page", "document")},
        )

    def problems(self) -> Problems:
        """Current problems of all jobs, collected by the sensor ``problems``, and failing sensors and schedules.

        Raises:
            Transient: that sensor has never run.
        """
        return Problems.of(self._graphql.ask("problems", repository=self._selector()))

    def refresh_catalog(self, *, needed: bool = True) -> None:
        """Have the brand list and the user's own files read where Dagster's sensors run: "edit the list, replay".

        Raises:
            Permanent: the brand list is ``needed`` and cannot be read.
            Transient: Dagster is out of reach.
        """
        tick = self._dry_run("catalog_changed", "brand_catalog_changed")
        if tick["error"] and needed:
            raise Permanent(
                f"The brand list could not be read: {cause(tick['error'])}", "fix the list in BRAND_DETECT_CATALOG"
            )

    def health(self) -> dict[str, bool]:
        """Whether the parts that jobs need are available: the pipeline's code and Dagster's daemons."""
        data = self._graphql.ask("health", repeat=False)
        daemons = data["instance"]["daemonHealth"]["allDaemonStatuses"]
        found = {d["daemonType"].lower(): bool(d["healthy"]) for d in daemons if d["required"]}
        return {"pipeline": data["assetNodeOrError"]["__typename"] == "AssetNode", **found}

    def _check_models(self, params: Mapping[str, Params]) -> None:
        """Check that the pipeline's machine has the models that ``params`` name, by stage.

        Raises:
            BadInput: a model is missing, or may not be used.
        """
        named = {stage: own.model_dump(mode="json") for stage, own in params.items() if uses_outside_models(own)}
        if not named:
            return
        tick = self._dry_run("models", "model_check", params=json.dumps(named))
        if tick["error"]:
            raise Permanent(f"The models could not be checked: {cause(tick['error'])}")
        if tick["skipReason"]:
            sentence, _, hint = tick["skipReason"].partition("\nhint: ")
            raise BadInput(sentence, hint)

    def _dry_run(self, operation: str, sensor: str, **variables: Any) -> Mapping[str, Any]:
        """Evaluate a sensor now, without launching the runs it requests."""
        selector = self._selector() | {"sensorName": sensor}
        answer = self._graphql.ask(operation, sensor=selector, **variables)["sensorDryRun"]
        return expect(answer, "DryRunInstigationTick")["evaluationResult"]

    def _launch(self, asked: _Asked, plan: LaunchPlan, delay_s: float = 0.0) -> Run:
        if delay_s > 0:
            with self._holding:  # no other thread may launch between count and launch
                self._enforce_held_quota(asked.job_id)
                hold = {HOLD: UNTIL, NOT_BEFORE: f"{time.time() + delay_s:.3f}"}
                return self._launch(asked, replace(plan, tags={**plan.tags, **hold}))
        parent, root = plan.parent_run_id, self._root_of(plan.parent_run_id)
        in_group = self._count({"dagster/root_run_id": root}) if root else 0
        tags = plan.run_tags(asked.job_id, root, in_group) | {REQUEST: asked.key, ASKED: asked.digest}
        tags |= pod_tags(plan.stages, self._resources)
        repository, launched = self._selector(), ""
        for attempt in tries(*transport.PAUSES_S):
            if attempt.retry_state.attempt_number > 1 and (known := self._launched(asked)):
                return known  # it was launched, only the answer was lost
            with attempt:
                answer = self._graphql.ask(
                    "launch",
                    repeat=False,
                    location=repository["repositoryLocationName"],
                    repository=repository["repositoryName"],
                    assets=[{"path": [stage]} for stage in plan.stages],
                    config={"ops": {stage: {"config": values} for stage, values in plan.config.items()}},
                    tags=_pairs(tags),
                    parent=parent if root else None,
                    root=root or None,
                )["launchRun"]
                launched = expect(answer, "LaunchRunSuccess")["run"]["runId"]
        first = self._first(asked.job_id, asked.key)
        if first and first.run_id != launched:  # another caller or an earlier try used the key: the first one counts
            with suppress(BadInput, Transient):  # it may have ended
                self.cancel(launched)
        return _answering(asked, first) if first else self.run(launched)

    def _root_of(self, run_id: str) -> str:
        """The first existing run of the group of ``run_id``; empty if ``run_id`` was deleted."""
        found = self._runs({"runIds": [run_id]}, 1) if run_id else []
        if not found:
            return ""
        root = found[0].root_run_id
        return root if root == run_id or self._runs({"runIds": [root]}, 1) else run_id

    def _known(self, asked: _Asked) -> Run | None:
        """The run that an earlier call with the same key launched."""
        return self._launched(asked) if asked.keyed else None

    def _launched(self, asked: _Asked) -> Run | None:
        """The run that was launched for ``asked``; errors as ``_answering``."""
        first = self._first(asked.job_id, asked.key)
        return _answering(asked, first) if first else None

    def _first(self, job_id: str, key: str) -> Run | None:
        """The first run of the job (any job if empty) that was launched with ``key``, for whatever request."""
        tags = {REQUEST: key} | ({PARTITION: job_id} if job_id else {})
        return min(self._alive({"tags": _pairs(tags)}), key=lambda r: (r.created_s, r.run_id), default=None)

    def _enforce_held_quota(self, job_id: str) -> None:
        """
        Raises:
            BadInput: the limit of held runs is reached.
        """
        for what, tags, most in (
            (job_id, {PARTITION: job_id}, HELD_OF_A_JOB),
            ("all jobs together", {}, self._max_held),
        ):
            held = self._count({HOLD: UNTIL, **tags}, statuses=["QUEUED"])
            if held >= most:
                raise BadInput(
                    f"{held} runs of {what} are held already; the limit is {most}.",
                    "cancel some (brand-detect cancel RUN), or wait until they are due",
                )

    def _count(self, tags: Mapping[str, str], **wanted: Any) -> int:
        wanted["tags"] = _pairs(tags)
        return expect(self._graphql.ask("runs", filter=wanted, limit=1)["runsOrError"], "Runs")["count"]

    def _runs(self, wanted: Mapping[str, Any], limit: int, **how: Any) -> list[Run]:
        answer = self._graphql.ask("runs", filter=wanted, limit=limit, **how)["runsOrError"]
        return [Run.of(row) for row in expect(answer, "Runs")["results"]]

    def _alive(self, wanted: Mapping[str, Any]) -> list[Run]:
        return [run for run in self._runs(wanted, 10) if not run.is_lost]

    def _selector(self) -> dict[str, str]:
        """Dagster's ``RepositorySelector``: the pipeline's code location in the webserver's workspace."""
        if not self._repository:
            node = self._graphql.ask("health")["assetNodeOrError"]
            if node["__typename"] != "AssetNode":
                raise self._no_pipeline()
            self._remember(node)
        return self._repository

    def _remember(self, node: Mapping[str, Any]) -> None:
        repository = node["repository"]
        self._repository = {
            "repositoryName": repository["name"],
            "repositoryLocationName": repository["location"]["name"],
        }

    def _no_pipeline(self) -> Permanent:
        return Permanent(
            f"{self._graphql.url} serves no brand_detect pipeline.", "start it with brand_detect's workspace"
        )


def _answering(asked: _Asked, run: Run) -> Run:
    """``run``, which has the key of ``asked``.

    Raises:
        BadInput: it was launched for another request.
    """
    if run.tags.get(ASKED) != asked.digest:
        raise BadInput(
            f"The key {asked.key!r} was used for another request for {asked.job_id}.", "use a new key for each request"
        )
    return run


def _failure_in(events: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str] | None, str]:
    """Sentence and hint of the first step that failed, if one did, and what is said of the run."""
    of_run = ""
    for event in events:
        if event["__typename"] == "ExecutionStepFailureEvent":
            failure = (event.get("failureMetadata") or {}).get("description") or cause(event.get("error") or {})
            sentence, _, hint = failure.partition("\nhint: ")
            return (f"{event['stepKey']}: {sentence}", hint), of_run
        if event["__typename"] == "RunFailureEvent":
            of_run = event["message"]
    return None, of_run


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in GraphQL's form."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def _content_id(video_uri: str) -> str:
    path = Path(video_uri)
    if "://" in video_uri or not path.is_file():
        raise BadInput(f"{video_uri} cannot be read here, so no job id can be made from it.", "name a job id")
    with path.open("rb") as file:
        sha256, _ = content_sha256(file)
    return default_job_id(path.stem, sha256)
