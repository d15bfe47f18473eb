"""Stage 5: matches tracks to brands, and clusters unresolved ones."""

from brand_detect.stages.match_brands.match import match_brands

__all__ = ["match_brands"]
