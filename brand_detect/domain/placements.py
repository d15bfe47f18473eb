"""Placement rules, set by a profile; the first rule that matches decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from brand_detect.domain.records import Record

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class TrackFigures:
    """The figures of a track that rules test: medians over its regions."""

    kind: str
    label: str
    inside: frozenset[str]  # labels of the objects that contain it on at least half of its frames
    aspect: float
    area_frac: float
    cx: float
    cy: float


class Placement(StrEnum):
    """The kind of thing that carries a brand."""

    board = "board"
    clothing = "clothing"
    overlay = "overlay"
    product = "product"
    vehicle = "vehicle"
    building = "building"
    screen = "screen"
    other = "other"


PLACEMENTS = tuple(Placement)


class PlacementRule(Record):
    """Gives a track its placement if all conditions hold. Figures are medians over the track's regions."""

    placement: Placement
    kind: Literal["", "text", "logo", "object"] = Field("", description="kind of the track")
    label: str = Field("", description="label from the object detector")
    inside: str = Field("", description="label of an object that contains the track")
    min_aspect: float = Field(0.0, ge=0, description="length along the reading direction divided by height")
    max_aspect: float = Field(1000.0, gt=0, allow_inf_nan=False)
    min_area_frac: Share = 0.0
    max_area_frac: Share = 1.0
    min_cx: Share = Field(0.0, description="centre, as a share of the picture's width, 0..1")
    max_cx: Share = 1.0
    min_cy: Share = Field(0.0, description="centre, as a share of the picture's height, 0..1")
    max_cy: Share = 1.0

    def fits(self, figures: TrackFigures) -> bool:
        return (
            self.kind in ("", figures.kind)
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


def placement_of(figures: TrackFigures, rules: Sequence[PlacementRule]) -> Placement:
    return next((rule.placement for rule in rules if rule.fits(figures)), Placement.other)
