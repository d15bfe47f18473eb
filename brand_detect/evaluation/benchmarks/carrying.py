"""Compares regions carried between searched keyframes with a search of every frame and with the ground truth."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

from brand_detect.domain.contracts.detect_objects import DetectObjectsParams, Origin
from brand_detect.domain.geometry import Boxes, box_iou, boxes_of
from brand_detect.domain.protocols import Image, RegionDetector
from brand_detect.engines.motion import OpenCvCameraMotion
from brand_detect.engines.video import PyAvDecoder
from brand_detect.evaluation.benchmarks.common import Section
from brand_detect.evaluation.synthetic.footage import Scenario, plan, sample_once
from brand_detect.stages.detect_objects.search import RegionSearch, View

SAMPLE_FPS = 2.0
RIGHT_IOU = 0.5
COLUMNS = (
    "shots",
    "search every",
    "frames",
    "pictures searched / frame",
    "found of full search",
    "carried / frame",
    "right",
    "wrong",
    "smeared s",
)


def bench_carrying(folder: Path, scenario: Scenario, detector: RegionDetector, search_every: Sequence[int]) -> Section:
    """One row per kind of shot and ``search_every``; in shots of kind ``whip`` the camera pans fastest.

    A carried region is right if it has an IoU of 0.5 with one that a search of the whole frame finds, or with lettering
    of the truth. Smeared are the seconds of the frames with a wrong one, where something counts as visible that is
    covered, has changed or stands elsewhere.
    """
    video = folder / f"carrying-{scenario.seconds:g}-{scenario.seed}.mp4"
    truth = sample_once(video, scenario)
    counts: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    pictures: defaultdict[tuple[str, int], float] = defaultdict(float)
    for kind, numbers, images in _shots(video, scenario):
        full = {view.frame: _boxes(view) for view in _searched(detector, 1, numbers, images)[0]}
        for every in search_every:
            views, searched = _searched(detector, every, numbers, images)
            pictures[kind, every] += searched
            for view in views:
                letters = truth.boxes[(truth.boxes[:, 0] == view.frame) & (truth.boxes[:, 10] > 0)]
                known = boxes_of([*letters[:, 2:10].reshape(-1, 4, 2)])
                counts[kind, every].update(_counted(view, full[view.frame], known))
    rows = [
        (
            kind,
            every,
            count["frames"],
            pictures[kind, every] / count["frames"],
            count["found"] / max(1, count["full"]),
            count["carried"] / count["frames"],
            1 - count["wrong"] / max(1, count["carried"]),
            count["wrong"] / max(1, count["carried"]),
            count["smeared"] / SAMPLE_FPS,
        )
        for (kind, every), count in sorted(counts.items())
    ]
    return Section(f"Regions carried on {scenario.seconds:g} s of generated footage", COLUMNS, rows)


def _counted(view: View, full: Boxes, letters: Boxes) -> dict[str, int]:
    """What one frame adds: ``full`` are the boxes that a search of the whole finds, ``letters`` those of the truth."""
    carried = boxes_of([region.quad for region, origin in view.found if origin == Origin.carried])
    best = [box_iou(carried, boxes).max(axis=1, initial=0) for boxes in (full, letters)]
    wrong = int(((best[0] < RIGHT_IOU) & (best[1] < RIGHT_IOU)).sum())
    found = int((box_iou(full, _boxes(view)).max(axis=1, initial=0) >= RIGHT_IOU).sum())
    return {
        "frames": 1,
        "full": len(full),
        "found": found,
        "carried": len(carried),
        "wrong": wrong,
        "smeared": int(wrong > 0),
    }


def _boxes(view: View) -> Boxes:
    return boxes_of([region.quad for region, _ in view.found])


def _searched(
    detector: RegionDetector, every: int, numbers: Sequence[int], images: Sequence[Image]
) -> tuple[list[View], float]:
    """The frames of one shot with their regions, and how many pictures were searched for them."""
    params = DetectObjectsParams.model_validate({"search_every": every})
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as looking, ThreadPoolExecutor(1) as searching:
        search = RegionSearch(params, [detector], OpenCvCameraMotion(), pool, looking, searching)
        views = [*search.shot(numbers, [1 / SAMPLE_FPS] * len(numbers), iter(images))]
    return views, search.stats["pictures_searched"]


def _shots(video: Path, scenario: Scenario) -> Iterator[tuple[str, list[int], list[Image]]]:
    """The sampled frames of each shot that shows something: its kind, their numbers and pictures."""
    shots = [shot for shot in plan(scenario) for _ in range(shot.frames)]  # by frame
    with video.open("rb") as file:
        sampled = (
            (min(round(decoded.t_s * scenario.fps), len(shots) - 1), decoded.image)
            for decoded in PyAvDecoder().decode(file, SAMPLE_FPS, 0.0, float("inf"))
            if decoded.image is not None
        )
        for number, frames in groupby(sampled, key=lambda one: shots[one[0]].number):
            kind = next(shot.kind for shot in plan(scenario) if shot.number == number)
            numbers, images = map(list, zip(*frames, strict=True))
            if kind != "black":
                yield kind, numbers, images
