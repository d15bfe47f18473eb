"""Find regions on the kept frames and follow them through each shot.

A track is one region followed through one shot. Between two frames a region stays where it is (a scoreboard, a
watermark) or goes with the camera (a board): both places are tried. A place whose content changes, such as an LED
board, gives a new track, so that no text is lost in another's track.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brand_detect.domain.geometry import box_of, boxes_of, covered, overlaps, quad_area, transformed
from brand_detect.domain.model import KEPT, REGIONS, TRACKS, DetectedObjects, FilteredScenes, Row, content_id, table
from brand_detect.domain.params import DetectObjectsParams
from brand_detect.domain.protocols import (
    Area,
    CameraMotion,
    FrameReader,
    Image,
    ImageCodec,
    Luma,
    Progress,
    Quad,
    Region,
    RegionDetector,
    Transform,
)
from brand_detect.domain.timeline import cells_of

MAX_GAP_FRAMES = 2  # a track survives so many kept frames without its region
SAME_CONTENT_BITS = 22  # hash bits by which two crops of one text may differ
NEAR_STILL = 0.05  # of the width; after a larger move or zoom other text may have become legible
REFRESH_FRAMES = 8  # after so many followed frames the picture is searched in full again
MAX_CHANGED = 0.5  # with more of the picture changed, searching all of it costs no more
WHOLE = 0.98  # a region is followed as long as so much of it is in the picture
COVERED = 0.5  # a new region that lies so much on others is one of them, seen again
LOT_ROWS = 1000  # rows kept as Python objects before they become Arrow, which takes a tenth of the memory


@dataclass
class _Found:
    """A region on one frame, with what was measured on its pixels."""

    region: Region
    origin: str  # detected | propagated
    box: NDArray[np.float64]
    area_frac: float
    sharpness: float
    crop_hash: int


@dataclass
class _Track:
    """A track that may go on, with the two places where its region may stand now."""

    track_id: str
    kind: str
    label: str
    crop_hash: int
    still: NDArray[np.float64]  # box, if it did not move
    moved: NDArray[np.float64]  # box, if it goes with the camera
    start_s: float
    end_s: float
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
        }


@dataclass
class _Lots:
    """A table that grows."""

    schema: pa.Schema
    rows: list[Row] = field(default_factory=list)
    done: list[pa.Table] = field(default_factory=list)

    def add(self, rows: Iterable[Row]) -> None:
        self.rows.extend(rows)
        if len(self.rows) >= LOT_ROWS:
            self.done.append(table(self.schema, self.rows))
            self.rows = []

    def table(self) -> pa.Table:
        return pa.concat_tables([*self.done, table(self.schema, self.rows)])


def detect_objects(
    scenes: FilteredScenes,
    params: DetectObjectsParams,
    *,
    frames: FrameReader,
    codec: ImageCodec,
    detectors: Sequence[RegionDetector],
    motion: CameraMotion,
    progress: Progress,
) -> DetectedObjects:
    """Regions on every kept frame, joined into tracks.

    A track lasts from the first to the last cell of the frames that show it, dropped duplicates included.
    ``stats``: ``detector_calls`` and ``pictures_searched``, the searched area in whole pictures.
    """
    columns = scenes.timeline.select(["frame", "frame_id", "shot", "status"])
    kept = [row for row in columns.to_pylist() if row["status"] == KEPT]
    cells = cells_of(scenes.timeline)
    search = _Search(params, detectors, motion)
    regions, tracks = _Lots(REGIONS), _Lots(TRACKS)
    active: list[_Track] = []
    before: Luma | None = None
    shot = -1
    for done, row in enumerate(kept):
        progress(done, len(kept), "frames")
        if row["shot"] != shot:
            tracks.add(t.row(shot) for t in active)
            active, before, shot = [], None, row["shot"]
            search.begin_shot()
        image = frames.read(row["frame"])
        luma = motion.look(image)
        if before is not None:
            _move(active, motion.between(before, luma), image.shape[1] / luma.shape[1])
        before = luma
        found = [_measured(r, origin, image, codec) for r, origin in search.regions(image, luma)]
        found = [f for f in found if f.box[3] - f.box[1] >= params.min_height_px]
        start_s, end_s = float(cells[row["frame"]][0, 0]), float(cells[row["frame"]][-1, 1])
        continued = _matched(active, found, params.track_iou)
        for track in active:
            track.missed += 1
        for i, one in enumerate(found):
            region_id = content_id(row["frame_id"], *np.round(one.box).astype(int).tolist(), one.region.kind)
            track = continued.get(i)
            if track is None:
                track_id = content_id("track", region_id, one.region.label)
                kind, label = one.region.kind, one.region.label
                track = _Track(track_id, kind, label, one.crop_hash, one.box, one.box, start_s, end_s)
                active.append(track)
            track.still = track.moved = one.box
            track.crop_hash, track.missed = one.crop_hash, 0
            track.start_s, track.end_s = min(track.start_s, start_s), max(track.end_s, end_s)
            track.scores.append(one.region.score)
            track.areas.append(one.area_frac)
            regions.add([_region_row(one, region_id, track.track_id, row["frame"])])
        tracks.add(t.row(shot) for t in active if t.missed > MAX_GAP_FRAMES)
        active = [t for t in active if t.missed <= MAX_GAP_FRAMES]
    tracks.add(t.row(shot) for t in active)
    progress(len(kept), len(kept), "frames")
    notes = () if detectors else ("No detector is on: nothing was looked for.",)
    return DetectedObjects(regions=regions.table(), tracks=tracks.table(), notes=notes, stats=search.stats)


class _Search:
    """Runs the detectors: on near-still frames only where the picture changed since it was last searched in full."""

    def __init__(self, params: DetectObjectsParams, detectors: Sequence[RegionDetector], motion: CameraMotion) -> None:
        self._params, self._detectors, self._motion = params, detectors, motion
        self.stats = {"detector_calls": 0.0, "pictures_searched": 0.0}
        self.begin_shot()

    def begin_shot(self) -> None:
        """Nothing is followed across a cut."""
        self._reference: Luma | None = None
        self._regions: list[Region] = []
        self._followed = 0

    def regions(self, image: Image, luma: Luma) -> list[tuple[Region, str]]:
        """The picture's regions, each with its origin."""
        if self._params.propagate and self._reference is not None and self._followed < REFRESH_FRAMES:
            followed = self._follow(self._reference, image, luma)
            if followed is not None:
                self._followed += 1
                return followed
        self._reference, self._followed = luma, 0
        self._regions = self._detect(image, [])
        return [(region, "detected") for region in self._regions]

    def _follow(self, reference: Luma, image: Image, luma: Luma) -> list[tuple[Region, str]] | None:
        """The reference's regions where nothing changed and new ones elsewhere; None when too much changed."""
        motion = self._motion.between(reference, luma)
        if motion is None or _farthest(motion, luma.shape[1], luma.shape[0]) > NEAR_STILL * luma.shape[1]:
            return None
        height, width = image.shape[:2]
        scale = width / luma.shape[1]
        in_px = _scaled(motion, scale)
        moved = [Region(r.kind, r.label, r.score, _transformed(r.quad, in_px)) for r in self._regions]
        inside = covered(boxes_of([r.quad for r in moved]), np.array([[0.0, 0.0, width, height]]))
        leaving = [_around(box_of(r.quad)) for r, share in zip(moved, inside, strict=True) if 0 < share < WHOLE]
        moved = [r for r, share in zip(moved, inside, strict=True) if share >= WHOLE]
        changed = [_enlarged(a, scale) for a in self._motion.changed(reference, luma, motion)]
        areas, untouched = _cover([*changed, *leaving], [box_of(r.quad) for r in moved])
        areas = [Area(max(0, a.left), max(0, a.top), min(width, a.right), min(height, a.bottom)) for a in areas]
        if sum(_size(a) for a in areas) > MAX_CHANGED * width * height:
            return None
        followed = [(moved[i], "propagated") for i in untouched]
        for region in self._detect(image, areas) if areas else []:
            # Around an area a detector sees parts of what is carried; where areas lie close, it sees text twice.
            if covered(boxes_of([region.quad]), boxes_of([r.quad for r, _ in followed]))[0] < COVERED:
                followed.append((region, "detected"))
        return followed

    def _detect(self, image: Image, areas: Sequence[Area]) -> list[Region]:
        whole = image.shape[0] * image.shape[1]
        self.stats["detector_calls"] += len(self._detectors)
        self.stats["pictures_searched"] += sum(_size(a) for a in areas) / whole if areas else 1.0
        return [region for detector in self._detectors for region in detector.detect(image, areas)]


def _cover(changed: Sequence[Area], boxes: Sequence[NDArray[np.float64]]) -> tuple[list[Area], list[int]]:
    """Areas to search, none overlapping, and the boxes outside them all.

    A changed area grows by every box that it touches, for that region has to be seen whole; areas that meet are joined.
    """
    areas = list(changed)
    left = dict(enumerate(boxes))
    grown = True
    while grown:
        grown = False
        joined: list[Area] = []
        for area in areas:
            touched = [i for i, box in left.items() if _meet(area, box)]
            for i in touched:
                area = _joined(area, _around(left.pop(i)))
            others = [a for a in joined if _meet(a, (area.left, area.top, area.right, area.bottom))]
            for other in others:
                joined.remove(other)
                area = _joined(area, other)
            grown = grown or bool(touched or others)
            joined.append(area)
        areas = joined
    return areas, list(left)


def _around(box: NDArray[np.float64]) -> Area:
    (left, top), (right, bottom) = np.floor(box[:2]).astype(int).tolist(), np.ceil(box[2:]).astype(int).tolist()
    return Area(left, top, right, bottom)


def _meet(area: Area, box: Sequence[float] | NDArray[np.float64]) -> bool:
    return area.left < box[2] and box[0] < area.right and area.top < box[3] and box[1] < area.bottom


def _joined(a: Area, b: Area) -> Area:
    return Area(min(a.left, b.left), min(a.top, b.top), max(a.right, b.right), max(a.bottom, b.bottom))


def _enlarged(area: Area, scale: float) -> Area:
    """An area of the small picture in px of the frame."""
    return _around(np.array([area.left, area.top, area.right, area.bottom]) * scale)


def _size(area: Area) -> int:
    return max(0, area.right - area.left) * max(0, area.bottom - area.top)


def _farthest(motion: Transform, width: int, height: int) -> float:
    """How far a corner of the picture moves, in px of it."""
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    return float(np.abs(transformed(corners, motion) - corners).max())


def _transformed(quad: Quad, motion: Transform) -> Quad:
    return transformed(quad, motion).astype(np.float32)


def _scaled(motion: Transform, scale: float) -> Transform:
    """A transform between small pictures as one between frames ``scale`` times as large."""
    enlarge = np.diag([scale, scale, 1.0])
    return enlarge @ motion @ np.linalg.inv(enlarge)


def _move(tracks: Sequence[_Track], motion: Transform | None, scale: float) -> None:
    """Takes the camera's motion into where the tracks' regions may stand."""
    if motion is None:
        return
    in_px = _scaled(motion, scale)
    for track in tracks:
        left, top, right, bottom = track.moved
        track.moved = box_of(transformed([(left, top), (right, top), (right, bottom), (left, bottom)], in_px))


def _measured(region: Region, origin: str, image: Image, codec: ImageCodec) -> _Found:
    height, width = image.shape[:2]
    crop = codec.rectify(image, region.quad)
    return _Found(
        region,
        origin,
        box_of(region.quad).clip(0, [width, height, width, height]),
        quad_area(region.quad) / (width * height),
        codec.sharpness(crop),
        codec.phash(np.ascontiguousarray(crop[:, :, 1])),  # green is most of the luma
    )


def _matched(tracks: Sequence[_Track], found: Sequence[_Found], min_iou: float) -> dict[int, _Track]:
    """Which track each region continues, the best overlaps first, each track and region once."""
    if not tracks or not found:
        return {}
    boxes = np.array([f.box for f in found])
    still = overlaps(np.array([t.still for t in tracks]), boxes)
    moved = overlaps(np.array([t.moved for t in tracks]), boxes)
    score = np.maximum(still, moved)
    pairs: dict[int, _Track] = {}
    taken: set[int] = set()
    for flat in np.argsort(-score, axis=None, kind="stable"):
        t, f = divmod(int(flat), len(found))
        if score[t, f] < min_iou:
            break
        if t not in taken and f not in pairs and _same(tracks[t], found[f]):
            pairs[f] = tracks[t]
            taken.add(t)
    return pairs


def _same(track: _Track, found: _Found) -> bool:
    if (track.kind, track.label) != (found.region.kind, found.region.label):
        return False
    return found.region.kind != "text" or (track.crop_hash ^ found.crop_hash).bit_count() <= SAME_CONTENT_BITS


def _region_row(found: _Found, region_id: str, track_id: str, frame: int) -> Row:
    left, top, right, bottom = found.box.tolist()
    return {
        "region_id": region_id,
        "track_id": track_id,
        "frame": frame,
        "kind": found.region.kind,
        "label": found.region.label,
        "score": found.region.score,
        "quad": found.region.quad.ravel().tolist(),
        "x_px": left,
        "y_px": top,
        "w_px": right - left,
        "h_px": bottom - top,
        "area_frac": found.area_frac,
        "sharpness": found.sharpness,
        "crop_hash": found.crop_hash,
        "origin": found.origin,
    }
