import json

import numpy as np
import pytest

from brand_detect.domain.errors import BadInput
from brand_detect.evaluation.scoring import icons
from brand_detect.evaluation.scoring.icons import Icon, icon_of, icons_of, is_of, pictures_of

MARGIN_PX = round(icons.MARGIN * icons.SIDE_PX)


def pictures(icon):
    [found] = pictures_of([icon])
    return found


def svg(body, box="0 0 40 40"):
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{body}</svg>'


BAR = '<path d="M10 15h20v10h-20z"/>'


def colors_of(picture):
    """Of the ground and of the mark, B, G, R."""
    height, width = picture.shape[:2]
    return picture[0, 0].tolist(), picture[height // 2, width // 2].tolist()


def test_artwork_of_one_colour_comes_in_every_polarity():
    drawn = pictures(Icon("Acme", svg(BAR), (255, 0, 0)))
    black, white, red = [0, 0, 0], [255, 255, 255], [0, 0, 255]
    assert [colors_of(p) for p in drawn] == [(white, black), (black, white), (white, red), (red, white)]


def test_the_ground_shows_through_the_mark():
    framed = '<path fill-rule="evenodd" d="M0 0h40v40h-40zM10 10h20v20h-20z"/>'
    on_white, on_black, red, on_red = pictures(Icon("Acme", svg(framed), (255, 0, 0)))
    for picture, background in ((on_white, 255), (on_black, 0), (red, 255), (on_red, (0, 0, 255))):
        assert (picture[60:80, 60:80] == background).all()


def test_its_own_colour_stands_for_the_brands():
    drawn = pictures(Icon("Acme", svg(BAR.replace("<path", '<path fill="#00f"'))))
    assert [colors_of(p)[1] for p in drawn] == [[0, 0, 0], [255, 255, 255], [255, 0, 0], [255, 255, 255]]
    assert len(pictures(Icon("Acme", svg(BAR)))) == 2


def test_artwork_of_several_colours_keeps_them():
    two = '<path fill="#0f0" d="M0 0h20v40h-20z"/><path fill="#f0f" d="M20 0h20v40h-20z"/>'
    on_white, on_black = pictures(Icon("Acme", svg(two)))
    assert on_white[0, 0].tolist() == [255, 255, 255]
    assert on_black[0, 0].tolist() == [0, 0, 0]
    for picture in (on_white, on_black):
        assert picture[70, 20].tolist() == [0, 255, 0]
        assert picture[70, 110].tolist() == [255, 0, 255]


def test_the_mark_fills_the_picture_but_for_the_margin():
    picture = pictures(Icon("Acme", svg(BAR)))[0]
    assert picture.shape == (icons.SIDE_PX // 2 + 2 * MARGIN_PX, icons.SIDE_PX + 2 * MARGIN_PX, 3)
    assert (picture[:, : MARGIN_PX - 1] == 255).all()
    assert picture[MARGIN_PX + 2 : -MARGIN_PX - 2, MARGIN_PX + 2 : -MARGIN_PX - 2].max() == 0


@pytest.mark.parametrize("artwork", ["<svg", svg(""), svg('<path fill="none" d="M0 0h9v9z"/>')])
def test_artwork_that_shows_nothing_gives_no_picture(artwork):
    assert pictures(Icon("Acme", artwork)) == []


def test_a_folder_of_svgs_and_an_iconify_pack_give_the_same_icons(tmp_path):
    (tmp_path / "svgs").mkdir()
    (tmp_path / "svgs" / "acme.svg").write_text(svg(BAR))
    (tmp_path / "svgs" / "notes.txt").write_text("no icon")
    (tmp_path / "logos" / "package").mkdir(parents=True)
    pack = {"prefix": "logos", "icons": {"acme": {"body": BAR}}, "width": 40, "height": 40}
    (tmp_path / "logos" / "package" / "icons.json").write_text(json.dumps(pack))
    [of_folder], [of_pack] = icons_of(tmp_path / "svgs"), icons_of(tmp_path / "logos")
    assert of_folder.name == of_pack.name == "acme"
    np.testing.assert_array_equal(pictures(of_folder)[0], pictures(of_pack)[0])


def test_what_holds_no_icons_is_refused(tmp_path):
    with pytest.raises(BadInput):
        icons_of(tmp_path)


def test_the_icons_of_the_extra_are_thousands_with_colours():
    pytest.importorskip("simple_icons_pack")
    found = icons.simple_icons()
    assert len(found) > 3000
    by_name = {icon.name: icon for icon in found}
    assert by_name["Red Bull"].color is not None
    assert len(pictures(by_name["Red Bull"])) == 4
    assert len(pictures(by_name["Nike"])) == 2  # its colour is nearly black
    assert len(pictures(by_name["EditorConfig"])) == 2  # and this one's nearly white


def test_the_icon_of_a_brand_is_of_its_name_in_the_first_pack_that_has_one():
    packs = [[Icon("Coca-Cola", "1"), Icon("Minikube", "2")], [Icon("mini-icon", "3"), Icon("Coca Cola", "4")]]
    assert icon_of("Cocacola", packs) == packs[0][0]
    assert icon_of("MINI", packs) == packs[1][0]
    assert icon_of("Nike", packs) is None


@pytest.mark.parametrize(
    ("name", "is_ours"), [("Yahoo! Mail", True), ("coca-cola", True), ("Minikube", False), ("My Yahoo", False)]
)
def test_icons_of_a_brand_are_known_by_their_first_words(name, is_ours):
    assert is_of(Icon(name, ""), frozenset({"yahoo", "cocacola", "mini"})) is is_ours
