"""Sweeps one param over a stored report's lineage: brands, seconds and, with labels, precision and recall per value.

The stages from the swept one down run in memory on the stored payloads: no frame is read, no model is asked and nothing
is written. Modules: ``values`` (params and values), ``lineage`` (inputs), ``compute`` and ``page``.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts import effective
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import BadInput
from brand_detect.domain.job import Overrides
from brand_detect.domain.params import Params
from brand_detect.domain.pipeline import ESCALATIONS, STAGES, Stage
from brand_detect.domain.protocols import Progress
from brand_detect.domain.records import Payload
from brand_detect.domain.scores import Totals
from brand_detect.domain.words import counted
from brand_detect.operations.sweep.compute import Compute
from brand_detect.operations.sweep.lineage import Lineage
from brand_detect.operations.sweep.values import SWEPT, Value, check_swept, params_by_value

Scorer = Callable[[Mapping[str, Payload], BrandCatalog], tuple[Totals, tuple[str, ...]]]
"""Scores the payloads of one job against labels: totals, and the reported brands that no label names."""


@dataclass(frozen=True)
class Point:
    """The report at one value."""

    value: Value
    brands: int
    seconds: float
    """Sum of the brands' seconds on screen."""
    detections: int
    unresolved: int
    unasked: int
    """Unresolved clusters that the lineage's models were never asked about; 0 if no model was set."""
    seconds_of: Mapping[str, float]
    """Seconds on screen by brand."""
    took_s: float
    """Compute time of its stages, in seconds."""
    score: Totals | None = None
    unlabelled: tuple[str, ...] = ()
    """Reported brands that no label names."""


@dataclass(frozen=True)
class Sweep:
    """The points in order, and their context."""

    job_id: str
    video: str
    attempt: str
    """The report whose lineage was used."""
    stage: str
    param: str
    in_force: Value
    fixed: Overrides
    points: tuple[Point, ...]
    clip: str
    """The labelled clip used for scoring; "" for none."""
    notes: tuple[str, ...]
    load_s: float
    """Time for loading the checkpoints once, in seconds."""
    stored_s: float
    """Time that the same stages took in the stored run, in seconds."""

    @property
    def name(self) -> str:
        return f"{self.stage}.{self.param}"

    @property
    def per_value_s(self) -> float:
        return sum(p.took_s for p in self.points) / len(self.points)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def sweep(
    lineage: Lineage,
    stage: str,
    param: str,
    values: Sequence[Value],
    fixed: Overrides,
    *,
    catalog: BrandCatalog | None = None,
    clip: str = "",
    score: Scorer | None = None,
    progress: Progress,
) -> Sweep:
    """Compute ``stage.param`` at each of ``values`` and at its stored value; other params as stored or ``fixed``.

    ``catalog`` replaces the snapshot of the lineage. ``score`` compares every point with the labels
    of ``clip``.

    Raises:
        BadInput: the sweep cannot be computed from checkpoints, or a value is not allowed; raised before anything is
            computed.
    """
    check_swept(stage, param, fixed)
    stored = lineage.params
    first = Stage.match_brands if catalog else min((stage, *fixed), key=STAGES.index)
    _check_rounds(lineage, {stage, *fixed} & set(ESCALATIONS))
    base = {s: effective(s, stored[s].model_dump(), fixed.get(s, {})) for s in SWEPT}
    in_force: Value = getattr(stored[stage], param)
    chosen = params_by_value(stage, param, base, (*values, in_force))

    began = time.perf_counter()
    compute = Compute(lineage, first, catalog)
    load_s = time.perf_counter() - began
    points = []
    for value, params in chosen.items():
        points.append(_point(compute, value, params, score))
        progress(len(points), len(chosen), "values")
    return Sweep(
        job_id=lineage.report.job_id,
        video=lineage.request.video_uri,
        attempt=lineage.report.attempt,
        stage=stage,
        param=param,
        in_force=in_force,
        fixed=fixed,
        points=tuple(points),
        clip=clip,
        notes=tuple(_notes(compute, first, points, in_force, is_as_stored=not (fixed or catalog))),
        load_s=load_s,
        stored_s=lineage.stage_s(first),
    )


def _check_rounds(lineage: Lineage, escalations: set[str]) -> None:
    """Check that each escalation's answers come from one attempt: its threshold applies only to those."""
    for stage in sorted(escalations):
        own = [r for r in lineage.rounds if r.stage == stage]
        if len(own) > 1:
            raise BadInput(
                f"The answers of {stage} come from {len(own)} runs, each with its own threshold.",
                "select the first run's report with --attempt",
            )
        if own[0].params.provider.value == "off":
            raise BadInput(f"{stage} was off in this lineage, so it has no answers.", "sweep match_brands")


def _point(compute: Compute, value: Value, params: Mapping[str, Params], score: Scorer | None) -> Point:
    began = time.perf_counter()
    verdicts, report = compute.report(params)
    took_s = time.perf_counter() - began
    seconds_of = {row["brand"]: row["seconds"] for row in report.brands.to_pylist()}
    point = Point(
        value=value,
        brands=report.brands.num_rows,
        seconds=sum(seconds_of.values()),
        detections=report.detections.num_rows,
        unresolved=report.unresolved.num_rows,
        unasked=compute.unasked(report),
        seconds_of=seconds_of,
        took_s=took_s,
    )
    if score is None:
        return point
    made = {**compute.payloads(), Stage.escalate_cloud: verdicts, Stage.compile_report: report}
    totals, unlabelled = score(made, compute.catalog)
    return replace(point, score=totals, unlabelled=unlabelled)


def _notes(
    compute: Compute, first: str, points: Sequence[Point], in_force: Value, *, is_as_stored: bool
) -> Iterator[str]:
    """Assumptions behind the figures, and differences from the stored report."""
    lineage = compute.lineage
    if compute.lacks_logos:
        yield "Logos are not matched: those of this brand list are not all embedded here for the job's embedder."
    asked = [r for r in lineage.rounds if r.params.provider.value != "off"] if first != Stage.compile_report else []
    if asked:
        models = ", ".join(dict.fromkeys(f"{r.stage}: {r.params.provider.value}/{r.params.model}" for r in asked))
        answers = sum(r.answers.num_rows for r in asked)
        yield (
            f"Models gave {counted(answers, 'answer')} in this lineage ({models}), taken over for clusters that "
            "are still open; clusters that they were not asked about are left open, and counted. A replay would ask."
        )
    if not is_as_stored:
        return
    stored = lineage.load(Stage.compile_report, Report)
    here = next(p for p in points if p.value == in_force)
    seconds = sum(stored.brands["seconds"].to_pylist())
    if (stored.brands.num_rows, round(seconds, 3)) != (here.brands, round(here.seconds, 3)):
        yield (
            f"The stored report has {counted(stored.brands.num_rows, 'brand')} on screen for {seconds:.1f} s; "
            f"computed again it has {here.brands} for {here.seconds:.1f} s. The code has changed since it was made."
        )
