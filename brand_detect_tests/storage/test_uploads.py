"""Uploads in a folder and on S3: parts, resumption, and what is swept away."""

import os
from pathlib import Path

import pytest

from brand_detect.domain.errors import BadInput, Transient
from brand_detect.storage import uploads
from brand_detect.storage.faults import Missing
from brand_detect.storage.uploads import S3_PART_BYTES, Uploads, WrongOffset

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
    import hashlib

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


def test_what_broke_off_days_ago_is_swept_away_and_what_was_finished_stays(
    place: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
):
    uri, folder = place
    area = Uploads(uri, MANY)
    old, done = area.begin("old.mp4", 100), area.begin("done.mp4", 50)
    area.append(done, 0, os.urandom(50))
    area.finish(done)
    now = uploads.time.time()
    monkeypatch.setattr(uploads.time, "time", lambda: now + uploads.EXPIRES_S + 60)
    new = area.begin("new.mp4", 100)
    with pytest.raises(Missing):
        area.find(old.upload_id)
    assert area.find(new.upload_id) == new
    assert files(folder) == ["done.mp4"]


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
    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(BadInput, match="room for 1000 bytes"):
        area.begin("b.mp4", 1001)


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
