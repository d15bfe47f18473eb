"""The manifest: what an attempt is, complete enough to rebuild Dagster's history from disk."""

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
    """An asset check's result, kept with the attempt so that later runs can refuse it."""

    name: str
    passed: bool
    blocking: bool
    detail: str = ""
    figures: dict[str, float] = Field(default_factory=dict, description="what the check looked at, counted")


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

    def file(self, name: str) -> FileEntry | None:
        """What the attempt says of its file ``name``; None if it has none."""
        return next((f for f in self.files if f.name == name), None)

    @property
    def failed_check(self) -> CheckOutcome | None:
        """The first blocking check that failed, if any."""
        return next((c for c in self.checks if c.blocking and not c.passed), None)

    @property
    def warned_checks(self) -> tuple[CheckOutcome, ...]:
        """The checks that failed and block nothing."""
        return tuple(c for c in self.checks if not c.blocking and not c.passed)


class _Written(BaseModel):
    """What a manifest of any version says."""

    schema_version: int


def manifest_to_json(manifest: Manifest) -> bytes:
    """The manifest as it is stored, with a digest of itself."""
    return seal(manifest.model_dump(mode="json"))


def schema_version_of(data: bytes) -> int:
    """With which version of the schema the attempt of a stored manifest was written.

    Raises:
        ValueError: the manifest is damaged.
    """
    return _Written.model_validate_json(data).schema_version


def manifest_from_json(data: bytes) -> Manifest:
    """The manifest that ``manifest_to_json`` wrote.

    Raises:
        ValueError: it is damaged.
    """
    return Manifest.model_validate(unseal(data))
