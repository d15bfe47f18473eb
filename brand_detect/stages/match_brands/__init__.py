"""Stage 5: name the brands of tracks, and cluster what no rule settles."""

from brand_detect.stages.match_brands.match import match_brands

__all__ = ["match_brands"]
