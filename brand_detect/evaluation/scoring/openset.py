"""Open-set recognition figures, computed from arrays of scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRECISION = 0.9

Scores = NDArray[np.float32]
"""Shape (crops, brands): best score over a brand's exemplars; -inf for brands without one."""
Brands = NDArray[np.int64]
"""The column of each crop's brand, or -1 for none."""


def best_of_brands(scores: NDArray[np.float32], brand_of: Sequence[int], n_brands: int) -> Scores:
    """Scores per brand from scores per exemplar, shape (crops, exemplars); ``brand_of`` is each exemplar's brand."""
    best = np.full((len(scores), n_brands), -np.inf, np.float32)
    np.maximum.at(best.T, np.asarray(brand_of, int), scores.T)
    return best


def top(scores: Scores, own: Brands, k: int) -> NDArray[np.float64]:
    """For each crop, whether its brand is among the ``k`` best; a fraction if it ties for the last places."""
    mine = scores[np.arange(len(own)), own][:, None]
    better, equal = (scores > mine).sum(axis=1), (scores == mine).sum(axis=1)
    return np.clip((k - better) / equal, 0, 1)


@dataclass(frozen=True)
class Verdicts:
    """Per crop: the best brand's score, its lead over the next brand, and whether the best brand is the right one."""

    score: NDArray[np.float32]
    lead: NDArray[np.float32]
    right: NDArray[np.bool_]


def verdicts(scores: Scores, own: Brands) -> Verdicts:
    """Verdicts on crops, with at least two brands."""
    second, first = np.partition(scores, -2, axis=1)[:, -2:].T
    return Verdicts(first, first - second, (scores.argmax(axis=1) == own) & (first > second))


def without(scores: Scores, own: Brands) -> Scores:
    """``scores`` with each crop's own brand removed from the gallery."""
    left = scores.copy()
    left[np.arange(len(own)), own] = -np.inf
    return left


def recall_at_precision(
    score: NDArray[np.floating], right: NDArray[np.bool_], known: int, precision: float = PRECISION
) -> tuple[float, float]:
    """The highest recall of all thresholds with the required precision, and that threshold.

    Args:
        score: of all crops, including those of unknown brands; crops at or above the threshold are claimed.
        right: whether the claim would be right.
        known: crops whose brand is in the gallery.

    Returns:
        Recall 0 and an infinite threshold if no threshold has the precision.
    """
    order = np.argsort(-score, kind="stable")
    ordered, rights = score[order], np.cumsum(right[order])
    is_last = np.append(ordered[1:] != ordered[:-1], True)  # equal scores are claimed together
    good = np.flatnonzero(is_last & (rights >= precision * np.arange(1, len(order) + 1)) & (rights > 0))
    if not len(good):
        return 0.0, np.inf
    return float(rights[good[-1]]) / known, float(ordered[good[-1]])


@dataclass(frozen=True)
class ClaimRates:
    """Figures at the threshold in force, as shares of the crops of each kind."""

    recall: float
    precision: float
    unknown_claimed: float
    other_claimed: float


def claim_rates(
    known: NDArray[np.bool_], right: NDArray[np.bool_], unknown: NDArray[np.bool_], other: NDArray[np.bool_]
) -> ClaimRates:
    """Figures from the claims on each kind of crop; ``right`` tells whether a claim on a known one is right. Precision
    is 1 if nothing is claimed."""
    rights, claimed = int((known & right).sum()), sum(int(claims.sum()) for claims in (known, unknown, other))
    return ClaimRates(
        rights / max(1, len(known)),
        rights / claimed if claimed else 1.0,
        *(float(claims.mean()) if len(claims) else 0.0 for claims in (unknown, other)),
    )
