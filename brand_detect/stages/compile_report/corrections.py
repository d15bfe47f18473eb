"""Applies a person's corrections to the detections before anything is counted."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brand_detect.domain import timeline
from brand_detect.domain.contracts.compile_report import DETECTIONS, Reviewed, ReviewState, corrections
from brand_detect.domain.contracts.verdicts import VERDICTS, BrandVerdicts, Cluster, Rule, Verdict
from brand_detect.domain.geometry import box_iou
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.protocols import Hit
from brand_detect.domain.reviews import OF_CLUSTERS, Review, clusters_named, in_force, in_order, undone
from brand_detect.domain.tables import Row, content_id, table
from brand_detect.domain.text import brand_id_of, key_of, same_text
from brand_detect.domain.words import counted
from brand_detect.stages.regions import corner_boxes, sizes_of

SAME_BOX = 0.3
"""Least IoU with a correction's box at which the correction applies to a detection."""
NEAR_S = 0.5
"""Largest distance in time from the correction's ``t_s``: a replay may sample other instants."""
MOSTLY = 0.5
"""Least share of a stretch on screen inside a correction's range."""

Named = Callable[[str], Hit | None]
"""Looks up the catalogue's brand by name or alias."""
Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Corrected:
    """Detections and verdicts after the corrections."""

    found: pa.Table
    """The detections that count, as ``detections`` returns them."""
    rejected: pa.Table
    """DETECTIONS that a person rejected."""
    verdicts: BrandVerdicts
    """With a verdict for each named cluster; named, dismissed and excluded clusters are no longer unresolved."""
    reviews: list[dict[str, Any]]
    """Every correction with its outcome: ``state``, ``detections`` and ``seconds``."""
    notes: tuple[str, ...]


class Corrections:
    """The corrections in a job's log, matched to its checkpoints.

    A correction selects detections by their brand after earlier corrections. If there are none, it selects those that
    an earlier one rejected or renamed, so that the later of two corrections with the same target wins.
    """

    def __init__(self, reviews: Sequence[Review], verdicts: BrandVerdicts, named: Named) -> None:
        self._log, self._force = in_order(reviews), in_force(reviews)
        self._before, self._named = verdicts, named
        clusters = verdicts.clusters() if self._force else []
        self._by_id = {cluster.cluster_id: cluster for cluster in clusters}
        self._clusters = {r.review_id: clusters_named(r, clusters) for r in self._force if r.action in OF_CLUSTERS}

    def candidates(self) -> pa.Table:
        """VERDICTS plus one for each unresolved cluster that a person names: all that may become detections."""
        named = [r for r in self._force if r.action == "name"]
        names = {c: r.to for r in named for c in self._clusters[r.review_id]}
        rows = [_verdict(self._by_id[c], self._brand_of(to, {})) for c, to in names.items()]
        return pa.concat_tables([self._before.verdicts, table(VERDICTS, rows)])

    def applied(self, found: pa.Table, frames: pa.Table, cells: pa.Table) -> Corrected:
        """Applies the corrections to ``found``, the detections of ``candidates``; ``cells``: the timeline by frame."""
        if not self._force:
            nothing = DETECTIONS.empty_table()
            return Corrected(found, nothing, self._before, self._outcomes({}), ())
        state = _State(found, frames, cells, {_verdict_id(c) for named in self._clusters.values() for c in named})
        fates: dict[str, str] = {}  # the last action on each unresolved cluster
        effects: dict[str, tuple[bool, Rows]] = {}
        for review in self._force:
            clusters: list[str] = []
            if review.action in OF_CLUSTERS:
                clusters = self._clusters[review.review_id]
                rows = state.of_verdicts({_verdict_id(c) for c in clusters})
                if review.action == "name":
                    state.give(rows, self._brand_of(review.to, state.names), Reviewed.named)
                else:
                    state.active[rows] = False
            elif review.action == "exclude":
                clusters = [c for c, cluster in self._by_id.items() if same_text(cluster.text, review.text)]
                rows = state.with_text(review.text)
                state.active[rows] = False
            else:
                rows = state.about(review)
                if review.action == "accept":
                    state.give(rows, (review.brand_id, ""), Reviewed.accepted)
                elif review.action == "reject":
                    state.give(rows, (review.brand_id, ""), "")
                    state.active[rows] = False
                else:
                    state.give(rows, self._brand_of(review.to, state.names), Reviewed.renamed)
            fates |= dict.fromkeys(clusters, review.action)
            effects[review.review_id] = (bool(clusters) or bool(rows.any()), rows)
        counts = {i: (ok, int(rows.sum()), state.seconds(rows)) for i, (ok, rows) in effects.items()}
        outcomes = self._outcomes(counts)
        return Corrected(state.left(), state.rejected(), self._settled(state, fates), outcomes, _notes(outcomes))

    def _brand_of(self, name: str, names: dict[str, tuple[str, str]]) -> tuple[str, str]:
        """Id and name of the brand called ``name``: the catalogue's, else one of the report, else a new one."""
        hit = self._named(name)
        if hit is not None:
            return hit.brand_id, hit.brand
        return names.setdefault(key_of(name), (brand_id_of(name), name))

    def _settled(self, state: "_State", fates: dict[str, str]) -> BrandVerdicts:
        """Adds verdicts for clusters that stay named; those named and then rejected are unresolved again."""
        shown = {}
        for cluster, fate in fates.items():
            rows = state.of_verdicts({_verdict_id(cluster)}) & state.active
            if fate == "name" and rows.any():
                at = int(np.flatnonzero(rows)[0])
                shown[cluster] = (state.brand_id[at], state.brand[at])
        gone = {c for c, fate in fates.items() if fate in ("dismiss", "exclude")} | shown.keys()
        verdicts = [_verdict(self._by_id[c], brand) for c, brand in shown.items()]
        left = [cluster not in gone for cluster in self._before.unresolved["cluster_id"].to_pylist()]
        return replace(
            self._before,
            verdicts=pa.concat_tables([self._before.verdicts, table(VERDICTS, verdicts)]),
            unresolved=self._before.unresolved.filter(pa.array(left, pa.bool_())),
        )

    def _outcomes(self, counts: dict[str, tuple[bool, int, float]]) -> list[dict[str, Any]]:
        gone, ids = undone(self._log), {r.review_id for r in self._log}
        outcomes = []
        for review in self._log:
            ok, n, seconds = counts.get(review.review_id, (review.undoes in (ids & gone), 0, 0.0))
            state = ReviewState.applied if ok else ReviewState.orphaned
            if review.review_id in gone:
                state = ReviewState.undone
            outcomes.append(
                review.model_dump(mode="json") | {"state": state, "detections": n, "seconds": round(seconds, 6)}
            )
        return outcomes


def _notes(outcomes: Sequence[Row]) -> tuple[str, ...]:
    applied, orphaned = (len(corrections(outcomes, state)) for state in (ReviewState.applied, ReviewState.orphaned))
    notes = []
    if applied:
        notes.append(f"{counted(applied, 'correction')} by a person {'is' if applied == 1 else 'are'} applied.")
    if orphaned:
        what = "no longer applies" if orphaned == 1 else "no longer apply"
        notes.append(f"{counted(orphaned, 'correction')} by a person {what}: nothing in this report matches.")
    return tuple(notes)


class _State:
    """Mutable state of the detections, as arrays by row."""

    def __init__(self, found: pa.Table, frames: pa.Table, cells: pa.Table, unnamed: set[str]) -> None:
        self._found = found
        self._frame = found["frame"].to_numpy()
        self._track, self._verdict, self._text, self.brand_id, self.brand, self.reviewed = (
            np.array(found[c].to_pylist(), object)
            for c in ("track_id", "verdict_id", "text", "brand_id", "brand", "reviewed")
        )
        self.active = ~self.of_verdicts(unnamed)
        self.brand_id[~self.active] = self.brand[~self.active] = ""  # not named yet
        self._first_id, self._first = self.brand_id.copy(), self.brand.copy()
        self.names = {key_of(name): (i, name) for i, name in zip(self.brand_id, self.brand, strict=True) if name}
        size = sizes_of(frames, self._frame)
        self._box = corner_boxes(found) / np.hstack([size, size])
        self._start, self._end, self._t_s = (cells[c].to_numpy() for c in ("start_s", "end_s", "t_s"))
        self._keyframe = cells["keyframe"].combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
        self._shown_s = timeline.shown_seconds(cells)

    def about(self, review: Review) -> Rows:
        """Mask of the detections that a correction of a brand or of an exposure targets."""
        within = self._within(review)
        now = self.brand_id == review.brand_id
        for rows in (self.active & now, now | (self._first_id == review.brand_id)):
            rows = self._at_box(rows & within, review)
            if rows.any():
                return rows
        return np.zeros(len(now), np.bool_)

    def of_verdicts(self, verdict_ids: set[str]) -> Rows:
        return self._rows_of(self._verdict, verdict_ids)

    def with_text(self, text: str) -> Rows:
        """Mask of detections with this text: those that count, else those that an earlier correction rejected."""
        alike = [known for known in dict.fromkeys(self._text) if same_text(known, text)]
        rows = self._rows_of(self._text, alike) & (self.brand_id != "")
        return rows & self.active if (rows & self.active).any() else rows

    def give(self, rows: Rows, brand: tuple[str, str], reviewed: str) -> None:
        """Assigns ``rows`` to a brand; without a name, they keep their name or return to their first."""
        brand_id, name = brand
        if not name:
            back = rows & (self.brand_id != brand_id)
            self.brand[back] = self._first[back]
        else:
            self.brand[rows] = name
        self.brand_id[rows], self.reviewed[rows], self.active[rows] = brand_id, reviewed, True

    def seconds(self, rows: Rows) -> float:
        """Seconds on screen of ``rows``, each instant counted once."""
        return float(self._shown_s[np.unique(self._frame[rows])].sum())

    def left(self) -> pa.Table:
        """The detections that count, in order of brand and frame."""
        left = self._now(self.active)
        return left.sort_by([("brand_id", "ascending"), ("frame", "ascending")])

    def rejected(self) -> pa.Table:
        left = self._now(~self.active & (self.brand_id != "")).drop_columns("seen_on")
        return left.sort_by([("frame", "ascending"), ("brand_id", "ascending")])

    def _now(self, rows: Rows) -> pa.Table:
        changed = self._found
        for name in ("brand_id", "brand", "reviewed"):
            at = changed.schema.get_field_index(name)
            changed = changed.set_column(at, DETECTIONS.field(name), pa.array(getattr(self, name), pa.string()))
        return changed.filter(pa.array(rows, pa.bool_()))

    def _within(self, review: Review) -> Rows:
        """Mask of detections that are on screen for an unbroken stretch mostly within the correction's range.

        A picture may come back, such as that of a board which alternates: an exposure of it is found again by its own
        stretch. The range may be an exposure's that is shorter than its cells: a cell whose sampled picture it contains
        is within.
        """
        if review.start_s is None or review.end_s is None:
            return np.ones(len(self._frame), np.bool_)
        inside = np.minimum(self._end, review.end_s) - np.maximum(self._start, review.start_s)
        inside = np.where((review.start_s <= self._t_s) & (self._t_s < review.end_s), self._end - self._start, inside)
        first = np.flatnonzero(np.diff(self._keyframe, prepend=-2))
        seconds, length = (np.add.reduceat(s, first) for s in (inside.clip(min=0), self._end - self._start))
        return np.isin(self._frame, self._keyframe[first[(seconds > 0) & (seconds >= MOSTLY * length)]])

    def _at_box(self, rows: Rows, review: Review) -> Rows:
        """``rows`` limited to the tracks at the correction's box at its time."""
        if review.box is None or review.t_s is None or not rows.any():
            return rows
        away = np.maximum(np.maximum(self._start - review.t_s, review.t_s - self._end), 0.0)
        nearest = np.full(len(self._shown_s), np.inf)
        shown = self._keyframe >= 0
        np.minimum.at(nearest, self._keyframe[shown], away[shown])
        x, y, w, h = review.box
        near = np.flatnonzero(rows & (nearest <= NEAR_S)[self._frame])
        hit = near[box_iou(self._box[near], np.array([[x, y, x + w, y + h]]))[:, 0] >= SAME_BOX]
        return rows & self._rows_of(self._track, self._track[hit])

    def _rows_of(self, column: NDArray[np.object_], wanted: Iterable[str]) -> Rows:
        chosen = set(wanted)
        return np.array([value in chosen for value in column], np.bool_)


def _verdict_id(cluster: str) -> str:
    return content_id(cluster, Rule.review)


def _verdict(cluster: Cluster, brand: tuple[str, str]) -> Verdict:
    """A person's verdict that the unresolved ``cluster`` shows a brand."""
    brand_id, name = brand
    return Verdict(
        verdict_id=_verdict_id(cluster.cluster_id),
        track_ids=cluster.track_ids,
        brand_id=brand_id,
        brand=name,
        rule=Rule.review,
        confidence=1.0,
        text=cluster.text,
        matched=name,
        decided_by=Stage.compile_report,
    )
