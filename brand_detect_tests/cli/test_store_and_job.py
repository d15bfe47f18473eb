"""Prune, pin, rebuild and delete as a user meets them."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
import typer

from brand_detect.cli.common import err as terminal
from brand_detect.client import Client
from brand_detect.domain.errors import Permanent
from brand_detect.domain.history import History, StageState
from brand_detect.domain.pipeline import LINE
from brand_detect.operations.retention import deletion
from brand_detect.storage import store
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store
from brand_detect_tests.conftest import Ended
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip


def furnished(folder: Path) -> Path:
    """``folder`` with a job of two reports; the first run's id is in the file ``first``."""
    with pipeline(folder, kept=True) as built:
        run = built.runner.submit(str(two_shot_clip(folder / "match.mp4", seconds=2.0)), job_id="match")
        built.runner.replay("match", "compile_report")
    (folder / "first").write_text(run.run_id, encoding="utf-8")
    return folder


def move_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", str(home / "store"))
    return home


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return furnished(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def home(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A furnished home of the test's own."""
    copied = shutil.copytree(shared, tmp_path / "home")
    config = copied / "dagster.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace(str(shared), str(copied)), encoding="utf-8")
    return move_in(copied, monkeypatch)


@pytest.fixture
def kept(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home that several tests share, for no command of theirs may change it."""
    move_in(shared, monkeypatch)
    before = sorted((shared / "store").rglob("*"))
    yield shared
    assert sorted((shared / "store").rglob("*")) == before


def test_a_store_is_looked_through(home: Path, command_line: Callable[..., Ended]):
    code, out, err = command_line("store", "verify")
    assert (code, out) == (0, "no damage\n")
    assert "10 of 10 checkpoints" in err
    [texts] = (home / "store" / "match").glob("run_ocr/*/texts.parquet")
    texts.write_bytes(texts.read_bytes()[:-1])
    code, out, err = command_line("store", "verify", "match")
    assert (code, out.split()[:3]) == (6, ["what", "file", "damaged"])
    assert texts.parent.name in "".join(out.split())
    assert "--json has the details" in err
    code, out, _ = command_line("store", "verify", "--json")
    [damage] = json.loads(out)
    assert (code, damage["file"]) == (6, str(texts.relative_to(home / "store")))
    assert "re-materialize run_ocr of match" in damage["hint"]
    manifest = texts.with_name("manifest.json")
    written = manifest.read_bytes()
    manifest.write_text('{"schema_version": 2}', encoding="utf-8")
    code, out, _ = command_line("store", "verify", "match")
    assert (code, out.split()[2:4]) == (0, ["other", "version"])
    manifest.write_bytes(written)
    code, _, err = command_line("store", "verify", "macth")
    assert (code, "did you mean match?" in err) == (3, True)


def test_what_is_stored_is_looked_after(home: Path, command_line: Callable[..., Ended]):
    first = (home / "first").read_text(encoding="utf-8")
    reports = home / "store" / "match" / "compile_report"

    code, out, err = command_line("store", "prune", "--keep", "1", "--days", "0")
    assert (code, out.splitlines()[-1][:11]) == (0, "to remove: ")
    assert "nothing was removed" in err
    assert len(list(reports.iterdir())) == 2

    code, out, _ = command_line("job", "pin", "match", f"compile_report={first[:8]}", "--why", "sent to [the] sponsor")
    assert (code, out) == (0, f"compile_report={first}-0  sent to [the] sponsor\n")
    pinned = out
    code, out, _ = command_line("store", "prune", "match", "--keep", "1", "--days", "0", "--yes", "--json")
    assert (code, json.loads(out)) == (0, [])
    assert command_line("job", "pin", "match", "--list")[1] == pinned
    code, out, _ = command_line("job", "pin", "match", f"compile_report={first[:8]}", "--remove", "--json")
    assert (code, json.loads(out)) == (0, [])
    code, out, _ = command_line("store", "prune", "match", "--keep", "1", "--days", "0", "--yes", "--json")
    [pruned] = json.loads(out)
    assert pruned["attempts"] == [{"stage": "compile_report", "attempt": f"{first}-0"}]
    assert len(list(reports.iterdir())) == 1

    code, out, _ = command_line("store", "rebuild")
    assert (code, out) == (0, "1 job, 0 events rebuilt, 10 already known\n")
    for folder in ("history", "storage", "schedules"):
        shutil.rmtree(home / folder)
    (reports / "broken-0").mkdir()
    (reports / "broken-0" / "manifest.json").write_text("{", encoding="utf-8")
    code, out, err = command_line("store", "rebuild")
    assert (code, out) == (6, "1 job, 10 events rebuilt, 0 already known\n")
    assert "left out: The checkpoint match/compile_report/broken-0 is damaged" in err

    code, out, err = command_line("job", "delete", "match")
    assert (code, out) == (3, "")
    assert "hint: add --yes" in err
    assert reports.exists()
    code, out, _ = command_line("job", "delete", "match", "--yes")
    assert (code, out) == (0, "match is deleted\n")
    assert not reports.parent.exists()
    assert command_line("job", "delete", "match", "--yes")[0] == 3


def test_what_could_not_be_removed_is_said(
    home: Path, command_line: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
):
    def refused(_: Store, ref: AttemptRef) -> None:
        raise Permanent(f"{ref.path} could not be removed: Permission denied.")

    monkeypatch.setattr(Store, "withdraw", refused)
    asked = ("store", "prune", "--keep", "1", "--days", "0", "--yes")
    code, out, err = command_line(*asked)
    assert code == Permanent.exit_code
    first, last = out.splitlines()
    assert first.startswith("match: failed, match/compile_report/")
    assert last == "removed: 0 attempts, 0.0 MiB"
    assert "Old files of 1 of the jobs stay: match/compile_report/" in " ".join(err.split())
    code, out, _ = command_line(*asked, "--json")
    [job] = json.loads(out)
    assert (code, job["attempts"], "Permission denied" in job["failed"]) == (Permanent.exit_code, [], True)
    assert len(list((home / "store" / "match" / "compile_report").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("job", "pin", "match", "nonsense"), "'nonsense' does not name an attempt"),
        (("job", "pin", "match", "compile_report=zz"), "has no attempts 'zz' of compile_report"),
        (("job", "pin", "other"), "other has no report"),
        (("job", "pin", "../match"), "is not allowed"),
        (("store", "prune", "../match"), "is not allowed"),
        (("job", "delete", "../match", "--yes"), "is not allowed"),
        (("job", "delete", "other", "--yes"), "There is no job other"),
    ],
)
@pytest.mark.usefixtures("kept")
def test_what_makes_no_sense_is_refused(command_line: Callable[..., Ended], arguments: tuple[str, ...], said: str):
    code, out, err = command_line(*arguments)
    assert (code, out) == (3, "")
    assert said in " ".join(err.split())


@pytest.mark.usefixtures("kept")
def test_a_pin_of_several_attempts_is_refused_and_removal_needs_one(command_line: Callable[..., Ended]):
    code, _, err = command_line("job", "pin", "match", "compile_report=", "--remove")
    assert (code, "does not name an attempt" in err) == (3, True)
    code, _, err = command_line("job", "pin", "match", "--remove")
    assert (code, "is not pinned" in err) == (3, True)


@pytest.mark.parametrize("arguments", [("job", "pin", "match", "--list"), ("checkpoints", "match")])
def test_the_store_is_at_home_wherever_a_command_is_called(
    command_line: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
):
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.chdir(tmp_path)
    roots: list[str] = []
    monkeypatch.setattr(store, "Store", lambda root: roots.append(root) or Store(str(tmp_path)))
    monkeypatch.setattr(Client, "checkpoints", lambda _, job_id: History(job_id, {s: StageState(s) for s in LINE}))
    command_line(*arguments)
    assert roots == [str(Path(__file__).parents[2] / ".state" / "checkpoints")]


def answering(answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal, somebody who answers the question about ``match``."""

    def confirm(question: str, **_: object) -> bool:
        assert question == "Delete match for good?"
        assert terminal._live_stack == [], "progress would be drawn over the question"
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "confirm", confirm)


def test_a_deletion_that_is_declined_removes_nothing(
    kept: Path, command_line: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
):
    answering(False, monkeypatch)
    code, out, err = command_line("job", "delete", "match")
    assert (code, out, "nothing is deleted" in err.splitlines()) == (0, "", True), "to answer no is no failure"
    assert (kept / "store" / "match").exists()


class Stopping(io.StringIO):
    """A terminal at which somebody presses Ctrl-C instead of answering."""

    def isatty(self) -> bool:
        return True

    def readline(self, _: int | None = -1, /) -> str:
        raise KeyboardInterrupt


def test_ctrl_c_at_a_question_is_told_from_a_fault(
    kept: Path, command_line: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", Stopping())
    code, out, err = command_line("job", "delete", "match")
    assert (code, out.strip()) == (130, "")
    assert "error" not in err
    assert "Aborted" not in err
    assert (kept / "store" / "match").exists()


@pytest.mark.parametrize(("options", "looks"), [((), 2), (("--yes",), 1)])
def test_a_deletion_looks_again_only_after_it_asked(
    home: Path,
    command_line: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    looks: int,
):
    answering(True, monkeypatch)
    looked: list[str] = []
    look = deletion.belongings

    def counted(instance: dg.DagsterInstance, store: Store, job_id: str) -> deletion.Belongings:
        looked.append(job_id)
        return look(instance, store, job_id)

    monkeypatch.setattr(deletion, "belongings", counted)
    code, out, err = command_line("job", "delete", "match", *options)
    assert (code, out) == (0, "match is deleted\n")
    assert err.count("match: 10 checkpoints") == 1
    assert looked == ["match"] * looks
    assert not (home / "store" / "match").exists()
