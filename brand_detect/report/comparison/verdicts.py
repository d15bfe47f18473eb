"""Compares the verdicts about tracks that two reports share."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from brand_detect.domain import timeline
from brand_detect.domain.contracts.verdicts import BrandVerdicts
from brand_detect.domain.tables import BOX
from brand_detect.domain.text import fold, key_of
from brand_detect.report.comparison.document import Outcome, Place, TrackCounts, VerdictChange, box_of, rounded
from brand_detect.report.comparison.sides import Side


@dataclass(frozen=True)
class _Settled:
    """The outcome of a track, with its text and confidence."""

    outcome: Outcome
    text: str
    confidence: float


NOT_LISTED = _Settled(Outcome(state="not_listed"), "", 0.0)


def verdict_changes(before: Side, after: Side) -> tuple[tuple[VerdictChange, ...], TrackCounts]:
    """Changes of outcome, longest on screen first, and counts of shared tracks."""
    tracks = [set(side.detected.tracks["track_id"].to_pylist()) for side in (before, after)]
    settled = [_settled(side.verdicts) for side in (before, after)]
    both = tracks[0] & tracks[1]
    groups: defaultdict[tuple[str, Outcome, Outcome], list[str]] = defaultdict(list)
    texts: dict[str, str] = {}
    for track in sorted(both & (settled[0].keys() | settled[1].keys())):
        was, now = (of.get(track, NOT_LISTED) for of in settled)
        if was.outcome != now.outcome:
            text = texts[track] = now.text or was.text
            groups[fold(key_of(text)) or text, was.outcome, now.outcome].append(track)
    seen = _Seen(after, [track for group in groups.values() for track in group])
    changes = [
        VerdictChange(
            text=Counter(texts[track] for track in own).most_common(1)[0][0],
            before=was,
            after=now,
            confidence_before=rounded(max(settled[0].get(t, NOT_LISTED).confidence for t in own)),
            confidence_after=rounded(max(settled[1].get(t, NOT_LISTED).confidence for t in own)),
            tracks=len(own),
            seconds=rounded(seen.seconds(own)),
            place=seen.best(own),
        )
        for (_, was, now), own in groups.items()
    ]
    changes.sort(key=lambda change: (-change.seconds, change.text, change.place.frame))
    counts = TrackCounts(
        both=len(both),
        changed=sum(map(len, groups.values())),
        only_before=len(tracks[0] - both),
        only_after=len(tracks[1] - both),
    )
    return tuple(changes), counts


def _settled(verdicts: BrandVerdicts) -> dict[str, _Settled]:
    """The outcome of each track with a verdict or in an unresolved cluster."""
    found = {
        track: _Settled(Outcome(state="unresolved"), row["text"], 0.0)
        for row in verdicts.unresolved.select(["text", "track_ids"]).to_pylist()
        for track in row["track_ids"]
    }
    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in verdicts.verdicts.to_pylist():
        for track in row["track_ids"]:
            rows[track].append(row)
    for track, own in rows.items():
        best = max(own, key=lambda row: row["confidence"])
        outcome = Outcome(
            state=best["status"],
            brands=tuple(sorted({row["brand"] for row in own} - {""})),
            rule=", ".join(sorted({row["rule"] for row in own})),
            decided_by=", ".join(sorted({row["decided_by"] for row in own})),
        )
        found[track] = _Settled(outcome, best["text"], best["confidence"])
    return found


class _Seen:
    """Positions and screen time of tracks."""

    def __init__(self, side: Side, tracks: Iterable[str]) -> None:
        self._cells = timeline.cells_of(side.scenes.timeline)
        self._times = dict(zip(*(side.scenes.timeline[c].to_pylist() for c in ("frame", "t_s")), strict=True))
        self._regions: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        columns = ["track_id", "frame", "seen_on", "area_frac", "sharpness", *BOX]
        wanted = pa.array(list(tracks), pa.string())
        for row in side.detected.regions.select(columns).filter(pc.field("track_id").isin(wanted)).to_pylist():
            self._regions[row["track_id"]].append(row)

    def seconds(self, tracks: Iterable[str]) -> float:
        frames = {row["frame"] for track in tracks for row in self._regions[track]} & self._cells.keys()
        return timeline.union_seconds(np.concatenate([np.zeros((0, 2)), *(self._cells[f] for f in sorted(frames))]))

    def best(self, tracks: Iterable[str]) -> Place:
        rows = (row for track in tracks for row in self._regions[track])
        best = max(rows, key=lambda row: (row["area_frac"] * (row["sharpness"] + 1), -row["frame"]))
        frame = best["seen_on"][0]
        return Place(side="after", frame=frame, t_s=rounded(self._times[frame]), **box_of(best))
