"""Scores of made-up runs over clips whose logos are known."""

import numpy as np
import pytest
import yaml

from brand_detect.catalog import load_catalog
from brand_detect.domain.contracts.compile_report import BRANDS, DETECTIONS, EXPOSURES, REPORT_UNRESOLVED, Report
from brand_detect.domain.contracts.filter_scenes import SHOTS, TIMELINE, FilteredScenes
from brand_detect.domain.records import Payload
from brand_detect.domain.tables import Row, table
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect.evaluation.benchmarks.logos import HEIGHT_PX, score_logos, write_catalog
from brand_detect.evaluation.synthetic.drawing import LOGOS
from brand_detect.evaluation.synthetic.footage import Truth
from brand_detect_tests.support import logos
from brand_detect_tests.support.payloads import frames, row, scenes

FPS = 10
ARVELO, BRISK, *_ = LOGOS


def truth(*boxes: tuple[int, str, float, float, int]) -> Truth:
    """A clip of ten seconds; boxes are (frame, logo, height, share in view, legible)."""
    brands = ("Rolex", ARVELO, BRISK)
    rows = [
        [frame, brands.index(logo), 0, 0, height, 0, height, height, 0, height, share, legible, 0, -1]
        for frame, logo, height, share, legible in boxes
    ]
    return Truth(
        brands, (), (ARVELO, BRISK), 1920, 1080, FPS, 10.0, (), (), (), (), np.array(rows, np.float32).reshape(-1, 14)
    )


def detection(frame: int, brand: str, rule: str = "logo_match") -> Row:
    return row(DETECTIONS, frame=frame, brand=brand, rule=rule)


def payloads(*detections: Row) -> dict[str, Payload]:
    """Twenty frames, two a second, each kept."""
    report = Report(table(BRANDS), table(EXPOSURES), table(DETECTIONS, detections), table(REPORT_UNRESOLVED), {})
    return {"filter_scenes": scenes(frames(20)), "compile_report": report}


def always(logo: str, first: float, last: float, height: float = 80.0, share: float = 1.0, legible: int = 1):
    return [(f, logo, height, share, legible) for f in range(round(first * FPS), round(last * FPS))]


def test_seconds_found_of_those_shown():
    known = truth(*always(ARVELO, 2, 6))
    score = score_logos(known, payloads(*(detection(f, ARVELO) for f in (4, 5, 6, 7))))  # 2.0 to 3.5 s
    assert score.shown_s == {ARVELO: pytest.approx(4.0)}
    assert score.found_s == {ARVELO: pytest.approx(2.0)}
    assert (score.recall, score.precision) == (pytest.approx(0.5), 1.0)


def test_another_name_is_wrong():
    known = truth(*always(ARVELO, 2, 6))
    score = score_logos(known, payloads(detection(6, BRISK), detection(6, "Stranger"), detection(6, ARVELO)))
    assert score.named_s == {BRISK: 0.5, "Stranger": 0.5, ARVELO: 0.5}
    assert score.precision == pytest.approx(1 / 3)


def test_what_a_text_named_is_no_logo():
    score = score_logos(truth(*always(ARVELO, 2, 6)), payloads(detection(6, "Rolex", "exact")))
    assert score.named_s == {}


@pytest.mark.parametrize(("height", "legible"), [(HEIGHT_PX - 1, 1), (HEIGHT_PX + 20, 0)])
def test_small_and_illegible_logos_need_not_be_found_but_may_be(height, legible):
    known = truth(*always(ARVELO, 2, 6, height=height, legible=legible))
    score = score_logos(known, payloads(detection(6, ARVELO)))
    assert (score.shown_s, score.precision) == ({}, 1.0)


def test_a_duplicate_counts_for_the_frame_that_stands_for_it():
    shown = payloads(detection(6, ARVELO))
    timeline = shown["filter_scenes"].tables()["timeline"].to_pylist()
    timeline[7] |= {"status": "duplicate", "keyframe": 6}
    shown["filter_scenes"] = FilteredScenes(table(SHOTS), table(TIMELINE, timeline))
    assert score_logos(truth(*always(ARVELO, 2, 6)), shown).found_s == {ARVELO: pytest.approx(1.0)}


def test_the_catalogue_holds_the_logos_and_the_bystanders(tmp_path):
    others = {"Disc": logos.svg(), "Rolex": logos.svg("cross"), "Twin": logos.svg(), "Stairs": logos.svg("stairs")}
    folder = write_catalog(tmp_path, ["Rolex"], others)
    read = load_catalog(str(folder), VectorAndPixelArtwork()).catalog
    assert {b.name for b in read.brands} == {"Rolex", *LOGOS, "Disc", "Stairs"}
    assert all(b.logo_only == (b.name != "Rolex") for b in read.brands)
    assert len(yaml.safe_load((folder / "brands.yaml").read_text(encoding="utf-8"))) == len(read.brands)
