"""Joins the regions of one thing over the keyframes of a shot into a track.

Between two frames a region stays in place (a scoreboard, a watermark) or moves with the camera (a board), so both
positions are tried. If the content changes, as on an LED board, a new track begins, so that no text is lost in the
track of another.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.contracts.detect_objects import REGIONS, TRACKS, RegionKind
from brand_detect.domain.geometry import box_iou, coverage, moved_box
from brand_detect.domain.protocols import Transform
from brand_detect.domain.tables import Row, TableBuilder, content_id
from brand_detect.stages.detect_objects.measurements import MeasuredRegion, rounded_box

TRACK_IOU = 0.3  # least IoU, after compensation of camera motion, of two regions of a track
MAX_GAP_FRAMES = 2  # keyframes without its region that a track survives
SAME_CONTENT_BITS = 18  # most bits by which hashes of one text differ, as when people occlude it or a clock runs
OTHER_BACKGROUND = 40  # least difference in grey levels between the plain backgrounds of two boards
SAME_CONTENT_BITS_ON_OTHER_BACKGROUND = 10  # a board that fades in changes its background but hardly its lettering
LARGER = 1.1  # a view larger by this factor shows what was occluded
SAME_REGION = 0.5  # share of a region on others from which it is one of them


@dataclass
class Track:
    """An open track, with the two positions at which its region may be now."""

    kind: RegionKind
    label: str
    last: MeasuredRegion
    still: NDArray[np.float64]  # box if it stayed in place
    moved: NDArray[np.float64]  # box if it moved with the camera
    track_id: str = ""  # set from the first region's id
    start_s: float = math.inf
    end_s: float = -math.inf
    scores: list[float] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)
    missed: int = 0

    def row(self, shot: int) -> Row:
        return {
            "track_id": self.track_id,
            "shot": shot,
            "kind": self.kind,
            "label": self.label,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "n_regions": len(self.scores),
            "score": float(np.mean(self.scores)),
            "area_frac": float(np.mean(self.areas)),
            "is_overlay": False,
        }


class Tracker:
    """Joins the regions of successive keyframes of a shot into tracks; builds REGIONS and TRACKS.

    Args:
        max_gap: keyframes without its region that a track survives.
    """

    def __init__(self, max_gap: int = MAX_GAP_FRAMES) -> None:
        self._max_gap = max_gap
        self._active: list[Track] = []
        self._seen: dict[
            int, tuple[Track, MeasuredRegion]
        ] = {}  # regions on the current frame, by id of the track object
        self._shot = -1
        self.regions, self.tracks = TableBuilder(REGIONS), TableBuilder(TRACKS)

    def begin_shot(self, shot: int) -> None:
        """Ends all tracks, for none crosses a cut."""
        self.end_tracks()
        self._shot = shot

    def end_tracks(self) -> None:
        """Ends all tracks, as at the end of the video."""
        self.tracks.add(t.row(self._shot) for t in self._active)
        self._active = []

    def move(self, motion: Transform | None) -> None:
        """Moves the expected position of each region along with the camera, in px."""
        if motion is None:
            return
        for track in self._active:
            track.moved = moved_box(track.moved, motion)

    def update(self, found: Sequence[MeasuredRegion]) -> None:
        """Assigns the regions of the next keyframe to tracks."""
        continued = _matched(self._active, found)
        for i, one in enumerate(found):
            self._put(continued.get(i) or self._begin(one), one)

    def add_duplicate_views(self, found: Sequence[MeasuredRegion]) -> None:
        """Adds regions of a duplicate of the keyframe, which may show what is occluded on the keyframe."""
        continued = _matched(self._active, found)
        for i, one in enumerate(found):
            views = [(track, seen) for track, seen in self._seen.values() if seen.region.kind == one.region.kind]
            boxes, box = np.array([seen.box for _, seen in views]).reshape(-1, 4), one.box[None]
            within = coverage(boxes, box) >= SAME_REGION
            if one.region.kind != RegionKind.text:  # logos and objects lie within others, such as a cup and its name
                within &= box_iou(boxes, box)[:, 0] >= TRACK_IOU
            parts = [view for view, is_within in zip(views, within, strict=True) if is_within]
            if parts and one.area_frac > LARGER * sum(seen.area_frac for _, seen in parts):
                for track, _ in parts[1:]:
                    self._drop(track)
                self._put(parts[0][0], one)
            elif parts and one.area_frac * LARGER > parts[0][1].area_frac and _alike(parts[0][1], one):
                parts[0][1].seen_on.extend(one.seen_on)
            elif not parts and coverage(box, boxes)[0] < SAME_REGION:
                track = continued.get(i)
                self._put(self._begin(one) if track is None or id(track) in self._seen else track, one)

    def _begin(self, one: MeasuredRegion) -> Track:
        track = Track(one.region.kind, one.region.label, one, one.box, one.box)
        self._active.append(track)
        return track

    def _put(self, track: Track, one: MeasuredRegion) -> None:
        track.last, track.still, track.moved = one, one.box, one.box
        self._seen[id(track)] = (track, one)

    def _drop(self, track: Track) -> None:
        """Removes the track's region from this frame; drops the track if it began here."""
        del self._seen[id(track)]
        if not track.scores:
            self._active = [t for t in self._active if t is not track]

    def end_frame(self, frame: int, frame_id: str, start_s: float, end_s: float) -> None:
        """Writes the frame's regions, and ends tracks missing for more than ``max_gap`` keyframes.

        The frame is on screen from ``start_s`` to ``end_s``.
        """
        for track in self._active:
            track.missed += 1
        for track, one in self._seen.values():
            region_id = content_id(frame_id, *rounded_box(one.box), one.region.kind)
            track.track_id = track.track_id or content_id("track", region_id, one.region.label)
            track.missed = 0
            track.start_s, track.end_s = min(track.start_s, start_s), max(track.end_s, end_s)
            track.scores.append(one.region.score)
            track.areas.append(one.area_frac)
            self.regions.add([one.row(region_id, track.track_id, frame)])
        self._seen = {}
        self.tracks.add(t.row(self._shot) for t in self._active if t.missed > self._max_gap)
        self._active = [t for t in self._active if t.missed <= self._max_gap]


def _matched(tracks: Sequence[Track], found: Sequence[MeasuredRegion]) -> dict[int, Track]:
    """The track that each region continues, best overlap first; each track and region is used once."""
    if not tracks or not found:
        return {}
    boxes = np.array([f.box for f in found])
    still = box_iou(np.array([t.still for t in tracks]), boxes)
    moved = box_iou(np.array([t.moved for t in tracks]), boxes)
    score = np.maximum(still, moved)
    pairs: dict[int, Track] = {}
    taken: set[int] = set()
    for flat in np.argsort(-score, axis=None, kind="stable"):
        t, f = divmod(int(flat), len(found))
        if score[t, f] < TRACK_IOU:
            break
        if t not in taken and f not in pairs and _same(tracks[t], found[f]):
            pairs[f] = tracks[t]
            taken.add(t)
    return pairs


def _same(track: Track, found: MeasuredRegion) -> bool:
    """Whether the region may continue the track. Objects change as they move, so only their label counts."""
    if (track.kind, track.label) != (found.region.kind, found.region.label):
        return False
    return track.kind == RegionKind.object or _has_same_content(track.last, found)


def _alike(a: MeasuredRegion, b: MeasuredRegion) -> bool:
    return a.region.label == b.region.label and _has_same_content(a, b)


def _has_same_content(a: MeasuredRegion, b: MeasuredRegion) -> bool:
    other_background = (
        np.abs(a.background - b.background).max() >= OTHER_BACKGROUND
    )  # false if either is not plain, hence NaN
    most = SAME_CONTENT_BITS_ON_OTHER_BACKGROUND if other_background else SAME_CONTENT_BITS
    return (a.crop_hash ^ b.crop_hash).bit_count() <= most
