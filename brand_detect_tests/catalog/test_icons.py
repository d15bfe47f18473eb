"""Artwork of thousands of brands from an optional package."""

import sys
from pathlib import Path

import pytest
import simple_icons_pack

from brand_detect.catalog import LexiconIndex, load_catalog
from brand_detect.catalog.icons import import_icons, packaged_icons
from brand_detect.catalog.source import IMPORTED
from brand_detect.catalog.writing import add_brand
from brand_detect.domain.catalog import Brand
from brand_detect.domain.errors import BadInput
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect_tests.support.logos import write

ARTWORK = VectorAndPixelArtwork()


def brands(path: Path) -> dict[str, Brand]:
    return {b.name: b for b in load_catalog(str(path), ARTWORK).catalog.brands}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The package as if it held a dozen icons."""
    kept = {"nike", "adidas", "docker", "target", "x", "hive", "hive_blockchain", "cplusplus"}
    kept |= {"julia", "answer", "line", "github"}
    icons = {n: i for n, i in vars(simple_icons_pack).items() if isinstance(i, simple_icons_pack.Icon)}
    for name, icon in icons.items():
        if icon.slug not in kept:
            monkeypatch.delattr(simple_icons_pack, name)
    return sorted(kept)


def test_named_icons_become_logos_of_the_users_brands_or_brands(tmp_path: Path):
    listed = "- {name: Nike, categories: [sport]}\n- {name: C plus plus, aliases: [C++]}\n"
    folder = write(tmp_path / "mine", {"brands.yaml": listed})
    done = import_icons(folder, ["nike", "ADIDAS", "cplusplus"], ARTWORK)
    assert (done.file, done.new, done.listed) == (folder / IMPORTED, 3, 3)
    found = brands(folder)
    assert list(found) == ["Adidas", "C plus plus", "Nike"]
    assert all(len(b.exemplars) == 1 for b in found.values())
    assert (found["Nike"].categories, found["Nike"].colours) == (("sport",), ("#111111",))
    assert (found["Adidas"].whole_line, found["Adidas"].logo_only) == ((), False)


def test_what_was_imported_before_and_changed_by_hand_stays(tmp_path: Path):
    import_icons(tmp_path / "mine", ["nike"], ARTWORK)
    file = tmp_path / "mine" / IMPORTED
    file.write_text(file.read_text().replace("- name: Nike\n", "- name: Nike\n  aliases: [Swoosh]\n"))
    done = import_icons(tmp_path / "mine", ["nike", "docker"], ARTWORK)
    assert (done.new, done.listed) == (1, 2)
    assert brands(tmp_path / "mine")["Nike"].aliases == ("Swoosh",)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_folder_may_have_a_dot_in_its_name(tmp_path: Path, is_new: bool):
    folder = tmp_path / "season.2026"
    if is_new:
        add_brand(folder, {"name": "Rolex"}, [], ARTWORK)
    else:
        write(folder, {"brands.yaml": "- Rolex\n"})
    assert import_icons(folder, ["nike"], ARTWORK).file == folder / IMPORTED
    assert list(brands(folder)) == ["Nike", "Rolex"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_takes_no_icons_is_refused(tmp_path: Path):
    folder = write(tmp_path / "mine", {"brands.yaml": "- Rolex\n", "logos": "a file"})
    with pytest.raises(BadInput, match="logos/simple-icons cannot be written: Not a directory"):
        import_icons(folder, ["nike"], ARTWORK)


def test_a_packaged_logo_that_is_asked_for_by_name_is_the_users_own(tmp_path: Path, few: list[str]):  # noqa: ARG001
    layer = "- {name: Nike, logos: [logos/simple-icons/nike.svg], packaged: true}\n"
    [nike] = [icon for icon in packaged_icons() if icon.slug == "nike"]
    files = {"brands.yaml": "- Nike\n", IMPORTED: layer, "logos/simple-icons/nike.svg": nike.svg.encode()}
    folder = write(tmp_path / "mine", files)
    assert brands(folder)["Nike"].packaged
    import_icons(folder, [], ARTWORK)
    assert brands(folder)["Nike"].packaged, "all of them were asked for, not this one"
    import_icons(folder, ["nike"], ARTWORK)
    assert not brands(folder)["Nike"].packaged
    import_icons(folder, ["adidas"], ARTWORK)
    assert not brands(folder)["Adidas"].packaged


def test_all_icons_do_not_make_the_matcher_shout(tmp_path: Path, few: list[str]):
    path = tmp_path / "brands.yaml"
    path.write_text("- {name: Target, whole_line: false}\n")
    assert import_icons(path, [], ARTWORK).listed == len(few)
    found = brands(path)
    assert found["Hive"].exemplars != found["Hive (hive_blockchain)"].exemplars, "two brands of one name"
    index = LexiconIndex(load_catalog(str(path)).catalog)

    def names(text: str) -> list[str]:
        return [hit.brand for hit in index.find(text, fuzzy_score=0.88, min_fuzzy_length=5)]

    assert names("GITHUB") == ["GitHub"]
    assert names("TARGET PRACTICE") == ["Target"], "the user's own brand is looked for as the user says"
    for text in ("X", "ANSWER", "LINE", "JULIA", "THE DOCKER STRIKE", "DOCKERS", "GITHUBB", "HIVE HIVEBLOCKCHAIN"):
        assert names(text) == [], text


def test_an_icon_that_is_not_there_is_refused_with_its_likes(tmp_path: Path):
    with pytest.raises(BadInput, match="no icon called Addidas") as e:
        import_icons(tmp_path, ["Addidas"], ARTWORK)
    assert "Adidas" in e.value.hint
    assert not (tmp_path / IMPORTED).exists()


def test_without_the_extra_the_command_that_installs_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "simple_icons_pack", None)
    with pytest.raises(BadInput, match="icons are not installed") as e:
        import_icons(tmp_path, [], ARTWORK)
    assert "pip install" in e.value.hint


@pytest.mark.slow
def test_every_icon_can_be_imported(tmp_path: Path):
    done = import_icons(tmp_path, [], ARTWORK)
    assert done.listed > 3000
    assert len(brands(tmp_path)) == done.listed
