"""Lines of text with what they show, and how they are named.

``lines.csv`` is written by ``brand-detect evaluate lines --csv``, from generated clips alone.
"""

import json
from pathlib import Path

import pytest

from brand_detect.catalog import load_catalog, parse_catalog
from brand_detect.domain.contracts.run_ocr import row_of_steps
from brand_detect.domain.errors import BadInput
from brand_detect.domain.lattice import BLANK, Step
from brand_detect.domain.settings import Settings
from brand_detect.evaluation.scoring.labels import ClipLabels, Kind, Label
from brand_detect.evaluation.scoring.lines import (
    CERTAIN,
    UNKNOWN,
    Line,
    compare_lines,
    is_shown,
    lines_of,
    load_lines,
    write_lines,
)
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
    said = [
        Line("a.mp4", "t", "r", 'say "|"', 0.5, ("Rolex", "Sky"), STEPS),
        Line("a.mp4", "u", "s", "x", 1.0, (), CERTAIN),
        Line("a.mp4", "v", "z", "y", 0.0, (), UNKNOWN),
    ]
    write_lines(said, tmp_path / "lines.csv")
    assert load_lines(tmp_path / "lines.csv") == said


def test_a_file_that_a_spreadsheet_saved_is_read(tmp_path: Path):
    said = [Line("a.mp4", "t", "r", "VISA", 0.5, ("Visa",), CERTAIN)]
    path = tmp_path / "lines.csv"
    write_lines(said, path)
    path.write_text(path.read_text("utf-8").replace("\n", "\r\n"), "utf-8-sig", newline="")
    assert load_lines(path) == said


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
        (HEADER + "a.mp4,t,r,VISA,0.9,,\n", "does not hold lines of text"),  # once it meant: unknown
        (HEADER + f"a.mp4,t,r,{'x' * 131_073},0.9,,certain\n", "does not hold lines of text"),
        (HEADER + "a.mp4,t,r,VISA,nan,,certain\n", "the confidence of 'VISA' is nan"),
        (HEADER + "a.mp4,t,r,VISA,7,,certain\n", "the confidence of 'VISA' is 7"),
        *(
            (
                HEADER
                + f'a.mp4,t,r,VISA,0.9,,"{{""n_characters"": {n}, ""characters"": ""V"", ""costs"": {costs}}}"\n',
                message,
            )
            for n, costs, message in (
                ([-1, 2], [0], "does not hold lines of text"),
                ([0, 1], [0], "the steps of 'VISA' are damaged"),
                ([1], '[""x""]', "does not hold lines of text"),
            )
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


def test_what_the_reader_told_of_a_line_counts_after_it_was_in_a_file(tmp_path: Path):
    second = [Step((letter, *(("N", BLANK) if letter == "M" else ())), (0.0, 1.0, 9.0)[: 3 if letter == "M" else 1])
              for letter in "HUSQVARMA"]  # fmt: skip
    a, b, c = (region(0, track) for track in "abc")
    told = [row_of_steps(a["region_id"], second), row_of_steps(b["region_id"], [])]
    payloads = {
        "run_ocr": texts([], [reading(r, "HUSQVARMA", 0.9) for r in (a, b, c)], told),
        "detect_objects": detected([a, b, c], SCENES),
        "filter_scenes": SCENES,
    }
    write_lines(lines_of(payloads, ClipLabels("a.mp4", 1.0, ())), tmp_path / "lines.csv")
    lines = load_lines(tmp_path / "lines.csv")
    assert [line.steps for line in lines[1:]] == [CERTAIN, UNKNOWN]
    found = {likely.tracks for likely, *_ in is_shown(lines, parse_catalog(b"- Husqvarna", "b.yaml"))}
    assert found == {("a",), ("c",)}, "a reader that is certain of M read no N"


def test_each_reading_of_a_region_has_its_own_steps():
    a, said = region(0, "a"), "ROLEX"
    told = [[Step((letter, other), (0.0, 1.0)) for letter in said] for other in "PB"]
    payloads = {
        "run_ocr": texts([], [reading(a, said, 0.9)] * 2, [row_of_steps(a["region_id"], steps) for steps in told]),
        "detect_objects": detected([a], SCENES),
        "filter_scenes": SCENES,
    }
    first, second = lines_of(payloads, ClipLabels("a.mp4", 1.0, ()))
    assert (json.loads(first.steps)["characters"], json.loads(second.steps)["characters"]) == (
        "RPOPLPEPXP",
        "RBOBLBEBXB",
    )


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
