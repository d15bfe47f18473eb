"""The bench of carried regions on a small clip, with a fast detector."""

import numpy as np

from brand_detect.domain.contracts.detect_objects import Origin, RegionKind
from brand_detect.domain.geometry import boxes_of, quad_of
from brand_detect.domain.protocols import Region
from brand_detect.engines.contours import ContourLogoDetector
from brand_detect.evaluation.benchmarks.carrying import COLUMNS, _counted, bench_carrying
from brand_detect.evaluation.synthetic.footage import Scenario
from brand_detect.stages.detect_objects.search import View


def test_a_search_of_every_frame_finds_all_and_carries_nothing(tmp_path):
    scenario = Scenario(seconds=8, width_px=320, height_px=180, fps=10)
    section = bench_carrying(tmp_path, scenario, ContourLogoDetector(0.1, most=10), (1, 4))
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in section.rows]
    assert {row["shots"] for row in rows} >= {"wide", "wall"}
    for row in rows:
        if row["search every"] == 1:
            assert (row["pictures searched / frame"], row["found of full search"]) == (1, 1)
            assert (row["carried / frame"], row["smeared s"]) == (0, 0)
    wall = next(row for row in rows if (row["shots"], row["search every"]) == ("wall", 4))
    assert wall["pictures searched / frame"] < 1
    assert wall["carried / frame"] > 0


def test_a_carried_region_is_wrong_where_neither_a_search_nor_the_truth_has_one():
    image = np.zeros((90, 160, 3), np.uint8)
    boxes = [(10, 10, 50, 20), (60, 10, 100, 20), (10, 50, 50, 60)]
    regions = [Region(RegionKind.text, "", 0.9, quad_of(box)) for box in boxes]
    view = View(3, image, image[:, :, 0], 1.0, None, None, [(region, Origin.carried) for region in regions])
    counted = _counted(view, boxes_of([quad_of(boxes[0])]), boxes_of([quad_of(boxes[1])]))
    assert counted == {"frames": 1, "full": 1, "found": 1, "carried": 3, "wrong": 1, "smeared": 1}
