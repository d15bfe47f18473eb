"""Stretches of time in which brands are on screen, from the cells that show them and the edges of their tracks."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Set
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


class Spans:
    """The stretches of each key of ``detections``, such as its brand.

    One begins and ends with its cells, which is exact at cuts and at the ends of the range. Between two sampled frames
    it begins when the first of its tracks appears, and ends when the last disappears; a track whose edge is not known
    does so at the end of its cell.

    Args:
        keys: of each detection.
        edges: TRACK_EDGES.
        cells: TIMELINE in order.
    """

    def __init__(self, keys: Iterable[Hashable], detections: pa.Table, edges: pa.Table, cells: pa.Table) -> None:
        self._cells = cells
        self._shot, self._frame, self._keyframe = (cells[c].to_pylist() for c in ("shot", "frame", "keyframe"))
        self._on_grid = {Side.start: cells["start_s"].to_pylist(), Side.end: cells["end_s"].to_pylist()}
        self._found = {(edge["track_id"], edge["frame"], edge["side"]): edge["t_s"] for edge in edges.to_pylist()}
        self._tracks: defaultdict[Hashable, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        for key, keyframe, track_id in zip(
            keys, *(detections[c].to_pylist() for c in ("frame", "track_id")), strict=True
        ):
            self._tracks[key][keyframe].add(track_id)

    def of(self, key: Hashable, bridge_s: float) -> list[Span]:
        """The key's stretches in order of time, with gaps of the grid bridged as by ``timeline.bridged_spans``."""
        tracks = self._tracks[key]
        found = []
        for rows in timeline.bridged_spans(self._cells, [*tracks], bridge_s):
            (first, came), (last, went) = ((row, tracks[self._keyframe[row]]) for row in (int(rows[0]), int(rows[-1])))
            found.append(Span(rows, self._edge(came, first, Side.start), self._edge(went, last, Side.end)))
        return found

    def _edge(self, tracks: Set[str], row: int, side: Side) -> float:
        beside = row + (1 if side is Side.end else -1)
        on_grid = self._on_grid[side][row]
        if not 0 <= beside < len(self._shot) or self._shot[beside] != self._shot[row]:
            return on_grid
        found = [self._found.get((track, self._frame[row], side), on_grid) for track in tracks]
        return max(found) if side is Side.end else min(found)
