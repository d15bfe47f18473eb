"""The video of a report over HTTP: ranges of it, where it may lie, and the boxes over it."""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from brand_detect.api import create_app
from brand_detect.api.media import CHUNK_BYTES, media_router
from brand_detect.api.stored import StoredReports
from brand_detect.client import Client
from brand_detect.domain.protocols import Media
from brand_detect.domain.settings import Settings
from brand_detect.storage.reports import Reports
from brand_detect.storage.store import Store
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip

VIDEO = "/reports/match/video"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one job, ROLEX in its first shot, and its video."""
    folder = tmp_path_factory.mktemp("media")
    with pipeline(folder) as built:
        built.runner.submit(str(two_shot_clip(folder / "match.mp4", seconds=2.0)), job_id="match")
    return folder


def service(folder: Path, root: Path | None = None, key: str = "") -> TestClient:
    settings = Settings(store_root=str(folder / "store"), media_roots=(str(root or folder),))
    return TestClient(create_app(Client(), settings, api_key=key), base_url="http://127.0.0.1")


@pytest.fixture
def video(made: Path) -> bytes:
    return (made / "match.mp4").read_bytes()


def test_the_whole_video_and_any_part_of_it(made: Path, video: bytes) -> None:
    http = service(made)
    whole = http.get(VIDEO)
    assert (whole.status_code, whole.content) == (200, video)
    assert (whole.headers["accept-ranges"], whole.headers["content-type"]) == ("bytes", "video/mp4")
    size = len(video)
    for asked, start, end in (
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=100-", 100, size),
        (f"bytes=100-{10 * size}", 100, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=-{10 * size}", 0, size),
    ):
        part = http.get(VIDEO, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, video[start:end]), asked
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.headers["content-length"] == str(end - start)
    head = http.head(VIDEO, headers={"Range": "bytes=10-19"})
    assert (head.status_code, head.content, head.headers["content-length"]) == (206, b"", "10")


@pytest.mark.parametrize("asked", ["bytes={size}-", "bytes=-0", "bytes={size}-{size}"])
def test_a_range_outside_the_video_is_refused(made: Path, video: bytes, asked: str) -> None:
    answer = service(made).get(VIDEO, headers={"Range": asked.format(size=len(video))})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(video)}")


@pytest.mark.parametrize(
    "asked", ["bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,4-5", "lines=1-2", f"bytes={'9' * 400}-"]
)
def test_a_range_that_is_none_is_ignored(made: Path, video: bytes, asked: str) -> None:
    answer = service(made).get(VIDEO, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, video)


def test_parts_belong_to_one_version_of_the_video(made: Path) -> None:
    http = service(made)
    tag = http.head(VIDEO).headers["etag"]
    answers = [http.get(VIDEO, headers={"Range": "bytes=0-1", "If-Range": r}).status_code for r in (tag, '"other"')]
    assert answers == [206, 200]


def test_what_may_not_be_seen_is_said_in_a_sentence(made: Path, tmp_path: Path) -> None:
    outside = service(made, root=tmp_path).get(VIDEO)
    assert outside.status_code == 404
    assert "outside the allowed media roots" in outside.json()["detail"]
    assert service(made, key="geheim").get(VIDEO).status_code == 401
    assert service(made).get("/reports/other/video").status_code == 404
    for attempt in ("../../../etc", "x", "%2e%2e"):
        assert service(made).get(VIDEO, params={"report": attempt}).status_code == 404


def test_a_video_that_is_gone_or_another_one_is_not_played(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "store", tmp_path / "store")
    video, kept = made / "match.mp4", tmp_path / "kept.mp4"
    video.rename(kept)
    try:
        gone = service(tmp_path, root=made).get(VIDEO)
        assert (gone.status_code, "There is no file" in gone.json()["detail"]) == (404, True)
        video.write_bytes(kept.read_bytes() + b"x")
        other = service(tmp_path, root=made).get(VIDEO)
        assert (other.status_code, "no longer the video" in other.json()["detail"]) == (404, True)
    finally:
        kept.replace(video)


class Remote(Media):
    """A store of objects: counts the bytes that are read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.read_bytes = 0
        self.open_files = 0

    @contextmanager
    def open(self, uri: str) -> Iterator[BinaryIO]:  # noqa: ARG002
        outer = self

        class Counted(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                data = super().read(size)
                outer.read_bytes += len(data)
                return data

        self.open_files += 1
        try:
            yield Counted(self._data)
        finally:
            self.open_files -= 1


def test_of_a_remote_video_only_the_range_is_read(made: Path, video: bytes) -> None:
    store, remote = Store(str(made / "store")), Remote(video)
    app = FastAPI()
    app.include_router(media_router(StoredReports(Reports(store)), store, remote, []))
    part = TestClient(app).get(VIDEO, headers={"Range": "bytes=5-14"})
    assert (part.status_code, part.content) == (206, video[5:15])
    assert (remote.read_bytes, remote.open_files) == (10, 0)
    assert CHUNK_BYTES < 2**20, "a player breaks off most answers"


def test_boxes_of_a_part_of_the_video(made: Path) -> None:
    http = service(made)
    [track] = http.get("/reports/match/boxes", params={"from_s": 0, "to_s": 60}).json()["tracks"]
    assert track["brand"] == 0
    assert track["spans_s"][0][0] == 0.0
    assert len(track["t_s"]) == len(track["boxes"]) >= 2
    assert all(0 <= side <= 1 for box in track["boxes"] for side in box)
    assert http.get("/reports/match/boxes", params={"from_s": 1.5, "to_s": 2}).json() == {"tracks": []}


@pytest.mark.parametrize(("from_s", "to_s"), [(0, 121), (5, 5), (5, 1), ("nan", 1), (0, "inf"), (-1, 1), ("x", 1)])
def test_a_part_without_sense_or_too_long_is_refused(made: Path, from_s: object, to_s: object) -> None:
    answer = service(made).get("/reports/match/boxes", params={"from_s": str(from_s), "to_s": str(to_s)})
    assert answer.status_code == 400
    assert answer.json()["detail"]
