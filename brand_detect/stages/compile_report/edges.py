"""Stretches of time in which brands are on screen, from the cells that show them and the edges of their tracks."""

from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass

import pyarrow as pa

from brand_detect.domain import timeline
from brand_detect.domain.contracts.detect_objects import Side
from brand_detect.stages.compile_report.detections import Ints


@dataclass(frozen=True)
class Span:
    """A brand on screen without a break. ``rows`` are the cells that show it, without those of bridged gaps."""

    rows: Ints
    start_s: float
    end_s: float


class BrandSpans:
    """The stretches of each brand of ``detections``.

    One begins and ends with its cells, which is exact at cuts and at the ends of the range. Between two sampled frames
    it begins when the first of the brand's tracks appears, and ends when the last disappears, as far as that is known.

    Args:
        edges: TRACK_EDGES.
        cells: TIMELINE in order.
    """

    def __init__(self, detections: pa.Table, edges: pa.Table, cells: pa.Table) -> None:
        self._cells = cells
        self._shot, self._frame, self._keyframe = (cells[c].to_pylist() for c in ("shot", "frame", "keyframe"))
        self._on_grid = {Side.start: cells["start_s"].to_pylist(), Side.end: cells["end_s"].to_pylist()}
        self._found = {(edge["track_id"], edge["frame"], edge["side"]): edge["t_s"] for edge in edges.to_pylist()}
        self._tracks: defaultdict[str, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        columns = (detections[c].to_pylist() for c in ("brand_id", "frame", "track_id"))
        for brand_id, keyframe, track_id in zip(*columns, strict=True):
            self._tracks[brand_id][keyframe].add(track_id)

    def of(self, brand_id: str, bridge_s: float) -> list[Span]:
        """The brand's stretches in order of time, with gaps bridged as by ``timeline.bridged_spans``."""
        tracks = self._tracks[brand_id]
        found = []
        for rows in timeline.bridged_spans(self._cells, [*tracks], bridge_s):
            (first, came), (last, went) = ((row, tracks[self._keyframe[row]]) for row in (int(rows[0]), int(rows[-1])))
            found.append(Span(rows, self._edge(came, first, Side.start), self._edge(went, last, Side.end)))
        return found

    def _edge(self, tracks: Set[str], row: int, side: Side) -> float:
        beside = row + (1 if side is Side.end else -1)
        within_shot = 0 <= beside < len(self._shot) and self._shot[beside] == self._shot[row]
        found = [t_s for track in tracks if (t_s := self._found.get((track, self._frame[row], side))) is not None]
        if not found or not within_shot:
            return self._on_grid[side][row]
        return max(found) if side is Side.end else min(found)
