"""Uploads in a folder and on S3: parts, resumption, and what is swept away."""

import hashlib
import os
import resource
import threading
from pathlib import Path
from typing import Any

import pytest

from brand_detect.domain.errors import BadInput, Transient
from brand_detect.storage import uploads
from brand_detect.storage.faults import Missing
from brand_detect.storage.uploads import S3_PART_BYTES, Upload, Uploads, WrongOffset

MANY = 10**9


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """The address of an upload area, and its files as seen on this disk."""
    if request.param == "folder":
        return str(tmp_path / "area"), tmp_path / "area"
    bucket: Path = request.getfixturevalue("s3") / "bucket"
    return f"s3://bucket/{tmp_path.name}", bucket / tmp_path.name


def files(folder: Path) -> list[str]:
    """Without hidden ones, such as those in which the S3 server keeps parts."""
    found = (p.relative_to(folder).parts for p in folder.rglob("*") if p.is_file())
    return sorted(parts[-1] for parts in found if not any(part.startswith(".") for part in parts))


def test_parts_become_one_file_that_appears_whole(place: tuple[str, Path]):
    uri, folder = place
    area = Uploads(uri, MANY)
    data = os.urandom(2 * S3_PART_BYTES + 17)
    upload = area.begin("final.mp4", len(data))
    offset = 0
    for end in (S3_PART_BYTES, 2 * S3_PART_BYTES, len(data)):
        assert area.offset(upload) == offset
        other = Uploads(uri, MANY)  # another process
        offset = other.append(other.find(upload.upload_id), offset, data[offset:end])
        assert files(folder) == [], "nothing half-written is seen"
    assert area.finish(upload) == f"{uri}/{upload.upload_id}/final.mp4"
    assert files(folder) == ["final.mp4"]
    assert (folder / upload.upload_id / "final.mp4").read_bytes() == data
    assert area.finish(upload) == area.uri(upload), "twice is harmless"
    assert area.offset(upload) == len(data)


def test_the_hash_is_that_of_the_content(place: tuple[str, Path]):
    uri, _ = place
    one, other = Uploads(uri, MANY), Uploads(uri, MANY)
    data = os.urandom(S3_PART_BYTES + 100)
    for half in (one, other):  # all in one process, and in two
        upload = one.begin("x.mp4", len(data))
        one.append(upload, 0, data[:S3_PART_BYTES])
        half.append(upload, S3_PART_BYTES, data[S3_PART_BYTES:])
        one.finish(upload)
        assert one.sha256(upload) == hashlib.sha256(data).hexdigest()


def test_a_part_in_the_wrong_place_changes_nothing(place: tuple[str, Path]):
    area = Uploads(place[0], MANY)
    upload = area.begin("final.mp4", 3 * S3_PART_BYTES)
    first = os.urandom(S3_PART_BYTES)
    area.append(upload, 0, first)
    for offset in (0, S3_PART_BYTES - 1, S3_PART_BYTES + 1):
        with pytest.raises(WrongOffset) as refused:
            area.append(upload, offset, first)
        assert refused.value.offset == S3_PART_BYTES
    with pytest.raises(WrongOffset):
        area.finish(upload)
    assert area.offset(upload) == S3_PART_BYTES


def test_small_parts_are_refused_on_s3_alone(s3: Path):
    area = Uploads("s3://bucket/small", MANY)
    upload = area.begin("final.mp4", 2 * S3_PART_BYTES)
    with pytest.raises(BadInput, match="too short"):
        area.append(upload, 0, b"x" * (S3_PART_BYTES - 1))
    area.remove(upload)
    assert not list(s3.glob("bucket/small/*/*.mp4"))


def test_a_removed_upload_is_gone(place: tuple[str, Path]):
    uri, folder = place
    area = Uploads(uri, MANY)
    data = os.urandom(100)
    begun, done = area.begin("a.mp4", 100), area.begin("b.mp4", 100)
    area.append(done, 0, data)
    area.finish(done)
    for upload in (begun, done):
        area.remove(upload)
        with pytest.raises(Missing):
            area.find(upload.upload_id)
    assert [p for p in folder.rglob("*") if p.is_file()] == []


def test_what_broke_off_days_ago_is_swept_away_and_what_was_checked_stays(
    place: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
):
    uri, folder = place
    area = Uploads(uri, MANY)
    old, done, unchecked = (area.begin(f"{name}.mp4", 50) for name in ("old", "done", "unchecked"))
    for upload in (done, unchecked):
        area.append(upload, 0, os.urandom(50))
        area.finish(upload)
    area.settle(done, area.finish(done), "hash")
    now = uploads.time.time()
    monkeypatch.setattr(uploads.time, "time", lambda: now + uploads.EXPIRES_S - 60)
    area.begin("new.mp4", 100)
    assert area.find(old.upload_id) == old
    assert area.find(done.upload_id).sha256 == "hash", "to answer who asks again"
    assert files(folder) == ["done.mp4", "unchecked.mp4"]
    monkeypatch.setattr(uploads.time, "time", lambda: now + uploads.EXPIRES_S + 60)
    new = area.begin("new.mp4", 100)
    for gone in (old, done, unchecked):
        with pytest.raises(Missing):
            area.find(gone.upload_id)
    assert area.find(new.upload_id) == new
    assert files(folder) == ["done.mp4"]


def test_a_copy_that_a_kill_left_behind_is_swept_away(place: tuple[str, Path], monkeypatch: pytest.MonkeyPatch):
    uri, folder = place
    area = Uploads(uri, MANY)
    copy = area.begin("copy.mp4", 50)
    area.append(copy, 0, os.urandom(50))
    area.finish(copy)
    with monkeypatch.context() as patch:
        patch.setattr(area._blobs, "remove_folder", lambda _: None)  # killed before it
        area.settle(copy, f"{uri}/another.mp4", "hash")
    assert files(folder) == ["copy.mp4"]
    now = uploads.time.time()
    monkeypatch.setattr(uploads.time, "time", lambda: now + uploads.EXPIRES_S + 60)
    area.begin("new.mp4", 100)
    assert files(folder) == []
    with pytest.raises(Missing):
        area.find(copy.upload_id)


def test_a_video_stays_whatever_its_area_is_called_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    area = Uploads(str(tmp_path / "real"), MANY)
    done = area.begin("done.mp4", 50)
    area.append(done, 0, os.urandom(50))
    area.settle(done, area.finish(done), "hash")
    now = uploads.time.time()
    monkeypatch.setattr(uploads.time, "time", lambda: now + uploads.EXPIRES_S + 60)
    Uploads(str(tmp_path / "link"), MANY).begin("new.mp4", 100)
    assert files(tmp_path / "real") == ["done.mp4"]


def test_who_waits_for_an_upload_finds_it_as_the_other_left_it(place: tuple[str, Path]):
    uri, _ = place
    area = Uploads(uri, MANY)
    other = area if uri.startswith("s3:") else Uploads(uri, MANY)  # in a folder, also of another process
    settled, removed = area.begin("a.mp4", 5), area.begin("b.mp4", 5)
    waits = threading.Event()
    found: list[Upload | None] = []

    def later(upload_id: str) -> None:
        waits.set()
        try:
            with other.alone(upload_id) as upload:
                found.append(upload)
        except Missing:
            found.append(None)

    for upload in (settled, removed):
        waits.clear()
        thread = threading.Thread(target=later, args=(upload.upload_id,))
        with area.alone(upload.upload_id):
            thread.start()
            assert waits.wait(10)
            thread.join(0.05)
            assert thread.is_alive(), "it waits"
            if upload is settled:
                area.settle(upload, "kept.mp4", "hash")
            else:
                area.remove(upload)
        thread.join(10)
    assert [upload and upload.video_uri for upload in found] == ["kept.mp4", None]
    with pytest.raises(Missing), area.alone("../record"):
        pass


def test_a_file_that_was_finished_lately_stays_while_it_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    area = Uploads(str(tmp_path), MANY)
    slow = area.begin("slow.mp4", 50)
    area.append(slow, 0, os.urandom(50))
    uri, now = area.finish(slow), uploads.time.time()
    finished_s = now + uploads.EXPIRES_S
    os.utime(tmp_path / slow.upload_id / "slow.mp4", (finished_s, finished_s))
    monkeypatch.setattr(uploads.time, "time", lambda: now + uploads.EXPIRES_S + 60)
    area.begin("new.mp4", 100)
    area.settle(slow, uri, "hash")
    assert area.find(slow.upload_id).sha256 == "hash"
    assert files(tmp_path) == ["slow.mp4"]


def test_there_is_a_limit_to_unfinished_uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploads, "MOST_OPEN", 2)
    area = Uploads(str(tmp_path), MANY)
    first, _ = area.begin("a.mp4", 5), area.begin("b.mp4", 5)
    with pytest.raises(BadInput, match="2 uploads are unfinished"):
        area.begin("c.mp4", 5)
    area.append(first, 0, b"12345")
    area.finish(first)
    area.begin("c.mp4", 5)


def test_a_full_disk_leaves_no_half_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    area = Uploads(str(tmp_path), MANY)
    upload = area.begin("a.mp4", 100)
    area.append(upload, 0, b"x" * 10)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(uploads.os, "fsync", full)
        with pytest.raises(Transient, match="No space left"):
            area.append(upload, 10, b"y" * 50)
    assert area.offset(upload) == 10
    assert area.append(upload, 10, b"y" * 90) == 100


def test_a_part_that_was_given_up_is_not_written_when_the_file_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    area = Uploads(str(tmp_path), MANY)
    upload = area.begin("a.mp4", 100)
    area.append(upload, 0, b"x" * 10)
    before, truncate = resource.getrlimit(resource.RLIMIT_FSIZE), os.ftruncate

    def make_room(descriptor: int, size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        truncate(descriptor, size)

    monkeypatch.setattr(uploads.os, "ftruncate", make_room)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30, before[1]))  # the first 20 bytes still fit
        with pytest.raises(Transient):
            area.append(upload, 10, b"y" * 50)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert area.offset(upload) == 10
    area.append(upload, 10, b"y" * 90)
    assert Path(area.finish(upload)).read_bytes() == b"x" * 10 + b"y" * 90


def test_unfinished_uploads_count_as_if_they_were_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    area = Uploads(str(tmp_path), MANY)
    free = uploads.MARGIN_BYTES + 1000
    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    with pytest.raises(BadInput, match="room for 1000 bytes"):
        area.begin("a.mp4", 1001)
    first = area.begin("a.mp4", 600)
    with pytest.raises(BadInput, match="room for 400 bytes"):
        area.begin("b.mp4", 401)
    area.append(first, 0, b"x" * 500)
    free -= 500
    area.begin("b.mp4", 400)
    with pytest.raises(BadInput, match="room for 0 bytes"):
        area.begin("c.mp4", 1)


def test_an_upload_that_is_the_copy_of_another_file_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    area = Uploads(str(tmp_path), MANY)
    copy = area.begin("a.mp4", 5)
    area.append(copy, 0, b"12345")
    area.finish(copy)
    area.settle(copy, str(tmp_path / "another.mp4"), "hash")
    monkeypatch.setattr(uploads, "MOST_OPEN", 1)
    area.begin("b.mp4", 5)


def test_one_part_at_a_time_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    area = Uploads(str(tmp_path), MANY)
    upload = area.begin("a.mp4", 100)
    within, go_on = threading.Event(), threading.Event()

    def slowly(_: int) -> None:
        within.set()
        assert go_on.wait(10)

    with monkeypatch.context() as patch:
        patch.setattr(uploads.os, "fsync", slowly)
        first = threading.Thread(target=area.append, args=(upload, 0, b"x" * 10))
        first.start()
        assert within.wait(10)
        with pytest.raises(Transient, match="being written"):
            Uploads(str(tmp_path), MANY).append(upload, 10, b"y" * 10)
        go_on.set()
        first.join()
    assert area.offset(upload) == 10


def test_a_part_after_its_upload_was_removed_leaves_nothing(tmp_path: Path):
    area = Uploads(str(tmp_path), MANY)
    gone, done = area.begin("a.mp4", 100), area.begin("b.mp4", 10)
    area.remove(gone)
    with pytest.raises(Missing):
        area.append(gone, 0, b"x" * 50)
    area.append(done, 0, b"x" * 10)
    area.finish(done)
    with pytest.raises(WrongOffset):
        area.append(done, 0, b"x" * 5)
    left = tmp_path / uploads.PARTS / f"{gone.upload_id}.part"
    left.write_bytes(b"x")  # by a process that was stopped in between
    area.begin("c.mp4", 5)
    assert not left.exists()


def test_an_area_may_be_named_by_a_file_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    area = Uploads(f"file://{tmp_path}/area", MANY)
    upload = area.begin("a.mp4", 5)
    area.append(upload, 0, b"12345")
    assert Path(area.finish(upload)).read_bytes() == b"12345"
    assert [p.name for p in tmp_path.iterdir()] == ["area"]


def test_few_hashes_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploads, "MOST_HASHES", 1)
    area = Uploads(str(tmp_path), MANY)
    read: list[str] = []
    monkeypatch.setattr(area._blobs, "sha256", lambda path: read.append(path) or "read")
    first, second = area.begin("a.mp4", 5), area.begin("b.mp4", 5)
    for upload in (first, second):
        area.append(upload, 0, b"12345")
    assert area.sha256(second) == hashlib.sha256(b"12345").hexdigest()
    assert (area.sha256(first), len(read)) == ("read", 1), "of the older one the file is read"


class Parts:
    """S3's parts of one upload: a part replaces an earlier one with its number."""

    def __init__(self) -> None:
        self.made: dict[int, bytes] = {}
        self.listed: list[int] = []

    def call(self, operation: str, upload: Upload, **more: Any) -> dict[str, Any]:  # noqa: ARG002
        if operation == "list_parts":  # in pages of two
            self.listed.append(more["PartNumberMarker"])
            behind = [n for n in sorted(self.made) if n > more["PartNumberMarker"]]
            return {
                "Parts": [{"PartNumber": n, "Size": len(self.made[n]), "ETag": str(n)} for n in behind[:2]],
                "IsTruncated": len(behind) > 2,
                "NextPartNumberMarker": behind[1] if len(behind) > 2 else 0,
            }
        if operation == "upload_part":
            self.made[more["PartNumber"]] = more["Body"]
        if operation == "complete_multipart_upload":
            assert [part["PartNumber"] for part in more["MultipartUpload"]["Parts"]] == sorted(self.made)
        return {}


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    """Parts of S3 may be of four bytes."""
    monkeypatch.setattr(uploads, "S3_PART_BYTES", 4)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    return 4


def on_s3(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Uploads:
    area = Uploads("s3://bucket/area", MANY)
    monkeypatch.setattr(area, "_call", parts.call)
    monkeypatch.setattr(area, "is_finished", lambda _: False)
    return area


def test_a_part_that_arrives_on_s3_late_replaces_itself(small_parts: int, monkeypatch: pytest.MonkeyPatch):
    parts, data = Parts(), os.urandom(4 * small_parts + 3)
    area, slow = on_s3(parts, monkeypatch), on_s3(parts, monkeypatch)
    upload = Upload(upload_id="0" * 32, name="a.mp4", size_bytes=len(data), begun_s=0.0, multipart_id="m")
    listed, go_on = threading.Event(), threading.Event()

    def late(operation: str, upload: Upload, **more: Any) -> dict[str, Any]:
        if operation == "upload_part":
            listed.set()
            assert go_on.wait(10)
        return parts.call(operation, upload, **more)

    monkeypatch.setattr(slow, "_call", late)
    first = threading.Thread(target=slow.append, args=(upload, 0, data[:small_parts]))
    first.start()
    assert listed.wait(10)
    with pytest.raises(BadInput):
        area.append(upload, 0, data[: small_parts + 1])
    assert area.append(upload, 0, data[:small_parts]) == small_parts
    assert area.append(upload, small_parts, data[small_parts : 2 * small_parts]) == 2 * small_parts
    go_on.set()
    first.join()
    for offset in range(area.offset(upload), len(data), small_parts):
        area.append(upload, offset, data[offset : offset + small_parts])
    area.finish(upload)
    assert b"".join(parts.made[n] for n in sorted(parts.made)) == data


def test_many_parts_on_s3_are_listed_in_pages_and_not_with_each_part(small_parts: int, monkeypatch: pytest.MonkeyPatch):
    parts, data = Parts(), os.urandom(7 * small_parts)
    area = on_s3(parts, monkeypatch)
    upload = Upload(upload_id="0" * 32, name="a.mp4", size_bytes=len(data), begun_s=0.0, multipart_id="m")
    for offset in range(0, len(data), small_parts):
        area.append(upload, offset, data[offset : offset + small_parts])
    assert parts.listed == [0, 0, 1, 2, 3, 4, 5], "one page each"
    assert area.offset(upload) == len(data)
    with pytest.raises(WrongOffset) as refused:
        area.append(upload, 3 * small_parts, data[:small_parts])
    assert refused.value.offset == len(data)
    with pytest.raises(WrongOffset):
        area.append(upload, 3, data[:small_parts])


@pytest.mark.usefixtures("s3")
def test_a_file_on_s3_has_ten_thousand_parts_at_most():
    area = Uploads("s3://bucket/large", uploads.S3_PARTS * uploads.PART_BYTES)
    for size in (1, 50 * 10**9, 52_428_800_001, uploads.S3_PARTS * uploads.PART_BYTES):
        least, most = area.part_bytes(Upload(upload_id="", name="", size_bytes=size, begun_s=0.0))
        assert least == most <= uploads.PART_BYTES
        assert size <= uploads.S3_PARTS * most
    with pytest.raises(BadInput, match="cannot be uploaded to S3"):
        Uploads("s3://bucket/large", uploads.S3_PARTS * uploads.PART_BYTES + 1)


def test_a_damaged_record_is_no_upload(tmp_path: Path):
    area = Uploads(str(tmp_path), MANY)
    upload = area.begin("a.mp4", 100)
    (tmp_path / uploads.PARTS / f"{upload.upload_id}.json").write_text("{")
    with pytest.raises(Missing):
        area.find(upload.upload_id)
    area.begin("b.mp4", 100)


def test_other_stores_are_refused():
    with pytest.raises(BadInput, match="cannot be uploaded"):
        Uploads("memory://area", MANY)
