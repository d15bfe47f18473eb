"""The pages of the service in words: every stage and every param is explained, and hostile text stays text."""

import html
import json
import re
from typing import Any

import pytest

from brand_detect.domain.contracts import CONTRACTS, effective
from brand_detect.domain.pipeline import LINE, STAGES
from brand_detect.report.home import WORDS, render_jobs, render_replay

JOB: dict[str, Any] = {
    "job_id": "match",
    "video": "",
    "video_s": None,
    "state": "queued",
    "says": "waiting in the queue",
    "run_id": "r1",
    "stage": None,
    "stages": list(LINE),
    "done": [],
    "progress": None,
    "created_s": 1_700_000_000.0,
    "not_before_s": None,
    "report": None,
    "compare": None,
    "brands": [],
    "n_brands": 0,
    "unresolved": 0,
    "losses": [],
    "thumbnail": None,
}
ASKED = {"q": "", "state": "", "sort": "newest"}


def listed(**job: Any) -> str:
    page = {"jobs": [JOB | job], "total": 1, "page": 1, "pages": 1, "counts": {"queued": 1}, "note": "", "live": True}
    return render_jobs(page, ASKED)


def fields(page: str) -> dict[str, str]:
    """The value of each field by its id, as a browser would show it."""
    found = {}
    for block in re.findall(r'<div class="field".*?</div>', page, re.S):
        [(name, tag)] = re.findall(r'for="([\w.]+)".*?<(input|select|textarea)', block, re.S)
        if tag == "input":
            [found[name]] = re.findall(r'<input [^>]*value="([^"]*)"', block)
        elif tag == "textarea":
            [found[name]] = re.findall(r"<textarea[^>]*>(.*?)</textarea>", block, re.S)
        else:
            [found[name]] = re.findall(r'<option(?: value="(?:\w+)")? selected>([^<]*)<', block)
    return {name: html.unescape(value) for name, value in found.items()}


def test_every_stage_has_its_words():
    assert tuple(WORDS) == LINE
    assert len({words for told in WORDS.values() for words in told}) == 3 * len(LINE)


def test_every_param_has_a_field_with_the_value_in_force_and_its_meaning():
    in_force = {stage: effective(stage, {}).model_dump(mode="json") for stage in STAGES}
    in_force["run_ocr"] |= {"max_crops": 7, "reuse_readings": False, "engine": "tesseract"}
    in_force["compile_report"] |= {"exclude_kinds": ["league", "club"], "placements": [{"placement": "board"}]}
    planned = {s: {below: in_force[below] for below in STAGES[i:]} for i, s in enumerate(STAGES)}
    page, [script] = render_replay(JOB, planned, "run_ocr")
    found = fields(page)
    assert list(found) == [f"{s}.{name}" for s in STAGES for name in CONTRACTS[s].params.model_fields]
    assert (found["run_ocr.max_crops"], found["run_ocr.reuse_readings"], found["run_ocr.engine"]) == (
        "7",
        "no",
        "tesseract",
    )
    assert found["compile_report.exclude_kinds"] == "league\nclub"
    assert json.loads(found["compile_report.placements"]) == [{"placement": "board"}]
    for stage in STAGES:
        for name, field in CONTRACTS[stage].params.model_fields.items():
            described = (field.description or "")[1:]
            assert described, f"{stage}.{name} has no description"
            assert html.escape(described).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page
    assert script in page


@pytest.mark.parametrize(
    ("start", "begins", "chosen"),
    [
        ("", STAGES, "match_brands"),
        ("detect_objects", STAGES, "detect_objects"),
        ("no such stage", STAGES, "match_brands"),
        ("compile_report", STAGES[:3], "detect_objects"),
        ("", STAGES[:1], "extract_frames"),
    ],
)
def test_a_replay_begins_where_there_is_something_to_begin_from(start: str, begins: tuple[str, ...], chosen: str):
    page, _ = render_replay(JOB, {stage: {} for stage in begins}, start)
    assert re.findall(r'value="(\w+)" checked', page) == [chosen]
    assert re.findall(r'name="start" value="(\w+)"', page) == [*begins]


@pytest.mark.parametrize(
    ("left_s", "words"), [(0.4, "0 s"), (89.4, "89 s"), (91, "2 min"), (5340, "89 min"), (5400, "1 h 30 min")]
)
def test_a_forecast_is_rough(left_s: float, words: str):
    progress = {"done": 1.0, "total": 9.0, "unit": "frames", "rate": 1.0, "left_s": left_s}
    page = listed(state="running", stage="run_ocr", done=list(LINE[:4]), progress=progress)
    assert f"1 of 9 frames, 1.0 a second, about {words} left in this step" in page


def test_an_unknown_total_gives_no_forecast():
    progress = {"done": 40.0, "total": 0.0, "unit": "frames", "rate": 2.0, "left_s": None}
    page = listed(state="running", stage="run_ocr", done=[], progress=progress)
    assert "40 frames, 2.0 a second<" in page


def test_hostile_text_stays_text():
    bad = '"><script>alert(1)</script>'
    brands = [{"brand": bad, "seconds": 1.0}]
    page = listed(video=bad, state="failed", says=bad, brands=brands, n_brands=1, report="/reports/match")
    assert "<script" not in page
    assert page.count(html.escape(bad).replace("&quot;", "&#34;")) >= 3
    own = effective("run_ocr", {}).model_dump(mode="json")
    planned = {"detect_objects": {"run_ocr": own}, "run_ocr": {"run_ocr": own | {"languages": bad}}}
    page, [script] = render_replay(JOB | {"video": bad}, planned, bad)
    assert html.unescape(page).count(bad) >= 2
    assert page.count("<script") == 1
    assert page.count("</script>") == 1
    assert "</script" not in script
