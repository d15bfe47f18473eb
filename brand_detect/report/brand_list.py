"""The page of the brand list: proposals to decide, new brands and logos, and the reports that they would change."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from brand_detect.domain.catalog import BrandKind
from brand_detect.report.home import file, script_of
from brand_detect.report.pages import template

SHOWN = 6
"""Proposals that the page shows at first: the list of brands stands below them."""


def render_brand_list(
    page: Mapping[str, Any],
    proposals: Sequence[Mapping[str, Any]],
    damaged: Sequence[str],
    asked: str,
    kinds: Sequence[str],
    suffixes: Sequence[str],
    countries: Sequence[str],
    may_make_own: bool,
) -> tuple[str, list[str]]:
    """The page, and its scripts.

    ``page`` and ``proposals`` are as ``GET /brands`` and ``GET /proposals`` give them, ``damaged`` says which of the
    proposals' files are, ``asked`` is the search; ``may_make_own`` says whether the page can copy the packaged list.
    """
    script = script_of("brand_list")

    def address(number: int) -> str:
        query = urlencode({k: v for k, v in (("q", asked), ("page", number if number > 1 else "")) if v})
        return f"/brand-list?{query}" if query else "/brand-list"

    html = template("brand_list.html").render(
        **page,
        rows=[(brand, _about(brand)) for brand in page["brands"]],
        proposals=proposals,
        damaged=damaged,
        asked=asked,
        kinds=kinds,
        suffixes=suffixes,
        countries=countries,
        shown=SHOWN,
        may_make_own=may_make_own,
        address=address,
        style=file("home.css"),
        script=script,
    )
    return html, [script]


def _about(brand: Mapping[str, Any]) -> str:
    kind = brand["kind"] if brand["kind"] != BrandKind.brand else ""
    parts = (
        ", ".join(filter(None, (kind, *brand["categories"], *brand["sports"]))),
        brand["country"],
        brand["owner"],
        f"not {', '.join(brand['excluded_texts'])}" if brand["excluded_texts"] else "",
    )
    return " · ".join(filter(None, parts))
