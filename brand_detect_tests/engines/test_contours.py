import numpy as np
import pytest

from brand_detect.domain.geometry import box_iou, boxes_of
from brand_detect.engines.contours import ContourLogoDetector, components, edge_contrast
from brand_detect.evaluation.synthetic.drawing import LOGOS, logo_mask, paint


def with_mark(name, side=96):
    """A mark on a plain ground with a soft ramp, and its box."""
    picture = np.repeat(np.linspace(60, 110, 800).astype(np.uint8)[None, :, None], 450, axis=0).repeat(3, axis=2)
    mask = logo_mask(LOGOS[name], side // 2)
    paint(picture, (240, 240, 240), mask, 400, 200)
    return picture, np.array([[400, 200, 400 + mask.shape[1], 200 + mask.shape[0]]], float)


@pytest.mark.parametrize("name", ["Arvelo", "Fjorda", "Kolvia"])
def test_a_mark_on_a_plain_ground_is_among_the_first(name):
    picture, box = with_mark(name)
    found = ContourLogoDetector(most=3).detect(picture)
    assert {r.kind for r in found} == {"logo"}
    assert box_iou(box, boxes_of([r.quad for r in found])).max() > 0.7
    assert all(0 <= r.score <= 1 for r in found)
    assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)


def test_nothing_on_an_empty_picture_and_never_more_than_asked_for():
    assert ContourLogoDetector().detect(np.full((300, 500, 3), 90, np.uint8)) == []
    noise = np.random.default_rng(0).integers(0, 255, (300, 500, 3), np.uint8)
    assert len(ContourLogoDetector(most=4).detect(noise)) <= 4


def test_boxes_come_back_in_px_of_a_picture_that_was_shrunk():
    picture, box = with_mark("Delmar", side=160)
    large = np.kron(picture, np.ones((3, 3, 1), np.uint8))
    found = ContourLogoDetector(most=1).detect(large)
    assert box_iou(3 * box, boxes_of([found[0].quad]))[0, 0] > 0.7


def test_edges_inside_count_for_a_box_and_edges_around_against_it():
    picture, box = with_mark("Fjorda")
    beside, part = box - np.array([200, 0, 200, 0]), box - np.array([0, 0, 48, 0])
    on, off, half = edge_contrast(picture, np.concatenate([box, beside, part]))
    assert on > half > off
    assert off == pytest.approx(0, abs=10)


def test_scores_are_equal_to_the_last_bit_wherever_pictures_lie_in_memory():
    """Scores are part of a checkpoint's data version."""
    noise = np.random.default_rng(0).integers(0, 255, (100, 160, 3), np.uint8)
    boxes = np.array([[10, 10, 150, 90]], float)

    def scored(n: int) -> bytes:
        kept.append(np.empty(16 * n, np.uint8))  # what is allocated next lies elsewhere
        return edge_contrast(noise, boxes).tobytes()

    kept: list[np.ndarray] = []
    assert len({scored(n) for n in range(100)}) == 1


def test_components_are_boxes_with_their_ends():
    mask = np.zeros((20, 30), np.uint8)
    mask[2:5, 3:9] = 1
    mask[10:12, 20:30] = 1
    assert components(mask).tolist() == [[3, 2, 9, 5], [20, 10, 30, 12]]
