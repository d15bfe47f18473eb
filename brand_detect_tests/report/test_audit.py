"""The pages beside the report, audited in a real browser: the report's own audit is with its other tests."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from brand_detect.domain.catalog import Brand, BrandCatalog, Exemplar
from brand_detect.domain.protocols import Rgba
from brand_detect.engines.canvas import OpenCvCanvas
from brand_detect.engines.image import OpenCvCodec
from brand_detect.report import catalog_page as brands_page
from brand_detect.report import curves, portfolio
from brand_detect.report.comparison import compare
from brand_detect_tests.report.test_comparison_page import AFTER, BEFORE, rendered
from brand_detect_tests.report.test_curves import PAGE
from brand_detect_tests.report.test_portfolio import brand, entry
from brand_detect_tests.support.browser import chromium, faults

SEASON = portfolio.portfolio([entry("a", brand("Nike", 30), brand("Itaú", 10)), entry("b", brand("Itaú", 5), day=2)])
LOGO = Exemplar("0f" * 8, "png")
BRAND = Brand("nike", "Nike", exemplars=(LOGO,))


def brands() -> str:
    def square(_: Exemplar, size_px: int) -> Rgba:
        picture = np.zeros((size_px, size_px, 4), np.uint8)
        picture[size_px // 4 : -size_px // 4, size_px // 4 : -size_px // 4] = 255
        return picture

    return brands_page.render(BrandCatalog("1", (BRAND,)), [BRAND], square, OpenCvCanvas(), OpenCvCodec())


PAGES = {
    "brands": brands,
    "comparison": lambda: rendered(compare(BEFORE, AFTER)),
    "curves": lambda: curves.render(PAGE),
    "portfolio": lambda: portfolio.render(SEASON),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_inaccessible(browser: Browser, tmp_path: Path, name: str, scheme: str) -> None:
    path = tmp_path / f"{name}.html"
    path.write_text(PAGES[name](), encoding="utf-8")
    page = browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(path.as_uri())
    assert faults(page) == []
    page.close()
