"""Makes detections: a brand's box on one keyframe, cut to the span of the text that spells the brand, and measured."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from brand_detect.domain.contracts.compile_report import DETECTIONS
from brand_detect.domain.contracts.detect_objects import DetectedObjects, RegionKind
from brand_detect.domain.contracts.verdicts import Rule, VerdictStatus
from brand_detect.domain.geometry import at_edge, box_areas, proportions, quad_areas, sections, shared, side_lengths
from brand_detect.domain.placements import Placed
from brand_detect.domain.quality import QualityScale
from brand_detect.domain.tables import BOX, places
from brand_detect.domain.text import reads_right_to_left
from brand_detect.stages.regions import corner_boxes, cut_to_glyphs, quads_of, seen_best_on, sizes_of

SPELLED_TOGETHER = (Rule.joined, Rule.lexicon)  # rules by which several tracks together show one name
SAME_LINE = 1.2
"""Proportions (length / height) that differ by less belong to the same line: a detector's boxes vary by a px or two in
height, and pans foreshorten them. An emblem more or less changes them by a third."""
NOISE = 0.9
"""A visible share from this on counts as 1: a region's length varies this much between frames without occlusion."""

NESTED = 0.5
"""Share of the smaller of two boxes inside the larger from which it counts as nested."""

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class _Members:
    """The regions that form detections, those of one detection adjacent. Arrays by member."""

    verdict: Ints  # row of the verdicts
    region: Ints  # row of REGIONS
    frame: Ints
    track_id: pa.Array
    group: Ints  # the member's detection
    is_whole: Bools  # whether all tracks of the verdict have a region in the detection
    first: Ints  # by detection, its first member

    def mean(self, values: Floats, of: Bools) -> Floats:
        """Mean by detection over the members ``of``."""
        if not len(self.first):
            return np.zeros(0)
        number = np.maximum(np.add.reduceat(of, self.first), 1)
        return np.add.reduceat(np.where(of, values, 0.0), self.first) / number


@dataclass(frozen=True)
class _Spans:
    """The parts of members that spell the brand, and the boxes around them."""

    lettering: Floats  # by member, its quad cut to the lettering, shape (n, 4, 2)
    names_brand: Bools  # by member
    low: Floats  # by detection, upper left corner of the box, px
    high: Floats  # by detection, lower right corner
    area_frac: Floats  # by detection


def detections(
    frames: pa.Table,
    cells: pa.Table,
    detected: DetectedObjects,
    verdicts: pa.Table,
    min_confidence: float,
    placement: Mapping[str, Placed],
    scale: QualityScale,
) -> pa.Table:
    """DETECTIONS in order of brand and frame, plus a column ``seen_on``: a frame whose pixels show the box.

    ``placement`` is by track. ``n_brands`` is 0 until ``counted`` sets it, ``asset`` "" until ``with_assets`` does.
    """
    regions = detected.regions
    wanted = (pc.field("status") == VerdictStatus.resolved) & (
        pc.field("confidence") >= pa.scalar(min_confidence, pa.float32())
    )
    verdicts = verdicts.filter(wanted).combine_chunks()
    members = _members(verdicts, regions)
    spans = _spans(members, verdicts, regions, frames)
    first, frame = members.first, members.frame[members.first]
    about, track_id = verdicts.take(members.verdict[first]), members.track_id.take(first)
    row = np.searchsorted(cells["frame"].to_numpy(), frame)
    brand_id, brand = (about[c].to_numpy() for c in ("brand_id", "brand"))
    columns = {
        **{c: about[c] for c in ("brand", "verdict_id", "confidence", "text", "rule", "decided_by")},
        "brand_id": np.where(brand_id == "", brand, brand_id),
        "frame": frame,
        "track_id": track_id,
        **{c: cells[c].take(row) for c in ("t_s", "start_s", "end_s")},
        **dict(zip(BOX, np.column_stack((spans.low, spans.high - spans.low)).T, strict=True)),
        "area_frac": spans.area_frac,
        "is_overlay": _on_overlays(members, detected.tracks),
        "placement": [placement[t].placement for t in track_id.to_pylist()],
        "placement_confidence": [placement[t].confidence for t in track_id.to_pylist()],
        "asset": [""] * len(first),
        **_measures(members, spans, regions, frames, _floats(about["confidence"]), scale),
        "n_brands": np.zeros(len(first), np.int32),
        "reviewed": [""] * len(first),
    }
    found = pa.table({name: columns[name] for name in DETECTIONS.names}).cast(DETECTIONS)
    found = found.append_column("seen_on", seen_best_on(regions).take(members.region[first]))
    found = found.filter(pa.array(_not_nested(found, ~_is_text(members, regions)[first])))
    return found.sort_by([("brand_id", "ascending"), ("frame", "ascending")])


def _members(verdicts: pa.Table, regions: pa.Table) -> _Members:
    """Groups regions into detections: those of a joined verdict on one frame form one, any other region is one."""
    lists = verdicts["track_ids"].combine_chunks()
    tracks, n_tracks = lists.flatten(), lists.value_lengths().to_numpy()
    owner = np.repeat(np.arange(len(lists)), n_tracks)
    members = pa.table({"track_id": tracks, "verdict": owner, "member": np.arange(len(tracks))})
    places = pa.table({"track_id": regions["track_id"], "region": np.arange(regions.num_rows)})
    seen = members.join(places, "track_id", join_type="inner")
    seen = seen.append_column("frame", regions["frame"].take(seen["region"]))
    seen = seen.sort_by([(c, "ascending") for c in ("verdict", "frame", "member", "region")])
    verdict, member, region, frame = (seen[c].to_numpy() for c in ("verdict", "member", "region", "frame"))
    joined = np.isin(verdicts["rule"].to_numpy().astype(str), [*SPELLED_TOGETHER])[verdict]
    opens = np.r_[True, (np.diff(verdict) != 0) | (np.diff(frame) != 0) | ~joined[1:]][: len(verdict)]
    group = np.cumsum(opens) - 1
    is_whole = np.bincount(group)[group] == np.where(joined, n_tracks[verdict], 1)
    return _Members(verdict, region, frame, tracks.take(member), group, is_whole, np.flatnonzero(opens))


def _spans(members: _Members, verdicts: pa.Table, regions: pa.Table, frames: pa.Table) -> _Spans:
    """Cuts the members to the span of their text that spells the brand.

    If the reader gave no positions, letters are assumed to be evenly spread over the lettering, from the side where its
    script begins.
    """
    first, verdict = members.first, members.verdict
    place = _places(regions, verdicts, verdict, members.region)
    quads = cut_to_glyphs(regions.select(["quad", "glyph_boxes", "kind"]).take(members.region), *place)
    begin, end = (_floats(verdicts[c])[verdict] for c in ("span_start", "span_end"))
    whole = np.isfinite(place[0]) | ~members.is_whole | (end <= begin)
    begin, end = _member_spans(quads, members.group, first, np.where(whole, 0.0, begin), np.where(whole, 1.0, end))
    mirrored = np.array([reads_right_to_left(text) for text in verdicts["text"].to_pylist()], bool)[verdict]
    begin, end = np.where(mirrored, 1 - end, begin), np.where(mirrored, 1 - begin, end)
    names_brand = end > begin
    size = sizes_of(frames, members.frame)
    cut = np.clip(sections(quads, begin, end), 0, size[:, None, :])
    low = np.minimum.reduceat(np.where(names_brand[:, None], cut.min(axis=1), np.inf), first)
    high = np.maximum.reduceat(np.where(names_brand[:, None], cut.max(axis=1), -np.inf), first)
    area = np.add.reduceat(np.where(names_brand, quad_areas(cut), 0.0), first) / size[first].prod(axis=1)
    return _Spans(quads, names_brand, low, high, area)


def _measures(
    members: _Members, spans: _Spans, regions: pa.Table, frames: pa.Table, confidence: Floats, scale: QualityScale
) -> dict[str, Any]:
    """Columns by detection: means over the members that spell the brand, and the clarity computed from them."""

    def mean(values: Floats) -> Floats:
        return members.mean(values, spans.names_brand)

    along, across = side_lengths(spans.lettering)
    height = mean(np.where(_is_text(members, regions), across, np.minimum(along, across)))
    sharpness, contrast = (mean(_floats(regions[c])[members.region]) for c in ("sharpness", "contrast"))
    visible = in_view(regions, quads_of(regions), sizes_of(frames, regions["frame"].to_numpy()))
    picture_height = sizes_of(frames, members.frame[members.first])[:, 1]
    return {
        "height_px": height,
        "sharpness": sharpness,
        "contrast": pa.array(contrast, mask=np.isnan(contrast)),
        "visible_frac": mean(visible[members.region]),
        "clarity": scale.of_clarity(height / picture_height, sharpness, contrast, confidence),
    }


def _is_text(members: _Members, regions: pa.Table) -> Bools:
    return np.array(regions["kind"].to_pylist(), object)[members.region] == RegionKind.text


def _on_overlays(members: _Members, tracks: pa.Table) -> Bools:
    """Whether all members of each detection belong to overlays."""
    is_overlay = dict(zip(*(tracks[c].to_pylist() for c in ("track_id", "is_overlay")), strict=True))
    by_member = np.array([is_overlay[t] for t in members.track_id.to_pylist()], bool)
    return np.logical_and.reduceat(by_member, members.first) if len(members.first) else by_member


def _not_nested(found: pa.Table, is_logo: Bools) -> Bools:
    """Mask that drops logos inside or around one of the same brand and frame with higher confidence.

    A detector finds one logo at several sizes: whole, with its neighbour, or in part. The one with the highest
    confidence fits the logo best; in a tie, the smallest does.
    """
    kept = np.ones(found.num_rows, bool)
    boxes = corner_boxes(found)
    areas, confidence = box_areas(boxes), found["confidence"].to_numpy()
    groups: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    brands, frames = (found[c].to_pylist() for c in ("brand_id", "frame"))
    for i in np.flatnonzero(is_logo).tolist():
        groups[brands[i], frames[i]].append(i)
    for group in (group for group in groups.values() if len(group) > 1):
        best: list[int] = []
        for i in sorted(group, key=lambda i: (-confidence[i], areas[i])):
            smaller = np.minimum(areas[best], areas[i])
            kept[i] = not (shared(boxes[[i]], boxes[best])[0] >= NESTED * smaller).any()
            best += [i] if kept[i] else []
    return kept


def counted(found: pa.Table) -> pa.Table:
    """Sets ``n_brands``, the number of brands on the frame, in ``found``."""
    frame = found["frame"].to_numpy()
    _, brand = np.unique(found["brand_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    pairs = np.unique(np.column_stack((frame, brand)), axis=0)
    number = np.bincount(pairs[:, 0], minlength=int(frame.max(initial=-1)) + 1)[frame]
    return found.set_column(
        found.schema.get_field_index("n_brands"), DETECTIONS.field("n_brands"), pa.array(number, pa.int32())
    )


def in_view(regions: pa.Table, quads: Floats, sizes: Floats) -> Floats:
    """Share of each region that is neither occluded nor cut off by the picture's edge, 0..1, shape (n,).

    A partly occluded line is shorter: its length over its height falls below the usual ratio of its track, which is
    the median over regions that touch no edge (or the largest, if all do). Zoom does not change the ratio. A line cut
    off by the upper or lower edge loses height instead, so there the comparison is inverted.
    """
    aspect = proportions(quads)
    low, high = quads.min(axis=1), quads.max(axis=1)
    beside, over = at_edge(low, high, sizes).T
    cut = beside | over
    _, track = np.unique(regions["track_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    order = np.lexsort((aspect, cut, track))  # by track: regions that touch no edge, then the others, each by length
    n, n_whole = np.bincount(track), np.bincount(track[~cut], minlength=track.max(initial=-1) + 1)
    first = np.cumsum(n) - n
    middle = [first + np.where(n_whole, m, n - 1) for m in ((n_whole - 1) // 2, n_whole // 2)]
    usual = aspect[order[middle]].mean(axis=0)[track]
    ratio = np.where(over & ~beside, usual / aspect, aspect / usual)
    return np.where(ratio >= NOISE, 1.0, ratio)


def _places(regions: pa.Table, verdicts: pa.Table, verdict: Ints, region: Ints) -> tuple[Floats, Floats]:
    """Start and end of the brand in each region according to the reader, as shares of its length, each (n,).

    NaN if the reader gave no positions, or if the region's proportions differ from those of the region that was read:
    it shows more or less of the line.
    """
    shape = proportions(quads_of(regions))
    read = places(verdicts["line_region_id"], regions["region_id"])[verdict]
    known = read >= 0
    known[known] = np.abs(np.log(shape[region[known]] / shape[read[known]])) <= np.log(SAME_LINE)
    begin, end = (np.where(known, _floats(verdicts[c])[verdict], np.nan) for c in ("line_start", "line_end"))
    return begin, end


def _member_spans(quads: Floats, group: Ints, first: Ints, begin: Floats, end: Floats) -> tuple[Floats, Floats]:
    """The part of each region, 0..1 along its text, inside its group's span of the joined text.

    A region's share of the joined text is assumed proportional to its length over its height.
    """
    letters = proportions(quads)
    total = np.add.reduceat(letters, first)
    upto = np.cumsum(letters)
    before = upto - letters - (upto - letters)[first][group]
    low, high = (np.clip((edge * total[group] - before) / letters, 0, 1) for edge in (begin, end))
    return low, high


def _floats(column: pa.ChunkedArray) -> Floats:
    """A column as floats, with NaN for null."""
    return column.combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)
