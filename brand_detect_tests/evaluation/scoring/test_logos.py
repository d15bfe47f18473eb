import json

import cv2
import numpy as np
import pytest

from brand_detect.domain.errors import BadInput
from brand_detect.engines.image import OpenCvCodec
from brand_detect.evaluation.scoring import logos
from brand_detect.evaluation.scoring.icons import Icon
from brand_detect.evaluation.scoring.logos import Place
from brand_detect.evaluation.scoring.recognizers import Embedder


def quiet(done: float, total: float, unit: str) -> None: ...


# Photographs


def place(image, brand, x=0, y=0, w=20, h=20):
    return Place(image, brand, x, y, w, h)


def test_exemplars_are_the_largest_box_of_each_of_the_first_photographs():
    places = [
        place("c", "A"),
        place("b", "A"),
        place("b", "A", w=30),
        place("b", "B"),
        place("a", "B"),
        place("c", "B"),
        place("c", "B"),
    ]
    assert logos.split(places, 1) == ([2, 4], [0, 3, 5, 6])
    assert logos.split(places, 2) == ([0, 2, 3, 4], [5, 6])


def test_crops_of_no_logo_have_the_same_sizes_and_touch_no_mark():
    labelled = [place("a", "A", 10 * n, 40, 10 + n, 30) for n in range(8)] + [place("full", "B", 0, 0, 50, 50)]
    sizes = {"a": (100, 100), "full": (50, 50)}
    found = logos.elsewhere(labelled, sizes)
    assert [(p.w, p.h) for p in found[:8]] == [(m.w, m.h) for m in labelled[:8]]
    for p in found:
        assert not p.brand
        assert p.image == "a"  # nothing is free on the other
        assert 0 <= p.x <= 100 - p.w
        assert 0 <= p.y <= 100 - p.h
        assert not any(p.touches(m) for m in labelled if m.image == p.image)
    assert found == logos.elsewhere(labelled, sizes)
    assert found != logos.elsewhere(labelled, sizes, seed=1)


def test_places_that_fit_nowhere_are_left_out():
    assert logos.elsewhere([place("a", "A", 0, 0, 50, 50)], {"a": (50, 50), "narrow": (20, 90), "low": (90, 20)}) == []


@pytest.mark.parametrize(("dx", "touching"), [(19, True), (20, False), (-19, True), (-20, False)])
def test_boxes_that_share_an_edge_do_not_touch(dx, touching):
    assert place("a", "A", 50, 50).touches(place("a", "B", 50 + dx, 50)) is touching


# From end to end


COLORS = {"Acme": (0, 0, 255), "Brio": (255, 0, 0), "Colt": (0, 255, 0)}
"""B, G, R of the logos; Colt has no icon, and Brio's is of another colour by now."""


def icon(name, color):
    red, green, blue = color[::-1]
    body = f'<path fill="rgb({red},{green},{blue})" d="M0 0h20v40h-20z"/><path fill="#fff" d="M20 0h20v40h-20z"/>'
    return Icon(name, f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">{body}</svg>')


UNKNOWN = [np.full((9, 9, 3), color, np.uint8) for color in np.random.default_rng(0).integers(20, 60, (60, 3))]
"""Pictures of no logo: dull colours."""


class Hue:
    """Knows logos by the mean colour of what is neither black nor white nor grey."""

    identity, dimensions = "hue", 3

    def encode(self, crops):
        rows = np.zeros((len(crops), 3), np.float32)
        for row, crop in zip(rows, crops, strict=True):
            pixels = crop.reshape(-1, 3).astype(np.float32)
            row[:] = (pixels - pixels.min(axis=1, keepdims=True)).mean(axis=0)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)

    encode_drawings = encode


HUE = Embedder("hue", Hue())


@pytest.fixture
def folder(tmp_path):
    """Seven photographs of each brand, with one logo on each, the last with a second one that is too small."""
    (tmp_path / "images").mkdir()
    listed = []
    for brand, color in COLORS.items():
        for n in range(7):
            picture = np.full((200, 200, 3), 128, np.uint8)
            height = (20, 30, 60, 70, 80, 110, 30)[n]
            cv2.rectangle(picture, (20, 20), (59, 19 + height), color, -1)
            name = f"{brand}{n}.jpg"
            (tmp_path / "images" / name).write_bytes(OpenCvCodec().encode(picture, 95, 0))
            boxes = [{"brand": brand, "x": 20, "y": 20, "w": 40, "h": height}]
            if n == 6:
                boxes.append({"brand": brand, "x": 150, "y": 150, "w": 40, "h": 7})
            listed.append({"image": name, "width": 200, "height": 200, "boxes": boxes})
    (tmp_path / "annotations.json").write_text(json.dumps(listed))
    return tmp_path


@pytest.fixture
def packs(monkeypatch):
    monkeypatch.setattr(logos, "SMALL_GALLERY", 2)
    first = [icon("acme", COLORS["Acme"]), icon("brio", (0, 255, 255)), icon("Acme Sports", COLORS["Acme"])]
    first += [icon(f"mark {n}", (20, 40 * n, 200)) for n in range(4, 7)]
    return [first, [icon("mark 4", (1, 1, 1)), icon("empty", (9, 9, 9)), icon("mark 9", (200, 0, 200))]]


def table(sections, title):
    [section] = [s for s in sections if s.title.startswith(title)]
    return section.to_json()["rows"]


def test_recognition_of_logos_that_are_known_by_their_colour(folder, packs):
    sections = logos.evaluate_logos(folder, [HUE, Embedder("other hue", Hue())], packs, quiet, UNKNOWN, 0.01)
    rows = table(sections, "Recognition")
    of = {(r["recognizer"], r["exemplars"], r["queries"]): r for r in rows if r["brands in gallery"] == 3 + 5}
    assert set(of) == {
        (name, *asked)
        for name in ("hue", "other hue")
        for asked in (("1 photograph", 18), ("1 photograph", 6), ("5 photographs", 6))
    }
    assert all(r["top-1"] == r["top-5"] == 1 for r in of.values())
    icons = [r for r in rows if r["exemplars"] == "1 icon"]
    assert [(r["recognizer"], r["brands in gallery"], r["queries"]) for r in icons] == [
        ("hue", 2 + 2, 14),
        ("hue", 2 + 3, 14),
        ("hue", 2 + 5, 14),
        *(("other hue", 2 + distractors, 14) for distractors in (2, 3, 5)),
    ]
    assert {r["top-1"] for r in icons} == {0.5}  # Brio's photographs show another colour than its icon

    by_brand = {r["brand"]: r for r in table(sections, "Logos recognised by one icon")}
    assert [(r["icon"], r["logos"], r["hue"]) for r in by_brand.values()] == [
        ("acme", 7, 7),
        ("brio", 7, 0),
        ("none", 7, ""),
    ]
    assert table(sections, "Brands of which")[0]["brands"] == "Brio"

    [largest] = [
        r
        for r in table(sections, "Open set")
        if (r["recognizer"], r["exemplars"], r["brands in gallery"]) == ("hue", "5 photographs", 8)
    ]
    assert largest["by score"] == largest["no logo only"] == 1
    heights = table(sections, "Top-1 by height")
    assert list(heights[0].items())[2:] == [
        ("under 24 px (0)", ""),
        ("24–48 px (3)", 1.0),
        ("48–96 px (0)", ""),
        ("96 px and more (3)", 1.0),
    ]
    [shrunk] = [r for r in table(sections, "Top-1 of 3 queries made smaller") if r["recognizer"] == "hue"]
    assert list(shrunk.values())[2:] == [1, 1, 1, 1]


@pytest.mark.parametrize(("allowed", "share"), [(0, 0), (1, 1)])
def test_the_matcher_claims_nothing_or_everything_at_the_ends(folder, packs, allowed, share):
    rows = table(logos.evaluate_logos(folder, [HUE], packs, quiet, UNKNOWN, allowed), "Matcher on hue")
    [five] = [r for r in rows if r["exemplars"] == "5 photographs"]
    assert (five["brands in gallery"], five["queries"], five["top-1"]) == (8, 6, 1)
    assert five["recall"] == five["unknown logos claimed"] == five["crops of no logo claimed"] == share
    # six right claims, six of the same logos without their brand, 21 crops of no logo
    assert five["precision"] == pytest.approx(6 / (6 + 6 + 21) if share else 1)


def test_the_matcher_is_measured_with_brands_alone_with_few_and_with_many_others(folder, packs, monkeypatch):
    monkeypatch.setattr(logos, "FEW", 1)
    rows = table(logos.evaluate_logos(folder, [HUE], packs, quiet, UNKNOWN, 1.0), "By gallery")
    five = [r for r in rows if r["exemplars"] == "5 photographs"]
    assert [(r["brands in gallery"], r["queries"]) for r in five] == [(1, 6), (3 + 1, 6), (3 + 5, 6)]
    assert [r["named: recall"] for r in five] == [1, 1, 1]
    alone, few, many = (r["named: precision"] for r in five)  # 18 crops of no logo; of 6 queries each is unknown to two
    assert alone == pytest.approx(6 / (6 + 12 + 3 * len(COLORS) * 7), abs=0.05)
    assert few == many == pytest.approx(6 / (6 + 6 + len(COLORS) * 7), abs=0.05)
    assert all(r["resembling: unknown logos"] <= r["named: unknown logos"] == 1 for r in five)


def test_the_matcher_rejects_what_looks_like_nothing_in_the_gallery(folder, packs):
    rows = table(logos.evaluate_logos(folder, [HUE], packs, quiet, UNKNOWN, 0.5), "Matcher on hue")
    assert {r["crops of no logo claimed"] for r in rows} == {0}  # grey
    assert max(r["recall"] for r in rows) > 0.5


def test_photographs_without_room_for_crops_of_no_logo(folder, packs):
    listed = json.loads((folder / "annotations.json").read_text())
    for picture in listed:
        picture["boxes"] = [{**picture["boxes"][0], "x": 0, "y": 0, "w": 200, "h": 200}]
    (folder / "annotations.json").write_text(json.dumps(listed))
    sections = logos.evaluate_logos(folder, [HUE], packs, quiet, UNKNOWN, 1)
    assert "with 0 crops of no logo" in next(s.title for s in sections if s.title.startswith("Open set"))
    [five] = [r for r in table(sections, "Matcher on hue") if r["exemplars"] == "5 photographs"]
    assert (five["precision"], five["crops of no logo claimed"]) == (0.5, 0)


def test_all_but_the_times_comes_out_the_same_again(folder, packs):
    one, other = (
        [s.to_json() for s in logos.evaluate_logos(folder, [HUE], packs, quiet, UNKNOWN, 0.01)[:-1]] for _ in range(2)
    )
    assert one == other


def test_distractors_are_other_brands_once_each(packs):
    first, second = logos.distractors_of(packs, ["Acme", "Brio"])
    assert sorted(i.name for i in first) == ["mark 4", "mark 5", "mark 6"]
    assert sorted(i.name for i in second) == ["empty", "mark 9"]


def test_the_first_distractors_do_not_depend_on_the_packs_that_follow(packs):
    assert logos.distractors_of(packs[:1], ["Acme"])[0] == logos.distractors_of(packs, ["Acme"])[0]


def test_artwork_that_cannot_be_drawn_is_not_counted(folder, packs):
    broken = [[*packs[0], Icon("broken", "<svg"), Icon("blank", "<svg/>")]]
    rows = table(logos.evaluate_logos(folder, [HUE], broken, quiet, UNKNOWN, 0.01), "Recognition")
    assert max(r["brands in gallery"] for r in rows) == 3 + 3


@pytest.mark.parametrize(
    "annotations", ["{}", '[{"image": "a.jpg"}]', "[3", '[{"image": "a.jpg", "width": 9, "height": 9, "boxes": []}]']
)
def test_annotations_of_another_shape_are_refused(tmp_path, packs, annotations):
    (tmp_path / "annotations.json").write_text(annotations)
    with pytest.raises(BadInput):
        logos.gather(tmp_path, packs)


def test_a_missing_photograph_and_a_box_outside_are_named(folder, packs):
    listed = json.loads((folder / "annotations.json").read_text())
    listed[3]["boxes"][0]["x"] = 500
    (folder / "annotations.json").write_text(json.dumps(listed))
    with pytest.raises(BadInput, match=r"Acme3\.jpg lies outside"):
        logos.gather(folder, packs)
    listed[3]["boxes"][0] |= {"x": 0, "y": -100}  # above it
    (folder / "annotations.json").write_text(json.dumps(listed))
    with pytest.raises(BadInput, match=r"Acme3\.jpg lies outside"):
        logos.gather(folder, packs)
    (folder / "images" / "Acme0.jpg").unlink()
    with pytest.raises(BadInput, match=r"Acme0\.jpg"):
        logos.gather(folder, packs)
