"""Quality score of exposures: documented formulas over measured figures, weights and anchors from a versioned file.

Every score is 0..1. Figures that were not measured (in checkpoints of earlier versions) are NaN and are left out of
weighted means.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator, model_validator

from brand_detect.domain.contracts.compile_report import ZONES
from brand_detect.domain.params import Unit
from brand_detect.domain.records import Record

Floats = NDArray[np.float64]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

MEASURES = ("size", "position", "clarity", "visibility", "exclusive", "duration")
"""Components of quality: all but the last are measured per detection, the last per exposure."""


class Full(Record):
    """Score rising linearly from 0 to 1 at ``full``."""

    full: Positive


class Range(Record):
    """Score 0 up to ``none``, 1 from ``full``, linear in between."""

    none: Annotated[float, Field(ge=0)]
    full: Positive

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.full <= self.none:
            raise ValueError("full must be more than none")
        return self


class Half(Record):
    """Saturating score, 0.5 at ``half``: v / (v + half)."""

    half: Positive


class Position(Record):
    """Values of the nine zones of the picture."""

    centre: Unit
    edge: Unit
    corner: Unit


class Clarity(Record):
    weights: dict[str, Weight]
    height: Range = Field(description="height of the lettering divided by the picture's")
    sharpness: Half = Field(description="variance of the Laplacian, 8-bit grey")
    contrast: Full = Field(description="RMS contrast: standard deviation of the grey picture over 255")

    @field_validator("weights")
    @classmethod
    def _weights(cls, weights: dict[str, float]) -> dict[str, float]:
        return _checked(weights, ("height", "sharpness", "contrast", "confidence"))


class Media(Record):
    """A brand's equivalent in full-screen spots by size: its share of the picture to a power."""

    size_exponent: float = Field(
        ge=0.395,
        le=4,
        description="exponent of the share; at 0.395, 0.05 % of the picture counts as a twentieth; 1 = in proportion",
    )


class QualityScale(Record):
    """Weights and anchors of the quality score, from a file of the package or of the user."""

    version: int
    description: str = ""
    weights: dict[str, Weight] = Field(description=f"weights of {', '.join(MEASURES)}")
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
        """Hash of everything that determines the score."""
        content = self.model_dump(exclude={"description"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    def of_clarity(
        self, height_frac: ArrayLike, sharpness: ArrayLike, contrast: ArrayLike, confidence: ArrayLike
    ) -> Floats:
        """Clarity of detections: the weighted mean of the scores of height, sharpness, contrast and confidence."""
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
        """Values of zones, given by their index in ``ZONES``."""
        p = self.position
        worth = [p.centre if name == "centre" else p.corner if "-" in name else p.edge for name in ZONES]
        return np.array(worth)[zone]

    def of_duration(self, seconds: ArrayLike) -> Floats:
        return _between(seconds, 0.0, self.duration.full)

    def quality(self, scores: Mapping[str, ArrayLike]) -> Floats:
        """The weighted mean of the measures in ``scores``."""
        return weighted({name: np.asarray(score, np.float64) for name, score in scores.items()}, self.weights)

    def media_factor(self, area_frac: ArrayLike, quality: ArrayLike) -> Floats:
        """Equivalent of brands of these sizes, each alone on screen, in full-screen spots of quality 1."""
        return np.asarray(area_frac, np.float64) ** self.media.size_exponent * np.nan_to_num(quality)


def weighted(scores: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """The weighted mean of ``scores`` without NaNs; NaN if all are."""
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
        raise ValueError(f"give exactly one weight each for {', '.join(names)}")
    if not any(weights.values()):
        raise ValueError("at least one weight must be more than 0")
    return weights
