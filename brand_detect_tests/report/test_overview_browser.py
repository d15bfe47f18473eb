"""Choosing reports on the page of all jobs, to compare them and to sum them up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from brand_detect.api import create_app
from brand_detect.domain.settings import Settings
from brand_detect_tests.support.browser import chromium, faults, sound_page
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip
from brand_detect_tests.support.servers import serving
from brand_detect_tests.test_api_jobs import ScriptedClient


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overview")
    with pipeline(folder) as built:
        for name, seconds in (("first", 2.0), ("second", 3.0), ("third", 2.5)):
            built.runner.submit(str(two_shot_clip(folder / f"{name}.mp4", seconds=seconds)), job_id=name)
        built.runner.replay("first", "compile_report")
    return folder / "store"


@pytest.fixture(scope="module")
def browser(store: Path) -> Iterator[Browser]:  # noqa: ARG001 - Dagster runs before the browser has an event loop
    with chromium() as started:
        yield started


@pytest.fixture
def page(store: Path, browser: Browser) -> Iterator[Page]:
    app = create_app(ScriptedClient(), Settings(store_root=str(store)))
    with serving(app) as address, sound_page(browser, f"{address}/") as page:
        yield page


def test_chosen_reports_are_compared_and_summed_up(page: Page):
    for name in ("first.mp4", "second.mp4"):
        page.get_by_role("checkbox", name=f"Choose {name}").press("Space")
    expect(page.locator("#chosen-reports")).to_contain_text("2 reports are chosen.")
    assert faults(page) == []
    page.get_by_role("link", name="Compare", exact=True).click()
    expect(page.get_by_role("heading", name="Comparison")).to_be_visible()
    expect(page.locator("body")).to_contain_text("second.mp4")
    page.go_back()
    page.get_by_role("checkbox", name="Choose third.mp4").check()
    expect(page.locator("#chosen-reports")).to_contain_text("3 reports are chosen.")
    expect(page.locator("#compare")).to_have_text("Compare (choose two)")
    expect(page.locator("#compare")).to_be_disabled()
    page.locator("#compare").click(force=True)
    assert page.url.endswith("/")
    page.get_by_role("link", name="Sum up").click()
    expect(page.get_by_role("heading", name="Brands over 3 videos")).to_be_visible()
    expect(page.locator(".trend rect")).to_have_count(3)
    assert faults(page) == []
    with page.expect_download() as download:
        page.get_by_role("link", name="brands.csv").click()
    assert download.value.path().read_text("utf-8-sig").startswith("brand_id,brand,seconds")


def test_a_video_is_left_out_of_the_totals_by_keyboard_and_counts_again(page: Page):
    page.goto(page.url + "portfolio")
    page.get_by_role("checkbox", name="Leave out second.mp4").press("Space")
    page.get_by_role("button", name="Sum up without the ticked videos").press("Enter")
    expect(page.get_by_role("heading", name="Brands over 2 videos")).to_be_visible()
    assert "without=second" in page.url
    assert faults(page) == []
    with page.expect_download() as download:
        page.get_by_role("link", name="videos.csv").click()
    assert "second.mp4" not in download.value.path().read_text("utf-8-sig")
    page.get_by_role("checkbox", name="Leave out first.mp4").check()
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="Brands over 1 video")).to_be_visible()
    page.get_by_role("checkbox", name="second.mp4").uncheck()
    page.get_by_role("button", name="Sum up again").click()
    expect(page.get_by_role("heading", name="Brands over 2 videos")).to_be_visible()
    assert "without=second" not in page.url


def test_on_a_phone_the_totals_fit_the_screen(page: Page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(page.url + "portfolio")
    for region in page.get_by_role("region").all():
        assert region.evaluate("region => region.scrollWidth - region.clientWidth") == 0
    label = "cell => getComputedStyle(cell, '::before').content"
    assert page.locator("tbody td").nth(2).evaluate(label) == '"Share of screen time"'
    assert faults(page) == []


def test_a_report_is_compared_with_the_one_before_where_there_is_one(page: Page):
    before = page.get_by_role("link", name="Compare with the one before")
    page.get_by_role("checkbox", name="Choose third.mp4").check()
    expect(page.locator("#chosen-reports")).to_contain_text("1 report is chosen. Choose another to compare them.")
    expect(before).to_be_hidden()
    page.get_by_role("checkbox", name="Choose first.mp4").check()
    expect(page.get_by_role("link", name="Compare", exact=True)).to_be_visible()
    page.get_by_role("checkbox", name="Choose third.mp4").uncheck()
    before.click()
    expect(page.get_by_role("heading", name="Comparison")).to_be_visible()
    assert page.url.endswith("/compare?job=first")
    page.go_back()
    expect(page.locator("#chosen-reports")).to_have_text(
        "1 report is chosen. Compare with the one before Choose none", use_inner_text=True
    )


def test_a_page_that_cannot_be_shown_says_why_and_leads_back(page: Page):
    page.goto(f"{page.url}compare?job=third")
    expect(page.locator("body")).to_contain_text(
        "third has only one report so far: there is nothing to compare it with."
    )
    assert faults(page) == []
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_role("heading", name="Brand reports")).to_be_visible()
