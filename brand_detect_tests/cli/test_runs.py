"""The commands that speak to a running Dagster, with a scripted client: what they ask, print and end with."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from rich.tree import Tree

from brand_detect.cli import checkpoints, runs
from brand_detect.cli.checkpoints import tree_of
from brand_detect.client import Client, ReportSummary, Run
from brand_detect.domain.errors import BadInput, BrandDetectError, Permanent, Transient
from brand_detect.domain.history import Attempt, History, StageState
from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import CATALOG, LINE, ROOT, STAGES, downstream_of, upstream_of
from brand_detect_tests.conftest import Ended

RUN_ID = "6b585eff-0000-4000-8000-000000000001"
Call = Callable[..., Ended]


def run(status: str = "queued", **more: Any) -> Run:
    fields: dict[str, Any] = {"run_id": RUN_ID, "job_id": "match", "status": status, "stages": STAGES[4:]}
    times = {"created_s": 1_700_000_000.0, "started_s": None, "ended_s": None, "not_before_s": None}
    return Run(**{**fields, **times, "parent_run_id": "r1", **more})


def brand(name: str, seconds: float) -> Mapping[str, Any]:
    rest = {"share_of_voice": 0.5, "n_exposures": 2, "first_s": 1.0, "area_frac_mean": 0.01, "confidence": 0.9}
    return {"brand_id": name.lower(), "brand": name, "seconds": seconds, **rest}


def attempt(stage: str, run_id: str, at_s: float, upstream: Mapping[str, str], **more: Any) -> Attempt:
    facts: dict[str, Any] = {
        "uri": f"/store/match/{stage}/{run_id}-0",
        "params": {},
        "overrides": {},
        "input_versions": {},
        "code_version": "1",
        "data_version": "d",
        "stage_s": 0.5,
    }
    return Attempt(
        stage=stage,
        attempt=f"{run_id}-0",
        run_id=run_id,
        created_s=1_700_000_000.0 + at_s,
        upstream=dict(upstream),
        **{**facts, **more},
    )


class Branches:
    """A history that grows by whole runs."""

    def __init__(self) -> None:
        self.made: dict[str, list[Attempt]] = {stage: [] for stage in LINE}
        self._at_s = 0.0

    def add(self, run_id: str, start: str = ROOT, of: str = "", until: str = STAGES[-1], **changes: Any) -> None:
        """Stages from ``start`` to ``until``, on what the run ``of`` read and made; ``changes`` by stage."""
        line: dict[str, str] = {}
        if of:
            [parent] = [a for a in self.made[upstream_of(start)[-1]] if a.run_id == of]
            line = {**parent.upstream, parent.stage: parent.attempt}
        for stage in downstream_of(start):
            self._at_s += 1.0
            self.made[stage].insert(0, attempt(stage, run_id, self._at_s, line, **changes.get(stage, {})))
            line[stage] = f"{run_id}-0"
            if stage == until:
                break

    @property
    def history(self) -> History:
        return History("match", {s: StageState(s, tuple(a), "1") for s, a in self.made.items()}, "list 1")


class ScriptedClient(Client):
    """Knows one job, ``match``; notes what it was asked."""

    def __init__(self) -> None:
        super().__init__("http://dagster.test")
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.fails: BrandDetectError | None = None
        self.branches = Branches()
        self.run_is = run()
        self.looks_are = [run("started", done=("match_brands",)), run("success", done=STAGES[4:])]
        self.report_is = ReportSummary(
            "match",
            "r1-0",
            "r1",
            1.0,
            "/store/report",
            (brand("Emirates", 3.0), brand("Rolex", 9.0)),
            7,
            1,
            ("a note",),
        )

    def submit(self, video_uri: str, **more: Any) -> Run:
        return self._note("submit", video_uri, **more)

    def replay(self, job_id: str, start_stage: str, overrides: Overrides | None = None, **more: Any) -> Run:
        return self._note("replay", job_id, start_stage, overrides, **more)

    def retry(self, job_id: str, overrides: Overrides | None = None, **more: Any) -> Run:
        return self._note("retry", job_id, overrides, **more)

    def cancel(self, run_id: str) -> Run:
        return self._note("cancel", run_id)

    def runs(self, job_id: str, limit: int = 20) -> list[Run]:  # noqa: ARG002
        return [self._note("runs", job_id)] if job_id == "match" else []

    def checkpoints(self, job_id: str, *, limit: int = 0) -> History:  # noqa: ARG002
        self._note("checkpoints", job_id)
        return self.branches.history

    def wait(self, run_id: str, timeout_s: float = 0.0, seen: Callable[[Run], object] = lambda _: None) -> Run:
        self._note("wait", run_id, timeout_s)
        for look in self.looks_are:
            seen(look)
        return self.looks_are[-1]

    def report(self, job_id: str, run_id: str = "") -> ReportSummary:
        self._note("report", job_id, run_id)
        return self.report_is

    def _note(self, what: str, *asked: Any, **more: Any) -> Run:
        if self.fails:
            raise self.fails
        self.asked.append((what, asked, more))
        return self.run_is


@pytest.fixture
def dagster(monkeypatch: pytest.MonkeyPatch) -> ScriptedClient:
    scripted = ScriptedClient()
    for module in (runs, checkpoints):
        monkeypatch.setattr(module, "Client", lambda **_: scripted)
    return scripted


@pytest.fixture
def brand_detect(dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch, command_line: Call) -> Call:
    """The command line over that client."""
    assert dagster
    monkeypatch.setenv("COLUMNS", "80")

    return command_line


# what is asked


def test_submit_hands_on_what_was_given(brand_detect: Call, dagster: ScriptedClient):
    options = ("--job-id", "mine", "--profile", "fixed_camera", "--set", "run_ocr.max_crops=1", "--key", "k")
    assert brand_detect("submit", "match.mp4", *options)[0] == 0
    [(what, (video,), more)] = dagster.asked
    assert (what, Path(video).name) == ("submit", "match.mp4")
    assert more == {"job_id": "mine", "profile": "fixed_camera", "overrides": {"run_ocr": {"max_crops": 1}}, "key": "k"}


def test_replay_hands_on_what_was_given(brand_detect: Call, dagster: ScriptedClient):
    pins = ("--pin", "detect_objects=6b58", "--pin", "brand_catalog=a=b")
    options = ("--set", "run_ocr.max_crops=1", "--reset", "run_ocr", "--reset", "compile_report", "--reuse")
    assert brand_detect("replay", "match", "run_ocr", *pins, *options, "--key", "k", "--no-wait")[0] == 0
    [(what, asked, more)] = dagster.asked
    assert (what, asked) == ("replay", ("match", "run_ocr", {"run_ocr": {"max_crops": 1}}))
    assert more == {
        "pins": {"detect_objects": "6b58", "brand_catalog": "a=b"},
        "reset": ["run_ocr", "compile_report"],
        "reuse": True,
        "key": "k",
    }


def test_retry_hands_on_what_was_given(brand_detect: Call, dagster: ScriptedClient):
    assert brand_detect("retry", "match")[0] == 0
    options = ("--from", "escalate_cloud", "--of", "r1", "--in", "8h", "--reset", "escalate_cloud", "--key", "k")
    assert brand_detect("retry", "match", "--set", "escalate_cloud.max_questions=1", *options)[0] == 0
    plain, whole = dagster.asked
    defaults = {"start_stage": "escalate_vlm", "retry_of": "latest", "reset": [], "delay_s": 0.0, "key": ""}
    assert plain == ("retry", ("match", {}), defaults)
    assert whole == (
        "retry",
        ("match", {"escalate_cloud": {"max_questions": 1}}),
        {
            "start_stage": "escalate_cloud",
            "retry_of": "r1",
            "reset": ["escalate_cloud"],
            "delay_s": 8 * 3600.0,
            "key": "k",
        },
    )


@pytest.mark.parametrize(
    ("given", "delay_s"),
    [("0", 0), ("90", 90), ("90s", 90), ("1.5m", 90), ("8h", 28_800), ("2d", 172_800), (" 5m ", 300)],
)
def test_lengths_of_time(brand_detect: Call, dagster: ScriptedClient, given: str, delay_s: float):
    assert brand_detect("retry", "match", "--in", given)[0] == 0
    assert dagster.asked[0][2]["delay_s"] == delay_s


@pytest.mark.parametrize("given", ["soon", "-1", "1w", "", "1h30m", "nan", "inf", "1e3", "h"])
def test_lengths_that_are_none(brand_detect: Call, dagster: ScriptedClient, given: str):
    code, out, err = brand_detect("retry", "match", f"--in={given}")
    assert (code, out) == (BadInput.exit_code, "")
    assert err.splitlines() == [f"error: {given!r} is not a duration.", "hint: write 90s, 30m, 8h or 2d"]
    assert dagster.asked == []


@pytest.mark.parametrize("pin", ["run_ocr", "run_ocr=", "=r1-0", ""])
def test_pins_that_are_none(brand_detect: Call, dagster: ScriptedClient, pin: str):
    code, out, err = brand_detect("replay", "match", "match_brands", "--pin", pin)
    if pin.startswith("="):  # the client knows the stages
        assert dagster.asked[0][2]["pins"] == {"": "r1-0"}
    else:
        assert (code, out, dagster.asked) == (BadInput.exit_code, "", [])
        assert err.splitlines()[0] == f"error: {pin!r} is not a pin."


@pytest.mark.parametrize("command", ["submit", "replay", "retry"])
def test_a_setting_that_is_wrong_is_not_sent(brand_detect: Call, dagster: ScriptedClient, command: str):
    arguments = {"submit": ["match.mp4"], "replay": ["match", "run_ocr"], "retry": ["match"]}[command]
    code, out, err = brand_detect(command, *arguments, "--set", "run_ocr.max_crops=99")
    assert (code, out, dagster.asked) == (BadInput.exit_code, "", [])
    assert err.startswith("error: run_ocr.max_crops: ")


# what is printed


@pytest.mark.parametrize(
    "arguments",
    [("submit", "match.mp4"), ("retry", "match"), ("replay", "match", "run_ocr", "--no-wait"), ("cancel", "r1")],
)
def test_a_run_is_its_id_on_stdout_alone(brand_detect: Call, arguments: tuple[str, ...]):
    code, out, err = brand_detect(*arguments)
    assert (code, out) == (0, f"{RUN_ID}\n")
    assert arguments[0] == "cancel" or err == f"run: {RUN_ID} of match, queued\n"
    code, out, _ = brand_detect(*arguments, "--json")
    assert (code, json.loads(out)) == (0, json.loads(json.dumps(asdict(run()))))


def test_a_held_run_says_until_when(brand_detect: Call, dagster: ScriptedClient):
    dagster.run_is = run("held", not_before_s=1_700_000_000.0)
    code, out, err = brand_detect("retry", "match", "--in", "8h")
    assert (code, out) == (0, f"{RUN_ID}\n")
    assert re.fullmatch(rf"run: {RUN_ID} of match, held until 2023-11-1\d \d\d:\d\d\n", err)


@pytest.mark.parametrize(
    "arguments", [("replay", "match", "run_ocr"), ("submit", "match.mp4", "--wait"), ("retry", "match", "--wait")]
)
def test_who_waits_sees_progress_on_stderr_and_the_report_on_stdout(
    brand_detect: Call, dagster: ScriptedClient, arguments: tuple[str, ...]
):
    code, out, err = brand_detect(*arguments)
    assert code == 0
    assert [what for what, _, _ in dagster.asked[1:]] == ["wait", "report"]
    assert dagster.asked[-1][1] == ("match", RUN_ID)
    rows = [line for line in out.splitlines() if "Rolex" in line or "Emirates" in line]
    assert ["Rolex" in row for row in rows] == [True, False], "the longest on screen first"
    assert "note" not in out
    assert err.splitlines() == [
        f"run: {RUN_ID} of match, queued",
        "started",
        "match_brands: done",
        "success",
        *(f"{stage}: done" for stage in STAGES[5:]),
        "note: a note",
        "report: /store/report/report.html",
    ]
    code, out, _ = brand_detect(*arguments, "--json")
    assert (code, json.loads(out)) == (0, json.loads(json.dumps(asdict(dagster.report_is))))


def test_a_run_that_is_re_executed_is_named(brand_detect: Call, dagster: ScriptedClient):
    dagster.looks_are = [run("failure"), run("queued", run_id="r9"), run("success", run_id="r9")]
    code, _, err = brand_detect("replay", "match", "run_ocr")
    assert code == 0
    said = " ".join(err.split())
    assert f"failure run: r9 continues {RUN_ID} success" in said
    assert dagster.asked[-1][1] == ("match", "r9"), "the report is the one that it made"


def test_status_lists_runs_with_their_whole_ids(brand_detect: Call, dagster: ScriptedClient):
    """Also where there are only 80 columns: an id that is cut short is of no use."""
    dagster.run_is = run("held", not_before_s=1_700_000_000.0)
    code, out, err = brand_detect("status", "match")
    assert (code, err) == (0, "")
    assert RUN_ID in out
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = brand_detect("status", "match", "--json")
    assert (code, json.loads(out)) == (0, json.loads(json.dumps([asdict(dagster.run_is)])))


def test_status_says_how_long_a_run_took(brand_detect: Call, dagster: ScriptedClient):
    dagster.run_is = run("success", started_s=10.0, ended_s=12.5)
    assert "2.5 s" in brand_detect("status", "match")[1]
    dagster.run_is = run("queued")
    assert " s" not in brand_detect("status", "match")[1].splitlines()[1].split("queued")[1]


def test_report_shows_the_newest_or_that_of_a_run(brand_detect: Call, dagster: ScriptedClient):
    code, out, err = brand_detect("report", "match")
    assert code == 0
    assert "Rolex" in out
    assert err == "note: a note\nreport: /store/report/report.html\n"
    code, out, err = brand_detect("report", "match", "--run", "r1", "--json")
    assert (code, json.loads(out)["detections"], err) == (0, 7, "")
    assert [asked for _, asked, _ in dagster.asked] == [("match", ""), ("match", "r1")]


def test_a_report_without_brands_says_so(brand_detect: Call, dagster: ScriptedClient):
    dagster.report_is = replace(dagster.report_is, brands=(), notes=())
    code, out, _ = brand_detect("report", "match")
    assert code == 0
    assert "none found" in out


def test_texts_of_strangers_are_printed_as_they_are_written(brand_detect: Call, dagster: ScriptedClient):
    """Neither as markup nor as commands to the terminal."""
    brands = (brand("a[b]c", 1.0), brand("d\x1b[2Je", 2.0))
    dagster.report_is = replace(dagster.report_is, brands=brands, notes=("f[red]g\x1b]0;h\x07",))
    _, out, err = brand_detect("report", "match")
    assert "a[b]c" in out
    assert "d�[2Je" in out
    assert "note: f[red]g�]0;h�" in err
    assert "\x1b" not in out + err
    dagster.fails = BadInput("i[bold]j\x1bk.", "[l]")
    assert brand_detect("report", "match") == (BadInput.exit_code, "", "error: i[bold]j�k.\nhint: [l]\n")


def test_checkpoints_whose_files_are_gone_are_left_out(
    brand_detect: Call, dagster: ScriptedClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", str(tmp_path))
    dagster.branches.add("r1")
    history, stages = dagster.branches.history, {}
    for stage, state in history.stages.items():
        attempts = tuple(replace(a, uri=f"{tmp_path}/match/{stage}/{a.attempt}") for a in state.attempts)
        stages[stage] = replace(state, attempts=attempts)
    monkeypatch.setattr(dagster, "checkpoints", lambda _: replace(history, stages=stages))
    (tmp_path / "match" / "run_ocr" / "r1-0").mkdir(parents=True)
    (tmp_path / "match" / "run_ocr" / "r1-0" / "manifest.json").touch()
    code, out, err = brand_detect("checkpoints", "match", "--json")
    assert (code, err) == (0, f"left out: {len(LINE) - 1} checkpoints whose files are missing\n")
    assert [s for s, state in json.loads(out)["stages"].items() if state["attempts"]] == ["run_ocr"]


def test_checkpoints_are_a_tree_or_json(brand_detect: Call, dagster: ScriptedClient):
    dagster.branches.add("r1")
    code, out, err = brand_detect("checkpoints", "match")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "match"
    assert all(stage in out for stage in LINE)
    code, out, err = brand_detect("checkpoints", "match", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert set(found["stages"]) == set(LINE)
    assert found["stages"]["run_ocr"]["attempts"][0]["attempt"] == "r1-0"
    assert found["stale"] == {stage: [] for stage in LINE}


# how it ends


@pytest.mark.parametrize("error", [BadInput, Permanent, Transient])
@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "match.mp4"),
        ("replay", "match", "run_ocr"),
        ("retry", "match"),
        ("status", "match"),
        ("checkpoints", "match"),
        ("cancel", "r1"),
        ("report", "match"),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    brand_detect: Call, dagster: ScriptedClient, arguments: tuple[str, ...], error: type[BrandDetectError]
):
    dagster.fails = error("It went [wrong].", "do this")
    assert {BadInput.exit_code, Permanent.exit_code, Transient.exit_code} == {3, 4, 5}
    assert brand_detect(*arguments) == (error.exit_code, "", "error: It went [wrong].\nhint: do this\n")
    assert brand_detect(*arguments, "--json") == (error.exit_code, "", "error: It went [wrong].\nhint: do this\n")


def test_a_run_that_fails_while_it_is_waited_for_prints_no_report(
    brand_detect: Call, dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> Run:
        raise Permanent("run_ocr: It broke.", "mend it")

    monkeypatch.setattr(dagster, "wait", fail)
    code, out, err = brand_detect("replay", "match", "run_ocr")
    assert (code, out) == (Permanent.exit_code, "")
    assert err.splitlines()[1:] == ["error: run_ocr: It broke.", "hint: mend it"]


@pytest.mark.parametrize("command", ["status", "checkpoints"])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_job_that_nobody_knows_is_bad_input(brand_detect: Call, command: str, options: tuple[str, ...]):
    code, out, err = brand_detect(command, "unknown", *options)
    assert (code, out) == (BadInput.exit_code, "")
    assert err.splitlines()[1] == "hint: brand-detect submit VIDEO"


@pytest.mark.parametrize(
    "arguments", [("replay", "match"), ("retry",), ("report", "match", "--nonsense"), ("nonsense",)]
)
def test_wrong_usage_is_two(brand_detect: Call, dagster: ScriptedClient, arguments: tuple[str, ...]):
    code, out, err = brand_detect(*arguments)
    assert (code, out, dagster.asked) == (2, "", [])
    assert "Usage" in err


# the tree


def shape(tree: Tree) -> dict[str, Any]:
    """The first word of each line, with what hangs below it."""
    return {Text.from_markup(str(child.label)).plain.split()[0]: shape(child) for child in tree.children}


def line(tree: Tree, *path: str) -> str:
    """The line at ``path``, without its markup."""
    [child] = [c for c in tree.children if Text.from_markup(str(c.label)).plain.split()[0] == path[0]]
    return line(child, *path[1:]) if path[1:] else Text.from_markup(str(child.label)).plain


def leaves(*stages: str, **below: Any) -> dict[str, Any]:
    return {stage: below.get(stage, {}) for stage in stages}


@pytest.fixture
def branches() -> Branches:
    """r1 whole; r2 and r3 from run_ocr and below it; r4 a retry of r1; r5 ended after its first stage."""
    made = Branches()
    made.add("r1")
    made.add("r2", "run_ocr", "r1", run_ocr={"overrides": {"max_crops": 1, "languages": "[eng]"}})
    made.add("r3", "match_brands", "r2", match_brands={"failed_check": "sound: it is [not]"})
    made.add("r4", "escalate_vlm", "r1", escalate_vlm={"continues": "r1-0", "figures": {"questions": 2.0}})
    made.add("r5", "detect_objects", "r1", until="detect_objects")
    return made


def test_runs_hang_below_what_they_went_on_from(branches: Branches):
    below = downstream_of("match_brands")
    r3 = leaves(*below)
    r2 = leaves(*downstream_of("run_ocr"), run_ocr={"r3": r3})
    r4 = leaves(*downstream_of("escalate_vlm"))
    r1 = leaves(
        *LINE, filter_scenes={"r5": leaves("detect_objects")}, detect_objects={"r2": r2}, match_brands={"r4": r4}
    )
    assert shape(tree_of(branches.history)) == {"r1": r1}


def test_runs_of_one_place_stand_in_order_of_time(branches: Branches):
    for run_id in ("z", "y", "x"):
        branches.add(run_id, "run_ocr", "r1")
    [whole] = tree_of(branches.history).children
    [place] = [c for c in whole.children if str(c.label).startswith("detect_objects")]
    assert list(shape(place)) == ["r2", "z", "y", "x"]


def test_a_run_whose_parent_is_not_listed_hangs_at_the_top(branches: Branches):
    """Of a stage only its newest attempts are listed."""
    del branches.made["detect_objects"][-1]
    assert list(shape(tree_of(branches.history))) == ["r1", "r2"]


def test_a_run_says_what_was_tuned_and_what_it_continues(branches: Branches):
    tree = tree_of(branches.history)
    assert line(tree, "r1", "detect_objects", "r2").endswith("run_ocr.max_crops=1  run_ocr.languages=[eng]")
    assert "continues escalate_cloud r1-0" in line(tree, "r1", "match_brands", "r4")
    assert "goes on" not in line(tree, "r1")


def test_an_attempt_says_its_seconds_its_figures_and_its_failed_check(branches: Branches):
    tree = tree_of(branches.history)
    assert "0.5 s  questions 2" in line(tree, "r1", "match_brands", "r4", "escalate_vlm")
    failed = line(tree, "r1", "detect_objects", "r2", "run_ocr", "r3", "match_brands")
    assert failed.endswith("failed its check sound: it is [not]")


def test_an_attempt_says_what_its_checks_warn_of():
    made = Branches()
    made.add("r1", detect_objects={"warned_checks": "something_was_found: [no] region"})
    assert line(tree_of(made.history), "r1", "detect_objects").endswith("something_was_found: [no] region")


def test_only_the_newest_attempt_is_called_stale():
    made = Branches()
    made.add("r1", match_brands={"input_versions": {CATALOG: "list 0", "run_ocr": "d"}})
    made.add("r2", "match_brands", "r1", match_brands={"input_versions": {CATALOG: "list 0"}})
    tree = tree_of(made.history)
    assert "stale: the brand list has changed" in line(tree, "r1", "run_ocr", "r2", "match_brands")
    assert "stale" not in line(tree, "r1", "match_brands")


def test_a_job_without_checkpoints_has_no_branches():
    assert tree_of(Branches().history).children == []
