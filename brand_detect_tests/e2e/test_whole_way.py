"""An analyst's whole way through the browser, with the real engines: from a video to a corrected report, and to a brand
that is found after its logo was cut out of a frame."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pytest
from playwright.sync_api import Browser, Page, expect

from brand_detect.evaluation.synthetic.footage import Scenario, Truth, write_sample
from brand_detect_tests.support.browser import faults, sound_page
from brand_detect_tests.support.stack import Stack, until

pytestmark = pytest.mark.slow
LOGO = "Fjorda"
CLIP = Scenario(seconds=20, logos=(LOGO,), brands=("Eurosport", "Emirates", "Rolex", "Hisense"), boards=7)
PATIENCE_MS = 600_000
SAMPLE_FPS = 2


@pytest.fixture(scope="module")
def stack(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:  # noqa: ARG001 no browser, no need
    made = Stack(tmp_path_factory.mktemp("way"), module="brand_detect.definitions")
    (made.folder / "brands.yaml").write_text("".join(f"- {brand}\n" for brand in CLIP.brands), encoding="utf-8")
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="module")
def video(stack: Stack) -> tuple[Path, Truth]:
    path = stack.folder.parent / "Final, 1st half.mp4"
    return path, write_sample(path, CLIP)


def logo_at(truth: Truth) -> tuple[int, list[int]]:
    """The sampled frame that shows the logo best, and the logo's left, top, width and height there, px."""
    boxes = truth.boxes[(truth.boxes[:, 1] == truth.brands.index(LOGO)) & (truth.boxes[:, 10] >= 1)]
    boxes = boxes[boxes[:, 0] % (truth.fps / SAMPLE_FPS) < 1]
    corners = boxes[:, 2:10].reshape(-1, 4, 2)
    best = int(np.ptp(corners[:, :, 1], axis=1).argmax())
    (left, top), (right, bottom) = corners[best].min(axis=0), corners[best].max(axis=0)
    frame = round(float(boxes[best, 0]) / truth.fps * SAMPLE_FPS)
    return frame, [round(float(n)) for n in (left, top, right - left, bottom - top)]


@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_from_a_video_to_a_corrected_report_and_a_new_brand(
    browser: Browser, stack: Stack, video: tuple[Path, Truth], width: int, tmp_path: Path
):
    path, truth = video
    mine = tmp_path / f"{path.stem} {width}.mp4"  # the same video twice would be one job
    mine.write_bytes(path.read_bytes() + width.to_bytes(8, "big"))
    with sound_page(browser, stack.service_url) as page:
        page.set_viewport_size({"width": width, "height": 844})
        job = analysed(page, mine)
        played(page)
        corrected(page)
        downloaded(page)
        added(page, stack, job, truth)
        replayed(page, stack, job)


def analysed(page: Page, video: Path) -> str:
    """The id of the job that reports ``video``."""
    if page.locator("#new").get_attribute("open") is None:  # without jobs it is open
        page.get_by_text("New analysis").press("Enter")
    page.locator("#file").set_input_files(video)
    page.get_by_role("button", name="Analyse", exact=True).click()
    job = page.locator(".job").first
    expect(job).to_contain_text(video.stem.split(",")[0], timeout=PATIENCE_MS)
    expect(job).to_contain_text(re.compile(r"\d+ of \d+ "), timeout=PATIENCE_MS)
    expect(job.get_by_role("link", name="Report")).to_be_visible(timeout=PATIENCE_MS)
    assert faults(page) == []
    job.get_by_role("link", name="Report").click()
    page.wait_for_url("**/reports/*")
    for brand in CLIP.brands:
        expect(page.locator("#top").get_by_text(brand)).to_be_visible()
    return page.url.rsplit("/", 1)[1].split("?")[0]


def played(page: Page) -> None:
    page.locator("body.plays").wait_for()
    page.locator('.track[aria-label*="Rolex"] .bar').first.click()
    page.get_by_role("button", name="Play", exact=False).first.click()
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.2")
    assert faults(page) == []
    page.keyboard.press("Escape")  # on a phone the panel lies over the timeline


def corrected(page: Page) -> None:
    """Rejects an exposure, renames one, names a cluster with all alike, dismisses one, and applies it."""
    panel = page.locator("#panel")
    page.get_by_label("Your name").fill("Mia")
    page.locator('.track[aria-label*="Rolex"] .bar').first.click()
    panel.get_by_role("button", name="Wrong", exact=True).click()
    page.keyboard.press("Escape")
    page.locator('.track[aria-label*="Hisense"] .bar').first.click()
    panel.get_by_label("Other brand").fill("Hisense TV")
    panel.get_by_label("Other brand").press("Enter")
    page.keyboard.press("Escape")
    named = page.locator("#unresolved figure", has_text="ZYMVORA").first
    named.get_by_label(re.compile("Brand of cluster")).fill("Zymvora")
    named.get_by_role("button", name=re.compile("Name")).last.click()  # with those alike, if there are any
    page.locator("#unresolved figure").last.get_by_role("button", name=re.compile("Dismiss")).first.click()
    apply = page.get_by_role("button", name=re.compile(r"Apply \d+ corrections"))
    expect(apply).to_be_enabled()
    apply.click()
    expect(page.get_by_role("button", name="Nothing to apply")).to_be_visible(timeout=PATIENCE_MS)
    brands = page.locator("#table tbody th button:first-child")
    expect(brands.filter(has_text="Zymvora")).to_have_count(1)
    expect(brands.filter(has_text="Hisense TV")).to_have_count(1)
    assert faults(page) == []


def downloaded(page: Page) -> None:
    """The workbook and the clip of an exposure, opened by readers that are not the project's."""
    page.locator("#files").scroll_into_view_if_needed()
    with page.expect_download() as workbook:
        page.get_by_role("link", name="report.xlsx").click()
    sheets = openpyxl.load_workbook(BytesIO(workbook.value.path().read_bytes()))
    assert "Zymvora" in [cell.value for row in sheets["Brands"].iter_rows() for cell in row]
    page.locator('.track[aria-label*="Emirates"] .bar').first.click()
    with page.expect_download() as clip:
        page.locator("#panel").get_by_role("link", name="Clip (MP4)").click()
    read, picture = cv2.VideoCapture(str(clip.value.path())).read()
    assert read
    assert picture.shape[:2] == (CLIP.height_px, CLIP.width_px)
    page.keyboard.press("Escape")


def added(page: Page, stack: Stack, job: str, truth: Truth) -> None:
    """A new brand with the logo that is cut out of a frame."""
    frame, sides = logo_at(truth)
    page.goto(f"{stack.service_url}/brand-list?cut=/reports/{job}/frames/{frame}.jpg")
    expect(page.locator("#frame img")).to_have_js_property("naturalWidth", CLIP.width_px)
    for side, value in zip(("Left", "Top", "Width", "Height"), sides, strict=True):
        page.get_by_label(f"{side} (pixels)").fill(str(value))
    page.get_by_role("button", name="Use this part as a logo").click()
    page.get_by_label("Name", exact=True).fill(LOGO)
    assert faults(page) == []
    page.locator("#add").get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#said")).to_contain_text(f"{LOGO} is on the list, with ")


def replayed(page: Page, stack: Stack, job: str) -> None:
    """The brand is found in the job, matched again."""
    page.goto(f"{stack.service_url}/reports/{job}/replay")
    page.get_by_role("radio", name="Match brands").check()
    page.get_by_role("button", name="Replay", exact=True).click()
    page.wait_for_url(f"{stack.service_url}/")

    def is_found() -> bool:
        page.goto(f"{stack.service_url}/reports/{job}")
        return page.locator("#table tbody th button:first-child").filter(has_text=LOGO).count() == 1

    until(is_found, "the replay has found the logo")
    page.locator(f'.track[aria-label*="{LOGO}"] .bar').first.click()
    expect(page.locator("#panel")).to_contain_text("logo")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")
