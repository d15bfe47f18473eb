"""The placement of each track: by a model's answer, else by what it fills, by its motion, and by the profile's rules.

No model is asked and no picture is read (``docs/concepts/placements.md``):

- a brand alone on a plain picture has the *full screen*: an end card, an advertisement;
- what stands still on screen while the scene moves, or from shot to shot, is an *overlay*;
- what moves with the scene is a *board*, or the *pitch* if its letters are wider than lettering that stands upright,
  or an *LED* board if another text took its place;
- what moves against both is *clothing*;
- where neither moves, nothing tells.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from brand_detect.domain import timeline
from brand_detect.domain.contracts.detect_objects import DetectedObjects, RegionKind
from brand_detect.domain.contracts.extract_frames import THUMBNAIL_SHAPE
from brand_detect.domain.contracts.verdicts import VerdictStatus
from brand_detect.domain.geometry import coverage, side_lengths
from brand_detect.domain.placements import (
    UNKNOWN,
    Motion,
    Placed,
    Placement,
    PlacementRule,
    TrackFigures,
    placement_of,
)
from brand_detect.domain.tables import Row
from brand_detect.stages.compile_report.motion import TrackMotion, motions
from brand_detect.stages.regions import centres_of, corner_boxes, cut_to_glyphs, quads_of, sizes_of

INSIDE = 0.8
"""Least share of a region in an object's box for the region to count as inside it."""
MARKED = 3
"""Votes of an overlay mark: the region stood still in three different views."""
WIDE = 1.35
"""Least ratio of a letter's width to its height, relative to upright lettering, on the ground."""
UPRIGHT = 1.0
"""Ratio of a letter's width to its height in wide faces: assumed of a name that is nowhere seen upright."""
MEASURABLE = 0.027
"""Least height of lettering that is measured, as a share of the picture's: a detector's margins distort less."""
PLAIN = 0.8
"""Least plainness of an end card or an advertisement."""
PLAIN_LUMA = 3
"""Largest difference of neighbouring pixels of a plain picture's thumbnail, in grey levels: a gradient is plain."""
ALONE = 0.5
"""Least share of the lettering's area that is the brand's, for it to have the screen to itself."""
LARGE = 0.005
"""And least share of the picture."""
NOTHING = TrackMotion()
BY_RULE = 0.5
"""Confidence of a rule that looks at shape and place alone."""


def placements(
    detected: DetectedObjects,
    frames: pa.Table,
    cells: pa.Table,
    candidates: pa.Table,
    unresolved: pa.Table,
    answered: Mapping[str, Placed],
    rules: Sequence[PlacementRule],
) -> dict[str, Placed]:
    """The placement of each track of ``candidates``, the verdicts, that exists in ``detected``.

    ``cells`` is the timeline by frame, ``answered`` are models' answers by track. The confidence of what motion tells
    is (k + 1) / (n + 2): k of n observations agree (Laplace's rule of succession).
    """
    brands = _brands_of(candidates)
    decided = {*pc.list_flatten(candidates["track_ids"]).to_pylist()}  # pyright: ignore[reportAttributeAccessIssue]
    tracks = detected.tracks.filter(pc.field("track_id").isin(pa.array(sorted(decided), pa.string())))
    about = {row["track_id"]: row for row in tracks.to_pylist()}
    moved = motions(detected, frames, texts_of(candidates, unresolved), brands)
    for track, row in about.items():
        if row["is_overlay"] and track in moved:
            moved[track].votes[Motion.still] += MARKED
    still = {track for track in about if moved.get(track, NOTHING).motion is Motion.still}
    alone = _alone(detected, frames, cells, brands, still)
    widths = letters(detected.regions, candidates, frames)
    upright = _upright(widths, brands, moved, alone)
    told: dict[str, tuple[Motion | None, Placed]] = {}
    for track in about:
        motion = moved.get(track, NOTHING)
        least = max(UPRIGHT, WIDE * upright.get(brands.get(track, ""), UPRIGHT))
        wide = widths.get(track, 0.0) >= least
        told[track] = motion.motion, _told(motion, *alone.get(track, (0, 0)), wide)
    figures = _figures(detected, frames, about, told, {rule.inside for rule in rules if rule.inside}) if rules else {}
    for track, of in figures.items():
        if told[track][1].placement is not Placement.full_screen and (by_rule := placement_of(of, rules)):
            told[track] = told[track][0], Placed(by_rule, told[track][1].confidence if of.motion else BY_RULE)
    return {track: placed for track, (_, placed) in told.items()} | {t: answered[t] for t in about if t in answered}


def texts_of(candidates: pa.Table, unresolved: pa.Table) -> dict[str, str]:
    """The text of each track in a verdict or an unresolved cluster."""
    rows = [row for t in (unresolved, candidates) for row in t.select(["track_ids", "text"]).to_pylist()]
    return {track: row["text"] for row in rows for track in row["track_ids"]}


def _brands_of(candidates: pa.Table) -> dict[str, str]:
    """The brand of each track with a resolved verdict."""
    rows = candidates.filter(pc.field("status") == VerdictStatus.resolved).select(["track_ids", "brand"]).to_pylist()
    return {track: row["brand"] for row in rows for track in row["track_ids"]}


def _told(motion: TrackMotion, n_alone: int, n_shown: int, is_wide: bool) -> Placed:
    """The placement that a track's motion and surroundings tell."""
    if 2 * n_alone > n_shown:
        return Placed(Placement.full_screen, _sure(n_alone, n_shown))
    votes, all_votes = motion.votes, motion.votes.total()
    if motion.motion is Motion.still:
        return Placed(Placement.overlay, _sure(votes[Motion.still], all_votes))
    if motion.motion is Motion.moving:
        return Placed(Placement.clothing, _sure(votes[Motion.moving], all_votes))
    if motion.changes:
        return Placed(Placement.led, _sure(votes[Motion.fixed] + motion.changes, all_votes + motion.changes))
    if motion.motion is Motion.fixed:
        return Placed(Placement.pitch if is_wide else Placement.board, _sure(votes[Motion.fixed], all_votes))
    return UNKNOWN


def _sure(agree: int, of: int) -> float:
    return (agree + 1) / (of + 2)


def _alone(
    detected: DetectedObjects, frames: pa.Table, cells: pa.Table, brands: Mapping[str, str], overlays: Set[str]
) -> dict[str, tuple[int, int]]:
    """For each track with a brand the sampled frames on which the brand has a plain screen to itself, of all.

    Overlays count for nothing; objects are no lettering.
    """
    shown = timeline.frames_shown(cells)
    thumbnails = dict(zip(frames["frame"].to_pylist(), frames["thumbnail"].to_pylist(), strict=True))
    lettering: defaultdict[int, list[tuple[str, str, float]]] = defaultdict(list)
    wanted = ("frame", "track_id", "kind", "area_frac")
    for frame, track, kind, area in zip(*(detected.regions[c].to_pylist() for c in wanted), strict=True):
        if track not in overlays and (kind == RegionKind.text or track in brands):
            lettering[frame].append((track, brands.get(track, ""), area))
    found: dict[str, tuple[int, int]] = {}
    for frame, own in lettering.items():
        branded = [(track, brand, area) for track, brand, area in own if brand]
        is_alone = (
            len({brand for _, brand, _ in branded}) == 1
            and max(area for *_, area in branded) >= LARGE
            and sum(area for *_, area in branded) >= ALONE * sum(area for *_, area in own)
            and plainness(thumbnails[frame]) >= PLAIN
        )
        for track in {track for track, *_ in branded}:
            alone, seen = found.get(track, (0, 0))
            found[track] = alone + is_alone * shown[frame], seen + shown[frame]
    return found


def plainness(thumbnail: bytes) -> float:
    """The share of a picture's neighbouring thumbnail pixels that differ by at most ``PLAIN_LUMA``."""
    luma = np.frombuffer(thumbnail, np.uint8).reshape(THUMBNAIL_SHAPE).astype(np.int16)
    steps = np.concatenate([np.abs(np.diff(luma, axis=axis)).ravel() for axis in (0, 1)])
    return float((steps <= PLAIN_LUMA).mean())


def letters(regions: pa.Table, candidates: pa.Table, frames: pa.Table) -> dict[str, float]:
    """Width of a letter over its height, by track, for text that is large enough."""
    wanted = candidates.filter(pc.field("status") == VerdictStatus.resolved).select(["track_ids", "text"]).to_pylist()
    tracks = pa.array(sorted({track for row in wanted for track in row["track_ids"]}), pa.string())
    own = regions.filter(pc.field("track_id").isin(tracks) & (pc.field("kind") == RegionKind.text)).combine_chunks()
    unknown = np.full(own.num_rows, np.nan)
    quads = cut_to_glyphs(own.select(["quad", "glyph_boxes", "kind"]), unknown, unknown)
    sides: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    pictures = sizes_of(frames, own["frame"].to_numpy())[:, 1]
    for track, along, across, height in zip(own["track_id"].to_pylist(), *side_lengths(quads), pictures, strict=True):
        if across >= MEASURABLE * height:
            sides[track].append((along, across))
    found = {}
    for row in wanted:
        medians = [np.median(sides[track], axis=0) for track in row["track_ids"] if track in sides]
        letters = len("".join(row["text"].split()))  # an emblem that is read as a letter is as wide as one
        if medians and letters and len(medians) == len(row["track_ids"]):
            along, across = np.sum(medians, axis=0)[0], np.mean(medians, axis=0)[1]
            found |= dict.fromkeys(row["track_ids"], float(along / letters / max(across, 1e-6)))
    return found


def _upright(
    letters: Mapping[str, float],
    brands: Mapping[str, str],
    moved: Mapping[str, TrackMotion],
    alone: Mapping[str, tuple[int, int]],
) -> dict[str, float]:
    """Width over height of each brand's letters where they stand upright: on overlays, clothing and the full screen."""
    seen: defaultdict[str, list[float]] = defaultdict(list)
    for track, letter in letters.items():
        n_alone, n_shown = alone.get(track, (0, 0))
        if track in brands and (
            moved.get(track, NOTHING).motion in (Motion.still, Motion.moving) or 2 * n_alone > n_shown
        ):
            seen[brands[track]].append(letter)
    return {brand: float(np.median(own)) for brand, own in seen.items()}


def _figures(
    detected: DetectedObjects,
    sizes: pa.Table,
    about: Mapping[str, Row],
    told: Mapping[str, tuple[Motion | None, Placed]],
    within: set[str],
) -> dict[str, TrackFigures]:
    regions = detected.regions.filter(pc.field("track_id").isin(pa.array([*about], pa.string()))).combine_chunks()
    across, down = side_lengths(quads_of(regions))
    figures = np.column_stack(
        (across / np.maximum(down, 1e-6), regions["area_frac"].to_numpy(), centres_of(regions, sizes))
    )
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, track in enumerate(regions["track_id"].to_pylist()):
        rows[track].append(row)
    inside = _inside(detected.regions, regions, within)
    found = {}
    for track, own in rows.items():
        often = Counter(label for row in own for label in inside[row])
        labels = frozenset(label for label, n in often.items() if 2 * n >= len(own))
        medians = np.median(figures[own], axis=0).tolist()
        motion = told[track][0] or ""
        found[track] = TrackFigures(about[track]["kind"], about[track]["label"], motion, labels, *medians)
    return found


def _inside(everything: pa.Table, regions: pa.Table, labels: set[str]) -> list[set[str]]:
    """For each of ``regions``, the labels of the objects on its frame that contain it."""
    found: list[set[str]] = [set() for _ in range(regions.num_rows)]
    objects = everything.filter(pc.field("label").isin(sorted(labels))) if labels else everything.slice(0, 0)
    boxes, their = corner_boxes(regions), corner_boxes(objects)
    frame, on = regions["frame"].to_numpy(), objects["frame"].to_numpy()
    names = np.array(objects["label"].to_pylist(), object)
    by_frame, order = np.argsort(frame, kind="stable"), np.argsort(on, kind="stable")
    frame = frame[by_frame]
    numbers, begins = np.unique(on[order], return_index=True)
    for number, there in zip(numbers, np.split(order, begins[1:]), strict=False):  # one empty split if there is none
        here = by_frame[slice(*np.searchsorted(frame, (number, number + 1)))]
        for label in set(names[there]):
            share = coverage(boxes[here], their[there[names[there] == label]])
            for row in here[share >= INSIDE]:
                found[row].add(label)
    return found
