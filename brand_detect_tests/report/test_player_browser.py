"""The player on a served page in a real browser: it plays, goes to exposures, and draws boxes over the video."""

import re
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from brand_detect.api import create_app
from brand_detect.api.stored import MadeVideo
from brand_detect.client import Client
from brand_detect.domain.protocols import Rewritten
from brand_detect.domain.settings import Settings
from brand_detect.operations.exports import copy
from brand_detect.report.page import player
from brand_detect_tests.support.browser import chromium, faults, sound_page
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip
from brand_detect_tests.support.servers import serving
from brand_detect_tests.support.videos import write_clip
from brand_detect_tests.test_api_reports import MEANT

DRAWN = """([x, y]) => {
  const canvas = document.querySelector('.player canvas');
  const { data } = canvas.getContext('2d').getImageData(x * canvas.width - 5, y * canvas.height, 10, 1);
  return Array.from({ length: 10 }, (_, i) => [...data.slice(4 * i, 4 * i + 4)]).filter((color) => color[3] > 200);
}"""
"""Colours of the overlay around a place, given as shares of its width and height, where something is drawn."""


LINES = """() => {
  globalThis.fetch = async () => new Response(new ReadableStream({ start(lines) {
    globalThis.tell = (line) => lines.enqueue(new TextEncoder().encode(line + '\\n'));
    globalThis.lose = () => lines.error(new TypeError('network error'));
    globalThis.tell('{}');
  } }));
}"""
"""Answers the next request with the lines that the test tells."""

SHOWN = """() => {
  const pen = Object.assign(document.createElement('canvas'), { width: 16, height: 9 }).getContext('2d');
  pen.drawImage(document.querySelector('video'), 0, 0, 16, 9);
  const { data } = pen.getImageData(0, 0, 16, 9);
  return data.filter((_, i) => i % 4 !== 3).reduce((sum, value) => sum + value, 0) / (3 * 16 * 9);
}"""
"""Mean brightness of the picture that the video shows."""


EARLY = """(() => {
  const video = HTMLVideoElement.prototype, asks = video.requestVideoFrameCallback;
  video.requestVideoFrameCallback = function (then) {
    return asks.call(this, (at, frame) => then(at, { mediaTime: frame.mediaTime - 0.02 }));
  };
})()"""
"""Tells each picture's time a little too early, as a browser may of the first picture."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, str]]:
    """A browser, and the address of the reports: ``match``, ``late``, ``gone``, and two that no browser plays."""
    folder = tmp_path_factory.mktemp("player")
    with pipeline(folder) as built:
        dark = np.full((180, 320, 3), 60, np.uint8)
        dark[:, :160] = 10
        clips = {
            "match": two_shot_clip(folder / "match.mp4", seconds=6.0),
            "late": two_shot_clip(folder / "late.mp4", seconds=6.0, begin_s=2.0),
            "old": write_clip(folder / "old.mp4", [dark] * 40, fps=10, codec="mpeg4"),
            "tape": two_shot_clip(folder / "tape.avi", seconds=6.0, codec="mpeg4"),
            "gone": two_shot_clip(folder / "gone.mp4", seconds=3.0),
        }
        for job_id, clip in clips.items():
            built.runner.submit(str(clip), job_id=job_id)
    Path(clips["gone"]).unlink()
    settings = Settings(store_root=str(folder / "store"), media_roots=(str(folder),))
    with serving(create_app(Client(), settings)) as address, chromium() as browser:
        yield browser, f"{address}/reports"


def at_s(page: Page) -> float:
    return page.locator("video").evaluate("v => v.currentTime")


def test_the_video_plays_an_exposure_with_its_boxes(served: tuple[Browser, str]) -> None:
    browser, reports = served
    with sound_page(browser, f"{reports}/match") as page:
        page.locator("body.plays").wait_for()
        expect(page.locator(".still")).to_be_hidden()
        bar = page.locator(".track .bar").first
        bar.click()
        box = page.evaluate("fetch(globalThis.brandDetect.service.boxes + '&from_s=0&to_s=6').then(r => r.json())")
        [track] = [t for t in box["tracks"] if t["spans_s"][0][0] == 0]
        left, top, _, bottom = track["boxes"][0]
        edge = [left, (top + bottom) / 2]
        page.wait_for_function(f"() => ({DRAWN})({edge}).length > 0")
        color = page.locator(".swatch").first.evaluate("swatch => getComputedStyle(swatch).backgroundColor")
        assert [*map(int, re.findall(r"\d+", color)), 255] in page.evaluate(DRAWN, edge)
        assert page.evaluate(DRAWN, [0.9, 0.9]) == []
        page.get_by_label("Boxes").uncheck()
        assert page.evaluate(DRAWN, edge) == []
        page.get_by_label("Boxes").check()

        end = track["spans_s"][-1][1]
        page.get_by_role("button", name="Play", exact=False).click()
        page.wait_for_function("() => document.querySelector('video').paused === false")
        page.wait_for_function("() => document.querySelector('video').paused", timeout=15_000)
        assert at_s(page) == pytest.approx(end, abs=0.4)
        assert faults(page) == []


ROWS = [
    [0.1, 0.5, 0.2, 0.55],
    [0.15, 0.5, 0.25, 0.55],
    [0.2, 0.5, 0.3, 0.55],
    [0.1, 0.56, 0.3, 0.6],
    [0.7, 0.93, 0.8, 0.97],
]
"""Boxes close together, and one where the video's controls are."""
NOTED = """() => {
  const pen = CanvasRenderingContext2D.prototype;
  const of = { clearRect: () => { globalThis.boxes = []; globalThis.plates = []; },
    strokeRect: (...at) => globalThis.boxes.push(at), fillRect: (...at) => globalThis.plates.push(at) };
  for (const [name, note] of Object.entries(of)) {
    const draws = pen[name];
    pen[name] = function (...at) { note(...at); return draws.apply(this, at); };
  }
}"""
"""Notes what is drawn: each box twice, and the labels' plates; x, y, width and height in px."""


def meet(one: list[float], other: list[float]) -> bool:
    return all(one[i] < other[i] + other[i + 2] and other[i] < one[i] + one[i + 2] for i in (0, 1))


@pytest.mark.parametrize("width", [1280, 390])
def test_labels_hide_neither_boxes_nor_each_other(served: tuple[Browser, str], width: int) -> None:
    browser, reports = served
    tracks = [{"brand": 0, "confidence": 0.9, "spans_s": [[0, 6]], "t_s": [0], "boxes": [box]} for box in ROWS]
    with sound_page(browser, "about:blank") as page:
        page.set_viewport_size({"width": width, "height": 900})
        page.route("**/boxes?**", lambda route: route.fulfill(json={"tracks": tracks}))
        page.add_init_script(f"({NOTED})()")
        page.goto(f"{reports}/match")
        page.locator("body.plays").wait_for()
        page.wait_for_function("() => globalThis.boxes?.length === 10")
        assert (page.evaluate("plates") == []) is (width == 390), "on a phone the chosen brand alone has labels"
        page.evaluate(
            "document.dispatchEvent(new CustomEvent('exposure', { detail: { brand: 0, start_s: 1, end_s: 2 } }))"
        )
        page.wait_for_function("() => globalThis.plates?.length > 1")
        boxes, plates = page.evaluate("[boxes, plates]")
        assert len(boxes) == 10
        high = page.locator(".player").bounding_box()["height"]  # pyright: ignore[reportOptionalSubscript]
        for n, plate in enumerate(plates):
            assert not any(meet(plate, other) for other in [*plates[:n], *boxes])
            assert plate[1] + plate[3] <= high - 64


def test_the_timeline_leads_to_the_video_and_shows_where_it_is(served: tuple[Browser, str]) -> None:
    browser, reports = served
    with sound_page(browser, f"{reports}/match") as page:
        page.locator("body.plays").wait_for()
        shots = page.locator(".track.shots")
        place = shots.bounding_box()
        assert place is not None
        shots.click(position={"x": place["width"] * 0.75, "y": place["height"] / 2})
        page.wait_for_function("() => document.querySelector('video').currentTime > 4")
        assert at_s(page) == pytest.approx(4.5, abs=0.1)
        head = page.locator(".playhead").bounding_box()
        assert head is not None
        assert head["x"] == pytest.approx(place["x"] + place["width"] * 0.75, abs=4)


def test_a_video_whose_first_picture_comes_late_is_not_shifted(served: tuple[Browser, str]) -> None:
    browser, reports = served
    with sound_page(browser, f"{reports}/late") as page:
        page.add_init_script(EARLY)
        page.reload()
        page.locator("body.plays").wait_for()
        page.wait_for_function("() => document.querySelector('video').currentTime === 2")
        box = page.evaluate("fetch(globalThis.brandDetect.service.boxes + '&from_s=0&to_s=6').then(r => r.json())")
        [track] = [t for t in box["tracks"] if t["spans_s"][0][0] == 0]
        left, top, _, bottom = track["boxes"][0]
        drawn = f"() => ({DRAWN})({[left, (top + bottom) / 2]}).length > 0"
        page.wait_for_function(drawn)
        page.locator(".track .bar").first.click()
        page.wait_for_function(drawn)
        page.get_by_role("button", name="Play", exact=False).click()
        page.wait_for_function("() => document.querySelector('video').paused === false")
        page.wait_for_function("() => document.querySelector('video').paused", timeout=15_000)
        assert at_s(page) == pytest.approx(2 + track["spans_s"][-1][1], abs=0.4)
        shots = page.locator(".track.shots")
        place = shots.bounding_box()
        assert place is not None
        shots.click(position={"x": place["width"] * 0.75, "y": place["height"] / 2})
        page.wait_for_function("() => document.querySelector('video').currentTime > 6")
        assert at_s(page) == pytest.approx(2 + 4.5, abs=0.1)
        head = page.locator(".playhead").bounding_box()
        assert head is not None
        assert head["x"] == pytest.approx(place["x"] + place["width"] * 0.75, abs=4)


@pytest.mark.parametrize(
    ("job_id", "words"), [("old", "This browser does not play MPEG-4 Visual in MP4."), ("gone", "There is no file")]
)
def test_a_video_that_cannot_be_played_leaves_the_pictures(
    served: tuple[Browser, str], job_id: str, words: str
) -> None:
    browser, reports = served
    with sound_page(browser, f"{reports}/{job_id}") as page:
        says = page.locator("#screen [role=status]")
        expect(says).to_contain_text(words)
        expect(says).to_contain_text("A still picture of each exposure is shown instead.")
        expect(page.locator(".still img")).to_be_visible()
        assert page.locator("video").is_hidden()
        page.locator(".track .bar").first.click()
        expect(page.locator("#panel")).to_be_visible()
        expect(page.get_by_role("button", name="▶ Play")).to_be_hidden()


def test_the_video_stays_beside_what_is_corrected_on_a_phone_above_it(served: tuple[Browser, str]) -> None:
    browser, reports = served
    with sound_page(browser, f"{reports}/match") as page:
        page.locator("body.plays").wait_for()
        page.locator(".track .bar").first.click()
        video, panel = page.locator("video"), page.locator("#panel")
        expect(panel.get_by_role("button", name="Wrong", exact=True)).to_be_in_viewport(ratio=1)
        panel.evaluate("panel => panel.scrollTo(0, panel.scrollHeight)")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(video).to_be_in_viewport(ratio=1)
        above, below = video.bounding_box(), panel.bounding_box()
        assert above is not None
        assert below is not None
        assert above["y"] + above["height"] <= below["y"]
        assert above["x"] >= below["x"]
        assert faults(page) == []
        page.keyboard.press("Escape")
        expect(video).not_to_be_in_viewport()
        page.set_viewport_size({"width": 1000, "height": 900})
        page.locator(".track .bar").first.click()
        box = panel.bounding_box()
        assert box is not None
        assert box["y"] == 0
        page.keyboard.press("Escape")

        page.set_viewport_size({"width": 390, "height": 844})
        page.locator(".track .bar").first.click()
        panel.get_by_role("button", name="▶ Play").click()
        page.wait_for_function("() => document.querySelector('video').paused === false")
        expect(video).to_be_in_viewport(ratio=1)
        expect(panel.get_by_role("button", name="▶ Play")).to_be_in_viewport(ratio=1)
        panel.get_by_role("button", name="Close").click()
        expect(page.locator(".track .bar").first).to_be_focused()
        expect(page.locator(".track .bar").first).to_be_in_viewport()
        expect(video).not_to_be_in_viewport()


def test_the_video_with_boxes_is_drawn_from_the_page(served: tuple[Browser, str]) -> None:
    browser, reports = served
    with sound_page(browser, f"{reports}/gone") as page:
        page.get_by_role("button", name="Make the video with boxes").click()
        expect(page.locator("#drawing")).to_contain_text("It was not made. There is no file")
    with sound_page(browser, f"{reports}/old") as page:
        expect(page.locator("#drawing")).to_contain_text("up to 20 minutes")
        assert faults(page) == []
        page.get_by_role("button", name="Make the video with boxes").press("Enter")
        link = page.locator("#drawing").get_by_role("link", name="Download the video with boxes")
        expect(link).to_be_focused(timeout=30_000)
        expect(page.locator("#drawing")).to_contain_text("It is ready.")
        assert faults(page) == []
        page.reload()
        expect(page.locator("#drawing")).to_contain_text("It is ready.")
        with page.expect_download() as download:
            link.click()
        assert download.value.suggested_filename == "old-boxes.mp4"


def test_a_copy_is_made_of_a_video_that_does_not_play_and_played_from_then_on(served: tuple[Browser, str]) -> None:
    browser, reports = served
    with sound_page(browser, f"{reports}/tape") as page:
        offer = page.locator("#screen p.controls")
        expect(page.locator("#screen .says")).to_contain_text("This browser does not play MPEG-4 Visual in AVI.")
        expect(offer).to_contain_text("about 1 minute, with this page open")
        assert faults(page) == []
        page.get_by_role("button", name="Make a copy that it plays").press("Enter")
        expect(page.locator("video")).to_be_focused(timeout=30_000)
        page.locator("body.plays").wait_for()
        expect(offer).to_be_hidden()
        expect(page.locator("#screen .says")).to_be_hidden()
        assert faults(page) == []
        page.reload()
        page.locator("body.plays").wait_for()
        page.locator(".track .bar").first.click()
        [track] = page.evaluate(
            "fetch(globalThis.brandDetect.service.boxes + '&from_s=0&to_s=6').then(r => r.json()).then(r => r.tracks)"
        )
        left, top, _, bottom = track["boxes"][0]
        page.wait_for_function(f"() => ({DRAWN})({[left, (top + bottom) / 2]}).length > 0")
        end = track["spans_s"][-1][1]
        cut = []
        for t in (end - 0.15, end + 0.05):
            page.evaluate("t => document.dispatchEvent(new CustomEvent('seek', { detail: t }))", t)
            page.wait_for_function("() => !document.querySelector('video').seeking")
            cut.append(page.evaluate(SHOWN))
        assert abs(cut[0] - cut[1]) > 20, "the exposure ends where the picture changes"


def test_a_copy_that_cannot_be_played_gives_way_to_the_video_and_is_made_again(
    served: tuple[Browser, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, reports = served

    def broken(*arguments: Any) -> Rewritten:
        arguments[-2].write_bytes(b"no video")
        return Rewritten(60, 6.0, "", ("The sound is left out.",))

    with monkeypatch.context() as patch:
        patch.setattr("brand_detect.api.videos.copy", broken)
        asked = urllib.request.Request(f"{reports}/match/playable.mp4", headers=MEANT, method="POST")
        urllib.request.urlopen(asked).read()
    with sound_page(browser, f"{reports}/match") as page:
        page.locator("body.plays").wait_for()
        says, video = page.locator("#screen .says"), page.locator("video")
        expect(says).to_have_text("The copy for browsers cannot be played, so the video itself is shown.")
        expect(video).to_have_attribute("src", re.compile("/video"))
        page.get_by_role("button", name="Make the copy again").press("Enter")
        expect(video).to_have_attribute("src", re.compile(r"/playable\.mp4"), timeout=30_000)
        page.wait_for_function("() => document.querySelector('video').videoWidth > 0")
        expect(says).to_be_hidden()


def test_a_video_too_long_for_a_copy_is_said_and_none_offered(
    served: tuple[Browser, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MadeVideo, "longest_min", 0)
    browser, reports = served
    with sound_page(browser, f"{reports}/old") as page:
        expect(page.locator("#screen .says")).to_contain_text("longer than the 0 minutes of which a copy is made here")
        expect(page.get_by_role("button", name="Make a copy")).to_be_hidden()


def test_the_page_says_what_a_copy_lacks(served: tuple[Browser, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*arguments: Any) -> Rewritten:
        return replace(copy(*arguments), notes=("The sound is left out.",))

    monkeypatch.setattr("brand_detect.api.videos.copy", lacking)
    browser, reports = served
    with sound_page(browser, f"{reports}/old") as page:
        page.get_by_role("button", name="Make a copy that it plays").press("Enter")
        page.locator("body.plays").wait_for(timeout=30_000)
        expect(page.locator("#screen .says")).to_have_text("The copy is there. The sound is left out.")
        assert faults(page) == []


def test_the_drawing_of_a_video_is_cancelled(served: tuple[Browser, str], monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Event()

    def endless(*arguments: Any) -> None:
        try:
            for second in range(600):
                arguments[-1](second, 10_000, "seconds of video")
                time.sleep(0.05)
        finally:
            ended.set()

    monkeypatch.setattr("brand_detect.api.videos.annotate", endless)
    browser, reports = served
    with sound_page(browser, f"{reports}/match") as page:
        page.get_by_role("button", name="Make the video with boxes").click()
        expect(page.locator("#drawing")).to_contain_text("of 2 h 46 min")
        assert faults(page) == []
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#drawing")).to_contain_text("Cancelled.")
        expect(page.get_by_role("button", name="Make the video with boxes")).to_be_focused()
    assert ended.wait(20)


def test_the_page_says_what_kept_a_video_from_being_drawn(
    served: tuple[Browser, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("a box")

    monkeypatch.setattr("brand_detect.api.videos.annotate", broken)
    browser, reports = served
    with sound_page(browser, f"{reports}/match") as page:
        make, says = page.get_by_role("button", name="Make the video with boxes"), page.locator("#drawing")
        make.click()
        expect(says).to_contain_text("It was not made. Internal error: KeyError.")
        page.context.set_offline(True)
        make.click()
        expect(says).to_contain_text("It was not made. The service cannot be reached.")


def test_what_a_drawn_video_lacks_is_said(served: tuple[Browser, str]) -> None:
    browser, reports = served
    with sound_page(browser, f"{reports}/match") as page:
        page.evaluate(LINES)
        page.get_by_role("button", name="Make the video with boxes").click()
        page.evaluate('globalThis.tell(\'{"address": "/made.mp4", "notes": ["It has no sound."]}\')')
        expect(page.locator("#drawing")).to_contain_text("It is ready. It has no sound.")


def test_the_page_tells_waiting_from_drawing(served: tuple[Browser, str]) -> None:
    browser, reports = served
    with sound_page(browser, f"{reports}/match") as page:
        page.evaluate(LINES)
        page.get_by_role("button", name="Make the video with boxes").click()
        says = page.locator("#drawing")
        expect(says).to_contain_text("Waiting for its turn…")
        page.evaluate('globalThis.tell(\'{"done_s": 0, "total_s": 4}\')')
        expect(says).to_contain_text("Made: 0.0 s of 4.0 s")
        page.evaluate("globalThis.lose()")
        expect(says).to_contain_text("It was not made. The service ended before the video was made.")


def test_only_a_served_page_has_the_player_and_its_policy_in_the_header(served: tuple[Browser, str]) -> None:
    _, reports = served
    with urllib.request.urlopen(f"{reports}/match") as answer:
        policy, page = answer.headers["Content-Security-Policy"], answer.read().decode()
    script, digest = player()
    assert script in page
    assert digest in policy
    assert "media-src 'self'" in policy
    assert "Content-Security-Policy" not in page, "a policy of the page's own would bar the player"
