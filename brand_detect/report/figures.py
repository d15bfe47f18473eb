"""The figures of a brand: their headings, explanations and formats on the page."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from brand_detect.domain.catalog import BrandKind
from brand_detect.domain.contracts.compile_report import ZONES, BrandTotal, Exposure
from brand_detect.report.words import duration, fixed, has_placement, percent, placement_words, short


class Figure(NamedTuple):
    """A column of the brand table. ``key`` is a field of ``BrandTotal``, ``kind`` how its values are written.

    ``source`` names a publication; without one, the definition is this project's own.
    """

    key: str
    head: str
    kind: str  # text | placement | seconds | share | count | score | zones | money
    unit: str
    meaning: str
    source: str = ""


FIGURES = (
    Figure("brand", "Brand", "text", "", "Name in the catalogue."),
    Figure(
        "seconds",
        "On screen",
        "seconds",
        "seconds, with low and high",
        "Time with the brand in the picture; every instant counts once, however many boxes show it. Low counts what "
        "is sure; high adds unresolved clusters that resemble the brand and edges as far as sampling allows.",
    ),
    Figure("screen_share", "Share of time", "share", "% of the range", "Time on screen divided by the reported range."),
    Figure(
        "share_of_voice",
        "Share of voice",
        "share",
        "% of all brands' time",
        "Time on screen divided by the sum over all brands.",
    ),
    Figure(
        "n_exposures", "Exposures", "count", "count", "Number of times that the brand was on screen without a break."
    ),
    Figure("longest_s", "Longest", "seconds", "seconds", "Length of the longest exposure."),
    Figure("mean_s", "Mean length", "seconds", "seconds", "Mean length of an exposure."),
    Figure(
        "area_frac_mean",
        "Mean size",
        "share",
        "% of the picture",
        "Share of the picture covered by all boxes of the brand, overlaps counted once; mean over time.",
    ),
    Figure(
        "area_frac_max",
        "Largest size",
        "share",
        "% of the picture",
        "Largest share of the picture covered at any time.",
    ),
    Figure(
        "position",
        "Position",
        "zones",
        "0 to 1",
        "Position in the picture, by time in each of nine fields; the figure weighs centre, edge and corner by the "
        "quality scale.",
    ),
    Figure(
        "clarity",
        "Clarity",
        "score",
        "0 to 1",
        "Legibility: height of the lettering, sharpness, contrast and confidence.",
        "sharpness as variance of the Laplacian, Pech-Pacheco et al., ICPR 2000; RMS contrast, Peli, JOSA A 7, 1990",
    ),
    Figure(
        "visible_frac",
        "Visibility",
        "share",
        "% of the logo",
        "Share of the logo or lettering that is neither occluded nor cut off by the picture's edge.",
    ),
    Figure(
        "exclusive_s",
        "Exclusive",
        "seconds",
        "seconds",
        "Time on screen with no other brand in the picture.",
    ),
    Figure(
        "placement",
        "Placement",
        "placement",
        "",
        "The placement with most of the brand's seconds: a board, clothing, an overlay, …, by how it moves or "
        "by a model's answer. Unknown where neither the camera nor the brand moves.",
    ),
    Figure(
        "quality",
        "Quality",
        "score",
        "0 to 1",
        "Weighted mean of size, position, clarity, visibility, exclusive share and duration, by the quality scale.",
        "the scale named below the table, with its weights; none are published as a standard",
    ),
    Figure(
        "media_value",
        "Advertising equivalent",
        "money",
        "currency",
        "Cost of the same time as advertising at the given rate, adjusted for size and quality by the scale: our "
        "assumption, not a measurement. All brands together never exceed the price of the time.",
        "advertising value equivalency, which AMEC's Barcelona Principles (2010) do not accept as a measure of value",
    ),
    Figure("kind", "Kind", "text", "", "Whose name it is, by the catalogue: a brand's, a league's, a club's, …"),
    Figure("categories", "Category", "text", "", "The brand's categories in the catalogue."),
    Figure("country", "Country", "text", "ISO 3166-1", "Where the brand is at home, by the catalogue."),
)


LEADING = (
    *("brand", "seconds", "share_of_voice", "n_exposures", "quality", "media_value", "placement", "exclusive_s"),
    *("area_frac_mean", "visible_frac"),
)
"""Columns by importance."""
MOST_LEADING = 8


def figures_of(
    brands: Sequence[BrandTotal], exposures: Iterable[Exposure], with_media_value: bool
) -> tuple[Figure, ...]:
    """The columns with content: placement only if one is known, media value only if a rate is set, and so on."""
    shown = {
        "placement": has_placement(e.placement for e in exposures),
        "media_value": with_media_value,
        "kind": any(brand.kind is not BrandKind.brand for brand in brands),
        "categories": any(brand.categories for brand in brands),
        "country": any(brand.country for brand in brands),
    }
    return tuple(figure for figure in FIGURES if shown.get(figure.key, True))


def leading(figures: Iterable[Figure]) -> list[str]:
    """Keys of the columns that the page shows at first."""
    keys = {figure.key for figure in figures}
    return [key for key in LEADING if key in keys][:MOST_LEADING]


def written(value: Any, kind: str) -> str:
    """A figure in the table's format; a dash if it was not measured."""
    if value is None or value != value:
        return "–"
    if kind == "seconds":
        return duration(value)
    if kind == "share":
        return percent(value)
    if kind in ("score", "zones"):
        return str(fixed(value, 2))
    if kind == "placement":
        return placement_words(value)
    if kind == "money":
        return f"{fixed(value, 0):,}"
    if isinstance(value, list | tuple):
        value = ", ".join(value)
    return short(str(value))


def zone_shares(exposures: list[Exposure]) -> dict[str, float]:
    """Share of the exposures' time in each of ``ZONES``."""
    seconds: dict[str, float] = dict.fromkeys(ZONES, 0.0)
    for exposure in exposures:
        seconds[exposure.zone] += exposure.seconds
    total = sum(seconds.values())
    return {zone: s / total if total else 0.0 for zone, s in seconds.items()}
