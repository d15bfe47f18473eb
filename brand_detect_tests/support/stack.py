"""What `make dev` starts, as real processes with a home of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil
import yaml

from brand_detect.client import Client
from brand_detect.domain.errors import BrandDetectError
from brand_detect_tests.support.pipeline import CATALOG
from brand_detect_tests.support.servers import free_port

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PATIENCE_S = 120.0
IN_DAEMON = {"module": "dagster._core.launcher.sync_in_memory_run_launcher", "class": "SyncInMemoryRunLauncher"}


def until(true: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
    """Return what ``true`` returns as soon as that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.5)
    raise TimeoutError(f"{what}: not within {seconds:.0f} s")


@dataclass
class Stack:
    """``brand-detect dev`` over ``module``, by default with scripted eyes."""

    folder: Path
    port: int = field(default_factory=free_port)
    service_port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)
    own_processes: bool = True
    """Each run has a process, as for users; else they run in the daemon, all stages in 2.7 instead of 5.6 CPU s."""
    module: str = "brand_detect_tests.support.served"
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text(encoding="utf-8"))
        # what a team waits minutes for, a test need not
        config["run_monitoring"] |= {"poll_interval_seconds": 5, "start_timeout_seconds": 30}
        if not self.own_processes:
            config["run_launcher"] = IN_DAEMON
        (self.folder / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        if not (self.folder / "brands.yaml").exists():
            (self.folder / "brands.yaml").write_text(CATALOG, encoding="utf-8")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("BRAND_DETECT_", "DAGSTER_"))}
        self.environment = {
            **clean,
            "DAGSTER_HOME": str(self.folder),
            "SERVED": str(self.folder),
            "BRAND_DETECT_STORE_ROOT": str(self.store),
            "BRAND_DETECT_MEDIA_ROOTS": str(self.folder),
            "BRAND_DETECT_CATALOG": str(self.folder / "brands.yaml"),
            "BRAND_DETECT_DAGSTER_URL": self.url,
            "PYTHONPATH": f"{CHECKOUT}:{os.environ.get('PYTHONPATH', '')}",
            **self.environment,
        }

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def url(self) -> str:
        """Of Dagster's webserver."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def service_url(self) -> str:
        return f"http://127.0.0.1:{self.service_port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(self) -> Client:
        return Client(self.url)

    def tell(self, name: str, text: str) -> None:
        """Steer the served pipeline; an empty text takes the file away."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8") if text else path.unlink(missing_ok=True)

    def start(self, *, wait: bool = True) -> "Stack":
        ports = ["--port", str(self.port), "--service-port", str(self.service_port)]
        command = [BIN / "brand-detect", "dev", *ports, "--module", self.module]
        with (self.folder / "dagster.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        if wait:
            self.wait()
        return self

    def wait(self) -> None:
        with httpx2.Client(timeout=5) as http:  # one for all looks: to make it takes 20 ms
            until(lambda: self._is_ready(http), "Dagster is ready")

    def _is_ready(self, http: httpx2.Client) -> bool:
        try:
            for url in (f"{self.url}/server_info", f"{self.service_url}/health"):
                http.get(url).raise_for_status()
            with self.client() as client:
                return all(client.health().values())
        except (httpx2.HTTPError, BrandDetectError):
            return False

    def stop(self) -> None:
        """End all processes as Ctrl-C does."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            assert self._process.wait(60) == 130, "it has not ended by Ctrl-C"
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to every process at once: webserver, daemon, service, code server and run workers."""
        if self._process is None:
            return
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._process.pid).children():
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)  # with what it has started
        self._process.kill()
        self._process.wait()
        self._process = None
