"""The packaged PP-OCR models on drawn words: small pictures, few calls."""

import subprocess
import sys
from unittest.mock import patch

import cv2
import numpy as np
import pytest

from brand_detect.domain.errors import Permanent
from brand_detect.domain.geometry import box_iou, boxes_of
from brand_detect.domain.params import Precision
from brand_detect.domain.protocols import Area
from brand_detect.engines import onnx
from brand_detect.engines.image import OpenCvCodec
from brand_detect.engines.rapid import RapidTextDetector, RapidTextReader, text_quads, windows

WORDS = {"EMIRATES": (60, 80), "Rolex": (420, 200), "1:16": (100, 320)}  # base line starts, px


@pytest.fixture(scope="module")
def picture():
    image = np.full((400, 720, 3), 40, np.uint8)
    for text, at in WORDS.items():
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 1.2, (240, 240, 240), 3, cv2.LINE_AA)
    return image


def crop(text, scale=1.2):
    image = np.full((60, 40 + 24 * len(text), 3), 200, np.uint8)
    cv2.putText(image, text, (15, 42), cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 3, cv2.LINE_AA)
    return image


@pytest.fixture(scope="module")
def reader():
    return RapidTextReader(threads=1)


@pytest.fixture(scope="module")
def detector():
    return RapidTextDetector(threads=1)


def read(image, detector, reader):
    regions = detector.detect(image)
    crops = [OpenCvCodec().rectify(image, r.quad) for r in regions]
    return {reading.text: r for r, reading in zip(regions, reader.read(crops), strict=True)}


def test_words_are_found_and_read_where_they_were_drawn(picture, detector, reader):
    found = read(picture, detector, reader)
    assert found.keys() == WORDS.keys()
    for text, (x, base) in WORDS.items():
        assert found[text].kind == "text"
        left, top, right, bottom = boxes_of([found[text].quad])[0]
        assert (left, bottom) == (pytest.approx(x, abs=12), pytest.approx(base, abs=12))
        assert 20 < bottom - top < 60 < right - left


def test_whole_pictures_of_one_size_have_a_network_of_their_own(picture, reader):
    detector = RapidTextDetector(threads=1, one_size=True)
    with patch.object(onnx.OnnxNet, "fixed", autospec=True, side_effect=onnx.OnnxNet.fixed) as fixed:
        assert read(picture, detector, reader).keys() == WORDS.keys()
        detector.detect(picture, [Area(0, 0, 200, 100)])
        RapidTextDetector(threads=1).detect(picture)
    assert fixed.call_count == 1  # none for parts of the picture, nor for the search at a third of its size


def test_onnxruntime_stands_in_where_openvino_is_absent(picture, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    other_detector, other_reader = RapidTextDetector(threads=1), RapidTextReader(threads=1)
    assert "onnxruntime" in other_detector.identity
    assert "f32" in other_reader.identity
    assert read(picture, other_detector, other_reader).keys() == WORDS.keys()
    with pytest.raises(Permanent, match="bf16"):
        RapidTextReader(Precision.bf16)


def test_the_identity_names_library_model_runtime_and_precision(detector):
    assert detector.identity.startswith("rapidocr 3.")
    assert "PP-OCRv6_det_small" in detector.identity
    assert RapidTextDetector(precision=Precision.f32).identity.endswith("f32")


def test_an_absent_model_is_a_permanent_error(tmp_path):
    with pytest.raises(Permanent, match=r"gone\.onnx"):
        onnx.OnnxNet(tmp_path / "gone.onnx", Precision.auto, mean=0, scale=1)


def test_only_the_areas_asked_for_are_searched(picture, detector):
    area = Area(400, 150, 600, 220)  # around Rolex
    [region] = [r for r in detector.detect(picture, [area]) if 400 <= r.quad[:, 0].mean() < 600]
    whole = boxes_of([r.quad for r in detector.detect(picture)])
    assert box_iou(boxes_of([region.quad]), whole).max() > 0.8


def test_windows_cover_what_was_asked_in_few_sizes_and_cost_no_more_than_the_picture():
    rng = np.random.default_rng(0)
    sizes = set()
    for count in (1, 2, 5, 20, 60):
        corners = rng.integers(0, (1800, 1000), (count, 2))
        areas = [
            Area(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, rng.integers(8, 120, (count, 2)), strict=True)
        ]
        found = windows(areas, 1920, 1080, 1.0)
        assert all(
            any(w.left <= a.left and w.top <= a.top and w.right >= min(a.right, 1920) for w in found) for a in areas
        )
        assert all(0 <= w.left < w.right <= 1920 and 0 <= w.top < w.bottom <= 1080 for w in found)
        assert sum((w.right - w.left) * (w.bottom - w.top) for w in found) <= 1920 * 1080
        sizes |= {(w.right - w.left, w.bottom - w.top) for w in found}
    assert all((w % 320 == 0 or w == 1920) and (h % 320 == 0 or h == 1080) for w, h in sizes)
    assert windows([Area(0, 0, 1920, 1080)], 1920, 1080, 1.0) == [Area(0, 0, 1920, 1080)]
    assert windows([Area(10, 10, 50, 20), Area(12, 11, 60, 30)], 1920, 1080, 1.0) == [Area(0, 0, 320, 320)]


def test_what_costs_nearly_as_much_as_the_picture_is_the_picture():
    left, right, narrow = Area(0, 0, 600, 1080), Area(1300, 0, 1900, 1080), Area(1700, 0, 1900, 1080)
    assert windows([left, narrow], 1920, 1080, 1.0) == [Area(0, 0, 640, 1080), Area(1600, 0, 1920, 1080)]
    assert windows([left, right], 1920, 1080, 1.0) == [Area(0, 0, 1920, 1080)]


def test_very_many_areas_are_the_picture():
    areas = [Area(x, y, x + 10, y + 10) for x in range(0, 1900, 100) for y in range(0, 1000, 100)]
    assert windows(areas, 1920, 1080, 1.0) == [Area(0, 0, 1920, 1080)]


def test_text_in_two_windows_is_found_once(picture, detector):
    areas = [Area(50, 50, 250, 90), Area(90, 290, 180, 330), Area(410, 170, 560, 210)]
    assert len(detector.detect(picture, areas)) == len(WORDS)


@pytest.fixture
def sides(detector, monkeypatch):
    """Height and width of each input of the detector's network, which finds nothing."""
    sides: list[tuple[int, int]] = []

    def seen(batches, _):
        sides.append(batches[0].shape[1:3])
        return [[]]

    monkeypatch.setattr(detector._net, "map", seen)
    return sides


def test_only_where_letters_may_be_large_is_the_picture_searched_at_a_third_too(detector, sides):
    detector.detect(np.zeros((1080, 1920, 3), np.uint8))
    assert sides == [(1152, 1984), (416, 704)]
    sides.clear()
    detector.detect(np.zeros((1080, 1920, 3), np.uint8), [Area(0, 0, 600, 200), Area(0, 800, 1900, 900)])
    assert sorted(sides) == [(160, 704), (384, 704), (384, 1984)]


def test_a_picture_that_a_panning_camera_blurred_is_also_searched_squeezed(detector, sides):
    picture = np.full((1080, 1920, 3), 40, np.uint8)
    cv2.putText(picture, "EMIRATES", (300, 600), cv2.FONT_HERSHEY_SIMPLEX, 6, (240, 240, 240), 14, cv2.LINE_AA)
    panned = cv2.blur(picture, (61, 1))
    for other in (picture, cv2.blur(picture, (1, 61)), cv2.blur(picture, (31, 31)), np.zeros_like(picture)):
        detector.detect(other)
    assert sides == [(1152, 1984), (416, 704)] * 4
    sides.clear()
    detector.detect(panned)
    assert sides == [(1152, 1984), (416, 704), (928, 832)]
    sides.clear()
    detector.detect(panned, [Area(0, 0, 900, 200)])
    assert len(sides) == 2, "not squeezed, because networks plan anew for each size"


def test_text_in_a_squeezed_picture_is_found_once(picture, detector, reader):
    panned = cv2.blur(cv2.resize(picture, None, fx=2, fy=2), (15, 1))
    with patch.object(detector, "_search", wraps=detector._search) as searched:
        found = detector.detect(panned)
    assert searched.call_count == 3
    assert len(found) == len(WORDS)
    assert sorted(read(panned, detector, reader)) == sorted(WORDS)


def test_what_is_found_in_a_squeezed_picture_is_where_it_is_in_the_picture(picture, detector):
    large = cv2.resize(picture, None, fx=3, fy=3)
    whole = Area(0, 0, large.shape[1], large.shape[0])
    found, squeezed = (detector._search(large, whole, scale) for scale in ((0.8, 0.8), (0.4, 0.8)))
    assert len(found) == len(squeezed) == len(WORDS)
    overlap = box_iou(*(boxes_of([r.quad for r in some]) for some in (found, squeezed)))
    assert (overlap.max(axis=1) > 0.7).all()


def test_readings_come_in_the_order_of_the_crops(reader):
    words = ["A", "EMIRATES STADIUM", "VISA", "Hisense", "15"]
    readings = reader.read([crop(w) for w in words])
    assert [r.text.replace(" ", "") for r in readings] == [w.replace(" ", "") for w in words]
    assert all(r.confidence > 0.8 for r in readings)


def test_the_place_of_each_letter_is_told(reader):
    line = np.full((60, 500, 3), 200, np.uint8)
    cv2.circle(line, (60, 30), 20, (20, 20, 20), 6)  # an emblem beside the name
    drawn = []
    for i, char in enumerate("HTM THE"):
        (width, _), _ = cv2.getTextSize(char, cv2.FONT_HERSHEY_SIMPLEX, 1.2, 3)
        drawn.append((140 + 40 * i + width / 2) / 500)
        cv2.putText(line, char, (140 + 40 * i, 42), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (20, 20, 20), 3, cv2.LINE_AA)
    [reading] = reader.read([line])
    assert len(reading.char_positions) == len(reading.text)
    char_positions = [x for char, x in zip(reading.text, reading.char_positions, strict=True) if char in "HTME"]
    assert char_positions == pytest.approx(
        [x for char, x in zip("HTM THE", drawn, strict=True) if char != " "], abs=0.025
    )


def test_a_line_decodes_as_rapidocr_does(reader):
    from rapidocr.ch_ppocr_rec.utils import CTCLabelDecode

    theirs = CTCLabelDecode(character=reader._net.metadata("character").splitlines())
    rng = np.random.default_rng(0)
    out = rng.random((1, 60, len(theirs.character)), np.float32)
    out[0, np.arange(60), rng.choice([0, 0, 5, 7, 400, len(theirs.character) - 1], 60)] += 1  # repeats, blanks, spaces
    [(text, confidence)], _ = theirs(out)
    ours = reader._reading(out)
    assert ours.text == text.strip()
    assert len(ours.text) > 10
    assert ours.confidence == pytest.approx(confidence, abs=1e-4)


def test_what_was_read_and_what_was_nearly_read_are_told_step_by_step(reader):
    known = {c: n for n, c in enumerate(reader._characters)}
    out = np.full((1, 9, len(known)), 1e-7, np.float32)
    likely = ["", "", "R", "", "O", "F", "F", "", ""]
    out[0, np.arange(9), [known[c] for c in likely]] = 0.999
    out[0, 5, [known[c] for c in "FEPTI"]] = 0.5, 0.3, 0.1, 0.05, 0.02
    out[0, 8, [known[""], known["."], known["L"]]] = 0.97, 0.02, 0.001
    steps = reader._reading(out).steps
    shown = ["".join(step.characters) for step in steps]
    assert shown == ["", "R", "", "O", "FEPT", "F", "", "."]
    assert steps[7].characters == ("", ".")
    assert steps[4].costs == pytest.approx(np.log(0.5 / np.array([0.5, 0.3, 0.1, 0.05])), abs=1e-4)


def test_a_line_that_may_be_nothing_else_has_no_steps(reader):
    [reading] = reader.read([crop("EMIRATES")])
    assert (reading.text, reading.steps) == ("EMIRATES", ())


def test_a_line_on_its_side_is_read_both_ways_up(reader):
    line = crop("PEUGEOT")
    readings = reader.read([np.rot90(line), np.rot90(line, -1)])
    assert [(r.text, r.char_positions) for r in readings] == [("PEUGEOT", ()), ("PEUGEOT", ())]


def test_nothing_is_read_from_an_empty_crop_nor_from_none(reader, detector):
    assert reader.read([]) == []
    [reading] = reader.read([np.full((20, 90, 3), 128, np.uint8)])
    assert (reading.text, reading.confidence) == ("", 0.0)
    assert detector.detect(np.zeros((16, 16, 3), np.uint8)) == []


def test_a_failure_inside_the_runtime_is_raised(reader):
    def broken(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        reader._net.map([np.zeros((1, 48, 64, 3), np.uint8)], broken)


def text_map(corners):
    drawn = np.zeros((200, 300), np.float32)
    cv2.fillPoly(drawn, [np.array(corners, np.int32)], 0.9)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return drawn


def test_a_leaning_board_gets_upright_sides_and_a_turned_line_a_rectangle():
    [(leaning, score)] = text_quads(text_map([(50, 150), (150, 50), (150, 80), (50, 180)]), 0.5)
    assert score == pytest.approx(0.9, abs=0.1)
    assert leaning[0, 0] == pytest.approx(leaning[3, 0], abs=1)
    assert leaning[1, 0] == pytest.approx(leaning[2, 0], abs=1)
    turned = cv2.boxPoints(((150, 100), (160, 30), -30))
    [(quad, _)] = text_quads(text_map(turned), 0.5)
    along, down = quad[1] - quad[0], quad[3] - quad[0]
    assert abs(along @ down) < 0.05 * np.linalg.norm(along) * np.linalg.norm(down)


def test_a_line_grows_by_what_the_map_took_from_it():
    [(quad, _)] = text_quads(text_map([(50, 90), (150, 90), (150, 110), (50, 110)]), 0.5)
    # 100 x 20 shrunk: area * 1.6 / perimeter = 13.3 px on every side
    assert boxes_of([quad])[0] == pytest.approx([50 - 13, 90 - 13, 150 + 14, 110 + 14], abs=3)


def pieces(*bars, turned=0.0):
    """The quads found where the map has these bars, (x, y, width, height), turned around the middle by degrees."""
    drawn = np.max([text_map([(x, y), (x + w, y), (x + w, y + h), (x, y + h)]) for x, y, w, h in bars], axis=0)
    turn = cv2.getRotationMatrix2D((150, 100), turned, 1.0)
    seen = cv2.warpAffine(drawn, turn, (300, 200), flags=cv2.INTER_NEAREST).astype(np.float32)
    return [quad for quad, _ in text_quads(seen, 0.5)]


@pytest.mark.parametrize("turned", [0.0, 10.0, -35.0])
def test_pieces_with_a_letters_gap_are_one_line_and_with_a_words_gap_two(turned):
    [line] = pieces((50, 90, 90, 20), (145, 90, 60, 20), turned=turned)
    length, height = np.linalg.norm(line[1] - line[0]), np.linalg.norm(line[3] - line[0])
    assert (length, height) == (pytest.approx(155 + 26, abs=8), pytest.approx(46, abs=6))
    assert np.linalg.norm(line.mean(axis=0) - (150, 100)) == pytest.approx(22.5, abs=4)
    assert len(pieces((50, 90, 90, 20), (155, 90, 60, 20), turned=turned)) == 2


def test_three_pieces_are_one_line_but_neither_lines_below_each_other_nor_other_sizes():
    assert len(pieces((20, 90, 80, 20), (104, 90, 60, 20), (168, 90, 80, 20))) == 1
    assert len(pieces((50, 70, 90, 20), (60, 95, 90, 20))) == 2
    assert len(pieces((50, 90, 90, 20), (145, 70, 90, 50))) == 2


def test_pieces_of_one_line_are_about_as_high_as_each_other():
    assert len(pieces((50, 90, 90, 20), (145, 98, 60, 20))) == 1
    assert len(pieces((50, 90, 90, 20), (145, 106, 60, 20))) == 2


@pytest.mark.parametrize(("left", "right", "score"), [(90, 60, 0.9), (60, 90, 0.6)])
def test_a_line_of_pieces_has_the_score_of_the_longest(left, right, score):
    surely = text_map([(50, 90), (50 + left, 90), (50 + left, 110), (50, 110)])
    less = text_map([(55 + left, 90), (55 + left + right, 90), (55 + left + right, 110), (55 + left, 110)])
    [(_, found)] = text_quads(np.maximum(surely, 0.7 * less), 0.5)
    assert found == pytest.approx(score, abs=0.07)


def test_weak_blobs_are_left_out():
    assert text_quads(text_map([(50, 90), (150, 90), (150, 110), (50, 110)]) * 0.5, 0.5) == []


def test_a_blob_of_the_whole_picture_is_no_line():
    assert text_quads(text_map([(2, 2), (298, 2), (298, 198), (2, 198)]), 0.5) == []
    # letters as high as the picture mark half of it
    [(line, _)] = text_quads(text_map([(20, 50), (280, 50), (280, 150), (20, 150)]), 0.5)
    assert boxes_of([line])[0, 3] - boxes_of([line])[0, 1] >= 200


def test_importing_and_running_says_nothing_and_loads_late():
    code = (
        "import sys, numpy as np\n"
        "import brand_detect.engines.rapid as r\n"
        "assert not {'cv2', 'rapidocr', 'openvino', 'onnxruntime'} & sys.modules.keys()\n"
        "r.RapidTextReader(threads=1).read([np.zeros((20, 40, 3), np.uint8)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_network_is_made_once_per_process(monkeypatch: pytest.MonkeyPatch):
    crop = np.full((20, 90, 3), 128, np.uint8)
    first = RapidTextReader().read([crop])

    def again(*_: object) -> None:
        raise AssertionError("the network is compiled again")

    monkeypatch.setattr("openvino.Core.compile_model", again)
    monkeypatch.setattr("openvino.Core.import_model", again)
    assert RapidTextReader().read([crop]) == first
