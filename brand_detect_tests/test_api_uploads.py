"""Uploads over HTTP: parts, breaks, checks; and what is refused before anything is queued."""

import fcntl
import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from brand_detect.api import create_app
from brand_detect.api.uploads import PART_TYPE
from brand_detect.domain.errors import BadInput
from brand_detect.domain.settings import Settings
from brand_detect.storage.uploads import Upload, Uploads
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip
from brand_detect_tests.test_api_jobs import KEY, MEANT, ScriptedClient, run, service


@pytest.fixture
def dagster() -> ScriptedClient:
    return ScriptedClient()


@pytest.fixture
def http(dagster: ScriptedClient, tmp_path: Path) -> TestClient:
    return service(dagster, tmp_path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return two_shot_clip(tmp_path_factory.mktemp("clip") / "match.mp4", seconds=2.0).read_bytes()


def begin(http: TestClient, name: str, size: int) -> Response:
    return http.post("/uploads", json={"name": name, "size_bytes": size}, headers=MEANT)


def part(http: TestClient, upload_id: str, offset: object, data: bytes, kind: str = PART_TYPE) -> Response:
    headers = {"Content-Type": kind, "Upload-Offset": str(offset)}
    return http.patch(f"/uploads/{upload_id}", content=data, headers=headers)


def send(http: TestClient, name: str, data: bytes, size: int = 10_000) -> Response:
    upload_id = begin(http, name, len(data)).json()["upload_id"]
    for offset in range(0, len(data), size):
        assert part(http, upload_id, offset, data[offset : offset + size]).status_code == 200
    return http.post(f"/uploads/{upload_id}/finish", headers=MEANT)


def kept(folder: Path) -> list[str]:
    """Every file below the upload area."""
    return sorted(str(p.relative_to(folder / "uploads")) for p in (folder / "uploads").rglob("*") if p.is_file())


def test_a_video_arrives_in_parts_and_is_checked(http: TestClient, tmp_path: Path, clip: bytes):
    answer = send(http, "Final: 2nd half.MP4", clip)
    assert answer.status_code == 200
    checked = answer.json()
    path = Path(checked["video_uri"])
    assert path.is_relative_to(tmp_path / "uploads")
    assert path.read_bytes() == clip
    digits = hashlib.sha256(clip).hexdigest()[:8]
    assert (path.name, checked["job_id"]) == ("Final_ 2nd half.MP4", f"Final__2nd_half-{digits}")
    assert (checked["jobs"], checked["duration_s"], checked["width_px"]) == ([], 2.0, 320)
    asked = {"video_uri": checked["video_uri"], "job_id": checked["job_id"]}
    assert http.post("/jobs", json=asked, headers=MEANT).status_code == 202


def test_an_upload_that_breaks_off_goes_on_where_it_stopped(
    http: TestClient, dagster: ScriptedClient, tmp_path: Path, clip: bytes
):
    state = begin(http, "match.mp4", len(clip)).json()
    upload_id = state["upload_id"]
    assert (state["offset"], state["size_bytes"]) == (0, len(clip))
    assert part(http, upload_id, 0, clip[:5000]).json() == {"offset": 5000}
    early = http.post(f"/uploads/{upload_id}/finish", headers=MEANT)
    assert (early.status_code, early.headers["upload-offset"]) == (409, "5000")
    other = service(dagster, tmp_path)  # the service was started again
    assert other.get(f"/uploads/{upload_id}").json()["offset"] == 5000
    for wrong in (0, 4999, 5001):
        answer = part(other, upload_id, wrong, clip[5000:6000])
        assert (answer.status_code, answer.headers["upload-offset"]) == (409, "5000")
    assert part(other, upload_id, 5000, clip[5000:]).json() == {"offset": len(clip)}
    first = other.post(f"/uploads/{upload_id}/finish", headers=MEANT)
    assert Path(first.json()["video_uri"]).read_bytes() == clip
    again = other.post(f"/uploads/{upload_id}/finish", headers=MEANT)
    assert again.json() == first.json(), "the answer may have been lost"
    assert dagster.asked == [], "nothing is queued by uploading"


@pytest.mark.parametrize("name", ["notes.mp4", "sound.mkv", "page.webm", "empty-moov.mov"])
def test_what_is_no_video_is_removed(http: TestClient, dagster: ScriptedClient, tmp_path: Path, clip: bytes, name: str):
    data = {
        "notes.mp4": b"no video at all" * 500,
        "sound.mkv": b"\x1aE\xdf\xa3" + bytes(5000),
        "page.webm": b"<html><script>alert(1)</script>" * 90,
        "empty-moov.mov": clip[: len(clip) // 2],
    }[name]
    answer = send(http, name, data)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"{name} is refused: ")
    assert kept(tmp_path) == []
    assert dagster.asked == []


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("../../etc/passwd.mp4", "passwd.mp4"),
        ("..\\..\\windows\\x.mp4", "x.mp4"),
        ("/etc/x.mov", "x.mov"),
        ("a\nb\x00c\u202e.mp4", "a_b_c_.mp4"),
        ("  .hidden.mp4 ", "hidden.mp4"),
        ("決勝 ⚽.mp4", "決勝 ⚽.mp4"),
        ("x#?%2e%2e.mp4", "x___2e_2e.mp4"),
        ("é" * 400 + ".mp4", "é" * 98 + ".mp4"),
        ("<script>.mp4", "_script_.mp4"),
        ("a..mp4", "a.mp4"),
    ],
)
def test_names_are_made_safe(http: TestClient, tmp_path: Path, clip: bytes, name: str, stored: str):
    checked = send(http, name, clip).json()
    assert Path(checked["video_uri"]).name == stored
    assert Path(checked["video_uri"]).parent.parent == tmp_path / "uploads"
    assert len(list(tmp_path.rglob("*.[mM]*"))) == 1


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", ".mp4", "x", "x.exe", "x.mp4/", "x.mp4.exe", "...mp4", "a" * 2000]
)
def test_other_names_are_refused(http: TestClient, tmp_path: Path, name: str):
    answer = begin(http, name, 10)
    assert (answer.status_code, type(answer.json()["detail"])) == (400, str)
    assert not (tmp_path / "uploads").exists()


def test_names_of_half_characters_are_refused(http: TestClient):
    body = json.dumps({"name": "\ud800.mp4", "size_bytes": 5})
    assert http.post("/uploads", content=body, headers=MEANT | {"Content-Type": "application/json"}).status_code == 400


@pytest.mark.parametrize("size", [0, -1, 10**6 + 1, 2**60, 1.5, "x", None])
def test_too_large_or_no_size_is_refused_before_a_byte_is_sent(dagster: ScriptedClient, tmp_path: Path, size: Any):
    http = service(dagster, tmp_path, set={"upload_max_bytes": 10**6})
    answer = http.post("/uploads", json={"name": "x.mp4", "size_bytes": size}, headers=MEANT)
    assert (answer.status_code, type(answer.json()["detail"])) == (400, str)
    assert kept(tmp_path) == []


def test_more_than_was_announced_is_refused(http: TestClient, tmp_path: Path, clip: bytes):
    upload_id = begin(http, "match.mp4", 100).json()["upload_id"]
    assert part(http, upload_id, 0, clip[:101]).status_code == 400
    assert part(http, upload_id, 0, b"").status_code == 400
    assert part(http, upload_id, 0, clip[:100]).json() == {"offset": 100}
    assert part(http, upload_id, 100, b"x").status_code == 400
    assert http.post(f"/uploads/{upload_id}/finish", headers=MEANT).status_code == 400, "a hundred bytes are no video"
    assert kept(tmp_path) == []


@pytest.mark.parametrize("offset", ["-1", "x", "", "1e3", str(2**70)])
def test_odd_offsets_are_400(http: TestClient, clip: bytes, offset: str):
    upload_id = begin(http, "match.mp4", len(clip)).json()["upload_id"]
    answer = part(http, upload_id, offset, clip[:10])
    assert (answer.status_code, type(answer.json()["detail"])) == (400, str)


def test_a_part_may_be_larger_than_other_bodies_but_has_its_limit(dagster: ScriptedClient, tmp_path: Path):
    http = service(dagster, tmp_path, set={"api_max_body_bytes": 1000, "api_rate": "5/minute"})
    upload_id = begin(http, "match.mp4", 2**25).json()["upload_id"]
    assert part(http, upload_id, 0, bytes(8 * 2**20)).status_code == 200
    assert part(http, upload_id, 8 * 2**20, bytes(8 * 2**20 + 1)).status_code == 413
    for n in range(10):
        assert part(http, upload_id, 8 * 2**20 + n, b"x").status_code == 200, "parts have a rate of their own"
    assert http.post("/jobs", content=b"x" * 1001, headers=MEANT).status_code == 413


def test_a_part_that_arrives_after_the_upload_was_cancelled_is_404(
    http: TestClient, tmp_path: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch
):
    upload_id = begin(http, "match.mp4", len(clip)).json()["upload_id"]
    found = Uploads.find

    def cancelled(area: Uploads, upload_id: str) -> Upload:
        upload = found(area, upload_id)
        area.remove(upload)
        return upload

    monkeypatch.setattr(Uploads, "find", cancelled)
    assert part(http, upload_id, 0, clip[:100]).status_code == 404
    assert kept(tmp_path) == []


def test_a_cancelled_upload_leaves_nothing(http: TestClient, tmp_path: Path, clip: bytes):
    upload_id = begin(http, "match.mp4", len(clip)).json()["upload_id"]
    part(http, upload_id, 0, clip[:5000])
    assert http.delete(f"/uploads/{upload_id}").status_code == 403
    assert http.delete(f"/uploads/{upload_id}", headers=MEANT).status_code == 204
    assert kept(tmp_path) == []
    for answer in (
        http.get(f"/uploads/{upload_id}"),
        part(http, upload_id, 5000, b"x"),
        http.post(f"/uploads/{upload_id}/finish", headers=MEANT),
        http.delete(f"/uploads/{upload_id}", headers=MEANT),
    ):
        assert answer.status_code == 404
    finished = send(http, "match.mp4", clip).json()
    upload_id = Path(finished["video_uri"]).parent.name
    assert http.delete(f"/uploads/{upload_id}", headers=MEANT).status_code == 409, "a job may read it"


@pytest.mark.parametrize("upload_id", ["x", "a" * 32, "%2e%2e%2fstore", "A" * 32, "0" * 31 + "%0a", "0" * 5000])
def test_no_such_upload_is_404(http: TestClient, upload_id: str):
    assert http.get(f"/uploads/{upload_id}").status_code == 404
    assert part(http, upload_id, 0, b"x").status_code == 404


def test_the_same_video_twice_is_named_and_kept_once(dagster: ScriptedClient, tmp_path: Path):
    with pipeline(tmp_path) as built:
        clip = two_shot_clip(tmp_path / "match.mp4", seconds=2.0)
        built.runner.submit(str(clip), job_id="final")
    http = service(dagster, tmp_path)
    checked = send(http, "another name.mp4", clip.read_bytes()).json()
    assert (checked["jobs"], checked["video_uri"]) == (["final"], str(clip))
    assert [Path(name).suffix for name in kept(tmp_path)] == [".json"], "the record alone"
    data = clip.read_bytes()
    clip.unlink()
    checked = send(http, "another name.mp4", data).json()
    assert checked["jobs"] == ["final"]
    assert Path(checked["video_uri"]).read_bytes() == data, "the other one is gone"
    asked = {"video_uri": checked["video_uri"], "job_id": "final"}
    assert http.post("/jobs", json=asked, headers=MEANT).status_code == 202, "the job may have it instead"


def test_a_file_that_was_replaced_since_its_job_is_no_copy(dagster: ScriptedClient, tmp_path: Path):
    with pipeline(tmp_path) as built:
        clip = two_shot_clip(tmp_path / "latest.mp4", seconds=2.0)
        built.runner.submit(str(clip), job_id="final")
    data = clip.read_bytes()
    for other in (bytes(len(data)), two_shot_clip(tmp_path / "other.mp4", seconds=3.0).read_bytes()):
        clip.write_bytes(other)
        checked = send(service(dagster, tmp_path), "final.mp4", data).json()
        assert checked["jobs"] == ["final"]
        assert Path(checked["video_uri"]).read_bytes() == data


@pytest.mark.parametrize("other", ["", "the folder is a link", "the file has two names"])
def test_a_jobs_own_video_is_no_copy_of_itself(
    http: TestClient, dagster: ScriptedClient, tmp_path: Path, clip: bytes, other: str
):
    if other == "the folder is a link":
        (tmp_path / "disk").mkdir()
        (tmp_path / "uploads").symlink_to(tmp_path / "disk")
    first = send(http, "match.mp4", clip).json()
    named = Path(first["video_uri"]).resolve()
    if other == "the file has two names":
        (tmp_path / "also.mp4").hardlink_to(named)
        named = tmp_path / "also.mp4"
    with pipeline(tmp_path) as built:
        built.runner.submit(str(named), job_id="final")
    upload_id = Path(first["video_uri"]).parent.name
    record = tmp_path / "uploads" / ".parts" / f"{upload_id}.json"
    unsettled = json.loads(record.read_text()) | {"video_uri": "", "sha256": ""}
    record.write_text(json.dumps(unsettled))  # the service was stopped after the file was renamed
    again = service(dagster, tmp_path).post(f"/uploads/{upload_id}/finish", headers=MEANT).json()
    assert again["jobs"] == ["final"]
    assert Path(first["video_uri"]).read_bytes() == clip


def sent_copy(dagster: ScriptedClient, folder: Path) -> tuple[TestClient, Path, str]:
    """An upload of which all parts arrived, of the video of a job: the service, the job's file and the upload's id."""
    with pipeline(folder) as built:
        clip = two_shot_clip(folder / "match.mp4", seconds=2.0)
        built.runner.submit(str(clip), job_id="final")
    http, data = service(dagster, folder), clip.read_bytes()
    upload_id = begin(http, "x.mp4", len(data)).json()["upload_id"]
    part(http, upload_id, 0, data)
    return http, clip, upload_id


def test_a_jobs_video_that_goes_while_it_is_compared_is_no_copy(
    dagster: ScriptedClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    http, clip, upload_id = sent_copy(dagster, tmp_path)
    same = Path.samefile

    def gone(path: Path, other: Path) -> bool:
        clip.unlink()
        return same(path, other)

    monkeypatch.setattr(Path, "samefile", gone)
    answer = http.post(f"/uploads/{upload_id}/finish", headers=MEANT)
    assert (answer.status_code, answer.json()["video_uri"]) == (200, str(tmp_path / "uploads" / upload_id / "x.mp4"))


def test_the_answer_about_a_copy_may_be_lost_too(dagster: ScriptedClient, tmp_path: Path):
    http, clip, upload_id = sent_copy(dagster, tmp_path)
    first = http.post(f"/uploads/{upload_id}/finish", headers=MEANT)
    assert http.get(f"/uploads/{upload_id}").json()["offset"] == clip.stat().st_size
    again = service(dagster, tmp_path).post(f"/uploads/{upload_id}/finish", headers=MEANT)
    assert (again.status_code, again.json()) == (200, first.json())
    clip.unlink()
    answer = http.post(f"/uploads/{upload_id}/finish", headers=MEANT)
    assert (answer.status_code, "no longer there" in answer.json()["detail"]) == (404, True)


def test_two_requests_to_finish_at_once_get_the_same_answer(
    dagster: ScriptedClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    http, clip, upload_id = sent_copy(dagster, tmp_path)
    found, others = Uploads.find, [service(dagster, tmp_path)]
    answers: list[Response] = []

    def meanwhile(area: Uploads, upload_id: str) -> Upload:
        upload = found(area, upload_id)
        while others:
            answers.append(others.pop().post(f"/uploads/{upload_id}/finish", headers=MEANT))
        return upload

    monkeypatch.setattr(Uploads, "find", meanwhile)
    answers.append(http.post(f"/uploads/{upload_id}/finish", headers=MEANT))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["video_uri"] == str(clip)


def test_an_upload_is_finished_or_cancelled_and_never_both(
    http: TestClient, dagster: ScriptedClient, tmp_path: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch
):
    upload_id = begin(http, "match.mp4", len(clip)).json()["upload_id"]
    part(http, upload_id, 0, clip)
    other, waits_or_done = service(dagster, tmp_path), threading.Event()
    finished: list[Response] = []
    looked, locked = Uploads.is_finished, fcntl.flock

    def finish() -> None:
        finished.append(other.post(f"/uploads/{upload_id}/finish", headers=MEANT))
        waits_or_done.set()

    thread = threading.Thread(target=finish)

    def lock(file: int, operation: int) -> None:
        if thread.is_alive():
            waits_or_done.set()
        locked(file, operation)

    def meanwhile(area: Uploads, upload: Upload) -> bool:
        is_finished = looked(area, upload)
        if thread.ident is None:
            thread.start()
            assert waits_or_done.wait(10)
        return is_finished

    monkeypatch.setattr(fcntl, "flock", lock)
    monkeypatch.setattr(Uploads, "is_finished", meanwhile)
    assert http.delete(f"/uploads/{upload_id}", headers=MEANT).status_code == 204
    thread.join(10)
    assert (finished[0].status_code, kept(tmp_path)) == (404, []), "or a job would lose its video"


def test_a_queued_job_of_the_same_video_is_named_too(http: TestClient, dagster: ScriptedClient, clip: bytes):
    job_id = f"match-{hashlib.sha256(clip).hexdigest()[:8]}"
    dagster.known = [run(job_id, "queued")]
    assert send(http, "match.mp4", clip).json()["jobs"] == [job_id]


def test_only_parts_from_whom_may_are_taken(dagster: ScriptedClient, tmp_path: Path, clip: bytes):
    http = service(dagster, tmp_path, api_key=KEY)
    key = {"X-API-Key": KEY}
    assert begin(http, "x.mp4", 10).status_code == 401
    upload_id = http.post("/uploads", json={"name": "x.mp4", "size_bytes": 10}, headers=MEANT | key).json()["upload_id"]
    assert part(http, upload_id, 0, clip[:10]).status_code == 401
    headers = {"Content-Type": PART_TYPE, "Upload-Offset": "0"} | key
    for more, status in (
        ({"Content-Type": "text/plain"}, 415),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({}, 200),
    ):
        answer = http.patch(f"/uploads/{upload_id}", content=clip[:10], headers=headers | more)
        assert answer.status_code == status, more


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"uploads": "/elsewhere"}, "BRAND_DETECT_UPLOADS: .* is outside the allowed media roots"),
        ({"uploads": "{}/inbox/new", "inbox": "{}/inbox"}, "within the inbox"),
        ({"uploads": "{}/inbox", "inbox": "{}/inbox/"}, "within the inbox"),
        ({"uploads": "file://{}/inbox/new", "inbox": "{}/inbox"}, "within the inbox"),
    ],
)
def test_an_area_that_makes_no_sense_is_refused_at_the_start(tmp_path: Path, changed: dict[str, str], said: str):
    named: dict[str, Any] = {name: value.format(tmp_path) for name, value in changed.items()}
    settings = Settings(store_root=str(tmp_path / "store"), media_roots=(str(tmp_path),), **named)
    with pytest.raises(BadInput, match=said):
        create_app(ScriptedClient(), settings)


def test_without_an_area_the_page_offers_addresses_only(
    dagster: ScriptedClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DAGSTER_HOME", "/elsewhere")
    settings = Settings(store_root=str(tmp_path / "store"), media_roots=(str(tmp_path),))
    http = TestClient(create_app(dagster, settings), base_url="http://127.0.0.1")
    assert "switched off" in begin(http, "x.mp4", 5).json()["detail"]
    page = http.get("/").text
    assert 'type="file"' not in page
    assert "Address of the video" in page
