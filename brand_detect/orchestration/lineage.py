"""Resolves which attempts a step reads: all of its ancestors together, never one by one.

In order: (1) what this run has made; (2) in a re-execution from failure, what its parent run made; (3) pins, given as
run tags ``brand_detect/pin.<stage>``; (4) for the nearest upstream stage only, its latest attempt. Every further
ancestor is the one that the nearest attempt's manifest names.

A *retry* (run tag ``brand_detect/retry_of``) continues from an attempt of ``escalate_cloud``: its first stage reads the
inputs that this attempt's manifest names, and takes over its verdicts and answers.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.pipeline import CATALOG, ESCALATIONS, LINE, ROOT, Stage, upstream_of
from brand_detect.domain.tags import LATEST, PIN, RESUMES, RETRY_OF
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store

ATTEMPT = "attempt"
"""The metadata entry of a materialization that names its attempt (for the catalogue: its version)."""


@dataclass(frozen=True)
class Lineage:
    """The attempt of every ancestor by stage (for ``brand_catalog`` its version)."""

    attempts: Mapping[str, str]
    continues: str = ""
    """In a retry: the attempt of ``escalate_cloud`` whose verdicts and answers are taken over."""


def resolve(instance: dg.DagsterInstance, store: Store, run: dg.DagsterRun, job_id: str, stage: str) -> Lineage:
    """Resolve the lineage that ``stage`` of ``job_id`` reads in ``run``.

    Raises:
        Permanent: an ancestor is missing, its files are gone, its check failed, or two lineages would be mixed.
        BadInput: a pin names no stage or no attempt.
    """
    if stage == ROOT:
        return Lineage({})
    above = upstream_of(stage)
    named = _pins(run) | made_by_parents(instance, run, job_id) | made_by(instance, run.run_id, job_id)
    nearest = above[-1]
    continues = ""
    if RETRY_OF in run.tags and stage in ESCALATIONS and nearest not in named:
        continues = _escalated(instance, store, job_id, run.tags[RETRY_OF])
        named[nearest] = store.manifest(AttemptRef(job_id, Stage.escalate_cloud, continues)).upstream[nearest]
    attempt = named.get(nearest) or latest(instance, nearest, job_id)
    if attempt is None:
        raise Permanent(
            f"{job_id} has no checkpoint of {nearest}, which {stage} reads.", f"materialize {nearest} of {job_id} first"
        )
    manifest = store.manifest(AttemptRef(job_id, nearest, attempt))
    attempts = {**manifest.upstream, nearest: attempt}
    for other in above:
        if other in named and named[other] != attempts[other]:
            raise Permanent(
                f"{nearest} {attempt} was made from {other} {attempts[other]}, but this run reads {named[other]}: "
                "two lineages would be mixed.",
                f"replay from the stage below {other}, or pin attempts of one lineage",
            )
    failed = manifest.failed_check
    if failed and _pins(run).get(nearest) != attempt:
        raise Permanent(
            f"{nearest} {attempt} failed its check {failed.name}: {failed.detail}",
            f"fix the cause and re-materialize {nearest}, or pin this attempt: {PIN}{nearest}={attempt}",
        )
    if CATALOG not in attempts and stage == Stage.match_brands:
        version = named.get(CATALOG) or latest(instance, CATALOG, None)
        if version is None:
            raise Permanent("There is no snapshot of the brand catalogue.", "materialize brand_catalog first")
        attempts[CATALOG] = version
    return Lineage(attempts, continues)


def _escalated(instance: dg.DagsterInstance, store: Store, job_id: str, run_id: str) -> str:
    """The attempt of ``escalate_cloud`` that a retry of ``run_id`` (or of the latest) continues from."""
    cloud = Stage.escalate_cloud
    if run_id == LATEST:
        attempt = latest(instance, cloud, job_id)
    else:  # the store also has attempts of runs that were deleted in Dagster
        stored = (m.attempt for m in store.attempts(job_id, cloud)[::-1] if m.run_id == run_id)
        attempt = made_by(instance, run_id, job_id).get(cloud) or next(stored, None)
    if attempt is None:
        which = "" if run_id == LATEST else f" made by run {run_id}"
        raise Permanent(
            f"{job_id} has no checkpoint of {cloud}{which} for a retry to continue.",
            "replay from match_brands first",
        )
    return attempt


def latest(instance: dg.DagsterInstance, asset: str, job_id: str | None) -> str | None:
    """The attempt of the latest materialization of ``asset`` for ``job_id``, None if there is none.

    Raises:
        Permanent: the latest was reported by hand.
    """
    record = latest_record(instance, asset, job_id)
    attempt = attempt_of(record) if record else None
    if record and attempt is None:
        raise Permanent(
            f"The latest materialization of {asset} was reported by hand: it has no checkpoint.",
            f"materialize {asset} itself, or pin an attempt by the run tag {PIN}{asset}",
        )
    return attempt


def latest_record(instance: dg.DagsterInstance, asset: str, job_id: str | None) -> dg.EventLogRecord | None:
    """The latest materialization of ``asset`` for ``job_id`` (None: unpartitioned)."""
    return next(iter(instance.fetch_materializations(_of(asset, job_id), limit=1).records), None)


def _of(asset: str, job_id: str | None) -> dg.AssetRecordsFilter:
    partitions = None if job_id is None else [job_id]
    return dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=partitions)


def attempt_of(record: dg.EventLogRecord) -> str | None:
    """The attempt that a materialization event names; None if the event was reported by hand."""
    event = record.asset_materialization
    entry = event.metadata.get(ATTEMPT) if event else None
    return str(entry.value) if entry else None


def input_tags(
    instance: dg.DagsterInstance, store: Store, job_id: str, lineage: Lineage, inputs: Iterable[str]
) -> dict[str, str]:
    """Event tags that name the attempts read, for inputs that are not the latest.

    Dagster assumes the latest of each input and would show a branch from an older attempt as up to date.
    """
    tags = {}
    for name in inputs:
        partition = None if name == CATALOG else job_id
        attempt = lineage.attempts[name]
        newest = latest_record(instance, name, partition)
        if newest is None or attempt_of(newest) != attempt:
            ref = AttemptRef(job_id, name, attempt)
            version = attempt if name == CATALOG else store.manifest(ref).data_version
            tags |= provenance_tags(instance, name, partition, attempt, version)
    return tags


def provenance_tags(
    instance: dg.DagsterInstance, asset: str, job_id: str | None, attempt: str, version: str
) -> dict[str, str]:
    """Event tags that record that ``attempt`` of ``asset``, with that data version, was read.

    A partitioned input's data version is the hash of its partitions' versions, here of one.
    """
    hashed = version if job_id is None else hashlib.sha256(version.encode()).hexdigest()
    tags = {f"dagster/input_data_version/{asset}": hashed}
    record = record_of(instance, asset, job_id, attempt)
    return tags | ({f"dagster/input_event_pointer/{asset}": str(record.storage_id)} if record else {})


def made_by(instance: dg.DagsterInstance, run_id: str, job_id: str) -> dict[str, str]:
    """The attempts that a run made, by stage; the last one if an op was retried."""
    made = {}
    for record in _materializations(instance, run_id):
        event = record.asset_materialization
        attempt = attempt_of(record)
        if event and attempt and event.partition in (None, job_id):
            made[event.asset_key.path[-1]] = attempt
    return made


def record_of(instance: dg.DagsterInstance, asset: str, job_id: str | None, attempt: str) -> dg.EventLogRecord | None:
    """The materialization that made ``attempt``, None if its event was deleted.

    The run's own log does not help: its storage ids differ from the instance's.
    """
    return next((r for r in materializations(instance, asset, job_id) if attempt_of(r) == attempt), None)


def materializations(instance: dg.DagsterInstance, asset: str, job_id: str | None) -> Iterator[dg.EventLogRecord]:
    """All materializations of ``asset`` for ``job_id`` (None: unpartitioned), newest first."""
    return _pages(instance.fetch_materializations, _of(asset, job_id))


def observations(instance: dg.DagsterInstance, asset: str, job_id: str) -> Iterator[dg.EventLogRecord]:
    """All observations of ``asset`` for ``job_id``, newest first."""
    return _pages(instance.fetch_observations, _of(asset, job_id))


def _pages(fetch: Callable[..., dg.EventRecordsResult], wanted: dg.AssetRecordsFilter) -> Iterator[dg.EventLogRecord]:
    cursor, more = None, True
    while more:
        page = fetch(wanted, limit=100, cursor=cursor)
        yield from page.records
        cursor, more = page.cursor, page.has_more


def _materializations(instance: dg.DagsterInstance, run_id: str) -> list[dg.EventLogRecord]:
    return list(instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records)


def made_by_parents(instance: dg.DagsterInstance, run: dg.DagsterRun, job_id: str) -> dict[str, str]:
    """Attempts made by the chain of failed runs that ``run`` continues; the nearest parent wins."""
    made: dict[str, str] = {}
    for parent in _resumed(instance, run):
        made = made_by(instance, parent.run_id, job_id) | made
    return made


def first_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The id of the first in the chain of failed runs that ``run`` continues; its own if it continues none."""
    return [run, *_resumed(instance, run)][-1].run_id


def begun(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """When ``first_run`` started, or was created if it died before, UTC in ISO 8601, to the second."""
    record = instance.get_run_record_by_id(first_run(instance, run))
    assert record is not None
    begun_s = record.start_time or record.create_timestamp.timestamp()
    return datetime.fromtimestamp(begun_s, UTC).isoformat(timespec="seconds")


def _resumed(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[dg.DagsterRun]:
    """The chain of failed runs that ``run`` continues, nearest first, as far as they were not deleted."""
    current: dg.DagsterRun | None = run
    while current and current.parent_run_id and any(current.tags.get(tag) == "true" for tag in RESUMES):
        current = instance.get_run_by_id(current.parent_run_id)
        if current:
            yield current


def _pins(run: dg.DagsterRun) -> dict[str, str]:
    pins = {key.removeprefix(PIN): value for key, value in run.tags.items() if key.startswith(PIN)}
    for name, attempt in pins.items():
        if name not in (*LINE, CATALOG):
            raise BadInput(
                f"The run tag {PIN}{name} does not name a stage.", f"pin one of {', '.join((*LINE, CATALOG))}"
            )
        if "/" in attempt:
            raise BadInput(
                f"The run tag {PIN}{name} does not name an attempt: {attempt}.",
                f"give the name of one of {name}'s attempts",
            )
    return pins
