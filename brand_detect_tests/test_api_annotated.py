"""The video with boxes over HTTP: drawn once while somebody waits, kept, given; and what is said when it cannot be."""

import json
import time
from pathlib import Path
from threading import Event
from typing import Any

import av
import httpx2
import pytest
from fastapi.testclient import TestClient

from brand_detect.api import annotated, create_app
from brand_detect.domain.protocols import Progress
from brand_detect.domain.settings import Settings
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip
from brand_detect_tests.support.servers import serving
from brand_detect_tests.test_api_reports import MEANT, ScriptedClient, service

VIDEO = "/reports/match/annotated.mp4"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one job, whose video lasts four seconds."""
    folder = tmp_path_factory.mktemp("annotated")
    with pipeline(folder) as built:
        built.runner.submit(str(two_shot_clip(folder / "match.mp4")), job_id="match")
    return folder


@pytest.fixture
def http(made: Path) -> TestClient:
    return service(ScriptedClient(), made, settings={"media_roots": (str(made),)})


def drawn(http: TestClient) -> list[dict[str, Any]]:
    answer = http.post(VIDEO, headers=MEANT)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def kept(folder: Path) -> list[Path]:
    return [*(folder / "store" / "match").glob("_exports/*")]


def test_a_video_that_is_too_long_is_refused_with_another_way(http: TestClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(annotated, "LONGEST_S", 2.0)
    answer = http.post(VIDEO, headers=MEANT)
    assert answer.status_code == 400
    assert "brand-detect export match --format mp4" in answer.json()["hint"]


def test_a_video_that_is_gone_is_said_in_the_last_line(http: TestClient, made: Path):
    video = (made / "match.mp4").rename(made / "away.mp4")
    try:
        assert "match.mp4" in drawn(http)[-1]["detail"]
    finally:
        video.rename(made / "match.mp4")
    assert kept(made) == []


def test_only_who_means_it_may_draw(http: TestClient):
    assert http.post(VIDEO).status_code == 403
    assert http.post("/reports/nobody/annotated.mp4", headers=MEANT).status_code == 404


def test_who_hangs_up_stops_the_drawing(made: Path, monkeypatch: pytest.MonkeyPatch):
    begun, ended = Event(), Event()

    def endless(*arguments: Any) -> None:
        progress: Progress = arguments[-1]
        try:
            for second in range(3000):
                progress(second, 10_000, "seconds of video")
                begun.set()
                time.sleep(0.01)
        finally:
            ended.set()

    monkeypatch.setattr(annotated, "annotate", endless)
    monkeypatch.setattr(annotated, "TOLD_S", 0.05)
    app = create_app(ScriptedClient(), Settings(store_root=str(made / "store"), media_roots=(str(made),)))
    with serving(app) as address, httpx2.stream("POST", f"{address}{VIDEO}", headers=MEANT) as answer:
        assert begun.wait(20)
        answer.close()
        assert ended.wait(20)
    assert kept(made) == []


def test_it_is_drawn_kept_and_linked(http: TestClient, made: Path):
    assert http.get(VIDEO).status_code == 404
    [told] = [told for told in drawn(http) if "address" in told]
    [path] = kept(made)
    assert told["address"] == f"{VIDEO}?report={path.stem}"
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 40
    assert http.get(told["address"]).content == path.read_bytes()
    assert f'"annotated": "{told["address"]}"' in http.get("/reports/match").text
