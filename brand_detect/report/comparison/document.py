"""The comparison as a document: what two reports differ in.

``after`` is the point of view: gained is what only it has.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from brand_detect.domain.records import Record
from brand_detect.report.exports import DECIMALS

COMPARISON_VERSION = 1
"""Version of the document; it changes when a field changes its meaning or goes, not when one is added."""
BOX = ("x_px", "y_px", "w_px", "h_px")
SHORT_LIST = 50
"""Brands and verdicts that a document in short keeps for as long as it can."""


class Figures(Record):
    """One side in figures."""

    job_id: str
    attempt: str = Field(description="of compile_report")
    run_id: str
    created: str = Field(description="UTC, ISO 8601")
    video_uri: str
    video_sha256: str
    profile: str
    catalog_version: str
    range_s: tuple[float, float] = Field(description="what the report is about, s from the start of the video")
    brands: int
    exposures: int
    brand_seconds: float = Field(description="sum of all brands' seconds")
    any_brand_s: float = Field(description="time with any brand on screen, s")
    unresolved: int = Field(description="unresolved clusters")
    tracks: int
    own_s: float = Field(description="time spent in the stages that the other side does not share, s")
    questions: int = Field(description="asked in those stages")
    cost_usd: float = Field(description="of those questions")


class Place(Record):
    """Where to look: a box on a sampled frame."""

    side: Literal["before", "after"] = Field(description="whose frames")
    frame: int
    t_s: float
    x_px: float
    y_px: float
    w_px: float
    h_px: float


class Stretch(Record):
    """A time in which a brand is on screen on one side only, with its best detection there."""

    start_s: float
    end_s: float
    place: Place | None = Field(description="null when no detection of the brand lies in this time")


Spans = tuple[tuple[float, float], ...]


class BrandChange(Record):
    """A brand on both sides. Of two videos only the seconds are compared: gained and lost are their difference then."""

    brand_id: str
    brand: str
    change: str = Field(description="new, gone, changed or same")
    before_s: float = Field(description="time on screen, s")
    after_s: float
    difference_s: float = Field(description="after - before")
    exposures_before: int
    exposures_after: int
    gained_s: float = Field(description="time on screen after only, s; gained - lost is the difference")
    lost_s: float = Field(description="time on screen before only, s")
    gained: tuple[Stretch, ...] = Field(default=(), description="on screen after only, in order of time")
    lost: tuple[Stretch, ...] = Field(default=(), description="on screen before only")
    shown_before: Spans = Field(default=(), description="start and end of each exposure")
    shown_after: Spans = ()


class Outcome(Record):
    """What came of a track."""

    state: str = Field(description="resolved, ignored (the catalogue excludes it), unresolved or not_listed")
    brands: tuple[str, ...] = ()
    rule: str = ""
    decided_by: str = Field(default="", description="the stage that decided")


class VerdictChange(Record):
    """Tracks that both sides found, with one text (what readers confuse taken as equal) and one change of outcome."""

    text: str = Field(description="as most of them were read")
    before: Outcome
    after: Outcome
    confidence_before: float = Field(description="of the best verdict; 0 when there is none")
    confidence_after: float
    tracks: int
    seconds: float = Field(description="time on screen, every instant once")
    place: Place = Field(description="the largest and sharpest crop")


class TrackCounts(Record):
    """Ids of tracks come from the video and the boxes: equal detections make equal tracks."""

    both: int
    changed: int = Field(description="of those on both sides, with another outcome")
    only_before: int
    only_after: int


class Difference(Record):
    """One thing that was not the same; null where a side does not have it."""

    name: str
    before: Any
    after: Any


class StageChange(Record):
    """A stage on both sides."""

    stage: str
    attempt_before: str = Field(description='"" when its checkpoint is gone, as in attempt_after')
    attempt_after: str
    shared: bool = Field(description="one attempt stands behind both reports")
    before_s: float = Field(description="time spent in the stage, s")
    after_s: float
    params: tuple[Difference, ...]
    engines: tuple[Difference, ...] = Field(description="what did the work, and the version of the code")


class CatalogChange(Record):
    """The brand list that each side was matched with."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[Difference, ...] = Field(default=(), description="by brand and column")


class Comparison(Record):
    """The document."""

    schema_version: int = COMPARISON_VERSION
    before: Figures
    after: Figures
    headline: str = Field(description="what came of it, in a sentence")
    same_video: bool
    brands: tuple[BrandChange, ...] = Field(default=(), description="what gained or lost most first")
    verdicts: tuple[VerdictChange, ...] = Field(default=(), description="longest on screen first")
    tracks: TrackCounts
    stages: tuple[StageChange, ...] = Field(description="in the order of the pipeline")
    catalog: CatalogChange
    notes: tuple[str, ...] = Field(description="what keeps the two from being compared in full, in plain words")
    left_out: tuple[str, ...] = Field(default=(), description="fields that hold more in the whole document")


def in_short(comparison: Comparison, most_bytes: int) -> dict[str, Any]:
    """The document as JSON values of about ``most_bytes``: what is longest is left out, one kind after the other."""
    shortest = comparison.model_dump(mode="json")
    left_out: dict[str, Any] = {}
    for name, what in _long_parts(comparison):
        if len(json.dumps(shortest)) <= most_bytes:
            break
        left_out[name] = what
        named = comparison.model_copy(update={"left_out": tuple(left_out)})
        shortest = named.model_dump(mode="json", exclude=left_out)
    return shortest


def _long_parts(comparison: Comparison) -> Iterator[tuple[str, Any]]:
    """Fields and what of them may be left out, as pydantic takes it: the most telling last."""
    times = {"__all__": {"shown_before", "shown_after", "gained", "lost"}}
    yield "brands", times
    yield "catalog", {"added", "removed", "changed"}
    yield "verdicts", dict.fromkeys(range(SHORT_LIST, len(comparison.verdicts)), True)
    yield "brands", {**times, **dict.fromkeys(range(SHORT_LIST, len(comparison.brands)), True)}
    yield "verdicts", True


def box_of(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: rounded(row[name]) for name in BOX}


def rounded_spans(spans: Iterable[tuple[float, float]]) -> Spans:
    return tuple((rounded(start), rounded(end)) for start, end in spans)


def rounded(value: float) -> float:
    return round(float(value), DECIMALS)
