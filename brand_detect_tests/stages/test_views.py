"""Which view of a track is taken."""

from brand_detect.domain.contracts.detect_objects import REGIONS
from brand_detect.domain.tables import table
from brand_detect.stages.views import best_views
from brand_detect_tests.support.payloads import region


def test_a_detected_view_comes_before_a_sharper_one_that_was_carried():
    rows = [
        region(0, "a", sharpness=50.0),
        region(1, "a", sharpness=200.0, origin="carried"),
        region(2, "a", sharpness=100.0),
        region(5, "b", sharpness=50.0, origin="carried"),
    ]
    [a, b] = best_views(table(REGIONS, rows), 1).to_pylist()
    assert (a["region_id"], b["region_id"]) == ("a@2", "b@5")
    two = [v for v in best_views(table(REGIONS, rows), 2).to_pylist() if v["track_id"] == "a"]
    assert [(v["seen_on"], v["rank"]) for v in two] == [(0, 1), (2, 0)]
