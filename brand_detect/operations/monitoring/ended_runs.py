"""The runs of this pipeline as they end, in order: what sensors read that look at results."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from brand_detect.domain.pipeline import ASSETS, PRUNE_STEP
from brand_detect.domain.tags import PARTITION
from brand_detect.operations.monitoring.liveness import is_ours

ENDS: dict[Any, dg.DagsterRunStatus] = {
    dg.DagsterEventType.RUN_SUCCESS: dg.DagsterRunStatus.SUCCESS,
    dg.DagsterEventType.RUN_FAILURE: dg.DagsterRunStatus.FAILURE,
    dg.DagsterEventType.RUN_CANCELED: dg.DagsterRunStatus.CANCELED,
}
SETTLED_S = 10.0
"""An end is read no sooner: a failure is stored before Dagster has said whether it executes the run again, and of two
ends that are stored at one time the one with the higher number may be seen first."""
WORK = (*ASSETS, PRUNE_STEP)
"""What the runs do, in this order."""
UNHEARD_S = 900.0
"""A run that Dagster said it executes again, and has not after so long, has failed."""
LONGEST = 300
"""Letters of a reason that are told."""
MOST_WAITING = 1000
"""Such runs that are kept in mind; until some of them are settled, none is read beyond."""


@dataclass(frozen=True)
class EndedRun:
    """A run that is not executed again."""

    run: dg.DagsterRun
    at_s: float
    """When it ended, in seconds since 1970."""

    @property
    def job_id(self) -> str:
        """ "" for a run of no job: one that takes a snapshot of the brand list, or prunes."""
        return self.run.tags.get(PARTITION, "")

    @property
    def has_failed(self) -> bool:
        return self.run.status == dg.DagsterRunStatus.FAILURE


@dataclass
class EndedRuns:
    """A reader's place among the ends of runs. Events of runs are numbered across all runs, on SQLite too."""

    after: int = -1
    """The last event that was read."""
    waiting: dict[str, float] = field(default_factory=dict)
    """Failed runs that Dagster has said it executes again: when each failed, in seconds since 1970."""

    @classmethod
    def from_now_on(cls, instance: dg.DagsterInstance) -> "EndedRuns":
        """A reader that has seen all that is there."""
        newest = [r.storage_id for kind in ENDS for r in instance.fetch_run_status_changes(kind, limit=1).records]
        return cls(max(newest, default=-1))

    def read(self, instance: dg.DagsterInstance, limit: int) -> Iterator[EndedRun]:
        """Runs that have ended since, at most ``limit`` events, in order.

        The place moves beyond a run when the next one is asked for: a caller that stops gets it again.
        """
        now_s = time.time()
        yield from self._unheard(instance, now_s)
        events = self._events(instance, limit)
        runs = _runs(instance, {event.run_id for event in events})
        for event in events:
            if now_s - event.timestamp < SETTLED_S or len(self.waiting) >= MOST_WAITING:
                return
            run = runs.get(event.run_id)
            kind = event.event_log_entry.dagster_event_type
            if run and is_ours(run) and run.status == ENDS[kind] and not _retried(run):
                if _is_final(run, event.timestamp, now_s):
                    yield EndedRun(run, event.timestamp)
                else:
                    self.waiting.setdefault(run.run_id, event.timestamp)
            self.after = event.storage_id

    def _unheard(self, instance: dg.DagsterInstance, now_s: float) -> Iterator[EndedRun]:
        runs = _runs(instance, set(self.waiting))
        for run_id, failed_s in list(self.waiting.items()):
            run = runs.get(run_id)
            if run and run.status == dg.DagsterRunStatus.FAILURE and not _retried(run):
                if not _is_final(run, failed_s, now_s):
                    continue
                yield EndedRun(run, failed_s)
            del self.waiting[run_id]

    def _events(self, instance: dg.DagsterInstance, limit: int) -> list[dg.EventLogRecord]:
        """The next ends of all kinds, in order, as far as each kind is known."""
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
    """Whether Dagster does not execute the run again. Runs that have not failed have no such tag of their own."""
    failed = run.status == dg.DagsterRunStatus.FAILURE
    return not (failed and run.tags.get("dagster/will_retry") == "true") or now_s - ended_s >= UNHEARD_S


def _retried(run: dg.DagsterRun) -> bool:
    return run.status == dg.DagsterRunStatus.FAILURE and "dagster/auto_retry_run_id" in run.tags


@dataclass(frozen=True)
class Checked:
    """What a check of a run said."""

    stage: str
    name: str
    passed: bool
    blocking: bool
    detail: str


@dataclass(frozen=True)
class Outcome:
    """What a run has done, from its log."""

    done: tuple[str, ...]
    """The stages that it has finished."""
    checks: tuple[Checked, ...]
    stage: str = ""
    """Where it failed."""
    reason: str = ""
    """Why, in a sentence."""

    @classmethod
    def of(cls, instance: dg.DagsterInstance, run: dg.DagsterRun) -> "Outcome":
        """One query, for a few small events: the large ones are those of materializations, with their pictures."""
        records = instance.get_records_for_run(run.run_id, of_type=set(_TOLD)).records
        events = [event for record in records if (event := record.event_log_entry.dagster_event)]
        done = {event.step_key for event in events if event.is_step_success}
        checks = tuple(
            Checked(
                stage=said.asset_key.path[-1],
                name=said.check_name,
                passed=said.passed,
                blocking=said.severity == dg.AssetCheckSeverity.ERROR,
                detail=said.description or "",
            )
            for event in events
            if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
            for said in [event.asset_check_evaluation_data]
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


_TOLD = (
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.RUN_FAILURE,
)


def _reason(failure: Any) -> str:
    """What the step said itself, else the message of the innermost error, without the name of its class."""
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    error = failure.error
    while error and error.cause:
        error = error.cause
    message = error.message if error else ""
    name, colon, rest = message.partition(": ")
    return rest if colon and " " not in name else message


def _sentence(said: str) -> str:
    """In one line, without the hint, no longer than ``LONGEST`` letters."""
    text = " ".join(said.partition("\nhint: ")[0].split()) or "It failed without a word."
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
