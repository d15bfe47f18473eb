"""Camera motion between sampled frames: by tracked corners, or by matched ORB features after large motions."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.geometry import box_of, transformed
from brand_detect.domain.protocols import NOT_COMPARED, Area, Image, Luma, Quad, Transform

LONGEST_SIDE_PX = 640
INLIER_PX = 2.0
MIN_INLIERS = 12
FITS = 3
AGREES = 0.8  # least agreement of a right motion; of a player's before a blurred background, at most 0.78 was seen
MOST_CORNERS = 200
WINDOW_PX = 15  # side of the neighbourhood by which a corner is found again
STILL_SHARE = 0.02  # most of the picture that may change while the camera stands still: people pass
STILL_EDGES = 0.1  # and most of its edges, which a pan moves: half of them and more
LEAST_EDGES_PX = 200  # fewer say nothing
ORB_RIM_PX = 31  # nearer to the picture's edge ORB finds no points; one px high, it fails
MIN_TRACKED = 0.3  # share of the corners; below it the motion was too large to track
BLACK_LUMA = 20  # up to which a picture is black, as beside a film in a frame: that agrees with any motion
CHANGE_LUMA = 24  # grey levels, after a 3 x 3 mean; H.264 noise in a still picture stays below 12
CELL_PX = 16
REACH = 1 / 200  # of the longest side: by how much ``locate`` corrects a position
MOST_COMPARED_PX = 4096  # larger patches are compared at a smaller scale
LEAST_STD = 4.0  # in grey levels; plain patches correlate with anything
ALIKE = 0.5  # least correlation of the same thing, blurred or partly covered
BETTER = 0.02  # least gain in correlation for which a position is corrected
WITHIN = 0.9  # least share of a box inside the picture: a detector's boxes may stand out over the edge
MOST_ZOOM = 5.0  # between two frames of a shot; a fit beyond it is of scattered points


class OpenCvCameraMotion:
    """Fits a similarity transform (translation, rotation, zoom) by RANSAC; of several, the one that fits the picture.

    Pyramidal Lucas-Kanade tracks motions of up to about 10 % of the width, in 6 ms of CPU time per pair; beyond that
    most corners are lost and ORB takes over, at 20 ms, up to about 40 %. A camera that surely stands still costs 1 ms.
    """

    @property
    def identity(self) -> str:
        import cv2

        return f"opencv {cv2.__version__} Lucas-Kanade and ORB, similarity"

    def look(self, image: Image | Luma) -> Luma:
        import cv2

        scale = min(1.0, LONGEST_SIDE_PX / max(image.shape[:2]))
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        return _grey(cv2.resize(image, size, interpolation=cv2.INTER_AREA))  # pyright: ignore[reportArgumentType]

    def between(self, before: Luma, after: Luma) -> Transform | None:
        if before.shape != after.shape:
            return None
        if _is_still(before, after):
            return np.eye(3)  # an estimate takes ten times as long
        best, agreement = None, -1.0
        for motion in itertools.chain(self._tracked(before, after), self._matched(before, after)):
            agrees = self.agreement(before, after, motion)
            if agrees > agreement:
                best, agreement = motion, agrees
            if agreement >= AGREES:
                break
        return best

    def changed(self, before: Luma, after: Luma, motion: Transform) -> list[Area]:
        import cv2

        size = after.shape[::-1]
        moved = cv2.warpPerspective(before, motion, size, borderMode=cv2.BORDER_REPLICATE)
        differs = _differs(moved, after)  # pyright: ignore[reportArgumentType]
        return _areas(np.any(_cells(differs | _unseen(before, after, motion)), axis=(1, 3)), after)

    def agreement(self, before: Luma, after: Luma, motion: Transform) -> float:
        import cv2

        moved = cv2.warpPerspective(before, motion, after.shape[::-1])
        seen = ~_unseen(before, after, motion) & (np.maximum(moved, after) > BLACK_LUMA)
        return float(1 - _differs(moved, after)[seen].mean()) if seen.any() else 0.0  # pyright: ignore[reportArgumentType]

    def unseen(self, before: Sequence[Luma], after: Luma, motions: Sequence[Transform]) -> list[Area]:
        unseen = [_unseen(one, after, motion) for one, motion in zip(before, motions, strict=True)]
        return _areas(np.all(_cells(np.logical_and.reduce(unseen)), axis=(1, 3)), after)  # no slivers at the rim

    def locate(
        self, before: Image | Luma, quads: Sequence[Quad], after: Image | Luma, motions: Sequence[Transform]
    ) -> list[tuple[Quad, float]]:
        a, b = _grey(before), _grey(after)
        return [_best([_located(a, quad, b, motion) for motion in motions]) for quad in quads]

    def _tracked(self, before: Luma, after: Luma) -> Iterator[Transform]:
        import cv2

        corners = cv2.goodFeaturesToTrack(before, MOST_CORNERS, 0.01, 8)
        if corners is None:
            return
        flow = {"winSize": (WINDOW_PX, WINDOW_PX), "maxLevel": 5}
        there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, **flow)  # pyright: ignore[reportArgumentType,reportCallIssue]
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, **flow)  # pyright: ignore[reportArgumentType,reportCallIssue]
        error = np.linalg.norm((corners - back).reshape(-1, 2), axis=1)
        good = (found.ravel() > 0) & (found_back.ravel() > 0) & (error < 1.0)
        if good.sum() < MIN_TRACKED * len(corners):
            return
        yield from self._fits(corners[good].reshape(-1, 2), there[good].reshape(-1, 2))

    def _matched(self, before: Luma, after: Luma) -> Iterator[Transform]:
        import cv2

        if min(before.shape) <= 2 * ORB_RIM_PX:
            return
        orb = cv2.ORB_create(500, fastThreshold=10)  # pyright: ignore[reportAttributeAccessIssue]
        points, features = orb.detectAndCompute(before, None)
        points_after, features_after = orb.detectAndCompute(after, None)
        if features is None or features_after is None:
            return
        pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(features, features_after)
        yield from self._fits(
            np.array([points[p.queryIdx].pt for p in pairs], np.float32).reshape(-1, 2),
            np.array([points_after[p.trainIdx].pt for p in pairs], np.float32).reshape(-1, 2),
        )

    def _fits(self, before: np.ndarray, after: np.ndarray) -> Iterator[Transform]:
        """The motion of most points, then that of most of the rest: sharp players outnumber a blurred background."""
        import cv2

        for _ in range(FITS):
            if len(before) < MIN_INLIERS:
                return
            fit, inliers = cv2.estimateAffinePartial2D(
                before, after, method=cv2.RANSAC, ransacReprojThreshold=INLIER_PX
            )
            if fit is None or inliers.sum() < MIN_INLIERS:
                return
            if 1 / MOST_ZOOM < math.hypot(fit[0, 0], fit[1, 0]) < MOST_ZOOM:
                yield np.vstack([fit, [0.0, 0.0, 1.0]])
            rest = inliers.ravel() == 0
            before, after = before[rest], after[rest]


def _grey(image: Image | Luma) -> Luma:
    import cv2

    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # pyright: ignore[reportReturnType]


def _is_still(before: Luma, after: Luma) -> bool:
    """Whether the camera surely has not moved. In a plain or dark scene a pan changes nothing but the edges."""
    import cv2

    if before.shape != after.shape:
        return False
    differs = _differs(before, after)
    edges = cv2.morphologyEx(before, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > CHANGE_LUMA
    if differs.mean() > STILL_SHARE or np.count_nonzero(edges) < LEAST_EDGES_PX:
        return False
    return bool(differs[edges].mean() <= STILL_EDGES)


def _differs(a: Luma, b: Luma) -> NDArray[np.bool_]:
    """Mask of the pixels by which two pictures differ."""
    import cv2

    return cv2.blur(cv2.absdiff(a, b), (3, 3)) > CHANGE_LUMA  # pyright: ignore[reportReturnType]


def _unseen(before: Luma, after: Luma, motion: Transform) -> NDArray[np.bool_]:
    """Mask of the pixels of ``after`` that lie outside ``before``, moved by ``motion``."""
    import cv2

    size = after.shape[::-1]
    return cv2.warpPerspective(np.zeros_like(before), motion, size, borderValue=255) > 127  # pyright: ignore[reportArgumentType,reportCallIssue,reportReturnType]


def _cells(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``mask``, (h, w), by cells: (rows, ``CELL_PX``, columns, ``CELL_PX``)."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % CELL_PX), (0, -width % CELL_PX)), mode="edge")
    return padded.reshape(padded.shape[0] // CELL_PX, CELL_PX, padded.shape[1] // CELL_PX, CELL_PX)


def _areas(cells: NDArray[Any], luma: Luma) -> list[Area]:
    """Boxes around the connected parts of a mask of cells, inside ``luma``."""
    import cv2

    height, width = luma.shape
    # One more cell on each side, so that a new caption is not split where it resembles the old content.
    wider = cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(wider, connectivity=8)
    return [
        Area(x * CELL_PX, y * CELL_PX, min(width, (x + w) * CELL_PX), min(height, (y + h) * CELL_PX))
        for x, y, w, h, _ in stats[1:].tolist()
    ]


def _best(places: Sequence[tuple[Quad, float]]) -> tuple[Quad, float]:
    """The place with the highest correlation; the first one if that cannot be compared and no other is alike."""
    best = max(places, key=lambda place: place[1])
    return places[0] if places[0][1] == NOT_COMPARED and best[1] < ALIKE else best


def _located(before: Luma, quad: Quad, after: Luma, motion: Transform) -> tuple[Quad, float]:
    """The quad moved by ``motion``, its position corrected, and the correlation there."""
    import cv2

    height, width = after.shape
    moved = transformed(quad, motion).astype(np.float32)
    box = np.round(box_of(moved))
    left, top, right, bottom = box.clip(0, [width, height, width, height]).astype(int).tolist()
    w, h = right - left, bottom - top
    if min(w, h) < 2 or w * h < WITHIN * float(np.prod(box[2:] - box[:2])):
        return moved, NOT_COMPARED
    # Sizes and offsets are multiples of ``step``, by which both pictures are reduced: so their pixels stay aligned.
    step = math.ceil(math.sqrt(w * h / MOST_COMPARED_PX))
    w, h = max(1, w // step) * step, max(1, h // step) * step
    reach = math.ceil(REACH * max(height, width) / step)
    before_x, before_y = min(reach, left // step), min(reach, top // step)
    after_x, after_y = (min(reach, max(0, room) // step) for room in (width - left - w, height - top - h))
    to_patch = np.array([(1, 0, -left), (0, 1, -top), (0, 0, 1.0)]) @ motion
    patch = cv2.warpPerspective(before, to_patch, (w, h), borderMode=cv2.BORDER_REPLICATE)
    if patch.std() < LEAST_STD:
        return moved, NOT_COMPARED
    x, y = left - before_x * step, top - before_y * step
    window = after[y : top + h + after_y * step, x : left + w + after_x * step]
    patch, window = (
        cv2.resize(p, (p.shape[1] // step, p.shape[0] // step), interpolation=cv2.INTER_AREA) for p in (patch, window)
    )
    found = cv2.matchTemplate(window, patch, cv2.TM_CCOEFF_NORMED)
    expected = float(found[before_y, before_x])
    _, correlation, _, at = cv2.minMaxLoc(found)
    if correlation - expected < BETTER:  # the estimate is finer than the steps
        return moved, expected
    shift = step * np.array((at[0] - before_x, at[1] - before_y), np.float32)
    return (moved + shift).astype(np.float32), correlation
