"""Finds broadcast overlays (scoreboard, channel bug, clock): they stay in place from shot to shot, whatever the camera
shows."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brand_detect.domain.geometry import Boxes, box_iou, moved_box, rescaled
from brand_detect.domain.protocols import CameraMotion, FrameReader, Luma, Transform
from brand_detect.stages.regions import corner_boxes

SAME_PLACE = 0.7  # least IoU of a region's boxes in two shots
ALIKE_BUT_DIGITS_BITS = 18  # of 64, in place of ALIKE_BITS: a clock's digits change, but its background does not
VIEWS = 3  # shots with different views that must show a region in the same place
MOST_COMPARED = 12  # most shots compared per place, spread over the video
MOST_HELD = 256  # most small pictures in memory, 0.2 MB each
OTHER_SCENE = 0.5  # share of the picture that differs between views with only overlays in common
MOVED_ALONG = 0.5  # IoU with the position after the camera's motion from which a region is part of the scene


@dataclass
class _Place:
    """Similar-looking tracks of several shots in the same place; ``rows`` are their indices, one or more per shot."""

    kind: str
    box: NDArray[np.float64]
    crop_hash: int
    rows: list[int] = field(default_factory=list)


def find_overlays(
    regions: pa.Table,
    tracks: pa.Table,
    *,
    frames: FrameReader,
    motion: CameraMotion,
    stopped: Callable[[], bool],
) -> NDArray[np.bool_]:
    """Whether each of ``tracks`` is an overlay. Gives up within seconds once ``stopped``.

    An overlay looks the same in the same place in three shots with pairwise different views: either the pictures have
    nothing else in common, or the camera moved between them and the region did not. So a board in front of a static
    camera, or one that returns to the same view, is no overlay, nor is anything in a video of one shot.
    """
    marked = np.zeros(tracks.num_rows, bool)
    first, shots = _first_regions(regions, tracks), tracks["shot"].to_pylist()
    places = _places(first, tracks["kind"].to_pylist())
    for group in _groups((place, _compared(place, first, shots)) for place in places):
        if stopped():
            break
        views = _Views({one.frame for _, shown in group for one in shown}, frames, motion)
        for place, shown in group:
            marked[place.rows] = not stopped() and views.differ(shown)
    return marked


@dataclass(frozen=True)
class _First:
    """A track's first region."""

    frame: int
    box: NDArray[np.float64]
    crop_hash: int


def _first_regions(regions: pa.Table, tracks: pa.Table) -> list[_First]:
    order = {track: row for row, track in enumerate(tracks["track_id"].to_pylist())}
    tracks_of, frames, hashes = (regions[c].to_pylist() for c in ("track_id", "frame", "crop_hash"))
    found: dict[int, _First] = {}
    for track, frame, box, crop_hash in zip(tracks_of, frames, corner_boxes(regions), hashes, strict=True):
        row = order[track]
        if row not in found or frame < found[row].frame:
            found[row] = _First(frame, box, crop_hash)
    return [found[row] for row in range(tracks.num_rows)]


def _places(first: Sequence[_First], kinds: Sequence[str]) -> list[_Place]:
    """Groups tracks by place and appearance, compared with the first track of the group."""
    places: defaultdict[str, list[_Place]] = defaultdict(list)
    known: dict[str, tuple[Boxes, NDArray[np.uint64]]] = {}
    for row, (one, kind) in enumerate(zip(first, kinds, strict=True)):
        here = places[kind]
        boxes, hashes = known.setdefault(kind, (np.zeros((256, 4)), np.zeros(256, np.uint64)))
        differ = np.bitwise_count(hashes[: len(here)] ^ np.uint64(one.crop_hash))
        alike = np.flatnonzero(differ <= ALIKE_BUT_DIGITS_BITS)
        alike = alike[box_iou(one.box[None], boxes[alike])[0] >= SAME_PLACE]
        if len(alike):
            here[alike[0]].rows.append(row)
            continue
        if len(here) == len(hashes):
            boxes, hashes = (
                np.concatenate([boxes, np.zeros_like(boxes)]),
                np.concatenate([hashes, np.zeros_like(hashes)]),
            )
            known[kind] = boxes, hashes
        boxes[len(here)], hashes[len(here)] = one.box, one.crop_hash
        here.append(_Place(kind, one.box, one.crop_hash, [row]))
    return [place for of_kind in places.values() for place in of_kind]


def _compared(place: _Place, first: Sequence[_First], shots: Sequence[int]) -> list[_First]:
    """The region in each of the shots to compare; none if there are too few."""
    by_shot = list({shots[row]: first[row] for row in place.rows}.values())
    if len(by_shot) < VIEWS:
        return []
    return [by_shot[i] for i in np.unique(np.linspace(0, len(by_shot) - 1, MOST_COMPARED).round().astype(int))]


def _groups(places: Iterable[tuple[_Place, list[_First]]]) -> Iterator[list[tuple[_Place, list[_First]]]]:
    """The places with anything to compare, as many at once as ``MOST_HELD`` frames show."""
    group: list[tuple[_Place, list[_First]]] = []
    frames: set[int] = set()
    for place, shown in places:
        if group and len(frames | {one.frame for one in shown}) > MOST_HELD:
            yield group
            group, frames = [], set()
        if shown:
            group.append((place, shown))
            frames |= {one.frame for one in shown}
    if group:
        yield group


class _Views:
    """Compares the views of frames."""

    def __init__(self, wanted: Set[int], frames: FrameReader, motion: CameraMotion) -> None:
        self._motion = motion
        self._between: dict[tuple[int, int], Transform | None] = {}
        self._lumas: dict[int, tuple[Luma, float]] = {}
        order = sorted(wanted)
        for frame, image in zip(order, frames.in_order(order), strict=True):
            luma = motion.look(image)
            self._lumas[frame] = luma, image.shape[1] / luma.shape[1]

    def differ(self, shown: Sequence[_First]) -> bool:
        """Whether ``VIEWS`` of the frames show pairwise different views around the region."""
        apart: list[_First] = []
        for one in shown:
            if all(self._is_apart(other, one) for other in apart):
                apart.append(one)
            if len(apart) == VIEWS:
                return True
        return False

    def _is_apart(self, before: _First, after: _First) -> bool:
        frames = before.frame, after.frame
        if frames not in self._between:
            self._between[frames] = self._moved(*frames)
        transform = self._between[frames]
        if transform is None:
            return True
        return bool(box_iou(moved_box(before.box, transform)[None], after.box[None])[0, 0] < MOVED_ALONG)

    def _moved(self, before: int, after: int) -> Transform | None:
        """The transform from one frame to the other, in px; None if they show different scenes."""
        (a, _), (b, scale) = self._lumas[before], self._lumas[after]
        transform = self._motion.between(a, b)
        if transform is None:
            return None
        # An overlay alone yields zero motion, so the rest of the picture has to agree.
        changed = sum(
            (area.right - area.left) * (area.bottom - area.top) for area in self._motion.changed(a, b, transform)
        )
        return None if changed > OTHER_SCENE * b.size else rescaled(transform, scale)
