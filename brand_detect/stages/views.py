"""Selects the best views of each track."""

import numpy as np
import pyarrow as pa

from brand_detect.domain.contracts.detect_objects import Origin

SHARP = 300.0  # variance of the Laplacian above which recognition no longer improves
BLURRED = 100.0  # and below which a logo region, as of a crowd in a pan, resembles anything


def best_views(regions: pa.Table, n: int) -> pa.Table:
    """At most ``n`` views of each track in ``regions``, spread over it, in order of the frame that shows them.

    Neighbouring frames show the same blur and the same player in front of the board. So each track is split into ``n``
    parts of equally many views, and the best view of each part by area times sharpness is chosen. Views that were
    carried to their frame come after those detected there, whose corners are exact.

    Columns: ``track_id``, ``region_id``, ``crop_hash``, ``seen_on`` (the frame to cut from), ``quad``, ``quality``
    (area times sharpness), and ``rank``, 0 for the best of the track.
    """
    regions = regions.select(
        ["track_id", "region_id", "crop_hash", "seen_on", "quad", "origin", "sharpness", "area_frac"]
    )
    views = regions["seen_on"].combine_chunks()
    seen = regions.take(views.value_parent_indices()).drop_columns("seen_on").append_column("seen_on", views.flatten())
    seen = seen.sort_by([("track_id", "ascending"), ("seen_on", "ascending")])
    carried = seen["origin"].to_numpy(zero_copy_only=False) == Origin.carried
    quality = seen["sharpness"].to_numpy().clip(max=SHARP) * seen["area_frac"].to_numpy()
    _, first, track, size = np.unique(
        seen["track_id"].to_numpy(zero_copy_only=False), return_index=True, return_inverse=True, return_counts=True
    )
    place = np.arange(seen.num_rows) - first[track]
    part = place * n // np.maximum(size[track], n)
    order = np.lexsort((-quality, carried, part, track))
    _, heads = np.unique(np.column_stack([track, part])[order], axis=0, return_index=True)
    best = order[heads]
    best = best[np.lexsort((-quality[best], carried[best], track[best]))]
    _, starts, inverse = np.unique(track[best], return_index=True, return_inverse=True)
    chosen = seen.take(best).select(["track_id", "region_id", "crop_hash", "seen_on", "quad"])
    chosen = chosen.append_column("quality", pa.array(quality[best]))
    return chosen.append_column("rank", pa.array(np.arange(len(best)) - starts[inverse])).sort_by("seen_on")
