"""Brands that are hard to tell apart."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brand_detect.catalog import parse_catalog
from brand_detect.catalog.collisions import SMALL_PX, logos_alike, names_alike
from brand_detect.domain.catalog import Brand, Exemplar
from brand_detect.domain.protocols import Image
from brand_detect_tests.support.pipeline import silent


def pairs(listed: str) -> list[tuple[str, str]]:
    found = names_alike(parse_catalog(listed.encode(), "b.yaml"), 0.88, 5)
    return [(c.brand, c.other) for c in found]


def test_names_that_a_misreading_makes_another_name():
    assert pairs("- Sportsbet\n- Sportsnet\n- Rolex\n- Tudor") == [("Sportsbet", "Sportsnet")]
    assert pairs("- {name: Club, aliases: [Mornington]}\n- Momington") == [("Club", "Momington")], "rn is read as m"
    assert pairs("- {name: Sportsbet, aliases: [Sportsbett]}") == [], "its own names are no others"
    assert pairs("- {name: Sportsbet, logo_only: true}\n- Sportsnet") == []


class Coarse:
    """Sees where a picture is bright, by sixteen fields."""

    identity, dimensions = "coarse", 16

    def encode(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        fields = [crop[..., 0].reshape(4, crop.shape[0] // 4, 4, -1).mean(axis=(1, 3)).ravel() for crop in crops]
        return np.array([f / np.linalg.norm(f) for f in fields], np.float32)

    encode_drawings = encode


def picture(kind: str, side_px: int) -> Image:
    image = np.zeros((side_px, side_px, 3), np.uint8)
    half = side_px // 2
    parts = {"left": image[:, :half], "top": image[:half], "corner": image[:half, :half], "rim": image[: side_px // 8]}
    parts[kind][:] = 255
    return image


def brand(name: str, *kinds: str) -> Brand:
    return Brand(name, name, exemplars=tuple(Exemplar(kind, "png") for kind in kinds))


def test_logos_that_are_alike_and_those_that_are_when_they_are_small():
    def draw(exemplar: Exemplar, side_px: int) -> Image:
        kind = exemplar.exemplar_id.rstrip("2")
        return picture("rim" if side_px == SMALL_PX and kind == "top" else kind, side_px)

    brands = [brand("A", "left", "left2"), brand("B", "corner", "left22")]
    brands += [brand("C", "top"), brand("D", "rim"), brand("E")]
    found = list(logos_alike(brands, draw, Coarse(), 0.95, silent))
    assert [(c.kind, c.brand, c.other) for c in found] == [("logo", "A", "B"), ("small", "C", "D")]
    assert all(c.likeness > 0.99 for c in found)
    assert list(logos_alike([brand("E")], draw, Coarse(), 0.95, silent)) == []
