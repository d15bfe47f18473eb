import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from brand_detect.catalog import reader
from brand_detect.catalog.reader import CatalogReader
from brand_detect.catalog.source import Place, load_catalog
from brand_detect.domain.errors import BadInput
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect_tests.support.logos import svg, write

ARTWORK = VectorAndPixelArtwork()
LIST = "- {name: Acme, logos: [a.svg, b.svg]}\n"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that the list is read."""
    seen: list[str] = []

    def load(path: str, artwork: VectorAndPixelArtwork):
        seen.append(path)
        return load_catalog(path, artwork)

    monkeypatch.setattr(reader, "load_catalog", load)
    return seen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, {"brands.yaml": LIST, "a.svg": svg("disc"), "b.svg": svg("disc"), "c.svg": svg("cross")})


def edited_in_place(file: Path) -> None:
    """As ``rsync --times --inplace``: another letter, the size and the time of modification as before."""
    was = file.stat()
    file.write_text(LIST.replace("Acme", "Acma"), encoding="utf-8")
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))


def test_a_list_that_has_not_changed_is_not_read_again(folder: Path, reads: list[str]):
    catalogs = CatalogReader()
    for _ in range(5):
        assert catalogs.read(str(folder), ARTWORK).catalog == load_catalog(str(folder), ARTWORK).catalog
    assert len(reads) == 2, "once more, to know that nothing changed while it was read"


@pytest.mark.parametrize(
    "change",
    [
        lambda f: (f / "brands.yaml").write_text(LIST + "- Rolex\n", encoding="utf-8"),
        lambda f: (f / "more.yaml").write_text("- Rolex\n", encoding="utf-8"),
        lambda f: (f / "learned.yaml").write_text("- Rolex\n", encoding="utf-8"),
        lambda f: (f / "a.svg").write_bytes(svg("cross")),
        lambda f: (f / "b.svg").write_bytes(svg("cross")),  # the same picture as another until now
        lambda f: (f / "c.svg").replace(f / "b.svg"),
        lambda f: edited_in_place(f / "brands.yaml"),
    ],
    ids=["list", "new list", "layer", "logo", "second logo of the same content", "replaced", "in place"],
)
def test_every_change_is_seen(folder: Path, change: Callable[[Path], object]):
    catalogs = CatalogReader()
    before = [catalogs.read(str(folder), ARTWORK).catalog.version for _ in range(3)]
    change(folder)
    after = [catalogs.read(str(folder), ARTWORK).catalog.version for _ in range(3)]
    assert set(after) == {load_catalog(str(folder), ARTWORK).catalog.version}
    assert before[0] != after[0]


@pytest.mark.parametrize("field", ["st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"])
def test_any_difference_of_a_file_is_a_change(
    folder: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch, field: str
):
    """Clocks of file systems are coarse, and some have no inodes."""
    catalogs = CatalogReader()
    for _ in range(3):
        catalogs.read(str(folder), ARTWORK)
    stat = Path.stat

    def differs(path: Path, **options: bool):
        found = stat(path, **options)
        if path.name != "a.svg":
            return found
        was = {name: getattr(found, name) for name in dir(found) if name.startswith("st_")}
        return SimpleNamespace(**was | {field: was[field] + 1})

    before = len(reads)
    monkeypatch.setattr(Path, "stat", differs)
    catalogs.read(str(folder), ARTWORK)
    assert len(reads) == before + 1


@pytest.mark.parametrize("looks", [0, 1])
def test_a_list_that_vanishes_while_it_is_looked_at_is_a_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch, looks: int
):
    """It vanishes before it is looked at, or after the first look."""
    more = folder / "more.yaml"
    more.write_text("- Rolex\n", encoding="utf-8")
    catalogs = CatalogReader()
    for _ in range(3):
        catalogs.read(str(folder), ARTWORK)

    stat, looked = Path.stat, []

    def too_late(path: Path, **options: bool):
        if path != more:
            return stat(path, **options)
        if len(looked) == looks:
            more.unlink()
        looked.append(path)
        return stat(path, **options)

    with monkeypatch.context() as watched:

        def seen(path: Path) -> Place:
            place = Place.of(path)
            watched.setattr(Path, "stat", too_late)
            return place

        watched.setattr(reader, "Place", SimpleNamespace(of=seen))
        catalogs.read(str(folder), ARTWORK)
    more.unlink(missing_ok=True)
    assert [brand.name for brand in catalogs.read(str(folder), ARTWORK).catalog.brands] == ["Acme"]


def test_a_change_while_it_is_read_is_seen_the_next_time(folder: Path, monkeypatch: pytest.MonkeyPatch):
    catalogs = CatalogReader()
    catalogs.read(str(folder), ARTWORK)

    def load(path: str, artwork: VectorAndPixelArtwork):
        loaded = load_catalog(path, artwork)
        (folder / "brands.yaml").write_text(LIST + "- Rolex\n", encoding="utf-8")
        return loaded

    monkeypatch.setattr(reader, "load_catalog", load)
    catalogs.read(str(folder), ARTWORK)
    monkeypatch.undo()
    assert len(catalogs.read(str(folder), ARTWORK).catalog.brands) == 2


def test_what_is_wrong_is_said_each_time_and_not_kept(folder: Path):
    catalogs = CatalogReader()
    for _ in range(3):
        catalogs.read(str(folder), ARTWORK)
    (folder / "b.svg").unlink()
    for _ in range(2):
        with pytest.raises(BadInput, match=r"b\.svg"):
            catalogs.read(str(folder), ARTWORK)
    (folder / "brands.yaml").unlink()
    with pytest.raises(BadInput):
        catalogs.read(str(folder), ARTWORK)
