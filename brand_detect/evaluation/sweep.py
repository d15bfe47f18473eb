"""One param at many values over a stored report's lineage: brands, seconds and, with labels, precision and recall.

The stages from the swept one down are computed in memory, on what the lineage stored: no picture is looked at, nobody
is asked, nothing is written.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, TypeVar, cast

import pyarrow as pa
from rich.table import Table

from brand_detect import stages
from brand_detect.catalog import LexiconIndex, catalog_from_json
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts import PARAMS, Escalation, effective
from brand_detect.domain.contracts.compile_report import CompileReportParams, Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.run_ocr import TrackTexts
from brand_detect.domain.contracts.verdicts import Answer, AnswerStatus, BrandVerdicts
from brand_detect.domain.errors import BadInput
from brand_detect.domain.history import named
from brand_detect.domain.job import JobRequest, Overrides, check_job_id
from brand_detect.domain.params import Params
from brand_detect.domain.pipeline import CATALOG, ESCALATIONS, ROOT, STAGES, Stage, downstream_of
from brand_detect.domain.protocols import Answerer, BrandIndex, Progress, Question
from brand_detect.domain.records import Payload
from brand_detect.domain.settings import Settings
from brand_detect.domain.tables import Row
from brand_detect.engines.canvas import OpenCvCanvas
from brand_detect.engines.image import OpenCvCodec
from brand_detect.evaluation.scoring.score import ClipLabels, Totals, score, totals
from brand_detect.orchestration.config import load_quality
from brand_detect.report.curves import Curve, Lane, Panel, SweepPage
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.store import AttemptRef, Store, StoredFrames

SWEPT: Mapping[str, tuple[str, ...]] = {
    Stage.match_brands: tuple(PARAMS[Stage.match_brands].model_fields),
    **dict.fromkeys(ESCALATIONS, ("min_confidence",)),
    Stage.compile_report: ("min_confidence", "bridge_s", "min_exposure_s"),
}
"""What can be swept: params whose effect follows from what is stored."""
MOST_VALUES = 500
LOOKUPS = 65_536
"""Texts whose brands are remembered from value to value."""

Value = bool | int | float | str
P = TypeVar("P", bound=Payload)


@dataclass(frozen=True)
class Point:
    """What one value comes to."""

    value: Value
    brands: int
    seconds: float
    """Sum of the brands' seconds on screen."""
    detections: int
    unresolved: int
    unasked: int
    """Open clusters about which the lineage's models were never asked; 0 where none were set."""
    seconds_of: Mapping[str, float]
    """Seconds on screen by brand."""
    took_s: float
    """Seconds of the stages that were computed for it."""
    score: Totals | None = None
    false: tuple[str, ...] = ()
    """Reported brands that no label names."""


@dataclass(frozen=True)
class Sweep:
    """The values in order, and what they stand on."""

    job_id: str
    video: str
    attempt: str
    """The report's, whose lineage was read."""
    stage: str
    param: str
    in_force: Value
    fixed: Overrides
    points: tuple[Point, ...]
    clip: str
    """The labelled clip that was scored against; "" for none."""
    notes: tuple[str, ...]
    load_s: float
    """Seconds for what was read once."""
    stored_s: float
    """Seconds that the same stages took when the lineage was made."""

    @property
    def name(self) -> str:
        return f"{self.stage}.{self.param}"

    @property
    def per_value_s(self) -> float:
        return sum(p.took_s for p in self.points) / len(self.points)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Lineage:
    """A stored report and everything that it was made from; each payload is read once."""

    def __init__(self, store: Store, report: Manifest) -> None:
        self.store, self.report = store, report
        self._attempts = {**report.upstream, Stage.compile_report: report.attempt}
        self._payloads: dict[str, Any] = {}

    @classmethod
    def of(cls, store: Store, job_id: str, attempt: str = "") -> "Lineage":
        """The newest report of a job, or the one whose attempt begins with ``attempt``.

        Raises:
            BadInput: there is none, or several begin so.
        """
        made = store.attempts(check_job_id(job_id), Stage.compile_report)
        if not made:
            raise BadInput(
                f"There is no report of {job_id} in {store.root}.",
                "run the job to its end, or name another store with BRAND_DETECT_STORE_ROOT",
            )
        name = named(job_id, Stage.compile_report, [m.attempt for m in made], attempt) if attempt else made[-1].attempt
        return cls(store, next(m for m in made if m.attempt == name))

    def ref(self, stage: str) -> AttemptRef:
        return AttemptRef(self.report.job_id, stage, self._attempts[stage])

    def load(self, stage: str, kind: type[P]) -> P:
        if stage not in self._payloads:
            self._payloads[stage] = self.store.load(self.ref(stage))
        assert isinstance(self._payloads[stage], kind)
        return self._payloads[stage]

    @cached_property
    def request(self) -> JobRequest:
        return cast("JobRequest", self.store.load(self.ref(ROOT)))

    @cached_property
    def catalog(self) -> BrandCatalog:
        """The snapshot that it was matched with."""
        version = self._attempts[CATALOG]
        return catalog_from_json(self.store.get_catalog(version), version)

    @cached_property
    def params(self) -> dict[str, Params]:
        """The params in force, of the stages that can be computed again."""
        return {s: effective(s, self.store.manifest(self.ref(s)).params) for s in SWEPT}

    def stage_s(self, first: str) -> float:
        """Seconds that ``first`` and the stages below it took."""
        return sum(self.store.manifest(self.ref(s)).stage_s for s in downstream_of(first))

    @cached_property
    def rounds(self) -> list["Round"]:
        """Every time that models were put questions, first to last: a retry goes on from earlier ones."""
        return self._rounds(Stage.escalate_cloud, self._attempts[Stage.escalate_cloud])

    def _rounds(self, stage: str, attempt: str) -> list["Round"]:
        ref = AttemptRef(self.report.job_id, stage, attempt)
        manifest = self.store.manifest(ref)
        before: list[Round] = []
        if manifest.continues:
            before = self._rounds(Stage.escalate_cloud, manifest.continues)
        elif stage == Stage.escalate_cloud:
            before = self._rounds(Stage.escalate_vlm, manifest.upstream[Stage.escalate_vlm])
        told = cast("BrandVerdicts", self.store.load(ref)).answers
        own = told.slice(sum(r.answers.num_rows for r in before))
        return [*before, Round(stage, cast("Escalation", effective(stage, manifest.params)), own)]


@dataclass(frozen=True)
class Round:
    """One attempt of an escalation, with what its model said in it."""

    stage: str
    params: Escalation
    answers: pa.Table

    def answerer(self) -> Answerer | None:
        return None if self.params.provider.value == "off" else _Recorded(self.params, self.answers.to_pylist())


class _Recorded:
    """Says again what a model said; looks at no question, so that no picture is read."""

    def __init__(self, params: Escalation, answers: Sequence[Row]) -> None:
        self.provider, self.model, self.prompt_version = params.provider.value, params.model, ""
        self._answers = answers

    def question_ids(self, question: Question) -> Sequence[str]:  # noqa: ARG002
        return ()

    def ask(self, questions: Iterable[Question]) -> Iterator[Answer]:  # noqa: ARG002
        for row in self._answers:
            # stored with 32 bits: 0.9 comes back as a little less, which a threshold of 0.9 must not refuse
            confidence = round(row["confidence"], 6)
            who = {name: row[name] for name in ("provider", "model", "prompt_version")}
            yield Answer(row["cluster_id"], AnswerStatus(row["status"]), row["answer"], confidence, **who)


def sweep(
    lineage: Lineage,
    stage: str,
    param: str,
    values: Sequence[Value],
    fixed: Overrides,
    *,
    catalog: BrandCatalog | None = None,
    labels: ClipLabels | None = None,
    progress: Progress,
) -> Sweep:
    """``stage.param`` at each of ``values`` and at the value in force, the other params as stored or ``fixed``.

    ``catalog`` takes the place of the snapshot that the lineage names.

    Raises:
        BadInput: what is asked for cannot be computed from checkpoints, or a value is not allowed; nothing was
            computed.
    """
    check_swept(stage, param, fixed)
    stored = lineage.params
    first = Stage.match_brands if catalog else min((stage, *fixed), key=STAGES.index)
    _check_rounds(lineage, {stage, *fixed} & set(ESCALATIONS))
    base = {s: effective(s, stored[s].model_dump(), fixed.get(s, {})) for s in SWEPT}
    in_force: Value = getattr(stored[stage], param)
    chosen = _params_by_value(stage, param, base, (*values, in_force))

    began = time.perf_counter()
    compute = _Compute(lineage, first, catalog)
    load_s = time.perf_counter() - began
    points = []
    for value, params in chosen.items():
        points.append(_point(compute, value, params, labels))
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
        clip=labels.clip if labels else "",
        notes=tuple(_notes(lineage, first, points, in_force, is_as_stored=not (fixed or catalog))),
        load_s=load_s,
        stored_s=lineage.stage_s(first),
    )


def check_swept(stage: str, param: str, fixed: Overrides) -> None:
    """
    Raises:
        BadInput: the effect of these params does not follow from checkpoints, or one param is named twice.
    """
    for asked, name in ((stage, param), *((s, n) for s, set_ in fixed.items() for n in set_)):
        if asked in PARAMS and name not in SWEPT.get(asked, ()):
            known = name in PARAMS[asked].model_fields
            needs = "frames or engines: replay it instead" if known else "a param that there is"
            can = "; ".join(f"{s}: {', '.join(names)}" for s, names in SWEPT.items())
            raise BadInput(f"{asked}.{name} needs {needs}.", f"what can be swept and set is {can}")
        if asked not in PARAMS:
            raise BadInput(f"There is no stage {asked!r}.", f"what can be swept is {', '.join(SWEPT)}")
    if param in fixed.get(stage, {}):
        raise BadInput(f"{stage}.{param} is swept and set.", "leave it out of --set")


def _check_rounds(lineage: Lineage, escalations: set[str]) -> None:
    """An escalation's threshold can be moved over the answers of one attempt."""
    for stage in sorted(escalations):
        own = [r for r in lineage.rounds if r.stage == stage]
        if len(own) > 1:
            raise BadInput(
                f"The answers of {stage} come from {len(own)} runs, each with a threshold of its own.",
                "name the report of the first with --attempt",
            )
        if own[0].params.provider.value == "off":
            raise BadInput(f"{stage} was off in this lineage: there is no answer to weigh.", "sweep match_brands")


def _params_by_value(
    stage: str, param: str, base: Mapping[str, Params], values: Iterable[Value]
) -> dict[Value, dict[str, Params]]:
    """All params by each value, once; in order where the values have one."""
    chosen: dict[Value, dict[str, Params]] = {}
    for value in values:
        try:
            own = effective(stage, base[stage].model_dump(), {param: value})
        except BadInput as e:
            raise BadInput(f"The value {value!r} is not allowed. {e}", e.hint) from e
        chosen[getattr(own, param)] = {**base, stage: own}
    if len(chosen) > MOST_VALUES + 1:
        raise BadInput(f"{len(chosen)} values are too many.", f"take a wider step: at most {MOST_VALUES}")
    numbers = [v for v in chosen if isinstance(v, int | float)]
    return {v: chosen[v] for v in sorted(numbers)} if len(numbers) == len(chosen) else chosen


class _Remembering:
    """A brand index that looks nothing up twice: most params do not change what a text says."""

    def __init__(self, index: BrandIndex) -> None:
        self.version = index.version
        self.find = lru_cache(LOOKUPS)(index.find)
        self.find_occluded = lru_cache(LOOKUPS)(index.find_occluded)
        self.is_excluded = lru_cache(LOOKUPS)(index.is_excluded)
        self.may_begin = lru_cache(LOOKUPS)(index.may_begin)
        self.may_end = lru_cache(LOOKUPS)(index.may_end)
        self.named = lru_cache(LOOKUPS)(index.named)
        self.near = lru_cache(LOOKUPS)(index.near)


class _Compute:
    """The stages from ``first`` down; what does not change from value to value is kept."""

    def __init__(self, lineage: Lineage, first: str, catalog: BrandCatalog | None) -> None:
        self.lineage, self._first = lineage, first
        self.catalog = catalog or lineage.catalog
        self._frames = lineage.load("extract_frames", ExtractedFrames)
        self._scenes = lineage.load("filter_scenes", FilteredScenes)
        self._detected = lineage.load("detect_objects", DetectedObjects)
        if first == Stage.compile_report:
            lineage.load(Stage.escalate_cloud, BrandVerdicts)
            return
        self._index = _Remembering(LexiconIndex(self.catalog))
        _ = lineage.rounds
        if first == Stage.match_brands:
            lineage.load(Stage.run_ocr, TrackTexts)
        else:
            lineage.load(Stage.match_brands, BrandVerdicts)
        self._matched: tuple[Params, BrandVerdicts] | None = None

    def report(self, params: Mapping[str, Params]) -> tuple[BrandVerdicts, Report]:
        """What the last escalation and the report come to."""
        verdicts = self._verdicts(params)
        own = cast("CompileReportParams", params[Stage.compile_report])
        report = stages.compile_report(
            self.lineage.request,
            self._frames,
            self._scenes,
            self._detected,
            verdicts,
            own,
            scale=load_quality(own.quality, Settings.load().quality),
            statistics={},
        )
        return verdicts, report

    def _verdicts(self, params: Mapping[str, Params]) -> BrandVerdicts:
        if self._first == Stage.compile_report:
            return self.lineage.load(Stage.escalate_cloud, BrandVerdicts)
        verdicts = self._match(cast("MatchBrandsParams", params[Stage.match_brands]))
        frames = StoredFrames(
            self.lineage.store, self.lineage.ref("extract_frames"), self._frames.frames, OpenCvCodec()
        )
        for asked in self.lineage.rounds:
            own = params[asked.stage]
            escalate = getattr(stages, asked.stage)
            verdicts = escalate(
                verdicts,
                self._detected,
                own if own != self.lineage.params[asked.stage] else asked.params,
                answerer=asked.answerer(),
                memory=None,
                index=self._index,
                frames=frames,
                codec=OpenCvCodec(),
                canvas=OpenCvCanvas(),
                progress=lambda *_: None,
            )
        return verdicts

    def _match(self, params: MatchBrandsParams) -> BrandVerdicts:
        if self._first != Stage.match_brands:
            return self.lineage.load(Stage.match_brands, BrandVerdicts)
        if self._matched is None or self._matched[0] != params:
            texts = self.lineage.load(Stage.run_ocr, TrackTexts)
            made = stages.match_brands(self._scenes, self._detected, texts, params, index=self._index)
            self._matched = params, made
        return self._matched[1]

    def unasked(self, verdicts: BrandVerdicts) -> int:
        """Open clusters that no stored question was about, if the lineage's models were asked at all."""
        if self._first == Stage.compile_report or all(r.params.provider.value == "off" for r in self.lineage.rounds):
            return 0
        asked = {c for r in self.lineage.rounds for c in r.answers["cluster_id"].to_pylist()}
        return sum(c not in asked for c in verdicts.unresolved["cluster_id"].to_pylist())

    def payloads(self) -> dict[str, Payload]:
        """What scoring wants of the stages above."""
        return {
            "filter_scenes": self._scenes,
            "detect_objects": self._detected,
            Stage.run_ocr: self.lineage.load(Stage.run_ocr, TrackTexts),
        }


def _point(compute: _Compute, value: Value, params: Mapping[str, Params], labels: ClipLabels | None) -> Point:
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
        unasked=compute.unasked(verdicts),
        seconds_of=seconds_of,
        took_s=took_s,
    )
    if labels is None:
        return point
    made = {**compute.payloads(), Stage.escalate_cloud: verdicts, Stage.compile_report: report}
    scored = score(made, labels, compute.catalog)
    return replace(point, score=totals([scored]), false=tuple(f.brand for f in scored.false))


def _notes(
    lineage: Lineage, first: str, points: Sequence[Point], in_force: Value, *, is_as_stored: bool
) -> Iterator[str]:
    """What was assumed, in plain words."""
    asked = [r for r in lineage.rounds if r.params.provider.value != "off"] if first != Stage.compile_report else []
    if asked:
        models = ", ".join(dict.fromkeys(f"{r.stage}: {r.params.provider.value}/{r.params.model}" for r in asked))
        answers = sum(r.answers.num_rows for r in asked)
        yield (
            f"Models were asked in this lineage ({models}). Their {answers} answers are taken over for clusters that "
            "are still open; clusters that they were not asked about are left open, and counted. A replay would ask."
        )
    if not is_as_stored:
        return
    stored = cast("Report", lineage.store.load(lineage.ref(Stage.compile_report)))
    here = next(p for p in points if p.value == in_force)
    seconds = sum(stored.brands["seconds"].to_pylist())
    if (stored.brands.num_rows, round(seconds, 3)) != (here.brands, round(here.seconds, 3)):
        yield (
            f"The stored report has {stored.brands.num_rows} brands on screen for {seconds:.1f} s; computed again it "
            f"has {here.brands} for {here.seconds:.1f} s. The code has changed since it was made."
        )


# --- what is shown --------------------------------------------------------------------------------------------------


def text_of(value: Value) -> str:
    """A value as it is written on the command line."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def columns(found: Sweep) -> tuple[str, ...]:
    """Of the table, short enough for a terminal; ``open`` are the clusters left unresolved."""
    names = ("value", "brands", "seconds", "boxes", "open")
    if any(p.unasked for p in found.points):
        names += ("not asked",)
    return (*names, "recall", "precision", "found", "false", "error") if found.clip else names


def cells(found: Sweep, point: Point) -> tuple[str, ...]:
    """A point as the columns name it."""
    texts = (text_of(point.value), str(point.brands), f"{point.seconds:.1f}")
    texts += (str(point.detections), str(point.unresolved))
    if any(p.unasked for p in found.points):
        texts += (str(point.unasked),)
    if (t := point.score) is not None:
        right = f"{t.found}/{t.clear}" + (f"+{t.bonus}" if t.bonus else "")
        precision, error = f"{t.precision:.0%}" if point.brands else "-", f"{t.mean_error:.0%}" if t.found else "-"
        texts += (f"{t.recall:.0%}", precision, right, str(t.false), error)
    return texts


def sweep_table(found: Sweep) -> Table:
    """One row a value; the one in force is marked."""
    against = f", against {found.clip}" if found.clip else ""
    table = Table(title=f"{found.name} over {found.job_id}{against}", caption="* in force", box=None)
    for name in columns(found):
        table.add_column(name, justify="right", no_wrap=True)
    for point in found.points:
        here = point.value == found.in_force
        first, *rest = cells(found, point)
        table.add_row(f"{'* ' if here else ''}{first}", *rest, style="bold" if here else None)
    return table


def page_of(found: Sweep) -> SweepPage:
    """What the page draws."""
    points = found.points
    values = [p.value for p in points]
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    panels = [
        Panel("Brands reported", "brands", (Curve("reported", tuple(float(p.brands) for p in points)),)),
        Panel("Seconds on screen, all brands", "s", (Curve("seconds", tuple(p.seconds for p in points)),)),
    ]
    scores = [p.score for p in points if p.score]
    if scores:
        panels[0] = replace(
            panels[0], curves=(*panels[0].curves, Curve("of these false", tuple(float(s.false) for s in scores)))
        )
        recall = Curve("recall", tuple(100 * s.recall for s in scores))
        precision = Curve("precision", tuple(100 * p.score.precision if p.brands and p.score else None for p in points))
        panels.append(Panel("Recall and precision", "%", (recall, precision), top=100.0))
    else:
        detections = Curve("detections", tuple(float(p.detections) for p in points))
        panels.append(Panel("Detections", "boxes", (detections,)))
    panels.append(
        Panel("Left unresolved", "clusters", (Curve("unresolved", tuple(float(p.unresolved) for p in points)),))
    )
    false = {name for p in points for name in p.false}
    names = {name for p in points for name in p.seconds_of}
    lanes = [Lane(name, tuple(p.seconds_of.get(name, 0.0) for p in points), name in false) for name in names]
    fixed = [f"{s}.{n} = {text_of(v)}" for s, named in found.fixed.items() for n, v in named.items()]
    return SweepPage(
        param=found.name,
        job_id=found.job_id,
        video=found.video,
        attempt=found.attempt,
        clip=found.clip,
        fixed=tuple(fixed),
        positions=tuple(float(v) for v in values) if numeric else tuple(map(float, range(len(values)))),
        labels=tuple(map(text_of, values)),
        numeric=numeric,
        in_force=values.index(found.in_force),
        panels=tuple(panels),
        lanes=tuple(sorted(lanes, key=lambda lane: (-max(lane.seconds), lane.name))),
        columns=columns(found),
        rows=tuple(cells(found, p) for p in points),
        notes=found.notes,
        timing=timing(found),
    )


def timing(found: Sweep) -> str:
    """What the values cost, beside the same stages in the stored run."""
    return (
        f"{found.per_value_s:.2f} s a value, after {found.load_s:.1f} s for reading the checkpoints once; "
        f"in the stored run the same stages took {found.stored_s:.2f} s, without Dagster and storage"
    )
