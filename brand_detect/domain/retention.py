"""Retention: selects attempts to remove by age and count, never one that a retained attempt depends on."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from brand_detect.domain.pipeline import LINE, Stage

DAY_S = 86_400.0


@dataclass(frozen=True)
class Stored:
    """A finished attempt of a job, from its manifest."""

    stage: str
    attempt: str
    run_id: str
    created_s: float
    """Seconds since 1970."""
    upstream: Mapping[str, str]
    """Attempt of every ancestor, by stage."""
    continues: str = ""
    """For a retry: the attempt of ``escalate_cloud`` whose answers it carried over."""
    failed: bool = False
    """Whether a check failed, so that nothing continues from it."""
    data_version: str = ""
    size_bytes: int = 0
    frames_bytes: int = 0
    """Bytes of these taken by frames; 0 if they were removed."""

    @property
    def name(self) -> tuple[str, str]:
        return self.stage, self.attempt


@dataclass(frozen=True)
class Retention:
    """Limits below which attempts are retained."""

    keep: int = 3
    """Number of newest attempts per stage, without those that failed a check; at least 1."""
    days: float = 30.0
    """Age up to which attempts stay."""
    frames_days: float = 0.0
    """Age up to which frames stay; 0 = as long as their attempt."""


@dataclass(frozen=True)
class Removal:
    """The attempts and frames of one job to remove. ``attempts`` must be removed in order, so that no remaining
    attempt ever refers to a removed one."""

    attempts: tuple[Stored, ...] = ()
    frames: tuple[Stored, ...] = ()
    """Attempts of ``extract_frames`` that stay but lose their frames."""

    def __bool__(self) -> bool:
        return bool(self.attempts or self.frames)

    @property
    def size_bytes(self) -> int:
        return sum(a.size_bytes for a in self.attempts) + sum(a.frames_bytes for a in self.frames)


def removal(
    stored: Sequence[Stored],
    retention: Retention,
    now_s: float,
    *,
    latest: Collection[tuple[str, str]] = (),
    pinned: Collection[tuple[str, str]] = (),
    runs: Collection[str] = (),
) -> Removal:
    """Selects the attempts and frames of one job to remove now.

    Retained: the newest of each stage that did not fail, those young enough, the pinned, those made by ``runs``, and
    everything that a retained attempt needs: its ancestors, the attempt that it continues, and the one whose frames
    replace its own. Frames are removed by their own age, unless the attempt is pinned: the video can supply them again.

    Args:
        latest: attempts that Dagster considers the latest of their stage, by stage and name.
        pinned: attempts to retain, by stage and name.
        runs: runs whose attempts a waiting run continues from.
    """
    known = {a.name: a for a in stored}
    newest = {a.name for stage in LINE for a in _newest(stored, stage, max(1, retention.keep))}
    young = {a.name for a in stored if now_s - a.created_s < retention.days * DAY_S}
    held = {a.name for a in stored if a.run_id in runs}
    fixed = _with_all_needed({*pinned, *held}, known)
    stays = _with_all_needed({*newest, *young, *latest}, known) | fixed
    ancestors_first = TopologicalSorter({name: _names(a) for name, a in known.items()}).static_order()
    goes = [known[name] for name in ancestors_first if name in known and name not in stays][::-1]
    frames = [
        a
        for a in stored
        if a.name in stays - fixed
        and a.frames_bytes
        and retention.frames_days
        and now_s - a.created_s >= retention.frames_days * DAY_S
    ]
    return Removal(tuple(goes), tuple(frames))


def _newest(stored: Iterable[Stored], stage: str, keep: int) -> list[Stored]:
    """The newest attempt, and the ``keep`` newest that did not fail."""
    ordered = sorted((a for a in stored if a.stage == stage), key=lambda a: a.created_s, reverse=True)
    return [*ordered[:1], *[a for a in ordered if not a.failed][:keep]]


def _names(attempt: Stored) -> list[tuple[str, str]]:
    """The ancestors of ``attempt``, and the attempt that it continues."""
    return [*attempt.upstream.items(), *([(Stage.escalate_cloud, attempt.continues)] if attempt.continues else [])]


def _with_all_needed(names: Iterable[tuple[str, str]], known: Mapping[tuple[str, str], Stored]) -> set[tuple[str, str]]:
    """The known ``names`` and, transitively, everything they need."""
    found: set[tuple[str, str]] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in known and name not in found:
            found.add(name)
            left += [*_names(known[name]), *_stand_in(known[name], known)]
    return found


def _stand_in(attempt: Stored, known: Mapping[tuple[str, str], Stored]) -> list[tuple[str, str]]:
    """For an attempt whose frames were removed, the newest with the same frames."""
    if attempt.stage != Stage.extract_frames or attempt.frames_bytes:
        return []
    same = [
        a
        for a in known.values()
        if a.stage == attempt.stage and a.frames_bytes and a.data_version == attempt.data_version
    ]
    return [max(same, key=lambda a: a.created_s).name] if same else []
