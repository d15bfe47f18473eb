"""Snapshots of the catalogue, their pictures and embeddings."""

import os
from pathlib import Path

import numpy as np
import pytest

from brand_detect.catalog.exemplars import exemplar_of
from brand_detect.domain.catalog import EXEMPLAR_EMBEDDINGS, Exemplar
from brand_detect.domain.errors import Permanent, Transient
from brand_detect.domain.tables import table
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.snapshots import Snapshots
from brand_detect_tests.support.checkpoints import flipped


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    return Snapshots(Blobs(str(tmp_path / "store")))


def exemplars(*contents: bytes) -> list[Exemplar]:
    return [exemplar_of(data, "svg") for data in contents]


def test_catalogue_snapshots_are_kept_by_version(snapshots: Snapshots):
    snapshots.add("v1", b"[1]")
    snapshots.add("v1", b"[1]")
    assert snapshots.read("v1") == b"[1]"
    with pytest.raises(Permanent, match="v2"):
        snapshots.read("v2")


def test_pictures_are_there_before_their_snapshot_and_are_written_once(snapshots: Snapshots):
    contents = {e.exemplar_id: b"%d" % n for n in range(40) for e in exemplars(b"%d" % n)}
    known = exemplars(*contents.values())
    made: list[str] = []

    def picture(exemplar: Exemplar) -> bytes:
        assert not snapshots.has("v1")
        made.append(exemplar.exemplar_id)
        return contents[exemplar.exemplar_id]

    snapshots.add("v1", b"{}", known, picture)
    assert sorted(made) == sorted(contents)
    assert snapshots.exemplar(known[7]) == b"7"
    snapshots.add("v2", b"{}", [*known[:9], *exemplars(b"new")], lambda _: b"new")
    assert snapshots.exemplar(known[7]) == b"7"
    assert snapshots.versions() == ["v1", "v2"]
    with pytest.raises(Permanent, match="is gone"):
        snapshots.exemplar(Exemplar("a" * 16, "svg"))


def test_a_picture_that_is_not_what_was_written_is_not_read(snapshots: Snapshots, tmp_path: Path):
    [exemplar] = exemplars(b"<svg/>")
    snapshots.add("v1", b"{}", [exemplar], lambda _: b"<svg/>")
    (tmp_path / "store" / "_catalog" / "exemplars" / exemplar.file_name).write_bytes(b"<svh/>")
    with pytest.raises(Permanent, match=rf"{exemplar.exemplar_id}\.svg of the catalogue is damaged"):
        snapshots.exemplar(exemplar)


def test_a_snapshot_whose_pictures_cannot_be_had_is_not_written(snapshots: Snapshots):
    def picture(exemplar: Exemplar) -> bytes:
        raise Transient(f"{exemplar.file_name} changed.")

    with pytest.raises(Transient):
        snapshots.add("v1", b"{}", [Exemplar("a" * 16, "svg")], picture)
    assert snapshots.versions() == []


def test_snapshots_are_listed_in_order_of_time(snapshots: Snapshots, tmp_path: Path):
    assert snapshots.versions() == []
    for n, version in enumerate(("b", "a")):
        snapshots.add(version, b"{}")
        os.utime(tmp_path / "store" / "_catalog" / version / "catalog.json", (n, n))
    assert snapshots.versions() == ["b", "a"]


def test_vectors_of_a_catalogue_are_kept_per_embedder(tmp_path: Path):
    snapshots = Snapshots(Blobs(str(tmp_path)))
    vectors = table(EXEMPLAR_EMBEDDINGS, [{"exemplar_id": "a", "embedding": np.ones(4, np.float16)}])
    assert snapshots.get_embeddings("v1", "one") is None
    snapshots.put_embeddings("v1", "one", vectors)
    assert snapshots.get_embeddings("v1", "one") == vectors
    assert snapshots.get_embeddings("v1", "another") is None
    assert snapshots.get_embeddings("v2", "one") is None


def test_damaged_vectors_are_named(tmp_path: Path):
    snapshots = Snapshots(Blobs(str(tmp_path)))
    snapshots.put_embeddings("v1", "one", table(EXEMPLAR_EMBEDDINGS))
    [file] = (tmp_path / "_catalog" / "v1").iterdir()
    for damaged in (b"PAR1", flipped(file.read_bytes(), 99)):
        file.write_bytes(damaged)
        with pytest.raises(Permanent, match="embeddings of the catalogue v1 are damaged") as error:
            snapshots.get_embeddings("v1", "one")
        assert str(file) in error.value.hint
