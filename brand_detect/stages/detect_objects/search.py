"""Finds the regions of a shot's keyframes: by detection on some, and by carrying regions over to those between."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import ceil
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.ahead import ahead
from brand_detect.domain.contracts.detect_objects import DetectObjectsParams, Origin, RegionKind
from brand_detect.domain.geometry import Boxes, box_areas, box_iou, boxes_of, coverage, rescaled, shared
from brand_detect.domain.protocols import (
    NOT_COMPARED,
    Area,
    CameraMotion,
    Image,
    Luma,
    Region,
    RegionDetector,
    Transform,
)
from brand_detect.stages.detect_objects.tracking import SAME_REGION

LASTING_S = 1.0  # a keyframe that stands for more is searched: what appears on it is on no keyframe beside it
CARRIED = 0.85  # least correlation of a region's pixels with those where it is carried to
IS_TEXT = 0.7  # share of a logo region on lines of text from which it counts as text
STILL = np.eye(3)
STILL.setflags(write=False)
PER_100 = ("searched_in_full", "pictures_searched", "verified", "carried", "lost")  # figures of ``stats``

Found = tuple[Region, Origin]


@dataclass
class View:
    """A keyframe with its regions. ``motion`` leads here from the keyframe before, in px; None if it is unknown, as is
    its ``agreement``."""

    frame: int
    image: Image
    luma: Luma
    scale: float  # of the picture to its luma
    motion: Transform | None
    agreement: float | None  # of the pictures after that motion, 0..1
    found: list[Found] = field(default_factory=list)

    def in_small_px(self, motion: Transform) -> Transform:
        return rescaled(motion, 1 / self.scale)


@dataclass(frozen=True)
class _Located:
    """A region where it is on another frame."""

    region: Region
    source: int  # the frame that it comes from
    correlation: float


class RegionSearch:
    """Runs the detectors on every ``search_every``-th keyframe of a shot, and carries regions to those between.

    A region is carried from the searched keyframes before and after to where the camera's motion puts it, or to where
    it was (a scoreboard), if the pixels there are alike. Where they are not, and in parts of the scene that neither
    keyframe shows, the detectors search: a board behind a player is not carried through him. What appears elsewhere
    for less than ``LASTING_S``, on a keyframe that is not searched, is missed.

    Args:
        pool: runs the detectors beside each other; a text network leaves a core idle where others need just one.
        looking: of one thread, which looks at the next keyframes meanwhile.
        searching: of one thread, which searches the next keyframe while regions are carried to those before it.
    """

    def __init__(
        self,
        params: DetectObjectsParams,
        detectors: Sequence[RegionDetector],
        motion: CameraMotion,
        pool: ThreadPoolExecutor,
        looking: ThreadPoolExecutor,
        searching: ThreadPoolExecutor,
    ) -> None:
        self._params, self._detectors, self._motion = params, detectors, motion
        self._pool, self._looking, self._searching = pool, looking, searching
        self._done: defaultdict[str, float] = defaultdict(float)
        self._counting = Lock()

    @property
    def stats(self) -> dict[str, float]:
        """The work done: totals, and per 100 frames looked at the frames ``searched_in_full``, the searched area in
        whole pictures, and the regions ``verified`` on another frame, of which some are ``carried`` and some ``lost``.
        """
        totals = {name: round(self._done[name], 6) for name in ("frames", "detector_calls", "pictures_searched")}
        per_100 = 100 / max(1, self._done["frames"])
        return totals | {f"{name}_per_100_frames": round(self._done[name] * per_100, 1) for name in PER_100}

    def shot(self, keyframes: Sequence[int], seconds: Sequence[float], images: Iterator[Image]) -> Iterator[View]:
        """The keyframes of one shot in order, with their regions. At most 2 x ``search_every`` + 2 are held.

        Args:
            seconds: how long each is on screen, duplicates included.
            images: yields the picture of each; nothing more is taken from it.
        """
        last = len(keyframes) - 1
        in_full = set(np.linspace(0, last, 1 + ceil(last / self._params.search_every)).round().astype(int).tolist())
        in_full |= {n for n, on_screen_s in enumerate(seconds) if on_screen_s > LASTING_S}
        before: Luma | None = None

        def looked_at(keyframe: tuple[int, Image]) -> View:
            nonlocal before
            view = self._view(*keyframe, before)
            before = view.luma
            return view

        def stretches() -> Iterator[list[View]]:
            """The keyframes from one that is searched to the next."""
            views: list[View] = []
            for n, view in enumerate(ahead(self._looking, looked_at, zip(keyframes, images, strict=False), 1)):
                self._count(frames=1)
                views.append(view)
                if n in in_full:
                    yield views
                    views = [view]

        def searched(views: list[View]) -> list[View]:
            views[-1].found = self._detected(views[-1].image)
            return views

        for views in ahead(self._searching, searched, stretches(), 1):
            yield from self._filled(views)
            del views  # and its pictures, before the next are looked at

    def again(self, view: View, image: Image) -> list[Found]:
        """Regions of a duplicate of ``view``."""
        self._count(frames=1)
        other = self._view(view.frame, image, view.luma)
        if other.motion is None or self._params.search_every == 1:
            return self._detected(image)
        changed = self._motion.changed(view.luma, other.luma, other.in_small_px(other.motion))
        return self._carried(other, [(view, other.motion)], changed)

    def _count(self, **done: float) -> None:
        with self._counting:
            for name, amount in done.items():
                self._done[name] += amount

    def _view(self, frame: int, image: Image, before: Luma | None) -> View:
        luma = self._motion.look(image)
        motion = None if before is None else self._motion.between(before, luma)
        scale = image.shape[1] / luma.shape[1]
        if before is None or motion is None:
            return View(frame, image, luma, scale, None, None)
        agreement = self._motion.agreement(before, luma, motion)
        return View(frame, image, luma, scale, rescaled(motion, scale), agreement)

    def _filled(self, views: Sequence[View]) -> Iterator[View]:
        """All but the first of ``views``, of which the first and the last are searched."""
        for i, view in enumerate(views[1:-1], 1):
            there, back = _chained(views[1 : i + 1]), _chained(views[i + 1 :])
            sources: list[tuple[View, Transform]] = []
            if there is not None:
                sources.append((views[0], there))
            if back is not None:
                sources.append((views[-1], np.linalg.inv(back).astype(float)))
            if sources:
                lumas, motions = [source.luma for source, _ in sources], [view.in_small_px(m) for _, m in sources]
                view.found = self._carried(view, sources, self._motion.unseen(lumas, view.luma, motions))
            else:
                view.found = self._detected(view.image)
            yield view
        yield views[-1]

    def _carried(self, view: View, sources: Sequence[tuple[View, Transform]], new: Sequence[Area]) -> list[Found]:
        """Regions carried from ``sources``, each with its motion to ``view``, and those detected where they are lost.

        ``new`` are areas, px of the small picture, that no source shows: they are searched, with what they touch.
        """
        unseen = np.array([(a.left, a.top, a.right, a.bottom) for a in new], float).reshape(-1, 4) * view.scale
        located = self._located(view, sources)
        boxes = boxes_of([one.region.quad for one in located])
        same = _overlap([one.region for one in located], [one.region for one in located])
        same *= np.not_equal.outer(*[np.array([one.source for one in located])] * 2)
        at_new = coverage(boxes, unseen) > 0
        carried: list[int] = []
        lost: list[int] = []
        for i, one in enumerate(located):
            if same[i, carried].sum() < SAME_REGION:
                (carried if one.correlation >= CARRIED and not at_new[i] else lost).append(i)
        self._count(carried=len(carried), lost=len(lost))
        found = [(located[i].region, Origin.carried) for i in carried]
        areas: list[list[Area] | None] = []
        for detector in self._detectors:
            # Proposals of logos come and go; those lost are found again on the next keyframe that is searched.
            again = [
                i
                for i in lost
                if located[i].region.kind == detector.kind != RegionKind.logo
                and not NOT_COMPARED < located[i].correlation < self._params.search_lost
            ]
            areas.append(_in_picture(np.concatenate([unseen, boxes[again]]), view.image) or None)
        for region in self._searched(view.image, areas):
            # Detectors see parts of carried regions around an area, and find text twice between close areas.
            if _overlap([region], [known for known, _ in found]).sum() < SAME_REGION:
                found.append((region, Origin.detected))
        return without_lines(found, self._params.max_logos)

    def _located(self, view: View, sources: Sequence[tuple[View, Transform]]) -> list[_Located]:
        """The regions of ``sources`` where they are on ``view``; the highest correlation first."""
        located: list[_Located] = []
        for source, motion in sources:
            quads = [r.quad for r, _ in source.found]
            places = self._motion.locate(source.image, quads, view.image, [motion, STILL])
            for (region, _), (quad, correlation) in zip(source.found, places, strict=True):
                located.append(_Located(replace(region, quad=quad), source.frame, correlation))
        self._count(verified=len(located))
        return sorted(located, key=lambda one: -one.correlation)

    def _detected(self, image: Image) -> list[Found]:
        """Regions of the whole picture, each with its origin."""
        self._count(searched_in_full=1)
        found = [(r, Origin.detected) for r in self._searched(image, [[] for _ in self._detectors])]
        return without_lines(found, self._params.max_logos)

    def _searched(self, image: Image, areas: Sequence[Sequence[Area] | None]) -> list[Region]:
        """What the detectors find, at the same time, each in its areas: empty for the whole picture, None for none."""
        running = []
        for detector, within in zip(self._detectors, areas, strict=True):
            if within is None:
                continue
            share = sum((a.right - a.left) * (a.bottom - a.top) for a in within) / (image.shape[0] * image.shape[1])
            self._count(detector_calls=1, pictures_searched=(min(1.0, share) if within else 1.0) / len(self._detectors))
            running.append(self._pool.submit(detector.detect, image, within))
        return [region for found in running for region in found.result()]


def without_lines(found: Sequence[Found], max_logos: int) -> list[Found]:
    """Drops logo regions that are lines of text, and all but the ``max_logos`` best of the others."""
    lines = boxes_of([r.quad for r, _ in found if r.kind == RegionKind.text])
    on_lines = coverage(boxes_of([r.quad for r, _ in found]), lines)
    logos = [i for i, (r, _) in enumerate(found) if r.kind == RegionKind.logo and on_lines[i] < IS_TEXT]
    kept = set(sorted(logos, key=lambda i: -found[i][0].score)[:max_logos])
    return [one for i, one in enumerate(found) if one[0].kind != RegionKind.logo or i in kept]


def _overlap(regions: Sequence[Region], others: Sequence[Region]) -> NDArray[np.float64]:
    """How far each region is one of ``others`` of its kind and label, shape (regions, others), 0 to 1.

    Of a line of text the share that another one covers, because detectors split and join lines; otherwise the IoU,
    because logos and objects lie within each other: a person in a car.
    """
    boxes, other_boxes = (boxes_of([r.quad for r in some]) for some in (regions, others))
    is_text = np.array([r.kind == RegionKind.text for r in regions], bool)
    inside = shared(boxes, other_boxes) / np.maximum(box_areas(boxes)[:, None], 1e-9)
    overlap = np.where(is_text[:, None], inside, box_iou(boxes, other_boxes))
    names, other_names = ([(r.kind, r.label) for r in some] for some in (regions, others))
    return overlap * np.array([[a == b for b in other_names] for a in names], bool).reshape(overlap.shape)


def _in_picture(boxes: Boxes, image: Image) -> list[Area]:
    """The parts of ``boxes`` inside the picture, in whole px."""
    height, width = image.shape[:2]
    inside = np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1).clip(0, [width, height] * 2)
    return [Area(*box) for box in inside[box_areas(inside) > 0].astype(int).tolist()]


def _chained(views: Sequence[View]) -> Transform | None:
    """The motion from the keyframe before ``views`` to the last of them."""
    chained = STILL
    for view in views:
        if view.motion is None:
            return None
        chained = view.motion @ chained
    return chained
