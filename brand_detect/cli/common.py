"""Shared by all commands: consoles, common options, and parsing of overrides."""

import errno
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperArgument, TyperCommand, TyperGroup
from typer.models import CommandFunctionType

from brand_detect.domain.contracts import check_overrides
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import Overrides
from brand_detect.domain.settings import Settings

out = Console()
err = Console(stderr=True)
TRACEBACK = "BRAND_DETECT_TRACEBACK"
"""Environment variable that shows the traceback of an error."""

FOUND = 6
"""Exit code of a check that found something."""

VideoArg = Annotated[str, typer.Argument(metavar="VIDEO", help="a file, or a URI within BRAND_DETECT_MEDIA_ROOTS")]
JobArg = Annotated[str, typer.Argument(metavar="JOB", help="the job's id")]
JobsArg = Annotated[list[str] | None, typer.Argument(metavar="JOB", help="default: all jobs", show_default=False)]
NewJobOpt = Annotated[
    str | None,
    typer.Option("--job-id", metavar="JOB", help="the job's id; default: the file's name and its content's hash"),
]
AttemptOpt = Annotated[
    str,
    typer.Option(metavar="ATTEMPT", help="a report of the job, or a prefix of its id; default: the newest"),
]
ProfileOpt = Annotated[
    str, typer.Option(metavar="PROFILE", help="params to start from: default, fast, soccer_broadcast or fixed_camera")
]
SetOpt = Annotated[
    list[str],
    typer.Option("--set", metavar="STAGE.PARAM=VALUE", help="override this param; repeatable"),
]
JsonOpt = Annotated[bool, typer.Option("--json", help="print data as JSON")]


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _in_words(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.Abort as e:  # Typer's for Ctrl-C and for the end of the input, at a question; it would exit with 1
            err.print()
            if isinstance(e.__context__, KeyboardInterrupt):
                raise typer.Exit(130) from None
            hint = "earlier answers are kept; --help lists options that need no answer"
            raise BadInput("The input ended before the question was answered.", hint) from None


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _in_words(super().get_params(ctx))


def _in_words(params: list[Any]) -> list[Any]:
    """``params`` without ``<str>`` next to an argument's name and ``<bool>`` next to a switch in the help."""
    for param in params:
        if isinstance(param, TyperArgument) or param.is_flag:
            param.display_type_rich = lambda ctx: None  # noqa: ARG005
    return params


class Commands(typer.Typer):
    """A group of commands."""

    def __init__(self, about: str) -> None:
        super().__init__(
            cls=_Group,
            help=about,
            no_args_is_help=True,
            pretty_exceptions_enable=False,
            rich_markup_mode="rich",
            add_completion=False,
        )

    def command(self, name: str | None = None, **options: Any) -> Callable[[CommandFunctionType], CommandFunctionType]:
        return super().command(name, cls=_Command, **options)


class _Yaml(yaml.SafeLoader):
    """Without YAML 1.1's ``on``, ``off``, ``yes`` and ``no``."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Yaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))


def overrides_of(settings: list[str]) -> Overrides:
    """``["stage.param=value"]`` as overrides; values are read as YAML 1.2, where ``off`` is a word.

    Raises:
        BadInput: malformed, or not valid for the stage.
    """
    overrides: Overrides = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        stage, dot, param = name.partition(".")
        if not (equals and dot and param):
            raise BadInput(
                f"{setting!r} is not an override.", "write stage.param=value, as in run_ocr.engine=tesseract"
            )
        overrides.setdefault(stage, {})[param] = read_value(name, value)
    return check_overrides(overrides)


def read_value(name: str, value: str) -> Any:
    """``value`` of the param ``name`` as YAML 1.2 reads it.

    Raises:
        BadInput: it is not YAML.
    """
    try:
        return yaml.load(value, _Yaml)
    except yaml.YAMLError as e:
        raise BadInput(f"{name}: {value!r} is not valid YAML.", "quote special characters") from e


def plain(text: str) -> str:
    """``text`` for rich to print literally: without markup and without control characters for the terminal."""
    return escape("".join(letter if letter.isprintable() else "�" for letter in text))


def check_writable(file: Path) -> None:
    """For a command that writes ``file`` after long work, to be refused before it.

    Raises:
        BadInput: the file cannot be written.
    """
    folder = file.absolute().parent
    try:
        if file.is_dir():
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not folder.is_dir():
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if not os.access(file if file.exists() else folder, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as e:
        raise BadInput(f"{file} cannot be written: {e.strerror}.", "name a file in an existing folder") from e


def write_page(page: Path, text: str) -> None:
    """
    Raises:
        BadInput: the file cannot be written.
    """
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as e:
        raise BadInput(f"{page} cannot be written: {e.strerror}.", "name a file in an existing folder") from e


def local_time(at_s: float) -> str:
    """An instant in the local time zone, without the date if it is today."""
    at = datetime.fromtimestamp(at_s).astimezone()
    return at.strftime("%H:%M:%S" if at.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M")


def brand_table(brands: Sequence[Mapping[str, Any]], title: str = "Brands on screen") -> Table:
    """The brands of a report, by time on screen, longest first."""
    table = Table(title=title if brands else f"{title}: none found")
    for name, right in (("brand", False), ("seconds", True), ("share of voice", True), ("exposures", True)):
        table.add_column(name, justify="right" if right else "left")
    table.add_column("first", justify="right")
    table.add_column("mean area", justify="right")
    for row in sorted(brands, key=lambda b: -b["seconds"]):
        table.add_row(
            plain(row["brand"]),
            f"{row['seconds']:.1f}",
            f"{row['share_of_voice']:.0%}",
            str(row["n_exposures"]),
            f"{row['first_s']:.1f} s",
            f"{row['area_frac_mean']:.2%}",
        )
    return table


def settings_at_home() -> Settings:
    """The settings for a command that may also run where there is no home; paths are relative to it if there is."""
    with suppress(BadInput):
        home()
    return Settings.load()


def home() -> Path:
    """``DAGSTER_HOME``; by default the checkout."""
    named = os.environ.get("DAGSTER_HOME")
    if not named:
        checkout = Path(__file__).resolve().parents[2]
        if not (checkout / "dagster.yaml").is_file():
            raise BadInput("DAGSTER_HOME is not set.", "set it to a folder with a dagster.yaml, such as the checkout")
        named = os.environ["DAGSTER_HOME"] = str(checkout)
    if not (Path(named) / "dagster.yaml").is_file():  # without it Dagster would send telemetry
        raise BadInput(f"DAGSTER_HOME is {named}, which has no dagster.yaml.", "copy the checkout's dagster.yaml there")
    named = os.environ["DAGSTER_HOME"] = str(Path(named).resolve())
    return Path(named)
