"""What a materialization says of its checkpoint: the same when it is made and when it is rebuilt from the store."""

import base64
from typing import Any

import dagster as dg

from brand_detect.domain.model import BrandCatalog, Report
from brand_detect.orchestration.lineage import ATTEMPT
from brand_detect.report.exports import in_short
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.store import AttemptRef, Store


def inline(name: str, picture: bytes) -> dg.MetadataValue:
    """A small JPEG that the UI shows."""
    return dg.MetadataValue.md(f"![{name}](data:image/jpeg;base64,{base64.b64encode(picture).decode()})")


def catalog_metadata(store: Store, catalog: BrandCatalog) -> dict[str, Any]:
    """Of a snapshot of the brand list."""
    return {
        ATTEMPT: catalog.version,
        "uri": store.catalog_uri(catalog.version),
        "brands": len(catalog.brands),
        "exemplars": catalog.n_exemplars,
    }


def checkpoint_metadata(
    store: Store, manifest: Manifest, picture: bytes | None, report: Report | None, previous: Manifest | None
) -> dict[str, Any]:
    """Of an attempt, from its manifest; ``previous`` is the attempt of the same stage before it."""
    metadata: dict[str, Any] = {ATTEMPT: manifest.attempt}
    if picture is not None:
        metadata["picture"] = inline(manifest.stage, picture)
    if manifest.notes:
        metadata["notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in manifest.notes))
    metadata |= {
        "uri": store.uri(AttemptRef(manifest.job_id, manifest.stage, manifest.attempt)),
        **manifest.counts,
        **manifest.stats,
        "stage_s": round(manifest.stage_s, 3),
        "stored_bytes": sum(f.size_bytes for f in manifest.files),
        "run_id": manifest.run_id,
        "created": manifest.created,
        "params": dg.MetadataValue.json(manifest.params),
        "overrides": dg.MetadataValue.json(manifest.overrides),
        "engines": dg.MetadataValue.json(manifest.engines),
        "upstream": dg.MetadataValue.json(manifest.upstream),
        "input_versions": dg.MetadataValue.json(manifest.input_versions),
        "code_version": manifest.code_version,
        "data_version": manifest.data_version,
        "recipe": manifest.recipe,
    }
    if manifest.offpeak:
        metadata["offpeak"] = manifest.offpeak
    if report is not None:
        metadata["report"] = dg.MetadataValue.json(in_short(report))
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
