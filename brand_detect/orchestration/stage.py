"""Builds the stage assets: each resolves config and lineage, calls its stage once and hands over an attempt."""

import hashlib
import inspect
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import dagster as dg
import pyarrow as pa

from brand_detect.catalog import catalog_from_json
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts import Escalation, effective
from brand_detect.domain.contracts.compile_report import CompileReportParams, Report
from brand_detect.domain.contracts.detect_objects import DetectObjectsParams
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.errors import BrandDetectError, Transient
from brand_detect.domain.inventory import Inventory
from brand_detect.domain.job import JobRequest
from brand_detect.domain.params import Params
from brand_detect.domain.pipeline import CATALOG, LINE, ROOT, STAGES, Stage
from brand_detect.domain.proposals import Proposal, corrected, proposed
from brand_detect.domain.protocols import (
    Answerer,
    AnswerMemory,
    BrandIndex,
    FrameReader,
    LogoEmbedder,
    LogoGallery,
    Media,
    Progress,
)
from brand_detect.domain.quality import QualityScale
from brand_detect.domain.records import Payload
from brand_detect.domain.reviews import Review, log_digest
from brand_detect.domain.settings import Settings
from brand_detect.engines.memory import give_back_freed
from brand_detect.engines.onnx import give_back_buffers
from brand_detect.orchestration.checks import Check
from brand_detect.orchestration.config import CONFIGS, explicit
from brand_detect.orchestration.events import FULL_PICTURE, PICTURE, check_metadata, is_off, table_schemas
from brand_detect.orchestration.gallery import load_gallery
from brand_detect.orchestration.lineage import Lineage, begun, first_run, input_tags
from brand_detect.orchestration.models import answerer
from brand_detect.orchestration.partitions import JOBS, OWNER
from brand_detect.orchestration.profiles import load_inventory, load_profile, load_quality
from brand_detect.orchestration.resources import Engines, Services
from brand_detect.orchestration.snapshots import own_files
from brand_detect.report.pictures import picture
from brand_detect.stages.compile_report.corrections import Named
from brand_detect.storage.answers import Answers
from brand_detect.storage.attempts import AttemptRef, AttemptWriter
from brand_detect.storage.codec import Value
from brand_detect.storage.frames import StoredFrames
from brand_detect.storage.manifest import CheckOutcome
from brand_detect.storage.own_files import OwnFiles
from brand_detect.storage.reviews import Reviews
from brand_detect.storage.store import Store

P_co = TypeVar("P_co", bound=Params, covariant=True)

MAX_RETRIES = 2
RETRY_PAUSE_S = 5
"""Retries of a step after a transient error."""
GIVE_BACK_S = 20.0  # between two returns of freed memory within a stage
PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class AttemptDraft:
    """What a step hands to the I/O manager: the payload and the contents of its manifest."""

    writer: AttemptWriter
    value: Value
    code_version: str
    params: Mapping[str, Any]
    overrides: Mapping[str, Any]
    stage_s: float
    lineage: Lineage = field(default_factory=lambda: Lineage({}))
    inputs: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    """Content hashes of inputs from outside the store."""
    engines: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[CheckOutcome, ...] = ()
    proposals: Sequence[Proposal] = ()
    """Stored once the attempt is committed, if no blocking check failed."""
    picture: bytes | None = None


@dataclass(frozen=True)
class StageRun(Generic[P_co]):
    """Everything a stage needs, bound to one job and one attempt."""

    job_id: str
    stage: str
    params: P_co
    request: JobRequest
    lineage: Lineage
    store: Store
    sink: AttemptWriter
    media: Media
    engines: Engines
    settings: Settings
    progress: Progress
    own_files: Callable[[], OwnFiles]
    """The user's own prompts, quality scales and inventories."""
    first_run: Callable[[], str]
    """The run, or the first of the failed runs that it continues: they share a budget."""
    begun: Callable[[], str]
    """When ``first_run`` started, UTC in ISO 8601, to the second."""
    used: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    """Content hashes of inputs other than checkpoints."""
    proposals: list[Proposal] = field(default_factory=list)

    def use(self, role: str, engine: Any) -> Any:
        """Return ``engine`` and record its identity in the manifest under ``role``."""
        self.used[role] = engine.identity
        return engine

    def load(self, stage: str) -> Value:
        """The payload of an ancestor in this lineage."""
        return self.store.load(AttemptRef(self.job_id, stage, self.lineage.attempts[stage]))

    def frames(self, extracted: ExtractedFrames) -> FrameReader:
        """A reader of this lineage's stored frames."""
        return StoredFrames(self.store, self._frames_ref, extracted.frames, self.engines.codec())

    @cached_property
    def _frames_ref(self) -> AttemptRef:
        """The attempt that holds the frames; looked up once for the stage and its picture."""
        made = self.lineage.attempts.get(Stage.extract_frames)  # absent in extract_frames itself, which is writing them
        return self.store.with_frames(AttemptRef(self.job_id, Stage.extract_frames, made)) if made else self.sink.ref

    def answerer(self: "StageRun[Escalation]") -> Answerer | None:
        """The model that answers in this stage; None if it is off."""
        if self.engines.answerer is not None:
            found = self.engines.answerer(self.stage, self.params)
        else:
            prompts = {} if self.params.provider.value == "off" else self.own_files().prompts
            found = answerer(self.stage, self.params, self.settings, self.store, prompts, self.first_run())
        if found is not None:
            self.used["answerer"] = f"{found.provider}/{found.model}, prompt {found.prompt_version}"
        return found

    def memory(self: "StageRun[Escalation]") -> AnswerMemory:
        """Earlier answers of models, over all jobs; with ``ask_again`` those that ``first_run`` and its re-executions
        have already paid for."""
        return Answers(self.store.blobs, self.begun() if self.params.ask_again else "")

    def settled(self) -> BrandVerdicts | None:
        """In a retry, the verdicts of the escalation that it continues."""
        if not self.lineage.continues:
            return None
        return cast(
            "BrandVerdicts", self.store.load(AttemptRef(self.job_id, Stage.escalate_cloud, self.lineage.continues))
        )

    @cached_property
    def catalog(self) -> BrandCatalog:
        """This lineage's catalogue snapshot."""
        version = self.lineage.attempts[CATALOG]
        return catalog_from_json(self.store.snapshots.read(version), version)

    def brand_index(self) -> BrandIndex:
        """The index of this lineage's catalogue."""
        return self.engines.brand_index(self.catalog)

    def gallery(self, catalog: BrandCatalog, embedder: str) -> LogoGallery | None:
        """The catalogue's gallery for the embeddings of ``detect_objects``; None if either has none."""
        if not embedder:
            return None

        def make() -> LogoEmbedder | None:
            made = self.store.manifest(
                AttemptRef(self.job_id, Stage.detect_objects, self.lineage.attempts[Stage.detect_objects])
            )
            return self.engines.logo_embedder(DetectObjectsParams.model_validate(made.params))

        found = load_gallery(self.store, catalog, embedder, make, self.engines.artwork(), self.progress)
        if found is not None:
            self.used["gallery"] = embedder
        return found

    def quality(self: "StageRun[CompileReportParams]") -> QualityScale:
        """The quality scale of the report."""
        own = self.own_files().quality
        scale = load_quality(self.params.quality, own)
        self.used["quality"] = f"{self.params.quality} {scale.version} {scale.digest}"
        if self.params.quality in own:  # packaged scales are part of the code version
            self.sources["quality"] = scale.digest
        return scale

    def inventory(self: "StageRun[CompileReportParams]") -> Inventory | None:
        """The inventory of the property, if one is set."""
        found = load_inventory(self.params.inventory, self.own_files().inventory)
        if found is not None:
            self.used["inventory"] = f"{self.params.inventory} {found.version} {found.digest}"
            self.sources["inventory"] = found.digest
        return found

    def reviews(self) -> tuple[list[Review], list[str]]:
        """Reviews of the job's reports, part of the recipe if there are any, and notes on damaged ones."""
        log, damaged = Reviews(self.store.blobs, self.job_id).read()
        if log:
            self.sources["reviews"] = log_digest(log)
        return log, damaged

    def propose(self, report: Report, verdicts: BrandVerdicts, located: pa.Table, known: Named) -> None:
        """Propose the report's unresolved clusters and people's corrections for the catalogue.

        ``located`` is REPORT_UNRESOLVED before any cluster was named; ``known`` finds the catalogue's brands.
        """
        frames = self.lineage.attempts[Stage.extract_frames]
        brands = dict(zip(*(report.brands[c].to_pylist() for c in ("brand", "seconds")), strict=True))
        brands |= dict.fromkeys(report.summary.get("excluded_brands", {}).values(), math.inf)
        self.proposals.extend(proposed(report.unresolved, verdicts.answers, brands, self.job_id, frames))
        self.proposals.extend(corrected(report, verdicts.verdicts, located, known, self.job_id, frames))

    def draw(self, payloads: Mapping[str, Any]) -> bytes | None:
        """Store the pictures of the stage's result and return the small one; None if there is nothing to show."""
        extracted = cast("ExtractedFrames", payloads.get(Stage.extract_frames) or self.load(Stage.extract_frames))
        engines = self.engines
        drawn = picture(self.stage, payloads, self.frames(extracted), engines.canvas(), engines.codec())
        if drawn is None:
            return None
        self.sink.write(PICTURE, drawn.small)
        self.sink.write(FULL_PICTURE, drawn.full)
        return drawn.small

    def statistics(self) -> dict[str, Any]:
        """Facts about the lineage that the payloads do not hold: seconds, params and engines per stage."""
        manifests = {
            s: self.store.manifest(AttemptRef(self.job_id, s, a)) for s, a in self.lineage.attempts.items() if s in LINE
        }
        return {
            "job_id": self.job_id,
            "profile": self.request.profile,
            "seconds": {stage: m.stage_s for stage, m in manifests.items()},
            "stats": {stage: m.stats for stage, m in manifests.items() if m.stats},
            "params": {stage: m.params for stage, m in manifests.items()}
            | {self.stage: self.params.model_dump(mode="json")},
            "engines": {stage: m.engines for stage, m in manifests.items() if m.engines},
            "lineage": dict(self.lineage.attempts),
        }


def stage_asset(
    *,
    code_version: str,
    kinds: set[str],
    work: str,
    packages: Sequence[str] = (),
    shipped: Sequence[str] = (),
    pool: str | None = None,
    checks: Sequence[Check] = (),
) -> Callable[[Callable[..., Payload]], dg.AssetsDefinition]:
    """Turn ``fn(run, **inputs) -> payload`` into the asset of the stage of that name.

    The parameters of ``fn`` after ``run`` are its upstream assets. ``packages`` and ``shipped`` (files or folders of
    this package) affect the result as the code does: they are part of the code version that Dagster and the recipe
    see. The results of ``checks`` go into the manifest. ``work`` names the kind of work, such as ``decoding``.
    """

    def decorate(fn: Callable[..., Payload]) -> dg.AssetsDefinition:
        stage = fn.__name__
        inputs = tuple(inspect.signature(fn).parameters)[1:]
        version = code_version_of(code_version, packages, shipped)

        def compute(context: dg.AssetExecutionContext, **values: Any) -> Iterator[dg.Output | dg.AssetCheckResult]:
            store: Store = context.resources.services.store
            with dagster_errors(context.instance, context.run.run_id):
                sink = store.begin(attempt_ref(context, stage))
                with sink.discard_on_error():
                    draft = _run_stage(context, fn, sink, version, values, checks)
                    tags = input_tags(context.instance, store, context.partition_key, draft.lineage, inputs)
            yield dg.Output(draft, tags=tags)
            for outcome in draft.checks:
                yield dg.AssetCheckResult(
                    passed=outcome.passed,
                    check_name=outcome.name,
                    description=outcome.detail or None,
                    metadata=check_metadata(outcome, context.partition_key),
                    severity=dg.AssetCheckSeverity.ERROR if outcome.blocking else dg.AssetCheckSeverity.WARN,
                )

        compute.__name__ = stage
        return dg.asset(
            name=stage,
            description=inspect.getdoc(fn),
            ins={name: dg.AssetIn() for name in inputs},
            partitions_def=JOBS,
            io_manager_key="checkpoints",
            required_resource_keys={"services", "checkpoints"},
            config_schema=CONFIGS[stage].to_config_schema().as_field(),
            code_version=version,
            group_name="pipeline",
            kinds=kinds,
            owners=[OWNER],
            tags={"stage": str(STAGES.index(stage) + 1), "work": work},
            metadata=table_schemas(stage),
            pool=pool,
            check_specs=[
                dg.AssetCheckSpec(c.name, asset=stage, description=c.description, blocking=c.blocking) for c in checks
            ],
        )(compute)

    return decorate


def code_version_of(code_version: str, packages: Sequence[str], shipped: Sequence[str] = ()) -> str:
    """``code_version``, the installed versions of ``packages``, and digests of the files and folders ``shipped``.

    Optional packages that are not installed are left out.
    """
    found = {d.name.lower(): d.version for p in packages for d in metadata.distributions(name=p)}
    found |= {name: _digest(PACKAGE / name) for name in shipped}
    return " ".join([code_version, *(f"{name} {found[name]}" for name in sorted(found))])


@cache
def _digest(path: Path) -> str:
    """Digest of a file, or of the names and contents of all files in a folder; 10 ms for the largest file, 9 MB."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and not file.name.startswith("."):  # an editor's
            digest.update(file.relative_to(path).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _giving_back(progress: Progress) -> Progress:
    """``progress`` that also gives freed memory back now and then: a long stage would hold what its peaks leave."""
    last = time.monotonic()

    def said(done: float, total: float, unit: str) -> None:
        nonlocal last
        if time.monotonic() - last >= GIVE_BACK_S:
            give_back_freed()
            last = time.monotonic()
        progress(done, total, unit)

    return said


def _run_stage(
    context: dg.AssetExecutionContext,
    fn: Callable[..., Payload],
    sink: AttemptWriter,
    code_version: str,
    values: Mapping[str, Any],
    checks: Sequence[Check],
) -> AttemptDraft:
    give_back_buffers()  # what the stage before no longer needs
    give_back_freed()
    services = cast("Services", context.resources.services)
    job_id, stage = sink.ref.job_id, sink.ref.stage
    lineage: Lineage = context.resources.checkpoints.lineage(context.run, job_id, stage)
    request = services.store.load(AttemptRef(job_id, ROOT, lineage.attempts[ROOT]))
    assert isinstance(request, JobRequest)
    overrides = explicit(context.op_execution_context.op_config)
    params = effective(stage, load_profile(request.profile).get(stage, {}), request.overrides.get(stage, {}), overrides)
    run = StageRun(
        job_id=job_id,
        stage=stage,
        params=params,
        request=request,
        lineage=lineage,
        store=services.store,
        sink=sink,
        media=services.media,
        engines=services.engines,
        settings=services.settings,
        progress=_giving_back(services.progress(stage, context.log)),
        own_files=cache(partial(own_files, context.instance, services.store)),
        first_run=partial(first_run, context.instance, context.run),
        begun=partial(begun, context.instance, context.run),
    )
    began = time.perf_counter()
    value = fn(run, **values)
    stage_s = time.perf_counter() - began
    outcomes = tuple(check.outcome(value, values, params) for check in checks)
    if any(o.blocking and not o.passed for o in outcomes):  # it would fail again
        context.instance.add_run_tags(context.run.run_id, {"dagster/max_retries": "0"})
    run.sink.seal()
    used = params.model_dump(mode="json")
    shown = None if is_off(used) else run.draw({**values, stage: value})
    return AttemptDraft(
        writer=run.sink,
        value=value,
        code_version=code_version,
        params=used,
        overrides=overrides,
        stage_s=stage_s,
        lineage=lineage,
        inputs=tuple(values),
        sources=run.sources,
        engines=run.used,
        checks=outcomes,
        proposals=run.proposals,
        picture=shown,
    )


def attempt_ref(context: dg.AssetExecutionContext, stage: str) -> AttemptRef:
    """The attempt of the running step; an op retry never writes into the first try's folder."""
    return AttemptRef(context.partition_key, stage, f"{context.run.run_id}-{context.retry_number}")


@contextmanager
def dagster_errors(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Raise domain errors as Dagster failures, with one sentence and a hint; only ``Transient`` ones are retried.

    ``allow_retries`` stops retries of the step only, so the run is tagged for the daemon that re-executes runs.
    """
    try:
        yield
    except Transient as e:
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=RETRY_PAUSE_S) from e
    except BrandDetectError as e:
        instance.add_run_tags(run_id, {"dagster/max_retries": "0"})
        raise dg.Failure(description=e.full, allow_retries=False) from e
