"""Reports over HTTP: pages, frames, corrections and their replay; who is let in, and what is turned away."""

import csv
import io
import json
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from brand_detect.api import create_app, shared
from brand_detect.api.access import SESSION_S
from brand_detect.api.guard import SEALED
from brand_detect.client import Client, Run, RunLog
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import BadInput, Permanent, Transient
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.settings import Settings
from brand_detect.report.page import SERVED as DOWNLOADS
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store
from brand_detect_tests.support.checkpoints import reseal
from brand_detect_tests.support.finished import finished
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip

MEANT = {"X-Requested-With": "brand_detect"}
KEY = "geheim"
RUN = Run("r1", "match", "started", (), 1.0, None, None, "", None)
SERVED = '<script type="application/json" id="service">null</script>'


class ScriptedClient(Client):
    """Launches a run, which ends as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.replayed: list[tuple[str, str]] = []
        self.ends = RUN
        self.fails = ""
        self.newest: list[Run] = []
        self.reachable = True
        self.log = RunLog()

    def replay(self, job_id: str, start_stage: str, *_: Any, **__: Any) -> Run:
        self.replayed.append((job_id, start_stage))
        return RUN

    def runs(self, job_id: str, limit: int = 20) -> list[Run]:
        return [run for run in self.changed(0.0) if run.job_id == job_id][:limit]

    def changed(self, since_s: float, after: str = "") -> list[Run]:  # noqa: ARG002
        if not self.reachable:
            raise Transient("Dagster's webserver is out of reach.")
        return [] if after else self.newest

    def progress(self, run_id: str, seen: RunLog | None = None) -> RunLog:  # noqa: ARG002
        return self.log

    def reasons(self, run_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        return {run_id: (f"extract_frames: {run_id} is no video.", "name another") for run_id in run_ids}

    def run(self, run_id: str) -> Run:
        if run_id != RUN.run_id:
            raise BadInput(f"There is no run {run_id!r}.")
        return self.ends

    def polls(self, run_id: str) -> Iterator[tuple[Run, float]]:
        self.run(run_id)
        if self.fails:
            raise Permanent(self.fails)
        yield self.ends, 0.0 if self.ends.status == "success" else 1.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one job: ROLEX in the first shot, the unknown ACME WIDGETS in the second."""
    folder = tmp_path_factory.mktemp("reports")
    with pipeline(folder) as built:
        finished(built)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "store", tmp_path / "store")
    return tmp_path


@pytest.fixture
def dagster() -> ScriptedClient:
    return ScriptedClient()


def service(dagster: Client, folder: Path, **more: Any) -> TestClient:
    app = create_app(dagster, Settings(store_root=str(folder / "store"), **more.pop("settings", {})), **more)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture
def http(dagster: ScriptedClient, folder: Path) -> TestClient:
    return service(dagster, folder)


@pytest.fixture(scope="module")
def reading(made: Path) -> TestClient:
    """For requests that change nothing: to make the service takes longer than to ask it."""
    return service(ScriptedClient(), made)


def report(folder: Path) -> Report:
    store = Store(str(folder / "store"))
    last = store.attempts("match", "compile_report")[-1]
    value = store.load(AttemptRef("match", "compile_report", last.attempt))
    assert isinstance(value, Report)
    return value


def post(http: TestClient, **said: Any) -> Response:
    return http.post("/reports/match/reviews", json={"user": "ana"} | said, headers=MEANT)


def attempt_of(folder: Path) -> Path:
    """Where the one report lies."""
    [attempt] = (folder / "store" / "match" / "compile_report").iterdir()
    return attempt


def write_page(folder: Path, text: str) -> None:
    (attempt_of(folder) / "report.html").write_text(text, encoding="utf-8")
    reseal(attempt_of(folder))


# --- pages and frames


def test_a_served_page_is_told_where_the_service_is_once(http: TestClient, folder: Path):
    write_page(folder, f"<html>{SERVED}<p>{SERVED}</p></html>")
    page = http.get("/reports/match").text
    [told] = re.findall(r'id="service">({.*?})</script>', page)
    assert json.loads(told) == {
        "job_id": "match",
        "report": attempt_of(folder).name,
        "reviews": "/reports/match/reviews",
        "frames": f"/reports/match/frames/{{frame}}.jpg?report={attempt_of(folder).name}",
        "apply": "/reports/match/apply",
        "documents": f"/reports/match/documents/{{name}}?report={attempt_of(folder).name}",
        "clips": f"/reports/match/exposures/{{exposure}}.mp4?report={attempt_of(folder).name}",
        "brands": "/reports/match/brands",
        "draw": f"/reports/match/annotated.mp4?report={attempt_of(folder).name}",
        "draw_min": 20,
        "copy": f"/reports/match/playable.mp4?report={attempt_of(folder).name}",
        "copy_min": 120,
        "encoding": "H.264 in MP4",
        "duration_s": 2.0,
        "copy_s": 0.0,
        "video": f"/reports/match/video?report={attempt_of(folder).name}",
        "boxes": f"/reports/match/boxes?report={attempt_of(folder).name}",
    }
    assert page.count(SERVED) == 1, "the first place alone"


def test_only_the_scripts_that_the_page_names_by_hash_may_run(dagster: ScriptedClient, folder: Path):
    digest = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    policy = f"default-src 'none'; script-src 'unsafe-inline' https://evil.example {digest}"
    write_page(folder, f'<meta http-equiv="Content-Security-Policy" content="{policy}">{SERVED}')
    sent = service(dagster, folder).get("/reports/match").headers["Content-Security-Policy"]
    assert f"script-src {digest};" in sent
    assert "evil" not in sent
    write_page(folder, SERVED)
    sent = service(dagster, folder).get("/reports/match").headers["Content-Security-Policy"]
    for directive in ("default-src 'none'", "script-src 'none'", "frame-ancestors 'none'", "connect-src 'self'"):
        assert directive in sent


def test_every_answer_is_sealed(http: TestClient):
    for path in (
        "/reports",
        "/reports/match",
        "/reports/match/frames/0.jpg",
        "/reports/none",
        "/",
        "/login",
        "/health",
    ):
        headers = http.get(path).headers
        for name in SEALED:
            assert headers[name], (path, name)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_a_frame_is_the_stored_one(http: TestClient):
    answer = http.get("/reports/match/frames/3.jpg")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (180, 320, 3)


@pytest.mark.parametrize(
    "path",
    [
        "/reports/nobody",
        "/reports/nobody/reviews",
        "/reports/.hidden",
        "/reports/_catalog",
        "/reports/..%2f..%2fetc",
        "/reports/match/frames/99.jpg",
        "/reports/match/frames/-1.jpg",
        "/reports/match/frames/1e3.jpg",
        f"/reports/match/frames/{'9' * 5000}.jpg",
        "/reports/match/frames/0.jpg?report=nothing-0",
        "/reports/nobody/frames/0.jpg?report=nothing-0",
        "/reports/match/frames/..%2f0.jpg",
        "/reports/match/apply/other",
        "/reports/match/apply/a%20b",
        "/reports/other/apply/r1",
    ],
)
def test_what_is_not_there_is_404(reading: TestClient, path: str):
    answer = reading.get(path)
    assert (answer.status_code, list(answer.json())) == (404, ["detail"])


def test_a_report_is_no_way_to_other_attempts(http: TestClient, folder: Path):
    [other] = (folder / "store" / "match" / "run_ocr").iterdir()
    assert (other / "manifest.json").exists()
    for report in (f"../run_ocr/{other.name}", f"../../match/run_ocr/{other.name}", "."):
        assert http.get("/reports/match/frames/0.jpg", params={"report": report}).status_code == 404


def test_a_page_goes_on_showing_its_own_frames_when_a_newer_report_was_made(http: TestClient, folder: Path):
    shown = attempt_of(folder)
    later = shown.with_name("later-0")
    shutil.copytree(shown, later)
    upstream = {"extract_frames": "other-0"}  # sampled otherwise, and gone since
    reseal(later, attempt="later-0", created="2099-01-01T00:00:00+00:00", upstream=upstream)
    assert http.get("/reports/match/frames/3.jpg").status_code == 404
    assert http.get(f"/reports/match/frames/3.jpg?report={shown.name}").status_code == 200


def test_frames_that_retention_took_are_404(http: TestClient, folder: Path):
    assert http.get("/reports/match/frames/0.jpg").status_code == 200
    for shard in (folder / "store" / "match" / "extract_frames").rglob("frames-*"):
        shard.unlink()
    answer = http.get("/reports/match/frames/0.jpg")
    assert answer.status_code == 404
    assert "gone" in answer.json()["detail"]


# --- corrections


def test_a_correction_is_kept_and_pending_until_it_is_applied(http: TestClient, folder: Path):
    assert http.get("/reports/match/reviews").json()["reviews"] == []
    answer = post(http, action="reject", brand_id="rolex", brand="Rolex", start_s=0.0, end_s=1.0, user="ana", note="no")
    assert answer.status_code == 201, answer.text
    event = answer.json()
    assert event.pop("warnings") == []
    assert (event["action"], event["user"], event["box"], len(event["review_id"])) == ("reject", "ana", None, 16)
    [listed] = http.get("/reports/match/reviews").json()["reviews"]
    assert listed == event | {"state": "pending", "detections": 0, "seconds": 0.0}
    undo = post(http, action="undo", undoes=event["review_id"])
    assert undo.status_code == 201
    assert len(list((folder / "store" / "match" / "_reviews").iterdir())) == 2


def test_a_field_that_looks_like_a_known_one_is_named(http: TestClient):
    said = post(http, action="reject", brand_id="rolex", brandid="umbro", colour="red").json()
    assert said["warnings"] == ["The unknown field 'brandid' was ignored; did you mean 'brand_id'?"]
    [kept] = http.get("/reports/match/reviews").json()["reviews"]
    assert kept["brand_id"] == "rolex"
    assert "warnings" not in kept


def test_states_are_those_of_the_newest_report(dagster: ScriptedClient, tmp_path: Path):
    with pipeline(tmp_path) as built:
        finished(built)
        http = service(dagster, tmp_path)
        post(http, action="reject", brand_id="rolex")
        post(http, action="reject", brand_id="emirates")
        first = http.get("/reports/match/reviews").json()
        built.runner.replay("match", "compile_report")
        listed = http.get("/reports/match/reviews").json()
    assert [row["state"] for row in first["reviews"]] == ["pending", "pending"]
    assert [row["state"] for row in listed["reviews"]] == ["applied", "orphaned"]
    assert listed["reviews"][0]["seconds"] == pytest.approx(1.0, abs=0.3)
    assert listed["attempt"] != first["attempt"]


def test_a_name_takes_the_hashes_from_the_report(http: TestClient, folder: Path):
    [mark] = report(folder).unresolved.to_pylist()
    rounded = [int(float(h)) % 2**64 for h in mark["crop_hashes"]]  # as a browser has them
    for said in ({"action": "name", "to": "Acme"}, {"action": "dismiss"}):
        event = post(http, **said, cluster_id=mark["cluster_id"], text="<b>x", crop_hashes=rounded).json()
        assert (event["text"], event["crop_hashes"], event["t_s"]) == ("ACME WIDGETS", mark["crop_hashes"], mark["t_s"])
    again = post(http, action="name", cluster_id="gone", to="Acme", text="SOMETHING")
    assert (again.status_code, again.json()["text"]) == (201, "SOMETHING")


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        ({"action": "reject"}, 400, "reject needs brand_id"),
        ({"action": "explode", "brand_id": "x"}, 400, "action: "),
        ({}, 400, "action: field required"),
        ({"action": "exclude", "text": "a\x00b"}, 400, "control characters"),
        ({"action": "reject", "brand_id": "x" * 201}, 400, "brand_id: "),
        ({"action": "undo", "undoes": "0" * 16}, 404, "has no correction"),
        ({"action": "reject", "brand_id": "rolex", "user": None}, 400, "user: field required"),
        ({"action": "reject", "brand_id": "rolex", "user": "  "}, 400, "reject needs user"),
        ({"action": "reject", "brand_id": "rolexx"}, 400, "nor its catalogue has a brand 'rolexx'"),
        ({"action": "exclude", "text": "ROLEX", "brand_id": "Rolex"}, 400, "nor its catalogue has a brand 'Rolex'"),
    ],
)
def test_what_is_no_correction_is_told_in_a_sentence(
    http: TestClient, folder: Path, said: dict[str, Any], status: int, why: str
):
    answer = post(http, **said)
    assert answer.status_code == status
    assert why in answer.json()["detail"]
    assert not (folder / "store" / "match" / "_reviews").exists()


def test_malformed_bodies_are_400_and_nothing_is_kept(http: TestClient, folder: Path):
    for body in ("", "{", "[]", "null", '{"action": "reject", "brand_id": "x", "start_s": NaN, "end_s": 1}', "\ud800"):
        headers = MEANT | {"Content-Type": "application/json"}
        answer = http.post("/reports/match/reviews", content=body.encode(errors="surrogatepass"), headers=headers)
        assert answer.status_code == 400, body
        assert isinstance(answer.json()["detail"], str)
    assert not (folder / "store" / "match" / "_reviews").exists()


@pytest.mark.parametrize("path", ["brands?part=" + "x" * 101, "boxes?from_s=x&to_s=1"])
def test_other_requests_that_are_not_valid_are_not_called_corrections(http: TestClient, path: str):
    answer = http.get(f"/reports/match/{path}")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("The request is not valid: query.")


def test_a_damaged_correction_is_told_and_stops_nobody(http: TestClient, folder: Path):
    kept = post(http, action="accept", brand_id="rolex").json()
    file = folder / "store" / "match" / "_reviews" / "20200101T000000.000000-0123456789abcdef.json"
    file.write_text("{")
    answer = http.get("/reports/match/reviews").json()
    assert [row["review_id"] for row in answer["reviews"]] == [kept["review_id"]]
    assert [file.name in sentence for sentence in answer["damaged"]] == [True]
    assert post(http, action="reject", brand_id="rolex").status_code == 201


def test_an_undo_works_once(http: TestClient):
    event = post(http, action="accept", brand_id="rolex").json()
    assert post(http, action="undo", undoes=event["review_id"]).status_code == 201
    answer = post(http, action="undo", undoes=event["review_id"])
    assert (answer.status_code, answer.json()["detail"]) == (409, "The correction was already undone.")


def test_brands_of_the_catalogue_and_those_that_a_person_named_can_be_corrected(http: TestClient):
    assert post(http, action="accept", brand_id="emirates").status_code == 201, "in the catalogue, not in the report"
    assert post(http, action="reject", brand_id="swiss-watch-co").status_code == 400
    assert post(http, action="rename", brand_id="rolex", to="Swiss Watch Co").status_code == 201, "a new brand"
    assert post(http, action="reject", brand_id="swiss-watch-co").status_code == 201


def test_a_correction_of_no_report_is_404(http: TestClient, folder: Path):
    answer = http.post(
        "/reports/nobody/reviews", json={"action": "accept", "user": "ana", "brand_id": "x"}, headers=MEANT
    )
    assert answer.status_code == 404
    assert not (folder / "store" / "nobody").exists()


def test_hostile_text_stays_text(http: TestClient):
    hostile = "</script><script>alert(1)</script>\" onload='x'"
    event = post(http, action="rename", brand_id="rolex", to=hostile, user="=cmd|x", note=hostile).json()
    assert (event["to"], event["note"], event["user"]) == (hostile, hostile, "=cmd|x")
    with_it = http.get("/reports/match/reviews")
    assert with_it.headers["content-type"] == "application/json"
    assert hostile not in http.get("/reports/match").text


# --- the replay


def test_corrections_are_applied_by_a_replay_of_the_last_stage(http: TestClient, dagster: ScriptedClient):
    answer = http.post("/reports/match/apply", headers=MEANT)
    assert (answer.status_code, answer.json()) == (200, {"run_id": "r1"})
    assert dagster.replayed == [("match", "compile_report")]
    last = replace(RUN, stages=("compile_report",))
    for status, started_s, done, says in (
        ("queued", None, False, "waiting in the queue"),
        ("starting", None, False, "its process is starting"),
        ("started", 2.0, False, "writing the report, step 1 of 1"),
        ("success", 2.0, True, "done"),
    ):
        dagster.ends = replace(last, status=status, started_s=started_s)
        told = http.get("/reports/match/apply/r1").json()
        assert told == {"status": status, "done": done, "error": None, "says": says}
    dagster.ends, dagster.fails = replace(RUN, status="failure"), "compile_report: no."
    told = http.get("/reports/match/apply/r1").json()
    assert told == {"status": "failure", "done": True, "error": "compile_report: no.", "says": "failed"}
    assert http.post("/reports/nobody/apply", headers=MEANT).status_code == 404


def test_a_report_that_is_written_is_not_waited_for_any_longer(http: TestClient, dagster: ScriptedClient, folder: Path):
    dagster.ends = replace(RUN, stages=("compile_report",), started_s=2.0)
    assert http.get("/reports/match/apply/r1").json()["done"] is False
    later = attempt_of(folder).with_name("r1-0")
    shutil.copytree(attempt_of(folder), later)
    reseal(later, attempt="r1-0", checks=[])
    assert http.get("/reports/match/apply/r1").json()["done"] is True


# --- jobs without a report, and documents


def working(status: str, **more: Any) -> Run:
    run = Run("r9", "new", status, LINE, 1_700_000_000.0, None, None, "", None)
    return replace(run, **more)


@pytest.mark.parametrize(
    ("run", "state", "stage", "says", "ended"),
    [
        (working("queued"), "queued", None, "waiting in the queue", False),
        (working("starting"), "running", None, "its process is starting", False),
        (working("started", started_s=1.0), "running", LINE[3], "finding text and logos, step 3 of 8", False),
        (working("held", not_before_s=1.7e9 + 9), "held", None, "held until 2023-11-14 22:13 UTC", False),
        (working("canceled", ended_s=2.0), "cancelled", None, "cancelled", True),
        (
            working("failure", started_s=1.0, done=LINE[:1], will_retry=False),
            "failed",
            "extract_frames",
            "r9 is no video. Name another",
            True,
        ),
    ],
)
def test_a_job_without_a_report_tells_its_state(
    http: TestClient, dagster: ScriptedClient, run: Run, state: str, stage: str | None, says: str, ended: bool
):
    comparison = replace(working("failure"), run_id="r8", stages=("comparison",))
    dagster.newest = [comparison, run]
    dagster.log = RunLog(stage=LINE[3], done=LINE[:3]) if run.status == "started" else RunLog()
    told = http.get("/reports/new", headers={"Accept": "application/json"})
    assert told.status_code == 200
    job = told.json()
    assert http.get("/jobs/new").json() == job
    assert (job["state"], job["stage"], job["report"]) == (state, stage, None)
    assert says in job["says"]
    page = http.get("/reports/new", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert says.lower() in page.text.lower()
    assert ('http-equiv="refresh"' in page.text) is not ended
    assert ("<progress" in page.text) is (state == "running")
    assert '<a href="/?q=new">' + ("Retry" if ended else "Cancel") in page.text


def test_the_page_of_a_job_without_a_report_names_its_video(http: TestClient, dagster: ScriptedClient, folder: Path):
    shutil.rmtree(folder / "store" / "match" / "compile_report")
    dagster.newest = [working("canceled", ended_s=2.0, job_id="match")]
    page = http.get("/reports/match").text
    assert re.search(r"<h1><bdi>.*\.mp4</bdi></h1>", page)
    assert "<b>Cancelled</b></p>" in page
    assert "job <bdi>match</bdi>" in page


def test_a_report_has_its_state_too_for_programs(http: TestClient, dagster: ScriptedClient):
    dagster.newest = [replace(working("success", ended_s=2.0), job_id="match")]
    job = http.get("/reports/match", headers={"Accept": "application/json"}).json()
    assert (job["state"], job["report"]) == ("done", "/reports/match")


def test_jobs_of_the_store_are_told_of_when_dagster_is_away_or_knows_none(
    http: TestClient, dagster: ScriptedClient, folder: Path
):
    (folder / "store" / "old").mkdir()
    assert http.get("/reports/old").status_code == 200
    assert "has no run" in http.get("/reports/old", headers={"Accept": "application/json"}).json()["says"]
    dagster.reachable = False
    assert "out of reach" in http.get("/reports/old", headers={"Accept": "application/json"}).json()["says"]
    assert http.get("/reports/nobody").status_code == 503, "nobody can say whether there is such a job"
    listed = http.get("/reports")
    assert (listed.status_code, "out of reach" in listed.text) == (200, True)
    assert 'href="/reports/match"' in listed.text


def test_documents_are_fetched_by_name(http: TestClient, folder: Path):
    tables = {f"{name}.csv": "text/csv" for name in ("brands", "placements", "assets", "exposures")}
    types = {"report.json": "application/json", **tables}
    for name, kind in (types | {"markers.vtt": "text/vtt"}).items():
        answer = http.get(f"/reports/match/documents/{name}")
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)
        assert answer.headers["content-disposition"] == f'attachment; filename="match-{name}"'
        assert answer.content == (attempt_of(folder) / name).read_bytes()
        assert http.get(f"/reports/match/documents/{name}?report={attempt_of(folder).name}").status_code == 200
    page = (attempt_of(folder) / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r'data-file="([^"]+)"', page)) == {*DOWNLOADS}


def test_a_download_has_the_videos_name_or_the_jobs_if_the_request_is_damaged(tmp_path: Path):
    with pipeline(tmp_path) as built:
        job = built.runner.submit(str(two_shot_clip(tmp_path / "Cup final.mp4", seconds=1.0))).job_id
    http = service(ScriptedClient(), tmp_path)
    for name in ("brands.csv", "report.xlsx"):
        told = http.get(f"/reports/{job}/documents/{name}").headers["content-disposition"]
        assert told == f'attachment; filename="Cup final-{name}"'
    shown = http.get(f"/reports/{job}").text.partition('id="made"')[0]
    assert job not in re.sub(r'"[^"]*"', "", shown), "the id is told under Method alone"
    shutil.rmtree(tmp_path / "store" / job / "job_request")
    http = service(ScriptedClient(), tmp_path)
    told = http.get(f"/reports/{job}/documents/brands.csv").headers["content-disposition"]
    assert told == f'attachment; filename="{job}-brands.csv"'


def test_a_workbook_is_made_of_the_attempt_on_demand(http: TestClient, folder: Path):
    answer = http.get(f"/reports/match/documents/report.xlsx?report={attempt_of(folder).name}")
    assert answer.headers["content-type"] == "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    assert answer.headers["content-disposition"] == 'attachment; filename="match-report.xlsx"'
    brands = openpyxl.load_workbook(io.BytesIO(answer.content))["Brands"]
    assert [cell.value for cell in brands["A"]] == ["Brand", *report(folder).brands["brand"].to_pylist()]
    assert not (attempt_of(folder) / "report.xlsx").exists()
    assert http.get("/reports/match/documents/report.xlsx").content == answer.content, "made once"
    assert http.get("/reports/nobody/documents/report.xlsx").status_code == 404


def test_the_page_can_be_saved_and_runs_nothing_where_it_comes_from(http: TestClient, folder: Path):
    answer = http.get("/reports/match/documents/report.html")
    assert answer.content == (attempt_of(folder) / "report.html").read_bytes()
    assert answer.headers["content-disposition"] == 'attachment; filename="match-report.html"'
    assert answer.headers["content-security-policy"] == SEALED["Content-Security-Policy"]


def test_documents_that_are_made_wait_for_their_turn(http: TestClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared, "MOST_WAITING", -1)  # not even one may begin
    made = http.get("/reports/match/documents/report.xlsx")
    assert (made.status_code, made.headers["retry-after"]) == (503, "10")
    assert http.get("/reports/match/documents/brands.csv").status_code == 200


def test_further_tables_are_made_on_demand(http: TestClient, folder: Path):
    for name, rows in (("detections", report(folder).detections), ("unresolved", report(folder).unresolved)):
        answer = http.get(f"/reports/match/documents/{name}.csv")
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/csv")
        read = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
        assert len(read) == rows.num_rows > 0
        assert set(read[0]) == {*rows.column_names} - {"track_ids", "best_region_id", "crop_hashes"}


@pytest.mark.parametrize(
    "path",
    ["manifest.json", "value.json", "brands.parquet", "..%2fmanifest.json", "report.json?report=..", ""],
)
def test_nothing_else_can_be_fetched(reading: TestClient, path: str):
    assert reading.get(f"/reports/match/documents/{path}").status_code == 404


# --- who is let in


@pytest.mark.parametrize("path", ["/reports/match/reviews", "/reports/match/apply"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"X-Requested-With": "XMLHttpRequest"}, 403),
        (MEANT | {"Sec-Fetch-Site": "cross-site"}, 403),
        (MEANT | {"Sec-Fetch-Site": "same-site"}, 403),
        (MEANT | {"Content-Type": "text/plain"}, 415),
        (MEANT | {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_what_another_site_could_send_changes_nothing(
    http: TestClient, dagster: ScriptedClient, folder: Path, path: str, headers: dict[str, str], status: int
):
    body = json.dumps({"action": "accept", "brand_id": "rolex"})
    answer = http.post(path, content=body, headers={"Content-Type": "application/json"} | headers)
    assert answer.status_code == status
    assert dagster.replayed == []
    assert not (folder / "store" / "match" / "_reviews").exists()


def test_a_foreign_host_name_is_refused(dagster: ScriptedClient, folder: Path):
    http = service(dagster, folder)
    assert http.get("/reports").status_code == 200
    assert http.get("/reports", headers={"Host": "evil.example"}).status_code == 400


def test_large_corrections_are_turned_away(dagster: ScriptedClient, folder: Path):
    http = service(dagster, folder, settings={"api_max_body_bytes": 500})
    assert post(http, action="accept", brand_id="x", note="y" * 600).status_code == 413


def test_with_a_key_nothing_is_seen_without_it(dagster: ScriptedClient, folder: Path):
    http = service(dagster, folder, api_key=KEY)
    for path in ("/reports/match/reviews", "/reports/match/frames/0.jpg", "/reports/match/apply/r1"):
        for headers in ({}, {"X-API-Key": "wrong"}, {"Cookie": "brand_detect=9999999999.aa.bb"}):
            assert http.get(path, headers=headers).status_code == 401
        assert http.get(path, headers={"X-API-Key": KEY}).status_code == 200
    for path in ("/reports/match/reviews", "/reports/match/apply"):
        assert http.post(path, json={}, headers=MEANT).status_code == 401
    json_ = {"Accept": "application/json"}
    for path, headers in (
        ("/reports/match/documents/report.json", {}),
        ("/reports/match", json_),
        ("/reports/nobody", json_),
    ):
        assert http.get(path, headers=headers).status_code in (303, 401), path
    assert http.get("/reports/match").headers["location"] == "/login?next=/reports/match"
    assert http.get("/reports").headers["location"] == "/login?next=/"
    assert http.get("/reports/nobody").headers["location"] == "/login?next=/reports/nobody", "who knows what there is"
    event = {"action": "accept", "brand_id": "rolex", "user": "ana"}
    assert http.post("/reports/match/reviews", json=event, headers=MEANT | {"X-API-Key": KEY}).status_code == 201


def log_in(http: TestClient, key: str = KEY, following: str = "/reports/match", **headers: str) -> Response:
    return http.post("/login", data={"key": key, "next": following}, headers=headers)


def test_a_browser_logs_in_once(dagster: ScriptedClient, folder: Path, monkeypatch: pytest.MonkeyPatch):
    http = service(dagster, folder, api_key=KEY)
    form = http.get("/login?next=/reports/match")
    assert 'value="/reports/match"' in form.text
    wrong = log_in(http, "wrong")
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    answer = log_in(http)
    assert (answer.status_code, answer.headers["location"]) == (303, "/reports/match")
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/;"):
        assert part in cookie
    assert KEY not in cookie
    assert "Secure" not in cookie
    assert http.get("/reports/match").status_code == 200
    assert post(http, action="accept", brand_id="rolex").status_code == 201
    assert http.post("/reports/match/apply").status_code == 403, "the cookie alone is not enough"
    assert http.get("/detect/checkpoints/match").status_code == 401, "the cookie is for reports"

    given = http.cookies["brand_detect"]
    for forged in (given[:-1] + "x", "9" + given, given.replace(".", "x", 1), "", "."):
        http.cookies.set("brand_detect", forged, domain="127.0.0.1", path="/")
        assert http.get("/reports/match/reviews", headers={"Cookie": f"brand_detect={forged}"}).status_code == 401
    http.cookies.clear()
    now = time.time()
    monkeypatch.setattr("brand_detect.api.access.time.time", lambda: now + SESSION_S + 1)
    assert http.get("/reports/match/reviews", headers={"Cookie": f"brand_detect={given}"}).status_code == 401
    other = service(dagster, folder, api_key=KEY)
    assert other.get("/reports/match/reviews", headers={"Cookie": f"brand_detect={given}"}).status_code == 401


@pytest.mark.parametrize(("proxies", "others_may"), [(("10.0.0.0/8",), True), (("10.1.1.2",), False), ((), False)])
def test_behind_a_trusted_proxy_each_client_has_its_own_limit(
    dagster: ScriptedClient, folder: Path, proxies: tuple[str, ...], others_may: bool
):
    http = service(dagster, folder, api_key=KEY, settings={"proxies": proxies})
    http = TestClient(http.app, base_url="http://127.0.0.1", follow_redirects=False, client=("10.1.1.1", 5000))
    guesses = [log_in(http, "wrong", **{"X-Forwarded-For": "203.0.113.1"}).status_code for _ in range(11)]
    assert guesses == [401] * 10 + [429]
    other = log_in(http, **{"X-Forwarded-For": "203.0.113.2"})
    assert other.status_code == (303 if others_may else 429)


def test_over_https_the_cookie_stays_there(dagster: ScriptedClient, folder: Path):
    http = service(dagster, folder, api_key=KEY)
    assert "Secure" in log_in(http, **{"X-Forwarded-Proto": "https"}).headers["set-cookie"]


@pytest.mark.parametrize(
    "following",
    [
        *("https://evil.example/", "//evil.example", "/reports/../login", "/reports/a/b", "/detect", "\r\nX: y", ""),
        *("//compare?job=a", "/compare//evil.example", "/reports/?x", "/?part=jobs"),
    ],
)
def test_a_login_leads_nowhere_else(dagster: ScriptedClient, folder: Path, reading: TestClient, following: str):
    assert log_in(service(dagster, folder, api_key=KEY), following=following).headers["location"] == "/"
    assert reading.get("/login", params={"next": following}).headers["location"] == "/"


def test_another_site_logs_nobody_in_and_keys_are_not_guessed(dagster: ScriptedClient, folder: Path):
    http = service(dagster, folder, api_key=KEY)
    assert log_in(http, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert [log_in(http, f"guess {n}").status_code for n in range(10)] == [401] * 10
    blocked = log_in(http)
    assert (blocked.status_code, "set-cookie" in blocked.headers) == (429, False)
    assert blocked.headers["Retry-After"] == "60"


def test_the_names_of_the_catalogue_are_offered_for_a_correction(
    http: TestClient, dagster: ScriptedClient, folder: Path
):
    named = [name.casefold() for name in http.get("/reports/match/brands", params={"part": "OL"}).json()["brands"]]
    assert "rolex" in named
    assert named == sorted(named, key=lambda name: (not name.startswith("ol"), name))
    assert http.get("/reports/match/brands", params={"part": "no such brand"}).json() == {"brands": []}
    assert http.get("/reports/match/brands", params={"part": "x" * 101}).status_code == 400
    assert http.get("/reports/none/brands").status_code == 404
    assert service(dagster, folder, api_key=KEY).get("/reports/match/brands").status_code == 401
