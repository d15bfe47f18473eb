"""Processes that run videos for a benchmark: with this checkout or an earlier one, and with variables of their own."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from brand_detect.domain.errors import Permanent
from brand_detect.domain.job import Overrides
from brand_detect.domain.tables import Row
from brand_detect.evaluation.benchmarks.sampling import decode_to_nothing, timed

HERE = Path(__file__).parents[3]
"""The checkout of this module."""
DRIVER = Path(__file__).with_name("driver.py")
HUNG_S, HUNG_SHARE = 900, 10
"""A run that takes longer than 15 minutes plus ten times the video's duration is killed."""


@dataclass(frozen=True)
class Run:
    """One finished run of a video."""

    duration_s: float
    wall_s: float
    cpu_s: float
    stage_s: Mapping[str, float] = field(default_factory=dict)
    peak_bytes: Mapping[str, int] = field(
        default_factory=dict
    )  # of resident memory, by stage; "start": before the first
    state_bytes: int = 0  # of the job's checkpoints
    frame_bytes: int = 0  # of these, of sampled frames
    frame_repeats: int = 0  # frames stored as repeats of an earlier one
    frame_requests: int = 0  # ranged reads, which are those of frames; on S3, each is one request
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # rows per table, by stage
    stats: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    engines: Mapping[str, str] = field(default_factory=dict)  # with precision
    exposures: Sequence[Row] = ()
    startup_s: float = 0.0  # of its process, up to the report of a short video

    @property
    def wall_share(self) -> float:
        return self.wall_s / self.duration_s

    @property
    def state_mb_per_minute(self) -> float:
        return self.state_bytes / 1e6 / (self.duration_s / 60)

    @property
    def peak(self) -> int:
        """Peak resident memory, in bytes."""
        return max(self.peak_bytes.values())


class Videos(Protocol):
    """Runs videos."""

    def run(self, video: Path, profile: str, overrides: Overrides, duration_s: float) -> Run:
        """
        Raises:
            BrandDetectError: the run failed; a next one may succeed.
        """
        ...

    def close(self) -> None:
        """Free what it holds; it can be used again."""
        ...


class Worker:
    """Runs videos in one process, which has loaded and compiled the models of the same params before.

    It begins with the first video, and again after a crash or ``close``. State lies in ``home``, which is removed with
    the process, so that runs neither find nor leave anything.

    Args:
        home: the process's ``DAGSTER_HOME``.
        videos: those that it may be asked to run.
        warm_up: the short video that is run first, once with each profile and overrides.
        checkout: the code that runs.
        variables: environment variables besides those of this process.
    """

    def __init__(
        self,
        home: Path,
        videos: Sequence[Path],
        warm_up: Path,
        checkout: Path = HERE,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._home, self._warm_up, self._checkout = home, warm_up, checkout
        self._command = [*python(checkout), str(DRIVER), *map(str, (warm_up, *videos))]
        self._variables = dict(variables or {})
        self._process: subprocess.Popen[str] | None = None
        self._warm: set[str] = set()  # the params that have run the short video
        self._startup_s = 0.0

    def run(self, video: Path, profile: str, overrides: Overrides, duration_s: float) -> Run:
        began = time.perf_counter()
        process = self._process = self._process or self._started()
        params = json.dumps([profile, overrides])
        if params not in self._warm:
            self._ask(process, self._warm_up, profile, overrides, 0)
            self._startup_s = self._startup_s if self._warm else time.perf_counter() - began
            self._warm.add(params)
        return replace(self._ask(process, video, profile, overrides, duration_s), startup_s=self._startup_s)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
            self._warm.clear()
        shutil.rmtree(self._home, ignore_errors=True)

    def _started(self) -> subprocess.Popen[str]:
        env = environment(self._checkout, self._home) | self._variables
        with self._home.with_suffix(".log").open("a") as log:
            return subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=env
            )

    def _ask(
        self, process: subprocess.Popen[str], video: Path, profile: str, overrides: Overrides, duration_s: float
    ) -> Run:
        assert process.stdin
        assert process.stdout
        asked = {"video": str(video), "profile": profile, "overrides": overrides}
        hung = threading.Timer(HUNG_S + HUNG_SHARE * duration_s, process.kill)
        hung.start()
        try:
            with suppress(BrokenPipeError):  # it has died: no answer comes either
                process.stdin.write(json.dumps(asked) + "\n")
                process.stdin.flush()
            answer = process.stdout.readline()
        finally:  # Ctrl-C among the reasons
            hung.cancel()
        if not answer:
            code = process.wait()
            self.close()
            raise Permanent(f"The process ended with code {code}.", f"its log: {self._home.with_suffix('.log')}")
        found: dict[str, Any] = json.loads(answer)
        if "error" in found:
            raise Permanent(found["error"], f"its log: {self._home.with_suffix('.log')}")
        return Run(**found)


class Ffmpeg:
    """Decodes videos to nothing: the floor below every pipeline that sees all pictures."""

    def run(self, video: Path, profile: str, overrides: Overrides, duration_s: float) -> Run:  # noqa: ARG002
        return Run(duration_s, *decode_to_nothing(video))

    def close(self) -> None:
        pass


def first_reports(home: Path, video: Path, checkout: Path = HERE, runs: int = 3) -> dict[str, float]:
    """Seconds of ``brand-detect run`` from the command to its end: without any state, and again with what that left.

    Medians of ``runs`` times both.
    """
    env = environment(checkout, home)
    command = [*python(checkout), "-m", "brand_detect.cli", "run", str(video)]
    first, second = [], []
    for _ in range(runs):
        shutil.rmtree(home)
        environment(checkout, home)
        first.append(timed(command, video, env))
        second.append(timed(command, video, env))
    shutil.rmtree(home)
    return {
        f"{name} time, {kind} s": median(getattr(done, f"{kind}_s") for done in times)
        for name, times in (("first", first), ("second", second))
        for kind in ("wall", "cpu")
    }


def python(checkout: Path) -> list[str]:
    """The interpreter of ``checkout``, which finds nothing in the folder of its script."""
    own = checkout / ".venv" / "bin" / "python"
    return [str(own) if own.exists() else sys.executable, "-P"]


def environment(checkout: Path, home: Path) -> dict[str, str]:
    """Variables for the code of ``checkout`` with its state in ``home``, which is made."""
    home.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # an installed package has none
        shutil.copy(checkout / "dagster.yaml", home)
    kept = {name: value for name, value in os.environ.items() if name != "BRAND_DETECT_STORE_ROOT"}
    return kept | {"PYTHONPATH": str(checkout), "DAGSTER_HOME": str(home)}
