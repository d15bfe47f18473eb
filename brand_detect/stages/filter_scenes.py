"""Stage 2: shots, and which frames stand for which. Works from the tables alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.model import (
    BLACK,
    BLANK,
    DUPLICATE,
    KEPT,
    SHOTS,
    TIMELINE,
    ExtractedFrames,
    FilteredScenes,
    table,
)
from brand_detect.domain.params import FilterScenesParams

_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def filter_scenes(frames: ExtractedFrames, params: FilterScenesParams) -> FilteredScenes:
    """Cut the sampled range into shots, drop black and blank frames, and let near-duplicates point to a kept frame.

    A duplicate is within ``hamming_threshold`` bits of the frame that stands for it, in the same shot, so that a slow
    pan cannot drift away from it.
    """
    cuts = _cuts(frames, params)
    edges = np.array([frames.start_s, *cuts, frames.end_s])
    t_s = frames.frames["t_s"].to_numpy()
    shot_of = np.searchsorted(cuts, t_s, side="right")
    cells = _cells(frames, t_s, cuts, shot_of)
    hashes = frames.frames["phash"].to_numpy()
    dropped = [
        _empty(*luma, params) for luma in zip(*(frames.frames[c].to_pylist() for c in ("luma_mean", "luma_std")))
    ]
    rows: list[dict[str, Any]] = []
    kept: list[int] = []  # of this shot
    for n, frame_id in enumerate(frames.frames["frame_id"].to_pylist()):
        if n and shot_of[n] != shot_of[n - 1]:
            kept = []
        status, shown_by, hamming = dropped[n], None, None
        if not status:
            distances = _hamming(hashes[kept], hashes[n])
            best = int(distances.argmin()) if kept else -1
            if kept and distances[best] <= params.hamming_threshold:
                status, shown_by, hamming = DUPLICATE, kept[best], int(distances[best])
            else:
                status, shown_by, hamming = KEPT, n, 0
                kept.append(n)
        rows.append(
            {
                "frame": n,
                "frame_id": frame_id,
                "t_s": t_s[n],
                "start_s": cells[n],
                "end_s": cells[n + 1],
                "shot": int(shot_of[n]),
                "status": status,
                "shown_by": shown_by,
                "hamming": hamming,
            }
        )
    shots = [
        {
            "shot": n,
            "start_s": edges[n],
            "end_s": edges[n + 1],
            "n_frames": sum(r["shot"] == n for r in rows),
            "n_kept": sum(r["shot"] == n and r["status"] == KEPT for r in rows),
        }
        for n in range(len(edges) - 1)
    ]
    return FilteredScenes(shots=table(SHOTS, shots), timeline=table(TIMELINE, rows))


def _cuts(frames: ExtractedFrames, params: FilterScenesParams) -> NDArray[np.float64]:
    t_s, change = (frames.signals[c].to_numpy() for c in ("t_s", "change"))
    found: list[float] = []
    last = frames.start_s
    for at, much in zip(t_s[1:], change[1:], strict=True):
        if much >= params.shot_threshold and at - last >= params.min_shot_s:
            found.append(float(at))
            last = at
    return np.array(found)


def _cells(
    frames: ExtractedFrames, t_s: NDArray[np.float64], cuts: NDArray[np.float64], shot_of: NDArray[np.int64]
) -> list[float]:
    """The n + 1 edges of the frames' cells: between two samples the cut, else the first picture after the midpoint."""
    pictures = frames.signals["t_s"].to_numpy()
    edges = [frames.start_s]
    for n in range(len(t_s) - 1):
        if shot_of[n] != shot_of[n + 1]:
            edges.append(float(cuts[shot_of[n]]))
        else:
            edges.append(float(pictures[np.searchsorted(pictures, (t_s[n] + t_s[n + 1]) / 2)]))
    return [*edges, frames.end_s]


def _empty(mean: float, std: float, params: FilterScenesParams) -> str:
    if std > params.blank_std:
        return ""
    return BLACK if mean <= params.black_luma else BLANK


def _hamming(several: NDArray[np.uint64], one: np.uint64) -> NDArray[np.int64]:
    return _ONES[(several ^ one).view(np.uint8).reshape(-1, 8)].sum(axis=1)
