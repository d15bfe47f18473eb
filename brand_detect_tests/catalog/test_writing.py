"""Brands written into lists that people keep by hand."""

import errno
import fcntl
import os
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brand_detect.catalog import entries, load_catalog, writing
from brand_detect.catalog.source import IMPORTED, LEARNED
from brand_detect.catalog.writing import (
    Added,
    Picture,
    add_brand,
    create_catalog,
    entry_text,
    exclude_brand,
    merge_brands,
    with_brand,
    with_values,
    without_brand,
)
from brand_detect.domain.errors import BadInput
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect_tests.support.logos import pixels, svg, write

ARTWORK = VectorAndPixelArtwork()
NEW = {"name": "Acme", "aliases": ["Acme Tools"], "logos": ["logos/acme.svg"]}


def test_a_catalogue_that_the_disk_has_no_space_for_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        with pytest.raises(BadInput, match=r"cannot be written to: No space left on device\.$") as e:
            create_catalog(tmp_path)
    assert e.value.hint == "check its space and permissions"
    assert load_catalog(str(create_catalog(tmp_path)), ARTWORK).catalog.n_exemplars, "what was begun is no obstacle"


def test_a_decomposed_name_is_added_to_what_has_it_composed(tmp_path: Path):
    korean, accented = (unicodedata.normalize("NFD", name) for name in ("삼성", "Itaú"))
    folder = write(tmp_path, {"brands.yaml": f"- {korean}\n"})
    added = add_brand(folder, {"name": "삼성", "aliases": [accented]}, (), ARTWORK)
    assert (added.brand.name, added.brand.aliases) == ("삼성", ("Itaú",))
    add_brand(folder, {"name": korean, "aliases": [accented, "Galaxy"]}, (), ARTWORK)
    assert (folder / "brands.yaml").read_text() == f"- {{name: {korean}, aliases: [Itaú, Galaxy]}}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "- name: Acme\n  aliases: [Acme Tools]\n  logos: [logos/acme.svg]\n"),
        ("# ours\n", "# ours\n- name: Acme\n  aliases: [Acme Tools]\n  logos: [logos/acme.svg]\n"),
        ("- Rolex # a", "- Rolex # a\n- name: Acme\n  aliases: [Acme Tools]\n  logos: [logos/acme.svg]\n"),
        (
            "brands:\n  # watches\n  - name: Rolex\n\n  # the end\n",
            "brands:\n  # watches\n  - name: Rolex\n\n  # the end\n"
            "  - name: Acme\n    aliases: [Acme Tools]\n    logos: [logos/acme.svg]\n",
        ),
        ("- Rolex\r\n", "- Rolex\r\n- name: Acme\r\n  aliases: [Acme Tools]\r\n  logos: [logos/acme.svg]\r\n"),
        ("[Itaú, Rolex]", "[Itaú, Rolex, {name: Acme, aliases: [Acme Tools], logos: [logos/acme.svg]}]"),
        ("[]\n", "[{name: Acme, aliases: [Acme Tools], logos: [logos/acme.svg]}]\n"),
    ],
)
def test_a_new_brand_comes_last(before: str, after: str):
    assert with_brand(before, "b.yaml", NEW) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "- Itaú # a\n- ACME # b\n",
            "- Itaú # a\n- {name: ACME, aliases: [Acme Tools], logos: [logos/acme.svg]} # b\n",
        ),
        (
            "- {categories: [tools], name: Acme}  # ours\n- Rolex",
            "- {categories: [tools], name: Acme, aliases: [Acme Tools], logos: [logos/acme.svg]}  # ours\n- Rolex",
        ),
        (
            "-   name: Acme # a name\n    min_length: 4\n- Rolex",
            "-   name: Acme # a name\n    aliases: [Acme Tools]\n    logos: [logos/acme.svg]\n"
            "    min_length: 4\n- Rolex",
        ),
        (
            "- name: Acme\n  logos: # here\n  - logos/a.svg # old\n  aliases:\n    - 'A C'\n\n# watches\n- Rolex",
            "- name: Acme\n  logos: # here\n  - logos/a.svg # old\n  - logos/acme.svg\n  aliases:\n    - 'A C'\n"
            "    - Acme Tools\n\n# watches\n- Rolex",
        ),
        (
            "- {name: Acme, logos: [], aliases: [\n  A C, # old\n  ]}\n",
            "- {name: Acme, logos: [logos/acme.svg], aliases: [\n  A C, Acme Tools, # old\n  ]}\n",
        ),
        (
            "- name: Acme\r\n  logos: a.svg\r\n  aliases:\r\n- Rolex\r\n",
            "- name: Acme\r\n  logos: [a.svg, logos/acme.svg]\r\n  aliases: [Acme Tools]\r\n- Rolex\r\n",
        ),
        (
            "- {name: Acme, aliases: [ACME TOOLS]}",
            "- {name: Acme, logos: [logos/acme.svg], aliases: [ACME TOOLS]}",
        ),
        (
            "- {name: A C, aliases: [Acme, Acme Tools]}",
            "- {name: A C, logos: [logos/acme.svg], aliases: [Acme, Acme Tools]}",
        ),
    ],
)
def test_a_known_brand_gets_what_it_lacks_and_nothing_else_changes(before: str, after: str):
    assert with_brand(before, "b.yaml", NEW) == after


@pytest.mark.parametrize(
    "text", ["- Rolex\n...\n", "- Rolex\n# the end\n...", "- {name: Rolex, logos: &a [x]}\n- {name: Acme, logos: *a}"]
)
def test_a_list_that_cannot_be_added_to_safely_is_left_alone(text: str):
    with pytest.raises(BadInput, match="laid out in a way that this command cannot edit"):
        with_brand(text, "b.yaml", NEW)


def test_another_owner_is_not_overwritten():
    text = "- Rolex\n- {name: Acme, owner: Acme Inc}"
    with pytest.raises(BadInput, match=r"b.yaml, line 2: its owner is Acme Inc"):
        with_brand(text, "b.yaml", {"name": "Acme", "owner": "Somebody"})
    assert with_brand(text, "b.yaml", {"name": "Acme", "owner": "Acme Inc"}) == text


LETTERS = st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" '\"#:,-[]{}&*?|>!%@`=~")
AWKWARD = ["null", "NULL", "on", "1e3", "---", "...", "a\x85b", "a \u2028 b", "a \u2029b"]
TEXTS = (st.text(LETTERS, max_size=12) | st.sampled_from(AWKWARD)).map(
    lambda text: text.strip() if any(c.isalnum() for c in text) else f"{text}x".strip()
)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3, unique=True))
def test_any_text_is_written_so_that_it_reads_the_same(name: str, aliases: list[str]):
    cells = {"name": name, "aliases": aliases}
    listed = "- name: Patek Philippe\n"  # longer than any drawn name: one that is listed gets no entry of its own
    assert with_brand(listed, "b.yaml", cells) == listed + entry_text(cells)
    assert with_brand("[]", "b.yaml", cells)


def add(path: Path, name: str, *logos: Path, layer: str = "", **cells: list[str]) -> Added:
    return add_brand(path, {"name": name, **cells}, list(map(Picture.of, logos)), ARTWORK, layer)


@pytest.fixture
def art(tmp_path: Path) -> Path:
    """Pictures somewhere else."""
    files = {"a.svg": svg("disc"), "b.JPG": pixels(suffix=".jpg"), "c.svg": svg("cross"), "bad.svg": svg("M0 0")}
    return write(tmp_path / "downloads", files)


def test_a_catalogue_begins_with_its_first_brand(tmp_path: Path, art: Path):
    for path, file in ((tmp_path / "mine", "mine/brands.yaml"), (tmp_path / "one.yaml", "one.yaml")):
        added = add(path, "Itaú", art / "a.svg", art / "b.JPG", categories=["bank"])
        assert added.file == tmp_path / file
        assert (tmp_path / file).read_text() == (
            "- name: Itaú\n  categories: [bank]\n  logos: [logos/itau.svg, logos/itau.jpeg]\n"
        )
        assert len(load_catalog(str(path), ARTWORK).catalog.brands[0].exemplars) == 2


def test_logos_are_added_beside_those_that_are_there(tmp_path: Path, art: Path):
    folder = write(tmp_path / "mine", {"tools.yaml": "- Acme\n", "brands.yaml": "- Rolex\n"})
    add(folder, "Acme", art / "a.svg")
    again = add(folder, "ACME", art / "a.svg", art / "c.svg")
    assert ([p.source for p in again.known], [f.name for f in again.logos]) == ([str(art / "a.svg")], ["acme-2.svg"])
    assert (folder / "tools.yaml").read_text() == "- {name: Acme, logos: [logos/acme.svg, logos/acme-2.svg]}\n"
    assert (folder / "brands.yaml").read_text() == "- Rolex\n"
    nothing = add(folder, "Acme", art / "c.svg")
    assert (nothing.logos, len(nothing.known)) == ((), 1)


def state(folder: Path) -> dict[str, bytes]:
    return {str(f): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize(
    ("name", "logo", "cells", "what"),
    [
        ("Acme", "bad.svg", {}, "bad.svg: it is empty"),
        ("Acme", "none.svg", {}, "none.svg: there is no such file"),
        ("Acme", "a.svg", {"aliases": ["Rolex"]}, "'Rolex' of 'Acme' is also 'Rolex'"),
        ("Acme", "c.svg", {}, "is also a picture of 'Tudor'"),
        ("Acme", "a.svg", {"colours": ["red"]}, "'red' is not a colour"),
        ("!!!", "a.svg", {}, "has no letter or digit"),
        ("Ac\x07me", "a.svg", {}, r"'Ac\\x07me' has a control character"),
        ("Acme", "a.svg", {"aliases": ["Ac\x7fme"]}, r"'Ac\\x7fme' has a control character"),
        ("Rolex", "a.svg", {"excluded_texts": ["Ro\x1blex"]}, "has a control character"),
        ("Swatch", "a.svg", {}, "is not YAML"),
    ],
)
def test_nothing_is_written_that_would_not_be_valid(
    tmp_path: Path, art: Path, name: str, logo: str, cells: Any, what: str
):
    lists = {"brands.yaml": "- Rolex\n- {name: Tudor, logos: [logos/tudor.svg]}", "more.csv": "name\nSwatch\n"}
    folder = write(tmp_path / "mine", {**lists, "logos/tudor.svg": svg("cross")})
    before = state(tmp_path)
    with pytest.raises(BadInput, match=what):
        add(folder, name, art / logo, **cells)
    assert state(tmp_path) == before


def test_a_brand_of_a_layer_is_written_beside_the_users_own_list(tmp_path: Path, art: Path):
    folder = write(tmp_path / "mine", {"brands.yaml": "- Acme\n"})
    for path in (folder, folder / "brands.yaml"):
        added = add(path, "Acme", art / "a.svg", layer=LEARNED)
        assert (added.file, added.brand.name) == (folder / LEARNED, "Acme")
    assert (folder / LEARNED).read_text() == "- name: Acme\n  logos: [logos/acme.svg]\n"
    assert (folder / "brands.yaml").read_text() == "- Acme\n"


def test_a_list_that_begins_with_a_byte_order_mark_is_edited(tmp_path: Path):
    file = tmp_path / "brands.yaml"
    file.write_bytes(b"\xef\xbb\xbf- Rolex\n- {name: Sky}\n")
    add(file, "Rolex", aliases=["Datejust"])
    assert exclude_brand(file, "Sky", ARTWORK, excluded=True).excluded
    assert {b.name: b.aliases for b in load_catalog(str(file)).catalog.brands} == {"Rolex": ("Datejust",), "Sky": ()}


def test_a_list_behind_a_link_stays_behind_it_and_keeps_its_mode(tmp_path: Path):
    (tmp_path / "real.yaml").write_text("- Rolex\n")
    (tmp_path / "real.yaml").chmod(0o640)
    folder = write(tmp_path / "mine", {})
    folder.mkdir()
    (folder / "brands.yaml").symlink_to(tmp_path / "real.yaml")
    add(folder, "Acme")
    assert (folder / "brands.yaml").is_symlink()
    assert (tmp_path / "real.yaml").read_text() == "- Rolex\n- name: Acme\n"
    assert (tmp_path / "real.yaml").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# mine\n- Rolex\n- Acme  # tools\n# watches\n- Tudor\n", "# mine\n- Rolex\n# watches\n- Tudor\n"),
        ("- Rolex\n- name: Acme\n  aliases:\n  - A B C\n\n# end\n", "- Rolex\n\n# end\n"),
        ("- Rolex\n- {name: Acme,\n   owner: X}", "- Rolex\n"),
        ("brands:\n  - name: Acme\n    owner: X\n  - Rolex\n", "brands:\n  - Rolex\n"),
        ("brands:\r\n- Acme\r\n- Rolex\r\n", "brands:\r\n- Rolex\r\n"),
        ("[Acme, Rolex]", "[Rolex]"),
        ("[Rolex, {name: Acme}]\n", "[Rolex]\n"),
        ("[Acme]", "[]"),
        ("# mine\n- Acme\n", "# mine\n []\n"),
    ],
)
def test_a_brand_is_removed_and_nothing_else_changes(before: str, after: str):
    assert without_brand(before, "b.yaml", "Acme") == after


def test_a_list_that_cannot_lose_a_brand_safely_is_left_alone():
    with pytest.raises(BadInput, match="laid out in a way that this command cannot edit"):
        without_brand("- {name: Acme, logos: &a [x]}\n- {name: Rolex, logos: *a}", "b.yaml", "Acme")


def test_merging_moves_names_and_logos_across_lists_and_layers(tmp_path: Path):
    files = {
        "brands.yaml": "- Rolex\n- {name: Acme, excluded_texts: [Acne]}\n",
        "tools.yaml": "- {name: Acme Tools, aliases: [Tools Inc], excluded_texts: [ACME, Tool],\n"
        "   logos: [logos/a.svg]}\n",
        LEARNED: "- {name: Tools Inc, aliases: [AT]}\n",
        IMPORTED: "- {name: Acme Tools, logos: [logos/b.svg]}\n",
        "logos/a.svg": svg("disc"),
        "logos/b.svg": svg("cross"),
    }
    folder = write(tmp_path / "mine", files)
    brand = merge_brands(folder, "acme tools", "ACME", ARTWORK).brand
    assert (brand.name, brand.aliases, len(brand.exemplars)) == ("Acme", ("AT", "Acme Tools", "Tools Inc"), 2)
    assert brand.excluded_texts == ("Acne", "Tool")
    loaded = load_catalog(str(folder), ARTWORK).catalog
    assert [b.name for b in loaded.brands] == ["Acme", "Rolex"]
    assert brand in loaded.brands
    assert (folder / "tools.yaml").read_text().strip() == "[]"


def test_a_merge_that_is_killed_between_two_lists_loses_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write(tmp_path / "mine", {"a.yaml": "- {name: Acme, aliases: [AT]}\n", "b.yaml": "- Rolex\n"})
    written: list[Path] = []

    def killed(file: Path, data: bytes) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(file)
        file.write_bytes(data)

    monkeypatch.setattr(writing, "replace_file", killed)
    with pytest.raises(KeyboardInterrupt):
        merge_brands(folder, "Acme", "Rolex", ARTWORK)
    assert written == [folder / "b.yaml"]
    with pytest.raises(BadInput, match="is also"):  # and says where
        load_catalog(str(folder), ARTWORK)


def test_a_brand_of_a_layer_is_merged_by_its_name_alone(tmp_path: Path):
    folder = write(tmp_path / "mine", {"brands.yaml": "- Rolex\n", LEARNED: "- {name: Acme, aliases: [AT]}\n- Brio\n"})
    assert merge_brands(folder, "Acme", "Brio", ARTWORK).brand.aliases == ("AT", "Acme")
    assert (folder / "brands.yaml").read_text() == "- Rolex\n- name: Brio\n  aliases: [Acme]\n"
    assert [b.name for b in load_catalog(str(folder)).catalog.brands] == ["Brio", "Rolex"]


def test_merging_moves_slogans_and_they_stay_slogans(tmp_path: Path):
    text = "- {name: Acme, included_texts: [Tools for ever]}\n- Rolex\n"
    brand = merge_brands(write(tmp_path / "mine", {"brands.yaml": text}), "Acme", "Rolex", ARTWORK).brand
    assert (brand.aliases, brand.included_texts) == (("Acme",), ("Tools for ever",))


@pytest.mark.parametrize(
    ("one", "other", "written", "whole_line"),
    [
        ("Apple, aliases: [Brabbo], whole_line: [Brabbo]", "Zymvora, aliases: [ZY]", "[ZY, Brabbo]", {"ZY", "Brabbo"}),
        ("Apple, whole_line: no", "Zymvora", "no", set()),
        ("Apple, whole_line: no, aliases: [Total]", "Zymvora, aliases: [Orange]", "[Orange]", {"Orange"}),
        ("Apple, included_texts: [Brabbo], whole_line: [Brabbo]", "Zymvora", "[Brabbo]", {"Brabbo"}),
        ("Apple", "Zymvora, whole_line: no", "[Apple]", {"Apple"}),
        ("Apple, aliases: [Brabbo]", "Zymvora, whole_line: yes", "[Zymvora, Apple]", {"Zymvora", "Apple"}),
    ],
)
def test_each_text_counts_as_a_line_of_its_own_or_anywhere_as_before_the_merge(
    tmp_path: Path, one: str, other: str, written: str, whole_line: set[str]
):
    folder = write(tmp_path / "mine", {"brands.yaml": f"- {{name: {other}}}\n- {{name: {one}}}\n"})
    assert {*merge_brands(folder, "Apple", "Zymvora", ARTWORK).brand.whole_line} == whole_line
    assert f"whole_line: {written}" in (folder / "brands.yaml").read_text()


@pytest.mark.parametrize(("into", "whole_line"), [("Rolex", ()), ("Zymvora", ("Orange",))])
def test_a_layers_texts_count_as_before_the_merge_too(tmp_path: Path, into: str, whole_line: tuple[str, ...]):
    layer = "- {name: Apple, whole_line: no, aliases: [Total]}\n- {name: Zymvora, aliases: [Orange]}\n"
    folder = write(tmp_path / "mine", {"brands.yaml": "- Rolex\n", LEARNED: layer})
    brand = merge_brands(folder, "Apple", into, ARTWORK).brand
    assert {"Apple", "Total"} <= {*brand.aliases}
    assert brand.whole_line == whole_line


def test_a_brand_that_only_a_layer_has_matches_as_before_when_another_is_merged_into_it(tmp_path: Path):
    brands = [f"- {{name: {name}, logo_only: yes, min_length: 9}}\n" for name in ("Acme", "Zymvora")]
    folder = write(tmp_path / "mine", {"brands.yaml": brands[0], LEARNED: brands[1]})
    brand = merge_brands(folder, "Acme", "Zymvora", ARTWORK).brand
    assert (brand.logo_only, brand.min_length) == (True, 9)


@pytest.mark.parametrize(
    ("acme", "zero", "learned", "excluded"),
    [
        ("excluded_texts: [Acme Zero, Acne]", "kind: brand", "[]", ("Acne",)),
        ("excluded_texts: [ACME ZERO]", "excluded_texts: [Acme]", "[]", ()),
        ("excluded_texts: [AZ]", "kind: brand", "- {name: Acme Zero, aliases: [AZ]}", ()),
        (
            *("kind: brand", "kind: brand"),
            "- {name: Acme, excluded_texts: [AZ, Acne]}\n- {name: Acme Zero, aliases: [AZ]}",
            ("Acne",),
        ),
        (
            *("kind: brand", "kind: brand"),
            "- {name: Acme Zero, excluded_texts: [AC]}\n- {name: Acme, aliases: [AC], included_texts: [Try AC]}",
            (),
        ),
    ],
)
def test_what_one_excludes_and_the_other_is_called_is_a_name_and_that_is_said(
    tmp_path: Path, acme: str, zero: str, learned: str, excluded: tuple[str, ...]
):
    own = f"- {{name: Acme, {acme}}}\n- {{name: Acme Zero, {zero}}}\n"
    folder = write(tmp_path / "mine", {"brands.yaml": own, LEARNED: f"{learned}\n"})
    before = load_catalog(str(folder)).catalog.brands
    merged = merge_brands(folder, "Acme Zero", "Acme", ARTWORK)
    texts = {t for b in before for t in (b.name, *b.aliases, *b.included_texts)}
    assert {merged.brand.name, *merged.brand.aliases, *merged.brand.included_texts} == texts
    assert merged.brand.excluded_texts == excluded
    gone = [t for name in ("Acme Zero", "Acme") for b in before if b.name == name for t in b.excluded_texts]
    gone = [t for t in gone if t not in excluded]
    assert merged.notes == (f"No longer excluded, for it is a name now: {', '.join(gone)}.",)
    assert load_catalog(str(folder)).catalog.brands == (merged.brand,)


@pytest.mark.parametrize(
    ("one", "other", "rare", "said"),
    [
        ("rare: yes", "rare: yes", True, ()),
        ("rare: yes", "rare: no", False, ("Acme was marked as rare; the one brand is not.",)),
        ("rare: no", "rare: yes", False, ("Zymvora was marked as rare; the one brand is not.",)),
        ("rare: no", "rare: no", False, ()),
    ],
)
@pytest.mark.parametrize("listed", ["brands.yaml", LEARNED])
def test_a_brand_is_rare_after_a_merge_only_if_both_were(
    tmp_path: Path, one: str, other: str, rare: bool, said: tuple[str, ...], listed: str
):
    files = {"brands.yaml": f"- {{name: Acme, {one}}}\n"}
    files[listed] = files.get(listed, "") + f"- {{name: Zymvora, {other}}}\n"
    merged = merge_brands(write(tmp_path / "mine", files), "Acme", "Zymvora", ARTWORK)
    assert (merged.brand.rare, merged.notes) == (rare, said)


@pytest.mark.parametrize(
    ("one", "other", "packaged", "said"),
    [
        ("packaged: yes, logos: [logos/a.svg]", "packaged: yes, logos: [logos/b.svg]", True, ()),
        ("packaged: yes, logos: [logos/a.svg]", "categories: [tools]", True, ()),
        ("categories: [tools]", "packaged: yes, logos: [logos/b.svg]", True, ()),
        ("packaged: yes, logos: [logos/a.svg]", "logos: [logos/b.svg]", False, ("Acme",)),
        ("logos: [logos/a.svg]", "packaged: yes, logos: [logos/b.svg]", False, ("Zymvora",)),
        ("logos: [logos/a.svg]", "packaged: yes", False, ()),
    ],
)
@pytest.mark.parametrize("listed", ["brands.yaml", IMPORTED])
def test_logos_are_packaged_after_a_merge_only_if_all_were(
    tmp_path: Path, one: str, other: str, packaged: bool, said: tuple[str, ...], listed: str
):
    files: dict[str, Any] = {"brands.yaml": f"- {{name: Acme, {one}}}\n"}
    files[listed] = files.get(listed, "") + f"- {{name: Zymvora, {other}}}\n"
    files |= {"logos/a.svg": svg("disc"), "logos/b.svg": svg("cross")}
    folder = write(tmp_path / "mine", files)
    merged = merge_brands(folder, "Acme", "Zymvora", ARTWORK)
    assert merged.brand.packaged is packaged
    assert merged.notes == tuple(f"The packaged logos of {name} count like chosen ones now." for name in said)
    assert load_catalog(str(folder), ARTWORK).catalog.brands == (merged.brand,)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("- Acme  # a\n", "- {name: Acme, whole_line: [A]}  # a\n"),
        ("- {name: Acme, whole_line: no}\n", "- {name: Acme, whole_line: [A]}\n"),
        ("- {name: Acme, whole_line: [Acme, B], owner: X}\n", "- {name: Acme, whole_line: [A], owner: X}\n"),
        (
            "- name: Acme\n  whole_line:\n  - B\n  # end\n- Rolex\n",
            "- name: Acme\n  whole_line: [A]\n  # end\n- Rolex\n",
        ),
        ("- name: Acme\n  whole_line:\n- Rolex\n", "- name: Acme\n  whole_line: [A]\n- Rolex\n"),
    ],
)
def test_a_value_is_replaced_and_nothing_else_changes(before: str, after: str):
    assert with_values(before, "b.yaml", {"name": "Acme", "whole_line": ["A"]}) == after


def test_nobody_else_changes_the_lists_during_a_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write(tmp_path / "mine", {"brands.yaml": "- Acme\n- Rolex\n"})
    seen: list[str] = []

    def alone(name: str) -> None:
        do = getattr(writing, name)

        def watched(*args: Any) -> Any:
            opened = os.open(folder, os.O_RDONLY)
            try:
                with pytest.raises(BlockingIOError):
                    fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.close(opened)
            seen.append(name)
            return do(*args)

        monkeypatch.setattr(writing, name, watched)

    alone("load_catalog")
    alone("replace_file")
    merge_brands(folder, "Acme", "Rolex", ARTWORK)
    assert (seen[0], seen[-1]) == ("load_catalog", "replace_file")


@pytest.mark.parametrize(
    ("name", "into", "what"),
    [
        ("Acme", "acme", "are one brand"),
        ("Acme", "Nobody", "no brand Nobody"),
        ("Swatch", "Rolex", r"more\.csv is not YAML"),
        ("Rolex", "Swatch", r"more\.csv is not YAML"),
        ("Mercury", "Rolex", "differ in logo_only: Mercury has true, Rolex false"),
        ("Rolex", "Mercury", "differ in logo_only: Rolex has false, Mercury true"),
        ("Zymvora", "Rolex", "differ in min_length: Zymvora has 9, Rolex 0"),
    ],
)
def test_a_merge_that_cannot_be_changes_nothing(tmp_path: Path, name: str, into: str, what: str):
    files = {
        "brands.yaml": "- Acme\n- Rolex\n- {name: Mercury, logo_only: yes}\n",
        "more.csv": "name,aliases\nSwatch,SW\n",
        LEARNED: "- {name: Zymvora, min_length: 9}\n",
    }
    folder = write(tmp_path / "mine", files)
    before = state(folder)
    with pytest.raises(BadInput, match=what):
        merge_brands(folder, name, into, ARTWORK)
    assert state(folder) == before


@pytest.mark.parametrize(
    ("file", "text", "written"),
    [
        ("brands.yaml", "- Rolex\n- Acme  # ours\n", "- Rolex\n- {name: Acme, excluded: true}  # ours\n"),
        ("more.yaml", "- {name: Acme, aliases: [AT]}\n", "- {name: Acme, excluded: true, aliases: [AT]}\n"),
        (LEARNED, "- name: Acme\n  aliases: [AT]\n", "- name: Acme\n  excluded: true\n  aliases: [AT]\n"),
        (IMPORTED, "- {name: Acme, excluded: no, aliases: [AT]}\n", "- {name: Acme, excluded: true, aliases: [AT]}\n"),
    ],
)
def test_a_brand_is_excluded_where_it_is_listed_and_brought_back(tmp_path: Path, file: str, text: str, written: str):
    folder = write(tmp_path / "mine", {"brands.yaml": "- Zymvora\n"} | {file: text})
    before = load_catalog(str(folder)).catalog
    brand = exclude_brand(folder, "acme", ARTWORK, excluded=True)
    assert (brand.name, brand.excluded) == ("Acme", True)
    assert (folder / file).read_text() == written
    assert [b.name for b in load_catalog(str(folder)).catalog.brands if b.excluded] == ["Acme"]
    kept = state(folder)
    assert exclude_brand(folder, "Acme", ARTWORK, excluded=True) == brand
    assert state(folder) == kept, "it was excluded before"
    assert not exclude_brand(folder, "Acme", ARTWORK, excluded=False).excluded
    assert load_catalog(str(folder)).catalog == before


def test_a_brand_of_ones_own_is_excluded_there_though_a_layer_adds_to_it(tmp_path: Path):
    files = {"brands.yaml": "- {name: Acme, aliases: [Acme Tools]}\n", LEARNED: "- {name: Acme Tools, aliases: [AT]}\n"}
    folder = write(tmp_path / "mine", files)
    brand = exclude_brand(folder, "AT", ARTWORK, excluded=True)
    assert (brand.name, brand.aliases, brand.excluded) == ("Acme", ("AT", "Acme Tools"), True)
    assert "excluded" not in (folder / LEARNED).read_text()


@pytest.mark.parametrize(("name", "what"), [("Nobody", "no brand Nobody"), ("Swatch", r"more\.csv is not YAML")])
def test_what_cannot_be_excluded_changes_nothing(tmp_path: Path, name: str, what: str):
    folder = write(tmp_path / "mine", {"brands.yaml": "- Rolex\n", "more.csv": "name,aliases\nSwatch,SW\n"})
    before = state(folder)
    with pytest.raises(BadInput, match=what):
        exclude_brand(folder, name, ARTWORK, excluded=True)
    assert state(folder) == before


def test_an_excluded_brand_becomes_one_with_another_only_if_both_are(tmp_path: Path):
    folder = write(tmp_path / "mine", {"brands.yaml": "- Rolex\n- {name: Acme, excluded: yes}\n"})
    with pytest.raises(BadInput, match="They differ in excluded: Acme has true, Rolex false"):
        merge_brands(folder, "Acme", "Rolex", ARTWORK)
    exclude_brand(folder, "Rolex", ARTWORK, excluded=True)
    assert merge_brands(folder, "Acme", "Rolex", ARTWORK).brand.excluded


@pytest.mark.parametrize("name", ["Rolex", "Omega", "Tissot", "Rado", "Acme"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_long_list_is_edited_as_a_short_one(name: str, newline: str, monkeypatch: pytest.MonkeyPatch):
    text = """# by hand

- Rolex # the first
# in between
- {name: Omega, aliases: [Omega SA]} # in one line
- name: Tissot

  aliases:
  - Tissot SA
  # after it

- name: Rado
  aliases: [Rado Watch]""".replace("\n", newline)

    def edited(part: int) -> list[str]:
        monkeypatch.setattr(entries, "PART", part)
        entries.entries_of.cache_clear()
        cells = {"name": name, "aliases": [f"{name} Two"], "excluded": "true"}
        added = with_brand(text, "a.yaml", cells)
        return [added, with_values(added, "a.yaml", {**cells, "excluded": "false", "owner": "X"})]

    whole = edited(1000)
    assert edited(1) == edited(2) == whole
    assert all(line in whole[1] for line in ("# by hand", "# the first", "# in between", "# after it"))


def test_a_list_that_somebody_changed_meanwhile_is_read_again_before_it_is_changed(tmp_path: Path):
    file = tmp_path / "brands.yaml"
    file.write_text("- Rolex\n- Omega\n")
    exclude_brand(file, "Rolex", ARTWORK, excluded=True)
    file.write_text(file.read_text() + "- Tissot\n")
    exclude_brand(file, "Tissot", ARTWORK, excluded=True)
    exclude_brand(file, "Rolex", ARTWORK, excluded=False)
    assert [(b.name, b.excluded) for b in load_catalog(str(file)).catalog.brands] == [
        ("Omega", False),
        ("Rolex", False),
        ("Tissot", True),
    ]


def test_a_kill_while_a_brand_is_excluded_leaves_the_old_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "brands.yaml"
    file.write_text("- Rolex\n- Omega\n")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            exclude_brand(file, "Rolex", ARTWORK, excluded=True)
    assert file.read_text() == "- Rolex\n- Omega\n"
    assert [brand.excluded for brand in load_catalog(str(file)).catalog.brands] == [False, False]
