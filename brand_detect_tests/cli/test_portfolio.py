"""brand-detect portfolio, on a store of its own."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from brand_detect.domain.errors import BadInput
from brand_detect_tests.conftest import Ended
from brand_detect_tests.support.pipeline import home_in, pipeline, two_shot_clip

Call = Callable[..., Ended]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("portfolio")
    with pipeline(folder) as built:
        for name, seconds in (("one", 4), ("two", 6)):
            built.runner.submit(str(two_shot_clip(folder / f"{name}.mp4", seconds)), job_id=name)
    return folder / "store"


@pytest.fixture
def portfolio(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Call) -> Call:
    monkeypatch.setenv("DAGSTER_HOME", str(home_in(tmp_path)))
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", str(store))
    return partial(command_line, "portfolio")


def test_the_table_goes_to_stdout(portfolio: Call) -> None:
    code, out, _ = portfolio()
    assert code == 0
    assert "Brands over 2 videos" in out
    assert "Rolex" in out


def test_json_and_files_say_the_same(portfolio: Call, tmp_path: Path) -> None:
    code, out, err = portfolio("--job", "two", "--json", "--out", str(tmp_path / "season"))
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "season" / "portfolio.json").read_text(encoding="utf-8"))
    assert [job["job_id"] for job in json.loads(out)["jobs"]] == ["two"]
    assert f"page: {tmp_path / 'season' / 'portfolio.html'}" in err
    assert {path.name for path in (tmp_path / "season").iterdir()} == {
        "portfolio.html",
        "portfolio.json",
        "brands.csv",
        "videos.csv",
    }
    code, _, err = portfolio("--out", str(tmp_path / "season"))
    assert code == BadInput.exit_code
    assert "season is not empty." in err


def test_what_is_wrong_is_said_with_a_hint(portfolio: Call) -> None:
    code, out, err = portfolio("--since", "yesterday")
    assert (code, out) == (BadInput.exit_code, "")
    assert "error: 'yesterday' is not a date for since." in err
    assert "hint: write it as 2026-05-31" in err
    code, out, err = portfolio("--without", "tow")
    assert (code, out) == (BadInput.exit_code, "")
    assert "error: There is no job tow to leave out." in err


def test_a_job_is_left_out(portfolio: Call) -> None:
    code, out, _ = portfolio("--without", "two", "--json")
    whole = json.loads(out)
    assert (code, [job["job_id"] for job in whole["jobs"]]) == (0, ["one"])
    assert [job["job_id"] for job in whole["left_out"]] == ["two"]
