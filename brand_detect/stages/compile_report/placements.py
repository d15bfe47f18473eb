"""The placement of each track: a model's answer, else overlay if it is one, else by the first rule that matches."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from brand_detect.domain.contracts.detect_objects import DetectedObjects
from brand_detect.domain.geometry import coverage, side_lengths
from brand_detect.domain.placements import PLACEMENTS, Placement, PlacementRule, TrackFigures, placement_of
from brand_detect.stages.regions import quads_of

INSIDE = 0.8
"""Least share of a region in an object's box for the region to count as inside it."""


def placements(
    detected: DetectedObjects,
    sizes: pa.Table,
    tracks: Sequence[str],
    answered: Mapping[str, str],
    rules: Sequence[PlacementRule],
) -> dict[str, Placement]:
    """The placement of each of ``tracks`` that exists in ``detected``.

    ``answered`` are models' answers by track; ``sizes`` has ``frame``, ``width_px`` and ``height_px``.
    """
    known = {track: Placement(placement) for track, placement in answered.items() if placement in PLACEMENTS}
    asked = set(tracks)
    about = {row["track_id"]: row for row in detected.tracks.to_pylist() if row["track_id"] in asked}
    wanted = [t for t in about if t not in known and not about[t]["is_overlay"]]
    figures_of = (
        _figures(detected, sizes, wanted, about, {rule.inside for rule in rules if rule.inside})
        if rules and wanted
        else {}
    )
    found = {t: Placement.overlay if about[t]["is_overlay"] else Placement.other for t in about}
    return found | {t: placement_of(figures, rules) for t, figures in figures_of.items()} | known


def _figures(
    detected: DetectedObjects, sizes: pa.Table, wanted: Sequence[str], about: Mapping[str, dict], within: set[str]
) -> dict[str, TrackFigures]:
    regions = detected.regions.filter(pc.field("track_id").isin(wanted)).combine_chunks()
    at = np.searchsorted(sizes["frame"].to_numpy(), regions["frame"].to_numpy())
    width, height = (sizes[c].to_numpy()[at] for c in ("width_px", "height_px"))
    x, y, w, h = (regions[c].to_numpy() for c in ("x_px", "y_px", "w_px", "h_px"))
    across, down = side_lengths(quads_of(regions))
    figures = np.column_stack(
        (across / np.maximum(down, 1e-6), regions["area_frac"].to_numpy(), (x + w / 2) / width, (y + h / 2) / height)
    )
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, track in enumerate(regions["track_id"].to_pylist()):
        rows[track].append(row)
    inside = _inside(detected.regions, regions, within)
    found = {}
    for track, own in rows.items():
        often = Counter(label for row in own for label in inside[row])
        labels = frozenset(label for label, n in often.items() if 2 * n >= len(own))
        medians = np.median(figures[own], axis=0).tolist()
        found[track] = TrackFigures(about[track]["kind"], about[track]["label"], labels, *medians)
    return found


def _inside(everything: pa.Table, regions: pa.Table, labels: set[str]) -> list[set[str]]:
    """For each of ``regions``, the labels of the objects on its frame that contain it."""
    found: list[set[str]] = [set() for _ in range(regions.num_rows)]
    objects = everything.filter(pc.field("label").isin(sorted(labels))) if labels else everything.slice(0, 0)
    boxes, their = _boxes(regions), _boxes(objects)
    frame, on = regions["frame"].to_numpy(), objects["frame"].to_numpy()
    names = np.array(objects["label"].to_pylist(), object)
    for number in np.unique(on):
        here = np.flatnonzero(frame == number)
        for label in set(names[on == number]):
            share = coverage(boxes[here], their[(on == number) & (names == label)])
            for row in here[share >= INSIDE]:
                found[row].add(label)
    return found


def _boxes(regions: pa.Table) -> np.ndarray:
    x, y, w, h = (regions[c].to_numpy().astype(np.float64) for c in ("x_px", "y_px", "w_px", "h_px"))
    return np.column_stack((x, y, x + w, y + h))
