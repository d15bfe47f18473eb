from pathlib import Path
from typing import Any

import pytest

from brand_detect.domain.proposals import Proposal
from brand_detect.domain.reviews import correction_of, review_of
from brand_detect.domain.tables import content_id
from brand_detect.operations.learning import open_proposals
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.proposals import Proposals
from brand_detect.storage.reviews import Reviews
from brand_detect.storage.store import Store


def proposal(name: str, cluster_id: str, job_id: str = "match", proposer: Any = "cluster") -> Proposal:
    facts = {"text": name, "seconds": 2.0, "frames": "run-0", "proposal_id": content_id("proposal", name)}
    return Proposal(name=name, cluster_id=cluster_id, job_id=job_id, proposer=proposer, **facts)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    blobs = Store(str(tmp_path)).blobs
    for found in (
        proposal("KAPRUN 12", "c1"),
        proposal("Kaprun", "c1", proposer="person"),
        proposal("PRESENTED BY", "c2"),
        proposal("PRESENTED BY", "c9", "other"),
        proposal("ACME", "c3"),
    ):
        Proposals(blobs).add(found)
    return blobs


def say(blobs: Blobs, action: str, **more: Any) -> str:
    review = review_of(correction_of({"action": action, "user": "ana", **more}))
    Reviews(blobs, "match").add(review)
    return review.review_id


def opened(blobs: Blobs) -> dict[str, tuple[str, ...]]:
    return {item.proposal.name: item.jobs for item in open_proposals(blobs, [])[0]}


def test_clusters_that_corrections_of_their_job_are_about_are_not_open(blobs: Blobs) -> None:
    assert {*opened(blobs)} == {"KAPRUN 12", "Kaprun", "PRESENTED BY", "ACME"}
    say(blobs, "name", cluster_id="c1", to="Kaprun")
    dismissed = say(blobs, "dismiss", cluster_id="c2", text="PRESENTED BY")
    assert opened(blobs) == {"Kaprun": ("match",), "PRESENTED BY": ("other",), "ACME": ("match",)}
    say(blobs, "undo", undoes=dismissed)
    assert opened(blobs)["PRESENTED BY"] == ("match", "other")


def test_a_dismissed_cluster_that_a_replay_has_given_another_id_is_known_by_its_text(blobs: Blobs) -> None:
    say(blobs, "dismiss", cluster_id="earlier", text="acme")
    assert "ACME" not in opened(blobs)
