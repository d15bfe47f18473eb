"""The benchmark of the whole pipeline: speed, what it costs to read less, memory, and start-up, side by side.

Every video is read in several ways, one after the other before the next video begins, so that other work on the machine
slows all of them alike. Clips are generated, so that everybody has them; your own labelled clips can be added.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.errors import BrandDetectError
from brand_detect.domain.job import Overrides
from brand_detect.domain.media import VIDEO_SUFFIXES
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.timeline import union_seconds
from brand_detect.engines.video import PyAvDecoder
from brand_detect.evaluation.benchmarks.common import MIB, Section
from brand_detect.evaluation.benchmarks.sampling import measure_sampling
from brand_detect.evaluation.benchmarks.worker import HERE, Ffmpeg, Run, Videos, Worker, first_reports
from brand_detect.evaluation.scoring.labels import ClipLabels, Kind, labels_of_truth, load_labels
from brand_detect.evaluation.scoring.score import ClipScore, score_exposures, totals
from brand_detect.evaluation.synthetic.footage import Scenario, sample_once

FIVE_SECONDS = Scenario(seconds=5, width_px=1920, height_px=1080)
TWO_MINUTES = Scenario(seconds=120, width_px=1920, height_px=1080)
SHORTEST_S = 7.0
"""Shorter clips of your own are left out: a share of their duration says little."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One way to read a video; its name heads a column."""

    name: str
    process: str = "now"  # of those that ``processes`` makes
    profile: str = "default"
    overrides: Overrides = field(default_factory=dict)


FLOOR = Reading("FFmpeg to nothing", process="ffmpeg")
BEFORE = Reading("before", process="before")
DEFAULT = Reading("default")
FAST = Reading("fast", profile="fast")
FULL = Reading(
    "every frame in full",
    overrides={
        "filter_scenes": {"hamming_threshold": 0},
        "detect_objects": {"search_every": 1},
        "run_ocr": {"max_crops": 20, "stop_confidence": 1.0, "reuse_readings": False},
    },
)
"""Only frames with equal hashes are duplicates, all others are searched, and up to 20 crops of every track are read,
however certain the first one was and whatever it looks like."""
INT8 = Reading(
    "int8 without VNNI",
    process="plain",
    overrides={"detect_objects": {"precision": "int8"}, "run_ocr": {"precision": "f32"}},
)
"""What the default is on a CPU that computes neither in bf16 nor with VNNI."""
F32 = Reading(
    "f32 without bf16",
    process="plain",
    overrides={"detect_objects": {"precision": "f32"}, "run_ocr": {"precision": "f32"}},
)
READINGS = (FLOOR, BEFORE, DEFAULT, FAST, FULL, INT8, F32)
PLAIN = (INT8, F32)
"""These read the generated clip alone. oneDNN is held to AVX-512 without extensions, because OpenVINO 2026.4 crashes in
the text reader if it is held to AVX2 on a CPU that has more."""


@dataclass(frozen=True)
class Clip:
    """A video to read."""

    video: Path
    duration_s: float
    labels: ClipLabels | None = None
    generated: bool = False

    @property
    def name(self) -> str:
        return f"{self.video.parent.name}/{self.video.name}"


def clips_of(folder: Path) -> list[Clip]:
    """The videos in ``folder`` that last 7 s or more, with the labels that its ``labels.json`` has for them.

    Raises:
        BadInput: there is no such file, or a video cannot be read.
    """
    labels = load_labels(folder / "labels.json")
    clips = []
    for video in sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES):
        with video.open("rb") as file:
            clips.append(Clip(video, PyAvDecoder().probe(file).duration_s, labels.get(video.name)))
    return [clip for clip in clips if clip.duration_s >= SHORTEST_S]


def processes(work: Path, videos: Sequence[Path], warm_up: Path, before: Path | None) -> dict[str, Videos]:
    """What runs the readings, by ``Reading.process``; ``before`` is the checkout to compare with."""
    found: dict[str, Videos] = {
        "ffmpeg": Ffmpeg(),
        "now": Worker(work / "now", videos, warm_up),
        "plain": Worker(work / "plain", videos, warm_up, variables={"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}),
    }
    return found | ({"before": Worker(work / "before", videos, warm_up, before)} if before else {})


class Journal:
    """What was measured, so that a benchmark that broke off can go on where it did."""

    def __init__(self, path: Path, resume: bool) -> None:
        self._path, self._done = path, {}
        if resume and path.is_file():
            self._done = dict(map(json.loads, path.read_text(encoding="utf-8").splitlines()))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """The figures ``name``, measured if they are not there yet, as JSON gives them back."""
        if name not in self._done:
            line = json.dumps([name, measure()])
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            self._done[name] = json.loads(line)[1]
        return self._done[name]


@dataclass
class Results:
    """The runs of all clips, by the names of clip and reading."""

    clips: Sequence[Clip]
    readings: Sequence[Reading]
    catalog: BrandCatalog | None = None
    runs: dict[tuple[str, str], Run] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)  # reasons, by what failed

    def run(self, clip: Clip, reading: Reading) -> Run | None:
        return self.runs.get((clip.name, reading.name))

    def of(self, reading: Reading, *, generated: bool | None = None) -> list[tuple[Clip, Run]]:
        """The clips that ``reading`` has run, by default both generated and given ones."""
        there = ((clip, self.run(clip, reading)) for clip in self.clips if generated in (None, clip.generated))
        return [(clip, run) for clip, run in there if run]

    def score(self, clip: Clip, run: Run) -> ClipScore | None:
        """``run`` against the clip's labels, if it has any."""
        return score_exposures(run.exposures, clip.labels, self.catalog) if clip.labels else None

    def kept(self, runs: Sequence[tuple[Clip, Run]]) -> float | None:
        """Brand-seconds of reading in full that ``runs`` report as well, over all of those; None if there are none."""
        common = whole = 0.0
        for clip, run in runs:
            ours, wanted = (_intervals(r) if r else {} for r in (run, self.run(clip, FULL)))
            for brand, spans in wanted.items():
                own = ours.get(brand, [])
                whole += union_seconds(spans)
                common += union_seconds(spans) + union_seconds(own) - union_seconds([*spans, *own])
        return common / whole if whole else None

    def clear_and_unlabelled(self, reading: Reading) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        """The clear brands that ``reading`` found and the brands it reports without a label, each with its clip."""
        scores = [(clip.name, scored) for clip, run in self.of(reading) if (scored := self.score(clip, run))]
        found = {
            (name, brand.brand)
            for name, scored in scores
            for brand in scored.brands
            if brand.kind is Kind.clear and brand.found
        }
        return found, {(name, brand.brand) for name, scored in scores for brand in scored.unlabelled}


def _intervals(run: Run) -> dict[str, list[tuple[float, float]]]:
    """When each brand is on screen, by its id."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in run.exposures:
        found.setdefault(row["brand_id"], []).append((row["start_s"], row["end_s"]))
    return found


NONE = "–"
Figure = Callable[[Clip, Run], float | str | None]


def side_by_side(title: str, results: Results, figure: Figure, left_out: Sequence[Reading] = (FLOOR,)) -> Section:
    """A row per clip, a column per reading, and the medians of the given clips."""
    readings = [reading for reading in results.readings if reading not in left_out]

    def cell(clip: Clip, reading: Reading) -> float | str:
        run = results.run(clip, reading)
        found = figure(clip, run) if run else None
        if found is None:
            return "failed" if f"{clip.name}, {reading.name}" in results.failures else NONE
        return found

    rows: list[tuple[float | str, ...]] = [
        (clip.video.name, clip.duration_s, *(cell(clip, r) for r in readings)) for clip in results.clips
    ]
    given = [row for clip, row in zip(results.clips, rows, strict=True) if not clip.generated]
    if len(given) > 1:
        columns = (
            [value for value in column if isinstance(value, float)] for column in list(zip(*given, strict=True))[1:]
        )
        rows.append(("median of given clips", *(median(values) if values else NONE for values in columns)))
    return Section(title, ("clip", "duration s", *(r.name for r in readings)), rows)


def clip_tables(results: Results) -> Iterator[Section]:
    """Everything about the clips, from their runs."""
    yield side_by_side("Wall / duration", results, lambda _, run: run.wall_share, ())
    yield side_by_side("CPU seconds / duration", results, lambda _, run: run.cpu_s / run.duration_s, ())
    yield process_table(results)
    yield stage_table(results)
    yield brand_table(results)
    yield side_by_side(
        "Clear brands found, brands without a label", results, lambda clip, run: _found(results.score(clip, run))
    )
    yield side_by_side(
        "Brand-seconds kept of those of reading in full",
        results,
        lambda clip, run: results.kept([(clip, run)]),
        (FLOOR, FULL),
    )
    yield side_by_side("State, MB / video minute", results, lambda _, run: run.state_mb_per_minute, (FLOOR, *PLAIN))
    yield state_table(results)


def _found(scored: ClipScore | None) -> str | None:
    if scored is None:
        return None
    total = totals([scored])
    return f"{total.found}/{total.clear}, {total.unlabelled} unlabelled"


def footage(results: Results) -> Iterator[tuple[str, Reading, list[tuple[Clip, Run]]]]:
    """The runs of each reading, apart for generated and given clips."""
    for generated in (True, False):
        for reading in results.readings:
            if reading is not FLOOR and (runs := results.of(reading, generated=generated)):
                yield "generated" if generated else "given", reading, runs


def stage_table(results: Results) -> Section:
    """Seconds of each stage over the clips' duration; the rest is Dagster's, and loading and storing."""
    rows = []
    for clips, reading, runs in footage(results):
        duration_s = sum(run.duration_s for _, run in runs)
        stage_s = [sum(run.stage_s[stage] for _, run in runs) / duration_s for stage in LINE]
        wall = sum(run.wall_s for _, run in runs) / duration_s
        rows.append((f"{clips}, {reading.name}", *stage_s, wall - sum(stage_s), wall))
    return Section("Stage seconds / duration", ("clips", *LINE, "rest", "wall"), rows)


def brand_table(results: Results) -> Section:
    """What each reading found, over all labelled clips, and the detector's and the reader's work."""
    columns = (
        "clips",
        "clear brands found",
        "recall %",
        "unlabelled brands",
        "mean |error| of seconds %",
        "brand-seconds kept",
        "pictures searched / sampled frame",
        "lines read / track",
    )
    rows: list[tuple[str | float, ...]] = []
    for clips, reading, runs in footage(results):
        total = totals(scored for clip, run in runs if (scored := results.score(clip, run)))
        kept = results.kept(runs)
        rows.append(
            (
                f"{clips}, {reading.name}",
                f"{total.found} of {total.clear}",
                100 * total.recall,
                total.unlabelled,
                100 * total.mean_error,
                NONE if kept is None else kept,
                _ratio(runs, ("detect_objects", "pictures_searched"), ("filter_scenes", "timeline")),
                _ratio(runs, ("run_ocr", "lines_read"), ("detect_objects", "tracks")),
            )
        )
    return Section("What is found", columns, rows)


def _ratio(runs: Sequence[tuple[Clip, Run]], stat: tuple[str, str], count: tuple[str, str]) -> float:
    """A figure of a stage over the rows of a table, both summed."""
    done = sum(run.stats[stat[0]].get(stat[1], 0.0) for _, run in runs)
    return done / max(1, sum(run.counts[count[0]][count[1]] for _, run in runs))


def state_table(results: Results) -> Section:
    """What a minute of video takes in the store, and what its frames cost to read."""
    columns = (
        "clips",
        "frames MB / video minute",
        "frames stored as repeats %",
        "all checkpoints MB / video minute",
        "frame requests / sampled frame",
    )
    rows = []
    for clips, reading, runs in footage(results):
        minutes = sum(run.duration_s for _, run in runs) / 60
        frames = sum(run.counts["extract_frames"]["frames"] for _, run in runs)
        rows.append(
            (
                f"{clips}, {reading.name}",
                sum(run.frame_bytes for _, run in runs) / 1e6 / minutes,
                100 * sum(run.frame_repeats for _, run in runs) / frames,
                sum(run.state_bytes for _, run in runs) / 1e6 / minutes,
                sum(run.frame_requests for _, run in runs) / frames,
            )
        )
    return Section("State", columns, rows)


def startup_table(first: Mapping[str, Mapping[str, float]]) -> Section:
    """``first`` has the figures of ``first_reports``, by version."""
    rows = [(figure, *(of[figure] for of in first.values())) for figure in next(iter(first.values()), ())]
    return Section("From the command brand-detect run to the report of 5 s at 1080p", ("command", *first), rows)


def process_table(results: Results) -> Section:
    """Seconds that the process of a reading took to start; readings in the same process are one row."""
    first = {}
    for reading in results.readings:
        if reading is not FLOOR and (runs := results.of(reading)):
            first.setdefault(reading.process, (reading.name, runs[0][1].startup_s))
    title = "From the start of a process to its first report of 5 s at 1080p"
    return Section(title, ("process of", "s"), [*first.values()])


def length_table(runs: Mapping[int, Run]) -> Section:
    """Cost and memory per minute of video, by its length in minutes."""
    rows: list[tuple[str | float, ...]] = []

    def row(name: str, figure: Callable[[Run], float]) -> None:
        values = [figure(run) for run in runs.values()]
        rows.append((name, *values, values[-1] / values[0] if values[0] else NONE))

    row("wall / duration", lambda run: run.wall_share)
    row("CPU seconds / duration", lambda run: run.cpu_s / run.duration_s)
    row("state, MB / video minute", lambda run: run.state_mb_per_minute)
    row("peak memory, MiB", lambda run: run.peak / MIB)
    for stage in LINE:
        row(f"{stage}, s / video minute", lambda run, stage=stage: run.stage_s[stage] / (run.duration_s / 60))
    for stage in LINE:
        row(f"{stage}, peak MiB", lambda run, stage=stage: run.peak_bytes.get(stage, 0) / MIB)
    columns = ("figure", *(f"{minutes} min" for minutes in runs), "longest / shortest")
    return Section("Cost and memory by length", columns, rows)


def verdicts(results: Results, lengths: Mapping[int, Run]) -> Section:
    """Each bar that the pipeline must pass, the figure, and whether it does."""
    rows: list[tuple[str | float, ...]] = []

    def bar(name: str, value: float | None, limit: float, *, least: bool = False, which: str = "") -> None:
        met = None if value is None else value >= limit if least else value <= limit
        verdict = {None: "not measured", True: "met", False: "not met"}[met]
        rows.append((name, f"{'≥' if least else '≤'} {limit:g}", NONE if value is None else value, verdict, which))

    def slowest(runs: Sequence[tuple[Clip, Run]]) -> str:
        return max(runs, key=lambda pair: pair[1].wall_share)[0].video.name if runs else ""

    for reading, share, kept in ((DEFAULT, 0.35, 0.98), (FAST, 0.25, 0.95)):
        generated, given = (results.of(reading, generated=kind) for kind in (True, False))
        shares = [run.wall_share for _, run in given]
        bar(f"{reading.name}: wall / duration, generated", _share(generated), share)
        bar(f"{reading.name}: wall / duration, median of given clips", median(shares) if shares else None, share)
        if reading is DEFAULT:
            bar("default: wall / duration, slowest given clip", max(shares, default=None), 0.6, which=slowest(given))
        for clips, runs in (("generated", generated), ("given", given)):
            bar(f"{reading.name}: brand-seconds kept, {clips}", results.kept(runs), kept, least=True)
    for reading in PLAIN:
        bar(f"{reading.name}: wall / duration, generated", _share(results.of(reading)), 0.6)
    for reading, other in ((DEFAULT, BEFORE), (DEFAULT, FULL), (FAST, FULL)):
        if results.of(other) and results.of(reading):
            (found, others), (wanted, known) = (results.clear_and_unlabelled(r) for r in (reading, other))
            for what, brands in (("clear brands lost", wanted - found), ("unlabelled brands won", others - known)):
                which = ", ".join(f"{brand} ({clip})" for clip, brand in sorted(brands))
                bar(f"{reading.name}: {what}, against {other.name}", len(brands), 0, which=which)
    ends = (lengths[min(lengths)], lengths[max(lengths)]) if len(lengths) > 1 else None
    bar("wall per minute, longest / shortest video", ends and ends[1].wall_share / ends[0].wall_share, 1.15)
    bar("peak memory, longest / shortest video", ends and ends[1].peak / ends[0].peak, 1.2)
    bar("peak memory, MiB", max((run.peak / MIB for run in lengths.values()), default=None), 1536)
    failed = "; ".join(f"{name}: {reason}" for name, reason in results.failures.items())
    bar("measurements that failed", len(results.failures), 0, which=failed)
    return Section("Verdicts", ("bar", "target", "measured", "verdict", "which"), rows)


def _share(runs: Sequence[tuple[Clip, Run]]) -> float | None:
    """Wall over duration of all ``runs``; None if there are none."""
    return sum(run.wall_s for _, run in runs) / sum(run.duration_s for _, run in runs) if runs else None


@dataclass(frozen=True)
class Measurement:
    """Measures what the journal does not hold yet; what fails is noted, and the rest goes on."""

    journal: Journal
    processes: Mapping[str, Videos]
    failures: dict[str, str]  # reasons, by what failed
    tell: Callable[[str], None]

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """The figures of ``measure``; None if it fails."""
        self.tell(f"{name} …")
        try:
            return self.journal.once(name, measure)
        except BrandDetectError as e:
            self.failures[name] = str(e)
            self.tell(f"{name}: failed: {e}")
            return None

    def run(self, name: str, clip: Clip, reading: Reading) -> Run | None:
        """One run of a clip; None if it fails."""
        process, asked = self.processes[reading.process], (clip.video, reading.profile, reading.overrides)
        found = self.once(name, lambda: asdict(process.run(*asked, clip.duration_s)))
        if found is None:
            return None
        run = Run(**found)
        self.tell(f"{name}: {run.wall_s:.1f} s, {run.wall_share:.2f} × its duration")
        return run

    def run_clips(self, results: Results) -> None:
        """Adds the runs of all clips, each in every way before the next."""
        for number, clip in enumerate(results.clips, 1):
            self.tell(f"{clip.name}: {number} of {len(results.clips)}, {clip.duration_s:.1f} s")
            for reading in results.readings:
                if reading in PLAIN and not clip.generated:
                    continue
                if run := self.run(f"{clip.name}, {reading.name}", clip, reading):
                    results.runs[clip.name, reading.name] = run
            self.processes[F32.process].close()  # it takes a gigabyte, and reads no other clip

    def run_lengths(self, videos: Mapping[int, Path]) -> dict[int, Run]:
        """The runs of generated videos by their minutes, each in a process of its own: what one has freed, the next
        would use again."""
        runs = {}
        for minutes, path in videos.items():
            sample_once(path, replace(TWO_MINUTES, repeats=minutes // 2))
            for process in self.processes.values():
                process.close()
            if run := self.run(f"{minutes} minutes", Clip(path, minutes * 60), DEFAULT):
                runs[minutes] = run
        return runs


def benchmark(
    work: Path,
    given: Sequence[Clip] = (),
    *,
    before: Path | None = None,
    lengths: Sequence[int] = (),
    catalog: BrandCatalog | None = None,
    resume: bool = False,
    tell: Callable[[str], None] = print,
    make: Callable[[Path, Sequence[Path], Path, Path | None], Mapping[str, Videos]] = processes,
) -> Iterator[Section]:
    """All tables, each as soon as it is ready. Generated videos are drawn into ``work`` once.

    Args:
        given: your own clips, besides the generated one.
        before: a checkout of an earlier version to compare with.
        lengths: minutes of longer videos, even numbers, for cost and memory by length.
        catalog: labels may use any text of its brands.
        resume: keep what the last call, which broke off, has measured.
        tell: is told of every run.
        make: makes what runs the videos.
    """
    video, short = work / "two_minutes.mp4", work / "five_seconds.mp4"
    sample_once(short, FIVE_SECONDS)
    labels = labels_of_truth(video.name, sample_once(video, TWO_MINUTES))
    clips = [Clip(video, labels.duration_s, labels, generated=True), *given]
    results = Results(clips, [reading for reading in READINGS if before or reading is not BEFORE], catalog)
    longer = {minutes: work / f"{minutes}_minutes.mp4" for minutes in lengths}
    known = make(work, [*(clip.video for clip in clips), *longer.values()], short, before)
    measured = Measurement(Journal(work / "pipeline.jsonl", resume), known, results.failures, tell)
    try:
        yield Section("Machine", ("figure", "value"), [("cores", os.cpu_count() or 0), ("load", os.getloadavg()[0])])
        if found := measured.once("sampling", lambda: measure_sampling(video)):
            yield Section(f"Frame sampling against {FLOOR.name}, {video.name}", ("figure", "value"), [*found.items()])
        first = {
            name: measured.once(f"first report, {name}", partial(first_reports, work / "first", short, checkout))
            for name, checkout in (("before", before), ("now", HERE))
            if checkout
        }
        yield startup_table({name: seconds for name, seconds in first.items() if seconds})
        measured.run_clips(results)
        yield from clip_tables(results)
        by_length = measured.run_lengths({2: video, **longer}) if lengths else {}
        if by_length:
            yield length_table(by_length)
        yield verdicts(results, by_length)
        rows = [(*names, asdict(run)) for names, run in results.runs.items()]
        yield Section("Runs", ("clip", "reading", "run"), rows, in_console=False)
    finally:
        for process in known.values():
            process.close()
