from pathlib import Path

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
