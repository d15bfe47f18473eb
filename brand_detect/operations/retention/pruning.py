"""Prunes old attempts by the settings' limits: as a Dagster job, as a schedule, and for the command line."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import takewhile

import dagster as dg
from pydantic import Field

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.pipeline import LINE, PRUNE, PRUNE_STEP, Stage
from brand_detect.domain.protocols import Progress
from brand_detect.domain.retention import Removal, Retention, Stored, removal
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import LATEST, PARTITION, PIN, RETRY_OF
from brand_detect.domain.words import counted
from brand_detect.operations.monitoring.liveness import IN_FLIGHT, WAITING, at_work, is_to_be_retried
from brand_detect.orchestration.lineage import attempt_of, latest_record, made_by_parents
from brand_detect.orchestration.resources import Services
from brand_detect.orchestration.stage import dagster_errors
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.shards import SHARD_PREFIX
from brand_detect.storage.store import Store

ABANDONED_S = 86_400.0
"""A folder without a manifest, unmodified for this long, was left by a killed run."""
REFUSED = "check the store's permissions and credentials"
PRUNED = "pruned"
"""The metadata entry of an observation that names the removed attempts."""


@dataclass(frozen=True)
class JobPruning:
    """The removals of one job."""

    job_id: str
    removal: Removal = field(default_factory=Removal)
    abandoned: tuple[AttemptRef, ...] = ()
    left: str = ""
    """Why the job is skipped; "" if it is not."""
    failed: str = ""
    """Why files of it stay; "" if none does."""

    def __bool__(self) -> bool:
        return bool(self.removal or self.abandoned)

    def __str__(self) -> str:
        if self.left:
            return f"{self.job_id}: skipped, {self.left}"
        parts = (
            (self.removal.attempts, "attempt", ""),
            (self.removal.frames, "attempt", "pictures of "),
            (self.abandoned, "unfinished folder", ""),
        )
        what = ", ".join(f"{of}{counted(len(gone), noun)}" for gone, noun, of in parts if gone)
        done = f"{what}, {self.removal.size_bytes / 2**20:.1f} MiB" if self else ""
        failed = f"failed, {self.failed}" if self.failed else ""
        return f"{self.job_id}: {'; '.join(filter(None, (done, failed)))}"


def plan(
    instance: dg.DagsterInstance, store: Store, jobs: Sequence[str], retention: Retention, now_s: float
) -> Iterator[JobPruning]:
    """Plan the removals, job by job; jobs without any are left out."""
    for job_id in jobs:
        found = _plan_job(instance, store, job_id, retention, now_s)
        if found or found.left:
            yield found


def prune(
    instance: dg.DagsterInstance,
    store: Store,
    jobs: Sequence[str],
    retention: Retention,
    now_s: float,
    progress: Progress,
) -> Iterator[JobPruning]:
    """Carry out the removals, job by job. The remaining attempts always have their inputs, so a kill is harmless.

    A job whose files the store refuses to remove holds up no other: call ``check`` at the end.
    """
    for n, job_id in enumerate(jobs, 1):
        done = _carried_out(instance, store, _plan_job(instance, store, job_id, retention, now_s))
        progress(n, len(jobs), "jobs")
        if done or done.left or done.failed:
            yield done


def check(done: Iterable[JobPruning]) -> None:
    """
    Raises:
        Permanent: the store refused to remove files of a job.
    """
    failed = [job.failed for job in done if job.failed]
    if failed:
        raise Permanent(f"Old files of {len(failed)} of the jobs stay: {failed[0]}", REFUSED)


def _carried_out(instance: dg.DagsterInstance, store: Store, planned: JobPruning) -> JobPruning:
    """What was removed: all that is planned, or as much as the store does not refuse, for files of another user say.

    Dagster is told of the attempts once they have no manifest and are none any more, not before: their removal may be
    refused. After a kill in between, the folder is left as one of a killed run, and Dagster is told before that goes.
    """
    failures: list[str] = []

    def ref(attempt: Stored) -> AttemptRef:
        return AttemptRef(planned.job_id, attempt.stage, attempt.attempt)

    def is_done(remove: Callable[[AttemptRef], None], ref: AttemptRef) -> bool:
        try:
            remove(ref)
        except Permanent as e:
            failures.append(str(e))
            return False
        return True

    # the first that stays ends it, for what it was made from comes later and has to stay, too
    attempts = [*takewhile(lambda attempt: is_done(store.withdraw, ref(attempt)), planned.removal.attempts)]
    _tell(instance, planned.job_id, [*map(ref, attempts), *planned.abandoned])
    for attempt in attempts:
        is_done(store.remove, ref(attempt))
    frames = [attempt for attempt in planned.removal.frames if is_done(store.remove_frames, ref(attempt))]
    abandoned = [folder for folder in planned.abandoned if is_done(store.remove, folder)]
    removed = Removal(tuple(attempts), tuple(frames))
    return replace(planned, removal=removed, abandoned=tuple(abandoned), failed="".join(failures[:1]))


def _plan_job(
    instance: dg.DagsterInstance, store: Store, job_id: str, retention: Retention, now_s: float
) -> JobPruning:
    try:
        stored, abandoned = _found(store, job_id, retention, now_s)
        if not (abandoned or removal(stored, retention, now_s)):
            return JobPruning(job_id)  # asking Dagster could only spare more
        runs = [r.dagster_run for r in instance.get_run_records(dg.RunsFilter(tags={PARTITION: job_id}))]
        if any(run.status in IN_FLIGHT and run.status not in WAITING for run in runs):
            return JobPruning(job_id, left="a run of it is in progress")
        stored, abandoned = _found(store, job_id, retention, now_s)  # read again: a run may have ended in between
    except Permanent as e:  # its inputs are unknown: nothing of the job is safe to remove
        return JobPruning(job_id, left=str(e))
    to_come = [run for run in runs if run.status in WAITING or is_to_be_retried(run)]
    pinned = {(ref.stage, ref.attempt) for ref in store.pins(job_id)}
    for run in to_come:
        pinned |= {(key.removeprefix(PIN), value) for key, value in run.tags.items() if key.startswith(PIN)}
        pinned |= set(made_by_parents(instance, run, job_id).items())
    waits_for = {run.tags[RETRY_OF] for run in to_come if run.tags.get(RETRY_OF, LATEST) != LATEST}
    waits_for |= {run.run_id for run in to_come}
    latest = _latest(instance, job_id)
    return JobPruning(
        job_id, removal(stored, retention, now_s, latest=latest, pinned=pinned, runs=waits_for), abandoned
    )


def _found(
    store: Store, job_id: str, retention: Retention, now_s: float
) -> tuple[list[Stored], tuple[AttemptRef, ...]]:
    """The job's attempts, empty if there are too few to remove one, and the folders that killed runs left."""
    folders = [ref for stage in LINE for ref in store.folders(job_id, stage)]
    finished = [ref for ref in folders if store.exists(ref)]
    unfinished = [ref for ref in folders if ref not in finished]
    abandoned = tuple(ref for ref in unfinished if 0 < store.last_written_s(ref) < now_s - ABANDONED_S)
    most = max(Counter(ref.stage for ref in finished).values(), default=0)
    if most <= retention.keep and not (retention.frames_days or abandoned):
        return [], ()
    return [_stored(store, store.manifest(ref)) for ref in finished], abandoned


def _stored(store: Store, manifest: Manifest) -> Stored:
    ref = AttemptRef(manifest.job_id, manifest.stage, manifest.attempt)
    frames = store.frame_shards(ref) if manifest.stage == Stage.extract_frames else ()
    there = [f for f in manifest.files if f.name in frames or not f.name.startswith(SHARD_PREFIX)]
    return Stored(
        stage=manifest.stage,
        attempt=manifest.attempt,
        run_id=manifest.run_id,
        created_s=datetime.fromisoformat(manifest.created).timestamp(),
        upstream=manifest.upstream,
        continues=manifest.continues,
        data_version=manifest.data_version,
        failed=manifest.failed_check is not None,
        size_bytes=sum(f.size_bytes for f in there),
        frames_bytes=sum(f.size_bytes for f in there if f.name in frames),
    )


def _latest(instance: dg.DagsterInstance, job_id: str) -> set[tuple[str, str]]:
    """The latest attempt of each stage according to Dagster."""
    records = ((stage, latest_record(instance, stage, job_id)) for stage in LINE)
    return {(stage, name) for stage, record in records if record and (name := attempt_of(record))}


def _tell(instance: dg.DagsterInstance, job_id: str, removed: Iterable[AttemptRef]) -> None:
    """Report removed attempts as an observation of each stage, for clients, which do not see the store."""
    for stage in LINE:
        names = [ref.attempt for ref in removed if ref.stage == stage]
        if names:
            metadata = {PRUNED: dg.MetadataValue.json(names)}
            instance.report_runless_asset_event(dg.AssetObservation(stage, partition=job_id, metadata=metadata))


def retention_of(settings: Settings, limits: Mapping[str, float | None]) -> Retention:
    """The limits of ``settings``, overridden by those set in ``limits``.

    Raises:
        BadInput: a limit is out of range.
    """
    chosen = {name: value for name, value in limits.items() if value is not None}
    if not (chosen.get("keep", 1) >= 1 and all(0 <= value < math.inf for value in chosen.values())):
        raise BadInput(f"These limits are invalid: {chosen}.", "keep is at least 1, days are 0 or more")
    settled = Retention(settings.keep_attempts, settings.keep_days, settings.keep_frames_days)
    return replace(settled, **chosen)


class PruneConfig(dg.Config):
    """Limits for this run; unset ones come from the settings."""

    dry_run: bool = Field(True, description="only list what would be removed")
    keep: int | None = Field(None, description="keep this many newest attempts of each stage")
    days: float | None = Field(None, description="keep attempts younger than this many days")
    frames_days: float | None = Field(
        None, description="keep frames younger than this many days; 0 = as long as the attempt"
    )


@dg.op(name=PRUNE_STEP, out=dg.Out(dg.Nothing), required_resource_keys={"services"})
def prune_checkpoints(context: dg.OpExecutionContext, config: PruneConfig) -> None:
    """Removes old attempts that no newer one was made from; a dry run by default."""
    services: Services = context.resources.services
    alive = at_work(context.instance, context.run_id, services.settings)
    with dagster_errors(context.instance, context.run_id), alive:
        retention = retention_of(services.settings, config.model_dump(exclude={"dry_run"}))
        jobs, now_s = services.store.jobs(), time.time()
        if config.dry_run:
            found = plan(context.instance, services.store, jobs, retention, now_s)
        else:
            progress = services.progress(PRUNE, context.log)
            found = prune(context.instance, services.store, jobs, retention, now_s, progress)
        done = []
        for pruning in found:
            context.log.log(logging.ERROR if pruning.failed else logging.INFO, "%s", pruning)
            done.append(pruning)
        attempts = sum(len(job.removal.attempts) for job in done)
        size_bytes = sum(job.removal.size_bytes for job in done)
        context.add_output_metadata({"dry_run": config.dry_run, "attempts": attempts, "bytes": size_bytes})
        check(done)


@dg.job(name=PRUNE, description="Retention: removes old attempts of all jobs; a dry run by default.")
def prune_job() -> None:
    prune_checkpoints()


def nightly_prune(settings: Settings) -> dg.ScheduleDefinition:
    """The retention schedule; off unless the settings switch it on.

    Raises:
        BadInput: the settings' cron expression is invalid.
    """
    try:
        return dg.ScheduleDefinition(
            name="nightly_prune",
            job=prune_job,
            cron_schedule=settings.prune_cron,
            execution_timezone=settings.offpeak_timezone,
            run_config={"ops": {PRUNE_STEP: {"config": {"dry_run": False}}}},
            default_status=dg.DefaultScheduleStatus.RUNNING if settings.prune else dg.DefaultScheduleStatus.STOPPED,
            description="Removes old attempts, within BRAND_DETECT_KEEP_*.",
        )
    except dg.DagsterInvalidDefinitionError as e:
        raise BadInput(
            f"BRAND_DETECT_PRUNE_CRON: {settings.prune_cron!r} is not a cron expression.", "for example: 30 3 * * *"
        ) from e
