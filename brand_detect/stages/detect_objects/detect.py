"""Find regions on the keyframes and follow them through each shot.

A track is one region followed through one shot. Between two frames a region stays where it is (a scoreboard, a
watermark) or goes with the camera (a board): both places are tried. A place whose content changes, such as an LED
board, gives a new track, so that no text is lost in another's track.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brand_detect.domain.contracts.detect_objects import REGIONS, TRACKS, DetectedObjects, DetectObjectsParams
from brand_detect.domain.contracts.filter_scenes import DUPLICATE, KEYFRAME, FilteredScenes
from brand_detect.domain.geometry import at_edge, box_iou, box_of, boxes_of, coverage, quad_area, rescaled, transformed
from brand_detect.domain.protocols import (
    Area,
    CameraMotion,
    FrameReader,
    Image,
    ImageCodec,
    LogoEmbedder,
    Luma,
    Progress,
    Quad,
    Region,
    RegionDetector,
    Transform,
)
from brand_detect.domain.tables import Row, content_id, table
from brand_detect.domain.timeline import cells_of
from brand_detect.stages.detect_objects.embeddings import embed_tracks
from brand_detect.stages.detect_objects.overlays import find_overlays

TRACK_IOU = 0.3  # overlap, after the camera's motion is taken out, that joins two regions into a track
MAX_GAP_FRAMES = 2  # a track survives so many keyframes without its region
SAME_CONTENT_BITS = 18  # hash bits by which two crops of one text may differ: people stand before it, or a clock runs
OTHER_BACKGROUND = 40  # grey levels between the plain backgrounds of two boards
SAME_CONTENT_BITS_ON_OTHER_BACKGROUND = 10  # a board that fades in changes its background too, yet hardly its lettering
NEAR_STILL = 0.05  # of the width; after a larger move or zoom other text may have become legible
REFRESH_FRAMES = 8  # after so many followed frames the picture is searched in full again
SEARCH_RIM = 0.1  # of the width: what a detector sees around an area, on both sides together
MAX_CHANGED = 0.4  # of the picture, rims included; searching more of it in parts takes as long as the whole
SEARCH_AGAIN_S = 2.0  # of the time that a frame stands for duplicates: people walk away from before a board
FULLER = 1.1  # a view of a region so much larger shows what was covered
WHOLE = 0.98  # a region is followed as long as so much of it is in the picture
LOGO = "logo"
IS_TEXT = 0.7  # a logo region that lies so much on lines of text is one of them, and is carried as text
COVERED = 0.5  # a new region that lies so much on others is one of them, seen again
CHUNK_ROWS = 1000  # rows kept as Python objects before they become Arrow, which takes a tenth of the memory


@dataclass
class _Found:
    """A region on one frame, with what was measured on its pixels."""

    region: Region
    origin: str  # detected | propagated
    seen_on: list[int]  # the frames whose pixels show it
    box: NDArray[np.float64]
    area_frac: float
    sharpness: float
    contrast: float
    glyph_boxes: list[tuple[float, float, float, float]]
    crop_hash: int
    at_edge: bool
    background: NDArray[np.float64]


@dataclass
class _Track:
    """A track that may go on, with the two places where its region may stand now."""

    kind: str
    label: str
    last: _Found
    still: NDArray[np.float64]  # box, if it did not move
    moved: NDArray[np.float64]  # box, if it goes with the camera
    track_id: str = ""  # set with the first region's id
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


@dataclass
class _TableBuilder:
    """A table that grows."""

    schema: pa.Schema
    rows: list[Row] = field(default_factory=list)
    done: list[pa.Table] = field(default_factory=list)

    def add(self, rows: Iterable[Row]) -> None:
        self.rows.extend(rows)
        if len(self.rows) >= CHUNK_ROWS:
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
    embedder: LogoEmbedder | None = None,
    progress: Progress,
) -> DetectedObjects:
    """Regions on every keyframe, joined into tracks, those of overlays marked, and vectors of their best views.

    A track lasts from the first to the last cell of the frames that show it, dropped duplicates included.
    ``stats``: ``detector_calls`` and ``pictures_searched``, the searched area in whole pictures.
    """
    columns = scenes.timeline.select(["frame", "frame_id", "shot", "status"])
    keyframes = [row for row in columns.to_pylist() if row["status"] == KEYFRAME]
    cells = cells_of(scenes.timeline)
    search_again = _frames_to_search_again(scenes.timeline)
    search = _Search(params, detectors, motion)
    tracker = _Tracker()

    def measured(found: Iterable[tuple[Region, str]], frame: int, image: Image) -> list[_Found]:
        listed = {}
        for region, origin in found:
            one = _measured(region, origin, frame, image, codec)
            width, height = one.box[2:] - one.box[:2]
            large = min(width, height) >= params.min_logo_px if region.kind == LOGO else height >= params.min_height_px
            if large:
                listed.setdefault((region.kind, *_rounded(one.box)), one)  # zero-shot detectors name one place twice
        return list(listed.values())

    before: Luma | None = None
    shot = -1
    for done, row in enumerate(keyframes):
        progress(done, len(keyframes), "frames")
        if row["shot"] != shot:
            tracker.begin_shot(row["shot"])
            search.begin_shot()
            before, shot = None, row["shot"]
        image = frames.read(row["frame"])
        luma = motion.look(image)
        if before is not None:
            tracker.move(motion.between(before, luma), image.shape[1] / luma.shape[1])
        before = luma
        tracker.see(measured(search.regions(image, luma), row["frame"], image))
        for other in search_again.get(row["frame"], ()):
            again = frames.read(other)
            tracker.see_again(measured(search.again(again, motion.look(again)), other, again))
        start_s, end_s = float(cells[row["frame"]][0, 0]), float(cells[row["frame"]][-1, 1])
        tracker.end_frame(row["frame"], row["frame_id"], start_s, end_s)
    tracker.begin_shot(-1)
    progress(len(keyframes), len(keyframes), "frames")
    notes = () if detectors else ("No detector is on: nothing was looked for.",)
    regions, tracks = tracker.regions.table(), tracker.tracks.table()
    is_overlay = pa.array(find_overlays(regions, tracks, frames=frames, motion=motion))
    tracks = tracks.set_column(TRACKS.get_field_index("is_overlay"), TRACKS.field("is_overlay"), is_overlay)
    if embedder is None:
        notes += ("No embedder is on: logos without text are not matched.",)
        return DetectedObjects(regions=regions, tracks=tracks, notes=notes, stats=search.stats)
    embeddings = embed_tracks(regions, frames=frames, codec=codec, embedder=embedder, progress=progress)
    return DetectedObjects(
        regions=regions,
        tracks=tracks,
        embeddings=embeddings,
        embedder=embedder.identity,
        notes=notes,
        stats=search.stats,
    )


def _frames_to_search_again(timeline: pa.Table) -> dict[int, list[int]]:
    """Duplicates to search as well, by their keyframe: one in ``SEARCH_AGAIN_S``, the last among them."""
    duplicates: dict[int, list[int]] = {}
    seconds: dict[int, float] = {}
    for row in timeline.to_pylist():
        if row["status"] == DUPLICATE:
            duplicates.setdefault(row["keyframe"], []).append(row["frame"])
            seconds[row["keyframe"]] = seconds.get(row["keyframe"], 0.0) + row["end_s"] - row["start_s"]
    search_again = {}
    for frame, dropped in duplicates.items():
        n = min(len(dropped), int(np.ceil(seconds[frame] / SEARCH_AGAIN_S)))
        places = np.linspace(len(dropped) / n - 1, len(dropped) - 1, n).round().astype(int)
        search_again[frame] = [dropped[i] for i in places]
    return search_again


class _Tracker:
    """Joins the regions of successive frames of a shot into tracks and writes the rows of both tables."""

    def __init__(self) -> None:
        self._active: list[_Track] = []
        self._seen: dict[int, tuple[_Track, _Found]] = {}  # on the current frame, by id of the track
        self._shot = -1
        self.regions, self.tracks = _TableBuilder(REGIONS), _TableBuilder(TRACKS)

    def begin_shot(self, shot: int) -> None:
        """Ends every track."""
        self.tracks.add(t.row(self._shot) for t in self._active)
        self._active, self._shot = [], shot

    def move(self, motion: Transform | None, scale: float) -> None:
        """Takes the camera's motion into where the tracks' regions may stand."""
        if motion is None:
            return
        in_px = rescaled(motion, scale)
        for track in self._active:
            left, top, right, bottom = track.moved
            track.moved = box_of(transformed([(left, top), (right, top), (right, bottom), (left, bottom)], in_px))

    def see(self, found: Sequence[_Found]) -> None:
        """The regions of the next frame."""
        continued = _matched(self._active, found)
        for i, one in enumerate(found):
            self._put(continued.get(i) or self._begin(one), one)

    def see_again(self, found: Sequence[_Found]) -> None:
        """Regions of a duplicate of the frame: those that the frame hides, whole or in part, count as its own."""
        continued = _matched(self._active, found)
        for i, one in enumerate(found):
            views = [(track, seen) for track, seen in self._seen.values() if seen.region.kind == one.region.kind]
            boxes = np.array([seen.box for _, seen in views]).reshape(-1, 4)
            parts = [v for v, share in zip(views, coverage(boxes, one.box[None]), strict=True) if share >= COVERED]
            if parts and one.area_frac > FULLER * sum(seen.area_frac for _, seen in parts):
                for track, _ in parts[1:]:
                    self._drop(track)
                self._put(parts[0][0], one)
            elif parts and one.area_frac * FULLER > parts[0][1].area_frac and _alike(parts[0][1], one):
                parts[0][1].seen_on.extend(one.seen_on)
            elif not parts and coverage(one.box[None], boxes)[0] < COVERED:
                track = continued.get(i)
                self._put(self._begin(one) if track is None or id(track) in self._seen else track, one)

    def _begin(self, one: _Found) -> _Track:
        track = _Track(one.region.kind, one.region.label, one, one.box, one.box)
        self._active.append(track)
        return track

    def _put(self, track: _Track, one: _Found) -> None:
        track.last, track.still, track.moved = one, one.box, one.box
        self._seen[id(track)] = (track, one)

    def _drop(self, track: _Track) -> None:
        """The track has no region on this frame after all."""
        del self._seen[id(track)]
        if not track.scores:
            self._active = [t for t in self._active if t is not track]

    def end_frame(self, frame: int, frame_id: str, start_s: float, end_s: float) -> None:
        """Writes the frame's regions; the frame is on screen from ``start_s`` to ``end_s``."""
        for track in self._active:
            track.missed += 1
        for track, one in self._seen.values():
            region_id = content_id(frame_id, *_rounded(one.box), one.region.kind)
            track.track_id = track.track_id or content_id("track", region_id, one.region.label)
            track.missed = 0
            track.start_s, track.end_s = min(track.start_s, start_s), max(track.end_s, end_s)
            track.scores.append(one.region.score)
            track.areas.append(one.area_frac)
            self.regions.add([_region_row(one, region_id, track.track_id, frame)])
        self._seen = {}
        self.tracks.add(t.row(self._shot) for t in self._active if t.missed > MAX_GAP_FRAMES)
        self._active = [t for t in self._active if t.missed <= MAX_GAP_FRAMES]


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
        if self._followed < REFRESH_FRAMES:
            followed = self._follow(image, luma)
            if followed is not None:
                self._followed += 1
                return followed
        self._reference, self._followed = luma, 0
        found = self._detected(image)
        self._regions = [region for region, _ in found]
        return found

    def again(self, image: Image, luma: Luma) -> list[tuple[Region, str]]:
        """Regions of a duplicate of the last picture."""
        followed = self._follow(image, luma)
        return self._detected(image) if followed is None else followed

    def _follow(self, image: Image, luma: Luma) -> list[tuple[Region, str]] | None:
        """The reference's regions where nothing changed and new ones elsewhere; None when too much changed."""
        reference = self._reference
        if reference is None or not self._params.propagate:
            return None
        motion = self._motion.between(reference, luma)
        if motion is None or _farthest(motion, luma.shape[1], luma.shape[0]) > NEAR_STILL * luma.shape[1]:
            return None
        height, width = image.shape[:2]
        scale = width / luma.shape[1]
        in_px = rescaled(motion, scale)
        moved = [Region(r.kind, r.label, r.score, _transformed(r.quad, in_px)) for r in self._regions]
        inside = coverage(boxes_of([r.quad for r in moved]), np.array([[0.0, 0.0, width, height]]))
        leaving = [_around(box_of(r.quad)) for r, share in zip(moved, inside, strict=True) if 0 < share < WHOLE]
        moved = [r for r, share in zip(moved, inside, strict=True) if share >= WHOLE]
        changed = [_enlarged(a, scale) for a in self._motion.changed(reference, luma, motion)]
        areas, untouched = _cover([*changed, *leaving], [box_of(r.quad) for r in moved])
        areas = [Area(max(0, a.left), max(0, a.top), min(width, a.right), min(height, a.bottom)) for a in areas]
        rim = width * SEARCH_RIM
        if sum((a.right - a.left + rim) * (a.bottom - a.top + rim) for a in areas) > MAX_CHANGED * width * height:
            return None
        followed = [(moved[i], "propagated") for i in untouched]
        for region in self._detect(image, areas) if areas else []:
            # Around an area a detector sees parts of what is carried; where areas lie close, it sees text twice.
            of_its_kind = [r.quad for r, _ in followed if r.kind == region.kind]
            if coverage(boxes_of([region.quad]), boxes_of(of_its_kind))[0] < COVERED:
                followed.append((region, "detected"))
        return without_lines(followed, self._params.max_logos)

    def _detected(self, image: Image) -> list[tuple[Region, str]]:
        """The regions of the whole picture, each with its origin."""
        return without_lines([(region, "detected") for region in self._detect(image, [])], self._params.max_logos)

    def _detect(self, image: Image, areas: Sequence[Area]) -> list[Region]:
        whole = image.shape[0] * image.shape[1]
        self.stats["detector_calls"] += len(self._detectors)
        self.stats["pictures_searched"] += sum(_size(a) for a in areas) / whole if areas else 1.0
        return [region for detector in self._detectors for region in detector.detect(image, areas)]


def without_lines(found: Sequence[tuple[Region, str]], max_logos: int) -> list[tuple[Region, str]]:
    """The regions, each with its origin, without those of kind logo that are lines of text or that ``max_logos`` better
    ones exceed."""
    lines = boxes_of([r.quad for r, _ in found if r.kind == "text"])
    on_lines = coverage(boxes_of([r.quad for r, _ in found]), lines)
    logos = [i for i, (r, _) in enumerate(found) if r.kind == LOGO and on_lines[i] < IS_TEXT]
    kept = set(sorted(logos, key=lambda i: -found[i][0].score)[:max_logos])
    return [one for i, one in enumerate(found) if one[0].kind != LOGO or i in kept]


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


def _rounded(box: NDArray[np.float64]) -> list[int]:
    return np.round(box).astype(int).tolist()


def _measured(region: Region, origin: str, frame: int, image: Image, codec: ImageCodec) -> _Found:
    height, width = image.shape[:2]
    size, box, crop = np.array([width, height], float), box_of(region.quad), codec.rectify(image, region.quad)
    return _Found(
        region,
        origin,
        [frame],
        box.clip(0, [*size, *size]),
        quad_area(region.quad) / (width * height),
        codec.sharpness(crop),
        codec.contrast(crop),
        codec.glyph_boxes(crop) if region.kind == "text" else [],
        codec.phash(np.ascontiguousarray(crop[:, :, 1])),  # green is most of the luma
        bool(at_edge(box[:2], box[2:], size).any()),
        codec.background(crop),
    )


def _matched(tracks: Sequence[_Track], found: Sequence[_Found]) -> dict[int, _Track]:
    """Which track each region continues, the best overlaps first, each track and region once."""
    if not tracks or not found:
        return {}
    boxes = np.array([f.box for f in found])
    still = box_iou(np.array([t.still for t in tracks]), boxes)
    moved = box_iou(np.array([t.moved for t in tracks]), boxes)
    score = np.maximum(still, moved)
    pairs: dict[int, _Track] = {}
    taken: set[int] = set()
    for flat in np.argsort(-score, axis=None, kind="stable"):
        t, f = divmod(int(flat), len(found))
        if score[t, f] < TRACK_IOU:
            break
        if t not in taken and f not in pairs and _same(tracks[t], found[f]):
            pairs[f] = tracks[t]
            taken.add(t)
    return pairs


def _same(track: _Track, found: _Found) -> bool:
    """Whether the region may be the track's next: an object by its label alone, for it changes its look as it moves."""
    if (track.kind, track.label) != (found.region.kind, found.region.label):
        return False
    return track.kind not in ("text", LOGO) or _looks_like(track.last, found)


def _alike(a: _Found, b: _Found) -> bool:
    return a.region.label == b.region.label and _looks_like(a, b)


def _looks_like(a: _Found, b: _Found) -> bool:
    other_background = (
        np.abs(a.background - b.background).max() >= OTHER_BACKGROUND
    )  # never, where one is not plain and so NaN
    most = SAME_CONTENT_BITS_ON_OTHER_BACKGROUND if other_background else SAME_CONTENT_BITS
    return (a.crop_hash ^ b.crop_hash).bit_count() <= most


def _region_row(found: _Found, region_id: str, track_id: str, frame: int) -> Row:
    left, top, right, bottom = found.box.tolist()
    return {
        "region_id": region_id,
        "track_id": track_id,
        "frame": frame,
        "seen_on": found.seen_on,
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
        "contrast": found.contrast,
        "crop_hash": found.crop_hash,
        "at_edge": found.at_edge,
        "origin": found.origin,
        "glyph_boxes": found.glyph_boxes,
    }
