"""A store looked through: what is damaged, what is missing, and what is as it should be."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brand_detect.catalog import catalog_from_json, catalog_to_json, load_catalog
from brand_detect.catalog.exemplars import exemplar_of
from brand_detect.domain.catalog import EXEMPLAR_EMBEDDINGS
from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus
from brand_detect.domain.errors import Transient
from brand_detect.domain.reviews import correction_of, review_of
from brand_detect.domain.tables import table
from brand_detect.storage.answers import Answers
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.own_files import OwnFiles
from brand_detect.storage.reviews import Reviews
from brand_detect.storage.store import Store
from brand_detect.storage.verify import OTHER_VERSION, verify_jobs, verify_shared
from brand_detect_tests.support.checkpoints import FACTS, REF, SCENES, stored
from brand_detect_tests.support.pipeline import silent

LOGO = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


def told(**facts: Any) -> dict[str, Any]:
    return FACTS | facts


def found(store: Store, *jobs: str) -> list[tuple[str, str]]:
    return [(damage.damage, damage.file) for damage in verify_jobs(store, jobs or store.jobs(), silent)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    store.begin(REF).commit(SCENES, **told(upstream={}))
    return store


def test_a_store_as_it_was_written_has_no_damage(store: Store, tmp_path: Path):
    store.begin(AttemptRef("match", "run_ocr", "killed-0")).write("texts.parquet", b"half")
    steps: list[tuple[float, float, str]] = []
    assert list(verify_jobs(store, store.jobs(), lambda done, total, unit: steps.append((done, total, unit)))) == []
    assert steps[-1] == (2, 2, "checkpoints")
    assert list(verify_shared(Store(str(tmp_path / "empty")), catalog_from_json, silent)) == []


def test_files_that_are_missing_or_another_are_listed_with_what_to_do(store: Store, tmp_path: Path):
    stored(store, "other", "run-0", upstream={})
    (tmp_path / REF.path / "shots.parquet").unlink()
    (tmp_path / REF.path / "timeline.parquet").write_bytes(b"PAR1")
    (tmp_path / "other/extract_frames/run-0/manifest.json").write_bytes(b"{}")
    assert found(store) == [
        ("missing", f"{REF}/shots.parquet"),
        ("damaged", f"{REF}/timeline.parquet"),
        ("damaged", "other/extract_frames/run-0/manifest.json"),
    ]
    assert [file for _, file in found(store, "other")] == ["other/extract_frames/run-0/manifest.json"]
    for damage in verify_jobs(store, ["match"], silent):
        assert damage.file.rpartition("/")[2] in damage.what
        assert "re-materialize filter_scenes of match" in damage.hint


def test_a_checkpoint_of_another_schema_version_is_no_damage(tmp_path: Path):
    store = Store(str(tmp_path))
    made_from = stored(store, "match", "run-0", upstream={})
    store.begin(REF).commit(SCENES, **told(upstream={"extract_frames": "run-0"}))
    manifest = tmp_path / made_from.path / "manifest.json"
    manifest.write_text(json.dumps({"schema_version": 2}))
    assert found(store) == [(OTHER_VERSION, f"{made_from}/manifest.json")]
    manifest.write_text("{")
    assert found(store) == [("damaged", f"{made_from}/manifest.json")]


def test_the_catalogue_with_which_a_checkpoint_was_made_must_be_there(tmp_path: Path):
    store = Store(str(tmp_path))
    store.begin(REF).commit(SCENES, **told(upstream={"brand_catalog": "v1"}))
    assert found(store) == [("missing", "_catalog/v1/catalog.json")]
    store.snapshots.add("v1", b"{}")
    assert found(store) == []


def test_a_checkpoint_from_which_another_was_made_must_be_there(tmp_path: Path):
    store = Store(str(tmp_path))
    made_from = stored(store, "match", "run-0", upstream={})
    store.begin(REF).commit(SCENES, **told(upstream={"extract_frames": "run-0"}))
    assert found(store) == []
    (tmp_path / made_from.path / "manifest.json").unlink()
    assert found(store) == [("missing", f"{made_from}/manifest.json")]


def test_frames_are_looked_through_unless_retention_let_them_go(store: Store, tmp_path: Path):
    ref = stored(store, "match", "run-0", upstream={})
    shard = tmp_path / ref.path / "frames-00000.tar"
    written = shard.read_bytes()
    shard.write_bytes(written[:-1])
    assert found(store) == [("damaged", f"{ref}/frames-00000.tar")]
    shard.rename(shard.with_name("frames-00001.tar"))
    assert found(store) == [("missing", f"{ref}/frames-00000.tar")], "retention takes all or none"
    store.remove_frames(ref)
    assert found(store) == []


def test_a_file_that_cannot_be_read_does_not_hide_the_others(store: Store, monkeypatch: pytest.MonkeyPatch):
    prove = Store.prove

    def failing(self: Store, ref: AttemptRef, file: object) -> None:
        if getattr(file, "name", "") == "shots.parquet":
            raise Transient("Input/output error.")
        prove(self, ref, file)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Store, "prove", failing)
    assert found(store) == [("unreadable", f"{REF}/shots.parquet")]


def test_what_jobs_share_is_looked_through(store: Store, tmp_path: Path):
    exemplar = exemplar_of(LOGO, "svg")
    (tmp_path / "brands.yaml").write_text("- {name: Rolex, logos: [a.svg]}", encoding="utf-8")
    (tmp_path / "a.svg").write_bytes(LOGO)
    catalog = load_catalog(str(tmp_path / "brands.yaml")).catalog
    assert catalog.brands[0].exemplars == (exemplar,)
    store.snapshots.add(catalog.version, catalog_to_json(catalog), [exemplar], lambda _: LOGO)
    store.snapshots.put_embeddings(catalog.version, "embedder", table(EXEMPLAR_EMBEDDINGS))
    OwnFiles({"mine": "look"}, {}).store(store.blobs)
    Answers(store.blobs).keep(Answer("", AnswerStatus.answered, "Nike", 0.9, question_id="f" * 32))
    Reviews(store.blobs, "match").add(review_of(correction_of({"action": "accept", "brand_id": "nike", "user": "Ann"})))

    def damaged() -> Iterator[str]:
        yield from (file for _, file in found(store))
        yield from (damage.file for damage in verify_shared(store, catalog_from_json, silent))

    assert list(damaged()) == []
    folders = ("_catalog", "_own", "_answers", "match/_reviews")
    files = [path for folder in folders for path in (tmp_path / folder).rglob("*.*")]
    for file in files:
        file.write_bytes(file.read_bytes()[:-1])
    expected = {str(file.relative_to(tmp_path)) for file in files}
    unnamed = f"_catalog/exemplars/{exemplar.file_name}"  # by a snapshot that can be read
    assert set(damaged()) == expected - {unnamed}
    assert len(expected) == 6
    snapshot = tmp_path / "_catalog" / catalog.version / "catalog.json"
    snapshot.write_bytes(catalog_to_json(catalog))
    assert unnamed in set(damaged())


def test_what_cannot_be_read_hides_nothing_behind_it(store: Store, tmp_path: Path):
    for folder in ("match/_reviews/a.json", "_answers/ff/ffa.json", "_proposals/a-proposed-b.json"):
        (tmp_path / folder).mkdir(parents=True)  # where a file should be
        (tmp_path / folder.replace("a.json", "b.json").replace("proposed-b", "proposed-c")).write_text("{", "utf-8")
    (tmp_path / "_proposals" / "stray.json").write_text("{", "utf-8")
    told = [*verify_jobs(store, ["match"], silent), *verify_shared(store, catalog_from_json, silent)]
    assert {damage.file: damage.damage for damage in told} == {
        "match/_reviews/a.json": "unreadable",
        "match/_reviews/b.json": "damaged",
        "_answers/ff/ffa.json": "unreadable",
        "_answers/ff/ffb.json": "damaged",
        "_proposals/a-proposed-b.json": "unreadable",
        "_proposals/a-proposed-c.json": "damaged",
        "_proposals/stray.json": "damaged",
    }


@pytest.mark.usefixtures("s3")
def test_a_store_on_s3_is_read_piece_by_piece():
    store = Store("s3://bucket/verified")
    ref = stored(store, "match", "run-0", bytes(6 * 2**20), upstream={})
    assert found(store) == []
    store.blobs.fs.pipe_file(f"bucket/verified/{ref}/frames-00000.tar", bytes(6 * 2**20), upstream={})
    assert found(store) == [("damaged", f"{ref}/frames-00000.tar")]
