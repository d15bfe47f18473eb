"""The list of corrections on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brand_detect.domain.errors import BadInput
from brand_detect.domain.reviews import correction_of, review_of
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.reviews import Reviews
from brand_detect_tests.conftest import Ended
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a report to which one correction was applied, and a correction after it."""
    folder = tmp_path_factory.mktemp("reviews")
    log = Reviews(Blobs(str(folder / "store")), "match")

    def say(**said: Any) -> None:
        log.add(review_of(correction_of(said)))

    with pipeline(folder, kept=True) as built:
        built.runner.submit(str(two_shot_clip(folder / "match.mp4", seconds=2.0)), job_id="match")
        say(action="rename", brand_id="rolex", brand="Rolex", to="Emirates", start_s=0.0, end_s=1.0, user="ana")
        built.runner.replay("match", "compile_report")
    say(action="exclude", text="[red]ACME\u00a0WIDGETS", user="ben")
    return folder


@pytest.fixture
def call(folder: Path, command_line: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", str(folder / "store"))
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    monkeypatch.setattr("brand_detect.cli.job.out.width", 80)
    return command_line


def test_corrections_are_listed_with_their_state(call: Callable[..., Ended]):
    code, printed, said = call("job", "reviews", "match")
    assert code == 0, said
    title, head, *lines = printed.splitlines()
    assert max(map(len, printed.splitlines())) <= 80
    assert (title.strip(), head.split()[:4]) == ("Corrections of match", ["id", "when", "(UTC),", "by"])
    said_by = {who: "\n".join(lines[n - 1 : n + 1]) for n, line in enumerate(lines) for who in line.split()[:1]}
    for part in ("rename Rolex as Emirates", "0:00.0 to 0:01.0", "applied", "2 detections, 1.0 s"):
        assert part in said_by["ana"]
    for part in ("exclude [red]ACME", "pending"):
        assert part in said_by["ben"]


def test_as_json_and_of_one_user(call: Callable[..., Ended]):
    listed = json.loads(call("job", "reviews", "match", "--json")[1])
    assert [(row["action"], row["state"]) for row in listed] == [("rename", "applied"), ("exclude", "pending")]
    assert [row["user"] for row in json.loads(call("job", "reviews", "match", "--user", "ben", "--json")[1])] == ["ben"]


def test_without_a_report_there_is_nothing_to_list(call: Callable[..., Ended]):
    code, _, said = call("job", "reviews", "nobody")
    assert code == BadInput.exit_code
    assert "nobody has no report" in said
