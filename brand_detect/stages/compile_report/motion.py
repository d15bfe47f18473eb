"""How tracks move against the screen and against the scene, from their regions and the camera's motion."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brand_detect.domain.contracts.detect_objects import DetectedObjects, RegionKind
from brand_detect.domain.geometry import box_of, shared, side_lengths, transformed
from brand_detect.domain.placements import Motion
from brand_detect.domain.protocols import Transform
from brand_detect.domain.text import key_of
from brand_detect.stages.regions import quads_of, sizes_of

Quad = NDArray[np.float64]

MOVED = 1.0
"""Least displacement that tells anything, in heights of the lettering: a detector's boxes vary by a fifth of one."""
MOVED_FRAC = 1 / 80
"""And as a share of the picture's width: the camera's motion is known to a few px of 1280."""
STILL = 0.15
"""Largest displacement of what stands still on screen, in heights: a shirt that the camera follows sways by more."""
FIXED = 0.5
"""Largest distance, in heights, from where the camera's motion puts what is fixed in the scene."""
FIXED_SHARE = 0.2
"""Or as a share of the scene's displacement: a pan is no exact similarity."""
AGREES = 0.75
"""Least agreement of two pictures: below, the motion may be that of a player before a blurred background."""
SAME_SHAPE = 1.2
"""Quads whose proportions differ by more show different parts of a line, so their centres cannot be compared."""
NEXT = 2
"""Keyframes after a track's end on which another one continues it, or takes its place."""
FASTEST = 12.0
"""Longest way of a shirt between two keyframes, in heights of its lettering: 0.2 m, at 5 m/s and two a second."""
SAME_SIZE = 1.25
"""Largest ratio of the heights of one thing on successive keyframes."""
SAME_PLACE = 0.5
"""Least share of the smaller of two boxes inside the larger from which they are in one place."""
LEAST_LETTERS = 3
"""Letters of a text that takes another's place: shorter ones are parts and misreadings."""
OTHER_TEXT = 0.5
"""Share of common pairs of letters below which two texts differ: misread, a name keeps most of them."""


@dataclass
class TrackMotion:
    """What a track's motion tells. One vote for every stretch in which the track or the scene moved far enough."""

    votes: Counter[Motion] = field(default_factory=Counter)
    changes: int = 0  # times that it took the place of another text in the scene, or gave it up to one

    @property
    def motion(self) -> Motion | None:
        """The motion with the most votes; None in a tie."""
        first, second = [*self.votes.most_common(2), (None, 0), (None, 0)][:2]
        return first[0] if first[1] > second[1] else None


def motions(
    detected: DetectedObjects, frames: pa.Table, texts: Mapping[str, str], brands: Mapping[str, str]
) -> dict[str, TrackMotion]:
    """What the motion of each track tells, those of objects left out; ``texts`` and ``brands`` are by track.

    A region is compared with an earlier one of its track as soon as it or the scene has moved far enough. What moves
    fast leaves one track and begins another, so a track that ends is also compared with one of the same brand that
    begins right after.
    """
    camera = _Camera(detected.camera_motion)
    paths = _paths(detected, frames, texts, brands)
    found = {path.track_id: TrackMotion(_votes(path, camera)) for path in paths}
    by_shot: defaultdict[int, list[_Path]] = defaultdict(list)
    for path in paths:
        by_shot[path.shot].append(path)
    for own in by_shot.values():
        shot = _Shot(own, camera)
        for before, after in shot.successions():
            if before.brand and before.brand == after.brand:
                told = shot.continued(before, after)
                if told is not None:
                    found[before.track_id].votes[told] += 1
                    found[after.track_id].votes[told] += 1
        for before, after in shot.successions():
            both = found[before.track_id], found[after.track_id]
            if (before.brand or after.brand) and shot.is_change(before, after, both):
                for one in both:
                    one.changes += 1
    return found


class _Camera:
    """The camera's motion between any two keyframes of a shot; all None if CAMERA_MOTION is empty."""

    def __init__(self, camera_motion: pa.Table) -> None:
        self._path: dict[int, tuple[int, Transform]] = {}  # stretch of known motion, and the transform from its start
        self._following: dict[int, int] = {}
        stretch, whole, last = -1, np.eye(3), -1
        columns = (camera_motion[c].to_pylist() for c in ("frame", "transform", "agreement"))
        for frame, step, agreement in zip(*columns, strict=True):
            if step is None or agreement < AGREES:
                stretch, whole = stretch + 1, np.eye(3)
            else:
                whole = np.array(step).reshape(3, 3) @ whole
                self._following[last] = frame
            self._path[frame] = stretch, whole
            last = frame

    def between(self, before: int, after: int) -> Transform | None:
        """The transform from one keyframe to another, in px; None if it is unknown."""
        if before not in self._path or after not in self._path:
            return None
        (stretch, there), (other, here) = self._path[before], self._path[after]
        return here @ np.linalg.inv(there) if stretch == other else None

    def following(self, frame: int) -> Iterator[int]:
        """The next ``NEXT`` keyframes to which the motion is known."""
        for _ in range(NEXT):
            if frame not in self._following:
                return
            frame = self._following[frame]
            yield frame


@dataclass(frozen=True)
class _Path:
    """A track's regions in order of time."""

    track_id: str
    kind: str
    shot: int
    frames: Sequence[int]
    quads: Sequence[Quad]
    at_edge: Sequence[bool]
    height: float  # of the lettering, px, median
    least: float  # px from which a displacement tells anything
    text: str
    brand: str


def _paths(
    detected: DetectedObjects, frames: pa.Table, texts: Mapping[str, str], brands: Mapping[str, str]
) -> list[_Path]:
    regions = detected.regions
    quads, numbers = quads_of(regions), regions["frame"].to_numpy()
    heights = np.minimum(*side_lengths(quads))
    widths = sizes_of(frames, numbers)[:, 0]
    edges = regions["at_edge"].to_pylist()
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row in np.argsort(numbers, kind="stable").tolist():
        rows[regions["track_id"][row].as_py()].append(row)
    made = []
    for track in detected.tracks.select(["track_id", "kind", "shot"]).to_pylist():
        own = rows[track["track_id"]]
        if track["kind"] == RegionKind.object or not own:
            continue
        height = float(np.median(heights[own]))
        made.append(
            _Path(
                **track,
                frames=numbers[own].tolist(),
                quads=[quads[row] for row in own],
                at_edge=[bool(edges[row]) for row in own],
                height=height,
                least=max(MOVED * height, MOVED_FRAC * float(widths[own[0]])),
                text=texts.get(track["track_id"], ""),
                brand=brands.get(track["track_id"], ""),
            )
        )
    return made


def _votes(path: _Path, camera: _Camera) -> Counter[Motion]:
    votes: Counter[Motion] = Counter()
    start: int | None = None
    for i in range(len(path.frames)):
        if path.at_edge[i]:
            continue
        transform = None if start is None else camera.between(path.frames[start], path.frames[i])
        if start is None or transform is None or not _same_shape(path.quads[start], path.quads[i]):
            start = i
            continue
        told = _told(path, path.quads[start], path.quads[i], transform)
        if told is not None:
            votes[told] += 1
            start = i
    return votes


def _told(path: _Path, before: Quad, after: Quad, transform: Transform) -> Motion | None:
    """How a region moved; None if neither it nor the scene moved far enough, or it moved a little against both."""
    here, there, put = (quad.mean(axis=0) for quad in (before, after, transformed(before, transform)))
    seen, scene, off = (float(np.hypot(*way)) for way in (there - here, put - here, there - put))
    if max(seen, scene) < path.least:
        return None
    if off <= max(FIXED * path.height, FIXED_SHARE * scene):
        return Motion.fixed
    if seen <= STILL * path.height:
        return Motion.still
    return Motion.moving if off >= path.least else None


def _same_shape(a: Quad, b: Quad) -> bool:
    along, across = side_lengths(np.stack((a, b)))
    shape = np.maximum(along, 1e-6) / np.maximum(across, 1e-6)
    return bool(abs(np.log(shape[0] / shape[1])) <= np.log(SAME_SHAPE))


class _Shot:
    """The tracks of one shot."""

    def __init__(self, paths: Sequence[_Path], camera: _Camera) -> None:
        self._paths, self._camera = paths, camera
        self._begins: defaultdict[int, list[_Path]] = defaultdict(list)
        self._texts: defaultdict[int, list[tuple[Quad, _Path]]] = defaultdict(list)  # by frame
        for path in paths:
            self._begins[path.frames[0]].append(path)
            if path.kind == RegionKind.text:
                for frame, quad in zip(path.frames, path.quads, strict=True):
                    self._texts[frame].append((quad, path))

    def successions(self) -> Iterator[tuple[_Path, _Path]]:
        """Pairs of tracks of one kind, the second of which begins within ``NEXT`` keyframes of the first's end."""
        for before in self._paths:
            for frame in self._camera.following(before.frames[-1]):
                yield from ((before, after) for after in self._begins[frame] if after.kind == before.kind)

    def continued(self, before: _Path, after: _Path) -> Motion | None:
        """How a thing moved from the end of one track to the start of another; None if they show different things.

        Where a text begins in the one's place and one has ended in the other's, two boards changed: that is no shirt.
        """
        last, first = before.quads[-1], after.quads[0]
        if before.at_edge[-1] or after.at_edge[0] or not _same_shape(last, first):
            return None
        if abs(np.log(before.height / after.height)) > np.log(SAME_SIZE):
            return None
        there, back = self._transforms(before, after)
        told = _told(before, last, first, there)
        if told is not Motion.moving:
            return told
        left = transformed(last, there)
        is_near = np.hypot(*(first - left).mean(axis=0)) <= FASTEST * before.height
        begins = (quad for quad, text in self._texts[after.frames[0]] if text.frames[0] > before.frames[-1])
        ended = (quad for quad, text in self._texts[before.frames[-1]] if text.frames[-1] < after.frames[0])
        came_from = transformed(first, back)
        is_swap = any(_same_place(left, quad) for quad in begins) and any(
            _same_place(came_from, quad) for quad in ended
        )
        return told if is_near and not is_swap else None

    def is_change(self, before: _Path, after: _Path, motions: tuple[TrackMotion, TrackMotion]) -> bool:
        """Whether another text takes a text's place, and that place is fixed in the scene.

        A graphic on screen changes too, so the scene has to move while it changes, or one of the texts with the scene.
        """
        if any(one.motion in (Motion.still, Motion.moving) for one in motions) or not _differ(before.text, after.text):
            return False
        there, _ = self._transforms(before, after)
        place = transformed(before.quads[-1], there)
        moved = float(np.hypot(*(place - before.quads[-1]).mean(axis=0)))
        if moved < before.least and not any(one.motion is Motion.fixed for one in motions):
            return False
        return _same_place(place, after.quads[0])

    def _transforms(self, before: _Path, after: _Path) -> tuple[Transform, Transform]:
        """From the end of one track to the start of the other, and back."""
        there = self._camera.between(before.frames[-1], after.frames[0])
        assert there is not None, "successions are within a stretch of known motion"
        return there, np.linalg.inv(there).astype(float)


def _same_place(a: Quad, b: Quad) -> bool:
    boxes = np.stack((box_of(a), box_of(b)))
    smaller = float((boxes[:, 2:] - boxes[:, :2]).prod(axis=1).min())
    return float(shared(boxes[:1], boxes[1:])[0, 0]) >= SAME_PLACE * max(smaller, 1e-9)


def _differ(a: str, b: str) -> bool:
    """Whether two texts have different content: neither is a part of the other, nor a misreading of it."""
    keys = key_of(a), key_of(b)
    if min(map(len, keys)) < LEAST_LETTERS or keys[0] in keys[1] or keys[1] in keys[0]:
        return False
    pairs = [Counter(pairwise(key)) for key in keys]
    return 2 * (pairs[0] & pairs[1]).total() < OTHER_TEXT * sum(one.total() for one in pairs)
