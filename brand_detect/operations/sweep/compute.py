"""Computes a sweep's points: runs the stages from the swept one down, in memory, on a lineage's payloads."""

from collections.abc import Mapping
from functools import lru_cache
from typing import cast

from brand_detect import stages
from brand_detect.catalog import LexiconIndex
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts.compile_report import CompileReportParams, Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.run_ocr import TrackTexts
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.params import Params
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.protocols import BrandIndex, LogoGallery
from brand_detect.domain.records import Payload
from brand_detect.engines.canvas import OpenCvCanvas
from brand_detect.engines.image import OpenCvCodec
from brand_detect.operations.sweep.lineage import Lineage
from brand_detect.orchestration.gallery import known_gallery
from brand_detect.orchestration.profiles import load_quality
from brand_detect.storage.frames import StoredFrames

LOOKUPS = 65_536
"""Limit of texts whose brands are cached across values."""


class _Remembering:
    """A brand index with a cache: most params do not change which brand a text names."""

    def __init__(self, index: BrandIndex) -> None:
        self.version = index.version
        self.find = lru_cache(LOOKUPS)(index.find)
        self.find_occluded = lru_cache(LOOKUPS)(index.find_occluded)
        self.find_occluded_between = lru_cache(LOOKUPS)(index.find_occluded_between)
        self.by_chance = index.by_chance
        self.crowding = index.crowding
        self.find_likely = index.find_likely
        self.find_joined = index.find_joined
        self.find_abridged = index.find_abridged
        self.may_hold = index.may_hold
        self.is_excluded = lru_cache(LOOKUPS)(index.is_excluded)
        self.may_begin = lru_cache(LOOKUPS)(index.may_begin)
        self.may_end = lru_cache(LOOKUPS)(index.may_end)
        self.named = lru_cache(LOOKUPS)(index.named)
        self.near = lru_cache(LOOKUPS)(index.near)


class Compute:
    """The stages from ``first`` down; results that do not depend on the value are cached."""

    def __init__(self, lineage: Lineage, first: str, catalog: BrandCatalog | None) -> None:
        self.lineage, self._first = lineage, first
        self.catalog = catalog or lineage.catalog
        self._scale = load_quality("default")
        self._frames = lineage.load(Stage.extract_frames, ExtractedFrames)
        self._scenes = lineage.load(Stage.filter_scenes, FilteredScenes)
        self._detected = lineage.load(Stage.detect_objects, DetectedObjects)
        self._gallery: LogoGallery | None = None
        self.lacks_logos = False
        """Whether logos would be matched, but for embeddings that are not stored."""
        self._matched: tuple[Params, BrandVerdicts] | None = None
        if first != Stage.compile_report or lineage.reviews:
            self._index = _Remembering(LexiconIndex(self.catalog))
        if first == Stage.compile_report:
            lineage.load(Stage.escalate_cloud, BrandVerdicts)
            return
        _ = lineage.rounds
        if first != Stage.match_brands:
            lineage.load(Stage.match_brands, BrandVerdicts)
            return
        lineage.load(Stage.run_ocr, TrackTexts)
        if self._detected.embedder and self.catalog.n_exemplars:
            self._gallery = known_gallery(lineage.store, self.catalog, self._detected.embedder)

    def report(self, params: Mapping[str, Params]) -> tuple[BrandVerdicts, Report]:
        """Verdicts of the last escalation, and the report with the lineage's corrections.

        The quality scale is the package's, and there is no inventory: no figure of a sweep depends on either, and the
        job's own may lie on another machine.
        """
        reviews = self.lineage.reviews
        verdicts = self._verdicts(params)
        report = stages.compile_report(
            self.lineage.request,
            self._frames,
            self._scenes,
            self._detected,
            verdicts,
            cast("CompileReportParams", params[Stage.compile_report]),
            scale=self._scale,
            statistics={},
            reviews=reviews,
            named=self._index.named if reviews else lambda _: None,
            brands={brand.brand_id: brand for brand in self.catalog.brands},
        )
        return verdicts, report

    def _verdicts(self, params: Mapping[str, Params]) -> BrandVerdicts:
        if self._first == Stage.compile_report:
            return self.lineage.load(Stage.escalate_cloud, BrandVerdicts)
        verdicts = self._match(cast("MatchBrandsParams", params[Stage.match_brands]))
        frames = StoredFrames(
            self.lineage.store, self.lineage.ref(Stage.extract_frames), self._frames.frames, OpenCvCodec()
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
            wants_logos = bool(params.max_false_accept_rate and self._detected.embedder and self.catalog.n_exemplars)
            gallery = self._gallery if wants_logos else None
            self.lacks_logos |= wants_logos and gallery is None
            made = stages.match_brands(self._scenes, self._detected, texts, params, index=self._index, gallery=gallery)
            self._matched = params, made
        return self._matched[1]

    def unasked(self, report: Report) -> int:
        """Number of unresolved clusters without a stored question; 0 if the lineage's models were never asked."""
        if self._first == Stage.compile_report or all(r.params.provider.value == "off" for r in self.lineage.rounds):
            return 0
        asked = {c for r in self.lineage.rounds for c in r.answers["cluster_id"].to_pylist()}
        return sum(c not in asked for c in report.unresolved["cluster_id"].to_pylist())

    def payloads(self) -> dict[str, Payload]:
        """The upstream payloads that a scorer reads."""
        return {
            Stage.filter_scenes: self._scenes,
            Stage.detect_objects: self._detected,
            Stage.run_ocr: self.lineage.load(Stage.run_ocr, TrackTexts),
        }
