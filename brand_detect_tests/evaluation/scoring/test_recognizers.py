"""Each recognizer on marks drawn here: the same mark, seen differently, is more alike than another mark."""

import cv2
import numpy as np

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


GRADIENTS = recognizers.Embedder("gradients", recognizers.Gradients())


def test_a_mark_is_most_like_itself_and_a_bit_like_its_smaller_picture():
    scores = alike(GRADIENTS, textured(0), textured(0), textured(1))
    assert scores.dtype == np.float32
    assert scores[0] > scores[1]
    smaller = cv2.resize(textured(0), (60, 60), interpolation=cv2.INTER_AREA)
    scores = alike(GRADIENTS, smaller, textured(0), textured(1))
    assert scores[0] > scores[1]


def textured(seed):
    """Blobs of colour: something for each recognizer to hold on to."""
    noise = np.random.default_rng(seed).integers(0, 255, (9, 9, 3), np.uint8)
    return cv2.resize(noise, (120, 120), interpolation=cv2.INTER_CUBIC)


def test_polarity_and_colour_do_not_matter_to_shape():
    for query in (ring(BACKGROUND, FOREGROUND), ring((0, 0, 200), (255, 255, 255))):
        scores = alike(GRADIENTS, query, arrow(), ring())
        assert scores[1] > max(0.8, scores[0] + 0.2)


def test_the_score_of_a_mark_with_itself_is_one():
    np.testing.assert_allclose(alike(GRADIENTS, arrow(), arrow()), 1, atol=1e-5)


def test_letterboxing_keeps_the_proportions_and_fills_with_the_border():
    wide = np.full((20, 80, 3), 200, np.uint8)
    wide[5:15, 10:70] = 0
    square = recognizers.letterboxed(wide, 40)
    assert square.shape == (40, 40, 3)
    assert (square[:15] == 200).all()
    assert (square[25:] == 200).all()
    assert (square[18:22, 8:32] == 0).all()


class Mean:
    identity, dimensions = "mean", 3

    def encode(self, crops):
        rows = np.array([crop.mean(axis=(0, 1)) for crop in crops], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    encode_drawings = encode


def test_an_embedder_scores_by_inner_products():
    blue, red = np.zeros((2, 4, 4, 3), np.uint8)
    blue[..., 0] = 9
    red[..., 2] = 7
    scores = alike(recognizers.Embedder("mean", Mean()), blue, blue, red)
    np.testing.assert_allclose(scores, [1, 0], atol=1e-6)


def test_an_embedder_is_named_by_its_weights_its_model_or_as_the_packages_own(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(recognizers, "BuiltInLogoEmbedder", lambda *weights: asked.append(("net", *weights)))
    monkeypatch.setattr(recognizers, "any_folder", lambda name: name)
    monkeypatch.setattr(recognizers, "ImageEmbedder", lambda model: asked.append(("transformers", model)))
    names = ["logo_embedder", str(tmp_path / "try.safetensors"), "acme/siglip"]
    assert [recognizers.embedder_of(name).name for name in names] == ["logo_embedder", "try", "acme/siglip"]
    assert asked == [("net",), ("net", tmp_path / "try.safetensors"), ("transformers", "acme/siglip")]
