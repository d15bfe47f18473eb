"""From a video to its report in a real browser, over a real Dagster: upload, progress, cancel, retry, replay."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from brand_detect_tests.support.browser import faults, sound_page
from brand_detect_tests.support.pipeline import two_shot_clip
from brand_detect_tests.support.stack import Stack, until

PATIENCE_MS = 90_000


@pytest.fixture(scope="module")
def stack(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:  # noqa: ARG001 no browser, no need
    made = Stack(tmp_path_factory.mktemp("home"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """The page with all jobs."""
    with sound_page(browser, stack.service_url) as page:
        yield page


def open_form(page: Page) -> None:
    if page.locator("#new").get_attribute("open") is None:
        page.get_by_text("New analysis").press("Enter")


def choose(page: Page, *videos: Path) -> None:
    open_form(page)
    page.locator("#file").set_input_files(list(videos))


def test_from_a_video_to_its_report(page: Page, stack: Stack, tmp_path: Path):
    expect(page.get_by_text("There are no jobs yet.")).to_be_visible()
    assert faults(page) == []
    stack.tell("slow", "1.0")
    video = two_shot_clip(tmp_path / "Final 2026, 2nd half.mp4", seconds=6.0)
    choose(page, video)
    expect(page.locator("#chosen")).to_contain_text("Final 2026, 2nd half.mp4")
    page.get_by_role("button", name="Analyse", exact=True).press("Enter")
    job = page.locator(".job").first
    expect(job).to_contain_text("Final", timeout=PATIENCE_MS)
    expect(job).to_contain_text("Finding text and logos", timeout=PATIENCE_MS)
    expect(job).to_contain_text(
        re.compile(r"\d+ of \d+ frames, \d+\.\d a second, about \d+ s left"), timeout=PATIENCE_MS
    )
    stack.tell("slow", "15")  # the next picture takes until all of this was looked at
    picture = job.locator("img")  # what is stored of a job is looked at every ten seconds
    expect(picture).to_have_js_property("complete", True, timeout=PATIENCE_MS)
    assert picture.evaluate("e => e.naturalWidth") > 0
    page.get_by_role("button", name="Cancel Final").focus()
    page.wait_for_timeout(4500)  # two polls
    assert page.evaluate("document.activeElement.id").startswith("cancel-Final"), "the focus stays where it was"
    assert faults(page) == []
    stack.tell("slow", "")
    expect(job).to_contain_text("Rolex 3.0 s", timeout=PATIENCE_MS)
    expect(page.locator("#said")).not_to_be_empty()
    job.get_by_role("link", name="Report").click()
    page.wait_for_url("**/reports/Final_2026_2nd_half-*")
    expect(page.locator("#top").get_by_text("Rolex")).to_be_visible()
    [stored] = (stack.folder / ".state" / "uploads").glob("*/*.mp4")
    assert stored.read_bytes() == video.read_bytes()


def test_the_same_video_twice_is_said(page: Page, stack: Stack, tmp_path: Path):
    choose(page, two_shot_clip(tmp_path / "again.mp4", seconds=6.0))
    page.get_by_role("button", name="Analyse", exact=True).click()
    told = page.locator("#uploads [role=alert]")
    expect(told).to_contain_text("again.mp4 is here already, as the job Final_2026_2nd_half-", timeout=PATIENCE_MS)
    assert len(list((stack.folder / ".state" / "uploads").glob("*/*.mp4"))) == 1
    page.locator("#uploads").get_by_role("button", name="Close").click()
    expect(page.locator(".job")).to_have_count(1)


def test_a_job_is_cancelled_retried_and_replayed(page: Page, stack: Stack):
    video = two_shot_clip(stack.folder / "second.mp4", seconds=5.0)
    stack.tell("slow", "2.0")
    open_form(page)
    page.locator("#uri").fill(str(video))
    page.locator("#profile").select_option("fast")
    page.locator("#job-id").fill("second")
    page.get_by_role("button", name="Analyse", exact=True).click()
    job = page.locator("#job-second")
    expect(job).to_contain_text("Finding text and logos", timeout=PATIENCE_MS)
    job.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Keep it running").click()
    job.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(job).to_contain_text("Cancelled", timeout=PATIENCE_MS)
    stack.tell("slow", "")
    stack.tell("broken", "run_ocr")
    job.get_by_role("button", name="Retry").click()
    expect(job).to_contain_text("Failed while reading text", timeout=PATIENCE_MS)
    expect(job).to_contain_text("run_ocr is broken today. Mend it")
    stack.tell("broken", "")
    job.get_by_role("button", name="Retry").click()
    expect(job).to_contain_text("Rolex", timeout=PATIENCE_MS)
    attempts = {
        s: len(list((stack.store / "second" / s).glob("*/manifest.json"))) for s in ("extract_frames", "run_ocr")
    }
    assert attempts == {"extract_frames": 1, "run_ocr": 1}, "what had finished was kept"

    job.get_by_role("link", name="Replay").click()
    page.get_by_role("radio", name="Match brands").check()
    page.locator("[data-stage=match_brands] summary").click()
    field = page.locator("[id='match_brands.min_confidence']")
    field.fill("7")
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text(
        "match_brands.min_confidence: input should be less than or equal to 1"
    )
    assert faults(page) == []
    field.fill("0.55")
    expect(page.locator("#what")).to_have_text("4 of 8 steps run, with 1 changed setting.")
    page.get_by_role("button", name="Replay", exact=True).click()
    page.wait_for_url(f"{stack.service_url}/")

    def replayed() -> bool:
        found = (stack.store / "second" / "match_brands").glob("*/manifest.json")
        return 0.55 in [json.loads(path.read_text())["params"]["min_confidence"] for path in found]

    until(replayed, "the replay has run")


def test_a_phone_needs_not_scroll_sideways(browser: Browser, stack: Stack):
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    for address in ("/", "/?q=second&state=done", "/reports/second/replay"):
        page.goto(stack.service_url + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert faults(page) == []
    page.close()
