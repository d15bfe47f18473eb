"""Off-peak retries: selects jobs with open questions, and schedules their retries."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._utils.schedules import get_next_cron_tick

from brand_detect.domain.contracts import effective
from brand_detect.domain.errors import BadInput
from brand_detect.domain.history import merged
from brand_detect.domain.job import Overrides
from brand_detect.domain.kubernetes import pod_tags
from brand_detect.domain.pipeline import ESCALATIONS, Stage, downstream_of
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import LATEST, OFFPEAK, OFFPEAK_USD, PARTITION, RETRY_OF
from brand_detect.domain.words import counted
from brand_detect.operations.monitoring.liveness import IN_FLIGHT
from brand_detect.operations.retries.open_jobs import MODEL, OpenJobs, model_name
from brand_detect.orchestration.partitions import JOBS
from brand_detect.orchestration.resources import Services

ONCE: Overrides = {stage: {"ask_again": False} for stage in ESCALATIONS}
"""Off-peak batches never repeat a question to the same model: what it did not know it will not know tomorrow."""
TRIED = "brand_detect/offpeak_tried"
"""Key of the dates on which open jobs were last retried."""
MINUTE = "%Y-%m-%d %H:%M %Z"
NOON = timedelta(hours=12)
"""A night lasts from noon to noon and has the date of its evening, so that one that crosses midnight is one night."""
LATE = timedelta(hours=1)
"""After this, a tick that was missed is left to the next night. Dagster makes up for the last one when it is back."""
ASSUMED_USD = 0.02
"""Assumed price of a question to a paid model until one was measured, in USD."""


@dataclass(frozen=True)
class Retry:
    """One job's retry in a batch."""

    overrides: Overrides
    usd: float
    """Expected cost in USD."""


@dataclass(frozen=True)
class OffpeakBatch:
    """The retries to launch now, and how many jobs were left out, by reason."""

    retries: dict[str, Retry]
    left: Mapping[str, int]

    def __str__(self) -> str:
        left = ", ".join(f"{n} {why}" for why, n in self.left.items()) or "none"
        usd = sum(retry.usd for retry in self.retries.values())
        return f"{counted(len(self.retries), 'job')} retried, about {usd:.2f} USD; left out: {left}"


def plan_batch(
    known: OpenJobs,
    settings: Settings,
    existing: Iterable[str],
    in_flight: Iterable[str],
    *,
    launched: Mapping[str, float] | None = None,
    tried: Mapping[str, str] | None = None,
) -> OffpeakBatch:
    """Select the open jobs to retry now, within the settings' limits of jobs and cost per batch.

    Those that were tried longest ago come first, and of these the oldest: what fails every night holds up nobody.
    The cost of a job is the questions that will be asked times what one cost of late with the same model. Only
    ``escalate_cloud`` counts: models on the user's own machines are not paid by the question.

    Args:
        existing: all existing jobs; others were deleted.
        in_flight: jobs with a queued or running run.
        launched: expected cost of the jobs that this batch has already launched.
        tried: date on which a job was last retried, ISO format.
    """
    existing, in_flight, launched, tried = set(existing), set(in_flight), launched or {}, tried or {}
    retries: dict[str, Retry] = {}
    usd = sum(launched.values())
    left = Counter[str]()
    for job_id, job in sorted(known.open.items(), key=lambda item: tried.get(item[0], "")):
        if job_id not in existing or job_id in launched:
            continue
        models = {s: _named(s, job.models.get(s, {}), settings.offpeak_overrides.get(s, {})) for s in ESCALATIONS}
        cloud = models[Stage.escalate_cloud]
        same = model_name(cloud) == model_name(
            job.models.get(Stage.escalate_cloud, {})
        )  # another model has answered none of them
        questions = min(job.never_answered if same else max(job.never_answered, job.unresolved), cloud["max_questions"])
        if cloud["provider"] == "off":
            questions = 0
        price = known.usd.get(model_name(cloud), ASSUMED_USD) * questions
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


def _named(stage: str, last: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    params = effective(stage, dict(last), {name: overrides[name] for name in MODEL if name in overrides})
    return params.model_dump(mode="json", include={*MODEL})


def load_tried(instance: dg.DagsterInstance) -> dict[str, str]:
    """The date on which each open job was last retried, ISO format."""
    return json.loads(instance.daemon_cursor_storage.get_cursor_values({TRIED}).get(TRIED, "{}"))


def save_tried(instance: dg.DagsterInstance, tried: Mapping[str, str]) -> None:
    instance.daemon_cursor_storage.set_cursor_values({TRIED: json.dumps(tried)})


def _tick(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | list[dg.RunRequest]:
    services: Services = context.resources.services
    instance = context.instance
    due, now = context.scheduled_execution_time, datetime.now(UTC)
    if now - due > LATE:
        settings = services.settings
        following = get_next_cron_tick(settings.offpeak_cron, now, settings.offpeak_timezone)
        return dg.SkipReason(
            f"The tick of {due:{MINUTE}} was missed, and now it may be day; the next is at {following:{MINUTE}}."
        )
    date = (due - NOON).date().isoformat()
    running = instance.get_run_records(dg.RunsFilter(statuses=IN_FLIGHT))
    records = instance.get_run_records(dg.RunsFilter(tags={OFFPEAK: date}))
    launched = {r.dagster_run.tags[PARTITION]: float(r.dagster_run.tags[OFFPEAK_USD]) for r in records}
    known = OpenJobs.load(instance)
    tried = load_tried(instance)
    night = plan_batch(
        known,
        services.settings,
        instance.get_dynamic_partitions(str(JOBS.name)),
        (record.dagster_run.tags.get(PARTITION, "") for record in running),
        launched=launched,
        tried=tried,
    )
    context.log.info("%s", night)
    if not night.retries:
        return dg.SkipReason(str(night))
    tried = {job_id: at for job_id, at in tried.items() if job_id in known.jobs}
    save_tried(instance, tried | dict.fromkeys(night.retries, date))
    # Same plan as ``plan_replay``, which would need a job's whole history: a dozen queries for each of many jobs.
    stages = downstream_of(Stage.escalate_vlm)
    pod = pod_tags(stages, services.settings.run_resources)
    return [
        dg.RunRequest(
            run_key=f"{date} {job_id}",
            asset_selection=[dg.AssetKey(stage) for stage in stages],
            run_config={"ops": {stage: {"config": values} for stage, values in retry.overrides.items()}},
            # the partition as a tag: partition_key would cost a database query per job
            tags={PARTITION: job_id, RETRY_OF: LATEST, OFFPEAK: date, OFFPEAK_USD: f"{retry.usd:.4f}", **pod},
        )
        for job_id, retry in night.retries.items()
    ]


def offpeak_retries(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule that retries jobs with open questions; off unless the settings switch it on.

    Raises:
        BadInput: the settings' cron expression is invalid.
    """
    try:
        return dg.schedule(
            name="offpeak_retries",
            target=dg.define_asset_job(
                "retry",
                selection=dg.AssetSelection.assets(*downstream_of(Stage.escalate_vlm)),
                description="Off-peak retry: asks models a job's open questions and compiles its report again.",
            ),
            cron_schedule=settings.offpeak_cron,
            execution_timezone=settings.offpeak_timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING if settings.offpeak else dg.DefaultScheduleStatus.STOPPED,
            required_resource_keys={"services"},
            description="Retries jobs with open questions, oldest first, within the limits of BRAND_DETECT_OFFPEAK_*.",
        )(_tick)
    except dg.DagsterInvalidDefinitionError as e:
        raise BadInput(
            f"BRAND_DETECT_OFFPEAK_CRON: {settings.offpeak_cron!r} is not a cron expression.", "for example: 0 1 * * *"
        ) from e
