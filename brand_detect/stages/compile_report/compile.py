"""Computes exposures and totals per brand from the verdicts.

A brand is on screen during the cells of the keyframes on which one of its tracks has a region, including the cells of
their duplicates. Cells end at cuts, otherwise midway between two samples. Where ``detect_objects`` found on the
pictures between two samples when the brand's tracks appear or disappear, the brand does so then; other edges that are
no cuts are known to half a sampling interval.

How it counts (``docs/concepts/metrics.md`` defines every figure):

- A *detection* is a brand's box on one keyframe, cut along the text to the span that spells the brand; the regions
  of a ``joined`` verdict form one detection.
- An *exposure* is the brand on screen without a break: gaps up to ``bridge_s`` inside a shot are bridged, black and
  blank frames are not, and an exposure may continue across a cut.
- ``area_frac`` of an instant is the area of the union of the brand's boxes; means are weighted by time and exclude
  bridged gaps.
- ``zone`` is the zone with the largest area × time of the brand's boxes.
- A brand on overlays (a scoreboard, a channel bug) counts like any other unless ``overlays`` excludes it; ``overlay_s``
  are its seconds there.
- Names of the kinds in ``exclude_kinds`` (leagues, clubs, …) do not count, nor do brands that the catalogue excludes;
  notes name them.
- ``share_of_voice`` is the brand's seconds over the sum of all brands' seconds.
- The quality scale defines ``quality`` and its components.
- ``media_value`` is the price of the time times ``media_factor``; the sum over all brands never exceeds the price of
  the time.
- ``placements`` and ``assets`` are a brand's exposures on each of them, as if nothing else carried it.
- A verdict without a catalogue id is identified by its brand's name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from brand_detect.domain.catalog import Brand
from brand_detect.domain.contracts.compile_report import (
    ASSET_TOTALS,
    BRANDS,
    EVIDENCE,
    EXPOSURES,
    PLACEMENT_TOTALS,
    CompileReportParams,
    Overlays,
    Report,
)
from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.inventory import Inventory
from brand_detect.domain.job import JobRequest
from brand_detect.domain.placements import placement_rules
from brand_detect.domain.quality import QualityScale
from brand_detect.domain.reviews import Review
from brand_detect.domain.tables import table
from brand_detect.stages.compile_report.assets import with_assets
from brand_detect.stages.compile_report.corrections import Corrections, Named
from brand_detect.stages.compile_report.detections import counted, detections
from brand_detect.stages.compile_report.edges import Spans
from brand_detect.stages.compile_report.evidence import decisive_answers, evidence, placements_answered
from brand_detect.stages.compile_report.exposures import exposed, exposures
from brand_detect.stages.compile_report.placements import placements, texts_of
from brand_detect.stages.compile_report.summary import stats, summary
from brand_detect.stages.compile_report.totals import asset_totals, carried, placement_totals, totals
from brand_detect.stages.compile_report.unresolved import keyframes_resembling, locate_unresolved

NO_MOTION = (
    "The checkpoint of detect_objects is of an earlier version, without the camera's motion: placements rest on "
    "overlays, answers, rules and what fills the screen."
)


def compile_report(
    request: JobRequest,
    frames: ExtractedFrames,
    scenes: FilteredScenes,
    detected: DetectedObjects,
    verdicts: BrandVerdicts,
    params: CompileReportParams,
    *,
    scale: QualityScale,
    statistics: Mapping[str, Any],
    brands: Mapping[str, Brand],
    inventory: Inventory | None = None,
    reviews: Sequence[Review] = (),
    named: Named = lambda _: None,
) -> Report:
    """Computes the report's tables and summary.

    ``statistics`` are JSON facts about the run beyond the payloads (seconds, engines and params per stage, cost,
    lineage); they become ``summary["run"]``. ``inventory`` names the property's assets. ``reviews`` are a person's
    corrections; ``named`` looks up the catalogue's brand of a name in them. ``brands`` are the catalogue's, by id.
    """
    cells = scenes.timeline.sort_by("frame")
    answers = decisive_answers(verdicts)
    corrections = Corrections(reviews, verdicts, named)
    candidates = corrections.candidates()
    answered, rules = placements_answered(verdicts, answers), placement_rules(params.placements)
    placement = placements(detected, frames.frames, cells, candidates, verdicts.unresolved, answered, rules)
    found = detections(frames.frames, cells, detected, candidates, params.min_confidence, placement, scale)
    if inventory:
        found = with_assets(
            found, inventory, detected.regions, texts_of(candidates, verdicts.unresolved), frames.frames
        )
    corrected = corrections.applied(found, frames.frames, cells)
    verdicts = corrected.verdicts
    counting, excluded, left_out = _counting(corrected.found, params, brands)
    spans = Spans(counting["brand_id"].to_pylist(), counting, detected.edges, cells)
    found = counted(exposed(counting, cells, spans, params))
    on_screen = exposures(found, frames.frames, cells, spans, params, scale, request.video_sha256)
    reported = found.sort_by([("frame", "ascending"), ("brand_id", "ascending")]).drop_columns("seen_on")
    resembling = keyframes_resembling(verdicts.unresolved, detected.regions)
    range_s = (frames.start_s, frames.end_s)
    notes = [n for source in (request, scenes, detected, verdicts) for n in source.notes]
    if detected.regions.num_rows and not detected.camera_motion.num_rows:
        notes.append(NO_MOTION)
    placed = carried("placement", reported, detected.edges, cells, params)
    by_brand = totals(
        on_screen,
        reported,
        corrected.rejected,
        detected.edges,
        cells,
        resembling,
        placed,
        range_s,
        params,
        brands,
    )
    proofs = evidence(verdicts.verdicts, answers, {*reported["verdict_id"].to_pylist()})
    return Report(
        brands=table(BRANDS, by_brand),
        exposures=table(EXPOSURES, on_screen),
        detections=reported,
        unresolved=locate_unresolved(verdicts.unresolved, detected, frames.frames),
        rejected=corrected.rejected,
        evidence=table(EVIDENCE, proofs),
        placements=table(PLACEMENT_TOTALS, placement_totals(reported, placed, by_brand)),
        assets=table(ASSET_TOTALS, asset_totals(reported, detected.edges, cells, by_brand, params)),
        summary=summary(frames, scenes, detected, verdicts, reported.num_rows, scale, params, statistics)
        | {"reviews": corrected.reviews}
        | ({"excluded_brands": excluded} if excluded else {}),
        quality=f"{params.quality} {scale.version} {scale.digest}",
        losses=frames.notes,
        notes=tuple(dict.fromkeys([*notes, *left_out, *corrected.notes])),
        stats=stats(on_screen, len(corrected.reviews)),
    )


def _counting(
    found: pa.Table, params: CompileReportParams, brands: Mapping[str, Brand]
) -> tuple[pa.Table, dict[str, str], list[str]]:
    """The detections that count; the excluded brands on screen, names by id; and notes on all that is left out."""
    counting, overlay_notes = _without_overlays(found, params.overlays)
    counting, kind_notes = _without_kinds(counting, params.exclude_kinds, brands)
    counting, excluded, excluded_notes = _without_excluded(counting, brands)
    return counting, excluded, [*overlay_notes, *kind_notes, *excluded_notes]


def _without_overlays(found: pa.Table, overlays: Overlays) -> tuple[pa.Table, list[str]]:
    """The detections that count, and a note if any on overlays are excluded."""
    if overlays is Overlays.include:
        return found, []
    left = found.filter(~pc.field("is_overlay"))
    n_out = found.num_rows - left.num_rows
    return left, [
        f"Detections on overlays (scoreboards, channel bugs and the like) are left out: {n_out}."
    ] if n_out else []


def _without_kinds(found: pa.Table, kinds: Sequence[str], brands: Mapping[str, Brand]) -> tuple[pa.Table, list[str]]:
    """The detections that count, and a note on the names that the excluded ``kinds`` leave out."""
    if not kinds:
        return found, []
    listed = [brands.get(brand_id) or Brand(brand_id, name) for brand_id, name in _present(found)]
    out = [brand for brand in listed if brand.kind in kinds]
    named = ", ".join(f"{brand.name} ({brand.kind})" for brand in out) or "none was found"
    note = f"Names of these kinds are left out (exclude_kinds): {', '.join(kinds)}. On screen: {named}."
    return _without(found, [brand.brand_id for brand in out]), [note]


def _without_excluded(found: pa.Table, brands: Mapping[str, Brand]) -> tuple[pa.Table, dict[str, str], list[str]]:
    """The detections that count; the excluded brands on screen, names by id, and a note on them if there are any."""
    out = {brand_id: name for brand_id, name in _present(found) if brand_id in brands and brands[brand_id].excluded}
    note = f"Brands that the catalogue excludes are left out. On screen: {', '.join(out.values())}."
    return _without(found, list(out)), out, [note] if out else []


def _present(found: pa.Table) -> list[tuple[str, str]]:
    """Ids and names of the brands on screen."""
    return sorted({*zip(found["brand_id"].to_pylist(), found["brand"].to_pylist(), strict=True)})


def _without(found: pa.Table, brand_ids: Sequence[str]) -> pa.Table:
    return found.filter(~pc.field("brand_id").isin(pa.array(brand_ids, pa.string())))
