"""Camera motion between sampled frames: by tracked corners, or by matched ORB features after large motions."""

import numpy as np

from brand_detect.domain.protocols import Area, Image, Luma, Transform

LONGEST_SIDE_PX = 640
INLIER_PX = 2.0
MIN_INLIERS = 12
MIN_TRACKED = 0.3  # share of the corners; below it the motion was too large to track
CHANGE_LUMA = 24  # grey levels, after a 3 x 3 mean; H.264 noise in a still picture stays below 12
CELL_PX = 16


class OpenCvCameraMotion:
    """Fits a similarity transform (translation, rotation, zoom) by RANSAC.

    Pyramidal Lucas-Kanade tracks motions of up to about 10 % of the width at 12 ms per pair; beyond that most corners
    are lost and ORB takes over, at 30 ms, up to about 40 %.
    """

    @property
    def identity(self) -> str:
        import cv2

        return f"opencv {cv2.__version__} Lucas-Kanade and ORB, similarity"

    def look(self, image: Image) -> Luma:
        import cv2

        scale = min(1.0, LONGEST_SIDE_PX / max(image.shape[:2]))
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        return cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)  # pyright: ignore[reportReturnType]

    def between(self, before: Luma, after: Luma) -> Transform | None:
        motion = self._tracked(before, after)
        return self._matched(before, after) if motion is None else motion

    def changed(self, before: Luma, after: Luma, motion: Transform) -> list[Area]:
        import cv2

        height, width = after.shape
        size = (width, height)
        moved = cv2.warpPerspective(before, motion, size, borderMode=cv2.BORDER_REPLICATE)
        unseen = cv2.warpPerspective(np.zeros_like(before), motion, size, borderValue=255)  # pyright: ignore[reportArgumentType,reportCallIssue]
        differs = cv2.blur(cv2.absdiff(moved, after), (3, 3)) > CHANGE_LUMA
        rows, columns = -(-height // CELL_PX), -(-width // CELL_PX)
        padded = np.zeros((rows * CELL_PX, columns * CELL_PX), np.uint8)
        padded[:height, :width] = differs | (unseen > 127)
        cells = padded.reshape(rows, CELL_PX, columns, CELL_PX).max(axis=(1, 3))
        # One more cell on each side, so that a new caption is not split where it resembles the old content.
        cells = cv2.dilate(cells, np.ones((3, 3), np.uint8))
        _, _, stats, _ = cv2.connectedComponentsWithStats(cells, connectivity=8)
        return [
            Area(x * CELL_PX, y * CELL_PX, min(width, (x + w) * CELL_PX), min(height, (y + h) * CELL_PX))
            for x, y, w, h, _ in stats[1:].tolist()
        ]

    def _tracked(self, before: Luma, after: Luma) -> Transform | None:
        import cv2

        corners = cv2.goodFeaturesToTrack(before, 300, 0.01, 8)
        if corners is None:
            return None
        flow = {"winSize": (21, 21), "maxLevel": 5}
        there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, **flow)  # pyright: ignore[reportArgumentType,reportCallIssue]
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, **flow)  # pyright: ignore[reportArgumentType,reportCallIssue]
        error = np.linalg.norm((corners - back).reshape(-1, 2), axis=1)
        good = (found.ravel() > 0) & (found_back.ravel() > 0) & (error < 1.0)
        if good.sum() < MIN_TRACKED * len(corners):
            return None
        return self._fit(corners[good].reshape(-1, 2), there[good].reshape(-1, 2))

    def _matched(self, before: Luma, after: Luma) -> Transform | None:
        import cv2

        orb = cv2.ORB_create(1000, fastThreshold=10)  # pyright: ignore[reportAttributeAccessIssue]
        points, features = orb.detectAndCompute(before, None)
        points_after, features_after = orb.detectAndCompute(after, None)
        if features is None or features_after is None:
            return None
        pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(features, features_after)
        return self._fit(
            np.array([points[p.queryIdx].pt for p in pairs], np.float32).reshape(-1, 2),
            np.array([points_after[p.trainIdx].pt for p in pairs], np.float32).reshape(-1, 2),
        )

    def _fit(self, before: np.ndarray, after: np.ndarray) -> Transform | None:
        import cv2

        if len(before) < MIN_INLIERS:
            return None
        fit, inliers = cv2.estimateAffinePartial2D(before, after, method=cv2.RANSAC, ransacReprojThreshold=INLIER_PX)
        if fit is None or inliers.sum() < MIN_INLIERS:
            return None
        return np.vstack([fit, [0.0, 0.0, 1.0]])
