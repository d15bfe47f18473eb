import numpy as np

from brand_detect.domain.backgrounds import BLACK, WHITE, on_background, on_contrast


def half(color: tuple[int, int, int]) -> np.ndarray:
    """Two pixels of a colour, one of them half transparent, and one that is not there."""
    return np.array([[[*color, 255], [*color, 128], [0, 0, 0, 0]]], np.uint8)


def test_transparent_parts_show_the_ground():
    image = on_background(half((200, 100, 0)), WHITE, 5)
    assert image.shape == (5, 5, 3)
    assert image[2, 1:4].tolist() == [[0, 100, 200], [127, 177, 227], [255, 255, 255]]
    assert (image[[0, 1, 3, 4]] == 255).all()
    assert on_background(half((200, 100, 0)), BLACK, 3)[0].tolist() == [[0, 0, 0]] * 3


def test_a_dark_mark_stands_on_white_and_a_bright_one_on_black():
    assert on_contrast(half((20, 20, 90)), 3)[0, 0].tolist() == [255, 255, 255]
    assert on_contrast(half((250, 220, 0)), 3)[0, 0].tolist() == [0, 0, 0]
