"""Fixtures that every test may use."""

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from brand_detect_tests.support.servers import s3_server
from brand_detect_tests.support.site import sitecustomize

# Set before anything loads NumPy or torch, and inherited by processes that tests start: tests run beside each other on
# all cores, where threads that spin while they wait for each other cost more than the tests' small models.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Processes that tests start import it at their start.
os.environ["PYTHONPATH"] = f"{Path(sitecustomize.__file__).parent}:{os.environ.get('PYTHONPATH', '')}"

settings.register_profile("default", deadline=None)  # other tests run beside each example
settings.load_profile("default")

CHECKOUT = Path(__file__).parents[1]

Ended = tuple[int, str, str]
"""What a command comes to: exit code, stdout, stderr."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite the expected files instead of comparing with them")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, for others to fill in for them: a real Dagster, browsers, then those of the whole."""
    here = Path(__file__).parent
    items.sort(key=lambda i: (i.path.parent.name != "e2e", "browser" not in i.path.stem, i.path.parent != here))


@pytest.fixture(scope="session", autouse=True)
def _temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One for each test runner: servers clean up what they find there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One for all test runners: the checkout's keeps the networks that are compiled, and no lists of tests."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "home"
    (home / ".state").mkdir(parents=True, exist_ok=True)
    (CHECKOUT / ".state" / "compiled").mkdir(mode=0o700, parents=True, exist_ok=True)
    for kept in ("dagster.yaml", ".state/compiled"):
        with suppress(FileExistsError):
            (home / kept).symlink_to(CHECKOUT / kept)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        yield


@pytest.fixture(scope="session", autouse=True)
def _certificates() -> Iterator[None]:
    """Read once by each test runner: every HTTP client reads them anew, which takes 20 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compares a text with an expected file, or writes that file under ``--golden``."""

    def check(path: Path, text: str) -> None:
        if request.config.getoption("--golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing; `make golden` writes it"
        assert text == path.read_text(encoding="utf-8"), f"{path} is out of date; `make golden` rewrites it"

    return check


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs ``brand-detect`` with these arguments in this process."""
    from brand_detect import cli  # with NumPy

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["brand-detect", *arguments])
        try:
            cli.main()
            code = 0
        except SystemExit as e:
            code = int(e.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder behind ``s3://``; its folders are buckets. The environment points every S3 client to it."""
    folder = tmp_path_factory.mktemp("s3")
    (folder / "bucket").mkdir()
    with s3_server(folder) as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield folder
