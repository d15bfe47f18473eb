"""Jobs with open questions: the set that a sensor keeps and the off-peak schedule reads."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg

from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import ESCALATIONS, Stage, downstream_of

OPEN_JOBS = "brand_detect/open_jobs"
"""The key of the set in the instance's cursor storage: schedules have no cursor of their own."""
EVENTS_A_TICK = 5000
"""Most events of one stage that one tick takes in: the first tick over an old store is bounded too."""
WATCHED = downstream_of(Stage.escalate_vlm)
MODEL = ("provider", "model", "max_questions")
LEARNT = ("overrides", "params", "offpeak", "questions", "cost_usd", "never_answered", "unresolved")


@dataclass
class OpenJob:
    """What a retry needs to know of a job, from its newest attempts."""

    never_answered: int = 0
    """Clusters about which no model has said anything."""
    since_s: float = 0.0
    """When they were first left open."""
    overrides: Overrides = field(default_factory=dict)
    """What was tuned, by stage."""
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Provider, model and limit of questions of the escalation stages."""
    unresolved: int = 0
    """All clusters that are open, those included that a model did not know."""


@dataclass
class OpenJobs:
    """The set of open jobs, and what a question to a paid model cost of late, in USD."""

    jobs: dict[str, OpenJob] = field(default_factory=dict)
    usd: dict[str, float] = field(default_factory=dict)
    """By provider and model: the mean of the latest attempt that asked."""

    @classmethod
    def load(cls, instance: dg.DagsterInstance) -> "OpenJobs":
        stored = instance.daemon_cursor_storage.get_cursor_values({OPEN_JOBS}).get(OPEN_JOBS)
        raw = json.loads(stored) if stored else {"jobs": {}, "usd": {}}
        return cls({job_id: OpenJob(**job) for job_id, job in raw["jobs"].items()}, raw["usd"])

    def save(self, instance: dg.DagsterInstance) -> None:
        instance.daemon_cursor_storage.set_cursor_values({OPEN_JOBS: json.dumps(asdict(self))})

    def learn(self, stage: str, job_id: str, made_s: float, metadata: Mapping[str, Any]) -> None:
        """Take up one attempt of ``stage``, from its metadata; of several, learnt in order, the last counts."""
        if stage not in ESCALATIONS and job_id not in self.jobs:
            return  # the report of a job that is not open
        job = self.jobs.setdefault(job_id, OpenJob())
        params = metadata.get("params") or {}
        if not metadata.get("offpeak"):  # a night's params are not the job's
            job.overrides[stage] = dict(metadata.get("overrides") or {})
            if stage in ESCALATIONS:
                job.models[stage] = {name: params[name] for name in MODEL if name in params}
        if stage not in ESCALATIONS:
            return
        asked, cost = metadata.get("questions") or 0, metadata.get("cost_usd") or 0.0
        if asked:
            self.usd[model_name(params)] = cost / asked
        if stage == Stage.escalate_cloud:
            was_open, job.never_answered = job.never_answered, int(metadata.get("never_answered") or 0)
            job.unresolved = int(metadata.get("unresolved") or 0)
            if not job.never_answered:
                del self.jobs[job_id]
            elif not was_open:
                job.since_s = made_s

    @property
    def open(self) -> dict[str, OpenJob]:
        """Jobs with questions that nobody answered, oldest first."""
        found = {name: job for name, job in self.jobs.items() if job.never_answered}
        return dict(sorted(found.items(), key=lambda item: item[1].since_s))


def model_name(named: Mapping[str, Any]) -> str:
    """Provider and model in one, as ``OpenJobs.usd`` is keyed."""
    return f"{named.get('provider', '')}/{named.get('model', '')}"


def needed(metadata: Mapping[str, dg.MetadataValue]) -> dict[str, Any]:
    """What ``OpenJobs.learn`` reads of an attempt: thousands are held at once, and each has a picture."""
    return {name: metadata[name].value for name in LEARNT if name in metadata}


def made_s(record: dg.EventLogRecord) -> float:
    """When an attempt was made, in seconds since 1970: an event that was rebuilt from the store is younger."""
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
    description="Keeps the set of jobs with open questions, which the off-peak schedule reads, from new escalations.",
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
        return dg.SkipReason("No stage was escalated since the last look.")
    for storage_id, stage, at_s, job_id, metadata in sorted(new, key=lambda item: item[0]):
        seen[stage] = storage_id
        if job_id:
            known.learn(stage, job_id, at_s, metadata)
    known.save(context.instance)  # before the cursor: what is learnt twice is the same
    context.update_cursor(json.dumps(seen))
    return dg.SkipReason(f"{len(new)} attempts looked at; {len(known.open)} jobs have open questions.")
