"""The regions of a video as arrays, and which of them lie on one frame."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class RegionColumns:
    """Columns of REGIONS as arrays. ``track`` is the position among the tracks."""

    def __init__(self, regions: pa.Table, tracks: Sequence[str]) -> None:
        place = {track: i for i, track in enumerate(tracks)}
        self.track: Ints = np.array([place[t] for t in regions["track_id"].to_pylist()], np.int64)
        self.frame: Ints = regions["frame"].to_numpy().astype(np.int64)
        self.x, self.y, self.w, self.h, self.area = (
            regions[c].to_numpy().astype(np.float64) for c in ("x_px", "y_px", "w_px", "h_px", "area_frac")
        )
        self.sharpness: Floats = regions["sharpness"].to_numpy().astype(np.float64)
        self.hash = regions["crop_hash"].to_numpy()
        self.ids = regions["region_id"].to_numpy(zero_copy_only=False)


def on_one_frame(regions: RegionColumns, rows: Ints) -> Iterator[tuple[Ints, Ints]]:
    """All pairs of ``rows``, sorted by frame and track, that lie on one frame: in turn those one row apart, two, ..."""
    for step in range(1, len(rows)):
        a, b = rows[:-step], rows[step:]
        same = regions.frame[a] == regions.frame[b]
        if not same.any():
            return
        yield a[same], b[same]
