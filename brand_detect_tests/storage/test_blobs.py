"""The lowest layer: files by path."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from brand_detect.domain.errors import Permanent, Transient
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.faults import Missing


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "store"))


@pytest.fixture(params=["disk", "memory"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "store") if request.param == "disk" else f"memory://{tmp_path.name}")


def test_what_is_created_is_there_once_and_as_a_whole(either: Blobs):
    assert not either.is_there()
    either.create("a/b.json", b"first")
    with pytest.raises(Permanent, match=r"a/b\.json exists already"):
        either.create("a/b.json", b"again")
    either.create("a/b.json", b"again", lenient=True)
    assert either.read("a/b.json") == b"first"
    assert either.read("a/b.json", 1, 3) == b"ir"
    assert either.exists("a/b.json")
    assert either.is_there()


def test_what_cannot_be_looked_up_is_not_taken_for_missing(blobs: Blobs, monkeypatch: pytest.MonkeyPatch):
    blobs.create("a/manifest.json", b"{}")
    assert not blobs.exists("a/b.json")
    assert not blobs.exists("a/manifest.json/below a file")
    assert not blobs.exists(f"a/{'b' * 300}")

    def fails(path: str, **_: object):
        raise OSError(errno.EIO, "Input/output error", path)

    monkeypatch.setattr(os, "stat", fails)
    with pytest.raises(Transient, match="could not be looked up"):
        blobs.exists("a/manifest.json")
    with pytest.raises(Transient, match="could not be removed"):
        blobs.remove_folder("a")


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(blobs: Blobs, monkeypatch: pytest.MonkeyPatch):
    assert (blobs.last_written_s("a"), blobs.size_bytes("a")) == (0, 0)
    blobs.create("a/b.json", b"{}")

    def fails(path: str):
        raise OSError(errno.EIO, "Input/output error", path)

    monkeypatch.setattr(os, "scandir", fails)
    for look in (blobs.last_written_s, blobs.size_bytes):
        with pytest.raises(Transient, match="could not be looked up"):
            look("a")


def test_what_is_put_takes_the_place_of_what_was_there(either: Blobs, tmp_path: Path):
    assert either.put("a/b.json", b"old") == either.put("a/b.json", b"new") == f"{either.root}/a/b.json"
    assert either.read("a/b.json") == b"new"
    (tmp_path / "video.mp4").write_bytes(b"video")
    assert either.put_file("a/b.json", tmp_path / "video.mp4") == either.uri("a/b.json")
    assert either.read("a/b.json") == b"video"
    assert either.sha256("a/b.json") == hashlib.sha256(b"video").hexdigest()
    assert either.names("a") == ["b.json"]


def test_a_folder_is_listed_measured_and_removed(either: Blobs):
    assert (either.names("a"), either.size_bytes("a"), either.last_written_s("a")) == ([], 0, 0.0)
    for name in ("y", "x", ".draft"):
        either.put(f"a/{name}", b"12")
    assert (either.names("a"), either.paths("a")) == (["x", "y"], ["a/x", "a/y"])
    assert either.size_bytes("a") == 6
    assert either.last_written_s("a") == pytest.approx(either.written_s("a/.draft"), abs=1)
    either.remove("a/x")
    assert either.names("a") == ["y"]
    for _ in range(2):
        either.remove_folder("a")
    assert either.names("") == []


def test_a_file_is_listed_as_an_empty_folder(either: Blobs):
    either.put("a/b.json", b"12")
    assert either.names("a/b.json") == either.names("a/b.json/c") == []


@pytest.mark.usefixtures("s3")
def test_what_other_processes_do_on_s3_is_seen_at_once():
    from s3fs import S3FileSystem

    blobs, other = Blobs("s3://bucket/shared"), S3FileSystem(skip_instance_cache=True)
    blobs.put("a/manifest.json", b"mine")
    blobs.put("b/data", b"")
    assert (blobs.names("a"), blobs.names("b"), blobs.size_bytes("")) == (["manifest.json"], ["data"], 4)

    other.rm("bucket/shared/a", recursive=True)
    other.pipe_file("bucket/shared/b/manifest.json", b"other")
    assert (blobs.exists("a/manifest.json"), blobs.exists("b/manifest.json")) == (False, True)
    assert (blobs.names("a"), blobs.names("b"), blobs.size_bytes("")) == ([], ["data", "manifest.json"], 5)
    assert blobs.last_written_s("b") == pytest.approx(blobs.written_s("b/manifest.json"), abs=1)
    blobs.remove_folder("a")
    blobs.remove_folder("b")
    assert not blobs.is_there()


@pytest.mark.usefixtures("s3")
def test_a_file_on_s3_is_read_by_one_request(monkeypatch: pytest.MonkeyPatch):
    blobs = Blobs("s3://bucket/one-request")
    blobs.put("full", b"seven b")
    blobs.put("empty", b"")
    asked: list[str] = []
    call = blobs.fs._call_s3

    async def counted(method: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(method)
        return await call(method, *args, **kwargs)

    monkeypatch.setattr(blobs.fs, "_call_s3", counted)
    assert blobs.read("full") == b"seven b"
    assert asked == ["get_object"]
    assert blobs.read("empty") == b"", "which has no first byte"
    assert blobs.read("full", 2, 4) == b"ve"
    with pytest.raises(Missing):
        blobs.read("neither")


@pytest.mark.usefixtures("s3")
def test_a_file_on_s3_whose_request_the_driver_repeats_is_created(monkeypatch: pytest.MonkeyPatch):
    """The answer to the first request was lost, so the second one finds the file there."""
    blobs = Blobs("s3://bucket/repeated")
    write = blobs.fs.pipe_file

    def repeated(path: str, data: bytes, mode: str) -> None:
        if not blobs.fs.exists(path):
            write(path, data, mode=mode)
        raise OSError(errno.EINVAL, "At least one of the pre-conditions you specified did not hold")

    monkeypatch.setattr(blobs.fs, "pipe_file", repeated)
    blobs.create("manifest.json", b"first")
    with pytest.raises(Permanent, match="exists already"):
        blobs.create("manifest.json", b"of another run")
    assert blobs.read("manifest.json") == b"first"


def test_a_removal_that_the_store_refuses_is_no_success(monkeypatch: pytest.MonkeyPatch):
    """S3 answers a removal of many files with success and names those that it refused."""
    blobs = Blobs("memory://refusing")
    blobs.put("job/a.json", b"{}")
    monkeypatch.setattr(blobs.fs, "rm", lambda *_, **__: None)
    with pytest.raises(Permanent, match="files are left"):
        blobs.remove_folder("job")
    monkeypatch.undo()
    blobs.remove_folder("job")
    assert not blobs.is_there()


def test_what_is_not_there_is_missing(either: Blobs):
    for call in (either.read, either.sha256, either.remove):
        with pytest.raises(Missing, match=r"nothing could not be (read|removed)"):
            call("nothing")


def test_a_probe_leaves_nothing_behind(blobs: Blobs, tmp_path: Path):
    assert blobs.probe() == []
    assert list((tmp_path / "store").iterdir()) == []


def test_a_probe_tells_what_could_be_better(monkeypatch: pytest.MonkeyPatch):
    blobs = Blobs("memory://probed")
    assert blobs.probe() == []
    monkeypatch.setattr(Blobs, "_create_remote", lambda self, path, data: self.fs.pipe_file(path, data))
    assert blobs.probe() == ["it allows existing files to be replaced"]

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no deletes here")

    monkeypatch.setattr(blobs.fs, "rm", refuse)
    left = blobs.probe()[-1]
    assert "could not be removed: no deletes here." in left
