"""Faults of stores as sentences, with the errors that real drivers raise; and addresses with secrets."""

import errno
from pathlib import Path

import botocore.exceptions
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from brand_detect.domain.errors import BadInput, BrandDetectError, Permanent, Transient
from brand_detect.storage.faults import check_address, explained
from brand_detect.storage.media import MediaFiles
from brand_detect.storage.store import Store
from brand_detect_tests.support.checkpoints import FACTS, REF, SCENES


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (botocore.exceptions.NoCredentialsError(), Permanent),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="http://nowhere"), Transient),
        (PermissionError("AccessDenied"), Permanent),
        (FileNotFoundError("The specified bucket does not exist"), Permanent),
        (OSError(errno.ENOSPC, "No space left on device"), Transient),
        (TimeoutError(), Transient),
    ],
)
def test_faults_of_stores_become_sentences(fault: Exception, kind: type[BrandDetectError]):
    with pytest.raises(kind, match=r"^x could not be read: .+\.$") as error, explained("x could not be read"):
        raise fault
    assert error.value.hint
    assert error.value.__cause__ is fault


def test_faults_of_the_program_stay_what_they_are():
    with pytest.raises(KeyError), explained("x could not be read"):
        raise KeyError("a mistake in the code")


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store on the network whose every call fails as S3 does without credentials."""

    def fail(*_: object, **__: object) -> None:
        raise botocore.exceptions.NoCredentialsError

    for call in ("info", "ls", "cat_file", "pipe_file", "_open", "open"):
        monkeypatch.setattr(MemoryFileSystem, call, fail)


@pytest.mark.usefixtures("unreachable")
def test_every_call_of_the_store_explains_its_faults():
    store = Store("memory://bucket/store")
    for call in (
        lambda: store.exists(REF),
        lambda: store.begin(REF),
        lambda: store.manifest(REF),
        lambda: store.load(REF),
        lambda: store.attempts("match", "filter_scenes"),
        lambda: store.snapshots.has("v1"),
        lambda: store.snapshots.read("v1"),
        lambda: store.snapshots.add("v1", b""),
    ):
        with pytest.raises(Permanent, match="Unable to locate credentials"):
            call()
    with (
        pytest.raises(Permanent, match="Unable to locate credentials"),
        MediaFiles(["memory://bucket"]).open("memory://bucket/x.mp4"),
    ):
        pass


@pytest.mark.parametrize("call", ["read", "seek"])
def test_a_video_that_breaks_off_while_it_is_read_may_be_tried_again(monkeypatch: pytest.MonkeyPatch, call: str):
    MemoryFileSystem().pipe_file("/bucket/x.mp4", b"video")

    def fail(*_: object) -> None:
        raise botocore.exceptions.EndpointConnectionError(endpoint_url="http://nowhere")

    with MediaFiles(["memory://bucket"]).open("memory://bucket/x.mp4") as file:
        assert file.read(2) == b"vi"
        monkeypatch.setattr(MemoryFile, call, fail)
        with pytest.raises(Transient, match=r"x\.mp4 could not be read: Could not connect"):
            getattr(file, call)(1)


def test_what_else_fails_while_a_video_is_open_is_not_its_fault(tmp_path: Path):
    (tmp_path / "x.mp4").write_bytes(b"video")
    with pytest.raises(OSError, match="No space left"), MediaFiles([str(tmp_path)]).open(str(tmp_path / "x.mp4")):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("name", ["manifest.json", "value.json", "shots.parquet"])
def test_damaged_files_are_a_sentence(tmp_path: Path, name: str):
    store = Store(str(tmp_path))
    store.begin(REF).commit(SCENES, **FACTS)
    (tmp_path / REF.path / name).write_bytes(b"{" * 20)
    with pytest.raises(Permanent, match="The checkpoint match/filter_scenes/run-0 is damaged"):
        store.manifest(REF) if name == "manifest.json" else store.load(REF)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIA:hunter2@bucket/x.mp4",
        "s3://AKIA:hun/ter2@bucket/x.mp4",
        "sftp://user:hunter2@host/x.mp4",
        "https://host/x.mp4?token=hunter2",
        "simplecache::https://user:hunter2@host/x.mp4",
        "s3://[hunter2/x.mp4",
    ],
)
def test_addresses_with_secrets_are_refused_and_not_repeated(uri: str):
    for call in (check_address, MediaFiles(["s3://bucket", "https://host"]).check, Store):
        with pytest.raises(BadInput) as error:
            call(uri)
        assert "ter2" not in error.value.full
        assert error.value.hint


@pytest.mark.parametrize(
    "uri",
    ["s3://bucket/a@b?.mp4", "sftp://user@host:22/x.mp4", "abfs://box@account.net/x", "/home/a:b@c/x?.mp4", "a::b"],
)
def test_addresses_without_secrets_pass(uri: str):
    assert check_address(uri) == uri
