"""Jobs over HTTP: the list with its states and progress, submission, cancel, retry and replay; the pages over them."""

import html
import json
import re
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient

from brand_detect.api import create_app, job_list
from brand_detect.api.jobs import profiles
from brand_detect.api.stored_jobs import StoredJobs
from brand_detect.client import Client, Run, RunLog
from brand_detect.domain.errors import BadInput, BrandDetectError, Permanent, Transient
from brand_detect.domain.history import Attempt, History, StageState
from brand_detect.domain.job import check_job_id
from brand_detect.domain.pipeline import LINE, STAGES
from brand_detect.domain.progress import StageProgress
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import REQUEST
from brand_detect.orchestration.profiles import profile_names
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip
from brand_detect_tests.support.servers import serving
from brand_detect_tests.support.videos import truncate
from brand_detect_tests.support.webserver import Webserver, connected

MEANT = {"X-Requested-With": "brand_detect"}
KEY = "geheim"
HOSTILE = "<img src=x onerror=alert(1)>\"'.mp4"


def run(job_id: str, status: str, **more: Any) -> Run:
    fields = {"stages": LINE, "created_s": 1_700_000_000.0, "started_s": None, "ended_s": None, "parent_run_id": ""}
    return Run(
        **{"run_id": f"run-{job_id}", "job_id": job_id, "status": status, "not_before_s": None, **fields, **more}
    )


class ScriptedClient(Client):
    """Knows ``known`` runs; notes what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.known: list[Run] = []
        self.asked: list[tuple[Any, ...]] = []
        self.pages: list[tuple[float, str]] = []
        self.log = RunLog()
        self.explained: list[list[str]] = []
        self.fails: BrandDetectError | None = None

    def changed(self, since_s: float, after: str = "") -> list[Run]:
        if self.fails:
            raise self.fails
        self.pages.append((since_s, after))
        return [] if after else [r for r in self.known if r.updated_s >= since_s]

    def was_asked(self, job_id: str, key: str) -> bool:
        return any(r.job_id == job_id and r.tags.get(REQUEST) == key for r in self.known)

    def progress(self, run_id: str, seen: RunLog | None = None) -> RunLog:  # noqa: ARG002
        return self.log

    def reasons(self, run_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        self.explained.append([*run_ids])
        return {run_id: (f"extract_frames: {run_id} is damaged.", "copy it again.") for run_id in run_ids}

    def submit(self, video_uri: str, **more: Any) -> Run:
        self.asked.append(("submit", video_uri, more))
        return run(more["job_id"], "queued")

    def cancel(self, run_id: str) -> Run:
        self.asked.append(("cancel", run_id))
        return run(run_id.removeprefix("run-"), "canceling")

    def rerun(self, run_id: str) -> Run:
        self.asked.append(("rerun", run_id))
        return run(run_id.removeprefix("run-"), "queued", run_id="again")

    def replay(self, job_id: str, start_stage: str, overrides: Any = None, **more: Any) -> Run:
        if check_job_id(job_id) != "match":
            raise BadInput(f"There is no job {job_id}.")
        self.asked.append(("replay", job_id, start_stage, overrides, more))
        return run(job_id, "held" if more["delay_s"] else "queued")

    def checkpoints(self, job_id: str, *, limit: int = 0) -> History:  # noqa: ARG002
        made = LINE[:5] if job_id == "match" else ()
        params: Mapping[str, Mapping[str, Any]] = {"run_ocr": {"max_crops": 7}}
        return History(
            job_id, {s: StageState(s, (attempt(s, params.get(s, {})),) if s in made else (), "1") for s in LINE}
        )


def attempt(stage: str, params: Mapping[str, Any]) -> Attempt:
    names = ("code_version", "data_version", "uri")
    rest = {"created_s": 1.0, "stage_s": 0.5, "overrides": params, "upstream": {}, "input_versions": {}, "figures": {}}
    return Attempt(stage=stage, attempt="r-0", run_id="r", params=params, **dict.fromkeys(names, ""), **rest)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one job: ROLEX is seen in the first shot."""
    folder = tmp_path_factory.mktemp("jobs")
    with pipeline(folder) as built:
        built.runner.submit(str(two_shot_clip(folder / "Final, 2nd half.mp4", seconds=2.0)), job_id="match")
    return folder


@pytest.fixture
def dagster() -> ScriptedClient:
    return ScriptedClient()


def service(dagster: Client, folder: Path, **more: Any) -> TestClient:
    settings = Settings(
        store_root=str(folder / "store"),
        media_roots=(str(folder),),
        uploads=str(folder / "uploads"),
        **more.pop("set", {}),
    )
    app = create_app(dagster, settings, **more)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture
def http(dagster: ScriptedClient, made: Path) -> TestClient:
    return service(dagster, made)


@pytest.fixture
def empty(dagster: ScriptedClient, tmp_path: Path) -> TestClient:
    return service(dagster, tmp_path)


# --- the list


def test_a_finished_job_is_listed_with_its_video_brands_and_picture(http: TestClient):
    [job] = http.get("/jobs").json()["jobs"]
    assert (job["job_id"], job["video"], job["state"], job["report"]) == (
        "match",
        "Final, 2nd half.mp4",
        "done",
        "/reports/match",
    )
    assert job["brands"] == [{"brand": "Rolex", "seconds": 1.0}]
    picture = http.get(job["thumbnail"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    assert picture.content[:2] == b"\xff\xd8"
    assert "immutable" in picture.headers["cache-control"]
    page = http.get("/").text
    for shown in ("Final, 2nd half.mp4", "Rolex", "1.0 s", 'href="/reports/match"', html.escape(job["thumbnail"])):
        assert shown in page


def test_a_video_that_was_read_in_part_is_said(dagster: ScriptedClient, tmp_path: Path):
    clip = truncate(two_shot_clip(tmp_path / "cut.mkv"), 0.6)
    with pipeline(tmp_path) as built:
        built.runner.submit(str(clip), job_id="match")
    [job] = service(dagster, tmp_path).get("/jobs").json()["jobs"]
    assert job["state"] == "done"
    assert any("the video is damaged after" in loss for loss in job["losses"])
    assert "The video is damaged after" in service(dagster, tmp_path).get("/").text


@pytest.mark.parametrize(
    ("status", "more", "state", "says"),
    [
        ("queued", {}, "queued", "waiting in the queue"),
        ("not_started", {"created_s": 9e9}, "queued", "being queued"),
        ("held", {"not_before_s": 1.7e9 + 9}, "held", "held until 2023-11-14 22:13 UTC"),
        ("starting", {}, "running", "its process is starting"),
        ("started", {"started_s": 1.0}, "running", "sampling frames, step 1 of 8"),
        ("canceling", {"started_s": 1.0}, "running", "being cancelled"),
        ("canceled", {}, "cancelled", "cancelled"),
        ("failure", {"will_retry": False}, "failed", "run-new is damaged. Copy it again."),
        ("failure", {"will_retry": True}, "running", "failed, will be re-executed"),
    ],
)
def test_each_state_has_its_sentence(
    empty: TestClient, dagster: ScriptedClient, status: str, more: dict[str, Any], state: str, says: str
):
    dagster.known = [run("new", status, **more)]
    dagster.log = RunLog(stage="extract_frames", done=("job_request",))
    job = empty.get("/jobs/new").json()
    assert (job["state"], job["says"]) == (state, says)
    listed = empty.get("/jobs").json()
    assert listed["jobs"] == [job]
    assert listed["counts"][state] == 1
    assert listed["live"] is (state in ("queued", "running"))
    page = empty.get("/").text
    assert ('data-live="true"' in page) is listed["live"]
    assert ('data-do="cancel"' in page) is (state in ("queued", "held", "running"))
    assert ('data-do="retry"' in page) is (state in ("failed", "cancelled"))
    if state == "failed":
        assert job["stage"] == "extract_frames"
        assert "while sampling frames" in page
        assert says in page


def test_a_running_stage_tells_frames_done_rate_and_time_left(empty: TestClient, dagster: ScriptedClient):
    dagster.known = [run("new", "started", started_s=1.0)]
    done = ("job_request", "extract_frames", "filter_scenes")
    dagster.log = RunLog("c", "detect_objects", done, StageProgress("detect_objects", 1200, 4800, "frames", 10.0))
    job = empty.get("/jobs/new").json()
    assert (job["stage"], job["done"]) == ("detect_objects", [*done])
    assert job["progress"] == {"done": 1200.0, "total": 4800.0, "unit": "frames", "rate": 10.0, "left_s": 360.0}
    page = empty.get("/?part=jobs").text
    assert "Finding text and logos" in page
    assert "step 3 of 8" in page
    assert "1,200 of 4,800 frames, 10.0 a second, about 6 min left in this step" in page
    assert 'value="28"' in page, "two stages of eight, and a quarter of the third"


def test_the_reasons_of_a_page_are_asked_for_by_one_question(empty: TestClient, dagster: ScriptedClient):
    dagster.known = [run("a", "failure"), run("b", "failure"), run("c", "canceled")]
    listed = empty.get("/jobs?sort=name").json()["jobs"]
    assert [job["says"] for job in listed[:2]] == [f"run-{n} is damaged. Copy it again." for n in "ab"]
    assert dagster.explained == [["run-a", "run-b"]]
    dagster.known = [run("d", "failure", updated_s=2000.0)]
    assert [job["stage"] for job in empty.get("/jobs?state=failed").json()["jobs"]] == ["extract_frames"] * 3
    assert dagster.explained[1:] == [["run-d"]]


def test_a_reason_that_cannot_be_asked_for_is_said_to_be_unknown(
    empty: TestClient, dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch
):
    dagster.known = [run("a", "failure")]

    def away(_: Sequence[str]) -> dict[str, tuple[str, str]]:
        raise Transient("Dagster is away.")

    with monkeypatch.context() as patch:
        patch.setattr(dagster, "reasons", away)
        assert empty.get("/jobs/a").json()["says"] == "The reason is unknown: Dagster is away."
        patch.setattr(dagster, "reasons", lambda _: {})
        assert "no longer has the run" in empty.get("/jobs/a").json()["says"]
    assert empty.get("/jobs/a").json()["says"] == "run-a is damaged. Copy it again."


def test_one_damaged_run_does_not_hide_the_reasons_of_others(
    empty: TestClient, dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch
):
    dagster.known = [run(name, "failure") for name in "abc"]
    asked: list[list[str]] = []
    reasons = dagster.reasons

    def damaged(run_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        asked.append([*run_ids])
        if "run-b" in run_ids:
            raise Permanent("Its log is damaged.")
        return reasons(run_ids)

    monkeypatch.setattr(dagster, "reasons", damaged)
    for _ in range(2):
        says = [job["says"] for job in empty.get("/jobs?sort=name").json()["jobs"]]
        assert says == [
            "run-a is damaged. Copy it again.",
            "The reason is unknown: Its log is damaged.",
            "run-c is damaged. Copy it again.",
        ]
    assert asked == [["run-a", "run-b", "run-c"], ["run-a"], ["run-b"], ["run-c"]], "and not again"


def test_only_what_changed_is_asked_for_again(empty: TestClient, dagster: ScriptedClient):
    dagster.known = [run("a", "canceled", updated_s=1000.0), run("b", "failure", updated_s=900.0)]
    for _ in range(3):
        assert [j["state"] for j in empty.get("/jobs?sort=name").json()["jobs"]] == ["cancelled", "failed"]
    assert dagster.pages[0] == (0.0, "")
    assert {since for since, _ in dagster.pages[2:]} == {995.0}
    assert dagster.explained == [["run-b"]], "a reason never changes"
    dagster.known = [run("b", "queued", run_id="r2", created_s=1_700_000_100.0, updated_s=2000.0)]
    assert empty.get("/jobs/b").json()["state"] == "queued"
    dagster.known = [run("b", "failure", updated_s=2001.0)]
    assert empty.get("/jobs/b").json()["state"] == "queued", "an older run says nothing about the job"


def test_search_state_order_and_pages(http: TestClient, dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job_list, "PAGE", 2)
    states = ("queued", "failure", "held", "canceled")
    dagster.known = [run(f"job{n}", states[n % 4], created_s=1e9 + n) for n in range(5)]

    def ids(query: str) -> list[str]:
        return [job["job_id"] for job in http.get(f"/jobs?{query}").json()["jobs"]]

    assert ids("") == ["match", "job4"]
    assert ids("page=2") == ["job3", "job2"]
    assert ids("page=99") == ["job1", "job0"], "the last page"
    assert ids("sort=oldest") == ["job0", "job1"]
    assert ids("sort=name") == ["match", "job0"], "by the video's name where it is known"
    assert ids("state=queued") == ["job4", "job0"]
    assert ids("q=HALF%20final") == ["match"]
    assert ids("q=job3") == ["job3"]
    assert ids("q=nothing") == []
    page = http.get("/?q=job&page=2").text
    assert 'href="/?q=job"' in page
    assert 'href="/?q=job&amp;page=3"' in page
    assert "No job matches" in http.get("/?q=nothing").text
    for odd in ("state=x&sort=y&page=z", "page=-1", "page=0", f"page={'9' * 5000}", "q=%00%ff", f"q={'a' * 5000}"):
        assert http.get(f"/?{odd}").status_code == 200, odd


def test_who_reads_all_jobs_misses_none_and_gets_none_twice_while_they_move(
    empty: TestClient, dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch
):
    """A program that retries what has failed, page by page, while others add and delete jobs."""
    monkeypatch.setattr(job_list, "PAGE", 2)
    dagster.known = [run(f"job{n}", "failure", will_retry=False, created_s=1e9 - n) for n in range(5)]
    read, after = [], ""
    while found := empty.get("/jobs", params={"sort": "id", "state": "failed", "after": after}).json()["jobs"]:
        assert len(found) <= 2
        read += [job["job_id"] for job in found]
        for job_id in (*read, f"a{len(read)}"):
            dagster.known.append(run(job_id, "queued", run_id=f"again-{job_id}", created_s=2e9, updated_s=9e12))
        after = read[-1]
    assert read == [f"job{n}" for n in range(5)]
    assert empty.get("/jobs?sort=id&after=job3").json()["total"] == 1
    refused = empty.get("/jobs?after=job3")
    assert (refused.status_code, refused.json()["hint"]) == (400, "add sort=id")


def test_jobs_are_listed_while_dagster_is_away(http: TestClient, dagster: ScriptedClient):
    dagster.fails = Transient("Dagster's webserver is out of reach.")
    listed = http.get("/jobs").json()
    assert "out of reach" in listed["note"]
    assert [job["job_id"] for job in listed["jobs"]] == ["match"]
    assert "out of reach" in http.get("/").text
    assert http.get("/jobs/match").status_code == 200
    assert http.get("/jobs/other").status_code == 503, "nobody can say whether there is such a job"
    dagster.fails, dagster.known = None, [run("other", "started")]
    assert http.get("/jobs/other").json()["state"] == "running"
    dagster.fails = Transient("Dagster's webserver is out of reach.")
    assert http.get("/jobs/other").json()["state"] == "running", "what was known last"
    assert len(http.get("/jobs").json()["jobs"]) == 2


def test_damaged_jobs_do_not_hide_the_others(dagster: ScriptedClient, made: Path, tmp_path: Path):
    shutil.copytree(made / "store", tmp_path / "store")
    for name in ("bad", "worse"):
        shutil.copytree(made / "store" / "match", tmp_path / "store" / name)
    for file in (tmp_path / "store" / "bad" / "compile_report").glob("*/manifest.json"):
        file.write_text("{")
    for file in (tmp_path / "store" / "worse").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    (tmp_path / "store" / "empty").mkdir()
    listed = {job["job_id"]: job for job in service(dagster, tmp_path).get("/jobs").json()["jobs"]}
    assert {name: job["state"] for name, job in listed.items()} == {
        "match": "done",
        "bad": "failed",
        "worse": "failed",
        "empty": "no report",
    }
    assert "is damaged" in listed["bad"]["says"]


def test_a_deleted_job_is_not_listed_because_of_its_runs(empty: TestClient, dagster: ScriptedClient):
    ended = {"ended_s": 1_700_000_000.0, "started_s": 1.0}
    dagster.known = [run("deleted", "success", **ended), run("new", "success", **ended | {"ended_s": time.time()})]
    [job] = empty.get("/jobs").json()["jobs"]
    assert (job["job_id"], job["says"]) == ("new", "done, but the report is missing: replay it from compile_report")


def test_hostile_names_stay_text(dagster: ScriptedClient, tmp_path: Path):
    with pipeline(tmp_path) as built:
        built.runner.submit(str(two_shot_clip(tmp_path / HOSTILE, seconds=2.0)), job_id="match")
    http = service(dagster, tmp_path)
    assert http.get("/jobs/match").json()["video"] == HOSTILE
    for path in ("/", "/?part=jobs", "/reports/match/replay", f"/?q={HOSTILE}"):
        page = http.get(path)
        assert (page.status_code, "<img src=x" in page.text) == (200, False), path
        assert html.escape(HOSTILE, quote=False)[:20] in page.text


def test_an_empty_service_asks_for_a_video(empty: TestClient):
    page = empty.get("/").text
    assert "There are no jobs yet" in page
    assert '<details id="new" open>' in page
    assert empty.get("/reports").text == page, "one list under both addresses"
    assert empty.get("/jobs").json()["total"] == 0


@pytest.mark.parametrize("path", ["/", "/reports/match/replay"])
def test_only_the_pages_own_script_may_run(http: TestClient, path: str):
    answer = http.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/]{43}='", policy)) == answer.text.count("<script>") == 1
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    assert not re.search(r"(src|href)=\"(https?:)?//", answer.text), "nothing from another host"


def test_a_poll_asks_dagster_once(empty: TestClient, dagster: ScriptedClient):
    dagster.known = [run("a", "canceled")]
    for n in range(1, 4):
        empty.get("/?part=jobs")
        assert len(dagster.pages) == n


def test_pages_that_are_asked_for_together_share_an_answer_of_dagster(
    empty: TestClient, dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch
):
    asked: list[float] = []

    def away(since_s: float, after: str = "") -> list[Run]:  # noqa: ARG001
        asked.append(since_s)
        time.sleep(0.3)
        raise Transient("Dagster's webserver is out of reach.")

    monkeypatch.setattr(dagster, "changed", away)
    notes: list[str] = []
    threads = [threading.Thread(target=lambda: notes.append(empty.get("/jobs").json()["note"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["out of reach" in note for note in notes] == [True] * 8
    assert len(asked) < 4, "the first one, and one for those who came meanwhile"


def test_a_dagster_that_hangs_holds_up_one_page(
    empty: TestClient, dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch
):
    dagster.known = [run("a", "started")]
    empty.get("/jobs")
    within, go_on = threading.Event(), threading.Event()

    def hang(since_s: float, after: str = "") -> list[Run]:  # noqa: ARG001
        within.set()
        assert go_on.wait(10)
        return []

    monkeypatch.setattr(job_list, "WAIT_S", 0.05)
    monkeypatch.setattr(dagster, "changed", hang)
    followed: list[str] = []
    monkeypatch.setattr(dagster, "progress", lambda run_id, _: followed.append(run_id) or RunLog())
    first = threading.Thread(target=lambda: empty.get("/jobs"))
    first.start()
    assert within.wait(10)
    listed = empty.get("/jobs").json()
    assert (empty.get("/jobs/a").json()["state"], followed) == ("running", []), "its log would hang as well"
    go_on.set()
    first.join()
    assert [job["state"] for job in listed["jobs"]] == ["running"], "what was known last"
    assert "has not answered yet" in listed["note"]
    assert empty.get("/jobs").json()["note"] == ""


def test_a_run_that_dagster_lost_hides_nothing(
    empty: TestClient, dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch
):
    now = time.time()
    dagster.known = [
        run("a", "canceled", updated_s=1000.0),
        run("a", "not_started", run_id="lost", created_s=now, updated_s=1001.0),
    ]
    assert empty.get("/jobs/a").json()["state"] == "queued"
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert empty.get("/jobs/a").json()["state"] == "cancelled"
    assert empty.get("/jobs").json()["live"] is False
    fresh = ScriptedClient()
    fresh.known = dagster.known
    assert job_list.Runs(fresh).newest()[0]["a"].run_id == "run-a", "it is left out from the start as well"


def test_runs_that_were_deleted_are_forgotten_in_the_end(
    empty: TestClient, dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch
):
    dagster.known = [run("a", "canceled", updated_s=1000.0), run("b", "canceled", updated_s=1000.0)]
    assert empty.get("/jobs").json()["total"] == 2
    dagster.known = dagster.known[:1]
    assert empty.get("/jobs").json()["total"] == 2
    read, may_answer = threading.Event(), threading.Event()
    changed = dagster.changed

    def slow(since_s: float, after: str = "") -> list[Run]:
        if since_s == 0.0:
            assert may_answer.wait(20)
            read.set()
        return changed(since_s, after)

    monkeypatch.setattr(dagster, "changed", slow)
    later = time.monotonic() + job_list.RELOAD_S + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    for _ in range(2):
        assert empty.get("/jobs").json()["total"] == 2, "nobody waits until all runs are read again"
    may_answer.set()
    assert read.wait(20)
    seen = 2
    for _ in range(200):
        seen = seen if seen == 1 else empty.get("/jobs").json()["total"]
        time.sleep(0.01)
    assert seen == 1


def test_what_is_stored_is_read_again_when_the_run_has_ended(
    dagster: ScriptedClient, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job_list, "STORED_S", 60.0)
    monkeypatch.setattr(job_list, "NAMES_S", 60.0)
    shutil.copytree(made / "store", tmp_path / "store")
    report = tmp_path / "store" / "match" / "compile_report"
    report.rename(tmp_path / "later")
    http = service(dagster, tmp_path)
    dagster.known = [run("match", "started", started_s=1.0)]
    assert http.get("/jobs/match").json()["report"] is None
    (tmp_path / "later").rename(report)
    assert http.get("/jobs/match").json()["report"] is None, "not looked at again for a while"
    dagster.known = [run("match", "success", started_s=1.0, ended_s=time.time())]
    job = http.get("/jobs/match").json()
    assert (job["state"], job["report"]) == ("done", "/reports/match")


def test_a_log_is_read_on_and_not_again(empty: TestClient, dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch):
    seen: list[str | None] = []

    def progress(run_id: str, seen_before: RunLog | None = None) -> RunLog:  # noqa: ARG001
        seen.append(seen_before and seen_before.cursor)
        return RunLog(cursor="c")

    monkeypatch.setattr(dagster, "progress", progress)
    dagster.known = [run("a", "started", started_s=1.0)]
    now = time.monotonic()
    for turn in range(3):
        monkeypatch.setattr(time, "monotonic", lambda turn=turn: now + 1.1 * job_list.FOLLOWED_S * turn)
        for _ in range(5):
            empty.get("/jobs")
    assert seen == [None, "c", "c"], "one of many readers asks"


def test_nobody_waits_for_the_progress_that_another_asks_for(
    empty: TestClient, dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch
):
    asked, may_answer = threading.Event(), threading.Event()

    def slow(run_id: str, seen: RunLog | None = None) -> RunLog:  # noqa: ARG001
        asked.set()
        assert may_answer.wait(20)
        return RunLog(stage="run_ocr")

    monkeypatch.setattr(dagster, "progress", slow)
    dagster.known = [run("a", "started", started_s=1.0)]
    first = threading.Thread(target=empty.get, args=("/jobs",))
    first.start()
    assert asked.wait(20)
    asked.clear()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * job_list.FOLLOWED_S)
    assert empty.get("/jobs/a").json()["stage"] is None
    assert not asked.is_set(), "while it waits, nobody asks again"
    may_answer.set()
    first.join()
    assert empty.get("/jobs/a").json()["stage"] == "run_ocr"
    first.join()
    assert empty.get("/jobs/a").json()["stage"] == "run_ocr"


def test_a_job_that_was_submitted_again_names_its_new_video(dagster: ScriptedClient, tmp_path: Path):
    with pipeline(tmp_path) as built:
        built.runner.submit(str(two_shot_clip(tmp_path / "first.mp4", seconds=2.0)), job_id="match")
        dagster.known = [run("match", "success", ended_s=time.time())]
        http = service(dagster, tmp_path)
        assert http.get("/jobs/match").json()["video"] == "first.mp4"
        dagster.known = [run("match", "started", run_id="second", created_s=1_700_000_001.0, started_s=1.0)]
        assert http.get("/jobs/match").json()["video"] == "first.mp4", "its first stage has not read it yet"
        built.runner.submit(str(two_shot_clip(tmp_path / "second.mp4", seconds=3.0)), job_id="match")
    job = http.get("/jobs/match").json()
    assert (job["video"], job["video_s"]) == ("second.mp4", 3.0)


def test_finished_jobs_without_a_run_are_looked_at_seldom_and_deleted_ones_forgotten(
    dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch
):
    names = [f"job-{n}" for n in range(40)]
    looked: list[str] = []

    class Stored:
        def jobs(self) -> list[str]:
            return names

        def newest(self, job_id: str) -> Any:
            looked.append(job_id)
            return SimpleNamespace(created="2026-05-01T12:00:00+00:00")

        def request(self, job_id: str) -> Any:
            looked.append(job_id)
            return SimpleNamespace(job_id=job_id, video_sha256="x" * 64, video_uri="/x")

    jobs = job_list.JobList(dagster, cast("StoredJobs", Stored()))
    began = time.monotonic()

    def looked_at(after_s: float) -> list[str]:
        monkeypatch.setattr(time, "monotonic", lambda: began + after_s)
        looked.clear()
        assert jobs.of_video("x" * 64) == sorted(names)
        return sorted(looked)

    assert looked_at(0) == sorted(2 * names), "report and request"
    assert looked_at(job_list.LOOKED_S / 3) == []
    monkeypatch.setattr(jobs, "_job", lambda known, **_: known)
    assert jobs.job("job-7").job_id == "job-7"
    assert looked == ["job-7", "job-7"], "who asks for one alone sees it as it is"
    jobs._looked["job-8"] = 0.0, jobs._looked["job-8"][1]
    read = jobs._look

    def while_another_asks_for_one(job_id: str) -> Any:
        monkeypatch.setattr(jobs, "_look", read)
        with monkeypatch.context() as begun:
            begun.setattr(jobs, "_known", partial(next, iter(())))
            with pytest.raises(StopIteration):  # that request has only begun
                jobs.job("job-9")
        return read(job_id)

    monkeypatch.setattr(jobs, "_look", while_another_asks_for_one)
    assert {k.job_id for k in jobs._known()[0]} == set(names)
    jobs.job("job-9")
    names.append("new")
    assert looked_at(job_list.LOOKED_S / 2.5) == ["new", "new"]
    assert 0 < len(looked_at(job_list.LOOKED_S * 0.75)) < 80
    names[:20] = []
    looked_at(job_list.LOOKED_S * 0.8)
    assert jobs._looked.keys() == jobs._requests.keys() == set(names)
    assert set(looked_at(3 * job_list.LOOKED_S)) == set(names)


def test_jobs_are_searched_while_others_are_read(dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch):
    class Stored:
        def jobs(self) -> list[str]:
            return []

        def request(self, job_id: str) -> Any:
            return SimpleNamespace(job_id=job_id, video_sha256="x" * 64, video_uri="/x")

    known = [job_list._Known(f"job-{n}", job_list.State.cancelled, 0.0) for n in range(3000)]
    jobs = job_list.JobList(dagster, cast("StoredJobs", Stored()))
    monkeypatch.setattr(jobs, "_known", lambda: (known, ""))
    faults: list[Exception] = []

    def search() -> None:
        try:
            for _ in range(20):
                jobs.of_video("y" * 64)
        except RuntimeError as e:
            faults.append(e)

    def read(part: int) -> None:
        for n in range(part, 3000, 3):
            jobs._read_requests(known[n : n + 1])
            jobs._logs[str(n)] = 0.0, RunLog()

    threads = [threading.Thread(target=search), *(threading.Thread(target=read, args=(n,)) for n in range(3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


# --- submission


def test_a_video_is_checked_and_submitted(http: TestClient, dagster: ScriptedClient, made: Path):
    video = str(made / "Final, 2nd half.mp4")
    asked = {"video_uri": video, "profile": "fast", "config_overrides": {"run_ocr": {"max_crops": 2}}, "jobid": "x"}
    answer = http.post("/jobs", json=asked, headers=MEANT | {"Idempotency-Key": "k"})
    assert answer.status_code == 202
    job_id = answer.json()["job_id"]
    assert re.fullmatch(r"Final_2nd_half-[0-9a-f]{8}", job_id)
    assert answer.json()["warnings"] == ["The unknown field 'jobid' was ignored; did you mean 'job_id'?"]
    overrides = {"run_ocr": {"max_crops": 2}}
    assert dagster.asked == [
        ("submit", video, {"job_id": job_id, "profile": "fast", "overrides": overrides, "key": "k"})
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("notes.mp4", "not a video"),
        ("nothing.mp4", "There is no file"),
        ("../../etc/passwd", "outside the allowed media roots"),
        ("", "No video was named"),
        ("http://169.254.169.254/x.mp4", "outside the allowed media roots"),
        ("s3://bucket/final.mp4", "outside the allowed media roots"),
        ("\ud800.mp4", "The request is not valid: video_uri"),
        ("a\0b.mp4", "No video was named"),
        (".", "is a folder"),
    ],
)
def test_what_is_no_video_is_never_queued(http: TestClient, dagster: ScriptedClient, made: Path, name: str, said: str):
    (made / "notes.mp4").write_text("no video at all")
    uri = name if "://" in name or not name else f"{made}/{name}"
    body = json.dumps({"video_uri": uri, "job_id": "new"})
    answer = http.post("/jobs", content=body, headers=MEANT | {"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    assert dagster.asked == []


def test_the_id_of_another_video_is_not_taken(http: TestClient, dagster: ScriptedClient, made: Path):
    other = two_shot_clip(made / "other.mp4", seconds=1.0)
    answer = http.post("/jobs", json={"video_uri": str(other), "job_id": "match"}, headers=MEANT)
    assert (answer.status_code, dagster.asked) == (409, [])
    assert "belongs to another video, Final, 2nd half.mp4" in answer.json()["detail"]


def test_the_same_video_elsewhere_may_take_its_id(http: TestClient, dagster: ScriptedClient, made: Path):
    moved = shutil.copy(made / "Final, 2nd half.mp4", made / "moved.mp4")
    answer = http.post("/jobs", json={"video_uri": str(moved), "job_id": "match"}, headers=MEANT)
    assert (answer.status_code, len(dagster.asked)) == (202, 1)


def test_a_file_address_needs_no_id(http: TestClient, made: Path):
    shutil.copy(made / "Final, 2nd half.mp4", made / "local.mp4")
    answer = http.post("/jobs", json={"video_uri": f"file://{made}/local.mp4"}, headers=MEANT)
    assert answer.json()["job_id"].startswith("local-")


@pytest.mark.parametrize(
    ("status", "more"),
    [("queued", {}), ("held", {}), ("started", {"started_s": 1.0}), ("failure", {"will_retry": True})],
)
def test_no_job_is_queued_twice_while_it_runs(
    http: TestClient, dagster: ScriptedClient, made: Path, status: str, more: dict[str, Any]
):
    asked = {"video_uri": str(made / "Final, 2nd half.mp4"), "job_id": "new"}
    dagster.known = [run("new", status, tags={REQUEST: "k"}, **more)]
    for key in ("", "other"):
        answer = http.post("/jobs", json=asked, headers=MEANT | {"Idempotency-Key": key})
        assert (answer.status_code, dagster.asked) == (409, [])
        assert answer.json()["detail"].startswith("new is not finished yet: ")
    answer = http.post("/jobs", json=asked, headers=MEANT | {"Idempotency-Key": "k"})
    assert (answer.status_code, dagster.asked[0][2]["key"]) == (202, "k"), "the client finds its run"
    dagster.known = [run("new", "success", ended_s=time.time())]
    assert http.post("/jobs", json=asked, headers=MEANT).status_code == 202


@pytest.mark.parametrize("video", ["Final, 2nd half.mp4", "removed since.mp4"])
def test_a_repeated_request_is_answered_whatever_runs_and_is_gone_since(
    http: TestClient, dagster: ScriptedClient, made: Path, video: str
):
    asked = {"video_uri": str(made / video), "job_id": "new"}
    first = run("new", "success", run_id="first", tags={REQUEST: "k"}, ended_s=1.0)
    dagster.known = [run("new", "started", run_id="a replay", created_s=time.time(), started_s=2.0), first]
    answer = http.post("/jobs", json=asked, headers=MEANT | {"Idempotency-Key": "k"})
    assert (answer.status_code, dagster.asked[0][2]["key"]) == (202, "k"), "the client finds its run"


def test_of_two_who_queue_one_job_together_one_is_refused(
    http: TestClient, dagster: ScriptedClient, made: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = {"video_uri": str(made / "Final, 2nd half.mp4"), "job_id": "new"}
    submit = dagster.submit

    def slowly(*args: Any, **more: Any) -> Run:
        time.sleep(0.2)
        dagster.known = [run("new", "queued")]
        return submit(*args, **more)

    monkeypatch.setattr(dagster, "submit", slowly)
    codes: list[int] = []
    post = lambda: codes.append(http.post("/jobs", json=asked, headers=MEANT).status_code)  # noqa: E731
    threads = [threading.Thread(target=post) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(codes), len(dagster.asked)) == ([202, 409], 1)


def test_the_profiles_are_those_of_the_package(http: TestClient):
    listed = http.get("/profiles").json()
    assert sorted(p["name"] for p in listed) == profile_names()
    assert listed[0]["name"] == "default"
    assert all(p["description"] for p in listed)
    assert [p.name for p in profiles()] == [p["name"] for p in listed]


# --- cancel, retry, replay


def test_cancel_and_retry_act_on_the_newest_run(empty: TestClient, dagster: ScriptedClient):
    dagster.known = [run("a", "started"), run("b", "failure"), run("c", "canceled"), run("d", "held")]
    for job_id, what, status in (("a", "cancel", 200), ("d", "cancel", 200), ("b", "retry", 202), ("c", "retry", 202)):
        assert empty.post(f"/jobs/{job_id}/{what}", headers=MEANT).status_code == status
    assert dagster.asked == [("cancel", "run-a"), ("cancel", "run-d"), ("rerun", "run-b"), ("rerun", "run-c")]
    for job_id, what, status in (("b", "cancel", 409), ("a", "retry", 409), ("x", "cancel", 404), ("x", "retry", 404)):
        answer = empty.post(f"/jobs/{job_id}/{what}", headers=MEANT)
        assert (answer.status_code, type(answer.json()["detail"])) == (status, str)
    assert len(dagster.asked) == 4


def test_a_run_that_dagster_will_execute_again_is_cancelled_once_it_has(empty: TestClient, dagster: ScriptedClient):
    dagster.known = [run("a", "failure", will_retry=True)]
    answer = empty.post("/jobs/a/cancel", headers=MEANT)
    assert (answer.status_code, dagster.asked) == (409, [])
    assert "about to be executed again" in answer.json()["detail"]
    dagster.known = [run("a", "failure", retried_as="run-next")]
    assert empty.post("/jobs/a/cancel", headers=MEANT).status_code == 200
    assert dagster.asked == [("cancel", "run-next")]


def test_a_replay_is_queued_without_waiting(http: TestClient, dagster: ScriptedClient):
    asked = {"start_stage": "run_ocr", "config_overrides": {"run_ocr": {"max_crops": 2}}, "hold_s": 60}
    answer = http.post("/jobs/match/replay", json=asked, headers=MEANT)
    assert (answer.status_code, answer.json()["status"]) == (202, "held")
    more = {"pins": {}, "reset": [], "reuse": False, "delay_s": 60.0, "key": ""}
    assert dagster.asked == [("replay", "match", "run_ocr", {"run_ocr": {"max_crops": 2}}, more)]
    assert http.post("/jobs/nobody/replay", json=asked, headers=MEANT).status_code == 400
    for seconds in ("-1", "NaN", "Infinity", "1e9", '"soon"'):
        body = f'{{"start_stage": "run_ocr", "hold_s": {seconds}}}'
        answer = http.post("/jobs/match/replay", content=body, headers=MEANT | {"Content-Type": "application/json"})
        assert (answer.status_code, type(answer.json()["detail"])) == (400, str)
    assert len(dagster.asked) == 1


def test_many_replays_are_queued_by_one_request(http: TestClient, dagster: ScriptedClient):
    asked = {"job_ids": ["match", "nobody", "match"], "start_stage": "match_brands", "hold_s": 60}
    answer = http.post("/jobs/replay", json=asked, headers=MEANT)
    assert answer.status_code == 202
    assert [(run["job_id"], run["status"]) for run in answer.json()["queued"]] == [("match", "held")]
    assert answer.json()["refused"] == [{"job_id": "nobody", "detail": "There is no job nobody.", "hint": ""}]
    assert [(what, job, start) for what, job, start, *_ in dagster.asked] == [("replay", "match", "match_brands")]
    assert http.post("/jobs/replay", json=asked | {"job_ids": []}, headers=MEANT).status_code == 400
    assert http.post("/jobs/replay", json=asked).status_code == 403


def test_many_replays_asked_for_again_with_their_key_are_the_same_runs(tmp_path: Path):
    server = Webserver()
    server.finished("job_request")
    http, asked = service(connected(server), tmp_path), {"job_ids": ["match", "match"], "start_stage": "run_ocr"}
    keyed = MEANT | {"Idempotency-Key": "k" * 255}
    first, again = (http.post("/jobs/replay", json=asked, headers=keyed).json() for _ in range(2))
    assert (len(server.sent("Launch")), first["refused"]) == (1, [])
    assert again == first
    assert {"key": REQUEST, "value": f"{'k' * 255}/match"} in server.sent("Launch")[0]["tags"]
    other = http.post("/jobs/replay", json=asked | {"start_stage": "match_brands"}, headers=keyed).json()
    assert (other["queued"], other["refused"][0]["hint"]) == ([], "use a new key for each request")
    for _ in range(2):
        http.post("/jobs/replay", json=asked, headers=MEANT)
    assert len(server.sent("Launch")) == 3, "without a key each request is new"


def test_once_dagster_is_out_of_reach_the_rest_is_refused_at_once(made: Path):
    tried: list[str] = []

    class Leaving(ScriptedClient):
        def replay(self, job_id: str, *_: Any, **__: Any) -> Run:
            tried.append(job_id)
            if job_id == "a":
                raise BadInput("There is no job a.")
            if job_id == "c":
                raise Transient("Dagster is out of reach.", "start it")
            return run(job_id, "queued")

    asked = {"job_ids": ["a", "b", "c", "d", "e"], "start_stage": "match_brands"}
    answer = service(Leaving(), made).post("/jobs/replay", json=asked, headers=MEANT).json()
    assert tried == ["a", "b", "c"]
    assert [queued["job_id"] for queued in answer["queued"]] == ["b"]
    assert [(r["job_id"], r["detail"]) for r in answer["refused"]] == [
        ("a", "There is no job a."),
        *((job_id, "Dagster is out of reach.") for job_id in "cde"),
    ]


def test_the_service_goes_on_with_replays_if_the_caller_leaves(made: Path):
    begun, left = threading.Event(), threading.Event()
    queued: list[str] = []

    class Slow(ScriptedClient):
        def replay(self, job_id: str, *_: Any, **__: Any) -> Run:
            begun.set()
            assert left.wait(20)
            queued.append(job_id)
            return run(job_id, "queued")

    body = json.dumps({"job_ids": ["a", "b", "c"], "start_stage": "match_brands"})
    with serving(create_app(Slow(), Settings(store_root=str(made / "store")))) as address:
        connection = HTTPConnection(address.removeprefix("http://"))
        connection.request("POST", "/jobs/replay", body, MEANT | {"Content-Type": "application/json"})
        assert begun.wait(20)
        connection.close()
        left.set()
    assert queued == ["a", "b", "c"], "the server ends after what it has begun"


def test_the_form_of_a_replay_explains_each_param_of_the_stages_that_can_run(http: TestClient):
    page = http.get("/reports/match/replay?start=run_ocr").text
    begins = re.findall(r'name="start" value="(\w+)"', page)
    assert begins == list(STAGES[:5]), "match_brands can begin: run_ocr has a checkpoint"
    assert re.search(r'value="run_ocr" checked', page)
    assert re.search(r'id="run_ocr\.max_crops" type="number" step="1" value="7" min="1" max="20"', page), "in force"
    assert "Most crops read per track. Default: 3; 1 to 20." in page
    assert re.search(r"<option selected>rapidocr</option><option>tesseract</option>", page)
    assert page.count("data-param=") == sum(len(re.findall(r'data-param="', s)) for s in page.split("<details")[1:])
    assert http.get("/reports/nobody/replay").status_code == 404


def replay_page(server: Webserver, folder: Path, start: str) -> str:
    class Replayed(ScriptedClient):
        def checkpoints(self, job_id: str, *, limit: int = 0) -> History:  # noqa: ARG002
            return connected(server).checkpoints(job_id)

    dagster = Replayed()
    dagster.known = [run("match", "success", ended_s=time.time())]
    return service(dagster, folder).get(f"/reports/match/replay?start={start}").text


def test_the_form_of_a_replay_shows_what_will_run(tmp_path: Path):
    server = Webserver()
    first = server.finished("job_request", overrides={"run_ocr": {"max_crops": 9}})
    whole = dict.fromkeys(LINE[:4], f"{first}-0")
    server.finished("detect_objects", overrides={"run_ocr": {"max_crops": 2}})
    server.finished("run_ocr", of=whole, overrides={"run_ocr": {"max_crops": 9}})
    page = replay_page(server, tmp_path, "run_ocr")
    field = page[page.index('data-param="max_crops"') :].partition("</div>")[0]
    shown = re.findall(r'value="(\d+)"', field)[0]
    values = json.loads(html.unescape(re.findall(r'data-values="([^"]+)"', field)[0]))
    assert shown == values["run_ocr"]
    assert sorted(set(values.values())) == ["2", "9"], "it depends on where the replay begins"
    client = connected(server)
    for start, value in values.items():
        client.replay("match", start)
        config = server.sent("Launch")[-1]["config"]["ops"]["run_ocr"]["config"]
        assert str(config["max_crops"]) == value, start


def test_the_form_of_a_replay_leaves_off_peak_params_out(tmp_path: Path):
    server = Webserver()
    server.finished("job_request")
    server.finished("escalate_vlm", overrides={"escalate_vlm": {"provider": "transformers"}})
    for stage in ("escalate_vlm", "escalate_cloud", "compile_report"):
        server.made[stage][0]["metadataEntries"].append({"label": "offpeak", "text": "2026-11-29"})
    page = replay_page(server, tmp_path, "escalate_vlm")
    assert re.findall(r'<select id="escalate_vlm\.provider".*?selected>(\w+)', page) == ["off"]


def test_a_setting_is_shown_for_stages_above_the_chosen_one_as_well(http: TestClient):
    page = http.get("/reports/match/replay?start=match_brands").text
    assert re.search(r'id="run_ocr\.max_crops" type="number" step="1" value="7"', page), "the start may be changed"


def test_a_job_that_cannot_be_replayed_says_why(http: TestClient, dagster: ScriptedClient):
    broken = {s: StageState(s, (attempt(s, {"gone": 1} if s == "compile_report" else {}),), "1") for s in LINE}
    dagster.known = [run("match", "success", ended_s=time.time())]
    dagster.checkpoints = lambda job_id, limit=0: History(job_id, broken)  # noqa: ARG005
    answer = http.get("/reports/match/replay")
    assert (answer.status_code, "gone" in answer.json()["detail"]) == (400, True)


# --- who is let in


@pytest.mark.parametrize("path", ["/jobs", "/jobs/match/cancel", "/jobs/match/retry", "/jobs/match/replay"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"X-Requested-With": "XMLHttpRequest"}, 403),
        (MEANT | {"Sec-Fetch-Site": "cross-site"}, 403),
        (MEANT | {"Origin": "https://evil.example"}, 403),
        (MEANT | {"Content-Type": "text/plain"}, 415),
    ],
)
def test_what_another_site_could_send_changes_nothing(
    http: TestClient, dagster: ScriptedClient, path: str, headers: dict[str, str], status: int
):
    answer = http.post(path, content="{}", headers={"Content-Type": "application/json"} | headers)
    assert (answer.status_code, dagster.asked) == (status, [])


def test_with_a_key_nothing_is_seen_or_done_without_it(dagster: ScriptedClient, made: Path):
    http = service(dagster, made, api_key=KEY)
    for path in ("/jobs", "/jobs/match", "/profiles", "/reports/match/thumbnail.jpg", "/uploads/x"):
        assert http.get(path).status_code == 401, path
    for path in ("/jobs", "/jobs/match/cancel", "/jobs/match/retry", "/jobs/match/replay", "/uploads"):
        assert http.post(path, json={}, headers=MEANT).status_code == 401, path
    assert http.get("/?part=jobs").headers["location"] == "/login?next=/"
    assert http.get("/reports/match/replay").headers["location"] == "/login?next=/reports/match/replay"
    assert http.get("/jobs", headers={"X-API-Key": KEY}).status_code == 200
    http.post("/login", data={"key": KEY})
    assert http.get("/").status_code == http.get("/jobs").status_code == 200
    assert http.post("/jobs/match/replay", json={"start_stage": "run_ocr"}, headers=MEANT).status_code == 202


def test_pictures_do_not_use_up_the_requests_of_a_page(dagster: ScriptedClient, made: Path):
    http = service(dagster, made, set={"api_rate": "5/minute"})
    picture = http.get("/jobs/match").json()["thumbnail"]
    assert [http.get(picture).status_code for _ in range(50)] == [200] * 50
    assert http.get("/").status_code == 200


@pytest.mark.parametrize("of", ["", "..", "x", "../../other", "%00", "a" * 500])
def test_pictures_are_no_way_to_other_files(http: TestClient, of: str):
    assert http.get("/reports/match/thumbnail.jpg", params={"of": of}).status_code == 404


def test_two_thousand_jobs_are_listed_fifty_at_a_time(empty: TestClient, dagster: ScriptedClient):
    dagster.known = [replace(run(f"job-{n:04}", "canceled"), created_s=1e9 + n) for n in range(2000)]
    began = time.perf_counter()
    page = empty.get("/")
    assert time.perf_counter() - began < 5
    assert page.text.count('class="job ') == 50
    assert "Page 1 of 40" in page.text
    assert len(page.content) < 200_000


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored jobs are looked at each time."""
    monkeypatch.setattr(job_list, "STORED_S", -1.0)
    monkeypatch.setattr(job_list, "NAMES_S", -1.0)
