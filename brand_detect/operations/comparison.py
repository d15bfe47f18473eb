"""Compares two stored reports."""

from dataclasses import dataclass
from typing import TypeVar

from brand_detect.catalog import catalog_from_json
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.errors import Permanent
from brand_detect.domain.history import reports_to_compare
from brand_detect.domain.job import JobRequest
from brand_detect.domain.pipeline import CATALOG, LINE, ROOT, Stage
from brand_detect.domain.protocols import FrameReader, ImageCodec
from brand_detect.report.comparison import Comparison, Side, StageFacts, compare
from brand_detect.report.comparison_page import render
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.codec import Value
from brand_detect.storage.frames import StoredFrames
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.reports import Reports
from brand_detect.storage.store import Store

V = TypeVar("V", bound=Value)


@dataclass(frozen=True)
class Compared:
    """A comparison of two reports, and access to their frames."""

    before: AttemptRef
    after: AttemptRef
    document: Comparison
    store: Store
    codec: ImageCodec

    @property
    def name(self) -> str:
        return f"{self.before.attempt}--{self.after.attempt}"

    def page(self, *, served: bool = False) -> str:
        """The HTML page, with pictures where the frames still exist; ``served`` with links to the service's pages."""
        return render(
            self.document,
            {side: self._frames(ref) for side, ref in (("before", self.before), ("after", self.after))},
            self.codec,
            served=served,
        )

    def _frames(self, report: AttemptRef) -> FrameReader | None:
        frames = AttemptRef(
            report.job_id, Stage.extract_frames, self.store.manifest(report).upstream[Stage.extract_frames]
        )
        try:
            extracted, there = _load(self.store, frames, ExtractedFrames), self.store.with_frames(frames)
        except Permanent:  # deleted: the page says so
            return None
        return StoredFrames(self.store, there, extracted.frames, self.codec)


def compared(
    store: Store, codec: ImageCodec, job_id: str, attempt: str = "", with_attempt: str = "", with_job: str = ""
) -> Compared:
    """Compare the report ``attempt`` of ``job_id`` (default: the newest) with ``with_attempt``.

    By default that is the report before it or, with another job ``with_job``, the newest report of that job. A prefix
    of an attempt's name is enough.

    Raises:
        BadInput: there is no such report, or no report to compare it with.
        Permanent: a checkpoint in the reports' lineage has been deleted.
    """
    other = with_job or job_id
    reports, others = (Reports(store).all(job) if job else () for job in (job_id, with_job))
    names = reports_to_compare(job_id, reports, attempt, with_attempt, with_job, others)
    before, after = (
        AttemptRef(job, Stage.compile_report, name) for job, name in zip((other, job_id), names, strict=True)
    )
    return Compared(before, after, compare(load_side(store, before), load_side(store, after)), store, codec)


def load_side(store: Store, report: AttemptRef) -> Side:
    """Load a report with its lineage, as its manifest names it."""
    manifest = store.manifest(report)
    version = manifest.upstream[CATALOG]
    refs = {stage: AttemptRef(report.job_id, stage, name) for stage, name in manifest.upstream.items() if stage in LINE}
    refs[report.stage] = report
    return Side(
        request=_load(store, refs[ROOT], JobRequest),
        attempt=report.attempt,
        run_id=manifest.run_id,
        created=manifest.created,
        stages={stage: _facts(store.manifest(ref)) for stage, ref in refs.items() if store.exists(ref)},
        catalog=catalog_from_json(store.snapshots.read(version), version),
        scenes=_load(store, refs[Stage.filter_scenes], FilteredScenes),
        detected=_load(store, refs[Stage.detect_objects], DetectedObjects),
        verdicts=_load(store, refs[Stage.escalate_cloud], BrandVerdicts),
        report=_load(store, report, Report),
    )


def _facts(manifest: Manifest) -> StageFacts:
    return StageFacts(**{name: getattr(manifest, name) for name in StageFacts.model_fields})


def _load(store: Store, ref: AttemptRef, kind: type[V]) -> V:
    value = store.load(ref)
    assert isinstance(value, kind)
    return value
