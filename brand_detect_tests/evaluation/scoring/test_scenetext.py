import json

import numpy as np
import pytest
from rich.console import Console

from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import Reading, Region
from brand_detect.engines.image import OpenCvCodec
from brand_detect.evaluation.scoring.photographs import WithLogos, WithLogosAndSize, WithWords, read_annotations
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
    with pytest.raises(BadInput, match=r"annotations\.json cannot be read: No such file or directory\.$"):
        evaluate_text(tmp_path, {}, OpenCvCodec(), quiet)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ('[{"image": "a.jpg", "boxes": []}]', "has another shape: 0: words: Field required"),
        ('[{"image": "a.jpg", "words": [{"text": "no"}]}]', "has another shape: 0: words: 0: x: Field required"),
        ('{"a.jpg": []}', "has another shape: Input should be a valid array"),
        ("[3", "has another shape: Invalid JSON: EOF while parsing a list at line 1 column 2"),
        ("\ud800", "has another shape: Invalid JSON: expected value at line 1 column 1"),
        ("[]", "has no word of 3 letters and more"),
        ('[{"image": "a.jpg", "words": []}]', "has no word of 3 letters and more"),
    ],
)
def test_annotations_of_another_shape_are_refused_with_an_example(tmp_path, written, why):
    (tmp_path / "annotations.json").write_bytes(written.encode("utf-8", "surrogatepass"))
    with pytest.raises(BadInput) as refused:
        evaluate_text(tmp_path, {}, OpenCvCodec(), quiet)
    assert str(refused.value) == f"{tmp_path}/annotations.json {why}."
    assert '"words": [{"text": "SHOPS"' in refused.value.hint


def test_the_example_of_the_hint_is_what_is_read(tmp_path):
    for kind in (WithWords, WithLogos, WithLogosAndSize):
        (tmp_path / "annotations.json").write_text(kind.SHAPE)
        [photograph] = read_annotations(tmp_path, kind)
        assert photograph.image == "1.jpg"
