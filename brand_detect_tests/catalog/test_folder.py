"""A catalogue with logos: a folder that its user keeps in git."""

import os
from pathlib import Path

import pytest

from brand_detect.catalog import catalog_from_json, catalog_to_json, load_catalog
from brand_detect.catalog.exemplars import MOST_BYTES
from brand_detect.catalog.source import LoadedCatalog
from brand_detect.domain.catalog import Brand, Exemplar
from brand_detect.domain.errors import BadInput, Transient
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect_tests.support.logos import pixels, svg, write

ARTWORK = VectorAndPixelArtwork()


def load(path: Path) -> LoadedCatalog:
    return load_catalog(str(path), ARTWORK)


def brands(loaded: LoadedCatalog) -> dict[str, Brand]:
    return {brand.name: brand for brand in loaded.catalog.brands}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(
        tmp_path / "catalogue",
        {
            "brands.yaml": "# ours\n- {name: Acme, logos: [logos/acme.svg, logos/photos/acme.jpg]}\n- Rolex\n",
            "more.csv": "name,logos\nWidgets,logos/widgets.png\n",
            "logos/acme.svg": svg("disc"),
            "logos/photos/acme.jpg": pixels(suffix=".jpg"),
            "logos/widgets.png": pixels(100, 100),
            "notes.txt": "not a list",
        },
    )


def test_lists_and_logos_of_a_folder(folder: Path):
    loaded = load(folder)
    found = brands(loaded)
    assert list(found) == ["Acme", "Rolex", "Widgets"]
    assert sorted(e.suffix for e in found["Acme"].exemplars) == ["jpeg", "svg"]
    assert [loaded.picture(e) for e in found["Widgets"].exemplars] == [pixels(100, 100)]
    assert loaded.catalog.n_exemplars == len(loaded.files) == 3
    assert catalog_from_json(catalog_to_json(loaded.catalog), loaded.catalog.version) == loaded.catalog


def test_a_single_file_has_its_logos_beside_it(folder: Path):
    assert list(brands(load(folder / "brands.yaml"))) == ["Acme", "Rolex"]
    assert load(folder / "brands.yaml").catalog.n_exemplars == 2


def test_the_version_follows_the_pictures_and_not_their_names(folder: Path):
    before = load(folder).catalog
    (folder / "logos" / "acme.svg").rename(folder / "logos" / "other.svg")
    written = (folder / "brands.yaml").read_text().replace("logos/acme.svg", "logos/other.svg")
    (folder / "brands.yaml").write_text(written)
    assert load(folder).catalog == before
    (folder / "logos" / "other.svg").write_bytes(svg("triangle"))
    assert load(folder).catalog.version != before.version


def test_a_logo_that_changes_while_a_snapshot_is_taken_is_not_taken_for_what_it_was(folder: Path):
    loaded = load(folder)
    [exemplar] = brands(loaded)["Widgets"].exemplars
    (folder / "logos" / "widgets.png").write_bytes(pixels(90, 90))
    with pytest.raises(Transient, match="changed"):
        loaded.picture(exemplar)
    (folder / "logos" / "widgets.png").unlink()
    with pytest.raises(Transient, match="disappeared"):
        loaded.picture(exemplar)


def test_one_picture_twice_for_one_brand_is_one_exemplar(folder: Path):
    write(
        folder,
        {"logos/again.svg": svg("disc"), "brands.yaml": "- {name: Acme, logos: [logos/acme.svg, logos/again.svg]}"},
    )
    assert len(brands(load(folder))["Acme"].exemplars) == 1


@pytest.mark.parametrize(
    ("logo", "what"),
    [
        ("logos/none.svg", "there is no such file"),
        ("logos", "its format is unknown"),
        ("logos/dir.svg", "there is no such file"),
        ("logos/acme.gif", "its format is unknown"),
        ("logos/empty.svg", "is empty"),
        ("logos/broken.png", "not a readable PNG"),
        ("logos/tiny.png", "it is 12 px long"),
        ("logos/large.png", "it has 6.0 MiB"),
        ("../outside.svg", "is outside"),
        ("logos/../../outside.svg", "is outside"),
        ("logos/link.svg", "is outside"),
        ("https://example.com/logo.svg", "is outside"),
        ("ABSOLUTE", "is outside"),
    ],
)
def test_a_bad_logo_is_named_by_file_and_line(folder: Path, logo: str, what: str):
    write(
        folder,
        {
            "logos/acme.gif": b"GIF89a",
            "logos/empty.svg": svg("M0 0"),
            "logos/broken.png": b"PNG",
            "logos/tiny.png": pixels(12, 12),
            "logos/large.png": pixels() + b"\0" * 6 * 2**20,
        },
    )
    (folder / "logos" / "dir.svg").mkdir()
    outside = folder.parent / "outside.svg"
    outside.write_bytes(svg("cross"))
    (folder / "logos" / "link.svg").symlink_to(outside)
    logo = logo.replace("ABSOLUTE", str(outside))
    write(folder, {"brands.yaml": f"- Rolex\n\n- name: Acme\n  logos: ['{logo}']\n"})
    with pytest.raises(BadInput) as e:
        load(folder)
    assert str(e.value).startswith(f"brands.yaml, line 3: the logo {logo}")
    assert what in str(e.value)
    assert e.value.hint
    assert MOST_BYTES < 6 * 2**20


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_logo_that_may_not_be_read(folder: Path):
    (folder / "logos" / "acme.svg").chmod(0)
    with pytest.raises(BadInput, match=r"line 2: the logo logos/acme.svg: it cannot be read"):
        load(folder)


def test_a_picture_belongs_to_one_brand(folder: Path):
    write(folder, {"more.csv": "name,logos\nTudor,\nWidgets,logos/copy.svg\n", "logos/copy.svg": svg("disc")})
    with pytest.raises(BadInput) as e:
        load(folder)
    assert str(e.value) == (
        "more.csv, line 3: the logo logos/copy.svg of 'Widgets' is also a picture of 'Acme' on line 2 of brands.yaml."
    )


def test_a_name_belongs_to_one_list(folder: Path):
    write(folder, {"more.csv": "name\nROLEX\n"})
    with pytest.raises(BadInput, match=r"more.csv, line 2: .* on line 3 of brands.yaml"):
        load(folder)


def test_a_folder_without_a_list_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="holds no brand list") as e:
        load(tmp_path)
    assert "catalog add" in e.value.hint


def test_layers_add_to_the_users_own_list_which_wins(folder: Path):
    write(
        folder,
        {
            "brands.yaml": """
- {name: Acme, logos: [logos/acme.svg], owner: Acme Inc, excluded_texts: [Acme Street]}
- {name: Hewlett-Packard, aliases: [HP]}
""",
            "learned.yaml": """
- {name: ACME, aliases: [Acme Tools, Acme Street, Widgets, GO], owner: Somebody, logos: [logos/learned.png]}
- {name: Zymvora, aliases: [HP, Zym], whole_line: true, logos: [logos/acme2.svg]}
""",
            "simple-icons.yaml": """
- {name: Acme, logo_only: true, logos: [logos/icon.svg], colours: ['#e30613'], kind: club, country: BR, sports: [golf]}
- {name: HP, logos: [logos/hp.svg]}
- {name: Zymvora, logo_only: true}
- {name: Docker, logo_only: true}
""",
            "logos/learned.png": pixels(80, 80),
            "logos/acme2.svg": svg("disc"),
            "logos/icon.svg": svg("cross"),
            "logos/hp.svg": svg("stairs"),
        },
    )
    found = brands(load(folder))
    assert list(found) == ["Acme", "Docker", "Hewlett-Packard", "Widgets", "Zymvora"]
    acme = found["Acme"]
    assert (acme.kind, acme.country, acme.sports) == ("club", "BR", ("golf",))
    assert (acme.owner, acme.colours, acme.logo_only) == ("Acme Inc", ("#e30613",), False)
    assert (acme.aliases, acme.whole_line) == (("Acme Tools", "GO"), ("GO",)), "neither excluded nor another's"
    assert len(acme.exemplars) == 3
    assert len(found["Hewlett-Packard"].exemplars) == 1, "found by its alias"
    zymvora = found["Zymvora"]
    assert (zymvora.aliases, zymvora.whole_line, zymvora.exemplars) == (("Zym",), ("Zymvora", "Zym"), ())
    assert (zymvora.logo_only, found["Docker"].logo_only) == (False, True), "the stronger layer wins"


def test_a_brand_is_packaged_if_all_its_logos_are(folder: Path):
    (folder / "simple-icons.yaml").write_text(
        "- {name: Acme, logos: [logos/layer.svg], packaged: true}\n"
        "- {name: Rolex, logos: [logos/crown.svg], packaged: true}\n"
        "- {name: Widgets, packaged: true}\n"
    )
    write(folder, {"logos/layer.svg": svg("cross"), "logos/crown.svg": svg("stairs")})
    loaded = load(folder)
    packaged = {name: brand.packaged for name, brand in brands(loaded).items()}
    assert packaged == {"Acme": False, "Rolex": True, "Widgets": False}
    assert catalog_from_json(catalog_to_json(loaded.catalog), loaded.catalog.version) == loaded.catalog


def test_a_mistake_in_a_layer_names_it(folder: Path):
    write(folder, {"learned.yaml": "- {name: Zymvora, logos: [logos/none.png]}"})
    with pytest.raises(BadInput, match=r"learned.yaml, line 1: the logo logos/none.png: there is no such file"):
        load(folder)


def test_pictures_are_looked_at_once(folder: Path):
    rendered = []

    class Counting(VectorAndPixelArtwork):
        def render(self, data: bytes, suffix: str, longest_side_px: int):
            rendered.append(suffix)
            return super().render(data, suffix, longest_side_px)

    write(folder, {"logos/acme.svg": svg("disc", fill="#123456")})
    for _ in range(3):
        load_catalog(str(folder), Counting())
    assert rendered.count("svg") == 1


def test_exemplars_are_named_by_their_content():
    assert Exemplar("0123456789abcdef", "jpeg").file_name == "0123456789abcdef.jpeg"
