import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from brand_detect.catalog import catalog_from_json
from brand_detect.domain.pipeline import CATALOG
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import HOLD, NOT_BEFORE, RELEASED, SNAPSHOT, UNTIL
from brand_detect.operations.sensors import SENSORS, brand_catalog_changed, held_runs, models_there
from brand_detect.orchestration.resources import Services
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
        store, [first, second] = built.services.store, built.services.store.catalogs()
        pictures = [
            [
                store.exemplar(e)
                for b in catalog_from_json(store.get_catalog(version), version).brands
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


@dg.job
def nothing() -> None:
    """A job for runs that wait."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as live:
        yield live


def held(instance: dg.DagsterInstance, due_s: float | None, *, status: str = "QUEUED", **tags: str) -> str:
    """The id of a run that is held until ``due_s`` seconds from now."""
    not_before = {} if due_s is None else {NOT_BEFORE: f"{time.time() + due_s:.3f}"}
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__")
    return instance.create_run_for_job(
        nothing,
        status=dg.DagsterRunStatus(status),
        tags={HOLD: UNTIL, **not_before, **tags},
        remote_job_origin=origin.get_job_origin("nothing"),
    ).run_id


def released(instance: dg.DagsterInstance) -> str | None:
    """One tick; what it says."""
    with dg.build_sensor_context(instance=instance) as context:
        done = held_runs.evaluate_tick(context)
    assert not done.run_requests
    return done.skip_message


def tags_of(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return dict(run.tags)


def test_a_run_that_is_due_is_let_go_and_the_others_are_not(instance: dg.DagsterInstance):
    due, later = held(instance, -1.0, mine="kept"), held(instance, 60.0)
    before = tags_of(instance, due)
    assert released(instance) == "2 runs were held, 1 released."
    assert tags_of(instance, due) == before | {HOLD: RELEASED}
    assert tags_of(instance, later)[HOLD] == UNTIL
    assert released(instance) == "1 runs were held, 0 released."


def test_a_run_falls_due_as_time_goes_by(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    run_id, now_s = held(instance, 3600.0), time.time()
    for passed_s, tag in ((3590.0, UNTIL), (3610.0, RELEASED)):
        monkeypatch.setattr(time, "time", lambda at_s=now_s + passed_s: at_s)
        released(instance)
        assert tags_of(instance, run_id)[HOLD] == tag


def test_a_run_that_was_cancelled_while_it_was_held_is_left_alone(instance: dg.DagsterInstance):
    run_id = held(instance, -1.0, status="CANCELED")
    assert released(instance) == "0 runs were held, 0 released."
    assert tags_of(instance, run_id)[HOLD] == UNTIL


def test_a_run_that_is_created_and_not_queued_yet_is_let_go_too(instance: dg.DagsterInstance):
    run_id = held(instance, -1.0, status="NOT_STARTED")
    released(instance)
    assert tags_of(instance, run_id)[HOLD] == RELEASED


@pytest.mark.parametrize("time_", ["tomorrow", "", "nan", "inf", None])
def test_a_time_that_is_none_holds_that_run_and_nobody_else(instance: dg.DagsterInstance, time_: str | None):
    """The launchpad takes any text for a tag."""
    odd = held(instance, None, **({} if time_ is None else {NOT_BEFORE: time_}))
    due = held(instance, -1.0)
    assert released(instance) == "2 runs were held, 1 released."
    assert [tags_of(instance, run_id)[HOLD] for run_id in (odd, due)] == [UNTIL, RELEASED]


def test_every_sensor_runs_unless_it_is_stopped():
    assert {sensor.name for sensor in SENSORS} == {
        "brand_catalog_changed",
        "held_runs",
        "dead_runs",
        "open_jobs",
        "problems",
    }
    assert {sensor.default_status for sensor in SENSORS} == {dg.DefaultSensorStatus.RUNNING}
    assert all(sensor.description for sensor in SENSORS)


def answered(services: Services, params: dict[str, Any], **launcher: Any) -> str:
    with (
        dg.instance_for_test(overrides=launcher) as instance,
        dg.build_sensor_context(
            instance=instance, resources={"services": services}, cursor=json.dumps(params)
        ) as context,
    ):
        return models_there.evaluate_tick(context).skip_message or ""


TRANSFORMERS: dict[str, Any] = {"escalate_vlm": {"provider": "transformers", "model": "acme/none"}}
SERVER: dict[str, Any] = {"provider": "openai_compatible", "base_url": "http://127.0.0.1:9/v1", "model": "m"}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (TRANSFORMERS, "The model acme/none is not on this machine.\nhint: fetch it: hf download acme/none"),
        ({"escalate_vlm": {**TRANSFORMERS["escalate_vlm"], "model": "/etc"}}, "/etc lies in no model root."),
        ({"escalate_vlm": SERVER}, "escalate_vlm: crops may not go to 127.0.0.1:9."),
        ({"escalate_cloud": {"provider": "openai", "model": "gpt-4o-mini"}}, "and remote use is off."),
        ({"detect_objects": {"logos": "/dev/zero"}}, "/dev/zero lies in no model root."),
        ({"detect_objects": {"logos": "none.safetensors"}}, "There is no file none.safetensors in the model roots."),
        ({"detect_objects": {"embedder": "/"}}, "/ lies in no model root."),
        ({"detect_objects": {"object_model": "acme/none"}}, "The model acme/none is not on this machine."),
    ],
)
def test_a_client_is_told_which_model_is_missing(tmp_path: Path, params: dict[str, Any], said: str):
    services = Services.of(Settings(store_root=str(tmp_path)))
    assert said in answered(services, params)
    assert said in answered(services, {"run_ocr": {}, **params})


def test_a_client_is_told_nothing_where_all_is_there_or_nobody_can_know(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "finder.safetensors").write_bytes(b"")
    roots = (str(tmp_path),)
    services = Services.of(Settings(store_root=str(tmp_path / "store"), model_roots=roots))
    there = {"logos": "finder.safetensors", "embedder": "mine", "object_model": str(tmp_path / "mine")}
    own = {"provider": "transformers", "model": "mine"}
    assert answered(services, {"detect_objects": there, "escalate_vlm": own}) == ""
    elsewhere = {"run_launcher": {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"}}
    assert answered(services, TRANSFORMERS)
    assert answered(services, TRANSFORMERS, **elsewhere) == ""
    assert answered(services, {}) == ""
