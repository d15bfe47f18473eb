"""Compares two reports: seconds gained and lost, changed verdicts, different params, time and cost.

They may belong to one job or to two.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from brand_detect.domain import timeline
from brand_detect.domain.catalog import Brand, BrandCatalog
from brand_detect.domain.contracts.compile_report import ReviewState, corrections
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.words import counted
from brand_detect.report.comparison.brands import brand_changes
from brand_detect.report.comparison.document import (
    BrandChange,
    CatalogChange,
    Comparison,
    Difference,
    Figures,
    StageChange,
    TrackCounts,
    rounded,
)
from brand_detect.report.comparison.sides import GONE, Side, StageFacts
from brand_detect.report.comparison.verdicts import verdict_changes
from brand_detect.report.words import duration


def compare(before: Side, after: Side) -> Comparison:
    """Compare ``after`` with ``before``."""
    same_video = before.request.video_sha256 == after.request.video_sha256
    stages = tuple(_stages(before, after))
    brands = tuple(sorted(brand_changes(before, after, same_video), key=_most_changed))
    verdicts, tracks = verdict_changes(before, after)
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


def _most_changed(change: BrandChange) -> tuple[float, float, str]:
    return -(change.gained_s + change.lost_s), -max(change.before_s, change.after_s), change.brand_id


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
            before_s=rounded(was.stage_s),
            after_s=rounded(now.stage_s),
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
    spans = [span for spans in side.exposures().values() for span in spans]
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
        brand_seconds=rounded(sum(side.report.brands["seconds"].to_pylist())),
        any_brand_s=rounded(timeline.union_seconds(spans)),
        unresolved=side.report.unresolved.num_rows,
        tracks=side.detected.tracks.num_rows,
        own_s=rounded(sum(facts.stage_s for facts in made)),
        questions=int(sum(facts.stats.get("questions", 0) for facts in made)),
        cost_usd=rounded(sum(facts.stats.get("cost_usd", 0.0) for facts in made)),
    )


def _headline(brands: Sequence[BrandChange], tracks: TrackCounts) -> str:
    changes = []
    for seconds, verb in (([b.gained_s for b in brands], "gained"), ([b.lost_s for b in brands], "lost")):
        if number := sum(s > 0 for s in seconds):
            changes.append(f"{counted(number, 'brand')} {verb} {duration(sum(seconds))}")
    if tracks.changed:
        changes.append(f"{counted(tracks.changed, 'track')} got a different verdict")
    return f"{', '.join(changes)}." if changes else "No brand gained or lost a second, and no verdict changed."


def _notes(before: Side, after: Side, same_video: bool, tracks: TrackCounts) -> Iterator[str]:
    if not same_video:
        yield (
            "These are two different videos: only the seconds per brand are compared, not times on screen or verdicts."
        )
    elif (before.request.job_id, before.attempt) == (after.request.job_id, after.attempt):
        yield "Both sides are the same report."
    elif before.range_s != after.range_s:
        ranges = " and ".join(f"{start:.1f} to {end:.1f} s" for start, end in (before.range_s, after.range_s))
        yield f"The reports cover different parts of the video: {ranges}."
    if same_video and tracks.only_before + tracks.only_after:
        all_before, all_after = tracks.only_before + tracks.both, tracks.only_after + tracks.both
        yield (
            f"The detections differ: {tracks.only_before} of {counted(all_before, 'track')} "
            f"{'was' if tracks.only_before == 1 else 'were'} found only before, {tracks.only_after} of {all_after} "
            "only after. They do not count as changed verdicts."
        )
    corrected = [
        {r["review_id"] for r in corrections(side.report.summary.get("reviews", ()), ReviewState.applied)}
        for side in (before, after)
    ]
    if same_video and corrected[0] != corrected[1]:
        yield (
            f"People's corrections differ: {len(corrected[0])} are applied before, {len(corrected[1])} after. They "
            "change brands and seconds, but neither verdicts nor settings."
        )
    for name, side in (("before", before), ("after", after)):
        if gone := [stage for stage in LINE if stage not in side.stages]:
            yield f"Checkpoints of the report {name} are gone, with their settings and times: {', '.join(gone)}."
