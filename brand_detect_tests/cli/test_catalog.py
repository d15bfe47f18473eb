"""Commands on the brand catalogue."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from brand_detect.catalog import load_catalog
from brand_detect.cli import common
from brand_detect.domain.errors import BadInput
from brand_detect_tests.conftest import Ended
from brand_detect_tests.support.logos import pixels, svg, write

Command = Callable[..., Ended]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue's folder, by its setting; logos of other folders beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAND_DETECT_CATALOG", "mine")
    write(tmp_path, {"a.svg": svg("disc"), "b.png": pixels(), "same.svg": svg("disc", extra="<desc/>")})
    return write(tmp_path / "mine", {"brands.yaml": "# ours\n- Rolex\n"})


def test_ones_own_list_beside_the_store_is_found_from_any_folder(
    command_line: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home, own = tmp_path / "home", tmp_path / "home" / ".state" / "checkpoints" / "_own_catalog"
    write(home, {"dagster.yaml": ""})
    write(own, {"brands.yaml": "- Rolex\n"})
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    monkeypatch.setattr(common, "home", lambda: monkeypatch.setenv("DAGSTER_HOME", str(home)))
    monkeypatch.delenv("DAGSTER_HOME")
    assert command_line("catalog", "add", "Zymvora")[0] == 0
    assert [b.name for b in load_catalog(str(own)).catalog.brands] == ["Rolex", "Zymvora"]


def test_a_catalogue_of_ones_own_begins_with_that_of_the_package(
    command_line: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    code, _, said = command_line("catalog", "add", "Zymvora")
    assert code == BadInput.exit_code
    assert "catalog init" in said
    assert command_line("catalog", "init", "mine")[0] == 0
    assert load_catalog("mine").catalog == load_catalog().catalog
    code, _, said = command_line("catalog", "init", "mine", "--empty")
    assert code == BadInput.exit_code
    assert "exists already" in said
    assert command_line("catalog", "init", "other", "--empty")[0] == 0
    assert command_line("catalog", "add", "Zymvora", "--catalog", "other")[0] == 0
    assert [b.name for b in load_catalog("other").catalog.brands] == ["Zymvora"]


def test_a_brand_is_added_with_all_that_is_said_of_it(command_line: Command, mine: Path):
    said = ("--alias", "Zym", "--category", "drinks", "--owner", "Z, Inc", "--colour", "E30613")
    said = (*said, "--kind", "club", "--country", "br", "--sport", "golf", "--sport", "tennis")
    code, printed, noted = command_line("catalog", "add", "Zymvora", "--logo", "a.svg", "--logo", "b.png", *said)
    assert code == 0, noted
    assert f"{mine / 'brands.yaml'}: Zymvora, logos: 2" in printed
    text = (mine / "brands.yaml").read_text()
    assert text.startswith("# ours\n- Rolex\n- name: Zymvora\n")
    [brand] = [b for b in load_catalog(str(mine)).catalog.brands if b.name == "Zymvora"]
    assert (brand.aliases, brand.owner, brand.colours) == (("Zym",), "Z, Inc", ("#e30613",))
    assert (brand.kind, brand.country, brand.sports) == ("club", "BR", ("golf", "tennis"))
    code, printed, noted = command_line("catalog", "add", "zymvora", "--logo", "a.svg")
    assert "note: a.svg was a logo of Zymvora before" in noted
    assert (mine / "brands.yaml").read_text() == text


def test_two_brands_become_one(command_line: Command, mine: Path):
    command_line("catalog", "add", "Zymvora Zero", "--logo", "a.svg")
    assert command_line("catalog", "merge", "zymvora zero", "Rolex")[:2] == (0, "Rolex, Zymvora Zero; logos: 1\n")
    assert [b.name for b in load_catalog(str(mine)).catalog.brands] == ["Rolex"]
    assert command_line("catalog", "merge", "Zymvora Zero", "Rolex")[0] == BadInput.exit_code
    (mine / "brands.yaml").write_text("- {name: Acme, excluded_texts: [Acme Zero]}\n- Acme Zero\n")
    _, printed, noted = command_line("catalog", "merge", "Acme Zero", "Acme")
    assert printed == "Acme, Acme Zero; logos: 0\n"
    assert noted == "note: No longer excluded, for it is a name now: Acme Zero.\n"


def test_a_brand_is_left_out_of_reports_and_brought_back(command_line: Command, mine: Path):
    assert command_line("catalog", "exclude", "ROLEX")[:2] == (0, "Rolex: left out of reports\n")
    assert [b.excluded for b in load_catalog(str(mine)).catalog.brands] == [True]
    assert command_line("catalog", "include", "rolex")[:2] == (0, "Rolex: counted in reports\n")
    assert [b.excluded for b in load_catalog(str(mine)).catalog.brands] == [False]
    assert command_line("catalog", "exclude", "Nobody")[0] == BadInput.exit_code


def test_icons_are_imported(command_line: Command, mine: Path):
    assert command_line("catalog", "import", "simple-icons")[0] == BadInput.exit_code
    assert command_line("catalog", "import", "simple-icons", "--all", "--only", "Nike")[0] == BadInput.exit_code
    assert command_line("catalog", "import", "others", "--all")[0] == BadInput.exit_code
    code, printed, _ = command_line("catalog", "import", "simple-icons", "--only", "Nike", "--only", "adidas")
    assert code == 0
    assert f"{mine / 'simple-icons.yaml'}: 2 brands, 2 of them new" in printed


def test_what_is_hard_to_tell_apart_is_said(command_line: Command, mine: Path):
    code, printed, noted = command_line("catalog", "check", "--json")
    assert (code, json.loads(printed)) == (0, [])
    assert "1 brand, 0 logos, 0 hard to tell apart" in noted
    for name, logo in (("Sportsbet", "a.svg"), ("Sportsnet", "same.svg")):
        command_line("catalog", "add", name, "--logo", logo)
    code, printed, _ = command_line("catalog", "check", "--json")
    assert code == 6
    assert [(c["kind"], c["brand"], c["other"]) for c in json.loads(printed)] == [
        ("name", "Sportsbet", "Sportsnet"),
        ("logo", "Sportsbet", "Sportsnet"),
    ]
    assert "Sportsnet" in command_line("catalog", "check")[1]
    assert mine.is_dir()


def test_logos_are_shown_as_the_machine_sees_them(command_line: Command, mine: Path, tmp_path: Path):
    code, _, noted = command_line("catalog", "preview")
    assert code == BadInput.exit_code
    assert "No brand of the catalogue has a logo" in noted
    command_line("catalog", "add", "A<b>", "--logo", "a.svg", "--logo", "b.png", "--colour", "e30613")
    code, printed, _ = command_line("catalog", "preview", "--out", "page.html")
    assert f"page: {tmp_path / 'page.html'}" in printed
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert "A&lt;b&gt;" in page
    assert "<b>" not in page
    assert "Rolex" not in page
    command_line("catalog", "preview", "rolex", "--out", "page.html")
    assert "No logo." in (tmp_path / "page.html").read_text()
    code, _, noted = command_line("catalog", "preview", "Tudor")
    assert code == BadInput.exit_code
    assert "There is no brand Tudor" in noted
    assert mine.is_dir()
