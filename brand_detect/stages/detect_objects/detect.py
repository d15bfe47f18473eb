"""Finds regions on keyframes and tracks them through each shot."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from math import ceil
from threading import Event

import numpy as np
import pyarrow as pa

from brand_detect.domain.ahead import ahead
from brand_detect.domain.contracts.detect_objects import CAMERA_MOTION, TRACKS, DetectedObjects, DetectObjectsParams
from brand_detect.domain.contracts.filter_scenes import DUPLICATE, KEYFRAME, FilteredScenes
from brand_detect.domain.protocols import CameraMotion, FrameReader, ImageCodec, LogoEmbedder, Progress, RegionDetector
from brand_detect.domain.tables import TableBuilder
from brand_detect.domain.timeline import cells_of
from brand_detect.stages.detect_objects.embeddings import embed_tracks
from brand_detect.stages.detect_objects.measurements import MeasuredRegion, measured_regions
from brand_detect.stages.detect_objects.overlays import find_overlays
from brand_detect.stages.detect_objects.search import RegionSearch, View
from brand_detect.stages.detect_objects.tracking import MAX_GAP_FRAMES, Tracker

SEARCH_AGAIN_S = 2.0  # interval at which a keyframe's duplicates are searched too: people move away from boards


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
    """Finds regions on every keyframe, joins them into tracks, marks overlays, and embeds the best crops.

    The camera's motion between keyframes, by which regions are tracked, is part of the result.

    A track lasts from the first to the last cell of its keyframes, duplicates included.
    ``stats`` are those of ``RegionSearch``: what it searched and what it carried.
    """
    notes = () if detectors else ("All detectors are off: no regions were searched for.",)
    ended = Event()
    with (
        ThreadPoolExecutor(2 * len(detectors) + 1, thread_name_prefix="detect") as pool,
        ThreadPoolExecutor(1, thread_name_prefix="look") as looking,
        ThreadPoolExecutor(1, thread_name_prefix="search") as searching,
    ):
        search = RegionSearch(params, detectors, motion, pool, looking, searching)
        regions, tracks, camera = _tracked(scenes, params, search, frames, codec, pool, progress)
        overlays = pool.submit(find_overlays, regions, tracks, frames=frames, motion=motion, stopped=ended.is_set)
        detected = DetectedObjects(regions, tracks, camera_motion=camera, notes=notes, stats=search.stats)
        try:
            if embedder is None:
                notes = (*notes, "The embedder is off: logos without text are not matched.")
                detected = replace(detected, notes=notes)
            else:
                embeddings = embed_tracks(regions, frames=frames, codec=codec, embedder=embedder, progress=progress)
                detected = replace(detected, embeddings=embeddings, embedder=embedder.identity)
            is_overlay = pa.array(overlays.result())
        finally:
            ended.set()  # an error or a cancelled run does not wait for overlays
    column = TRACKS.get_field_index("is_overlay"), TRACKS.field("is_overlay")
    return replace(detected, tracks=tracks.set_column(*column, is_overlay))


def _tracked(
    scenes: FilteredScenes,
    params: DetectObjectsParams,
    search: RegionSearch,
    frames: FrameReader,
    codec: ImageCodec,
    pool: ThreadPoolExecutor,
    progress: Progress,
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """REGIONS, TRACKS and CAMERA_MOTION of all shots; overlays are not marked yet."""
    columns = scenes.timeline.select(["frame", "frame_id", "shot", "status"])
    keyframes = [row for row in columns.to_pylist() if row["status"] == KEYFRAME]
    ids = {row["frame"]: row["frame_id"] for row in keyframes}
    cells, duplicates = cells_of(scenes.timeline), _duplicates_to_search(scenes.timeline)
    # Logos that are lost between searched keyframes are found again on the next one.
    tracker = Tracker(max(MAX_GAP_FRAMES, params.search_every - 1))
    camera = TableBuilder(CAMERA_MOTION)
    images = frames.in_order(list(ids))
    done = 0

    def measured_view(view: View) -> tuple[View, list[MeasuredRegion]]:
        return view, measured_regions(view.found, view.frame, view.image, codec, params)

    for shot, rows in groupby(keyframes, key=lambda row: row["shot"]):
        tracker.begin_shot(shot)
        numbers = [row["frame"] for row in rows]
        views = search.shot(numbers, [float(np.diff(cells[n]).sum()) for n in numbers], images)
        for view, measured in ahead(pool, measured_view, views, 1):
            progress(done, len(keyframes), "frames")
            done += 1
            frame = view.frame
            tracker.move(view.motion)
            motion = None if view.motion is None else view.motion.ravel().tolist()
            camera.add([{"frame": frame, "transform": motion, "agreement": view.agreement}])
            tracker.update(measured)
            for other in duplicates.get(frame, ()):
                again = frames.read(other)
                tracker.add_duplicate_views(measured_regions(search.again(view, again), other, again, codec, params))
            start_s, end_s = float(cells[frame][0, 0]), float(cells[frame][-1, 1])
            tracker.end_frame(frame, ids[frame], start_s, end_s)
            del view  # and its picture, before the next keyframes are searched
    tracker.end_tracks()
    progress(len(keyframes), len(keyframes), "frames")
    return tracker.regions.table(), tracker.tracks.table(), camera.table()


def _duplicates_to_search(timeline: pa.Table) -> dict[int, list[int]]:
    """Duplicates to search too, by keyframe: one per ``SEARCH_AGAIN_S``, including the last."""
    duplicates: dict[int, list[int]] = {}
    seconds: dict[int, float] = {}
    for row in timeline.to_pylist():
        if row["status"] == DUPLICATE:
            duplicates.setdefault(row["keyframe"], []).append(row["frame"])
            seconds[row["keyframe"]] = seconds.get(row["keyframe"], 0.0) + row["end_s"] - row["start_s"]
    found = {}
    for frame, dropped in duplicates.items():
        n = min(len(dropped), ceil(seconds[frame] / SEARCH_AGAIN_S))
        places = np.linspace(len(dropped) / n - 1, len(dropped) - 1, n).round().astype(int)
        found[frame] = [dropped[i] for i in places]
    return found
