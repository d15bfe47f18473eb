"""Two reports side by side: seconds gained and lost, verdicts changed, what was set differently, what it cost.

Both may be attempts of one job, or of two. ``after`` is the point of view: gained is what only it has.
"""

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from brand_detect.domain import timeline
from brand_detect.domain.catalog import Brand, BrandCatalog
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.job import JobRequest
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.records import Record
from brand_detect.domain.text import fold, key_of
from brand_detect.report.exports import DECIMALS
from brand_detect.report.pages import fact
from brand_detect.report.words import cell, counted, duration, short, signed

COMPARISON_VERSION = 1
"""Version of the document; it changes when a field changes its meaning or goes, not when one is added."""
MARKDOWN_ROWS = 30
NAMES = 8
BOX = ("x_px", "y_px", "w_px", "h_px")
SHORT_LIST = 50
"""Brands and verdicts that a document in short keeps for as long as it can."""


class StageFacts(Record):
    """How a stage's attempt was made."""

    attempt: str
    code_version: str
    params: dict[str, Any]
    engines: dict[str, str]
    stats: dict[str, float]
    stage_s: float


GONE = StageFacts(attempt="", code_version="", params={}, engines={}, stats={}, stage_s=0.0)


@dataclass(frozen=True)
class Side:
    """One of the two reports, and what it was made from."""

    request: JobRequest
    attempt: str
    run_id: str
    created: str
    stages: Mapping[str, StageFacts]
    """Of the report and its ancestors; those whose checkpoint is gone are not there."""
    catalog: BrandCatalog
    scenes: FilteredScenes
    detected: DetectedObjects
    verdicts: BrandVerdicts
    report: Report

    @property
    def range_s(self) -> tuple[float, float]:
        start, end = self.report.summary["range_s"]
        return start, end


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


def compare(before: Side, after: Side) -> Comparison:
    """What ``after`` gained, lost and did differently."""
    same_video = before.request.video_sha256 == after.request.video_sha256
    stages = tuple(_stages(before, after))
    brands = tuple(sorted(_brands(before, after, same_video), key=_most_changed))
    verdicts, tracks = _verdicts(before, after)
    return Comparison(
        before=_figures(before, [s.stage for s in stages if not s.shared]),
        after=_figures(after, [s.stage for s in stages if not s.shared]),
        headline=_headline(brands, tracks),
        same_video=same_video,
        brands=brands,
        verdicts=verdicts,
        tracks=tracks,
        stages=stages,
        catalog=_catalog(before.catalog, after.catalog),
        notes=tuple(_notes(before, after, same_video, tracks)),
    )


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


def outcome_in_words(outcome: Outcome) -> str:
    """An outcome as people read it, without its confidence."""
    if outcome.state == "resolved":
        return f"{' and '.join(outcome.brands)} ({outcome.rule}, {outcome.decided_by})"
    return {"ignored": "ignored: excluded by the list", "not_listed": "not listed"}.get(outcome.state, outcome.state)


def in_words(comparison: Comparison) -> str:
    """The comparison in Markdown, the longest parts cut."""
    before, after = comparison.before, comparison.after
    lines = [comparison.headline, *(f"> {note}" for note in comparison.notes)]
    lines += _table(
        ("brand", "before", "after", "difference", "gained", "lost"),
        [
            (
                b.brand,
                duration(b.before_s),
                duration(b.after_s),
                signed(b.difference_s),
                *map(_some, (b.gained_s, b.lost_s)),
            )
            for b in comparison.brands
        ],
    )
    lines += _table(
        ("text", "before", "after", "tracks", "seconds"),
        [
            (v.text, outcome_in_words(v.before), outcome_in_words(v.after), v.tracks, duration(v.seconds))
            for v in comparison.verdicts
        ],
    )
    lines += _table(("set differently", "before", "after"), [(n, fact(b), fact(a)) for n, b, a in settings(comparison)])
    lines += _table(
        ("", "before", "after"),
        [
            ("report", before.attempt, after.attempt),
            ("unresolved clusters", before.unresolved, after.unresolved),
            ("stages not shared", duration(before.own_s), duration(after.own_s)),
            ("questions asked in them", before.questions, after.questions),
            ("their cost", f"{before.cost_usd:.4f} USD", f"{after.cost_usd:.4f} USD"),
        ],
    )
    return "\n\n".join(lines)


def settings(comparison: Comparison) -> Iterator[tuple[str, Any, Any]]:
    """Everything that was set differently: params, engines and the brand list, by name."""
    for stage in comparison.stages:
        for change in (*stage.params, *stage.engines):
            yield f"{stage.stage}.{change.name}", change.before, change.after
    catalog = comparison.catalog
    if catalog.added or catalog.removed:
        yield "brands in one list only", _listed(catalog.removed), _listed(catalog.added)
    for change in catalog.changed:
        yield change.name, change.before, change.after


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(names[:NAMES])
    return few if len(names) <= NAMES else f"{len(names)} brands, such as {few}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table in a list, or nothing if it would have no rows."""
    if not rows:
        return []
    lines = [[cell(short(str(value))) for value in row] for row in rows[:MARKDOWN_ROWS]]
    table = "\n".join(f"| {' | '.join(line)} |" for line in ([*head], ["---"] * len(head), *lines))
    return [table, *([f"{len(rows) - MARKDOWN_ROWS} more"] if len(rows) > MARKDOWN_ROWS else [])]


def _some(seconds: float) -> str:
    return duration(seconds) if seconds else ""


# --- brands and seconds ---------------------------------------------------------------------------------------------


def _brands(before: Side, after: Side, same_video: bool) -> Iterator[BrandChange]:
    totals = [{row["brand_id"]: row for row in side.report.brands.to_pylist()} for side in (before, after)]
    shown = [_exposures(side.report) for side in (before, after)]
    lost_of, gained_of = _Detections(before, "before"), _Detections(after, "after")
    for brand_id in sorted(totals[0].keys() | totals[1].keys()):
        was, now = (of.get(brand_id) for of in totals)
        spans = [of.get(brand_id, []) for of in shown]
        gained = timeline.minus(spans[1], spans[0]) if same_video else np.zeros((0, 2))
        lost = timeline.minus(spans[0], spans[1]) if same_video else np.zeros((0, 2))
        seconds = [row["seconds"] if row else 0.0 for row in (was, now)]
        difference = seconds[1] - seconds[0]
        parts = [
            timeline.union_seconds(span) if same_video else max(0.0, sign * difference)
            for span, sign in ((gained, 1), (lost, -1))
        ]
        named = now or was
        assert named is not None
        yield BrandChange(
            brand_id=brand_id,
            brand=named["brand"],
            change="new"
            if was is None
            else "gone"
            if now is None
            else "changed"
            if max(parts) > timeline.TOUCHING_S
            else "same",
            before_s=_rounded(seconds[0]),
            after_s=_rounded(seconds[1]),
            difference_s=_rounded(difference),
            exposures_before=was["n_exposures"] if was else 0,
            exposures_after=now["n_exposures"] if now else 0,
            gained_s=_rounded(parts[0]),
            lost_s=_rounded(parts[1]),
            gained=tuple(gained_of.stretches(brand_id, gained)),
            lost=tuple(lost_of.stretches(brand_id, lost)),
            shown_before=_spans(spans[0]),
            shown_after=_spans(spans[1]),
        )


def _most_changed(change: BrandChange) -> tuple[float, float, str]:
    return -(change.gained_s + change.lost_s), -max(change.before_s, change.after_s), change.brand_id


def _exposures(report: Report) -> dict[str, list[tuple[float, float]]]:
    spans: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in report.exposures.select(["brand_id", "start_s", "end_s"]).sort_by("start_s").to_pylist():
        spans[row["brand_id"]].append((row["start_s"], row["end_s"]))
    return spans


class _Detections:
    """The detections of one side, to find the best in a time."""

    def __init__(self, side: Side, name: Literal["before", "after"]) -> None:
        self._name: Literal["before", "after"] = name
        self._own: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in side.report.detections.sort_by("start_s").to_pylist():
            self._own[row["brand_id"]].append(row)
        shown = side.detected.regions.filter(pc.field("track_id").isin(side.report.detections["track_id"].unique()))
        self._seen_on = {
            (row["track_id"], row["frame"]): row["seen_on"][0]
            for row in shown.select(["track_id", "frame", "seen_on"]).to_pylist()
        }

    def stretches(self, brand_id: str, spans: Iterable[Sequence[float]]) -> Iterator[Stretch]:
        """``spans``, each with the place of the best detection whose cell lies in it."""
        own = self._own[brand_id]
        for start, end in spans:
            inside = own[bisect_left(own, start, key=_middle) : bisect_left(own, end, key=_middle)]
            best = max(inside, key=lambda d: (round(d["confidence"], 2), d["area_frac"]), default=None)
            yield Stretch(start_s=_rounded(start), end_s=_rounded(end), place=self._place(best) if best else None)

    def _place(self, row: Mapping[str, Any]) -> Place:
        # on its own frame the brand may be hidden; a duplicate shows it then
        frame = self._seen_on.get((row["track_id"], row["frame"]), row["frame"])
        return Place(side=self._name, frame=frame, t_s=_rounded(row["t_s"]), **_box(row))


def _middle(detection: Mapping[str, Any]) -> float:
    return (detection["start_s"] + detection["end_s"]) / 2


# --- verdicts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Settled:
    """The outcome of a track, with what was read and how sure it is."""

    outcome: Outcome
    text: str
    confidence: float


NOT_LISTED = _Settled(Outcome(state="not_listed"), "", 0.0)


def _verdicts(before: Side, after: Side) -> tuple[tuple[VerdictChange, ...], TrackCounts]:
    tracks = [set(side.detected.tracks["track_id"].to_pylist()) for side in (before, after)]
    settled = [_settled(side.verdicts) for side in (before, after)]
    both = tracks[0] & tracks[1]
    groups: defaultdict[tuple[str, Outcome, Outcome], list[str]] = defaultdict(list)
    texts: dict[str, str] = {}
    for track in sorted(both & (settled[0].keys() | settled[1].keys())):
        was, now = (of.get(track, NOT_LISTED) for of in settled)
        if was.outcome != now.outcome:
            text = texts[track] = now.text or was.text
            groups[fold(key_of(text)) or text, was.outcome, now.outcome].append(track)
    seen = _Seen(after, [track for group in groups.values() for track in group])
    changes = [
        VerdictChange(
            text=Counter(texts[track] for track in own).most_common(1)[0][0],
            before=was,
            after=now,
            confidence_before=_rounded(max(settled[0].get(t, NOT_LISTED).confidence for t in own)),
            confidence_after=_rounded(max(settled[1].get(t, NOT_LISTED).confidence for t in own)),
            tracks=len(own),
            seconds=_rounded(seen.seconds(own)),
            place=seen.best(own),
        )
        for (_, was, now), own in groups.items()
    ]
    changes.sort(key=lambda change: (-change.seconds, change.text, change.place.frame))
    counts = TrackCounts(
        both=len(both),
        changed=sum(map(len, groups.values())),
        only_before=len(tracks[0] - both),
        only_after=len(tracks[1] - both),
    )
    return tuple(changes), counts


def _settled(verdicts: BrandVerdicts) -> dict[str, _Settled]:
    """What came of each track that has a verdict or is listed as open."""
    found = {
        track: _Settled(Outcome(state="unresolved"), row["text"], 0.0)
        for row in verdicts.unresolved.select(["text", "track_ids"]).to_pylist()
        for track in row["track_ids"]
    }
    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in verdicts.verdicts.to_pylist():
        for track in row["track_ids"]:
            rows[track].append(row)
    for track, own in rows.items():
        best = max(own, key=lambda row: row["confidence"])
        outcome = Outcome(
            state=best["status"],
            brands=tuple(sorted({row["brand"] for row in own} - {""})),
            rule=", ".join(sorted({row["rule"] for row in own})),
            decided_by=", ".join(sorted({row["decided_by"] for row in own})),
        )
        found[track] = _Settled(outcome, best["text"], best["confidence"])
    return found


class _Seen:
    """Where and how long tracks are on screen."""

    def __init__(self, side: Side, tracks: Iterable[str]) -> None:
        self._cells = timeline.cells_of(side.scenes.timeline)
        self._times = dict(zip(*(side.scenes.timeline[c].to_pylist() for c in ("frame", "t_s")), strict=True))
        self._regions: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        columns = ["track_id", "frame", "seen_on", "area_frac", "sharpness", *BOX]
        wanted = pa.array(list(tracks), pa.string())
        for row in side.detected.regions.select(columns).filter(pc.field("track_id").isin(wanted)).to_pylist():
            self._regions[row["track_id"]].append(row)

    def seconds(self, tracks: Iterable[str]) -> float:
        frames = {row["frame"] for track in tracks for row in self._regions[track]} & self._cells.keys()
        return timeline.union_seconds(np.concatenate([np.zeros((0, 2)), *(self._cells[f] for f in sorted(frames))]))

    def best(self, tracks: Iterable[str]) -> Place:
        rows = (row for track in tracks for row in self._regions[track])
        best = max(rows, key=lambda row: (row["area_frac"] * (row["sharpness"] + 1), -row["frame"]))
        frame = best["seen_on"][0]
        return Place(side="after", frame=frame, t_s=_rounded(self._times[frame]), **_box(best))


# --- how it was made ------------------------------------------------------------------------------------------------


def _stages(before: Side, after: Side) -> Iterator[StageChange]:
    one_job = before.request.job_id == after.request.job_id
    for stage in LINE:
        was, now = (side.stages.get(stage, GONE) for side in (before, after))
        known = GONE not in (was, now)
        yield StageChange(
            stage=stage,
            attempt_before=was.attempt,
            attempt_after=now.attempt,
            shared=one_job and known and was.attempt == now.attempt,
            before_s=_rounded(was.stage_s),
            after_s=_rounded(now.stage_s),
            params=tuple(_differences(was.params, now.params)) if known else (),
            engines=tuple(_differences(_made_with(was), _made_with(now))) if known else (),
        )


def _made_with(facts: StageFacts) -> dict[str, str]:
    return {"code": facts.code_version, **facts.engines}


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield Difference(name=name, before=before.get(name), after=after.get(name))


def _catalog(before: BrandCatalog, after: BrandCatalog) -> CatalogChange:
    if before.version == after.version:
        return CatalogChange()
    was, now = ({brand.brand_id: brand for brand in catalog.brands} for catalog in (before, after))
    return CatalogChange(
        added=tuple(sorted(now[i].name for i in now.keys() - was.keys())),
        removed=tuple(sorted(was[i].name for i in was.keys() - now.keys())),
        changed=tuple(change for i in sorted(was.keys() & now.keys()) for change in _edits(was[i], now[i])),
    )


def _edits(before: Brand, after: Brand) -> Iterator[Difference]:
    for change in _differences(_fields(before), _fields(after)):
        yield change.model_copy(update={"name": f"{after.name}: {change.name}"})


def _fields(brand: Brand) -> dict[str, Any]:
    return {**vars(brand), "exemplars": [exemplar.file_name for exemplar in brand.exemplars]}


def _figures(side: Side, own: Sequence[str]) -> Figures:
    made = [side.stages[stage] for stage in own if stage in side.stages]
    spans = [span for spans in _exposures(side.report).values() for span in spans]
    return Figures(
        job_id=side.request.job_id,
        attempt=side.attempt,
        run_id=side.run_id,
        created=side.created,
        video_uri=side.request.video_uri,
        video_sha256=side.request.video_sha256,
        profile=side.request.profile,
        catalog_version=side.catalog.version,
        range_s=side.range_s,
        brands=side.report.brands.num_rows,
        exposures=side.report.exposures.num_rows,
        brand_seconds=_rounded(sum(side.report.brands["seconds"].to_pylist())),
        any_brand_s=_rounded(timeline.union_seconds(spans)),
        unresolved=side.report.unresolved.num_rows,
        tracks=side.detected.tracks.num_rows,
        own_s=_rounded(sum(facts.stage_s for facts in made)),
        questions=int(sum(facts.stats.get("questions", 0) for facts in made)),
        cost_usd=_rounded(sum(facts.stats.get("cost_usd", 0.0) for facts in made)),
    )


def _headline(brands: Sequence[BrandChange], tracks: TrackCounts) -> str:
    changes = []
    for seconds, verb in (([b.gained_s for b in brands], "gained"), ([b.lost_s for b in brands], "lost")):
        if number := sum(s > 0 for s in seconds):
            changes.append(f"{counted(number, 'brand')} {verb} {duration(sum(seconds))}")
    if tracks.changed:
        changes.append(f"{counted(tracks.changed, 'track')} got another verdict")
    return f"{', '.join(changes)}." if changes else "No brand gained or lost a second, and no verdict changed."


def _notes(before: Side, after: Side, same_video: bool, tracks: TrackCounts) -> Iterator[str]:
    if not same_video:
        yield (
            "These are two different videos: seconds per brand stand side by side, times and verdicts are not compared."
        )
    elif (before.request.job_id, before.attempt) == (after.request.job_id, after.attempt):
        yield "Both sides are the same report."
    elif before.range_s != after.range_s:
        ranges = " and ".join(f"{start:.1f} to {end:.1f} s" for start, end in (before.range_s, after.range_s))
        yield f"The reports are about different parts of the video: {ranges}."
    if same_video and tracks.only_before + tracks.only_after:
        yield (
            f"The detections differ: {tracks.only_before} of {tracks.only_before + tracks.both} tracks were found "
            f"before only, {tracks.only_after} of {tracks.only_after + tracks.both} after only. They are not among the "
            "verdicts that changed."
        )
    corrected = [
        {r["review_id"] for r in side.report.summary.get("reviews", ()) if r["state"] == "applied"}
        for side in (before, after)
    ]
    if same_video and corrected[0] != corrected[1]:
        yield (
            f"People's corrections differ: {len(corrected[0])} are applied before, {len(corrected[1])} after. They "
            "change brands and seconds, and no verdict or param."
        )
    for name, side in (("before", before), ("after", after)):
        if gone := [stage for stage in LINE if stage not in side.stages]:
            yield f"Checkpoints of the report {name} are gone, params and times with them: {', '.join(gone)}."


def _box(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: _rounded(row[name]) for name in BOX}


def _spans(spans: Iterable[tuple[float, float]]) -> Spans:
    return tuple((_rounded(start), _rounded(end)) for start, end in spans)


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS)
