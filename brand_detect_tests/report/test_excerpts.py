"""Excerpts for Dagster's metadata: short, and made of what the stages handed on."""

from brand_detect.domain.contracts.verdicts import ANSWERS, BrandVerdicts
from brand_detect.domain.tables import table
from brand_detect.report.excerpts import ROWS, excerpts
from brand_detect_tests.support import payloads as p
from brand_detect_tests.support.report_fakes import match, nothing


def test_each_stage_tells_what_it_made() -> None:
    made = match()
    assert excerpts(made["filter_scenes"])["frames_by_status"] == [
        {"status": "keyframe", "frames": 18, "seconds": 9.0},
        {"status": "duplicate", "frames": 1, "seconds": 0.5},
        {"status": "black", "frames": 1, "seconds": 0.5},
    ]
    assert excerpts(made["detect_objects"]) == {
        "regions_by_kind": [{"kind": "text", "regions": 5, "tracks": 3, "overlay_tracks": 0}]
    }
    assert {row["text"] for row in excerpts(made["run_ocr"])["texts_by_tracks"]} == {"Nike", "ITAÚ", "KAPRUN"}
    told = excerpts(made["escalate_cloud"])
    assert {row["brand"]: row["rule"] for row in told["verdicts_by_brand"]} == {"Nike": "exact", "Itaú": "fuzzy"}
    assert [row["why"] for row in told["unresolved_clusters"]] == ["no rule matches it"]
    assert [row["brand"] for row in excerpts(made["compile_report"])["brands_by_seconds"]] == ["Nike", "Itaú"]


def test_what_was_paid_before_costs_nothing_again() -> None:
    rows = [p.answer("a", cost_usd=0.25), p.answer("b", cost_usd=0.5, remembered=True)]
    empty = p.verdicts([])
    told = excerpts(BrandVerdicts(empty.verdicts, empty.unresolved, table(ANSWERS, rows)))
    assert told["answers_by_model"] == [
        {"model": "openai_compatible/llava", "status": "answered", "answers": 2, "cost_usd": 0.25}
    ]


def test_tables_are_short_and_none_is_empty() -> None:
    made = p.texts([p.text(f"t{i}", f"TEXT {i} " + "x" * 10_000) for i in range(40)])
    [rows] = excerpts(made).values()
    assert len(rows) == ROWS
    assert all(len(row["text"]) < 200 for row in rows)
    assert all(
        excerpts(value) == {}
        for value in (nothing()["run_ocr"], nothing()["compile_report"], nothing()["extract_frames"])
    )
