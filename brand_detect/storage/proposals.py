"""Proposals and decisions about them, ``{root}/_proposals/``: a file for each event, none ever changed."""

import time
from collections.abc import Iterator
from typing import TypeVar

from brand_detect.domain.errors import Permanent
from brand_detect.domain.proposals import Decision, Proposal
from brand_detect.domain.tables import content_id
from brand_detect.storage.sealed import seal, unseal
from brand_detect.storage.store import PROPOSALS, Store

E = TypeVar("E", bound=Proposal | Decision)


class Proposals:
    """What was proposed over all jobs of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, proposal: Proposal) -> None:
        """Keep a proposal; a job proposes the same thing once, however often it is replayed."""
        name = f"{proposal.proposal_id}-proposed-{content_id(proposal.job_id, proposal.proposer)}"
        self._store.put_event(name, seal(proposal.model_dump(mode="json")))

    def decide(self, decision: Decision) -> None:
        name = f"{decision.proposal_id}-{decision.verdict}-{time.time_ns():019d}"
        self._store.put_event(name, seal(decision.model_dump(mode="json")))

    def undecided(self) -> Iterator[Proposal]:
        """Proposals on whose id there is no decision."""
        events = [name.split("-") for name in self._store.events()]
        decided = {parts[0] for parts in events if parts[1] != "proposed"}
        for parts in events:
            if parts[0] not in decided:
                yield self._read("-".join(parts), Proposal)

    def decisions(self) -> Iterator[Decision]:
        for name in self._store.events():
            if name.split("-")[1] != "proposed":
                yield self._read(name, Decision)

    def _read(self, name: str, kind: type[E]) -> E:
        try:
            return event_from_json(self._store.event(name), kind)
        except ValueError as e:
            path = f"{self._store.root}/{PROPOSALS}/{name}.json"
            raise Permanent(f"The file {path} is damaged.", "restore it, or remove it") from e


def event_from_json(data: bytes, kind: type[E]) -> E:
    """A kept proposal or decision.

    Raises:
        ValueError: it is damaged.
    """
    return kind.model_validate(unseal(data, kind.model_fields))
