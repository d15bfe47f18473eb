from html.parser import HTMLParser
from typing import Any

import pytest

from brand_detect.domain import model as m
from brand_detect.domain.params import CompileReportParams
from brand_detect.engines.image import OpenCvCodec
from brand_detect.report import page, pages
from brand_detect.report.documents import write_documents
from brand_detect.report.exports import document
from brand_detect.report.words import clock, duration, percent
from brand_detect_tests import payloads as p
from brand_detect_tests.report.fakes import Files, Pictures, match, nothing, report_of

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
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def rendered(payloads: dict[str, Any], frames: Pictures | None = None) -> str:
    whole = document(payloads["compile_report"], payloads["job_request"])
    return page.render(whole, frames or Pictures(), OpenCvCodec(), 320)


def test_the_page_tells_the_report() -> None:
    seen = Page(rendered(match()))
    for words in ("Nike", "Itaú", "1.5 s", "0:00.2 to 0:01.8", "fuzzy match in match_brands", "KAPRUN", "±0.25 s"):
        assert words in seen.text
    assert "rapidocr <3>" in seen.text
    assert "7.2 s" in seen.text
    pictures = seen.of("img")
    assert len(pictures) == 3  # two brands and the open mark
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in pictures)


def test_the_page_runs_nothing_and_asks_no_host() -> None:
    html = rendered(match())
    seen = Page(html)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in seen.elements}
    assert "http" not in html.replace("http-equiv", "")
    assert not [a for _, attributes in seen.elements for a in attributes if a.startswith("on")]
    policy = next(a for a in seen.of("meta") if a.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(text: str) -> None:
    harmless, hostile = Page(rendered(match())), Page(rendered(match(nike=text, unknown=text, note=text)))
    plain = [(tag, sorted(a)) for tag, a in harmless.elements]
    assert [(tag, sorted(a)) for tag, a in hostile.elements if tag not in ("section", "ul", "li")] == [
        element for element in plain if element[0] not in ("section", "ul", "li")
    ]
    shown = text if len(text) <= 120 else text[:120] + "…"
    assert " ".join(shown.split()) in hostile.text


def test_long_texts_are_cut_and_foreign_directions_kept_apart() -> None:
    html = rendered(match(nike="x" * 10_000))
    assert "x" * 121 not in html
    assert f"<bdi>{HOSTILE[2]}</bdi>" in rendered(match(nike=HOSTILE[2]))


def test_a_report_without_brands_says_so() -> None:
    seen = Page(rendered(nothing()))
    assert "No brand was found." in seen.text
    assert "20 frames were looked at" in seen.text
    assert not seen.of("img")


def test_only_the_frames_shown_are_read_and_each_once() -> None:
    frames = Pictures()
    rendered(match(), frames)
    assert frames.reads == [1, 10, 14]


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


def test_a_long_report_stays_small_and_says_what_it_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PICTURES", 50)
    frames = p.frames(1200)
    scenes = p.scenes(frames)
    regions = [p.region(i, f"t{b}", (10 * b, 10, 20, 20)) for b in range(40) for i in range(b, 1200, 20 + b)]
    verdicts = p.verdicts([p.verdict(f"Brand {b}", [f"t{b}"]) for b in range(40)])
    made = report_of(p.request(600.0), frames, scenes, p.detected(regions, scenes), verdicts)
    reader = Pictures()
    html = rendered({"compile_report": made, "job_request": p.request(600.0)}, reader)
    seen = Page(html)
    assert len(seen.of("img")) == 50
    assert all(f"Brand {b}" in seen.text for b in range(40))
    assert f"50 of {made.exposures.num_rows} exposures are shown with a picture" in seen.text
    assert "Not listed here: 30 shorter ones" in seen.text
    assert len(html) < 1_500_000


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
    assert set(sink.files) == {"report.json", "brands.csv", "exposures.csv", "markers.vtt", "report.html"}
    assert sink.files["report.html"].startswith(b"<!doctype html>")


def test_open_marks_without_a_known_crop_are_listed() -> None:
    payloads = match()
    gone = p.cluster(1, "GONE", p.region(5, "nobody"))
    made = report_of(
        payloads["job_request"],
        payloads["extract_frames"],
        payloads["filter_scenes"],
        payloads["detect_objects"],
        p.verdicts([], [gone]),
    )
    seen = Page(rendered(payloads | {"compile_report": made}))
    assert "GONE" in seen.text
    assert not seen.of("img")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0:00.0"), (83.26, "1:23.3"), (59.97, "1:00.0"), (3600, "1:00:00.0")]
)
def test_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words


@pytest.mark.parametrize(("seconds", "words"), [(1.25, "1.2 s"), (125, "2 min 5 s"), (3660, "1 h 01 min")])
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("share", "words"), [(0.5, "50 %"), (0.0123, "1.2 %"), (0.007, "0.70 %"), (0.00001, "< 0.01 %"), (0, "0.00 %")]
)
def test_percent(share: float, words: str) -> None:
    assert percent(share) == words


def test_every_zone_has_its_field() -> None:
    assert len(set(m.ZONES)) == 9
