"""The page with all jobs before the real service, over a client that launches nothing: uploads, errors, search."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from brand_detect.api import create_app
from brand_detect.client import RunLog
from brand_detect.domain.errors import BadInput
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.progress import StageProgress
from brand_detect.domain.settings import Settings
from brand_detect_tests.support.browser import chromium, faults, sound_page
from brand_detect_tests.support.pipeline import two_shot_clip
from brand_detect_tests.support.servers import serving
from brand_detect_tests.support.webserver import Webserver, connected
from brand_detect_tests.test_api_jobs import ScriptedClient, run

MIB = 2**20


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def dagster() -> ScriptedClient:
    return ScriptedClient()


@pytest.fixture
def address(dagster: ScriptedClient, tmp_path: Path) -> Iterator[str]:
    settings = Settings(
        store_root=str(tmp_path / "store"),
        media_roots=(str(tmp_path),),
        uploads=str(tmp_path / "uploads"),
        upload_max_bytes=20 * MIB,
    )
    with serving(create_app(dagster, settings)) as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with sound_page(browser, address) as page:
        yield page


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video of 3 MiB: three parts or more."""
    path = two_shot_clip(tmp_path / "Final, 2nd half.mp4", seconds=1.0)
    with path.open("ab") as file:  # a box that readers skip
        file.write((3 * MIB).to_bytes(4, "big") + b"free" + bytes(3 * MIB - 8))
    return path


def analyse(page: Page, *videos: Path) -> None:
    page.locator("#new").evaluate("form => { form.open = true; }")
    page.locator("#file").set_input_files(list(videos))
    page.get_by_role("button", name="Analyse", exact=True).press("Enter")


def kept(folder: Path) -> list[str]:
    return [p.name for p in (folder / "uploads").rglob("*") if p.is_file() and p.suffix != ".json"]


def test_a_chosen_video_is_uploaded_and_submitted(page: Page, dagster: ScriptedClient, tmp_path: Path, video: Path):
    page.get_by_label("Kind of footage").select_option("fast")
    expect(page.locator("#profile-help")).to_contain_text("For a first look")
    analyse(page, video)
    expect(page.get_by_text("Final, 2nd half.mp4 is queued.")).to_be_in_viewport(ratio=1)
    expect(page.locator("#submit")).to_be_hidden()
    [(what, uri, more)] = dagster.asked
    assert (what, more["profile"], Path(uri).read_bytes()) == ("submit", "fast", video.read_bytes())
    assert more["job_id"].startswith("Final_2nd_half-")
    assert kept(tmp_path) == [video.name]
    expect(page.locator("#uploads li")).to_have_count(0)


def test_an_upload_goes_on_after_a_break(page: Page, dagster: ScriptedClient, video: Path):
    offsets: list[int] = []

    def breaking(route: Route) -> None:
        if route.request.method == "PATCH":
            offsets.append(int(route.request.headers["upload-offset"]))
        route.abort() if len(offsets) == 2 and route.request.method == "PATCH" else route.continue_()

    page.route("**/uploads/*", breaking)
    analyse(page, video)
    expect(page.locator("#uploads")).to_contain_text("the connection broke off at 1.0 MB")
    expect(page.locator("#said")).to_have_text("Final, 2nd half.mp4 is queued.")
    assert offsets[:3] == [0, MIB, MIB], "nothing is sent twice"
    [(_, uri, _)] = dagster.asked
    assert Path(uri).read_bytes() == video.read_bytes()


def test_after_a_reload_the_same_file_goes_on_where_it_stopped(page: Page, dagster: ScriptedClient, video: Path):
    offsets: list[int] = []

    def stalling(route: Route) -> None:
        if route.request.method != "PATCH":
            return route.continue_()
        offsets.append(int(route.request.headers["upload-offset"]))
        return route.continue_() if len(offsets) == 1 else route.abort()

    page.route("**/uploads/*", stalling)
    analyse(page, video)
    expect(page.locator("#uploads")).to_contain_text("the connection broke off")
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.unroute("**/uploads/*")  # not before, or the page that is left goes on
    page.on("request", lambda asked: offsets.append(int(asked.headers.get("upload-offset", -1))))
    del offsets[:]
    analyse(page, video)
    expect(page.locator("#said")).to_have_text("Final, 2nd half.mp4 is queued.")
    assert next(n for n in offsets if n >= 0) == MIB
    [(_, uri, _)] = dagster.asked
    assert Path(uri).read_bytes() == video.read_bytes()


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("**/uploads/*", "PATCH", 401),
        ("**/finish", "POST", 503),
        ("**/finish", "POST", 429),
        ("**/jobs", "POST", 503),
        ("**/jobs", "POST", 400),
    ],
)
def test_after_an_error_that_passes_the_same_file_goes_on(
    page: Page, dagster: ScriptedClient, video: Path, path: str, method: str, status: int
):
    def fail(route: Route) -> None:
        if route.request.method == method:
            return route.fulfill(status=status, json={"detail": "not now"})
        return route.continue_()

    page.route(path, fail)
    analyse(page, video)
    expect(page.locator("#uploads [role=alert]")).to_contain_text("not now")
    page.unroute(path)
    begun: list[str] = []
    page.on("request", lambda asked: begun.append(asked.url) if asked.url.endswith("/uploads") else None)
    analyse(page, video)
    expect(page.locator("#said")).to_have_text("Final, 2nd half.mp4 is queued.")
    assert begun == [], "the upload from before"
    assert Path(dagster.asked[0][1]).read_bytes() == video.read_bytes()


def test_an_upload_that_is_gone_is_begun_anew(page: Page, dagster: ScriptedClient, tmp_path: Path, video: Path):
    page.route("**/finish", lambda route: route.fulfill(status=503, json={"detail": "not now"}))
    analyse(page, video)
    expect(page.locator("#uploads [role=alert]")).to_contain_text("not now")
    page.unroute("**/finish")
    for record in (tmp_path / "uploads" / ".parts").iterdir():
        record.unlink()
    analyse(page, video)
    expect(page.locator("#said")).to_have_text("Final, 2nd half.mp4 is queued.")
    assert Path(dagster.asked[0][1]).read_bytes() == video.read_bytes()


def test_a_submission_whose_answer_is_lost_is_the_same_request(page: Page, dagster: ScriptedClient, video: Path):
    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/jobs", lose)
    for _ in range(2):
        page.get_by_label("Or a video by its address").fill(str(video))
        page.get_by_role("button", name="Analyse", exact=True).click()
        expect(page.locator("#wrong")).to_contain_text("The service cannot be reached.")
    page.unroute("**/jobs")
    for _ in range(2):
        page.get_by_label("Or a video by its address").fill(str(video))
        page.get_by_role("button", name="Analyse", exact=True).click()
        expect(page.locator("#submit")).to_be_hidden()
        page.get_by_text("New analysis").click()
        expect(page.get_by_label("Or a video by its address")).to_have_value("")
    keys = [more["key"] for _, _, more in dagster.asked]
    assert keys[0] == keys[1] == keys[2] != keys[3], "answered: the next one is another"
    assert all(keys)


def test_a_line_that_is_too_slow_is_called_so(page: Page, video: Path):
    page.clock.install()
    page.route("**/uploads/*", lambda route: route.abort() if route.request.method == "PATCH" else route.continue_())
    analyse(page, video)
    told = page.locator("#uploads")
    for pause_s in (1, 2, 4, 8, 16):
        expect(told).to_contain_text(re.compile(f"the connection broke off at .* going on in {pause_s} s"))
        page.clock.run_for(1000 * pause_s)
    expect(told).to_contain_text("no part arrived in 6 tries: the line is too slow, or the service away")


def test_a_cancelled_upload_leaves_nothing(page: Page, dagster: ScriptedClient, tmp_path: Path, video: Path):
    page.route("**/uploads/*", lambda route: route.abort() if route.request.method == "PATCH" else route.continue_())
    analyse(page, video)
    page.get_by_role("button", name="Cancel upload").click()
    expect(page.locator("#uploads li")).to_have_count(0)
    assert (kept(tmp_path), dagster.asked) == ([], [])


def test_what_is_no_video_is_refused_in_a_sentence(page: Page, dagster: ScriptedClient, tmp_path: Path):
    fake, notes, large = tmp_path / "fake.mp4", tmp_path / "notes.txt", tmp_path / "large.mp4"
    fake.write_bytes(b"no video" * 1000)
    notes.write_text("notes")
    large.write_bytes(bytes(20 * MIB + 1))
    page.locator("#file").set_input_files([notes, large])
    expect(page.locator("#wrong")).to_contain_text("notes.txt is not a video")
    expect(page.locator("#wrong")).to_contain_text("large.mp4 is too large")
    analyse(page, fake)
    expect(page.locator("#uploads [role=alert]")).to_contain_text("fake.mp4 is refused")
    page.get_by_role("button", name="Close").click()
    page.get_by_label("Or a video by its address").fill("/etc/passwd")
    page.get_by_role("button", name="Analyse", exact=True).click()
    expect(page.locator("#wrong")).to_contain_text("outside the allowed media roots")
    assert faults(page) == []
    assert (kept(tmp_path), dagster.asked) == ([], [])


def test_an_address_proposes_an_id(page: Page):
    page.get_by_label("Or a video by its address").fill("s3://bucket/Cup final (1).mp4")
    expect(page.get_by_label("Job id")).to_have_value("Cup_final_1")
    page.get_by_label("Or a video by its address").fill("/videos/x.mp4")
    expect(page.get_by_label("Job id")).to_have_value("")


def test_the_same_video_twice_is_said_and_run_again_only_when_asked(page: Page, dagster: ScriptedClient, video: Path):
    analyse(page, video)
    expect(page.locator("#said")).to_have_text("Final, 2nd half.mp4 is queued.")
    job_id = dagster.asked[0][2]["job_id"]
    dagster.known = [run(job_id, "queued")]
    analyse(page, video)
    told = page.locator("#uploads [role=alert]")
    expect(told).to_contain_text(f"is here already, as the job {job_id}. Nothing was queued.")
    assert len(dagster.asked) == 1
    page.set_viewport_size({"width": 390, "height": 800})
    assert told.evaluate("one => one.offsetWidth > 250"), "its buttons leave it room on a phone"
    again = page.get_by_role("button", name="Analyse it again")
    again.click()
    expect(page.locator("#wrong")).to_contain_text(f"{job_id} is not finished yet: waiting in the queue.")
    dagster.known = [run(job_id, "success", ended_s=time.time(), updated_s=1.0)]
    again.click()
    expect(page.locator("#uploads li")).to_have_count(0)
    assert dagster.asked[1][2]["job_id"] == job_id


def test_the_list_follows_without_losing_the_focus(page: Page, dagster: ScriptedClient):
    now = time.time()
    dagster.known = [run("first", "queued", created_s=now), run("second", "queued", created_s=now - 9)]
    page.reload()
    page.get_by_role("button", name="Cancel second").focus()
    dagster.known = [run("second", "started", created_s=now - 9, started_s=now)]
    dagster.log = RunLog("c", "run_ocr", LINE[:4], StageProgress("run_ocr", 5, 20, "frames", 2.5))
    row = page.locator("#job-second")
    expect(row).to_contain_text("Reading text step 4 of 8")
    expect(row).to_contain_text("5 of 20 frames, 2.5 a second, about 6 s left in this step")
    assert page.evaluate("document.activeElement.id") == "cancel-second"
    assert faults(page) == []
    dagster.known = [run("third", "failure", created_s=now + 9, will_retry=False)]
    expect(page.locator(".job").first).to_contain_text("run-third is damaged. Copy it again.")
    assert page.locator(".job h2").all_inner_texts() == ["third", "first", "second"]
    assert page.evaluate("document.activeElement.id") == "cancel-second"


def test_a_service_that_is_away_is_said(page: Page, dagster: ScriptedClient):
    dagster.known = [run("first", "queued")]
    page.reload()
    away = page.locator("#away")
    page.route("**/?*part=jobs*", lambda route: route.abort())
    page.get_by_label("Search").fill("final")
    expect(away).to_be_visible()
    page.unroute("**/?*part=jobs*")
    page.get_by_label("Search").fill("")
    expect(away).to_be_hidden()


def test_cancel_asks_first_and_an_error_is_said(page: Page, dagster: ScriptedClient):
    dagster.known = [run("match", "started", started_s=1.0)]
    page.reload()
    page.get_by_role("button", name="Cancel match").press("Enter")
    assert faults(page) == []
    page.get_by_role("button", name="Keep it running").press("Enter")
    page.get_by_role("button", name="Cancel match").press("Enter")
    page.keyboard.press("Escape")
    assert dagster.asked == []
    page.get_by_role("button", name="Cancel match").press("Enter")
    page.get_by_role("button", name="Cancel the job").press("Enter")
    expect(page.locator("#said")).to_have_text("match is cancelled.")
    assert dagster.asked == [("cancel", "run-match")]
    expect(page.get_by_role("button", name="Cancel match")).to_be_enabled()
    page.route("**/cancel", lambda route: route.abort())
    page.get_by_role("button", name="Cancel match").press("Enter")
    page.get_by_role("button", name="Cancel the job").press("Enter")
    expect(page.locator("#message")).to_contain_text("The service cannot be reached.")


def test_a_replay_sends_what_was_changed_and_shows_what_is_wrong(
    page: Page, dagster: ScriptedClient, address: str, monkeypatch: pytest.MonkeyPatch
):
    dagster.known = [run("match", "success", ended_s=time.time())]
    page.goto(f"{address}/reports/match/replay?start=detect_objects")
    page.get_by_role("radio", name="Read text").check()
    expect(page.locator("#what")).to_have_text("5 of 8 steps run.")
    page.locator("[data-stage=run_ocr] summary").press("Enter")
    crops, reuse = page.get_by_label("Max crops").first, page.get_by_label("Reuse readings")
    crops.fill("2.5")
    page.get_by_role("button", name="Replay", exact=True).press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Max crops needs a whole number.")
    assert page.evaluate("document.activeElement.id") == "run_ocr.max_crops"
    crops.fill("2")
    reuse.select_option("no")
    page.locator("[data-stage=compile_report] summary").click()
    page.get_by_label("Exclude kinds").fill("league\n\n club ")
    page.get_by_label("Placements").fill('[{"placement": "board"}]')
    expect(page.locator("#what")).to_have_text("5 of 8 steps run, with 4 changed settings.")

    def refuse(*_: object, **__: object) -> None:
        raise BadInput("run_ocr.max_crops: input should be odd.", "most crops read per track")

    with monkeypatch.context() as patch:
        patch.setattr(dagster, "replay", refuse)
        page.get_by_role("button", name="Replay", exact=True).click()
        expect(page.get_by_role("alert")).to_have_text(
            "run_ocr.max_crops: input should be odd. Most crops read per track."
        )
        assert page.evaluate("document.activeElement.id") == "run_ocr.max_crops"
        assert faults(page) == []
    page.get_by_role("button", name="Replay", exact=True).click()
    page.wait_for_url(f"{address}/")
    [(_, job_id, stage, overrides, _)] = dagster.asked
    assert (job_id, stage) == ("match", "run_ocr")
    assert overrides == {
        "run_ocr": {"max_crops": 2, "reuse_readings": False},
        "compile_report": {"exclude_kinds": ["league", "club"], "placements": [{"placement": "board"}]},
    }


def test_the_values_of_a_replay_are_those_of_the_chosen_start(
    page: Page, dagster: ScriptedClient, address: str, monkeypatch: pytest.MonkeyPatch
):
    server = Webserver()
    first = server.finished("job_request", overrides={"run_ocr": {"max_crops": 9}})
    server.finished("detect_objects", overrides={"run_ocr": {"max_crops": 2}})
    server.finished("run_ocr", of=dict.fromkeys(LINE[:4], f"{first}-0"), overrides={"run_ocr": {"max_crops": 9}})
    monkeypatch.setattr(dagster, "checkpoints", connected(server).checkpoints)
    dagster.known = [run("match", "success", ended_s=time.time())]
    page.goto(f"{address}/reports/match/replay?start=run_ocr")
    page.locator("[data-stage=run_ocr] summary").press("Enter")
    crops = page.get_by_label("Max crops").first
    at_run_ocr = crops.input_value()
    page.get_by_role("radio", name="Find text and logos").check()
    assert {at_run_ocr, crops.input_value()} == {"2", "9"}
    expect(page.locator("#what")).to_have_text("6 of 8 steps run.")
    crops.fill("5")
    page.get_by_role("radio", name="Read text").check()
    expect(crops).to_have_value("5")
    expect(page.locator("#what")).to_have_text("5 of 8 steps run, with 1 changed setting.")


def test_search_and_filters_need_no_reload(page: Page, dagster: ScriptedClient):
    dagster.known = [run("first", "queued"), run("second", "failure")]
    page.reload()
    page.get_by_label("Search").fill("second")
    expect(page.locator(".job")).to_have_count(1)
    assert page.url.endswith("/?q=second")
    page.get_by_label("Search").fill("nothing like it")
    expect(page.get_by_text("No job matches.")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "q"
    page.get_by_label("Search").fill("")
    page.get_by_role("link", name="Failed 1").click()
    expect(page.locator(".job")).to_have_count(1)


def test_a_phone_needs_not_scroll_sideways(browser: Browser, address: str, dagster: ScriptedClient):
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    states = ("queued", "started", "failure", "canceled")
    dagster.known = [run("a-long-name-" * 9 + state, state) for state in states] + [
        run("match", "success", ended_s=time.time())
    ]
    for path in ("/", "/?state=failed", "/reports/match/replay"):
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert faults(page) == [], path
    page.close()
