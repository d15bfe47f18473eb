"""Checks of ``brand-detect doctor`` for installations in which other machines execute runs."""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from ssl import CERT_REQUIRED
from typing import Any

from brand_detect.cli.doctor_findings import FAIL, OFF, OK, WARN, Check, Finding, Installation
from brand_detect.domain.words import counted

BROKER = "BRAND_DETECT_BROKER_URL"
SKEW_S = 5.0
"""Largest difference between this machine's clock and the database's without a warning."""
START_S = 600.0
"""Shortest start time-out for runs that wait in a broker or for an image."""
LATELY_S = 300.0
"""A machine seen within this time counts as it is; one seen before may have been mended or replaced since."""
PATIENCE_S = 3.0
NETWORK = ("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "lustre", "beegfs", "9p", "virtiofs")
"""File systems that several machines may share; those of FUSE count, too."""
LISTED = 6
ONE_MACHINE = "runs are executed on this machine"
MOUNTS = Path("/proc/mounts")


def _is_local(here: Installation) -> bool:
    from dagster import DefaultRunLauncher
    from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher

    return isinstance(here.instance.run_launcher, DefaultRunLauncher | SyncInMemoryRunLauncher)


def _clock(here: Installation) -> Iterator[Finding]:
    from brand_detect.orchestration.database import database_now_s

    began = time.time()
    ahead_s = (began + time.time()) / 2 - database_now_s(here.instance)
    said = f"{abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} the database's"
    if abs(ahead_s) > SKEW_S:
        todo = "synchronise it (chrony, systemd-timesyncd): times in lists and the day of a budget come from it"
        yield Finding("clock", WARN, said, todo)
    else:
        yield Finding("clock", OK, said)


def _shared(here: Installation) -> Iterator[Finding]:
    """What other machines must reach."""
    from dagster._core.storage.runs import SqliteRunStorage

    if _is_local(here):
        yield Finding("shared", OFF, ONE_MACHINE)
        return
    sound = True
    if isinstance(here.instance.run_storage, SqliteRunStorage):
        sound = False
        todo = "use PostgreSQL: guides/postgres.md"
        yield Finding("shared", FAIL, "Dagster's database is a file of this machine", todo)
    root = here.settings.store_root
    if _is_of_this_machine(root):
        sound = False
        todo = "set BRAND_DETECT_STORE_ROOT to a URI such as s3://bucket/prefix, or to a folder that all machines mount"
        yield Finding("shared", FAIL, f"the store {root} is a folder of this machine", todo)
    own = [r for r in here.settings.media_roots if _is_of_this_machine(r)]
    if own:
        sound = False
        todo = "name places in BRAND_DETECT_MEDIA_ROOTS that all machines reach, such as s3://bucket/videos"
        yield Finding("shared", WARN, f"videos in {', '.join(own)} are on this machine alone", todo)
    if _is_of_this_machine(here.settings.uploads):
        sound = False
        todo = "set BRAND_DETECT_UPLOADS to a prefix such as s3://bucket/videos/uploads"
        yield Finding("shared", WARN, f"uploaded videos go to {here.settings.uploads}, on this machine alone", todo)
    if type(here.instance.compute_log_manager).__name__ == "LocalComputeLogManager":
        sound = False
        todo = "set compute_logs as in deploy/workers/dagster.yaml"
        yield Finding("shared", WARN, "what a run prints stays on the machine that executes it", todo)
    if sound:
        yield Finding("shared", OK, "database, store, media roots and logs are within reach of other machines")


def _is_of_this_machine(root: str) -> bool:
    """Whether a path is on a file system that other machines cannot mount."""
    if "://" in root:
        return False
    path = Path(root).resolve()
    mounts = (line.split()[1:3] for line in MOUNTS.read_text(encoding="utf-8").splitlines()) if MOUNTS.exists() else ()
    within = [(len(at), kind) for at, kind in mounts if path.is_relative_to(at)]
    kind = max(within, default=(0, ""))[1]
    return not (kind in NETWORK or kind.startswith("fuse."))


def _broker(here: Installation) -> Iterator[Finding]:
    app = getattr(here.instance.run_launcher, "celery", None)
    if app is None:
        if os.environ.get(BROKER):
            told = f"{BROKER} is set, but the dagster.yaml in DAGSTER_HOME sends no run through it"
            yield Finding("broker", FAIL, told, "set DAGSTER_HOME to the folder with deploy/workers/dagster.yaml")
        else:
            yield Finding("broker", OFF, "none: runs are not sent through one")
        return
    with app.connection_for_read(connect_timeout=PATIENCE_S) as connection:
        name, secret = connection.as_uri(), connection.password  # with asterisks in place of the password
        tls = connection.ssl if isinstance(connection.ssl, dict) else {}
        authority = tls.get("ssl_ca_certs")
        if authority and not os.access(authority, os.R_OK):
            todo = "put the broker's authority there, readable by the user that runs the jobs"
            yield Finding("broker", FAIL, f"{authority} cannot be read here", todo)
            return
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=PATIENCE_S)
        except Exception as e:  # of the broker's own library
            reason = str(e).replace(secret or "\0", "**").strip().splitlines()[0]
            yield Finding("broker", FAIL, f"{name} is out of reach: {reason}", f"start it, or correct {BROKER} here")
            return
    lacks = [] if secret else ["a password"]
    if connection.hostname not in ("127.0.0.1", "::1", "localhost") and name.startswith(("redis", "amqp", "pyamqp")):
        if not (connection.ssl or name.startswith(("rediss:", "amqps:"))):
            lacks.insert(0, "TLS")
        elif CERT_REQUIRED not in tls.values():
            lacks.insert(0, "a check of its certificate (ssl_cert_reqs=required)")
    if lacks:
        yield Finding(
            "broker", WARN, f"{name} answers, but without {' and '.join(lacks)}", "see Secrets in guides/workers.md"
        )
    else:
        yield Finding("broker", OK, f"{name} answers")
    conf = app.conf
    if not conf.task_acks_late or conf.worker_prefetch_multiplier != 1:
        lacks = "a run may wait behind a busy worker while another is idle, and is lost with its worker"
        todo = "set task_acks_late and worker_prefetch_multiplier as in deploy/workers/dagster.yaml"
        yield Finding("broker", WARN, lacks, todo)


def _slots(here: Installation) -> Iterator[Finding]:
    app = getattr(here.instance.run_launcher, "celery", None)
    queue = here.instance.get_concurrency_config().run_queue_config
    if queue is None:
        todo = "set run_coordinator as in the checkout's dagster.yaml"
        yield Finding("slots", FAIL, "Dagster has no queue: held runs and limits have no effect", todo)
        return
    limit = queue.max_concurrent_runs
    if app is None:
        place = "this machine" if _is_local(here) else "the launcher's engine"
        most = "any number of runs" if limit < 0 else f"at most {counted(limit, 'run')}"
        yield Finding("slots", OFF, f"{most} at a time, on {place}")
        return
    # a list, since workers on machines of the same name answer under the same name
    replies = app.control.broadcast("stats", reply=True, timeout=PATIENCE_S) or []
    slots = [_slots_of(said) for reply in replies for said in reply.values()]
    have = f"{counted(len(slots), 'worker')} with {counted(sum(slots), 'slot')}"
    if not slots:
        yield Finding("slots", FAIL, "no worker answers: runs stay in the broker", "start one: guides/workers.md")
    elif limit < 0:
        todo = f"set concurrency.runs.max_concurrent_runs to {sum(slots)}"
        yield Finding("slots", WARN, f"{have}, but all runs leave the queue at once and wait in the broker", todo)
    elif sum(slots) < limit:
        todo = f"set concurrency.runs.max_concurrent_runs to {sum(slots)}, or add slots (--concurrency) or workers"
        yield Finding("slots", WARN, f"{have}, but up to {limit} runs leave the queue: {limit - sum(slots)} wait", todo)
    elif sum(slots) > limit:
        todo = f"set concurrency.runs.max_concurrent_runs to {sum(slots)}"
        yield Finding("slots", WARN, f"{have}, but the queue lets only {counted(limit, 'run')} go at a time", todo)
    else:
        yield Finding("slots", OK, f"{have}, as many as runs leave the queue")


def _slots_of(said: Mapping[str, Any]) -> int:
    return int((said.get("pool") or {}).get("max-concurrency") or 0)


def _start_timeout(here: Installation) -> Iterator[Finding]:
    timeout_s = here.instance.run_monitoring_start_timeout_seconds
    if not _is_local(here) and timeout_s < START_S:
        why = f"{timeout_s} s: it counts waiting for a worker, so that sound runs fail"
        todo = "set run_monitoring.start_timeout_seconds to more than the longest run takes, such as 21600"
        yield Finding("start time-out", FAIL, why, todo)
    else:
        yield Finding("start time-out", OK, f"{timeout_s} s")


def _pools(here: Installation) -> Iterator[Finding]:
    from brand_detect.operations.monitoring.fleet import pool_limits, wanted_limits

    there = pool_limits(here.instance)
    wanted = wanted_limits(here.settings)
    wrong = {pool: slots for pool, slots in wanted.items() if there.get(pool, slots) != slots}
    for pool, slots in wrong.items():
        setting = f"BRAND_DETECT_{pool}_SLOTS".upper()
        todo = "the sensor fleet sets it within a minute; if it does not, set it where Dagster's daemon runs"
        yield Finding("pools", WARN, f"{pool}: {there[pool]} in Dagster, but {setting} is {slots}", todo)
    if not wrong:
        yield Finding("pools", OK, ", ".join(f"{pool} {slots}" for pool, slots in wanted.items()))


def _machines(here: Installation) -> Iterator[Finding]:
    import socket

    from brand_detect.operations.monitoring.machines import KEYS, Machine, facts, record, recorded
    from brand_detect.orchestration.database import database_now_s

    if _is_local(here):
        yield Finding("machines", OFF, ONE_MACHINE)
        return
    record(here.instance, here.settings)
    now_s = database_now_s(here.instance)
    this, found_there = Machine(socket.gethostname(), now_s, facts(here.settings)), recorded(here.instance)
    # of those with one name, the latest: a container, or a machine before it was started again, is replaced by the next
    last = {m.name: m for m in found_there if m.name != this.name}
    others = [m for m in found_there if m is last.get(m.name) or now_s - m.seen_s < LATELY_S]
    alike: dict[tuple[bool, str], list[tuple[Machine, dict[str, tuple[str, str]]]]] = {}
    for other in sorted(others, key=lambda m: m.seen_s, reverse=True):
        if found := this.differences(other):
            alike.setdefault((now_s - other.seen_s < LATELY_S, str(found)), []).append((other, found))
    for (lately, _), those in alike.items():
        other, found = those[0]
        harmful = any(
            name == "brand_detect" or (name.startswith("BRAND_DETECT_") and name not in KEYS) for name in found
        )
        first = sorted(found, key=lambda name: (name != "brand_detect", not name.startswith("BRAND_DETECT_"), name))
        said = [f"{name}: {found[name][1]}, here {found[name][0]}" for name in first[:LISTED]]
        more = [f"{len(found) - LISTED} more"] if len(found) > LISTED else []
        also = f" and {len(those) - 1} more" if len(those) > 1 else ""
        differ = "differ" if also else "differs"
        text = f"{other.name}{also}, seen {(now_s - other.seen_s) / 60:.0f} min ago, {differ}. {'; '.join(said + more)}"
        yield Finding("machines", FAIL if lately and harmful else WARN, text, _remedy(first))
    if not alike:
        seen = f"{len(others)} others" if len(others) != 1 else "1 other"
        yield Finding("machines", OK, f"{seen} seen in the last day, all like this one")


def _remedy(names: list[str]) -> str:
    """How to make alike what is called so."""
    remedies = []
    if any(name.startswith("BRAND_DETECT_") or name.endswith("_API_KEY") for name in names):
        remedies.append("give both the same environment and restart the worker")
    if any(name.startswith("model ") for name in names):
        remedies.append("copy the models that one of them lacks into its model roots")
    if any(name.islower() and not name.startswith("model ") for name in names):
        remedies.append("install the same release on both, with its constraints.txt")
    return "; ".join(remedies)


FLEET = (
    Check("clock", _clock, ("home", "dagster storage")),
    Check("shared", _shared, ("settings", "home", "dagster storage")),
    Check("broker", _broker, ("home", "dagster storage")),
    Check("slots", _slots, ("home", "dagster storage", "broker")),
    Check("start time-out", _start_timeout, ("home", "dagster storage")),
    Check("pools", _pools, ("settings", "home", "dagster storage")),
    Check("machines", _machines, ("settings", "home", "dagster storage")),
)
