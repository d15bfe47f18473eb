"""Placements: their names, what motion tells about them, and rules of a profile, of which the first match decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from brand_detect.domain.params import Unit
from brand_detect.domain.records import Record


class Motion(StrEnum):
    """How a track moves while the camera does."""

    still = "still"  # it stands still on screen
    fixed = "fixed"  # it moves with the scene
    moving = "moving"  # it moves against both


@dataclass(frozen=True)
class TrackFigures:
    """The figures of a track that rules test: medians over its regions."""

    kind: str
    label: str
    motion: str  # one of Motion; "" if it tells nothing
    inside: frozenset[str]  # labels of the objects that contain it on at least half of its frames
    aspect: float
    area_frac: float
    cx: float
    cy: float


class Placement(StrEnum):
    """The kind of thing that carries a brand. Models are asked for the first eight."""

    board = "board"
    clothing = "clothing"
    overlay = "overlay"
    product = "product"
    vehicle = "vehicle"
    building = "building"
    screen = "screen"
    other = "other"
    led = "led"
    pitch = "pitch"
    full_screen = "full_screen"
    unknown = "unknown"


PLACEMENTS = tuple(Placement)
ANSWERABLE = PLACEMENTS[:8]
"""The placements that models are asked for; a question in another form would be asked and paid for again."""


class Placed(NamedTuple):
    """A placement and how sure it is, 0..1."""

    placement: Placement
    confidence: float


UNKNOWN = Placed(Placement.unknown, 0.0)


class PlacementRule(Record):
    """Gives a track its placement if all conditions hold. Figures are medians over the track's regions.

    A rule with a ``motion`` is for tracks that move so; one without, for those whose motion tells nothing.
    """

    placement: Placement
    kind: Literal["", "text", "logo", "object"] = Field("", description="kind of the track")
    motion: Literal["", "still", "fixed", "moving"] = Field(
        "", description="how the track moves: still on screen, fixed in the scene, or moving against both"
    )
    label: str = Field("", description="label from the object detector")
    inside: str = Field("", description="label of an object that contains the track")
    min_aspect: float = Field(0.0, ge=0, description="length along the reading direction divided by height")
    max_aspect: float = Field(1000.0, gt=0, allow_inf_nan=False)
    min_area_frac: Unit = 0.0
    max_area_frac: Unit = 1.0
    min_cx: Unit = Field(0.0, description="centre, as a share of the picture's width, 0..1")
    max_cx: Unit = 1.0
    min_cy: Unit = Field(0.0, description="centre, as a share of the picture's height, 0..1")
    max_cy: Unit = 1.0

    def fits(self, figures: TrackFigures) -> bool:
        return (
            self.motion == figures.motion
            and self.kind in ("", figures.kind)
            and self.label in ("", figures.label)
            and (not self.inside or self.inside in figures.inside)
            and self.min_aspect <= figures.aspect <= self.max_aspect
            and self.min_area_frac <= figures.area_frac <= self.max_area_frac
            and self.min_cx <= figures.cx <= self.max_cx
            and self.min_cy <= figures.cy <= self.max_cy
        )


_RULES: TypeAdapter[tuple[PlacementRule, ...]] = TypeAdapter(tuple[PlacementRule, ...])


def placement_rules(rules: Sequence[dict[str, Any]]) -> tuple[PlacementRule, ...]:
    """Parses the rules of the ``placements`` param.

    Raises:
        ValueError: a rule is invalid.
    """
    try:
        return _RULES.validate_python(rules)
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        raise ValueError(f"rule {int(first['loc'][0]) + 1}, {where}: {first['msg']}") from e


def placement_of(figures: TrackFigures, rules: Sequence[PlacementRule]) -> Placement | None:
    """The placement by the first rule that fits; None if none does."""
    return next((rule.placement for rule in rules if rule.fits(figures)), None)
