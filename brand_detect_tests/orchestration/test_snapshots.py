"""The brand list and own files are read in one place; runs read what is stored, wherever they are executed."""

from importlib import resources
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brand_detect.catalog import catalog_from_json, load_catalog
from brand_detect.definitions import build_definitions
from brand_detect.domain.errors import BadInput, Transient
from brand_detect.domain.launch import LaunchPlan, plan_submit
from brand_detect.domain.pipeline import CATALOG
from brand_detect.domain.settings import Settings
from brand_detect.orchestration import snapshots
from brand_detect.orchestration.lineage import latest, materializations
from brand_detect.orchestration.partitions import JOBS
from brand_detect.orchestration.resources import Engines, Services
from brand_detect.orchestration.run import Runner
from brand_detect.orchestration.snapshots import brand_catalog_changed, own_files, take_snapshot
from brand_detect.storage.own_files import OwnFiles
from brand_detect_tests.support.logos import svg, write
from brand_detect_tests.support.pipeline import Pipeline, pipeline, two_shot_clip

SCALE = (resources.files("brand_detect") / "quality" / "default.yaml").read_text(encoding="utf-8")


def tick(built: Pipeline) -> list[dg.RunRequest]:
    """The runs that a tick of the sensor asks for."""
    with dg.build_sensor_context(
        instance=built.instance, resources={"services": built.services}, sensor_name=brand_catalog_changed.name
    ) as context:
        return list(brand_catalog_changed.evaluate_tick(context).run_requests or [])


def recorded(built: Pipeline) -> int:
    """Number of times that a version of the list was recorded."""
    return len(list(materializations(built.instance, CATALOG, None)))


def elsewhere(built: Pipeline, folder: Path) -> Runner:
    """Executes runs as a machine that has neither the list nor the user's own files."""
    folder.mkdir()
    settings = built.services.settings.model_copy(
        update={"catalog": str(folder / "nowhere.yaml"), "prompts": "", "quality": ""}
    )
    services = Services(settings, built.services.store, built.services.media, built.services.engines)
    return Runner(build_definitions(services), services, built.instance)


def test_each_change_of_the_list_is_recorded_once_and_without_a_run(tmp_path: Path):
    with pipeline(tmp_path) as built:
        for text in ("- Rolex\n", "- Lacoste\n", "- Rolex\n"):
            (tmp_path / "brands.yaml").write_text(text, encoding="utf-8")
            assert tick(built) == tick(built) == []
            assert latest(built.instance, CATALOG, None) == load_catalog(str(tmp_path / "brands.yaml")).catalog.version
        assert recorded(built) == 3
        assert built.instance.get_runs_count() == 0


def test_a_logo_that_changes_is_a_change_of_the_list(tmp_path: Path):
    write(tmp_path, {"brands.yaml": "- {name: Acme, logos: [acme.svg]}", "acme.svg": svg("disc")})
    with pipeline(tmp_path) as built:
        built.runner.refresh_catalog()
        write(tmp_path, {"acme.svg": svg("cross")})
        built.runner.refresh_catalog()
        store, [first, second] = built.services.store, built.services.store.snapshots.versions()
        pictures = [
            [
                store.snapshots.exemplar(e)
                for b in catalog_from_json(store.snapshots.read(version), version).brands
                for e in b.exemplars
            ]
            for version in (first, second)
        ]
        assert pictures == [[svg("disc")], [svg("cross")]]
        event = built.instance.get_latest_materialization_event(dg.AssetKey(CATALOG))
        assert event
        assert event.asset_materialization
        assert event.asset_materialization.metadata["exemplars"].value == 1
        assert "data:image/jpeg;base64," in str(event.asset_materialization.metadata["picture"].value)


def test_new_logos_are_embedded_in_one_run_however_long_it_waits(tmp_path: Path):
    write(tmp_path, {"brands.yaml": "- {name: Acme, logos: [acme.svg]}", "acme.svg": svg("disc")})
    with pipeline(tmp_path) as built:
        asked = [request.run_key for _ in range(3) for request in tick(built)]
        assert asked == [latest(built.instance, CATALOG, None)] * 3, "Dagster launches one run for a key"
        elsewhere(built, tmp_path / "worker")._execute(None, LaunchPlan((CATALOG,)))
        assert built.embedder.crops > 0
        assert tick(built) == []


def test_a_snapshot_that_is_gone_is_stored_again(tmp_path: Path):
    with pipeline(tmp_path) as built:
        tick(built)
        [version] = built.services.store.snapshots.versions()
        (tmp_path / "store" / "_catalog" / version / "catalog.json").unlink()
        tick(built)
        assert built.services.store.snapshots.versions() == [version]
        assert recorded(built) == 1


def test_a_version_that_was_reported_by_hand_is_recorded_over(tmp_path: Path):
    with pipeline(tmp_path) as built:
        built.instance.report_runless_asset_event(dg.AssetMaterialization(CATALOG))
        tick(built)
        assert latest(built.instance, CATALOG, None) is not None


def test_a_run_reads_no_file_of_the_machine_that_read_the_list(tmp_path: Path):
    """Not the list, not a prompt, not a quality scale."""
    (tmp_path / "scales").mkdir()
    (tmp_path / "scales" / "default.yaml").write_text(SCALE.replace("version: 2", "version: 7"), encoding="utf-8")
    video = two_shot_clip(tmp_path / "match.mp4", seconds=1.0)
    with pipeline(tmp_path) as built:
        services = built.services
        settings = services.settings.model_copy(update={"quality": str(tmp_path / "scales")})
        take_snapshot(built.instance, Services(settings, services.store, services.media, services.engines))
        built.instance.add_dynamic_partitions(str(JOBS.name), ["match"])
        worker = elsewhere(built, tmp_path / "worker")
        done = worker.launch("match", plan_submit(str(video), "default", {}, {}))
        assert done.attempts[CATALOG] == latest(built.instance, CATALOG, None)
        assert done.manifest("compile_report").engines["quality"].startswith("default 7 ")


def test_a_run_that_embeds_ends_with_the_latest_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The list changes while logos are embedded: the older version must not become the latest."""
    write(tmp_path, {"brands.yaml": "- {name: Acme, logos: [acme.svg]}", "acme.svg": svg("disc")})
    with pipeline(tmp_path) as built:
        tick(built)
        encode = built.embedder.encode

        def change(crops):
            monkeypatch.setattr(built.embedder, "encode", encode)
            write(tmp_path, {"acme.svg": svg("cross")})
            tick(built)
            return encode(crops)

        monkeypatch.setattr(built.embedder, "encode", change)
        elsewhere(built, tmp_path / "worker")._execute(None, LaunchPlan((CATALOG,)))
        assert latest(built.instance, CATALOG, None) == load_catalog(str(tmp_path / "brands.yaml")).catalog.version
        assert tick(built) == [], "both are embedded"


def test_without_a_list_that_was_read_there_is_nothing_to_embed(tmp_path: Path):
    with pipeline(tmp_path) as built, pytest.raises(BadInput, match="No brand list has been read yet"):
        elsewhere(built, tmp_path / "worker")._execute(None, LaunchPlan((CATALOG,)))


# own files


def test_own_files_travel_by_version(tmp_path: Path):
    write(tmp_path, {"prompts/mine.md": "look", "prompts/notes.txt": "no", "quality/contract.yaml": "version: 1"})
    write(tmp_path, {"inventory/rink.yaml": "version: 2"})
    folders: dict[str, Any] = {name: str(tmp_path / name) for name in ("prompts", "quality", "inventory")}
    settings = Settings(store_root=str(tmp_path / "store"), **folders)
    services = Services.of(settings, engines=Engines(lambda *_: [], lambda _: None))
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(Transient, match="have not been read yet"):
            own_files(instance, services.store)
        take_snapshot(instance, services)
        assert own_files(instance, services.store) == OwnFiles(
            {"mine": "look"}, {"contract": "version: 1"}, {"rink": "version: 2"}
        )
        (tmp_path / "prompts" / "mine.md").write_text("look again", encoding="utf-8-sig")  # as some editors save it
        assert own_files(instance, services.store).prompts == {"mine": "look"}, "as it was read"
        take_snapshot(instance, services)
        assert own_files(instance, services.store).prompts == {"mine": "look again"}
        assert len(list((tmp_path / "store" / "_own").iterdir())) == 2, "what older attempts name stays"


def test_own_files_that_are_gone_are_stored_again(tmp_path: Path):
    """From a store that was emptied or replaced; otherwise no run would find them again."""
    with pipeline(tmp_path) as built:
        take_snapshot(built.instance, built.services)
        [file] = (tmp_path / "store" / "_own").iterdir()
        file.unlink()
        take_snapshot(built.instance, built.services)
        assert own_files(built.instance, built.services.store) == OwnFiles.read(built.services.settings)


def test_an_own_file_that_is_no_text_is_malformed_and_the_others_count(tmp_path: Path):
    write(tmp_path, {"prompts/mine.md": "look", "prompts/broken.md": b"\xff\xfe"})
    assert OwnFiles.read(Settings(prompts=str(tmp_path / "prompts"))).prompts == {"mine": "look", "broken": ""}


def test_own_files_are_recorded_even_if_the_brand_list_is_wrong(tmp_path: Path):
    """A replay of the report needs the scale, not the list."""
    with pipeline(tmp_path) as built:
        (tmp_path / "brands.yaml").write_text("- {}\n", encoding="utf-8")
        with pytest.raises(BadInput):
            take_snapshot(built.instance, built.services)
        assert built.instance.daemon_cursor_storage.get_cursor_values({snapshots.OWN_FILES})
