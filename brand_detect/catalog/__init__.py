"""The brand catalogue: the user's list read and checked, its JSON form, and the index that finds brands in texts.

Where snapshots lie is ``storage``'s; which rule and score make a match is decided in ``stages.match_brands``.
"""

from brand_detect.catalog.index import LexiconIndex
from brand_detect.catalog.source import LoadedCatalog, catalog_from_json, catalog_to_json, load_catalog, parse_catalog

__all__ = ["LexiconIndex", "LoadedCatalog", "catalog_from_json", "catalog_to_json", "load_catalog", "parse_catalog"]
