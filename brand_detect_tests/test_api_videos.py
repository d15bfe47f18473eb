"""Videos made of a report's, over HTTP: once while somebody waits, kept, given; and what is said when none can be."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import av
import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from brand_detect.api import create_app, videos
from brand_detect.api.shared import MOST_WAITING
from brand_detect.api.stored import MadeVideo, copy_s
from brand_detect.domain.protocols import Rewritten
from brand_detect.domain.settings import Settings
from brand_detect.engines.annotate import PyAvRewriter
from brand_detect.storage.blobs import Blobs
from brand_detect_tests.support import payloads as p
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip
from brand_detect_tests.support.servers import serving
from brand_detect_tests.test_api_reports import MEANT, ScriptedClient, service

VIDEO = "/reports/match/annotated.mp4"
COPY = "/reports/match/playable.mp4"
MADE = Rewritten(40, 4.0, "", ())


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


def drawn(http: TestClient, address: str = VIDEO) -> list[dict[str, Any]]:
    answer = http.post(address, headers=MEANT)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def served(made: Path) -> FastAPI:
    return create_app(ScriptedClient(), Settings(store_root=str(made / "store"), media_roots=(str(made),)))


class Drawing:
    """In place of ``annotate``: goes on until nobody waits or it may end; writes a file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.may_end, self.ended, self.times = Event(), Event(), Event(), 0
        monkeypatch.setattr(videos, "annotate", self)
        monkeypatch.setattr(videos, "TOLD_S", 0.02)

    def __call__(self, *arguments: Any) -> tuple[Rewritten, None]:
        target, progress = arguments[-2:]
        self.times += 1
        self.begun.set()
        try:
            while not self.may_end.wait(0.01):
                progress(1.0, 10_000, "seconds of video")
            target.write_bytes(b"video")
            return MADE, None
        finally:
            self.ended.set()


def posted(open_ones: ExitStack, address: str) -> tuple[httpx2.Response, Iterator[dict[str, Any]]]:
    """An answer whose lines are read one by one."""
    answer = open_ones.enter_context(httpx2.stream("POST", f"{address}{VIDEO}", headers=MEANT, timeout=20))
    return answer, map(json.loads, answer.iter_lines())


def kept(folder: Path) -> list[Path]:
    return [*(folder / "store" / "match").glob("_exports/*")]


@pytest.mark.parametrize(
    ("address", "way", "limit"),
    [(VIDEO, "brand-detect export match --format mp4", "draw_min"), (COPY, "submit a copy", "copy_min")],
)
def test_a_video_that_is_too_long_is_refused_with_another_way(
    http: TestClient, monkeypatch: pytest.MonkeyPatch, address: str, way: str, limit: str
):
    monkeypatch.setattr(MadeVideo, "longest_min", 0)
    answer = http.post(address, headers=MEANT)
    assert answer.status_code == 400
    assert way in answer.json()["hint"]
    assert f'"{limit}": 0' in http.get("/reports/match").text


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
    assert http.post("/reports/match/other.mp4", headers=MEANT).status_code == 400


def test_who_hangs_up_stops_the_drawing(made: Path, monkeypatch: pytest.MonkeyPatch):
    drawing = Drawing(monkeypatch)
    with serving(served(made)) as address, ExitStack() as open_ones:
        answer, _ = posted(open_ones, address)
        assert drawing.begun.wait(20)
        answer.close()
        assert drawing.ended.wait(20)
    assert kept(made) == []


def test_who_hangs_up_at_the_end_finds_nothing_kept(made: Path, monkeypatch: pytest.MonkeyPatch):
    ended = Event()

    def deaf(*arguments: Any) -> tuple[Rewritten, None]:
        with suppress(videos._Left):
            while True:
                arguments[-1](1.0, 10_000, "seconds of video")
                time.sleep(0.01)
        arguments[-2].write_bytes(b"video")
        ended.set()
        return MADE, None

    monkeypatch.setattr(videos, "annotate", deaf)
    with serving(served(made)) as address, ExitStack() as open_ones:
        answer, lines = posted(open_ones, address)
        next(lines)
        answer.close()
        assert ended.wait(20)
    assert kept(made) == []


def test_who_hangs_up_while_it_is_stored_finds_it_the_next_time(made: Path, monkeypatch: pytest.MonkeyPatch):
    drawing, storing, left = Drawing(monkeypatch), Event(), Event()
    put = Blobs.put_file

    def slow(*arguments: Any) -> str:
        storing.set()
        assert left.wait(20)
        return put(*arguments)

    monkeypatch.setattr(Blobs, "put_file", slow)
    drawing.may_end.set()
    with serving(served(made)) as address, ExitStack() as open_ones:
        answer, _ = posted(open_ones, address)
        assert storing.wait(20)
        answer.close()
        left.set()
        assert "address" in [*posted(open_ones, address)[1]][-1]
    assert drawing.times == 1
    [path] = kept(made)
    path.unlink()


def test_one_is_drawn_at_a_time_and_who_leaves_the_queue_gives_the_place_back(
    made: Path, monkeypatch: pytest.MonkeyPatch
):
    drawing = Drawing(monkeypatch)
    with serving(served(made)) as address, ExitStack() as open_ones:
        first, _ = posted(open_ones, address)
        assert drawing.begun.wait(20)
        waiting = [posted(open_ones, address) for _ in range(MOST_WAITING)]
        assert [[*islice(lines, 3)] for _, lines in waiting] == [[{}] * 3] * MOST_WAITING
        busy = {"detail": "Other videos are being made."}
        assert [line for line in posted(open_ones, address)[1] if line] == [busy]

        for answer, _ in waiting:
            answer.close()
        until = time.monotonic() + 20
        while busy in islice(lines := posted(open_ones, address)[1], 3):
            assert time.monotonic() < until, "those who left still wait"
        assert drawing.times == 1
        first.close()
        while "done_s" not in next(lines):
            pass
        drawing.may_end.set()
        assert "address" in [*lines][-1]
    assert drawing.times == 2, "a video was drawn for somebody who had left"
    [path] = kept(made)
    path.unlink()


def test_the_service_ends_after_what_it_draws(made: Path, monkeypatch: pytest.MonkeyPatch):
    cleared = Event()

    class Slow(tempfile.TemporaryDirectory[str]):
        def cleanup(self) -> None:
            time.sleep(0.5)
            super().cleanup()
            cleared.set()

    monkeypatch.setattr(tempfile, "TemporaryDirectory", Slow)
    drawing = Drawing(monkeypatch)
    with serving(served(made)) as address, ExitStack() as open_ones:
        answer, _ = posted(open_ones, address)
        assert drawing.begun.wait(20)
        answer.close()
    assert cleared.is_set()


def test_an_error_that_nobody_foresaw_is_said_and_logged(
    http: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(*_: Any) -> None:
        raise KeyError("a box")

    monkeypatch.setattr(videos, "annotate", broken)
    assert drawn(http)[-1] == {"detail": "Internal error: KeyError."}
    assert "KeyError: 'a box'" in caplog.text


def test_it_is_drawn_once_kept_and_linked(http: TestClient, made: Path, monkeypatch: pytest.MonkeyPatch):
    assert http.get(VIDEO).status_code == 404
    [told] = [told for told in drawn(http) if "address" in told]
    [path] = kept(made)
    assert told["address"] == f"{VIDEO}?report={path.stem}"
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 40
    assert http.get(told["address"]).content == path.read_bytes()
    assert f'"annotated": "{told["address"]}"' in http.get("/reports/match").text
    drawing = Drawing(monkeypatch)
    drawing.may_end.set()
    assert drawn(http)[-1] == told
    assert drawing.times == 0


def test_a_copy_is_made_once_for_all_reports_of_a_request_and_played_by_ranges(http: TestClient, made: Path):
    answer = http.get(COPY)
    assert (answer.status_code, "make it from the report's page" in answer.json()["detail"]) == (404, True)
    assert f'"copy": "{COPY}?report=' in http.get("/reports/match").text
    told = drawn(http, COPY)[-1]
    assert told["notes"] == []
    [path] = [path for path in kept(made) if "playable" in path.name]
    [request] = (made / "store" / "match" / "job_request").iterdir()
    assert path.name == f"{request.name}-playable.mp4"
    page = http.get("/reports/match").text
    assert f'"playable": "{told["address"]}"' in page
    assert '"copy":' not in page

    whole = http.get(told["address"])
    assert (whole.status_code, whole.content) == (200, path.read_bytes())
    assert whole.headers["content-disposition"] == 'attachment; filename="match-playable.mp4"'
    part = http.get(told["address"], headers={"Range": "bytes=100-199", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert http.get(told["address"], headers={"Range": "bytes=999999999-"}).status_code == 416
    head = http.head(told["address"])
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(whole.content)))
    path.unlink()


def test_a_copy_says_what_it_lacks_and_is_made_again_if_asked(
    http: TestClient, made: Path, monkeypatch: pytest.MonkeyPatch
):
    notes = ("The sound is left out: FFmpeg here cannot decode it.",)

    def copied(*arguments: Any) -> Rewritten:
        arguments[-2].write_bytes(b"video")
        return Rewritten(40, 4.0, "", notes)

    monkeypatch.setattr(videos, "copy", copied)
    assert drawn(http, COPY)[-1]["notes"] == [*notes]
    [path] = [path for path in kept(made) if "playable" in path.name]
    path.write_bytes(b"broken")
    assert drawn(http, COPY)[-1]["notes"] == []
    assert path.read_bytes() == b"broken"
    drawn(http, f"{COPY}?again=true")
    assert path.read_bytes() == b"video"
    path.unlink()


def test_a_copy_that_is_cut_off_is_said_and_not_kept(http: TestClient, made: Path, monkeypatch: pytest.MonkeyPatch):
    def cut_off(self: PyAvRewriter, file: Any, target: Path, *_: Any) -> Rewritten:  # noqa: ARG001
        target.write_bytes(b"video")
        return Rewritten(20, 2.0, "", ("The video cannot be decoded beyond 2.0 s.",))

    monkeypatch.setattr(PyAvRewriter, "copy", cut_off)
    assert drawn(http, COPY)[-1]["detail"].startswith("The copy would end at 2.0 s, but the video has a picture at 3.")
    assert not [path for path in kept(made) if "playable" in path.name]


@pytest.mark.parametrize(
    ("width", "height", "fps", "measured"),
    [(1920, 1080, 25.0, 0.29), (1920, 1080, 50.0, 0.55), (3840, 2160, 50.0, 1.04), (640, 360, 25.0, 0.06)],
)
def test_the_time_of_a_copy_follows_the_pictures_size_and_rate(width: int, height: int, fps: float, measured: float):
    probe = p.request(60.0).probe.model_copy(update={"width_px": width, "height_px": height, "fps": fps})
    assert copy_s(probe) == pytest.approx(60 * measured, rel=0.06)
