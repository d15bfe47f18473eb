"""The files under deploy/ say what the code and the engines that read them understand."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from shutil import which
from typing import Any

import dagster as dg
import pytest
import yaml
from celery.app.defaults import DEFAULTS
from dagster._config import process_config
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import get_user_defined_k8s_config
from dagster_k8s.models import k8s_model_from_dict
from kubernetes.client import V1ResourceRequirements
from packaging.requirements import Requirement

from brand_detect.domain.kubernetes import StageResources, pod_tags
from brand_detect.orchestration.launcher import WorkerRunLauncher

DEPLOY = Path(__file__).parents[1] / "deploy"
WORKERS = DEPLOY / "workers"
UNITS = DEPLOY / "systemd"


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def snake(tree: Any) -> Any:
    """Keys as Dagster writes them, where the chart writes them as Kubernetes does."""
    if isinstance(tree, list):
        return [snake(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    return {re.sub(r"([A-Z])", lambda m: f"_{m[1].lower()}", k): snake(v) for k, v in tree.items()}


def test_the_instance_of_many_machines_differs_where_it_must():
    alone, many = load(DEPLOY / "postgres" / "dagster.yaml"), load(WORKERS / "dagster.yaml")
    assert many.pop("run_launcher")["class"] == WorkerRunLauncher.__name__
    assert many.pop("compute_logs") != alone.pop("compute_logs")
    assert many["run_monitoring"].pop("start_timeout_seconds") > alone["run_monitoring"].pop("start_timeout_seconds")
    for name in ("max_user_code_failure_retries", "user_code_failure_retry_delay"):
        assert many["run_coordinator"]["config"].pop(name)
    assert many == alone


def test_dagster_accepts_it_and_celery_has_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BRAND_DETECT_BROKER_URL", "redis://:secret@127.0.0.1:1/0")
    text = (WORKERS / "dagster.yaml").read_text(encoding="utf-8")
    (tmp_path / "dagster.yaml").write_text(text, encoding="utf-8")
    dagster_instance_config(str(tmp_path))
    launcher = InstanceRef.from_dir(str(tmp_path)).run_launcher
    assert isinstance(launcher, WorkerRunLauncher)
    conf = launcher.celery.conf
    assert (conf.broker_url, conf.task_acks_late, conf.worker_prefetch_multiplier) == (
        "redis://:secret@127.0.0.1:1/0",
        True,
        1,
    )
    # a task that nobody began is delivered again before its run is given up
    monitoring = load(WORKERS / "dagster.yaml")["run_monitoring"]
    assert conf.broker_transport_options["visibility_timeout"] * 2 < monitoring["start_timeout_seconds"]
    # every name is one of Celery's: it takes any
    assert set(load(WORKERS / "dagster.yaml")["run_launcher"]["config"]["config_source"]) <= set(DEFAULTS)


def test_no_secret_stands_in_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BRAND_DETECT_BROKER_URL", "redis://:hunter2@127.0.0.1:1/0")
    monkeypatch.setenv("BRAND_DETECT_POSTGRES_URL", "postgresql+psycopg2://me:hunter2@127.0.0.1:1/brands")
    text = (WORKERS / "dagster.yaml").read_text(encoding="utf-8")
    (tmp_path / "dagster.yaml").write_text(text, encoding="utf-8")
    assert "hunter2" not in dg.serialize_value(InstanceRef.from_dir(str(tmp_path)))


def test_the_charts_values_are_those_of_dagsters_launcher_for_kubernetes():
    values = load(WORKERS / "values.yaml")
    run = values["runLauncher"]["config"]["k8sRunLauncher"]
    config = snake({k: v for k, v in run.items() if k != "runK8sConfig"})
    config["run_k8s_config"] = {snake({k: 0}).popitem()[0]: v for k, v in run["runK8sConfig"].items()}
    config |= {"service_account_name": "dagster", "instance_config_map": "dagster", "dagster_home": "/opt"}
    answer = process_config(K8sRunLauncher.config_type(), config)
    assert answer.success, answer.errors
    k8s_model_from_dict(V1ResourceRequirements, run["runK8sConfig"]["containerConfig"]["resources"])


def test_its_queue_and_monitoring_are_those_of_the_other_instances():
    values, instance = load(WORKERS / "values.yaml"), load(WORKERS / "dagster.yaml")
    runs = snake(values["concurrency"]["runs"])
    limits = [
        {k: v for k, v in limit.items() if k != "value"} | {"value": limit["value"]}
        for limit in values["concurrency"]["runs"]["tagConcurrencyLimits"]
    ]
    assert limits == instance["concurrency"]["runs"]["tag_concurrency_limits"]
    assert set(runs) == set(instance["concurrency"]["runs"])
    monitoring = snake(values["dagsterDaemon"]["runMonitoring"])
    assert monitoring == instance["run_monitoring"] | {"max_resume_run_attempts": 0}
    assert snake(values["dagsterDaemon"]["runRetries"]) == instance["run_retries"]
    assert snake(values["dagsterDaemon"]["sensors"]) == instance["sensors"]


def test_the_tag_of_a_run_is_one_that_dagsters_launcher_for_kubernetes_reads():
    tags = pod_tags(["run_ocr"], {"run_ocr": StageResources(cpu=2, memory_gib=3, gpu=1)})
    asked = get_user_defined_k8s_config(tags).container_config["resources"]
    assert k8s_model_from_dict(V1ResourceRequirements, dict(asked)).limits == {
        "memory": "3072Mi",
        "nvidia.com/gpu": "1",
    }


def test_the_image_has_the_packages_that_its_instances_name():
    """The code server of a cluster loads the launcher, too."""
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [extras] = re.findall(r'"\.\[(.+)\]"', (WORKERS / "Dockerfile").read_text(encoding="utf-8"))
    groups = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras.split(","))]
    installed = {Requirement(line).name for group in groups for line in group}
    modules = re.findall(r"module: (\w+)", (WORKERS / "dagster.yaml").read_text(encoding="utf-8"))
    named = {*modules, K8sRunLauncher.__module__.split(".")[0]} - {"brand_detect"}
    distributions = packages_distributions()
    assert {distributions[module][0] for module in named} <= installed


@pytest.mark.parametrize(
    "file",
    [WORKERS / "compose.yaml", UNITS / "brand-detect-worker.service", WORKERS / "Dockerfile"],
    ids=lambda f: f.name,
)
def test_workers_start_alike_everywhere(file: Path):
    text = file.read_text(encoding="utf-8").replace('", "', " ")
    assert "celery -A brand_detect.orchestration.worker worker --loglevel INFO --concurrency" in text


@pytest.mark.skipif(not which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_knows_every_line_of_the_units(tmp_path: Path):
    there = shutil.copytree(UNITS, tmp_path / "units")
    files = [file for file in there.rglob("*") if file.is_file()]
    assert len(files) == 5
    for file in files:
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("/opt/brand_detect/.venv", sys.prefix), encoding="utf-8")
    units = sorted(there.glob("*.service"))

    def said() -> str:
        command = ["systemd-analyze", "verify", *map(str, units)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr

    assert said() == ""
    with (there / "brand-detect-.service.d" / "common.conf").open("a", encoding="utf-8") as common:
        common.write("[Service]\nNoSuchKey=yes\n")
    assert said().count("NoSuchKey") == len(units)  # what they have in common is part of each


def test_processes_under_systemd_keep_what_python_compiles(tmp_path: Path):
    """The package lies where its user cannot write."""
    unit = (UNITS / "brand-detect-.service.d" / "common.conf").read_text(encoding="utf-8")
    [writable] = re.findall(r"(?m)^ReadWritePaths=(.+)$", unit)
    [given] = re.findall(r"(?m)^Environment=(PYTHONPYCACHEPREFIX=.+)$", unit)
    name, _, folder = given.partition("=")
    assert Path(folder).is_relative_to(writable)
    (tmp_path / "package.py").touch()
    environment = {name: folder.replace(writable, str(tmp_path / "home")), "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", "import package"], env=environment, check=True)
    assert [*(tmp_path / "home").rglob("package.*.pyc")]
    assert not [*tmp_path.glob("__pycache__")]


def test_the_compose_file_has_as_many_slots_as_the_queue():
    services = load(WORKERS / "compose.yaml")["services"]
    assert (
        services["worker"]["deploy"]["replicas"]
        == load(WORKERS / "dagster.yaml")["concurrency"]["runs"]["max_concurrent_runs"]
    )
    wanted = set(re.findall(r"\$\{(\w+)\}", (WORKERS / "compose.yaml").read_text(encoding="utf-8")))
    given = {line.split("=")[0] for line in (WORKERS / "example.env").read_text(encoding="utf-8").splitlines()}
    assert given == wanted
