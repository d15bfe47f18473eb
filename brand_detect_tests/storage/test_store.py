"""The store of attempts: what is read back, listed, pinned and removed."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from brand_detect.domain.contracts.filter_scenes import SHOTS, TIMELINE, FilteredScenes
from brand_detect.domain.contracts.run_ocr import READINGS, TEXTS, TrackTexts
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.tables import SCHEMA_VERSION, table
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.sealed import seal, unseal
from brand_detect.storage.store import Store
from brand_detect_tests.support.checkpoints import FACTS, REF, SCENES, SHOT, flipped, stored


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
    with pytest.raises(KeyError, match="filter_scenes has no table scenes"):
        store.load(REF, ["scenes"])


def test_a_table_that_an_earlier_attempt_lacks_is_empty_and_one_that_is_lost_is_damage(store: Store, tmp_path: Path):
    ref = AttemptRef("match", "run_ocr", "run-0")
    texts = TrackTexts(table(READINGS), table(TEXTS))
    store.begin(ref).commit(texts, **FACTS)
    folder = tmp_path / "store" / ref.path
    (folder / "steps.parquet").unlink()
    with pytest.raises(Permanent, match=r"is gone: it has no steps\.parquet"):
        store.load(ref)
    told = unseal((folder / "manifest.json").read_bytes())
    told["files"] = [file for file in told["files"] if file["name"] != "steps.parquet"]
    (folder / "manifest.json").write_bytes(seal(told))
    assert Store(store.root).load(ref) == texts


def test_attempts_are_listed_oldest_first(store: Store):
    refs = [AttemptRef("match", "filter_scenes", name) for name in ("z-0", "a-0", "m-1")]
    for ref in refs:
        store.begin(ref).commit(SCENES, **FACTS)
    assert [m.attempt for m in store.attempts("match", "filter_scenes")] == ["z-0", "a-0", "m-1"]


def test_a_damaged_attempt_hides_no_other(store: Store):
    later = AttemptRef("match", "filter_scenes", "run-1")
    for ref in (REF, later):
        store.begin(ref).commit(SCENES, **FACTS)
    (Path(store.uri(later)) / "manifest.json").write_bytes(b"{")
    assert [m.attempt for m in store.attempts("match", "filter_scenes")] == [REF.attempt]
    (Path(store.uri(REF)) / "manifest.json").write_bytes(b"{")
    with pytest.raises(Permanent, match="is damaged"):
        store.attempts("match", "filter_scenes")


def test_an_attempt_that_may_not_be_looked_up_hides_no_other(store: Store, monkeypatch: pytest.MonkeyPatch):
    refused, exists = AttemptRef("match", "filter_scenes", "run-1"), store.exists
    for ref in (REF, refused):
        store.begin(ref).commit(SCENES, **FACTS)

    def look(ref: AttemptRef) -> bool:
        if ref == refused:
            raise Permanent("Access denied.")
        return exists(ref)

    monkeypatch.setattr(store, "exists", look)
    assert [m.attempt for m in store.attempts("match", "filter_scenes")] == [REF.attempt]


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
        with pytest.raises(Permanent, match=rf"{REF} is damaged: its {name} has changed") as error:
            assert (store.manifest(REF), store.load(REF), store.read(REF, "picture.png")) == (made, SCENES, b"")
        assert error.value.hint == f"re-materialize filter_scenes of match, or restore {path}"


def test_the_manifest_of_another_attempt_is_refused(store: Store, tmp_path: Path):
    store.begin(REF).commit(SCENES, **FACTS)
    shutil.copytree(tmp_path / "store" / REF.path, tmp_path / "store" / REF.job_id / REF.stage / "other-0")
    with pytest.raises(Permanent, match=r"its manifest\.json has changed"):
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


def test_anyone_can_read_the_tables(store: Store, tmp_path: Path):
    store.begin(REF).commit(SCENES, **FACTS)
    pattern = tmp_path / "store" / "*" / "filter_scenes" / "*" / "shots.parquet"
    shots = duckdb.sql(f"SELECT shot, end_s, n_keyframes FROM read_parquet('{pattern}')")
    assert shots is not None
    assert shots.fetchall() == [(0, 2.0, 1)]


def test_jobs_and_what_was_begun_are_listed(store: Store):
    assert store.jobs() == []
    store.snapshots.add("v1", b"{}")
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
        patch.setattr(store.blobs.fs, "rm", killed)
        with pytest.raises(KeyboardInterrupt):
            store.remove(ref)
    assert not store.exists(ref)
    assert store.folders("match", "extract_frames") == [ref]
    store.remove(ref)
    assert store.folders("match", "extract_frames") == []


def test_the_copy_of_a_requests_video_goes_with_it(store: Store):
    request, report = (AttemptRef("match", stage, "a-0") for stage in ("job_request", "compile_report"))
    store.blobs.put(request.playable, b"copied")
    store.remove(report)
    assert store.blobs.exists(request.playable), "other reports of the request share it"
    store.remove(request)
    assert not store.blobs.exists(request.playable)


def test_the_video_with_a_reports_boxes_goes_with_it(store: Store):
    gone, stays = (AttemptRef("match", "compile_report", name) for name in ("a-0", "b-0"))
    for ref in (gone, stays):
        store.blobs.put(ref.annotated, b"drawn")
    store.remove(stored(store, "match", "b-0"))
    store.remove(gone)
    assert not store.blobs.exists(gone.annotated)
    assert store.blobs.read(stays.annotated) == b"drawn"


def test_two_may_remove_the_same(store: Store, monkeypatch: pytest.MonkeyPatch):
    for remove in (store.remove_frames, store.remove):
        ref, rm_file = stored(store, "match", "run-0"), store.blobs.fs.rm_file

        def after_another(path: str, first: Callable[[str], None] = rm_file) -> None:
            first(path)
            first(path)

        with monkeypatch.context() as patch:
            patch.setattr(store.blobs.fs, "rm_file", after_another)
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
