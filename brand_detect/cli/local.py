"""For commands that work in this process: the Dagster instance of ``DAGSTER_HOME``, a runner, progress bars."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from brand_detect.cli.common import TRACEBACK, err, home
from brand_detect.domain.protocols import Answerer
from brand_detect.domain.protocols import Progress as ProgressReport
from brand_detect.domain.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from brand_detect.orchestration.resources import Services
    from brand_detect.orchestration.run import Runner


@contextmanager
def local_runner(*videos: str, answerer: Answerer | None = None, **settings: Any) -> Iterator["Runner"]:
    """A ``Runner`` on the instance of ``DAGSTER_HOME``, with progress bars on stderr.

    ``videos``, named by the user who runs this, may be read by this process even outside the media roots.
    ``answerer`` replaces the model of every escalation that is on.
    """
    with local_instance(*videos, **settings) as (instance, services):
        if answerer is not None:
            engines = replace(
                services.engines, answerer=lambda _, params: answerer if params.provider.value != "off" else None
            )
            services = replace(services, engines=engines)
        from brand_detect.definitions import build_definitions
        from brand_detect.orchestration.run import Runner

        yield Runner(build_definitions(services=services), services, instance)


@contextmanager
def local_instance(*videos: str, **settings: Any) -> Iterator[tuple["dg.DagsterInstance", "Services"]]:
    """The instance of ``DAGSTER_HOME`` and the services of the settings, with progress bars on stderr.

    ``settings`` override those of the environment.
    """
    at_home, here = home(), Path.cwd()
    read = Settings.load()
    folders = {str(Path(video).parent) for video in videos if "://" not in video}
    used = read.model_copy(update={"media_roots": (*read.media_roots, *sorted(folders)), **settings})
    import dagster as dg

    from brand_detect.orchestration.database import database_explained
    from brand_detect.orchestration.resources import Services

    os.chdir(at_home)  # dagster.yaml's folders are relative to it
    try:
        with database_explained(), Bars() as bars, _unsaid(), dg.DagsterInstance.get() as instance:
            yield instance, Services.of(used, progress=bars.stage)
    finally:
        os.chdir(here)


class _FilteredStderr:
    """A stream that drops Dagster's messages about a failing database: the error has it in one sentence."""

    DATABASE = ("Exception while writing logger call to event log", "WARNING:root:Retrying failed database connection")

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith(self.DATABASE) else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _unsaid() -> AbstractContextManager[object]:
    return nullcontext() if os.environ.get(TRACEBACK) else redirect_stderr(cast("TextIO", _FilteredStderr(sys.stderr)))


class Bars:
    """One progress bar per stage, on stderr. A stage ends when the next one begins."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<15}"),
            BarColumn(),
            TextColumn("{task.fields[text]:<28}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=err,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        self._end(failed is None)
        self._progress.stop()

    def stage(self, stage: str, _log: logging.Logger) -> ProgressReport:
        """Begin the bar of ``stage`` and return the function that advances it."""
        self._end(True)
        task = self._task = self._progress.add_task(stage, total=None, text="")

        def report(done: float, total: float, unit: str) -> None:
            of = f" of {total:.0f}" if total else ""
            self._progress.update(task, completed=done, total=total or None, text=f"{done:.0f}{of} {unit}")

        return report

    def _end(self, done: bool) -> None:
        if self._task is not None and done:
            self._progress.update(self._task, total=1, completed=1)
