"""Proposals and decisions about them, ``{root}/_proposals/``: one immutable file per event."""

import time
from collections.abc import Iterator
from typing import TypeVar

from brand_detect.domain.errors import Permanent
from brand_detect.domain.proposals import Decision, Proposal
from brand_detect.domain.tables import content_id
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.sealed import seal, unseal

PROPOSALS = "_proposals"

E = TypeVar("E", bound=Proposal | Decision)


class Proposals:
    """The proposals from all jobs of a store."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def add(self, proposal: Proposal) -> None:
        """Store a proposal; replays of a job do not repeat it."""
        name = f"{proposal.proposal_id}-proposed-{content_id(proposal.job_id, proposal.proposer)}"
        self._keep(name, proposal)

    def decide(self, decision: Decision) -> None:
        self._keep(f"{decision.proposal_id}-{decision.verdict}-{time.time_ns():019d}", decision)

    def undecided(self) -> Iterator[Proposal]:
        """Proposals without a decision on their id."""
        paths = self.paths()
        decided = {_proposal_id(path) for path in paths if not is_proposal(path)}
        for path in paths:
            if _proposal_id(path) not in decided:
                yield self._read(path, Proposal)

    def decisions(self) -> Iterator[Decision]:
        for path in self.paths():
            if not is_proposal(path):
                yield self._read(path, Decision)

    def paths(self) -> list[str]:
        """The files of all proposals and decisions."""
        return self._blobs.paths(PROPOSALS)

    def _keep(self, name: str, event: Proposal | Decision) -> None:
        self._blobs.create(f"{PROPOSALS}/{name}.json", seal(event.model_dump(mode="json")), lenient=True)

    def _read(self, path: str, kind: type[E]) -> E:
        try:
            return event_from_json(self._blobs.read(path), kind)
        except ValueError as e:
            raise Permanent(f"The file {self._blobs.uri(path)} is damaged.", "restore it, or remove it") from e


def is_proposal(path: str) -> bool:
    """Whether the file is a proposal; otherwise it is a decision."""
    return "-proposed-" in path


def _proposal_id(path: str) -> str:
    return path.removeprefix(f"{PROPOSALS}/").partition("-")[0]


def event_from_json(data: bytes, kind: type[E]) -> E:
    """Parse a stored proposal or decision.

    Raises:
        ValueError: it is damaged.
    """
    return kind.model_validate(unseal(data, kind.model_fields))
