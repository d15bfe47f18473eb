"""Stage 2: finds shots and keyframes, from tables alone."""

from collections import Counter, deque
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.contracts.extract_frames import THUMBNAIL_SHAPE, ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import (
    BLACK,
    BLANK,
    DUPLICATE,
    KEYFRAME,
    SHOTS,
    TIMELINE,
    FilteredScenes,
    FilterScenesParams,
)
from brand_detect.domain.tables import table
from brand_detect.stages.extract_frames.extract import DRIFT_S

MIN_SHOT_S = 0.3
"""Shortest shot: of several changes within this time the largest is the cut."""
EMPTY_LUMA_SPREAD = 20.0
"""Range of luma in the thumbnail up to which a frame is empty."""
BLACK_LUMA = 20.0
"""Mean luma up to which an empty frame is black, otherwise blank; video black is 16."""
DISSOLVE_S = (0.2, 2.0)
"""Seconds of high drift in a dissolve; a flash is shorter, a pan longer."""
CAPTION_S = 1.0
"""A local change that lasts this long is new content; a shorter one is a person passing."""
CANDIDATES = 16
"""Number of previous keyframes of the shot that a frame is compared with: alternating boards recur within few."""
SPIKE, SPIKE_CHANGE, SPIKE_REACH = 6.0, 0.06, 4
"""A cut between similar pictures, such as two views of a pitch, changes little, but ``SPIKE`` times more than any
picture around it; motion and flashes come in runs."""
_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def filter_scenes(frames: ExtractedFrames, params: FilterScenesParams) -> FilteredScenes:
    """Splits the sampled range into shots, drops black and blank frames, and assigns near-duplicates to keyframes.

    A duplicate is compared with keyframes of its shot, never with another duplicate, so that a slow pan cannot drift
    away.
    """
    t_s = frames.frames["t_s"].to_numpy()
    cuts = _one_a_gap(sorted({*_cuts(frames, params), *_resized(frames)}), t_s)
    shot_of = np.searchsorted(cuts, t_s, side="right")
    cells = _cells(frames, t_s, cuts, shot_of)
    rows: list[dict[str, Any]] = []
    for shot in range(len(cuts) + 1):
        members = np.flatnonzero(shot_of == shot)
        for n, (status, keyframe, hamming) in zip(members, _statuses(frames, members, params), strict=True):
            rows.append(
                {
                    "frame": int(n),
                    "frame_id": frames.frames["frame_id"][n].as_py(),
                    "t_s": t_s[n],
                    "start_s": cells[n],
                    "end_s": cells[n + 1],
                    "shot": shot,
                    "status": status,
                    "keyframe": keyframe,
                    "hamming": hamming,
                }
            )
    edges = [frames.start_s, *cuts, frames.end_s]
    n_frames, n_keyframes = (
        Counter(r["shot"] for r in rows),
        Counter(r["shot"] for r in rows if r["status"] == KEYFRAME),
    )
    shots = [
        {"shot": n, "start_s": start_s, "end_s": end_s, "n_frames": n_frames[n], "n_keyframes": n_keyframes[n]}
        for n, (start_s, end_s) in enumerate(pairwise(edges))
    ]
    return FilteredScenes(shots=table(SHOTS, shots), timeline=table(TIMELINE, rows))


def _cuts(frames: ExtractedFrames, params: FilterScenesParams) -> list[float]:
    """Times of the first pictures after hard cuts, and of the middles of dissolves and fades, in order.

    A hard cut is a peak of ``change`` after which pictures stay different, unlike after a flash. A dissolve is a run of
    high ``drift`` without a hard cut. Measured on 180 s of generated footage with stills, pans, fast pans, zooms,
    camera shake and 20 flashes: 46 of 46 cuts to the picture, 26 of 27 dissolves, 5 of 5 fades, 7 false positives, most
    of them in fast pans.
    """
    t_s, change, drift = (frames.signals[c].to_numpy() for c in ("t_s", "change", "drift"))
    if not len(t_s):
        return []
    hard: list[float] = []
    for n in np.flatnonzero(change >= params.shot_threshold):
        near = slice(*np.searchsorted(t_s, (t_s[n] - MIN_SHOT_S, t_s[n] + MIN_SHOT_S)))
        after = min(np.searchsorted(t_s, t_s[n] + DRIFT_S / 2), len(t_s) - 1)
        if t_s[after] > t_s[n] + DRIFT_S - 1e-3:  # its drift no longer looks back over the cut
            after = n
        if change[n] >= change[near].max(initial=0) and drift[after] >= params.shot_threshold:
            hard.append(float(t_s[n]))
    hard += [t for t in _spikes(t_s, change) if all(abs(t - cut) > MIN_SHOT_S for cut in hard)]
    soft: list[float] = []
    high = np.flatnonzero(np.diff(drift >= params.shot_threshold, prepend=False, append=False)).reshape(-1, 2)
    for begin, end in high:
        first_s, last_s = float(t_s[begin]), float(t_s[end - 1])
        holds_cut = any(first_s - DRIFT_S <= cut <= last_s for cut in hard)
        if not holds_cut and DISSOLVE_S[0] <= last_s - first_s <= DISSOLVE_S[1]:
            middle = np.searchsorted(t_s, (first_s + last_s - DRIFT_S) / 2)
            soft.append(float(t_s[middle]))
    return sorted({*hard, *soft})


def _spikes(t_s: NDArray[np.float64], change: NDArray[np.float32]) -> list[float]:
    """Times of pictures that change far more than the pictures around them."""
    padded = np.pad(change, SPIKE_REACH)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * SPIKE_REACH + 1)
    around = np.delete(windows, SPIKE_REACH, axis=1).max(axis=1)
    return t_s[(change >= SPIKE_CHANGE) & (change >= SPIKE * around)].tolist()


def _resized(frames: ExtractedFrames) -> list[float]:
    """Times of frames at which the stored size changes: positions in px do not carry over."""
    width, height = (frames.frames[c].to_numpy() for c in ("width_px", "height_px"))
    changed = np.flatnonzero((np.diff(width) != 0) | (np.diff(height) != 0)) + 1
    return frames.frames["t_s"].to_numpy()[changed].tolist()


def _one_a_gap(cuts: list[float], t_s: NDArray[np.float64]) -> list[float]:
    """The first cut between each two samples: shots without a sample are left out."""
    gaps = np.searchsorted(t_s, cuts, side="left")  # a sample exactly at the cut belongs to the new shot
    first = {int(gap): cut for gap, cut in reversed(list(zip(gaps, cuts, strict=True)))}
    return [first[gap] for gap in sorted(first) if 0 < gap < len(t_s)]


def _cells(
    frames: ExtractedFrames, t_s: NDArray[np.float64], cuts: list[float], shot_of: NDArray[np.int64]
) -> list[float]:
    """The n + 1 edges of the frames' cells: the cut between two samples, else the first picture after their midpoint.

    So a picture held for seconds in a video of variable rate stays on screen until the next one.
    """
    pictures = frames.signals["t_s"].to_numpy()
    edges = [frames.start_s]
    for n in range(len(t_s) - 1):
        if shot_of[n] != shot_of[n + 1]:
            edges.append(cuts[shot_of[n]])
        else:
            edges.append(float(pictures[np.searchsorted(pictures, (t_s[n] + t_s[n + 1]) / 2)]))
    return [*edges, frames.end_s]


class _Keyframe(NamedTuple):
    frame: int
    phash: np.uint64
    thumbnail: NDArray[np.int16]
    settled: NDArray[np.bool_]


def _statuses(
    frames: ExtractedFrames, members: NDArray[np.int64], params: FilterScenesParams
) -> list[tuple[str, int | None, int | None]]:
    """Status, ``keyframe`` and ``hamming`` of a shot's frames.

    The hash alone misses a new caption, and a camera that pans over a lawn. A duplicate must also have a small mean
    change of luma, match at every spot that is static in both frames, and show no static spot that differs from that
    spot on every candidate keyframe. Moving spots, such as people who walk past, do not count.
    """
    hashes = frames.frames["phash"].to_numpy()[members]
    means = frames.frames["luma_mean"].to_numpy()[members]
    stored = frames.frames["thumbnail"].take(members).to_pylist()
    thumbnails = np.frombuffer(b"".join(stored), np.uint8).reshape(-1, *THUMBNAIL_SHAPE)
    lasting = _samples_in(CAPTION_S, frames.frames["t_s"].to_numpy()[members])
    keyframes: deque[_Keyframe] = deque(maxlen=CANDIDATES)
    statuses: list[tuple[str, int | None, int | None]] = []
    for n, frame in enumerate(members.tolist()):
        now = _Keyframe(
            frame,
            hashes[n],
            thumbnails[n].astype(np.int16),
            _settled(thumbnails, n, lasting, params.max_local_luma_change / 2),
        )
        if np.ptp(now.thumbnail) <= EMPTY_LUMA_SPREAD:
            statuses.append((BLACK if means[n] <= BLACK_LUMA else BLANK, None, None))
        elif original := _keyframe_duplicated_by(now, keyframes, params):
            statuses.append((DUPLICATE, original.frame, _hamming(original.phash, now.phash)))
        else:
            keyframes.append(now)
            statuses.append((KEYFRAME, frame, 0))
    return statuses


def _keyframe_duplicated_by(
    now: _Keyframe, keyframes: deque[_Keyframe], params: FilterScenesParams
) -> _Keyframe | None:
    """The most similar keyframe of which ``now`` is a duplicate; None if it is a duplicate of none."""
    new = now.settled.copy()
    found = []
    for other in keyframes:
        change = np.abs(now.thumbnail - other.thumbnail)
        new &= change > params.max_local_luma_change
        if _hamming(other.phash, now.phash) > params.hamming_threshold:
            continue
        lasting = np.max(change, where=now.settled & other.settled, initial=0)
        if change.mean() <= params.max_mean_luma_change and lasting <= params.max_local_luma_change:
            found.append((float(change.mean()), other))
    return min(found, key=lambda f: f[0])[1] if found and not new.any() else None


def _settled(thumbnails: NDArray[np.uint8], n: int, lasting: int, tolerance: float) -> NDArray[np.bool_]:
    """Mask of the spots of thumbnail ``n`` whose luma is constant over ``lasting`` samples up to it or from it on."""
    calm = np.zeros(thumbnails.shape[1:], np.bool_)
    for run in (thumbnails[max(0, n - lasting + 1) : n + 1], thumbnails[n : n + lasting]):
        if len(run) == lasting:
            calm |= np.ptp(run, axis=0) <= tolerance
    return calm


def _samples_in(seconds: float, t_s: NDArray[np.float64]) -> int:
    """Number of consecutive samples that span ``seconds``."""
    return 1 + max(1, round(seconds / float(np.median(np.diff(t_s))))) if len(t_s) > 1 else 2


def _hamming(one: np.uint64, other: np.uint64) -> int:
    return int(_ONES[np.array([one ^ other]).view(np.uint8)].sum())
