"""Proposals and decisions about them, ``{root}/_proposals/``: one immutable file per event."""

import time
from contextlib import suppress
from typing import TypeVar, get_args

from brand_detect.domain.proposals import Decision, Proposal, Proposer
from brand_detect.domain.tables import content_id
from brand_detect.storage.blobs import Blobs, concurrently
from brand_detect.storage.faults import Missing
from brand_detect.storage.sealed import seal, unseal

PROPOSALS = "_proposals"
PROPOSED, SUFFIX = "-proposed-", ".json"

E = TypeVar("E", bound=Proposal | Decision)


class Proposals:
    """The proposals from all jobs of a store."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def add(self, proposal: Proposal) -> None:
        """Store a proposal; replays of a job do not repeat it."""
        self._keep(f"{proposal.proposal_id}{PROPOSED}{content_id(proposal.job_id, proposal.proposer)}", proposal)

    def decide(self, decision: Decision) -> None:
        self._keep(f"{decision.proposal_id}-{decision.verdict}-{time.time_ns():019d}", decision)

    def read(self) -> tuple[list[Proposal], list[Decision], list[str]]:
        """Proposals without a decision on their id, all decisions, and one sentence about each damaged file."""
        paths = self.paths()
        decided = {_proposal_id(path) for path in paths if not is_proposal(path)}
        wanted = [path for path in paths if not (is_proposal(path) and _proposal_id(path) in decided)]
        proposals, decisions, damaged = [], [], []
        for path, data in zip(wanted, concurrently(self._read, wanted), strict=True):
            try:
                if data is None:
                    continue
                if is_proposal(path):
                    proposals.append(event_from_json(data, Proposal))
                else:
                    decisions.append(event_from_json(data, Decision))
            except ValueError:
                what = "proposal" if is_proposal(path) else "decision"
                damaged.append(f"The {what} {path} is damaged and left out: restore the file, or remove it.")
        return proposals, decisions, damaged

    def remove_job(self, job_id: str) -> None:
        """Remove what a job proposed. Decisions stay: they are about all jobs."""
        own = {content_id(job_id, proposer) for proposer in get_args(Proposer)}
        for path in self.paths():
            if path.removesuffix(SUFFIX).partition(PROPOSED)[2] in own:
                with suppress(Missing):  # removed by another process
                    self._blobs.remove(path)

    def paths(self) -> list[str]:
        """The files of all proposals and decisions."""
        return self._blobs.paths(PROPOSALS)

    def _keep(self, name: str, event: Proposal | Decision) -> None:
        self._blobs.create(f"{PROPOSALS}/{name}{SUFFIX}", seal(event.model_dump(mode="json")), lenient=True)

    def _read(self, path: str) -> bytes | None:
        """The file's content; None if its job was deleted meanwhile."""
        try:
            return self._blobs.read(path)
        except Missing:
            return None


def is_proposal(path: str) -> bool:
    """Whether the file is a proposal; otherwise it is a decision."""
    return PROPOSED in path


def _proposal_id(path: str) -> str:
    return path.removeprefix(f"{PROPOSALS}/").partition("-")[0]


def event_from_json(data: bytes, kind: type[E]) -> E:
    """Parse a stored proposal or decision.

    Raises:
        ValueError: it is damaged.
    """
    return kind.model_validate(unseal(data, kind.model_fields))
