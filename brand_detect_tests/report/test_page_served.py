"""The real page before the real service: what is said in the one is kept, applied and shown by the other."""

import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from brand_detect.api import create_app
from brand_detect.client import Client, Run
from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.protocols import Area, Image, Region
from brand_detect.domain.settings import Settings
from brand_detect.orchestration.run import Runner
from brand_detect_tests.support.browser import chromium, faults
from brand_detect_tests.support.pipeline import ScriptedDetector, pipeline, two_shot_clip
from brand_detect_tests.support.servers import free_port, wait_for

KEY = "geheim"


class TwoBoards(ScriptedDetector):
    """Sees two lines of text on every picture, one over the other."""

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:  # noqa: ARG002
        height, width = image.shape[:2]
        size = np.array([width, height], np.float32)
        corners = [np.array([[0.1, y], [0.45, y], [0.45, y + 0.15], [0.1, y + 0.15]]) for y in (0.1, 0.3)]
        return [Region(RegionKind.text, "", 0.9, (quad * size).astype(np.float32)) for quad in corners]


class Replays(Client):
    """Makes the report again in this process, while it is asked to."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner

    def replay(self, job_id: str, start_stage: str, *_: Any, **__: Any) -> Run:
        self._runner.replay(job_id, start_stage)
        return self.run("r1")

    def run(self, run_id: str) -> Run:
        return Run(run_id, "match", "success", (), 1.0, None, None, "", None)

    def looks(self, run_id: str) -> Iterator[tuple[Run, float]]:
        yield self.run(run_id), 0.0


JOBS = ("match", "second", "third")
"""One for each test."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[Page]]:
    """The login page in front of each job, whose first shot shows ROLEX on two boards."""
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    with pipeline(folder, region_detectors=lambda *_: [TwoBoards()]) as built:
        clip = two_shot_clip(folder / "match.mp4", seconds=2.0)
        for job_id in JOBS:  # before the browser: it runs an event loop
            built.runner.submit(str(clip), job_id=job_id)
        app = create_app(Replays(built.runner), Settings(store_root=str(folder / "store")), api_key=KEY)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
        thread = threading.Thread(target=server.run)
        thread.start()
        wait_for(port, 20)
        try:
            with chromium() as browser:
                yield (_opened(browser, f"http://127.0.0.1:{port}/reports/{job_id}") for job_id in JOBS)
        finally:
            server.should_exit = True
            thread.join()


def _opened(browser: Browser, address: str) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    return page


@pytest.fixture
def page(pages: Iterator[Page]) -> Iterator[Page]:
    page = next(pages)
    yield page
    page.close()


def test_one_of_two_boards_is_rejected_and_the_page_shows_what_is_left(page: Page) -> None:
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.locator("input[type=password]").fill(KEY)
    page.keyboard.press("Enter")
    page.get_by_label("Your name").fill("Mia")
    page.locator(".track .bar").first.click()
    panel = page.locator("#panel")
    before = panel.get_by_text("of the picture at most").inner_text()
    assert "4 detections" in before
    panel.get_by_label("Which box").select_option(index=2)
    expect(panel.locator(".box[data-own].other")).to_have_count(1)
    panel.get_by_role("button", name="Wrong", exact=True).click()
    expect(panel.locator(".badge.pending")).to_have_text("rejected (one box), pending")
    assert "rejected" not in (page.locator(".track .bar").first.get_attribute("class") or "")
    page.get_by_role("button", name="Apply 1 correction").click()
    expect(page.get_by_role("button", name="Nothing to apply")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("button", name="Corrections (1)")).to_be_visible()
    page.locator(".track .bar").first.click()
    expect(panel.get_by_text("of the picture at most")).to_contain_text("2 detections")
    expect(panel.get_by_label("Which box")).to_have_count(0)
    assert broken == []


def test_an_audit_finds_nothing_inaccessible_in_what_is_served(page: Page) -> None:
    assert faults(page) == []  # the login
    page.locator("input[type=password]").fill(KEY)
    page.keyboard.press("Enter")
    page.get_by_label("Your name").fill("Mia")
    page.locator(".track .bar").first.click()
    page.locator("#panel").get_by_role("button", name="Wrong", exact=True).click()
    expect(page.locator("#panel .badge.pending")).to_be_visible()
    assert faults(page) == []
    page.get_by_role("button", name="Corrections (1)").click()
    assert faults(page) == []
    page.goto(f"{page.url.partition('/reports')[0]}/reports")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert faults(page) == []


def test_a_login_that_ran_out_loses_nothing(page: Page) -> None:
    page.locator("input[type=password]").fill(KEY)
    page.keyboard.press("Enter")
    page.get_by_label("Your name").fill("Mia")
    page.locator(".track .bar").first.click()
    page.context.clear_cookies()
    page.locator("#panel").get_by_label("Other brand").fill("Acme")
    page.locator("#panel").get_by_role("button", name="Rename").click()
    expect(page.locator("#dock")).to_contain_text("It was not saved. The service requires its key.")
    with page.context.expect_page() as opened:
        page.locator("#dock").get_by_role("link", name="Log in").click()
    opened.value.locator("input[type=password]").fill(KEY)
    opened.value.keyboard.press("Enter")
    opened.value.wait_for_url(re.compile(r"/(reports)?$"))
    page.locator("#panel").get_by_role("button", name="Rename").click()
    expect(page.locator("#dock")).to_contain_text("Saved.")
