"""Attempts, ``{root}/{job_id}/{stage}/{run_id}-{retry}/``: files first, the manifest last.

Readers ignore a folder without a manifest, and nothing is ever overwritten.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import BrandDetectError
from brand_detect.domain.protocols import BlobRef
from brand_detect.domain.recipe import recipe_of
from brand_detect.domain.records import Payload
from brand_detect.storage import codec as payload_codec
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.codec import Value
from brand_detect.storage.faults import explained
from brand_detect.storage.manifest import NAME, CheckOutcome, FileEntry, Manifest, manifest_to_json
from brand_detect.storage.shards import HashedFile, ShardWriter, shard_at

EXPORTS = "_exports"
"""A job's folder for exports made on demand."""


@dataclass(frozen=True)
class AttemptRef:
    """One attempt of one stage of one job."""

    job_id: str
    stage: str
    attempt: str

    @property
    def path(self) -> str:
        return f"{self.job_id}/{self.stage}/{self.attempt}"

    def file(self, name: str) -> str:
        """The path of one of its files."""
        return f"{self.path}/{name}"

    @property
    def annotated(self) -> str:
        """The path of the video with a report's boxes, if one was made."""
        return f"{self.job_id}/{EXPORTS}/{self.attempt}.mp4"

    @property
    def playable(self) -> str:
        """The path of the copy for browsers of a request's video, if one was made; all its reports share it."""
        return f"{self.job_id}/{EXPORTS}/{self.attempt}-playable.mp4"

    def __str__(self) -> str:
        return self.path


class AttemptWriter:
    """Writes one attempt; the ``BlobSink`` of the stages. Nothing is visible before ``commit``."""

    def __init__(self, blobs: Blobs, ref: AttemptRef) -> None:
        self.ref = ref
        self._blobs = blobs
        self._files: dict[str, FileEntry] = {}
        self._shard: ShardWriter | None = None
        self._shards: list[str] = []

    def append(self, t_s: float, data: bytes) -> BlobRef:
        """Append the frame at ``t_s`` to its shard, an uncompressed tar."""
        name = shard_at(t_s)
        if self._shard is None or self._shard.name != name:
            self.seal()
            if name in self._files:
                raise ValueError(f"{name} was already written")
            self._shards.append(name)
            with explained(f"{name} of {self.ref} could not be written"):
                self._shard = ShardWriter(name, self._blobs.open(self.ref.file(name)))
        return self._shard.append(data)

    def write(self, name: str, data: bytes) -> None:
        """Write one whole file."""
        self._write(name, lambda file: file.write(data))

    def _write(self, name: str, fill: Callable[[HashedFile], object]) -> None:
        if name in self._files or name == NAME:
            raise ValueError(f"{name} was already written")
        with explained(f"{name} of {self.ref} could not be written"), self._blobs.open(self.ref.file(name)) as opened:
            file = HashedFile(name, opened)
            fill(file)
            self._files[name] = file.finish()

    def commit(
        self,
        value: Value,
        *,
        run_id: str,
        code_version: str,
        params: Mapping[str, Any],
        overrides: Mapping[str, Any],
        engines: Mapping[str, str],
        upstream: Mapping[str, str],
        input_versions: Mapping[str, str],
        stage_s: float,
        checks: tuple[CheckOutcome, ...] = (),
        continues: str = "",
        offpeak: str = "",
    ) -> Manifest:
        """Write the payload, then the manifest that makes the attempt exist.

        Raises:
            Permanent: this attempt was committed before.
        """
        self.seal()
        for name, fill in payload_codec.encode(value):
            self._write(name, fill)
        blobs = {name: self._files[name].sha256 for name in self._shards}
        manifest = Manifest(
            job_id=self.ref.job_id,
            stage=self.ref.stage,
            attempt=self.ref.attempt,
            run_id=run_id,
            created=datetime.now(UTC).isoformat(),
            code_version=code_version,
            params=dict(params),
            overrides=dict(overrides),
            engines=dict(engines),
            upstream=dict(upstream),
            input_versions=dict(input_versions),
            continues=continues,
            offpeak=offpeak,
            counts=value.counts() if isinstance(value, Payload) else {},
            stats=dict(value.stats) if isinstance(value, Payload) else {},
            notes=(*value.losses, *value.notes) if isinstance(value, Report) else value.notes,
            stage_s=stage_s,
            checks=checks,
            recipe=recipe_of(self.ref.stage, code_version, params, input_versions),
            data_version=payload_codec.data_version(value, blobs),
            files=tuple(self._files.values()),
        )
        self._blobs.create(self.ref.file(NAME), manifest_to_json(manifest))
        return manifest

    @contextmanager
    def discard_on_error(self) -> Iterator[None]:
        """Remove the attempt's files if the body fails; after a kill, retention removes them."""
        try:
            yield
        except BaseException:
            with suppress(BrandDetectError):  # the store itself may have failed, here and below
                self.seal()  # on S3, an open file would appear when it is closed later
            with suppress(BrandDetectError):
                if not self._blobs.exists(self.ref.file(NAME)):  # another process may have committed it
                    self._blobs.remove_folder(self.ref.path)
            raise

    def seal(self) -> None:
        """Close the current shard, so that the frames appended so far can be read."""
        if self._shard is not None:
            entry = self._shard.close()
            self._files[entry.name] = entry
            self._shard = None
