"""What is proposed for the catalogue by clusters, models and people, and what becomes of it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from brand_detect.domain.answers import may_be_a_name, without_generic
from brand_detect.domain.contracts.compile_report import Report, Reviewed, ReviewState
from brand_detect.domain.contracts.verdicts import AnswerStatus, Rule
from brand_detect.domain.records import Record
from brand_detect.domain.tables import Row, content_id
from brand_detect.domain.text import key_of, same_text

MOST_CLUSTERS = 10
"""Clusters of one job that are proposed, the highest ranks: the rest is small print."""
LEARNT_FROM = (Rule.fuzzy, Rule.vlm, Rule.cloud)
"""Rules by which a text was taken for a brand without being one of its names."""
SAME_LOGO_BITS = 8
"""Hashes of two crops of one logo differ by so many bits at most, as in ``match_brands``."""


class Proposal(Record):
    """A name that may be a brand, or a logo that may have a name, with the evidence for it.

    Of the ``kind`` alias: ``text`` is one more name of the brand ``name``; excluded: ``text`` is not that brand.
    """

    kind: Literal["brand", "alias", "excluded"] = "brand"

    proposal_id: str = Field(description="from what is proposed: the same in every job, where there is a name")
    name: str = Field(description='as proposed; "" for a logo that nobody has named')
    proposer: Literal["cluster", "model", "person"]
    model: str = Field("", description="provider and model, where a model proposes")
    job_id: str
    cluster_id: str
    text: str = Field(description='what was read; "" for a logo region without text')
    seconds: float = Field(description="time on screen")
    crop_hashes: tuple[int, ...] = Field((), description="64-bit perceptual hashes of the crops")
    frames: str = Field(description="the attempt of extract_frames whose frame shows it best")
    frame: int | None = None
    t_s: float | None = None
    box: tuple[float, float, float, float] | None = Field(None, description="x, y, width, height in px of the frame")


class Decision(Record):
    """What a person made of a proposal."""

    proposal_id: str
    verdict: Literal["accepted", "rejected"]
    name: str = Field("", description="the brand's name, as accepted")
    crop_hashes: tuple[int, ...] = Field(
        (), description="of a logo region without text that is settled so, to know it again"
    )
    created: str = Field(description="ISO 8601")


@dataclass(frozen=True)
class Open:
    """A proposal that nobody has decided: its strongest evidence, and the jobs that show it."""

    proposal: Proposal
    jobs: tuple[str, ...]
    seconds: float  # in all jobs


def proposal_of(
    cluster: Row, job_id: str, frames: str, name: str, proposer: Literal["cluster", "model", "person"], model: str = ""
) -> Proposal:
    """The proposal that ``cluster``, a row of REPORT_UNRESOLVED, shows a brand of that name."""
    box = tuple(cluster[c] for c in ("x_px", "y_px", "w_px", "h_px"))
    return Proposal(
        proposal_id=content_id("proposal", key_of(name) or cluster["cluster_id"]),
        name=name,
        proposer=proposer,
        model=model,
        job_id=job_id,
        cluster_id=cluster["cluster_id"],
        text=cluster["text"],
        seconds=cluster["seconds"],
        crop_hashes=tuple(cluster["crop_hashes"]),
        frames=frames,
        frame=cluster["frame"],
        t_s=cluster["t_s"],
        box=None if None in box else box,
    )


def proposed(clusters: pa.Table, answers: pa.Table, job_id: str, frames: str) -> Iterator[Proposal]:
    """What a report's unresolved ``clusters`` suggest, and ``answers`` that name a brand that the catalogue lacks."""
    rows = {row["cluster_id"]: row for row in clusters.to_pylist()}
    for row in rows.values():
        if row["rank"] <= MOST_CLUSTERS:
            yield proposal_of(row, job_id, frames, row["text"], "cluster")
    for answer in answers.to_pylist():
        cluster, name = rows.get(answer["cluster_id"]), without_generic(answer["answer"])
        if cluster and answer["status"] == AnswerStatus.answered and may_be_a_name(name) and not answer["brand_id"]:
            model = f"{answer['provider']}/{answer['model']}"
            yield proposal_of(cluster, job_id, frames, name, "model", model)


def corrected(
    report: Report,
    verdicts: pa.Table,
    clusters: pa.Table,
    known: Callable[[str], object],
    job_id: str,
    frames: str,
) -> Iterator[Proposal]:
    """What a person's corrections suggest for the catalogue.

    - A cluster that was named: a brand.
    - An exposure that was accepted or renamed: its text as an alias, where a model or a fuzzy rule decided or another
      brand was meant; or a brand, where the catalogue has none of that name.
    - A text that was excluded: a text that is not the brand it was matched to.

    Args:
        clusters: REPORT_UNRESOLVED before any was named.
        known: whether the catalogue has a brand of a name.
    """
    named = {row["cluster_id"]: row for row in clusters.to_pylist()}
    cut = {row["verdict_id"]: _span(row) for row in verdicts.to_pylist()}
    for review in report.summary["reviews"]:
        if review["state"] == ReviewState.applied and review["action"] == "name" and review["cluster_id"] in named:
            yield proposal_of(named[review["cluster_id"]], job_id, frames, review["to"], "person")
    for row, seconds in _by_text(
        report.detections.filter(pc.field("reviewed").isin([Reviewed.accepted, Reviewed.renamed]))
    ):
        text = cut.get(row["verdict_id"], "")
        if not known(row["brand"]):
            yield _of_detection(row, text, "brand", seconds, job_id, frames)
        elif may_be_a_name(text) and (row["reviewed"] == Reviewed.renamed or row["rule"] in LEARNT_FROM):
            yield _of_detection(row, text, "alias", seconds, job_id, frames)
    excluded = [
        r["text"] for r in report.summary["reviews"] if (r["state"], r["action"]) == (ReviewState.applied, "exclude")
    ]
    for row, seconds in _by_text(report.rejected):
        if any(same_text(row["text"], text) for text in excluded) and known(row["brand"]):
            yield _of_detection(row, row["text"], "excluded", seconds, job_id, frames)


def _span(verdict: Row) -> str:
    """The part of a verdict's text that names the brand."""
    begin, end = (round(verdict[c] * len(verdict["text"])) for c in ("span_start", "span_end"))
    return verdict["text"][begin:end].strip() if end > begin else verdict["text"]


def _by_text(detections: pa.Table) -> Iterator[tuple[Row, float]]:
    """Of each brand and text the largest detection, and the seconds of all."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in detections.to_pylist():
        groups.setdefault((row["brand_id"], key_of(row["text"])), []).append(row)
    for rows in groups.values():
        seconds = {row["frame"]: row["end_s"] - row["start_s"] for row in rows}
        yield max(rows, key=lambda row: row["area_frac"]), sum(seconds.values())


def _of_detection(
    row: Row, text: str, kind: Literal["brand", "alias", "excluded"], seconds: float, job_id: str, frames: str
) -> Proposal:
    key = ("proposal", key_of(row["brand"])) if kind == "brand" else (kind, key_of(row["brand"]), key_of(text))
    return Proposal(
        proposal_id=content_id(*key),
        kind=kind,
        name=row["brand"],
        proposer="person",
        model="",
        job_id=job_id,
        cluster_id="",
        text=text,
        seconds=seconds,
        crop_hashes=(),
        frames=frames,
        frame=row["frame"],
        t_s=row["t_s"],
        box=(row["x_px"], row["y_px"], row["w_px"], row["h_px"]),
    )


def still_open(proposals: Iterable[Proposal], decisions: Sequence[Decision], known: Collection[str] = ()) -> list[Open]:
    """What is to be decided, longest on screen first.

    Left out is what was decided before, in whatever job; a logo without a name whose crops look like those of one that
    was; and names whose key is among ``known``: the catalogue has them.
    """
    decided = {decision.proposal_id for decision in decisions}
    seen = [h for decision in decisions for h in decision.crop_hashes]
    grouped: dict[str, list[Proposal]] = {}
    for proposal in proposals:
        new = proposal.name if proposal.kind == "brand" else proposal.text
        settled = key_of(new) in known if new else alike(proposal.crop_hashes, seen)
        if proposal.proposal_id not in decided and not settled:
            grouped.setdefault(proposal.proposal_id, []).append(proposal)
    found = [
        Open(max(group, key=lambda p: p.seconds), tuple(dict.fromkeys(p.job_id for p in group)), _seconds(group))
        for group in grouped.values()
    ]
    return sorted(found, key=lambda o: (-o.seconds, o.proposal.proposal_id))


def _seconds(group: Iterable[Proposal]) -> float:
    """On screen in all jobs; a cluster and a model may both propose in one."""
    by_job: dict[str, float] = {}
    for proposal in group:
        by_job[proposal.job_id] = max(by_job.get(proposal.job_id, 0.0), proposal.seconds)
    return sum(by_job.values())


def alike(hashes: Iterable[int], others: Sequence[int]) -> bool:
    """Whether crops with these perceptual hashes show one logo."""
    return any((a ^ b).bit_count() <= SAME_LOGO_BITS for a in hashes for b in others)
