"""What may be opened as a video: within the roots, regular files, no redirect that leads out."""

import os
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import fsspec
import pytest

from brand_detect.domain.errors import BadInput
from brand_detect.storage.media import MediaFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a b.mp4").write_bytes(b"video")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    return tmp_path


@pytest.fixture
def media(folder: Path) -> MediaFiles:
    return MediaFiles([str(folder / "in"), "memory://bucket/videos"])


def test_a_file_within_a_root_opens(media: MediaFiles, folder: Path):
    for uri in (str(folder / "in" / "a b.mp4"), f"file://{folder}/in/a%20b.mp4"):
        with media.open(uri) as file:
            assert file.read() == b"video"


def test_a_remote_file_within_a_root_opens_and_seeks(media: MediaFiles):
    with fsspec.open("memory://bucket/videos/x.mp4", "wb") as file:
        file.write(b"remote")  # pyright: ignore[reportAttributeAccessIssue]
    with media.open("memory://bucket/videos/x.mp4") as file:
        file.seek(2)
        assert file.read() == b"mote"


def test_what_lies_outside_is_refused(media: MediaFiles, folder: Path):
    (folder / "in" / "link.mp4").symlink_to(folder / "secret.mp4")
    for uri in (
        str(folder / "secret.mp4"),
        f"{folder}/in/../secret.mp4",
        str(folder / "in" / "link.mp4"),
        f"file://{folder}/in/%2e%2e/secret.mp4",
        "memory://bucket/other/x.mp4",
        "memory://bucket/videos/../other/x.mp4",
        "memory://bucket/videos2/x.mp4",
        "simplecache::memory://bucket/videos/x.mp4",
        "memory://bucket/videos/::file:///etc/passwd",
        "s3://bucket/x.mp4",
        "http://localhost/x.mp4",
        "/etc/passwd",
        "",
    ):
        with pytest.raises(BadInput):
            media.check(uri)


def test_missing_files_and_folders_are_named(media: MediaFiles, folder: Path):
    with pytest.raises(BadInput, match="There is no file"), media.open(str(folder / "in" / "none.mp4")):
        pass
    with pytest.raises(BadInput, match="is a folder"), media.open(str(folder / "in")):
        pass
    with pytest.raises(BadInput, match="There is no file"), media.open("memory://bucket/videos/none.mp4"):
        pass


def test_pipes_sockets_and_devices_are_refused_at_once(media: MediaFiles, folder: Path):
    os.mkfifo(folder / "in" / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "in" / "socket.mp4"))
        for name in ("pipe.mp4", "socket.mp4"):
            with pytest.raises(BadInput, match="not a regular file"), media.open(str(folder / "in" / name)):
                pass
    with pytest.raises(BadInput, match="not a regular file"), MediaFiles(["/dev"]).open("/dev/zero"):
        pass


def test_a_file_exchanged_for_a_pipe_is_refused(media: MediaFiles, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Between the look at it and its opening."""
    os.mkfifo(folder / "in" / "pipe.mp4")
    looked, regular = Path.stat, (folder / "secret.mp4").stat()

    def look(path: Path, **options: bool) -> os.stat_result:
        return regular if path.name == "pipe.mp4" else looked(path, **options)

    monkeypatch.setattr(Path, "stat", look)
    with pytest.raises(BadInput, match="not a regular file"), media.open(str(folder / "in" / "pipe.mp4")):
        pass


def test_links_in_a_circle_and_endless_names_lead_nowhere(media: MediaFiles, folder: Path):
    (folder / "in" / "a.mp4").symlink_to(folder / "in" / "b.mp4")
    (folder / "in" / "b.mp4").symlink_to(folder / "in" / "a.mp4")
    for name in ("a.mp4", "x" * 5000 + ".mp4"):
        with pytest.raises(BadInput, match="does not exist"), media.open(str(folder / "in" / name)):
            pass


def test_a_name_that_is_no_utf8_is_refused_in_words_that_can_be_written(media: MediaFiles, folder: Path):
    name = os.fsencode(folder) + b"/in/caf\xe9.mp4"
    Path(os.fsdecode(name)).write_bytes(b"video")
    with pytest.raises(BadInput, match="not UTF-8") as refused, media.open(os.fsdecode(name)):
        pass
    refused.value.full.encode()


class Redirecting(BaseHTTPRequestHandler):
    """``/videos/x.mp4`` is there, ``/videos/elsewhere.mp4`` redirects to ``target``; all else is secret."""

    target = ""
    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/videos/elsewhere.mp4":
            self.send_response(302)
            self.send_header("Location", self.target)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = b"remote" if self.path == "/videos/x.mp4" else b"secret"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Not on the tests' output."""


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("target", ["/videos/x.mp4", "{web}/videos/x.mp4", "x.mp4"])
def test_a_redirect_within_the_root_is_followed(web: str, target: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Redirecting, "target", target.format(web=web))
    for name in ("x.mp4", "elsewhere.mp4"):
        with MediaFiles([f"{web}/videos"]).open(f"{web}/videos/{name}") as file:
            assert file.read() == b"remote"


@pytest.mark.parametrize(
    "target", ["/secret.mp4", "{web}/secret.mp4", "http://localhost:1/videos/x.mp4", "/videos/..%2Fsecret.mp4"]
)
def test_a_redirect_out_of_the_root_is_refused_and_not_asked_for(
    web: str, target: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Redirecting, "target", target.format(web=web))
    Redirecting.asked.clear()
    media = MediaFiles([f"{web}/videos"])
    with pytest.raises(BadInput, match="redirects to http://"), media.open(f"{web}/videos/elsewhere.mp4"):
        pass
    assert {*Redirecting.asked} == {"/videos/elsewhere.mp4"}
