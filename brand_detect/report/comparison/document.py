"""The comparison of two reports as a document.

Gained means present only in ``after``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from brand_detect.domain.records import Record
from brand_detect.domain.tables import BOX
from brand_detect.report.exports import DECIMALS

COMPARISON_VERSION = 1
"""Version of the document; raised when a field changes its meaning or is removed, not when one is added."""
SHORT_LIST = 50
"""Number of brands and verdicts that a shortened document keeps if possible."""


class Figures(Record):
    """Figures of one side."""

    job_id: str
    attempt: str = Field(description="attempt of compile_report")
    run_id: str
    created: str = Field(description="UTC, ISO 8601")
    video_uri: str
    video_sha256: str
    profile: str
    catalog_version: str
    range_s: tuple[float, float] = Field(description="reported range, s from the start of the video")
    brands: int
    exposures: int
    brand_seconds: float = Field(description="sum of all brands' seconds")
    any_brand_s: float = Field(description="time with any brand on screen, s")
    unresolved: int = Field(description="unresolved clusters")
    tracks: int
    own_s: float = Field(description="time spent in stages that the sides do not share, s")
    questions: int = Field(description="questions asked in those stages")
    cost_usd: float = Field(description="cost of those questions")


class Place(Record):
    """A box on a sampled frame."""

    side: Literal["before", "after"] = Field(description="whose frames")
    frame: int
    t_s: float
    x_px: float
    y_px: float
    w_px: float
    h_px: float


class Stretch(Record):
    """A span in which a brand is on screen on one side only, with its best detection."""

    start_s: float
    end_s: float
    place: Place | None = Field(description="null if the span has no detection of the brand")


Spans = tuple[tuple[float, float], ...]


class BrandChange(Record):
    """A brand on both sides. For two different videos, gained or lost is just the difference in seconds."""

    brand_id: str
    brand: str
    change: str = Field(description="new, gone, changed or same")
    before_s: float = Field(description="time on screen, s")
    after_s: float
    difference_s: float = Field(description="after - before")
    exposures_before: int
    exposures_after: int
    gained_s: float = Field(description="time on screen only after, s; gained - lost is the difference")
    lost_s: float = Field(description="time on screen only before, s")
    gained: tuple[Stretch, ...] = Field(default=(), description="spans on screen only after, in order of time")
    lost: tuple[Stretch, ...] = Field(default=(), description="spans on screen only before")
    shown_before: Spans = Field(default=(), description="start and end of each exposure")
    shown_after: Spans = ()


class Outcome(Record):
    """The outcome of a track."""

    state: str = Field(description="resolved, ignored (the catalogue excludes it), unresolved or not_listed")
    brands: tuple[str, ...] = ()
    rule: str = ""
    decided_by: str = Field(default="", description="the deciding stage")


class VerdictChange(Record):
    """Tracks of both sides with the same text (confusable characters count as equal) and the same change of outcome."""

    text: str = Field(description="the most frequent text")
    before: Outcome
    after: Outcome
    confidence_before: float = Field(description="confidence of the best verdict; 0 without one")
    confidence_after: float
    tracks: int
    seconds: float = Field(description="time on screen, every instant counted once")
    place: Place = Field(description="the largest and sharpest crop")


class TrackCounts(Record):
    """Counts of tracks. Track ids derive from video and boxes: equal detections give equal ids."""

    both: int
    changed: int = Field(description="tracks on both sides with a different outcome")
    only_before: int
    only_after: int


class Difference(Record):
    """One value that differs; null if a side lacks it."""

    name: str
    before: Any
    after: Any


class StageChange(Record):
    """A stage on both sides."""

    stage: str
    attempt_before: str = Field(description='"" if its checkpoint is gone; likewise attempt_after')
    attempt_after: str
    shared: bool = Field(description="both reports use the same attempt")
    before_s: float = Field(description="time spent in the stage, s")
    after_s: float
    params: tuple[Difference, ...]
    engines: tuple[Difference, ...] = Field(description="different engines and code versions")


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
    headline: str = Field(description="summary in one sentence")
    same_video: bool
    brands: tuple[BrandChange, ...] = Field(default=(), description="largest change first")
    verdicts: tuple[VerdictChange, ...] = Field(default=(), description="longest on screen first")
    tracks: TrackCounts
    stages: tuple[StageChange, ...] = Field(description="in the order of the pipeline")
    catalog: CatalogChange
    notes: tuple[str, ...] = Field(description="limits of the comparison, in plain words")
    left_out: tuple[str, ...] = Field(default=(), description="lists that are longer in the full document")


def in_short(comparison: Comparison, most_bytes: int) -> dict[str, Any]:
    """The document as JSON values of about ``most_bytes``: the longest lists are cut, one after the other."""
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
    """Parts that may be left out, in pydantic's notation; the most informative last."""
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
