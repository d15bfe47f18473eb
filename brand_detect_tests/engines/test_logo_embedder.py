"""The weights in the package: what they make of marks that were drawn here."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from brand_detect.domain.errors import Permanent
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect.engines.exemplars import views_of
from brand_detect.engines.logo_embedder import BATCH, SIDE_PX, BuiltInLogoEmbedder, distractors
from brand_detect.evaluation.synthetic.drawing import LOGOS, logo_svg

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


def test_torch_is_loaded_once_for_the_cache_of_compiled_networks(tmp_path: Path):
    script = """
import sys
from brand_detect.engines.logo_embedder import BuiltInLogoEmbedder
BuiltInLogoEmbedder()
print("torch" in sys.modules)
"""
    environment = os.environ | {"DAGSTER_HOME": str(tmp_path)}
    loaded = [
        subprocess.run([sys.executable, "-c", script], env=environment, cwd=CHECKOUT, capture_output=True, check=True)
        for _ in range(2)
    ]
    assert [process.stdout.split() for process in loaded] == [[b"True"], [b"False"]]


def test_unusable_weights_are_named(tmp_path: Path):
    file = tmp_path / "other.safetensors"
    file.write_bytes(b"no weights")
    for weights in (file, tmp_path / "none.safetensors"):
        with pytest.raises(Permanent, match=rf"The weights {weights.name} cannot be used"):
            BuiltInLogoEmbedder(weights)


def test_the_sheet_of_unknown_marks_is_cut_into_squares():
    tiles = distractors()
    assert len(tiles) == 1024
    assert {t.shape for t in tiles} == {(SIDE_PX, SIDE_PX, 3)}
    assert np.mean([t.std() for t in tiles]) > 10
