"""The manifest: what an attempt is, complete enough to rebuild Dagster's history from disk."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from brand_detect.domain.model import SCHEMA_VERSION, Record

NAME = "manifest.json"


class FileEntry(Record):
    name: str
    size_bytes: int
    sha256: str


class CheckOutcome(Record):
    """An asset check's result, kept with the attempt so that later runs can refuse it."""

    name: str
    passed: bool
    blocking: bool
    detail: str = ""


class Manifest(Record):
    schema_version: int = SCHEMA_VERSION
    job_id: str
    stage: str
    attempt: str
    run_id: str
    created: str = Field(description="UTC, ISO 8601")
    code_version: str
    params: dict[str, Any] = Field(description="effective values of all params")
    overrides: dict[str, Any] = Field(description="those set explicitly by the run's config")
    engines: dict[str, str] = Field(description="what did the work, with versions and weights")
    upstream: dict[str, str] = Field(description="attempt of every ancestor, and the catalogue's version")
    input_versions: dict[str, str] = Field(description="data version of everything that was read")
    continues: str = Field("", description="in a retry: the attempt of escalate_cloud whose answers were taken over")
    offpeak: str = Field("", description="date of the night whose retry made it, with params that are the night's")
    counts: dict[str, int]
    stats: dict[str, float]
    notes: tuple[str, ...]
    stage_s: float = Field(description="seconds spent in the stage, inputs loaded")
    checks: tuple[CheckOutcome, ...] = ()
    recipe: str
    data_version: str
    files: tuple[FileEntry, ...]

    @property
    def failed_check(self) -> CheckOutcome | None:
        """The first blocking check that failed, if any."""
        return next((c for c in self.checks if c.blocking and not c.passed), None)

    @property
    def warned_checks(self) -> tuple[CheckOutcome, ...]:
        """The checks that failed and block nothing."""
        return tuple(c for c in self.checks if not c.blocking and not c.passed)


def recipe_of(
    code_version: str, params: Mapping[str, Any], input_versions: Mapping[str, str], engines: Mapping[str, str]
) -> str:
    """The key of re-use: equal recipes make equal data."""
    text = json.dumps([code_version, dict(params), dict(input_versions), dict(engines)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
