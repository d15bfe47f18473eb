"""Long lists are read once per machine: what was made of the same bytes is cached."""

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from brand_detect.catalog import load_catalog, source
from brand_detect.catalog.source import LoadedCatalog, lists_dir
from brand_detect.domain.catalog import Brand
from brand_detect.domain.errors import BadInput
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect_tests.support.logos import svg, write

OURS = """\
- {name: Acme, logos: [logos/acme.svg]}
- {name: Rolex, aliases: [Oyster, 劳力士], sports: [tennis], categories: [watches], rare: true, min_length: 4}
- {name: Moselle, kind: venue, country: fr, colours: ["#E30613"], included_texts: [Salle], excluded_texts: [muscle]}
- {name: Other, whole_line: true, logo_only: true, excluded: true}
"""
PLAIN = Brand("plain", "Plain")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue that counts as long, and an empty cache."""
    monkeypatch.setattr(source, "LONG_BYTES", 0)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    files: dict[str, str | bytes] = {
        "brands.yaml": OURS,
        "simple-icons.yaml": "- {name: Rolex, logos: [logos/rolex.svg], owner: Wilsdorf, packaged: true}\n",
        "logos/acme.svg": svg("disc"),
        "logos/rolex.svg": svg("triangle"),
    }
    return write(tmp_path / "catalogue", files)


def loaded(folder: Path) -> LoadedCatalog:
    """As another process reads it."""
    source._merged.cache_clear()
    return load_catalog(str(folder), VectorAndPixelArtwork())


def never(*_: object) -> None:
    raise AssertionError("a list is read again")


@pytest.fixture
def unread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedCatalog:
    """The catalogue as it was read; from now on none can be."""
    before = loaded(folder)
    monkeypatch.setattr(source, "entries_of", never)
    return before


def test_a_second_process_does_not_read_the_lists_again(folder: Path, unread: LoadedCatalog):
    assert loaded(folder) == unread
    assert {brand.name: len(brand.exemplars) for brand in unread.catalog.brands if brand.exemplars} == {
        "Acme": 1,
        "Rolex": 1,
    }
    unset = {column.name for column in fields(Brand)} - {"brand_id"}
    for brand in unread.catalog.brands:
        unset -= {name for name in unset if getattr(brand, name) != getattr(PLAIN, name)}
    assert not unset, "a column is not compared"


def test_the_pictures_are_read_each_time(folder: Path, unread: LoadedCatalog):
    (folder / "logos" / "rolex.svg").write_bytes(svg("cross"))
    changed = loaded(folder).catalog
    assert changed.version != unread.catalog.version
    (folder / "logos" / "rolex.svg").write_bytes((folder / "logos" / "acme.svg").read_bytes())
    pictured = [brand.name for brand in loaded(folder).catalog.brands if brand.exemplars]
    assert pictured == ["Acme"], "the stronger list's"
    (folder / "logos" / "acme.svg").unlink()
    with pytest.raises(BadInput, match=r"brands\.yaml, line 1: the logo logos/acme\.svg"):
        loaded(folder)


@pytest.mark.parametrize("file", ["brands.yaml", "simple-icons.yaml"])
def test_a_list_that_changed_is_read_again(folder: Path, file: str):
    before = loaded(folder).catalog
    with (folder / file).open("a") as more:
        more.write("- Zymvora\n")
    assert {brand.name for brand in loaded(folder).catalog.brands} == {brand.name for brand in before.brands} | {
        "Zymvora"
    }


@pytest.mark.usefixtures("unread")
def test_other_code_reads_it_again(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(source, "_READERS", b"of another release")
    with pytest.raises(AssertionError, match="read again"):
        loaded(folder)


READS = """
import sys
from brand_detect.catalog import source
own, layers = ([(text.encode(), name) for name, text in lists.items()] for lists in {lists})
ran = set()
sys.setprofile(lambda frame, *_: ran.add(frame.f_code.co_filename))
source._read_lists(own, layers).to_json()
sys.setprofile(None)
print(*sorted(ran), sep="\\n")
"""


def test_all_code_that_makes_brands_is_named():
    """With a file that is not, another version of it would take what this one has cached for its own."""
    own = {"a.yaml": OURS, "b.json": '["Certina"]', "c.csv": "name,aliases\nTudor,Pelagos\n"}
    read = READS.format(lists=(own, {"learned.yaml": "- {name: Rolex, owner: Wilsdorf}\n- Omega\n"}))
    done = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True)
    package = Path(source.__file__).parents[1]
    ran = {Path(file) for file in done.stdout.splitlines()}
    assert {str(file.relative_to(package)) for file in ran if file.is_relative_to(package)} == {*source._MADE_BY}


@pytest.mark.usefixtures("unread")
def test_what_is_damaged_is_made_again(folder: Path):
    [file] = lists_dir().iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(AssertionError, match="read again"):
        loaded(folder)


def test_a_list_of_another_name_is_read_again(folder: Path):
    (folder / "brands.yaml").write_text(OURS.replace("acme.svg", "gone.svg"))
    with pytest.raises(BadInput, match=r"^brands\.yaml, line 1"):
        loaded(folder)
    (folder / "brands.yaml").rename(folder / "ours.yaml")
    with pytest.raises(BadInput, match=r"^ours\.yaml, line 1"):
        loaded(folder)


def test_the_name_of_a_list_need_not_be_unicode(folder: Path):
    before = loaded(folder)
    (folder / "brands.yaml").rename(folder / os.fsdecode(b"m\xe4rken.yaml"))
    assert loaded(folder) == loaded(folder) == before


def test_a_layer_is_not_taken_for_a_list(folder: Path):
    """A text of two brands is refused in a list, and belongs to the first in a layer."""
    (folder / "brands.yaml").unlink()
    (folder / "learned.yaml").write_text("- {name: Rolex, aliases: [Oyster]}\n- {name: Tudor, aliases: [Oyster]}\n")
    assert [brand.aliases for brand in loaded(folder).catalog.brands] == [("Oyster",), ()]
    (folder / "simple-icons.yaml").unlink()
    assert [brand.aliases for brand in loaded(folder).catalog.brands] == [("Oyster",), ()]
    with pytest.raises(BadInput, match="'Oyster' of 'Tudor' is also 'Oyster' of 'Rolex'"):
        loaded(folder / "learned.yaml")


def test_short_lists_are_not_cached(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(source, "LONG_BYTES", 1000)
    loaded(folder)
    assert not lists_dir().exists()


def test_where_nothing_can_be_written_lists_are_still_read(folder: Path, tmp_path: Path):
    (tmp_path / ".state").touch()
    assert loaded(folder) == loaded(folder)


def test_two_brands_of_one_picture_are_refused_from_the_cache_too(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "brands.yaml").write_text(f"{OURS}- {{name: Widgets, logos: [logos/widgets.svg]}}\n")
    (folder / "logos" / "widgets.svg").write_bytes(svg("disc"))
    refused = r"line 5: the logo logos/widgets\.svg of 'Widgets' is also a picture of 'Acme'"
    with pytest.raises(BadInput, match=refused):
        loaded(folder)
    monkeypatch.setattr(source, "entries_of", never)
    with pytest.raises(BadInput, match=refused):
        loaded(folder)
