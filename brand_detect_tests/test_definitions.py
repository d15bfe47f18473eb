"""What Dagster loads: the graph, the config and the workspace as a stranger's Dagster would see them."""

import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest
import yaml

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


def test_the_workspace_loads(tmp_path: Path):
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    command = [Path(sys.executable).with_name("dagster"), "definitions", "validate", "-w", "workspace.yaml"]
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        env={"DAGSTER_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


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
