"""What the brand list learns from reports: open proposals, and decisions about them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from brand_detect.catalog.source import LEARNED
from brand_detect.catalog.writing import Added, Picture, add_brand
from brand_detect.domain.catalog import Brand
from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.proposals import Decision, Open, Proposal, still_open
from brand_detect.domain.protocols import Artwork
from brand_detect.domain.reviews import OF_CLUSTERS, Review, clusters_named, in_force
from brand_detect.domain.text import key_of
from brand_detect.engines.image import OpenCvCodec
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.blobs import Blobs, concurrently
from brand_detect.storage.frames import StoredFrames
from brand_detect.storage.proposals import Proposals
from brand_detect.storage.reviews import Reviews
from brand_detect.storage.store import Store

QUALITY = 95
"""JPEG quality of a crop, which people and embedders inspect closely."""


@dataclass(frozen=True)
class Accepted:
    """A proposal that is in the brand list now."""

    added: Added
    without_logo: str
    """Why its crop did not become a logo, or empty."""


def open_proposals(blobs: Blobs, brands: Iterable[Brand]) -> tuple[list[Open], list[str]]:
    """The undecided proposals that ``brands`` do not have yet, longest on screen first, and one sentence about each
    damaged file.

    Leaves out clusters that a person has named or dismissed in their job: a given name is a proposal of its own.
    """
    known = {key_of(t) for b in brands for t in (*b.texts, *b.excluded_texts)}
    undecided, decisions, damaged = Proposals(blobs).read()
    by_job: defaultdict[str, list[Proposal]] = defaultdict(list)
    for proposal in undecided:
        by_job[proposal.job_id].append(proposal)
    logs = concurrently(lambda job_id: Reviews(blobs, job_id).all(), by_job)
    left = (p for log, own in zip(logs, by_job.values(), strict=True) for p in _undecided_in(log, own))
    return still_open(left, decisions, known), damaged


def _undecided_in(log: Sequence[Review], proposals: Sequence[Proposal]) -> Iterator[Proposal]:
    """The proposals of a job by people, and those of clusters that its corrections are not about."""
    of_clusters = [p for p in proposals if p.proposer != "person"]
    settled = {c for r in in_force(log) if r.action in OF_CLUSTERS for c in clusters_named(r, of_clusters)}
    return (p for p in proposals if p.proposer == "person" or p.cluster_id not in settled)


def accept(store: Store, proposal: Proposal, name: str, path: Path, artwork: Artwork) -> Accepted:
    """Adds a proposal, under its own name or ``name``, to the learned layer of the list at ``path``.

    A new brand gets its best crop as a logo, if the frame still exists.

    Raises:
        BadInput: it has no name, or the list would become invalid; nothing is written.
        Transient: the store is out of reach.
    """
    name = name.strip() or proposal.name
    if not name:
        raise BadInput("The proposal has no name.", "name it")
    texts = [proposal.text] if key_of(proposal.text) not in ("", key_of(name)) else []
    pictures, without_logo = [], ""
    if proposal.kind == "brand":
        try:
            picture = crop(store, proposal)
            picture.look_at(artwork)
            pictures.append(picture)
        except (BadInput, Permanent) as e:  # still keep the name
            without_logo = str(e)
    cells = {"name": name, "excluded_texts" if proposal.kind == "excluded" else "aliases": texts}
    added = add_brand(path, cells, pictures, artwork, LEARNED)
    _decide(Proposals(store.blobs), proposal, "accepted", name)
    return Accepted(added, without_logo)


def reject(proposals: Proposals, proposal: Proposal) -> None:
    """No job proposes it again."""
    _decide(proposals, proposal, "rejected", proposal.name)


def crop(store: Store, proposal: Proposal) -> Picture:
    """The proposal's best crop, cut from its stored frame.

    Raises:
        BadInput: its position is unknown.
        Permanent: the frame has been deleted.
    """
    source = f"the crop of {proposal.cluster_id[:8]} of {proposal.job_id}"
    if proposal.frame is None or proposal.box is None:
        raise BadInput(f"The position of {source} is unknown.")
    ref = AttemptRef(proposal.job_id, Stage.extract_frames, proposal.frames)
    extracted, codec = store.load(ref), OpenCvCodec()
    assert isinstance(extracted, ExtractedFrames)
    image = StoredFrames(store, store.with_frames(ref), extracted.frames, codec).read(proposal.frame)
    x, y, w, h = proposal.box
    cut = image[max(0, int(y)) : round(y + h), max(0, int(x)) : round(x + w)]
    return Picture(source, codec.encode(cut, QUALITY, 0), "jpeg")


def _decide(proposals: Proposals, proposal: Proposal, verdict: Literal["accepted", "rejected"], name: str) -> None:
    is_of_mark = not proposal.text and (verdict == "accepted" or not proposal.name)  # otherwise only about the name
    hashes = proposal.crop_hashes if is_of_mark else ()
    now = datetime.now(UTC).isoformat()
    proposals.decide(
        Decision(proposal_id=proposal.proposal_id, verdict=verdict, name=name, crop_hashes=hashes, created=now)
    )
