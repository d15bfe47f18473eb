"""The manifest: describes an attempt completely enough to rebuild Dagster's history from disk."""

from typing import Any

from pydantic import BaseModel, Field

from brand_detect.domain.records import Record
from brand_detect.domain.tables import SCHEMA_VERSION
from brand_detect.storage.sealed import seal, unseal

NAME = "manifest.json"


class FileEntry(Record):
    name: str
    size_bytes: int
    sha256: str


class CheckOutcome(Record):
    """An asset check's result, stored with the attempt so that later runs can refuse it."""

    name: str
    passed: bool
    blocking: bool
    detail: str = ""
    figures: dict[str, float] = Field(default_factory=dict, description="the figures that the check inspected")


class Manifest(Record):
    schema_version: int = SCHEMA_VERSION
    job_id: str
    stage: str
    attempt: str
    run_id: str
    created: str = Field(description="UTC, ISO 8601")
    code_version: str
    params: dict[str, Any] = Field(description="effective values of all params")
    overrides: dict[str, Any] = Field(description="params set explicitly by the run's config")
    engines: dict[str, str] = Field(description="the engines used, with versions and weights")
    upstream: dict[str, str] = Field(description="attempt of every ancestor, and the catalogue's version")
    input_versions: dict[str, str] = Field(description="data version of every input")
    continues: str = Field("", description="in a retry: the attempt of escalate_cloud whose answers it took over")
    offpeak: str = Field("", description="date of the off-peak batch that made it, with the batch's params")
    counts: dict[str, int]
    stats: dict[str, float]
    notes: tuple[str, ...]
    stage_s: float = Field(description="seconds spent in the stage, without loading inputs")
    checks: tuple[CheckOutcome, ...] = ()
    recipe: str
    data_version: str
    files: tuple[FileEntry, ...]

    def file(self, name: str) -> FileEntry | None:
        """The entry of the file ``name``; None if there is none."""
        return next((f for f in self.files if f.name == name), None)

    @property
    def failed_check(self) -> CheckOutcome | None:
        """The first blocking check that failed, if any."""
        return next((c for c in self.checks if c.blocking and not c.passed), None)

    @property
    def warned_checks(self) -> tuple[CheckOutcome, ...]:
        """The failed checks that are not blocking."""
        return tuple(c for c in self.checks if not c.blocking and not c.passed)


class _Written(BaseModel):
    """Fields common to manifests of all versions."""

    schema_version: int


def manifest_to_json(manifest: Manifest) -> bytes:
    """The manifest's stored form, with its digest."""
    return seal(manifest.model_dump(mode="json"))


def schema_version_of(data: bytes) -> int:
    """The schema version of a stored manifest's attempt.

    Raises:
        ValueError: the manifest is damaged.
    """
    return _Written.model_validate_json(data).schema_version


def manifest_from_json(data: bytes) -> Manifest:
    """Parse a manifest written by ``manifest_to_json``.

    Raises:
        ValueError: it is damaged.
    """
    return Manifest.model_validate(unseal(data))
