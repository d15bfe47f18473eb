"""The benchmark, one function per table: speed, the price of reading fewer frames, sampling, and memory.

Every column names its unit. Clips are generated, so that everybody gets the same; your own labelled clips
can be added.
"""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from rich.table import Table

from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import LINE, STAGES
from brand_detect.domain.records import Payload
from brand_detect.evaluation.benchmarks.sampling import measure_sampling
from brand_detect.evaluation.scoring.score import ClipLabels, labels_of_truth, score, totals
from brand_detect.evaluation.synthetic.footage import Scenario, sample_once
from brand_detect.storage.store import Store

if TYPE_CHECKING:
    from brand_detect.orchestration.run import JobRun

TWO_MINUTES = Scenario(seconds=120, width_px=1920, height_px=1080)
TWENTY_MINUTES = Scenario(seconds=120, width_px=1920, height_px=1080, repeats=10)

IN_FULL: Overrides = {
    "filter_scenes": {"hamming_threshold": 0},
    "detect_objects": {"search_every": 1},
    "run_ocr": {"max_crops": 20, "stop_confidence": 1.0},
}
"""Reads every sampled frame in full: only frames with equal hashes are duplicates, text is detected on each frame
anew, and up to 20 crops of every track are read, however certain the first one was."""

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
    """The facts about a finished job that the benchmark needs."""
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
    rows: Sequence[tuple[str | float, ...]]

    def table(self) -> Table:
        """The table for the console, figures to three digits."""
        table = Table(title=self.title)
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


@dataclass(frozen=True)
class Measured:
    """A run and its cost."""

    video: Path
    result: RunResult
    wall_s: float
    frame_requests: int = 0
    """How often stages read frames from the store; on S3, each is one request."""

    @property
    def wall_share(self) -> float:
        return self.wall_s / self.result.duration_s

    def per_frame(self, stat: str) -> float:
        """A figure of ``detect_objects`` per sampled frame."""
        scenes, detected = self.result.payloads["filter_scenes"], self.result.payloads["detect_objects"]
        return detected.stats[stat] / max(1, scenes.counts()["timeline"])

    @property
    def lines_read(self) -> float:
        return self.result.payloads["run_ocr"].stats["lines_read"]

    @property
    def lines_per_track(self) -> float:
        return self.lines_read / max(1, self.result.payloads["detect_objects"].counts()["tracks"])


def measured(run: RunVideo, video: Path, overrides: Overrides) -> Measured:
    """Run ``video``, measure the time and count the ranged reads, which are those of frames."""
    with patch.object(Store, "read_part", autospec=True, side_effect=Store.read_part) as read_part:
        start = time.perf_counter()
        result = run(video, overrides)
        wall_s = time.perf_counter() - start
    return Measured(video, result, wall_s, sum(len(call.args) > 3 for call in read_part.call_args_list))


def speed(runs: Sequence[Measured]) -> Section:
    """Wall time relative to the video's duration, the work done, and the checkpoints' size."""
    columns = (
        "clip",
        "duration s",
        "wall s",
        "wall / duration",
        "detector calls / sampled frame",
        "pictures searched / sampled frame",
        "lines read / track",
        "state MiB / video minute",
    )
    rows = [
        (
            m.video.name,
            m.result.duration_s,
            m.wall_s,
            m.wall_share,
            m.per_frame("detector_calls"),
            m.per_frame("pictures_searched"),
            m.lines_per_track,
            m.result.store_bytes / MIB / (m.result.duration_s / 60),
        )
        for m in runs
    ]
    return Section("Speed, profile default", columns, rows)


def state(runs: Sequence[Measured]) -> Section:
    """What a minute of video takes in the store, and what its frames cost to read."""
    columns = (
        "clip",
        "frames MB / video minute",
        "frames stored as repeats %",
        "all checkpoints MB / video minute",
        "frame requests / sampled frame",
    )
    rows = []
    for m in runs:
        extracted = m.result.payloads["extract_frames"]
        assert isinstance(extracted, ExtractedFrames)
        frames, minutes = extracted.frames, m.result.duration_s / 60
        rows.append(
            (
                m.video.name,
                float(np.sum(frames["size_bytes"].to_numpy())) / 1e6 / minutes,
                100 * (1 - frames["repeats"].null_count / frames.num_rows),
                m.result.store_bytes / 1e6 / minutes,
                m.frame_requests / frames.num_rows,
            )
        )
    return Section("State", columns, rows)


def against_full(runs: Sequence[tuple[ClipLabels, Measured, Measured]], catalog: BrandCatalog | None = None) -> Section:
    """Compare the defaults with reading every sampled frame in full: savings and losses."""
    columns = (
        "clip",
        "reading",
        "wall / duration",
        "pictures searched / sampled frame",
        "lines read",
        "clear brands found",
        "recall %",
        "false brands",
        "mean |error| of seconds %",
    )
    rows: list[tuple[str | float, ...]] = []
    for labels, default, full in runs:
        for name, m in (("default", default), ("every frame in full", full)):
            found = totals([score(m.result.payloads, labels, catalog)])
            cost = (m.wall_share, m.per_frame("pictures_searched"), m.lines_read)
            shares = (100 * found.recall, found.false, 100 * found.mean_error)
            rows.append((labels.clip, name, *cost, f"{found.found} of {found.clear}", *shares))
    return Section("Defaults against reading every frame in full", columns, rows)


def sampling(video: Path, runs: int = 3) -> Section:
    """Frame sampling compared with FFmpeg decoding the same file to null."""
    return Section(
        f"Frame sampling against ffmpeg -f null, {video.name}",
        ("figure", "value"),
        [(name, value) for name, value in measure_sampling(video, runs).items()],
    )


@dataclass(frozen=True)
class Footprint:
    """A run in its own process."""

    wall_s: float
    peak_bytes: int  # peak resident memory of the process, models included
    seconds: Mapping[str, float]
    duration_s: float


def footprint(run: RunVideo, video: Path) -> Footprint:
    """Run ``video`` in a fresh process and measure its memory. ``run`` must be a module's function."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_footprint, run, video).result()


def _footprint(run: RunVideo, video: Path) -> Footprint:
    start = time.perf_counter()
    result = run(video, {})
    return Footprint(time.perf_counter() - start, _peak_bytes(), result.seconds, result.duration_s)


def _peak_bytes() -> int:
    """Peak resident memory of this process. On Linux getrusage is no use, because it starts at the parent's peak."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory(measure: Callable[[Path], Footprint], short: Path, long: Path) -> Section:
    """Peak memory and seconds per stage of a short and a long video."""
    a, b = measure(short), measure(long)
    rows: list[tuple[str | float, ...]] = [
        ("video, s", a.duration_s, b.duration_s, b.duration_s / a.duration_s),
        ("peak memory, MiB", a.peak_bytes / MIB, b.peak_bytes / MIB, b.peak_bytes / a.peak_bytes),
        ("wall, s", a.wall_s, b.wall_s, b.wall_s / a.wall_s),
    ]
    for stage, seconds in a.seconds.items():
        rows.append((f"{stage}, s", seconds, b.seconds[stage], b.seconds[stage] / seconds if seconds else 0.0))
    return Section("Memory and stages over length", ("figure", short.name, long.name, "long / short"), rows)


def benchmark(
    work: Path,
    run: RunVideo,
    labelled: Sequence[tuple[Path, ClipLabels]] = (),
    *,
    catalog: BrandCatalog | None = None,
    long: bool = False,
) -> Iterator[Section]:
    """All tables, each as soon as it is ready. Clips are drawn into ``work`` once.

    ``labelled`` are your own clips besides the generated one. ``long`` adds the twenty-minute video, whose run takes
    about as long as it lasts.
    """
    video = work / "two_minutes.mp4"
    clips = [(video, labels_of_truth(video.name, sample_once(video, TWO_MINUTES))), *labelled]
    yield sampling(video)
    default = [measured(run, clip, {}) for clip, _ in clips]
    yield speed(default)
    yield state(default)
    full = [measured(run, clip, IN_FULL) for clip, _ in clips]
    yield against_full(list(zip([labels for _, labels in clips], default, full, strict=True)), catalog)
    if long:
        longer = work / "twenty_minutes.mp4"
        sample_once(longer, TWENTY_MINUTES)
        yield memory(lambda path: footprint(run, path), video, longer)
