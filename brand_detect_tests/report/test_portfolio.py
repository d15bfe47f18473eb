"""Totals over reports with known figures."""

import csv
import io
import json
from math import nan
from typing import Any

import pytest

from brand_detect.domain.contracts.compile_report import BRANDS
from brand_detect.domain.tables import table
from brand_detect.report.portfolio import Entry, Portfolio, brands_csv, portfolio, render, videos_csv
from brand_detect_tests.report.test_page import Page
from brand_detect_tests.support import payloads as p
from brand_detect_tests.support.report_fakes import match


def brand(name: str, seconds: float, **changes: Any) -> dict[str, Any]:
    row = p.row(
        BRANDS,
        brand_id=name.lower(),
        brand=name,
        kind="brand",
        seconds=seconds,
        low_s=seconds - 1,
        high_s=seconds + 2,
        n_exposures=2,
        quality=0.5,
        placement="board",
        media_value=None,
    )
    return row | changes


def entry(job: str, *brands: dict[str, Any], day: int = 1, length_s: float = 100.0, **changes: Any) -> Entry:
    values: dict[str, Any] = {
        "request": p.request(job_id=job, video_sha256=job * 8, video_uri=f"/videos/{job}.mp4"),
        "attempt": f"{job}-run-0",
        "submitted": f"2026-05-{day:02d}T12:00:00+00:00",
        "made": f"2026-06-{day:02d}T12:00:00+00:00",
        "brands": table(BRANDS, brands),
        "range_s": (0.0, length_s),
        "quality": "default 1",
        "currency": "",
    }
    return Entry(**(values | changes))


def test_totals_are_summed_and_shared_over_all_videos() -> None:
    whole = portfolio(
        [
            entry("a", brand("Nike", 30, quality=0.8), brand("Itaú", 10), length_s=100),
            entry("b", brand("Nike", 10, quality=0.4, n_exposures=5), length_s=300, day=2),
            entry("c", length_s=100, day=3),
        ]
    )
    nike, itau = whole.brands
    assert (nike.brand, nike.seconds, nike.low_s, nike.high_s) == ("Nike", 40, 38, 44)
    assert (nike.n_exposures, nike.n_videos, itau.n_videos) == (7, 2, 1)
    assert nike.screen_share == pytest.approx(40 / 500)
    assert (nike.share_of_voice, itau.share_of_voice) == (pytest.approx(0.8), pytest.approx(0.2))
    assert nike.quality == pytest.approx((0.8 * 30 + 0.4 * 10) / 40)
    assert (whole.seconds, whole.currency, whole.notes) == (500, "", ())
    assert [(job.job_id, [(b.brand, b.seconds) for b in job.brands]) for job in whole.jobs] == [
        ("a", [("Nike", 30), ("Itaú", 10)]),
        ("b", [("Nike", 10)]),
        ("c", []),
    ]


def test_a_video_goes_by_its_whole_name() -> None:
    request = p.request(job_id="a", video_sha256="a", video_uri="/videos/final #2.mp4")
    assert portfolio([entry("a", request=request)]).jobs[0].video == "final #2.mp4"


def test_the_newest_report_names_the_brand() -> None:
    old = entry("a", brand("nike", 90), day=1)
    new = entry("b", brand("Nike", 1), day=2)
    assert [b.brand for b in portfolio([new, old]).brands] == ["Nike"]


def test_a_video_counts_once_by_its_newest_report() -> None:
    same = p.request(job_id="b", video_sha256="a" * 8)
    whole = portfolio([entry("a", brand("Nike", 30)), entry("b", brand("Nike", 31), day=2, request=same)])
    assert [(job.job_id, job.brands[0].seconds) for job in whole.jobs] == [("b", 31)]
    assert whole.notes == ("a is left out: b has a newer report of the same video.",)
    entries = [entry("a", brand("Nike", 30)), entry("b", brand("Nike", 31), day=2, request=same)]
    without = portfolio(entries, without={"b"})
    assert (without.jobs, [job.job_id for job in without.left_out]) == ((), ["b"]), "a does not take its place"


def test_the_halves_of_a_video_both_count_and_what_overlaps_them_does_not() -> None:
    def of_match(job: str, day: int, start_s: float, end_s: float) -> Entry:
        request = p.request(job_id=job, video_sha256="a" * 8)
        return entry(job, brand("Nike", 30), day=day, request=request, range_s=(start_s, end_s))

    halves = [of_match("first", 1, 0.0, 2700.0), of_match("second", 2, 2700.0, 5400.0)]
    whole = portfolio(halves)
    assert [job.job_id for job in whole.jobs] == ["first", "second"]
    assert (whole.seconds, whole.notes) == (5400, ())
    assert (whole.brands[0].seconds, whole.brands[0].n_videos) == (60, 2)
    whole = portfolio([*halves, of_match("middle", 3, 2000.0, 3000.0)])
    assert [job.job_id for job in whole.jobs] == ["middle"]
    assert whole.notes[0].endswith("a newer report of the same video, and their ranges overlap.")


def test_media_values_are_summed_in_one_currency_only() -> None:
    euros = entry("a", brand("Nike", 30, media_value=100.0), currency="EUR")
    none = entry("b", brand("Nike", 30), day=2)
    more = entry("c", brand("Nike", 30, media_value=50.0), currency="EUR", day=3)
    whole = portfolio([euros, none, more])
    assert (whole.currency, whole.brands[0].media_value) == ("EUR", 150.0)
    assert whole.notes == ("1 report without a media rate, not included in advertising equivalents.",)
    dollars = entry("d", brand("Nike", 30, media_value=70.0), currency="USD", day=4)
    mixed = portfolio([euros, dollars])
    assert (mixed.currency, mixed.brands[0].media_value) == ("", None)
    assert mixed.notes == ("Advertising equivalents are in several currencies (EUR, USD) and are not summed.",)


@pytest.mark.parametrize("not_measured", [None, nan])
def test_quality_leaves_out_what_was_not_measured_and_says_when_scales_differ(not_measured: float | None) -> None:
    unmeasured = entry("a", brand("Nike", 30, quality=not_measured))
    assert portfolio([unmeasured]).brands[0].quality is None
    whole = portfolio([unmeasured, entry("b", brand("Nike", 10), day=2, quality="other 2")])
    assert whole.brands[0].quality == 0.5
    assert "Quality was measured with 2 different scales; the means mix them." in whole.notes


def test_an_entry_of_a_real_report() -> None:
    payloads = match()
    made = Entry.of(payloads["job_request"], payloads["compile_report"], attempt="a", submitted="2026", made="2026")
    whole = portfolio([made])
    rows = payloads["compile_report"].brands.to_pylist()
    assert [(b.brand, b.seconds) for b in whole.brands] == [(r["brand"], r["seconds"]) for r in rows]
    assert whole.brands[0].screen_share == pytest.approx(rows[0]["screen_share"], abs=1e-6)
    assert whole.brands[0].share_of_voice == pytest.approx(rows[0]["share_of_voice"], abs=1e-6)
    assert whole.brands[0].quality == pytest.approx(rows[0]["quality"], abs=1e-6)
    assert Portfolio.model_validate_json(whole.model_dump_json()) == whole


def test_nothing_is_a_portfolio_too() -> None:
    whole = portfolio([])
    assert (whole.brands, whole.jobs, whole.seconds) == ((), (), 0)
    assert "No brand was found." in Page(render(whole)).text
    assert len(list(csv.reader(io.StringIO(videos_csv(whole).decode("utf-8-sig"))))) == 1


def test_tables_hold_the_brands_and_the_matrix() -> None:
    whole = portfolio([entry("a", brand("=cmd()", 30), brand("Itaú", 10)), entry("b", brand("Itaú", 5), day=2)])
    brands = list(csv.DictReader(io.StringIO(brands_csv(whole).decode("utf-8-sig"))))
    assert [(row["brand"], float(row["seconds"])) for row in brands] == [("'=cmd()", 30), ("Itaú", 15)]
    matrix = list(csv.DictReader(io.StringIO(videos_csv(whole).decode("utf-8-sig"))))
    assert [(row["job_id"], row["brand"], row["seconds"]) for row in matrix] == [
        ("a", "'=cmd()", "30.0"),
        ("a", "Itaú", "10.0"),
        ("b", "Itaú", "5.0"),
    ]


def test_the_tiles_of_one_brand_seen_once_are_singular() -> None:
    seen = Page(render(portfolio([entry("a", brand("Itaú", 10, n_exposures=1))])))
    assert "1 video 1 brand 1 appearance" in seen.text
    assert "appearances" not in seen.text


def test_the_page_shows_totals_and_videos_and_runs_nothing() -> None:
    hostile = "<script>alert(1)</script>\u202e"
    whole = portfolio(
        [entry("a", brand(hostile, 30, media_value=1234.5), brand("Itaú", 10), currency="EUR"), entry("b", day=2)]
    )
    html = render(whole)
    seen = Page(html)
    assert not seen.of("script")
    for words in ("Brands over 2 videos", "30.0 s", "29.0 s to 32.0 s", "75 %", "Advertising equivalent, EUR", "1,234"):
        assert words in seen.text
    assert "b.mp4 job b , 2026-05-02, 100.0 s" in seen.text
    assert "default-src 'none'" in html


def test_bounds_that_read_the_same_are_left_out() -> None:
    sure = brand("Nike", 20.0, low_s=19.98, high_s=20.04)
    assert "20.0 s to" not in Page(render(portfolio([entry("a", sure)]))).text


def test_a_long_season_says_what_the_matrix_leaves_out() -> None:
    brands = [brand(f"Brand {n}", 100 - n) for n in range(20)]
    seen = Page(render(portfolio([entry(f"job-{n}", *brands, day=1 + n % 28) for n in range(310)])))
    assert "Not shown: 8 more brands." in seen.text
    assert "Not shown: 10 earlier videos." in seen.text


def test_the_json_is_stable() -> None:
    whole = json.loads(portfolio([entry("a", brand("Nike", 30))]).model_dump_json())
    assert whole["schema_version"] == 1
    assert whole["brands"][0]["seconds"] == 30.0
