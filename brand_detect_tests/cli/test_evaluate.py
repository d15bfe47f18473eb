"""``evaluate logos`` as a user meets it, with a handful of icons in the place of thousands."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from brand_detect.engines import logo_embedder as logo_embedder
from brand_detect.engines.image import OpenCvCodec
from brand_detect.evaluation.scoring import icons, recognizers
from brand_detect.evaluation.scoring.icons import Icon
from brand_detect_tests.conftest import Ended


def arrow(direction: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><path d="{direction}"/></svg>'


UP, BARS, CROSS = (
    "M20 2L38 38H2z",
    "M2 2h8v36h-8zM16 2h8v36h-8zM30 2h8v36h-8z",
    "M15 2h10v13h13v10h-13v13h-10v-13h-13v-10h13z",
)


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two photographs with the mark of Acme on each."""
    made = [Icon("Acme", arrow(UP)), Icon("Brio", arrow(BARS)), Icon("Colt", arrow(CROSS))]
    monkeypatch.setattr(icons, "simple_icons", lambda: made)
    mark = icons.pictures_of(made[:1])[0][0]
    (tmp_path / "images").mkdir()
    listed = []
    for n, side in enumerate((60, 90)):
        picture = np.full((200, 300, 3), 200, np.uint8)
        picture[20 : 20 + side, 30 : 30 + side] = cv2.resize(mark, (side, side), interpolation=cv2.INTER_AREA)
        (tmp_path / "images" / f"{n}.jpg").write_bytes(OpenCvCodec().encode(picture, 90, 0))
        box = {"brand": "Acme", "x": 30, "y": 20, "w": side, "h": side}
        listed.append({"image": f"{n}.jpg", "width": 300, "height": 200, "boxes": [box]})
    (tmp_path / "annotations.json").write_text(json.dumps(listed))
    return tmp_path


@pytest.fixture(autouse=True)
def embedders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients under every name, and noise as marks that nobody knows."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 60, 3), np.uint8)
    monkeypatch.setattr(logo_embedder, "distractors", lambda: list(noise))
    monkeypatch.setattr(recognizers, "embedder_of", lambda name: recognizers.Embedder(name, recognizers.Gradients()))


def test_the_tables_of_the_networks_and_the_classical_one(photographs: Path, command_line: Callable[..., Ended]):
    code, out, _ = command_line("evaluate", "logos", str(photographs), "--json")
    assert code == 0
    recognition, *rest = json.loads(out)
    assert [s["title"] for s in rest][-1] == "Milliseconds a crop"
    found = {r["recognizer"]: r for r in recognition["rows"] if r["exemplars"] == "1 icon"}
    assert set(found) == {"logo_embedder", "gradients"}
    assert found["logo_embedder"] == {
        "recognizer": "logo_embedder",
        "exemplars": "1 icon",
        "brands in gallery": 3,
        "queries": 2,
        "top-1": 1,
        "top-5": 1,
    }


def test_embedders_by_name_more_icons_and_the_matchers_false_alarms(
    photographs: Path, tmp_path: Path, command_line: Callable[..., Ended]
):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "dove.svg").write_text(arrow("M2 2h36v20z"))
    options = ("--no-baselines", "--embedder", "one", "--embedder", "two", "--false-accept-rate", "0.05")
    code, out, _ = command_line("evaluate", "logos", str(photographs), "--icons", str(tmp_path / "more"), *options)
    assert code == 0
    assert "Matcher on one, false accept rate 5.00%" in out
    assert "Matcher on two" not in out
    code, out, _ = command_line(
        "evaluate", "logos", str(photographs), "--icons", str(tmp_path / "more"), *options, "--json"
    )
    rows = json.loads(out)[0]["rows"]
    assert {r["recognizer"] for r in rows} == {"one", "two"}
    assert max(r["brands in gallery"] for r in rows) == 4


def test_a_folder_without_annotations_is_bad_input(tmp_path: Path, command_line: Callable[..., Ended]):
    code, _, err = command_line("evaluate", "logos", str(tmp_path / "absent"))
    assert code == 3
    assert "annotations.json" in err
