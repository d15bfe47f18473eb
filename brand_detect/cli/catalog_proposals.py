"""``brand-detect catalog review`` and ``name``: add unresolved clusters of reports to the catalogue."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from brand_detect.cli.catalog import CatalogOpt, of_ones_own
from brand_detect.cli.common import JobArg, JsonOpt, err, home, out, plain
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.errors import BadInput
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.proposals import Open, Proposal, proposal_of
from brand_detect.domain.settings import Settings

if TYPE_CHECKING:
    from brand_detect.storage.proposals import Proposals
    from brand_detect.storage.store import Store

KINDS = {"brand": "brand", "alias": "alias of", "excluded": "not"}
FEWEST = 4
"""Shortest prefix of a cluster's id."""


def review(
    accept: Annotated[str, typer.Option(metavar="ID", help="add this proposal to the catalogue")] = "",
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="under this name instead of the proposed one")] = "",
    reject: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="never show this one again; repeatable", show_default=False),
    ] = None,
    only_list: Annotated[bool, typer.Option("--list", help="only list open proposals")] = False,
    catalog: CatalogOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Accept, rename or reject proposals for the catalogue.

    Proposals come from clusters, models and people; without options you are
    asked about each. An accepted one goes into learned.yaml beside your list,
    as a brand with the best crop as its logo; replay from match_brands to see
    it in a report. A rejected one is not proposed again by any job.

    Examples:
      brand-detect catalog review
      brand-detect catalog review --accept 3f9a1c07 --as "Acme Tools"
      brand-detect catalog review --reject 6b585eff --reject 0a1b2c3d
    """
    from brand_detect.catalog import load_catalog
    from brand_detect.operations.learning import open_proposals

    store = _store()
    proposals = _proposals(store)
    found, damaged = open_proposals(
        store.blobs, load_catalog(str(catalog) if catalog else Settings.load().brand_list).catalog.brands
    )
    for sentence in damaged:
        err.print(f"note: {plain(sentence)}", highlight=False, soft_wrap=True)
    if accept or reject:
        for proposal in [_chosen(found, wanted) for wanted in reject or ()]:
            _reject(proposals, proposal)
        if accept:
            _accept(store, _chosen(found, accept), name, of_ones_own(catalog))
    elif as_json:
        out.print_json(data=[{**asdict(o), "proposal": o.proposal.model_dump(mode="json")} for o in found])
    elif only_list or not found or not sys.stdin.isatty():
        out.print(_table(found))
    else:
        _ask(store, found, catalog)


def name(
    job_id: JobArg,
    cluster: Annotated[
        str,
        typer.Argument(metavar="CLUSTER", help="a prefix of its id, from the last section of the report"),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="the brand")],
    catalog: CatalogOpt = None,
) -> None:
    """Name an unresolved cluster of the job's newest report.

    Its best crop becomes a logo of the brand, its text an alias.

    Example:
      brand-detect catalog name match-3f9a1c07 6b585eff Zymvora
      brand-detect replay match-3f9a1c07 match_brands
    """
    from brand_detect.storage.attempts import AttemptRef
    from brand_detect.storage.reports import Reports

    if not name.strip():
        raise BadInput("The brand has no name.", "give one as the last argument")
    own = of_ones_own(catalog)
    store = _store()
    made = Reports(store).find(job_id)
    report = store.load(AttemptRef(job_id, made.stage, made.attempt))
    assert isinstance(report, Report)
    matching = [m for m in report.unresolved.to_pylist() if m["cluster_id"].startswith(cluster)]
    if len(cluster) < FEWEST or len(matching) != 1:
        hint = f"give at least {FEWEST} characters of an id in the last section of the report"
        raise BadInput(f"{len(matching)} unresolved clusters of {job_id} begin with {cluster!r}.", hint)
    proposal = proposal_of(matching[0], job_id, made.upstream[Stage.extract_frames], name.strip(), "person")
    _proposals(store).add(proposal)
    _accept(store, proposal, name, own)
    err.print(f"to see it in the report: brand-detect replay {job_id} match_brands", highlight=False)


def _store() -> "Store":
    from brand_detect.storage.store import Store

    home()  # the store's default location is relative to it
    return Store(Settings.load().store_root)


def _proposals(store: "Store") -> "Proposals":
    from brand_detect.storage.proposals import Proposals

    return Proposals(store.blobs)


def _chosen(found: Sequence[Open], wanted: str) -> Proposal:
    """The open proposal with this id prefix."""
    fitting = [o.proposal for o in found if o.proposal.proposal_id.startswith(wanted)]
    if len(fitting) != 1:
        raise BadInput(f"{len(fitting)} open proposals begin with {wanted!r}.", "brand-detect catalog review --list")
    return fitting[0]


def _ask(store: "Store", found: Sequence[Open], catalog: "CatalogOpt") -> None:
    for n, item in enumerate(found, 1):
        out.print(_table([item], f"{n} of {len(found)}"))
        answer = typer.prompt("a accept, r rename, x reject, s skip, q quit", default="s").strip().lower()
        if answer == "q":
            return
        if answer == "x":
            _reject(_proposals(store), item.proposal)
        elif answer in ("a", "r"):
            proposed = item.proposal.name
            name = proposed if answer == "a" else ""
            name = name or typer.prompt("the brand's name", default=proposed or None)
            try:
                _accept(store, item.proposal, name, of_ones_own(catalog))
            except BadInput as e:
                err.print(plain(e.full), style="red", highlight=False, soft_wrap=True)


def _accept(store: "Store", proposal: Proposal, name: str, own: Path) -> None:
    from brand_detect.engines.artwork import VectorAndPixelArtwork
    from brand_detect.operations.learning import accept

    if not (name.strip() or proposal.name):
        raise BadInput("The proposal has no name.", "give one with --as NAME")
    done = accept(store, proposal, name, own, VectorAndPixelArtwork())
    if done.without_logo:
        err.print(f"note: without a logo: {plain(done.without_logo)}", highlight=False, soft_wrap=True)
    out.print(f"{plain(str(done.added.file))}: {plain(done.added.brand.name)}", highlight=False, soft_wrap=True)


def _reject(proposals: "Proposals", proposal: Proposal) -> None:
    from brand_detect.operations.learning import reject

    reject(proposals, proposal)
    out.print(f"rejected: {plain(proposal.name or 'a logo without a name')}", highlight=False, soft_wrap=True)


def _table(found: Sequence[Open], title: str = "Proposed for the catalogue") -> Table:
    table = Table(title=title if found else "No proposals")
    for column in ("id", "as", "name", "read", "by", "seconds", "jobs", "best seen"):
        table.add_column(column, justify="right" if column in ("seconds", "jobs") else "left")
    for item in found:
        p = item.proposal
        table.add_row(
            p.proposal_id[:8],
            KINDS[p.kind],
            plain(p.name) or "(no name)",
            plain(p.text),
            plain(p.model or p.proposer),
            f"{item.seconds:.1f}",
            str(len(item.jobs)),
            f"{p.job_id}, {p.t_s:.1f} s" if p.t_s is not None else p.job_id,
        )
    return table
