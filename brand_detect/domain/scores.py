"""How reports compare with labels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Totals:
    """Brands of one clip or several. ``recall`` is over the clear brands; ``precision`` counts hard ones as right."""

    clear: int
    found: int
    bonus: int  # hard brands found
    false: int
    recall: float
    precision: float
    mean_error: float  # mean |error| of the seconds of the clear brands found
