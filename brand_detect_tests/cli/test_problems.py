"""What ``brand-detect problems`` prints and ends with."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest

from brand_detect.cli import problems as module
from brand_detect.client import Client, FailedTick, Problems
from brand_detect.domain.errors import Transient
from brand_detect.domain.problems import FAILED_CHECK, FAILED_RUN, WARNED, Problem
from brand_detect_tests.conftest import Ended

NOW_S = 1_700_000_000.0
RUN_ID = "6b585eff-0000-4000-8000-000000000001"
NOTHING = Problems((), 0, 0, NOW_S - 20, ())
FAILED = Problem("match", "run_ocr", FAILED_RUN, "There is no [reader] today.", RUN_ID, NOW_S - 60)
CHECKED = Problem("final", "compile_report", FAILED_CHECK, "failed its check all_is_well: no", RUN_ID, NOW_S - 90)
ODD = Problem("final", "detect_objects", WARNED, "something_was_found: no region", RUN_ID, NOW_S - 90)


class Scripted(Client):
    """Knows what is broken."""

    def __init__(self, found: Problems | Transient) -> None:
        super().__init__("http://dagster.test")
        self._is = found

    def problems(self) -> Problems:
        if isinstance(self._is, Transient):
            raise self._is
        return self._is


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, command_line: Callable[..., Ended]):
    """Exit code, stdout and stderr of the command over what a client knows."""
    monkeypatch.setattr(time, "time", lambda: NOW_S)
    monkeypatch.setattr(module.out, "width", 200)

    def call(found: Problems | Transient, *options: str) -> Ended:
        monkeypatch.setattr(module, "Client", lambda: Scripted(found))
        return command_line("problems", *options)

    return call


def test_nothing_is_broken(said):
    assert said(NOTHING) == (0, "no problems\n", "checked 20 s ago\n")


def test_problems_are_listed_and_end_with_a_code_of_their_own(said):
    code, printed, told = said(replace(NOTHING, problems=(FAILED, CHECKED, ODD), more=4))
    head, *rows = [" ".join(line.split()) for line in printed.splitlines()]
    assert head == "since job stage what run"
    assert "match run_ocr failed: There is no [reader] today. 6b585eff" in rows[0]
    assert "final compile_report failed a check: failed its check all_is_well: no 6b585eff" in rows[1]
    assert "final detect_objects warned: something_was_found: no region 6b585eff" in rows[2]
    assert rows[3] == "… and 4 older ones"
    assert (code, told) == (6, "checked 20 s ago\n")


def test_80_columns_are_enough(said, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module.out, "width", 80)
    job = "match_of_the_day-3f9a1c07"
    long = replace(FAILED, job_id=job, stage="extract_frames", what="The video has no picture that can be read. " * 3)
    _, printed, _ = said(replace(NOTHING, problems=(long, CHECKED)))
    assert max(map(len, printed.splitlines())) <= 80
    assert len(printed.splitlines()) <= 12
    for whole in ("extract_frames", "compile_report", "6b585eff", "picture"):
        assert whole in printed


def test_a_problem_of_the_brand_list_names_it(said):
    _, printed, _ = said(replace(NOTHING, problems=(replace(FAILED, job_id="", stage="brand_catalog"),)))
    assert "brand_catalog  brand_catalog" in printed


def test_warnings_alone_are_nothing_broken(said):
    code, printed, _ = said(replace(NOTHING, problems=(ODD,)))
    assert code == 0
    assert "warned" in printed


def test_a_sensor_whose_last_tick_failed_is_broken(said):
    code, printed, told = said(replace(NOTHING, failing=(FailedTick("notifications", NOW_S - 30, "It is [refused]."),)))
    assert (code, printed) == (6, "")
    assert told.startswith("notifications: its last tick failed at 20")
    assert "It is [refused]." in told


def test_old_information_says_so(said):
    code, printed, told = said(replace(NOTHING, polled_s=NOW_S - 3600))
    assert (code, printed) == (0, "no problems\n")
    assert told.startswith("checked 3600 s ago\nthis is old:")


def test_nobody_has_looked(said):
    code, printed, told = said(Transient("Nobody has looked yet."))
    assert (code, printed) == (5, "")
    assert "Nobody has looked yet." in told


def test_as_json(said):
    found = replace(NOTHING, problems=(FAILED, ODD), more=1)
    code, printed, _ = said(found, "--json")
    assert code == 6
    assert json.loads(printed) == json.loads(json.dumps(asdict(found)))
