"""Rebuilds Dagster's history of all jobs, partitions and materializations, from the store alone.

The events belong to no run: the original run, its params and its time are in the metadata, as usual. Events that exist
are left alone, so that the next rebuild finishes an interrupted one. Only the newest attempt of a stage is reported
again if an older one was reported after it, because Dagster takes the last event for the latest.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

import dagster as dg

from brand_detect.catalog import catalog_from_json
from brand_detect.domain.errors import Permanent
from brand_detect.domain.pipeline import CATALOG, LINE
from brand_detect.domain.protocols import Progress
from brand_detect.orchestration.events import (
    PICTURE,
    SHOWN_STAGES,
    catalog_event,
    check_metadata,
    checkpoint_metadata,
)
from brand_detect.orchestration.lineage import attempt_of, latest_record, materializations, provenance_tags
from brand_detect.orchestration.partitions import JOBS
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.store import Store


@dataclass
class Rebuilt:
    """The result of a rebuild."""

    jobs: int = 0
    events: int = 0
    known: int = 0
    """Checkpoints that Dagster already had."""
    damaged: list[str] = field(default_factory=list)
    """Unreadable checkpoints, each with the reason."""


def rebuild(
    instance: dg.DagsterInstance,
    store: Store,
    inputs: Mapping[str, tuple[str, ...]],
    progress: Progress,
    service_url: str = "",
) -> Rebuilt:
    """Report every checkpoint of the store that ``instance`` lacks.

    Args:
        inputs: the upstream assets of each stage.
        service_url: public address of the HTTP service, if any.
    """
    done = Rebuilt()

    def report(manifest: Manifest, previous: Manifest | None) -> None:
        _report(instance, store, manifest, previous, inputs[manifest.stage], service_url, done)

    _rebuild_catalog(instance, store, done)
    present = set(instance.get_dynamic_partitions(str(JOBS.name)))
    made = {stage: instance.get_materialized_partitions(dg.AssetKey(stage)) for stage in LINE}
    jobs = store.jobs()
    for n, job_id in enumerate(jobs, 1):
        known = {(stage, name) for stage in LINE if job_id in made[stage] for name in _known(instance, stage, job_id)}
        manifests = sorted(_manifests(store, job_id, done), key=lambda m: (m.created, LINE.index(m.stage)))
        if manifests and job_id not in present:
            instance.add_dynamic_partitions(str(JOBS.name), [job_id])
        newest: dict[str, Manifest] = {}
        before: dict[str, Manifest | None] = {}
        for manifest in manifests:
            before[manifest.stage] = newest.get(manifest.stage)
            newest[manifest.stage] = manifest
            if (manifest.stage, manifest.attempt) in known:
                done.known += 1
            else:
                report(manifest, before[manifest.stage])
        for stage, manifest in newest.items():
            listed = {m.attempt for m in manifests if m.stage == stage}
            if (stage, manifest.attempt) in known and _is_behind(instance, store, manifest, listed):
                report(manifest, before[stage])
        done.jobs += bool(manifests)
        progress(n, len(jobs), "jobs")
    return done


def _rebuild_catalog(instance: dg.DagsterInstance, store: Store, done: Rebuilt) -> None:
    known = list(_known(instance, CATALOG, None))
    missing = [version for version in store.snapshots.versions() if version not in known]
    done.known += len(set(known))
    for version in [*missing, *(known[:1] if missing else ())]:  # report the latest last, so that it stays the latest
        try:
            event = catalog_event(store, catalog_from_json(store.snapshots.read(version), version))
        except Permanent as e:
            done.damaged.append(f"{CATALOG}/{version}: {e}")
            continue
        instance.report_runless_asset_event(event)
        done.events += 1


def _known(instance: dg.DagsterInstance, asset: str, job_id: str | None) -> Iterator[str]:
    return (name for record in materializations(instance, asset, job_id) if (name := attempt_of(record)))


def _is_behind(instance: dg.DagsterInstance, store: Store, manifest: Manifest, listed: Set[str]) -> bool:
    """Whether Dagster takes an attempt other than this one for the latest: an older one, or one that cannot be read.

    An attempt that can be read and is not ``listed`` was made by a run since then, and is the latest.
    """
    record = latest_record(instance, manifest.stage, manifest.job_id)
    attempt = attempt_of(record) if record else None
    if attempt in (None, manifest.attempt):
        return False
    return attempt in listed or not _is_readable(store, AttemptRef(manifest.job_id, manifest.stage, attempt))


def _is_readable(store: Store, ref: AttemptRef) -> bool:
    try:
        store.manifest(ref)
    except Permanent:  # what is damaged was named when the job was listed
        return False
    return True


def _manifests(store: Store, job_id: str, done: Rebuilt) -> Iterator[Manifest]:
    for stage in LINE:
        for ref in store.folders(job_id, stage):
            try:
                if store.exists(ref):
                    yield store.manifest(ref)
            except Permanent as e:
                done.damaged.append(str(e))


def _report(
    instance: dg.DagsterInstance,
    store: Store,
    manifest: Manifest,
    previous: Manifest | None,
    inputs: tuple[str, ...],
    service_url: str,
    done: Rebuilt,
) -> None:
    ref = AttemptRef(manifest.job_id, manifest.stage, manifest.attempt)
    try:
        picture = store.read(ref, PICTURE) if any(f.name == PICTURE for f in manifest.files) else None
        value = store.load(ref) if manifest.stage in SHOWN_STAGES else None
    except Permanent as e:
        done.damaged.append(str(e))
        return
    event = dg.AssetMaterialization(
        asset_key=ref.stage,
        partition=ref.job_id,
        metadata=checkpoint_metadata(store, manifest, picture, value, previous, service_url) | {"rebuilt": True},
        tags={
            "dagster/data_version": manifest.data_version,
            "dagster/data_version_is_user_provided": "true",
            "dagster/code_version": manifest.code_version,
            **_read(instance, manifest, inputs),
        },
    )
    instance.report_runless_asset_event(event)
    for check in manifest.checks:
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(ref.stage),
                check_name=check.name,
                passed=check.passed,
                description=check.detail or None,
                metadata=check_metadata(check, ref.job_id),
                severity=dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN,
                blocking=check.blocking,
            )
        )
    done.events += 1


def _read(instance: dg.DagsterInstance, manifest: Manifest, inputs: tuple[str, ...]) -> dict[str, str]:
    """Event tags that name the events that the attempt's stage read."""
    tags = {}
    for name in inputs:
        if name not in manifest.input_versions:  # an older version of the stage did not read it
            continue
        partition = None if name == CATALOG else manifest.job_id
        version = manifest.input_versions[name]
        tags |= provenance_tags(instance, name, partition, manifest.upstream[name], version)
    return tags
