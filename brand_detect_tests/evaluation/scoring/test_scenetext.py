import json

import numpy as np
import pytest
from rich.console import Console

from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import Reading, Region
from brand_detect.engines.image import OpenCvCodec
from brand_detect.evaluation.scoring.scenetext import evaluate_text, text_table


def region(x, y, w, h):
    return Region(RegionKind.text, "", 0.9, np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], np.float32))


def quiet(done: float, total: float, unit: str) -> None: ...


class Scripted:
    """Finds the given boxes and reads the given texts."""

    identity, kind = "scripted", RegionKind.text

    def __init__(self, found):
        self.found = found

    def detect(self, image, areas=()):  # noqa: ARG002
        return [region(*box) for box, _ in self.found]

    def read(self, crops):  # noqa: ARG002
        return [Reading(text, 0.9) for _, text in self.found]


def word(text, x, ignore=False):
    return {"text": text, "ignore": ignore, "x": x, "y": 10, "w": 40, "h": 20}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    picture = np.zeros((100, 400, 3), np.uint8)
    (tmp_path / "images" / "a.jpg").write_bytes(OpenCvCodec().encode(picture, 90, 0))
    words = [word("SHOPS", 0), word("Ahead", 100), word("of", 200), word("###", 300, ignore=True)]
    (tmp_path / "annotations.json").write_text(json.dumps([{"image": "a.jpg", "words": words}]))
    return tmp_path


@pytest.mark.parametrize(
    ("found", "share"),
    [
        ([], 0.0),
        ([((0, 10, 160, 20), "shops ahead")], 1.0),
        ([((0, 10, 40, 20), "SHOPS"), ((200, 10, 40, 20), "AHEAD")], 0.5),  # the right word at the wrong place
        ([((100, 10, 40, 20), "Ahed")], 0.0),
    ],
)
def test_a_word_counts_when_a_reading_over_it_holds_it(folder, found, share):
    engine = Scripted(found)
    [score] = evaluate_text(folder, {"scripted": (engine, engine)}, OpenCvCodec(), quiet)
    assert (score.words, score.recall, score.lines) == (2, share, len(found))
    assert len(score.missed) == score.words - score.found


def test_the_table_shows_each_engine(folder):
    engine = Scripted([((0, 10, 40, 20), "SHOPS")])
    console = Console(width=100, record=True)
    scores = evaluate_text(folder, {"one": (engine, engine), "two": (engine, engine)}, OpenCvCodec(), quiet)
    console.print(text_table(scores))
    text = console.export_text()
    assert text.count("0.50") == 2
    assert "one" in text
    assert "two" in text


def test_a_folder_without_annotations_is_refused(tmp_path):
    with pytest.raises(BadInput):
        evaluate_text(tmp_path, {}, OpenCvCodec(), quiet)
