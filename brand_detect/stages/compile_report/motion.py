"""How tracks move against the screen and against the scene, from their regions and the camera's motion."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from brand_detect.domain.contracts.detect_objects import DetectedObjects, RegionKind
from brand_detect.domain.geometry import side_lengths
from brand_detect.domain.placements import Motion
from brand_detect.domain.text import key_of
from brand_detect.stages.regions import quads_of, sizes_of

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

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
"""Share of the shorter text's pairs of letters below which two texts differ: misread or in part, a name keeps more."""


MOTIONS = (*Motion,)
NOTHING = -1  # instead of an index in MOTIONS
BLOCK = 16_384  # pairs of tracks that are compared at once


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
    """What the motion of each track of text, and of each logo with a text or brand, tells.

    ``texts`` and ``brands`` are by track.

    A region is compared with an earlier one of its track as soon as it or the scene has moved far enough. What moves
    fast leaves one track and begins another, so a track that ends is also compared with one of the same brand that
    begins right after.
    """
    tracks = _Tracks(detected, frames, texts.keys() | brands.keys())
    brand = np.array([brands.get(track, "") for track in tracks.ids], object)
    text = [texts.get(track, "") for track in tracks.ids]
    found = [TrackMotion(Counter(dict(zip(MOTIONS, own, strict=True)))) for own in tracks.votes().tolist()]
    i, j = tracks.successions()
    is_same = (brand[i] == brand[j]) & (brand[i] != "")
    for a, b, told in zip(i[is_same], j[is_same], tracks.continued(i[is_same], j[is_same]), strict=True):
        if told != NOTHING:
            found[a].votes[MOTIONS[told]] += 1
            found[b].votes[MOTIONS[told]] += 1
    shot_of = dict(zip(*(detected.tracks[c].to_pylist() for c in ("track_id", "shot")), strict=True))
    in_shot = [(shot_of[track], name) for track, name in zip(tracks.ids, brand, strict=True)]
    motion = [one.motion for one in found]
    loose = {key for key, told in zip(in_shot, motion, strict=True) if key[1] and told in (Motion.still, Motion.moving)}
    is_fixed = np.array([told is Motion.fixed for told in motion], bool)
    # Where a brand's overlay or shirt is in the shot, what tells nothing may be a glimpse of that, before a board.
    may_be = np.array([told is None and key not in loose for told, key in zip(motion, in_shot, strict=True)], bool)
    may_be |= is_fixed
    wanted = may_be[i] & may_be[j] & (brand[i] != brand[j])
    i, j = i[wanted], j[wanted]
    in_place, has_moved = tracks.replaced(i, j)
    # A graphic on screen changes too, so the scene has to move while it does, or one of the texts with the scene.
    wanted = in_place & (has_moved | is_fixed[i] | is_fixed[j])
    for a, b in zip(i[wanted], j[wanted], strict=True):
        if _differ(text[a], text[b]):
            found[a].changes += 1
            found[b].changes += 1
    return dict(zip(tracks.ids, found, strict=True))


class _Camera:
    """The camera's motion between any two keyframes, each named by its row of CAMERA_MOTION; -1 is no keyframe."""

    def __init__(self, camera_motion: pa.Table) -> None:
        n = camera_motion.num_rows
        self.row_of = {frame: row for row, frame in enumerate(camera_motion["frame"].to_pylist())}
        self._stretch = np.full(n + 1, NOTHING)  # of known motion, by the row of its first keyframe
        self._whole = np.tile(np.eye(3), (n + 1, 1, 1))  # the transform from there
        steps = (camera_motion[c].to_pylist() for c in ("transform", "agreement"))
        for row, (step, agreement) in enumerate(zip(*steps, strict=True)):
            self._stretch[row] = row
            if step is not None and agreement >= AGREES:
                self._stretch[row] = self._stretch[row - 1]
                self._whole[row] = np.reshape(step, (3, 3)) @ self._whole[row - 1]

    def known(self, before: Ints, after: Ints) -> Bools:
        """Whether the motion from each of ``before`` to each of ``after`` is known."""
        return (before >= 0) & (self._stretch[before] == self._stretch[after])

    def following(self, row: int) -> Sequence[int]:
        """The next ``NEXT`` keyframes to which the motion is known."""
        last = np.searchsorted(self._stretch[:-1], self._stretch[row], "right")
        return range(row + 1, min(row + NEXT, last - 1) + 1) if row >= 0 else ()

    def between(self, before: Ints, after: Ints) -> Floats:
        """The transforms, shape (n, 3, 3), in px, where they are known."""
        return self._whole[after] @ np.linalg.inv(self._whole[before])


class _Tracks:
    """The tracks of text and the logos in ``known``, by number. Their regions are rows in order of track and time."""

    def __init__(self, detected: DetectedObjects, frames: pa.Table, known: Collection[str]) -> None:
        is_known = pc.field("track_id").isin(pa.array(known, pa.string())) & (pc.field("kind") != RegionKind.object)
        own = detected.regions.filter((pc.field("kind") == RegionKind.text) | is_known)
        own = own.sort_by([("track_id", "ascending"), ("frame", "ascending")]).combine_chunks()
        self._track = own["track_id"].combine_chunks().dictionary_encode().indices.to_numpy()
        self._first = np.flatnonzero(np.diff(self._track, prepend=NOTHING))
        self._last = np.append(self._first[1:], own.num_rows)[: len(self._first)] - 1
        self.ids: list[str] = own["track_id"].take(self._first).to_pylist()
        self._is_text = pc.equal(own["kind"], RegionKind.text).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
        self._is_cut = own["at_edge"].fill_null(True).to_numpy()
        self._quads = quads_of(own)
        along, across = (np.maximum(sides, 1e-6) for sides in side_lengths(self._quads))
        self._shape = np.log(along / across)
        heights = np.minimum(along, across)
        heights = heights[np.lexsort((heights, self._track))]
        middle = self._first + self._last  # twice the place of each track's median
        self._height = (heights[middle // 2] + heights[(middle + 1) // 2]) / 2
        self._camera, self._frame = _Camera(detected.camera_motion), own["frame"].to_numpy()
        texts = np.flatnonzero(self._is_text)
        self._texts = texts[np.argsort(self._frame[texts], kind="stable")]
        self._text_frames = self._frame[self._texts]
        self._at = np.array([self._camera.row_of.get(frame, NOTHING) for frame in self._frame.tolist()], np.intp)
        widths = sizes_of(frames, self._frame[self._first])[:, 0]
        self._least = np.maximum(MOVED * self._height, MOVED_FRAC * widths)  # px that tell anything

    def votes(self) -> Ints:
        """How often each track moved in each of MOTIONS, all tracks one region further at a time."""
        votes = np.zeros((len(self.ids), len(MOTIONS)), np.intp)
        start = np.full(len(self.ids), NOTHING)
        for step in range(int((self._last - self._first).max(initial=-1)) + 1):
            tracks = np.flatnonzero(self._first + step <= self._last)
            tracks = tracks[~self._is_cut[self._first[tracks] + step]]
            row, since = self._first[tracks] + step, start[tracks]
            compared = (since >= 0) & self._comparable(since, row)
            told = np.where(compared, self._told(since, row, tracks), NOTHING)
            votes[tracks[told != NOTHING], told[told != NOTHING]] += 1
            start[tracks] = np.where(compared & (told == NOTHING), since, row)
        return votes

    def successions(self) -> tuple[Ints, Ints]:
        """Pairs of tracks of one kind, the second of which begins within ``NEXT`` keyframes of the first's end."""
        begins: defaultdict[tuple[int, bool], list[int]] = defaultdict(list)
        is_text = self._is_text[self._first].tolist()
        for track, begin in enumerate(zip(self._at[self._first].tolist(), is_text, strict=True)):
            begins[begin].append(track)
        before, after = array("q"), array("q")  # many: each ending with each beginning nearby
        ends = self._at[self._last].tolist()
        after_end = {at: self._camera.following(at) for at in set(ends)}
        for track, (at, kind) in enumerate(zip(ends, is_text, strict=True)):
            for following in after_end[at]:
                begun = begins[following, kind]
                before.extend([track] * len(begun))
                after.extend(begun)
        return np.array(before, np.intp), np.array(after, np.intp)

    def continued(self, before: Ints, after: Ints) -> Ints:
        """How a thing moved from the end of one track to the start of another; ``NOTHING`` if they show two things.

        Where a text begins in the one's place and one has ended in the other's, two boards changed: that is no shirt.
        """
        last, first = self._last[before], self._first[after]
        is_one = ~self._is_cut[last] & ~self._is_cut[first] & self._comparable(last, first)
        is_one &= abs(np.log(self._height[before] / self._height[after])) <= np.log(SAME_SIZE)
        told = np.where(is_one, self._told(last, first, before), NOTHING)
        there, back = self._moved(last, first), self._moved(first, last)
        way = np.hypot(*(self._quads[first] - there).mean(axis=1).T)
        moving = MOTIONS.index(Motion.moving)
        told[(told == moving) & (way > FASTEST * self._height[before])] = NOTHING
        begins, ends = self._frame[self._first], self._frame[self._last]
        for pair in np.flatnonzero(told == moving):
            then, now = self._frame[last[pair]], self._frame[first[pair]]
            went, came = self._texts_on(then), self._texts_on(now)
            ended, begun = went[ends[self._track[went]] < now], came[begins[self._track[came]] > then]
            if _in_place(there[pair], self._quads[begun]).any() and _in_place(back[pair], self._quads[ended]).any():
                told[pair] = NOTHING
        return told

    def replaced(self, before: Ints, after: Ints) -> tuple[Bools, Bools]:
        """Whether the second track begins in the first's place in the scene, and whether that moved on screen."""
        in_place, has_moved = np.zeros(len(before), bool), np.zeros(len(before), bool)
        for start in range(0, len(before), BLOCK):
            some = slice(start, start + BLOCK)
            last, first = self._last[before[some]], self._first[after[some]]
            there = self._moved(last, first)
            in_place[some] = _in_place(there, self._quads[first])
            way = np.hypot(*(there - self._quads[last]).mean(axis=1).T)
            has_moved[some] = way >= self._least[before[some]]
        return in_place, has_moved

    def _comparable(self, before: Ints, after: Ints) -> Bools:
        """Whether the camera's motion between two regions is known, and both may show the same part of a line."""
        known = self._camera.known(self._at[before], self._at[after])
        return known & (abs(self._shape[before] - self._shape[after]) <= np.log(SAME_SHAPE))

    def _moved(self, rows: Ints, to: Ints) -> Floats:
        """The quads of ``rows`` where the camera's motion puts them on the keyframes of ``to``."""
        transforms = self._camera.between(self._at[rows], self._at[to])
        points = np.pad(self._quads[rows], ((0, 0), (0, 0), (0, 1)), constant_values=1) @ transforms.swapaxes(1, 2)
        return points[..., :2] / points[..., 2:]

    def _told(self, before: Ints, after: Ints, tracks: Ints) -> Ints:
        """How a region moved, as an index in MOTIONS; ``NOTHING`` if neither it nor the scene moved far enough, or it
        moved a little against both."""
        height, least = self._height[tracks], self._least[tracks]
        quads = (self._quads[before], self._quads[after], self._moved(before, after))
        here, there, put = (own.mean(axis=1) for own in quads)
        seen, scene, off = (np.hypot(*way.T) for way in (there - here, put - here, there - put))
        cases = {
            NOTHING: np.maximum(seen, scene) < least,
            MOTIONS.index(Motion.fixed): off <= np.maximum(FIXED * height, FIXED_SHARE * scene),
            MOTIONS.index(Motion.still): seen <= STILL * height,
            MOTIONS.index(Motion.moving): off >= least,
        }
        return np.select([*cases.values()], [*cases], NOTHING)

    def _texts_on(self, frame: int) -> Ints:
        """The rows of the texts on a keyframe."""
        return self._texts[slice(*np.searchsorted(self._text_frames, (frame, frame + 1)))]


def _in_place(a: Floats, b: Floats) -> Bools:
    """Whether most of the smaller of two quads' boxes lies in the larger; shapes (…, 4, 2)."""
    low, high = (np.maximum(a.min(-2), b.min(-2)), np.minimum(a.max(-2), b.max(-2)))
    smaller = np.minimum(*((quad.max(-2) - quad.min(-2)).prod(-1) for quad in (a, b)))
    return (high - low).clip(0).prod(-1) >= SAME_PLACE * np.maximum(smaller, 1e-9)


def _differ(a: str, b: str) -> bool:
    """Whether two texts have different content: neither is a part of the other, nor a misreading of it."""
    keys = key_of(a), key_of(b)
    if min(map(len, keys)) < LEAST_LETTERS:
        return False
    pairs = [Counter(pairwise(key)) for key in keys]
    return (pairs[0] & pairs[1]).total() < OTHER_TEXT * min(one.total() for one in pairs)
