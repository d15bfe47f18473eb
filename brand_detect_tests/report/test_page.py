import base64
import hashlib
import json
import re
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from brand_detect.domain.contracts.compile_report import (
    ASSET_TOTALS,
    BRANDS,
    EXPOSURES,
    PLACEMENT_TOTALS,
    ZONES,
    CompileReportParams,
)
from brand_detect.domain.tables import table
from brand_detect.engines.image import OpenCvCodec
from brand_detect.report import page, pages
from brand_detect.report.documents import write_documents
from brand_detect.report.exports import document
from brand_detect.report.figures import figures_of
from brand_detect.report.words import clock, duration, percent
from brand_detect_tests.support import payloads as p
from brand_detect_tests.support.report_fakes import Files, Pictures, match, nothing, select_report

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)> ' onload='alert(1)",
    "\u202e\u2066evil\u2069 مرحبا",
    "{{ 7 * 7 }} {% raw %} javascript:alert(1) </title></style>",
    "x" * 10_000,
]
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Elements with attributes, and the text; tags must close in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.words.append(data)
        elif self.open[-1] == "script":
            self.scripts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def rendered(payloads: dict[str, Any], frames: Pictures | None = None, **params: Any) -> str:
    report = payloads["compile_report"]
    whole = document(report, payloads["job_request"])
    settings = CompileReportParams.model_validate(params)
    return page.render(whole, report.detections, frames or Pictures(), OpenCvCodec(), settings)


def data_of(html: str) -> dict[str, Any]:
    """What the page's script reads."""
    return json.loads(Page(html).scripts[1])


def test_the_page_tells_the_report_without_its_script() -> None:
    seen = Page(rendered(match()))
    for words in ("Nike", "Itaú", "1.5 s", "KAPRUN", "±0.25 s", "Scripts are off", "What the figures mean"):
        assert words in seen.text
    assert "rapidocr <3>" in seen.text
    assert "7.3 s" in seen.text
    figures = [th["data-key"] for th in seen.of("th") if "data-key" in th]
    assert figures == [f.key for f in figures_of((), (), False)]
    assert {f"means-{key}" for key in figures} <= {dd.get("id") for dd in seen.of("dd")}
    assert "Source: sharpness as variance of the Laplacian, Pech-Pacheco et al., ICPR 2000" in seen.text
    assert "Figures without a source are defined by brand_detect" in seen.text


def test_ids_and_engines_stand_in_the_technical_details_alone() -> None:
    payloads = match(note="run_ocr: it took long")
    html = rendered(payloads)
    before, technical = html.split('id="technical"')
    request = payloads["job_request"]
    for words in (request.video_sha256, "rapidocr", "tracks resolved", f"<code><bdi>{request.job_id}</bdi></code>"):
        assert words not in before.partition('id="made"')[2]
        assert words in technical
    assert "Read text: it took long" in Page(html).text
    assert "What was not looked at" in before


def test_what_the_catalogue_says_of_brands_is_a_column_where_it_says_something() -> None:
    payloads = match()
    keys = [th.get("data-key") for th in Page(rendered(payloads)).of("th")]
    assert not {"kind", "categories", "country"} & {*keys}
    report = payloads["compile_report"]
    told = {"kind": "club", "categories": ["banks", "insurance"], "country": "BR"}
    rows = [row | (told if row["brand"] == "Itaú" else {}) for row in report.brands.to_pylist()]
    seen = Page(rendered(payloads | {"compile_report": replace(report, brands=table(BRANDS, rows))}))
    assert [th["data-key"] for th in seen.of("th") if "data-key" in th][-3:] == ["kind", "categories", "country"]
    for words in ("club", "banks, insurance", "BR"):
        assert words in seen.text


def test_no_time_exceeds_the_video_where_its_header_falls_short() -> None:
    payloads = match()
    short = payloads["job_request"].probe.model_copy(update={"duration_s": 9.9})
    html = rendered(payloads | {"job_request": payloads["job_request"].model_copy(update={"probe": short})})
    assert "0:00.0 to 0:10.0 of 0:10.0" in Page(html).text


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/videos/final/match day.mp4", "match day.mp4"),
        ("s3://bucket/final/match.mp4", "match.mp4"),
        ("/videos/<script>alert(1)</script>.mp4", "script>.mp4"),
    ],
)
def test_the_title_is_the_videos_name_without_its_path(uri: str, name: str) -> None:
    payloads = match()
    html = rendered(payloads | {"job_request": payloads["job_request"].model_copy(update={"video_uri": uri})})
    head = html[html.index("<h1>") : html.index("</h1>")]
    assert unescape(head) == f"<h1><bdi>{name}</bdi>"
    assert f"<title>{escape(name)}: brand report</title>" in html
    assert len(Page(html).scripts) == 3


def on_a_board(payloads: dict[str, Any]) -> dict[str, Any]:
    """The same with one exposure on an LED board that is an asset; the others are on nothing that somebody told."""
    first, *rest = payloads["compile_report"].exposures.to_pylist()
    told = table(EXPOSURES, [first | {"placement": "led", "asset": "far side"}, *rest])
    parts = payloads["compile_report"].placements.to_pylist()
    by_placement = table(PLACEMENT_TOTALS, [parts[0] | {"placement": "led", "confidence": 0.875}, *parts[1:]])
    of = {name: parts[0][name] for name in ("brand_id", "brand", "seconds", "share", "n_exposures")}
    by_asset = table(ASSET_TOTALS, [of | {"asset": "far side"}])
    made = replace(payloads["compile_report"], exposures=told, placements=by_placement, assets=by_asset)
    return payloads | {"compile_report": made}


def test_a_placement_that_nobody_set_is_no_column() -> None:
    payloads = match()
    assert set(payloads["compile_report"].exposures["placement"].to_pylist()) == {"unknown"}
    for made, told in ((payloads, False), (on_a_board(payloads), True)):
        html = rendered(made)
        assert ("placement" in [th.get("data-key") for th in Page(html).of("th")]) is told
        assert ("placement" in [f["key"] for f in data_of(html)["figures"]]) is told
        assert ("means-placement" in [dd.get("id") for dd in Page(html).of("dd")]) is told
        headings = [h.get("id") for h in Page(html).of("h3")]
        assert ("placements" in headings, "assets" in headings) == (told, told)
        assert all((text in Page(html).text) is told for text in ("Brands by placement", "LED", "0.88", "far side"))
        assert (
            document(made["compile_report"], made["job_request"]).exposures[1].placement == "unknown"
        )  # data stay whole


def test_brands_by_placement_are_one_row_each_and_what_is_unknown_comes_last() -> None:
    payloads = on_a_board(match())
    report = payloads["compile_report"]
    parts = report.placements.to_pylist()
    both = table(PLACEMENT_TOTALS, [*parts, parts[0] | {"placement": "unknown", "seconds": 90.0}])
    html = rendered(payloads | {"compile_report": replace(report, placements=both)})
    found = html[html.index('id="placements"') : html.index("Time on screen, the share")]
    assert re.findall(r'class="num">([a-zA-Z ]+)</th>', found) == ["LED", "unknown"]
    assert found.count('<th scope="row">') == len({part["brand_id"] for part in parts})
    assert re.search(r"1\.5 s<span class=\"bounds\">[^<]*, 0\.88</span>", found)


def test_the_advertising_equivalent_is_shown_with_its_assumption_where_a_rate_is_set() -> None:
    payloads = match()
    assert "dvertising equivalent" not in Page(rendered(payloads)).text
    stages = (
        payloads[s] for s in ("job_request", "extract_frames", "filter_scenes", "detect_objects", "escalate_cloud")
    )
    priced = select_report(*stages, media_rate=3000.0, media_currency="EUR")
    text = Page(rendered(payloads | {"compile_report": priced})).text
    total = sum(b["media_value"] for b in priced.brands.to_pylist())
    assert 0 < total < 3000 / 30 * 10
    for words in (f"{total:,.0f} EUR", "rate / 30 s × seconds × mean factor", "3,000 EUR for 30 seconds"):
        assert words in text
    assert "Our assumption: factor = share of the picture to the power 0.4 × quality" in text
    assert "market value" not in text.lower()


def test_corrections_are_listed_with_what_became_of_them() -> None:
    payloads = match()
    report = payloads["compile_report"]
    review = {
        "review_id": "a" * 16, "at": "2026-05-01T12:00:00.000000+00:00", "user": "Mia", "action": "rename",
        "brand_id": "nike", "brand": "Nike", "to": "Nivea", "start_s": 0.5, "end_s": 1.5, "note": "look again",
        "state": "orphaned", "detections": 0, "seconds": 0.0,
    }  # fmt: skip
    told = replace(report, summary={**report.summary, "reviews": [review]})
    html = rendered(payloads | {"compile_report": told})
    for words in ("orphaned", "rename Nike as Nivea", "0:00.5 to 0:01.5", "Mia", "look again"):
        assert words in Page(html).text
    assert data_of(html)["reviews"] == [review]
    unnamed = replace(report, summary={**report.summary, "reviews": [review | {"brand": ""}]})
    assert "rename nike as Nivea" in Page(rendered(payloads | {"compile_report": unnamed})).text


def test_only_the_pages_own_script_may_run_and_no_host_is_asked() -> None:
    html = rendered(match())
    seen = Page(html)
    assert not {"link", "iframe", "object", "form", "base"} & {tag for tag, _ in seen.elements}
    assert "http" not in html.replace("http-equiv", "")
    assert not [a for _, attributes in seen.elements for a in attributes if a.startswith("on") or a == "style"]
    service, _, script = seen.scripts
    assert '<script type="application/json" id="service">null</script>' in html
    assert service == "null"
    policy = dict(part.split(" ", 1) for part in str(seen.of("meta")[1]["content"]).split("; "))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = html[html.index("<style>") + 7 : html.index("</style>")]
    assert policy == {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest}'",
        "style-src": f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'",
        "img-src": "data: 'self'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


SCRIPTS = [f"script/{name}" for name in page.SCRIPT]


def test_the_script_never_makes_markup_of_texts() -> None:
    folder = Path(page.__file__).parent
    script = "".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    for danger in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function(", "</", "<!--"):
        assert danger not in script


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(text: str) -> None:
    harmless, hostile = Page(rendered(match())), Page(rendered(match(nike=text, unknown=text, note=text)))
    left_out = ("section", "h2", "h3", "ul", "li", "bdi")  # the note's own
    plain = [(tag, sorted(a)) for tag, a in harmless.elements if tag not in left_out]
    assert [(tag, sorted(a)) for tag, a in hostile.elements if tag not in left_out] == plain
    shown = text if len(text) <= 120 else text[:120] + "…"
    assert " ".join(shown.split()) in hostile.text
    assert text in [brand["brand"] for brand in json.loads(hostile.scripts[1])["brands"]]
    assert "<" not in hostile.scripts[1]
    assert not {"\u2028", "\u2029"} & set(hostile.scripts[1])


def test_long_texts_are_cut_and_foreign_directions_kept_apart() -> None:
    assert "x" * 121 not in Page(rendered(match(nike="x" * 10_000))).text
    assert f"<bdi>{HOSTILE[2]}</bdi>" in rendered(match(nike=HOSTILE[2]))


def test_a_single_exposure_has_its_own_picture() -> None:
    frames = p.frames(2, size=(640, 360))
    scenes = p.scenes(frames)
    found = p.detected([p.region(0, "a", (40, 60, 120, 30))], scenes)
    made = select_report(p.request(), frames, scenes, found, p.verdicts([p.verdict("Nike", ["a"])]))
    assert "1 of 1 exposure has its own picture" in Page(rendered(match() | {"compile_report": made})).text


def test_a_report_without_brands_says_so() -> None:
    seen = Page(rendered(nothing()))
    assert "No brand was found." in seen.text
    assert "20 frames were sampled and 0 regions detected; none matched a brand in the catalogue." in seen.text
    report = nothing()["compile_report"]
    counts = {**report.summary["counts"], "frames_sampled": 1, "regions": 1}
    one = replace(report, summary={**report.summary, "counts": counts})
    assert "1 frame was sampled and 1 region detected" in Page(rendered(nothing() | {"compile_report": one})).text


def test_a_report_whose_brands_are_all_left_out_does_not_say_that_none_matched() -> None:
    payloads = match()
    stages = ("job_request", "extract_frames", "filter_scenes", "detect_objects", "escalate_cloud")
    left_out = select_report(*(payloads[s] for s in stages), exclude_kinds=["brand"])
    seen = Page(rendered(payloads | {"compile_report": left_out}))
    assert "No brand counts." in seen.text
    assert "those that were recognised are left out" in seen.text
    assert "none matched" not in seen.text


def test_only_the_frames_shown_are_read_and_each_once() -> None:
    frames = Pictures()
    data = data_of(rendered(match(), frames))
    assert sorted(frames.reads) == [1, 10, 14]
    pictures = data["pictures"]
    assert sorted(pictures["frames"]) == ["1", "14"]  # of the unresolved cluster on frame 10 the close-up alone
    assert sorted(pictures["exposures"]) == sorted(data["exposures"]["exposure_id"])
    assert list(pictures["clusters"]) == ["cluster-1"]
    assert pictures["size_px"] == [640, 360]
    whole = OpenCvCodec().decode(base64.b64decode(pictures["frames"]["1"]))
    assert whole.shape[1] == page.FRAME_PX


def test_figures_that_were_not_measured_are_dashes() -> None:
    payloads = match()
    report = payloads["compile_report"]
    gaps: dict[str, Any] = {"quality": float("nan"), "clarity": None}
    brands = table(BRANDS, [row | gaps for row in report.brands.to_pylist()])
    exposures = table(EXPOSURES, [row | {"quality": float("nan")} for row in report.exposures.to_pylist()])
    html = rendered(payloads | {"compile_report": replace(report, brands=brands, exposures=exposures)})
    assert "–" in Page(html).text
    assert data_of(html)["brands"][0]["quality"] is None
    assert data_of(html)["exposures"]["quality"] == [None, None]


def test_the_box_on_the_picture_is_where_the_detection_was() -> None:
    frame = Pictures().read(0)
    shown = pages.evidence(frame, (100, 50, 60, 30), OpenCvCodec(), 320)
    picture = (shown.width_px, shown.height_px)
    assert shown.width / 100 * picture[0] == pytest.approx(60)
    assert shown.height / 100 * picture[1] == pytest.approx(30)
    assert picture[0] >= 0.25 * 640
    corner = pages.evidence(frame, (600, 340, 80, 40), OpenCvCodec(), 320)  # reaches over the corner
    assert corner.width_px <= 640
    whole = pages.evidence(frame, (-5, -5, 700, 400), OpenCvCodec(), 320)
    assert (whole.width_px, whole.height_px) == (640, 360)


def test_the_page_fills_up_to_its_size_and_every_brand_has_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = p.frames(1200)
    scenes = p.scenes(frames)
    regions = [p.region(i, f"t{b}", (10 * b, 10, 20, 20)) for b in range(40) for i in range(b, 1200, 20 + b)]
    verdicts = p.verdicts([p.verdict(f"Brand {b}", [f"t{b}"]) for b in range(40)])
    made = select_report(p.request(600.0), frames, scenes, p.detected(regions, scenes), verdicts)
    payloads = {"compile_report": made, "job_request": p.request(600.0)}
    html = rendered(payloads, page_mb=1)
    assert 0.95e6 < len(html.encode()) < 1.12e6
    data = data_of(html)
    pictured = {b for b, i in zip(data["exposures"]["brand"], data["exposures"]["exposure_id"], strict=True)
                if i in data["pictures"]["exposures"]}  # fmt: skip
    assert pictured == set(range(40))
    assert len(data["exposures"]["brand"]) == made.exposures.num_rows
    n_pictured = len(data["pictures"]["exposures"])
    assert n_pictured < made.exposures.num_rows
    assert f"{n_pictured} of {made.exposures.num_rows} exposures have their own picture" in Page(html).text
    monkeypatch.setattr(page, "FRAMES", 7)
    rendered(payloads, reader := Pictures())
    assert len(reader.reads) == 7


def test_the_documents_are_written_into_the_attempt() -> None:
    payloads, sink = match(), Files()
    write_documents(
        payloads["compile_report"],
        payloads["job_request"],
        CompileReportParams.model_validate({"thumbnail_px": 64}),
        frames=Pictures(),
        codec=OpenCvCodec(),
        sink=sink,
    )
    assert set(sink.files) == {*page.DOCUMENTS, "report.html"}
    assert sink.files["report.html"].startswith(b"<!doctype html>")


def test_clusters_without_a_known_crop_are_listed() -> None:
    payloads = match()
    gone = p.cluster(1, "GONE", p.region(5, "nobody"))
    made = select_report(
        payloads["job_request"],
        payloads["extract_frames"],
        payloads["filter_scenes"],
        payloads["detect_objects"],
        p.verdicts([], [gone]),
    )
    html = rendered(payloads | {"compile_report": made}, reader := Pictures())
    assert "GONE" in Page(html).text
    assert data_of(html)["unresolved"][0]["t_s"] is None
    assert reader.reads == []


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0:00.0"), (83.25, "1:23.3"), (59.97, "1:00.0"), (3600, "1:00:00.0")]
)
def test_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1.25, "1.3 s"), (0.15, "0.1 s"), (122.5, "2 min 3 s"), (125, "2 min 5 s"), (3660, "1 h 01 min")],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.5, "50 %"), (0.125, "13 %"), (0.0123, "1.2 %"), (0.007, "0.70 %"), (0.00001, "< 0.01 %"), (0, "0.00 %")],
)
def test_percent(share: float, words: str) -> None:
    assert percent(share) == words


def test_every_zone_has_its_field() -> None:
    assert len(set(ZONES)) == 9
