"""The commands that serve: on which address, under which names, and that what `dev` starts ends together."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from brand_detect.cli import servers
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.settings import API_KEY
from brand_detect_tests.conftest import Ended
from brand_detect_tests.support.servers import free_port
from brand_detect_tests.support.stack import BIN, CHECKOUT

Call = Callable[..., Ended]
REACHED = ["0.0.0.0", "::", "192.168.0.7", "example.org"]
HOSTS = "BRAND_DETECT_HOSTS"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the HTTP server is started with, in place of starting it."""
    started: list[dict[str, Any]] = []
    monkeypatch.setattr("uvicorn.run", lambda app, **options: started.append({"app": app, **options}))
    for name in (API_KEY, HOSTS):
        monkeypatch.delenv(name, raising=False)
    return started


@pytest.mark.parametrize("host", REACHED)
def test_the_service_is_open_to_others_with_a_key_and_under_names(
    command_line: Call, served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, host: str
):
    monkeypatch.setenv(HOSTS, "brands.example.org")
    for none in (None, ""):
        if none is not None:
            monkeypatch.setenv(API_KEY, none)
        code, out, err = command_line("serve", "--host", host)
        assert (code, out, served) == (BadInput.exit_code, "", [])
        assert err.splitlines() == [
            f"error: {host} can be reached from other machines, but no API key is set.",
            f"hint: set {API_KEY}, or use 127.0.0.1",
        ]
    monkeypatch.setenv(API_KEY, "geheim")
    code, out, err = command_line("serve", "--host", host, "--port", "0")
    assert (code, out, len(served)) == (0, "", 1)
    assert "geheim" not in err


@pytest.mark.parametrize("key", ["schlüssel", "geheim\n", " geheim", "ge\x07heim", " "])
def test_a_key_that_no_header_can_carry_is_refused_at_the_start(
    command_line: Call, served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, key: str
):
    monkeypatch.setenv(API_KEY, key)
    code, out, err = command_line("serve")
    assert (code, out, served) == (BadInput.exit_code, "", [])
    assert err.splitlines() == [
        f"error: {API_KEY} cannot be sent as a header.",
        "hint: use letters without accents, digits and punctuation, without spaces around them",
    ]


@pytest.mark.parametrize("command", ["serve", "webserver"])
@pytest.mark.parametrize("host", REACHED)
def test_nobody_is_served_under_any_name(
    command_line: Call, served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, command: str, host: str
):
    monkeypatch.setenv(API_KEY, "geheim")
    monkeypatch.chdir(CHECKOUT)
    code, out, err = command_line(command, "--host", host)
    assert (code, out, served) == (BadInput.exit_code, "", [])
    assert f"{HOSTS} is not set" in err


def test_the_service_stays_on_this_machine_by_default(command_line: Call, served: list[dict[str, Any]]):
    assert command_line("serve")[0] == 0
    [started] = served
    assert (started["host"], started["port"], started["server_header"]) == ("127.0.0.1", 8000, False)


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_wrong_usage(command_line: Call, served: list[dict[str, Any]], port: str):
    assert command_line("serve", f"--port={port}")[0] == 2
    assert served == []


@pytest.mark.parametrize("option", ["--port", "--service-port"])
def test_a_port_that_another_program_has_is_named_before_anything_starts(
    command_line: Call, monkeypatch: pytest.MonkeyPatch, option: str
):
    monkeypatch.setattr(subprocess, "Popen", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = {"--port": str(free_port()), "--service-port": str(free_port()), option: port}
        code, _, err = command_line("dev", *(part for pair in ports.items() for part in pair))
    assert code == BadInput.exit_code
    assert err.splitlines() == [
        f"error: Port {port} of 127.0.0.1 cannot be used: Address already in use.",
        f"hint: end the program that listens there, or choose another port with {option}",
    ]


def test_a_workspace_that_is_missing_is_named(command_line: Call, tmp_path: Path):
    code, _, err = command_line("webserver", "-w", str(tmp_path / "none.yaml"))
    assert (code, err.splitlines()[0]) == (BadInput.exit_code, f"error: There is no {tmp_path / 'none.yaml'}.")


def test_the_addresses_are_told_once_everything_answers(
    command_line: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    shutil.copy(CHECKOUT / "dagster.yaml", tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    for changed in ("BRAND_DETECT_DAGSTER_URL", "BRAND_DETECT_SERVICE_URL"):
        monkeypatch.setenv(changed, "")
    monkeypatch.setattr(servers, "_answers", lambda *_: True)

    class Started:
        """A process that has ended once its addresses are told."""

        pid, returncode = 2**30, 0

        def __init__(self, command: Sequence[str], **_: Any) -> None:
            if "--socket" in command:
                Path(command[command.index("--socket") + 1]).touch()

        def poll(self) -> int:
            return 0

        def wait(self, timeout: float) -> int:  # noqa: ARG002
            return 0

    monkeypatch.setattr(subprocess, "Popen", Started)
    _, _, err = command_line("dev", "--port", "3100", "--service-port", "8100")
    told = [line.strip("│ ") for line in err.splitlines() if line.startswith("│")]
    assert told == [
        "Jobs and reports  http://127.0.0.1:8100",
        "Dagster's UI      http://127.0.0.1:3100",
        "HTTP API          http://127.0.0.1:8100/openapi.json",
    ]


def test_if_one_of_them_ends_all_do(tmp_path: Path):
    """The service, one of whose settings is wrong; by then the code server has been started."""
    shutil.copy(CHECKOUT / "dagster.yaml", tmp_path)
    environment = os.environ | {
        "DAGSTER_HOME": str(tmp_path),
        "PYTHONPATH": str(CHECKOUT),
        "BRAND_DETECT_API_RATE": "often",
    }
    ports = ["--port", str(free_port()), "--service-port", str(free_port())]
    ended = subprocess.run(
        [BIN / "brand-detect", "dev", "--module", "json", *ports],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == Permanent.exit_code, ended.stderr
    assert "error: The HTTP service has ended with code " in ended.stderr
    left = [
        p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get("DAGSTER_HOME") == str(tmp_path)
    ]
    assert left == []
