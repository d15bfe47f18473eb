"""The report page and the Dagster UI in a real browser."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Request, expect

from brand_detect_tests.support.browser import chromium
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip
from brand_detect_tests.support.stack import PATIENCE_S, Stack, until


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``DAGSTER_HOME`` with one finished job."""
    folder = tmp_path_factory.mktemp("home")
    clip = two_shot_clip(folder / "match.mp4")
    with pipeline(folder, kept=True) as built:
        built.runner.submit(str(clip), job_id="match")
    return folder


@pytest.fixture(scope="module")
def browser(home: Path) -> Iterator[Browser]:  # noqa: ARG001 the job runs before an event loop does
    with chromium() as started:
        yield started


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


@pytest.fixture(scope="module")
def ui(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:  # noqa: ARG001 no browser, no need
    """A running Dagster with one finished job."""
    stack = Stack(tmp_path_factory.mktemp("ui"), own_processes=False)
    try:
        stack.start()
        with stack.client() as client:
            video = two_shot_clip(stack.folder / "match.mp4")
            client.wait(client.submit(str(video), job_id="match").run_id, PATIENCE_S)
        yield stack
    finally:
        stack.stop()


def test_the_ui_shows_a_stage_with_its_picture(browser: Browser, ui: Stack):
    page = browser.new_page(viewport={"width": 1500, "height": 1200})
    page.goto(f"{ui.url}/assets/detect_objects?view=partitions&partition=match")
    page.get_by_text("regions", exact=True).first.wait_for(timeout=30_000)
    for entry in ("detector_calls", "stage_s", "params", "upstream", "picture"):
        assert page.get_by_text(entry, exact=True).first.is_visible(), entry


def test_the_ui_follows_a_run_over_a_websocket(browser: Browser, ui: Stack):
    with ui.client() as client:
        run = client.runs("match")[-1]
    page = browser.new_page(viewport={"width": 1500, "height": 1200})
    heard: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: heard.append(str(frame))))
    page.goto(f"{ui.url}/runs/{run.run_id}")
    page.get_by_text("RUN_SUCCESS", exact=True).first.wait_for(timeout=30_000)
    assert any("RunSuccessEvent" in frame for frame in heard)


def test_the_launchpad_replays_from_a_stage_and_explains_what_is_wrong(browser: Browser, ui: Stack):
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    page.goto(f"{ui.url}/asset-groups")
    page.locator(".CodeMirror").first.click()
    page.keyboard.type("key:match_brands+")
    page.keyboard.press("Enter")
    page.get_by_text("escalate_vlm", exact=True).first.wait_for(timeout=30_000)  # groups are folded until few are left
    expect(page.get_by_text("extract_frames", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Materialize").first.click(modifiers=["Shift"])
    chosen: list[Request] = []

    def note(request: Request) -> None:
        if "ConfigPartitionForAssetJobQuery" in (request.post_data or ""):
            chosen.append(request)

    page.on("request", note)

    def choose_job() -> bool:
        """The launchpad drops what was typed before it knew the jobs; it asks for the config of the one it took."""
        page.get_by_placeholder("Partition").fill("match")
        page.keyboard.press("Enter")
        page.wait_for_timeout(500)
        return bool(chosen)

    until(choose_job, "the job is chosen")

    def configure(text: str) -> None:
        page.locator(".CodeMirror").last.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(text)

    configure("ops:\n  match_brands:\n    config:\n      min_confidense: 0.99\n")
    page.get_by_text('unexpected config entry "min_confidense"').wait_for(timeout=20_000)
    configure("ops:\n  match_brands:\n    config:\n      min_confidence: 0.99\n")
    expect(page.get_by_text("unexpected config entry")).to_have_count(0, timeout=20_000)
    page.get_by_text("No errors").wait_for(timeout=20_000)
    page.get_by_role("button", name="Materialize").last.click()

    with ui.client() as client:
        until(lambda: len(client.runs("match", 10)) == 2, "the replay is launched")
    made = ui.store / "match"
    until(lambda: len(list(made.glob("compile_report/*/manifest.json"))) == 2, "the replay's report is there")
    manifests = [json.loads(p.read_text()) for p in made.glob("match_brands/*/manifest.json")]
    assert sorted(m["params"]["min_confidence"] for m in manifests) == [0.6, 0.99]
    assert len(list(made.glob("run_ocr/*/manifest.json"))) == 1, "what lies above was not made again"
