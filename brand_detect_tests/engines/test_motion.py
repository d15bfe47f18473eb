import cv2
import numpy as np
import pytest

from brand_detect.domain.geometry import quad_of, transformed
from brand_detect.domain.protocols import NOT_COMPARED
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


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (9, 90)])
def test_pictures_too_small_to_follow_have_no_motion(shape):
    a, b = np.random.default_rng(0).integers(0, 255, (2, *shape), np.uint8)
    assert OpenCvCameraMotion().between(a, b) is None


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


def test_what_no_picture_before_saw_is_told(world):
    motion = OpenCvCameraMotion()
    here, left, right = (motion.look(view(world, x, 360)[0]) for x in (500, 420, 560))
    to_here = [np.array([(1, 0, dx), (0, 1, 0), (0, 0, 1.0)]) for dx in (-80, 60)]  # from the left and from the right
    [at_right] = motion.unseen([left], here, to_here[:1])
    assert (at_right.right, at_right.top, at_right.bottom) == (640, 0, 360)
    assert 520 <= at_right.left <= 560
    assert motion.unseen([left, right], here, to_here) == []
    sliver = np.array([(1, 0, -5), (0, 1, 0), (0, 0, 1.0)])
    assert motion.unseen([left], here, [sliver]) == []


PART = np.array([(300, 150), (420, 150), (420, 190), (300, 190)], np.float32)


@pytest.mark.parametrize("after", [(500, 360), (540, 350), (510, 365, 1.1), (505, 355, 1.0, 3.0)], ids=str)
def test_a_part_is_found_where_the_motion_puts_it_and_a_few_px_from_there(world, after):
    motion = OpenCvCameraMotion()
    (a, to_a), (b, to_b) = view(world, 500, 360), view(world, *after)
    true = to_b @ np.linalg.inv(to_a)
    off = np.array([(1, 0, 2), (0, 1, -3), (0, 0, 1.0)]) @ true
    for estimate in (true, off):
        [(quad, correlation)] = motion.locate(a, [PART], b, [estimate])
        assert correlation > 0.9
        assert np.abs(quad - transformed(PART, true)).max() < 1.5


def test_the_better_of_two_motions_counts(world):
    motion = OpenCvCameraMotion()
    a, _ = view(world, 500, 360)
    b, _ = view(world, 560, 360)
    b[150:190, 300:420] = a[150:190, 300:420]  # an overlay
    pan = np.array([(1, 0, -60), (0, 1, 0), (0, 0, 1.0)])
    overlay, scene = motion.locate(a, [PART, PART + np.array([200, 100], np.float32)], b, [pan, np.eye(3)])
    assert np.abs(overlay[0] - PART).max() < 0.5
    assert np.abs(scene[0] - (PART + np.array([140, 100], np.float32))).max() < 0.5
    assert min(overlay[1], scene[1]) > 0.99


def test_what_is_covered_or_leaves_the_picture_or_is_plain_is_not_found(world):
    motion = OpenCvCameraMotion()
    a, _ = view(world, 500, 360)
    b = a.copy()
    b[140:200, 340:440] = np.random.default_rng(3).integers(0, 255, 3)
    a[300:340, 100:300] = b[300:340, 100:300] = 90
    plain = np.array([(120, 305), (200, 305), (200, 335), (120, 335)], np.float32)
    covered, beside, flat = motion.locate(a, [PART, PART - np.array([150, 0], np.float32), plain], b, [np.eye(3)])
    assert covered[1] < 0.6
    assert beside[1] > 0.99
    assert flat[1] == -1
    away = np.array([(1, 0, 300), (0, 1, 0), (0, 0, 1.0)])
    assert motion.locate(a, [PART], b, [away])[0][1] == -1
    assert motion.locate(a, [], b, [away]) == []


def test_noise_is_no_change(world):
    motion = OpenCvCameraMotion()
    picture, _ = view(world, 500, 360)
    noise = np.random.default_rng(2).normal(0, 4, picture.shape)
    noisy = (picture + noise).clip(0, 255).astype(np.uint8)
    assert motion.changed(motion.look(picture), motion.look(noisy), np.eye(3)) == []


@pytest.mark.parametrize("size", [(120, 30), (501, 203), (500, 280), (637, 351)])
def test_a_part_of_any_size_is_exactly_where_it_was(world, size):
    """Large parts are compared smaller; that moves nothing."""
    picture = world[:360, :640]
    quad = quad_of((2, 5, 2 + size[0], 5 + size[1]))
    [(found, correlation)] = OpenCvCameraMotion().locate(picture, [quad], picture.copy(), [np.eye(3)])
    assert np.array_equal(found, quad)
    assert correlation > 0.999


def test_a_large_part_is_followed(world):
    before, after = world[:360, :640], world[:360, 2:642]
    quad = quad_of((20, 20, 520, 300))
    [(found, correlation)] = OpenCvCameraMotion().locate(before, [quad], after, [np.eye(3)])
    assert np.abs(found - (quad - (2, 0))).max() <= 6  # steps of reduced pixels
    assert correlation > 0.5


def test_a_box_that_stands_out_over_the_edge_is_compared_inside(world):
    picture = world[:360, :640]
    over, outside = quad_of((-4, 100, 120, 140)), quad_of((-60, 100, 60, 140))
    found = OpenCvCameraMotion().locate(picture, [over, outside], picture.copy(), [np.eye(3)])
    assert np.array_equal(found[0][0], over)
    assert [correlation > 0.999 for _, correlation in found] == [True, False]


def test_a_part_that_leaves_the_picture_is_not_taken_for_what_stands_where_it_was(world):
    """The scene where it was resembles it somewhat, and would be searched in its place."""
    before, after = world[:360, 100:740], world[:360, 160:800]
    quad = quad_of((20, 100, 140, 140))
    out = np.array([(1, 0, -60), (0, 1, 0), (0, 0, 1.0)])
    [(place, correlation)] = OpenCvCameraMotion().locate(before, [quad], after, [out, np.eye(3)])
    assert correlation == NOT_COMPARED
    assert np.array_equal(place, quad - (60, 0))


def test_a_fit_of_scattered_points_is_no_motion():
    points = np.random.default_rng(0).uniform(0, 300, (60, 2)).astype(np.float32)
    assert not [*OpenCvCameraMotion()._fits(points, np.full_like(points, 77))]


def test_a_sharp_foreground_is_not_taken_for_the_camera(world):
    """Two players that stay in the picture hold most corners; the wall behind them moves by 60 px."""
    wall = cv2.GaussianBlur(world, (9, 9), 0)

    def seen(x):
        picture = wall[:360, x : x + 640].copy()
        picture[60:360, 180:270] = world[300:600, 500:590]
        picture[60:360, 380:470] = world[300:600, 700:790]
        return picture

    motion = OpenCvCameraMotion()
    before, after = (motion.look(seen(x)) for x in (100, 160))
    first = next(motion._tracked(before, after))
    found = motion.between(before, after)
    assert found is not None
    assert np.abs(first[:2, 2]).max() < 1  # the players'
    assert found[:2, 2] == pytest.approx([-60, 0], abs=0.5)
    assert motion.agreement(before, after, first) < motion.agreement(before, after, found)


def test_black_around_a_film_agrees_with_no_motion(world):
    """It looks the same after any motion, so a caption on it would pass for the camera that stands still."""

    def seen(x):
        picture = np.zeros((640, 360), np.uint8)
        picture[240:400] = cv2.cvtColor(world[100:260, x : x + 360], cv2.COLOR_BGR2GRAY)
        return picture

    before, after = seen(100), seen(140)
    panned = np.array([[1, 0, -40], [0, 1, 0], [0, 0, 1.0]])
    assert OpenCvCameraMotion().agreement(before, after, np.eye(3)) < 0.5
    assert OpenCvCameraMotion().agreement(before, after, panned) > 0.95


def test_a_camera_that_stands_still_is_not_estimated(world):
    grey = cv2.cvtColor(world, cv2.COLOR_BGR2GRAY)
    before = grey[:360, :640]
    after = before.copy()
    after[100:140, 300:370] = 255  # somebody comes by
    motion = OpenCvCameraMotion()
    still = motion.between(before, after)
    assert still is not None
    assert np.array_equal(still, np.eye(3))
    panned = motion.between(before, grey[2:362, 3:643])
    assert panned is not None
    assert panned[:2, 2] == pytest.approx([-3, -2], abs=0.3)


def test_a_pan_over_a_plain_scene_is_a_motion():
    """Nothing but the lettering can change there, and that is a small part of the picture."""
    wall = np.full((360, 800), 12, np.uint8)
    cv2.putText(wall, "RED BULL  ADIDAS", (200, 180), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 230, 2)
    for shift in (4, 12, 40):
        panned = OpenCvCameraMotion().between(wall[:, :640], wall[:, shift : shift + 640])
        assert panned is not None
        assert panned[:2, 2] == pytest.approx([-shift, 0], abs=0.5)
