"""Lines of text with what they show, and how they are named.

``lines.csv`` is written by ``brand-detect evaluate lines --csv``, from generated clips alone.
"""

import json
from pathlib import Path

import pytest

from brand_detect.catalog import load_catalog
from brand_detect.domain.errors import BadInput
from brand_detect.domain.settings import Settings
from brand_detect.evaluation.scoring.labels import ClipLabels, Kind, Label
from brand_detect.evaluation.scoring.lines import Line, compare_lines, is_shown, lines_of, load_lines, write_lines
from brand_detect_tests.support.matching import SCENES
from brand_detect_tests.support.payloads import detected, reading, region, texts

LINES = Path(__file__).with_name("lines.csv")


@pytest.fixture(scope="module")
def catalog():
    return load_catalog(Settings().catalog).catalog


@pytest.fixture(scope="module")
def lines():
    return load_lines(LINES)


def test_scoring_adds_names_to_those_of_the_string_rules_and_no_false_one(lines, catalog):
    strings, alone, both = compare_lines(lines, catalog)
    assert (strings.right, strings.false) == (235, 0)
    assert both.right >= strings.right + 4
    assert both.false == 0
    assert alone.false == 0
    assert alone.recall > 0.85  # without names of up to four letters in longer lines, which only string rules find


def test_what_is_all_but_certain_is_right(lines, catalog):
    found = [(likely.probability, right) for likely, _, right in is_shown(lines, catalog)]
    sure = [right for probability, right in found if probability >= 0.9]
    assert len(sure) > 200
    assert sum(sure) / len(sure) > 0.98


def test_lines_come_back_from_their_file(tmp_path: Path):
    said = [Line("a.mp4", "t", "r", 'say "|"', 0.5, ("Rolex", "Sky"), STEPS), Line("a.mp4", "u", "s", "x", 1.0, (), "")]
    write_lines(said, tmp_path / "lines.csv")
    assert load_lines(tmp_path / "lines.csv") == said


STEPS = json.dumps({"n_characters": [2, 1], "characters": "Vv'", "costs": [0, 9, 0]})
HEADER = "clip,track,region,text,confidence,shown,steps\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not hold lines of text"),
        ("a,b\n1,2\n", "does not hold lines of text"),
        (HEADER + 'a.mp4,t,r,VISA,0.9,,"{""n_characters"": [1"\n', "does not hold lines of text"),
        (HEADER + "a.mp4,t,r,VISA,0.9,,[1]\n", "does not hold lines of text"),
        (
            HEADER + 'a.mp4,t,r,VISA,0.9,,"{""n_characters"": [2], ""characters"": ""V"", ""costs"": [0]}"\n',
            "the steps of 'VISA' are damaged",
        ),
        (HEADER, "holds no line of text"),
    ],
)
def test_a_file_without_lines_is_refused(tmp_path: Path, content, message):
    path = tmp_path / "lines.csv"
    if content:
        path.write_text(content)
    with pytest.raises(BadInput, match=message):
        load_lines(path)


def test_a_clip_without_boxes_may_show_its_brands_on_any_line():
    a, b = region(0, "a"), region(0, "b")
    payloads = {
        "run_ocr": texts([], [reading(a, "ROLEX"), reading(b, "")]),
        "detect_objects": detected([a, b], SCENES),
        "filter_scenes": SCENES,
    }
    labels = ClipLabels("a.mp4", 1.0, (Label("Rolex", Kind.clear, ()), Label("Sky", Kind.hard, ())))
    assert [(line.track, line.text, line.shown) for line in lines_of(payloads, labels)] == [
        ("a", "ROLEX", ("Rolex", "Sky"))
    ]
