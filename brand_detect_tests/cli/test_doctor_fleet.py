"""``brand-detect doctor`` where other machines execute runs: each difference is told, with what to do."""

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from ssl import CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest
from celery import Celery
from kombu.connection import Connection

from brand_detect.cli import doctor_fleet
from brand_detect.cli.doctor_findings import Check, Finding, Installation
from brand_detect.cli.doctor_fleet import FLEET
from brand_detect.domain.settings import Settings
from brand_detect.operations.monitoring import machines
from brand_detect.operations.monitoring.fleet import pool_limits, set_limits
from brand_detect.orchestration import database
from brand_detect.orchestration.sqlite import SqliteStorage

SECRET = "h4sh-me-not"
CHECK = "a check of its certificate (ssl_cert_reqs=required)"
CHECKS: dict[str, Check] = {check.name: check for check in FLEET}


@dataclass
class Broker:
    """A connection to a broker, and Celery's app on it."""

    uri: str = "rediss://:**@queue.example.org:6379/0"
    password: str = SECRET
    hostname: str = "queue.example.org"
    ssl: Any = field(default_factory=lambda: {"ssl_cert_reqs": CERT_REQUIRED})
    fault: str = ""
    workers: list[dict[str, Any]] = field(default_factory=list)
    conf: Any = field(default_factory=lambda: SimpleNamespace(task_acks_late=True, worker_prefetch_multiplier=1))

    @property
    def control(self) -> "Broker":
        return self

    def connection_for_read(self, **_: Any) -> Any:
        return nullcontext(self)

    def as_uri(self) -> str:
        return self.uri

    def ensure_connection(self, **_: Any) -> None:
        if self.fault:
            raise OSError(self.fault)

    def broadcast(self, command: str, **_: Any) -> list[dict[str, Any]]:
        assert command == "stats"
        return self.workers


@dataclass
class Launcher:
    """Sends runs to other machines."""

    celery: Broker | None = None


@dataclass
class Installed:
    """An installation whose runs are executed elsewhere."""

    instance: Any
    settings: Settings = field(default_factory=Settings)

    def looks(self, name: str) -> list[Finding]:
        return list(CHECKS[name].look(cast("Installation", self)))

    def look(self, name: str) -> Finding:
        [found] = self.looks(name)
        return found


def installed(launcher: Any, *, limit: int = 2, start_s: int = 21_600, **settings: Any) -> Installed:
    queue = SimpleNamespace(run_queue_config=SimpleNamespace(max_concurrent_runs=limit))
    instance = SimpleNamespace(
        run_launcher=launcher,
        get_concurrency_config=lambda: queue,
        run_monitoring_start_timeout_seconds=start_s,
        run_storage=object(),
        compute_log_manager=object(),
    )
    return Installed(instance, Settings(**settings))


def worker(slots: int, name: str = "celery@worker") -> dict[str, Any]:
    return {name: {"pool": {"max-concurrency": slots}}}


@pytest.fixture
def on_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    """With a database."""
    monkeypatch.setattr(doctor_fleet, "_is_local", lambda _: False)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Installed(instance)


# broker, slots, start time-out


def test_a_broker_out_of_reach_is_told_without_its_password():
    broker = Broker(fault=f"Error 111 connecting with {SECRET}. Connection refused.\nmore")
    found = installed(Launcher(broker)).look("broker")
    assert (found.state, found.todo) == ("fail", "start it, or correct BRAND_DETECT_BROKER_URL here")
    assert found.text == (
        "rediss://:**@queue.example.org:6379/0 is out of reach: Error 111 connecting with **. Connection refused."
    )


@pytest.mark.parametrize(
    ("broker", "state", "said"),
    [
        (Broker(), "ok", "rediss://:**@queue.example.org:6379/0 answers"),
        (Broker("redis://:**@queue.example.org//", ssl=False), "warn", "answers, but without TLS"),
        (Broker("redis://queue.example.org//", "", ssl=False), "warn", "answers, but without TLS and a password"),
        (Broker("redis://127.0.0.1//", "", "127.0.0.1", ssl=False), "warn", "answers, but without a password"),
        (Broker("redis://:**@127.0.0.1//", SECRET, "127.0.0.1", ssl=False), "ok", "answers"),
        (Broker("amqp://me:**@queue.example.org//", ssl=False), "warn", "answers, but without TLS"),
        (Broker(ssl={"ssl_cert_reqs": CERT_NONE}), "warn", f"answers, but without {CHECK}"),
        (Broker(ssl={"ssl_cert_reqs": CERT_OPTIONAL}, password=""), "warn", f"without {CHECK} and a password"),
        (Broker("amqps://me:**@queue.example.org//", ssl=True), "warn", f"answers, but without {CHECK}"),
    ],
)
def test_a_broker_that_answers(broker: Broker, state: str, said: str):
    found = installed(Launcher(broker)).look("broker")
    assert found.state == state
    assert found.text.endswith(said)


@pytest.mark.parametrize(
    ("query", "state"), [("", "warn"), ("?ssl_cert_reqs=none", "warn"), ("?ssl_cert_reqs=required", "ok")]
)
def test_a_certificate_is_checked_only_if_the_url_says_so(monkeypatch: pytest.MonkeyPatch, query: str, state: str):
    app = Celery(broker=f"rediss://:{SECRET}@queue.example.org:6379/0{query}")
    app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1)
    monkeypatch.setattr(Connection, "ensure_connection", lambda *_, **__: None)
    assert installed(SimpleNamespace(celery=app)).look("broker").state == state


def test_an_authority_that_cannot_be_read_is_told():
    app = Celery(broker=f"rediss://:{SECRET}@queue.example.org:6379/0?ssl_cert_reqs=required&ssl_ca_certs=/gone/ca.pem")
    found = installed(SimpleNamespace(celery=app)).look("broker")
    assert (found.state, found.text) == ("fail", "/gone/ca.pem cannot be read here")


def test_a_broker_that_the_instance_does_not_use_is_told(monkeypatch: pytest.MonkeyPatch):
    """As doctor finds it in a folder with another dagster.yaml."""
    assert installed(Launcher()).look("broker").state == "off"
    monkeypatch.setenv("BRAND_DETECT_BROKER_URL", f"redis://:{SECRET}@queue.example.org:6379/0")
    found = installed(Launcher()).look("broker")
    assert (found.state, found.todo) == ("fail", "set DAGSTER_HOME to the folder with deploy/workers/dagster.yaml")


def test_a_broker_that_loses_tasks_is_told():
    conf = SimpleNamespace(task_acks_late=False, worker_prefetch_multiplier=4)
    _, found = installed(Launcher(Broker(conf=conf))).looks("broker")
    assert found.state == "warn"
    assert "task_acks_late" in found.todo


@pytest.mark.parametrize(
    ("workers", "state", "said", "todo"),
    [
        ([], "fail", "no worker answers", "start one"),
        ([worker(1)], "warn", "1 worker with 1 slot, but up to 4 runs leave the queue: 3 wait", "to 1, or add slots"),
        ([worker(2), worker(2)], "ok", "2 workers with 4 slots, as many as runs leave the queue", ""),
        ([worker(4), worker(2)], "warn", "2 workers with 6 slots, but the queue lets only 4 runs go at a time", "to 6"),
    ],
)
def test_the_slots_of_all_workers_are_compared_with_the_queue(
    workers: list[dict[str, Any]], state: str, said: str, todo: str
):
    """Those of workers of one name as well."""
    found = installed(Launcher(Broker(workers=workers)), limit=4).look("slots")
    assert found.state == state
    assert said in found.text
    assert todo in found.todo


def test_a_queue_without_a_limit_lets_all_runs_wait_in_the_broker():
    found = installed(Launcher(Broker(workers=[worker(2)])), limit=-1).look("slots")
    assert (found.state, found.todo) == ("warn", "set concurrency.runs.max_concurrent_runs to 2")
    assert found.text == "1 worker with 2 slots, but all runs leave the queue at once and wait in the broker"
    assert (
        installed(Launcher(), limit=-1).look("slots").text == "any number of runs at a time, on the launcher's engine"
    )


@pytest.mark.parametrize(("seconds", "state"), [(60, "fail"), (599, "fail"), (600, "ok"), (21_600, "ok")])
def test_a_start_time_out_that_does_not_allow_waiting(seconds: int, state: str):
    found = installed(Launcher(), start_s=seconds).look("start time-out")
    assert found.state == state
    assert bool(found.todo) is (state == "fail")


def test_one_machine_needs_none_of_it():
    here = installed(dg.DefaultRunLauncher(), start_s=60)
    states = {name: here.look(name).state for name in ("shared", "broker", "slots", "machines", "start time-out")}
    assert states == {"shared": "off", "broker": "off", "slots": "off", "machines": "off", "start time-out": "ok"}


# what other machines must reach


def test_what_is_on_this_machine_alone_is_told(tmp_path: Path):
    class LocalComputeLogManager: ...

    storage = SqliteStorage.from_local(str(tmp_path / "dagster"))
    here = installed(Launcher(), store_root=str(tmp_path), media_roots=(str(tmp_path), "s3://bucket/videos"))
    here.instance.run_storage, here.instance.compute_log_manager = storage.run_storage, LocalComputeLogManager()
    found = here.looks("shared")
    storage.dispose()
    assert [f.state for f in found] == ["fail", "fail", "warn", "warn", "warn"]
    assert all(f.todo for f in found)
    assert str(tmp_path) in found[2].text
    assert "s3://" not in found[2].text


def test_places_that_all_machines_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nstore:/export {tmp_path} nfs4 rw 0 0\n", encoding="utf-8")
    monkeypatch.setattr(doctor_fleet, "MOUNTS", mounts)
    places: dict[str, Any] = {"store_root": "s3://bucket/store", "uploads": "s3://bucket/uploads"}
    shared = installed(Launcher(), media_roots=(str(tmp_path / "videos"),), **places)
    assert shared.look("shared").state == "ok"
    for kind, state in (("fuse.sshfs", "ok"), ("fuseblk", "warn"), ("xfs", "warn")):
        mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nstore:/export {tmp_path} {kind} rw 0 0\n", encoding="utf-8")
        assert shared.look("shared").state == state, kind


# clock, pools, machines


@pytest.mark.parametrize(
    ("off_s", "state", "said"), [(600.0, "warn", "ahead of"), (-600.0, "warn", "behind"), (0.0, "ok", "")]
)
def test_a_clock_that_is_off(
    on_workers: Installed, monkeypatch: pytest.MonkeyPatch, off_s: float, state: str, said: str
):
    now_s = time.time()
    monkeypatch.setattr(database, "database_now_s", lambda _: now_s - off_s)
    found = on_workers.look("clock")
    assert found.state == state
    assert said in found.text


def test_the_limits_of_pools_are_those_of_the_settings(on_workers: Installed):
    assert on_workers.look("pools").text == "gpu 1, cloud 1"
    on_workers.settings = Settings(gpu_slots=4)
    assert set_limits(on_workers.instance, on_workers.settings) == {"gpu": 4, "cloud": 1}
    assert set_limits(on_workers.instance, on_workers.settings) == {}
    assert pool_limits(on_workers.instance) == {"gpu": 4, "cloud": 1}
    assert on_workers.look("pools").text == "gpu 4, cloud 1"
    on_workers.settings = Settings(gpu_slots=2)
    found = on_workers.look("pools")
    assert (found.state, found.text) == ("warn", "gpu: 4 in Dagster, but BRAND_DETECT_GPU_SLOTS is 2")


def another(
    here: Installed, changes: Mapping[str, str], name: str = "worker-2", ago_s: float = 60.0, key: str = ""
) -> None:
    """Record a machine that has what this one has but for ``changes``."""
    document = json.dumps({"name": name, "facts": {**machines.facts(here.settings), **changes}})
    value = f"{database.database_now_s(here.instance) - ago_s} {document}"
    here.instance.daemon_cursor_storage.set_cursor_values({f"{machines.MACHINES}{key or name}": value})


def test_a_worker_that_is_alike(on_workers: Installed):
    assert on_workers.look("machines").text == "0 others seen in the last day, all like this one"
    another(on_workers, {})
    assert on_workers.look("machines").text == "1 other seen in the last day, all like this one"
    another(on_workers, {"brand_detect": "0.0"}, "worker-3", machines.SEEN_S + 60)
    assert on_workers.look("machines").state == "ok", "it may have been gone for long"


@pytest.mark.parametrize(
    ("changes", "ago_s", "state", "said", "todo"),
    [
        ({"brand_detect": "0.0.1 abc"}, 60, "fail", "brand_detect: 0.0.1 abc, here ", "install the same release"),
        ({"brand_detect": "0.0.1 abc"}, 7200, "warn", "worker-2, seen 120 min ago, differs.", "install the same"),
        ({"BRAND_DETECT_DAILY_USD": "99.0"}, 60, "fail", "BRAND_DETECT_DAILY_USD: 99.0, here 10.0", "environment"),
        ({"openvino": "2020.1"}, 60, "warn", "openvino: 2020.1, here ", "install the same release"),
        ({"brand_detect": "0.0.1 abc"}, 400, "warn", "worker-2, seen 7 min ago, differs.", "install the same"),
        (
            {"BRAND_DETECT_MODEL_API_KEYS": "set"},
            60,
            "warn",
            "BRAND_DETECT_MODEL_API_KEYS: set, here none",
            "environment",
        ),
        ({"OPENAI_API_KEY": "set"}, 60, "warn", "OPENAI_API_KEY: set, here none", "give both the same environment"),
        ({"model siglip": "9 bytes"}, 60, "warn", "model siglip: 9 bytes, here none", "copy the models"),
    ],
)
def test_a_worker_that_differs(
    on_workers: Installed,
    monkeypatch: pytest.MonkeyPatch,
    changes: Mapping[str, str],
    ago_s: float,
    state: str,
    said: str,
    todo: str,
):
    for name in ("OPENAI_API_KEY", "BRAND_DETECT_MODEL_API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    another(on_workers, changes, ago_s=ago_s)
    another(on_workers, {}, "worker-3")
    found = on_workers.look("machines")
    assert found.state == state
    assert said in found.text
    assert todo in found.todo


OLD = {"brand_detect": "0.0.1 abc"}


def test_a_machine_that_was_replaced_by_another_of_its_name_is_not_compared(on_workers: Installed):
    """Started again, or upgraded as a container."""
    another(on_workers, OLD, ago_s=600, key="boot-1/1")
    another(on_workers, {}, ago_s=30, key="boot-2/1")
    another(on_workers, OLD, socket.gethostname(), ago_s=600, key="this one before it was started again")
    found = on_workers.look("machines")
    assert (found.state, found.text) == ("ok", "1 other seen in the last day, all like this one")


def test_a_machine_that_works_counts_as_it_is_whenever_its_run_began(on_workers: Installed):
    another(on_workers, OLD, ago_s=7200, key="boot-1/1")
    another(on_workers, {}, ago_s=30, key="boot-2/1")
    beat = {f"{machines.BEATS}boot-1/1/7/5": str(database.database_now_s(on_workers.instance) - 15)}
    on_workers.instance.daemon_cursor_storage.set_cursor_values(beat)
    found = on_workers.look("machines")
    assert found.state == "fail"
    assert "worker-2, seen 0 min ago, differs. brand_detect: 0.0.1 abc" in found.text


def test_machines_that_differ_alike_are_told_in_one_line(on_workers: Installed):
    """On Kubernetes each run's pod is one."""
    for n in range(1, 6):
        another(on_workers, OLD, f"pod-{n}", ago_s=600.0 * n)
    another(on_workers, {"python": "2.7"}, "pod-6", ago_s=600)
    five, one = sorted(on_workers.looks("machines"), key=lambda found: found.text)
    assert (five.state, one.state) == ("warn", "warn")
    assert five.text.startswith("pod-1 and 4 more, seen 10 min ago, differ. brand_detect: 0.0.1 abc, here ")
    assert one.text.startswith("pod-6, seen 10 min ago, differs. python: 2.7")


def test_doctor_records_the_machine_it_runs_on(on_workers: Installed, monkeypatch: pytest.MonkeyPatch):
    """A new worker is seen before its first run."""
    on_workers.look("machines")
    monkeypatch.setattr(machines, "this_machine", lambda: "another/1")
    on_workers.settings = Settings(max_pixels=1000)
    found = on_workers.look("machines")
    assert found.state == "fail"
    assert f"BRAND_DETECT_MAX_PIXELS: {Settings().max_pixels}, here 1000" in found.text
