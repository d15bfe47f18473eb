"""Runs whose process is gone are told from those that work; no process but this one is needed for it.

Only a cancel is shown on a process of its own.
"""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import PARTITION, WORKER
from brand_detect.operations.monitoring import dead_runs, liveness, machines
from brand_detect.operations.monitoring.dead_runs import FirstSeen
from brand_detect.operations.monitoring.liveness import SILENT_S, Worker, at_work
from brand_detect.operations.retention.pruning import prune_job
from brand_detect.orchestration.database import stored_values
from brand_detect.orchestration.run import JobRun
from brand_detect_tests.support.pipeline import Pipeline, Unthreaded, home_in, pipeline, two_shot_clip

MAX_RETRIES = "dagster/max_retries"
NOW_S = 1_700_000_000.0
WORKING = """
import sys, time
import dagster as dg
from brand_detect.domain.settings import Settings
from brand_detect.operations.monitoring import liveness
liveness.BEAT_S = 0.2

@dg.op
def work(context):
    with liveness.at_work(context.instance, context.run_id, Settings()):
        print("at work", flush=True)
        time.sleep(600)

@dg.job
def job():
    work()

with dg.DagsterInstance.get() as instance:
    job.execute_in_process(instance=instance, run_id=sys.argv[1], raise_on_error=False)
"""


@dg.job
def nothing() -> None:
    """A job of somebody else."""


@dg.asset
def run_ocr() -> None:
    """A stage by its name alone."""


@dg.asset
def comparison() -> None:
    """The asset beside the stages, by its name alone."""


@dg.asset
def invoices() -> None:
    """An asset of somebody else."""


OURS = dg.Definitions(assets=[run_ocr]).resolve_implicit_global_asset_job_def()
MIXED = dg.Definitions(assets=[run_ocr, invoices]).resolve_implicit_global_asset_job_def()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pipeline, JobRun]]:
    """A job that ran once."""
    folder = tmp_path_factory.mktemp("liveness")
    video = two_shot_clip(folder / "match.mp4", seconds=1.0)
    with pipeline(folder, kept=True) as built:
        yield built, built.runner.submit(str(video), job_id="match")


@pytest.fixture
def on_disk(done: tuple[Pipeline, JobRun]) -> dg.DagsterInstance:
    """For tests in which two threads write: SQLite in memory refuses the second one."""
    built, _ = done
    return built.instance


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setattr(liveness, "Thread", Unthreaded)
    with dg.DagsterInstance.ephemeral(settings={"run_retries": {"enabled": True, "max_retries": 1}}) as live:
        yield live


def begun(instance: dg.DagsterInstance, worker: Worker | None = None, status: str = "STARTED", **more: Any) -> str:
    """The id of a run that Dagster takes for one that is being executed."""
    run_id = str(uuid.uuid4())
    tags = {**more.pop("tags", {}), **({WORKER: f"{worker} {run_id}"} if worker else {})}
    ours = {"job_def": OURS, "asset_selection": {run_ocr.key}, **served_by("brand_detect")}
    return instance.create_run_for_job(
        run_id=run_id, status=dg.DagsterRunStatus(status), tags=tags, **(ours | more)
    ).run_id


def free_pid() -> int:
    return next(pid for pid in range(4_000_000, 1, -1) if not Path(f"/proc/{pid}").exists())


def elsewhere(pid: int = 7) -> Worker:
    return Worker("0b5b2a6e-8f0e-4f2b-9a57-3a1d4c1f7a10/4026531836", pid, 1, "another machine")


def gone() -> Worker:
    return replace(Worker.this(), pid=free_pid(), started=1)


def status(instance: dg.DagsterInstance, run_id: str) -> str:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status.value


# workers


@pytest.mark.parametrize(
    "worker", [Worker.this(), Worker("", 1, 2, "a host"), Worker("1-2/12", 4_194_304, 0, "häns  ende")]
)
def test_a_worker_is_read_as_it_was_written(worker: Worker):
    assert Worker.parse(str(worker)) == worker


def test_this_process_is_alive_whatever_its_beats():
    this = Worker.this()
    assert this.pid == os.getpid()
    assert not this.is_dead(0.0, NOW_S)
    assert not Worker.this().is_dead(NOW_S, NOW_S)


def test_another_process_of_this_machine_is_known_by_its_number_and_its_beginning():
    pid, this = os.getppid(), Worker.this()
    began = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    assert not replace(this, pid=pid, started=began).is_dead(0.0, NOW_S)
    assert replace(this, pid=pid, started=began - 1).is_dead(NOW_S, NOW_S), "the number was given to a later process"
    assert gone().is_dead(NOW_S, NOW_S), "its last beat does not count"


@pytest.mark.parametrize(("state", "dead"), [("R", False), ("S", False), ("D", False), ("Z", True)])
def test_a_process_that_has_ended_and_was_not_waited_for_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, dead: bool
):
    """Its name may hold anything."""
    stat = tmp_path / "stat"
    stat.write_text(f"7 (a) Z (b) {state} {' '.join(str(n) for n in range(4, 60))}", encoding="utf-8")
    this = Worker.this()
    monkeypatch.setattr(liveness, "Path", lambda _: stat)
    assert replace(this, pid=7, started=22).is_dead(NOW_S, NOW_S) is dead


def test_a_machine_that_does_not_tell_when_a_process_began_goes_by_the_beats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(liveness, "Path", lambda _: tmp_path / "no such system")
    this = Worker.this()
    assert this.started == 0
    assert not this.is_dead(NOW_S - SILENT_S, NOW_S)
    assert this.is_dead(NOW_S - SILENT_S - 1, NOW_S)


def test_setting_the_clock_ends_nobody(monkeypatch: pytest.MonkeyPatch):
    this = Worker.this()
    monkeypatch.setattr(time, "time", lambda: NOW_S)
    assert Worker.this() == this
    assert 0 < this.started < time.monotonic() * os.sysconf("SC_CLK_TCK") + 1_000_000, "ticks, not a date"


@pytest.mark.parametrize(
    ("silent_s", "dead"), [(0.0, False), (SILENT_S, False), (SILENT_S + 1, True), (-5.0, False), (NOW_S, True)]
)
def test_a_process_elsewhere_is_dead_when_it_was_silent_for_long(silent_s: float, dead: bool):
    """Whatever is at work here under its number."""
    for pid in (os.getpid(), free_pid()):
        assert elsewhere(pid).is_dead(NOW_S - silent_s, NOW_S) is dead


def test_a_beat_is_kept_well_within_the_time_that_a_worker_may_be_silent():
    assert liveness.BEAT_S * 4 <= SILENT_S


def test_another_container_is_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    outside = Worker.this()
    namespace = tmp_path / "pid"
    namespace.touch()
    monkeypatch.setattr(machines, "PID_NAMESPACE", namespace)
    assert Worker.this().machine != outside.machine
    assert outside.is_dead(0.0, NOW_S), "its number means nothing in here"
    assert not outside.is_dead(NOW_S, NOW_S)


def test_a_machine_of_the_same_name_is_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its worker beats, and no process here has its number."""
    here = Worker.this()
    boot = tmp_path / "boot_id"
    boot.write_text("7d6f0d6b-3f1c-4f8e-9e0e-2f6d1d8f8a11\n", encoding="utf-8")
    monkeypatch.setattr(machines, "BOOT_ID", boot)
    there = replace(Worker.this(), pid=free_pid())
    monkeypatch.undo()
    assert there.name == here.name
    assert not there.is_dead(NOW_S - 5.0, NOW_S)
    assert there.key != replace(here, pid=there.pid).key


def test_a_machine_that_is_not_known_goes_by_its_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machines, "BOOT_ID", tmp_path / "no such system")
    here, there = Worker.this(), replace(Worker.this(), name="another machine")
    assert here.machine == there.machine == ""
    assert not there.is_dead(NOW_S - 5.0, NOW_S)
    assert there.is_dead(0.0, NOW_S)
    assert here.key != there.key


# at work


def beat_s(instance: dg.DagsterInstance) -> float:
    key = Worker.this().key
    return float(instance.daemon_cursor_storage.get_cursor_values({key}).get(key, "0"))


def beats_on(instance: dg.DagsterInstance) -> bool:
    """Whether there is another beat within ten seconds."""
    first_s, until = beat_s(instance), time.monotonic() + 10
    while beat_s(instance) <= first_s and time.monotonic() < until:
        time.sleep(0.001)
    return beat_s(instance) > first_s


def test_a_run_says_who_executes_it_and_beats(on_disk: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(liveness, "BEAT_S", 0.001)
    run_id = begun(on_disk)
    with at_work(on_disk, run_id, Settings()):
        run = on_disk.get_run_by_id(run_id)
        assert run is not None
        assert run.tags[WORKER] == f"{Worker.this()} {run_id}"
        assert beats_on(on_disk)
        assert beats_on(on_disk), "not only once"
    last_s = beat_s(on_disk)
    assert last_s == pytest.approx(time.time(), abs=30)
    time.sleep(0.01)
    assert beat_s(on_disk) == last_s, "nobody works any more"


def test_the_beat_ends_with_a_run_that_fails(on_disk: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(liveness, "BEAT_S", 60.0)
    with pytest.raises(ZeroDivisionError), at_work(on_disk, begun(on_disk), Settings()):
        raise ZeroDivisionError
    assert beat_s(on_disk) > 0


@contextmanager
def working(folder: Path) -> Iterator[tuple[dg.DagsterInstance, dg.DagsterRun, "subprocess.Popen[bytes]"]]:
    """A process that executes a run and has done so for some beats."""
    run_id, home = str(uuid.uuid4()), {"DAGSTER_HOME": str(home_in(folder))}
    command = [sys.executable, "-c", WORKING, run_id]
    with (
        dg.DagsterInstance.from_config(str(folder)) as instance,
        subprocess.Popen(command, env={**os.environ, **home}, stdout=subprocess.PIPE) as worker,
    ):
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"at work\n"
            run = instance.get_run_by_id(run_id)
            assert run is not None
            with pytest.raises(subprocess.TimeoutExpired):
                worker.wait(1.0)
            yield instance, run, worker
        finally:
            worker.kill()


def test_a_process_that_nobody_tells_of_a_cancel_finds_it_and_ends(tmp_path: Path):
    """Its worker was connecting to the broker again at that moment."""
    with working(tmp_path) as (instance, run, worker):
        instance.report_run_canceling(run)
        worker.wait(20.0)
        assert status(instance, run.run_id) == "CANCELED"


def test_a_process_whose_run_is_executed_again_elsewhere_ends(tmp_path: Path):
    """Its run was declared dead while the database did not hear of it."""
    with working(tmp_path) as (instance, run, worker):
        instance.report_run_failed(run)
        instance.add_run_tags(run.run_id, {"dagster/auto_retry_run_id": "another"})
        worker.wait(20.0)
        assert status(instance, run.run_id) == "FAILURE"


@pytest.mark.parametrize("end", ["PIPELINE_FAILURE", "PIPELINE_SUCCESS"])
def test_a_process_whose_run_only_counts_as_over_goes_on(
    on_disk: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, end: str
):
    """Nobody executes it again, so its result is welcome."""
    interrupted = Event()
    monkeypatch.setattr(liveness, "BEAT_S", 0.001)
    monkeypatch.setattr(liveness.os, "kill", lambda *_: interrupted.set())
    run_id = begun(on_disk)
    with at_work(on_disk, run_id, Settings()):
        on_disk.report_dagster_event(dg.DagsterEvent(event_type_value=end, job_name="job"), run_id)
        for _ in range(liveness.UNWANTED_BEATS + 1):
            assert beats_on(on_disk)
        assert not interrupted.is_set()
        on_disk.delete_run(run_id)
        assert interrupted.wait(10), "nobody can even look at it any more"


def test_a_beat_that_fails_is_not_the_last_one(
    on_disk: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """A database that is restarted must not leave all runs elsewhere for dead."""
    monkeypatch.setattr(liveness, "BEAT_S", 0.001)
    storage, failed = on_disk.daemon_cursor_storage, Event()
    write = storage.set_cursor_values

    def restarted(pairs: Mapping[str, str]) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError("the database is starting up\n[SQL: UPDATE kvs]")
        write(pairs)

    monkeypatch.setattr(storage, "set_cursor_values", restarted)
    monkeypatch.setattr(liveness, "record", lambda *_: None)
    with at_work(on_disk, begun(on_disk), Settings()):
        assert failed.wait(10)
        assert beats_on(on_disk)
    [said] = [r for r in caplog.records if r.getMessage().startswith("a heartbeat failed")]
    assert (said.getMessage(), said.exc_info) == ("a heartbeat failed: the database is starting up", None)


def test_a_machine_whose_models_cannot_be_listed_works_and_beats(
    on_disk: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    """Its model root is on a mount that hangs."""
    hung, looks = Event(), []
    monkeypatch.setattr(liveness, "BEAT_S", 0.001)
    monkeypatch.setattr(liveness, "record", lambda *_: looks.append(1) or hung.wait(60))
    began = time.monotonic()
    with at_work(on_disk, begun(on_disk), Settings()):
        assert beats_on(on_disk)
        assert beats_on(on_disk)
    assert time.monotonic() - began < 30, "the end waited for it"
    hung.set()
    assert looks == [1], "once is enough"


def test_a_machine_that_cannot_be_recorded_works(
    on_disk: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(liveness, "record", lambda *_: 1 / 0)
    with at_work(on_disk, begun(on_disk), Settings()):
        until = time.monotonic() + 10
        while "division" not in caplog.text and time.monotonic() < until:
            time.sleep(0.001)
    assert "recording this machine failed: division by zero" in caplog.text


def max_retries(instance: dg.DagsterInstance, run_id: str) -> str | None:
    with at_work(instance, run_id, Settings()):
        pass
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.tags.get(MAX_RETRIES)


def retried_if_it_dies(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether Dagster would re-execute the run if it failed now."""
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return auto_reexecution_should_retry_run(instance, run, None)


def group(instance: dg.DagsterInstance, size: int) -> str:
    """A first run and replays of it; the id of the first."""
    root = begun(instance, status="SUCCESS")
    for _ in range(size - 1):
        begun(instance, status="SUCCESS", root_run_id=root, parent_run_id=root, tags={"dagster/root_run_id": root})
    return root


def replay(instance: dg.DagsterInstance, root: str, **tags: str) -> str:
    return begun(instance, root_run_id=root, parent_run_id=root, tags={"dagster/root_run_id": root, **tags})


@pytest.mark.parametrize("more", [0, liveness.RETRIES_MARGIN])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_replay_gets_one_more_try_however_many_there_are(instance: dg.DagsterInstance, size: int, more: int):
    """Some may wait in the queue by the time it dies."""
    root = group(instance, size)
    run_id = replay(instance, root)
    max_retries(instance, run_id)
    for _ in range(more):
        replay(instance, root)
    assert retried_if_it_dies(instance, run_id)


def test_a_first_run_gets_one_more_try(instance: dg.DagsterInstance):
    run_id = begun(instance)
    max_retries(instance, run_id)
    assert retried_if_it_dies(instance, run_id)


def test_a_re_execution_gets_no_further_try(instance: dg.DagsterInstance):
    """It has the tags of the run that died."""
    root = group(instance, 3)
    died = replay(instance, root)
    given = max_retries(instance, died)
    assert given is not None
    again = replay(instance, root, **{MAX_RETRIES: given, "dagster/retry_number": "4"})
    max_retries(instance, again)
    assert not retried_if_it_dies(instance, again)


def test_a_replay_whose_group_was_deleted_is_executed_all_the_same(instance: dg.DagsterInstance):
    root = group(instance, 2)
    run_id = replay(instance, root)
    instance.delete_run(root)
    assert max_retries(instance, run_id) is None


def test_a_run_of_the_pipeline_is_marked(done: tuple[Pipeline, JobRun]):
    built, job = done
    run = built.instance.get_run_by_id(job.run_id)
    assert run is not None
    assert run.tags[WORKER] == f"{Worker.this()} {run.run_id}"
    assert beat_s(built.instance) > 0
    until = time.monotonic() + 10
    while not (machine := stored_values(built.instance, machines.MACHINES)) and time.monotonic() < until:
        time.sleep(0.01)
    assert machine.keys() == {f"{machines.MACHINES}{machines.this_machine()}"}


# the dead


def found_dead(instance: dg.DagsterInstance, later_s: float = 0.0) -> dict[str, str]:
    """What is found ``later_s`` after a first look."""
    now_s = time.time()
    first = FirstSeen(now_s)
    found = {run.run_id: why for run, why in dead_runs.found_dead(instance, first)}
    if later_s:
        again = FirstSeen(now_s + later_s, first.cursor)
        found = {run.run_id: why for run, why in dead_runs.found_dead(instance, again)}
    return found


def test_a_clock_that_is_set_back_makes_no_run_older_or_younger_than_it_is():
    seen = FirstSeen(10_000.0)
    assert seen.age_s("silent", "r") == 0.0
    seen = FirstSeen(2_800.0, seen.cursor)
    assert seen.age_s("silent", "r") == 0.0
    assert FirstSeen(2_860.0, seen.cursor).age_s("silent", "r") == 60.0


def test_only_runs_that_nobody_executes_are_found(instance: dg.DagsterInstance):
    dead = begun(instance, gone())
    ended = [begun(instance, gone(), status=s) for s in ("SUCCESS", "FAILURE", "CANCELED", "NOT_STARTED", "STARTING")]
    alive = begun(instance, Worker.this())
    found = found_dead(instance)
    assert found == {dead: f"process {gone().pid} on {gone().name} is gone"}
    assert alive not in found
    assert not found.keys() & set(ended)


def test_a_run_elsewhere_goes_by_its_beats(instance: dg.DagsterInstance):
    beating, silent, new = (elsewhere(pid) for pid in (1, 2, 3))
    later_s = 10 * SILENT_S
    now_s = time.time() + later_s
    instance.daemon_cursor_storage.set_cursor_values(
        {beating.key: str(now_s - SILENT_S / 2), silent.key: str(now_s - 2 * SILENT_S)}
    )
    runs = {worker: begun(instance, worker) for worker in (beating, silent, new)}
    found = found_dead(instance, later_s)
    assert found == {
        runs[silent]: "process 2 on another machine is gone",
        runs[new]: "process 3 on another machine is gone",
    }
    assert runs[new] not in found_dead(instance), "it counts from the first look until the first beat"


def test_a_clock_that_is_off_ends_nobody(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    """The start of a run has the time of the worker's clock, and a beat that of the database's."""
    worker, now_s = elsewhere(), time.time()
    for off_s in (-600.0, 600.0):
        run_id = begun(instance, tags={PARTITION: "match"}, status="NOT_STARTED")
        run = instance.get_run_by_id(run_id)
        assert run is not None
        monkeypatch.setattr(time, "time", lambda off_s=off_s: now_s + off_s)
        instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name), run_id)
        monkeypatch.undo()
        [record] = instance.get_run_records(dg.RunsFilter(run_ids=[run_id]))
        assert record.start_time == pytest.approx(now_s + off_s, abs=5), "as from such a machine"
        assert run_id not in found_dead(instance), "no process has said yet that it executes the run"
        instance.add_run_tags(run_id, {WORKER: f"{worker} {run_id}"})
        assert run_id not in found_dead(instance), "its first beat is on its way"
        assert run_id in found_dead(instance, SILENT_S + 5)


def test_a_tag_of_another_version_is_no_worker(instance: dg.DagsterInstance):
    run_id = begun(instance)
    instance.add_run_tags(run_id, {WORKER: f"host/1 2 {run_id}"})
    assert found_dead(instance) == {}
    assert found_dead(instance, SILENT_S + 5) == {run_id: "no process has started it"}


def served_by(location: str) -> dict[str, Any]:
    """What Dagster notes of a run that was launched for the code location of that name."""
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__")
    return {"remote_job_origin": origin.get_job_origin("__ASSET_JOB")}


def test_a_run_that_no_process_has_taken_up_is_given_time(instance: dg.DagsterInstance):
    run_id = begun(instance, tags={PARTITION: "match"})
    assert found_dead(instance) == {}
    assert found_dead(instance, SILENT_S + 5) == {run_id: "no process has started it"}


def test_a_comparison_that_died_is_found_as_well(instance: dg.DagsterInstance):
    job_def = dg.Definitions(assets=[comparison]).resolve_implicit_global_asset_job_def()
    run_id = begun(instance, gone(), job_def=job_def, asset_selection={comparison.key})
    assert found_dead(instance).keys() == {run_id}


def test_a_prune_run_that_died_is_found_as_well(instance: dg.DagsterInstance):
    none = {"job_def": prune_job, "asset_selection": None}
    dead = begun(instance, gone(), **none)
    begun(instance, Worker.this(), **none)
    begun(instance, **none, **served_by("accounting"))
    assert found_dead(instance, SILENT_S + 5).keys() == {dead}


def test_runs_of_other_projects_are_left_alone(instance: dg.DagsterInstance):
    begun(instance, job_def=nothing, asset_selection=None, **served_by("accounting"))
    begun(instance, job_def=MIXED, asset_selection={run_ocr.key, invoices.key}, **served_by("accounting"))
    assert found_dead(instance, SILENT_S + 5) == {}


def test_a_re_execution_that_has_just_begun_is_not_taken_for_the_run_that_died(instance: dg.DagsterInstance):
    died = begun(instance, gone(), status="FAILURE")
    run = instance.get_run_by_id(died)
    assert run is not None
    again = begun(instance, tags={PARTITION: "match", **run.tags}, parent_run_id=died, root_run_id=died)
    assert found_dead(instance) == {}, "re-executions inherit tags"
    assert found_dead(instance, SILENT_S + 5) == {again: "no process has started it"}


def tick(instance: dg.DagsterInstance) -> str | None:
    return ticks(instance, 0.0)[0]


def ticks(instance: dg.DagsterInstance, *after_s: float) -> list[str | None]:
    """What the sensor says at each of these times from now on; each tick has the cursor of the one before."""
    said, cursor, now_s = [], None, time.time()
    for later_s in after_s:
        with pytest.MonkeyPatch.context() as patch, dg.build_sensor_context(instance, cursor) as context:
            patch.setattr(dead_runs, "database_now_s", lambda _, now_s=now_s + later_s: now_s)
            done = dead_runs.dead_runs.evaluate_tick(context)
        assert not done.run_requests
        said.append(done.skip_message)
        cursor = done.cursor
    return said


def test_the_sensor_ends_the_dead_and_leaves_the_living(instance: dg.DagsterInstance):
    dead, cancelled, alive = (
        begun(instance, gone()),
        begun(instance, gone(), "CANCELING"),
        begun(instance, Worker.this()),
    )
    assert tick(instance) == "2 dead runs ended."
    assert [status(instance, run) for run in (dead, cancelled, alive)] == ["FAILURE", "CANCELED", "STARTED"]
    messages = {run: [e.user_message or e.message for e in instance.all_logs(run)] for run in (dead, cancelled)}
    assert any("was found dead: process" in m for m in messages[dead])
    assert any("was being cancelled, and process" in m for m in messages[cancelled])
    assert tick(instance) == "0 dead runs ended."
    assert status(instance, alive) == "STARTED"


def test_a_run_that_died_after_its_last_stage_has_succeeded(done: tuple[Pipeline, JobRun]):
    built, job = done
    for run_id, end in ((job.run_id, "SUCCESS"), (begun(built.instance), "FAILURE")):
        run = built.instance.get_run_by_id(run_id)
        assert run is not None
        started = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name)
        built.instance.report_dagster_event(started, run_id)
        built.instance.add_run_tags(run_id, {WORKER: f"{gone()} {run_id}"})
        assert status(built.instance, run_id) == "STARTED"
        assert tick(built.instance) == "1 dead run ended."
        assert status(built.instance, run_id) == end


def test_a_run_that_the_sensor_ended_is_re_executed_once(instance: dg.DagsterInstance):
    run_id = replay(instance, group(instance, 3))
    max_retries(instance, run_id)
    instance.add_run_tags(run_id, {WORKER: f"{gone()} {run_id}"})
    assert tick(instance) == "1 dead run ended."
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.tags["dagster/will_retry"] == "true"


def test_the_sensor_counts_from_its_first_look_on(instance: dg.DagsterInstance):
    """A run that nobody took up, one whose worker never beat, and a failure that Dagster missed."""
    lost, silent, missed = begun(instance), begun(instance, elsewhere()), begun(instance, tags={PARTITION: "match"})
    run = instance.get_run_by_id(missed)
    assert run is not None
    instance.report_run_failed(run, "It died.")
    said = ticks(instance, 0.0, SILENT_S, SILENT_S + 1)
    assert said == ["0 dead runs ended.", "0 dead runs ended.", "2 dead runs ended."]
    assert [status(instance, run_id) for run_id in (lost, silent)] == ["FAILURE", "FAILURE"]
    assert failures_said(instance, missed) == 2


def test_a_run_that_has_just_ended_stays_as_it_is(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    """It ended after the sensor had listed it, and its process is gone for that reason."""
    run_id = begun(instance, gone())
    listed = instance.get_run_by_id(run_id)
    assert listed is not None
    instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, listed.job_name), run_id)
    monkeypatch.setattr(dead_runs, "found_dead", lambda *_: [(listed, "it is gone")])
    assert tick(instance) == "0 dead runs ended."
    assert status(instance, run_id) == "SUCCESS"


def test_a_failure_that_dagster_could_not_retry_or_of_another_day_is_not_reported_again(instance: dg.DagsterInstance):
    """A run of the command line has no code location that could execute it again."""
    of_the_line = begun(instance, tags={PARTITION: "match"}, remote_job_origin=None)
    old = begun(instance, tags={PARTITION: "match"})
    for run_id in (of_the_line, old):
        run = instance.get_run_by_id(run_id)
        assert run is not None
        instance.report_run_failed(run, "It died.")
    now_s = time.time()
    first = FirstSeen(now_s)
    assert {run.run_id for run in dead_runs.missed_retries(instance, first)} == set()
    again = FirstSeen(now_s + dead_runs.HEARD_S + 1, first.cursor)
    assert {run.run_id for run in dead_runs.missed_retries(instance, again)} == {old}
    for later_s in (dead_runs.PASSED_S + 60, dead_runs.PASSED_S + 120):
        again = FirstSeen(now_s + later_s, again.cursor)
        assert list(dead_runs.missed_retries(instance, again)) == []


def failures_said(instance: dg.DagsterInstance, run_id: str) -> int:
    return len(instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records)


def test_a_failure_that_dagster_passed_over_is_said_again_once(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    """It looked between the failure and its mark, and would never execute the run again."""
    tags = {PARTITION: "match"}
    missed_retries = begun(instance, tags=tags)
    taken_up = begun(instance, tags=tags | {"dagster/auto_retry_run_id": "another"})
    given_up = begun(instance, tags=tags | {"dagster/max_retries": "0"})
    others = begun(instance, tags=tags, job_def=MIXED, asset_selection={run_ocr.key, invoices.key})
    runs = [missed_retries, taken_up, given_up, others]
    for run_id in runs:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        instance.report_run_failed(run, "It died.")
    tick(instance)
    assert [failures_said(instance, run_id) for run_id in runs] == [1, 1, 1, 1], "Dagster is given time"
    monkeypatch.setattr(dead_runs, "HEARD_S", -1.0)
    for _ in range(2):
        tick(instance)
    assert [failures_said(instance, run_id) for run_id in runs] == [2, 1, 1, 1]
