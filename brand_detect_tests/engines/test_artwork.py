import io
import zlib

import numpy as np
import pytest
from PIL import Image

from brand_detect.domain.errors import BadInput
from brand_detect.engines import drawing
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect_tests.support.logos import pixels, svg

ARTWORK = VectorAndPixelArtwork()


@pytest.mark.parametrize("side_px", [24, 112, 500])
def test_a_drawing_fills_the_picture_without_its_margin(side_px: int):
    picture = ARTWORK.render(svg("triangle"), "svg", side_px)
    assert max(picture.shape) == picture.shape[1] == side_px
    assert picture[-2, side_px // 2].tolist() == [0xE3, 0x06, 0x13, 255]
    assert picture[0, 0, 3] == 0, "beside the triangle's tip"


def test_a_mark_that_is_small_on_its_page_is_drawn_large_and_not_blown_up():
    page = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2400 2400"><path d="M100 100h200l-100 100z"/></svg>'
    picture = ARTWORK.render(page, "svg", 120)
    assert picture.shape == (60, 120, 4)
    assert np.isin(picture[..., 3], (0, 255)).mean() > 0.95, "its edges are sharp"


@pytest.mark.parametrize("fill", ["currentColor", "black"])
def test_a_drawing_without_a_colour_is_black(fill: str):
    assert ARTWORK.render(svg(fill=fill), "svg", 64)[32, 32].tolist() == [0, 0, 0, 255]


def test_a_picture_of_pixels_loses_its_margin_and_is_never_enlarged():
    assert ARTWORK.render(pixels(120, 60, margin=10), "png", 500).shape == (40, 100, 4)
    small = ARTWORK.render(pixels(120, 60, margin=10), "png", 50)
    assert small.shape == (20, 50, 4)
    assert small[-1, -1].tolist() == [10, 40, 120, 255]
    assert ARTWORK.render(pixels(120, 60, suffix=".jpg"), "jpeg", 60).shape == (30, 60, 4)


def test_a_photograph_stands_upright():
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    Image.open(io.BytesIO(pixels(120, 60, suffix=".jpg"))).save(turned, "JPEG", exif=exif)
    assert ARTWORK.render(turned.getvalue(), "jpeg", 120).shape == (120, 60, 4)


ENTITIES = "".join(f'<!ENTITY {c} "{f"&{p};" * 10}">' for p, c in zip("abcdefgh", "bcdefghi", strict=True))
USES = "".join(f'<g id="a{i}">{f"<use href={chr(34)}#a{i - 1}{chr(34)}/>" * 10}</g>' for i in range(1, 9))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "not SVG"),
        (b"logo", "not SVG"),
        (svg()[:-5], "not SVG"),
        (svg().decode().encode("utf-16"), "not SVG"),
        (b"<html/>", "cannot be drawn"),
        (svg("M0 0"), "is empty"),
        (svg(fill="none"), "is empty"),
        (svg("M0 0h24v24H0z"), "a single plain colour"),
        (svg(extra="<text y='9'>Nike</text>"), "uses fonts"),
        (svg(extra="<image href='/etc/passwd'/>"), "a raster image"),
        (svg(extra="<image href='http://127.0.0.1/x.png'/>"), "a raster image"),
        (svg(extra="<pattern id='p' width='9e6' height='9e6' patternUnits='userSpaceOnUse'/>"), "a pattern"),
        (svg(extra="<g>" * 9000 + "</g>" * 9000), "nested"),
        (f'<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa">{ENTITIES}]>'.encode() + svg(extra="<desc>&i;</desc>"), "not SVG"),
        (svg(extra=f'<defs><g id="a0"><path d="M0 0h9v9z"/></g>{USES}</defs><use href="#a8"/>'), "nodes limit"),
    ],
)
def test_a_drawing_that_cannot_be_drawn_is_refused(data: bytes, what: str):
    with pytest.raises(BadInput, match=what) as e:
        ARTWORK.render(data, "svg", 64)
    assert e.value.hint


def test_a_filter_that_an_editor_left_over_is_no_harm():
    left = svg("triangle", extra='<defs><filter id="f"><feTurbulence numOctaves="1000000"/></filter></defs>')
    assert (ARTWORK.render(left, "svg", 64) == ARTWORK.render(svg("triangle"), "svg", 64)).all()


def test_a_filter_of_any_cost_is_refused_by_its_time(monkeypatch: pytest.MonkeyPatch):
    turbulence = '<filter id="f"><feTurbulence baseFrequency="0.1" numOctaves="1000000"/></filter>'
    costly = svg(extra=f'{turbulence}<path d="M0 0h9v9z" filter="url(#f)"/>')
    monkeypatch.setattr(drawing, "LONGEST_S", 0.5)
    with pytest.raises(BadInput, match=r"^it cannot be drawn \(it takes over 0\.5 s\)$"):
        ARTWORK.render(costly, "svg", 64)


def test_the_size_that_a_drawing_claims_is_not_believed():
    huge = svg("triangle").replace(b"viewBox", b'width="90000000" height="90000000" viewBox')
    assert ARTWORK.render(huge, "svg", 64).shape == (64, 64, 4)


def bomb(side_px: int) -> bytes:
    """A PNG of a few kilobytes that says it has that many pixels."""
    header = side_px.to_bytes(4, "big") * 2 + b"\x08\x06\0\0\0"
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    made = (len(d).to_bytes(4, "big") + k + d + zlib.crc32(k + d).to_bytes(4, "big") for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


@pytest.mark.parametrize(
    ("data", "suffix", "what"),
    [
        (b"logo", "png", "not a readable PNG"),
        (pixels()[:90], "png", "not a readable PNG"),
        (pixels(suffix=".jpg"), "png", "not a readable PNG"),
        (pixels(), "jpeg", "not a readable JPEG"),
        (bomb(9000), "png", "9000x9000 pixels"),
        (bomb(50_000), "png", "not a readable PNG"),
        (pixels(20, 20, margin=10, bright=0), "png", "one plain colour|is empty"),
    ],
)
def test_a_picture_that_cannot_be_read_is_refused(data: bytes, suffix: str, what: str):
    with pytest.raises(BadInput, match=what) as e:
        ARTWORK.render(data, suffix, 64)
    assert e.value.hint
