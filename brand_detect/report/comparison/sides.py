"""The two sides of a comparison: a report with its lineage."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.job import JobRequest
from brand_detect.domain.records import Record


class StageFacts(Record):
    """Facts about a stage's attempt."""

    attempt: str
    code_version: str
    params: dict[str, Any]
    engines: dict[str, str]
    stats: dict[str, float]
    stage_s: float


GONE = StageFacts(attempt="", code_version="", params={}, engines={}, stats={}, stage_s=0.0)


@dataclass(frozen=True)
class Side:
    """One of the two reports, with its lineage."""

    request: JobRequest
    attempt: str
    run_id: str
    created: str
    stages: Mapping[str, StageFacts]
    """Facts of the report and its ancestors, without those whose checkpoint is gone."""
    catalog: BrandCatalog
    scenes: FilteredScenes
    detected: DetectedObjects
    verdicts: BrandVerdicts
    report: Report

    @property
    def range_s(self) -> tuple[float, float]:
        start, end = self.report.summary["range_s"]
        return start, end

    def exposures(self) -> dict[str, list[tuple[float, float]]]:
        """Start and end of each brand's exposures, in order of time."""
        spans: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for row in self.report.exposures.select(["brand_id", "start_s", "end_s"]).sort_by("start_s").to_pylist():
            spans[row["brand_id"]].append((row["start_s"], row["end_s"]))
        return spans
