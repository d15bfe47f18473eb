"""Metadata of materializations: the same when a checkpoint is made and when it is rebuilt from the store."""

import base64
from collections.abc import Mapping
from typing import Any

import dagster as dg

from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts import CONTRACTS
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.pipeline import CATALOG
from brand_detect.orchestration.lineage import ATTEMPT
from brand_detect.report.excerpts import EXCERPTS, excerpts
from brand_detect.report.exports import in_short
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.codec import Value
from brand_detect.storage.manifest import CheckOutcome, Manifest
from brand_detect.storage.store import Store

PICTURE, FULL_PICTURE, PAGE = "picture.jpg", "picture_full.jpg", "report.html"
"""Files of an attempt for people: the stage's picture, small and full size, and the report's page."""
PAGE_URL = "page_url"
"""The metadata that links to the page of the job's newest report."""

SHOWN_STAGES = frozenset(stage for stage, contract in CONTRACTS.items() if contract.payload in EXCERPTS)
"""Stages whose metadata needs the payload; the others are not read for it."""


def table_schemas(stage: str) -> dict[str, dg.MetadataValue]:
    """The columns of ``stage``'s payload, by table."""
    return {
        f"columns of {name}": dg.MetadataValue.table_schema(
            dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in schema])
        )
        for name, schema in CONTRACTS[stage].payload.schemas.items()
    }


def is_off(params: Mapping[str, Any]) -> bool:
    """Whether ``params`` switch an escalation off: then it passes on its input, whose picture is already there."""
    return params.get("provider") == "off"


def check_metadata(outcome: CheckOutcome, job_id: str) -> Mapping[str, dg.MetadataValue]:
    """The figures that a check inspected, and the job: Dagster has partitioned checks only in preview."""
    return {"job": dg.MetadataValue.text(job_id)} | {
        name: dg.MetadataValue.float(figure) for name, figure in outcome.figures.items()
    }


def inline(name: str, picture: bytes) -> dg.MetadataValue:
    """A small JPEG, inlined for Dagster's UI."""
    return dg.MetadataValue.md(f"![{name}](data:image/jpeg;base64,{base64.b64encode(picture).decode()})")


def catalog_metadata(store: Store, catalog: BrandCatalog) -> dict[str, Any]:
    """Metadata of a snapshot of the brand list."""
    return {
        ATTEMPT: catalog.version,
        "uri": store.snapshots.uri(catalog.version),
        "brands": len(catalog.brands),
        "exemplars": catalog.n_exemplars,
    }


def catalog_event(store: Store, catalog: BrandCatalog) -> dg.AssetMaterialization:
    """The materialization, outside any run, of a snapshot of the brand list."""
    tags = {"dagster/data_version": catalog.version, "dagster/data_version_is_user_provided": "true"}
    return dg.AssetMaterialization(CATALOG, metadata=catalog_metadata(store, catalog), tags=tags)


def checkpoint_metadata(
    store: Store,
    manifest: Manifest,
    picture: bytes | None,
    value: Value | None,
    previous: Manifest | None,
    service_url: str,
) -> dict[str, Any]:
    """Metadata of an attempt, from its manifest and payload; ``previous`` is the stage's attempt before it.

    ``value`` may be None for stages outside ``SHOWN_STAGES``; ``service_url`` is the HTTP service's address, if any.
    """
    folder = store.uri(AttemptRef(manifest.job_id, manifest.stage, manifest.attempt))
    there = {file.name for file in manifest.files}
    metadata: dict[str, Any] = {ATTEMPT: manifest.attempt}
    if picture is not None:
        metadata["picture"] = inline(manifest.stage, picture)
    for name, file in (("picture_full", FULL_PICTURE), ("page", PAGE)):
        if file in there:
            metadata[name] = dg.MetadataValue.path(f"{folder}/{file}")
    if PAGE in there and service_url and not manifest.failed_check:  # the service shows sound reports alone
        metadata[PAGE_URL] = dg.MetadataValue.url(f"{service_url}/reports/{manifest.job_id}")
    for name, rows in ({} if is_off(manifest.params) else excerpts(value)).items():
        metadata[name] = dg.MetadataValue.table([dg.TableRecord(row) for row in rows])
    if manifest.notes:
        metadata["notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in manifest.notes))
    metadata |= {
        "uri": folder,
        **manifest.counts,
        **manifest.stats,
        "stage_s": round(manifest.stage_s, 3),
        "stored_bytes": sum(f.size_bytes for f in manifest.files),
        "run_id": manifest.run_id,
        "created": manifest.created,
        "params": dg.MetadataValue.json(manifest.params),
        "upstream": dg.MetadataValue.json(manifest.upstream),
        "input_versions": dg.MetadataValue.json(manifest.input_versions),
        "code_version": manifest.code_version,
        "data_version": manifest.data_version,
        "recipe": manifest.recipe,
    }
    if manifest.overrides:
        metadata["overrides"] = dg.MetadataValue.json(manifest.overrides)
    if manifest.engines:
        metadata["engines"] = dg.MetadataValue.json(manifest.engines)
    if manifest.offpeak:
        metadata["offpeak"] = manifest.offpeak
    if isinstance(value, Report):
        metadata["report"] = dg.MetadataValue.json(in_short(value))
    if manifest.failed_check:
        metadata["failed_check"] = f"{manifest.failed_check.name}: {manifest.failed_check.detail}"
    if manifest.warned_checks:
        metadata["warned_checks"] = "; ".join(f"{c.name}: {c.detail}" for c in manifest.warned_checks)
    if manifest.continues:
        metadata["continues"] = manifest.continues
    if previous is not None:
        metadata["previous_attempt"] = previous.attempt
        metadata["previous_overrides"] = dg.MetadataValue.json(previous.overrides)
    return metadata
