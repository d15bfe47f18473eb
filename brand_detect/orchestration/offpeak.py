"""Jobs with open questions, and those that a night's retries take up."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg

from brand_detect.domain.history import ESCALATIONS, merged
from brand_detect.domain.model import Overrides
from brand_detect.domain.params import effective
from brand_detect.domain.pipeline import downstream_of
from brand_detect.domain.settings import Settings

OPEN_JOBS = "brand_detect/open_jobs"
"""The key of the set in the instance's cursor storage: schedules have no cursor of their own."""
WATCHED = downstream_of(ESCALATIONS[0])
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
    models: dict[str, dict[str, str]] = field(default_factory=dict)
    """Provider and model of the escalation stages."""


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
        """Take up one attempt of ``stage``, from its metadata; of several the last one learnt counts."""
        job = self.jobs.setdefault(job_id, OpenJob())
        job.overrides[stage] = dict(metadata.get("overrides") or {})
        if stage not in ESCALATIONS:
            return
        params = metadata.get("params") or {}
        job.models[stage] = {name: str(params.get(name, "")) for name in ("provider", "model")}
        asked, cost = metadata.get("questions") or 0, metadata.get("cost_usd") or 0.0
        if asked:
            self.usd[_model(job.models[stage])] = cost / asked
        if stage == ESCALATIONS[-1]:
            was_open, job.never_answered = job.never_answered, int(metadata.get("never_answered") or 0)
            if not was_open:
                job.since_s = made_s

    @property
    def open(self) -> list[tuple[str, OpenJob]]:
        """Jobs with questions that nobody answered, oldest first."""
        return sorted(((n, j) for n, j in self.jobs.items() if j.never_answered), key=lambda item: item[1].since_s)


def _model(named: Mapping[str, str]) -> str:
    return f"{named['provider']}/{named['model']}"


@dataclass(frozen=True)
class Night:
    """The retries of one night, and what is left for another one, by reason."""

    retries: dict[str, Overrides]
    usd: float
    """What they are expected to cost."""
    left: dict[str, int]

    def __str__(self) -> str:
        left = ", ".join(f"{n} {why}" for why, n in self.left.items()) or "none"
        return f"{len(self.retries)} jobs retried, about {self.usd:.2f} USD; left out: {left}"


def plan_night(known: OpenJobs, settings: Settings, existing: Iterable[str], in_flight: Iterable[str]) -> Night:
    """The open jobs to retry now, oldest first, within the settings' limits of jobs and cost.

    The cost of a job is its open questions times what one cost of late with the same model. Only ``escalate_cloud``
    counts: models on the user's own machines are not paid by the question.
    """
    existing, in_flight = set(existing), set(in_flight)
    retries: dict[str, Overrides] = {}
    usd = 0.0
    left = Counter[str]()
    for job_id, job in known.open:
        if job_id not in existing:
            continue
        night = merged(job.overrides, settings.offpeak_overrides)
        models = {s: _named(s, job.models.get(s, {}), settings.offpeak_overrides.get(s, {})) for s in ESCALATIONS}
        cloud = models[ESCALATIONS[-1]]
        price = known.usd.get(_model(cloud), ASSUMED_USD) * job.never_answered if cloud["provider"] != "off" else 0.0
        if job_id in in_flight:
            left["in flight"] += 1
        elif all(named["provider"] == "off" for named in models.values()):
            left["without a model"] += 1
        elif len(retries) >= settings.offpeak_max_jobs:
            left["over the limit of jobs"] += 1
        elif usd + price > settings.offpeak_max_usd:
            left["over the limit of cost"] += 1
        else:
            retries[job_id] = {stage: values for stage, values in night.items() if values}
            usd += price
    return Night(retries, usd, left)


def _named(stage: str, last: Mapping[str, str], tonight: Mapping[str, Any]) -> dict[str, str]:
    params = effective(stage, {k: v for k, v in last.items() if v or k == "model"}, dict(tonight)).model_dump()
    return {name: str(params[name]) for name in ("provider", "model")}


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
