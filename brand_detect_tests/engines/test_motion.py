import cv2
import numpy as np
import pytest

from brand_detect.domain.geometry import transformed
from brand_detect.engines.motion import OpenCvCameraMotion

SIZE = (640, 360)


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    image = np.zeros((720, 1280, 3), np.uint8)
    for _ in range(600):
        x, y, w, h = rng.integers(0, (1240, 680, 60, 40))
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), rng.integers(0, 255, 3).tolist(), -1)
    return image


def view(world, x, y, zoom=1.0, turn_deg=0.0):
    """What a camera sees whose centre stands at (x, y), and the transform from world to view."""
    matrix = cv2.getRotationMatrix2D((x, y), turn_deg, zoom)
    matrix[:, 2] += np.array([SIZE[0] / 2 - x, SIZE[1] / 2 - y])
    return cv2.warpAffine(world, matrix, SIZE).astype(np.uint8), np.vstack([matrix, [0, 0, 1]])


@pytest.mark.parametrize(
    "after", [(500, 360), (510, 350, 1.0, 2.0), (520, 365, 1.1), (650, 360), (700, 380, 1.05)], ids=str
)
def test_the_camera_is_followed(world, after):
    motion = OpenCvCameraMotion()
    (a, to_a), (b, to_b) = view(world, 500, 360), view(world, *after)
    found = motion.between(motion.look(a), motion.look(b))
    assert found is not None
    points = np.array([(320.0, 180.0), (500.0, 100.0), (400.0, 300.0)])
    true = transformed(points, to_b @ np.linalg.inv(to_a))
    assert np.abs(transformed(points, found) - true).max() < 1.5


def test_large_pictures_are_compared_small():
    assert OpenCvCameraMotion().look(np.zeros((1080, 1920, 3), np.uint8)).shape == (360, 640)
    assert OpenCvCameraMotion().look(np.zeros((10, 20, 3), np.uint8)).shape == (10, 20)


def test_pictures_that_share_nothing_have_no_motion(world):
    motion = OpenCvCameraMotion()
    a = motion.look(view(world, 500, 360)[0])
    assert motion.between(a, np.full_like(a, 90)) is None
    assert motion.between(np.full_like(a, 90), a) is None
    noise = np.random.default_rng(1).integers(0, 255, a.shape, np.uint8)
    assert motion.between(a, noise) is None


def test_what_changed_and_what_came_into_view_is_told(world):
    motion = OpenCvCameraMotion()
    before, _ = view(world, 500, 360)
    after, _ = view(world, 530, 360)  # 30 px to the right
    cv2.rectangle(after, (100, 200), (180, 240), (255, 0, 255), -1)
    a, b = motion.look(before), motion.look(after)
    moved = motion.between(a, b)
    assert moved is not None
    areas = motion.changed(a, b, moved)
    assert any(r.left <= 100 and r.top <= 200 and r.right >= 180 and r.bottom >= 240 for r in areas)
    assert any(r.right == 640 and r.bottom == 360 and r.top == 0 and r.left >= 560 for r in areas)
    assert len(areas) == 2


def test_noise_is_no_change(world):
    motion = OpenCvCameraMotion()
    picture, _ = view(world, 500, 360)
    noise = np.random.default_rng(2).normal(0, 4, picture.shape)
    noisy = (picture + noise).clip(0, 255).astype(np.uint8)
    assert motion.changed(motion.look(picture), motion.look(noisy), np.eye(3)) == []
