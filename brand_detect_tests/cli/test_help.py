"""The help of every command: in words, with an example, and readable at 80 columns."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from brand_detect.cli import app

WITHOUT_EXAMPLE = ("demo",)
"""It takes nothing."""


def commands(group: Any, *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group by its words."""
    yield above, group
    if isinstance(group, TyperGroup):
        for name, inner in group.commands.items():
            yield from commands(inner, *above, name)


ALL = dict(commands(typer.main.get_command(app)))
SINGLE = {words: command for words, command in ALL.items() if not isinstance(command, TyperGroup)}


def page(*words: str) -> list[str]:
    shown = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}).invoke(app, [*words, "--help"])
    assert shown.exit_code == 0
    return shown.stdout.splitlines()


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_a_page_is_in_words(words: tuple[str, ...]):
    lines = page(*words)
    assert "<" not in "".join(lines).replace("<=x<=", "")
    assert max(map(len, lines)) <= 80
    for line in ALL[words].help.splitlines()[1:]:  # the first may wrap; these are written as they will be shown
        assert len(line.removeprefix("    ")) <= 78
        assert line.strip() in "\n".join(lines)


@pytest.mark.parametrize("words", SINGLE, ids=" ".join)
def test_a_command_has_an_example_and_says_what_its_params_mean(words: tuple[str, ...]):
    command = SINGLE[words]
    assert words[0] in WITHOUT_EXAMPLE or f"brand-detect {' '.join(words)}" in command.help
    for param in command.params:
        assert param.help, param.name
        assert param.metavar or getattr(param, "is_flag", False), param.name


def test_the_first_page_shows_daily_commands_first_on_one_screen():
    lines = page()
    assert len(lines) <= 50
    text = "\n".join(lines)
    assert text.index("Every day") < text.index("Occasional") < text.index("Groups of commands")
    for (name, *inner), _ in list(commands(typer.main.get_command(app)))[1:]:
        assert inner or sum(line.split()[1:2] == [name] for line in lines) == 1, name


def test_the_version_is_printed():
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"brand-detect {version('brand_detect')}\n")
