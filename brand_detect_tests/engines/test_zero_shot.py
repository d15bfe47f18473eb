"""The zero-shot path on a tiny OWL-ViT with random weights, saved and loaded as any other model folder."""

import json

import numpy as np
import pytest

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.engines.model_files import any_folder
from brand_detect.engines.zero_shot import ZeroShotDetector

LABELS = ["a logo", "a dog"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import torch
    from transformers import CLIPTokenizer, OwlViTConfig, OwlViTForObjectDetection, OwlViTProcessor
    from transformers.models.owlvit.image_processing_pil_owlvit import OwlViTImageProcessorPil

    path = tmp_path_factory.mktemp("owlvit")
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    tokens = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    (path / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(path, model_max_length=16)
    image_processor = OwlViTImageProcessorPil(size={"height": 64, "width": 64})
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = OwlViTConfig(
        text_config={
            **small,
            "vocab_size": len(tokens),
            "max_position_embeddings": 16,
            "eos_token_id": len(tokens) - 1,
        },
        vision_config={**small, "image_size": 64, "patch_size": 16},
        projection_dim=16,
    )
    OwlViTForObjectDetection(config).save_pretrained(path)
    OwlViTProcessor(image_processor=image_processor, tokenizer=tokenizer).save_pretrained(path)
    return path


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)


def test_boxes_labels_and_scores_come_back_in_pixels_of_the_picture(folder, picture):
    regions = ZeroShotDetector(any_folder(str(folder)), LABELS, min_score=0.0).detect(picture)
    assert len(regions) == 16  # one per patch of the 64 px square
    assert {r.kind for r in regions} == {"object"}
    assert {r.label for r in regions} <= set(LABELS)
    assert all(0 <= r.score <= 1 and r.quad.shape == (4, 2) for r in regions)
    # the model sees 64 x 64 px: its boxes, one around each patch, have to be spread over the 160 x 90 of the picture
    centres = np.array([r.quad.mean(axis=0) for r in regions])
    assert centres[:, 0].max() > 100
    assert centres[:, 1].max() <= 90


def test_the_score_limit_leaves_out_the_weaker_half(folder, picture):
    everything = ZeroShotDetector(any_folder(str(folder)), LABELS, min_score=0.0).detect(picture)
    middle = float(np.median([r.score for r in everything]))
    some = ZeroShotDetector(any_folder(str(folder)), LABELS, min_score=middle).detect(picture)
    assert sorted(r.score for r in some) == sorted(r.score for r in everything if r.score > middle)
    assert {r.kind for r in some} == {"object"}


def test_the_identity_follows_the_weights(folder):
    before = ZeroShotDetector(any_folder(str(folder)), LABELS).identity
    assert before == ZeroShotDetector(any_folder(str(folder)), ["a cat"]).identity
    (folder / "note.txt").write_text("changed")
    assert before != ZeroShotDetector(any_folder(str(folder)), LABELS).identity


def test_an_absent_model_names_the_command_that_fetches_it():
    with pytest.raises(Permanent) as error:
        ZeroShotDetector(any_folder("acme/no-such-detector"), LABELS)
    assert "hf download acme/no-such-detector" in error.value.hint


def test_a_folder_that_holds_no_model_is_told_apart(tmp_path):
    with pytest.raises(Permanent, match="is not a usable zero-shot"):
        ZeroShotDetector(any_folder(str(tmp_path)), LABELS)


def test_nothing_to_look_for_is_refused():
    with pytest.raises(BadInput):
        ZeroShotDetector(any_folder("."), [])
