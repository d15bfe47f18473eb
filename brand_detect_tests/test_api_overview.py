"""Pages over several reports: comparisons and totals."""

import csv
import io
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient

from brand_detect.api import create_app, overview
from brand_detect.client import Client
from brand_detect.domain.settings import Settings
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.store import Store
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of two jobs, of which one has two reports."""
    folder = tmp_path_factory.mktemp("overview")
    with pipeline(folder) as built:
        for name, seconds in (("first", 2.0), ("second", 3.0)):
            built.runner.submit(str(two_shot_clip(folder / f"{name}.mp4", seconds=seconds)), job_id=name)
        built.runner.replay("first", "match_brands", {"match_brands": {"min_confidence": 1.0}})
    return folder


def service(folder: Path, key: str = "") -> TestClient:
    app = create_app(Client("http://127.0.0.1:9"), Settings(store_root=str(folder / "store")), api_key=key)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture(scope="module")
def http(made: Path) -> TestClient:
    return service(made)


def test_a_report_is_compared_with_the_one_before(http: TestClient):
    document = http.get("/compare.json", params={"job": "first"}).json()
    assert document["before"]["attempt"] != document["after"]["attempt"]
    assert [(b["brand"], b["change"]) for b in document["brands"]] == [("Rolex", "gone")]
    page = http.get("/compare", params={"job": "first"})
    assert document["headline"] in page.text
    assert 'href="/reports/first"' in page.text
    assert "<title>Comparison of first.mp4</title>" in page.text
    assert "/first.mp4" not in page.text, "the name alone, without its folder"
    assert "script-src 'none'" in page.headers["content-security-policy"]


def test_only_a_report_after_another_leads_to_a_comparison(http: TestClient):
    assert '"compare": "/compare?job=first"' in http.get("/reports/first").text
    assert '"compare": ' not in http.get("/reports/second").text
    listed = {job["job_id"]: job["compare"] for job in http.get("/jobs").json()["jobs"]}
    assert listed == {"first": "/compare?job=first", "second": None}
    alone = http.get("/compare?job=second", headers={"Accept": "text/html"}).text
    assert "second has only one report so far: there is nothing to compare it with." in alone
    assert 'href="/brand-list"' in alone


def test_two_jobs_are_compared(http: TestClient):
    document = http.get("/compare.json", params={"job": "second", "with_job": "first"}).json()
    assert (document["before"]["job_id"], document["after"]["job_id"]) == ("first", "second")


@pytest.mark.parametrize(
    "asked",
    [
        {"job": "second"},
        {"job": "nobody"},
        {"job": "../.."},
        {"job": "first", "attempt": "zzz"},
        {},
        {"job": "x" * 999},
    ],
)
def test_what_cannot_be_compared_is_a_sentence(http: TestClient, asked: dict[str, str]):
    for address in ("/compare", "/compare.json"):
        answer = http.get(address, params=asked)
        assert answer.status_code == 400
        assert answer.json()["detail"]


def test_all_reports_are_summed_up(http: TestClient):
    whole = http.get("/portfolio/portfolio.json").json()
    assert [job["job_id"] for job in whole["jobs"]] == ["first", "second"]
    assert [brand["brand"] for brand in whole["brands"]] == ["Rolex"]
    page = http.get("/portfolio").text
    assert re.search(r"<title>\d{4}-\d\d-\d\d, second\.mp4: \d+ %</title>", page)
    assert page.count("<rect ") == 2, "one for each video"
    rows = list(csv.reader(io.StringIO(http.get("/portfolio/videos.csv").text)))
    assert [row[0] for row in rows[1:]] == ["second"], "the newest report of the first shows no brand"


def test_chosen_reports_are_summed_up_and_downloads_repeat_the_choice(http: TestClient):
    page = http.get("/portfolio", params={"job": ["second"], "since": "2000-01-01"}).text
    assert 'value="2000-01-01"' in page
    link = re.search(r'href="(/portfolio/portfolio\.json\?[^"]+)"', page)
    assert link
    whole = http.get(link[1].replace("&amp;", "&")).json()
    assert ([job["job_id"] for job in whole["jobs"]], whole["since"]) == (["second"], "2000-01-01")
    assert http.get("/portfolio", params={"until": "2000-01-01"}).text.count("No brand was found.") == 1


def test_jobs_are_left_out_by_the_address_and_downloads_follow(http: TestClient):
    page = http.get("/portfolio", params={"without": ["second", "gone"]}).text
    assert "Brands over 1 video" in page
    assert re.findall(r'name="without" value="(\w+)"[^>]*checked', page) == ["second"]
    assert re.findall(r'type="hidden" name="without" value="(\w+)"', page) == ["gone"], "other days may show it again"
    for job, text in (("first", "Brands over 1 video"), ("second", "Brands over 0 videos")):
        asked = {"job": "second", "without": job}
        assert text in http.get("/portfolio", params=asked).text
    link = re.search(r'href="(/portfolio/portfolio\.json\?[^"]+)"', page)
    assert link
    whole = http.get(link[1].replace("&amp;", "&")).json()
    assert [[job["job_id"] for job in whole[part]] for part in ("jobs", "left_out")] == [["first"], ["second"]]
    assert (whole["brands"], whole["seconds"]) == ([], whole["jobs"][0]["seconds"])


def test_each_report_is_read_once_for_all_sums(made: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []
    load = Store.load

    def noted(store: Store, ref: AttemptRef, *tables: Any) -> Any:
        read.append(f"{ref.job_id} {ref.stage}")
        return load(store, ref, *tables)

    monkeypatch.setattr(Store, "load", noted)
    http = service(made)
    pages = [http.get("/portfolio").text for _ in range(3)]
    assert pages[0] == pages[2]
    assert http.get("/portfolio/brands.csv", params={"job": "first"}).status_code == 200
    assert sorted(read) == [
        f"{job} {stage}" for job in ("first", "second") for stage in ("compile_report", "job_request")
    ]


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/portfolio?since=yesterday", 400),
        ("/portfolio?job=nobody", 400),
        ("/portfolio?job=../..", 400),
        ("/portfolio/portfolio.html", 404),
        ("/portfolio/passwd", 404),
    ],
)
def test_what_cannot_be_summed_up_is_a_sentence(http: TestClient, address: str, status: int):
    answer = http.get(address)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_what_is_no_document_is_not_summed_up(http: TestClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(overview, "portfolio_of", lambda *_: pytest.fail("it sums up"))
    assert http.get("/portfolio/x.jpg").status_code == 404


def test_other_days_are_asked_of_the_same_jobs(http: TestClient):
    page = http.get("/portfolio", params={"job": ["second", "first"]}).text
    assert re.findall(r'name="job" value="(\w+)"', page) == ["second", "first"]


def test_an_address_that_cannot_be_shown_has_a_sealed_page(http: TestClient):
    answer = http.get("/compare", params={"job": "<script>alert(1)</script>"}, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "<script" not in answer.text
    assert "script-src 'none'" in answer.headers["content-security-policy"]


def test_hostile_queries_stay_text(http: TestClient):
    page = http.get('/portfolio?x="><script>alert(1)</script>').text
    assert "<script" not in page


def test_a_key_is_asked_for(made: Path):
    closed = service(made, "geheim")
    for page in ("/compare?job=first&with_job=second", "/portfolio", "/portfolio?since=2026-05-01"):
        login = closed.get(page).headers["location"]
        following = parse_qs(urlsplit(login).query)["next"][0]
        entered = closed.post("/login", data={"key": "geheim", "next": following})
        assert entered.headers["location"] == page
        closed.cookies.clear()
    for document in ("/compare.json?job=first", "/portfolio/portfolio.json"):
        assert closed.get(document).status_code == 401
