"""How a report was made, in sentences for people who have to answer for its figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from brand_detect.domain.contracts.compile_report import CompileReportParams
from brand_detect.domain.contracts.detect_objects import DetectObjectsParams, LogoDetection, TextDetection
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.words import counted
from brand_detect.report.exports import ReportDocument
from brand_detect.report.home import WORDS
from brand_detect.report.words import clock, duration

APART_S = 0.05
"""Difference of times that are written alike."""


class Part(NamedTuple):
    """A question about the report, and the sentences that answer it."""

    title: str
    sentences: Sequence[str]


def method(report: ReportDocument, params: CompileReportParams) -> list[Part]:
    """What was looked at, how often, what counts as seen, and what was not looked at."""
    settings = report.summary["run"].get("params", {})
    parts = {
        "What was looked at": _looked_at(report),
        "How often": _often(report.summary),
        "What counts as seen": _counts(report, params, settings),
        "What was not looked at": _not_looked_at(report, settings),
    }
    return [Part(title, list(sentences)) for title, sentences in parts.items()]


def in_words(note: str) -> str:
    """A note with the name of its step as people know it."""
    stage, _, said = note.partition(": ")
    return f"{WORDS[stage][0]}: {said}" if said and stage in WORDS else note


def _looked_at(report: ReportDocument) -> Iterator[str]:
    start, end = report.summary["range_s"]
    yield f"The pictures of the video from {clock(start)} to {clock(end)}, {duration(end - start)}."
    yield "Text and logos on them were read and compared with the brand list."
    models = report.summary["models"]
    names = ", ".join(dict.fromkeys(model["model"] for model in models))
    if asked := sum(model["questions"] for model in models):
        yield f"About what the comparison left open, {counted(asked, 'question')} went to a model: {names}."
    else:
        yield "No model was asked about what the comparison left open."
    if known := sum(model["remembered"] for model in models):
        yield f"{counted(known, 'answer')} of {names} {'was' if known == 1 else 'were'} known from before."


def _often(summary: Mapping[str, Any]) -> Iterator[str]:
    counts, interval = summary["counts"], summary["sampling"]["interval_s"]
    pictures, shots = counted(counts["frames_sampled"], "picture"), counted(counts["shots"], "shot")
    yield f"A still picture every {interval:.2f} s: {pictures} from {shots}."
    match counts["keyframes"]:
        case 0:
            yield "None of them shows anything, so no text and no logo was looked for."
        case 1:
            yield "1 of them shows something new. Text and logos were looked for on it."
        case n:
            yield f"{n} of them show something new. Text and logos were looked for on these."
    if same := counts["frames_duplicate"]:
        yield f"Showing the same as the one before, and counted with it: {same}."
    if empty := counts["frames_black"] + counts["frames_blank"]:
        yield f"Black or empty, and so without a brand: {empty}."


def _counts(report: ReportDocument, params: CompileReportParams, settings: Mapping[str, Any]) -> Iterator[str]:
    summary = report.summary
    if n := summary["counts"]["tracks"]:
        share = f"{sum(summary['tracks_resolved_by'].values())} of {n}"
        yield f"Text or a logo that was taken for a brand: {share} that were followed from picture to picture."
    else:
        yield "No text or logo was found that may be a brand."
    if least := settings.get(Stage.match_brands, {}).get("min_confidence"):
        yield f"A match with the brand list counts from a confidence of {least:g} of 1 on."
    if params.min_confidence:
        yield f"Whatever was taken for a brand counts from a confidence of {params.min_confidence:g} of 1 on."
    yield f"Within a shot, a brand that is not found for up to {params.bridge_s:g} s counts as on screen all the same."
    if params.min_exposure_s:
        yield f"Exposures of less than {params.min_exposure_s:g} s do not count."
    if applied := sum(review["state"] == "applied" for review in summary.get("reviews", ())):
        yield f"{counted(applied, 'correction')} by people {'is' if applied == 1 else 'are'} in the figures."


def _not_looked_at(report: ReportDocument, settings: Mapping[str, Any]) -> Iterator[str]:
    summary = report.summary
    (start, end), whole = summary["range_s"], report.job.probe.duration_s
    if start > APART_S or end < whole - APART_S:
        yield f"The rest of the video, which lasts {duration(whole)}."
    yield f"What shows between two of the pictures only, so for less than {summary['sampling']['interval_s']:.2f} s."
    yield "The sound."
    if found := settings.get(Stage.detect_objects):
        params = DetectObjectsParams.model_construct(**found)  # those of an older report have other fields
        if params.text == TextDetection.off.value:
            yield "Text: the search for it was off."
        else:
            yield f"Text of less than {params.min_height_px} pixels in height."
        if params.logos == LogoDetection.off.value:
            yield "Logos without text: the search for them was off."
        else:
            yield f"Logos of less than {params.min_logo_px} pixels on their shorter side."
    if n := summary["counts"]["clusters_unresolved"]:
        yield f"Whose the texts or logos of {counted(n, 'unresolved cluster')} may be: they got no brand."
