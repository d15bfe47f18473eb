"""What Dagster loads: the graph, the config and the workspace as a stranger's Dagster would see them."""

import shutil
import subprocess
import sys
import tomllib
import warnings
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from pkgutil import iter_modules

import dagster as dg
import pytest
import yaml

from brand_detect import operations
from brand_detect.definitions import build_definitions
from brand_detect.domain.pipeline import ANNOTATED, CATALOG, COMPARISON, LINE, PORTFOLIO, STAGES
from brand_detect_tests.support.pipeline import pipeline

CHECKOUT = Path(__file__).resolve().parents[1]

BESIDE = (COMPARISON, ANNOTATED, PORTFOLIO)


@pytest.fixture
def definitions(tmp_path: Path) -> dg.Definitions:
    with pipeline(tmp_path) as built:
        return build_definitions(built.services)


def test_the_graph_is_the_line_of_stages(definitions: dg.Definitions):
    graph = definitions.resolve_asset_graph()
    names = {
        key.to_user_string(): {p.to_user_string() for p in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert names.keys() == {*LINE, CATALOG, "problems", *BESIDE}
    assert not {*BESIDE} & set().union(*names.values()), "no stage waits for what stands beside the line"
    assert all(names[name] == set() for name in BESIDE)
    for above, below in pairwise(LINE):
        assert above in names[below], f"{below} does not read {above}"
    assert CATALOG in names["match_brands"]
    assert names[CATALOG] == names["problems"] == set()


def test_every_asset_tells_a_stranger_what_it_is(definitions: dg.Definitions):
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description
        assert spec.group_name in ("inputs", "pipeline", "operations")
        assert spec.kinds
        assert spec.owners
        assert spec.tags["work"]
        if spec.key.to_user_string() in STAGES:
            assert spec.code_version
            assert spec.tags["stage"] == str(STAGES.index(spec.key.to_user_string()) + 1)
            assert any(name.startswith("columns of ") for name in spec.metadata)
            assert isinstance(spec.partitions_def, dg.DynamicPartitionsDefinition)


def names(definitions: dg.Definitions) -> set[str]:
    """Of the sensors, schedules, jobs and assets, resolved or not."""
    parts = [*(definitions.sensors or ()), *(definitions.schedules or ()), *(definitions.jobs or ())]
    assets = [a for a in definitions.assets or () if isinstance(a, dg.AssetsDefinition | dg.AssetSpec)]
    return {part.name for part in parts} | {asset.key.to_user_string() for asset in assets}


def test_what_each_operation_offers_is_there(tmp_path: Path):
    with pipeline(tmp_path) as built:
        joined = names(build_definitions(built.services))
        modules = [import_module(f"{operations.__name__}.{found.name}") for found in iter_modules(operations.__path__)]
        offered = {m.__name__: names(m.definitions(built.services)) for m in modules if hasattr(m, "definitions")}
    assert len(offered) > 5
    for module, there in offered.items():
        assert there, f"{module} offers nothing"
        assert there <= joined, f"{module} is not among the definitions"
    assert {"brand_catalog_changed", "model_check"} <= joined - set().union(*offered.values())


def test_runs_are_only_found_dead_where_they_say_who_executes_them(tmp_path: Path):
    with pipeline(tmp_path) as built:
        many = build_definitions(built.services, dg.multiprocess_executor)
        assert names(build_definitions(built.services)) - names(many) == {"dead_runs", "fleet"}


def test_every_job_schedule_and_sensor_tells_a_stranger_what_it_is(definitions: dg.Definitions):
    repository = definitions.get_repository_def()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    parts = [*jobs, *repository.schedule_defs, *repository.sensor_defs]
    assert {part.name for part in parts} == {
        *("prune", "retry"),
        *("nightly_prune", "offpeak_retries"),
        *(
            "brand_catalog_changed",
            "dead_runs",
            "fleet",
            "held_runs",
            "inbox",
            "model_check",
            "notifications",
            "open_jobs",
        ),
        "problems",
    }
    assert [part.name for part in parts if not part.description] == []


def test_the_sensors_that_a_deployment_needs_run_unless_they_are_stopped(definitions: dg.Definitions):
    running = {s.name for s in definitions.sensors or () if s.default_status is dg.DefaultSensorStatus.RUNNING}
    assert running == {"brand_catalog_changed", "dead_runs", "fleet", "held_runs", "open_jobs", "problems"}


def test_nothing_that_dagster_will_drop_or_change_is_used(tmp_path: Path):
    with pipeline(tmp_path) as built, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        build_definitions(built.services).resolve_all_job_defs()
    assert [str(w.message) for w in said] == []


def test_the_project_names_the_code_location_of_the_workspace():
    """Without ``-w``, Dagster's commands read the project; the servers of a deployment read the workspace."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["dg"]["project"]
    workspace = yaml.safe_load((CHECKOUT / "workspace.yaml").read_text(encoding="utf-8"))
    (location,) = workspace["load_from"]
    module = location["python_module"]
    assert module["module_name"] == project["code_location_target_module"]
    assert module.get("location_name", module["module_name"]) == project["code_location_name"]


def test_the_two_instance_configs_differ_in_their_storage_only():
    local, postgres = (
        yaml.safe_load((CHECKOUT / path / "dagster.yaml").read_text(encoding="utf-8"))
        for path in ("", "deploy/postgres")
    )
    assert local.pop("storage") != postgres.pop("storage")
    assert local == postgres
    assert local["run_monitoring"]["enabled"]
    assert not local["telemetry"]["enabled"]


def test_an_instance_writes_into_the_ignored_folder_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copy(CHECKOUT / "dagster.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.get_run_records() == []
    assert {p.name for p in tmp_path.iterdir()} == {"dagster.yaml", ".state"}


def test_a_process_that_has_loaded_it_ends_without_tracing_what_it_loaded():
    """What is registered first is called last."""
    code = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 100_000)); "
    done = subprocess.run(
        [sys.executable, "-SE", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}import brand_detect.definitions"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
