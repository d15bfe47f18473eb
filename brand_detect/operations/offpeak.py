"""Jobs with open questions, and those that a night's retries take up."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg

from brand_detect.domain.contracts import effective
from brand_detect.domain.history import ESCALATIONS, merged
from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import downstream_of
from brand_detect.domain.settings import Settings

OPEN_JOBS = "brand_detect/open_jobs"
"""The key of the set in the instance's cursor storage: schedules have no cursor of their own."""
WATCHED = downstream_of(ESCALATIONS[0])
MODEL = ("provider", "model", "max_questions")
LEARNT = ("overrides", "params", "offpeak", "questions", "cost_usd", "never_answered", "unresolved")
ONCE: Overrides = {stage: {"ask_again": False} for stage in ESCALATIONS}
"""At night no model is asked twice about one thing: what it did not know it will not know tomorrow."""
TRIED = "brand_detect/offpeak_tried"
"""The key of the nights on which open jobs were last retried."""
ASSUMED_USD = 0.02
"""Price of a question to a paid model as long as none was seen, in USD."""


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
            self.usd[_model(params)] = cost / asked
        if stage == ESCALATIONS[-1]:
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


def _model(named: Mapping[str, Any]) -> str:
    return f"{named.get('provider', '')}/{named.get('model', '')}"


@dataclass(frozen=True)
class Retry:
    """One job's retry of a night."""

    overrides: Overrides
    usd: float
    """What it is expected to cost."""


@dataclass(frozen=True)
class OffpeakBatch:
    """The retries to launch now, and what is left for another time, by reason."""

    retries: dict[str, Retry]
    left: Mapping[str, int]

    def __str__(self) -> str:
        left = ", ".join(f"{n} {why}" for why, n in self.left.items()) or "none"
        usd = sum(retry.usd for retry in self.retries.values())
        return f"{len(self.retries)} jobs retried, about {usd:.2f} USD; left out: {left}"


def plan_batch(
    known: OpenJobs,
    settings: Settings,
    existing: Iterable[str],
    in_flight: Iterable[str],
    *,
    launched: Mapping[str, float] | None = None,
    tried: Mapping[str, str] | None = None,
) -> OffpeakBatch:
    """The open jobs to retry now, within the settings' limits of jobs and cost for a night.

    Those that were tried longest ago come first, and of these the oldest: what fails every night holds up nobody.
    The cost of a job is the questions that will be asked times what one cost of late with the same model. Only
    ``escalate_cloud`` counts: models on the user's own machines are not paid by the question.

    Args:
        existing: the jobs that are there; others were deleted.
        in_flight: jobs with a run in the queue or at work.
        launched: what this night has launched before: the expected cost by job.
        tried: the night on which a job was last retried, as an ISO date.
    """
    existing, in_flight, launched, tried = set(existing), set(in_flight), launched or {}, tried or {}
    retries: dict[str, Retry] = {}
    usd = sum(launched.values())
    left = Counter[str]()
    for job_id, job in sorted(known.open.items(), key=lambda item: tried.get(item[0], "")):
        if job_id not in existing or job_id in launched:
            continue
        models = {s: _named(s, job.models.get(s, {}), settings.offpeak_overrides.get(s, {})) for s in ESCALATIONS}
        cloud = models[ESCALATIONS[-1]]
        same = _model(cloud) == _model(job.models.get(ESCALATIONS[-1], {}))  # another one knows none of the answers
        questions = min(job.never_answered if same else max(job.never_answered, job.unresolved), cloud["max_questions"])
        if cloud["provider"] == "off":
            questions = 0
        price = known.usd.get(_model(cloud), ASSUMED_USD) * questions
        if job_id in in_flight:
            left["in flight"] += 1
        elif all(named["provider"] == "off" for named in models.values()):
            left["without a model"] += 1
        elif len(launched) + len(retries) >= settings.offpeak_max_jobs:
            left["over the limit of jobs"] += 1
        elif usd + price > settings.offpeak_max_usd:
            left["over the limit of cost"] += 1
        else:
            night = merged(merged(job.overrides, settings.offpeak_overrides), ONCE)
            retries[job_id] = Retry({stage: values for stage, values in night.items() if values}, price)
            usd += price
    return OffpeakBatch(retries, left)


def _named(stage: str, last: Mapping[str, Any], in_this_batch: Mapping[str, Any]) -> dict[str, Any]:
    params = effective(stage, dict(last), {name: in_this_batch[name] for name in MODEL if name in in_this_batch})
    return params.model_dump(mode="json", include={*MODEL})


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


def load_tried(instance: dg.DagsterInstance) -> dict[str, str]:
    """The night on which each open job was last retried, as an ISO date."""
    return json.loads(instance.daemon_cursor_storage.get_cursor_values({TRIED}).get(TRIED, "{}"))


def save_tried(instance: dg.DagsterInstance, tried: Mapping[str, str]) -> None:
    instance.daemon_cursor_storage.set_cursor_values({TRIED: json.dumps(tried)})
