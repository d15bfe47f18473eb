"""Deletes a whole job: partition, runs, events and files. The next try completes an interrupted deletion."""

from dataclasses import dataclass

import dagster as dg
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import check_job_id
from brand_detect.domain.pipeline import LINE, ROOT
from brand_detect.domain.tags import PARTITION
from brand_detect.domain.words import counted
from brand_detect.operations.monitoring.liveness import IN_FLIGHT
from brand_detect.orchestration.partitions import JOBS
from brand_detect.storage.proposals import Proposals
from brand_detect.storage.store import Store


@dataclass(frozen=True)
class Belongings:
    """Everything that belongs to a job."""

    job_id: str
    attempts: int
    size_bytes: int
    runs: tuple[str, ...]
    pins: int

    def __str__(self) -> str:
        return (
            f"{self.job_id}: {counted(self.attempts, 'checkpoint')} of {self.size_bytes / 2**20:.1f} MiB, "
            f"{self.pins} of them pinned, and {counted(len(self.runs), 'run')} with logs"
        )


def belongings(instance: dg.DagsterInstance, store: Store, job_id: str) -> Belongings:
    """List what a deletion would remove.

    Raises:
        BadInput: the job does not exist, or a run of it has not ended.
    """
    found = [ref for stage in LINE for ref in store.folders(check_job_id(job_id), stage)]
    runs = [r.dagster_run for r in instance.get_run_records(dg.RunsFilter(tags={PARTITION: job_id}))]
    if not (found or runs or job_id in store.jobs() or instance.has_dynamic_partition(str(JOBS.name), job_id)):
        raise BadInput(f"There is no job {job_id}.", "brand-detect submit VIDEO")
    working = [run.run_id for run in runs if run.status in IN_FLIGHT]
    if working:
        raise BadInput(
            f"{job_id} has {counted(len(working), 'run')} queued or running.",
            f"brand-detect cancel {working[0]}, then try again",
        )
    return Belongings(
        job_id=job_id,
        attempts=len(found),
        size_bytes=store.stored_bytes(job_id),
        runs=tuple(run.run_id for run in runs),
        pins=len(store.pins(job_id)),
    )


def delete(instance: dg.DagsterInstance, store: Store, found: Belongings) -> None:
    """Delete all of it for good, except the video, snapshots of the brand list, and decisions about proposals.

    The partition goes first, since without it no run can be launched. After a kill, the remaining files or runs still
    show the job to the next try. One event stays and has the highest id: SQLite would otherwise reuse the ids of
    deleted events, and sensors that read on from an id would miss the new events.
    """
    instance.report_runless_asset_event(dg.AssetObservation(ROOT, description="A job was deleted."))
    instance.delete_dynamic_partition(str(JOBS.name), found.job_id)
    for run_id in found.runs:
        instance.delete_run(run_id)
    _delete_runless_events(instance, found.job_id)
    Proposals(store.blobs).remove_job(found.job_id)
    store.remove_job(found.job_id)


def _delete_runless_events(instance: dg.DagsterInstance, job_id: str) -> None:
    """Delete events that belong to no run, from rebuilds and retention; Dagster has no call for this."""
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)  # SQLite and PostgreSQL both qualify
    table = SqlEventLogStorageTable
    keys = [dg.AssetKey(stage).to_string() for stage in LINE]
    mine = (table.c.run_id == RUNLESS_RUN_ID) & (table.c.partition == job_id) & table.c.asset_key.in_(keys)
    # SQLite has one database per run and one across runs; others have a single one
    for connecting in (storage.index_connection(), storage.run_connection(RUNLESS_RUN_ID)):
        with connecting as connection:
            ids = [row[0] for row in connection.execute(table.select().with_only_columns(table.c.id).where(mine))]
            connection.execute(AssetEventTagsTable.delete().where(AssetEventTagsTable.c.event_id.in_(ids)))
            connection.execute(table.delete().where(mine))
