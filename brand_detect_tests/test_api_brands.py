"""The brand list over HTTP: brands, logos, proposals, and reports that it would change."""

import base64
import gc
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from brand_detect.api import create_app, stored_brands
from brand_detect.catalog import load_catalog
from brand_detect.catalog.exemplars import MOST_BYTES
from brand_detect.catalog.writing import create_catalog
from brand_detect.client import Client
from brand_detect.domain.catalog import Brand, BrandCatalog
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import Transient
from brand_detect.domain.settings import Settings
from brand_detect.engines.image import OpenCvCodec
from brand_detect.orchestration.resources import Services
from brand_detect.storage.store import Store
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip, with_an_open_text

MEANT = {"X-Requested-With": "brand_detect"}
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path fill="#e30613" d="M12 2L22 22H2z"/></svg>'
HOSTILE = "<img src=x onerror=alert(1)>\"'"


def svg_of(size: int, n: int = 0) -> bytes:
    """A logo of ``size`` bytes, another one for each ``n``."""
    return SVG.replace(b"<path", b"<!--%d" % n + b"x" * (size - len(SVG) - 7 - len(str(n))) + b"--><path")


def logo(name: str = "z.svg", data: bytes = SVG) -> dict[str, str]:
    return {"name": name, "data": base64.b64encode(data).decode()}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store of a job that reports Rolex and an open text, ACME WIDGETS, and with its brand list."""
    return with_an_open_text(tmp_path_factory.mktemp("reported"))


class Service:
    """The service over a copy of the store and its list."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.path = settings.pop("catalog", str(folder / "brands.yaml"))
        made = Settings(store_root=str(folder / "store"), catalog=self.path, **settings)
        app = create_app(Client("http://127.0.0.1:9"), made)
        self.http = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)

    def brands(self) -> dict[str, Brand]:
        return {brand.name: brand for brand in load_catalog(self.path).catalog.brands}

    def add(self, **asked: Any) -> Any:
        return self.http.post("/brands", json=asked, headers=MEANT)

    def decide(self, proposal_id: str, **decided: Any) -> Any:
        return self.http.post(f"/proposals/{proposal_id}", json=decided, headers=MEANT)

    def proposals(self) -> list[dict[str, Any]]:
        return self.http.get("/proposals").json()


@pytest.fixture
def service(reported: Path, tmp_path: Path) -> Service:
    folder = tmp_path / "work"
    shutil.copytree(reported, folder, ignore=shutil.ignore_patterns("history", "storage", "*.db*"))
    return Service(folder)


def test_brands_are_found_by_any_of_their_words(service: Service):
    service.add(name="Zymvora", categories=["energy drinks"], sports=["tennis"], country="GB", owner="Zym Ltd")
    for asked in ("zymvora", "ENERGY tennis", "gb", "zym ltd"):
        found = service.http.get("/brands", params={"q": asked}).json()
        assert [brand["name"] for brand in found["brands"]] == ["Zymvora"], asked
        assert (found["total"], found["listed"], found["is_own"]) == (1, len(service.brands()), True)
    assert service.http.get("/brands", params={"q": "zymvora golf"}).json()["total"] == 0


def test_a_long_list_has_pages(tmp_path: Path):
    (tmp_path / "brands.yaml").write_text("".join(f"- Brand {n:03d}\n" for n in range(120)))
    http = Service(tmp_path).http
    pages = [http.get("/brands", params={"page": n}).json() for n in (1, 2, 3, 9)]
    assert [len(page["brands"]) for page in pages] == [50, 50, 20, 20]
    assert (pages[3]["page"], pages[3]["pages"]) == (3, 3)
    assert [p["brands"][0]["name"] for p in pages[:3]] == ["Brand 000", "Brand 050", "Brand 100"]
    assert 'href="/brand-list?page=3"' in http.get("/brand-list?page=2").text


def test_a_brand_is_added_with_its_logo_and_the_logo_is_shown(service: Service):
    answer = service.add(name=" Zymvora ", aliases=["Zymvora Zero"], logos=[logo()])
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["brand"]["name"], said["new_logos"], said["alike"]) == ("Zymvora", 1, [])
    assert service.brands()["Zymvora"].aliases == ("Zymvora Zero",)
    picture = service.http.get(said["brand"]["logos"][0])
    assert picture.headers["content-type"] == "image/jpeg"
    blue, _, red = OpenCvCodec().decode(picture.content)[60, 48].tolist()
    assert red > 180
    assert blue < 60
    assert service.http.get("/brands/logos/0000000000000000.jpg").status_code == 404


def test_logos_may_be_as_large_as_those_of_any_list(service: Service):
    two = [logo("a.svg", svg_of(450_000, 1)), logo("b.svg", svg_of(450_000, 2))]
    assert service.add(name="Zymvora", logos=two).json()["new_logos"] == 2
    largest = svg_of(MOST_BYTES)
    assert len(largest) == MOST_BYTES
    texts = {column: [f"{n:03d}" * 66 for n in range(50)] for column in ("aliases", "excluded_texts")}
    texts["excluded_texts"] = [text + "x" for text in texts["excluded_texts"]]
    assert service.add(name="Zymvora", **texts, logos=[logo(data=largest)]).json()["new_logos"] == 1
    assert len(service.brands()["Zymvora"].exemplars) == 3


def test_a_logo_that_is_too_large_is_named_and_nothing_is_written(service: Service):
    answer = service.add(name="Zymvora", logos=[logo(), logo("b.svg", svg_of(MOST_BYTES + 1))])
    assert (answer.status_code, answer.json()) == (
        400,
        {"detail": "b.svg: it has 5.0 MiB.", "hint": "use a file of at most 5 MiB"},
    )
    answer = service.add(name="Zymvora", logos=[logo(f"{n}.svg", svg_of(4 * 2**20, n)) for n in range(2)])
    assert (answer.status_code, answer.json()["detail"]) == (
        413,
        "The body is larger than 8388608 bytes: send the logos in several requests.",
    )
    assert not (service.folder / "logos").exists()
    answer = service.http.post("/proposals/x", json={"verdict": "x" * 10**6}, headers=MEANT)
    assert (answer.status_code, answer.json()["detail"]) == (413, "The body is larger than 1000000 bytes.")


def test_more_is_added_to_a_brand_that_is_there(service: Service):
    service.add(name="Zymvora", logos=[logo()])
    said = service.add(name="Zymvora", aliases=["Zym"], excluded_texts=["Zymvora Road"], logos=[logo()]).json()
    assert said["new_logos"] == 0, "it has this logo"
    brand = service.brands()["Zymvora"]
    assert (brand.aliases, brand.excluded_texts, len(brand.exemplars)) == (("Zym",), ("Zymvora Road",), 1)


def test_what_reading_may_take_for_another_brand_is_said(service: Service):
    service.add(name="Zymvorani")
    assert service.add(name="Zymvorane").json()["alike"] == ["Zymvorane reads like Zymvorani, of Zymvorani"]
    service.add(name="Coca-Cola")
    alike = service.add(name="Coca-Colla").json()["alike"]
    assert alike == ["Coca-Cola reads like Coca-Colla"], "the shorter name is like the longer, not the other way round"
    assert service.add(name="Acmeline", aliases=["Acmelina"]).json()["alike"] == [], "both are its own"


def test_blank_texts_are_left_out(service: Service):
    answer = service.add(name="Zymvora", aliases=["", "Zym", " "], categories=[""])
    assert answer.status_code == 200, answer.text
    assert answer.json()["brand"]["aliases"] == ["Zym"]
    assert service.add(name="Zymvora", aliases=[" "], excluded_texts=["", "Zymvora Road"]).status_code == 200
    brand = service.brands()["Zymvora"]
    assert (brand.aliases, brand.excluded_texts, brand.categories) == (("Zym",), ("Zymvora Road",), ())


def test_a_kind_is_kept(service: Service):
    assert service.add(name="FC Zymvora", kind="club").json()["brand"]["kind"] == "club"
    assert service.brands()["FC Zymvora"].kind == "club"


def test_brands_added_at_once_by_two_services_all_stay(service: Service):
    services = [service, Service(service.folder)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: services[n % 2].add(name=f"Brand{'abcdefghijkl'[n] * 5}"), range(12)))
    assert {answer.status_code for answer in answers} == {200}
    assert len([name for name in service.brands() if name.startswith("Brand")]) == 12


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "Zymvora", "kind": "planet"}, "kind"),
        ({"name": "Zymvora", "country": "Narnia"}, "country"),
        ({"name": "Zymvora", "aliases": ["Rolex"]}, "Rolex"),
        ({"name": "Zymvora", "logos": [logo("z.exe")]}, "z.exe"),
        ({"name": "Zymvora", "logos": [{"name": "z.svg", "data": "%"}]}, "base64"),
        ({"name": "Zymvora", "logos": [{"name": "z.svg", "data": "é"}]}, "base64"),
        ({"name": "Zymvora", "logos": [logo("z.png", b"no picture")]}, "z.png"),
        ({"name": "Zymvora", "logos": [logo("z.svg", b"<svg><script>x</script></svg>")]}, "z.svg"),
        ({"name": "\ud800"}, "name"),
        ({"name": "!?"}, "!?"),
        ({"name": "Zym\x07vora"}, "'Zym\\x07vora' has a control character"),
        ({"name": "Zymvora", "aliases": ["Zym", "Zym\x7f"]}, "'Zym\\x7f' has a control character"),
        ({"name": "Rolex", "owner": "\x1b[2J"}, "has a control character"),
    ],
)
def test_what_cannot_be_added_is_a_sentence_and_changes_nothing(service: Service, asked: dict[str, Any], says: str):
    before = (service.folder / "brands.yaml").read_bytes()
    body = json.dumps(asked)
    answer = service.http.post("/brands", content=body, headers={**MEANT, "Content-Type": "application/json"})
    assert answer.status_code == 400
    assert says in answer.json()["detail"]
    assert (service.folder / "brands.yaml").read_bytes() == before
    assert not (service.folder / "logos").exists()


@pytest.mark.parametrize("name", [HOSTILE, "../../etc/passwd", "a\n- name: Evil", "{{ 7 * 7 }}", "=1+1"])
def test_hostile_names_are_names(service: Service, name: str):
    answer = service.add(name=name, logos=[logo("../../evil.svg")])
    assert answer.status_code in (200, 400)
    assert "Evil" not in service.brands()
    assert not list(service.folder.parent.glob("*evil*"))
    assert all(p.is_relative_to(service.folder / "logos") for p in service.folder.rglob("*.svg"))
    assert "<img src=x" not in service.http.get("/brand-list").text


def test_the_packaged_list_cannot_be_changed(service: Service):
    packaged = Service(service.folder, catalog="")
    assert packaged.http.get("/brands", params={"q": "rolex"}).json()["is_own"] is False
    for answer in (
        packaged.add(name="Zymvora"),
        packaged.decide(service.proposals()[0]["proposal_id"], verdict="accepted"),
    ):
        assert answer.status_code == 400
        assert "make it your own" in answer.json()["hint"]
    assert "cannot be changed" in packaged.http.get("/brand-list").text


def test_the_packaged_list_becomes_ones_own_and_every_process_reads_it(service: Service):
    packaged = Service(service.folder, catalog="")
    pipeline_side = Services.of(Settings(store_root=str(service.folder / "store")))
    before = pipeline_side.read_catalog().catalog
    assert packaged.http.post("/brands/own").status_code == 403, "another site's page"
    made = packaged.http.post("/brands/own", headers=MEANT)
    own = service.folder / "store" / "_own_catalog"
    assert made.json() == {"folder": str(own), "listed": len(before.brands)}
    assert packaged.http.get("/brands", params={"q": "rolex"}).json()["is_own"] is True
    assert pipeline_side.read_catalog().catalog == before
    assert packaged.add(name="Zymvora").status_code == 200
    assert "zymvora" in {brand.brand_id for brand in pipeline_side.read_catalog().catalog.brands}
    again = packaged.http.post("/brands/own", headers=MEANT)
    assert (again.status_code, again.json()["listed"]) == (200, len(before.brands) + 1), "as it is, not from the start"
    assert pipeline_side.store.jobs() == ["match"], "it is no job"


def test_one_list_of_a_deployment_comes_before_another(service: Service):
    own = service.folder / "store" / "_own_catalog"
    create_catalog(service.folder / "catalog", empty=True)
    settings = Settings(store_root=str(service.folder / "store"))
    assert settings.brand_list == "", "a folder beside the store may be anybody's"
    create_catalog(own, empty=True)
    assert settings.brand_list == str(own)
    assert settings.model_copy(update={"catalog": service.path}).brand_list == service.path
    (own / "brands.yaml").unlink()
    assert settings.brand_list == "", "a folder that is not complete yet"


def test_where_no_folder_is_shared_the_page_says_how_to_make_a_list(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Settings, "own_list", None)
    packaged = Service(service.folder, catalog="")
    refused = packaged.http.post("/brands/own", headers=MEANT)
    assert (refused.status_code, "catalog init" in refused.json()["hint"]) == (400, True)
    page = packaged.http.get("/brand-list").text
    assert "brand-detect catalog init" in page
    assert 'make-own"' not in page.partition("<script>")[0]


def test_a_store_elsewhere_leaves_no_place_for_a_list():
    assert Settings(store_root="s3://bucket/store").own_list is None


def test_a_proposal_has_its_picture_and_enters_the_list(service: Service):
    [open_] = service.proposals()
    assert (open_["text"], open_["by"], open_["jobs"]) == ("ACME WIDGETS", "cluster", ["match"])
    assert service.http.get(open_["picture"]).content[:2] == b"\xff\xd8"
    done = service.decide(open_["proposal_id"], verdict="accepted", name="Acme")
    assert done.json() == {"verdict": "accepted", "brand": "Acme", "note": "", "alike": []}
    brand = service.brands()["Acme"]
    assert (brand.aliases, len(brand.exemplars)) == (("ACME WIDGETS",), 1)
    assert service.proposals() == []
    again = service.decide(open_["proposal_id"], verdict="rejected")
    assert again.status_code == 404
    assert service.http.get(open_["picture"]).status_code == 404


def test_a_damaged_proposal_is_told_beside_the_others(service: Service):
    (service.folder / "store" / "_proposals" / "0a-proposed-1b.json").write_text("{", encoding="utf-8")
    [open_] = service.proposals()
    page = service.http.get("/brand-list").text
    assert open_["proposal_id"] in page
    assert "The proposal _proposals/0a-proposed-1b.json is damaged and left out" in page
    assert service.decide(open_["proposal_id"], verdict="accepted").status_code == 200


def test_a_rejected_proposal_stays_away(service: Service):
    [open_] = service.proposals()
    assert service.decide(open_["proposal_id"], verdict="rejected").json()["brand"] == ""
    assert service.proposals() == []
    assert list(service.brands()) == list(Service(service.folder).brands())


@pytest.mark.parametrize("seen_before", [False, True])
def test_a_proposal_is_decided_once(service: Service, seen_before: bool):
    [open_] = service.proposals()
    other = Service(service.folder)
    if seen_before:
        assert other.proposals() == [open_]
    assert service.decide(open_["proposal_id"], verdict="rejected").status_code == 200
    for again in (service, other):
        assert again.decide(open_["proposal_id"], verdict="accepted").status_code == 404
    assert service.proposals() == []


def test_what_another_process_decided_is_seen_after_a_while(service: Service, monkeypatch: pytest.MonkeyPatch):
    [open_] = service.proposals()
    Service(service.folder).decide(open_["proposal_id"], verdict="rejected")
    assert service.proposals() == [open_]
    monkeypatch.setattr(stored_brands.time, "monotonic", lambda now=stored_brands.time.monotonic: now() + 6)
    assert service.proposals() == []


def test_without_its_frames_a_proposal_is_accepted_and_the_reason_is_said(service: Service):
    [open_] = service.proposals()
    for shard in (service.folder / "store").glob("match/extract_frames/*/frames*"):
        if shard.is_dir():
            shutil.rmtree(shard)
        elif shard.suffix != ".parquet":
            shard.unlink()
    done = service.decide(open_["proposal_id"], verdict="accepted").json()
    assert done["note"]
    assert service.brands()["ACME WIDGETS"].exemplars == ()


def test_reports_are_named_that_another_list_has_made(service: Service):
    assert service.http.get("/brands/reports").json() == {"reports": [], "not_looked_at": 0}
    service.add(name="Acme", aliases=["Acme Widgets"])
    [report] = service.http.get("/brands/reports").json()["reports"]
    assert report == {"job_id": "match", "video": "match.mp4", "gains": ["Acme"], "loses": []}
    service.folder.joinpath("brands.yaml").write_text("- Zymvora\n")
    [report] = service.http.get("/brands/reports").json()["reports"]
    assert (report["gains"], report["loses"]) == ([], ["Rolex"])
    service.folder.joinpath("brands.yaml").write_text("- Rolex\n- {name: Acme Widgets, excluded: true}\n")
    [report] = service.http.get("/brands/reports").json()["reports"]
    assert (report["gains"], report["loses"]) == ([], []), "its text would be found, and left out"


def test_a_brand_that_the_report_has_is_no_gain(service: Service):
    """A second text may name it, too, and a report made with any other list is looked at."""
    service.folder.joinpath("brands.yaml").write_text("- {name: Rolex, aliases: [Acme Widgets]}\n- Zymvora\n")
    [report] = service.http.get("/brands/reports").json()["reports"]
    assert (report["gains"], report["loses"]) == ([], [])


def test_what_the_report_was_made_with_and_does_not_name_is_no_gain(service: Service, monkeypatch: pytest.MonkeyPatch):
    service.add(name="Acme", aliases=["Acme Widgets"])
    made_with = load_catalog(service.path).catalog
    monkeypatch.setattr(stored_brands, "catalog_from_json", lambda *_: made_with)
    [report] = service.http.get("/brands/reports").json()["reports"]
    assert report["gains"] == [], "some rule kept it from being named, and would again"


def test_a_brand_that_a_person_named_is_lost_only_if_it_is_excluded(service: Service, monkeypatch: pytest.MonkeyPatch):
    load = Store.load

    def corrected(store: Store, ref: Any, *tables: Any, **more: Any) -> Any:
        value = load(store, ref, *tables, **more)
        if isinstance(value, Report):
            return replace(value, summary={**value.summary, "reviews": [{"to": "Rolex"}, {"to": None}]})
        return value

    monkeypatch.setattr(Store, "load", corrected)
    service.folder.joinpath("brands.yaml").write_text("- Zymvora\n")
    [report] = service.http.get("/brands/reports").json()["reports"]
    assert report["loses"] == []
    service.folder.joinpath("brands.yaml").write_text("- {name: Rolex, excluded: true}\n")
    [report] = service.http.get("/brands/reports").json()["reports"]
    assert report["loses"] == ["Rolex"], "the list leaves it out wherever it is"


def test_reports_beyond_the_limit_are_counted(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stored_brands, "MOST_REPORTS", 0)
    assert service.http.get("/brands/reports").json() == {"reports": [], "not_looked_at": 1}


def test_a_damaged_report_hides_no_other(service: Service):
    store = Store(str(service.folder / "store"))
    [made] = store.attempts("match", "compile_report")
    (service.folder / "store" / "match" / "compile_report" / made.attempt / "unresolved.parquet").write_bytes(b"x")
    service.add(name="Acme")
    assert service.http.get("/brands/reports").json()["reports"] == []


def test_a_list_that_cannot_be_read_is_a_sentence(service: Service):
    (service.folder / "brands.yaml").write_text("- {name: Rolex, colour: blue}\n")
    answer = service.http.get("/brands")
    assert answer.status_code == 400
    assert "brands.yaml" in answer.json()["detail"]


def test_two_brands_become_one(service: Service):
    merged = service.http.post("/brands/rolex/merge", json={"into": "Emirates"}, headers=MEANT)
    assert (merged.status_code, merged.json()["name"], merged.json()["aliases"]) == (200, "Emirates", ["Rolex"])
    assert merged.json()["notes"] == []
    assert [b["name"] for b in service.http.get("/brands").json()["brands"]] == ["Emirates"]
    again = service.http.post("/brands/rolex/merge", json={"into": "Emirates"}, headers=MEANT)
    assert again.status_code == 404
    nobody = service.http.post("/brands/emirates/merge", json={"into": "Nobody"}, headers=MEANT)
    assert (nobody.status_code, "Nobody" in nobody.json()["detail"]) == (400, True)
    assert service.http.post("/brands/emirates/merge", json={"into": "Rolex"}).status_code == 403


def test_a_brand_is_left_out_of_reports_and_counted_again(tmp_path: Path):
    (tmp_path / "brands.yaml").write_text("- Red Widgets\n")
    service = Service(tmp_path)

    def change(what: str, brand_id: str = "red-widgets") -> Any:
        return service.http.post(f"/brands/{brand_id}/{what}", headers=MEANT)

    def touched() -> list[tuple[list[str], list[str]]]:
        return [(r["gains"], r["loses"]) for r in service.http.get("/brands/reports").json()["reports"]]

    def reported() -> list[str]:
        return [b["brand"] for b in service.http.get("/jobs").json()["jobs"][0]["brands"]]

    with pipeline(tmp_path) as built:
        built.reader.dark, built.reader.bright = "RED WIDGETS", "WIDGETS"
        built.runner.submit(str(two_shot_clip(tmp_path / "match.mp4", seconds=2.0)), job_id="match")
        assert (reported(), touched()) == (["Red Widgets"], [])
        done = change("exclude")
        assert (done.status_code, done.json()["name"], done.json()["excluded"]) == (200, "Red Widgets", True)
        assert touched() == [([], ["Red Widgets"])]
        built.runner.replay("match", "match_brands")
    service = Service(tmp_path)
    assert (reported(), touched()) == ([], [])
    page = service.http.get("/reports/match").text
    assert "Brands that the catalogue excludes are left out. On screen: Red Widgets." in page
    assert service.proposals() == [], "neither its name nor a word of it"
    found = service.http.get("/brands", params={"q": "excluded"}).json()
    assert ([b["name"] for b in found["brands"]], found["excluded"]) == (["Red Widgets"], 1)
    assert change("include").json()["excluded"] is False
    assert touched() == [(["Red Widgets"], [])]
    assert service.http.get("/brands").json()["excluded"] == 0
    assert change("exclude", "nobody").status_code == 404
    assert service.http.post("/brands/red-widgets/exclude").status_code == 403
    packaged = Service(tmp_path, catalog="").http.post("/brands/red-widgets/exclude", headers=MEANT)
    assert (packaged.status_code, "make it your own" in packaged.json()["hint"]) == (400, True)


def test_a_list_that_was_changed_is_not_kept_in_memory(service: Service):
    service.add(name="Acme of this test", aliases=["ACME WIDGETS"])
    versions = []
    for n in range(4):  # the last two are read for the next change
        service.add(name="Zymvora" + "abcd"[n] * 5)
        [report] = service.http.get("/brands/reports").json()["reports"]
        assert report["gains"] == ["Acme of this test"]
        versions.append(service.http.get("/brands").json()["version"])
    gc.collect()
    kept = {made.version for made in gc.get_objects() if isinstance(made, BrandCatalog)}
    assert [version in kept for version in versions] == [False, False, True, True]


def test_a_key_is_asked_for(service: Service):
    settings = Settings(store_root=str(service.folder / "store"), catalog=service.path)
    app = create_app(Client("http://127.0.0.1:9"), settings, api_key="geheim")
    http = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
    for path in ("/brands", "/brands/reports", "/proposals", "/brands/logos/x.jpg", "/proposals/x.jpg"):
        assert http.get(path).status_code == 401, path
    assert http.post("/brands", json={"name": "Zymvora"}, headers=MEANT).status_code == 401
    page = http.get("/brand-list")
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/brand-list")
    entered = http.post("/login", content="key=geheim&next=/brand-list")
    assert entered.headers["location"] == "/brand-list"
    assert http.get("/brand-list").status_code == 200


def test_another_site_can_change_nothing(service: Service):
    assert service.http.post("/brands", json={"name": "Zymvora"}).status_code == 403
    form = service.http.post("/brands", content="name=Zymvora", headers={**MEANT, "Content-Type": "text/plain"})
    assert form.status_code == 415
    assert "Zymvora" not in service.brands()


def test_a_store_out_of_reach_hides_no_report_and_costs_no_logo(service: Service, monkeypatch: pytest.MonkeyPatch):
    """What may pass is no answer: neither "every report was made with this list" nor a brand without its logo."""
    [open_] = service.proposals()
    service.add(name="Zymvora")

    def away(*_: Any, **__: Any) -> None:
        raise Transient("The store is out of reach.")

    monkeypatch.setattr(Store, "load", away)
    for answer in (
        service.http.get("/brands/reports"),
        service.http.get(open_["picture"]),
        service.decide(open_["proposal_id"], verdict="accepted"),
    ):
        assert (answer.status_code, answer.json()["detail"]) == (503, "The store is out of reach.")
    monkeypatch.undo()
    assert [p["proposal_id"] for p in service.proposals()] == [open_["proposal_id"]]
    assert "ACME WIDGETS" not in service.brands()
