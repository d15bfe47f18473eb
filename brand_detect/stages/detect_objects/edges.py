"""Finds when tracks appear and disappear between two sampled frames, on the pictures between them.

A track that one sampled frame shows and the next of its shot does not has an *edge* between the two. The interval is
halved until the edge is known to ``PRECISE_S``: a picture shows the region if it can be carried there from the sampled
frame that shows it, blurred or partly covered as it may be. Cuts are known from the signals, and the edges of what is
shown for ``LONG_S`` without a break hardly matter: neither are looked for.
"""

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.contracts.detect_objects import (
    TRACK_EDGES,
    DetectedObjects,
    DetectObjectsParams,
    RegionKind,
    Side,
)
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.errors import BrandDetectError, Permanent
from brand_detect.domain.geometry import box_areas, boxes_of, rescaled, shared
from brand_detect.domain.job import JobRequest
from brand_detect.domain.protocols import (
    NOT_COMPARED,
    CameraMotion,
    Decoder,
    Interval,
    Luma,
    Media,
    Picture,
    Progress,
    Quad,
)
from brand_detect.domain.tables import Row, TableBuilder
from brand_detect.domain.tries import PAUSES_S, tries
from brand_detect.stages.detect_objects.search import STILL
from brand_detect.stages.regions import quads_of

LONG_S = 10.0
"""What is shown for longer without a break keeps the edges of the sampling grid."""
LEAST_S: Mapping[str, float] = {RegionKind.text: 0.0, RegionKind.logo: 1.0}
"""How long a region is shown, at least; logo regions shown for less are no logos as a rule."""
THERE = 0.65
"""Least correlation of a region that is still there: partly covered or blurred, but not so much that it is illegible.
From 0.5 to 0.85 the mean error is the same; the higher it is, the earlier regions go."""
PRECISE_S = 0.1
"""Time within which an edge lies that is not halved any more: two pictures of 25 a second."""
WHOLE = 0.9
"""Least share of a region inside the picture with which its pixels are compared."""
LEGIBLE = 0.75
"""Least share of a region inside the picture that can be read: of names that its edge cuts by more, none can."""
COARSE = 4
"""By which small pictures are reduced once more: their motion is found in 2 ms, and ``locate`` corrects its px."""
SAME_S = 0.01
"""Most by which a picture's time differs from that of the sampled frame that it is."""
SAME_LUMA = 8.0
"""Largest mean difference of two thumbnails of one picture, in grey levels, of which one was decoded without the loop
filter."""


@dataclass(frozen=True, eq=False)
class _Sought:
    """An edge that is looked for: whose, and where the region is on the sampled frame that shows it."""

    track_id: str
    frame: int
    side: Side
    quad: Quad  # px of the stored frame
    worth: float  # 1, less if half an interval is a small part of the track's time


def with_edges(
    detected: DetectedObjects,
    request: JobRequest,
    frames: ExtractedFrames,
    scenes: FilteredScenes,
    params: DetectObjectsParams,
    *,
    media: Media,
    decoder: Decoder,
    motion: CameraMotion,
    progress: Progress,
) -> DetectedObjects:
    """``detected`` with its TRACK_EDGES; a note says if the video is not at hand, so that there are none.

    ``stats`` say how many intervals have edges, how many of them were searched within the limit, and how many are left
    because the video is not at hand.
    """
    if not params.edge_pictures_per_minute or not detected.regions.num_rows:
        return detected
    sought = _sought(detected, scenes)
    if not sought:
        return detected
    thumbnails = dict(zip(*(frames.frames[c].to_pylist() for c in ("t_s", "thumbnail")), strict=True))
    widths_px = frames.frames["width_px"].to_numpy()
    n_pictures = params.edge_pictures_per_minute * (frames.end_s - frames.start_s) / 60

    def search() -> tuple[TableBuilder, int]:
        """The edges, and the number of intervals searched."""
        edges, n_known = TableBuilder(TRACK_EDGES), 0
        chosen: list[Interval] = []

        def choose(key_times: Sequence[float]) -> Sequence[Interval]:
            chosen.extend(_affordable(sought, key_times, request.probe.fps, n_pictures))
            return chosen

        with media.open(request.video_uri) as file:
            if file.seek(0, 2) != request.video_bytes:
                raise Permanent("It is another file now.")
            for done, (interval, pictures) in enumerate(decoder.stretches(file, choose), 1):
                if _is_of(interval, pictures, thumbnails):
                    n_known += 1
                    edges.add(_found(sought[interval], pictures, widths_px, motion))
                progress(done, len(chosen), "intervals with edges")
        if chosen and not n_known:
            raise Permanent("It shows other pictures now.")
        return edges, len(chosen)

    notes, n_left = detected.notes, 0
    try:
        edges, n_searched = tries(*PAUSES_S)(search)
    except BrandDetectError as e:  # to detect everything again takes longer than edges are worth
        edges, n_searched, n_left = TableBuilder(TRACK_EDGES), 0, len(sought)
        notes = (*notes, f"Edges of exposures are those of the sampling grid, as the video was not at hand: {e}")
    found = edges.table()
    work = {
        "edge_intervals": len(sought),
        "edge_intervals_searched": n_searched,
        "edge_intervals_left": n_left,
        "edges_sought": sum(map(len, sought.values())),
        "edges_found": found.num_rows,
    }
    return replace(detected, edges=found, notes=notes, stats={**detected.stats, **work})


def _sought(detected: DetectedObjects, scenes: FilteredScenes) -> Mapping[Interval, Sequence[_Sought]]:
    """The edges of text and logo regions between neighbouring frames of a shot, by interval, in order of time."""
    columns = ("frame", "t_s", "start_s", "end_s", "shot", "keyframe")
    cells = scenes.timeline.sort_by("frame").select(columns).to_pylist()
    cells_of: defaultdict[int, list[int]] = defaultdict(list)
    for i, cell in enumerate(cells):
        cells_of[cell["keyframe"]].append(i)
    kinds = dict(zip(*(detected.tracks[c].to_pylist() for c in ("track_id", "kind")), strict=True))
    regions = detected.regions.sort_by([("track_id", "ascending"), ("frame", "ascending")])
    keyframes, quads = regions["frame"].to_numpy(), quads_of(regions).astype(np.float32)
    track_ids, firsts = np.unique(regions["track_id"].to_numpy(zero_copy_only=False), return_index=True)
    found: defaultdict[Interval, list[_Sought]] = defaultdict(list)
    for track_id, rows in zip(track_ids.tolist(), np.split(np.arange(len(quads)), firsts[1:]), strict=True):
        row_of = dict(zip(keyframes[rows].tolist(), rows.tolist(), strict=True))
        shown = np.array(sorted(i for keyframe in row_of for i in cells_of[keyframe]))
        for run in np.split(shown, np.flatnonzero(np.diff(shown) > 1) + 1):
            first, last = int(run[0]), int(run[-1])
            seconds = cells[last]["end_s"] - cells[first]["start_s"]
            if not LEAST_S.get(kinds[track_id], LONG_S) <= seconds < LONG_S:
                continue
            for side, here, there in ((Side.start, first, first - 1), (Side.end, last, last + 1)):
                if 0 <= there < len(cells) and cells[there]["shot"] == cells[here]["shot"]:
                    quad = quads[row_of[cells[here]["keyframe"]]]
                    edge = _Sought(track_id, cells[here]["frame"], side, quad, 1 / max(1.0, seconds))
                    before, after = sorted((here, there))
                    found[cells[before]["t_s"], cells[after]["t_s"]].append(edge)
    return dict(sorted(found.items()))


def _affordable(
    sought: Mapping[Interval, Sequence[_Sought]], key_times: Sequence[float], fps: float, n_pictures: float
) -> list[Interval]:
    """The intervals that can be looked at by decoding ``n_pictures``, in order of time.

    Everything from a key picture to the end of an interval is decoded, so the first intervals after a key picture are
    taken, for the key pictures and up to the intervals with the most edges of short tracks per picture.
    """
    after_key: defaultdict[int, list[Interval]] = defaultdict(list)
    for interval in sought:
        after_key[bisect(key_times, interval[0] + SAME_S) - 1].append(interval)
    options: list[tuple[float, int, int, float]] = []
    for key, intervals in after_key.items():
        costs = [fps * (end_s - key_times[key]) for _, end_s in intervals]
        worth = accumulate(sum(edge.worth for edge in sought[interval]) for interval in intervals)
        options += [(gain / cost, key, n, cost) for n, (gain, cost) in enumerate(zip(worth, costs, strict=True), 1)]
    taken: dict[int, tuple[int, float]] = {}
    for _, key, n, cost in sorted(options, reverse=True):
        n_before, paid = taken.get(key, (0, 0.0))
        if n > n_before and cost - paid <= n_pictures:
            taken[key] = n, cost
            n_pictures -= cost - paid
    return sorted(interval for key, (n, _) in taken.items() for interval in after_key[key][:n])


def _is_of(interval: Interval, pictures: Sequence[Picture], thumbnails: Mapping[float, bytes]) -> bool:
    """Whether the first and the last of ``pictures`` are the sampled frames of ``interval``, and not those of a file
    that took the video's place."""
    if len(pictures) < 2:
        return False
    for t_s, picture in zip(interval, (pictures[0], pictures[-1]), strict=True):
        stored = np.frombuffer(thumbnails[t_s], np.uint8).astype(int)
        if abs(picture.t_s - t_s) > SAME_S or np.abs(picture.thumbnail().ravel() - stored).mean() > SAME_LUMA:
            return False
    return True


def _found(
    sought: Sequence[_Sought],
    pictures: Sequence[Picture],
    widths_px: NDArray[np.int32],
    motion: CameraMotion,
) -> Iterator[Row]:
    """Rows of TRACK_EDGES for those of ``sought`` that are found on the ``pictures`` of their interval.

    ``widths_px`` are those of the stored frames.
    """
    views = _Views(pictures, motion)
    for side in Side:
        shows, lacks = (0, len(pictures) - 1)[:: 1 if side is Side.end else -1]
        width_px = views.width_px(shows)
        own = {e: e.quad * np.float32(width_px / widths_px[e.frame]) for e in sought if e.side is side}
        for edge, a, b in _halved(views, own, shows, lacks):
            low, high = pictures[min(a, b)].next_s, pictures[max(a, b)].t_s
            yield {
                "track_id": edge.track_id,
                "frame": edge.frame,
                "side": side,
                "t_s": (low + high) / 2,
                "error_s": (high - low) / 2,
            }


def _halved(
    views: "_Views", quads: Mapping[_Sought, Quad], shows: int, lacks: int
) -> Iterator[tuple[_Sought, int, int]]:
    """For each edge two pictures, of which the first shows its region as ``shows`` does, and the second does not.

    Edges of regions that cannot be compared are left out.
    """
    halves = [(list(quads), shows, lacks)] if quads else []
    while halves:
        edges, a, b = halves.pop()
        if views.is_precise(a, b):
            yield from ((edge, a, b) for edge in edges)
            continue
        middle = (a + b) // 2
        shown = views.shown(shows, [quads[edge] for edge in edges], middle)
        for there, half in ((True, (middle, b)), (False, (a, middle))):
            if own := [edge for edge, is_shown in zip(edges, shown, strict=True) if is_shown is there]:
                halves.append((own, *half))


class _Views:
    """The pictures of an interval, each looked at once when it is asked for."""

    def __init__(self, pictures: Sequence[Picture], motion: CameraMotion) -> None:
        self._pictures, self._motion = pictures, motion
        self._looked: dict[int, tuple[Luma, Luma, float]] = {}

    def width_px(self, at: int) -> int:
        return self._look(at)[0].shape[1]

    def is_precise(self, a: int, b: int) -> bool:
        """Whether an edge between two pictures is known well enough."""
        first, last = sorted((a, b))
        return last - first == 1 or self._pictures[last].t_s - self._pictures[first].next_s <= PRECISE_S

    def shown(self, source: int, quads: Sequence[Quad], at: int) -> list[bool | None]:
        """Whether ``at`` shows what is in each of ``quads`` on ``source``; None if it cannot be compared."""
        (before, small_before, scale), (after, small_after, _) = self._look(source), self._look(at)
        moved = self._motion.between(small_before, small_after)
        motions = [STILL] if moved is None or np.array_equal(moved, STILL) else [rescaled(moved, scale), STILL]
        places = self._motion.locate(before, quads, after, motions)
        boxes, picture = boxes_of([quad for quad, _ in places]), np.array([[0, 0, *after.shape[::-1]]], float)
        inside = shared(boxes, picture)[:, 0] / np.maximum(box_areas(boxes), 1e-9)
        return [
            _is_shown(correlation, share, moved is not None)
            for (_, correlation), share in zip(places, inside.tolist(), strict=True)
        ]

    def _look(self, at: int) -> tuple[Luma, Luma, float]:
        """A picture, a small one to estimate motion by, and the scale of the one to the other."""
        if at not in self._looked:
            luma = self._pictures[at].luma()
            small = self._motion.look(luma)
            rows, columns = (side // COARSE for side in small.shape)
            blocks = small[: rows * COARSE, : columns * COARSE].reshape(rows, COARSE, columns, COARSE)
            scale = COARSE * luma.shape[1] / small.shape[1]
            self._looked[at] = luma, blocks.mean(axis=(1, 3)).astype(np.uint8), scale
        return self._looked[at]


def _is_shown(correlation: float, inside: float, motion_is_known: bool) -> bool | None:
    if correlation >= THERE:
        return True
    if not motion_is_known or (correlation == NOT_COMPARED and inside >= WHOLE):
        return None
    return correlation == NOT_COMPARED and inside >= LEGIBLE
