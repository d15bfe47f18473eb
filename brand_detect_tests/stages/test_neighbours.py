"""Which tracks stand beside, below or in each other, and on how many frames."""

import numpy as np
import pytest

from brand_detect.stages.neighbours import Relation, contains, follows, labels, related_tracks
from brand_detect.stages.regions import RegionColumns
from brand_detect_tests.support import payloads as p

FAR = (1000, 600, 100, 50)
TRACKS = ("a", "b")


def related(boxes: list[tuple[p.Box, p.Box]], relation: Relation, ones: str = "ab") -> list[str]:
    """Pairs among the tracks a and b, given by their boxes on each frame, with the number of frames."""
    rows = [p.region(f, t, box=box) for f, pair in enumerate(boxes) for t, box in zip(TRACKS, pair, strict=True)]
    regions = RegionColumns(p.detected(rows, p.scenes(p.frames(len(boxes)))).regions, TRACKS)
    mask = np.array([t in ones for t in TRACKS])
    return [f"{TRACKS[i]}{TRACKS[j]}{n}" for i, j, n in related_tracks(regions, mask, np.ones(2, bool), relation)]


def test_tracks_are_related_if_they_are_on_half_of_the_frames_they_share():
    beside, apart = ((0, 0, 100, 50), (110, 0, 100, 50)), ((0, 0, 100, 50), FAR)
    assert related([beside, apart], follows) == ["ab1"]
    assert related([beside, beside, apart], follows) == ["ab2"]
    assert related([beside, apart, apart], follows) == []


def test_the_first_of_a_pair_is_one_of_the_wanted_tracks():
    nested = ((0, 0, 100, 100), (10, 10, 20, 20))
    assert related([nested], contains) == ["ab1", "ba1"]
    assert related([nested], contains, ones="b") == ["ba1"]
    assert related([nested], contains, ones="") == []


@pytest.mark.parametrize(
    ("relation", "box", "expected"),
    [
        (follows, (160, 0, 100, 50), ["ab1"]),  # a gap of 1.2 heights
        (follows, (161, 0, 100, 50), []),
        (follows, (0, 90, 100, 50), ["ab1"]),  # below, by 0.8 heights
        (follows, (0, 91, 100, 50), []),
        (follows, (0, 25, 100, 50), ["ab1"]),  # below, its box half over the other's
        (follows, (0, 24, 100, 50), []),
        (follows, (85, 0, 100, 50), ["ab1"]),  # beside, by 0.3 heights over the other
        (follows, (84, 0, 100, 50), []),
        (follows, (110, 0, 100, 126), []),  # more than 2.5 times as high
        (labels, (10, 10, 50, 20), ["ab1"]),
        (labels, (150, 10, 50, 20), ["ab1"]),  # a gap of one height of the logo
        (labels, (151, 10, 50, 20), []),
        (contains, (80, 0, 40, 50), ["ab1"]),  # half of it
        (contains, (81, 0, 40, 50), []),
    ],
)
def test_how_near_is_near(relation: Relation, box: p.Box, expected: list[str]):
    assert related([((0, 0, 100, 50), box)], relation, ones="a") == expected
