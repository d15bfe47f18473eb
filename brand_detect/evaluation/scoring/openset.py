"""Recognition among brands of which most were never seen: figures from arrays of scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRECISION = 0.9

Scores = NDArray[np.float32]
"""Shape (crops, brands): the best over a brand's exemplars; -inf for a brand that has none."""
Brands = NDArray[np.int64]
"""For each crop the column of its brand, or -1 for none."""


def best_of_brands(scores: NDArray[np.float32], brand_of: Sequence[int], n_brands: int) -> Scores:
    """From scores against exemplars, shape (crops, exemplars), of which ``brand_of`` tells the brands."""
    best = np.full((len(scores), n_brands), -np.inf, np.float32)
    np.maximum.at(best.T, np.asarray(brand_of, int), scores.T)
    return best


def top(scores: Scores, own: Brands, k: int) -> NDArray[np.float64]:
    """For each crop, whether its brand is among the ``k`` best; the share of the places where it ties with others."""
    mine = scores[np.arange(len(own)), own][:, None]
    better, equal = (scores > mine).sum(axis=1), (scores == mine).sum(axis=1)
    return np.clip((k - better) / equal, 0, 1)


@dataclass(frozen=True)
class Verdicts:
    """The best brand's score of each crop, how far it leads the next brand's, and whether the crop's brand leads."""

    score: NDArray[np.float32]
    lead: NDArray[np.float32]
    right: NDArray[np.bool_]


def verdicts(scores: Scores, own: Brands) -> Verdicts:
    """Of crops against at least two brands."""
    second, first = np.partition(scores, -2, axis=1)[:, -2:].T
    return Verdicts(first, first - second, (scores.argmax(axis=1) == own) & (first > second))


def without(scores: Scores, own: Brands) -> Scores:
    """``scores`` with each crop's own brand out of the gallery."""
    left = scores.copy()
    left[np.arange(len(own)), own] = -np.inf
    return left


def recall_at_precision(
    score: NDArray[np.floating], right: NDArray[np.bool_], known: int, precision: float = PRECISION
) -> tuple[float, float]:
    """The best recall of any threshold that keeps the precision, and that threshold.

    Args:
        score: of all crops, those of no brand of the gallery included; those of the threshold and above are claimed.
        right: whether the claim would be right.
        known: crops whose brand is in the gallery.

    Returns:
        Recall 0 and an infinite threshold where no threshold keeps the precision.
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
    """What rejecting some claims gives. Shares of the crops of each kind."""

    recall: float
    precision: float
    unknown_claimed: float
    other_claimed: float


def claim_rates(
    known: NDArray[np.bool_], right: NDArray[np.bool_], unknown: NDArray[np.bool_], other: NDArray[np.bool_]
) -> ClaimRates:
    """From what is claimed of each kind of crop; of the known ones, ``right`` says whether the claim would be right.
    Precision is 1 where nothing is claimed."""
    rights, claimed = int((known & right).sum()), sum(int(claims.sum()) for claims in (known, unknown, other))
    return ClaimRates(
        rights / max(1, len(known)),
        rights / claimed if claimed else 1.0,
        *(float(claims.mean()) if len(claims) else 0.0 for claims in (unknown, other)),
    )
