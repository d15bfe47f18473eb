"""The weights in the package: what they make of marks that were drawn here."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from brand_detect.domain.errors import Permanent
from brand_detect.domain.protocols import Image, Rgba
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect.engines.exemplars import views_of
from brand_detect.engines.logo_embedder import (
    BATCH,
    DRAWING_WEIGHT,
    PRETRAINED_WEIGHT,
    SIDE_PX,
    BuiltInLogoEmbedder,
    distractors,
)
from brand_detect.evaluation.synthetic.drawing import LOGOS, logo_svg
from brand_detect.stages.similarity import MEASURED_WITH

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def embedder() -> BuiltInLogoEmbedder:
    return BuiltInLogoEmbedder()


def test_marks_are_known_again_in_the_other_polarity(embedder: BuiltInLogoEmbedder):
    drawn = [VectorAndPixelArtwork().render(logo_svg(path).encode(), "svg", 60) for path in LOGOS.values()]
    light, dark = (embedder.encode([views_of(art)[n] for art in drawn]) for n in (0, 1))
    assert (light @ dark.T).argmax(axis=1).tolist() == list(range(len(LOGOS)))
    assert np.linalg.norm(light, axis=1) == pytest.approx(np.ones(len(LOGOS)), abs=1e-3)


def test_crops_of_any_size_and_number(embedder: BuiltInLogoEmbedder):
    crops = [np.full((3 + n, 200, 3), n, np.uint8) for n in range(BATCH + 3)]
    together = embedder.encode(crops)
    assert together.shape == (BATCH + 3, embedder.dimensions)
    assert together[-1:] == pytest.approx(embedder.encode(crops[-1:]), abs=1e-3)
    assert embedder.encode([]).shape == (0, embedder.dimensions)


def test_openvino_embeds_as_torch_does(embedder: BuiltInLogoEmbedder, monkeypatch: pytest.MonkeyPatch):
    crops = distractors()[:40]
    vectors = embedder.encode(crops)
    monkeypatch.setitem(sys.modules, "openvino", None)  # importing it fails, as when it is missing or broken
    on_torch = BuiltInLogoEmbedder()
    assert on_torch.identity == embedder.identity
    assert vectors == pytest.approx(on_torch.encode(crops), abs=0.005)


@pytest.mark.slow
def test_torch_is_loaded_once_and_in_a_process_of_its_own(tmp_path: Path):
    """For the cache of compiled networks; it tells nobody that OpenVINO is imported."""
    script = """
import subprocess, sys
if sys.argv[1:]:
    subprocess.run = None
from brand_detect.engines.logo_embedder import BuiltInLogoEmbedder
BuiltInLogoEmbedder()
from openvino.tools.ovc import telemetry_utils
print("torch" in sys.modules, telemetry_utils.tm.__name__)
"""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"DAGSTER_HOME": str(tmp_path), "HOME": str(tmp_path)}
    loaded = [
        subprocess.run(
            [sys.executable, "-c", script, *known], env=environment, cwd=CHECKOUT, capture_output=True, text=True
        )
        for known in ([], ["known"])
    ]
    quiet = "openvino.tools.ovc.telemetry_stub"
    assert [process.stdout.split() for process in loaded] == [["False", quiet]] * 2, loaded
    assert not (tmp_path / "intel").exists()


def test_both_towers_count(embedder: BuiltInLogoEmbedder):
    vectors = embedder.encode(distractors()[:20])
    drawn, pretrained = (np.linalg.norm(part, axis=1) for part in np.hsplit(vectors, 2))
    assert pretrained / drawn == pytest.approx(np.full(20, PRETRAINED_WEIGHT**0.5), abs=1e-3)


def test_a_drawing_is_compared_by_the_drawings_tower_alone(embedder: BuiltInLogoEmbedder):
    pictures = distractors()[:20]
    drawings, crops = embedder.encode_drawings(pictures), embedder.encode(pictures)
    assert not np.hsplit(drawings, 2)[1].any()
    assert (drawings * crops).sum(axis=1) == pytest.approx(np.full(20, DRAWING_WEIGHT), abs=1e-3)
    assert embedder.encode_drawings([]).shape == (0, embedder.dimensions)


def test_a_cut_from_a_frame_weighs_more_than_a_drawing(embedder: BuiltInLogoEmbedder):
    def on_board(art: Rgba, blur: float, colour: tuple[int, int, int]) -> Image:
        opacity = cv2.copyMakeBorder(art[:, :, 3], 9, 6, 5, 8, cv2.BORDER_CONSTANT)[:, :, None] / 255
        board = np.array(colour) + opacity * (235 - np.array(colour))
        return cv2.GaussianBlur(board.round().astype(np.uint8), (0, 0), blur)  # pyright: ignore[reportReturnType]

    drawn = [VectorAndPixelArtwork().render(logo_svg(path).encode(), "svg", 60) for path in LOGOS.values()]
    seen, cut = (
        embedder.encode([on_board(a, *how) for a in drawn]) for how in ((1.2, (120, 40, 20)), (0.8, (90, 50, 30)))
    )
    drawings = [embedder.encode_drawings([views_of(art)[n] for art in drawn]) for n in (0, 1)]
    by_drawing = np.max([(seen * vectors).sum(axis=1) for vectors in drawings], axis=0)
    assert ((seen * cut).sum(axis=1) > by_drawing).all()


def test_readings_are_shared_by_what_this_embedder_measured(embedder: BuiltInLogoEmbedder):
    assert embedder.identity.startswith(MEASURED_WITH)


def test_unusable_weights_are_named(tmp_path: Path):
    file = tmp_path / "other.safetensors"
    file.write_bytes(b"no weights")
    for weights in (file, tmp_path / "none.safetensors"):
        with pytest.raises(Permanent, match=rf"The weights {weights.name} cannot be used"):
            BuiltInLogoEmbedder(weights)


def test_the_sheet_of_unknown_marks_is_cut_into_squares():
    tiles = distractors()
    assert len(tiles) == 3 * 512
    assert {t.shape for t in tiles} == {(SIDE_PX, SIDE_PX, 3)}
    assert np.mean([t.std() for t in tiles]) > 10
