from pathlib import Path

import dagster as dg

from brand_detect.catalog import catalog_from_json
from brand_detect.domain.pipeline import CATALOG
from brand_detect.domain.tags import SNAPSHOT
from brand_detect.orchestration.snapshots import brand_catalog_changed
from brand_detect_tests.support.logos import svg, write
from brand_detect_tests.support.pipeline import Pipeline, pipeline


def asks(built: Pipeline) -> bool:
    """Whether a tick asks for a run."""
    with dg.build_sensor_context(
        instance=built.instance, resources={"services": built.services}, sensor_name=brand_catalog_changed.name
    ) as context:
        requests = brand_catalog_changed.evaluate_tick(context).run_requests or []
    assert all(request.tags[SNAPSHOT] == CATALOG for request in requests), "other callers look for it"
    return bool(requests)


def test_a_changed_list_asks_for_one_snapshot(tmp_path: Path):
    with pipeline(tmp_path) as built:
        assert asks(built)
        built.runner.refresh_catalog()
        assert not asks(built)
        (tmp_path / "brands.yaml").write_text("- Lacoste\n", encoding="utf-8")
        assert asks(built)


def test_a_logo_that_changes_is_a_change_of_the_list(tmp_path: Path):
    write(tmp_path, {"brands.yaml": "- {name: Acme, logos: [acme.svg]}", "acme.svg": svg("disc")})
    with pipeline(tmp_path) as built:
        built.runner.refresh_catalog()
        assert not asks(built)
        write(tmp_path, {"acme.svg": svg("cross")})
        assert asks(built)
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


def test_a_snapshot_that_waits_in_the_queue_is_not_asked_for_again(tmp_path: Path):
    """With long jobs in the queue each tick would otherwise add a run."""
    with pipeline(tmp_path) as built:
        run = built.instance.create_run_for_job(
            built.definitions.resolve_implicit_global_asset_job_def(),
            tags={SNAPSHOT: CATALOG},
            status=dg.DagsterRunStatus.NOT_STARTED,
        )
        assert not asks(built)
        built.instance.delete_run(run.run_id)
        assert asks(built)


def test_only_a_snapshot_that_waits_is_waited_for(tmp_path: Path):
    with pipeline(tmp_path) as built:
        job = built.definitions.resolve_implicit_global_asset_job_def()
        built.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING)
        for status in ("STARTED", "SUCCESS", "FAILURE", "CANCELED"):
            built.instance.create_run_for_job(job, tags={SNAPSHOT: CATALOG}, status=dg.DagsterRunStatus(status))
        assert asks(built)
        built.instance.create_run_for_job(job, tags={SNAPSHOT: CATALOG}, status=dg.DagsterRunStatus.STARTING)
        assert not asks(built)
