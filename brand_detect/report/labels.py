"""What people have said about single boxes, as labels to train and to measure with."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from brand_detect.domain.model import Report


@dataclass(frozen=True)
class Label:
    """A brand's box on one stored frame, and whether it is the brand."""

    frame: int
    t_s: float
    box: tuple[float, float, float, float]
    """x, y, width and height in px of the stored frame."""
    brand_id: str
    brand: str
    verdict: Literal["positive", "negative"]
    reviewed: str
    """What the person did: accepted, renamed, named; rejected for a negative."""
    text: str
    """What was read there; "" for marks without text."""


def labels(report: Report) -> Iterator[Label]:
    """The boxes that a person has looked at, in order of frame and brand: what nobody looked at is no label."""
    found = [(row, row["reviewed"]) for row in report.detections.to_pylist() if row["reviewed"]]
    found += [(row, "") for row in report.rejected.to_pylist()]
    for row, reviewed in sorted(found, key=lambda pair: (pair[0]["frame"], pair[0]["brand_id"], pair[0]["x_px"])):
        yield Label(
            frame=row["frame"],
            t_s=row["t_s"],
            box=(row["x_px"], row["y_px"], row["w_px"], row["h_px"]),
            brand_id=row["brand_id"],
            brand=row["brand"],
            verdict="positive" if reviewed else "negative",
            reviewed=reviewed or "rejected",
            text=row["text"],
        )
