"""The inbox on a folder, on S3 and on a file system that knows neither."""

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.storage import inbox as inbox_module
from brand_detect.storage.inbox import Entry, Inbox


@dataclass
class Place:
    """An inbox and a way to put files into it."""

    uri: str

    @property
    def inbox(self) -> Inbox:
        return Inbox(self.uri)

    def put(self, name: str, data: bytes = b"video") -> Entry:
        fs, base = fsspec.url_to_fs(self.uri)
        if "://" not in self.uri:
            Path(base, name).parent.mkdir(parents=True, exist_ok=True)
        fs.pipe_file(f"{base}/{name}", data)
        found = self.inbox.entry(name)
        assert found
        return found

    def read(self, name: str) -> bytes:
        fs, base = fsspec.url_to_fs(self.uri)
        return fs.cat_file(f"{base}/{name}")


@pytest.fixture(params=["folder", "s3", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        (tmp_path / "in").mkdir()
        return Place(str(tmp_path / "in"))
    if request.param == "memory":
        return Place(f"memory://inbox/{uuid.uuid4().hex}")
    request.getfixturevalue("s3")
    return Place(f"s3://bucket/{uuid.uuid4().hex}")


def names(entries: list[Entry]) -> list[str]:
    return [entry.name for entry in entries]


def test_videos_and_requests_are_listed_and_nothing_else(place: Place):
    for name in ("b.mp4", "a.MKV", "a.json", "sub/deep/x y é#.mp4", "sub/x.mp4.json"):
        place.put(name)
    for name in ("_rejected/b.mp4.json", ".c.mp4", ".git/d.mp4", "e.mp4.part", "f.tmp", "g.mp4.crdownload", "h.txt"):
        place.put(name)
    entries, after = place.inbox.page("", 100)
    assert names(entries) == ["a.MKV", "a.json", "b.mp4", "sub/deep/x y é#.mp4", "sub/x.mp4.json"]
    assert after is None
    assert [entry.is_video for entry in entries] == [True, False, True, True, False]
    assert entries[3].uri == f"{place.uri}/sub/deep/x y é#.mp4"
    assert all(entry.size_bytes == 5 and abs(entry.changed_s - time.time()) < 60 for entry in entries)


def test_pages_go_on_where_the_last_one_ended(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inbox_module, "S3_PAGE", 2)  # several answers of S3 make a page
    expected = sorted([f"{n}.mp4" for n in range(7)] + ["sub/8.mp4"])
    for name in (*expected, "other.txt"):
        place.put(name)
    found, after, pages = [], "", 0
    while after is not None:
        entries, after = place.inbox.page(after, 3)
        found, pages = found + names(entries), pages + 1
        assert len(entries) <= 3
    assert found == expected
    assert pages == 3


def test_a_listed_file_equals_the_one_that_is_looked_up(place: Place):
    place.put("a b.mp4")
    [listed], _ = place.inbox.page("", 10)
    for _ in range(30):  # just after a file was written, rclone may tell its time a second apart
        if place.inbox.entry("a b.mp4") != listed:
            time.sleep(0.1)
            [listed], _ = place.inbox.page("", 10)
    assert place.inbox.entry("a b.mp4") == listed
    assert place.inbox.entry("none.mp4") is None


def test_the_folder_of_ext4_that_only_root_may_list_is_not_looked_into(tmp_path: Path):
    for name in ("a.mp4", "lost+found/b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"video")
    assert names(Inbox(str(tmp_path)).page("", 10)[0]) == ["a.mp4"]


def test_another_content_is_another_version(place: Place):
    first = place.put("a.mp4", b"one")
    assert place.inbox.entry("a.mp4") == first
    assert place.put("a.mp4", b"longer") != first


def test_only_object_stores_show_whole_files_alone(place: Place):
    assert place.put("a.mp4").whole == place.uri.startswith("s3")


def test_bad_requests_lie_aside_with_their_reasons(place: Place):
    for n, name in enumerate(("m.json", "m.2.json", "m.3.json")):
        place.put("sub/m.json", f"request {n}".encode())
        assert place.inbox.move_aside("sub/m.json", f"reason {n}") == f"{place.uri}/_rejected/sub/{name}"
        assert place.inbox.entry("sub/m.json") is None
    for n, name in enumerate(("m.json", "m.2.json", "m.3.json")):
        assert place.read(f"_rejected/sub/{name}") == f"request {n}".encode()
        assert place.read(f"_rejected/sub/{name}.reason.txt") == f"reason {n}\n".encode()
    assert place.inbox.page("", 10) == ([], None)


def test_an_empty_inbox_has_one_empty_page(place: Place):
    assert place.inbox.page("", 10) == ([], None)


@pytest.mark.parametrize("uri", ["{tmp}/none", "s3://nobody/in"])
def test_an_inbox_that_is_not_there_is_said(uri: str, tmp_path: Path, request: pytest.FixtureRequest):
    if uri.startswith("s3"):
        request.getfixturevalue("s3")
    with pytest.raises(Permanent, match="could not be listed"):
        Inbox(uri.format(tmp=tmp_path)).page("", 10)


def test_an_inbox_address_holds_no_secret():
    with pytest.raises(BadInput, match="password"):
        Inbox("s3://key:secret@bucket/in")


def test_links_to_files_count_as_the_files_and_the_rest_does_not(tmp_path: Path):
    place = Place(str(tmp_path / "in"))
    place.put("a.mp4", b"abc")
    target = tmp_path / "far.mp4"
    target.write_bytes(b"1234567")
    (tmp_path / "in" / "link.mp4").symlink_to(target)
    (tmp_path / "in" / "nowhere.mp4").symlink_to(tmp_path / "none.mp4")
    os.mkfifo(tmp_path / "in" / "pipe.mp4")
    (tmp_path / "in" / "folder.mp4").mkdir()
    entries, _ = place.inbox.page("", 10)
    assert [(entry.name, entry.size_bytes) for entry in entries] == [("a.mp4", 3), ("link.mp4", 7)]


def test_what_cannot_be_looked_at_stops_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = Place(str(tmp_path / "in"))
    place.put("good.mp4")
    place.put("closed/secret.mp4")
    (tmp_path / "in" / "circle.mp4").symlink_to(tmp_path / "in" / "circle.mp4")
    scan = os.scandir

    def refuse(path: str) -> Any:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may list everything
    inbox = place.inbox
    entries, after = inbox.page("", 10)
    assert (names(entries), after) == (["circle.mp4", "good.mp4"], None)
    assert inbox.entry("circle.mp4") == entries[0]
    assert inbox.unlisted == {str(tmp_path / "in" / "closed"): "Permission denied"}


@pytest.mark.parametrize("change", [lambda p: p.write_bytes(b"other"), lambda p: os.utime(p, (1, 1))])
def test_a_copied_time_hides_no_change(tmp_path: Path, change: Callable[[Path], Any]):
    """Of the times of a file, the one of its last change cannot be set."""
    place = Place(str(tmp_path / "in"))
    first = place.put("a.mp4", b"video")
    path = tmp_path / "in" / "a.mp4"
    time.sleep(0.02)
    change(path)
    os.utime(path, ns=(path.stat().st_atime_ns, int(first.version.split()[0])))
    assert place.inbox.entry("a.mp4") != first


def test_the_names_of_a_video_and_its_request_lead_to_each_other():
    video = Entry("sub/match.MP4", "", 1, "", 0, True)
    assert video.request_names == ("sub/match.MP4.json", "sub/match.json")
    for name in video.request_names:
        assert video.name in Entry(name, "", 1, "", 0, True).video_names
