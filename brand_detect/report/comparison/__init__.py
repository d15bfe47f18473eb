"""Comparison of two reports, as a document and in Markdown."""

from brand_detect.report.comparison.compare import compare
from brand_detect.report.comparison.document import BrandChange, Comparison, Outcome, Place, Stretch, in_short
from brand_detect.report.comparison.markdown import in_words, outcome_in_words, settings
from brand_detect.report.comparison.sides import Side, StageFacts

__all__ = [
    "BrandChange",
    "Comparison",
    "Outcome",
    "Place",
    "Side",
    "StageFacts",
    "Stretch",
    "compare",
    "in_short",
    "in_words",
    "outcome_in_words",
    "settings",
]
