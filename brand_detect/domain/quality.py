"""How good an exposure is: open formulas over measured figures, with weights and anchors from a versioned file.

Every score is 0..1. A figure that was not measured (a checkpoint of an earlier version) is NaN and is left out of the
weighted mean it would enter.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator, model_validator

from brand_detect.domain.contracts.compile_report import ZONES
from brand_detect.domain.records import Record

Floats = NDArray[np.float64]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]

MEASURES = ("size", "position", "clarity", "visibility", "exclusive", "duration")
"""What quality is made of; all but the last belong to one detection, the last to an exposure."""


class Full(Record):
    """A figure counts in proportion up to ``full``, and whole from there."""

    full: Positive


class Range(Record):
    """A figure counts nothing up to ``none``, whole from ``full`` on, and in proportion between."""

    none: Annotated[float, Field(ge=0)]
    full: Positive

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.full <= self.none:
            raise ValueError("full must be more than none")
        return self


class Half(Record):
    """A figure that counts half at ``half`` and approaches 1: v / (v + half)."""

    half: Positive


class Position(Record):
    """What the nine fields of the picture are worth."""

    centre: Share
    edge: Share
    corner: Share


class Clarity(Record):
    weights: dict[str, Weight]
    height: Range = Field(description="height of the lettering over the picture's")
    sharpness: Half = Field(description="variance of the Laplacian, 8-bit grey")
    contrast: Full = Field(description="RMS contrast: standard deviation of the grey over 255")

    @field_validator("weights")
    @classmethod
    def _weights(cls, weights: dict[str, float]) -> dict[str, float]:
        return _checked(weights, ("height", "sharpness", "contrast", "confidence"))


class Media(Record):
    """What a brand counts for beside a full-screen spot, by its size: share of the picture to a power."""

    size_exponent: float = Field(
        ge=0.395, le=4, description="from 0.395 on 0.05 % of the picture counts a twentieth at most; 1 = in proportion"
    )


class QualityScale(Record):
    """Weights and anchors of the quality score, as a file of the package or of the user sets them."""

    version: int
    description: str = ""
    weights: dict[str, Weight] = Field(description=f"of {', '.join(MEASURES)}")
    size: Full = Field(description="share of the picture")
    position: Position
    clarity: Clarity
    duration: Full = Field(description="seconds")
    media: Media

    @field_validator("weights")
    @classmethod
    def _weights(cls, weights: dict[str, float]) -> dict[str, float]:
        return _checked(weights, MEASURES)

    @property
    def digest(self) -> str:
        """Of all that decides the score."""
        content = self.model_dump(exclude={"description"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    def of_clarity(
        self, height_frac: ArrayLike, sharpness: ArrayLike, contrast: ArrayLike, confidence: ArrayLike
    ) -> Floats:
        """Clarity of detections: the weighted mean of legibility by height, sharpness, contrast and confidence."""
        c = self.clarity
        sharp = np.asarray(sharpness, np.float64)
        scores = {
            "height": _between(height_frac, c.height.none, c.height.full),
            "sharpness": sharp / (sharp + c.sharpness.half),
            "contrast": _between(contrast, 0.0, c.contrast.full),
            "confidence": np.asarray(confidence, np.float64),
        }
        return weighted(scores, c.weights)

    def of_size(self, area_frac: ArrayLike) -> Floats:
        return _between(area_frac, 0.0, self.size.full)

    def of_zone(self, zone: NDArray[np.intp]) -> Floats:
        """The worth of fields, given by their place in ``ZONES``."""
        p = self.position
        worth = [p.centre if name == "centre" else p.corner if "-" in name else p.edge for name in ZONES]
        return np.array(worth)[zone]

    def of_duration(self, seconds: ArrayLike) -> Floats:
        return _between(seconds, 0.0, self.duration.full)

    def quality(self, scores: Mapping[str, ArrayLike]) -> Floats:
        """The weighted mean of the measures in ``scores``."""
        return weighted({name: np.asarray(score, np.float64) for name, score in scores.items()}, self.weights)

    def media_factor(self, area_frac: ArrayLike, quality: ArrayLike) -> Floats:
        """What brands of these sizes count for beside a full-screen spot of quality 1, each alone on screen."""
        return np.asarray(area_frac, np.float64) ** self.media.size_exponent * np.nan_to_num(quality)


def weighted(scores: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """The mean of ``scores`` by ``weights``, those that are NaN left out; NaN where none is left."""
    values = np.stack([np.asarray(scores[name], np.float64) for name in scores])
    weight = np.array([weights[name] for name in scores]).reshape(-1, *[1] * (values.ndim - 1))
    known = ~np.isnan(values)
    total = (weight * known).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weight * np.where(known, values, 0.0)).sum(axis=0) / total


def _between(value: ArrayLike, none: float, full: float) -> Floats:
    return np.clip((np.asarray(value, np.float64) - none) / (full - none), 0.0, 1.0)


def _checked(weights: dict[str, float], names: tuple[str, ...]) -> dict[str, float]:
    if weights.keys() != set(names):
        raise ValueError(f"it takes one weight each for {', '.join(names)}")
    if not any(weights.values()):
        raise ValueError("one weight at least must be more than 0")
    return weights
