from pathlib import Path

import dagster as dg

from brand_detect.orchestration.sensors import brand_catalog_changed
from brand_detect_tests.pipeline import Pipeline, pipeline


def asks(built: Pipeline) -> bool:
    """Whether a tick asks for a run."""
    with dg.build_sensor_context(
        instance=built.instance, resources={"services": built.services}, sensor_name=brand_catalog_changed.name
    ) as context:
        return bool(brand_catalog_changed.evaluate_tick(context).run_requests)


def test_a_changed_list_asks_for_one_snapshot(tmp_path: Path):
    with pipeline(tmp_path) as built:
        assert asks(built)
        built.runner.refresh_catalog()
        assert not asks(built)
        (tmp_path / "brands.yaml").write_text("- Lacoste\n", encoding="utf-8")
        assert asks(built)


def test_a_snapshot_that_waits_in_the_queue_is_not_asked_for_again(tmp_path: Path):
    """With long jobs in the queue each tick would otherwise add a run."""
    with pipeline(tmp_path) as built:
        run = built.instance.create_run_for_job(
            built.definitions.resolve_implicit_global_asset_job_def(),
            tags={"dagster/sensor_name": brand_catalog_changed.name},
            status=dg.DagsterRunStatus.NOT_STARTED,
        )
        assert not asks(built)
        built.instance.delete_run(run.run_id)
        assert asks(built)
