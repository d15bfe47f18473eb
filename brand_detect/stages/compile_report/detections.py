"""Detections: a brand's box on one keyframe, cut along the text to the span that names the brand, and measured."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from brand_detect.domain.contracts.compile_report import DETECTIONS
from brand_detect.domain.contracts.detect_objects import DetectedObjects, RegionKind
from brand_detect.domain.geometry import at_edge, box_areas, shared, side_lengths
from brand_detect.domain.quality import QualityScale
from brand_detect.stages.regions import cut_to_glyphs, quads_of, seen_best_on, sizes_of

BOX = ("x_px", "y_px", "w_px", "h_px")
SAME_LINE = 1.2
"""Proportions (length / height) that differ by less are those of one line: a detector's box is a px or two higher or
lower, and a camera that pans foreshortens it. An emblem more or less makes a third."""
NOISE = 0.9
"""Shares in view from this on count as all: so much a region's length varies between frames with nothing hidden."""

NESTED = 0.5
"""Share of the smaller of two boxes from which it lies in the larger."""

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def detections(
    frames: pa.Table,
    cells: pa.Table,
    detected: DetectedObjects,
    verdicts: pa.Table,
    min_confidence: float,
    placement: Mapping[str, str],
    scale: QualityScale,
) -> pa.Table:
    """DETECTIONS in order of brand and frame, with one column more: ``seen_on``, a frame whose pixels show the box.

    ``placement`` tells what each track is on. ``n_brands`` is 0 until ``counted`` fills it.
    """
    regions = detected.regions
    wanted = (pc.field("status") == "resolved") & (pc.field("confidence") >= pa.scalar(min_confidence, pa.float32()))
    verdicts = verdicts.filter(wanted).combine_chunks()
    lists = verdicts["track_ids"].combine_chunks()
    tracks, n_tracks = lists.flatten(), lists.value_lengths().to_numpy()
    owner = np.repeat(np.arange(len(lists)), n_tracks)
    members = pa.table({"track_id": tracks, "verdict": owner, "member": np.arange(len(tracks))})
    places = pa.table({"track_id": regions["track_id"], "region": np.arange(regions.num_rows)})
    seen = members.join(places, "track_id", join_type="inner")
    seen = seen.append_column("frame", regions["frame"].take(seen["region"]))
    seen = seen.sort_by([(c, "ascending") for c in ("verdict", "frame", "member", "region")])
    verdict, member, region, frame = (seen[c].to_numpy() for c in ("verdict", "member", "region", "frame"))

    # The regions of one joined verdict on one frame are one detection; every other region is one of its own.
    joined = (verdicts["rule"].to_numpy() == "joined")[verdict]
    opens = np.r_[True, (np.diff(verdict) != 0) | (np.diff(frame) != 0) | ~joined[1:]][: len(verdict)]
    first = np.flatnonzero(opens)
    group = np.cumsum(opens) - 1

    place = _places(regions, verdicts, verdict, region)
    told = np.isfinite(place[0])
    quads = cut_to_glyphs(regions.select(["quad", "glyph_boxes", "kind"]).take(region), *place)
    # Where the reader did not tell, letters are taken to be evenly spread over the lettering.
    complete = np.bincount(group)[group] == np.where(joined, n_tracks[verdict], 1)
    begin, end = (verdicts[c].to_numpy()[verdict].astype(np.float64) for c in ("span_start", "span_end"))
    whole = told | ~complete | (end <= begin)
    begin, end = _member_spans(quads, group, first, np.where(whole, 0.0, begin), np.where(whole, 1.0, end))
    says = end > begin  # a member outside the span does not say the brand
    size = sizes_of(frames, frame)
    cut = np.clip(_slices(quads, begin, end), 0, size[:, None, :])
    low = np.minimum.reduceat(np.where(says[:, None], cut.min(axis=1), np.inf), first)
    high = np.maximum.reduceat(np.where(says[:, None], cut.max(axis=1), -np.inf), first)
    area = np.add.reduceat(np.where(says, _areas(cut), 0.0), first) / size[first].prod(axis=1)

    is_overlay = dict(zip(*(detected.tracks[c].to_pylist() for c in ("track_id", "is_overlay")), strict=True))
    on_overlay = np.array([is_overlay[t] for t in tracks.take(member).to_pylist()], bool)
    on_overlay = np.logical_and.reduceat(on_overlay, first) if len(first) else on_overlay

    n_says = np.maximum(np.add.reduceat(says, first), 1) if len(first) else np.zeros(0)

    def mean(values: Floats) -> Floats:
        """Over the members that say the brand."""
        return np.add.reduceat(np.where(says, values, 0.0), first) / n_says if len(first) else np.zeros(0)

    along, across = side_lengths(quads)
    text = np.array(regions["kind"].to_pylist(), object)[region] == RegionKind.text
    height = mean(np.where(text, across, np.minimum(along, across)))
    sharpness, contrast = (mean(_floats(regions[c])[region]) for c in ("sharpness", "contrast"))
    visible = mean(in_view(regions, quads_of(regions), sizes_of(frames, regions["frame"].to_numpy()))[region])

    verdict, member, frame = verdict[first], member[first], frame[first]
    picture_height = size[first][:, 1]
    about = verdicts.take(verdict)
    row = np.searchsorted(cells["frame"].to_numpy(), frame)
    brand_id, brand = (about[c].to_numpy() for c in ("brand_id", "brand"))
    columns = {
        **{c: about[c] for c in ("brand", "verdict_id", "confidence", "text", "rule", "decided_by")},
        "brand_id": np.where(brand_id == "", brand, brand_id),
        "frame": frame,
        "track_id": tracks.take(member),
        **{c: cells[c].take(row) for c in ("t_s", "start_s", "end_s")},
        **dict(zip(BOX, np.column_stack((low, high - low)).T, strict=True)),
        "area_frac": area,
        "is_overlay": on_overlay,
        "placement": [placement[t] for t in tracks.take(member).to_pylist()],
        "height_px": height,
        "sharpness": sharpness,
        "contrast": pa.array(contrast, mask=np.isnan(contrast)),
        "visible_frac": visible,
        "n_brands": np.zeros(len(first), np.int32),
        "clarity": scale.of_clarity(height / picture_height, sharpness, contrast, _floats(about["confidence"])),
        "reviewed": [""] * len(first),
    }
    found = pa.table({name: columns[name] for name in DETECTIONS.names}).cast(DETECTIONS)
    found = found.append_column("seen_on", seen_best_on(regions).take(region[first]))
    found = found.filter(pa.array(_surest(found, ~text[first])))
    return found.sort_by([("brand_id", "ascending"), ("frame", "ascending")])


def _surest(found: pa.Table, marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All of ``found`` but those ``marks`` that lie in or around a surer one of the same brand on the same frame.

    What hangs together is found at several sizes: the mark, the mark with its neighbour, a part of it. The surest has
    the mark's own size, of equally sure ones the smallest.
    """
    kept = np.ones(found.num_rows, bool)
    boxes = np.column_stack([found[c].to_numpy() for c in BOX]).astype(np.float64)
    boxes[:, 2:] += boxes[:, :2]
    areas, confidence = box_areas(boxes), found["confidence"].to_numpy()
    groups: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    brands, frames = (found[c].to_pylist() for c in ("brand_id", "frame"))
    for i in np.flatnonzero(marks).tolist():
        groups[brands[i], frames[i]].append(i)
    for group in (group for group in groups.values() if len(group) > 1):
        best: list[int] = []
        for i in sorted(group, key=lambda i: (-confidence[i], areas[i])):
            smaller = np.minimum(areas[best], areas[i])
            kept[i] = not (shared(boxes[[i]], boxes[best])[0] >= NESTED * smaller).any()
            best += [i] if kept[i] else []
    return kept


def counted(found: pa.Table) -> pa.Table:
    """``found`` with ``n_brands``, the brands on each of its frames."""
    frame = found["frame"].to_numpy()
    _, brand = np.unique(found["brand_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    pairs = np.unique(np.column_stack((frame, brand)), axis=0)
    number = np.bincount(pairs[:, 0], minlength=int(frame.max(initial=-1)) + 1)[frame]
    return found.set_column(
        found.schema.get_field_index("n_brands"), DETECTIONS.field("n_brands"), pa.array(number, pa.int32())
    )


def in_view(regions: pa.Table, quads: Floats, sizes: Floats) -> Floats:
    """Share of each region that is neither hidden nor beyond the picture's edge, 0..1, shape (n,).

    What hides a part of a line shortens it: its length over its height falls below what is usual for its track, the
    median over the regions that touch no edge (the longest, where all do). Zoom changes neither. What is cut by the
    upper or lower edge loses height instead, so there the ratio is turned over.
    """
    along, across = side_lengths(quads)
    aspect = np.maximum(along, 1e-6) / np.maximum(across, 1e-6)
    low, high = quads.min(axis=1), quads.max(axis=1)
    beside, over = at_edge(low, high, sizes).T
    cut = beside | over
    _, track = np.unique(regions["track_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    order = np.lexsort((aspect, cut, track))  # by track: what touches no edge, then the rest, each by length
    n, n_whole = np.bincount(track), np.bincount(track[~cut], minlength=track.max(initial=-1) + 1)
    first = np.cumsum(n) - n
    middle = [first + np.where(n_whole, m, n - 1) for m in ((n_whole - 1) // 2, n_whole // 2)]
    usual = aspect[order[middle]].mean(axis=0)[track]
    ratio = np.where(over & ~beside, usual / aspect, aspect / usual)
    return np.where(ratio >= NOISE, 1.0, ratio)


def _places(regions: pa.Table, verdicts: pa.Table, verdict: Ints, region: Ints) -> tuple[Floats, Floats]:
    """Between which shares of each region its verdict's reader saw the brand, each (n,).

    NaN where none told, and where the region's proportions are not those of the one that was read: it shows more or
    less of the line.
    """
    along, across = side_lengths(quads_of(regions))
    shape = np.maximum(along, 1e-6) / np.maximum(across, 1e-6)
    read = _floats(pc.index_in(verdicts["line_region_id"], value_set=regions["region_id"].combine_chunks()))[verdict]  # pyright: ignore[reportAttributeAccessIssue]
    told = np.isfinite(read)
    told[told] = np.abs(np.log(shape[region[told]] / shape[read[told].astype(int)])) <= np.log(SAME_LINE)
    begin, end = (np.where(told, _floats(verdicts[c])[verdict], np.nan) for c in ("line_start", "line_end"))
    return begin, end


def _member_spans(quads: Floats, group: Ints, first: Ints, begin: Floats, end: Floats) -> tuple[Floats, Floats]:
    """The part of each region, 0..1 along its text, that lies in its group's span of the joined text.

    A region holds a share of the joined text in proportion to width over height, that is to its letters.
    """
    along, across = side_lengths(quads)
    letters = np.maximum(along, 1e-6) / np.maximum(across, 1e-6)
    total = np.add.reduceat(letters, first)
    upto = np.cumsum(letters)
    before = upto - letters - (upto - letters)[first][group]
    low, high = (np.clip((edge * total[group] - before) / letters, 0, 1) for edge in (begin, end))
    return low, high


def _slices(quads: Floats, begin: Floats, end: Floats) -> Floats:
    """The quads between two shares of their reading direction, shape (n, 4, 2)."""
    top, bottom = quads[:, 1] - quads[:, 0], quads[:, 2] - quads[:, 3]
    b, e = begin[:, None], end[:, None]
    corners = (quads[:, 0] + b * top, quads[:, 0] + e * top, quads[:, 3] + e * bottom, quads[:, 3] + b * bottom)
    return np.stack(corners, axis=1)


def _areas(quads: Floats) -> Floats:
    """Areas by the shoelace formula, in square px."""
    x, y = quads[..., 0], quads[..., 1]
    return 0.5 * np.abs((x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1))


def _floats(column: pa.ChunkedArray) -> Floats:
    """A column as floats; null is NaN."""
    return column.combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)
