"""A job's history read from Dagster's event log in-process, as the client reads it over GraphQL."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from brand_detect.domain.history import History, StageState
from brand_detect.domain.pipeline import CATALOG, LINE
from brand_detect.orchestration.lineage import attempt_of, latest_record, materializations, observations
from brand_detect.orchestration.profiles import load_profile, profile_names


def read_history(instance: dg.DagsterInstance, job_id: str, code_versions: Mapping[str, str]) -> History:
    """All attempts of a job; ``code_versions`` holds the current code version of each stage."""
    snapshot = latest_record(instance, CATALOG, None)
    return History(
        job_id,
        {
            stage: StageState.of(
                stage,
                code_versions[stage],
                ((r.run_id, r.timestamp, _entries(r)) for r in materializations(instance, stage, job_id)),
                {name for r in observations(instance, stage, job_id) for name in _entries(r).get("pruned", ())},
            )
            for stage in LINE
        },
        (attempt_of(snapshot) if snapshot else None) or "",
        {name: load_profile(name) for name in profile_names()},
    )


def _entries(record: dg.EventLogRecord) -> dict[str, Any]:
    """Texts, figures and documents of an event's metadata, by name."""
    event = record.asset_materialization or record.asset_observation
    kinds = (dg.TextMetadataValue, dg.IntMetadataValue, dg.FloatMetadataValue, dg.JsonMetadataValue)
    return {name: entry.value for name, entry in (event.metadata if event else {}).items() if isinstance(entry, kinds)}
