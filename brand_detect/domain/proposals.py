"""Proposals for the catalogue by clusters, models and people, and decisions about them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from pydantic import Field

from brand_detect.domain.answers import may_be_a_name, without_generic
from brand_detect.domain.contracts.compile_report import Report, Reviewed, ReviewState
from brand_detect.domain.contracts.verdicts import AnswerStatus, Rule
from brand_detect.domain.hashes import alike
from brand_detect.domain.records import Record
from brand_detect.domain.tables import BOX, Row, content_id
from brand_detect.domain.text import Line, key_of, line_of, same_text

MOST_CLUSTERS = 10
"""Most clusters proposed per job, by rank: the rest is small print."""
LEARNT_FROM = (Rule.fuzzy, Rule.lexicon, Rule.vlm, Rule.cloud)
"""Rules that match a text to a brand although it is none of the brand's names."""

Proposer = Literal["cluster", "model", "person"]


class Proposal(Record):
    """A proposed brand, alias or excluded text, with the evidence for it.

    If ``kind`` is alias, ``text`` is another name of the brand ``name``; if excluded, ``text`` is not that brand.
    """

    kind: Literal["brand", "alias", "excluded"] = "brand"

    proposal_id: str = Field(description="id, from the proposed content: the same in every job if there is a name")
    name: str = Field(description='proposed name; "" for a logo without one')
    proposer: Proposer
    model: str = Field("", description="provider and model, if a model proposes")
    job_id: str
    cluster_id: str
    text: str = Field(description='the text that was read; "" for a logo region without text')
    seconds: float = Field(description="time on screen, in seconds")
    crop_hashes: tuple[int, ...] = Field((), description="64-bit perceptual hashes of the crops")
    frames: str = Field(description="attempt of extract_frames with the frame that shows it best")
    frame: int | None = None
    t_s: float | None = None
    box: tuple[float, float, float, float] | None = Field(None, description="x, y, width, height in px of the frame")


class Decision(Record):
    """A person's decision about a proposal."""

    proposal_id: str
    verdict: Literal["accepted", "rejected"]
    name: str = Field("", description="the brand's name, as accepted")
    crop_hashes: tuple[int, ...] = Field(
        (), description="hashes of the crops of a logo region without text, to recognise it in other jobs"
    )
    created: str = Field(description="ISO 8601")


@dataclass(frozen=True)
class Open:
    """An undecided proposal: its strongest evidence, and the jobs that show it."""

    proposal: Proposal
    jobs: tuple[str, ...]
    seconds: float  # on screen, over all jobs


def proposal_of(cluster: Row, job_id: str, frames: str, name: str, proposer: Proposer, model: str = "") -> Proposal:
    """Proposes that ``cluster``, a row of REPORT_UNRESOLVED, shows a brand called ``name``."""
    box = tuple(cluster[c] for c in BOX)
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


def proposed(
    clusters: pa.Table, answers: pa.Table, brands: Mapping[str, float], job_id: str, frames: str
) -> Iterator[Proposal]:
    """Yields proposals from a report's unresolved ``clusters``, and from ``answers`` with new brands.

    ``brands`` are the report's, with their seconds. Leaves out texts that are cut off names which the report shows
    whole: those of its brands, and texts that were on screen for at least as long. A word of a brand's name is left out
    if the brand was on screen for at least as long: then it is half of Coca-Cola, else another's name.
    """
    rows = {row["cluster_id"]: row for row in clusters.to_pylist()}
    names = [(seconds, line_of(brand)) for brand, seconds in brands.items()]
    lines = [(row["seconds"], line_of(row["text"])) for row in rows.values()]
    for row in (r for r in rows.values() if r["rank"] <= MOST_CLUSTERS):
        part = key_of(row["text"])
        longer = [line for seconds, line in lines if seconds >= row["seconds"]]
        words = {word for seconds, line in names if seconds >= row["seconds"] for word in line.words}
        whole = (*(line for _, line in names), *longer)
        if not part or not (part in words or any(_is_cut_off(part, line) for line in whole)):
            yield proposal_of(row, job_id, frames, row["text"], "cluster")
    for answer in answers.to_pylist():
        cluster, name = rows.get(answer["cluster_id"]), without_generic(answer["answer"])
        if cluster and answer["status"] == AnswerStatus.answered and may_be_a_name(name) and not answer["brand_id"]:
            model = f"{answer['provider']}/{answer['model']}"
            yield proposal_of(cluster, job_id, frames, name, "model", model)


def _is_cut_off(part: str, whole: Line) -> bool:
    """Whether ``part`` is most of a word or some words of ``whole``, and no word as it is: vora in Zymvora.

    ING in Booking.com is too little of a word, and Emirates in Fly Emirates a word of its own.
    """
    spans = [(at, at + len(part)) for at in range(len(whole.key)) if whole.key.startswith(part, at)]
    words = [(max(c for c in whole.cuts if c <= a), min(c for c in whole.cuts if c >= b)) for a, b in spans]
    return any(2 * len(part) > b - a for a, b in words) and not any(one in spans for one in words)


def corrected(
    report: Report,
    verdicts: pa.Table,
    clusters: pa.Table,
    known: Callable[[str], object],
    job_id: str,
    frames: str,
) -> Iterator[Proposal]:
    """Yields proposals from a person's corrections.

    - A named cluster gives a brand.
    - An accepted or renamed exposure gives its text as an alias, if a model or a fuzzy rule decided or it was renamed;
      or a brand, if the catalogue has none of that name.
    - An excluded text gives an excluded text of the brand that it had matched.

    Args:
        clusters: REPORT_UNRESOLVED before corrections.
        known: truthy for a name that the catalogue has.
    """
    import pyarrow.compute as pc  # a tenth of a command's start, and few come here

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
    """The part of a verdict's text that spells the brand."""
    begin, end = (round(verdict[c] * len(verdict["text"])) for c in ("span_start", "span_end"))
    return verdict["text"][begin:end].strip() if end > begin else verdict["text"]


def _by_text(detections: pa.Table) -> Iterator[tuple[Row, float]]:
    """Yields the largest detection of each brand and text, and the seconds of all of them."""
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
        box=tuple(row[c] for c in BOX),
    )


def still_open(proposals: Iterable[Proposal], decisions: Sequence[Decision], known: Collection[str] = ()) -> list[Open]:
    """The proposals that are still undecided, longest on screen first.

    Leaves out proposals decided in any job, nameless logos whose crops look like those of a decided one, and names
    whose key is in ``known``: the catalogue has them.
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
    """Seconds on screen over all jobs; a cluster and a model may both propose in one."""
    by_job: dict[str, float] = {}
    for proposal in group:
        by_job[proposal.job_id] = max(by_job.get(proposal.job_id, 0.0), proposal.seconds)
    return sum(by_job.values())
