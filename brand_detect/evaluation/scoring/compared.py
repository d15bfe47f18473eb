"""Compares two evaluations of the same clips: figures with their difference, and each brand gained or lost, and why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from brand_detect.domain.errors import BadInput
from brand_detect.domain.text import key_of
from brand_detect.evaluation.scoring.labels import Kind
from brand_detect.evaluation.scoring.score import BrandScore, ClipScore, Evidence, Unlabelled, totals
from brand_detect.evaluation.scoring.summary import HOW_COUNTED, RESAMPLES, Evaluation, Recall, interval, recalls

UNLABELLED = ("unlisted", "false")


@dataclass(frozen=True)
class Change:
    """A brand that one of two runs reports on a clip and the other does not."""

    clip: str
    brand: str
    label: str  # clear, hard, logos, unlisted or false
    gained: bool  # reported after, not before
    before: str  # what named it, or where it was lost
    after: str


@dataclass(frozen=True)
class Difference:
    """A figure before and after. Of a recall, ``low`` and ``high`` bound the difference of the shares: 95 % of the
    draws of clips, with the same clips drawn for both."""

    figure: str
    before: str
    after: str
    difference: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Compared:
    """Two evaluations over the clips that both have."""

    before: str  # the catalogue
    after: str
    clips: int
    figures: tuple[Difference, ...]
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(before: Sequence[Evaluation], after: Sequence[Evaluation]) -> list[Compared]:
    """Compare each catalogue's evaluation with the one of the same name, or in the same place if names differ.

    Raises:
        BadInput: they cannot be paired.
    """
    known = {evaluation.catalog: evaluation for evaluation in after}
    if {evaluation.catalog for evaluation in before} == known.keys():
        return [_compared(evaluation, known[evaluation.catalog]) for evaluation in before]
    if len(before) != len(after):
        raise BadInput(
            f"One run has {len(before)} catalogues, the other {len(after)}, and their names differ.",
            "evaluate both with the same --catalog options",
        )
    return [_compared(*pair) for pair in zip(before, after, strict=True)]


def _compared(before: Evaluation, after: Evaluation) -> Compared:
    was, now = ({clip.clip: clip for clip in evaluation.clips} for evaluation in (before, after))
    common = sorted(was.keys() & now.keys())
    if not common:
        raise BadInput("The two runs have no clip in common.", "compare runs over the same clips")
    clips = [was[name] for name in common], [now[name] for name in common]
    changes = (change for pair in zip(*clips, strict=True) for change in _changes(*pair))
    order = (*Kind, *UNLABELLED)
    return Compared(
        before=before.catalog,
        after=after.catalog,
        clips=len(common),
        figures=tuple(_figures(*clips)),
        changes=tuple(sorted(changes, key=lambda c: (not c.gained, order.index(c.label), c.clip, c.brand))),
        notes=tuple(_notes(before, after, was, now)),
    )


def _notes(
    before: Evaluation, after: Evaluation, was: Mapping[str, ClipScore], now: Mapping[str, ClipScore]
) -> Iterator[str]:
    """What else differs between the two runs."""
    for which, names in (("first", was.keys() - now.keys()), ("second", now.keys() - was.keys())):
        if names:
            yield f"only the {which} run has {', '.join(sorted(names))}; not compared"
    if other := sorted(name for name in was.keys() & now.keys() if _differ(was[name], now[name])):
        yield f"the labels of {', '.join(other)} differ between the runs"
    if before.profile != after.profile:
        yield f"the first run has the profile {before.profile}, the second {after.profile}"
    if before.catalog != after.catalog:
        yield f"the first run is with {before.catalog}, the second with {after.catalog}"
    elif before.catalog_version != after.catalog_version:
        yield f"{before.catalog} has changed: {before.catalog_brands:,} brands before, {after.catalog_brands:,} after"


def _labels(clip: ClipScore) -> set[tuple[str, str]]:
    """What the labels say, as far as the scores tell it."""
    return {(brand.kind, brand.brand) for brand in clip.brands}


def _differ(before: ClipScore, after: ClipScore) -> bool:
    """Whether their labels differ: by a brand, or by what is known not to be there."""
    first, second = _unlabelled(before), _unlabelled(after)
    return _labels(before) != _labels(after) or any(first[key][0] != second[key][0] for key in first.keys() & second)


def _figures(before: Sequence[ClipScore], after: Sequence[ClipScore]) -> Iterator[Difference]:
    for kind in Kind:
        was, now = (Recall.of_kind(clips, kind) for clips in (before, after))
        low = high = None
        if was.low is not None and now.low is not None:
            low, high = interval(recalls(after, kind) - recalls(before, kind))
        moved = f"{now.found - was.found:+d}, {100 * (now.share - was.share):+.0f} points"
        yield Difference(f"{kind} found", str(was), str(now), moved, low, high)
    for name in UNLABELLED:
        first, second = (sum(len(getattr(clip, name)) for clip in clips) for clips in (before, after))
        yield Difference(name, str(first), str(second), f"{second - first:+d}")
    was, now = totals(before), totals(after)
    for name, a, b in (
        ("precision", *(total.precision if total.reported else None for total in (was, now))),
        ("mean |error| of seconds", *(total.mean_error if total.found else None for total in (was, now))),
        ("of labels with intervals", *(total.mean_timed_error for total in (was, now))),
    ):
        moved = "–" if a is None or b is None else f"{100 * (b - a):+.0f} points"
        first, second = ("–" if share is None else f"{share:.0%}" for share in (a, b))
        yield Difference(name, first, second, moved)


def _changes(before: ClipScore, after: ClipScore) -> Iterator[Change]:
    was, now = ({(b.kind, key_of(b.brand)): b for b in clip.brands} for clip in (before, after))
    for label, brand in was.items():
        other = now.get(label)
        if other is not None and brand.found != other.found:
            yield Change(before.clip, brand.brand, brand.kind, other.found, _why(brand), _why(other))
    first, second = (_unlabelled(clip) for clip in (before, after))
    for key in sorted(first.keys() ^ second.keys()):
        counted, other = first.get(key) or second[key]
        shown = f"{named_by(other.evidence)}, {other.seconds:.1f} s"
        was_shown, is_shown = ("", shown) if key in second else (shown, "")
        yield Change(before.clip, other.brand, counted, key in second, was_shown, is_shown)


def _unlabelled(clip: ClipScore) -> dict[str, tuple[str, Unlabelled]]:
    """The reported brands without a label, by key, each with how it is counted."""
    return {key_of(other.brand): (name, other) for name in UNLABELLED for other in getattr(clip, name)}


def _why(brand: BrandScore) -> str:
    """What named the brand, or where it was lost."""
    if brand.evidence:
        return f"{named_by(brand.evidence)}, {brand.reported_s:.1f} s"
    loss = next((loss for loss in brand.losses if loss.where == brand.lost), None)
    lost = f"{loss.where}: {loss.detail}" if loss else "missed"
    return lost if brand.in_catalog else f"{lost}; {brand.lacks}"


def named_by(evidence: Evidence) -> str:
    """Such as ``exact 'BETWAY' at 3.5 s, confidence 0.93``."""
    return f"{evidence.rule} {evidence.text!r} at {evidence.start_s:.1f} s, confidence {evidence.confidence:.2f}"


def figures_table(compared: Sequence[Compared]) -> Table:
    """The figures before and after, in a group of rows for each catalogue."""
    caption = f"In brackets: 95 % of {RESAMPLES:,} draws of clips. {HOW_COUNTED}"
    table = Table(title="Before and after", caption=caption)
    for name in ("", "before", "after", "difference"):
        table.add_column(name, justify="right" if name else "left", overflow="fold")
    for pair in compared:
        names = dict.fromkeys((pair.before, pair.after))
        table.add_row(f"[bold]{escape(' → '.join(names))}[/bold], clips: {pair.clips}")
        for figure in pair.figures:
            bounds = ""
            if figure.low is not None and figure.high is not None:
                bounds = f" ({100 * figure.low:+.0f} to {100 * figure.high:+.0f})"
            table.add_row(figure.figure, figure.before, figure.after, figure.difference + bounds)
        table.add_section()
    return table


def changes_table(pair: Compared) -> Table:
    """Each brand that only one of the runs reports, with what named it there and what became of it in the other."""
    table = Table(title=f"Gained and lost, {escape(pair.after)}")
    for name in ("", "label", "clip", "brand", "before", "after"):
        table.add_column(name, overflow="fold")
    for change in pair.changes:
        cells = (change.label, change.clip, change.brand, change.before, change.after)
        table.add_row("gained" if change.gained else "lost", *map(escape, cells))
    return table
