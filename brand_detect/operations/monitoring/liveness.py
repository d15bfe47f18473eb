"""Tells which processes still work on their runs: each run names its process, which sends heartbeats.

Dagster's launchers do not watch their workers: if a run's process and its code server are killed together, the run
stays STARTED for ever and occupies its job's queue slot.

Silence is measured by the database's clock alone: a worker whose own is ten minutes off is as alive as any other.
"""

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import dagster as dg
from dagster import DagsterRunNotFoundError

from brand_detect.domain.pipeline import ASSETS, PRUNE
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import RETRIES_MARGIN, WORKER
from brand_detect.operations.monitoring.machines import BEATS, record, this_machine
from brand_detect.orchestration.database import database_now_s

BEAT_S = 15.0
SILENT_S = 120.0
"""A worker on another machine is dead after this time without a heartbeat: eight beats."""
UNWANTED_BEATS = 3
"""Number of beats at which nobody is seen to want a run before its process ends itself: 30 to 45 s."""
AT_WORK = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
WAITING = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED]
IN_FLIGHT = [*WAITING, dg.DagsterRunStatus.STARTING, *AT_WORK]


@dataclass(frozen=True)
class Worker:
    """A process on some machine."""

    machine: str
    """Where process ids are unique: the id of the machine's boot and its PID namespace, as containers on one machine
    share the former and all machines share the latter. Machines may share a name. Empty if unknown."""
    pid: int
    started: int
    """Clock ticks from boot to its start, which tell it from a later process with its id; 0 if unknown."""
    name: str
    """The machine's name, for people."""

    @classmethod
    def this(cls) -> "Worker":
        return cls(this_machine(), os.getpid(), _started(os.getpid()) or 0, socket.gethostname())

    @classmethod
    def parse(cls, tag: str) -> "Worker":
        """
        Raises:
            ValueError: ``tag`` is not made by ``str``.
        """
        name, machine, pid, started = tag.rsplit(" ", 3)
        return cls(machine, int(pid), int(started), name)

    def __str__(self) -> str:
        return f"{self.name} {self.machine} {self.pid} {self.started}"

    @property
    def key(self) -> str:
        return f"{BEATS}{self.machine or self.name}/{self.pid}/{self.started}"

    def is_dead(self, last_beat_s: float, now_s: float) -> bool:
        """Known at once for a process of this machine; for others after ``SILENT_S`` without a beat.

        Both times are the database's.
        """
        if self.machine and self.machine == this_machine() and self.started:
            return _started(self.pid) != self.started
        return now_s - last_beat_s > SILENT_S


def _started(pid: int) -> int | None:
    """Start of a process of this machine, in ticks; None if it does not exist or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])  # proc(5): fields 3 and 22


@contextmanager
def at_work(instance: dg.DagsterInstance, run_id: str, settings: Settings) -> Iterator[None]:
    """Record this process as the run's worker, and what its machine has, and send heartbeats until the end.

    A broker tells a cancel once, and a worker that is connecting again misses it. A worker that the database does not
    hear of for a while is declared dead, and its run may be executed again elsewhere. So the thread of the heartbeats
    looks whether anybody still wants the run, and if not interrupts its process as Dagster does.
    """
    worker, ended = Worker.this(), Event()
    instance.add_run_tags(run_id, {WORKER: f"{worker} {run_id}", **_tries(instance, run_id)})

    def beat() -> None:
        unwanted = 0
        while True:
            with _faults_logged("a heartbeat"):  # the next one may succeed
                instance.daemon_cursor_storage.set_cursor_values({worker.key: str(database_now_s(instance))})
                run = instance.get_run_by_id(run_id)
                if not _is_wanted(run):
                    unwanted += 1
                    if unwanted == UNWANTED_BEATS:  # once: another could interrupt the end itself
                        logging.getLogger(__name__).warning(
                            "Run %s was cancelled, deleted or is executed again elsewhere: its process ends.", run_id
                        )
                        os.kill(os.getpid(), signal.SIGINT)
            if ended.wait(BEAT_S):
                return

    def describe() -> None:
        with _faults_logged("recording this machine"):
            record(instance, settings)

    beating = Thread(target=beat, name="brand_detect beat", daemon=True)
    beating.start()
    # it reads all models: a slow or hung mount must neither delay a beat nor hold up the end
    Thread(target=describe, name="brand_detect machine", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        beating.join()


def _is_wanted(run: dg.DagsterRun | None) -> bool:
    """Not one that is deleted, cancelled or executed again. What only counts as dead goes on: its result is welcome."""
    cancelled = (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)
    return run is not None and run.status not in cancelled and not is_retried(run)


def is_retried(run: dg.DagsterRun) -> bool:
    """Whether Dagster has executed a failed run again."""
    return run.status == dg.DagsterRunStatus.FAILURE and "dagster/auto_retry_run_id" in run.tags


@contextmanager
def _faults_logged(what: str) -> Iterator[None]:
    """Any fault, of any database, costs one line: not in Dagster's log, which may be in the same database."""
    try:
        yield
    except Exception as e:
        logging.getLogger(__name__).warning("%s failed: %s", what, str(e).split("\n", 1)[0])


def _tries(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    """Tags that let ``run_retries`` re-execute this run once if it dies, but never a run that is itself a re-execution.

    Dagster counts every run of a run group as a retry of each, replays that people asked for included, and it counts
    when the run dies: ``RETRIES_MARGIN`` more may have been queued by then.
    """
    run = instance.get_run_by_id(run_id)
    if run is None or run.tags.get("dagster/retry_number"):
        return {"dagster/max_retries": "0"}
    try:
        group = instance.get_run_group(run_id)
    except DagsterRunNotFoundError:  # the group's first run was deleted: Dagster re-executes none of them
        return {}
    return {"dagster/max_retries": str(len(list(group[1])) + RETRIES_MARGIN)} if group else {}


def is_to_be_retried(run: dg.DagsterRun) -> bool:
    """Whether Dagster marked this failed run for re-execution and has not re-executed it yet."""
    failed = run.status == dg.DagsterRunStatus.FAILURE and run.tags.get("dagster/will_retry") == "true"
    return failed and "dagster/auto_retry_run_id" not in run.tags


def is_ours(run: dg.DagsterRun) -> bool:
    """Whether the run makes only this pipeline's assets, or prunes and names its worker, as no other run on the same
    Dagster does."""
    selected = {key.to_user_string() for key in run.asset_selection or ()}
    return (run.job_name == PRUNE and WORKER in run.tags) or (bool(selected) and selected <= {*ASSETS})


def worker_of(run: dg.DagsterRun) -> Worker | None:
    """The process that executes the run; None before it starts, when a re-execution still has its parent's tag."""
    tag, _, run_id = run.tags.get(WORKER, "").rpartition(" ")
    try:
        return Worker.parse(tag) if run_id == run.run_id else None
    except ValueError:  # written by another version, or by hand
        return None
