"""Dagster's history from the store: after a kill, with what is damaged, and what is stale then."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brand_detect.catalog import catalog_to_json, load_catalog
from brand_detect.domain.pipeline import CATALOG, LINE, STAGES
from brand_detect.domain.tags import OFFPEAK
from brand_detect.operations import rebuild as rebuilding
from brand_detect.operations.rebuild import Rebuilt, rebuild
from brand_detect.orchestration.assets import INPUTS
from brand_detect.orchestration.lineage import ATTEMPT, attempt_of, latest, materializations
from brand_detect.storage.manifest import NAME, Manifest
from brand_detect_tests.support.finished import finished
from brand_detect_tests.support.pipeline import Pipeline, pipeline, silent, two_shot_clip

PROVENANCE = ("dagster/data_version", "dagster/code_version", "dagster/input_data_version/")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A job with a branch from an older attempt, and a retry of a night; tests change nothing of it."""
    folder = tmp_path_factory.mktemp("rebuild")
    with pipeline(folder) as made:
        video = two_shot_clip(folder / "match.mp4", seconds=2.0)
        first = made.runner.submit(str(video), job_id="match")
        made.runner.replay("match", "run_ocr", {"run_ocr": {"max_crops": 1}})
        made.runner.replay("match", "match_brands", pins={"run_ocr": first.attempts["run_ocr"]})
        made.launch("match", "compile_report", tags={OFFPEAK: "2026-05-01"})
        yield made


def again(built: Pipeline, instance: dg.DagsterInstance) -> Rebuilt:
    return rebuild(instance, built.services.store, INPUTS, silent, built.services.settings.service_url)


def told(instance: dg.DagsterInstance) -> dict[tuple[str, str], dict[str, Any]]:
    """What each event says that outlives its run: metadata, and tags of provenance without ids of other events."""
    found = {}
    for stage in LINE:
        for record in materializations(instance, stage, "match"):
            event, attempt = record.asset_materialization, attempt_of(record)
            assert event
            assert attempt
            metadata = {k: v.value for k, v in event.metadata.items() if k != "rebuilt"}
            tags = {k: v for k, v in (event.tags or {}).items() if k.startswith(PROVENANCE)}
            found[stage, attempt] = {"metadata": metadata, "tags": tags}
    return found


def test_a_rebuilt_event_says_what_the_original_said(built: Pipeline):
    with dg.DagsterInstance.ephemeral() as instance:
        done = again(built, instance)
        assert (done.jobs, done.known, done.damaged) == (1, 0, [])
        assert told(instance) == told(built.instance)
        latest = [next(materializations(i, stage, "match")) for stage in LINE for i in (instance, built.instance)]
        assert [attempt_of(r) for r in latest[::2]] == [attempt_of(r) for r in latest[1::2]]


def test_an_event_points_to_those_that_it_was_made_from(built: Pipeline):
    with dg.DagsterInstance.ephemeral() as instance:
        again(built, instance)
        for stage in STAGES:
            for record in materializations(instance, stage, "match"):
                event = record.asset_materialization
                assert event
                upstream: Any = event.metadata["upstream"].value
                for name in INPUTS[stage]:
                    job_id = None if name == CATALOG else "match"
                    pointer = (event.tags or {})[f"dagster/input_event_pointer/{name}"]
                    of = {str(r.storage_id): attempt_of(r) for r in materializations(instance, name, job_id)}
                    assert of[pointer] == upstream[name]


def test_a_rebuild_that_was_killed_is_finished_by_the_next(built: Pipeline):
    with dg.DagsterInstance.ephemeral() as instance, pytest.MonkeyPatch.context() as patch:
        report, left = instance.report_runless_asset_event, [5]

        def killed(event: Any) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            report(event)

        patch.setattr(instance, "report_runless_asset_event", killed)
        with pytest.raises(KeyboardInterrupt):
            again(built, instance)
        left[0] = 1000
        done = again(built, instance)
        assert done.known > 0
        assert told(instance) == told(built.instance)


def test_what_is_damaged_is_named_and_hides_nothing_else(built: Pipeline):
    root = Path(built.services.settings.store_root)
    folder = root / "match" / "run_ocr"
    broken = folder / "broken-0"
    broken.mkdir()
    (broken / NAME).write_text("{", encoding="utf-8")
    (folder / "half-0").mkdir()
    (root / "_catalog" / "bad").mkdir()
    (root / "_catalog" / "bad" / "catalog.json").write_text("{", encoding="utf-8")
    with dg.DagsterInstance.ephemeral() as instance:
        done = again(built, instance)
        assert [why[:30] for why in sorted(done.damaged)] == [
            "The checkpoint match/run_ocr/b",
            "brand_catalog/bad: The snapsho",
        ]
        assert told(instance) == told(built.instance)


def test_results_of_checks_come_back(built: Pipeline):
    with dg.DagsterInstance.ephemeral() as instance:
        again(built, instance)
        keys = [dg.AssetCheckKey(dg.AssetKey("compile_report"), "totals_equal_the_timeline")]
        rebuilt, original = (
            next(iter(i.event_log_storage.get_latest_asset_check_execution_by_key(keys).values()))
            for i in (instance, built.instance)
        )
        assert rebuilt.status.value == original.status.value == "SUCCEEDED"
        events = [r.event.dagster_event for r in (rebuilt, original) if r.event]
        figures, before = (event.asset_check_evaluation_data.metadata for event in events if event)
        assert figures == before
        assert figures.keys() == {"job", "brands", "exposures", "seconds"}


def test_what_comes_back_later_is_not_taken_for_the_latest(tmp_path: Path):
    with pipeline(tmp_path) as built:
        first = finished(built)
        second = built.runner.replay("match", "match_brands")
        built.instance.delete_run(first.run_id)
        assert again(built, built.instance).events == 9 + 4
        for stage in LINE:
            assert latest(built.instance, stage, "match") == second.attempts[stage]
        assert again(built, built.instance).events == 0
        third = built.runner.replay("match", "escalate_vlm")
        assert third.attempts["match_brands"] == second.attempts["match_brands"]


def test_what_a_run_makes_meanwhile_stays_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    listed, runs = rebuilding._manifests, []
    with pipeline(tmp_path) as built:
        finished(built)

        def overtaken(*asked: Any) -> list[Manifest]:
            found = list(listed(*asked))
            runs.append(built.runner.replay("match", "match_brands"))
            return found

        monkeypatch.setattr(rebuilding, "_manifests", overtaken)
        assert again(built, built.instance).events == 0
        for stage in LINE:
            assert latest(built.instance, stage, "match") == runs[0].attempts[stage]


@pytest.mark.parametrize("damage", [Path.unlink, lambda manifest: manifest.write_text("{")])
def test_an_attempt_that_the_store_has_lost_is_not_taken_for_the_latest(
    tmp_path: Path, damage: Callable[[Path], object]
):
    """The store is a backup of the time before it."""
    with pipeline(tmp_path) as built:
        first = finished(built)
        second = built.runner.replay("match", "compile_report")
        damage(Path(built.services.settings.store_root) / second.ref("compile_report").file(NAME))
        assert again(built, built.instance).events == 1
        assert latest(built.instance, "compile_report", "match") == first.attempts["compile_report"]


def test_an_older_brand_list_that_comes_back_is_not_taken_for_the_latest(built: Pipeline, tmp_path: Path):
    store = built.services.store
    now = latest(built.instance, CATALOG, None)
    assert now
    (tmp_path / "older.yaml").write_text("brands:\n  - name: Rolex\n", encoding="utf-8")
    older = load_catalog(str(tmp_path / "older.yaml")).catalog
    store.snapshots.add(older.version, catalog_to_json(older))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(CATALOG, metadata={ATTEMPT: now}))
        again(built, instance)
        assert {attempt_of(r) for r in materializations(instance, CATALOG, None)} >= {now, older.version}
        assert latest(instance, CATALOG, None) == now
