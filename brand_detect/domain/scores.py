"""Scores of reports against labels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Totals:
    """Scores of one or more clips.

    ``recall`` is over clear brands. ``precision`` counts hard brands as right and unlabelled ones as wrong: labels that
    do not list every brand make it a lower bound.
    """

    clear: int
    found: int
    bonus: int  # hard brands found
    unlabelled: int  # reported without a label
    recall: float
    precision: float
    mean_error: float  # mean absolute relative error of the seconds of the clear brands found
    mean_timed_error: float | None  # of those whose label has intervals, and so exact seconds; None if there are none

    @property
    def reported(self) -> int:
        """All brands reported."""
        return self.found + self.bonus + self.unlabelled
