"""Shared by the benchmarks: a job's result, and tables for the console, for pages and as data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import LINE, STAGES
from brand_detect.domain.records import Payload

if TYPE_CHECKING:
    from brand_detect.orchestration.run import JobRun

MIB = 2**20


@dataclass(frozen=True)
class RunResult:
    """One finished job: payload and seconds of each stage, and the bytes of its checkpoints."""

    payloads: Mapping[str, Payload]
    seconds: Mapping[str, float]
    store_bytes: int

    @property
    def duration_s(self) -> float:
        """Length of the sampled range, in seconds."""
        extracted = self.payloads["extract_frames"]
        assert isinstance(extracted, ExtractedFrames)
        return extracted.end_s - extracted.start_s


RunVideo = Callable[[Path, Overrides], RunResult]
"""Runs one video with overrides on the default profile."""


def result_of(job: "JobRun") -> RunResult:
    """The facts about a finished job that benchmarks need."""
    payloads = {stage: value for stage in STAGES if isinstance(value := job.load(stage), Payload)}
    return RunResult(
        payloads,
        {stage: job.manifest(stage).stage_s for stage in LINE},
        sum(job.store.size_bytes(job.ref(stage)) for stage in LINE),
    )


@dataclass(frozen=True)
class Section:
    """One table of the benchmark. The first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    in_console: bool = True  # else it is for JSON alone

    def table(self) -> Table:
        """The table for the console, figures to three digits; in Markdown, so that a page can take it as it is."""
        table = Table(title=self.title, box=box.MARKDOWN)
        for k, name in enumerate(self.columns):
            table.add_column(name, justify="right" if k else "left")
        for row in self.rows:
            table.add_row(*(cell if isinstance(cell, str) else _figure(cell) for cell in row))
        return table

    def to_json(self) -> dict[str, Any]:
        """As plain values, one mapping per row."""
        return {"title": self.title, "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows]}


def _figure(value: float) -> str:
    """A figure with three digits; whole numbers in full."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
