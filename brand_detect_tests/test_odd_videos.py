"""Odd media files: each is processed or refused in a sentence, in bounded memory and time."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from brand_detect.report.exports import ReportDocument, document
from brand_detect_tests.support.odd_videos import HARMFUL, odd_videos
from brand_detect_tests.support.pipeline import ScriptedReader, pipeline

MOST_MIB = 1536
MOST_S = 60
REFUSED = {
    "a GIF of 16000 x 16000": "pictures of 16000 × 16000 pixels, which is too large",
    "an APNG of 20000 x 20000": "still image",
    "JPEGs of 65500 x 65500": "no picture that can be decoded",
    "an index of 20 million": "no picture that can be decoded",
    "declared to last for days": " s long, which is too long",
    "8000 x 2": "pictures of 8000 × 2 pixels, which show nothing",
}


def outcomes(paths: Sequence[Path]) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "brand_detect_tests.support.odd_videos", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_S, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_did_harm_is_refused_or_right_in_little_memory(tmp_path: Path) -> None:
    found = dict(zip(HARMFUL, outcomes([write(tmp_path) for write in HARMFUL.values()]), strict=True))
    for name, sentence in REFUSED.items():
        assert sentence in found[name]["refused"], name
    jumped = found["a clock that jumps"]
    assert jumped["refused"] == ""
    assert jumped["notes"] == []
    assert jumped["end_s"] == jumped["duration_s"] == pytest.approx(2.4, abs=0.05)
    assert max(one["peak_mib"] for one in found.values()) < 400


@pytest.mark.slow
@pytest.mark.parametrize("name", odd_videos())
def test_an_odd_file_is_processed_or_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    [found] = outcomes([odd_videos()[name](tmp_path)])
    print(f"{name}: {found}")
    assert found["peak_mib"] < MOST_MIB
    assert found["refused"].endswith(".") or "\nhint: " in found["refused"] or found["frames"]
    assert found["end_s"] <= found["duration_s"]


WHOLE = (
    "a clock that jumps",
    "another size on the way",
    "another size, interlaced, on the way",
    "too large on the way",
    "begins late",
    "one picture",
    "variable frame rate",
    "a picture in ten seconds",
    "anamorphic beyond reason",
    "cut in the head",
    "three videos",
    "mpeg2video yuv420p in mpg",
    "gif cut at 0.34",
)
"""Those that are reported on, by the whole pipeline."""


def report(folder: Path, name: str) -> ReportDocument:
    """The document of an odd file's report, with scripted eyes."""
    with pipeline(folder, text_reader=lambda _: ScriptedReader("ROLEX", "ROLEX")) as built:
        run = built.runner.submit(str(odd_videos()[name](folder)), job_id="odd")
        return document(run.load("compile_report"), run.load("job_request"))  # pyright: ignore[reportArgumentType]


def check_times(found: ReportDocument) -> None:
    """Nothing lies after the end of the video, to the digits that are written."""
    start_s, end_s = found.summary["range_s"]
    assert 0 <= start_s < end_s <= found.job.probe.duration_s
    for exposure in found.exposures:
        assert start_s - 1e-6 <= exposure.start_s < exposure.end_s <= end_s + 1e-6
    for brand in found.brands:
        assert brand.seconds <= (brand.high_s or 0.0) <= end_s - start_s + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_an_odd_file_makes_a_report(tmp_path: Path, name: str) -> None:
    found = report(tmp_path, name)
    check_times(found)
    assert found.exposures
    assert not any("lost" in note for note in found.notes)
