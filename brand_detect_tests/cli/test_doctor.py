"""``brand-detect doctor``: each thing that is broken on purpose leads to its line, what to do, and hides no other."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from brand_detect.cli import doctor_checks
from brand_detect.cli.doctor_checks import CHECKS, KEYS, Check, Finding, Installation, examine
from brand_detect.domain.errors import Permanent
from brand_detect.engines import onnx
from brand_detect.engines.tesseract import TesseractReader
from brand_detect_tests.conftest import Ended
from brand_detect_tests.support.servers import free_port

CHECKOUT = Path(__file__).parents[2]
Look = Callable[..., dict[str, list[Finding]]]


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation in order: a home like the checkout's, in an environment without settings."""
    for name in os.environ:
        if name.startswith(("BRAND_DETECT_", "DAGSTER_", "AWS_")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_bytes((CHECKOUT / "dagster.yaml").read_bytes())
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("BRAND_DETECT_MEDIA_ROOTS", str(tmp_path))
    monkeypatch.setenv("BRAND_DETECT_DAGSTER_URL", f"http://127.0.0.1:{free_port()}")
    return home


@pytest.fixture
def look(at_home: Path, monkeypatch: pytest.MonkeyPatch) -> Look:  # noqa: ARG001
    """The findings of the checks of these names, by name."""

    def looking(*names: str, served: bool = False) -> dict[str, list[Finding]]:
        monkeypatch.setattr(doctor_checks, "CHECKS", [c for c in CHECKS if c.name in names])
        found: dict[str, list[Finding]] = {}
        with Installation(served=served) as here:
            for finding in examine(here):
                found.setdefault(finding.name, []).append(finding)
        return found

    return looking


def only(findings: list[Finding]) -> tuple[str, str, str]:
    [one] = findings
    return one.state, one.text, one.todo


@pytest.mark.usefixtures("at_home")
def test_the_store_is_looked_for_at_home_wherever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.chdir(tmp_path)
    with Installation(served=False) as here:
        assert here.settings.store_root == str(CHECKOUT / ".state" / "checkpoints")


def test_a_sound_installation_has_no_fault(at_home: Path):
    with Installation(served=False) as here:
        found = examine(here)
    assert [f for f in found if f.state == "fail"] == []
    said = {f.name: f.text for f in found}
    assert "languages: eng" in said["tesseract"]
    assert {f.name for f in found} >= {c.name for c in CHECKS}
    shown = {"python", "packages", "rapidocr", "store", "dagster.yaml"}  # in docs/guides/doctor.md
    assert {f.name for f in found if f.state == "ok"} >= shown
    assert all(f.todo for f in found if f.state == "warn")
    assert [p.name for p in (at_home / ".state" / "checkpoints").iterdir()] == [], "the probe is taken away"


def test_a_check_that_breaks_down_is_a_line_with_its_type_and_hides_no_other(look: Look):
    def broken(_: Installation) -> Iterator[Finding]:
        yield Finding("first", "ok", "half a look")
        raise ZeroDivisionError("division by zero\nsecond line")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor_checks, "CHECKS", [Check("first", broken), *(c for c in CHECKS if c.name == "python")])
        with Installation(served=False) as here:
            found = examine(here)
    assert [(f.name, f.state) for f in found] == [("first", "ok"), ("first", "fail"), ("python", "ok")]
    assert found[1].text == "ZeroDivisionError: division by zero"
    assert look("python")["python"][0].state == "ok"


def test_a_bad_setting_is_said_once_and_what_needs_settings_is_left_out(look: Look, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BRAND_DETECT_OFFPEAK_TIMEZONE", "Nowhere/Else")
    found = look("settings", "catalogue", "store", "home")
    state, said, todo = only(found["settings"])
    assert state == "fail"
    assert "BRAND_DETECT_OFFPEAK_TIMEZONE" in said
    assert "settings.md" in todo
    assert only(found["catalogue"]) == ("off", "skipped: fix settings first", "")
    assert only(found["store"])[0] == "off"
    assert only(found["home"])[0] == "ok"


def test_an_unknown_variable_is_told_with_the_nearest_one(look: Look, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BRAND_DETECT_STOR_ROOT", "s3://bucket")
    monkeypatch.setenv("BRAND_DETECT_XYZZY_QUUX", "1")
    first, second = look("variables")["variables"]
    assert (first.state, first.todo) == ("warn", "did you mean BRAND_DETECT_STORE_ROOT?")
    assert second.text.startswith("BRAND_DETECT_XYZZY_QUUX is not a setting")
    assert "s3://bucket" not in f"{first} {second}", "values may be secret"


@pytest.mark.parametrize("name", ["BRAND_DETECT_API_KEY", "OPENAI_API_KEY"])
def test_secrets_that_are_empty_are_told_and_values_never(look: Look, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv("BRAND_DETECT_DAGSTER_TOKEN", "hush")
    monkeypatch.setenv(name, "")
    [finding] = look("settings", "secrets")["secrets"]
    assert (finding.state, finding.text) == ("warn", f"{name} is set but empty")
    monkeypatch.delenv(name)
    [finding] = look("settings", "secrets")["secrets"]
    assert finding.state == "ok"
    assert "BRAND_DETECT_DAGSTER_TOKEN" in finding.text
    assert "hush" not in finding.text


def test_a_key_that_no_header_can_carry_is_told(look: Look, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BRAND_DETECT_API_KEY", "schlüssel")
    state, said, todo = only(look("settings", "secrets")["secrets"])
    assert (state, said) == ("fail", "BRAND_DETECT_API_KEY cannot be sent as a header.")
    assert todo.startswith("use letters without accents")


def test_a_token_over_http_is_told(look: Look, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BRAND_DETECT_DAGSTER_TOKEN", "hush")
    monkeypatch.setenv("BRAND_DETECT_DAGSTER_URL", "http://dagster.example.com")
    assert only(look("settings", "secrets")["secrets"])[2] == "use https"


@pytest.mark.parametrize(
    ("text", "state"), [("brands: [", "fail"), ("brands:\n  - nme: x\n", "fail"), ("[]\n", "warn")]
)
def test_a_broken_or_empty_catalogue(
    look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, state: str
):
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("BRAND_DETECT_CATALOG", str(tmp_path / "mine.yaml"))
    found = only(look("settings", "catalogue")["catalogue"])
    assert found[0] == state
    assert "mine.yaml" in found[1]
    assert found[2]


def test_a_store_that_is_no_folder(look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", str(tmp_path / "file"))
    state, said, todo = only(look("settings", "store")["store"])
    assert (state, said) == ("fail", f"{tmp_path}/file is not a folder")
    assert "BRAND_DETECT_STORE_ROOT" in todo


def test_a_store_that_may_not_be_written(look: Look, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", "/proc/nobody/writes/here")
    state, said, todo = only(look("settings", "store")["store"])
    assert state == "fail"
    assert "could not be written" in said
    assert "permissions" in todo


def test_a_store_that_lets_files_be_replaced(look: Look, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "brand_detect.storage.blobs._create_local",
        lambda path, data: (path.parent.mkdir(parents=True, exist_ok=True), path.write_bytes(data)),
    )
    state, said, todo = only(look("settings", "store")["store"])
    assert state == "warn"
    assert "allows existing files to be replaced" in said
    assert "it still works" in todo


def test_little_space(look: Look, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor_checks, "SPACE_BYTES", 2**80)
    state, said, todo = only(look("settings", "store")["space"])
    assert state == "warn"
    assert said.endswith("GiB free")
    assert "extract_frames.longest_side_px" in todo


def test_media_roots_that_are_not_there(look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("BRAND_DETECT_MEDIA_ROOTS", f"{tmp_path},/nowhere/at/all,s3://bucket/x")
    state, said, todo = only(look("settings", "media roots")["media roots"])
    assert (state, said) == ("warn", "/nowhere/at/all does not exist")
    assert "BRAND_DETECT_MEDIA_ROOTS" in todo


def test_the_inbox(look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    [off] = look("settings", "inbox")["inbox"]
    assert (off.state, off.text) == ("off", "not set")
    monkeypatch.setenv("BRAND_DETECT_INBOX", str(tmp_path / "inbox"))
    [missing] = look("settings", "inbox")["inbox"]
    assert missing.state == "fail"
    (tmp_path / "inbox").mkdir()
    [there] = look("settings", "inbox")["inbox"]
    assert there == Finding("inbox", "ok", str(tmp_path / "inbox"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    [closed] = look("settings", "inbox")["inbox"]
    assert (closed.state, "cannot be moved aside" in closed.text) == ("warn", True)
    monkeypatch.setenv("BRAND_DETECT_INBOX", "/")
    [outside] = look("settings", "inbox")["inbox"]
    assert (outside.state, "outside the allowed media roots" in outside.text) == ("fail", True)


def test_the_webhook_is_told_by_its_host_alone(look: Look, monkeypatch: pytest.MonkeyPatch):
    assert look("settings", "webhook")["webhook"][0].state == "off"
    monkeypatch.setenv("BRAND_DETECT_WEBHOOK_HOSTS", "chat.example")
    [silent] = look("settings", "webhook")["webhook"]
    assert (silent.state, silent.todo) == ("warn", "set BRAND_DETECT_WEBHOOK_URL")
    monkeypatch.setenv("BRAND_DETECT_WEBHOOK_URL", "https://chat.example/hooks/token")
    [fine] = look("settings", "webhook")["webhook"]
    assert fine == Finding("webhook", "ok", "notifications go to chat.example, not signed")
    monkeypatch.setenv("BRAND_DETECT_WEBHOOK_URL", "https://elsewhere.example/hooks/token")
    [refused] = look("settings", "webhook")["webhook"]
    assert (refused.state, "elsewhere.example" in refused.text, "token" in refused.text) == ("fail", True, False)
    assert look("settings", "variables")["variables"][0].state == "ok"


def test_folders_that_anyone_may_write(look: Look, at_home: Path):
    (at_home / ".state").mkdir()
    (at_home / ".state").chmod(0o777)
    state, _, todo = only(look("settings", "permissions")["permissions"])
    assert (state, todo) == ("warn", f"chmod o-w {at_home}/.state")


def test_no_tesseract(look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    state, said, todo = only(look("tesseract")["tesseract"])
    assert state == "warn"
    assert said.startswith("not installed")
    assert "apt-get install tesseract-ocr" in todo


def test_without_openvino_another_runtime_reads(look: Look, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = look("opencv", "rapidocr", "precision")
    assert only(found["precision"])[1] == "auto is f32 for text detection, f32 for reading; fastest on this CPU: f32"
    assert only(found["rapidocr"])[0] == "ok"
    assert "onnxruntime" in only(found["rapidocr"])[1]
    state, said, _ = only(found["openvino"])
    assert state == "off"
    assert said.startswith("not installed")


def test_a_rapidocr_whose_detector_is_not_packaged_in_int8(look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(onnx, "WEIGHTS", tmp_path)
    state, said, todo = only(look("precision")["precision"])
    assert (state, "no int8 version" in said) == ("warn", True)
    assert "constraints.txt" in todo


def test_an_engine_that_misreads(look: Look, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor_checks, "WORD", "ELSE")
    monkeypatch.setattr(TesseractReader, "read", lambda *_: [type("Said", (), {"text": "E1SE"})()])
    state, said, _ = only(look("opencv", "tesseract")["tesseract"])
    assert state == "fail"
    assert "read 'ELSE' as 'E1SE'" in said


def test_packages_that_are_missing_or_of_another_version(look: Look, monkeypatch: pytest.MonkeyPatch):
    wanted = ["numpy<1", "no-such-package>=1", "pyyaml", 'pytest<1; extra == "dev"']
    monkeypatch.setattr(doctor_checks.metadata, "requires", lambda _: wanted)
    state, said, todo = only(look("packages")["packages"])
    assert state == "fail"
    assert "no-such-package is missing" in said
    assert "not <1" in said
    assert "pytest" not in said
    assert todo


def test_two_opencv_wheels_of_different_versions(look: Look, monkeypatch: pytest.MonkeyPatch):
    def wheels(name: str) -> list[Any]:
        return [type("Wheel", (), {"name": name, "version": "5.0" if "headless" in name else "4.9"})()]

    monkeypatch.setattr(doctor_checks.metadata, "distributions", wheels)
    found = look("opencv", "video")
    assert only(found["opencv"])[1] == "opencv-python 4.9 and opencv-python-headless 5.0 share one folder but differ"
    assert only(found["video"])[0] == "off"


def test_a_home_without_dagster_yaml(look: Look, at_home: Path):
    (at_home / "dagster.yaml").unlink()
    found = look("home", "dagster.yaml", "dagster storage", "daemons", "python")
    state, said, todo = only(found["home"])
    assert state == "fail"
    assert "has no dagster.yaml" in said
    assert "copy the checkout's dagster.yaml" in todo
    assert {only(found[name])[0] for name in ("dagster.yaml", "dagster storage", "daemons")} == {"off"}
    assert only(found["python"])[0] == "ok"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda c: c.pop("telemetry"), "telemetry"),
        (lambda c: c["run_monitoring"].update(enabled=False), "run_monitoring"),
        (lambda c: c.pop("run_retries"), "run_retries"),
        (lambda c: c["concurrency"]["runs"]["tag_concurrency_limits"].pop(0), "the limit of dagster/partition"),
        (
            lambda c: c["concurrency"]["runs"]["tag_concurrency_limits"][1].update(limit=1),
            "the limit of brand_detect/hold",
        ),
    ],
)
def test_each_key_of_dagster_yaml_that_is_missing(look: Look, at_home: Path, change: Callable[[Any], Any], key: str):
    config = yaml.safe_load((at_home / "dagster.yaml").read_text(encoding="utf-8"))
    change(config)
    (at_home / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    otherwise = {name: what for name, _, what in KEYS}
    state, said, todo = only(look("home", "dagster.yaml")["dagster.yaml"])
    assert (state, todo) == ("fail", "copy this part from the checkout's dagster.yaml")
    assert said == f"{key} is not set as in the checkout: {otherwise[key]}"


def test_an_empty_dagster_yaml_lacks_every_key(look: Look, at_home: Path):
    (at_home / "dagster.yaml").write_text("", encoding="utf-8")
    assert len(look("home", "dagster.yaml")["dagster.yaml"]) == len(KEYS)


def test_a_database_that_does_not_open(look: Look, at_home: Path):
    (at_home / ".state").write_text("a file where a folder must be", encoding="utf-8")
    found = look("home", "dagster storage", "daemons")
    assert only(found["dagster storage"])[0] == "fail"
    assert only(found["daemons"])[0] == "off"


@pytest.mark.parametrize("in_a_circle", [False, True])
def test_a_database_out_of_reach_is_told_with_its_own_reason(
    look: Look, monkeypatch: pytest.MonkeyPatch, in_a_circle: bool
):
    from dagster._core.storage.runs import SqliteRunStorage

    def refused(*_: object, **__: object) -> int:
        cause = ConnectionError("password authentication failed\nmore")
        cause.__cause__ = cause if in_a_circle else None
        raise RuntimeError("too many retries") from cause

    monkeypatch.setattr(SqliteRunStorage, "get_runs_count", refused)
    _, said, todo = only(look("home", "dagster storage")["dagster storage"])
    assert said == "out of reach: ConnectionError: password authentication failed"
    assert todo.startswith("start it, or correct dagster.yaml")


def test_a_schema_of_an_older_dagster(look: Look, monkeypatch: pytest.MonkeyPatch):
    from dagster._core.storage.runs import SqliteRunStorage

    monkeypatch.setattr(SqliteRunStorage, "alembic_version", lambda _: ("old", "new"))
    state, _, todo = only(look("home", "dagster storage")["dagster storage"])
    assert (state, todo) == ("fail", "dagster instance migrate")


class Elsewhere(BaseHTTPRequestHandler):
    """A web server that is no Dagster."""

    def do_POST(self) -> None:
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b"<h1>not here</h1>")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.mark.parametrize(("served", "state"), [(False, "warn"), (True, "fail")])
def test_a_webserver_that_is_down_or_no_dagster(look: Look, monkeypatch: pytest.MonkeyPatch, served: bool, state: str):
    down = only(look("settings", "webserver", served=served)["webserver"])
    assert down[0] == state
    assert "out of reach" in down[1]
    assert "make dev" in down[2]
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("BRAND_DETECT_DAGSTER_URL", f"http://127.0.0.1:{server.server_port}")
        other = only(look("settings", "webserver", served=served)["webserver"])
        server.shutdown()
    assert other[0] == state
    assert "is not a Dagster webserver" in other[1]
    assert other[2]


def test_a_webserver_without_this_pipeline_or_without_daemons(look: Look, monkeypatch: pytest.MonkeyPatch):
    health = {"pipeline": False, "sensor": True}
    monkeypatch.setattr(doctor_checks.Client, "health", lambda _: dict(health))
    assert only(look("settings", "webserver")["webserver"])[0] == "fail"
    health |= {"pipeline": True, "sensor": False}
    state, said, _ = only(look("settings", "webserver")["webserver"])
    assert state == "warn"
    assert said.endswith("has no sensor")
    health["sensor"] = True
    assert only(look("settings", "webserver")["webserver"])[0] == "ok"


class AnyName(Elsewhere):
    """A webserver that does not look at the host's name."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


def test_a_webserver_that_is_open_to_other_sites_pages(look: Look, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor_checks.Client, "health", lambda _: {"pipeline": True})
    with HTTPServer(("127.0.0.1", 0), AnyName) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("BRAND_DETECT_DAGSTER_URL", f"http://127.0.0.1:{server.server_port}")
        fine, open_ = look("settings", "webserver")["webserver"]
        server.shutdown()
    assert (fine.state, open_.state) == ("ok", "warn")
    assert "to any host name" in open_.text


def beat(instance: dg.DagsterInstance, kinds: list[str], ago_s: float, *errors: str) -> None:
    told = [SerializableErrorInfo(e, [], None) for e in errors]
    for kind in kinds:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago_s, kind, "id", told))


def test_daemons_by_their_signs_of_life(look: Look, at_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(at_home)
    names = ("home", "dagster storage", "daemons")
    assert only(look(*names)["daemons"])[0] == "warn"
    assert only(look(*names, served=True)["daemons"])[0] == "fail"
    with dg.DagsterInstance.get() as instance:
        kinds = list(instance.get_required_daemon_types())
        beat(instance, kinds, ago_s=5)
        assert only(look(*names)["daemons"])[0] == "ok"
        beat(instance, kinds[:1], ago_s=600)
        state, said, _ = only(look(*names)["daemons"])
        assert (state, said) == ("fail", f"no heartbeat from {kinds[0].lower()}")
        beat(instance, kinds[:1], 5, "ValueError: broken")
        fine, ill = look(*names)["daemons"]
    assert (fine.state, ill.state) == ("ok", "warn")
    assert "ValueError: broken" in ill.text


@pytest.mark.parametrize(("status", "state"), [(TickStatus.FAILURE, "warn"), (TickStatus.SKIPPED, "ok")])
def test_the_last_tick_of_a_sensor(
    look: Look, at_home: Path, monkeypatch: pytest.MonkeyPatch, status: TickStatus, state: str
):
    monkeypatch.chdir(at_home)
    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("brand_detect"), "__repository__"), "open_jobs"
    )
    kind = InstigatorType.SENSOR
    cause = SerializableErrorInfo("brand_detect.domain.errors.BadInput: the list is broken", [], None)
    with dg.DagsterInstance.get() as instance:
        found = InstigatorState(origin, kind, InstigatorStatus.RUNNING, SensorInstigatorData())
        instance.add_instigator_state(found)
        names = ("home", "dagster storage", "automation")
        assert only(look(*names)["automation"])[0] == "off"
        error = SerializableErrorInfo("SensorExecutionError", [], None, cause) if state == "warn" else None
        tick = TickData(
            found.instigator_origin_id,
            "open_jobs",
            kind,
            status,
            time.time(),
            error=error,
            selector_id=found.selector_id,
        )
        instance.create_tick(tick)
        got = only(look(*names)["automation"])
    assert got[0] == state
    assert "open_jobs" in got[1]
    assert ("the list is broken" in got[1]) == (state == "warn")


def test_the_command_lists_marks_and_what_to_do(
    at_home: Path, monkeypatch: pytest.MonkeyPatch, command_line: Callable[..., Ended]
):
    (at_home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    monkeypatch.setenv("BRAND_DETECT_STOR_ROOT", "x")
    names = ("python", "settings", "variables", "home", "dagster.yaml")
    monkeypatch.setattr(doctor_checks, "CHECKS", [c for c in CHECKS if c.name in names])

    code, out, _ = command_line("doctor")
    assert code == Permanent.exit_code
    assert "✓  python" in out
    assert "! variables: did you mean BRAND_DETECT_STORE_ROOT?" in out
    assert "✗ dagster.yaml: copy this part" in out
    assert "ok: 3, warnings: 1, failed: 4" in out
    code, out, _ = command_line("doctor", "--json")
    assert code == Permanent.exit_code
    found = json.loads(out)
    assert {f["state"] for f in found} == {"ok", "warn", "fail"}
    assert {f["name"] for f in found if f["state"] == "fail"} == {"dagster.yaml"}
    (at_home / "dagster.yaml").write_bytes((CHECKOUT / "dagster.yaml").read_bytes())
    assert command_line("doctor")[0] == 0, "warnings do not count"


def test_remote_models_are_told_by_their_keys_names(look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for key in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "GROQ_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    assert look("settings", "remote models")["remote models"][0].state == "off"
    monkeypatch.setenv("BRAND_DETECT_REMOTE", "1")
    assert look("settings", "remote models")["remote models"][0].state == "warn"
    monkeypatch.setenv("GROQ_API_KEY", "gsk-secret")
    monkeypatch.setenv("BRAND_DETECT_MODEL_HOSTS", "gpu-box:8000")
    [fine] = look("settings", "remote models")["remote models"]
    assert (fine.state, "GROQ_API_KEY" in fine.text, "gpu-box:8000" in fine.text) == ("ok", True, True)
    assert "gsk-secret" not in fine.text
    (tmp_path / "own.md").write_text("You are helpful.", encoding="utf-8")
    monkeypatch.setenv("BRAND_DETECT_PROMPTS", str(tmp_path))
    [broken] = look("settings", "remote models")["remote models"]
    assert (broken.state, "own" in broken.text) == ("fail", True)
