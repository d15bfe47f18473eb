"""Pretrained image encoders on tiny models with random weights, saved and loaded as any other model folder."""

import shutil
from typing import Any

import numpy as np
import pytest

from brand_detect.domain.errors import Permanent
from brand_detect.engines.image_embedder import BATCH, ImageEmbedder
from brand_detect.engines.model_files import any_folder

SMALL: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION: dict[str, Any] = {**SMALL, "image_size": 32, "patch_size": 8}
WIDER: dict[str, Any] = {"intermediate_size": 32}
SQUARE: dict[str, Any] = {"height": 32, "width": 32}


def siglip():
    from transformers import SiglipConfig, SiglipModel
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    text = {**SMALL, **WIDER, "vocab_size": 32}
    config = SiglipConfig(text_config=text, vision_config={**VISION, **WIDER})
    return SiglipModel(config), SiglipImageProcessorPil(size=SQUARE)


def clip():
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    text = {**SMALL, **WIDER, "vocab_size": 32, "bos_token_id": 0, "eos_token_id": 1}
    config = CLIPConfig(text_config=text, vision_config={**VISION, **WIDER}, projection_dim=12)
    return CLIPModel(config), CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE)


def dinov2():
    from transformers import Dinov2Config, Dinov2Model
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(size={"shortest_edge": 36}, crop_size=SQUARE)
    return Dinov2Model(Dinov2Config(**VISION)), processor


def convnext():
    from transformers import ConvNextConfig, ConvNextModel
    from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil

    config = ConvNextConfig(hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1])
    return ConvNextModel(config), ConvNextImageProcessorPil(size={"shortest_edge": 32})


def classifier():
    """A checkpoint that has no pooler."""
    from transformers import ViTConfig, ViTForImageClassification
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    return ViTForImageClassification(ViTConfig(**VISION, **WIDER)), ViTImageProcessorPil(size=SQUARE)


DIMENSIONS = {siglip: 16, clip: 12, dinov2: 16, convnext: 16, classifier: 16}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    import torch

    made = {}
    for make in DIMENSIONS:
        torch.manual_seed(0)
        made[make] = tmp_path_factory.mktemp(make.__name__)
        for part in make():
            part.save_pretrained(made[make])
    return made


@pytest.fixture
def crops():
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (9 + n, 60 - n, 3), np.uint8) for n in range(BATCH + 3)]


@pytest.mark.parametrize("make", DIMENSIONS, ids=lambda make: make.__name__)
def test_crops_of_any_size_become_rows_of_unit_length_whatever_they_are_beside(folders, make, crops):
    embedder = ImageEmbedder(any_folder(str(folders[make])))
    rows = embedder.encode(crops)
    assert rows.dtype == np.float32
    assert rows.shape == (len(crops), embedder.dimensions) == (len(crops), DIMENSIONS[make])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embedder.encode([crops[-1]])[0], rows[-1], atol=1e-4)
    assert np.ptp(rows, axis=0).max() > 1e-3  # it looked at the crops
    assert embedder.encode([]).shape == (0, embedder.dimensions)


@pytest.mark.parametrize("make", DIMENSIONS, ids=lambda make: make.__name__)
def test_the_same_folder_gives_the_same_vectors_and_identity(folders, make, crops):
    one, other = ImageEmbedder(any_folder(str(folders[make]))), ImageEmbedder(any_folder(str(folders[make])))
    assert one.identity == other.identity
    np.testing.assert_array_equal(one.encode(crops[:2]), other.encode(crops[:2]))


def test_the_ends_of_a_wide_mark_are_seen(folders):
    """CLIP's processor cuts the middle out of a picture."""
    plain = np.full((20, 200, 3), 90, np.uint8)
    ended = plain.copy()
    ended[4:16, 4:16] = 255
    rows = ImageEmbedder(any_folder(str(folders[clip]))).encode([plain, ended])
    assert np.abs(rows[0] - rows[1]).max() > 1e-4


def test_colours_come_as_blue_green_red(folders):
    """What the model gets is what its processor makes of the same picture in red, green, blue."""
    import torch

    crop = np.zeros((28, 28, 3), np.uint8)
    crop[:, :, 2] = 200  # red
    embedder = ImageEmbedder(any_folder(str(folders[siglip])))
    red = torch.zeros(1, 3, 32, 32) - 1
    red[:, 0] = 200 / 255 * 2 - 1
    with torch.inference_mode():
        row = embedder._loaded.model.get_image_features(pixel_values=red).pooler_output
    np.testing.assert_allclose(embedder.encode([crop])[0], torch.nn.functional.normalize(row)[0].numpy(), atol=1e-4)


def test_the_identity_follows_the_weights(folders, tmp_path):
    changed = shutil.copytree(folders[siglip], tmp_path / "siglip")
    (changed / "note.txt").write_text("changed")
    identities = {
        ImageEmbedder(any_folder(str(folder))).identity.split("@")[1] for folder in (folders[siglip], changed)
    }
    assert len(identities) == 2


def test_an_absent_model_names_the_command_that_fetches_it():
    with pytest.raises(Permanent) as error:
        ImageEmbedder(any_folder("acme/no-such-embedder"))
    assert "hf download acme/no-such-embedder" in error.value.hint


def test_a_folder_that_holds_no_model_is_told_apart(tmp_path):
    with pytest.raises(Permanent, match="is not a usable image encoder"):
        ImageEmbedder(any_folder(str(tmp_path)))


def test_a_model_of_words_is_refused(tmp_path):
    from transformers import BertConfig, BertModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    BertModel(BertConfig(**SMALL, **WIDER, vocab_size=32)).save_pretrained(tmp_path)
    ViTImageProcessorPil(size=SQUARE).save_pretrained(tmp_path)
    with pytest.raises(Permanent, match="is not a usable image encoder"):
        ImageEmbedder(any_folder(str(tmp_path)))


def test_a_model_that_lacks_weights_is_refused(folders, tmp_path):
    """Their random stand-ins would give vectors that mean nothing."""
    from safetensors.torch import load_file, save_file

    lacking = shutil.copytree(folders[convnext], tmp_path / "convnext")
    weights = load_file(lacking / "model.safetensors")
    del weights["layernorm.weight"]
    save_file(weights, lacking / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Permanent, match="lacks 1 of its weights"):
        ImageEmbedder(any_folder(str(lacking)))
