"""brand-detect compare, on a store of its own and through a scripted client."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from brand_detect.cli import compare as command
from brand_detect.client import Client, ComparisonSummary
from brand_detect.domain.errors import BadInput
from brand_detect.report.comparison import Comparison, compare
from brand_detect_tests.conftest import Ended
from brand_detect_tests.report.test_comparison_page import AFTER, BEFORE
from brand_detect_tests.support.pipeline import CATALOG, home_in, pipeline, two_shot_clip

Call = Callable[..., Ended]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A job whose brand list grew between two reports, and one with a single report."""
    folder = tmp_path_factory.mktemp("compare")
    video = two_shot_clip(folder / "match.mp4")
    with pipeline(folder) as built:
        built.runner.submit(str(video), job_id="match")
        built.runner.submit(str(video), job_id="single")
        (folder / "brands.yaml").write_text(f"{CATALOG}  - name: Acme Widgets\n", encoding="utf-8")
        built.runner.replay("match", "match_brands")
        yield folder / "store"


class ScriptedClient(Client):
    def __init__(self) -> None:
        super().__init__("http://dagster.test")
        self.asked: list[tuple[str, ...]] = []

    def compare(self, job_id: str, attempt: str = "", with_attempt: str = "", with_job: str = "") -> ComparisonSummary:
        self.asked.append((job_id, attempt, with_attempt, with_job))
        document = compare(BEFORE, AFTER).model_dump(mode="json")
        return ComparisonSummary(job_id, "r1", "b", "a", "text", "/store/page.html", "/store/page.json", document)


@pytest.fixture
def dagster(monkeypatch: pytest.MonkeyPatch) -> ScriptedClient:
    scripted = ScriptedClient()
    monkeypatch.setattr(command, "Client", lambda: scripted)
    return scripted


@pytest.fixture
def brand_detect(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Call) -> Call:
    """The command over that store."""
    monkeypatch.setenv("DAGSTER_HOME", str(home_in(tmp_path)))
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", str(store))
    monkeypatch.setenv("COLUMNS", "120")

    return partial(command_line, "compare")


def test_what_changed_goes_to_stdout(brand_detect: Call):
    code, out, err = brand_detect("match")
    assert (code, err) == (0, "")
    for words in ("1 brand gained 2", "Acme Widgets", "unresolved", "brands in one list only", "stages not shared"):
        assert words in out


def test_json_is_the_whole_document(brand_detect: Call):
    code, out, _ = brand_detect("match", "--json")
    assert code == 0
    assert Comparison.model_validate_json(out).brands[0].brand == "Acme Widgets"


def test_the_page_goes_to_the_file_and_its_name_to_stderr(brand_detect: Call, tmp_path: Path):
    code, out, err = brand_detect("match", "--page", str(tmp_path / "c.html"), "--json")
    assert code == 0
    assert json.loads(out)["schema_version"] == 1
    assert err.strip() == f"page: {tmp_path / 'c.html'}"
    assert (tmp_path / "c.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_another_job_is_compared_and_notes_go_to_stderr(brand_detect: Call):
    code, out, err = brand_detect("match", "--with-job", "match")
    assert (code, err) == (0, "note: Both sides are the same report.\n")
    assert "no verdict changed" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("single",), "single has only one report so far: there is nothing to compare it with."),
        (("nobody",), "nobody has no report."),
        (("match", "--attempt", "x"), "match has no attempts 'x' of compile_report."),
        (("match", "--with", "x"), "match has no attempts 'x' of compile_report."),
        (("match", "--page", "/nowhere/c.html"), "/nowhere/c.html cannot be written: No such file or directory."),
        (("match", "--served", "--page", "c.html"), "--page writes a file here, but --served runs elsewhere."),
        (("../match",), "The job id '../match' is not allowed."),
    ],
)
def test_what_is_wrong_is_said_with_a_hint(brand_detect: Call, arguments: tuple[str, ...], said: str):
    code, out, err = brand_detect(*arguments)
    assert (code, out) == (BadInput.exit_code, "")
    assert err.splitlines()[0] == f"error: {said}"
    assert err.splitlines()[1].startswith("hint: ")


def test_served_lets_dagster_do_it(brand_detect: Call, dagster: ScriptedClient):
    code, out, err = brand_detect("match", "--served", "--attempt", "a", "--with", "b", "--with-job", "other")
    assert code == 0
    assert dagster.asked == [("match", "a", "b", "other")]
    assert "1 brand gained 1.5 s, 1 brand lost 1.0 s, 2 tracks got a different verdict." in out
    assert "page: /store/page.html" in err
    code, out, _ = brand_detect("match", "--served", "--json")
    assert json.loads(out)["schema_version"] == 1
