"""Tracks the jobs with open questions: a sensor keeps them, the off-peak schedule reads them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg

from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import ESCALATIONS, Stage, downstream_of
from brand_detect.domain.words import counted
from brand_detect.orchestration.partitions import JOBS

OPEN_JOBS = "brand_detect/open_jobs"
"""Key of the open jobs in the instance's cursor storage: schedules have no cursor of their own."""
EVENTS_A_TICK = 5000
"""Limit of events per stage and tick, which bounds the first tick over an old store too."""
WATCHED = downstream_of(Stage.escalate_vlm)
MODEL = ("provider", "model", "max_questions")
LEARNT = ("overrides", "params", "offpeak", "questions", "failed", "cost_usd", "never_answered", "unresolved")


@dataclass
class OpenJob:
    """What a retry needs from a job's newest attempts."""

    never_answered: int = 0
    """Number of clusters that no model has answered."""
    since_s: float = 0.0
    """Time since which they are open."""
    overrides: Overrides = field(default_factory=dict)
    """Overrides by stage."""
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Provider, model and question limit of each escalation stage."""
    unresolved: int = 0
    """Number of unresolved clusters, including those that a model answered with "unknown"."""


@dataclass
class OpenJobs:
    """The open jobs, and the recent cost of a question to each paid model, in USD."""

    jobs: dict[str, OpenJob] = field(default_factory=dict)
    usd: dict[str, float] = field(default_factory=dict)
    """Mean over the latest attempt that asked, by provider and model."""

    @classmethod
    def load(cls, instance: dg.DagsterInstance) -> "OpenJobs":
        stored = instance.daemon_cursor_storage.get_cursor_values({OPEN_JOBS}).get(OPEN_JOBS)
        raw = json.loads(stored) if stored else {"jobs": {}, "usd": {}}
        return cls({job_id: OpenJob(**job) for job_id, job in raw["jobs"].items()}, raw["usd"])

    def save(self, instance: dg.DagsterInstance) -> None:
        instance.daemon_cursor_storage.set_cursor_values({OPEN_JOBS: json.dumps(asdict(self))})

    def learn(self, stage: str, job_id: str, made_s: float, metadata: Mapping[str, Any]) -> None:
        """Take in one attempt of ``stage`` from its metadata; call in order of time, the last one counts."""
        if stage not in ESCALATIONS and job_id not in self.jobs:
            return  # a report of a job without open questions
        job = self.jobs.setdefault(job_id, OpenJob())
        params = metadata.get("params") or {}
        if not metadata.get("offpeak"):  # an off-peak batch's params are not the job's
            job.overrides[stage] = dict(metadata.get("overrides") or {})
            if stage in ESCALATIONS:
                job.models[stage] = {name: params[name] for name in MODEL if name in params}
        if stage not in ESCALATIONS:
            return
        asked, cost = metadata.get("questions") or 0, metadata.get("cost_usd") or 0.0
        # most that fail are not billed: with those, an outage would make a paid model look free
        replies = asked - (metadata.get("failed") or 0)
        if asked and (replies or cost):
            self.usd[model_name(params)] = cost / (replies or asked)
        if stage == Stage.escalate_cloud:
            was_open, job.never_answered = job.never_answered, int(metadata.get("never_answered") or 0)
            job.unresolved = int(metadata.get("unresolved") or 0)
            if not job.never_answered:
                del self.jobs[job_id]
            elif not was_open:
                job.since_s = made_s

    @property
    def open(self) -> dict[str, OpenJob]:
        """Jobs with unanswered questions, oldest first."""
        found = {name: job for name, job in self.jobs.items() if job.never_answered}
        return dict(sorted(found.items(), key=lambda item: item[1].since_s))


def model_name(named: Mapping[str, Any]) -> str:
    """Key of a provider and model in ``OpenJobs.usd``."""
    return f"{named.get('provider', '')}/{named.get('model', '')}"


def needed(metadata: Mapping[str, dg.MetadataValue]) -> dict[str, Any]:
    """The metadata that ``OpenJobs.learn`` reads; the rest, with a picture each, would fill memory for thousands."""
    return {name: metadata[name].value for name in LEARNT if name in metadata}


def made_s(record: dg.EventLogRecord) -> float:
    """Creation time of an attempt, in seconds since 1970; a rebuilt event is younger than its attempt."""
    event = record.asset_materialization
    created = event.metadata.get("created") if event else None
    return datetime.fromisoformat(str(created.value)).timestamp() if created else record.timestamp


def new_events(instance: dg.DagsterInstance, stage: str, after: int, limit: int) -> Iterator[dg.EventLogRecord]:
    """Materializations of ``stage`` of any job since the event ``after``, oldest first, at most ``limit``."""
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(stage), after_storage_id=after)
    cursor = None
    while limit > 0:
        page = instance.fetch_materializations(wanted, limit=min(limit, 1000), cursor=cursor, ascending=True)
        yield from page.records
        limit -= len(page.records)
        cursor = page.cursor
        if not page.has_more:
            return


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tracks jobs with open questions from new escalations, for the off-peak schedule.",
)
def open_jobs(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
    seen: dict[str, int] = json.loads(context.cursor) if context.cursor else {}
    known = OpenJobs.load(context.instance)
    new = [
        (record.storage_id, stage, made_s(record), event.partition, needed(event.metadata))
        for stage in WATCHED
        for record in new_events(context.instance, stage, seen.get(stage, 0), EVENTS_A_TICK)
        if (event := record.asset_materialization)
    ]
    if not new:
        return dg.SkipReason("There are no new escalations.")
    for storage_id, stage, at_s, job_id, metadata in sorted(new, key=lambda item: item[0]):
        seen[stage] = storage_id
        if job_id:
            known.learn(stage, job_id, at_s, metadata)
    existing = set(context.instance.get_dynamic_partitions(str(JOBS.name)))
    known.jobs = {job_id: job for job_id, job in known.jobs.items() if job_id in existing}  # others were deleted
    known.save(context.instance)  # before the cursor: taking in an attempt twice changes nothing
    context.update_cursor(json.dumps(seen))
    return dg.SkipReason(f"{counted(len(new), 'new attempt')}; open questions in {counted(len(known.open), 'job')}.")
