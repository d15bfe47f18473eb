import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.errors import BadInput
from brand_detect.domain.geometry import quad_of
from brand_detect.domain.protocols import Region
from brand_detect.engines.image import OpenCvCodec
from brand_detect.evaluation.scoring.regions import annotated, evaluate_regions, first_ranks, of_sample, region_table
from brand_detect.evaluation.synthetic.footage import Scenario, write_sample


def quiet(done: float, total: float, unit: str) -> None: ...


class Scripted:
    identity, kind = "scripted", RegionKind.text

    def __init__(self, *boxes):
        """``boxes`` with their scores, in any order."""
        self.boxes = boxes

    def detect(self, image, areas=()):  # noqa: ARG002
        return [Region(RegionKind.logo, "", score, quad_of(box)) for box, score in self.boxes]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(OpenCvCodec().encode(np.zeros((100, 200, 3), np.uint8), 90, 0))
    boxes = [
        {"brand": "Acme", "x": 10, "y": 10, "w": 40, "h": 20},
        {"brand": "Acme", "x": 100, "y": 50, "w": 40, "h": 40},
    ]
    (tmp_path / "annotations.json").write_text(json.dumps([{"image": "a.jpg", "boxes": boxes}]))
    return tmp_path


def test_a_logo_counts_from_the_place_of_the_first_region_that_overlaps_it_enough(folder):
    away = [((0, 60, 10, 90), 0.9)] * 6
    method = Scripted(((110, 50, 150, 90), 0.3), *away, ((10, 10, 50, 22), 0.95))
    [score] = evaluate_regions(annotated(folder), {"one": method}, quiet)
    assert score.logos == 2
    assert score.recall(5) == 0.5  # the first logo: overlap 0.6
    assert score.recall(10) == 1.0  # the other at place 8: overlap 0.6
    assert score.megapixels == pytest.approx(0.02)


def test_overlaps_between_the_two_thresholds_count_in_brackets_alone(folder):
    method = Scripted(((10, 10, 26, 30), 0.9))  # 0.4 of the first
    [score] = evaluate_regions(annotated(folder), {"one": method}, quiet)
    assert (score.recall(5), score.recall(5, 0.3)) == (0.0, 0.5)
    console = Console(width=150, record=True)
    console.print(region_table([score]))
    assert "0.00 (0.50)" in console.export_text()
    assert score.to_json()["recall"]["0.3"]["5"] == 0.5


def test_ranks_without_proposals_are_infinite():
    assert first_ranks(np.array([[0.0, 0, 10, 10]]), np.zeros((0, 4)), 0.5).tolist() == [np.inf]


def test_a_folder_without_annotations_is_refused(tmp_path):
    with pytest.raises(BadInput):
        annotated(tmp_path)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ('[{"image": "a.jpg", "words": []}]', "has another shape: 0: boxes: Field required"),
        ('[{"image": "a.jpg", "boxes": []}]', "has no box"),
        ("[]", "has no box"),
        ("{", "has another shape: Invalid JSON: EOF while parsing an object at line 1 column 1"),
    ],
)
def test_annotations_of_another_shape_are_refused_with_an_example(tmp_path, written, why):
    (tmp_path / "annotations.json").write_text(written)
    with pytest.raises(BadInput) as refused:
        annotated(tmp_path)
    assert str(refused.value) == f"{tmp_path}/annotations.json {why}."
    assert '"boxes": [{"brand": "Nike"' in refused.value.hint


def test_generated_clips_tell_where_their_logos_are(tmp_path):
    scenario = Scenario(seconds=4, width_px=640, height_px=360, fps=10, players=2, logos=("Arvelo", "Delmar", "Fjorda"))
    truth = write_sample(tmp_path / "logos.mp4", scenario)
    pictures = of_sample(tmp_path / "logos.mp4", 2.0)
    assert pictures
    for image, boxes in pictures:
        assert image.shape == (360, 640, 3)
        assert ((boxes[:, 2:] - boxes[:, :2]) >= 16).all()
        for left, top, right, bottom in boxes.round().astype(int):  # ink on its ground, nothing flat
            assert image[top:bottom, left:right].std() > 15
    assert truth.logos == ("Arvelo", "Delmar", "Fjorda")
    write_sample(tmp_path / "words.mp4", replace(scenario, logos=()))
    with pytest.raises(BadInput, match="textless"):
        of_sample(tmp_path / "words.mp4")
