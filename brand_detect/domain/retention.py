"""Which attempts may go: by age and count, and never one that something that stays was made from."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from brand_detect.domain.pipeline import LINE, Stage

DAY_S = 86_400.0


@dataclass(frozen=True)
class Stored:
    """One finished attempt of a job, as its manifest has it."""

    stage: str
    attempt: str
    run_id: str
    created_s: float
    """Seconds since 1970."""
    upstream: Mapping[str, str]
    """The attempt of every ancestor by stage."""
    continues: str = ""
    """In a retry: the attempt of ``escalate_cloud`` whose answers were taken over."""
    failed: bool = False
    """Whether a check failed, so that nothing goes on from it."""
    data_version: str = ""
    size_bytes: int = 0
    frames_bytes: int = 0
    """Of these, what the pictures take; 0 where they have gone."""

    @property
    def name(self) -> tuple[str, str]:
        return self.stage, self.attempt


@dataclass(frozen=True)
class Retention:
    """What stays."""

    keep: int = 3
    """The newest attempts of each stage whose checks did not fail, at least 1."""
    days: float = 30.0
    """Attempts that are younger."""
    frames_days: float = 0.0
    """Pictures that are younger; 0 = as long as their attempt."""


@dataclass(frozen=True)
class Removal:
    """What of one job may go. ``attempts`` are in the order in which they must go: nothing that is left at any time
    names one that has gone."""

    attempts: tuple[Stored, ...] = ()
    frames: tuple[Stored, ...] = ()
    """Attempts of ``extract_frames`` that stay without their pictures."""

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
    """What of one job's attempts may go now.

    What stays: the newest of each stage that did not fail, those young enough, the pinned, what ``runs`` made, and
    everything that an attempt that stays names, as an ancestor or because it goes on from it, or whose pictures stand
    in for its own. Pictures go by their own age, unless the attempt is pinned: they can be made again from the video.

    Args:
        latest: attempts that Dagster takes for the latest of their stage, by stage and name.
        pinned: attempts that are to stay, by stage and name.
        runs: runs whose attempts a run that waits goes on from.
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
    """The newest attempt, and the newest that did not fail: those that did take nobody's place."""
    ordered = sorted((a for a in stored if a.stage == stage), key=lambda a: a.created_s, reverse=True)
    return [*ordered[:1], *[a for a in ordered if not a.failed][:keep]]


def _names(attempt: Stored) -> list[tuple[str, str]]:
    """What ``attempt`` was made from and goes on from."""
    return [*attempt.upstream.items(), *([(Stage.escalate_cloud, attempt.continues)] if attempt.continues else [])]


def _with_all_needed(names: Iterable[tuple[str, str]], known: Mapping[tuple[str, str], Stored]) -> set[tuple[str, str]]:
    """``names`` that are known, and everything that they need in turn."""
    found: set[tuple[str, str]] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in known and name not in found:
            found.add(name)
            left += [*_names(known[name]), *_stand_in(known[name], known)]
    return found


def _stand_in(attempt: Stored, known: Mapping[tuple[str, str], Stored]) -> list[tuple[str, str]]:
    """Where the pictures of an attempt have gone, the newest one with the very same ones."""
    if attempt.stage != Stage.extract_frames or attempt.frames_bytes:
        return []
    same = [
        a
        for a in known.values()
        if a.stage == attempt.stage and a.frames_bytes and a.data_version == attempt.data_version
    ]
    return [max(same, key=lambda a: a.created_s).name] if same else []
