import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brand_detect.domain.contracts.filter_scenes import TIMELINE
from brand_detect.domain.tables import table
from brand_detect.domain.timeline import bridged_spans, cells_of, minus, shown_seconds, union, union_seconds


def timeline(keyframe: list[int | None], cell_s: float = 0.5):
    return table(
        TIMELINE,
        (
            {
                "frame": i,
                "frame_id": f"f{i}",
                "t_s": i * cell_s,
                "start_s": i * cell_s,
                "end_s": (i + 1) * cell_s,
                "shot": 0,
                "status": "black" if by is None else "keyframe" if by == i else "duplicate",
                "keyframe": by,
                "hamming": None if by is None else 0,
            }
            for i, by in enumerate(keyframe)
        ),
    )


def test_a_kept_frame_stands_for_its_own_cell_and_those_of_its_duplicates():
    cells = cells_of(timeline([0, 0, None, 3, 0]))
    assert sorted(cells) == [0, 3]
    assert cells[0].tolist() == [[0.0, 0.5], [0.5, 1.0], [2.0, 2.5]]
    assert cells[3].tolist() == [[1.5, 2.0]]


def test_shown_seconds_agree_with_the_cells():
    t = timeline([0, 0, None, 3, 0])
    assert shown_seconds(t).tolist() == [1.5, 0.0, 0.0, 0.5, 0.0]
    assert {f: union_seconds(c) for f, c in cells_of(t).items()} == pytest.approx({0: 1.5, 3: 0.5})


@pytest.mark.parametrize("keyframe", [[], [None, None]])
def test_nothing_is_shown_on_an_empty_or_black_timeline(keyframe):
    t = timeline(keyframe)
    assert cells_of(t) == {}
    assert shown_seconds(t).sum() == 0


def test_union_joins_overlaps_and_small_gaps():
    spans = [(4, 5), (0, 1), (0.5, 2), (2.4, 3), (3, 3), (9, 8)]
    assert union(spans).tolist() == [[0, 2], [2.4, 3], [4, 5]]
    assert union(spans, gap_s=0.5).tolist() == [[0, 3], [4, 5]]
    assert union_seconds(spans) == pytest.approx(3.6)
    assert union([]).shape == (0, 2)


spans = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda x: (x[0], x[0] + x[1])), max_size=30)


@given(spans)
def test_every_instant_is_counted_once(intervals):
    # counted apart: each whole second of the axis is covered or it is not
    covered = np.zeros(100, dtype=bool)
    for a, b in intervals:
        covered[a:b] = True
    assert union_seconds(intervals) == pytest.approx(covered.sum())
    joined = union(intervals)
    assert (joined[1:, 0] > joined[:-1, 1]).all()


def test_runs_break_where_presence_does():
    t = timeline([0, 0, 2, 3, 0, None, 6, 7])
    assert [r.tolist() for r in bridged_spans(t, [0])] == [[0, 1], [4]]
    assert [r.tolist() for r in bridged_spans(t, [0], gap_s=1.0)] == [[0, 1, 4]]
    assert [r.tolist() for r in bridged_spans(t, [0, 6], gap_s=5.0)] == [[0, 1, 4], [6]]  # black is not bridged
    assert bridged_spans(t, [], gap_s=5.0) == []


INTERVALS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 12)).map(lambda s: (s[0] / 4, (s[0] + s[1]) / 4)), max_size=8
)


@pytest.mark.parametrize(
    ("spans", "taken", "left"),
    [
        ([(0, 4)], [(1, 2)], [[0, 1], [2, 4]]),
        ([(0, 4)], [], [[0, 4]]),
        ([], [(0, 4)], []),
        ([(0, 1), (1, 2), (5, 6)], [(0, 2)], [[5, 6]]),
        ([(0, 1)], [(0, 1 + 1e-9)], []),
    ],
)
def test_what_is_left_of_intervals(spans: list, taken: list, left: list):
    assert minus(spans, taken).tolist() == left


@given(INTERVALS, INTERVALS)
def test_what_is_left_and_what_is_taken_cover_what_both_cover(spans: list, taken: list):
    left = minus(spans, taken)
    assert union_seconds([*left, *taken]) == pytest.approx(union_seconds([*spans, *taken]))
    assert union_seconds(left) == pytest.approx(union_seconds([*spans, *taken]) - union_seconds(taken))
