"""Attempts: written once, files first and the manifest last."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from brand_detect.domain.contracts.filter_scenes import SHOTS, TIMELINE, FilteredScenes
from brand_detect.domain.errors import Permanent, Transient
from brand_detect.domain.tables import table
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store
from brand_detect_tests.support.checkpoints import FACTS, REF, SCENES, SHOT


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_an_attempt_without_manifest_does_not_exist(store: Store):
    writer = store.begin(REF)
    writer.append(0.0, b"jpeg")
    writer.write("shots.parquet", b"half")
    assert not store.exists(REF)
    assert store.attempts("match", "filter_scenes") == []
    with pytest.raises(Permanent, match=r"gone: it has no manifest\.json"):
        store.manifest(REF)


def test_nothing_is_overwritten(store: Store, tmp_path: Path):
    store.begin(REF).commit(SCENES, **FACTS)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(Permanent, match="exists already"):
        store.begin(REF)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_of_two_writers_of_one_attempt_one_wins(store: Store):
    writers = [store.begin(REF) for _ in range(8)]

    def commit(n: int) -> bool:
        try:
            writers[n].commit(SCENES, **FACTS)
        except Permanent:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(commit, range(8))) == 1


def test_the_data_version_follows_the_rows_and_not_the_run(store: Store):
    def version(scenes: FilteredScenes, attempt: str, **facts: Any) -> str:
        merged = FACTS | facts
        return store.begin(AttemptRef("match", "filter_scenes", attempt)).commit(scenes, **merged).data_version

    first = version(SCENES, "a-0")
    assert version(SCENES, "b-0", run_id="other", stage_s=9.0) == first
    assert version(FilteredScenes(table(SHOTS, [{**SHOT, "end_s": 2.1}]), table(TIMELINE)), "c-0") != first


def test_the_recipe_follows_the_params(store: Store):
    one = store.begin(AttemptRef("match", "filter_scenes", "a-0")).commit(SCENES, **FACTS)
    other: dict[str, Any] = FACTS | {"params": {}}
    two = store.begin(AttemptRef("match", "filter_scenes", "b-0")).commit(SCENES, **other)
    assert one.recipe != two.recipe
    assert one.data_version == two.data_version


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_a_sentence(tmp_path: Path):
    store = Store(str(tmp_path))
    writer = store.begin(REF)
    folder = tmp_path / REF.path
    folder.mkdir(parents=True)
    (folder / "shots.parquet").symlink_to("/dev/full")
    with pytest.raises(
        Transient, match=r"shots\.parquet of match/filter_scenes/run-0 could not be written: .*No space"
    ):
        writer.commit(SCENES, **FACTS)
    (folder / "frames-00000.tar").symlink_to("/dev/full")
    writer.append(0.0, b"jpeg")
    with pytest.raises(Transient, match="No space"):
        writer.seal()
    assert not store.exists(REF)


def test_a_disk_without_hard_links_serves_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store = Store(str(tmp_path))
    writers = [store.begin(REF), store.begin(REF)]
    writers[0].commit(SCENES, **FACTS)
    with pytest.raises(Permanent, match="exists already"):
        writers[1].commit(SCENES, **FACTS)
    assert store.load(REF) == SCENES


def test_a_put_whose_condition_failed_is_no_fault_of_the_store(monkeypatch: pytest.MonkeyPatch):
    """s3fs raises EINVAL for it."""
    store = Store("memory://conditional")
    writers = [store.begin(REF), store.begin(REF)]
    writers[0].commit(SCENES, **FACTS)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EINVAL, "At least one of the pre-conditions you specified did not hold")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", fail)
    with pytest.raises(Permanent, match="exists already"):
        writers[1].commit(SCENES, **FACTS)
    store.blobs.fs.rm("/conditional", recursive=True)
