"""What the codec measures on pixels that are drawn for it."""

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.geometry import quad_of
from brand_detect.engines.image import OpenCvCodec, read_photograph

CODEC = OpenCvCodec()


def board(
    text: str = "ROLEX", glyph_boxes: int = 255, background: int = 40, size: tuple[int, int] = (60, 260)
) -> np.ndarray:
    picture = np.full((*size, 3), background, np.uint8)
    cv2.putText(picture, text, (30, 42), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (glyph_boxes,) * 3, 3, cv2.LINE_AA)
    return picture


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def extent(picture: np.ndarray, background: int) -> tuple[float, ...]:
    rows, columns = np.nonzero(np.abs(picture[:, :, 0].astype(int) - background) > 100)
    height, width = picture.shape[:2]
    return columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height


def around(stretches: list[tuple[float, float, float, float]]) -> tuple[float, ...]:
    edges = np.array(stretches)
    return (*edges[:, :2].min(axis=0), *edges[:, 2:].max(axis=0))


def error(picture: np.ndarray, jpeg: bytes) -> float:
    return float(np.mean((CODEC.decode(jpeg).astype(float) - picture) ** 2))


def test_a_picture_of_noise_survives_as_jpeg() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 161, 1), np.uint8).repeat(3, axis=2)
    sizes = [len(CODEC.encode(noise, quality, 0)) for quality in (1, 30, 50, 75, 100)]
    assert sizes == sorted(set(sizes))
    assert error(noise, CODEC.encode(noise, 100, 0)) < 1
    part = noise[10:50, 20:100]  # not contiguous
    assert CODEC.encode(part, 75, 0) == CODEC.encode(part.copy(), 75, 0)
    assert CODEC.decode(CODEC.encode(part, 75, 20)).shape == (10, 20, 3)


@pytest.mark.parametrize("kind", ["png", "webp", "jpg"])
def test_photographs_of_usual_formats_are_read(tmp_path: Path, kind: str) -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, 15:] = 255
    cv2.imwrite(str(tmp_path / f"a.{kind}"), picture)
    assert np.abs(read_photograph(tmp_path / f"a.{kind}").astype(int) - picture).mean() < 10


def test_a_photograph_is_read_upright(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    PIL.Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert read_photograph(tmp_path / "a.jpg").shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: No such file"), (b"", "not a picture"), (b"x" * 99, "not a picture")],
)
def test_what_is_no_photograph_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(BadInput, match=message):
        read_photograph(tmp_path / "a.jpg")


def test_a_picture_larger_than_a_jpeg_is_refused() -> None:
    with pytest.raises(Permanent, match="2x70000 px could not be stored"):
        CODEC.encode(np.zeros((70_000, 2, 3), np.uint8), 75, 0)


def test_letters_suffer_less_than_from_the_tables_of_jpeg() -> None:
    picture = blurred(board("Small print", size=(180, 320)), 0.7)
    ours = CODEC.encode(picture, 75, 0)
    sizes = (cv2.imencode(".jpg", picture, [1, q, cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1].tobytes() for q in range(20, 100))
    theirs = next(jpeg for jpeg in sizes if len(jpeg) >= len(ours))
    assert error(picture, ours) < 0.9 * error(picture, theirs)


@pytest.mark.parametrize(("glyph_boxes", "background"), [(255, 40), (0, 230)])
def test_ink_is_what_stands_out_from_the_rim(glyph_boxes: int, background: int) -> None:
    picture = board(glyph_boxes=glyph_boxes, background=background)
    assert around(CODEC.glyph_boxes(picture)) == pytest.approx(extent(picture, background), abs=0.02)
    assert around(CODEC.glyph_boxes(blurred(picture, 2))) == pytest.approx(extent(picture, background), abs=0.05)


def test_each_stretch_of_ink_has_its_own_extent() -> None:
    picture = board("H H")
    cv2.circle(picture, (180, 30), 16, (255, 255, 255), -1)
    *letters, disc = CODEC.glyph_boxes(picture)
    assert len(letters) == 2
    assert disc == pytest.approx((164 / 260, 14 / 60, 197 / 260, 47 / 60), abs=0.02)


def test_who_stands_before_a_line_and_what_its_box_cuts_leave_the_rest() -> None:
    picture = board()
    wanted = extent(picture, 40)
    cv2.rectangle(picture, (200, 0), (225, 60), (255, 255, 255), -1)  # from top to bottom
    cv2.rectangle(picture, (0, 0), (190, 3), (255, 255, 255), -1)  # the board's border
    assert around(CODEC.glyph_boxes(picture)) == pytest.approx(wanted, abs=0.02)


def test_a_second_ground_is_nobody_who_stands_before_the_line() -> None:
    picture = board()
    picture[:, 170:] = (picture[:, 170:] * 0.4 + (60, 60, 200)).clip(0, 255)
    assert CODEC.glyph_boxes(picture) == []


def test_a_busy_ground_or_nothing_gives_no_ink() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (60, 260, 3)).astype(np.uint8)
    assert CODEC.glyph_boxes(noise) == []
    assert CODEC.glyph_boxes(np.full((60, 260, 3), 90, np.uint8)) == []
    assert CODEC.glyph_boxes(np.zeros((1, 4, 3), np.uint8)) == []


@pytest.mark.parametrize(("height", "width"), [(1936, 13), (800, 6), (193, 3)])
def test_a_rule_between_two_pictures_has_no_ink(height: int, width: int) -> None:
    """A text detector takes a thin line from top to bottom for text."""
    picture = np.full((height, width, 3), 20, np.uint8)
    picture[:, width // 2] = 255
    assert CODEC.glyph_boxes(picture) == []


def test_the_ground_is_the_colour_of_most_of_the_rim() -> None:
    picture = np.full((40, 160, 3), (150, 60, 0), np.uint8)
    picture[10:30, 20:140] = 255
    picture[:, 30:50] = (20, 20, 200)  # somebody before it
    assert CODEC.background(picture).tolist() == [150, 60, 0]


def test_a_view_or_the_edge_of_a_shadow_is_no_plain_ground() -> None:
    assert CODEC.background(np.random.default_rng(1).integers(0, 255, (40, 160, 3)).astype(np.uint8)) == pytest.approx(
        3 * [np.nan], nan_ok=True
    )
    shaded = np.full((40, 160, 3), (200, 180, 160), np.uint8)
    shaded[:, :110] //= 3
    assert CODEC.background(shaded) == pytest.approx(3 * [np.nan], nan_ok=True)


def test_contrast_is_the_deviation_of_the_grey() -> None:
    half = np.zeros((10, 10, 3), np.uint8)
    half[:, 5:] = 255
    assert CODEC.contrast(half) == pytest.approx(0.5)
    assert CODEC.contrast(half // 5) == pytest.approx(0.1)
    assert CODEC.contrast(np.full((10, 10, 3), 77, np.uint8)) == 0


def test_sharpness_falls_with_blur() -> None:
    picture = board()
    sharp, soft, softer = (CODEC.sharpness(p) for p in (picture, blurred(picture, 1), blurred(picture, 3)))
    assert sharp > 2 * soft > 4 * softer > 0


@pytest.mark.parametrize("box", [(40, 20, 90, 50), (0, 0, 160, 120), (155, 100, 160, 120)])
def test_an_upright_crop_is_cut_as_it_is(box: tuple[int, int, int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 255, (120, 160, 3), np.uint8)
    left, top, right, bottom = box
    crop = OpenCvCodec().rectify(image, quad_of(np.array(box) + 0.4))
    assert np.array_equal(crop, image[top:bottom, left:right])
    crop[:] = 0
    assert image[top:bottom, left:right].any(), "the crop must not keep the picture in memory"


@pytest.mark.parametrize("box", [(-20, 10, 40, 50), (100, 90, 190, 140), (-10, -10, 170, 130)])
def test_a_crop_that_leaves_the_picture_repeats_its_edge(box: tuple[int, int, int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 255, (120, 160, 3), np.uint8)
    left, top, right, bottom = box
    rows, columns = np.arange(top, bottom).clip(0, 119), np.arange(left, right).clip(0, 159)
    assert np.array_equal(OpenCvCodec().rectify(image, quad_of(box)), image[np.ix_(rows, columns)])
