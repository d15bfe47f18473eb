"""The brand catalogue: the user's list read and checked, its snapshots, and the index that finds brands in texts."""

from brand_detect.catalog.index import LexiconIndex
from brand_detect.catalog.source import LoadedCatalog, catalog_from_json, catalog_to_json, load_catalog, parse_catalog

__all__ = ["LexiconIndex", "LoadedCatalog", "catalog_from_json", "catalog_to_json", "load_catalog", "parse_catalog"]
