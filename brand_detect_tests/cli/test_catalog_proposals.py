"""A catalogue that learns from use."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Literal

import pytest

from brand_detect.catalog import load_catalog
from brand_detect.domain.catalog import Brand
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import BadInput
from brand_detect.domain.proposals import Proposal
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.proposals import Proposals
from brand_detect.storage.store import Store
from brand_detect_tests.conftest import Ended
from brand_detect_tests.support.pipeline import clip_with_an_open_text, pipeline

Command = Callable[..., Ended]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store of a finished job, whose second shot says ACME WIDGETS, and its brand list."""
    folder = tmp_path_factory.mktemp("reported")
    with pipeline(folder, kept=True) as built:
        built.runner.submit(str(clip_with_an_open_text(folder / "match.mp4")), job_id="match")
        built.runner.replay("match", "match_brands")
    return folder


@dataclass
class Learning:
    """A job's store and a catalogue that may change."""

    folder: Path
    call: Command

    def brands(self) -> dict[str, Brand]:
        return {b.name: b for b in load_catalog(str(self.folder / "brands.yaml")).catalog.brands}

    def open(self) -> list[str]:
        code, printed, _ = self.call("catalog", "review", "--list", "--json")
        assert code == 0
        return [item["proposal"]["name"] for item in json.loads(printed)]

    def id_of(self, name: str) -> str:
        found = json.loads(self.call("catalog", "review", "--json")[1])
        return next(o["proposal"]["proposal_id"] for o in found if o["proposal"]["name"] == name)

    def cluster(self, text: str) -> str:
        store = Store(str(self.folder / "store"))
        made = store.attempts("match", "compile_report")[-1]
        report = store.load(AttemptRef("match", "compile_report", made.attempt))
        assert isinstance(report, Report)
        return next(row["cluster_id"] for row in report.unresolved.to_pylist() if row["text"] == text)


@pytest.fixture
def learning(reported: Path, tmp_path: Path, command_line: Command, monkeypatch: pytest.MonkeyPatch) -> Learning:
    folder = tmp_path / "work"
    shutil.copytree(reported, folder, ignore=shutil.ignore_patterns("history", "storage", "*.db*"))
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", str(folder / "store"))
    monkeypatch.setenv("BRAND_DETECT_CATALOG", str(folder / "brands.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return Learning(folder, command_line)


def test_what_a_report_leaves_open_is_proposed_once(learning: Learning):
    assert learning.open() == ["ACME WIDGETS"]
    events = list((learning.folder / "store" / "_proposals").iterdir())
    assert len(events) == 1, "the replay proposed the same"
    code, printed, _ = learning.call("catalog", "review")
    assert code == 0
    assert "Proposed for the catalogue" in printed, "nobody is there to be asked"


def test_a_damaged_proposal_is_told_beside_the_others(learning: Learning):
    (learning.folder / "store" / "_proposals" / "0a-proposed-1b.json").write_text("{", encoding="utf-8")
    assert learning.open() == ["ACME WIDGETS"]
    said = learning.call("catalog", "review", "--list")[2]
    assert "note: The proposal _proposals/0a-proposed-1b.json is damaged and left out" in said


def test_an_accepted_proposal_enters_the_learned_layer_with_its_crop(learning: Learning):
    before = load_catalog(str(learning.folder / "brands.yaml")).catalog.version
    own = (learning.folder / "brands.yaml").read_text()
    chosen = learning.id_of("ACME WIDGETS")[:8]
    code, printed, said = learning.call("catalog", "review", "--accept", chosen, "--as", "Acme")
    assert code == 0, said
    assert f"{learning.folder / 'learned.yaml'}: Acme" in printed
    brand = learning.brands()["Acme"]
    assert brand.aliases == ("ACME WIDGETS",)
    assert [e.suffix for e in brand.exemplars] == ["jpeg"]
    assert (learning.folder / "logos" / "acme.jpeg").read_bytes()[:2] == b"\xff\xd8"
    assert (learning.folder / "brands.yaml").read_text() == own
    assert load_catalog(str(learning.folder / "brands.yaml")).catalog.version != before
    assert learning.open() == []
    code, _, said = learning.call("catalog", "review", "--accept", chosen)
    assert code == BadInput.exit_code
    assert "0 open proposals" in said


def test_a_rejected_proposal_stays_away_and_changes_nothing(learning: Learning):
    assert learning.call("catalog", "review", "--reject", learning.id_of("ACME WIDGETS"))[0] == 0
    assert learning.open() == []
    assert list(learning.brands()) == ["Emirates", "Rolex"]
    with pipeline(learning.folder, kept=True) as built:
        built.runner.submit(str(learning.folder / "match.mp4"), job_id="again")
    assert learning.open() == [], "another job proposes it in vain"


def test_a_name_that_the_catalogue_has_by_now_is_not_proposed(learning: Learning):
    learning.call("catalog", "add", "Acme", "--alias", "Acme Widgets")
    assert learning.open() == []


def test_without_its_frames_a_proposal_is_accepted_without_a_logo(learning: Learning):
    for shard in (learning.folder / "store" / "match" / "extract_frames").rglob("frames-*"):
        shard.unlink()
    code, _, said = learning.call("catalog", "review", "--accept", learning.id_of("ACME WIDGETS"))
    assert code == 0, said
    assert "without a logo" in said
    assert learning.brands()["ACME WIDGETS"].exemplars == ()


def test_a_person_names_an_open_mark_once(learning: Learning):
    cluster = learning.cluster("ACME WIDGETS")
    code, _, said = learning.call("catalog", "name", "match", cluster[:8], "Acme")
    assert code == 0, said
    assert "brand-detect replay match match_brands" in said
    brand = learning.brands()["Acme"]
    assert (brand.aliases, len(brand.exemplars)) == (("ACME WIDGETS",), 1)
    assert learning.open() == []
    kinds = [f.name.split("-")[1] for f in (learning.folder / "store" / "_proposals").iterdir()]
    assert sorted(kinds) == ["accepted", "proposed", "proposed"], "the cluster's, the person's and its acceptance"
    for wrong in ("xxxxxxxx", cluster[:2]):
        code, _, said = learning.call("catalog", "name", "match", wrong, "Acme")
        assert code == BadInput.exit_code
    code, _, said = learning.call("catalog", "name", "nobody", cluster, "Acme")
    assert code == BadInput.exit_code
    assert "nobody has no report" in said


def test_a_name_that_cannot_be_given_is_not_proposed(learning: Learning, monkeypatch: pytest.MonkeyPatch):
    stored = learning.folder / "store" / "_proposals"
    before = sorted(stored.iterdir())
    code, _, said = learning.call("catalog", "name", "match", learning.cluster("ACME WIDGETS"), " ")
    assert (code, "The brand has no name." in said) == (BadInput.exit_code, True)
    monkeypatch.delenv("BRAND_DETECT_CATALOG")
    code, _, said = learning.call("catalog", "name", "match", learning.cluster("ACME WIDGETS"), "Acme")
    assert (code, "The packaged list cannot be changed." in said) == (BadInput.exit_code, True)
    assert sorted(stored.iterdir()) == before


def test_the_named_brand_is_found_on_replay(learning: Learning):
    learning.call("catalog", "name", "match", learning.cluster("ACME WIDGETS"), "Acme")
    with pipeline(learning.folder, kept=True) as built:
        built.runner.submit(str(learning.folder / "match.mp4"), job_id="match")
        report = built.runner.replay("match", "match_brands").load("compile_report")
    assert isinstance(report, Report)
    assert "Acme" in report.brands["brand"].to_pylist()


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "left", "names"),
    [
        ("a\n", [], ["ACME WIDGETS", "Emirates", "Rolex"]),
        ("r\nAcme\n", [], ["Acme", "Emirates", "Rolex"]),
        ("x\n", [], ["Emirates", "Rolex"]),
        ("s\n", ["ACME WIDGETS"], ["Emirates", "Rolex"]),
        ("q\n", ["ACME WIDGETS"], ["Emirates", "Rolex"]),
        ("r\nRolex\n", [], ["Emirates", "Rolex"]),
    ],
)
def test_a_person_is_asked_about_each(
    learning: Learning, monkeypatch: pytest.MonkeyPatch, typed: str, left: list[str], names: list[str]
):
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert learning.call("catalog", "review")[0] == 0
    assert sorted(learning.brands()) == names
    assert learning.open() == left


@pytest.mark.parametrize("typed", ["", "r\n"])
def test_input_that_ends_at_a_question_decides_nothing(learning: Learning, monkeypatch: pytest.MonkeyPatch, typed: str):
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    code, _, said = learning.call("catalog", "review")
    assert code == BadInput.exit_code
    assert "The input ended before the question was answered." in said
    assert learning.open() == ["ACME WIDGETS"]


@pytest.mark.parametrize(
    ("kind", "text", "column"), [("alias", "Rolex Oyster", "aliases"), ("excluded", "Rollex", "excluded_texts")]
)
def test_what_a_person_corrected_enters_the_brand_that_is_there(
    learning: Learning, kind: Literal["alias", "excluded"], text: str, column: str
):
    proposal = Proposal(
        proposal_id="0a1b2c3d4e5f6071",
        kind=kind,
        name="Rolex",
        proposer="person",
        model="",
        job_id="match",
        cluster_id="",
        text=text,
        seconds=9.0,
        crop_hashes=(),
        frames="",
        frame=None,
        t_s=None,
        box=None,
    )
    Proposals(Blobs(str(learning.folder / "store"))).add(proposal)
    assert "Rolex" in learning.open()
    code, _, said = learning.call("catalog", "review", "--accept", "0a1b2c3d")
    assert code == 0, said
    rolex = learning.brands()["Rolex"]
    assert (getattr(rolex, column), rolex.exemplars) == ((text,), ())
    assert "Rolex" not in learning.open()
