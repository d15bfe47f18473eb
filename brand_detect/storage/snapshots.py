"""Snapshots of the catalogue, ``{root}/_catalog/{version}/``; their pictures, which they share; embeddings of these."""

import io
from collections.abc import Callable, Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from brand_detect.domain.catalog import Exemplar
from brand_detect.domain.errors import Permanent
from brand_detect.storage.blobs import Blobs, concurrently, short_hash
from brand_detect.storage.faults import Missing

CATALOG = "_catalog"
EXEMPLARS = f"{CATALOG}/exemplars"
"""The folder of all pictures of all snapshots."""
VECTORS_PREFIX = "vectors-"


class Snapshots:
    """All versions of the catalogue that a job was, or may be, matched with. None is ever changed."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def versions(self) -> list[str]:
        """The versions that are stored, oldest first."""
        found = [version for version in self._blobs.names(CATALOG) if self.has(version)]
        return sorted(found, key=lambda version: self._blobs.written_s(_path(version)))

    def uri(self, version: str) -> str:
        return self._blobs.uri(_path(version))

    def has(self, version: str) -> bool:
        return self._blobs.exists(_path(version))

    def read(self, version: str) -> bytes:
        """The snapshot of that version.

        Raises:
            Missing: there is none.
        """
        try:
            return self._blobs.read(_path(version))
        except Missing as e:
            raise Missing(f"The catalogue snapshot {version} is gone.", "re-materialize brand_catalog") from e

    def add(
        self,
        version: str,
        data: bytes,
        exemplars: Iterable[Exemplar] = (),
        picture: Callable[[Exemplar], bytes] = lambda _: b"",
    ) -> None:
        """Store a snapshot, its pictures first. The same version is written once, as is each picture.

        Snapshots share their pictures: they are named by their content.
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
            Permanent: it is gone or damaged.
        """
        path = f"{EXEMPLARS}/{exemplar.file_name}"
        told, hint = f"The picture {self._blobs.uri(path)} of the catalogue is", "restore it, or give its brand another"
        try:
            data = self._blobs.read(path)
        except Missing as e:
            raise Missing(f"{told} gone.", hint) from e
        if short_hash(data) != exemplar.exemplar_id:
            raise Permanent(f"{told} damaged.", hint)
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
        return pq.read_table(pa.BufferReader(self.vectors_file(version, name))) if name else None

    def vectors(self, version: str) -> list[str]:
        """The names of a snapshot's files of embeddings, by whatever embedder."""
        return [name for name in self._blobs.names(f"{CATALOG}/{version}") if name.startswith(VECTORS_PREFIX)]

    def vectors_file(self, version: str, name: str) -> bytes:
        """A file of embeddings of a snapshot, named by what made it and by its content.

        Raises:
            Permanent: it is damaged.
        """
        path = f"{CATALOG}/{version}/{name}"
        data = self._blobs.read(path)
        if not name.endswith(f"-{short_hash(data)}.parquet"):
            raise Permanent(f"The vectors of the catalogue {version} are damaged.", f"remove {self._blobs.uri(path)}")
        return data


def _path(version: str) -> str:
    return f"{CATALOG}/{version}/catalog.json"


def _prefix(embedder: str) -> str:
    """How the names of files with embeddings by ``embedder`` begin."""
    return f"{VECTORS_PREFIX}{short_hash(embedder.encode())}-"
