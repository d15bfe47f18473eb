"""Clips of exposures over HTTP: the right pictures, and what is said when there are none."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

import av
import fsspec
import pytest
from fastapi.testclient import TestClient

from brand_detect.api import clips, shared
from brand_detect.api.clips import attached
from brand_detect.api.videos import PIECE_BYTES
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store
from brand_detect_tests.engines.test_annotate import times
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip
from brand_detect_tests.test_api_reports import ScriptedClient, service

EXPOSURES = "/reports/match/exposures"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one job, with an exposure in the first shot of its video."""
    folder = tmp_path_factory.mktemp("clips")
    with pipeline(folder) as built:
        built.runner.submit(str(two_shot_clip(folder / "match.mp4", seconds=8.0)), job_id="match")
    return folder


@pytest.fixture
def http(made: Path) -> TestClient:
    return service(ScriptedClient(), made, settings={"media_roots": (str(made),)})


@pytest.fixture
def moved(made: Path) -> Iterator[Path]:
    """The video, which a test may change."""
    video = made / "match.mp4"
    kept = shutil.copy(video, made / "kept")
    yield video
    shutil.move(kept, video)


def exposure(folder: Path) -> dict[str, Any]:
    store = Store(str(folder / "store"))
    [attempt] = store.attempts("match", "compile_report")
    report: Any = store.load(AttemptRef("match", "compile_report", attempt.attempt), ("exposures",))
    return report.exposures.to_pylist()[0] | {"attempt": attempt.attempt}


def address(folder: Path) -> str:
    return f"{EXPOSURES}/{exposure(folder)['exposure_id']}.mp4"


def test_a_clip_is_the_exposure_with_a_second_on_each_side(http: TestClient, made: Path, tmp_path: Path):
    shown = exposure(made)
    answer = http.get(address(made), params={"report": shown["attempt"]})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    assert (shown["brand"], shown["start_s"]) == ("Rolex", 0.0)
    name = "match-Rolex-0m00s.mp4"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert int(answer.headers["content-length"]) == len(answer.content)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(answer.content)
    with av.open(str(clip)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    start_s, end_s = max(0.0, shown["start_s"] - 1), shown["end_s"] + 1
    of_video = [float(t) for t, _ in times(made / "match.mp4") if start_s - 2e-3 <= t < end_s - 2e-3]
    assert [float(t) for t, _ in times(clip)] == pytest.approx([t - of_video[0] for t in of_video])
    assert len(of_video) < 80


@pytest.mark.parametrize("name", ["0" * 16, "..", "../..", "%2e%2e%2fmatch", "a'\"<b>", "\u202e", "x" * 5000, " "])
def test_an_exposure_that_is_none_is_refused(http: TestClient, name: str):
    assert http.get(f"{EXPOSURES}/{quote(name)}.mp4").status_code in (400, 404)


@pytest.mark.parametrize("path", ["/reports/nobody/exposures/{}.mp4", "/reports/match/exposures/{}.mp4?report=x-0"])
def test_a_clip_of_no_report_is_404(http: TestClient, made: Path, path: str):
    assert http.get(path.format(exposure(made)["exposure_id"])).status_code == 404


def test_a_video_that_is_gone_or_another_is_said_in_a_sentence(http: TestClient, made: Path, moved: Path):
    moved.write_bytes(moved.read_bytes() + b"\0")
    answer = http.get(address(made))
    assert answer.status_code == 404
    assert "is no longer the video that the report was made from." in answer.json()["detail"]
    moved.unlink()
    answer = http.get(address(made))
    assert (answer.status_code, answer.json()["detail"]) == (404, f"The clip cannot be cut. There is no file {moved}.")


def test_a_video_outside_the_media_roots_is_not_opened(made: Path, tmp_path: Path):
    elsewhere = service(ScriptedClient(), made, settings={"media_roots": (str(tmp_path),)})
    answer = elsewhere.get(address(made))
    assert answer.status_code == 404
    assert "outside the allowed media roots" in answer.json()["detail"]


def test_a_clip_that_is_too_long_or_takes_too_long_is_left_to_the_command_line(
    http: TestClient, made: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(clips, "PATIENCE_S", -1.0)
    answer = http.get(address(made))
    assert (answer.status_code, answer.json()["detail"]) == (503, "The clip takes too long to cut.")
    monkeypatch.setattr(clips, "LONGEST_S", 2.0)
    answer = http.get(address(made))
    assert answer.status_code == 400
    assert answer.json()["detail"].endswith("s; the longest is 2 s.")
    assert "--format clip" in answer.json()["hint"]


def test_one_clip_is_cut_at_a_time_and_few_wait(http: TestClient, made: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared, "MOST_WAITING", 1)
    begun, go_on, real, most, now = Event(), Event(), clips.cut, [0], [0]

    def slow(*arguments: Any) -> Any:
        now[0] += 1
        most[0] = max(most[0], now[0])
        begun.set()
        assert go_on.wait(20)
        try:
            return real(*arguments)
        finally:
            now[0] -= 1

    monkeypatch.setattr(clips, "cut", slow)
    with http, ThreadPoolExecutor(3) as callers:
        first = callers.submit(http.get, address(made))
        assert begun.wait(20)
        others = [callers.submit(http.get, address(made)) for _ in range(2)]
        wait(others, timeout=20, return_when=FIRST_COMPLETED)  # a busy loop would keep the interpreter from them
        go_on.set()
        assert first.result().status_code == 200
        assert sorted(other.result().status_code for other in others) == [200, 503]
    assert most == [1]


def test_a_key_is_needed_for_a_clip(made: Path):
    locked = service(ScriptedClient(), made, api_key="geheim")
    assert locked.get(address(made)).status_code == 401


@pytest.mark.usefixtures("s3")
def test_a_clip_is_cut_from_s3(tmp_path: Path):
    video = two_shot_clip(tmp_path / "match.mp4").read_bytes()
    fsspec.filesystem("s3").pipe_file("bucket/media/match.mp4", video)  # the server would not see a file put behind it
    with pipeline(tmp_path, media_roots=("s3://bucket/media",)) as built:
        built.runner.submit("s3://bucket/media/match.mp4", job_id="match")
    far = service(ScriptedClient(), tmp_path, settings={"media_roots": ("s3://bucket/media",)})
    answer = far.get(address(tmp_path))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")


def test_the_video_with_boxes_is_given_once_it_was_made(http: TestClient, made: Path):
    address, attempt = "/reports/match/annotated.mp4", exposure(made)["attempt"]
    answer = http.get(address)
    assert (answer.status_code, "draw it from the report's page" in answer.json()["detail"]) == (404, True)
    assert '"annotated":' not in http.get("/reports/match").text
    video = os.urandom(PIECE_BYTES + 1000)
    Store(str(made / "store")).blobs.put(f"match/_exports/{attempt}.mp4", video)
    answer = http.get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    assert answer.headers["content-disposition"] == 'attachment; filename="match-boxes.mp4"'
    assert answer.content == video
    assert f'"annotated": "{address}?report={attempt}"' in http.get("/reports/match").text
    assert http.get(f"{address}?report=..%2f..").status_code == 404


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Cup final (1).mp4", 'filename="Cup final (1).mp4"'),
        ("华为.mp4", "filename=\"__.mp4\"; filename*=UTF-8''%E5%8D%8E%E4%B8%BA.mp4"),
        ('a"\r\nb/c.mp4', "filename=\"a___b_c.mp4\"; filename*=UTF-8''a%22%0D%0Ab%2Fc.mp4"),
    ],
)
def test_a_video_is_named_so_that_every_client_can_read_it(name: str, told: str):
    assert attached(name) == {"Content-Disposition": f"attachment; {told}"}
