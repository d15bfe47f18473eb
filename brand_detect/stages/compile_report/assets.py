"""Assigns detections to the assets of a property's inventory."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from brand_detect.domain.contracts.compile_report import DETECTIONS
from brand_detect.domain.inventory import Asset, Inventory
from brand_detect.domain.text import key_of
from brand_detect.stages.compile_report.detections import Floats
from brand_detect.stages.regions import centres_of, corner_boxes

NEAR = 3.0
"""Widest gap to a text beside a brand, in heights of the brand's box."""


def with_assets(
    found: pa.Table, inventory: Inventory, regions: pa.Table, texts: Mapping[str, str], frames: pa.Table
) -> pa.Table:
    """``found``, the result of ``detections``, with the first asset of ``inventory`` that fits each; ``texts`` are by
    track."""
    numbers = found["frame"].to_numpy()
    boxes = corner_boxes(found)
    centres = centres_of(found, frames)
    placements = found["placement"].to_pylist()
    lines = {asset.beside: _lines(regions, texts, asset.beside) for asset in inventory.assets if asset.beside}

    def fits(asset: Asset, row: int) -> bool:
        left, top, right, bottom = asset.zone
        x, y = centres[row]
        return (
            left <= x <= right
            and top <= y <= bottom
            and asset.placement in (None, placements[row])
            and (not asset.beside or _is_beside(boxes[row], lines[asset.beside].get(int(numbers[row]), [])))
        )

    assets = [next((a.name for a in inventory.assets if fits(a, row)), "") for row in range(found.num_rows)]
    at = found.schema.get_field_index("asset")
    return found.set_column(at, DETECTIONS.field("asset"), pa.array(assets, pa.string()))


def _lines(regions: pa.Table, texts: Mapping[str, str], wanted: str) -> dict[int, list[Floats]]:
    """The boxes of the lines that contain the text ``wanted``, by frame."""
    key = key_of(wanted)
    tracks = {track for track, text in texts.items() if key in key_of(text)}
    found: defaultdict[int, list[Floats]] = defaultdict(list)
    for frame, track, box in zip(
        regions["frame"].to_pylist(), regions["track_id"].to_pylist(), corner_boxes(regions), strict=True
    ):
        if track in tracks:
            found[frame].append(box)
    return found


def _is_beside(box: Floats, lines: list[Floats]) -> bool:
    """Whether one of ``lines`` is no further from ``box`` than ``NEAR`` of its heights, in either direction."""
    reach = NEAR * (box[3] - box[1])
    gaps = [np.maximum(np.maximum(box[:2] - line[2:], line[:2] - box[2:]), 0.0) for line in lines]
    return any((gap <= reach).all() for gap in gaps)
