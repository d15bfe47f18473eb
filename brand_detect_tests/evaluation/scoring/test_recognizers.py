"""Each recognizer on marks drawn here: the same mark, seen differently, is more alike than another mark."""

import cv2
import numpy as np
import pytest

from brand_detect.evaluation.scoring import recognizers

FOREGROUND, BACKGROUND = (30, 30, 30), (230, 230, 230)


def ring(foreground=FOREGROUND, background=BACKGROUND, size=96):
    picture = np.full((size, size, 3), background, np.uint8)
    cv2.circle(picture, (size // 2, size // 2), size // 3, foreground, size // 10)
    cv2.line(picture, (size // 4, size // 2), (size // 2, size // 4), foreground, size // 16)
    return picture


def arrow(foreground=FOREGROUND, background=BACKGROUND, size=96):
    picture = np.full((size, size, 3), background, np.uint8)
    corners = np.array([(10, 60), (50, 60), (50, 80), (88, 48), (50, 16), (50, 36), (10, 36)]) * size // 96
    cv2.fillPoly(picture, [corners], foreground)
    return picture


def alike(recognizer, query, *exemplars):
    return recognizer.compare(recognizer.describe([query]), recognizer.describe(exemplars))[0]


ALL = {r.name: r for r in recognizers.baselines()}


@pytest.mark.parametrize("name", ALL)
def test_a_mark_is_most_like_itself_and_a_bit_like_its_smaller_picture(name):
    scores = alike(ALL[name], textured(0), textured(0), textured(1))
    assert scores.dtype == np.float32
    assert scores[0] > scores[1]
    smaller = cv2.resize(textured(0), (60, 60), interpolation=cv2.INTER_AREA)
    scores = alike(ALL[name], smaller, textured(0), textured(1))
    assert scores[0] > scores[1]


def textured(seed):
    """Blobs of colour: something for each recognizer to hold on to."""
    noise = np.random.default_rng(seed).integers(0, 255, (9, 9, 3), np.uint8)
    return cv2.resize(noise, (120, 120), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("name", ["gradients", "shape correlation"])
def test_polarity_and_colour_do_not_matter_to_shape(name):
    for query in (ring(BACKGROUND, FOREGROUND), ring((0, 0, 200), (255, 255, 255))):
        scores = alike(ALL[name], query, arrow(), ring())
        assert scores[1] > max(0.8, scores[0] + 0.2)


@pytest.mark.parametrize("name", ["gradients", "shape correlation", "pHash", "colours"])
def test_the_score_of_a_mark_with_itself_is_one(name):
    np.testing.assert_allclose(alike(ALL[name], arrow(), arrow()), 1, atol=1e-5)


def test_colours_are_compared_without_places():
    scores = alike(ALL["colours"], ring(), arrow(), ring((0, 0, 255), (255, 0, 0)))
    assert scores[0] > 0.9
    assert scores[1] < 0.1


def test_sift_counts_what_one_similarity_explains():
    mark = textured(0)
    turned = cv2.warpAffine(mark, cv2.getRotationMatrix2D((60, 60), 25, 0.8), (120, 120), borderValue=(128, 128, 128))
    scores = alike(ALL["SIFT"], turned, mark, textured(1))
    assert scores[0] >= 8
    assert scores[1] < 4


def test_a_crop_without_keypoints_is_like_nothing_to_sift():
    blank = np.full((40, 40, 3), 90, np.uint8)
    assert alike(ALL["SIFT"], blank, textured(0), blank).tolist() == [0, 0]
    assert alike(ALL["SIFT"], textured(0), blank).tolist() == [0]


def test_letterboxing_keeps_the_proportions_and_fills_with_the_border():
    wide = np.full((20, 80, 3), 200, np.uint8)
    wide[5:15, 10:70] = 0
    square = recognizers.letterboxed(wide, 40)
    assert square.shape == (40, 40, 3)
    assert (square[:15] == 200).all()
    assert (square[25:] == 200).all()
    assert (square[18:22, 8:32] == 0).all()


def test_an_embedder_scores_by_inner_products():
    embedder = recognizers.Descriptor("mean", 3, lambda crop: crop.mean(axis=(0, 1)))
    blue, red = np.zeros((2, 4, 4, 3), np.uint8)
    blue[..., 0] = 9
    red[..., 2] = 7
    scores = alike(recognizers.Embedder("mean", embedder), blue, blue, red)
    np.testing.assert_allclose(scores, [1, 0], atol=1e-6)


def test_an_embedder_is_named_by_its_weights_its_model_or_as_the_packages_own(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(recognizers, "BuiltInLogoEmbedder", lambda *weights: asked.append(("net", *weights)))
    monkeypatch.setattr(recognizers, "any_folder", lambda name: name)
    monkeypatch.setattr(recognizers, "ImageEmbedder", lambda model: asked.append(("transformers", model)))
    names = ["logo_embedder", str(tmp_path / "try.safetensors"), "acme/siglip"]
    assert [recognizers.embedder_of(name).name for name in names] == ["logo_embedder", "try", "acme/siglip"]
    assert asked == [("net",), ("net", tmp_path / "try.safetensors"), ("transformers", "acme/siglip")]
