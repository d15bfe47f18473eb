"""Commands that start servers: the HTTP service, a guarded Dagster webserver, or everything that jobs need."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from socket import create_server
from tempfile import TemporaryDirectory
from typing import Annotated

import httpx2
import typer
import yaml
from rich.padding import Padding
from rich.panel import Panel

from brand_detect.cli.common import err, home
from brand_detect.client import Client
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.settings import API_KEY, Settings

LOCAL = "127.0.0.1"
LOOK_S = 0.5
QUIET = ("--log-level", "warning")  # else every tick of every sensor is a line
END_S = 30.0
"""Time for the processes of ``dev`` to end by themselves."""

HostOpt = Annotated[str, typer.Option(metavar="ADDRESS", help="address to listen on")]


def serve(
    host: HostOpt = LOCAL,
    port: Annotated[int, typer.Option(min=0, max=65_535, metavar="PORT", help="port to listen on")] = 8000,
) -> None:
    """Serve all jobs and their reports in the browser, and the HTTP API.

    Both submit videos, follow, cancel and replay jobs, and correct reports.

    Example: brand-detect serve --port 8000
    """
    from brand_detect.api import create_app, is_loopback
    from brand_detect.api.server import serve as listen

    key = os.environ.get(API_KEY, "")
    if not (is_loopback(host) or key):
        raise BadInput(
            f"{host} can be reached from other machines, but no API key is set.", f"set {API_KEY}, or use {LOCAL}"
        )
    if not os.environ.get("BRAND_DETECT_STORE_ROOT"):
        home()  # the store lies there by default, wherever this is called
    settings = Settings.load()
    hosts = _names(host, settings)
    with Client() as client:
        service = create_app(client, settings, api_key=key, hosts=hosts)
        err.print(f"reports: http://{host}:{port}/reports", highlight=False)
        err.print(f"service: http://{host}:{port}/openapi.json, Dagster at {settings.dagster_url}", highlight=False)
        listen(service, host, port)


def webserver(
    host: HostOpt = LOCAL,
    port: Annotated[int, typer.Option(min=0, max=65_535, metavar="PORT", help="port to listen on")] = 3000,
    workspace: Annotated[Path, typer.Option("--workspace", "-w", metavar="FILE", help="lists the code to load")] = Path(
        "workspace.yaml"
    ),
) -> None:
    """Serve only Dagster's UI and GraphQL API, guarded.

    It answers only to its own host names, rejects requests from other sites'
    pages, and takes no GraphQL by GET. It has no login: whoever reaches it may
    do everything. Put a proxy with authentication in front of it.

    Example: brand-detect webserver --port 3000
    """
    if not workspace.is_file():
        raise BadInput(f"There is no {workspace}.", "name the file with --workspace, such as the checkout's")
    workspace = workspace.resolve()
    os.chdir(home())  # paths in dagster.yaml are relative to it
    hosts = _names(host, Settings.load())

    from brand_detect.api.webserver import serve_dagster

    err.print(f"Dagster: http://{host}:{port}", highlight=False)
    serve_dagster(workspace, host, port, hosts)


def dev(
    port: Annotated[int, typer.Option(min=1, max=65_535, metavar="PORT", help="port of Dagster's webserver")] = 3000,
    service_port: Annotated[
        int, typer.Option(min=1, max=65_535, metavar="PORT", help="port of the HTTP service")
    ] = 8000,
    module: Annotated[
        str, typer.Option(metavar="MODULE", help="the Dagster definitions to serve")
    ] = "brand_detect.definitions",
) -> None:
    """Serve everything that jobs need on this machine, until Ctrl-C.

    Starts Dagster's UI and daemon, and the HTTP service; if one of them ends,
    all do.

    Example: brand-detect dev
    """
    _check_free(port, "--port")
    _check_free(service_port, "--service-port")
    # also end with the terminal; background processes of a script ignore Ctrl-C, and Dagster then ignores SIGTERM
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    folder = home()
    dagster, service = (f"http://{LOCAL}:{number}" for number in (port, service_port))
    os.environ["BRAND_DETECT_DAGSTER_URL"] = dagster
    os.environ.setdefault("BRAND_DETECT_SERVICE_URL", service)
    ours = [sys.executable, "-m", "brand_detect.cli"]
    processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(name: str, *command: str) -> None:
        # in a process group of its own, so that Ctrl-C sends its children one signal, not two
        processes[name] = subprocess.Popen(command, cwd=folder, process_group=0)

    with TemporaryDirectory(prefix="brand_detect_") as place:
        socket, workspace = Path(place, "code"), Path(place, "workspace.yaml")
        location = {"grpc_server": {"socket": str(socket), "location_name": module}}
        workspace.write_text(yaml.safe_dump({"load_from": [location]}), encoding="utf-8")
        code = ["code-server", "start", "-m", module, "--socket", str(socket), "--location-name", module]
        code += ["--use-python-environment-entry-point", *QUIET]
        try:
            start("The code server", sys.executable, "-m", "dagster", *code)
            start("The HTTP service", *ours, "serve", "--port", str(service_port))
            while not socket.exists():
                _look(processes)
            start("Dagster's webserver", *ours, "webserver", "--port", str(port), "-w", str(workspace))
            start("Dagster's daemon", _beside("dagster-daemon"), "run", "-w", str(workspace), *QUIET)
            with httpx2.Client(timeout=5, trust_env=False) as http:  # no proxy for this machine
                while not (_answers(http, f"{dagster}/server_info") and _answers(http, f"{service}/health")):
                    _look(processes)
            addresses = (
                f"Jobs and reports  {service}\nDagster's UI      {dagster}\nHTTP API          {service}/openapi.json"
            )
            err.print(Padding(Panel.fit(addresses, title="Ready; Ctrl-C ends all"), (1, 0)), highlight=False)
            while True:
                _look(processes)
        finally:
            _end(processes)


def _names(address: str, settings: Settings) -> tuple[str, ...]:
    """The host names to answer to on ``address``, besides those of the loopback interface.

    Raises:
        BadInput: other machines can reach it, but no host names are set.
    """
    from brand_detect.api import is_loopback

    if is_loopback(address):
        return (*settings.hosts, address)
    if not settings.hosts:
        raise BadInput(
            f"{address} can be reached from other machines, but BRAND_DETECT_HOSTS is not set.",
            f"set it to the host names that clients call, such as brands.example.org, or use {LOCAL}",
        )
    return settings.hosts


def _check_free(port: int, option: str) -> None:
    """
    Raises:
        BadInput: nothing can listen on the port.
    """
    try:
        create_server((LOCAL, port)).close()
    except OSError as e:
        hint = f"end the program that listens there, or choose another port with {option}"
        raise BadInput(f"Port {port} of {LOCAL} cannot be used: {os.strerror(e.errno or 0)}.", hint) from e


def _look(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """
    Raises:
        Permanent: one of them has ended.
    """
    time.sleep(LOOK_S)
    for name, process in processes.items():
        if process.poll() is not None:
            raise Permanent(f"{name} has ended with code {process.returncode}.", "see its output above")


def _answers(http: httpx2.Client, url: str) -> bool:
    try:
        return http.get(url).is_success
    except httpx2.TransportError:
        return False


def _end(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """End each process and its children, gently at first."""
    _signal(processes, signal.SIGTERM)
    until = time.monotonic() + END_S
    for process in processes.values():
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, until - time.monotonic()))
    _signal(processes, signal.SIGKILL)


def _signal(processes: Mapping[str, subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for process in processes.values():
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _beside(script: str) -> str:
    """The path of a script of this Python environment."""
    return str(Path(sys.executable).with_name(script))
