"""Broadcast overlays: scoreboard, channel bug, clock. They stay where they are from shot to shot, whatever the camera
shows."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brand_detect.domain.geometry import Boxes, box_iou, box_of, rescaled, transformed
from brand_detect.domain.protocols import CameraMotion, FrameReader, Luma, Transform

SAME_PLACE = 0.7  # overlap of a region's boxes in two shots
SAME_CROP_BITS = 18  # of 64; a clock's digits change, its background does not
VIEWS = 3  # shots of as many different views must show a region at one place
MOST_COMPARED = 12  # shots of a place, spread over the video
OTHER_SCENE = 0.5  # share of the picture that differs when two views have nothing but overlays in common
WENT_ALONG = 0.5  # overlap with where the camera's motion takes a region, over which the region is part of the scene


@dataclass
class _Place:
    """Tracks of several shots at one place that look the same. ``rows`` are the tracks' rows, one or more per shot."""

    kind: str
    box: NDArray[np.float64]
    crop_hash: int
    rows: list[int] = field(default_factory=list)


def find_overlays(
    regions: pa.Table, tracks: pa.Table, *, frames: FrameReader, motion: CameraMotion
) -> NDArray[np.bool_]:
    """Whether each of ``tracks`` is an overlay.

    Its region looks the same at the same place in three shots, of which no two show the same view: either the pictures
    have nothing else in common, or the camera moved between them and the region did not go with it. So a board before
    a camera that stands still, or that returns to where it was, is no overlay, nor is anything in a video of one shot.
    """
    marked = np.zeros(tracks.num_rows, bool)
    first = _first_regions(regions, tracks)
    shots = tracks["shot"].to_pylist()
    views = _Views(frames, motion)
    for place in _places(first, tracks["kind"].to_pylist()):
        by_shot = {shots[row]: first[row] for row in place.rows}
        if len(by_shot) < VIEWS:
            continue
        spread = np.unique(np.linspace(0, len(by_shot) - 1, MOST_COMPARED).round().astype(int))
        if views.differ([list(by_shot.values())[i] for i in spread]):
            marked[place.rows] = True
    return marked


@dataclass(frozen=True)
class _First:
    """A track's first region."""

    frame: int
    box: NDArray[np.float64]
    crop_hash: int


def _first_regions(regions: pa.Table, tracks: pa.Table) -> list[_First]:
    order = {track: row for row, track in enumerate(tracks["track_id"].to_pylist())}
    columns = ("track_id", "frame", "x_px", "y_px", "w_px", "h_px", "crop_hash")
    found: dict[int, _First] = {}
    for track, frame, x, y, w, h, crop_hash in zip(*(regions[c].to_pylist() for c in columns), strict=True):
        row = order[track]
        if row not in found or frame < found[row].frame:
            found[row] = _First(frame, np.array([x, y, x + w, y + h]), crop_hash)
    return [found[row] for row in range(tracks.num_rows)]


def _places(first: Sequence[_First], kinds: Sequence[str]) -> list[_Place]:
    """The tracks by place and appearance, which are those of the place's first track."""
    places: defaultdict[str, list[_Place]] = defaultdict(list)
    boxes: dict[str, Boxes] = {}
    for row, (one, kind) in enumerate(zip(first, kinds, strict=True)):
        here = places[kind]
        known = boxes.setdefault(kind, np.zeros((256, 4)))
        near = np.flatnonzero(box_iou(one.box[None], known[: len(here)])[0] >= SAME_PLACE)
        alike = [i for i in near.tolist() if (here[i].crop_hash ^ one.crop_hash).bit_count() <= SAME_CROP_BITS]
        if alike:
            here[alike[0]].rows.append(row)
            continue
        if len(here) == len(known):
            boxes[kind] = known = np.concatenate([known, np.zeros_like(known)])
        known[len(here)] = one.box
        here.append(_Place(kind, one.box, one.crop_hash, [row]))
    return [place for of_kind in places.values() for place in of_kind]


class _Views:
    """Compares what frames show; caches lumas and the motion between two frames."""

    def __init__(self, frames: FrameReader, motion: CameraMotion) -> None:
        self._frames, self._motion = frames, motion
        self._look = lru_cache(maxsize=64)(self._looked)
        self._between = lru_cache(maxsize=4096)(self._moved)

    def differ(self, shown: Sequence[_First]) -> bool:
        """Whether ``VIEWS`` of the frames differ from each other in all but the region itself."""
        apart: list[_First] = []
        for one in shown:
            if all(self._is_apart(other, one) for other in apart):
                apart.append(one)
            if len(apart) == VIEWS:
                return True
        return False

    def _is_apart(self, before: _First, after: _First) -> bool:
        transform = self._between(before.frame, after.frame)
        if transform is None:
            return True
        left, top, right, bottom = before.box
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        moved = box_of(transformed(corners, transform))
        return bool(box_iou(moved[None], after.box[None])[0, 0] < WENT_ALONG)

    def _moved(self, before: int, after: int) -> Transform | None:
        """Where points of one frame lie in the other, in px; None when the two show different scenes."""
        (a, _), (b, scale) = self._look(before), self._look(after)
        transform = self._motion.between(a, b)
        if transform is None:
            return None
        # An overlay alone gives a motion of zero: the rest of the picture has to agree with it.
        changed = sum(
            (area.right - area.left) * (area.bottom - area.top) for area in self._motion.changed(a, b, transform)
        )
        return None if changed > OTHER_SCENE * b.size else rescaled(transform, scale)

    def _looked(self, frame: int) -> tuple[Luma, float]:
        image = self._frames.read(frame)
        luma = self._motion.look(image)
        return luma, image.shape[1] / luma.shape[1]
