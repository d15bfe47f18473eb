"""Ranks the clusters that are listed as unresolved."""

from collections.abc import Iterator, Sequence

from brand_detect.domain.contracts.verdicts import Cluster
from brand_detect.domain.protocols import BrandIndex, Likeness

NEAR_BY_TEXT, NEAR_BY_LOGO = 5, 3  # most brands that a cluster resembles: hints for a person or a model


def ranked(texts: Sequence[Cluster], logos: Sequence[Cluster]) -> list[Cluster]:
    """Clusters by rank: those with text by seconds on screen times mean area, then ``logos`` as they come."""
    by_size = sorted(texts, key=lambda c: (-c.seconds * c.area_frac, c.cluster_id))
    return [c.model_copy(update={"rank": rank}) for rank, c in enumerate([*by_size, *logos], start=1)]


def with_candidates(
    clusters: Sequence[Cluster], likenesses: Sequence[Sequence[Likeness]], index: BrandIndex
) -> Iterator[Cluster]:
    """Adds to each cluster the brands that it resembles: by text, then by logo."""
    for cluster, alike in zip(clusters, likenesses, strict=True):
        names = [*index.near(cluster.text, NEAR_BY_TEXT), *(likeness.brand for likeness in alike[:NEAR_BY_LOGO])]
        yield cluster.model_copy(update={"candidates": tuple(dict.fromkeys(names))})
