"""The page of the brand list before the real service, over a client that launches nothing."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from brand_detect.api import create_app, stored_brands
from brand_detect.catalog import load_catalog
from brand_detect.catalog.exemplars import MOST_BYTES
from brand_detect.catalog.writing import create_catalog
from brand_detect.domain.settings import Settings
from brand_detect.report import brand_list
from brand_detect_tests.support.browser import chromium, faults, sound_page
from brand_detect_tests.support.pipeline import with_an_open_text
from brand_detect_tests.support.servers import serving
from brand_detect_tests.test_api_brands import HOSTILE, SVG
from brand_detect_tests.test_api_jobs import ScriptedClient


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_an_open_text(tmp_path_factory.mktemp("reported"))


@pytest.fixture(scope="module")
def browser(reported: Path) -> Iterator[Browser]:  # noqa: ARG001 - Dagster runs before the browser has an event loop
    with chromium() as started:
        yield started


@pytest.fixture
def folder(reported: Path, tmp_path: Path) -> Path:
    shutil.copytree(reported, tmp_path / "work", ignore=shutil.ignore_patterns("history", "storage", "*.db*"))
    return tmp_path / "work"


@pytest.fixture
def dagster() -> ScriptedClient:
    return ScriptedClient()


@pytest.fixture
def page(folder: Path, browser: Browser, dagster: ScriptedClient) -> Iterator[Page]:
    app = create_app(dagster, Settings(store_root=str(folder / "store"), catalog=str(folder / "brands.yaml")))
    with serving(app) as address, sound_page(browser, f"{address}/brand-list") as page:
        yield page


def brands(folder: Path) -> dict[str, tuple[str, ...]]:
    return {b.name: b.aliases for b in load_catalog(str(folder / "brands.yaml")).catalog.brands}


def test_a_brand_with_a_dropped_logo_is_found_by_older_reports_and_they_are_replayed(
    page: Page, folder: Path, dagster: ScriptedClient
):
    page.get_by_text("Add a brand").click()
    page.get_by_label("Name", exact=True).fill("Acme")
    page.get_by_label("Other names (one a line)").fill("Acme Widgets\nAcme Tools\n")
    page.get_by_label("Sports (separated by commas)").fill("tennis, golf")
    page.evaluate(
        """svg => {
            const data = new DataTransfer();
            data.items.add(new File([svg], "acme.svg", { type: "image/svg+xml" }));
            const dropped = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
            document.getElementById("drop").dispatchEvent(dropped);
        }""",
        SVG.decode(),
    )
    expect(page.locator("#chosen li span")).to_have_text(["acme.svg"])
    expect(page.locator("#chosen img")).not_to_have_js_property("naturalWidth", 0)
    page.get_by_label("Country").select_option(label="Germany")
    assert faults(page) == []
    page.get_by_role("button", name="Add", exact=True).last.click()
    expect(page.locator("#said")).to_have_text("Acme is on the list, with 1 logo.")
    expect(page.locator(".brand")).to_have_count(1)
    expect(page.locator(".brand img")).to_have_js_property("naturalWidth", 96)
    assert brands(folder)["Acme"] == ("Acme Tools", "Acme Widgets")
    assert "country: DE" in (folder / "brands.yaml").read_text()

    report = page.get_by_role("checkbox", name="match.mp4 match would gain Acme")
    expect(report).to_be_checked()
    assert faults(page) == []
    page.get_by_role("button", name="Replay them at night").click()
    said = page.locator("#older [role=status]")
    expect(said).to_have_text("1 replay is held until the night. See the jobs")
    expect(said.get_by_role("link")).to_have_attribute("href", "/")
    [(what, job, start, _, more)] = dagster.asked
    assert (what, job, start) == ("replay", "match", "match_brands")
    assert 0 < more["delay_s"] <= 86_400


def test_logos_of_any_size_and_number_are_added(page: Page, folder: Path):
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    cv2.imwrite(str(folder / "photo.jpg"), noise)
    page.get_by_text("Add a brand").click()
    page.get_by_label("Name", exact=True).fill("Acme")
    page.evaluate(
        """([svg, most]) => {
            const data = new DataTransfer();
            for (const size of [...Array(51).fill(500).map((size, n) => size + n), most, most + 2 ** 19]) {
                const drawn = svg.replace("<path", `<!--${"x".repeat(size - svg.length - 7)}--><path`);
                data.items.add(new File([drawn], size > most ? "large.svg" : `${size}.svg`));
            }
            document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data }));
        }""",
        [SVG.decode(), MOST_BYTES],
    )
    page.get_by_label("Choose logos").set_input_files(folder / "photo.jpg")
    add = page.get_by_role("button", name="Add", exact=True).last
    expect(page.locator("#chosen li")).to_have_count(54)
    add.click()
    expect(page.get_by_role("alert")).to_have_text("large.svg has 5.5 MiB. Use a file of at most 5 MiB.")
    assert "Acme" not in brands(folder)
    page.get_by_role("button", name="Remove large.svg").click()
    add.click()
    expect(page.locator("#said")).to_have_text("Acme is on the list, with 53 logos.", timeout=30_000)


def test_replays_whose_answer_is_lost_are_asked_for_again_as_the_same_request(
    page: Page, folder: Path, dagster: ScriptedClient
):
    (folder / "brands.yaml").write_text("- {name: Acme, aliases: [Acme Widgets]}\n")
    page.reload()

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    def slow(route: Route) -> None:
        page.wait_for_timeout(300)
        route.continue_()

    page.route("**/jobs/replay", lose, times=1)
    note = page.locator("#older .note")
    page.locator("#look").click()
    page.get_by_role("button", name="Replay them at night").click()
    expect(note).to_contain_text("The service cannot be reached.")
    page.get_by_role("button", name="Replay them at night").click()
    expect(note).to_contain_text("1 replay is held until the night.")
    assert len(dagster.asked) == 2
    assert dagster.asked[0] == dagster.asked[1], "key and time included"
    page.route("**/brands/reports", slow)
    page.locator("#look").click()
    page.get_by_role("button", name="Replay them at night").click()
    expect(note).to_contain_text("1 replay is held until the night.")
    keys = [more["key"] for *_, more in dagster.asked]
    assert (len(keys), len(set(keys)), keys[0].endswith("/match")) == (3, 2, True)


def test_proposals_are_named_and_rejected_by_keyboard(page: Page, folder: Path):
    card = page.locator("[data-proposal]")
    expect(card.locator("img")).not_to_have_js_property("naturalWidth", 0)
    assert faults(page) == []
    name = card.get_by_label("Brand")
    expect(name).to_have_value("ACME WIDGETS")
    name.fill("")
    card.get_by_role("button", name="Add").press("Enter")
    expect(page.get_by_role("alert")).to_have_text("A brand needs a name.")
    expect(name).to_be_focused()
    name.fill(HOSTILE)
    card.get_by_role("button", name="Add").press("Enter")
    expect(page.locator("#proposals").get_by_role("status")).to_contain_text("is on the list")
    expect(card).to_have_count(0)
    expect(page.locator("#proposals").get_by_role("button")).to_have_count(0)
    expect(page.locator("#waiting")).to_have_text("0")
    assert brands(folder)[HOSTILE] == ("ACME WIDGETS",)
    page.reload()
    expect(page.locator(".brand b", has_text="onerror")).to_have_count(1)
    expect(page.locator("#proposals")).to_have_count(0)


def test_two_brands_are_merged_by_keyboard(page: Page, folder: Path):
    (folder / "brands.yaml").write_text("- Rolex\n- {name: Emirates, excluded_texts: [Rolex]}\n")
    page.reload()
    page.get_by_role("button", name="Merge Rolex into…").press("Enter")
    dialog = page.get_by_role("dialog", name="Merge Rolex into another brand")
    dialog.get_by_role("button", name="Merge").press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text("Which brand stays?")
    into = dialog.get_by_label("Brand that stays")
    into.press_sequentially("e")
    expect(page.locator("#into-names option")).to_have_attribute("value", "Emirates")  # and not Rolex itself
    into.fill("Rolex")
    into.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("Rolex and Rolex are one brand.")
    assert faults(page) == []
    into.fill("emirates")
    into.press("Enter")
    expect(page.locator("#said")).to_have_text(
        "One brand now: Emirates, Rolex, with 0 logos. No longer excluded, for it is a name now: Rolex."
    )
    assert brands(folder) == {"Emirates": ("Rolex",)}
    expect(page.get_by_role("checkbox", name="match.mp4 match would lose Rolex")).to_be_checked()


@pytest.mark.parametrize(
    ("left", "says"), [(1, "1 more job was not looked at."), (2, "2 more jobs were not looked at.")]
)
def test_what_was_not_looked_at_is_said_also_where_nothing_was_found(page: Page, left: int, says: str):
    page.route("**/brands/reports", lambda route: route.fulfill(json={"reports": [], "not_looked_at": left}))
    page.locator("#look").click()
    expect(page.locator("#looked")).to_have_text(says)


def test_a_brand_is_excluded_by_keyboard_and_brought_back(page: Page, folder: Path):
    row = page.locator(".brand", has_text="Rolex")
    row.get_by_role("button", name="Exclude Rolex").press("Enter")
    expect(row.get_by_role("status")).to_contain_text("Reports leave Rolex out from now on. It stays on the list.")
    touched = page.get_by_role("checkbox", name="match.mp4 match would lose Rolex")
    expect(touched).to_be_checked()
    expect(row.locator(".out")).to_have_text("excluded")
    assert faults(page) == []
    assert [b.name for b in load_catalog(str(folder / "brands.yaml")).catalog.brands if b.excluded] == ["Rolex"]
    expect(page.get_by_role("link", name="1 excluded")).to_be_visible()
    page.reload()
    expect(touched).to_be_hidden()
    page.get_by_role("link", name="1 excluded").click()
    expect(page.locator(".brand")).to_have_count(1)
    row.get_by_role("button", name="Include Rolex").press("Enter")
    expect(row.get_by_role("status")).to_contain_text("Reports count Rolex again.")
    expect(page.locator("#looked")).to_have_text("Every report was made with this list.")
    expect(row.get_by_role("button", name="Exclude Rolex")).to_be_visible()
    expect(row.locator(".out")).to_be_hidden()
    expect(page.get_by_role("link", name="excluded")).to_have_count(0)


def test_what_is_going_on_and_what_came_of_it_is_said_beside_the_button_alone(page: Page, dagster: ScriptedClient):
    waiting: list[Route] = []
    page.route("**/brands/*/exclude", lambda route: waiting.append(route))
    row = page.locator(".brand", has_text="Rolex")
    row.get_by_role("button", name="Exclude").click()
    expect(row.get_by_role("status")).to_have_text("Excluding… A long list takes some seconds.")
    for _ in range(500):  # the page says it before its request is on its way
        if not waiting:
            page.wait_for_timeout(10)
    waiting[0].fulfill(status=503, json={"detail": "The list is locked."})
    expect(row.get_by_role("alert")).to_have_text("The list is locked.")
    page.get_by_role("button", name="Reject").click()
    expect(page.locator("#proposals").get_by_role("status")).to_have_text("Rejected: no report proposes it again.")
    expect(row.locator(".note")).to_have_count(0)
    assert dagster.asked == []


def test_another_name_of_a_brand_is_said_to_be_one(page: Page, folder: Path):
    (folder / "brands.yaml").write_text("- {name: Acme, aliases: [Acme Group]}\n")
    page.reload()
    page.get_by_text("Add a brand").click()
    page.get_by_label("Name", exact=True).fill("Acme Group")
    page.locator("#add button.primary").click()
    expect(page.locator("#said")).to_have_text(
        "Acme Group is one of the names of Acme, which is on the list, with 0 logos."
    )
    page.get_by_role("button", name="Exclude Acme").click()
    expect(page.get_by_role("button", name="Include Acme")).to_be_visible()
    expect(page.locator("#said")).to_be_hidden()


def test_few_proposals_are_shown_until_all_are_asked_for(page: Page, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(brand_list, "SHOWN", 0)
    page.reload()
    expect(page.locator(".card")).to_be_hidden()
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".card")).to_be_visible()
    expect(page.get_by_label("Brand", exact=True)).to_be_focused()
    expect(page.get_by_role("button", name="Show all")).to_have_count(0)


def test_two_brands_stay_two_if_the_merge_is_called_off(page: Page, folder: Path):
    page.get_by_role("button", name="Merge Rolex into…").click()
    page.get_by_label("Brand that stays").fill("Emirates")
    page.get_by_role("button", name="Keep both").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert set(brands(folder)) == {"Emirates", "Rolex"}


def test_what_is_refused_is_said_beside_the_form(page: Page, folder: Path):
    page.get_by_role("button", name="Extend Rolex").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Rolex")
    page.locator("#logos").set_input_files({"name": "logo.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.get_by_role("button", name="Add", exact=True).last.click()
    expect(page.get_by_role("alert")).to_contain_text("logo.png")
    page.locator("#logos").set_input_files({"name": "logo.gif", "mimeType": "image/gif", "buffer": b"GIF"})
    expect(page.get_by_role("alert")).to_contain_text("logo.gif is no logo file")
    assert not (folder / "logos").exists()


def test_a_logo_is_cut_out_of_a_frame(page: Page, folder: Path):
    page.goto(page.url + "?cut=/reports/match/frames/0.jpg")
    frame = page.locator("#frame img")
    expect(frame).to_have_js_property("naturalWidth", 320)
    expect(page.get_by_label("Left (pixels)")).to_be_focused()
    expect(frame).to_be_in_viewport()
    expect(page.locator("#frame i")).to_be_hidden()
    assert faults(page) == []
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box
    page.mouse.move(box["x"] + 30, box["y"] + 14)
    page.mouse.down()
    page.mouse.move(box["x"] + 70, box["y"] + 40)
    page.mouse.move(box["x"] + 90, box["y"] + 58)
    page.mouse.up()
    sides = [page.locator(f"#cut-{side}") for side in ("left", "top", "width", "height")]
    assert [int(side.input_value()) for side in sides] == pytest.approx([30, 14, 60, 44], abs=1)
    use, chosen = page.get_by_role("button", name="Use this part as a logo"), page.locator("#chosen li")
    use.click()
    expect(page.locator("#cut [role=status]")).to_have_text("The part is among the chosen logos below.")
    use.click()
    expect(page.locator("#cut [role=status]")).to_have_text("This part is chosen already: see the logos below.")
    expect(chosen).to_have_count(1)
    expect(chosen.locator("img")).to_have_js_property("naturalWidth", int(sides[2].input_value()))
    assert faults(page) == []
    chosen.get_by_role("button", name="Remove").press("Enter")
    expect(chosen).to_have_count(0)
    use.click()
    page.get_by_label("Name", exact=True).fill("Acme")
    page.get_by_role("button", name="Add", exact=True).last.click()
    expect(page.locator("#said")).to_have_text("Acme is on the list, with 1 logo.")
    [logo] = (folder / "logos").iterdir()
    cut = cv2.imread(str(logo))
    assert cut is not None
    assert cut.shape[1::-1] == pytest.approx((60, 44), abs=1)


def test_a_part_too_small_or_a_frame_that_is_gone_is_said(page: Page):
    address = page.url
    page.goto(address + "?cut=/reports/match/frames/0.jpg")
    page.get_by_label("Width (pixels)").fill("400")
    page.get_by_label("Height (pixels)").fill("9")
    page.get_by_label("Left (pixels)").fill("310")
    page.get_by_role("button", name="Use this part as a logo").click()
    expect(page.get_by_role("alert")).to_have_text("The part is too small: drag over the logo, at least 16 pixels.")
    page.goto(address + "?cut=/reports/match/frames/999.jpg")
    expect(page.get_by_role("alert")).to_have_text("The frame cannot be shown: retention may have removed it.")
    expect(page.locator("#cut-help")).to_be_hidden()
    for no_frame in ("", "https://example.org/reports/match/frames/0.jpg"):
        page.goto(f"{address}?cut={no_frame}")
        expect(page.locator("#cut")).to_be_hidden()
        expect(page.locator("#cut-help")).to_be_focused()
        expect(page.locator("#cut-help")).to_contain_text("choose an exposure or an unresolved cluster")
        expect(page.locator("#cut-help")).to_be_in_viewport()
    assert faults(page) == []


def test_the_part_that_a_report_saw_is_marked_when_the_frame_opens(page: Page):
    page.goto(page.url + "?cut=/reports/match/frames/0.jpg&part=0.1,0.25,0.5,0.3")
    sides = [page.locator(f"#cut-{side}") for side in ("left", "top", "width", "height")]
    expect(sides[3]).to_have_value("54")
    assert [side.input_value() for side in sides] == ["32", "45", "160", "54"]
    expect(page.locator("#frame i")).to_be_visible()
    page.get_by_role("button", name="Use this part as a logo").click()
    expect(page.locator("#chosen li img")).to_have_js_property("naturalWidth", 160)


def test_the_packaged_list_is_made_ones_own_on_the_way_to_a_cut(
    folder: Path, browser: Browser, dagster: ScriptedClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stored_brands, "create_catalog", partial(create_catalog, empty=True))  # in a moment
    app = create_app(dagster, Settings(store_root=str(folder / "store")))
    asked = "/brand-list?cut=/reports/match/frames/0.jpg"
    with serving(app) as address, sound_page(browser, address + asked) as page:
        expect(page.locator("#own")).to_contain_text("Then the frame opens here")
        expect(page.locator("#proposals button")).to_have_count(0)
        assert faults(page) == []
        page.get_by_role("button", name="Make it my own list").press("Enter")
        own = folder / "store" / "_own_catalog"
        expect(page.locator("#said")).to_contain_text(f"The list is your own now, in {own}.")
        expect(page.locator("#cut")).to_be_visible()
        expect(page.get_by_role("button", name="Make it my own list")).to_have_count(0)
        assert (own / "brands.yaml").exists()


def test_on_a_phone_nothing_is_wider_than_the_screen(page: Page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_text("Add a brand").click()
    page.locator("#logos").set_input_files({"name": "x" * 60 + ".svg", "mimeType": "image/svg+xml", "buffer": SVG})
    expect(page.locator("#chosen span")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
