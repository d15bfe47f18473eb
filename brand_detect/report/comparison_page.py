"""A comparison as one self-contained HTML page: no script, no external requests, embedded pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from brand_detect.domain import timeline
from brand_detect.domain.errors import Permanent
from brand_detect.domain.media import file_name
from brand_detect.domain.protocols import FrameReader, ImageCodec
from brand_detect.report.comparison import (
    BrandChange,
    Comparison,
    Outcome,
    Place,
    Stretch,
    outcome_in_words,
    settings,
)
from brand_detect.report.home import WORDS
from brand_detect.report.pages import UNITS, Bar, EvidencePicture, bars, fact, pictures, template, ticks
from brand_detect.report.words import RULES

# Limits that keep the page small and quick to make; the page says what was left out.
BRANDS = 40
PICTURED_BRANDS = 16
VERDICTS = 36
SETTINGS = 100
THUMBNAIL_PX = 320

Frames = Mapping[str, FrameReader | None]
"""The frames of each side; None if they are gone."""


@dataclass(frozen=True)
class Lane:
    """One side's timeline of a brand: spans on both sides, and spans on this side only."""

    both: list[Bar]
    alone: list[Bar]


@dataclass(frozen=True)
class BrandView:
    """A changed brand on the page. ``gained`` and ``lost`` are widths in units."""

    change: BrandChange
    gained: float
    lost: float
    before: Lane
    after: Lane
    figures: list[tuple[str, Stretch, EvidencePicture]] = field(default_factory=list)


def render(comparison: Comparison, frames: Frames, codec: ImageCodec, *, served: bool = False) -> str:
    """The page, with pictures if frames exist. Reads only the frames that it shows.

    ``served`` adds links to the service's pages.
    """
    sides = (comparison.before, comparison.after)
    ranges = [side.range_s for side in sides]
    start, end = min(r[0] for r in ranges), max(r[1] for r in ranges)
    moved = [brand for brand in comparison.brands if brand.change != "same"][:BRANDS]
    pictured = {brand.brand_id: _longest(brand) for brand in moved[:PICTURED_BRANDS]}
    verdicts = comparison.verdicts[:VERDICTS]
    places = [s.place for own in pictured.values() for _, s in own if s.place] + [v.place for v in verdicts]
    cut, gone = _cut(places, frames, codec)
    most_lost = max((brand.lost_s for brand in moved), default=0.0)
    scale = UNITS / (most_lost + max((brand.gained_s for brand in moved), default=0.0) or 1.0)
    return template("comparison.html").render(
        served=served,
        names=list(dict.fromkeys(file_name(side.video_uri) or side.job_id for side in sides)),
        comparison=comparison,
        before=comparison.before,
        after=comparison.after,
        notes=[*comparison.notes, *(f"The frames of the report {side} are gone: no pictures of it." for side in gone)],
        views=[
            BrandView(
                change=brand,
                gained=round(brand.gained_s * scale, 1),
                lost=round(brand.lost_s * scale, 1),
                before=_lane(brand.shown_before, brand.lost, start, end),
                after=_lane(brand.shown_after, brand.gained, start, end),
                figures=[(k, s, cut[s.place]) for k, s in pictured.get(brand.brand_id, ()) if s.place in cut],
            )
            for brand in moved
        ],
        zero=round(most_lost * scale, 1),
        units=UNITS,
        ticks=ticks(start, end),
        verdicts=[(change, cut.get(change.place)) for change in verdicts],
        in_words=_in_words,
        settings=[_setting(*setting) for setting in settings(comparison)][:SETTINGS],
        stage_words={stage: name for stage, (name, _, _) in WORDS.items()},
    )


def _in_words(outcome: Outcome) -> str:
    """An outcome in the words of the service's pages."""
    if outcome.state != "resolved":
        return outcome_in_words(outcome)
    rules = " and ".join(RULES.get(rule, rule) for rule in outcome.rule.split(", "))
    stages = " and ".join(WORDS[s][0] if s in WORDS else s for s in outcome.decided_by.split(", "))
    return f"{' and '.join(outcome.brands)}: {rules} ({stages})"


def _setting(name: str, before: Any, after: Any) -> tuple[str, str, str]:
    """A difference in the words of the service's pages: its name, and the values of both sides."""
    stage, _, param = name.partition(".")
    if stage in WORDS:
        return f"{WORDS[stage][0]}: {param.removesuffix('_uri').replace('_', ' ')}", _value(before), _value(after)
    if name.endswith(": exemplars"):  # files named by their content
        return f"{name.removesuffix('exemplars')}logos", _logos(before, after), _logos(after, before)
    return name, _value(before), _value(after)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "–" if value is None else fact(value)


def _logos(own: Sequence[str], others: Sequence[str]) -> str:
    alone = len({*own} - {*others})
    return f"{len(own)}, {alone} of them on this side only" if alone else str(len(own))


def _longest(brand: BrandChange) -> list[tuple[str, Stretch]]:
    """The longest gained and the longest lost stretch that have a place."""
    found = []
    for kind, stretches in (("gained", brand.gained), ("lost", brand.lost)):
        shown = [s for s in stretches if s.place]
        if shown:
            found.append((kind, max(shown, key=lambda s: s.end_s - s.start_s)))
    return found


def _lane(shown: Iterable[tuple[float, float]], alone: Iterable[Stretch], start: float, end: float) -> Lane:
    own = [(s.start_s, s.end_s) for s in alone]
    both = timeline.minus(list(shown), own).tolist()
    return Lane(bars(both, start, end, apart=-1.0), bars(own, start, end, apart=-1.0))


def _cut(
    places: Iterable[Place], frames: Frames, codec: ImageCodec
) -> tuple[dict[Place | None, EvidencePicture], list[str]]:
    """The evidence at ``places``, and the sides whose frames are gone."""
    cut: dict[Place | None, EvidencePicture] = {}
    gone = []
    for side, reader in frames.items():
        own = {p: (p.frame, p.x_px, p.y_px, p.w_px, p.h_px) for p in places if p.side == side}
        if not own:
            continue
        try:
            found = pictures(own.values(), reader, codec, THUMBNAIL_PX) if reader else {}
        except Permanent:  # a shard was removed
            found = {}
        cut |= {place: found[at] for place, at in own.items() if at in found}
        if not found:
            gone.append(side)
    return cut, gone
