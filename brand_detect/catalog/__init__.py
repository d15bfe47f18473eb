"""The brand catalogue: reads and validates the user's list, converts it to JSON, and indexes brands for lookup.

``storage`` stores snapshots; ``stages.match_brands`` decides which rule and score make a match.
"""

from brand_detect.catalog.index import LexiconIndex
from brand_detect.catalog.source import LoadedCatalog, catalog_from_json, catalog_to_json, load_catalog, parse_catalog

__all__ = ["LexiconIndex", "LoadedCatalog", "catalog_from_json", "catalog_to_json", "load_catalog", "parse_catalog"]
