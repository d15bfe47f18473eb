"""What the checks of ``brand-detect doctor`` read and find."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from brand_detect.cli.common import home
from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import Image, Label
from brand_detect.domain.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

OK, WARN, FAIL, OFF = "ok", "warn", "fail", "off"
WORD = "SPONSOR"


@dataclass(frozen=True)
class Finding:
    """One line: ``ok``, ``warn``, ``fail``, or ``off`` if there is nothing to check."""

    name: str
    state: str
    text: str
    todo: str = ""


class Installation:
    """Shared inputs of the checks, each loaded on first use."""

    def __init__(self, *, served: bool) -> None:
        self.down = FAIL if served else WARN
        """State of a service that is not running."""
        self._open = ExitStack()

    def __enter__(self) -> "Installation":
        self._open.callback(os.chdir, Path.cwd())
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def settings(self) -> Settings:
        with suppress(BadInput):  # reported by the check of the home, which is also the store's default location
            home()
        return Settings.load()

    @cached_property
    def instance(self) -> "dg.DagsterInstance":
        import dagster as dg

        os.chdir(home())  # dagster.yaml's folders are relative to it
        return self._open.enter_context(dg.DagsterInstance.get())

    @cached_property
    def word(self) -> Image:
        """A rendered word."""
        import numpy as np

        from brand_detect.engines.canvas import OpenCvCanvas

        paper = np.full((720, 1280, 3), 255, np.uint8)
        return OpenCvCanvas().draw(paper, [Label(300, 280, WORD, 120, (0, 0, 0))])


@dataclass(frozen=True)
class Check:
    name: str
    look: Callable[[Installation], Iterator[Finding]]
    needs: tuple[str, ...] = ()
    """Checks that must pass before this one can run."""
