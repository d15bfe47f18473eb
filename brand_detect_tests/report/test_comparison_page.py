"""The page of a comparison: what it tells, that it stands alone, and what it does without frames."""

import re

import pytest

from brand_detect.domain.catalog import Brand, Exemplar
from brand_detect.domain.errors import Permanent
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.protocols import FrameReader, Image
from brand_detect.engines.image import OpenCvCodec
from brand_detect.report import comparison_page
from brand_detect.report.comparison import Comparison, compare
from brand_detect_tests.report.test_comparison import NIKE, REGIONS, catalog, facts, side, track
from brand_detect_tests.report.test_page import HOSTILE, Page
from brand_detect_tests.support import payloads as p
from brand_detect_tests.support.report_fakes import Pictures

BEFORE = side([NIKE], [p.cluster(1, "ACME", REGIONS[2])], regions=REGIONS)
AFTER = side(
    [p.verdict("Acme", ["b"], text="ACME")],
    regions=REGIONS,
    brands=catalog("Nike", "Acme"),
    attempt="run-2-0",
)


class Gone(FrameReader):
    """Frames whose shard was deleted."""

    def read(self, frame: int) -> Image:
        raise Permanent(f"The checkpoint is gone: frame {frame}.")


def rendered(comparison: Comparison, before: object = None, after: object = None) -> str:
    frames = {"before": before or Pictures(), "after": after or Pictures()}
    return comparison_page.render(comparison, frames, OpenCvCodec())  # pyright: ignore[reportArgumentType]


def test_the_page_tells_what_changed() -> None:
    before, after = Pictures(), Pictures()
    seen = Page(rendered(compare(BEFORE, AFTER), before, after))
    assert not re.search(r"\b1 (brands|exposures)\b", seen.text)
    for words in (
        "1 brand gained 1.5 s, 1 brand lost 1.0 s, 2 tracks got a different verdict.",
        "Acme new",
        "Nike gone",
        "before: unresolved after: Acme: the text is the brand's name (Match brands) , confidence 0.90",
        "brands in one list only",
        "1 → 0 unresolved clusters",
    ):
        assert words in seen.text
    assert len(seen.of("img")) == 4  # of each brand the longest time, of each verdict the best crop
    assert before.reads == [2]  # what was lost is shown as it was
    assert set(after.reads) <= {2, 3, 12, 13, 14}


def test_a_name_from_right_to_left_does_not_turn_the_others() -> None:
    before = side([NIKE], regions=REGIONS, request=p.request(video_uri="/videos/نهائي.mp4"))
    heads = [words for words in rendered(compare(before, AFTER)).splitlines() if "<h1>" in words]
    assert [words.strip() for words in heads] == [
        "<h1>Comparison of <bdi>نهائي.mp4</bdi> and <bdi>match.mp4</bdi></h1>"
    ]


def test_the_bars_go_from_zero_to_both_sides_and_are_as_long_as_the_seconds() -> None:
    html = rendered(compare(BEFORE, AFTER))
    strokes = re.findall(r'<rect class="(gained|lost)" x="([\d.]+)" width="([\d.]+)" height="10"><title>\1 ', html)
    assert {kind: (float(x), float(width)) for kind, x, width in strokes} == {
        "gained": (400.0, 600.0),
        "lost": (0.0, 400.0),
    }


def test_the_lanes_show_what_both_have_and_what_one_has_alone() -> None:
    """Nike from 0.75 to 2.25 s before, from 1.25 to 2.75 s after, of 10 s."""
    before = side([NIKE], regions=track("a", (2, 3, 4)))
    html = rendered(compare(before, side([NIKE], regions=track("a", (3, 4, 5)))))
    lanes = re.findall(r'<svg [^>]*aria-label="Nike (before|after)">(.*?)</svg>', html, re.DOTALL)
    strokes = {
        name: [
            (kind, float(x), float(width))
            for kind, x, width in re.findall(r'<rect class="(\w+)" x="([\d.]+)" width="([\d.]+)"', lane)
        ]
        for name, lane in lanes
    }
    assert strokes == {
        "before": [("both", 125.0, 100.0), ("lost", 75.0, 50.0)],
        "after": [("both", 125.0, 100.0), ("gained", 225.0, 50.0)],
    }


def test_the_page_runs_nothing_and_asks_no_host() -> None:
    html = rendered(compare(BEFORE, AFTER))
    seen = Page(html)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in seen.elements}
    assert "http" not in html.replace("http-equiv", "")
    assert not [a for _, attributes in seen.elements for a in attributes if a.startswith("on")]
    policy = next(a for a in seen.of("meta") if a.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in seen.of("img"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(text: str) -> None:
    def page(name: str) -> Page:
        after = side([p.verdict(name, ["b"])], regions=REGIONS, brands=catalog("Nike", name), attempt="run-2-0")
        return Page(rendered(compare(BEFORE, after)))

    harmless, hostile = page("Acme"), page(text)
    assert [(tag, sorted(a)) for tag, a in hostile.elements] == [(tag, sorted(a)) for tag, a in harmless.elements]
    shown = text if len(text) <= 120 else text[:120] + "…"
    assert " ".join(shown.split()) in hostile.text


@pytest.mark.parametrize(("sides", "n_pictures"), [(("before",), 3), (("after",), 1), (("before", "after"), 0)])
@pytest.mark.parametrize("frames", [None, Gone()])
def test_frames_that_are_gone_leave_a_page_without_them_that_says_so(
    sides: tuple[str, ...], n_pictures: int, frames: Gone | None
) -> None:
    readers = {name: frames if name in sides else Pictures() for name in ("before", "after")}
    seen = Page(comparison_page.render(compare(BEFORE, AFTER), readers, OpenCvCodec()))
    assert len(seen.of("img")) == n_pictures
    for name in ("before", "after"):
        assert (f"The frames of the report {name} are gone" in seen.text) == (name in sides)
    assert "“ ACME ”" in seen.text


def test_two_videos_have_no_common_time() -> None:
    other = p.request(job_id="other", video_sha256="f" * 64)
    after = side([p.verdict("Nike", ["z"])], regions=track("z", (2, 3, 4)), request=other)
    text = Page(rendered(compare(side([NIKE], regions=REGIONS), after))).text
    assert "Difference in seconds" in text
    assert "When" not in text
    assert "When" in Page(rendered(compare(BEFORE, AFTER))).text


def test_a_video_that_was_moved_is_no_different_setting() -> None:
    was, now = ({stage: facts(params={}) for stage in LINE} for _ in range(2))
    was["job_request"] = facts(params={"video_uri": "/srv/match.mp4"})
    now["job_request"] = facts("run-2-0", params={"video_uri": "s3://bucket/match.mp4"})
    assert (
        "match.mp4 match.mp4"
        not in Page(rendered(compare(side(regions=REGIONS, stages=was), side(regions=REGIONS, stages=now)))).text
    )


def test_settings_are_in_the_words_of_the_other_pages() -> None:
    logos = [tuple(Exemplar(letter * 16, "png") for letter in letters) for letters in ("ab", "bc")]
    was, now = ({stage: facts(params={}) for stage in LINE} for _ in range(2))
    was["job_request"] = facts(params={"video_uri": "/srv/.state/uploads/1a/match.mp4"})
    now["job_request"] = facts(params={"video_uri": "/mnt/other.mp4"})
    now["run_ocr"] = facts("run-2-0", params={"max_crops": 7, "languages": ["en", "de"]})
    lists = [catalog(Brand("nike", "Nike", exemplars=own)) for own in logos]
    seen = Page(
        rendered(
            compare(
                side(regions=REGIONS, stages=was, brands=lists[0]), side(regions=REGIONS, stages=now, brands=lists[1])
            )
        )
    )
    for words in (
        "Open the video: video match.mp4 other.mp4",
        "Read text: max crops – 7",
        "Read text: languages – en, de",
        "Nike: logos 2, 1 of them on this side only 2, 1 of them on this side only",
        "cost of the questions none none",
    ):
        assert words in seen.text
    assert "/srv" not in seen.text


def test_the_same_report_differs_in_nothing() -> None:
    seen = Page(rendered(compare(BEFORE, BEFORE)))
    assert "No brand gained or lost a second, and no verdict changed." in seen.text
    assert "None: all 3 tracks on both sides have the same verdicts." in seen.text
    assert "Nothing: settings, engines, code and brand list are the same." in seen.text
    assert "Seconds gained and lost" not in seen.text
    assert not seen.of("img")
    one = side([NIKE], regions=track("a", (2, 3)))
    assert "None: the 1 track on both sides has the same verdicts." in Page(rendered(compare(one, one))).text


def test_two_videos_have_bars_and_no_times_gained() -> None:
    other = p.request(job_id="other", video_sha256="f" * 64)
    after = side([p.verdict("Nike", ["z"])], regions=track("z", (2, 3, 4)), request=other)
    html = rendered(compare(BEFORE, after))
    assert "These are two different videos" in Page(html).text
    assert "The two sides have no track in common to compare." in Page(html).text
    assert re.search(r'<rect class="gained" x="0.0" width="1000.0"', html)
    assert "only after, gained" not in html


def test_a_comparison_without_brands_says_so() -> None:
    seen = Page(rendered(compare(side(regions=REGIONS), side(regions=REGIONS, attempt="run-2-0"))))
    assert "Neither report has a brand." in seen.text


def test_a_long_comparison_stays_small_and_says_what_it_left_out() -> None:
    names = [f"Brand {i}" for i in range(150)]
    regions = [p.region(i % 20, f"t{i}", (i, i, 20, 20)) for i in range(150)]
    after = side([p.verdict(n, [f"t{i}"]) for i, n in enumerate(names)], regions=regions, brands=catalog(*names))
    html = rendered(compare(side(regions=regions), after))
    seen = Page(html)
    assert len(seen.of("img")) == comparison_page.PICTURED_BRANDS + comparison_page.VERDICTS
    assert "Shown are the 36 groups longest on screen of 150" in seen.text
    assert "50 more are in the JSON document." in seen.text
    assert len(html) < 1_000_000
