import cv2
import numpy as np
import pytest

from brand_detect.domain.errors import Permanent, Transient
from brand_detect.engines import tesseract
from brand_detect.engines.tesseract import TesseractDetector, TesseractReader


def page(light_on_dark=False):
    paper, colour = ((30, 30, 30), (240, 240, 240)) if light_on_dark else ((255, 255, 255), (0, 0, 0))
    image = np.full((200, 900, 3), paper, np.uint8)
    for text, at in {"Fly Better": (30, 70), "ROLEX": (600, 70), "Stadium": (30, 160)}.items():
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 1.5, colour, 3, cv2.LINE_AA)
    return image


def test_words_are_joined_into_lines_and_far_ones_kept_apart():
    regions = TesseractDetector().detect(page())
    boxes = sorted((round(float(r.quad[:, 1].min())), *r.quad[:, 0].tolist()[:2]) for r in regions)
    assert len(regions) == 3
    spans = [(left, right) for _, left, right in boxes]
    assert spans[0] == (pytest.approx(30, abs=10), pytest.approx(241, abs=20))  # Fly Better
    assert spans[1][0] == pytest.approx(600, abs=10)
    assert {r.kind for r in regions} == {"text"}


def test_boxes_are_in_px_of_the_picture_when_it_is_shrunk():
    large = cv2.resize(page(), None, fx=2, fy=2)
    regions = TesseractDetector(longest_side_px=900).detect(large)  # pyright: ignore[reportArgumentType]
    assert max(float(r.quad[:, 0].max()) for r in regions) > 1300


@pytest.mark.parametrize("light_on_dark", [False, True])
def test_lines_are_read(light_on_dark):
    image = page(light_on_dark)
    crops = [image[25:85, 20:320], image[25:85, 590:780], np.full((20, 80, 3), 128, np.uint8)]
    readings = TesseractReader(threads=2).read(crops)
    assert [r.text.casefold() for r in readings] == ["fly better", "rolex", ""]
    assert readings[0].confidence > 0.5
    assert readings[2].confidence == 0
    assert len(readings[0].char_positions) == len("fly better")
    assert readings[0].char_positions[0] == pytest.approx(25 / 300, abs=0.03)
    assert readings[0].char_positions[-1] == pytest.approx(210 / 300, abs=0.04)
    assert readings[2].char_positions == ()


def test_a_space_is_in_the_middle_of_the_gap_between_words():
    border = tesseract.BORDER_PX
    words = [("AB", 90.0, border, 40), ("C", 90.0, border + 60, 40)]
    assert tesseract._letters(words, 100 + 2 * border) == pytest.approx((0.1, 0.3, 0.5, 0.8))


def test_an_absent_language_names_the_package():
    with pytest.raises(Permanent, match="xyz") as error:
        TesseractReader("eng+xyz")
    assert "tesseract-ocr-xyz" in error.value.hint


def test_without_the_program_the_error_says_what_to_install(monkeypatch):
    import pytesseract

    monkeypatch.setattr(pytesseract.pytesseract, "tesseract_cmd", "/no/such/tesseract")
    with pytest.raises(Permanent, match="not installed") as error:
        TesseractDetector()
    assert "tesseract-ocr" in error.value.hint


def test_the_identity_has_version_and_languages():
    assert TesseractReader().identity.startswith("tesseract 5")
    assert TesseractReader().identity.endswith("eng")


def test_a_picture_that_takes_too_long_may_be_tried_again(monkeypatch):
    monkeypatch.setattr(tesseract, "TIMEOUT_S", 0.001)
    with pytest.raises(Transient, match="took longer"):
        TesseractDetector().detect(np.full((2000, 3000, 3), 255, np.uint8))
