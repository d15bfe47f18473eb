"""A comparison as Markdown, for a run's metadata."""

from collections.abc import Iterator, Sequence
from typing import Any

from brand_detect.report.comparison.document import Comparison, Outcome
from brand_detect.report.pages import fact, shown_params
from brand_detect.report.words import cell, duration, short, signed

MARKDOWN_ROWS = 30
NAMES = 8


def outcome_in_words(outcome: Outcome) -> str:
    """An outcome in short, without its confidence, with the pipeline's names."""
    if outcome.state == "resolved":
        return f"{' and '.join(outcome.brands)} ({outcome.rule}, {outcome.decided_by})"
    return {"ignored": "ignored: excluded by the list", "not_listed": "not listed"}.get(outcome.state, outcome.state)


def in_words(comparison: Comparison) -> str:
    """The comparison in Markdown, with long parts cut."""
    before, after = comparison.before, comparison.after
    lines = [comparison.headline, *(f"> {note}" for note in comparison.notes)]
    lines += _table(
        ("brand", "before", "after", "difference", "gained", "lost"),
        [
            (
                b.brand,
                duration(b.before_s),
                duration(b.after_s),
                signed(b.difference_s),
                *map(_some, (b.gained_s, b.lost_s)),
            )
            for b in comparison.brands
        ],
    )
    lines += _table(
        ("text", "before", "after", "tracks", "seconds"),
        [
            (v.text, outcome_in_words(v.before), outcome_in_words(v.after), v.tracks, duration(v.seconds))
            for v in comparison.verdicts
        ],
    )
    lines += _table(("set differently", "before", "after"), [(n, fact(b), fact(a)) for n, b, a in settings(comparison)])
    lines += _table(
        ("", "before", "after"),
        [
            ("report", before.attempt, after.attempt),
            ("unresolved clusters", before.unresolved, after.unresolved),
            ("stages not shared", duration(before.own_s), duration(after.own_s)),
            ("questions asked in them", before.questions, after.questions),
            ("their cost", f"{before.cost_usd:.4f} USD", f"{after.cost_usd:.4f} USD"),
        ],
    )
    return "\n\n".join(lines)


def settings(comparison: Comparison) -> Iterator[tuple[str, Any, Any]]:
    """All differences in params, engines and the brand list, by name."""
    for stage in comparison.stages:
        for change in (*stage.params, *stage.engines):
            was, now = (shown_params({change.name: value})[change.name] for value in (change.before, change.after))
            if was != now:  # a video that was moved has its file's name still
                yield f"{stage.stage}.{change.name}", was, now
    catalog = comparison.catalog
    if catalog.added or catalog.removed:
        yield "brands in one list only", _listed(catalog.removed), _listed(catalog.added)
    for change in catalog.changed:
        yield change.name, change.before, change.after


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(names[:NAMES])
    return few if len(names) <= NAMES else f"{len(names)} brands, such as {few}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table as a list; empty without rows."""
    if not rows:
        return []
    lines = [[cell(short(str(value))) for value in row] for row in rows[:MARKDOWN_ROWS]]
    table = "\n".join(f"| {' | '.join(line)} |" for line in ([*head], ["---"] * len(head), *lines))
    return [table, *([f"{len(rows) - MARKDOWN_ROWS} more"] if len(rows) > MARKDOWN_ROWS else [])]


def _some(seconds: float) -> str:
    return duration(seconds) if seconds else ""
