"""Selects and ranks the clusters to list as unresolved."""

from collections.abc import Iterator, Mapping, Sequence

from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.contracts.verdicts import Cluster
from brand_detect.domain.protocols import BrandIndex, Likeness

NEAR_BY_TEXT, NEAR_BY_LOGO = 5, 3  # most brands that a cluster resembles: hints for a person or a model


def ranked(clusters: Sequence[Cluster], scores: Mapping[str, float], params: MatchBrandsParams) -> list[Cluster]:
    """The clusters to list, by rank: those with text by seconds on screen times mean area, then those without by
    detector score.

    Most logo regions without text are people, lines and posts, so at most ``max_unresolved_logos`` are listed, each on
    screen for at least ``min_unresolved_logo_s``.

    Args:
        scores: detector score by track.
    """
    by_size = sorted(clusters, key=lambda c: (-c.seconds * c.area_frac, c.cluster_id))
    logos = [c for c in by_size if not c.text and c.seconds >= params.min_unresolved_logo_s]
    logos.sort(key=lambda c: -max(scores[t] for t in c.track_ids))
    kept = [*(c for c in by_size if c.text), *logos[: params.max_unresolved_logos]]
    return [c.model_copy(update={"rank": rank}) for rank, c in enumerate(kept, start=1)]


def with_candidates(
    clusters: Sequence[Cluster], likenesses: Sequence[Sequence[Likeness]], index: BrandIndex
) -> Iterator[Cluster]:
    """Adds to each cluster the brands that it resembles: by text, then by logo."""
    for cluster, alike in zip(clusters, likenesses, strict=True):
        names = [*index.near(cluster.text, NEAR_BY_TEXT), *(likeness.brand for likeness in alike[:NEAR_BY_LOGO])]
        yield cluster.model_copy(update={"candidates": tuple(dict.fromkeys(names))})
