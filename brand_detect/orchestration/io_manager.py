"""The IO manager: payloads to immutable attempts and back, with lineage, data versions and metadata."""

import base64
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import dagster as dg

from brand_detect.catalog import catalog_from_json, catalog_to_json
from brand_detect.domain.history import ESCALATIONS
from brand_detect.domain.model import BrandCatalog, Report
from brand_detect.domain.pipeline import CATALOG
from brand_detect.domain.tags import OFFPEAK
from brand_detect.orchestration.lineage import ATTEMPT, Lineage, attempt_of, latest_record, resolve
from brand_detect.orchestration.resources import Services
from brand_detect.orchestration.stage import Draft, dagster_errors
from brand_detect.report.exports import in_short
from brand_detect.storage.codec import Value
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.store import AttemptRef

_REMEMBERED = 64  # steps whose lineage is kept at hand, in a process that serves many runs


def keep_connections(instance: dg.DagsterInstance) -> None:
    """Let a run's process keep its PostgreSQL connections, as the webserver does; on SQLite nothing changes.

    Run workers otherwise open one for every query, some 450 in a run of nine steps.
    """
    instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3600, max_overflow=20)


class CheckpointIOManager(dg.IOManager):
    """Stores what the stages hand on. Resolves a step's inputs once, together."""

    def __init__(self, services: Services, instance: dg.DagsterInstance) -> None:
        self._store = services.store
        self._instance = instance
        self._lineages: OrderedDict[tuple[str, str, str], Lineage] = OrderedDict()

    def lineage(self, run: dg.DagsterRun, job_id: str, stage: str) -> Lineage:
        """The lineage of a step; asked again for the same step, the answer is the same."""
        key = (run.run_id, job_id, stage)
        if key not in self._lineages:
            self._lineages[key] = resolve(self._instance, self._store, run, job_id, stage)
            while len(self._lineages) > _REMEMBERED:
                self._lineages.popitem(last=False)
        return self._lineages[key]

    def load_input(self, context: dg.InputContext) -> Value | BrandCatalog:
        """The upstream's payload, of the attempt that the step's lineage names."""
        step = context.step_context
        with dagster_errors(self._instance, step.run_id):
            upstream = context.asset_key.path[-1]
            version = self.lineage(step.dagster_run, step.partition_key, step.op_def.name).attempts[upstream]
            if upstream == CATALOG:
                return catalog_from_json(self._store.get_catalog(version))
            return self._store.load(AttemptRef(step.partition_key, upstream, version))

    def handle_output(self, context: dg.OutputContext, obj: Draft | BrandCatalog) -> None:
        """Files first, manifest last; then the metadata that people and the lineage read."""
        step = context.step_context
        with dagster_errors(self._instance, step.run_id):
            if isinstance(obj, BrandCatalog):
                uri = self._store.put_catalog(obj.version, catalog_to_json(obj))
                metadata: dict[str, Any] = {ATTEMPT: obj.version, "uri": uri, "brands": len(obj.brands)}
                version = obj.version
            else:
                manifest = self._commit(context, obj)
                metadata = self._metadata(obj, manifest, step.dagster_run.tags)
                version = manifest.data_version
        step.set_data_version(context.asset_key, dg.DataVersion(version))
        context.add_output_metadata(metadata)

    def _commit(self, context: dg.OutputContext, draft: Draft) -> Manifest:
        job_id = draft.writer.ref.job_id
        attempts, continues = draft.lineage.attempts, draft.lineage.continues
        read = {name: attempts[name] for name in draft.inputs if name != CATALOG}
        if continues:
            read[ESCALATIONS[-1]] = continues
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
        )

    def _metadata(self, draft: Draft, manifest: Manifest, tags: Mapping[str, str]) -> dict[str, Any]:
        ref = draft.writer.ref
        metadata: dict[str, Any] = {ATTEMPT: ref.attempt}
        if draft.picture is not None:
            data = base64.b64encode(draft.picture).decode()
            metadata["picture"] = dg.MetadataValue.md(f"![{ref.stage}](data:image/jpeg;base64,{data})")
        if manifest.notes:
            metadata["notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in manifest.notes))
        metadata |= {
            "uri": self._store.uri(ref),
            **manifest.counts,
            **manifest.stats,
            "stage_s": round(manifest.stage_s, 3),
            "stored_bytes": sum(f.size_bytes for f in manifest.files),
            "params": dg.MetadataValue.json(manifest.params),
            "overrides": dg.MetadataValue.json(manifest.overrides),
            "engines": dg.MetadataValue.json(manifest.engines),
            "upstream": dg.MetadataValue.json(manifest.upstream),
            "input_versions": dg.MetadataValue.json(manifest.input_versions),
            "code_version": manifest.code_version,
            "data_version": manifest.data_version,
            "recipe": manifest.recipe,
        }
        if OFFPEAK in tags:
            metadata["offpeak"] = tags[OFFPEAK]
        if isinstance(draft.value, Report):
            metadata["report"] = dg.MetadataValue.json(in_short(draft.value))
        if manifest.failed_check:
            metadata["failed_check"] = f"{manifest.failed_check.name}: {manifest.failed_check.detail}"
        if manifest.warned_checks:
            metadata["warned_checks"] = "; ".join(f"{c.name}: {c.detail}" for c in manifest.warned_checks)
        if manifest.continues:
            metadata["continues"] = manifest.continues
        previous = latest_record(self._instance, ref.stage, ref.job_id)
        if previous and (name := attempt_of(previous)):
            before = AttemptRef(ref.job_id, ref.stage, name)
            metadata["previous_attempt"] = before.attempt
            if self._store.exists(before):
                metadata["previous_overrides"] = dg.MetadataValue.json(self._store.manifest(before).overrides)
        return metadata
