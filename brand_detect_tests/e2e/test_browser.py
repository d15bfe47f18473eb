"""The report page and the Dagster UI in a real browser."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Request, sync_playwright

from brand_detect_tests.e2e.conftest import free_port, wait_for
from brand_detect_tests.pipeline import pipeline, two_shot_clip

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``DAGSTER_HOME`` with one finished job."""
    folder = tmp_path_factory.mktemp("home")
    clip = two_shot_clip(folder / "match.mp4")
    with pipeline(folder) as built:
        built.runner.submit(str(clip), job_id="match")
    return folder


@pytest.fixture(scope="module")
def browser(home: Path) -> Iterator[Browser]:  # noqa: ARG001 the job runs before an event loop does
    """Debian's Chromium. Without it these tests are left out, on CI they fail."""
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("chromium is not installed: apt-get install chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield started
        started.close()


def test_the_page_opens_from_disk_and_asks_nobody(browser: Browser, home: Path):
    [path] = (home / "store" / "match" / "compile_report").glob("*/report.html")
    page = browser.new_page(viewport={"width": 390, "height": 800})
    asked: list[Request] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    assert [r.url for r in asked if not r.url.startswith(("file:", "data:"))] == []
    assert said == []
    assert page.get_by_text("Rolex").first.is_visible()
    assert page.get_by_text("ACME WIDGETS").first.is_visible()
    pictures = page.locator("img")
    assert pictures.count() > 0
    assert all(pictures.nth(n).evaluate("e => e.complete && e.naturalWidth > 0") for n in range(pictures.count()))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "the phone has to scroll sideways"


def test_the_ui_shows_a_stage_with_its_picture(browser: Browser, home: Path, checkout: Path):
    port = free_port()
    environment = os.environ | {"DAGSTER_HOME": str(home), "BRAND_DETECT_STORE_ROOT": str(home / "store")}
    server = subprocess.Popen(
        [Path(sys.executable).with_name("dagster-webserver"), "-w", checkout / "workspace.yaml", "-p", str(port)],
        cwd=checkout,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, 60)
        page = browser.new_page(viewport={"width": 1500, "height": 1200})
        page.goto(f"http://127.0.0.1:{port}/assets/detect_objects?view=partitions&partition=match")
        page.get_by_text("regions", exact=True).first.wait_for(timeout=30_000)
        for entry in ("detector_calls", "stage_s", "params", "upstream", "picture"):
            assert page.get_by_text(entry, exact=True).first.is_visible(), entry
    finally:
        server.terminate()
        server.wait(20)
