"""Snapshots of the catalogue, ``{root}/_catalog/{version}/``, with shared pictures and their embeddings."""

import io
from collections.abc import Callable, Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from brand_detect.domain.catalog import Exemplar
from brand_detect.domain.errors import Permanent
from brand_detect.storage.blobs import Blobs, concurrently, short_hash
from brand_detect.storage.codec import read_parquet
from brand_detect.storage.faults import Missing

CATALOG = "_catalog"
EXEMPLARS = f"{CATALOG}/exemplars"
"""The folder of pictures shared by all snapshots."""
VECTORS_PREFIX = "vectors-"


class Snapshots:
    """The immutable versions of the catalogue that jobs are matched with."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def versions(self) -> list[str]:
        """The stored versions, oldest first."""
        found = [version for version in self._blobs.names(CATALOG) if self.has(version)]
        return sorted(found, key=lambda version: self._blobs.written_s(_path(version)))

    def uri(self, version: str) -> str:
        return self._blobs.uri(_path(version))

    def has(self, version: str) -> bool:
        return self._blobs.exists(_path(version))

    def read(self, version: str) -> bytes:
        """The snapshot of that version.

        Raises:
            Missing: it does not exist.
        """
        try:
            return self._blobs.read(_path(version))
        except Missing as e:
            raise Missing(
                f"The catalogue snapshot {version} is gone.",
                "restore it; the sensor brand_catalog_changed stores the current list again",
            ) from e

    def add(
        self,
        version: str,
        data: bytes,
        exemplars: Iterable[Exemplar] = (),
        picture: Callable[[Exemplar], bytes] = lambda _: b"",
    ) -> None:
        """Store a snapshot, pictures first; existing versions and pictures are not written again.

        Pictures are named by their content, so that snapshots share them.
        """
        if self.has(version):
            return

        def put(exemplar: Exemplar) -> None:
            self._blobs.create(f"{EXEMPLARS}/{exemplar.file_name}", picture(exemplar), lenient=True)

        there = set(self._blobs.names(EXEMPLARS))
        list(concurrently(put, (e for e in exemplars if e.file_name not in there)))
        self._blobs.create(_path(version), data, lenient=True)

    def exemplar(self, exemplar: Exemplar) -> bytes:
        """A picture of a snapshot.

        Raises:
            Permanent: it is missing or damaged.
        """
        path = f"{EXEMPLARS}/{exemplar.file_name}"
        subject, hint = (
            f"The picture {self._blobs.uri(path)} of the catalogue is",
            "restore it, or give its brand another",
        )
        try:
            data = self._blobs.read(path)
        except Missing as e:
            raise Missing(f"{subject} gone.", hint) from e
        if short_hash(data) != exemplar.exemplar_id:
            raise Permanent(f"{subject} damaged.", hint)
        return data

    def put_embeddings(self, version: str, embedder: str, vectors: pa.Table) -> None:
        """Store the EXEMPLAR_EMBEDDINGS of a snapshot's exemplars by ``embedder``, an identity."""
        sink = io.BytesIO()
        pq.write_table(vectors, sink, compression="zstd")
        name = f"{_prefix(embedder)}{short_hash(sink.getvalue())}.parquet"
        self._blobs.create(f"{CATALOG}/{version}/{name}", sink.getvalue(), lenient=True)

    def get_embeddings(self, version: str, embedder: str) -> pa.Table | None:
        """The EXEMPLAR_EMBEDDINGS that ``put_embeddings`` stored; None if there are none.

        Raises:
            Permanent: they are damaged.
        """
        name = next((name for name in self.vectors(version) if name.startswith(_prefix(embedder))), None)
        return read_parquet(self.vectors_file(version, name)) if name else None

    def vectors(self, version: str) -> list[str]:
        """The names of a snapshot's embedding files, for all embedders."""
        return [name for name in self._blobs.names(f"{CATALOG}/{version}") if name.startswith(VECTORS_PREFIX)]

    def vectors_file(self, version: str, name: str) -> bytes:
        """Read an embedding file of a snapshot; its name contains the embedder and the hash of its content.

        Raises:
            Permanent: it is damaged.
        """
        path = f"{CATALOG}/{version}/{name}"
        data = self._blobs.read(path)
        if not name.endswith(f"-{short_hash(data)}.parquet"):
            raise Permanent(
                f"The embeddings of the catalogue {version} are damaged.", f"remove {self._blobs.uri(path)}"
            )
        return data


def _path(version: str) -> str:
    return f"{CATALOG}/{version}/catalog.json"


def _prefix(embedder: str) -> str:
    """Prefix of the names of embedding files of ``embedder``."""
    return f"{VECTORS_PREFIX}{short_hash(embedder.encode())}-"
