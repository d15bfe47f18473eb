import numpy as np
import pytest

from brand_detect.domain.geometry import (
    UPRIGHT_HEIGHT,
    at_edge,
    box_iou,
    box_of,
    boxes_of,
    coverage,
    inner_quads,
    lengthened,
    moved_box,
    quad_areas,
    sections,
    transformed,
    upright_sided,
)

SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]
TURNED = [(5, 0), (10, 5), (5, 10), (0, 5)]


def test_area_and_box_of_a_quad():
    assert quad_areas([SQUARE, SQUARE[::-1], TURNED]).tolist() == [100, 100, 50]
    assert box_of(TURNED).tolist() == [0, 0, 10, 10]
    assert boxes_of([]).shape == (0, 4)


def test_overlaps_and_cover():
    boxes = np.array([[0.0, 0, 10, 10], [20, 0, 30, 10]])
    others = np.array([[5.0, 0, 15, 10], [0, 0, 10, 20]])
    assert box_iou(boxes, others) == pytest.approx(np.array([[1 / 3, 0.5], [0, 0]]))
    assert coverage(others, boxes).tolist() == [0.5, 0.5]
    assert coverage(boxes, others[:0]).tolist() == [0, 0]
    assert box_iou(boxes[:0], others).shape == (0, 2)


def test_what_touches_an_edge_by_axis():
    size = np.array([1000.0, 500.0])
    low = np.array([[4.0, 100], [5, 1], [100, 100], [100, 100]])
    high = np.array([[90.0, 120], [90, 120], [996, 120], [995, 497]])
    assert at_edge(low, high, size).tolist() == [[True, False], [False, True], [True, False], [False, False]]
    assert at_edge(low[0], high[0], size).tolist() == [True, False]


def test_a_line_is_lengthened_along_itself_only():
    line = [(10, 10), (40, 50), (32, 56), (2, 16)]  # 50 long, 10 high
    longer = lengthened(line, 0.5)
    assert longer[0] == pytest.approx((7, 6))
    assert longer[1] == pytest.approx((43, 54))
    assert quad_areas([longer]) == pytest.approx(60 * 10)
    upright = [(0, 0), (10, 0), (10, 50), (0, 50)]
    assert lengthened(upright, 0.5).tolist() == [list(p) for p in upright]


def test_a_transform_moves_points_and_divides_by_their_weight():
    shift = np.array([[2.0, 0, 5], [0, 2, 7], [0, 0, 2]])
    assert transformed([(1, 1)], shift).tolist() == [[3.5, 4.5]]


def test_a_box_is_moved_with_all_its_corners():
    turn = np.array([[0.0, -1, 100], [1, 0, 0], [0, 0, 1]])
    assert moved_box((10, 20, 40, 30), turn).tolist() == [70, 10, 80, 40]


def test_a_quad_is_cut_along_and_across_its_reading_direction():
    quads = np.array([[(10, 10), (50, 20), (50, 60), (10, 30)]], float)
    assert sections(quads, np.array([0.25]), np.array([0.5])).tolist() == [[[20, 12.5], [30, 15], [30, 45], [20, 37.5]]]
    inside = inner_quads(quads, np.array([[0.25, 0.2, 0.5, 1.0]]))
    assert inside.tolist() == [[[20, 17.5], [30, 21], [30, 45], [20, 37.5]]]


def test_a_leaning_rectangle_gets_upright_sides_along_its_middle_line():
    lean = np.radians(50)
    along, down = np.array([np.cos(lean), np.sin(lean)]), np.array([-np.sin(lean), np.cos(lean)])
    corners = [(-40, -10), (40, -10), (40, 10), (-40, 10)]
    rectangle = np.array([a * along + d * down for a, d in corners])
    upright = upright_sided(rectangle)
    assert upright is not None
    assert upright[:, 0] == pytest.approx([-40 * along[0], 40 * along[0], 40 * along[0], -40 * along[0]])
    assert upright.mean(axis=0) == pytest.approx([0, 0])
    assert upright[3, 1] - upright[0, 1] == pytest.approx(UPRIGHT_HEIGHT * 20 / np.cos(lean))


@pytest.mark.parametrize("degrees", [0, 15, -15, 80, 90])
def test_level_and_standing_rectangles_stay(degrees: float):
    lean = np.radians(degrees)
    turn = np.array([[np.cos(lean), -np.sin(lean)], [np.sin(lean), np.cos(lean)]])
    assert upright_sided(np.array([[-40, -10], [40, -10], [40, 10], [-40, 10]]) @ turn.T) is None


def test_sides_that_are_upright_already_stay():
    assert upright_sided([[0, 0], [40, 40], [40, 60], [0, 20]]) is None
