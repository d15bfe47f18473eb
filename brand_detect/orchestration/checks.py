"""Blocking checks of what a stage hands on: each returns what is wrong, or "" when nothing is."""

import numpy as np

from brand_detect.domain.model import ExtractedFrames, Report


def frames_are_in_order(value: ExtractedFrames) -> str:
    """Sampled frames follow each other in time, within the sampled range: broken timestamps would move exposures."""
    times = value.frames["t_s"].to_numpy()
    if not (np.diff(times) > 0).all():
        return f"frame {int(np.argmin(np.diff(times) > 0)) + 1} is not later than the one before it"
    if len(times) and (times[0] < value.start_s or times[-1] > value.end_s):
        return (
            f"frames reach from {times[0]:.3f} to {times[-1]:.3f} s, the range from {value.start_s} to {value.end_s} s"
        )
    return ""


def report_is_consistent(value: Report) -> str:
    """No exposure outside the reported range, and each brand's seconds are those of its exposures."""
    start_s, end_s = value.summary["range_s"]
    shown: dict[str, float] = {}
    for row in value.exposures.select(["brand", "brand_id", "start_s", "end_s", "seconds"]).to_pylist():
        if row["start_s"] < start_s - 1e-6 or row["end_s"] > end_s + 1e-6:
            return f"{row['brand']} is shown from {row['start_s']:.3f} to {row['end_s']:.3f} s, outside the video"
        shown[row["brand_id"]] = shown.get(row["brand_id"], 0.0) + row["seconds"]
    for row in value.brands.select(["brand", "brand_id", "seconds"]).to_pylist():
        if abs(row["seconds"] - shown.get(row["brand_id"], 0.0)) > 1e-3:
            return f"{row['brand']} has {row['seconds']:.3f} s, its exposures {shown.get(row['brand_id'], 0.0):.3f} s"
    return ""
