"""How a report says that it was made."""

from dataclasses import replace
from typing import Any

from brand_detect.domain.contracts.compile_report import CompileReportParams
from brand_detect.report.exports import document
from brand_detect.report.method import in_words, method
from brand_detect_tests.support.report_fakes import match, nothing

FOUND = {"min_height_px": 6, "min_logo_px": 16, "logos": "contours"}


def told(payloads: dict[str, Any], summary: dict[str, Any] | None = None, **params: Any) -> dict[str, list[str]]:
    report = payloads["compile_report"]
    report = replace(report, summary={**report.summary, **(summary or {})})
    parts = method(document(report, payloads["job_request"]), CompileReportParams(**params))
    return {part.title: list(part.sentences) for part in parts}


def test_it_says_what_was_looked_at_how_often_what_counts_and_what_was_not_looked_at() -> None:
    payloads = match()
    settings = {"match_brands": {"min_confidence": 0.6}, "detect_objects": FOUND}
    assert told(payloads, {"run": {"params": settings}}) == {
        "What was looked at": [
            "The pictures of the video from 0:00.0 to 0:10.0, 10.0 s.",
            "Text and logos on them were read and compared with the brand list.",
            "No model was asked about what the comparison left open.",
        ],
        "How often": [
            "A still picture every 0.50 s: 20 pictures from 2 shots.",
            "18 of them show something new. Text and logos were looked for on these.",
            "Showing the same as the one before, and counted with it: 1.",
            "Black or empty, and so without a brand: 1.",
        ],
        "What counts as seen": [
            "Text or a logo that was taken for a brand: 2 of 3 that were followed from picture to picture.",
            "A match with the brand list counts from a confidence of 0.6 of 1 on.",
            "Within a shot, a brand that is not found for up to 0.75 s counts as on screen all the same.",
        ],
        "What was not looked at": [
            "What shows between two of the pictures only, so for less than 0.50 s.",
            "The sound.",
            "Text of less than 6 pixels in height.",
            "Logos of less than 16 pixels on their shorter side.",
            "Whose the texts or logos of 1 unresolved cluster may be: they got no brand.",
        ],
    }


def test_it_says_what_was_set_asked_and_corrected() -> None:
    models = [{"model": "large", "questions": 3, "remembered": 1}, {"model": "small", "questions": 2, "remembered": 0}]
    reviews = [{"state": "applied"}, {"state": "orphaned"}]
    settings = {"match_brands": {"min_confidence": 0.6}, "detect_objects": FOUND | {"logos": "off"}}
    changed = {"models": models, "reviews": reviews, "range_s": [2.0, 8.0], "run": {"params": settings}}
    parts = told(match(), changed, min_confidence=0.8, min_exposure_s=1.5)
    asked, known = parts["What was looked at"][-2:]
    assert asked.endswith("5 questions went to a model: large, small.")
    assert known == "1 answer of large, small was known from before."
    counts, left = parts["What counts as seen"], parts["What was not looked at"]
    assert "A match with the brand list counts from a confidence of 0.6 of 1 on." in counts
    assert "Whatever was taken for a brand counts from a confidence of 0.8 of 1 on." in counts
    assert counts[-2:] == ["Exposures of less than 1.5 s do not count.", "1 correction by people is in the figures."]
    assert left[0] == "The rest of the video, which lasts 10.0 s."
    assert "Logos without text: the search for them was off." in left


def test_it_says_that_text_was_not_searched_for() -> None:
    settings = {"detect_objects": FOUND | {"text": "off"}}
    parts = told(match(), {"run": {"params": settings}})
    assert "Text: the search for it was off." in parts["What was not looked at"]
    assert not [sentence for sentence in parts["What was not looked at"] if "in height" in sentence]


def test_one_picture_none_and_nothing_on_them_are_told() -> None:
    counts = nothing()["compile_report"].summary["counts"]
    for n, words in (
        (1, "1 of them shows something new. Text and logos were looked for on it."),
        (0, "None of them shows anything, so no text and no logo was looked for."),
    ):
        parts = told(nothing(), {"counts": {**counts, "keyframes": n}})
        assert parts["How often"][1] == words
        assert parts["What counts as seen"][0] == "No text or logo was found that may be a brand."


def test_a_report_without_brands_or_settings_is_told_too() -> None:
    parts = told(nothing())
    assert all(parts.values())
    assert not any("confidence" in sentence for sentence in parts["What counts as seen"])


def test_settings_of_an_older_report_may_lack_some() -> None:
    parts = told(match(), {"run": {"params": {"detect_objects": {"min_height_px": 9}}}})
    assert "Text of less than 9 pixels in height." in parts["What was not looked at"]


def test_notes_name_the_step_in_words() -> None:
    assert in_words("escalate_vlm: off, no model set") == "Ask a local model: off, no model set"
    assert in_words("12 detections: left out") == "12 detections: left out"
    assert in_words("match_brands") == "match_brands"
