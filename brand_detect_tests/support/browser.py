"""Debian's Chromium for tests of pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

# The shell draws pages alone, with no window around them: one costs 0.3 instead of 1 CPU s.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A started browser. Without Chromium the tests that ask for it are left out; on CI they fail."""
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("Chromium is not installed: apt-get install chromium-headless-shell")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@contextmanager
def sound_page(browser: Browser, address: str) -> Iterator[Page]:
    """The page at an address; whatever its script or its policy objects to fails the test at the end."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda said: broken.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto(address)
    yield page
    page.close()
    assert broken == []


def faults(page: Page) -> list[str]:
    """What axe-core finds inaccessible on the page as it stands: the rule and the first element that breaks it."""
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in Axe().run(page).response["violations"]]
