import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brand_detect.catalog.exemplars import exemplar_of
from brand_detect.domain.catalog import EXEMPLAR_EMBEDDINGS, Exemplar
from brand_detect.domain.contracts.extract_frames import FRAMES, SIGNALS, ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import SHOTS, TIMELINE, FilteredScenes
from brand_detect.domain.errors import BadInput, Permanent, Transient
from brand_detect.domain.tables import SCHEMA_VERSION, table
from brand_detect.engines.image import OpenCvCodec
from brand_detect.storage import codec as payload_codec
from brand_detect.storage.store import SHARD_BYTES, AttemptRef, Store, StoredFrames

SHOT = {"shot": 0, "start_s": 0.0, "end_s": 2.0, "n_frames": 4, "n_keyframes": 1}
SCENES = FilteredScenes(table(SHOTS, [SHOT]), table(TIMELINE), notes=("a note",), stats={"pictures": 50.0})
REF = AttemptRef("match", "filter_scenes", "run-0")
FACTS: dict[str, Any] = {
    "run_id": "run",
    "code_version": "1",
    "params": {"hamming_threshold": 8},
    "overrides": {},
    "engines": {},
    "upstream": {"extract_frames": "run-0"},
    "input_versions": {"extract_frames": "abc"},
    "stage_s": 0.5,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_what_was_stored_comes_back(store: Store):
    manifest = store.begin(REF).commit(SCENES, **FACTS)
    assert store.load(REF) == SCENES
    assert store.manifest(REF) == manifest
    assert manifest.counts == {"shots": 1, "timeline": 0}


def test_only_the_tables_asked_for_are_read(store: Store, tmp_path: Path):
    store.begin(REF).commit(SCENES, **FACTS)
    (tmp_path / "store" / REF.path / "timeline.parquet").unlink()
    loaded = store.load(REF, ["shots"])
    assert isinstance(loaded, FilteredScenes)
    assert (loaded.shots, loaded.notes) == (SCENES.shots, SCENES.notes)
    assert loaded.timeline.equals(table(TIMELINE))
    with pytest.raises(KeyError, match="filter_scenes hands on no table scenes"):
        store.load(REF, ["scenes"])


def test_an_attempt_without_manifest_does_not_exist(store: Store):
    writer = store.begin(REF)
    writer.append(b"jpeg")
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


def test_attempts_are_listed_oldest_first(store: Store):
    refs = [AttemptRef("match", "filter_scenes", name) for name in ("z-0", "a-0", "m-1")]
    for ref in refs:
        store.begin(ref).commit(SCENES, **FACTS)
    assert [m.attempt for m in store.attempts("match", "filter_scenes")] == ["z-0", "a-0", "m-1"]


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


def test_frames_are_read_by_byte_range_from_plain_tars(store: Store, tmp_path: Path):
    codec = OpenCvCodec()
    ref = AttemptRef("match", "extract_frames", "run-0")
    writer = store.begin(ref)
    pictures = [np.full((48, 64, 3), level, np.uint8) for level in (10, 120, 240)]
    blobs = [writer.append(codec.encode(picture, 95, 0)) for picture in pictures]
    writer.seal()
    blobs.append(writer.append(codec.encode(pictures[0], 95, 0)))
    writer.seal()
    assert [b.shard for b in blobs] == ["frames-00000.tar"] * 3 + ["frames-00001.tar"]

    index = pa.table({k: [getattr(b, k) for b in blobs] for k in ("shard", "offset", "size_bytes", "crc32")})
    frames = StoredFrames(store, ref, index, codec)
    for n, level in enumerate((10, 120, 240, 10)):
        assert abs(int(frames.read(n).mean()) - level) <= 1
    with tarfile.open(tmp_path / "store" / ref.path / "frames-00000.tar") as tar:
        assert [m.name for m in tar] == [f"frames-00000-{n:06d}.jpg" for n in range(3)]
    assert SHARD_BYTES < 2**30


def test_a_frame_that_is_not_what_was_written_is_not_read(store: Store, tmp_path: Path):
    codec = OpenCvCodec()
    writer = store.begin(AttemptRef("match", "extract_frames", "run-0"))
    blobs = [writer.append(codec.encode(np.full((64, 96, 3), level, np.uint8), 95, 0)) for level in (10, 200)]
    writer.seal()
    index = pa.table({k: [getattr(b, k) for b in blobs] for k in ("shard", "offset", "size_bytes", "crc32")})
    frames = StoredFrames(store, writer.ref, index, codec)
    shard = tmp_path / "store" / writer.ref.path / "frames-00000.tar"
    written = shard.read_bytes()
    for damaged in (flipped(written, 8 * (blobs[1].offset + 300)), written[: blobs[1].offset + 99], written[:1024]):
        shard.write_bytes(damaged)
        with pytest.raises(Permanent, match=r"match/extract_frames/run-0 is damaged: its frames-00000\.tar") as error:
            frames.read(1)
        assert "re-materialize extract_frames of match" in error.value.hint
    shard.write_bytes(flipped(written, 8 * (blobs[1].offset + 300)))
    assert frames.read(0).mean() == pytest.approx(10, abs=1)


def test_tables_with_other_columns_are_refused():
    files = dict(payload_codec.encode(SCENES))
    sink = io.BytesIO()
    pq.write_table(SCENES.shots.drop_columns(["n_keyframes"]), sink)
    files["shots.parquet"] = sink.getvalue()
    with pytest.raises(Permanent, match=r"shots of filter_scenes was written with other columns .*: n_keyframes"):
        payload_codec.decode("filter_scenes", files.__getitem__)


def test_a_damaged_attempt_hides_no_other(store: Store):
    later = AttemptRef("match", "filter_scenes", "run-1")
    for ref in (REF, later):
        store.begin(ref).commit(SCENES, **FACTS)
    (Path(store.uri(later)) / "manifest.json").write_bytes(b"{")
    assert [m.attempt for m in store.attempts("match", "filter_scenes")] == [REF.attempt]
    (Path(store.uri(REF)) / "manifest.json").write_bytes(b"{")
    with pytest.raises(Permanent, match="is damaged"):
        store.attempts("match", "filter_scenes")


def test_an_attempt_of_another_schema_version_is_refused(store: Store, tmp_path: Path):
    store.begin(REF).commit(SCENES, **FACTS)
    path = tmp_path / "store" / REF.path / "manifest.json"
    older = json.loads(path.read_bytes()) | {"schema_version": 1}
    del older["digest"]  # which version 1 did not have
    path.write_text(json.dumps(older), encoding="utf-8")
    for call in (store.manifest, store.load):
        with pytest.raises(
            Permanent, match=f"written with schema version 1; this program reads {SCHEMA_VERSION}"
        ) as error:
            call(REF)
        assert "re-materialize filter_scenes of match" in error.value.hint


def flipped(data: bytes, bit: int) -> bytes:
    """``data`` with one bit another."""
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


@pytest.mark.parametrize("name", ["manifest.json", "value.json", "shots.parquet", "picture.png"])
def test_a_file_that_is_not_what_was_written_is_not_read(tmp_path: Path, name: str):
    writer = Store(str(tmp_path)).begin(REF)
    writer.write("picture.png", bytes(range(64)))
    made = writer.commit(SCENES, **FACTS)
    path = tmp_path / REF.path / name
    written, again = path.read_bytes(), io.BytesIO()
    pq.write_table(table(SHOTS, [SHOT | {"shot": 1}]), again)
    lowest_bits = [flipped(written, 8 * n) for n in range(0, len(written), max(1, len(written) // 20))]
    for damaged in (*lowest_bits, written[:-9], b"", written + b"x", again.getvalue(), b"null", b"[1]"):
        path.write_bytes(damaged)
        store = Store(str(tmp_path))
        with pytest.raises(Permanent, match=rf"{REF} is damaged: its {name} is not what was written") as error:
            assert (store.manifest(REF), store.load(REF), store.read(REF, "picture.png")) == (made, SCENES, b"")
        assert error.value.hint == f"re-materialize filter_scenes of match, or restore {path}"


def test_the_manifest_of_another_attempt_is_refused(store: Store, tmp_path: Path):
    store.begin(REF).commit(SCENES, **FACTS)
    shutil.copytree(tmp_path / "store" / REF.path, tmp_path / "store" / REF.job_id / REF.stage / "other-0")
    with pytest.raises(Permanent, match=r"its manifest\.json is not what was written"):
        store.manifest(AttemptRef(REF.job_id, REF.stage, "other-0"))


def test_files_that_are_gone_are_named(store: Store, tmp_path: Path):
    store.begin(REF).commit(SCENES, **FACTS)
    (tmp_path / "store" / REF.path / "shots.parquet").unlink()
    with pytest.raises(Permanent) as error:
        store.load(REF)
    assert "match/filter_scenes/run-0" in str(error.value)
    assert "re-materialize filter_scenes of match" in error.value.hint


@pytest.mark.parametrize("job_id", ["../x", "a/b", "", "x" * 300, "🎬", ".hidden"])
def test_a_job_id_never_leaves_the_store(store: Store, job_id: str):
    with pytest.raises(BadInput):
        store.begin(AttemptRef(job_id, "filter_scenes", "run-0"))
    with pytest.raises(BadInput):
        store.attempts(job_id, "filter_scenes")


def test_catalogue_snapshots_are_kept_by_version(store: Store):
    store.put_catalog("v1", b"[1]")
    store.put_catalog("v1", b"[1]")
    assert store.get_catalog("v1") == b"[1]"
    with pytest.raises(Permanent, match="v2"):
        store.get_catalog("v2")


def exemplars(*contents: bytes) -> list[Exemplar]:
    return [exemplar_of(data, "svg") for data in contents]


def test_pictures_are_there_before_their_snapshot_and_are_written_once(store: Store):
    contents = {e.exemplar_id: b"%d" % n for n in range(40) for e in exemplars(b"%d" % n)}
    known = exemplars(*contents.values())
    made: list[str] = []

    def picture(exemplar: Exemplar) -> bytes:
        assert not store.has_catalog("v1")
        made.append(exemplar.exemplar_id)
        return contents[exemplar.exemplar_id]

    store.put_catalog("v1", b"{}", known, picture)
    assert sorted(made) == sorted(contents)
    assert store.exemplar(known[7]) == b"7"
    store.put_catalog("v2", b"{}", [*known[:9], *exemplars(b"new")], lambda _: b"new")
    assert store.exemplar(known[7]) == b"7"
    assert store.catalogs() == ["v1", "v2"]
    with pytest.raises(Permanent, match="is gone"):
        store.exemplar(Exemplar("a" * 16, "svg"))


def test_a_picture_that_is_not_what_was_written_is_not_read(store: Store, tmp_path: Path):
    [exemplar] = exemplars(b"<svg/>")
    store.put_catalog("v1", b"{}", [exemplar], lambda _: b"<svg/>")
    (tmp_path / "store" / "_catalog" / "exemplars" / exemplar.file_name).write_bytes(b"<svh/>")
    with pytest.raises(Permanent, match=rf"{exemplar.exemplar_id}\.svg of the catalogue is damaged"):
        store.exemplar(exemplar)


def test_a_snapshot_whose_pictures_cannot_be_had_is_not_written(store: Store):
    def picture(exemplar: Exemplar) -> bytes:
        raise Transient(f"{exemplar.file_name} changed.")

    with pytest.raises(Transient):
        store.put_catalog("v1", b"{}", [Exemplar("a" * 16, "svg")], picture)
    assert store.catalogs() == []


def test_a_comparison_is_kept_beside_the_checkpoints_and_written_anew(store: Store, tmp_path: Path):
    store.begin(REF).commit(SCENES, **FACTS)
    store.put_comparison(REF.job_id, "a--b.html", b"old")
    uri = store.put_comparison(REF.job_id, "a--b.html", b"new")
    assert uri == f"{store.root}/{REF.job_id}/_comparisons/a--b.html"
    folder = tmp_path / "store" / REF.job_id / "_comparisons"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a--b.html": b"new"}
    assert [m.attempt for m in store.attempts(REF.job_id, REF.stage)] == [REF.attempt]


@pytest.mark.parametrize("name", ["../a", "a/b", "", ".hidden", "a\0b", "x" * 201])
def test_a_comparison_has_a_plain_name(store: Store, name: str):
    with pytest.raises(ValueError, match="no file name"):
        store.put_comparison("match", name, b"")


def test_a_comparison_belongs_to_a_job(store: Store):
    with pytest.raises(BadInput):
        store.put_comparison("../match", "a.html", b"")


def test_anyone_can_read_the_tables(store: Store, tmp_path: Path):
    store.begin(REF).commit(SCENES, **FACTS)
    pattern = tmp_path / "store" / "*" / "filter_scenes" / "*" / "shots.parquet"
    shots = duckdb.sql(f"SELECT shot, end_s, n_keyframes FROM read_parquet('{pattern}')")
    assert shots is not None
    assert shots.fetchall() == [(0, 2.0, 1)]


def test_the_data_version_follows_the_sampled_range_too():
    """A range that ends a little later may hold the same pictures and is more seconds of exposure."""
    frames = ExtractedFrames(table(FRAMES), table(SIGNALS), start_s=0.0, end_s=1.0)
    versions = [
        payload_codec.data_version(value, {})
        for value in (frames, replace(frames, end_s=1.01), replace(frames, notes=("a note",), stats={"decode_s": 2.0}))
    ]
    assert versions[0] != versions[1]
    assert versions[0] == versions[2]


def test_a_probe_leaves_nothing_behind(store: Store, tmp_path: Path):
    assert store.probe() == []
    assert list((tmp_path / "store").iterdir()) == []


def test_a_probe_tells_what_could_be_better(monkeypatch: pytest.MonkeyPatch):
    store = Store("memory://probed")
    assert store.probe() == []
    monkeypatch.setattr(Store, "_put_new", lambda self, path, data: self.fs.pipe_file(path, data))
    assert store.probe() == ["it lets a file that is there be replaced"]

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no deletes here")

    monkeypatch.setattr(store.fs, "rm", refuse)
    left = store.probe()[-1]
    assert "could not be taken away: no deletes here." in left


def stored(store: Store, job_id: str, attempt: str, data: bytes = b"jpeg", **facts: Any) -> AttemptRef:
    """An attempt of extract_frames with one picture."""
    ref = AttemptRef(job_id, "extract_frames", attempt)
    writer = store.begin(ref)
    blob = writer.append(data)
    row = FRAME | {"shard": blob.shard, "offset": blob.offset, "size_bytes": blob.size_bytes, "crc32": blob.crc32}
    writer.commit(ExtractedFrames(table(FRAMES, [row]), table(SIGNALS), 0.0, 1.0), **FACTS | facts)
    return ref


FRAME: dict[str, Any] = {
    "frame": 0,
    "frame_id": "a",
    "t_s": 0.0,
    "width_px": 4,
    "height_px": 4,
    "luma_mean": 1.0,
    "luma_std": 1.0,
    "phash": 1,
    "thumbnail": bytes(36 * 64),
}


def test_jobs_and_what_was_begun_are_listed(store: Store):
    assert store.jobs() == []
    store.put_catalog("v1", b"{}")
    ref = stored(store, "b", "run-0")
    stored(store, "a", "run-0")
    half = AttemptRef("b", "extract_frames", "killed-0")
    store.begin(half).write("shots.parquet", b"half")
    assert store.jobs() == ["a", "b"]
    assert store.folders("b", "extract_frames") == [half, ref]
    assert [m.attempt for m in store.attempts("b", "extract_frames")] == ["run-0"]
    assert store.last_written_s(half) > 0
    assert store.last_written_s(AttemptRef("b", "run_ocr", "none-0")) == 0


def test_an_attempt_is_removed_manifest_first(store: Store, monkeypatch: pytest.MonkeyPatch):
    ref = stored(store, "match", "run-0")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store.fs, "rm", killed)
        with pytest.raises(KeyboardInterrupt):
            store.remove(ref)
    assert not store.exists(ref)
    assert store.folders("match", "extract_frames") == [ref]
    store.remove(ref)
    assert store.folders("match", "extract_frames") == []


def test_two_may_remove_the_same(store: Store, monkeypatch: pytest.MonkeyPatch):
    for remove in (store.remove_frames, store.remove):
        ref, rm_file = stored(store, "match", "run-0"), store.fs.rm_file

        def after_another(path: str, first: Callable[[str], None] = rm_file) -> None:
            first(path)
            first(path)

        with monkeypatch.context() as patch:
            patch.setattr(store.fs, "rm_file", after_another)
            remove(ref)
        store.remove(ref)
        assert not store.exists(ref)


def test_where_pictures_have_gone_an_attempt_with_the_same_ones_stands_in(store: Store):
    first, other = stored(store, "match", "a-0"), stored(store, "match", "b-0", b"another")
    same = stored(store, "match", "c-0")
    assert store.with_frames(first) == first
    store.remove_frames(first)
    assert store.frame_shards(first) == []
    assert store.exists(first)
    assert store.with_frames(first) == same
    store.remove_frames(same)
    assert store.with_frames(other) == other
    with pytest.raises(Permanent, match="frames of match/extract_frames/a-0 are gone"):
        store.with_frames(first)


def test_pins_are_kept_with_their_reason(store: Store):
    ref = stored(store, "match", "run-0")
    assert store.pins("match") == {}
    store.pin(ref, "sent to the sponsor")
    store.pin(ref, "sent twice")
    assert store.pins("match") == {ref: "sent twice"}
    store.unpin(ref)
    assert store.pins("match") == {}
    with pytest.raises(Permanent, match="could not be removed"):
        store.unpin(ref)


def test_a_job_is_removed_whole_and_no_other(store: Store, tmp_path: Path):
    ref, other = stored(store, "match", "run-0"), stored(store, "match-2", "run-0")
    store.pin(ref, "")
    assert store.stored_bytes("match") > 4
    store.remove_job("match")
    assert store.jobs() == ["match-2"]
    assert store.exists(other)
    assert not (tmp_path / "store" / "match").exists()
    assert store.stored_bytes("match") == 0
    for name in ("../match-2", "_catalog", ""):
        with pytest.raises(BadInput):
            store.remove_job(name)


def test_snapshots_are_listed_in_order_of_time(store: Store, tmp_path: Path):
    assert store.catalogs() == []
    for n, version in enumerate(("b", "a")):
        store.put_catalog(version, b"{}")
        os.utime(tmp_path / "store" / "_catalog" / version / "catalog.json", (n, n))
    assert store.catalogs() == ["b", "a"]


def test_vectors_of_a_catalogue_are_kept_per_embedder(tmp_path: Path):
    store = Store(str(tmp_path))
    vectors = table(EXEMPLAR_EMBEDDINGS, [{"exemplar_id": "a", "embedding": np.ones(4, np.float16)}])
    assert store.get_embeddings("v1", "one") is None
    store.put_embeddings("v1", "one", vectors)
    assert store.get_embeddings("v1", "one") == vectors
    assert store.get_embeddings("v1", "another") is None
    assert store.get_embeddings("v2", "one") is None


def test_damaged_vectors_are_named(tmp_path: Path):
    store = Store(str(tmp_path))
    store.put_embeddings("v1", "one", table(EXEMPLAR_EMBEDDINGS))
    [file] = (tmp_path / "_catalog" / "v1").iterdir()
    for damaged in (b"PAR1", flipped(file.read_bytes(), 99)):
        file.write_bytes(damaged)
        with pytest.raises(Permanent, match="vectors of the catalogue v1 are damaged") as error:
            store.get_embeddings("v1", "one")
        assert str(file) in error.value.hint
