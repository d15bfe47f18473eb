"""Markers, read back by a parser of WebVTT that is not ours."""

import io
import re
from dataclasses import replace
from html import unescape

import pytest
import webvtt

from brand_detect.domain.contracts.compile_report import EXPOSURES
from brand_detect.domain.tables import table
from brand_detect.report.exports import document
from brand_detect.report.webvtt import markers
from brand_detect_tests.support.report_fakes import match, nothing

HOSTILE = ["A --> B", "AT&T <b>", "</v><c.x>", "\u202eevil", "two\n\nlines\r\n00:00.000 --> 00:01.000", "x" * 10_000]


def written(payloads: dict) -> str:
    return markers(document(payloads["compile_report"], payloads["job_request"]))


def read(text: str) -> list[webvtt.Caption]:
    return webvtt.from_buffer(io.StringIO(text)).captions or []


def test_every_exposure_is_a_cue() -> None:
    payloads = match()
    cues = read(written(payloads))
    exposures = payloads["compile_report"].exposures.to_pylist()
    assert [c.identifier for c in cues] == [e["exposure_id"] for e in exposures]
    assert [(c.voice, c.text) for c in cues] == [("Nike", "Nike"), ("Itaú", "Itaú")]
    for cue, exposure in zip(cues, exposures, strict=True):
        assert cue.start_in_seconds == pytest.approx(int(exposure["start_s"]), abs=1e-3)
        assert _seconds(cue.start) == pytest.approx(exposure["start_s"], abs=5e-4)
        assert _seconds(cue.end) == pytest.approx(exposure["end_s"], abs=5e-4)


def test_times_are_those_of_a_player() -> None:
    payloads = match()
    request = payloads["job_request"]
    late = request.model_copy(update={"probe": request.probe.model_copy(update={"first_picture_s": 2.5})})
    starts = [_seconds(c.start) for c in read(written(payloads | {"job_request": late}))]
    exposures = payloads["compile_report"].exposures.to_pylist()
    assert starts == pytest.approx([2.5 + e["start_s"] for e in exposures], abs=5e-4)


def _seconds(stamp: str) -> float:
    hours, minutes, seconds = stamp.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def test_what_proves_it_is_a_note() -> None:
    text = written(match())
    assert text.startswith("WEBVTT match-0a1b2c3d\n\nNOTE\nBrands on screen in match.mp4\n\n")
    assert re.search(r"NOTE\n\w+: read as Nike, exact, confidence 0\.90$", text, re.MULTILINE)
    payloads = match()
    told = [row | {"placement": "board"} for row in payloads["compile_report"].exposures.to_pylist()]
    report = replace(payloads["compile_report"], exposures=table(EXPOSURES, told))
    assert "confidence 0.90, board\n" in written(payloads | {"compile_report": report})


def test_a_tag_completes_no_arrow() -> None:
    text = written(match(nike="Acme--"))
    assert text.count("-->") == len(read(text)) == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_out_of_its_cue(name: str) -> None:
    text = written(match(nike=name))
    cues = read(text)
    assert len(cues) == 2
    assert text.count("-->") == 2
    payload = re.findall(r"-->.*\n(.*)\n\n", text)[0]
    tag, shown = re.fullmatch(r"<v ([^<>&]*(?:&\w+;[^<>&]*)*)>([^<>]*)</v>", payload).groups()  # pyright: ignore
    assert tag == shown
    assert unescape(shown).rstrip("…") in " ".join(name.replace("\u202e", "").split())
    assert len(shown) < 300


def test_a_report_without_exposures_has_no_cue() -> None:
    assert read(written(nothing())) == []


def test_a_cue_is_never_empty() -> None:
    payloads = match()
    whole = document(payloads["compile_report"], payloads["job_request"])
    flash = whole.exposures[0].model_copy(update={"start_s": 3661.0001, "end_s": 3661.0002})
    [cue] = read(markers(whole.model_copy(update={"exposures": (flash,)})))
    assert (cue.start, cue.end) == ("01:01:01.000", "01:01:01.001")
