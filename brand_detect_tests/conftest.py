"""Fixtures that every test may use."""

from collections.abc import Callable
from pathlib import Path

import pytest

from brand_detect import cli

Ended = tuple[int, str, str]
"""What a command comes to: exit code, stdout, stderr."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite the expected files instead of comparing with them")


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
