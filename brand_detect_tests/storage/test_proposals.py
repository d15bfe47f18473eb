from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from brand_detect.domain.proposals import Decision, Proposal
from brand_detect.storage import blobs as module
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.faults import Missing
from brand_detect.storage.proposals import Proposals


def proposal(proposal_id: str, job_id: str = "match", proposer: Any = "cluster") -> Proposal:
    facts: dict[str, Any] = {"name": "Acme", "text": "ACME", "seconds": 2.0, "frames": "run-0", "cluster_id": "c1"}
    return Proposal(proposal_id=proposal_id, job_id=job_id, proposer=proposer, **facts)


def decision(proposal_id: str) -> Decision:
    return Decision(proposal_id=proposal_id, verdict="accepted", name="Acme", crop_hashes=(), created="2026-05-01")


@pytest.fixture
def stored(tmp_path: Path) -> Proposals:
    return Proposals(Blobs(str(tmp_path)))


def ids(stored: Proposals) -> list[str]:
    return sorted(p.proposal_id for p in stored.read()[0])


def test_they_are_read_side_by_side_from_one_listing(stored: Proposals, monkeypatch: pytest.MonkeyPatch):
    """On S3 each request takes its time."""
    for n in range(module.AT_A_TIME):
        stored.add(proposal(f"a{n}"))
    together, listings = Barrier(module.AT_A_TIME, timeout=10), []
    read, names = Blobs.read, Blobs.names

    def waiting(self: Blobs, path: str) -> bytes:
        together.wait()
        return read(self, path)

    monkeypatch.setattr(Blobs, "read", waiting)
    monkeypatch.setattr(Blobs, "names", lambda self, folder: listings.append(folder) or names(self, folder))
    assert len(ids(stored)) == module.AT_A_TIME
    assert len(listings) == 1


def test_a_damaged_one_is_told_and_the_others_are_there(stored: Proposals, tmp_path: Path):
    for event in (proposal("a"), proposal("b"), proposal("c")):
        stored.add(event)
    for event in (decision("c"), decision("d")):
        stored.decide(event)
    files = {path.name.partition("-")[0]: path for path in (tmp_path / "_proposals").glob("*.json")}
    [damaged] = (tmp_path / "_proposals").glob("c-accepted-*")
    damaged.write_bytes(b"[]")
    files["a"].write_bytes(files["a"].read_bytes().replace(b"ACME", b"ACMA"))
    undecided, decisions, told = stored.read()
    assert [p.proposal_id for p in undecided] == ["b"], "its name says that c was decided"
    assert [d.proposal_id for d in decisions] == ["d"]
    assert told == [
        f"The proposal _proposals/{files['a'].name} is damaged and left out: restore the file, or remove it.",
        f"The decision _proposals/{damaged.name} is damaged and left out: restore the file, or remove it.",
    ]


def test_one_that_goes_with_its_job_meanwhile_is_not_missed(stored: Proposals, monkeypatch: pytest.MonkeyPatch):
    stored.add(proposal("a"))
    stored.add(proposal("b"))
    read = Blobs.read

    def deleting(self: Blobs, path: str) -> bytes:
        if "/a-" in path:
            raise Missing(f"{path} could not be read.")
        return read(self, path)

    monkeypatch.setattr(Blobs, "read", deleting)
    assert ids(stored) == ["b"]


def test_what_a_job_proposed_goes_with_it(stored: Proposals, tmp_path: Path):
    for event in (proposal("a"), proposal("a", "match-2"), proposal("b", proposer="model"), proposal("c")):
        stored.add(event)
    stored.decide(decision("c"))
    stored.remove_job("match")
    stored.remove_job("match")
    assert [p.job_id for p in stored.read()[0]] == ["match-2"]
    assert stored.read()[1] == [decision("c")], "nobody is asked again"
    assert len(list((tmp_path / "_proposals").iterdir())) == 2
