"""The I/O manager: stores payloads as immutable attempts and loads them, with lineage, data versions and metadata."""

import gc
from collections import OrderedDict
from functools import cache

import dagster as dg

from brand_detect.catalog import catalog_from_json
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.errors import BrandDetectError
from brand_detect.domain.pipeline import CATALOG, Stage
from brand_detect.domain.tags import OFFPEAK
from brand_detect.orchestration.events import catalog_metadata, checkpoint_metadata
from brand_detect.orchestration.lineage import Lineage, attempt_of, latest_record, resolve
from brand_detect.orchestration.resources import Services
from brand_detect.orchestration.stage import AttemptDraft, dagster_errors
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.codec import Value
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.proposals import Proposals

_REMEMBERED = 64  # steps whose lineage is cached, in a process that serves many runs


def keep_connections(instance: dg.DagsterInstance) -> None:
    """Let a run's process keep its PostgreSQL connections, as the webserver does; on SQLite nothing changes.

    Run workers otherwise open one for every query, some 450 in a run of nine steps.
    """
    instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3600, max_overflow=20)


@cache
def freeze_modules() -> None:
    """Keep the garbage collector, once per process, from tracing what is loaded by now: Dagster's modules above all.

    Tracing them takes a third of ``match_brands``'s time in a 90-minute job (1.4 instead of 0.95 s of CPU).
    """
    gc.freeze()


class CheckpointIOManager(dg.IOManager):
    """Stores payloads, and resolves all inputs of a step together, once."""

    def __init__(self, services: Services, instance: dg.DagsterInstance) -> None:
        self._store = services.store
        self._service_url = services.settings.service_url
        self._instance = instance
        self._lineages: OrderedDict[tuple[str, str, str], Lineage] = OrderedDict()

    def lineage(self, run: dg.DagsterRun, job_id: str, stage: str) -> Lineage:
        """The lineage of a step, resolved once: further calls return the same."""
        key = (run.run_id, job_id, stage)
        if key not in self._lineages:
            self._lineages[key] = resolve(self._instance, self._store, run, job_id, stage)
            while len(self._lineages) > _REMEMBERED:
                self._lineages.popitem(last=False)
        return self._lineages[key]

    def load_input(self, context: dg.InputContext) -> Value | BrandCatalog:
        """The upstream payload, from the attempt in the step's lineage."""
        step = context.step_context
        with dagster_errors(self._instance, step.run_id):
            upstream = context.asset_key.path[-1]
            version = self.lineage(step.dagster_run, step.partition_key, step.op_def.name).attempts[upstream]
            if upstream == CATALOG:
                return catalog_from_json(self._store.snapshots.read(version), version)
            return self._store.load(AttemptRef(step.partition_key, upstream, version))

    def handle_output(self, context: dg.OutputContext, obj: AttemptDraft | BrandCatalog) -> None:
        """Write the files, then the manifest, then the metadata that people and the lineage read."""
        step = context.step_context
        with dagster_errors(self._instance, step.run_id):
            if isinstance(obj, BrandCatalog):
                version, metadata = obj.version, catalog_metadata(self._store, obj)
            else:
                manifest = self._commit(context, obj)
                if not manifest.failed_check:
                    self._propose(context, obj)
                previous = self._previous(context, obj.writer.ref)
                metadata = checkpoint_metadata(
                    self._store, manifest, obj.picture, obj.value, previous, self._service_url
                )
                version = manifest.data_version
        step.set_data_version(context.asset_key, dg.DataVersion(version))
        # added to the materialization only: Dagster stores metadata of the output in a second event too
        step.add_asset_metadata(metadata, context.asset_key)

    def _commit(self, context: dg.OutputContext, draft: AttemptDraft) -> Manifest:
        job_id = draft.writer.ref.job_id
        attempts, continues = draft.lineage.attempts, draft.lineage.continues
        read = {name: attempts[name] for name in draft.inputs if name != CATALOG}
        if continues:
            read[Stage.escalate_cloud] = continues
        with draft.writer.discard_on_error():
            return draft.writer.commit(
                draft.value,
                run_id=context.run_id,
                code_version=draft.code_version,
                params=draft.params,
                overrides=draft.overrides,
                engines=draft.engines,
                upstream=attempts,
                input_versions={
                    **{n: self._store.manifest(AttemptRef(job_id, n, a)).data_version for n, a in read.items()},
                    **({CATALOG: attempts[CATALOG]} if CATALOG in attempts else {}),
                    **draft.sources,
                },
                stage_s=draft.stage_s,
                checks=draft.checks,
                continues=continues,
                offpeak=context.step_context.dagster_run.tags.get(OFFPEAK, ""),
            )

    def _propose(self, context: dg.OutputContext, draft: AttemptDraft) -> None:
        """Store what the report proposes for the catalogue.

        The report is committed by now, so a fault does not fail the step: the next report of the job proposes the same
        again, as it does after a kill at this point.
        """
        proposals = Proposals(self._store.blobs)
        try:
            for proposal in draft.proposals:
                proposals.add(proposal)
        except BrandDetectError as e:
            context.log.warning("proposals for the catalogue were not stored; the next report stores them: %s", e)

    def _previous(self, context: dg.OutputContext, ref: AttemptRef) -> Manifest | None:
        """The previous attempt, if there is a readable one.

        The new attempt is committed by now, so a fault does not fail the step: trying again would repeat the stage.
        """
        record = latest_record(self._instance, ref.stage, ref.job_id)
        name = attempt_of(record) if record else None
        before = AttemptRef(ref.job_id, ref.stage, name) if name else None
        try:
            return self._store.manifest(before) if before and self._store.exists(before) else None
        except BrandDetectError as e:
            context.log.warning("cannot compare with the previous attempt: %s", e)
            return None
