"""Reads the runs of this pipeline in the order in which they end, for sensors that process results."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from brand_detect.domain.pipeline import ASSETS, PRUNE_STEP
from brand_detect.domain.tags import PARTITION
from brand_detect.operations.monitoring.liveness import is_ours, is_retried

ENDS: dict[Any, dg.DagsterRunStatus] = {
    dg.DagsterEventType.RUN_SUCCESS: dg.DagsterRunStatus.SUCCESS,
    dg.DagsterEventType.RUN_FAILURE: dg.DagsterRunStatus.FAILURE,
    dg.DagsterEventType.RUN_CANCELED: dg.DagsterRunStatus.CANCELED,
}
SETTLED_S = 10.0
"""Delay before an end is read: a failure is stored before Dagster decides whether to re-execute the run, and of two
ends stored at the same time the one with the higher id may become visible first."""
WORK = (*ASSETS, PRUNE_STEP)
"""Steps that these runs execute, in this order."""
UNHEARD_S = 900.0
"""Time after which a run marked for re-execution, but not re-executed, counts as failed."""
LONGEST = 300
"""Longest reason, in characters."""
MOST_WAITING = 1000
"""Limit of runs awaiting re-execution; at the limit, reading pauses until some are settled."""


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended and is not re-executed."""

    run: dg.DagsterRun
    at_s: float
    """When it ended, in seconds since 1970; now, if the clock of the machine that said so is ahead."""

    @property
    def job_id(self) -> str:
        """The job; "" for runs without one, which take a snapshot of the brand list or prune."""
        return self.run.tags.get(PARTITION, "")

    @property
    def has_failed(self) -> bool:
        return self.run.status == dg.DagsterRunStatus.FAILURE


@dataclass
class EndedRuns:
    """A reader's position among the ends of runs. Event ids count across all runs, on SQLite too."""

    after: int = -1
    """The last event that was read."""
    waiting: dict[str, float] = field(default_factory=dict)
    """Failed runs that Dagster marked for re-execution, with the time of failure in seconds since 1970."""
    seen: int = -1
    """The newest of the events that were there at ``seen_s``: they settle by then, whatever time they bear."""
    seen_s: float = 0.0

    @classmethod
    def from_now_on(cls, instance: dg.DagsterInstance) -> "EndedRuns":
        """A reader positioned after all existing events."""
        newest = [r.storage_id for kind in ENDS for r in instance.fetch_run_status_changes(kind, limit=1).records]
        return cls(max(newest, default=-1))

    def read(self, instance: dg.DagsterInstance, limit: int) -> Iterator[EndedRun]:
        """Runs that have ended since the last call, in order; reads at most ``limit`` events.

        The position moves past a run when the next one is requested: a caller that stops early gets it again.
        """
        now_s = time.time()
        self._set_back(now_s)
        yield from self._unheard(instance, now_s)
        events = self._events(instance, limit)
        runs = _runs(instance, {event.run_id for event in events})
        for event in events:
            if len(self.waiting) >= MOST_WAITING:
                return
            if not self._is_settled(event, now_s):
                if event.storage_id > self.seen:
                    self.seen, self.seen_s = events[-1].storage_id, now_s
                return
            ended_s = min(event.timestamp, now_s)
            run = runs.get(event.run_id)
            kind = event.event_log_entry.dagster_event_type
            if run and is_ours(run) and run.status == ENDS[kind] and not is_retried(run):
                if _is_final(run, ended_s, now_s):
                    yield EndedRun(run, ended_s)
                else:
                    self.waiting.setdefault(run.run_id, ended_s)
            self.after = event.storage_id

    def _set_back(self, now_s: float) -> None:
        """A clock that was ahead, as before its first synchronisation, and was set right: waits begin anew."""
        self.seen_s = min(self.seen_s, now_s)
        self.waiting = {run_id: min(failed_s, now_s) for run_id, failed_s in self.waiting.items()}

    def _is_settled(self, event: dg.EventLogRecord, now_s: float) -> bool:
        """Whether it is old enough, by its own time or by when it was seen: the clock that stamped it may be ahead."""
        known_s = self.seen_s if event.storage_id <= self.seen else now_s
        return now_s - min(event.timestamp, known_s) >= SETTLED_S

    def _unheard(self, instance: dg.DagsterInstance, now_s: float) -> Iterator[EndedRun]:
        runs = _runs(instance, set(self.waiting))
        for run_id, failed_s in list(self.waiting.items()):
            run = runs.get(run_id)
            if run and run.status == dg.DagsterRunStatus.FAILURE and not is_retried(run):
                if not _is_final(run, failed_s, now_s):
                    continue
                yield EndedRun(run, failed_s)
            del self.waiting[run_id]

    def _events(self, instance: dg.DagsterInstance, limit: int) -> list[dg.EventLogRecord]:
        """The next end events of all kinds, in order, up to where every kind has been read."""
        found: list[dg.EventLogRecord] = []
        known = float("inf")
        for kind in ENDS:
            wanted = dg.RunStatusChangeRecordsFilter(kind, after_storage_id=self.after)
            page = instance.fetch_run_status_changes(wanted, limit=limit, ascending=True).records
            found += page
            if len(page) == limit:
                known = min(known, page[-1].storage_id)
        return sorted((r for r in found if r.storage_id <= known), key=lambda r: r.storage_id)[:limit]


def _runs(instance: dg.DagsterInstance, run_ids: set[str]) -> dict[str, dg.DagsterRun]:
    if not run_ids:
        return {}
    records = instance.get_run_records(dg.RunsFilter(run_ids=sorted(run_ids)))
    return {record.dagster_run.run_id: record.dagster_run for record in records}


def _is_final(run: dg.DagsterRun, ended_s: float, now_s: float) -> bool:
    """Whether Dagster will not re-execute the run. Runs that have not failed carry no tag of their own for it."""
    failed = run.status == dg.DagsterRunStatus.FAILURE
    return not (failed and run.tags.get("dagster/will_retry") == "true") or now_s - ended_s >= UNHEARD_S


@dataclass(frozen=True)
class Checked:
    """The result of a check in a run."""

    stage: str
    name: str
    passed: bool
    blocking: bool
    detail: str


@dataclass(frozen=True)
class Outcome:
    """What a run did, read from its log."""

    done: tuple[str, ...]
    """The stages that finished."""
    checks: tuple[Checked, ...]
    stage: str = ""
    """The stage that failed."""
    reason: str = ""
    """The reason, in one sentence."""

    @classmethod
    def of(cls, instance: dg.DagsterInstance, run: dg.DagsterRun) -> "Outcome":
        """One query that fetches a few small events; materializations are large, with their pictures, and left out."""
        records = instance.get_records_for_run(run.run_id, of_type=set(_SMALL)).records
        events = [event for record in records if (event := record.event_log_entry.dagster_event)]
        done = {event.step_key for event in events if event.is_step_success}
        checks = tuple(
            Checked(
                stage=check.asset_key.path[-1],
                name=check.check_name,
                passed=check.passed,
                blocking=check.severity == dg.AssetCheckSeverity.ERROR,
                detail=check.description or "",
            )
            for event in events
            if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
            for check in [event.asset_check_evaluation_data]
        )
        stage = reason = ""
        if run.status == dg.DagsterRunStatus.FAILURE:
            failed = next((event for event in events if event.is_step_failure), None)
            wanted = set(run.step_keys_to_execute or (key.path[-1] for key in run.asset_selection or ()))
            left = [s for s in WORK if s in wanted - done]
            stage = (failed.step_key if failed else next(iter(left), "")) or ""
            broken = [c for c in checks if c.stage == stage and c.blocking and not c.passed]
            if broken:
                reason = "; ".join(f"failed its check {c.name}: {c.detail}" for c in broken)
            elif failed:
                reason = _reason(failed.step_failure_data)
            else:
                reason = next((e.message or "" for e in reversed(events) if e.is_run_failure), "")
        ordered = (s for s in WORK if s in done)
        return cls(tuple(ordered), checks, stage, _sentence(reason) if stage or reason else "")


_SMALL = (
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.RUN_FAILURE,
)


def _reason(failure: Any) -> str:
    """The step's own description, else the message of the innermost error without the name of its class."""
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    error = failure.error
    while error and error.cause:
        error = error.cause
    message = error.message if error else ""
    name, colon, rest = message.partition(": ")
    return rest if colon and " " not in name else message


def _sentence(reason: str) -> str:
    """``reason`` in one line, without the hint, cut to ``LONGEST`` characters."""
    text = " ".join(reason.partition("\nhint: ")[0].split()) or "It failed without a message."
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
