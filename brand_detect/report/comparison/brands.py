"""Compares the brands of two reports: seconds gained and lost."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc

from brand_detect.domain import timeline
from brand_detect.report.comparison.document import BrandChange, Place, Stretch, box_of, rounded, rounded_spans
from brand_detect.report.comparison.sides import Side


def brand_changes(before: Side, after: Side, same_video: bool) -> Iterator[BrandChange]:
    """Changes of all brands of both reports, by id; for different videos, only the seconds are compared."""
    totals = [{row["brand_id"]: row for row in side.report.brands.to_pylist()} for side in (before, after)]
    shown = [side.exposures() for side in (before, after)]
    lost_of, gained_of = _Detections(before, "before"), _Detections(after, "after")
    for brand_id in sorted(totals[0].keys() | totals[1].keys()):
        was, now = (of.get(brand_id) for of in totals)
        spans = [of.get(brand_id, []) for of in shown]
        gained = timeline.minus(spans[1], spans[0]) if same_video else np.zeros((0, 2))
        lost = timeline.minus(spans[0], spans[1]) if same_video else np.zeros((0, 2))
        seconds = [row["seconds"] if row else 0.0 for row in (was, now)]
        difference = seconds[1] - seconds[0]
        parts = [
            timeline.union_seconds(span) if same_video else max(0.0, sign * difference)
            for span, sign in ((gained, 1), (lost, -1))
        ]
        named = now or was
        assert named is not None
        yield BrandChange(
            brand_id=brand_id,
            brand=named["brand"],
            change="new"
            if was is None
            else "gone"
            if now is None
            else "changed"
            if max(parts) > timeline.TOUCHING_S
            else "same",
            before_s=rounded(seconds[0]),
            after_s=rounded(seconds[1]),
            difference_s=rounded(difference),
            exposures_before=was["n_exposures"] if was else 0,
            exposures_after=now["n_exposures"] if now else 0,
            gained_s=rounded(parts[0]),
            lost_s=rounded(parts[1]),
            gained=tuple(gained_of.stretches(brand_id, gained)),
            lost=tuple(lost_of.stretches(brand_id, lost)),
            shown_before=rounded_spans(spans[0]),
            shown_after=rounded_spans(spans[1]),
        )


class _Detections:
    """The detections of one side, to look up the best one in a span."""

    def __init__(self, side: Side, name: Literal["before", "after"]) -> None:
        self._name: Literal["before", "after"] = name
        self._own: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in side.report.detections.sort_by("start_s").to_pylist():
            self._own[row["brand_id"]].append(row)
        shown = side.detected.regions.filter(pc.field("track_id").isin(side.report.detections["track_id"].unique()))
        self._seen_on = {
            (row["track_id"], row["frame"]): row["seen_on"][0]
            for row in shown.select(["track_id", "frame", "seen_on"]).to_pylist()
        }

    def stretches(self, brand_id: str, spans: Iterable[Sequence[float]]) -> Iterator[Stretch]:
        """``spans``, each with the place of the best detection with a cell in it."""
        own = self._own[brand_id]
        for start, end in spans:
            inside = own[bisect_left(own, start, key=_middle) : bisect_left(own, end, key=_middle)]
            best = max(inside, key=lambda d: (round(d["confidence"], 2), d["area_frac"]), default=None)
            yield Stretch(start_s=rounded(start), end_s=rounded(end), place=self._place(best) if best else None)

    def _place(self, row: Mapping[str, Any]) -> Place:
        # the brand may be occluded on the keyframe itself and visible on a duplicate
        frame = self._seen_on.get((row["track_id"], row["frame"]), row["frame"])
        return Place(side=self._name, frame=frame, t_s=rounded(row["t_s"]), **box_of(row))


def _middle(detection: Mapping[str, Any]) -> float:
    return (detection["start_s"] + detection["end_s"]) / 2
